"""What a run is judged against: what its scenario does, and may therefore cause."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Optional, Tuple

# Seconds. Pacemaker's log, which tells when a stop has ended, has milliseconds and cuts what is less.
AFTER_STOP = 0.001


@dataclass(frozen=True)
class Allowance:
    """For how long consumers may be without an answer because of a fault.

    `fault` is its name, or a pattern as of a shell. The time is `seconds` from its injection on and again from its
    healing on, there `healed` where that is given; with `throughout`, all the time between as well. A fault that names
    consumers explains only what happens to them.
    """

    fault: str
    seconds: float
    throughout: bool = False
    healed: Optional[float] = None


@dataclass(frozen=True)
class Excuse:
    """Lines of a log that the scenario explains. `pattern` is a regular expression; `name` says what it is about."""

    name: str
    pattern: str


@dataclass(frozen=True)
class Expectations:
    """What may happen in a run; everything else is a violation.

    `grace`: for how many seconds after the first answer of a new holder the old one may go on answering (a move that
    makes before it breaks: the drain, and the propagation lag of routes). `after_stop`: for how many seconds
    after the good end of a stop an answer may come that was under way. `silence`: how long nobody may answer without a
    reason. `recovered_within`: how long after the last fault was healed every consumer is answered again, by one
    node. `unasked`: how long a consumer may ask nothing. `served_within`: how long after the good end of a start, by
    Pacemaker's log, a question may still be lost; where routes or addresses take effect later, that much longer.
    `operation_within`: how long a start or stop may take that no fault holds up; `stop_within`: a stop while
    something outside its node is out of reach, for which it waits little. `fail_counts`: the highest that each
    resource may have; with None they are not looked at.
    """

    grace: float = 0.0
    after_stop: float = AFTER_STOP
    silence: float = 1.0
    recovered_within: float = 60.0
    unasked: float = 5.0
    served_within: float = 0.5
    operation_within: float = 10.0
    stop_within: float = 14.0
    allowances: Tuple[Allowance, ...] = ()
    may_be_fenced: Tuple[str, ...] = ()
    must_be_fenced: Tuple[str, ...] = ()
    fail_counts: Optional[Mapping[str, int]] = field(default_factory=dict)
    excuses: Tuple[Excuse, ...] = ()
