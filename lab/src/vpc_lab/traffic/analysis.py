"""From consumers' questions to the figures of one failover. Pure: no clock, no file, no process.

The words, exactly. A failover is a `Switch`: at `triggered` somebody ended the service of node `old`, and `new` was
to take over. Of one consumer and one protocol, with every time taken on the consumer's side:

- *first from the new*: the earliest answer of `new` received at or after `triggered`.
- *last from the old*: the latest answer of `old` received no later than the first from the new (or at all, when
  there is none).
- *gap*: from the last of the old to the first of the new. It contains the wait for the next slot of the schedule, so
  an interruption of nothing shows as about one interval: the gap is an upper bound of the interruption, never
  less than it.
- *answers from a wrong node*: those of a node that is neither `old` nor `new`; those of `old` to a question that was
  sent after the first from the new had been received (so traffic that flaps counts each time it comes back); those
  of `new` received before `triggered`. An answer of `old` to a question that was under way when `new` first
  answered is none: one question may overtake another.
- *lost*: questions without an answer; some are, whenever there is a gap.
- *lost for good*: no answer of `new` at all, or none of `new` to any question of the final second.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from vpc_lab.traffic.question import SINGLE, Protocol, Question

FINAL_SECONDS = 1.0


@dataclass(frozen=True)
class Switch:
    """A failover that was asked for or provoked. `triggered`: wall time in seconds since the epoch."""

    old: str
    new: str
    triggered: float


@dataclass(frozen=True)
class Row:
    """One consumer's view of one failover over one protocol. Times are wall time in seconds since the epoch.

    `errors` counts the lost questions by kind of failure; `strangers` are the nodes, other than the two, that answered.
    """

    consumer: str
    protocol: str
    asked: int
    answered: int
    lost: int
    last_old: Optional[float]
    first_new: Optional[float]
    gap_ms: Optional[float]
    wrong: int
    strangers: Tuple[str, ...]
    lost_for_good: bool
    errors: Dict[str, int]

    def problems(self) -> Tuple[str, ...]:
        """Each reason to call this failover a failure, as a sentence; empty when all is well."""
        who = f"{self.consumer} over {self.protocol.upper()}"
        found: List[str] = []
        if not self.asked:
            return (f"{who}: not one question was asked.",)
        if self.last_old is None:
            found.append(f"{who}: the old node never answered, so there is no gap to measure.")
        if self.first_new is None:
            found.append(f"{who}: the new node never answered.")
        elif self.lost_for_good:
            found.append(f"{who}: the new node answered at first, and no more in the final second.")
        if self.wrong:
            by = f", {', '.join(self.strangers)} among them" if self.strangers else ""
            found.append(f"{who}: {self.wrong} answers came from a wrong node{by}.")
        return tuple(found)

    def to_json(self) -> Dict[str, object]:
        """The row as plain values."""
        return asdict(self)


def row(consumer: str, protocol: Protocol, questions: Iterable[Question], switch: Switch) -> Row:
    """The figures of one consumer and one protocol; questions of other protocols are ignored."""
    history = [question for question in questions if question.protocol == protocol]
    first_new = earliest(q for q in history if q.node == switch.new and (q.answered or 0) >= switch.triggered)
    last_old = latest(
        q for q in history if q.node == switch.old and (first_new is None or (q.answered or 0) <= first_new)
    )
    answered = sum(q.node is not None for q in history)
    return Row(
        consumer=consumer,
        protocol=protocol,
        asked=len(history),
        answered=answered,
        lost=len(history) - answered,
        last_old=last_old,
        first_new=first_new,
        gap_ms=None if first_new is None or last_old is None else (first_new - last_old) * 1000,
        wrong=sum(is_wrong(q, switch, first_new) for q in history),
        strangers=tuple(sorted({q.node for q in history if q.node and q.node not in (switch.old, switch.new)})),
        lost_for_good=is_lost_for_good(history, switch),
        errors=dict(Counter(q.error for q in history if q.error is not None)),
    )


def rows(
    histories: Mapping[str, Sequence[Question]], switch: Switch, protocols: Sequence[Protocol] = SINGLE
) -> List[Row]:
    """A row for each consumer and protocol, also for one whose history is empty: that consumer asked nothing."""
    return [
        row(consumer, protocol, history, switch) for consumer, history in histories.items() for protocol in protocols
    ]


def is_wrong(question: Question, switch: Switch, first_new: Optional[float]) -> bool:
    """Whether an answer came from a node that had no business to give it (see the module's words)."""
    if question.node is None or question.answered is None:
        return False
    if question.node == switch.old:
        return first_new is not None and question.sent > first_new
    if question.node == switch.new:
        return question.answered < switch.triggered
    return True


def is_lost_for_good(history: Sequence[Question], switch: Switch) -> bool:
    """Whether the new node answered nothing that was asked in the final second of `history`."""
    if not history:
        return True
    final = max(question.sent for question in history) - FINAL_SECONDS
    return not any(
        question.node == switch.new and question.sent >= final and (question.answered or 0) >= switch.triggered
        for question in history
    )


def overlap_ms(histories: Mapping[str, Sequence[Question]], switch: Switch) -> float:
    """For how long both nodes were seen to answer, over all consumers and protocols; 0 when they never were.

    From the first answer of `new` anywhere to the sending of the last question that `old` still answered. Routes change
    table by table, so two consumers may rightly see different nodes at one moment if the address moves
    make-before-break; in a move that stops before it starts, anything above 0 means that two nodes held it at once.
    """
    questions = [question for history in histories.values() for question in history]
    first_new = earliest(q for q in questions if q.node == switch.new and (q.answered or 0) >= switch.triggered)
    last_asked_old = max((q.sent for q in questions if q.node == switch.old), default=None)
    if first_new is None or last_asked_old is None:
        return 0.0
    return max(0.0, last_asked_old - first_new) * 1000


def earliest(questions: Iterable[Question]) -> Optional[float]:
    """When the first of these answers was received."""
    return min((q.answered for q in questions if q.answered is not None), default=None)


def latest(questions: Iterable[Question]) -> Optional[float]:
    """When the last of these answers was received."""
    return max((q.answered for q in questions if q.answered is not None), default=None)
