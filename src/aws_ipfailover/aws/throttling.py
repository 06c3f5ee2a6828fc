"""A queue for calls that AWS throttles.

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
# The two factors balance when one call in six is throttled: that costs little, while an unused token is lost.
_SLOWER = 1.5
_FASTER = 0.92


class Throttle:
    """Rate limit shared by all calls of a client; it has no effect until AWS throttles one of them.

    From then on throttled calls queue, and each is sent when it is first in the queue and its interval has passed. A
    call that is throttled again queues behind the others.
    """

    def __init__(self) -> None:
        self._queue = threading.Lock()
        self._interval = _FIRST
        self._next = 0.0

    def turn(self, deadline: Deadline) -> bool:
        """Wait until the next call may be sent; `False` if the deadline comes first."""
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
        """A queued call was not throttled: shorten the interval."""
        self._interval = max(_SHORTEST, self._interval * _FASTER)

    def refused(self) -> None:
        """A queued call was throttled again: lengthen the interval."""
        self._interval = min(_LONGEST, self._interval * _SLOWER)
