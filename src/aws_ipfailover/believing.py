"""When a read of EC2 is believed: its reads lag behind its writes, and a right answer can be followed by an old one."""

from __future__ import annotations

import random
import time
from typing import Callable, Dict, Set

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import UnknownError
from aws_ipfailover.failover import Where
from aws_ipfailover.last_write import LastWrite

# How long a read that contradicts this node's own write is taken for an old one.
SETTLE_SECONDS = 60.0
# A single contradicting read is not believed; the second comes about this much later.
_SECOND_READ_AFTER = 1.0


class Reader:
    """Reads until an answer can be believed.

    `contradictions` reads once: what is not as it should be (a table, an ENI), each with half a sentence about it.
    """

    def __init__(self, contradictions: Callable[[], Dict[str, str]], last_write: LastWrite, deadline: Deadline) -> None:
        self._contradictions = contradictions
        self._last_write = last_write
        self._deadline = deadline
        self.explanation = ""

    def where(self, what: str) -> Where:
        """HERE by one read, ELSEWHERE by two that agree on what is wrong; `what` names this node's own write.

        Raises:
            UnknownError: not asked, or the only contradiction can be an old read.
        """
        first = self._read()
        if not first:
            return Where.HERE
        age = self._last_write.age(what)
        if age is not None and age < SETTLE_SECONDS:
            raise UnknownError(
                f"EC2 contradicts what this node wrote {age:.0f} s ago, and reads can lag"
                f" {SETTLE_SECONDS:.0f} s: {self.explanation}"
            )
        pause = random.uniform(1.0, 1.5) * _SECOND_READ_AFTER  # noqa: S311  jitter, no secret
        if self._deadline.remaining() <= pause:
            raise UnknownError(f"no time left to read a second time: {self.explanation}")
        time.sleep(pause)
        second = self._read()
        if second and not first & second:
            raise UnknownError(f"two reads contradict each other: {self.explanation}")
        return Where.ELSEWHERE if second else Where.HERE

    def _read(self) -> Set[str]:
        found = self._contradictions()
        self.explanation = "; ".join(found.values())
        return set(found)
