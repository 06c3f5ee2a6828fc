"""The one way to wait for something in a lab: ask again until it is so, or the time is over."""

from __future__ import annotations

import select
import time
from typing import Callable, Optional, TypeVar

from vpc_lab.errors import LabTimeoutError

T = TypeVar("T")


def eventually(what: str, condition: Callable[[], Optional[T]], within: float, every: float = 0.1) -> T:
    """Poll `condition` until it returns something true, and return that.

    LabTimeoutError naming `what` after `within` seconds.
    """
    deadline = time.monotonic() + within
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise LabTimeoutError(f"{what} did not happen within {within:.0f} s")
        select.select([], [], [], every)
