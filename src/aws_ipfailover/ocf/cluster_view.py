"""The cluster as Pacemaker sees it now: what `crm_mon --output-as=xml` prints, as typed records. Pure.

Facts: Pacemaker 2.1, xml/api/crm_mon-*.rng and resources-*.rng. `crm_mon` computes it from the CIB as the scheduler
does.
"""

from __future__ import annotations

import html
import xml.etree.ElementTree as ET
from typing import List, NamedTuple, Optional, Tuple

from aws_ipfailover.errors import UnknownError
from aws_ipfailover.ocf.durations import score_of, truth_of

ARGUMENTS = ("--output-as=xml", "--one-shot", "--inactive")
"""The arguments of `crm_mon` whose output this module reads."""


class NodeView(NamedTuple):
    """A node; `None` where `crm_mon` does not tell. `pending`: it is still joining."""

    name: str
    online: Optional[bool]
    standby: Optional[bool]
    maintenance: Optional[bool]
    unclean: Optional[bool]
    pending: Optional[bool]


class ResourceView(NamedTuple):
    """A primitive, or one instance of a clone.

    `role`: Started, Stopped, Promoted, Unpromoted, Starting and others. `nodes`: where it is active; more than one is
    wrong for an address. `managed`, `maintenance`, `blocked`, `failed`: `None` where `crm_mon` does not tell.
    `target_role`: empty unless it is configured. `pending`: the operation that is under way, empty without one.
    """

    resource_id: str
    agent: str
    role: str
    nodes: Tuple[str, ...]
    managed: Optional[bool]
    maintenance: Optional[bool]
    blocked: Optional[bool]
    failed: Optional[bool]
    target_role: str
    pending: str


class Failure(NamedTuple):
    """A failed, or degraded, operation on record; `operation`: such as `start` or `monitor`."""

    resource_id: str
    operation: str
    node: str
    exit_code: Optional[int]
    exit_reason: str
    at: str


class FailCount(NamedTuple):
    """How often a resource has failed on a node; 1000000 is INFINITY."""

    resource_id: str
    node: str
    failures: int


class ClusterView(NamedTuple):
    """The whole cluster; `dc` is empty where none is elected. `None` where `crm_mon` does not tell."""

    dc: str
    quorum: Optional[bool]
    maintenance_mode: Optional[bool]
    stop_all_resources: Optional[bool]
    nodes: Tuple[NodeView, ...]
    resources: Tuple[ResourceView, ...]
    failures: Tuple[Failure, ...]
    fail_counts: Tuple[FailCount, ...]

    def of(self, resource_id: str) -> Tuple[ResourceView, ...]:
        """A primitive, or all instances of a cloned one; empty if the cluster does not know it."""
        return tuple(one for one in self.resources if one.resource_id.partition(":")[0] == resource_id)

    def where(self, resource_id: str) -> Optional[str]:
        """The one node on which a resource is started; `None` if it is nowhere, or not on exactly one."""
        found = self.of(resource_id)
        if len(found) != 1 or found[0].role != "Started" or len(found[0].nodes) != 1:
            return None
        return found[0].nodes[0]

    def is_online(self, node: str) -> bool:
        """Whether a node is a member, no longer joining, and in no need of fencing."""
        return any(one.name == node and one.online and not one.unclean and not one.pending for one in self.nodes)


def view_of(text: str) -> ClusterView:
    """What `crm_mon` has printed.

    Raises:
        UnknownError: it is something else.
    """
    try:
        root = ET.fromstring(text)  # noqa: S314  what the installed Pacemaker prints
    except ET.ParseError:
        raise UnknownError("the answer of crm_mon is no XML") from None
    summary, resources = root.find("summary"), root.find("resources")
    if summary is None:
        raise UnknownError("the answer of crm_mon has no summary of a cluster")
    dc, options = summary.find("current_dc"), summary.find("cluster_options")
    return ClusterView(
        dc.get("name", "") if dc is not None and dc.get("present") == "true" else "",
        _truth(dc, "with_quorum"),
        _truth(options, "maintenance-mode"),
        _truth(options, "stop-all-resources"),
        tuple(
            NodeView(one.get("name", ""), *(_truth(one, name) for name in NodeView._fields[1:]))
            for one in root.iterfind("nodes/node")
        ),
        tuple(_resource(one) for one in (resources.iter("resource") if resources is not None else ())),
        tuple(_failure(one) for one in root.iterfind("failures/failure")),
        _fail_counts(root),
    )


def _truth(element: Optional[ET.Element], name: str) -> Optional[bool]:
    return truth_of(element.get(name)) if element is not None else None


def _resource(one: ET.Element) -> ResourceView:
    return ResourceView(
        one.get("id", ""),
        one.get("resource_agent", ""),
        one.get("role", ""),
        tuple(node.get("name", "") for node in one.findall("node")),
        _truth(one, "managed"),
        _truth(one, "maintenance"),
        _truth(one, "blocked"),
        _truth(one, "failed"),
        one.get("target_role", ""),
        one.get("pending", ""),
    )


def _failure(one: ET.Element) -> Failure:
    key, operation = one.get("op_key", ""), one.get("task", "")
    code = one.get("exitcode", "")
    # RESOURCE_OPERATION_INTERVAL: the resource's id can have underscores.
    resource = key.rpartition(f"_{operation}_")[0] if operation else key.rsplit("_", 2)[0]
    return Failure(
        resource.partition(":")[0],
        operation,
        one.get("node", ""),
        int(code) if code.isascii() and code.isdigit() else None,
        # Pacemaker 2.1.5 escapes it for XML twice: an apostrophe comes as &apos;.
        html.unescape(one.get("exitreason", "")),
        one.get("last-rc-change", ""),
    )


def _fail_counts(root: ET.Element) -> Tuple[FailCount, ...]:
    found: List[FailCount] = []
    for node in root.iterfind("node_history/node"):
        for history in node.findall("resource_history"):
            failures = score_of(history.get("fail-count", "0"))
            if failures:
                found.append(FailCount(history.get("id", "").partition(":")[0], node.get("name", ""), failures))
    return tuple(found)
