"""aws/throttling.py: turns under EC2's token buckets, in simulated time."""

from __future__ import annotations

import threading
from typing import Tuple

import pytest

from aws_ipfailover.aws.throttling import Throttle
from aws_ipfailover.deadline import Deadline


class Time:
    """A clock that only a sleep moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def clock(self) -> float:
        """Seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.now += seconds


def through(calls: int, refill: float) -> Tuple[float, int]:
    """Seconds until that many calls have passed an empty bucket, refilled at this rate, and how many were refused."""
    time = Time()
    throttle = Throttle()
    deadline = Deadline(1e6, time.clock, time.sleep)
    tokens, since, refused = 0.0, time.now, 0
    while calls:
        assert throttle.turn(deadline)
        tokens, since = tokens + (time.now - since) * refill, time.now
        if tokens >= 1:
            tokens -= 1
            calls -= 1
            throttle.accepted()
        else:
            refused += 1
            throttle.refused()
    return time.now - 1000.0, refused


@pytest.mark.parametrize(("calls", "refill"), [(150, 5), (150, 20), (100, 1), (400, 50)])
def test_hardly_a_token_is_lost(calls: int, refill: float) -> None:
    """However quickly a bucket is refilled: little more than the time it needs, and few calls for nothing."""
    seconds, refused = through(calls, refill)
    assert calls / refill - 1 <= seconds <= 1.2 * calls / refill + 2
    assert refused <= calls / 2


def test_nobody_waits_past_the_deadline() -> None:
    """Neither for a turn that would come later, nor for the queue."""
    time = Time()
    throttle = Throttle()
    assert throttle.turn(Deadline(60, time.clock, time.sleep))
    now = time.now
    assert not throttle.turn(Deadline(0.01, time.clock, time.sleep))
    assert time.now == now
    waiting, go_on = threading.Event(), threading.Event()

    def hold(_: float) -> None:
        waiting.set()
        go_on.wait()

    queue = Throttle()
    first = threading.Thread(target=queue.turn, args=(Deadline(60, time.clock, hold),))
    first.start()
    try:
        assert waiting.wait(30)
        assert not queue.turn(Deadline(0.05))
    finally:
        go_on.set()
        first.join()
