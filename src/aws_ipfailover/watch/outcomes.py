"""The questions under way, and how each of them ends."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable, Dict, Optional, Tuple

from aws_ipfailover.watch.addresses import Address
from aws_ipfailover.watch.question import Failure, Protocol, Question

Release = Callable[[bool], None]


@dataclass
class Pending:
    """A question under way. `release` gives back what it holds, and is told if it was answered.

    `deadline` is monotonic.
    """

    sent: float
    deadline: float
    release: Release
    connection: Optional[int]


class Outcomes:
    """The questions to one address under way, and the one place where an outcome becomes a line.

    The first outcome of a question counts; what comes later is ignored.
    """

    def __init__(self, address: Address, timeout: float, write: Callable[[Question], None]) -> None:
        self._address = str(address)
        self._timeout = timeout
        self._write = write
        self._pending: Dict[Tuple[Protocol, int], Pending] = {}

    def asked(self, protocol: Protocol, sequence: int, release: Release, connection: Optional[int] = None) -> None:
        """A question is about to leave."""
        self._pending[protocol, sequence] = Pending(time.time(), time.monotonic() + self._timeout, release, connection)

    def answered(self, protocol: Protocol, sequence: int, node: str, stamped: Optional[float] = None) -> None:
        """`node` answered, by its own time at `stamped`."""
        self._finish(protocol, sequence, time.time(), node, stamped, None)

    def failed(self, protocol: Protocol, sequence: int, failure: Failure) -> None:
        """The question failed."""
        self._finish(protocol, sequence, None, None, None, failure)

    def expire(self, now: float) -> None:
        """Fail the questions whose time was over at `now` (monotonic)."""
        for protocol, sequence in [key for key, pending in self._pending.items() if pending.deadline <= now]:
            self.failed(protocol, sequence, "timeout")

    def next_deadline(self) -> Optional[float]:
        """When the first question under way times out (monotonic), if one is."""
        return min((pending.deadline for pending in self._pending.values()), default=None)

    def _finish(
        self,
        protocol: Protocol,
        sequence: int,
        answered: Optional[float],
        node: Optional[str],
        stamped: Optional[float],
        error: Optional[Failure],
    ) -> None:
        pending = self._pending.pop((protocol, sequence), None)
        if pending is not None:
            pending.release(node is not None)
            self._write(
                Question(
                    protocol, sequence, pending.sent, answered, node, error, stamped, self._address, pending.connection
                )
            )
