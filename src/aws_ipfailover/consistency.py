"""Decides when a read of EC2 is believed: reads lag behind writes, and a stale answer can follow a current one.

Fact: "Eventual consistency in the Amazon EC2 API": a describe call after a write can show the state before it.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Callable, Container, Dict, Iterable, Mapping, NamedTuple, Optional, Tuple

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
    """Successful writes of this node: `what` it wrote, and `at`, the time of the last one in seconds on `_now`'s clock.

    `wrote`: when each part of it was written, by the keys of `Contradictions`; `None`: all of it, at `at`. `refused`:
    the parts that EC2 refused for good.
    """

    what: str
    at: float
    wrote: Optional[Dict[str, float]] = None
    refused: Tuple[str, ...] = ()


class WriteMemory:
    """The last successful writes of this node under a key, kept by `Memory`."""

    def __init__(self, environ: Mapping[str, str], key: str) -> None:
        self._memory = Memory(environ, key)

    def remember(self, what: str, wrote: Optional[Iterable[str]] = None, refused: Iterable[str] = ()) -> None:
        """Record that `what`, or those parts of it, were written now, and which were refused.

        A failure is only logged.
        """
        now = _now()
        parts = None if wrote is None else dict.fromkeys(wrote, now)
        self._keep(Write(what, now, parts, tuple(dict.fromkeys(refused))))

    def remember_also(self, what: str, wrote: Iterable[str]) -> None:
        """Record that those parts of `what` were written now, beside what is recorded of it."""
        write, now, parts = self._of(what), _now(), list(wrote)
        if write is None:
            return self.remember(what, parts)
        if write.wrote is None:  # all of it, at the time of the record, with these parts now: of no use to keep apart
            return self.remember(what)
        done = frozenset(parts)
        refused = tuple(one for one in write.refused if one not in done)
        self._keep(Write(what, now, {**write.wrote, **dict.fromkeys(parts, now)}, refused))
        return None

    def forget(self) -> None:
        """Delete the record."""
        self._memory.forget()

    def refused(self, what: str) -> Tuple[str, ...]:
        """The parts of `what` that EC2 refused for good when this node wrote it last."""
        write = self._of(what)
        return () if write is None else write.refused

    def accept(self, what: str, but: Container[str]) -> None:
        """Forget the refusals of all parts of `what` that are in order by now: all but these.

        Not while the reads that tell so may lag behind the start.
        """
        write = self._of(what)
        if write is not None and not self.is_recent(what) and not all(one in but for one in write.refused):
            self._keep(write._replace(refused=tuple(one for one in write.refused if one in but)))

    def recent(self, what: str, parts: Iterable[str]) -> Dict[str, float]:
        """The ages of those parts that were written so recently that reads may still show the state before it."""
        write, now = self._of(what), _now()
        ages = {part: _age(write, now, part) for part in parts} if write is not None else {}
        return {part: age for part, age in ages.items() if age is not None and age < SETTLE_SECONDS}

    def age(self, what: str, part: Optional[str] = None) -> Optional[float]:
        """Seconds since `what`, or that part of it, was written; `None` if there is no record of that."""
        write = self._of(what)
        return None if write is None else _age(write, _now(), part)

    def is_recent(self, what: str, part: Optional[str] = None) -> bool:
        """Whether `what`, or that part, was written so recently that reads may still show the state before it."""
        age = self.age(what, part)
        return age is not None and age < SETTLE_SECONDS

    def _keep(self, write: Write) -> None:
        self._memory.remember(write._asdict())

    def _of(self, what: str) -> Optional[Write]:
        try:
            noted = self._memory.read()
            write = Write(str(noted["what"]), float(noted["at"]), *_parts(noted))
        except (ValueError, KeyError, TypeError, OverflowError):
            return None
        return write if write.what == what else None


def _age(write: Write, now: float, part: Optional[str] = None) -> Optional[float]:
    if write.at > now:  # a time in the future is from before a reboot
        return None
    if part is None or write.wrote is None:
        return now - write.at
    return now - min(write.at, write.wrote[part]) if part in write.wrote else None


def _parts(noted: Mapping[str, Any]) -> Tuple[Optional[Dict[str, float]], Tuple[str, ...]]:
    """What a record says of the parts that were written, and of those that were refused."""
    wrote, refused = noted.get("wrote"), tuple(map(str, noted.get("refused", ())))
    if wrote is not None:
        wrote = {str(part): float(at) for part, at in dict(wrote).items()}
    return wrote, refused


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
    ages = memory.recent(what, first)
    if ages:
        written = {thing: text for thing, text in first.items() if thing in ages}
        raise UnknownError(
            f"EC2 contradicts what this node wrote {min(ages.values()):.0f} s ago, and reads can lag"
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
    return round(time.clock_gettime(time.CLOCK_BOOTTIME), 3)
