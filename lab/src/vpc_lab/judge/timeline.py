"""What happened when in a failover, gathered from logs, API calls and answers that know nothing of each other. Pure.

All of them are stamped by the clock of one machine, so their times compare to the millisecond: what a lab can do, and
a VPC cannot.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, List, Mapping, Match, Optional, Pattern, Sequence, Tuple

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
STAMP = re.compile(r"^([A-Z][a-z]{2}) +(\d+) (\d\d):(\d\d):(\d\d)\.(\d{3}) (.*)$")
QUARTER = 900
CALLS = frozenset(
    (
        "StopInstances",
        "StartInstances",
        "ReplaceRoute",
        "CreateRoute",
        "AttachNetworkInterface",
        "DetachNetworkInterface",
        "AssignPrivateIpAddresses",
        "UnassignPrivateIpAddresses",
        "AssignIpv6Addresses",
        "UnassignIpv6Addresses",
    )
)


@dataclass(frozen=True)
class Moment:
    """Something that happened at `time` (wall time, seconds since the epoch), at `where`: an instance, or EC2."""

    time: float
    where: str
    what: str


Patterns = Sequence[Tuple[Pattern[str], Callable[[Match[str]], str]]]

COROSYNC: Patterns = (
    (re.compile(r"Token has not been received in (\d+) ms"), lambda m: f"corosync misses the token ({m[1]} ms)"),
    (re.compile(r"A processor failed, forming new configuration"), lambda _: "corosync gives a member up"),
    (
        re.compile(r"A new membership \(\S+\) was formed\. Members( joined: [\d ]+)?( left: [\d ]+)?"),
        lambda m: "corosync forms a new membership" + "".join(f", node{part}".rstrip() for part in m.groups() if part),
    ),
)


def pacemaker_patterns(resource: str) -> Patterns:
    """What is told of Pacemaker 2.1's log, and of one resource's operations in it."""
    name = re.escape(resource)
    return (
        (re.compile(r"Cluster node (\S+) is now lost"), lambda m: f"Pacemaker sees that {m[1]} is lost"),
        (
            re.compile(r"Requesting peer fencing \((\w+)\) targeting (\S+)"),
            lambda m: f"Pacemaker wants {m[2]} fenced ({m[1]})",
        ),
        (
            re.compile(r"Delaying '\w+' action targeting (\S+) using (\S+) for (\S+)"),
            lambda m: f"{m[2]} waits {m[3]} before it fences {m[1]}, as configured",
        ),
        (
            re.compile(r"finalize_op\S*\s+\w+: Operation '(\w+)' targeting (\S+) by \S+ for \S+: (\w+)"),
            lambda m: f"fencing of {m[2]} ({m[1]}): {m[3]}",
        ),
        (
            re.compile(rf"executing - rsc:{name} action:(start|stop|migrate_to|migrate_from|promote|demote) "),
            lambda m: f"agent's {m[1]} begins",
        ),
        (
            re.compile(
                rf"\b{name} (start|stop|migrate_to|migrate_from|promote|demote) \(call \d+, PID \d+\) "
                r"exited with status (\d+) \(execution time (\w[\w.]*)"  # and "after being queued", where it was
            ),
            lambda m: f"agent's {m[1]} is done: exit code {m[2]}, {_spaced(m[3])}",
        ),
    )


def _spaced(interval: str) -> str:
    """Pacemaker's own way to write an interval (`416ms`, `4.106s`, `1m2s`), readable."""
    return re.sub(r"(?<=\d)(?=[a-z])", " ", interval, count=1)


def told_time(stamp: Match[str]) -> float:
    """The seconds that a log line's own time stands for, if it were UTC in 1972 (a leap year: it has every date)."""
    month, day, hour, minute, second, millisecond = stamp.groups()[:6]
    fields = (1972, MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second))
    return calendar.timegm((*fields, 0, 0, 0)) + int(millisecond) / 1000


def of_log(text: str, where: str, patterns: Patterns, read: float) -> List[Moment]:
    """The moments in a log of `where` that was read at `read` (wall time), its last line at most minutes old then.

    Pacemaker and Corosync write local time, without year and zone. Years and zones are multiples of 15 minutes apart,
    so the last line, which is known to be recent, tells what to add to all of them.
    Lines without milliseconds, such as the agent's own, and lines that match no pattern are left out.
    """
    stamps = [stamp for stamp in map(STAMP.match, text.splitlines()) if stamp is not None and stamp[1] in MONTHS]
    if not stamps:
        return []
    shift = round((read - told_time(stamps[-1])) / QUARTER) * QUARTER
    found: List[Moment] = []
    for stamp in stamps:
        for pattern, words in patterns:
            said = pattern.search(stamp[7])
            if said is not None:
                found.append(Moment(told_time(stamp) + shift, where, words(said)))
                break
    return found


def of_events(events: Iterable[Mapping[str, Any]]) -> List[Moment]:
    """The moments in a lab's events: power switches, faults, and the API calls that change something."""
    found: List[Moment] = []
    for event in events:
        kind, when = event.get("kind"), float(event.get("time", 0.0))
        if kind in ("power-off", "power-on"):
            why = f" ({event['why']})" if event.get("why") else ""
            word = "power is off" if kind == "power-off" else "power is on"
            found.append(Moment(when, str(event.get("instance")), word + why))
        elif kind in ("fault", "healed"):
            over = "" if kind == "fault" else ", healed"
            found.append(Moment(when, "lab", f"fault {event['number']}: {event['name']}{over}"))
        elif kind == "api" and event.get("action") in CALLS:
            found.append(Moment(when, "EC2", _call(event)))
    return found


def _call(event: Mapping[str, Any]) -> str:
    parameters: Mapping[str, str] = event.get("parameters") or {}
    about = parameters.get("RouteTableId") or parameters.get("InstanceId.1") or parameters.get("NetworkInterfaceId")
    about = about or parameters.get("AttachmentId")
    force = ", by force" if parameters.get("Force") == "true" else ""
    took = f" in {event['duration'] * 1000:.0f} ms" if event.get("duration") is not None else ""
    return f"{event['action']} {about or ''} by {event.get('caller')}{force}: {event.get('outcome')}{took}"


def of_answers(first_answers: Mapping[Tuple[str, str], float], node: str) -> List[Moment]:
    """When each consumer had its first answer from `node`, over whichever protocol came first."""
    earliest: Dict[str, Tuple[float, str]] = {}
    for (consumer, protocol), when in first_answers.items():
        earliest[consumer] = min(earliest.get(consumer, (when, protocol)), (when, protocol))
    return [
        Moment(when, consumer, f"first answer from {node} ({protocol.upper()})")
        for consumer, (when, protocol) in earliest.items()
    ]


def timeline(moments: Iterable[Moment], since: float, until: Optional[float] = None) -> List[Moment]:
    """The moments from `since` to `until`, in order; those of one instant in the order in which they were given."""
    return sorted(
        (moment for moment in moments if since <= moment.time and (until is None or moment.time <= until)),
        key=lambda moment: moment.time,
    )
