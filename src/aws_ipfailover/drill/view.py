"""The cluster as Pacemaker sees it now: what `crm_mon --output-as=xml` prints, as far as a drill needs it. Pure.

`None` stands for what `crm_mon` does not tell. Facts: Pacemaker 2.1, xml/api/crm_mon-*.rng and resources-*.rng.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import NamedTuple, Optional, Tuple

from aws_ipfailover.errors import UnknownError

ARGUMENTS = ("--output-as=xml", "--one-shot", "--inactive")
"""The arguments of `crm_mon` whose output this module reads."""


class NodeView(NamedTuple):
    """A node."""

    name: str
    online: Optional[bool]
    standby: Optional[bool]
    maintenance: Optional[bool]
    unclean: Optional[bool]
    pending: Optional[bool]


class ResourceView(NamedTuple):
    """A primitive, or one instance of a clone. `nodes`: where it is active."""

    resource_id: str
    role: str
    nodes: Tuple[str, ...]
    managed: Optional[bool]
    maintenance: Optional[bool]
    blocked: Optional[bool]
    failed: Optional[bool]


class ClusterView(NamedTuple):
    """The whole cluster; `dc` is empty where none is elected. `failures`: failed operations on record, as text."""

    dc: str
    quorum: Optional[bool]
    maintenance_mode: Optional[bool]
    stop_all_resources: Optional[bool]
    nodes: Tuple[NodeView, ...]
    resources: Tuple[ResourceView, ...]
    failures: Tuple[str, ...]

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
    summary = root.find("summary")
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
        tuple(
            ResourceView(
                one.get("id", ""),
                one.get("role", ""),
                tuple(node.get("name", "") for node in one.findall("node")),
                *(_truth(one, name) for name in ResourceView._fields[3:]),
            )
            for one in root.iterfind("resources//resource")
        ),
        tuple(f"{one.get('op_key', '')} on {one.get('node', '')}" for one in root.iterfind("failures/failure")),
    )


def _truth(element: Optional[ET.Element], name: str) -> Optional[bool]:
    told = element.get(name) if element is not None else None
    return {"true": True, "false": False}.get(told or "")
