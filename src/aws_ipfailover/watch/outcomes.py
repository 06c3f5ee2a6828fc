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

    `deadline` is monotonic. `accepted`: when a connection was accepted (wall time), if that is an answer.
    `last_look`: looks, at the deadline, whether there has been an answer after all.
    """

    sent: float
    deadline: float
    release: Release
    connection: Optional[int]
    accepted: Optional[float] = None
    last_look: Optional[Callable[[], None]] = None


class Outcomes:
    """The questions to one address under way, and the one place where an outcome becomes a line.

    The first outcome of a question counts; what comes later is ignored. `now`: the wall time.
    """

    def __init__(
        self,
        address: Address,
        timeout: float,
        write: Callable[[Question], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self.now = now
        self._address = str(address)
        self._timeout = timeout
        self._write = write
        self._pending: Dict[Tuple[Protocol, int], Pending] = {}

    def asked(
        self,
        protocol: Protocol,
        sequence: int,
        release: Release,
        connection: Optional[int] = None,
        *,
        within: float = 0.0,
        last_look: Optional[Callable[[], None]] = None,
    ) -> None:
        """A question is about to leave. `within`: seconds for the answer, where that takes longer than the timeout."""
        deadline = time.monotonic() + max(self._timeout, within)
        self._pending[protocol, sequence] = Pending(self.now(), deadline, release, connection, last_look=last_look)

    def accepted(self, protocol: Protocol, sequence: int, within: float) -> None:
        """The connection was accepted, which is the answer; for so many seconds more the server may say who it is."""
        pending = self._pending.get((protocol, sequence))
        if pending is not None:
            pending.accepted = self.now()
            pending.deadline = min(pending.deadline, time.monotonic() + within)

    def answered(
        self,
        protocol: Protocol,
        sequence: int,
        node: str,
        stamped: Optional[float] = None,
        at: Optional[float] = None,
    ) -> None:
        """`node` answered, by its own time at `stamped`: just now, or `at` that wall time."""
        self._finish(protocol, sequence, at or self.now(), node, stamped, None)

    def failed(self, protocol: Protocol, sequence: int, failure: Failure) -> None:
        """The question failed."""
        self._finish(protocol, sequence, None, None, None, failure)

    def expire(self, now: float) -> None:
        """Fail the questions whose time was over at `now` (monotonic)."""
        for protocol, sequence in [key for key, pending in self._pending.items() if pending.deadline <= now]:
            pending = self._pending[protocol, sequence]
            if pending.accepted is not None:
                self.answered(protocol, sequence, "")
            elif pending.last_look is not None:
                pending.last_look()
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
            if answered is not None and pending.accepted is not None:
                answered = pending.accepted
            pending.release(answered is not None)
            # A server that says nothing has no name.
            who = node or None
            self._write(
                Question(
                    protocol, sequence, pending.sent, answered, who, error, stamped, self._address, pending.connection
                )
            )
