"""What is in the cloud, asked and changed within the deadline whatever the network does."""

from __future__ import annotations

from typing import Callable, TypeVar

from aws_ipfailover.deadline import Deadline, Progress, Task
from aws_ipfailover.failover import CloudHolding, Look, Repair

T = TypeVar("T")


class Bounded:
    """`holding`, each of whose methods ends at the deadline: `UnknownError` says what was being waited for then.

    A resolver or a server that sends a byte now and then can hold a call longer than the SDK's own timeouts.
    """

    local = False

    def __init__(self, holding: CloudHolding, deadline: Deadline, progress: Progress) -> None:
        self.holding = holding
        self._deadline = deadline
        self._progress = progress

    def take(self) -> None:
        """Take it."""
        self._bound(self.holding.take)

    def release(self) -> None:
        """Release it."""
        self._bound(self.holding.release)

    def look(self) -> Look:
        """Where it is."""
        return self._bound(self.holding.look)

    def repair(self) -> Repair:
        """Put right what `look` found."""
        return self._bound(self.holding.repair)

    def _bound(self, work: Callable[[], T]) -> T:
        return Task(work).result(self._deadline, self._progress)
