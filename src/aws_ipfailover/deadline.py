"""One deadline for a whole operation, handed down to everything that waits."""

from __future__ import annotations

import threading
import time
from typing import Callable, Generic, List, Optional, TypeVar

from aws_ipfailover.errors import UnknownError

T = TypeVar("T")


class Deadline:
    """A moment on the monotonic clock after which nothing of this operation may still wait."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def remaining(self, at_most: Optional[float] = None) -> float:
        """Seconds left, never negative, cut to `at_most`."""
        left = max(0.0, self._end - self._clock())
        return left if at_most is None else min(left, at_most)

    @property
    def expired(self) -> bool:
        """Whether nothing may wait any more."""
        return self.remaining() <= 0

    def earlier(self, seconds: float) -> Deadline:
        """A deadline that leaves `seconds` of this one for what has to come afterwards."""
        return Deadline(self.remaining() - seconds, self._clock)

    def within(self, seconds: float) -> Deadline:
        """The earlier of this deadline and `seconds` from now."""
        return Deadline(self.remaining(seconds), self._clock)


class Progress:
    """What is being waited for, told by whoever works to whoever stops waiting."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


class Task(Generic[T]):
    """`work` on a daemon thread of its own: whoever waits for it can stop waiting at the deadline.

    A resolver or a dribbling server can hold a thread longer than any socket timeout allows. Such a thread is left
    behind, and ends with the process.
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

    def result(self, deadline: Deadline, what: object) -> T:
        """What `work` returned or raised; `UnknownError` naming `what` when the deadline comes first."""
        if not self._done.wait(deadline.remaining()):
            raise UnknownError(f"{what}: no answer before the operation's timeout")
        if self._error is not None:
            raise self._error
        return self._result[0]
