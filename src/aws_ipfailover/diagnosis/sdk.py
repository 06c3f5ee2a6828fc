"""Loads the AWS SDK, by one thread at a time: two that import packages in a circle can wait for each other for ever."""

from __future__ import annotations

import os
import threading
from importlib import import_module
from typing import Any, Dict

from aws_ipfailover.diagnosis.finding import NotAskedError

# What the agent imports of other projects.
PACKAGES = ("boto3", "botocore", "requests")

_loading = threading.Lock()


def versions() -> Dict[str, str]:
    """The version of each package.

    Raises:
        ImportError: one is not installed; `name` says which.
    """
    with _loading:
        return {name: str(import_module(name).__version__) for name in PACKAGES}


def sessions() -> Any:
    """The module that makes clients of the SDK, `aws.session`.

    Raises:
        NotAskedError: a package is missing.
    """
    try:
        versions()
        with _loading:
            from aws_ipfailover.aws.certificate_authorities import preload  # noqa: PLC0415

            preload(os.environ)
            from aws_ipfailover.aws import imds, session  # noqa: F401, PLC0415
    except ImportError:
        raise NotAskedError("sdk") from None
    return session
