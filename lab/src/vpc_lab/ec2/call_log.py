"""The log of calls: who asked what, when, and what came of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Dict, List, Mapping, Optional, Tuple


@dataclass(frozen=True)
class Call:
    """One call to EC2, STS or IMDS.

    `time` is when the request had been read (seconds since the epoch), `duration` how long the service took to
    answer; None while it is under way. `outcome`: `pending`, `ok`, an error code, or `fault:KIND`.
    `action` is a path for IMDS. Parameters never hold credentials: those travel in headers, which are not kept.
    """

    time: float
    service: str
    action: str
    caller: str
    access_key_id: Optional[str] = None
    principal: Optional[str] = None
    region: Optional[str] = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    outcome: str = "pending"
    status: Optional[int] = None
    duration: Optional[float] = None


class CallLog:
    """All calls since the start or since `clear`: of very many the last `most`, so that a lab can run for days."""

    def __init__(self, most: int = 10_000) -> None:
        self._lock = Lock()
        self._most = most
        self._calls: Dict[int, Call] = {}
        self._next = 0

    def begin(self, call: Call) -> int:
        """Note a call that has been read."""
        with self._lock:
            self._next += 1
            self._calls[self._next] = call
            if len(self._calls) > self._most:
                del self._calls[next(iter(self._calls))]
            return self._next

    def end(self, number: int, outcome: str, status: Optional[int], principal: Optional[str] = None) -> None:
        """Note what came of it."""
        now = time.time()
        with self._lock:
            call = self._calls.get(number)
            if call is not None:
                self._calls[number] = replace(
                    call,
                    outcome=outcome,
                    status=status,
                    duration=now - call.time,
                    principal=call.principal if principal is None else principal,
                )

    def clear(self) -> None:
        """Forget all calls."""
        with self._lock:
            self._calls.clear()

    def __call__(self, action: Optional[str] = None, *, caller: Optional[str] = None) -> Tuple[Call, ...]:
        """The calls in the order they came, of one action and from one address if asked so."""
        with self._lock:
            found: List[Call] = list(self._calls.values())
        return tuple(call for call in found if action in (None, call.action) and caller in (None, call.caller))
