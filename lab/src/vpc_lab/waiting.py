"""The one way to wait for something in a lab: ask again until it is so, or the time is over."""

from __future__ import annotations

import select
import time
from typing import Callable, Optional, TypeVar

from vpc_lab.errors import LabTimeoutError

T = TypeVar("T")
# The pause after the first look, as a part of the longest one, and how much longer each is than the one before it.
_FIRST = 0.05
_LONGER = 1.5


def eventually(what: str, condition: Callable[[], Optional[T]], within: float = 20.0, every: float = 0.1) -> T:
    """Ask `condition` until it returns something true, and return that.

    Ever less often, at last `every` so many seconds. LabTimeoutError naming `what` after `within` seconds.
    """
    deadline = time.monotonic() + within
    pause = every * _FIRST
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise LabTimeoutError(f"{what} did not happen within {within:.0f} s")
        select.select([], [], [], pause)
        pause = min(every, pause * _LONGER)
