"""TLS contexts that read a file of certificate authorities once.

urllib3 reads it again for every new connection, into the context that all connections of a client share
(urllib3/urllib3#3623); OpenSSL 3 takes 16 ms of processor time for the SDK's own file (python/cpython#95031), and each
route table is written over a connection of its own. Measured with botocore 1.44, OpenSSL 3.0 and that file, writing the
tables alone, median of 30 runs on one core: 3 tables 26 ms instead of 60 ms, 10 tables 43 ms instead of 208 ms.

botocore documents no way to hand over a context or to load the file once: `verify` of `Session.create_client` is a
boolean or a path, `botocore.config.Config` has no such option (asked for in boto/botocore#1822 and #3171). So this
module replaces the class by which `botocore.httpsession` makes its contexts, and nothing else of it.
"""

from __future__ import annotations

import ssl
import threading
from typing import Any, Set

import botocore.httpsession


class _Once(ssl.SSLContext):
    """A context that loads each file of authorities only once; safe to use from many threads."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self._lock = threading.Lock()
        self._loaded: Set[Any] = set()

    def load_verify_locations(self, cafile: Any = None, capath: Any = None, cadata: Any = None) -> None:
        with self._lock:
            if (cafile, capath, cadata) not in self._loaded:
                super().load_verify_locations(cafile, capath, cadata)
                self._loaded.add((cafile, capath, cadata))


def load_once() -> None:
    """Make the SDK's sessions use such contexts.

    An SDK that creates its contexts in another way than botocore 1.29 to 1.44 is not changed.
    """
    if getattr(botocore.httpsession, "SSLContext", None) is ssl.SSLContext:
        botocore.httpsession.SSLContext = _Once  # type: ignore[attr-defined]
