"""Whether a drill may begin: every reason against it, as a sentence. Pure.

A drill moves a service that people use: it begins only where nothing else is wrong, and where what cannot be found out
is no reason to expect that something is.
"""

from __future__ import annotations

from typing import Collection, Iterator, List, Optional, Tuple

from aws_ipfailover.drill.placement import Moved, placement_refusals
from aws_ipfailover.errors import UnknownError
from aws_ipfailover.ocf.cib import Cib
from aws_ipfailover.ocf.cluster_view import ClusterView


def refusals(view: ClusterView, cib: Cib, resource_id: str, what: Moved) -> List[str]:
    """What speaks against moving the resource now, by moving `what`."""
    return [
        *_of_cluster(view),
        *_of_nodes(view),
        *_of_resource(view, resource_id),
        *_of_constraints(cib, {resource_id, what.resource_id}),
        *placement_refusals(cib, resource_id, what),
    ]


def fencing_refusals(cib: Cib, view: ClusterView, resource_id: str, local_node: str) -> List[str]:
    """What speaks against fencing the node of the resource."""
    found: List[str] = []
    if cib.fencing.enabled is False:
        found.append("stonith-enabled is false: the cluster fences nobody")
    devices = [one.resource_id for one in cib.fencing.devices]
    started = [one for one in devices if any(each.role == "Started" for each in view.of(one))]
    if not devices:
        found.append("the cluster has no fence device")
    elif not started:
        found.append(f"no fence device is started: {', '.join(devices)}")
    if view.where(resource_id) == local_node:
        found.append(
            f"this is {local_node}, the node that would be fenced: run the drill on another node, or from elsewhere"
            " with --cluster-command"
        )
    return found


def restarts(cib: Cib) -> Optional[bool]:
    """Whether the cluster restarts a node that it fences: `stonith-action`; `None` where a rule decides."""
    try:
        return (cib.properties.get("stonith-action") or "reboot") == "reboot"
    except UnknownError:
        return None


def standby_of(view: ClusterView, node: str) -> Tuple[str, ...]:
    """The nodes that could take over from `node`, in the cluster's order."""
    return tuple(one.name for one in view.nodes if one.name != node and view.is_online(one.name) and not one.standby)


def _of_cluster(view: ClusterView) -> Iterator[str]:
    if not view.dc:
        yield "the cluster has elected no controller (DC) yet"
    elif view.quorum is not True:
        yield "the cluster has no quorum" if view.quorum is False else "whether the cluster has quorum is not told"
    if view.maintenance_mode is not False:
        yield _either(view.maintenance_mode, "the cluster is in maintenance mode")
    if view.stop_all_resources is True:
        yield "the property stop-all-resources is true"


def _of_nodes(view: ClusterView) -> Iterator[str]:
    for node in view.nodes:
        if node.online is not True:
            yield f"{node.name} is offline" if node.online is False else f"whether {node.name} is online is not told"
        elif node.unclean:
            yield f"{node.name} is unclean: it waits to be fenced"
        elif node.pending:
            yield f"{node.name} is still joining the cluster"
        elif node.standby:
            yield f"{node.name} is in standby"
        elif node.maintenance:
            yield f"{node.name} is in maintenance mode"
    if len(view.nodes) < 2:
        yield "the cluster has no second node"


def _of_resource(view: ClusterView, resource_id: str) -> Iterator[str]:
    found = view.of(resource_id)
    if not found:
        yield f"the cluster has no resource {resource_id}"
    elif view.where(resource_id) is None:
        states = ", ".join(f"{one.role} on {' and '.join(one.nodes) or 'no node'}" for one in found)
        yield f"{resource_id} is not started on exactly one node: {states}"
    for one in found:
        if one.managed is not True:
            yield _either(None if one.managed is None else True, f"{resource_id} is unmanaged")
        if one.maintenance:
            yield f"{resource_id} is in maintenance mode"
    for one in view.resources:
        if one.failed:
            yield f"{one.resource_id} has failed"
        if one.blocked:
            yield f"{one.resource_id} is blocked"
    for failure in view.failures:
        what = f"{failure.operation} of {failure.resource_id} on {failure.node}"
        yield f"a failure is on record, {what}: look at it, then run: crm_resource --cleanup"


def _of_constraints(cib: Cib, names: Collection[str]) -> Iterator[str]:
    primitives = [cib.primitives[name] for name in names if name in cib.primitives]
    inside = {container.container_id for one in primitives for container in one.containers}
    for one in cib.locations:
        if (one.is_cli_prefer or one.is_cli_ban) and set(one.resources) & {*names, *inside}:
            yield (
                f"the constraint {one.constraint_id} is left of an earlier move or ban, and the end of this drill would"
                f" remove it: crm_resource --clear --resource {one.resources[0]}"
            )


def _either(known: Optional[bool], text: str) -> str:
    """`text` where it is known to be so; else that it is not known."""
    return text if known else f"it is not told whether {text}"
