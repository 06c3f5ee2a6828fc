"""Remembers this node's own last successful write to EC2, because EC2's reads lag behind its writes.

A file of a few bytes under HA_RSCTMP. It is an aid: where it cannot be kept, things are done without it.
"""

from __future__ import annotations

import json
import logging
import os
import time
from typing import Mapping, Optional

log = logging.getLogger(__name__)

_LONGEST = 1000  # characters: what is longer was not written here
DEFAULT_DIRECTORY = "/run/resource-agents"


class LastWrite:
    """When `what` (the thing now held, such as an ENI's id) was last written under `key`."""

    def __init__(self, environ: Mapping[str, str], key: str) -> None:
        directory = environ.get("HA_RSCTMP") or DEFAULT_DIRECTORY
        safe = "".join(character if character.isalnum() else "-" for character in key)
        self._path = os.path.join(directory, f"aws-ipfailover-{safe}.json")

    def remember(self, what: str) -> None:
        """Note that `what` has just been written."""
        directory = os.path.dirname(self._path)
        temporary = f"{self._path}.{os.getpid()}"
        try:
            os.makedirs(directory, mode=0o755, exist_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"what": what, "at": _now()}, file)
            os.replace(temporary, self._path)
        except OSError as error:
            log.info("cannot remember the last write in %s: %s", directory, error.strerror)
            _unlink(temporary)

    def age(self, what: str) -> Optional[float]:
        """Seconds since `what` was written, or `None` where nothing of the kind is remembered."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            with os.fdopen(descriptor, encoding="utf-8") as file:
                noted = json.loads(file.read(_LONGEST))
            age = _now() - float(noted["at"])
            # A time in the future is from before a reboot.
            return age if noted["what"] == what and age >= 0 else None
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return None


def _now() -> float:
    # Counts time asleep, and no adjustment of the wall clock moves it.
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError as error:
        log.debug("cannot remove %s: %s", path, error.strerror)
