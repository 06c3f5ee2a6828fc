"""Who was answered, and when not. Pure.

A *silence* of one consumer at one address over one protocol lasts from the last answer before to the first after, and
at least one question was lost in it. What of it neither a fault nor a move explains must not exceed a bound. Some time
after the last fault was healed, every consumer is answered again, over every protocol, by one node.

A *stream* is a TCP connection that is kept. It ends only where the address leaves the node, or a fault explains it; and
it never waits longer than its consumer's timeout while the same consumer is answered over other protocols.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, List, Optional, Tuple
from typing import Counter as Counts

from vpc_lab.judge.disturbances import Disturbances
from vpc_lab.judge.expectations import Expectations
from vpc_lab.judge.record import Asked, Header, Operation
from vpc_lab.judge.violations import Violation, Violations, shown_by

# The rule that a consumer which has asked nothing for a while breaks: nobody knows what it would have got.
UNASKED = "nothing asked"
LONGEST = 20
# A machine with few processors lets a process wait now and then.
_SLACK = 0.7
Key = Tuple[str, str, str]


@dataclass(frozen=True, order=True)
class Silence:
    """One silence; `unexplained` are the seconds of it that nothing explains, `lost` the questions."""

    seconds: float
    begins: float
    ends: float
    consumer: str
    protocol: str
    address: str
    unexplained: float
    lost: int
    before: Optional[str]
    after: Optional[str]

    def to_json(self) -> Dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass
class _Line:
    """One consumer at one address over one protocol: its last answer, and what has been lost since."""

    answered: float
    node: Optional[str] = None
    last_sent: float = 0.0
    lost: int = 0
    judged: bool = False
    asked: Counts[str] = field(default_factory=Counter)


@dataclass
class _Stream:
    """The connection of one consumer to one address, as far as it was established."""

    connection: Optional[int] = None
    node: Optional[str] = None
    answered: float = 0.0
    # How it failed, until the next answer shows where the address is.
    failed: Optional[Asked] = None
    # Since when another protocol has been answered while the stream has not, and whether that was judged.
    others_since: Optional[float] = None
    judged: bool = False


class Availability:
    """Judges the silences of a run that is fed in order of time."""

    def __init__(
        self, header: Header, expectations: Expectations, disturbances: Disturbances, found: Violations
    ) -> None:
        self._header = header
        self._expected = expectations
        self._disturbances = disturbances
        self._found = found
        self._lines: Dict[Key, _Line] = {}
        self._streams: Dict[Tuple[str, str], _Stream] = {}
        self._stops: Dict[Tuple[str, str], float] = {}
        self._longest: List[Tuple[Silence, int]] = []
        self._order = itertools.count()
        self._checked: Optional[float] = None

    def line(self, consumer: str, address: str, protocol: str) -> None:
        """There is such a consumer: one that asks nothing from the start is missed."""
        self._lines.setdefault((consumer, address, protocol), _Line(self._header.begun, last_sent=self._header.begun))

    def operation(self, operation: Operation) -> None:
        """Pacemaker lets an agent do something: connections end where it stops."""
        if operation.action in ("stop", "demote", "migrate_to"):
            for address in self._header.resources.get(operation.resource, ()):
                self._stops[address, operation.node] = operation.time

    def asked(self, asked: Asked) -> None:
        """Judge a question."""
        question = asked.question
        self.line(asked.consumer, asked.address, question.protocol)
        line = self._lines[asked.consumer, asked.address, question.protocol]
        line.asked["asked"] += 1
        self._miss_questions(asked, line)
        if question.node is None or question.answered is None:
            line.lost += 1
            line.asked[question.error or "error"] += 1
            self._judge_open(asked, line)
        else:
            if line.lost:
                self._end_silence(asked, line)
            line.answered = max(line.answered, question.answered)
            line.node, line.lost, line.judged = question.node, 0, False
            line.asked["answered"] += 1
        line.last_sent = max(line.last_sent, question.sent)
        if question.protocol == "stream":
            self._stream(asked)
        else:
            self._beside(asked)

    # -- silences -----------------------------------------------------------------------------------------------

    def _miss_questions(self, asked: Asked, line: _Line) -> None:
        """A consumer that did not ask has seen nothing, and proves nothing."""
        before, now = line.last_sent, asked.question.sent
        if now - before <= self._expected.unasked + self._header.timeout:
            return
        unexplained = now - before - self._disturbances.explained(asked.consumer, before, now)
        if unexplained > self._expected.unasked + self._header.timeout:
            self._found.add(shown_by(asked, UNASKED, f"{_who(asked)} asked nothing for {now - before:.1f} s."))

    def _end_silence(self, asked: Asked, line: _Line) -> None:
        question = asked.question
        ends = question.answered or question.sent
        silence = self._silence(asked.consumer, asked.address, question.protocol, line, ends, question.node)
        self._keep(silence)
        if silence.unexplained > self._bound(silence.protocol) and not line.judged:
            self._found.add(self._unexplained(silence))

    def _judge_open(self, asked: Asked, line: _Line) -> None:
        """One that lasts is told while it lasts, once."""
        sent = asked.question.sent
        if line.judged or sent - line.answered <= self._bound(asked.question.protocol):
            return
        silence = self._silence(asked.consumer, asked.address, asked.question.protocol, line, sent, None)
        if silence.unexplained > self._bound(silence.protocol):
            line.judged = True
            self._found.add(self._unexplained(silence))

    def _bound(self, protocol: str) -> float:
        """How long a silence may be: a stream is to wait for an answer that was lost before it connects again."""
        return self._expected.silence + (self._header.timeout if protocol == "stream" else 0.0)

    def _silence(
        self, consumer: str, address: str, protocol: str, line: _Line, ends: float, after: Optional[str]
    ) -> Silence:
        begins = line.answered
        unexplained = ends - begins - self._disturbances.explained(consumer, begins, ends)
        return Silence(
            ends - begins, begins, ends, consumer, protocol, address, max(0.0, unexplained), line.lost, line.node, after
        )

    def _unexplained(self, silence: Silence) -> Violation:
        return Violation(
            silence.begins,
            "silence",
            f"{silence.consumer} got no answer from {silence.address} over {silence.protocol.upper()} for"
            f" {silence.seconds:.1f} s, and nothing explains {silence.unexplained:.1f} s of that.",
            silence.address,
            silence.consumer,
            silence.protocol,
        )

    def _keep(self, silence: Silence) -> None:
        heapq.heappush(self._longest, (silence, next(self._order)))
        if len(self._longest) > LONGEST:
            heapq.heappop(self._longest)

    # -- after the last fault -----------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """The run has come to `now`: judge the recovery, if its time is over."""
        quiet = self._disturbances.quiet_since()
        if quiet is None or quiet == self._checked or now < quiet + self._expected.recovered_within:
            return
        self._checked = quiet
        nodes: Dict[str, Dict[str, List[str]]] = {}
        within = f"within {self._expected.recovered_within:.0f} s of the last fault or move"
        for (consumer, address, protocol), line in self._lines.items():
            if line.node is None or line.answered <= quiet:
                self._found.add(
                    Violation(
                        now,
                        "not recovered",
                        f"{consumer} was not answered by {address} over {protocol.upper()} {within}.",
                        address,
                        consumer,
                        protocol,
                    )
                )
            else:
                nodes.setdefault(address, {}).setdefault(line.node, []).append(f"{consumer} over {protocol.upper()}")
        for address, answering in nodes.items():
            if len(answering) > 1:
                told = "; ".join(f"{node} answers {', '.join(who)}" for node, who in sorted(answering.items()))
                self._found.add(
                    Violation(now, "several nodes", f"{address} is still at several nodes {within}: {told}.")
                )

    # -- streams ------------------------------------------------------------------------------------------------

    def _stream(self, asked: Asked) -> None:
        stream = self._streams.setdefault((asked.consumer, asked.address), _Stream())
        question = asked.question
        if question.node is None or question.answered is None:
            if stream.connection == question.connection and stream.node is not None and stream.failed is None:
                stream.failed = asked
            self._judge_wait(asked, stream, question.sent + self._header.timeout * (question.error == "timeout"))
            return
        if stream.node == question.node and stream.connection != question.connection:
            self._judge_end(asked, stream)
        self._judge_wait(asked, stream, question.answered)
        stream.connection, stream.node, stream.answered = question.connection, question.node, question.answered
        stream.failed, stream.others_since, stream.judged = None, None, False

    def _judge_end(self, asked: Asked, stream: _Stream) -> None:
        """The connection has ended, and the next one is to the same node."""
        node = str(stream.node)
        ended = stream.failed.question if stream.failed is not None else asked.question
        stopped = self._stops.get((asked.address, node))
        if stopped is not None and stopped > stream.answered - _SLACK:
            return
        if self._disturbances.explained(asked.consumer, stream.answered, asked.time) > 0:
            return
        how = {"timeout": "hung", "reset": "was reset", "closed": "was closed"}.get(ended.error or "closed", "broke")
        self._found.add(
            shown_by(
                stream.failed or asked,
                "stream ended",
                f"The connection of {asked.consumer} to {asked.address} {how}, although {node} kept the address.",
            )
        )

    def _judge_wait(self, asked: Asked, stream: _Stream, now: float) -> None:
        """How long the stream has waited while others were answered."""
        if stream.others_since is None or stream.judged:
            return
        waited = now - stream.others_since
        if waited > self._header.timeout + 2 * self._header.interval + _SLACK:
            stream.judged = True
            self._found.add(
                shown_by(
                    asked,
                    "stream hung",
                    f"{asked.consumer} had no answer on a connection to {asked.address} for {waited:.1f} s in which it"
                    " was answered over other protocols.",
                )
            )

    def _beside(self, asked: Asked) -> None:
        """An answer over another protocol, or its loss, beside the stream of the same consumer."""
        if "stream" not in self._header.protocols:
            return
        stream = self._streams.setdefault((asked.consumer, asked.address), _Stream())
        question = asked.question
        if question.answered is None:
            stream.others_since = None
        elif stream.others_since is None:
            line = self._lines.get((asked.consumer, asked.address, "stream"))
            if line is not None and line.lost:
                stream.others_since = question.answered

    # -- the end ------------------------------------------------------------------------------------------------

    def finish(self, ended: float) -> None:
        """The run is over: consumers that have asked nothing lately, and silences that never ended."""
        for (consumer, address, protocol), line in self._lines.items():
            who = f"{consumer} over {protocol.upper()}"
            unasked = ended - line.last_sent - self._disturbances.explained(consumer, line.last_sent, ended)
            if unasked > self._expected.unasked + self._header.timeout:
                sentence = f"{who} asked {address} nothing in the last {ended - line.last_sent:.1f} s of the run."
                self._found.add(Violation(ended, UNASKED, sentence, address, consumer, protocol))
            if line.lost:
                silence = self._silence(consumer, address, protocol, line, ended, None)
                self._keep(silence)
                if silence.unexplained > self._bound(silence.protocol) and not line.judged:
                    self._found.add(self._unexplained(silence))
        self.advance(ended)

    def longest(self) -> Tuple[Silence, ...]:
        """The longest silences, the longest first."""
        return tuple(silence for silence, _ in sorted(self._longest, reverse=True))

    def counts(self) -> Dict[str, Dict[str, int]]:
        """Questions by protocol: how many were asked, answered, and lost by kind of failure."""
        found: Dict[str, Counts[str]] = {}
        for (_consumer, _address, protocol), line in self._lines.items():
            found.setdefault(protocol, Counter()).update(line.asked)
        return {protocol: dict(count) for protocol, count in found.items()}


def _who(asked: Asked) -> str:
    return f"{asked.consumer} over {asked.question.protocol.upper()}"
