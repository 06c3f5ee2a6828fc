"""What came of a drill: its verdict, and the document that `aws-ipfailover drill --json` prints. Pure."""

from __future__ import annotations

import enum
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from aws_ipfailover.drill.conduct import Conducted, Plan
from aws_ipfailover.drill.doctor import Finding
from aws_ipfailover.drill.judgement import Seen


class Verdict(enum.Enum):
    """How a drill ended."""

    IN_ORDER = "in order"
    WRONG = "wrong"
    UNKNOWN = "could not find out"


class Report(NamedTuple):
    """A drill. `failures`: why consumers could not ask to the end, by their names."""

    plan: Plan
    address: str
    doctor: Sequence[Finding]
    conducted: Conducted
    seen: Sequence[Seen]
    failures: Mapping[str, str]
    allowed: Optional[float]
    interrupted: bool

    @property
    def problems(self) -> List[str]:
        """Everything that is wrong, as sentences."""
        found = [*self.conducted.problems, *(text for one in self.seen for text in one.problems(self.allowed))]
        if self.conducted.as_before is False:
            found.append("not everything is as before")
        return found

    @property
    def unknown(self) -> List[str]:
        """What could not be found out, and has to be known; as sentences."""
        found = list(self.failures.values())
        if self.conducted.as_before is None:
            found.append("whether everything is as before is not known")
        if self.interrupted:
            found.append("interrupted: not all steps came to their end")
        return found

    @property
    def verdict(self) -> Verdict:
        """What is wrong counts more than what is not known."""
        if self.problems:
            return Verdict.WRONG
        return Verdict.UNKNOWN if self.unknown else Verdict.IN_ORDER

    @property
    def not_told_apart(self) -> bool:
        """Whether some answers do not tell which node has given them."""
        return any(one.wrong is None for one in self.seen)


def document(report: Report) -> Dict[str, Any]:
    """The report as plain values; times in seconds."""
    plan, conducted = report.plan, report.conducted
    return {
        "resource": plan.resource_id,
        "moved": plan.what.resource_id,
        "address": report.address,
        "origin": plan.origin,
        "target": plan.target,
        "verdict": report.verdict.value,
        "interrupted": report.interrupted,
        "allowed": report.allowed,
        "problems": report.problems,
        "unknown": report.unknown,
        "doctor": [{"outcome": one.outcome, "text": one.text, "remedy": one.remedy} for one in report.doctor],
        "steps": [
            {
                "name": step.name,
                "old": step.old,
                "new": step.new,
                "triggered": round(step.triggered, 3),
                "settled": round(step.settled, 3),
                "ended": round(step.ended, 3),
                "consumers": [_seen(one) for one in report.seen if one.step == step],
            }
            for step in conducted.steps
        ],
        "restored": list(conducted.restored),
        "as_before": conducted.as_before,
    }


def _seen(one: Seen) -> Dict[str, Any]:
    return {
        "consumer": one.consumer,
        "over": one.over,
        "asked": one.asked,
        "lost": one.lost,
        "longest_silence": None if one.silence is None else round(one.silence.seconds, 6),
        "before": list(one.before),
        "after": list(one.after),
        "answered_after": one.answered_after,
        "wrong_answers": one.wrong,
    }
