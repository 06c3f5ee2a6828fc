"""Which resources a call needs permission for, as ARNs.

Source: "Actions, resources, and condition keys for Amazon EC2", Service Authorization Reference. Every Describe
operation counts as one without resource-level permissions here: only a statement with the resource `*` grants it.
"""

from __future__ import annotations

from typing import Callable, Dict, Mapping, Sequence, Tuple

from vpc_lab.ec2.iam.identity import partition
from vpc_lab.ec2.operations.vpcs import KIND
from vpc_lab.ec2.wire import Query
from vpc_lab.world import World

# What an operation without resource-level permissions is about.
EVERYTHING = ("*",)

ROUTE_TABLE = ("CreateRoute", "ReplaceRoute", "DeleteRoute", "DeleteRouteTable")
INSTANCES = ("StopInstances", "StartInstances", "RebootInstances", "TerminateInstances")


class Arns:
    """The ARNs of one Region's resources: what is the VPC's belongs to `vpc_owner`, all else to `owner`."""

    def __init__(self, region: str, owner: str, vpc_owner: str) -> None:
        self._prefix = f"arn:{partition(region)}:ec2:{region}"
        self._owner = owner
        self._vpc_owner = vpc_owner

    def of(self, kind: str, identifier: str) -> str:
        """The ARN of one resource: kind as in `network-interface`, and its id, or `*` where it is not known yet."""
        owner = self._vpc_owner if kind in ("route-table", "subnet", "vpc", "network-acl") else self._owner
        return f"{self._prefix}:{owner}:{kind}/{identifier}"

    def of_id(self, identifier: str) -> str:
        """The ARN of a resource whose id tells its kind: `eni-…`, `rtb-…`."""
        return self.of(KIND.get(identifier.partition("-")[0], "unknown"), identifier)


def resources(world: World, query: Query, arns: Arns) -> Tuple[str, ...]:
    """The ARNs that a call needs permission for, each of them; `*` for operations without resource-level permissions.

    Permissions are looked at before anything else, so ids that do not exist have ARNs too.
    """
    action = query.action
    if action.startswith("Describe"):
        return EVERYTHING
    if action in ROUTE_TABLE:
        return (arns.of("route-table", query.get("RouteTableId") or "*"),)
    if action in INSTANCES:
        return tuple(arns.of("instance", one) for one in query.members("InstanceId")) or EVERYTHING
    if action in ("CreateTags", "DeleteTags"):
        return tuple(map(arns.of_id, query.members("ResourceId"))) or EVERYTHING
    found = _OTHERS.get(action)
    if found is not None:
        return found(world, query, arns)
    eni = query.get("NetworkInterfaceId")
    return EVERYTHING if eni is None else (arns.of("network-interface", eni),)


def tags_of(world: World, arn: str) -> Mapping[str, str]:
    """The tags of the resource with this ARN; none for `*` and for what does not exist."""
    return world.tags.get(arn.rpartition("/")[2], {})


def _attach(_: World, query: Query, arns: Arns) -> Tuple[str, ...]:
    return (
        arns.of("instance", query.get("InstanceId") or "*"),
        arns.of("network-interface", query.get("NetworkInterfaceId") or "*"),
    )


def _detach(world: World, query: Query, arns: Arns) -> Tuple[str, ...]:
    for one in world.interfaces.values():
        if one.attachment is not None and one.attachment.attachment_id == query.get("AttachmentId"):
            return (
                arns.of("instance", one.attachment.instance_id),
                arns.of("network-interface", one.network_interface_id),
            )
    return arns.of("instance", "*"), arns.of("network-interface", "*")


def _association(world: World, query: Query, arns: Arns) -> Tuple[str, ...]:
    """A route table's association with a subnet: made, ended or given to another table."""
    tables = list(filter(None, [query.get("RouteTableId")]))
    subnets = list(filter(None, [query.get("SubnetId")]))
    for table in world.route_tables.values():
        for one in table.associations:
            if one.association_id == query.get("AssociationId"):
                tables.append(table.route_table_id)
                subnets += [] if one.subnet_id is None else [one.subnet_id]
    return (
        *(arns.of("route-table", one) for one in tables or ["*"]),
        *(arns.of("subnet", one) for one in subnets),
    )


def _instance(_: World, query: Query, arns: Arns) -> Tuple[str, ...]:
    return (arns.of("instance", query.get("InstanceId") or "*"),)


def _elastic_ip(world: World, query: Query, arns: Arns) -> Tuple[str, ...]:
    named = [query.get("AllocationId")]
    named += [
        one.allocation_id
        for one in world.elastic_ips.values()
        if one.association_id is not None and one.association_id == query.get("AssociationId")
    ]
    eni = query.get("NetworkInterfaceId")
    return (
        *(arns.of("elastic-ip", one) for one in [one for one in named if one is not None] or ["*"]),
        *(() if eni is None else (arns.of("network-interface", eni),)),
    )


def _create_interface(_: World, query: Query, arns: Arns) -> Tuple[str, ...]:
    groups: Sequence[str] = query.members("SecurityGroupId")
    return (
        arns.of("network-interface", "*"),
        arns.of("subnet", query.get("SubnetId") or "*"),
        *(arns.of("security-group", one) for one in groups),
    )


def _security_group(_: World, query: Query, arns: Arns) -> Tuple[str, ...]:
    return (arns.of("security-group", query.get("GroupId") or "*"),)


def _network_acl(_: World, query: Query, arns: Arns) -> Tuple[str, ...]:
    return (arns.of("network-acl", query.get("NetworkAclId") or "*"),)


def _transit_table(_: World, query: Query, arns: Arns) -> Tuple[str, ...]:
    attachment = query.get("TransitGatewayAttachmentId")
    return (
        arns.of("transit-gateway-route-table", query.get("TransitGatewayRouteTableId") or "*"),
        *(() if attachment is None else (arns.of("transit-gateway-attachment", attachment),)),
    )


_OTHERS: Dict[str, Callable[[World, Query, Arns], Tuple[str, ...]]] = {
    "AttachNetworkInterface": _attach,
    "DetachNetworkInterface": _detach,
    "AssociateRouteTable": _association,
    "DisassociateRouteTable": _association,
    "ReplaceRouteTableAssociation": _association,
    "ModifyInstanceAttribute": _instance,
    "ReleaseAddress": _elastic_ip,
    "AssociateAddress": _elastic_ip,
    "DisassociateAddress": _elastic_ip,
    "CreateNetworkInterface": _create_interface,
    **{
        f"{verb}SecurityGroup{way}": _security_group
        for verb, way in (
            *(("Delete", ""), ("Authorize", "Ingress"), ("Authorize", "Egress")),
            *(("Revoke", "Ingress"), ("Revoke", "Egress")),
        )
    },
    "CreateNetworkAclEntry": _network_acl,
    "DeleteNetworkAclEntry": _network_acl,
    "SearchTransitGatewayRoutes": _transit_table,
    "CreateTransitGatewayRoute": _transit_table,
    "DeleteTransitGatewayRoute": _transit_table,
}
