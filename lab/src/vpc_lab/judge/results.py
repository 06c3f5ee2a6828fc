"""What the agent told Pacemaker, held against what consumers got. Pure.

- A start that has ended well: from then on whoever asks is answered. That it is so a moment later, after the first
  monitor, is too late: Pacemaker has begun what was to follow.
- A start that nothing holds up ends well.
- A stop ends well, always: after one that does not, Pacemaker fences the node.
- A monitor or probe does not say that the service is not there while its node answers everybody, and a probe does not
  say that it is where it was not started.
- A start or stop that nothing holds up takes no longer than `operation_within`, and a stop no longer than `stop_within`
  while EC2 or anything else outside its node is out of reach.
- An ENI is not taken from a running instance by force while nothing is wrong, nor was when it was asked for plainly.

A fault excuses what it can have to do with: nothing where it happens to another node.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Optional, Set, Tuple

from vpc_lab.judge.disturbances import REMEMBERED, Disturbances, change_of
from vpc_lab.judge.expectations import Expectations
from vpc_lab.judge.record import STARTS, TIMED_OUT, Asked, Event, Header, Item, Operation
from vpc_lab.judge.violations import Violation, Violations, shown_by

_ENDS = frozenset(("stop", "demote"))
_LOOKS = frozenset(("monitor", "probe"))
# OCF_SUCCESS, and what Pacemaker has for a service that is degraded (PCMK_OCF_DEGRADED).
_RUNS = frozenset((0, 190))
# What befalls an operating system as a whole: no agent can promise a stop there. One that has too little processor time
# may end too late, and not badly.
_OF_THE_SYSTEM = frozenset(("crash", "freeze", "reboot", "graceful-stop", "cpu-hogged"))
_ONLY_DELAYS = frozenset(("cpu-hogged",))
# For how long before it a fault that is healed can be the reason of a failed monitor, and how long after a failed
# monitor somebody is heard on it.
_AFTERMATH = 30.0
_HEARD = 2.0
Line = Tuple[str, str, str]


@dataclass
class _Served:
    """A start that has ended well, and who has not been answered yet since."""

    node: str
    begun: float
    ended: float
    waiting: Set[Line]


@dataclass
class _Alarm:
    """A look that found the service failed on a node where it was started, and what consumers got since.

    `stopping`: when the node began to stop it, as it does at once after most: what is lost from then on tells nothing,
    and who is answered all the same tells that it was there.
    """

    operation: Operation
    answered: Set[str] = field(default_factory=set)
    lost: bool = False
    stopping: Optional[float] = None


class Results:
    """Judges the operations of a run that is fed in order of time."""

    def __init__(
        self, header: Header, expectations: Expectations, disturbances: Disturbances, found: Violations
    ) -> None:
        self._header = header
        self._expected = expectations
        self._disturbances = disturbances
        self._found = found
        self._addresses = {address for held in header.resources.values() for address in held}
        self._begun: Dict[Tuple[str, str, int], float] = {}
        # By resource and node: True from the begin of a start on, False where it has never been since the node has
        # power, or was stopped; missing where it may be either.
        self._here: Dict[Tuple[str, str], Optional[bool]] = {
            (resource, node): False for resource in header.resources for node in header.nodes
        }
        self._served: Dict[str, _Served] = {}
        self._alarms: Dict[str, _Alarm] = {}
        # Nodes that EC2 does not call running, and nodes without power.
        self._down: Set[str] = set()
        self._off: Set[str] = set()
        # When a detachment that has not ended by force was asked for first, by the id of the attachment.
        self._detaching: Dict[str, float] = {}

    def feed(self, item: Item) -> None:
        """Judge what comes next."""
        if isinstance(item, Asked):
            self._asked(item)
        elif isinstance(item, Operation):
            if item.resource in self._header.resources:
                self._operation(item)
        else:
            self._event(item)

    def finish(self) -> None:
        """The run is over."""
        for resource in list(self._alarms):
            self._judge_alarm(resource)

    # -- operations ---------------------------------------------------------------------------------------------

    def _operation(self, operation: Operation) -> None:
        resource, node = operation.resource, operation.node
        if operation.action in _LOOKS:
            self._look(operation)
            return
        alarm = self._alarms.get(resource)
        if alarm and operation.exit_code is None and operation.action in _ENDS and node == alarm.operation.node:
            alarm.stopping = operation.time
        else:
            self._judge_alarm(resource)
        if operation.exit_code is None:
            self._begun[resource, node, operation.call] = operation.time
            if operation.action in STARTS:
                self._here[resource, node] = True
            self._served.pop(resource, None)
            return
        begun = self._begun.pop((resource, node, operation.call), operation.time)
        if begun < self._header.begun:
            begun = operation.time
        self._judge_duration(operation, begun)
        if operation.action in STARTS:
            if operation.exit_code == 0:
                self._begin_to_serve(operation, begun)
            else:
                self._here[resource, node] = None
                self._judge_start(operation, begun)
        elif operation.action in _ENDS:
            self._here[resource, node] = False if operation.exit_code == 0 else None
            self._judge_stop(operation, begun)

    def _begin_to_serve(self, operation: Operation, begun: float) -> None:
        # A log can tell the end of a start a moment after the power of its node has gone.
        if operation.time < self._header.begun or operation.node in self._off:
            return
        if not self._disturbances.of(operation.node, begun, operation.time):
            self._disturbances.started(operation.node, begun, operation.time)
        held = self._header.resources[operation.resource]
        waiting = {
            (consumer, address, protocol)
            for consumer, asked in self._header.asked.items()
            for address in asked.values()
            for protocol in self._header.protocols
            # A connection that is kept notices a move by its timeout.
            if address in held and protocol != "stream"
        }
        self._served[operation.resource] = _Served(operation.node, begun, operation.time, waiting)

    def _judge_start(self, operation: Operation, begun: float) -> None:
        """One that fails; a scenario that expects failures counts them instead."""
        if operation.time < self._header.begun or (self._expected.fail_counts or {}).get(operation.resource, 0):
            return
        # What is over may have left its traces: an ENI that is being detached, a remapping that is under way.
        if self._disturbances.between(begun - _AFTERMATH, operation.time):
            return
        told = f"The {operation.action} of {operation.resource} on {operation.node} {_how(operation)}"
        self._add(operation, "failed start", f"{told}, and nothing was wrong.")

    def _judge_stop(self, operation: Operation, begun: float) -> None:
        if operation.exit_code == 0 or operation.time < self._header.begun:
            return
        excuses = _OF_THE_SYSTEM if operation.exit_code == TIMED_OUT else _OF_THE_SYSTEM - _ONLY_DELAYS
        if excuses.intersection(self._disturbances.of(operation.node, begun, operation.time)):
            return
        self._add(operation, "failed stop", f"The stop of {operation.resource} on {operation.node} {_how(operation)}.")

    def _judge_duration(self, operation: Operation, begun: float) -> None:
        took, within = operation.time - begun, self._expected.operation_within
        faults, why = set(self._disturbances.of(operation.node, begun, operation.time)), "nothing held it up"
        if operation.action in _ENDS and faults and not _OF_THE_SYSTEM & faults:
            # Of EC2, instance metadata and the network: a stop may ask, and does not wait for them.
            faults, within, why = set(), self._expected.stop_within, "a stop does not wait for what is out of reach"
        if faults or took <= within:
            return
        told = f"The {operation.action} of {operation.resource} on {operation.node} took {took:.1f} s"
        self._add(operation, "slow operation", f"{told}, and {why}.")

    def _look(self, operation: Operation) -> None:
        here = self._here.get((operation.resource, operation.node))
        if operation.exit_code in _RUNS:
            if here is False and operation.action == "probe" and operation.time >= self._header.begun:
                self._add(
                    operation,
                    "false probe",
                    f"A probe found {operation.resource} on {operation.node}, where it was not started.",
                )
        elif here and operation.time >= self._header.begun:
            self._alarms.setdefault(operation.resource, _Alarm(operation))

    def _judge_alarm(self, resource: str) -> None:
        alarm = self._alarms.pop(resource, None)
        if alarm is None or alarm.lost or alarm.answered < set(self._header.resources[resource]):
            return
        operation = alarm.operation
        since = operation.time - _AFTERMATH
        if self._disturbances.of(operation.node, since, operation.time + _HEARD, disturbing=True):
            return
        self._add(
            operation,
            "false alarm",
            f"The {operation.action} of {resource} on {operation.node} {_how(operation)}, although that node went on"
            " answering everybody.",
        )

    def _add(self, operation: Operation, rule: str, sentence: str) -> None:
        addresses = ", ".join(self._header.resources[operation.resource])
        self._found.add(Violation(operation.time, rule, sentence, addresses))

    # -- consumers ----------------------------------------------------------------------------------------------

    def _asked(self, asked: Asked) -> None:
        if asked.address not in self._addresses:
            return
        for resource, held in self._header.resources.items():
            if asked.address in held:
                if resource in self._served:
                    self._judge_served(asked, self._served[resource])
                if resource in self._alarms:
                    self._hear(asked, self._alarms[resource])

    def _judge_served(self, asked: Asked, served: _Served) -> None:
        question = asked.question
        line = (asked.consumer, asked.address, question.protocol)
        if line not in served.waiting or question.sent < served.ended:
            return
        if question.node is not None:
            if question.node == served.node:
                served.waiting.discard(line)
            return
        late = question.sent - served.ended
        if late <= self._expected.served_within:
            return
        served.waiting.discard(line)
        if not self._disturbances.of(served.node, served.begun, question.sent):
            over = question.protocol.upper()
            sentence = (
                f"{asked.consumer} got no answer from {asked.address} over {over} {late * 1000:.0f} ms after the start"
                f" on {served.node} had ended well."
            )
            self._found.add(shown_by(asked, "not served", sentence))

    def _hear(self, asked: Asked, alarm: _Alarm) -> None:
        question = asked.question
        if question.protocol == "stream" or question.sent <= alarm.operation.time:
            return
        if question.sent > alarm.operation.time + _HEARD:
            self._judge_alarm(alarm.operation.resource)
        elif question.node == alarm.operation.node:
            alarm.answered.add(asked.address)
        elif alarm.stopping is None or question.sent < alarm.stopping:
            alarm.lost = True

    # -- the lab ------------------------------------------------------------------------------------------------

    def _event(self, event: Event) -> None:
        change = change_of(event)
        if change is not None and change.name == "disk-full" and change.parameters.get("where") == "log":
            # What happens while a node's log is full is not known.
            for node in set(change.parameters.values()) & set(self._header.nodes):
                self._set(str(node), None)
        if event.kind == "instance-state":
            (self._down.discard if event.about["state"] == "running" else self._down.add)(str(event.about["instance"]))
        elif event.kind == "power-on":
            self._off.discard(str(event.about.get("instance")))
            self._set(str(event.about.get("instance")), False)
        elif event.kind == "power-off":
            self._off.add(str(event.about.get("instance")))
            for resource, served in list(self._served.items()):
                if served.node == event.about.get("instance"):
                    del self._served[resource]
        elif event.kind == "api" and event.about.get("action") == "DetachNetworkInterface":
            self._judge_detachment(event)

    def _set(self, node: str, here: Optional[bool]) -> None:
        for resource in self._header.resources:
            self._here[resource, node] = here

    def _judge_detachment(self, event: Event) -> None:
        caller = str(event.about.get("caller"))
        parameters = event.about.get("parameters") or {}
        if event.about.get("outcome") != "ok" or caller not in self._header.nodes or event.time < self._header.begun:
            return
        attachment = str(parameters.get("AttachmentId"))
        if parameters.get("Force") != "true":
            asked = {one: when for one, when in self._detaching.items() if when > event.time - REMEMBERED}
            self._detaching = {attachment: event.time, **asked}
            return
        # What held the plain detachment up may be over, and the detachment itself not.
        since = self._detaching.pop(attachment, event.time)
        if not self._disturbances.between(since, event.time) and not self._down.intersection(self._header.nodes):
            sentence = f"{caller} had {attachment} detached by force, although nothing was wrong."
            self._found.add(Violation(event.time, "forced detachment", sentence))


def _how(operation: Operation) -> str:
    """How an operation ended that did not end well."""
    return "timed out" if operation.exit_code == TIMED_OUT else f"ended with {operation.exit_code}"
