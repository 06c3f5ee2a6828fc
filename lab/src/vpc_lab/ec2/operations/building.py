"""A VPC, its subnets and its internet gateway, made and deleted.

The account has room for one VPC: `World.vpc` without CIDRs is the lack of one. Sources: the EC2 API reference of the
operations below; the VPC user guide for what comes with a VPC (its main route table, default security group and
default network ACL) and goes with it.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network, ip_network
from typing import Container, Tuple

from vpc_lab.ec2.errors import ApiError, invalid_value, not_found
from vpc_lab.ec2.operations.routes import local_routes
from vpc_lab.ec2.operations.vpcs import describe_subnet, describe_vpc
from vpc_lab.ec2.wire import Query, Structure, specified_tags, tag_set
from vpc_lab.vpc import (
    LAST_ENTRY,
    NO_VPC,
    AclEntry,
    Association,
    GroupRule,
    NetworkAcl,
    RouteTable,
    SecurityGroup,
    Subnet,
    Vpc,
    identifier,
)
from vpc_lab.world import World

DEFAULT = "default"
ZONES = "abc"
_ANYWHERE = ip_network("0.0.0.0/0")


def fresh(known: Container[str], prefix: str, query: Query) -> str:
    """An id that nothing has yet: it follows from the Name tag that the call gives, the same in every run."""
    name, number = specified_tags(query).get("Name", ""), 0
    while identifier(prefix, "made", name, str(number)) in known:
        number += 1
    return identifier(prefix, "made", name, str(number))


def _dependencies(kind: str, resource_id: str) -> ApiError:
    return ApiError("DependencyViolation", f"The {kind} '{resource_id}' has dependencies and cannot be deleted.")


def _block(query: Query) -> IPv4Network:
    text = query.require("CidrBlock")
    try:
        return IPv4Network(text)
    except ValueError as error:
        raise invalid_value(
            f"Value ({text}) for parameter cidrBlock is invalid. This is not a valid CIDR block."
        ) from error


def _the_vpc(world: World, query: Query) -> Vpc:
    wanted = query.require("VpcId")
    if wanted != world.vpc.vpc_id:
        raise not_found("InvalidVpcID.NotFound", "vpc", wanted)
    return world.vpc


def create_vpc(world: World, query: Query, owner_id: str) -> Tuple[World, Structure]:
    """CreateVpc, with an IPv4 block between /16 and /28; refused while the account has one."""
    if world.vpc.cidrs:
        raise ApiError("UnsupportedOperation", f"The lab's account has one VPC at most, and has {world.vpc.vpc_id}.")
    block = _block(query)
    if not 16 <= block.prefixlen <= 28:
        raise ApiError("InvalidVpc.Range", f"The CIDR '{block}' is invalid.")
    vpc = Vpc(fresh((), "vpc", query), (block,))
    group = SecurityGroup(
        identifier("sg", DEFAULT, vpc.vpc_id),
        DEFAULT,
        "default VPC security group",
        (GroupRule("-1", group_id=identifier("sg", DEFAULT, vpc.vpc_id)),),
        (GroupRule("-1", cidr=_ANYWHERE),),
    )
    entries = tuple(
        AclEntry(number, number < LAST_ENTRY, outbound, _ANYWHERE)
        for number in (100, LAST_ENTRY)
        for outbound in (False, True)
    )
    world = replace(world, vpc=vpc, group_id=group.group_id).with_security_group(group)
    world = world.with_network_acl(NetworkAcl(identifier("acl", vpc.vpc_id), entries, (), default=True))
    main = identifier("rtb", "main", vpc.vpc_id)
    association = Association(identifier("rtbassoc", main), None)
    world = world.with_route_table(RouteTable(main, owner_id, local_routes(world), (association,)))
    world = world.with_tags(vpc.vpc_id, specified_tags(query))
    return world, {"vpc": {**describe_vpc(world, owner_id), "state": "pending"}}


def delete_vpc(world: World, query: Query) -> World:
    """DeleteVpc; refused while it has a subnet, a gateway, a route table or a security group that somebody made."""
    vpc = _the_vpc(world, query)
    mains = [
        table.route_table_id
        for table in world.route_tables.values()
        if any(one.subnet_id is None for one in table.associations)
    ]
    own_groups = [one.group_id for one in world.security_groups.values() if one.name == DEFAULT]
    if (
        world.subnets
        or world.gateways
        or set(world.route_tables) - set(mains)
        or set(world.security_groups) - set(own_groups)
    ):
        raise _dependencies("vpc", vpc.vpc_id)
    for main in mains:
        world = world.without_route_table(main)
    return replace(world, vpc=NO_VPC, group_id="", security_groups={}, network_acls={}).without_tags(vpc.vpc_id)


def create_subnet(world: World, query: Query, owner_id: str, region: str) -> Tuple[World, Structure]:
    """CreateSubnet, with an IPv4 block of the VPC's; in the Region's first zone unless the call names one."""
    vpc, block = _the_vpc(world, query), _block(query)
    zones = [region + letter for letter in ZONES]
    zone = query.get("AvailabilityZone") or zones[0]
    if zone not in zones:
        raise invalid_value(
            f"Value ({zone}) for parameter availabilityZone is invalid. Subnets can currently only be created in the "
            f"following availability zones: {', '.join(zones)}."
        )
    within = [one for one in vpc.cidrs if isinstance(one, IPv4Network) and block.subnet_of(one)]
    if not within or not 16 <= block.prefixlen <= 28:
        raise ApiError("InvalidSubnet.Range", f"The CIDR '{block}' is invalid.")
    for other in world.subnets.values():
        if any(isinstance(one, IPv4Network) and one.overlaps(block) for one in other.cidrs):
            raise ApiError("InvalidSubnet.Conflict", f"The CIDR '{block}' conflicts with another subnet")
    made = Subnet(fresh(world.subnets, "subnet", query), zone, (block,))
    world = replace(world, subnets={**world.subnets, made.subnet_id: made})
    for acl in world.network_acls.values():
        if acl.default:
            world = world.with_network_acl(replace(acl, subnet_ids=(*acl.subnet_ids, made.subnet_id)))
    world = world.with_tags(made.subnet_id, specified_tags(query))
    return world, {"subnet": describe_subnet(world, made, owner_id)}


def delete_subnet(world: World, query: Query) -> World:
    """DeleteSubnet; refused while it has a network interface. Its association with a route table goes with it."""
    wanted = query.require("SubnetId")
    if wanted not in world.subnets:
        raise not_found("InvalidSubnetID.NotFound", "subnet", wanted)
    if any(one.subnet_id == wanted for one in world.interfaces.values()):
        raise _dependencies("subnet", wanted)
    for table in world.route_tables.values():
        kept = tuple(one for one in table.associations if one.subnet_id != wanted)
        if kept != table.associations:
            world = world.with_route_table(replace(table, associations=kept))
    for acl in world.network_acls.values():
        world = world.with_network_acl(replace(acl, subnet_ids=tuple(one for one in acl.subnet_ids if one != wanted)))
    kept_subnets = {key: value for key, value in world.subnets.items() if key != wanted}
    return replace(world, subnets=kept_subnets).without_tags(wanted)


def create_internet_gateway(world: World, query: Query, owner_id: str) -> Tuple[World, Structure]:
    """CreateInternetGateway: attached to nothing."""
    known = (*world.gateways, *world.detached_gateways)
    made = fresh(known, "igw", query)
    world = replace(world, detached_gateways=(*world.detached_gateways, made))
    world = world.with_tags(made, specified_tags(query))
    return world, {
        "internetGateway": {
            "internetGatewayId": made,
            "ownerId": owner_id,
            "attachmentSet": [],
            "tagSet": tag_set(world.tags.get(made, {})),
        }
    }


def _gateway(world: World, query: Query) -> str:
    wanted = query.require("InternetGatewayId")
    if wanted not in (*world.gateways, *world.detached_gateways):
        raise not_found("InvalidInternetGatewayID.NotFound", "internetGateway", wanted)
    return wanted


def attach_internet_gateway(world: World, query: Query) -> World:
    """AttachInternetGateway: a VPC has one at most."""
    wanted, vpc = _gateway(world, query), _the_vpc(world, query)
    if wanted in world.gateways:
        raise ApiError("Resource.AlreadyAssociated", f"resource {wanted} is already attached to network {vpc.vpc_id}")
    if any(one.startswith("igw-") for one in world.gateways):
        raise invalid_value(f"Network {vpc.vpc_id} already has an internet gateway attached")
    detached = tuple(one for one in world.detached_gateways if one != wanted)
    return replace(world, gateways=(*world.gateways, wanted), detached_gateways=detached)


def detach_internet_gateway(world: World, query: Query) -> World:
    """DetachInternetGateway; refused while an instance of the VPC has a public address. Routes to it lead nowhere."""
    wanted, vpc = _gateway(world, query), _the_vpc(world, query)
    if wanted not in world.gateways:
        raise ApiError("Gateway.NotAttached", f"resource {wanted} is not attached to network {vpc.vpc_id}")
    mapped = [one for one in world.interfaces.values() if one.public_ip is not None]
    if mapped or any(one.private_ip is not None for one in world.elastic_ips.values()):
        raise ApiError(
            "DependencyViolation",
            f"Network {vpc.vpc_id} has some mapped public address(es). Please unmap those public address(es) before "
            "detaching the gateway.",
        )
    gateways = tuple(one for one in world.gateways if one != wanted)
    return replace(world, gateways=gateways, detached_gateways=(*world.detached_gateways, wanted))


def delete_internet_gateway(world: World, query: Query) -> World:
    """DeleteInternetGateway; refused while it is attached."""
    wanted = _gateway(world, query)
    if wanted in world.gateways:
        raise _dependencies("internetGateway", wanted)
    detached = tuple(one for one in world.detached_gateways if one != wanted)
    return replace(world, detached_gateways=detached).without_tags(wanted)
