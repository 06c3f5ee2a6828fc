"""When a read of EC2 is believed: its reads lag behind its writes, and a right answer can be followed by an old one.

Fact: "Eventual consistency in the Amazon EC2 API": a describe call after a write can show the state of before.
"""

from __future__ import annotations

import json
import logging
import os
import time
from typing import Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import UnknownError

log = logging.getLogger(__name__)

DEFAULT_DIRECTORY = "/run/resource-agents"
# Seconds in which a read that contradicts this node's own write is taken for an old one.
SETTLE_SECONDS = 60.0
# A single contradicting read is not believed; the second one comes about this many seconds later.
SECOND_READ_AFTER = 1.5
_LONGEST_FILE = 100_000  # characters: what is longer was not written here

# What a read of EC2 shows not to be as it should, by thing (a table, an ENI), each with half a sentence about it.
Contradictions = Dict[str, str]


class Write(NamedTuple):
    """A successful write of this node: `what` it wrote, and when, in seconds on the clock of `_now`.

    `without`: the things (tables) that could not be written with the others.
    """

    what: str
    at: float
    without: Tuple[str, ...] = ()


class WriteMemory:
    """The last successful write of this node under a key, kept in a file under HA_RSCTMP.

    It is an aid: where the file cannot be kept or read, things are done without it.
    """

    def __init__(self, environ: Mapping[str, str], key: str) -> None:
        directory = environ.get("HA_RSCTMP") or DEFAULT_DIRECTORY
        safe = "".join(character if character.isalnum() else "-" for character in key)
        self._path = os.path.join(directory, f"aws-ipfailover-{safe}.json")

    def remember(self, what: str, without: Sequence[str] = ()) -> None:
        """Note that `what` has just been written, but `without` these things."""
        directory = os.path.dirname(self._path)
        temporary = f"{self._path}.{os.getpid()}"
        try:
            os.makedirs(directory, mode=0o755, exist_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(Write(what, _now(), tuple(without))._asdict(), file)
            os.replace(temporary, self._path)
        except OSError as error:
            log.info("cannot remember the last write in %s: %s", directory, error.strerror)
            _unlink(temporary)

    def forget(self) -> None:
        """Remember nothing."""
        _unlink(self._path)

    def without(self, what: str) -> Tuple[str, ...]:
        """The things that the last write of `what` did not reach."""
        write = self._read()
        return write.without if write is not None and write.what == what else ()

    def age(self, what: str) -> Optional[float]:
        """Seconds since `what` was written; `None` where that is not known."""
        write = self._read()
        if write is None or write.what != what:
            return None
        age = _now() - write.at
        return age if age >= 0 else None  # a time in the future is from before a reboot

    def is_recent(self, what: str) -> bool:
        """Whether `what` was written so recently that reads may still show the state of before."""
        age = self.age(what)
        return age is not None and age < SETTLE_SECONDS

    def _read(self) -> Optional[Write]:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            with os.fdopen(descriptor, encoding="utf-8") as file:
                noted = json.loads(file.read(_LONGEST_FILE))
            return Write(str(noted["what"]), float(noted["at"]), tuple(map(str, noted.get("without", ()))))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return None


def confirmed(read: Callable[[], Contradictions], memory: WriteMemory, what: str, deadline: Deadline) -> Contradictions:
    """What is not as it should be, as far as reads can be believed: nothing by one read, anything else by two.

    `what` is the write of this node that put things right, as `memory` knows it.

    Raises:
        UnknownError: the only contradiction can be an old read; and whatever `read` raises.
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
    # Counts time asleep, and no adjustment of the wall clock moves it.
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError as error:
        log.debug("cannot remove %s: %s", path, error.strerror)
