"""What was found to be wrong, as sentences with the figures behind them."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional, Tuple
from typing import Counter as Counts

from vpc_lab.judge.record import Asked


@dataclass(frozen=True)
class Violation:
    """One breach of one rule. All times are wall time in seconds since the epoch.

    `time` is when it happened; `sent`, `stamped` and `answered` are those of the question that shows it, if one does.
    """

    time: float
    rule: str
    sentence: str
    address: str = ""
    consumer: str = ""
    protocol: str = ""
    sent: Optional[float] = None
    stamped: Optional[float] = None
    answered: Optional[float] = None

    def to_json(self) -> Dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{clock(self.time)} {self.sentence}"


def shown_by(asked: Asked, rule: str, sentence: str) -> Violation:
    """A violation that this answer shows."""
    question = asked.question
    return Violation(
        asked.time,
        rule,
        sentence,
        asked.address,
        asked.consumer,
        question.protocol,
        question.sent,
        question.stamped,
        question.answered,
    )


def clock(moment: float) -> str:
    """A time of the day in UTC, to the millisecond."""
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%H:%M:%S.%f")[:-3]


class Violations:
    """Those found so far: each is counted, and of each rule the first `MOST` are kept in full."""

    MOST = 50

    def __init__(self) -> None:
        self._kept: List[Violation] = []
        self.counts: Counts[str] = Counter()

    def add(self, violation: Violation) -> None:
        """One more."""
        self.counts[violation.rule] += 1
        if self.counts[violation.rule] <= self.MOST:
            self._kept.append(violation)

    def __len__(self) -> int:
        return sum(self.counts.values())

    def in_order(self) -> Tuple[Violation, ...]:
        """Those that were kept, in order of time."""
        return tuple(sorted(self._kept, key=lambda violation: violation.time))
