"""What the page of a run is about, as plain values: of the record all but the questions, and the verdict. Pure.

The format is that of `aws_ipfailover.report.document`, whose program makes the page. Neither package imports the other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Collection, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from vpc_lab.errors import LabError
from vpc_lab.faults import Fault
from vpc_lab.judge.disturbances import change_of
from vpc_lab.judge.record import TIMED_OUT, Event, Header, Operation
from vpc_lab.judge.verdict import Verdict

SCHEMA = "aws-ipfailover/report/1"
FAULTS, MOVES, CLUSTER, FENCING = "faults", "moves", "cluster", "fencing"
Values = Dict[str, Any]
# Seconds in which several nodes tell of one and the same thing.
_SAME = 5.0
_LOOKS = frozenset(("monitor", "probe"))
# What a look may find: it runs (OCF_SUCCESS, OCF_RUNNING_PROMOTED, both degraded), or it does not (OCF_NOT_RUNNING).
_FOUND = {0: "runs", 8: "runs, promoted", 190: "runs, degraded", 191: "runs, promoted, degraded", 7: "does not run"}
_DEGRADED = (190, 191)
# Parameters of calls that a page shows: ids, addresses and what is asked for. No call has a secret in one of these.
_SHOWN = (
    *("RouteTableId", "DestinationCidrBlock", "DestinationIpv6CidrBlock", "NetworkInterfaceId", "InstanceId"),
    *("InstanceId.1", "AttachmentId", "AllocationId", "AssociationId", "PublicIp", "PrivateIpAddress"),
    *("PrivateIpAddress.1", "Ipv6Addresses.1", "DeviceIndex", "RoleArn", "SourceDestCheck.Value", "Force"),
)
_TOLD_BY_NODES = frozenset(("fencing", "fencing-wanted", "membership", "quorum"))
_READS = ("Describe", "Get", "Assume", "List")
_SERVICES = {"ec2": "EC2", "sts": "STS", "imds": "instance metadata"}


@dataclass(frozen=True)
class About:
    """What a page says beside record and verdict.

    `summary`: what the run was to show. `outcome`: "passed", "failed" or "unknown", where it is not the verdict's own.
    `notes`: sentences below headings. `figures`: names and values, such as of a soak.
    """

    title: str
    summary: str = ""
    outcome: Optional[str] = None
    notes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    figures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recorded:
    """A record, but for its questions; `questions`: the file of each consumer's."""

    header: Header
    events: Sequence[Event]
    operations: Sequence[Operation]
    questions: Mapping[str, Path] = field(default_factory=dict)


def document(about: About, verdict: Verdict, recorded: Optional[Recorded]) -> Values:
    """The document. `recorded`: None of a run that came to an end before there was a record."""
    found: Values = {
        "schema": SCHEMA,
        "title": about.title,
        "summary": about.summary,
        "verdict": about.outcome or ("passed" if verdict.passed else "failed"),
        "problems": problems(verdict),
        "figures": {**about.figures},
        "notes": [{"heading": heading, "sentences": list(told)} for heading, told in about.notes.items() if told],
        "begins": 0.0,
        "ends": 0.0,
    }
    return found if recorded is None else {**found, **_of(recorded, verdict, found["figures"])}


def problems(verdict: Verdict) -> List[Values]:
    """Everything that was wrong, with where it is to be seen in the picture."""
    found: List[Values] = [
        {
            "text": str(one),
            "at": one.time,
            "consumer": one.consumer,
            "protocol": one.protocol,
            "address": one.address,
        }
        for one in verdict.violations
    ]
    # `sentences` has those first, then what has neither time nor place.
    return found + [{"text": text} for text in verdict.sentences()[len(found) :]]


def _of(recorded: Recorded, verdict: Verdict, figures: Mapping[str, str]) -> Values:
    header = recorded.header
    events = [one for one in recorded.events if one.time >= header.begun]
    times = [*(one.time for one in events), *(one.time for one in recorded.operations)]
    ends = max([header.begun + verdict.seconds, *times])
    spans = [
        *faults(recorded.events, header.begun),
        *operations(recorded.operations, events, header.begun, header.resources),
    ]
    marks = [*happened(events), *looks(recorded.operations, header.begun)]
    counted = {"faults": str(verdict.faults), "moves of the address": str(verdict.moves)}
    if verdict.in_force:
        counted["still in force"] = ", ".join(verdict.in_force)
    return {
        "begins": header.begun,
        "ends": ends,
        "timeout": header.timeout,
        "interval": header.interval,
        "consumers": [
            {"name": name, "questions": str(recorded.questions.get(name, "")), "asked": dict(header.asked[name])}
            for name in header.consumers
        ],
        "guided": FAULTS,
        "rows": rows(header, spans, marks),
        "spans": spans,
        "marks": marks,
        "judged": [
            {
                "consumer": one.consumer,
                "protocol": one.protocol,
                "address": one.address,
                "begins": one.begins,
                "ends": one.ends,
                "unexplained": one.unexplained,
            }
            for one in verdict.silences
        ],
        "figures": {**counted, **figures},
        "settings": settings(header),
        "versions": {name: str(version) for name, version in header.versions.items()},
    }


