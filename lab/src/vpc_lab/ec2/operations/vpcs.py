"""The VPC, its subnets and everyone's tags."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Dict, List, Tuple

from vpc_lab.ec2.errors import ApiError, invalid_value, not_found
from vpc_lab.ec2.operations.routes import paged
from vpc_lab.ec2.wire import Query, Structure, matches, tag_attributes, tag_set
from vpc_lab.vpc import Cidr, Route, Subnet, identifier
from vpc_lab.world import World

KIND = {
    "i": "instance",
    "eni": "network-interface",
    "rtb": "route-table",
    "subnet": "subnet",
    "vpc": "vpc",
    "sg": "security-group",
    "tgw": "transit-gateway",
    "igw": "internet-gateway",
    "eipalloc": "elastic-ip",
}


def describe_vpcs(world: World, query: Query, account_id: str) -> Structure:
    """DescribeVpcs, with every CIDR association."""
    vpc = world.vpc
    for wanted in query.members("VpcId"):
        if wanted != vpc.vpc_id:
            raise ApiError("InvalidVpcID.NotFound", f"The vpc ID '{wanted}' does not exist")
    if not vpc.cidrs:  # the account has none
        return paged(query, "vpcSet", [], 1000)
    ipv4 = [cidr for cidr in vpc.cidrs if cidr.version == 4]
    attributes = tag_attributes(world.tags.get(vpc.vpc_id, {}))
    attributes.update(
        {
            "vpc-id": [vpc.vpc_id],
            "cidr": [str(ipv4[0])],
            "cidr-block-association.cidr-block": [str(cidr) for cidr in ipv4],
            "ipv6-cidr-block-association.ipv6-cidr-block": [str(cidr) for cidr in vpc.cidrs if cidr.version == 6],
            "is-default": ["false"],
            "owner-id": [account_id],
            "state": ["available"],
        }
    )
    return paged(
        query, "vpcSet", [describe_vpc(world, account_id)] if matches(query.filters(), attributes) else [], 1000
    )


def describe_vpc(world: World, account_id: str) -> Structure:
    """The VPC as DescribeVpcs shows it."""
    vpc = world.vpc
    ipv4 = [cidr for cidr in vpc.cidrs if cidr.version == 4]
    return {
        "vpcId": vpc.vpc_id,
        "ownerId": account_id,
        "state": "available",
        "cidrBlock": str(ipv4[0]),
        "cidrBlockAssociationSet": [
            {
                "cidrBlock": str(cidr),
                "associationId": identifier("vpc-cidr-assoc", str(cidr)),
                "cidrBlockState": {"state": "associated"},
            }
            for cidr in ipv4
        ],
        "ipv6CidrBlockAssociationSet": [
            {
                "ipv6CidrBlock": str(cidr),
                "associationId": identifier("vpc-cidr-assoc", str(cidr)),
                "ipv6CidrBlockState": {"state": "associated"},
            }
            for cidr in vpc.cidrs
            if cidr.version == 6
        ],
        "dhcpOptionsId": "default",
        "instanceTenancy": "default",
        "isDefault": False,
        "tagSet": tag_set(world.tags.get(vpc.vpc_id, {})),
    }


def describe_internet_gateways(world: World, query: Query, account_id: str) -> Structure:
    """DescribeInternetGateways: the VPC's, if it has one, and those that are attached to none."""
    gateways = [one for one in (*world.gateways, *world.detached_gateways) if one.startswith("igw-")]
    wanted = query.members("InternetGatewayId")
    for one in wanted:
        if one not in gateways:
            raise not_found("InvalidInternetGatewayID.NotFound", "internetGateway", one)
    found: List[Structure] = []
    for one in wanted or gateways:
        attributes = tag_attributes(world.tags.get(one, {}))
        attributes.update(
            {
                "internet-gateway-id": [one],
                "attachment.vpc-id": [world.vpc.vpc_id] if one in world.gateways else [],
                "attachment.state": ["available"] if one in world.gateways else [],
                "owner-id": [account_id],
            }
        )
        if matches(query.filters(), attributes):
            found.append(
                {
                    "internetGatewayId": one,
                    "ownerId": account_id,
                    "attachmentSet": [{"vpcId": world.vpc.vpc_id, "state": "available"}]
                    if one in world.gateways
                    else [],
                    "tagSet": tag_set(world.tags.get(one, {})),
                }
            )
    return paged(query, "internetGatewaySet", found, 1000)


def associate_cidr(world: World, query: Query) -> Tuple[World, Structure]:
    """AssociateVpcCidrBlock with a block of the caller's choice; every table gets its local route."""
    if query.require("VpcId") != world.vpc.vpc_id:
        raise not_found("InvalidVpcID.NotFound", "vpc", query.require("VpcId"))
    text = query.get("Ipv6CidrBlock") or query.require("CidrBlock")
    try:
        cidr: Cidr = ip_network(text)
    except ValueError as error:
        raise invalid_value(
            f"Value ({text}) for parameter cidrBlock is invalid. This is not a valid CIDR block."
        ) from error
    if any(cidr.version == other.version and cidr.overlaps(other) for other in world.vpc.cidrs):
        raise ApiError("InvalidVpc.Range", f"The CIDR '{cidr}' conflicts with another CIDR block of the VPC")
    world = replace(world, vpc=replace(world.vpc, cidrs=(*world.vpc.cidrs, cidr)))
    for table in world.route_tables.values():
        made = Route(cidr, "local", "CreateRouteTable")
        world = world.with_route_table(replace(table, routes=(*table.routes, made)))
    member = "cidrBlock" if cidr.version == 4 else "ipv6CidrBlock"
    return world, {
        "vpcId": world.vpc.vpc_id,
        member + "Association": {
            member: str(cidr),
            "associationId": identifier("vpc-cidr-assoc", str(cidr)),
            member + "State": {"state": "associating"},
        },
    }


