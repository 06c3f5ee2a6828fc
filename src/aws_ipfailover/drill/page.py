"""What the page of a drill is about, from its report and what every consumer saw. Pure."""

from __future__ import annotations

import platform
import re
import time
from typing import Dict, List, Mapping, Sequence, Tuple

from aws_ipfailover import __version__
from aws_ipfailover.drill.judgement import Series
from aws_ipfailover.drill.report import Report, Verdict
from aws_ipfailover.report.document import FAILED, PASSED, UNKNOWN, Consumer, Document, Mark, Note, Problem, Span
from aws_ipfailover.report.lanes import Lane, fill

STEPS, TOLD = "steps", "drill"
_VERDICTS = {Verdict.IN_ORDER: PASSED, Verdict.WRONG: FAILED, Verdict.UNKNOWN: UNKNOWN}
# What the drill said, and when.
Told = Sequence[Tuple[float, str]]


def name_of(resource_id: str, at: float) -> str:
    """The name of the page of a drill that began at that wall time: earlier ones are kept beside it."""
    resource = re.sub(r"[^A-Za-z0-9_-]", "_", resource_id)[:60]
    return f"drill-{resource}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(at))}.html"


def lanes_of(address: str, series: Sequence[Series]) -> List[Lane]:
    """A lane for each series."""
    return [
        fill(Lane(one.consumer, address, one.protocol, one.timeout, one.over), one.questions, one.timeout, one.ahead)
        for one in series
    ]


def document(
    report: Report, series: Sequence[Series], told: Told, settings: Mapping[str, str], interval: float
) -> Document:
    """The document of the page. `settings`: what was asked for, in words."""
    plan, conducted = report.plan, report.conducted
    times = [one.sent - each.ahead for each in series for one in each.questions]
    times += [at for at, _ in told]
    spans = [
        Span(STEPS, step.triggered, step.settled, f"{step.name}: {step.old} to {step.new}") for step in conducted.steps
    ]
    doctor = tuple(f"{one.outcome}: {one}" for one in report.doctor)
    notes = [
        Note("What could not be found out", tuple(report.unknown)),
        Note("Afterwards", tuple(conducted.restored)),
        Note("What the doctor found before", doctor),
    ]
    if report.not_told_apart:
        text = "The answers do not tell the nodes apart: whether a wrong node has answered is not known."
        notes.insert(0, Note("What the answers do not tell", (text,)))
    found: Dict[str, str] = {"resource": plan.resource_id, "address": report.address, **settings}
    return Document(
        title=f"drill of {plan.resource_id}",
        verdict=_VERDICTS[report.verdict],
        begins=min(times, default=0.0),
        ends=max(times, default=0.0),
        summary=f"A failover on purpose: {'; '.join(plan.sentences())}.",
        interval=interval,
        timeout=max((one.timeout for one in series), default=0.0),
        consumers=tuple(Consumer(name) for name in dict.fromkeys(one.consumer for one in series)),
        rows=(STEPS, TOLD),
        guided=STEPS,
        spans=tuple(spans),
        marks=tuple(Mark(TOLD, at, text) for at, text in told),
        problems=tuple(Problem(text) for text in report.problems),
        notes=tuple(one for one in notes if one.sentences),
        settings=found,
        versions={"aws-ipfailover": __version__, "Python": platform.python_version()},
    )
