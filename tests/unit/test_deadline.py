"""deadline.py: how long anything may take, on a clock that only a pause moves."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import List

import pytest

from aws_ipfailover.deadline import Deadline, Task
from aws_ipfailover.errors import DeniedError, UnknownError


class Clock:
    """Seconds, moved by `sleep` alone; `slept` are the pauses."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: List[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept.append(seconds)
        self.now += seconds

    def deadline(self, seconds: float) -> Deadline:
        return Deadline(seconds, self, self.sleep)


def test_a_deadline_only_comes_nearer() -> None:
    """Parts of it are never later than the whole."""
    clock = Clock()
    deadline = clock.deadline(10)
    assert deadline.remaining() == 10
    assert deadline.remaining(at_most=3) == 3
    assert deadline.within(60).remaining() == 10
    assert deadline.earlier(2).remaining() == 8
    clock.now += 11
    assert deadline.expired
    assert deadline.remaining() == 0
    assert deadline.earlier(2).remaining() == 0


def test_parts_of_a_deadline_have_its_clock_and_its_sleep() -> None:
    """A pause within a part is a pause of the whole."""
    clock = Clock()
    deadline = clock.deadline(10)
    assert deadline.within(5).pause(2)
    assert deadline.earlier(1).pause(2)
    assert clock.slept == [2, 2]
    assert deadline.remaining() == 6


def test_a_pause_waits_as_long_as_asked() -> None:
    """And says that it did; no time at all, or less, is no pause."""
    clock = Clock()
    deadline = clock.deadline(10)
    assert deadline.pause(4)
    assert clock.slept == [4]
    assert deadline.pause(0)
    assert deadline.pause(-1)
    assert clock.slept == [4]


@pytest.mark.parametrize("seconds", [10, 60])
def test_a_pause_that_would_outlast_the_deadline_is_not_made(seconds: float) -> None:
    """`False` at once: whoever waits can still say why it gave up."""
    clock = Clock()
    assert not clock.deadline(10).pause(seconds)
    assert clock.slept == []


def test_nothing_is_paused_after_the_deadline() -> None:
    """Not even for no time: an operation that is over does not go on."""
    clock = Clock()
    deadline = clock.deadline(1)
    clock.now += 1
    assert not deadline.pause(0)
    assert list(deadline.poll(first=0.1, longest=1)) == [0]


def test_the_first_try_comes_at_once() -> None:
    """Whatever the pauses are, and also where the deadline has come."""
    clock = Clock()
    assert next(clock.deadline(10).poll(first=5, longest=5)) == 0
    assert next(clock.deadline(0).poll(first=5, longest=5)) == 0
    assert clock.slept == []


def test_pauses_grow_to_the_longest_one() -> None:
    """Each is the last one times `factor`, cut by jitter to no less than 70 %, and none is longer than `longest`."""
    clock = Clock()
    poll = clock.deadline(1000).poll(first=1.0, longest=5.0, factor=2)
    assert [next(poll) for _ in range(7)] == list(range(7))
    for slept, most in zip(clock.slept, (1, 2, 4, 5, 5, 5)):
        assert 0.7 * most <= slept <= most
    assert len(clock.slept) == 6


def test_pauses_differ() -> None:
    """Many nodes that begin at the same moment do not ask at the same moment again."""
    pauses = set()
    for _ in range(20):
        clock = Clock()
        assert clock.deadline(10).poll(first=1, longest=1).wait()
        pauses.update(clock.slept)
    assert len(pauses) > 10


def test_a_poll_ends_before_the_deadline() -> None:
    """The last try comes before it, and the loop ends without waiting for it."""
    clock = Clock()
    deadline = clock.deadline(10)
    tries = [(number, clock.now) for number in deadline.poll(first=1, longest=3)]
    assert [number for number, _ in tries] == list(range(len(tries)))
    assert len(tries) > 3
    assert tries[-1][1] == clock.now
    assert 0 < deadline.remaining() < 3


def test_a_poll_that_is_restarted_begins_with_the_first_pause() -> None:
    """Something has changed: the next look comes soon, and the pauses grow again. The numbers go on."""
    clock = Clock()
    poll = clock.deadline(1000).poll(first=1, longest=100, factor=10)
    for _ in range(3):
        next(poll)
    poll.restart()
    assert next(poll) == 3
    assert next(poll) == 4
    assert clock.slept[1] >= 7
    assert clock.slept[2] <= 1
    assert clock.slept[3] >= 7


def test_one_poll_serves_several_loops() -> None:
    """Iterating it again goes on where it stood: no second first try."""
    clock = Clock()
    poll = clock.deadline(1000).poll(first=1, longest=1)
    for _ in poll:
        break
    assert next(iter(poll)) == 1
    assert len(clock.slept) == 1


def test_a_task_is_waited_for_until_the_deadline_and_no_longer() -> None:
    """A thread that hangs is left behind."""
    never = threading.Event()
    task = Task(lambda: never.wait(30))
    with pytest.raises(UnknownError, match="IMDS: no answer before"):
        task.result(Deadline(0.01), "IMDS")
    never.set()


def test_a_task_hands_over_results_and_errors() -> None:
    """What happened in the thread happens to whoever waits."""

    def refuse() -> None:
        raise DeniedError("no")

    assert Task(lambda: 7).result(Deadline(60), "seven") == 7
    with pytest.raises(DeniedError):
        Task(refuse).result(Deadline(60), "refusal")


_SIGNALLED = """
import os, signal, sys, threading
from aws_ipfailover.deadline import Deadline, Task


class Ended(BaseException):
    pass


def end(*_):
    raise Ended


signal.signal(signal.SIGUSR1, end)
waits = threading.Event()


def work():
    waits.wait()
    threading.Event().wait(0.3)  # the main thread begins to wait meanwhile; earlier the test would pass anyhow
    # On this thread, as the kernel may choose: it does not wake the main thread.
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
    threading.Event().wait(60)


try:
    task = Task(work)
    waits.set()
    task.ends(Deadline(30))
except Ended:
    os._exit(42)
os._exit(1)
"""


def test_a_signal_on_another_thread_ends_a_wait() -> None:
    """What a signal's handler raises is not kept back until the deadline, whichever thread the kernel gave it to."""
    assert subprocess.run([sys.executable, "-c", _SIGNALLED], check=False, timeout=20).returncode == 42
