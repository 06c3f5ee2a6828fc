"""One deadline for a whole operation, handed down to everything that waits."""

from __future__ import annotations

import threading
import time
from typing import Callable, Generic, Iterator, List, Optional, TypeVar

from aws_ipfailover.errors import UnknownError

T = TypeVar("T")

_STEP = 0.5  # seconds by which a signal is handled late, at most


class Deadline:
    """The time on the monotonic clock after which this operation waits for nothing any more.

    `clock` returns seconds and never goes back; `sleep` waits for a number of seconds.
    """

    def __init__(
        self,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._end = clock() + seconds

    def now(self) -> float:
        """Seconds on this deadline's clock."""
        return self._clock()

    def remaining(self, at_most: Optional[float] = None) -> float:
        """Seconds left, never negative, cut to `at_most`."""
        left = max(0.0, self._end - self._clock())
        return left if at_most is None else min(left, at_most)

    @property
    def expired(self) -> bool:
        """Whether the deadline has passed."""
        return self.remaining() <= 0

    def earlier(self, seconds: float) -> Deadline:
        """A deadline `seconds` before this one, to leave time for later steps."""
        return Deadline(self.remaining() - seconds, self._clock, self._sleep)

    def within(self, seconds: float) -> Deadline:
        """The earlier of this deadline and `seconds` from now."""
        return Deadline(self.remaining(seconds), self._clock, self._sleep)

    def pause(self, seconds: float) -> bool:
        """Wait `seconds`; return `False` at once if the deadline comes first."""
        if self.remaining() <= seconds:
            return False
        if seconds > 0:
            self._sleep(seconds)
        return True

    def poll(self, first: float, longest: float, factor: float = 1.5) -> Poll:
        """Retry until the deadline: `for _ in deadline.poll(first=0.05, longest=0.5)`.

        The first try comes at once. The pauses that follow grow from `first` to `longest` seconds, each shortened by
        jitter. The loop ends when the next pause would outlast the deadline.
        """
        return Poll(self, first, longest, factor)


class Poll:
    """Numbers of tries from 0 on, with a pause before each but the first; see `Deadline.poll`."""

    def __init__(self, deadline: Deadline, first: float, longest: float, factor: float) -> None:
        self._deadline = deadline
        self._first = first
        self._longest = longest
        self._factor = factor
        self._attempt = 0
        self._pause = first

    def __iter__(self) -> Iterator[int]:
        """This object; a second loop over it continues the count."""
        return self

    def __next__(self) -> int:
        """Pause, unless this is the first try, and return the number of the try."""
        if self._attempt and not self.wait():
            raise StopIteration
        self._attempt += 1
        return self._attempt - 1

    def wait(self) -> bool:
        """Pause before the next try; return `False` at once if the deadline comes first."""
        import random  # here, because a probe and stop never wait and save the time of this import

        pause = self._pause * random.uniform(0.7, 1.0)  # noqa: S311  jitter, no secret
        self._pause = min(self._longest, self._pause * self._factor)
        return self._deadline.pause(pause)

    def restart(self) -> None:
        """Start again with the first pause, after something has changed."""
        self._pause = self._first


NO_ANSWER = "no answer before the operation's timeout"
"""What is said of a `Task` that the deadline ends."""


class Progress:
    """What a `Task` is waiting for: its thread sets `text`, and the error that ends the waiting quotes it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


class Task(Generic[T]):
    """`work` on its own daemon thread, so that the caller can stop waiting at the deadline.

    A name resolver, or a server that sends a byte now and then, can block a thread for longer than any socket timeout.
    Such a thread is abandoned, and ends with the process.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._done = threading.Event()
        self._result: List[T] = []
        self._error: Optional[BaseException] = None
        self._work = work
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._result.append(self._work())
        except BaseException as error:  # noqa: BLE001  handed to the thread that waits
            self._error = error
        finally:
            self._done.set()

    def ends(self, deadline: Deadline) -> bool:
        """Wait until `work` has ended; `False` if the deadline comes first.

        In steps: Python raises what a signal's handler raises only when the main thread runs again, and a signal that
        arrives just before a wait, or on another thread, does not wake it.
        """
        while not self._done.wait(deadline.remaining(_STEP)):
            if deadline.expired:
                return False
        return True

    def result(self, deadline: Deadline, what: object) -> T:
        """Return or raise what `work` did; `UnknownError`, which names `what`, if the deadline comes first."""
        if not self.ends(deadline):
            raise UnknownError(f"{what}: {NO_ANSWER}")
        if self._error is not None:
            raise self._error
        return self._result[0]
