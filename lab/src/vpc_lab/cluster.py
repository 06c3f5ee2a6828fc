"""A cluster's state, read: `crm_mon`'s XML as values."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import FrozenSet, Mapping, Optional, Tuple

# The fence device that a lab's cluster has from the start, as the examples call it.
FENCE_DEVICE = "fence_aws"
# What cibadmin exits with where the CIB has nothing that an XPath describes (crm_error --exit 105, "No such object").
NOTHING_FOUND = 105
# What the scheduler would have the cluster do now, printed as a transition graph; nothing is done.
TRANSITION = ("crm_simulate", "--live-check", "--quiet", "--save-graph", "/dev/stdout")
# The end of a recurring monitor's operation key, as `actions_left` has it: RESOURCE_monitor_MILLISECONDS.
_RECURRING = re.compile(r"_monitor_[1-9][0-9]* on ")


def actions_left(graph: str) -> FrozenSet[str]:
    """The actions of a transition graph, as `ip_start_0 on node1`: what `crm_resource --wait` waits for.

    ValueError if it is no graph. Fact: Pacemaker's tools/crm_resource_runtime.c (wait_till_stable), which leaves
    notifications out.
    """
    try:
        root = ET.fromstring(graph)  # noqa: S314 - what the installed Pacemaker prints
    except ET.ParseError as error:
        raise ValueError(f"crm_simulate did not print XML: {error}") from error
    actions = root.iterfind("synapse/action_set/*")
    return frozenset(
        f"{one.get('operation_key') or one.get('operation')} on {one.get('on_node')}"
        for one in actions
        if one.tag != "pseudo_event" and one.get("operation") != "notify"
    )


def is_recurring_monitor(action: str) -> bool:
    """Whether an action of `actions_left` is a monitor with an interval."""
    return bool(_RECURRING.search(action))


@dataclass(frozen=True)
class NodeState:
    """A node as one of them sees it."""

    name: str
    online: bool
    unclean: bool
    standby: bool
    is_dc: bool


@dataclass(frozen=True)
class ResourceState:
    """A resource as a node sees it. `nodes` are where it is active; more than one is never right for an address."""

    resource_id: str
    agent: str
    role: str
    active: bool
    failed: bool
    blocked: bool
    nodes: Tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """One entry of `crm_mon`'s failed (or degraded) actions."""

    operation: str
    node: str
    exit_code: int
    exit_reason: str


@dataclass(frozen=True)
class ClusterStatus:
    """What `crm_mon` says. `fencing`: the nodes whose fencing is decided, and has not ended."""

    dc: Optional[str]
    quorum: bool
    nodes: Tuple[NodeState, ...]
    resources: Tuple[ResourceState, ...]
    failures: Tuple[Failure, ...]
    fail_counts: Mapping[Tuple[str, str], str]
    fencing: Tuple[str, ...] = ()

    @property
    def online(self) -> Tuple[str, ...]:
        """The names of the nodes that are members, healthy and no longer joining."""
        return tuple(node.name for node in self.nodes if node.online and not node.unclean)

    def resource(self, resource_id: str) -> Optional[ResourceState]:
        """The resource of that id, if it is configured."""
        return next((one for one in self.resources if one.resource_id == resource_id), None)

    def where(self, resource_id: str) -> Optional[str]:
        """The one node on which the resource is started; None if it is nowhere, or not on exactly one."""
        found = self.resource(resource_id)
        if found is None or found.role != "Started" or len(found.nodes) != 1:
            return None
        return found.nodes[0]


def parse_status(text: str) -> ClusterStatus:
    """`crm_mon --output-as=xml --group-by-node=no` of Pacemaker 2.1, as values. ValueError if it is not that."""
    try:
        root = ET.fromstring(text)  # noqa: S314 - what the installed Pacemaker prints
    except ET.ParseError as error:
        raise ValueError(f"crm_mon did not print XML: {error}") from error
    dc = root.find("./summary/current_dc")
    nodes = tuple(
        NodeState(
            node.get("name", ""),
            node.get("online") == "true" and node.get("pending") != "true",
            node.get("unclean") == "true",
            node.get("standby") == "true",
            node.get("is_dc") == "true",
        )
        for node in root.findall("./nodes/node")
    )
    resources = tuple(
        ResourceState(
            resource.get("id", ""),
            resource.get("resource_agent", ""),
            resource.get("role", ""),
            resource.get("active") == "true",
            resource.get("failed") == "true",
            resource.get("blocked") == "true",
            tuple(node.get("name", "") for node in resource.findall("node")),
        )
        for resource in root.findall("./resources//resource")
    )
    failures = tuple(
        Failure(
            failure.get("op_key", ""),
            failure.get("node", ""),
            int(failure.get("exitcode", "1")),
            failure.get("exitreason", ""),
        )
        for failure in root.findall("./failures/failure")
    )
    counts = {
        (node.get("name", ""), history.get("id", "")): history.get("fail-count", "0")
        for node in root.findall("./node_history/node")
        for history in node.findall("resource_history")
    }
    return ClusterStatus(
        dc.get("name") if dc is not None and dc.get("present") == "true" else None,
        dc is not None and dc.get("with_quorum") == "true",
        nodes,
        resources,
        failures,
        counts,
        tuple(one.get("target", "") for one in root.findall("./fence_history/fence_event[@status='pending']")),
    )
