"""Records of runs, made by hand: two nodes, one address, consumers that ask every 50 ms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, List, Optional, Sequence

from vpc_lab.judge.expectations import Expectations
from vpc_lab.judge.record import Asked, Event, Header, Item, Operation
from vpc_lab.judge.verdict import Judge, Verdict
from vpc_lab.traffic.question import SINGLE, Failure, Protocol, Question

T = 1_000_000.0  # when the run began; all times below are seconds after it
ADDRESS = "192.168.10.10"
RESOURCE = "ip_service"
STEP = 0.05
# One that judges nothing but who answers.
PATIENT = Expectations(
    silence=1e6, recovered_within=1e6, unasked=1e6, served_within=1e6, operation_within=1e6, stop_within=1e6
)


class Run:
    """What happened in a run, in any order; `verdict` puts it in order and judges it."""

    def __init__(self, consumers: Sequence[str] = ("a",), protocols: Sequence[Protocol] = SINGLE) -> None:
        self.header = Header(
            begun=T,
            nodes=("node1", "node2"),
            asked={consumer: {ADDRESS: ADDRESS} for consumer in consumers},
            resources={RESOURCE: (ADDRESS,)},
            protocols=tuple(protocols),
            interval=STEP,
            timeout=0.9,
        )
        self.items: List[Item] = []

    def without_resources(self) -> Run:
        """Nothing is known of Pacemaker."""
        self.header = replace(self.header, resources={})
        return self

    def answer(
        self,
        node: Optional[str],
        sent: float,
        *,
        stamped: Optional[float] = None,
        answered: Optional[float] = None,
        consumer: str = "a",
        protocol: Protocol = "tcp",
        error: Failure = "timeout",
        connection: Optional[int] = None,
    ) -> Run:
        """One question; answered after 2 ms, and stamped after 1 ms, unless told otherwise; lost without a node."""
        if node is None:
            question = Question(protocol, 0, T + sent, None, None, error, None, ADDRESS, connection)
        else:
            given = sent + 0.001 if stamped is None else stamped
            arrived = max(sent + 0.002, given) if answered is None else answered
            stamp = None if protocol == "icmp" else T + given
            question = Question(protocol, 0, T + sent, T + arrived, node, None, stamp, ADDRESS, connection)
        self.items.append(Asked(consumer, ADDRESS, question))
        return self

    def answers(self, node: Optional[str], begin: float, end: float, **how: Any) -> Run:
        """Questions over a time; over every protocol of the run and from every consumer, unless told otherwise."""
        for consumer in [how.pop("consumer")] if "consumer" in how else self.header.consumers:
            for protocol in [how["protocol"]] if "protocol" in how else self.header.protocols:
                for step in range(round((end - begin) / STEP)):
                    self.answer(node, begin + step * STEP, **{**how, "consumer": consumer, "protocol": protocol})
        return self

    def operation(self, action: str, node: str, begin: float, end: Optional[float] = None, code: int = 0) -> Run:
        """Pacemaker lets the agent do something; it does not end without `end`."""
        self.items.append(Operation(T + begin, node, RESOURCE, action, 1))
        if end is not None:
            self.items.append(Operation(T + end, node, RESOURCE, action, 1, code))
        return self

    def event(self, kind: str, at: float, **about: Any) -> Run:
        """Something happens to the lab."""
        self.items.append(Event(T + at, kind, about))
        return self

    def fault(self, name: str, begin: float, end: Optional[float] = None, **parameters: Any) -> Run:
        """A fault is injected, and healed unless `end` is missing."""
        about = {"number": len(self.items), "name": name, "parameters": parameters}
        self.event("fault", begin, **about)
        return self if end is None else self.event("healed", end, **about)

    def in_order(self) -> List[Item]:
        """What a judge is fed with."""
        return sorted(self.items, key=lambda item: item.time)

    def verdict(self, expectations: Expectations = PATIENT) -> Verdict:
        """The verdict."""
        judge = Judge(self.header, expectations)
        judge.feed(*self.in_order())
        return judge.finish()
