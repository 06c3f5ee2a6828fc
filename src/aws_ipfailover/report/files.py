"""Writes a page whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write(target: Path, text: str) -> None:
    """Write a file at once: who reads it sees the old one or the new one, and a failure leaves the old one.

    Its permissions are those that any new file gets. Raises OSError, having left nothing behind.
    """
    descriptor, made = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.")
    temporary = Path(made)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    """The process's umask, which can be read only by setting it."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
