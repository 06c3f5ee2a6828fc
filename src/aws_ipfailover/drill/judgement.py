"""What every consumer saw of each step of a drill, and whether that is in order. Pure.

Who answers is told by what answers say: nodes that say their names, or servers whose banners differ. Where the answers
before and after a move are the same, it is not known whether a wrong node has answered; that is neither a yes nor a no.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Collection, List, Optional, Sequence, Tuple

from aws_ipfailover.watch.history import History, Silence
from aws_ipfailover.watch.question import Protocol, Question


@dataclass(frozen=True)
class Step:
    """Something that was done to the cluster; times are wall time here.

    `triggered`: when it was ordered; `settled`: when Pacemaker had nothing more to do; `ended`: when its time under
    watch was over. `begins`: when the step before had settled, from which on
    the old node answered.
    """

    name: str
    old: str
    new: str
    begins: float
    triggered: float
    settled: float
    ended: float


@dataclass(frozen=True)
class Series:
    """What one consumer asked over one protocol. `ahead`: seconds that its clock is ahead of the clock here."""

    consumer: str
    over: str
    protocol: Protocol
    timeout: float
    questions: Sequence[Question]
    ahead: float = 0.0

    def between(self, begins: float, ends: float) -> List[Question]:
        """The questions that were sent then, by the clock here."""
        return [one for one in self.questions if begins <= one.sent - self.ahead < ends]


@dataclass(frozen=True)
class Seen:
    """What a series shows of a step.

    `silence`: the longest that had not ended when the step began, or began in it; `None` if nothing was lost.
    `before`, `after`: who answered before it, and once it had settled. `wrong`: answers by a node that had not to
    answer any more; `None` where answers do not tell the nodes apart.
    """

    step: Step
    consumer: str
    over: str
    asked: int
    lost: int
    silence: Optional[Silence]
    before: Tuple[str, ...]
    after: Tuple[str, ...]
    answered_after: bool
    wrong: Optional[int]

    def problems(self, allowed: Optional[float]) -> List[str]:
        """Each reason to call this not in order. `allowed`: seconds that a silence may last."""
        who = f"{self.step.name}: {self.consumer} over {self.over}"
        found: List[str] = []
        if not self.asked:
            return [f"{who} asked nothing"]
        if not self.answered_after:
            found.append(f"{who} was not answered any more")
        if self.wrong:
            found.append(f"{who}: {self.wrong} answers came from a wrong node")
        if allowed is not None and self.silence is not None and self.silence.seconds > allowed:
            found.append(f"{who} had no answer for {self.silence.seconds:.2f} s, and {allowed:g} s are allowed")
        return found


def seen(series: Series, step: Step, nodes: Collection[str]) -> Seen:
    """What this series shows of this step; `nodes`: the names of the cluster's nodes."""
    before = series.between(step.begins, step.triggered)
    during = series.between(step.triggered, step.ended)
    after = [one for one in during if one.sent - series.ahead >= step.settled]
    names_before, names_after = _names(before), _names(after)
    history = History(series.protocol, series.timeout)
    for question in (*before, *during):
        history.add(question)
    history.finish()
    silences = [one for one in history.silences if one.ends - series.ahead >= step.triggered]
    return Seen(
        step,
        series.consumer,
        series.over,
        len(during),
        sum(one.answered is None for one in during),
        max(silences, key=lambda one: one.seconds, default=None),
        names_before,
        names_after,
        any(one.answered is not None for one in after),
        _wrong(during, step, names_before, names_after, nodes),
    )


def _names(questions: Sequence[Question]) -> Tuple[str, ...]:
    return tuple(dict.fromkeys(one.node for one in questions if one.node is not None))


def _wrong(
    during: Sequence[Question],
    step: Step,
    before: Sequence[str],
    after: Sequence[str],
    nodes: Collection[str],
) -> Optional[int]:
    if after and set(after) <= set(nodes):
        right = {step.new}
    elif len(before) == 1 and set(after) - set(before):
        right = set(after) - set(before)
    else:
        return None
    answers = [one for one in during if one.answered is not None and one.node is not None]
    first = min((one.answered for one in answers if one.node in right and one.answered is not None), default=None)
    if first is None:
        return len(answers)
    # One question may overtake another: only what was asked after the new node had answered has to be its own.
    return sum(one.node not in right and one.sent > first for one in answers)
