"""What was done to a lab, and when."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any, Dict, List

Values = Dict[str, Any]


class EventLog:
    """What happened when: wall-clock times in seconds, so that they can be laid beside what consumers measured."""

    def __init__(self) -> None:
        self._events: List[Values] = []
        self._lock = threading.Lock()

    def add(self, kind: str, **about: object) -> None:
        """Note an event that happens now."""
        with self._lock:
            self._events.append({"time": time.time(), "kind": kind, **about})

    def since(self, moment: float) -> List[Values]:
        """The events from `moment` on, in order."""
        with self._lock:
            # The newest are asked for again and again: not all of a long run are looked at.
            recent = itertools.takewhile(lambda event: event["time"] >= moment, reversed(self._events))
            return list(recent)[::-1]
