"""TLS contexts that read a file of certificate authorities once.

urllib3 lets every new connection read it again into the context that they share: 30 ms of processor time for the SDK's
own file, for each of the connections that many route tables take.
"""

from __future__ import annotations

import ssl
import threading
from typing import Any, Set

import botocore.httpsession


class _Once(ssl.SSLContext):
    def __init__(self, *_: Any, **__: Any) -> None:
        self._lock = threading.Lock()
        self._loaded: Set[Any] = set()

    def load_verify_locations(self, cafile: Any = None, capath: Any = None, cadata: Any = None) -> None:
        with self._lock:
            if (cafile, capath, cadata) not in self._loaded:
                super().load_verify_locations(cafile, capath, cadata)
                self._loaded.add((cafile, capath, cadata))


def load_once() -> None:
    """Let the SDK's sessions make such contexts, where it still makes them as today's and Debian 12's do."""
    if getattr(botocore.httpsession, "SSLContext", None) is ssl.SSLContext:
        botocore.httpsession.SSLContext = _Once  # type: ignore[attr-defined]
