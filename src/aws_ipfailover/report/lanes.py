"""What the questions of one consumer, address and protocol come to, for the picture. Pure.

A *silence* is what it is for the lab's judge and for `aws_ipfailover.watch.history`: from the last answer before to the
first one after, with at least one question lost in it. *Answers* are a row of those by the same, with no silence in it.
*Nothing asked* is a longer time without a question, as when the consumer's machine was off; no loss, and no answer.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass
from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from aws_ipfailover.watch.history import Silence
from aws_ipfailover.watch.question import Question

# Seconds, beyond the timeout, by which the line of an earlier question can come after that of a later one.
_LATE = 6.0
# Seconds, beyond the timeout, without a question that are drawn as such.
_UNASKED = 3.0
PROTOCOLS: Mapping[str, str] = {"tcp": "TCP", "udp": "UDP", "icmp": "ICMP", "stream": "TCP, kept"}


@dataclass
class Answers:
    """Answers of `who`, None where they do not say; `begins`, `ends`: of the first and of the last."""

    begins: float
    ends: float
    who: Optional[str]
    answers: int = 1


@dataclass(frozen=True)
class Unasked:
    """A time in which nothing was asked."""

    begins: float
    ends: float


@dataclass(frozen=True)
class Mixed:
    """Several of the above that are too short and too many to be told one by one."""

    begins: float
    ends: float
    answers: int
    lost: int


Part = Union[Answers, Silence, Unasked, Mixed]


class Lane:
    """The questions of one consumer at one address over one protocol, in the order in which they were sent."""

    def __init__(self, consumer: str, address: str, protocol: str, timeout: float, over: str = "") -> None:
        self.consumer = consumer
        self.address = address
        self.protocol = protocol
        self.over = over or PROTOCOLS.get(protocol, protocol)
        self.asked = 0
        self.answered = 0
        self.parts: List[Part] = []
        self._unasked = timeout + _UNASKED
        self._last_sent: Optional[float] = None
        self._answers: Optional[Answers] = None
        self._silence: Optional[Silence] = None

    @property
    def silences(self) -> List[Silence]:
        """In the order of time."""
        return [one for one in self.parts if isinstance(one, Silence)]

    def add(self, sent: float, answered: Optional[float], who: Optional[str], error: Optional[str]) -> None:
        """The next question, by the clock of the axis."""
        self.asked += 1
        if answered is None:
            self._lose(sent, error or "error")
        else:
            self._answer(sent, answered, who)
        self._last_sent = sent

    def _lose(self, sent: float, error: str) -> None:
        if self._silence is None:
            last = self._answers
            begins = sent if last is None else min(last.ends, sent)
            self._silence = Silence(begins, sent, before=last.who if last else None, never_before=last is None)
            self.parts.append(self._silence)
        self._silence.lost += 1
        self._silence.errors[error] = self._silence.errors.get(error, 0) + 1
        self._silence.ends = max(self._silence.ends, sent)

    def _answer(self, sent: float, at: float, who: Optional[str]) -> None:
        self.answered += 1
        silence, last = self._silence, self._answers
        if silence is not None:
            silence.ends, silence.after, silence.ended = max(silence.begins, at), who, True
            self._silence = None
        elif last is not None and self._last_sent is not None and sent - self._last_sent > self._unasked:
            self.parts.append(Unasked(last.ends, sent))
        elif last is not None and last.who == who:
            last.ends = max(last.ends, at)
            last.answers += 1
            return
        self._answers = Answers(at, at, who)
        self.parts.append(self._answers)


def fill(lane: Lane, questions: Iterable[Question], timeout: float, ahead: float = 0.0) -> Lane:
    """Put these questions into a lane; they come in the order of their outcomes. `ahead`: as of `Consumer`."""
    for question in in_order(questions, timeout):
        _add(lane, question, ahead)
    return lane


def lanes_of(
    consumer: str, asked: Mapping[str, str], questions: Iterable[Question], timeout: float, ahead: float = 0.0
) -> List[Lane]:
    """The lanes of a consumer, in the order of addresses and protocols. `asked`, `ahead`: as of `Consumer`."""
    lanes: Dict[Tuple[str, str], Lane] = {}
    for question in in_order(questions, timeout):
        address = asked.get(question.address, question.address)
        lane = lanes.get((address, question.protocol))
        if lane is None:
            lane = lanes[address, question.protocol] = Lane(consumer, address, question.protocol, timeout)
        _add(lane, question, ahead)
    protocols, addresses = list(PROTOCOLS), list(dict.fromkeys((*asked.values(), *(address for address, _ in lanes))))
    return sorted(lanes.values(), key=lambda one: (addresses.index(one.address), protocols.index(one.protocol)))


def _add(lane: Lane, question: Question, ahead: float) -> None:
    at = None if question.answered is None else question.answered - ahead
    lane.add(question.sent - ahead, at, question.node, question.error)


def in_order(questions: Iterable[Question], timeout: float) -> Iterator[Question]:
    """The questions in the order in which they were sent; they come in that of their outcomes."""
    waiting: List[Tuple[float, int, Question]] = []
    order = itertools.count()
    newest = float("-inf")
    for question in questions:
        heapq.heappush(waiting, (question.sent, next(order), question))
        newest = max(newest, question.sent)
        while waiting[0][0] < newest - timeout - _LATE:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]


def coarser(parts: Sequence[Part], most: int) -> List[Part]:
    """At most so many parts: of more, neighbours that are short become one, as short as it takes."""
    found = list(parts)
    shortest = 0.1
    while len(found) > most:
        found = _merged(found, shortest)
        shortest *= 2
    return found


def _merged(parts: Sequence[Part], shortest: float) -> List[Part]:
    """Neighbours that together last less than that as one; what is longer by itself stays."""
    found: List[Part] = []
    group: List[Part] = []
    for part in parts:
        if group and max(part.ends, group[-1].ends) - group[0].begins > shortest:
            found.append(_one(group))
            group = []
        group.append(part)
    if group:
        found.append(_one(group))
    return found


def _one(group: Sequence[Part]) -> Part:
    if len(group) == 1:
        return group[0]
    answers = sum(one.answers for one in group if isinstance(one, (Answers, Mixed)))
    lost = sum(one.lost for one in group if isinstance(one, (Silence, Mixed)))
    return Mixed(group[0].begins, max(one.ends for one in group), answers, lost)
