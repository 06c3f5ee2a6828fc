"""What the outcomes of questions come to: silences, and phases in which one and the same answered. Pure.

Of one address over one protocol, with every time taken where the questions were asked:

- A *silence* lasts from the last answer before to the first after, and at least one question was lost in it. It
  contains the wait for the next slot of the schedule: an upper bound of the interruption, never less than it.
- A *phase* is a row of answers by the same, with no silence in it.
- *Not asked* are slots of the schedule that were left out: the machine that asks was busy. They are no losses. A kept
  connection that waits for an answer asks nothing meanwhile, so that its slots tell nothing.

Outcomes come in the order in which they become known; a history keeps them until no earlier one can come.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple

from aws_ipfailover.watch.question import Protocol, Question


@dataclass
class Phase:
    """Answers of `who`, `None` where they do not say; `begins`, `ends`: of the first and the last (wall time)."""

    who: Optional[str]
    begins: float
    ends: float
    answers: int = 1


@dataclass
class Silence:
    """A silence in wall time. `before` and `after`: who answered, as a phase has it.

    `never_before`: nothing had ever answered when it began, which is then when the first question was asked.
    `ended`: an answer came; else it ends with the last question.
    """

    begins: float
    ends: float
    lost: int = 0
    errors: Dict[str, int] = field(default_factory=dict)
    before: Optional[str] = None
    after: Optional[str] = None
    never_before: bool = False
    ended: bool = False

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return max(0.0, self.ends - self.begins)


class History:
    """The questions of one address over one protocol. `timeout`: seconds after which a question counts as lost."""

    def __init__(self, protocol: Protocol, timeout: float) -> None:
        self.protocol = protocol
        self.asked = 0
        self.answered = 0
        self.not_asked = 0
        self.connections = 0
        self.errors: Dict[str, int] = {}
        self.phases: List[Phase] = []
        self.silences: List[Silence] = []
        # Seconds from question to answer.
        self.fastest: Optional[float] = None
        self.slowest: Optional[float] = None
        self.begins: Optional[float] = None
        self.ends: Optional[float] = None
        self._total = 0.0
        self._late = timeout + 2.0
        self._waiting: List[Tuple[int, int, Question]] = []
        self._newest = 0.0
        self._next = 0
        self._open: Optional[Silence] = None

    @property
    def lost(self) -> int:
        """Questions without an answer."""
        return self.asked - self.answered

    @property
    def known(self) -> int:
        """Questions whose outcome is known, also those that are not counted yet."""
        return self.asked + len(self._waiting)

    @property
    def longest(self) -> Optional[Silence]:
        """The longest silence; `None` if nothing was lost."""
        return max(self.silences, key=lambda silence: silence.seconds, default=None)

    @property
    def mean(self) -> Optional[float]:
        """Seconds from question to answer, on average."""
        return self._total / self.answered if self.answered else None

    @property
    def who(self) -> Dict[str, int]:
        """Who answered, and how often, in the order of their first answers; without answers that do not say."""
        found: Dict[str, int] = {}
        for phase in self.phases:
            if phase.who is not None:
                found[phase.who] = found.get(phase.who, 0) + phase.answers
        return found

    def add(self, question: Question) -> None:
        """One more outcome, of this protocol."""
        heapq.heappush(self._waiting, (question.sequence, self.asked + len(self._waiting), question))
        self._newest = max(self._newest, question.sent)
        while self._waiting and self._waiting[0][2].sent < self._newest - self._late:
            self._take(heapq.heappop(self._waiting)[2])

    def finish(self) -> None:
        """No more outcomes come."""
        while self._waiting:
            self._take(heapq.heappop(self._waiting)[2])

    def _take(self, question: Question) -> None:
        """The next question in the order of their slots."""
        self.asked += 1
        if self.protocol != "stream":
            self.not_asked += max(0, question.sequence - self._next)
        self._next = question.sequence + 1
        if question.connection is not None:
            self.connections = max(self.connections, question.connection + 1)
        self.begins = question.sent if self.begins is None else self.begins
        self.ends = max(question.sent, question.answered or 0.0, self.ends or 0.0)
        if question.answered is None:
            self._lose(question)
        else:
            self._answer(question, question.answered)

    def _lose(self, question: Question) -> None:
        error = question.error or "error"
        self.errors[error] = self.errors.get(error, 0) + 1
        if self._open is None:
            last = self.phases[-1] if self.phases else None
            begins = last.ends if last is not None else question.sent
            who = last.who if last is not None else None
            self._open = Silence(begins, question.sent, before=who, never_before=last is None)
            self.silences.append(self._open)
        self._open.lost += 1
        self._open.errors[error] = self._open.errors.get(error, 0) + 1
        self._open.ends = max(self._open.ends, question.sent)

    def _answer(self, question: Question, at: float) -> None:
        self.answered += 1
        took = max(0.0, at - question.sent)
        self._total += took
        self.fastest = took if self.fastest is None else min(self.fastest, took)
        self.slowest = took if self.slowest is None else max(self.slowest, took)
        silent, self._open = self._open, None
        if silent is not None:
            silent.ends, silent.after, silent.ended = max(silent.begins, at), question.node, True
        last = self.phases[-1] if self.phases else None
        if last is not None and silent is None and last.who == question.node:
            last.ends = max(last.ends, at)
            last.answers += 1
        else:
            self.phases.append(Phase(question.node, at, at))