def rows(header: Header, spans: Iterable[Values], marks: Iterable[Values]) -> List[str]:
    """The rows, from top to bottom: what was done to the lab, fencing, nodes, what was called, and the rest."""
    order = [FAULTS, MOVES, CLUSTER, FENCING, *header.nodes, *_SERVICES.values()]
    there = dict.fromkeys(one["row"] for one in (*spans, *marks))
    return [*(one for one in order if one in there), *(one for one in there if one not in order)]


# -- what was done to the lab ---------------------------------------------------------------------------------------


def faults(events: Iterable[Event], begun: float) -> List[Values]:
    """A span for each fault that was in force at some time of the run."""
    found: Dict[str, Values] = {}
    for event in events:
        change = change_of(event)
        if change is None:
            continue
        if change.begins:
            name = _typed(change.name, change.parameters)
            found[change.key] = {"row": FAULTS, "begins": event.time, "ends": None, "name": name}
        elif change.key in found:
            found[change.key]["ends"] = event.time
    return [
        {**one, "begins": max(one["begins"], begun)}
        for one in found.values()
        if one["ends"] is None or one["ends"] > begun
    ]


def _typed(name: str, parameters: Mapping[str, Any]) -> str:
    """A fault as an administrator types it; in plain words where it is none of this release."""
    try:
        return str(Fault.from_json({"name": name, **parameters}))
    except (LabError, TypeError, ValueError):
        return " ".join([name, *(f"{key}={value}" for key, value in parameters.items() if value is not None)])


def happened(events: Iterable[Event]) -> List[Values]:
    """A mark for each event that is no fault: power, states of EC2, moves, the cluster, fencing, and every call."""
    found: List[Values] = []
    told_at: Dict[Tuple[str, str], float] = {}
    for event in events:
        about = event.about
        if event.kind == "api":
            found.append(_call(event))
        elif event.kind == "move":
            to = about.get("to")
            found.append(_mark(MOVES, event.time, f"asked for{f': to {to}' if to else ''}"))
        elif event.kind in _TOLD_BY_NODES:
            row, name, wrong = _told_by_nodes(event)
            if event.time - told_at.get((row, name), float("-inf")) > _SAME:
                found.append(_mark(row, event.time, name, wrong=wrong))
            told_at[row, name] = event.time
        elif event.kind not in ("fault", "healed"):
            found.append(_other(event))
    return found


def _told_by_nodes(event: Event) -> Tuple[str, str, bool]:
    """The row, what it says, and whether it is wrong: of something that every node tells of."""
    about = {name: str(value) for name, value in event.about.items()}
    node, target, action = about.get("node", ""), about.get("target", ""), about.get("action", "")
    if event.kind == "membership":
        return CLUSTER, f"{about.get('of')} is {about.get('state')} for {node}", False
    if event.kind == "quorum":
        return CLUSTER, f"{node}: quorum {about.get('state')}", False
    if event.kind == "fencing-wanted":
        return FENCING, f"{target} is to be fenced ({action})", False
    outcome = about.get("outcome", "")
    return FENCING, f"{target} by {about.get('by')} ({action}): {outcome}", outcome.lower() not in ("ok", "0")


def _other(event: Event) -> Values:
    about = {name: value for name, value in event.about.items() if name != "instance"}
    words = {"power-off": "power is off", "power-on": "power is on"}
    what = words.get(event.kind, event.kind.replace("-", " "))
    more = " ".join(str(value) for value in about.values() if value not in (None, ""))
    told = f"EC2: {more}" if event.kind == "instance-state" else f"{what} ({more})" if more else what
    return _mark(str(event.about.get("instance", "lab")), event.time, told, wrong=event.kind == "not-healed")


