"""The certificate authorities that are trusted, and TLS contexts that verify every certificate by them.

A context is loaded once per file and serves all connections: OpenSSL 3 takes 16 ms of processor time for a usual file
(python/cpython#95031). OpenSSL loads it without Python's lock, so `preload` does it while Python imports the SDK.

Facts: AWS SDKs and Tools Reference Guide, "General configuration" (`ca_bundle`, AWS_CA_BUNDLE).
"""

from __future__ import annotations

import os
import ssl
from typing import Dict, Mapping, NamedTuple, Optional

from requests.certs import where  # type: ignore[attr-defined]
from urllib3.util.ssl_ import create_urllib3_context

from aws_ipfailover.deadline import Deadline, Task
from aws_ipfailover.errors import NodeError


class Authorities(NamedTuple):
    """A file, or a directory as of `openssl rehash`, of trusted authorities; `source`: the setting that names it."""

    path: str
    source: str


def authorities(environ: Mapping[str, str], profile: Optional[str]) -> Authorities:
    """The authorities to trust; `profile`: the setting `ca_bundle` of the AWS profile.

    A blank setting counts as unset. botocore 1.29 takes it for the wish to verify nothing.
    """
    for source, path in (
        ("AWS_CA_BUNDLE", environ.get("AWS_CA_BUNDLE")),
        ("ca_bundle of the AWS profile", profile),
        ("REQUESTS_CA_BUNDLE", environ.get("REQUESTS_CA_BUNDLE")),
    ):
        if path and path.strip():
            return Authorities(os.path.expanduser(path.strip()), source)
    return Authorities(where(), "the Python package requests")


_contexts: Dict[str, Task[ssl.SSLContext]] = {}


def preload(environ: Mapping[str, str]) -> None:
    """Begin to load the authorities that are trusted unless the profile names others."""
    _loading(authorities(environ, None).path)


def context(chosen: Authorities, deadline: Deadline) -> ssl.SSLContext:
    """A TLS context that accepts a certificate only if one of these authorities vouches for it.

    The host name is verified by urllib3, as this context does not do so on its own with every version of urllib3.

    Raises:
        NodeError: the authorities cannot be read.  UnknownError: not before the deadline.
    """
    try:
        return _loading(chosen.path).result(deadline, f"certificate authorities in {chosen.path}")
    except ssl.SSLError:
        problem = "no certificate in PEM format"
    except OSError as error:
        problem = error.strerror or type(error).__name__
    raise NodeError(
        f"{chosen.source}: no certificate authorities can be read from {chosen.path} ({problem}):"
        " correct it, or unset it to trust the usual ones"
    )


def _loading(path: str) -> Task[ssl.SSLContext]:
    if path not in _contexts:
        _contexts[path] = Task(lambda: _load(path))
    return _contexts[path]


def _load(path: str) -> ssl.SSLContext:
    found = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    found.minimum_version = ssl.TLSVersion.TLSv1_2
    if os.path.isdir(path):
        found.load_verify_locations(capath=path)
    else:
        found.load_verify_locations(cafile=path)
    return found
