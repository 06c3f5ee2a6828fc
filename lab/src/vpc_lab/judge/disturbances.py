"""What was done to the lab while it ran, and which silences that explains. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Dict, FrozenSet, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from vpc_lab.judge.expectations import Allowance
from vpc_lab.judge.record import Event, Header

# How long one that is over is remembered: no silence lasts that long without being one of a fault in force.
REMEMBERED = 900.0
# Parameters of faults that say where one happens; others say what it leads to, such as the target of a route.
_PLACES = ("node", "one", "other", "caller")
# Faults of one node that others feel as well, because all have the same processors.
_FELT_BY_ALL = frozenset(("cpu-hogged",))


@dataclass(frozen=True)
class Change:
    """A fault is injected (`begins`) or healed. `key` is the same for both."""

    key: str
    name: str
    begins: bool
    parameters: Mapping[str, Any] = field(default_factory=dict)


def change_of(event: Event) -> Optional[Change]:
    """What an event of the lab says about a fault; None if it is about something else."""
    about = event.about
    if event.kind not in ("fault", "healed"):
        return None
    parameters = about.get("parameters") or {}
    return Change(str(about["number"]), str(about.get("name", "")), event.kind == "fault", parameters)


@dataclass
class _Span:
    """A time in which consumers may be without an answer: all of them, or those named.

    `to`: the node to which the service moves meanwhile, as far as somebody said so.
    """

    key: str
    begins: float
    ends: float
    consumers: Optional[FrozenSet[str]]
    to: Optional[str] = None


@dataclass
class _Force:
    """A fault's time in force. `nodes`: those that it happens to, empty if it can concern any."""

    change: Change
    begins: float
    nodes: FrozenSet[str]
    disturbs: bool
    ends: float = math.inf


class Disturbances:
    """Faults in force, moves under way, and the time that either explains."""

    def __init__(self, header: Header, allowances: Sequence[Allowance]) -> None:
        self._consumers = frozenset(header.consumers)
        self._nodes = frozenset(header.nodes)
        self._allowances = tuple(allowances)
        self._in_force: Dict[str, _Force] = {}
        self._past: List[_Force] = []
        self._spans: List[_Span] = []
        self._last = header.begun
        self.faults = 0

    def feed(self, event: Event) -> None:
        """Take what comes next.

        A `move` is one that the scenario asked for. It is over `within` seconds later, or with the end of the start on
        the node that it names as `to` (see `started`). With `whole` the cluster has recovered from all that is over:
        nothing of that explains a later silence.
        """
        if event.kind == "whole":
            for span in self._spans:
                if not math.isinf(span.ends):
                    span.ends = min(span.ends, event.time)
            self._last = min(self._last, event.time)
        if event.kind == "move":
            within = float(event.about.get("within", 0.0))
            to = event.about.get("to")
            self._spans.append(_Span("move", event.time, event.time + within, None, None if to is None else str(to)))
            self._last = max(self._last, event.time + within)
        change = change_of(event)
        if change is not None and change.begins:
            self._begin(change, event.time)
        elif change is not None and change.key in self._in_force:
            self._end(self._in_force.pop(change.key), event.time)
        self._spans = [span for span in self._spans if span.ends > event.time - REMEMBERED]
        self._past = [force for force in self._past if force.ends > event.time - REMEMBERED]

    def started(self, node: str, begun: float, ended: float) -> None:
        """A start has ended well there, and nothing went wrong meanwhile: what led there is over."""
        for span in self._spans:
            if span.to == node and span.begins <= begun:
                span.ends = min(span.ends, ended)

    def _begin(self, change: Change, when: float) -> None:
        self.faults += 1
        allowances = tuple(self._of(change.name))
        self._in_force[change.key] = _Force(change, when, self._nodes_of(change), bool(allowances))
        self._last = max(self._last, when)
        for allowance in allowances:
            ends = math.inf if allowance.throughout else when + allowance.seconds
            self._spans.append(_Span(change.key, when, ends, self._named_by(change)))

    def _end(self, force: _Force, when: float) -> None:
        change, force.ends = force.change, when
        self._past.append(force)
        self._last = max(self._last, when)
        for span in self._spans:
            if span.key == change.key and math.isinf(span.ends):
                span.ends = when
        for allowance in self._of(change.name):
            seconds = allowance.seconds if allowance.healed is None else allowance.healed
            self._spans.append(_Span(change.key, when, when + seconds, self._named_by(change)))

    def _of(self, name: str) -> Iterator[Allowance]:
        return (allowance for allowance in self._allowances if fnmatchcase(name, allowance.fault))

    def _named_by(self, change: Change) -> Optional[FrozenSet[str]]:
        """The consumers that the fault's parameters name; None if they name none."""
        return frozenset(_texts(change.parameters.values())) & self._consumers or None

    def _nodes_of(self, change: Change) -> FrozenSet[str]:
        """The nodes that it happens to; empty if it can concern any."""
        places = frozenset(_texts(change.parameters.get(name) for name in _PLACES))
        return frozenset() if change.name in _FELT_BY_ALL else places & self._nodes

    def of(self, node: str, begins: float, ends: float, *, disturbing: bool = False) -> Tuple[str, ...]:
        """The names of the faults in force meanwhile that can concern a node: all but those that happen to others.

        `disturbing`: only those that explain a silence.
        """
        return tuple(
            force.change.name
            for force in self._during(begins, ends)
            if not force.nodes or node in force.nodes
            if force.disturbs or not disturbing
        )

    def between(self, begins: float, ends: float) -> Tuple[str, ...]:
        """The names of all faults in force meanwhile, whomever they happen to."""
        return tuple(force.change.name for force in self._during(begins, ends))

    def _during(self, begins: float, ends: float) -> Iterator[_Force]:
        return (one for one in (*self._past, *self._in_force.values()) if one.begins < ends and one.ends > begins)

    def in_force(self) -> Tuple[str, ...]:
        """The names of the faults that nobody has healed yet."""
        return tuple(force.change.name for force in self._in_force.values())

    def quiet_since(self) -> Optional[float]:
        """Since when nothing has been done to the lab; None while a fault is in force."""
        return None if self._in_force else self._last

    def explained(self, consumer: str, begins: float, ends: float) -> float:
        """How many seconds of that time a fault or a move explains to `consumer`."""
        spans = sorted(
            (max(begins, span.begins), min(ends, span.ends))
            for span in self._spans
            if span.begins < ends and span.ends > begins and (span.consumers is None or consumer in span.consumers)
        )
        total, reached = 0.0, begins
        for start, end in spans:
            total += max(0.0, end - max(start, reached))
            reached = max(reached, end)
        return total


def _texts(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _texts(value)
