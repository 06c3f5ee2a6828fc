"""What this node remembers from one action to the next: small records under HA_RSCTMP."""

from __future__ import annotations

import json
import logging
import os
import stat
import zlib
from typing import Any, Callable, Iterable, Mapping

log = logging.getLogger(__name__)

DEFAULT_DIRECTORY = "/run/resource-agents"
_LONGEST_FILE = 1_000_000  # characters; 200 tables of 40 routes are half of it
_LONGEST_NAME = 150  # characters of a key in a file's name, which can have 255


class Memory:
    """One record under a key, kept in a file.

    If the file cannot be written or read, or somebody other than this user can have written it, every method behaves as
    if nothing had been recorded.
    """

    def __init__(self, environ: Mapping[str, str], key: str) -> None:
        directory = environ.get("HA_RSCTMP") or DEFAULT_DIRECTORY
        self._path = os.path.join(directory, f"aws-ipfailover-{_name_of(key)}.json")

    def remember(self, record: Mapping[str, Any]) -> bool:
        """Record this, instead of what was recorded before; a failure is only logged, and returns `False`."""
        directory = os.path.dirname(self._path)
        temporary = f"{self._path}.{os.urandom(8).hex()}"
        try:
            os.makedirs(directory, mode=0o755, exist_ok=True)
            self._clean_up(directory)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(record, file)
            os.replace(temporary, self._path)
        except OSError as error:
            log.info("cannot remember anything in %s: %s", directory, error.strerror)
            _unlink(temporary)
            return False
        return True

    def forget(self) -> None:
        """Delete the record."""
        _unlink(self._path)

    def read(self) -> Mapping[str, Any]:
        """The record; empty if there is none that can be believed."""
        try:
            if not _is_private(os.stat(os.path.dirname(self._path)), stat.S_ISDIR):
                return {}
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            with os.fdopen(descriptor, encoding="utf-8") as file:
                if not _is_private(os.fstat(descriptor), stat.S_ISREG):
                    return {}
                found = json.loads(file.read(_LONGEST_FILE))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def _clean_up(self, directory: str) -> None:
        """Remove what runs that were killed have left half written."""
        prefix = os.path.basename(self._path) + "."
        for name in os.listdir(directory):
            if name.startswith(prefix):
                _unlink(os.path.join(directory, name))


def key_of(things: Iterable[object]) -> str:
    """A key for things in any order, such as addresses, short enough for the name of a file."""
    texts = sorted(map(str, things))
    if len(texts) == 1:
        return texts[0]
    return f"{texts[0]}-of-{len(texts)}-{zlib.crc32(' '.join(texts).encode()):08x}" if texts else "none"


def _name_of(key: str) -> str:
    """A part of a file's name for `key`, short enough, and another one for every other key.

    Resources may be called vip-a, vip_a, vip.a and vip:a: the record of one must not become that of another.
    """
    safe = "".join(one if one.isascii() and one.isalnum() else "-" for one in key[:_LONGEST_NAME])
    return safe if safe == key else f"{safe}-{zlib.crc32(os.fsencode(key)):08x}"


def _is_private(found: os.stat_result, is_kind: Callable[[int], bool]) -> bool:
    """Whether this is of its kind, and nobody else can have put it there or changed what is in it.

    A directory may be writable for others if it is sticky: they cannot replace a file of this user in it.
    """
    for_others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX
    return is_kind(found.st_mode) and found.st_uid == os.geteuid() and not for_others


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError as error:
        log.debug("cannot remove %s: %s", path, error.strerror)
