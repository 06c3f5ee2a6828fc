"""Decides when a read of EC2 is believed: reads lag behind writes, and a stale answer can follow a current one.

Fact: "Eventual consistency in the Amazon EC2 API": a describe call after a write can show the state before it.
"""

from __future__ import annotations

import logging
import time
from typing import Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import UnknownError
from aws_ipfailover.memory import Memory

log = logging.getLogger(__name__)

# Seconds after this node's own write in which a read that contradicts it counts as stale.
SETTLE_SECONDS = 60.0
# Seconds from a contradicting read to the second one: a single contradiction is not believed.
SECOND_READ_AFTER = 1.5

# What a read of EC2 shows to differ from the intended state: half a sentence for each route, table or
# ENI, by a key of its own.
Contradictions = Dict[str, str]


class Write(NamedTuple):
    """A successful write of this node: `what` it wrote, and `at`, the time in seconds on the clock of `_now`.

    `wrote`: which parts of it, by the keys of `Contradictions`; empty for all of it.
    """

    what: str
    at: float
    wrote: Tuple[str, ...] = ()


class WriteMemory:
    """The last successful write of this node under a key, kept by `Memory`."""

    def __init__(self, environ: Mapping[str, str], key: str) -> None:
        self._memory = Memory(environ, key)

    def remember(self, what: str, wrote: Sequence[str] = ()) -> None:
        """Record that `what`, or those parts of it, were written now; a failure is only logged."""
        self._memory.remember(Write(what, _now(), tuple(wrote))._asdict())

    def forget(self) -> None:
        """Delete the record."""
        self._memory.forget()

    def wrote(self, what: str) -> Tuple[str, ...]:
        """The parts that the last write of `what` reached; empty for all of it, or without a record of it."""
        write = self._read()
        return write.wrote if write is not None and write.what == what else ()

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

    def _read(self) -> Optional[Write]:
        try:
            noted = self._memory.read()
            return Write(str(noted["what"]), float(noted["at"]), tuple(map(str, noted.get("wrote", ()))))
        except (ValueError, KeyError, TypeError, OverflowError):
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
        wrote = memory.wrote(what)
        written = {thing: text for thing, text in first.items() if not wrote or thing in wrote}
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
