"""holdings/bounded.py: whatever the network does, the deadline ends it."""

from __future__ import annotations

import threading
from typing import Callable, List

import pytest

from aws_ipfailover.deadline import Deadline, Progress
from aws_ipfailover.errors import DeniedError, Error, UnknownError
from aws_ipfailover.failover import HERE, Look, Repair
from aws_ipfailover.holdings.bounded import Bounded
from aws_ipfailover.steps import Step

MENDED = Repair("assigned again")


class Thing:
    """A holding whose every method does `work`."""

    local = False

    def __init__(self, work: Callable[[], object]) -> None:
        self.work = work

    def take(self) -> None:
        self.work()

    def release(self) -> None:
        self.work()

    def look(self) -> Look:
        self.work()
        return HERE

    def plan(self) -> List[Step]:
        self.work()
        return []

    def repair(self) -> Repair:
        self.work()
        return MENDED


@pytest.mark.parametrize("method", ["take", "release", "look", "plan", "repair"])
def test_a_call_that_hangs_ends_at_the_deadline(method: str) -> None:
    """UnknownError, naming what was waited for last."""
    end = threading.Event()
    bounded = Bounded(Thing(lambda: end.wait(30)), Deadline(0.01), Progress("ReplaceRoute: Internal (tried again)"))
    try:
        with pytest.raises(UnknownError, match=r"ReplaceRoute: Internal \(tried again\): no answer before"):
            getattr(bounded, method)()
    finally:
        end.set()


@pytest.mark.parametrize("method", ["take", "release", "look", "plan", "repair"])
def test_what_happens_in_time_is_handed_over(method: str) -> None:
    """Result and error alike."""

    def refuse() -> None:
        raise DeniedError("ReplaceRoute: UnauthorizedOperation")

    done = getattr(Bounded(Thing(lambda: None), Deadline(30), Progress("")), method)()
    assert done == {"look": HERE, "plan": [], "repair": MENDED}.get(method)
    with pytest.raises(Error, match="UnauthorizedOperation"):
        getattr(Bounded(Thing(refuse), Deadline(30), Progress("")), method)()
