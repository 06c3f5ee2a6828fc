"""Faults that tests and the lab set at run time: what an API or IMDS does instead of answering."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import count
from threading import Lock
from typing import Dict, Iterable, List, Literal, Optional, Tuple

from vpc_lab.ec2.errors import ApiError

Kind = Literal[
    "error", "latency", "hang", "reset", "close", "refuse", "html", "truncate", "empty", "empty_set", "clock"
]


@dataclass(frozen=True)
class Fault:
    """One fault.

    `kind`:
      error     the service answers `code` with HTTP `status` (defaults: the real service's);
                for IMDS only `status` counts
      latency   `seconds` pass before the answer
      hang      the request is read and never answered
      reset     the connection is reset (RST) after the request was read
      close     the connection is closed without an answer
      refuse    every new connection is reset as soon as it is accepted (`action` has no meaning yet, `caller` has)
      html      HTTP 502 with an HTML body, as a broken proxy in between sends it
      truncate  the right answer, cut off in its middle, with an intact Content-Length
      empty     HTTP 200 with an empty body
      empty_set EC2 only: a Describe with a filter is answered with an empty set, as a stale read finds nothing yet;
                other calls neither meet this fault nor use it up
      clock     EC2 and STS: the service's clock is `seconds` ahead of this machine's (behind, if negative), as for a
                caller whose clock is off. The answer's `Date` says so; a request that was signed too far from it is
                refused: EC2 AuthFailure beyond 5 minutes, STS SignatureDoesNotMatch beyond 15; or `code`, if it is
                not the default
    `action`: an operation's name or a pattern (`Describe*`); for IMDS a path (`/latest/meta-data/*`).
    `service`: `ec2`, `sts`, `imds`, `api` for the first two, or `*`.
    `caller`: only calls from this address. `resource`: only calls with a parameter of exactly this value.
    `times`: the first so many matching calls; None for all. `lasting`: only for so many seconds from `Faults.add` on,
    as while something changes. `after`: the call takes effect, only its answer is faulty.
    """

    kind: Kind
    action: str = "*"
    service: str = "*"
    caller: Optional[str] = None
    resource: Optional[str] = None
    times: Optional[int] = None
    code: str = "InternalError"
    message: Optional[str] = None
    status: Optional[int] = None
    seconds: float = 0.0
    after: bool = False
    lasting: Optional[float] = None

    def error(self) -> ApiError:
        """The error that an `error` fault answers with."""
        return ApiError(self.code, self.message, self.status)

    def of(self, service: str) -> bool:
        """Whether it is meant for this service at all."""
        return self.service in ("*", service) or (self.service == "api" and service != "imds")

    def concerns(
        self, service: str, action: str, caller: str, values: Iterable[str], *, filtered: bool = False
    ) -> bool:
        """Whether a call is one this fault is meant for; `filtered`: it is a Describe with a filter."""
        if self.kind == "empty_set" and not (service == "ec2" and filtered):
            return False
        if self.kind == "clock" and service == "imds":
            return False
        return (
            self.of(service)
            and fnmatchcase(action, self.action)
            and self.caller in (None, caller)
            and (self.resource is None or self.resource in values)
        )


class Faults:
    """The faults in force. Safe to change while calls are served."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._numbers = count(1)
        self._faults: Dict[int, Fault] = {}
        self._ends: Dict[int, float] = {}

    def add(self, fault: Fault) -> int:
        """Put a fault in force; the number returned removes it."""
        with self._lock:
            number = next(self._numbers)
            self._faults[number] = fault
            if fault.lasting is not None:
                self._ends[number] = time.monotonic() + fault.lasting
            return number

    def remove(self, number: int) -> None:
        """Take a fault back; no error if it has been used up."""
        with self._lock:
            self._faults.pop(number, None)

    def clear(self) -> None:
        """Take all faults back."""
        with self._lock:
            self._faults.clear()
            self._ends.clear()

    def current(self) -> Dict[int, Fault]:
        """The faults in force by number; `times` holds what is left."""
        with self._lock:
            self._expire()
            return dict(self._faults)

    def take(
        self, service: str, action: str, caller: str, values: Iterable[str], *, filtered: bool = False
    ) -> Tuple[float, Optional[Fault]]:
        """What befalls one call: the latency in seconds, and the first other fault. Counts against `times`.

        `filtered`: the call is a Describe with a filter.
        """
        if not self._faults:
            return 0.0, None
        latency, found = 0.0, None
        held: List[str] = list(values)
        with self._lock:
            self._expire()
            for number, fault in list(self._faults.items()):
                if fault.kind == "refuse" or not fault.concerns(service, action, caller, held, filtered=filtered):
                    continue
                if fault.kind == "latency":
                    latency += fault.seconds
                elif found is None or found.kind == "clock":  # a clock that is off keeps nothing else from happening
                    found = fault
                else:
                    continue
                self._use(number, fault)
        return latency, found

    def refuses(self, service: str, caller: str) -> bool:
        """Whether a new connection from `caller` is to be reset at once."""
        if not self._faults:
            return False
        with self._lock:
            self._expire()
            for number, fault in list(self._faults.items()):
                if fault.kind == "refuse" and fault.of(service) and fault.caller in (None, caller):
                    self._use(number, fault)
                    return True
        return False

    def _expire(self) -> None:
        now = time.monotonic()
        for number in [number for number, end in self._ends.items() if end <= now]:
            del self._ends[number]
            self._faults.pop(number, None)

    def _use(self, number: int, fault: Fault) -> None:
        if fault.times is not None:
            if fault.times <= 1:
                del self._faults[number]
            else:
                self._faults[number] = replace(fault, times=fault.times - 1)
