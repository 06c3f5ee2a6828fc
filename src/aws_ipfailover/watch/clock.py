"""The time of a watch: that of the day as it was when the process began, and what has passed since.

A clock that is set meanwhile, as by NTP after a boot, neither makes a silence of an hour nor an answer before its
question.
"""

from __future__ import annotations

import time

_AHEAD = time.time() - time.monotonic()


def steady() -> float:
    """Seconds since the epoch, which pass as time does."""
    return _AHEAD + time.monotonic()
