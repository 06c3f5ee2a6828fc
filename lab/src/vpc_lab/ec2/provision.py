"""The world that a topology describes, as EC2 has it before anybody has called it. Pure."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Dict, Tuple

from vpc_lab.ec2.operations.routes import local_routes
from vpc_lab.topology import InstanceSpec, InterfaceSpec, SubnetSpec, Topology
from vpc_lab.vpc import (
    LAST_ENTRY,
    NO_VPC,
    AclEntry,
    Association,
    Attachment,
    Cidr,
    GroupRule,
    Instance,
    Interface,
    NetworkAcl,
    Route,
    RouteTable,
    SecurityGroup,
    Subnet,
    TransitAttachment,
    TransitRoute,
    TransitTable,
    Vpc,
    identifier,
    mac_of,
)
from vpc_lab.world import World

MAIN = "main"
EVERYWHERE: Tuple[Cidr, ...] = (ip_network("0.0.0.0/0"), ip_network("::/0"))


def table_ids(topology: Topology) -> Dict[str, str]:
    """The route tables by name: the subnets' (by theirs), those that no subnet uses (extra-1 ...), the main one."""
    return {
        **{one.name: one.route_table_id for one in topology.subnets},
        **{f"extra-{number}": one for number, one in enumerate(topology.extra_route_tables, 1)},
        MAIN: identifier("rtb", MAIN),
    }


def provision(topology: Topology, now: float, *, instance_type: str) -> World:
    """Every instance runs since `now` (wall time); the ENIs of none are available."""
    if topology.empty:
        return World(NO_VPC, "")
    gateway = identifier("tgw", "lab")
    internet = () if topology.internet is None else (identifier("igw", "lab"),)
    vpc = Vpc(identifier("vpc", "lab"), (topology.cidr, topology.ipv6_cidr))
    world = World(vpc, identifier("sg", "lab"), gateways=(gateway, *internet)).with_tags(vpc.vpc_id, {"Name": "lab"})
    world = replace(world, subnets={one.subnet_id: _subnet(one) for one in topology.subnets})
    for one in topology.subnets:
        world = world.with_tags(one.subnet_id, {"Name": one.name})
    world = _with_route_tables(world, topology, gateway, internet)
    world = _with_filters(_with_transit_gateway(world, topology, gateway), topology)
    for launched in topology.instances:
        world = _with_instance(world, topology, launched, now, instance_type)
    for free in topology.interfaces:
        world = world.with_interface(_available(world, topology, free))
        world = world.with_tags(free.network_interface_id, {"Name": free.name})
    return world


def _subnet(one: SubnetSpec) -> Subnet:
    cidrs: Tuple[Cidr, ...] = (one.ipv6_cidr,) if one.ipv6_only else (one.cidr, one.ipv6_cidr)
    return Subnet(one.subnet_id, one.availability_zone, cidrs)


def _with_route_tables(world: World, topology: Topology, gateway: str, internet: Tuple[str, ...]) -> World:
    onward: Tuple[Cidr, ...] = (topology.on_premises.cidr, topology.on_premises.ipv6_cidr)
    routes = (
        *local_routes(world),
        *(Route(cidr, gateway) for cidr in onward),
        *(Route(cidr, target) for target in internet for cidr in EVERYWHERE),
    )
    subnets = {one.name: one.subnet_id for one in topology.subnets}
    tables, tags = dict(world.route_tables), dict(world.tags)
    for name, route_table_id in table_ids(topology).items():
        associations: Tuple[Association, ...] = ()
        if name in subnets or name == MAIN:
            associations = (Association(identifier("rtbassoc", name), subnets.get(name)),)
        if route_table_id in tables:
            associations = (*tables[route_table_id].associations, *associations)
        tables[route_table_id] = RouteTable(route_table_id, topology.table_owner_id, routes, associations)
        tags[route_table_id] = {"Name": name}
    return replace(world, route_tables=tables, tags=tags)


def _with_filters(world: World, topology: Topology) -> World:
    """A security group and a network ACL that let everything through, as the fabric does."""
    everything = tuple(GroupRule("-1", cidr=cidr) for cidr in EVERYWHERE)
    group = SecurityGroup(world.group_id, "lab", "the lab's instances", everything, everything)
    entries = tuple(
        AclEntry(number, number < LAST_ENTRY, outbound, cidr)
        for first in (100, LAST_ENTRY)
        for outbound in (False, True)
        for number, cidr in enumerate(EVERYWHERE, first)
    )
    subnets = tuple(one.subnet_id for one in topology.subnets)
    acl = NetworkAcl(identifier("acl", "lab"), entries, subnets, default=True)
    return world.with_security_group(group).with_network_acl(acl)


def _with_transit_gateway(world: World, topology: Topology, gateway: str) -> World:
    """The VPC's attachment to the transit gateway, whose one table leads the VPC's CIDRs and the overlays there."""
    attached = TransitAttachment(
        identifier("tgw-attach", "lab"),
        gateway,
        topology.account_id,
        tuple(one.subnet_id for one in topology.subnets),
    )
    routes = (
        *(TransitRoute(cidr, attached.attachment_id, static=False) for cidr in world.vpc.cidrs),
        *(TransitRoute(ip_network(one), attached.attachment_id) for one in topology.overlays),
    )
    table = TransitTable(identifier("tgw-rtb", "lab"), gateway, routes)
    return replace(world.with_transit_table(table), transit_attachments=(attached,))


def _with_instance(world: World, topology: Topology, one: InstanceSpec, now: float, instance_type: str) -> World:
    node = one.role == "node"
    world = world.with_instance(
        Instance(
            one.instance_id,
            instance_type,
            one.subnet.subnet_id,
            one.subnet.availability_zone,
            "running",
            now,
            topology.instance_role if node else None,
        )
    )
    world = world.with_tags(one.instance_id, {"Name": one.name, "role": one.role})
    return world.with_interface(
        Interface(
            one.network_interface_id,
            one.mac,
            one.subnet.subnet_id,
            one.subnet.availability_zone,
            topology.account_id,
            () if one.subnet.ipv6_only else (one.address,),
            (one.ipv6_address,),
            # A node forwards nothing, but receives what is not addressed to its ENI: the overlay address.
            source_dest_check=not node or topology.source_dest_check,
            description=f"primary interface of {one.name}",
            groups=(world.group_id,),
            attachment=Attachment(identifier("eni-attach", one.name), one.instance_id, 0, "attached", True, now),
        )
    )


def _available(world: World, topology: Topology, free: InterfaceSpec) -> Interface:
    return Interface(
        free.network_interface_id,
        mac_of(free.network_interface_id),
        free.subnet.subnet_id,
        free.subnet.availability_zone,
        topology.account_id,
        free.ipv4,
        free.ipv6,
        description=free.name,
        groups=(world.group_id,),
    )