def describe_subnet(world: World, subnet: Subnet, account_id: str) -> Structure:
    """One subnet as DescribeSubnets shows it."""
    ipv4 = next((cidr for cidr in subnet.cidrs if cidr.version == 4), None)
    used = sum(one.subnet_id == subnet.subnet_id for one in world.interfaces.values())
    return {
        "subnetId": subnet.subnet_id,
        "vpcId": world.vpc.vpc_id,
        "ownerId": account_id,
        "state": "available",
        "cidrBlock": None if ipv4 is None else str(ipv4),
        "ipv6Native": ipv4 is None,
        "availabilityZone": subnet.availability_zone,
        "availableIpAddressCount": 0 if ipv4 is None else ipv4.num_addresses - 5 - used,
        "defaultForAz": False,
        "mapPublicIpOnLaunch": False,
        "ipv6CidrBlockAssociationSet": [
            {
                "ipv6CidrBlock": str(cidr),
                "associationId": identifier("subnet-cidr-assoc", str(cidr)),
                "ipv6CidrBlockState": {"state": "associated"},
            }
            for cidr in subnet.cidrs
            if cidr.version == 6
        ],
        "tagSet": tag_set(world.tags.get(subnet.subnet_id, {})),
    }


def describe_subnets(world: World, query: Query, account_id: str) -> Structure:
    """DescribeSubnets: by ids, filters and pages."""
    wanted = query.members("SubnetId")
    for subnet_id in wanted:
        if subnet_id not in world.subnets:
            raise ApiError("InvalidSubnetID.NotFound", f"The subnet ID '{subnet_id}' does not exist")
    found = []
    for subnet in world.subnets.values():
        if wanted and subnet.subnet_id not in wanted:
            continue
        attributes = tag_attributes(world.tags.get(subnet.subnet_id, {}))
        attributes.update(
            {
                "subnet-id": [subnet.subnet_id],
                "vpc-id": [world.vpc.vpc_id],
                "availability-zone": [subnet.availability_zone],
                "cidr-block": [str(cidr) for cidr in subnet.cidrs if cidr.version == 4],
                "state": ["available"],
            }
        )
        if matches(query.filters(), attributes):
            found.append(describe_subnet(world, subnet, account_id))
    return paged(query, "subnetSet", found, 1000)


def _exists(world: World, resource_id: str) -> None:
    """Refuse the id of a route table, network interface, instance, subnet or Elastic IP that is not there."""
    kinds = {
        "rtb": (world.route_tables, "InvalidRouteTableID.NotFound", "routeTable"),
        "eni": (world.interfaces, "InvalidNetworkInterfaceID.NotFound", "networkInterface"),
        "i": (world.instances, "InvalidInstanceID.NotFound", "instance"),
        "subnet": (world.subnets, "InvalidSubnetID.NotFound", "subnet"),
        "eipalloc": (world.elastic_ips, "InvalidAllocationID.NotFound", "allocation"),
    }
    known = kinds.get(resource_id.partition("-")[0])
    if known is not None and resource_id not in known[0]:
        raise not_found(known[1], known[2], resource_id)


def create_tags(world: World, query: Query) -> World:
    """CreateTags. Keys that begin with `aws:` are AWS's own."""
    for resource_id in query.members("ResourceId"):
        _exists(world, resource_id)
        for entry in query.structures("Tag"):
            if entry["Key"].lower().startswith("aws:"):
                raise invalid_value(
                    f"Value ( {entry['Key']} ) for parameter key is invalid. "
                    "Tag keys starting with 'aws:' are reserved for internal use"
                )
        tags = dict(world.tags.get(resource_id, {}))
        tags.update({entry["Key"]: entry.get("Value", "") for entry in query.structures("Tag")})
        world = world.with_tags(resource_id, tags)
    return world


def delete_tags(world: World, query: Query) -> World:
    """DeleteTags, by key and, where one is given, by value; without any key, all of them."""
    for resource_id in query.members("ResourceId"):
        _exists(world, resource_id)
        tags = dict(world.tags.get(resource_id, {}))
        if not query.structures("Tag"):
            tags = {}
        for entry in query.structures("Tag"):
            if tags.get(entry["Key"]) == entry.get("Value", tags.get(entry["Key"])):
                tags.pop(entry["Key"], None)
        world = world.with_tags(resource_id, tags)
    return world


def describe_tags(world: World, query: Query) -> Structure:
    """DescribeTags, by its four filters."""
    found: List[Structure] = []
    for resource_id, tags in world.tags.items():
        kind = KIND.get(resource_id.split("-")[0], "unknown")
        for key, value in tags.items():
            attributes: Dict[str, List[str]] = {
                "key": [key],
                "value": [value],
                "resource-id": [resource_id],
                "resource-type": [kind],
                "tag:" + key: [value],
            }
            if matches(query.filters(), attributes):
                found.append({"resourceId": resource_id, "resourceType": kind, "key": key, "value": value})
    return paged(query, "tagSet", found, 1000)
