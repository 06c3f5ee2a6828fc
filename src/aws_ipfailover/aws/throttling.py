"""A queue for calls that AWS has begun to refuse because there are too many of them.

Facts: "Request throttling for the Amazon EC2 API": a bucket of tokens for each kind of call, refilled at a rate, and
shared by everything in the account.
"""

from __future__ import annotations

import random
import threading

from aws_ipfailover.deadline import Deadline

# Seconds from one call to the next: at first EC2's documented refill for calls that change something, 5 a second.
_FIRST = 0.2
_SHORTEST = 0.01
_LONGEST = 3.0
# In balance where one call of six is refused: what is refused costs little, a token that nobody takes is lost.
_SLOWER = 1.5
_FASTER = 0.92


class Throttle:
    """Shared by all calls of a client; without effect until one of them is refused.

    Then they queue, and each goes out with the next turn that is free. A call that is refused again queues again behind
    the others, so that all get their turns.
    """

    def __init__(self) -> None:
        self._queue = threading.Lock()
        self._interval = _FIRST
        self._next = 0.0

    def turn(self, deadline: Deadline) -> bool:
        """Wait for a turn; `False` where there is none before the deadline."""
        if not self._queue.acquire(timeout=deadline.remaining()):
            return False
        try:
            if not self._next:  # many nodes can have been refused at the same moment
                self._next = deadline.now() + self._interval * random.random()  # noqa: S311  jitter, no secret
            if not deadline.pause(self._next - deadline.now()):
                return False
            self._next = deadline.now() + self._interval * random.uniform(0.8, 1.2)  # noqa: S311  jitter, no secret
            return True
        finally:
            self._queue.release()

    def accepted(self) -> None:
        """A call that had waited for its turn was not refused: the next ones may follow more closely."""
        self._interval = max(_SHORTEST, self._interval * _FASTER)

    def refused(self) -> None:
        """A call that had waited for its turn was refused all the same."""
        self._interval = min(_LONGEST, self._interval * _SLOWER)
