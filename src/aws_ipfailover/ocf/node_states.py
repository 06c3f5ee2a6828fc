"""What the configuration's section `status` knows of each node: membership, attributes that end with it, history.

Facts: "Pacemaker Explained", chapter "Status"; Pacemaker, lib/pengine/unpack.c, `determine_online_status`.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

from aws_ipfailover.ocf.attributes import NONE, Attributes, References, attributes_in
from aws_ipfailover.ocf.durations import score_of, truth_of

_HEALTH = "#health"
_FAIL_COUNT = "fail-count-"
# fail-count-RESOURCE#OPERATION_INTERVAL; before Pacemaker 1.1.17 without the operation.
_FAILED = re.compile(r"fail-count-(?P<resource>.+?)(?::\d+)?(?:#(?P<operation>.+)_(?P<interval>\d+))?")


class Ran(NamedTuple):
    """One entry of the history that the local executor keeps of a resource: the last run of an operation.

    `interval`: seconds. `call_id`: numbers an executor's operations; -1 where none has run. `rc_code`: the agent's exit
    code. `op_status`: 0 done, -1 pending, 1 cancelled, 2 timed out, 4 an error, and others (`pcmk_exec_status`).
    `last_rc_change`: seconds of the epoch at which the code last changed. `exec_ms`, `queue_ms`: milliseconds that it
    ran, and waited before. `None` where the CIB does not tell.
    """

    operation: str
    interval: float
    node: str
    key: str
    call_id: Optional[int]
    rc_code: Optional[int]
    op_status: Optional[int]
    last_rc_change: Optional[int]
    exec_ms: Optional[int]
    queue_ms: Optional[int]
    exit_reason: str

    @property
    def is_pending(self) -> bool:
        """Whether it has begun, and not ended."""
        return self.op_status == -1


class FailCount(NamedTuple):
    """How often an operation has failed on a node; `failures`: 1000000 is INFINITY. `interval`: seconds."""

    resource_id: str
    operation: str
    interval: float
    failures: int


class NodeState(NamedTuple):
    """One node.

    `online`: whether it is a member of the cluster, as far as the CIB says; `None` of a remote node, for which that
    follows from its connection, and where the CIB does not tell. `crmd`, `join`, `expected`: Pacemaker's words.
    `transient`: attributes that end with the membership. `history`: by the resource's id, an instance of a clone with
    its number, in the order of the calls.
    """

    node_id: str
    uname: str
    online: Optional[bool]
    crmd: str
    join: str
    expected: str
    is_remote: bool
    transient: Attributes
    history: Mapping[str, Tuple[Ran, ...]]

    @property
    def fail_counts(self) -> Tuple[FailCount, ...]:
        """The failures on record here."""
        found: List[FailCount] = []
        for name, value in self.transient.plain.items():
            match = _FAILED.fullmatch(name)
            if match is not None:
                interval = int(match["interval"] or 0) / 1000
                found.append(FailCount(match["resource"], match["operation"] or "", interval, score_of(value)))
        return tuple(found)

    @property
    def health(self) -> Mapping[str, str]:
        """The health attributes of this node's membership: `#health…` and red, yellow, green or a number."""
        return {name: value for name, value in self.transient.plain.items() if name.startswith(_HEALTH)}


def node_states_in(parent: Optional[ET.Element], references: References) -> Tuple[NodeState, ...]:
    """The states below the element `status`."""
    return tuple(_state(one, references) for one in (parent.findall("node_state") if parent is not None else ()))


def _state(one: ET.Element, references: References) -> NodeState:
    transient = one.find("transient_attributes")
    name = one.get("uname", "")
    is_remote = truth_of(one.get("remote_node")) or False
    history: Dict[str, Tuple[Ran, ...]] = {}
    for resource in one.findall("lrm/lrm_resources/lrm_resource"):
        ran = [_ran(entry, name) for entry in resource.findall("lrm_rsc_op")]
        # An operation that is pending has the call id -1, and is the last one.
        ran.sort(key=lambda entry: (entry.is_pending, entry.call_id if entry.call_id is not None else -1))
        history[resource.get("id", "")] = tuple(ran)
    return NodeState(
        one.get("id", ""),
        name,
        None if is_remote else _online(one),
        one.get("crmd", ""),
        one.get("join", ""),
        one.get("expected", ""),
        is_remote,
        attributes_in([transient], "instance_attributes", references) if transient is not None else NONE,
        history,
    )


def _online(one: ET.Element) -> Optional[bool]:
    """Online: in corosync's membership, its controller in the process group, and joined.

    Since Pacemaker 2.1.7 the first two can be the seconds of the epoch since when that is so, 0 where it is not.
    """
    member, controller, join = one.get("in_ccm"), one.get("crmd"), one.get("join")
    if member is None or controller is None or join is None:
        return None
    return _holds(member, "true") and _holds(controller, "online") and join == "member"


def _holds(text: str, word: str) -> bool:
    return text == word or (text.isascii() and text.isdigit() and int(text[:15]) > 0)


def _ran(entry: ET.Element, node: str) -> Ran:
    return Ran(
        entry.get("operation", ""),
        (_number(entry.get("interval")) or 0) / 1000,
        entry.get("on_node", node),
        entry.get("operation_key", ""),
        _number(entry.get("call-id")),
        _number(entry.get("rc-code")),
        _number(entry.get("op-status")),
        _number(entry.get("last-rc-change")),
        _number(entry.get("exec-time")),
        _number(entry.get("queue-time")),
        entry.get("exit-reason", ""),
    )


def _number(text: Optional[str]) -> Optional[int]:
    return int(text) if text is not None and re.fullmatch(r"-?\d{1,15}", text) else None
