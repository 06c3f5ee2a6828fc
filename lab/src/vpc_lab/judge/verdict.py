"""The verdict on a run: a pure function of its record and of what was expected.

    verdict = run(Record(directory), expectations)

A `Judge` comes to the same verdict while the run goes on, fed in order of time; its memory does not grow with the run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, Tuple

from vpc_lab.judge.availability import Availability, Silence
from vpc_lab.judge.disturbances import Disturbances
from vpc_lab.judge.expectations import Expectations
from vpc_lab.judge.record import Asked, Event, Header, Item, Operation, Record
from vpc_lab.judge.results import Results
from vpc_lab.judge.tenure import Tenure
from vpc_lab.judge.violations import Violation, Violations


@dataclass(frozen=True)
class Verdict:
    """What was wrong, in order of time, and what was seen.

    `violations` has the first of each rule; `broken` counts all of them by rule. `audit` are the sentences of an audit
    after the run, `silences` the longest ones. `counts`: questions by protocol and outcome; `moves`: how often an
    address changed its holder; `in_force`: faults that were not healed when the run ended. Of a run without a record
    there is the audit alone.
    """

    violations: Tuple[Violation, ...] = ()
    broken: Mapping[str, int] = field(default_factory=dict)
    audit: Tuple[str, ...] = ()
    silences: Tuple[Silence, ...] = ()
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    seconds: float = 0.0
    faults: int = 0
    moves: int = 0
    in_force: Tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing at all was wrong."""
        return not self.broken and not self.audit

    def sentences(self) -> List[str]:
        """Everything that was wrong, and how much more there was of it."""
        more = [
            f"{rule}: {count} in all"
            for rule, count in self.broken.items()
            if count > sum(violation.rule == rule for violation in self.violations)
        ]
        return [*map(str, self.violations), *more, *self.audit]

    def to_json(self) -> Dict[str, Any]:
        """Plain values."""
        return {
            "passed": self.passed,
            "violations": [violation.to_json() for violation in self.violations],
            "broken": dict(self.broken),
            "audit": list(self.audit),
            "silences": [silence.to_json() for silence in self.silences],
            "counts": {protocol: dict(count) for protocol, count in self.counts.items()},
            "seconds": self.seconds,
            "faults": self.faults,
            "moves": self.moves,
            "in_force": list(self.in_force),
        }


class Judge:
    """Comes to a verdict item by item."""

    def __init__(self, header: Header, expectations: Expectations) -> None:
        self._header = header
        self._found = Violations()
        self._disturbances = Disturbances(header, expectations.allowances)
        self._tenure = Tenure(header, self._found, grace=expectations.grace, after_stop=expectations.after_stop)
        self._availability = Availability(header, expectations, self._disturbances, self._found)
        self._results = Results(header, expectations, self._disturbances, self._found)
        for consumer, asked in header.asked.items():
            for address in asked.values():
                for protocol in header.protocols:
                    self._availability.line(consumer, address, protocol)
        self._now = header.begun

    @property
    def violations(self) -> Tuple[Violation, ...]:
        """What has been found so far, in order of time; of each rule the first ones."""
        return self._found.in_order()

    @property
    def found(self) -> int:
        """How much has been found so far."""
        return len(self._found)

    def feed(self, *items: Item) -> None:
        """What comes next in the order of time."""
        for item in items:
            if item.time > self._now:
                self._now = item.time
                self._availability.advance(item.time)
            self._tenure.feed(item)
            if isinstance(item, Asked):
                self._availability.asked(item)
            elif isinstance(item, Operation):
                self._availability.operation(item)
            elif isinstance(item, Event):
                self._disturbances.feed(item)
            self._results.feed(item)

    def finish(self, audit: Iterable[str] = ()) -> Verdict:
        """The run is over. `audit`: what was found to be wrong with the lab afterwards."""
        self._availability.finish(self._now)
        self._results.finish()
        return Verdict(
            self._found.in_order(),
            dict(self._found.counts),
            tuple(audit),
            self._availability.longest(),
            self._availability.counts(),
            self._now - self._header.begun,
            self._disturbances.faults,
            self._tenure.moves,
            self._disturbances.in_force(),
        )


def run(record: Record, expectations: Expectations, audit: Iterable[str] = ()) -> Verdict:
    """The verdict on a record."""
    judge = Judge(record.header, expectations)
    for item in record.items():
        judge.feed(item)
    return judge.finish(audit)