def _mark(row: str, at: float, name: str, *, wrong: bool = False, minor: bool = False) -> Values:
    return {"row": row, "at": at, "name": name, "wrong": wrong, "minor": minor}


def _call(event: Event) -> Values:
    about = event.about
    action, outcome = str(about.get("action", "")), str(about.get("outcome", ""))
    parameters = about.get("parameters") or {}
    shown = [str(parameters[name]) for name in _SHOWN if name in parameters and name != "Force"]
    if parameters.get("Force") == "true":
        shown.append("by force")
    took = about.get("duration")
    told = " ".join([action, *shown, f"by {about.get('caller')}: {outcome}"])
    if took is not None:
        told += f" in {took * 1000:.0f} ms"
    service = str(about.get("service", ""))
    rehearsed = outcome == "DryRunOperation"
    minor = rehearsed or (outcome == "ok" and (service == "imds" or action.startswith(_READS)))
    wrong = not rehearsed and outcome not in ("ok", "pending")
    return _mark(_SERVICES.get(service, service or "calls"), event.time, told, wrong=wrong, minor=minor)


# -- what Pacemaker let the agents do ---------------------------------------------------------------------------------


def operations(
    items: Iterable[Operation], events: Iterable[Event], begun: float, resources: Collection[str]
) -> List[Values]:
    """A span for each operation that is no look; it ends with its node's power, where that went first.

    One of what is none of `resources`, such as a fence device, that is not seen to end is left out: one that cannot be
    executed says so in other words.
    """
    power = [(one.time, str(one.about.get("instance"))) for one in events if one.kind == "power-off"]
    found: List[Values] = []
    # A node that was booted anew counts its calls from the beginning: it is the last one of that number that ends.
    under_way: Dict[Tuple[str, str, int], Values] = {}
    unfinished: List[Tuple[str, Values]] = []
    for item in items:
        if item.action in _LOOKS:
            continue
        key = (item.node, item.resource, item.call)
        name = f"{item.action} of {item.resource}"
        if item.exit_code is None:
            if key in under_way:
                unfinished.append((item.resource, under_way.pop(key)))
            under_way[key] = {"row": item.node, "begins": item.time, "ends": None, "name": name, "wrong": False}
            continue
        span = under_way.pop(key, {"row": item.node, "begins": item.time})
        told = "timed out" if item.exit_code == TIMED_OUT else f"exit code {item.exit_code}"
        found.append({**span, "ends": item.time, "name": f"{name}: {told}", "wrong": item.exit_code != 0})
    unfinished += [(resource, span) for (_, resource, _), span in under_way.items()]
    for resource, span in unfinished:
        if resource in resources:
            ends = next((when for when, node in power if node == span["row"] and when >= span["begins"]), None)
            how = ", ended with the power" if ends is not None else ", not seen to end"
            found.append({**span, "ends": ends, "name": span["name"] + how})
    found.sort(key=lambda one: one["begins"])
    return [{**one, "begins": max(one["begins"], begun)} for one in found if one["ends"] is None or one["ends"] > begun]


def looks(items: Iterable[Operation], begun: float) -> List[Values]:
    """A mark for each probe, and for each monitor with a new result."""
    found = []
    for item in items:
        if item.action in _LOOKS and item.exit_code is not None and item.time >= begun:
            told = "timed out" if item.exit_code == TIMED_OUT else _FOUND.get(item.exit_code, "fails")
            code = "" if item.exit_code == TIMED_OUT else f" ({item.exit_code})"
            wrong = item.exit_code not in _FOUND or (item.action == "monitor" and item.exit_code == 7)
            minor = not wrong and item.exit_code not in _DEGRADED
            name = f"{item.action} of {item.resource}: {told}{code}"
            found.append(_mark(item.node, item.time, name, wrong=wrong, minor=minor))
    return found


# -- the configuration -------------------------------------------------------------------------------------------------


# What a setting of the lab is about, where its name alone would be read as one of the configuration that was loaded.
_SETTINGS = {"fencing": "fencing before a configuration was loaded"}


def settings(header: Header) -> Dict[str, str]:
    """What was played, and who took part."""
    found = {_SETTINGS.get(name, name): _plain(value) for name, value in header.settings.items()}
    for name, held in header.resources.items():
        found[f"addresses of {name}"] = ", ".join(held)
    for name, instance in header.instance_ids.items():
        found[f"instance {name}"] = instance
    return found


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
        return ", ".join(value) or "none"
    return json.dumps(value)
