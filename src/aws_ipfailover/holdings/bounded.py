"""A holding in the cloud whose methods return at the deadline, whatever the network does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, List, TypeVar

from aws_ipfailover.deadline import Deadline, Progress, Task
from aws_ipfailover.failover import Look, Repair

if TYPE_CHECKING:
    from aws_ipfailover.interfaces import CloudHolding
    from aws_ipfailover.steps import Step

T = TypeVar("T")


class Bounded:
    """`holding` with a limit: a method that has not returned at the deadline raises `UnknownError`.

    The error names the call that was being waited for. The SDK's own timeouts are not enough: a name resolver, or a
    server that sends a byte now and then, can block a call for longer.
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

    def plan(self) -> List[Step]:
        """What `take` would do."""
        return self._bound(self.holding.plan)

    def repair(self) -> Repair:
        """Put right what `look` found."""
        return self._bound(self.holding.repair)

    def _bound(self, work: Callable[[], T]) -> T:
        return Task(work).result(self._deadline, self._progress)
