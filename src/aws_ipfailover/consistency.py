"""Decides when a read of EC2 is believed: reads lag behind writes, and a stale answer can follow a current one.

Fact: "Eventual consistency in the Amazon EC2 API": a describe call after a write can show the state before it.
"""

from __future__ import annotations

import json
import logging
import os
import stat
import time
from typing import Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import UnknownError

log = logging.getLogger(__name__)

DEFAULT_DIRECTORY = "/run/resource-agents"
# Seconds after this node's own write in which a read that contradicts it counts as stale.
SETTLE_SECONDS = 60.0
# Seconds from a contradicting read to the second one: a single contradiction is not believed.
SECOND_READ_AFTER = 1.5
_LONGEST_FILE = 100_000  # characters; this module never writes more

# What a read of EC2 shows to differ from the intended state: half a sentence for each table or ENI, by its id.
Contradictions = Dict[str, str]


class Write(NamedTuple):
    """A successful write of this node: `what` it wrote, and `at`, the time in seconds on the clock of `_now`.

    `without`: the ids of the tables that could not be written with the others.
    """

    what: str
    at: float
    without: Tuple[str, ...] = ()


class WriteMemory:
    """The last successful write of this node under a key, kept in a file under HA_RSCTMP.

    If the file cannot be written or read, or somebody other than this user can have written it, every method behaves as
    if nothing had been recorded.
    """

    def __init__(self, environ: Mapping[str, str], key: str) -> None:
        directory = environ.get("HA_RSCTMP") or DEFAULT_DIRECTORY
        safe = "".join(character if character.isalnum() else "-" for character in key)
        self._path = os.path.join(directory, f"aws-ipfailover-{safe}.json")

    def remember(self, what: str, without: Sequence[str] = ()) -> None:
        """Record that `what` was written now, except for the tables in `without`; a failure is only logged."""
        directory = os.path.dirname(self._path)
        temporary = f"{self._path}.{os.urandom(8).hex()}"
        try:
            os.makedirs(directory, mode=0o755, exist_ok=True)
            self._clean_up(directory)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(Write(what, _now(), tuple(without))._asdict(), file)
            os.replace(temporary, self._path)
        except OSError as error:
            log.info("cannot remember the last write in %s: %s", directory, error.strerror)
            _unlink(temporary)

    def forget(self) -> None:
        """Delete the record."""
        _unlink(self._path)

    def without(self, what: str) -> Tuple[str, ...]:
        """The tables that the last write of `what` failed for; empty if there is no record of it."""
        write = self._read()
        return write.without if write is not None and write.what == what else ()

    def age(self, what: str) -> Optional[float]:
        """Seconds since `what` was written; `None` if there is no record of it."""
        write = self._read()
        if write is None or write.what != what:
            return None
        age = _now() - write.at
        return age if age >= 0 else None  # a time in the future is from before a reboot

    def is_recent(self, what: str) -> bool:
        """Whether `what` was written so recently that reads may still show the state before it."""
        age = self.age(what)
        return age is not None and age < SETTLE_SECONDS

    def _clean_up(self, directory: str) -> None:
        """Remove what runs that were killed have left half written."""
        prefix = os.path.basename(self._path) + "."
        for name in os.listdir(directory):
            if name.startswith(prefix):
                _unlink(os.path.join(directory, name))

    def _read(self) -> Optional[Write]:
        try:
            if not _is_private(os.stat(os.path.dirname(self._path)), stat.S_ISDIR):
                return None
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            with os.fdopen(descriptor, encoding="utf-8") as file:
                if not _is_private(os.fstat(descriptor), stat.S_ISREG):
                    return None
                noted = json.loads(file.read(_LONGEST_FILE))
            return Write(str(noted["what"]), float(noted["at"]), tuple(map(str, noted.get("without", ()))))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return None


def confirmed(read: Callable[[], Contradictions], memory: WriteMemory, what: str, deadline: Deadline) -> Contradictions:
    """The contradictions that two reads in a row show; none if the first read shows none.

    `what`: this node's own write that made the intended state, as recorded in `memory`.

    Raises:
        UnknownError: the write is so recent that the read may be stale, the two reads differ, or no time is left for
            the second; also whatever `read` raises.
    """
    first = read()
    if not first:
        return {}
    age = memory.age(what)
    if age is not None and age < SETTLE_SECONDS:
        unwritten = memory.without(what)
        written = {thing: text for thing, text in first.items() if thing not in unwritten}
        if written:
            raise UnknownError(
                f"EC2 contradicts what this node wrote {age:.0f} s ago, and reads can lag"
                f" {SETTLE_SECONDS:.0f} s: {_sentence(written)}"
            )
    pause = min(SECOND_READ_AFTER, deadline.remaining() / 3)
    if not deadline.poll(first=pause, longest=pause).wait():
        raise UnknownError(f"no time left to read a second time: {_sentence(first)}")
    second = read()
    both = {thing: text for thing, text in second.items() if thing in first}
    if second and not both:
        raise UnknownError(f"two reads contradict each other: {_sentence(second)}")
    return both


def _sentence(contradictions: Contradictions) -> str:
    return "; ".join(contradictions.values())


def _now() -> float:
    # Counts time in suspend, and is not affected by changes of the wall clock.
    return time.clock_gettime(time.CLOCK_BOOTTIME)


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
