"""What changes while a watch goes on, as sentences: an address falls silent, answers again, is answered by another."""

from __future__ import annotations

import time
from typing import Optional

from aws_ipfailover.watch.question import Question


class Changes:
    """Of one series of questions, which are told in the order in which their outcomes become known.

    `who`: who answered last. `silent_since`: the last answer before the questions that are lost now (wall time).
    `asked`, `lost`: how many outcomes were told, and how many of them were losses.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.who: Optional[str] = None
        self.silent_since: Optional[float] = None
        self.last: Optional[Question] = None
        self.asked = 0
        self.lost = 0
        self._begun: Optional[float] = None
        self._answered: Optional[float] = None

    def tell(self, question: Question) -> Optional[str]:
        """The sentence that this outcome is worth; `None` for one like those before."""
        self._begun = question.sent if self._begun is None else self._begun
        self.asked += 1
        self.lost += question.answered is None
        if question.answered is None:
            return self._lost(question)
        return self._answer(question, question.answered)

    def _lost(self, question: Question) -> Optional[str]:
        # A question that was lost on the way while later ones were answered is no silence yet.
        overtaken = self.last is not None and self.last.answered is not None and self.last.sent > question.sent
        if overtaken:
            return None
        self.last = question
        if self.silent_since is not None:
            return None
        self.silent_since = self._answered if self._answered is not None else self._begun
        return f"{clock(question.sent)} {self.name}: no answer ({question.error})"

    def _answer(self, question: Question, at: float) -> Optional[str]:
        first, before, since = self._answered is None, self.who, self.silent_since
        self.last, self.silent_since = question, None
        self._answered = at
        # Who says nothing this time need not be somebody else.
        self.who = question.node or before
        told = f" by {self.who}" if self.who else ""
        if first:
            return f"{clock(at)} {self.name}: answered{told}"
        if since is not None:
            was = f" (before: {before})" if before and before != self.who else ""
            return f"{clock(at)} {self.name}: answered again{told} after {at - since:.2f} s{was}"
        return f"{clock(at)} {self.name}: answered{told} (before: {before})" if before and before != self.who else None


def clock(at: float) -> str:
    """A wall time as local time of day, with milliseconds."""
    return f"{time.strftime('%H:%M:%S', time.localtime(at))}.{int(at * 1000) % 1000:03d}"
