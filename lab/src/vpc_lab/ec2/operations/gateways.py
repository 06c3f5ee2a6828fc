"""Transit gateways, virtual private gateways and peering connections, as EC2 tells of them.

The fabric routes on premises by the topology alone: what these operations are for is what reads them.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Dict, List, Optional, Sequence, Tuple

from vpc_lab.ec2.errors import ApiError, invalid_value
from vpc_lab.ec2.operations.routes import paged
from vpc_lab.ec2.wire import Query, Structure, matches, tag_attributes, tag_set
from vpc_lab.vpc import Cidr, Peering, TransitAttachment, TransitRoute, TransitTable
from vpc_lab.world import World

# What SearchTransitGatewayRoutes knows here.
EXACT, LONGEST = "route-search.exact-match", "route-search.longest-prefix-match"


def describe_peerings(world: World, query: Query, account_id: str) -> Structure:
    """DescribeVpcPeeringConnections: by ids, filters and pages."""
    wanted = query.members("VpcPeeringConnectionId")
    chosen: List[Structure] = []
    for one in world.peerings:
        if wanted and one.peering_id not in wanted:
            continue
        sides = {"accepter" if one.requested else "requester": one.vpc_id}
        sides["requester" if one.requested else "accepter"] = world.vpc.vpc_id
        attributes = tag_attributes(world.tags.get(one.peering_id, {}))
        attributes.update(
            {
                "vpc-peering-connection-id": [one.peering_id],
                "status-code": [one.status],
                **{f"{side}-vpc-info.vpc-id": [vpc] for side, vpc in sides.items()},
            }
        )
        if matches(query.filters(), attributes):
            chosen.append(_describe_peering(world, one, account_id))
    return paged(query, "vpcPeeringConnectionSet", chosen, 1000)


def _describe_peering(world: World, one: Peering, account_id: str) -> Structure:
    here = _side(world.vpc.vpc_id, world.vpc.cidrs, account_id)
    there = _side(one.vpc_id, one.cidrs, account_id)
    return {
        "vpcPeeringConnectionId": one.peering_id,
        "requesterVpcInfo": here if one.requested else there,
        "accepterVpcInfo": there if one.requested else here,
        "status": {"code": one.status, "message": one.status.capitalize()},
        "tagSet": tag_set(world.tags.get(one.peering_id, {})),
    }


def _side(vpc_id: str, cidrs: Sequence[Cidr], account_id: str) -> Structure:
    ipv4 = [str(cidr) for cidr in cidrs if cidr.version == 4]
    return {
        "vpcId": vpc_id,
        "ownerId": account_id,
        "cidrBlock": ipv4[0] if ipv4 else None,
        "cidrBlockSet": [{"cidrBlock": text} for text in ipv4],
        "ipv6CidrBlockSet": [{"ipv6CidrBlock": str(cidr)} for cidr in cidrs if cidr.version == 6],
    }


def _attachment_attributes(world: World, one: TransitAttachment) -> Dict[str, List[str]]:
    attributes = dict(tag_attributes(world.tags.get(one.attachment_id, {})))
    attributes.update(
        {
            "transit-gateway-attachment-id": [one.attachment_id],
            "transit-gateway-id": [one.gateway_id],
            "state": ["available"],
        }
    )
    return attributes


def describe_vpc_attachments(world: World, query: Query, account_id: str) -> Structure:
    """DescribeTransitGatewayVpcAttachments: by filters and pages."""
    chosen: List[Structure] = []
    for one in world.transit_attachments:
        attributes = _attachment_attributes(world, one)
        attributes["vpc-id"] = [world.vpc.vpc_id]
        if matches(query.filters(), attributes):
            chosen.append(
                {
                    "transitGatewayAttachmentId": one.attachment_id,
                    "transitGatewayId": one.gateway_id,
                    "vpcId": world.vpc.vpc_id,
                    "vpcOwnerId": account_id,
                    "state": "available",
                    "subnetIds": list(one.subnet_ids),
                }
            )
    return paged(query, "transitGatewayVpcAttachments", chosen, 1000)


def describe_attachments(world: World, query: Query, account_id: str) -> Structure:
    """DescribeTransitGatewayAttachments: by filters and pages; those of the VPC."""
    chosen: List[Structure] = []
    for one in world.transit_attachments:
        attributes = _attachment_attributes(world, one)
        attributes.update(
            {
                "resource-id": [world.vpc.vpc_id],
                "resource-type": ["vpc"],
                "resource-owner-id": [account_id],
                "transit-gateway-owner-id": [one.owner_id],
            }
        )
        if matches(query.filters(), attributes):
            chosen.append(
                {
                    "transitGatewayAttachmentId": one.attachment_id,
                    "transitGatewayId": one.gateway_id,
                    "transitGatewayOwnerId": one.owner_id,
                    "resourceOwnerId": account_id,
                    "resourceType": "vpc",
                    "resourceId": world.vpc.vpc_id,
                    "state": "available",
                }
            )
    return paged(query, "transitGatewayAttachments", chosen, 1000)


def describe_tables(world: World, query: Query, account_id: str) -> Structure:
    """DescribeTransitGatewayRouteTables: by filters and pages; none of a gateway of another account."""
    others = {one.gateway_id for one in world.transit_attachments if one.owner_id != account_id}
    chosen: List[Structure] = []
    for one in world.transit_tables.values():
        attributes = tag_attributes(world.tags.get(one.table_id, {}))
        attributes.update(
            {
                "transit-gateway-route-table-id": [one.table_id],
                "transit-gateway-id": [one.gateway_id],
                "state": ["available"],
            }
        )
        if one.gateway_id not in others and matches(query.filters(), attributes):
            chosen.append(
                {
                    "transitGatewayRouteTableId": one.table_id,
                    "transitGatewayId": one.gateway_id,
                    "state": "available",
                }
            )
    return paged(query, "transitGatewayRouteTables", chosen, 1000)


def _table(world: World, query: Query) -> TransitTable:
    table_id = query.require("TransitGatewayRouteTableId")
    found = world.transit_tables.get(table_id)
    if found is None:
        raise ApiError(
            "InvalidRouteTableID.NotFound", f"Transit Gateway Route Table {table_id} was deleted or does not exist."
        )
    return found


def _destination(text: str) -> Cidr:
    try:
        return ip_network(text)
    except ValueError as error:
        raise invalid_value(f"Value ({text}) for parameter destinationCidrBlock is invalid.") from error


def search_routes(world: World, query: Query) -> Structure:
    """SearchTransitGatewayRoutes, by one of EXACT and LONGEST."""
    table, found = _table(world, query), []
    for name, values in query.filters():
        if name not in (EXACT, LONGEST):
            raise invalid_value(f"The lab's EC2 searches by {EXACT} and {LONGEST}, not by {name}")
        for text in values:
            cidr = _destination(text)
            holding = [one for one in table.routes if _holds(one.destination, cidr)]
            longest = max(holding, key=lambda one: (one.destination.prefixlen, one.static), default=None)
            if longest is not None and (name == LONGEST or longest.destination == cidr):
                found.append(longest)
    return {"routeSet": [_describe_route(world, one) for one in found], "additionalRoutesAvailable": False}


def _holds(cidr: Cidr, other: Cidr) -> bool:
    return cidr.version == other.version and other.prefixlen >= cidr.prefixlen and other.network_address in cidr


def _describe_route(world: World, one: TransitRoute) -> Structure:
    known = one.attachment_id in [held.attachment_id for held in world.transit_attachments]
    return {
        "destinationCidrBlock": str(one.destination),
        "transitGatewayAttachments": []
        if one.attachment_id is None
        else [
            {
                "transitGatewayAttachmentId": one.attachment_id,
                "resourceId": world.vpc.vpc_id if known else "vpn-0123456789abcdef0",
                "resourceType": "vpc" if known else "vpn",
            }
        ],
        "type": "static" if one.static else "propagated",
        "state": "blackhole" if one.attachment_id is None else "active",
    }


def create_route(world: World, query: Query) -> Tuple[World, Structure]:
    """CreateTransitGatewayRoute: a static route to an attachment, or a blackhole."""
    table, destination = _table(world, query), _destination(query.require("DestinationCidrBlock"))
    attachment: Optional[str] = None if query.flag("Blackhole") else query.require("TransitGatewayAttachmentId")
    if any(one.destination == destination and one.static for one in table.routes):
        raise ApiError("RouteAlreadyExists", f"Route {destination} already exists in {table.table_id}.")
    made = TransitRoute(destination, attachment)
    world = world.with_transit_table(replace(table, routes=(*table.routes, made)))
    return world, {"route": _describe_route(world, made)}


def delete_route(world: World, query: Query) -> Tuple[World, Structure]:
    """DeleteTransitGatewayRoute, of a static route."""
    table, destination = _table(world, query), _destination(query.require("DestinationCidrBlock"))
    old = next((one for one in table.routes if one.destination == destination and one.static), None)
    if old is None:
        raise ApiError("InvalidRoute.NotFound", f"no route with destination {destination} in {table.table_id}")
    kept = tuple(one for one in table.routes if one is not old)
    return world.with_transit_table(replace(table, routes=kept)), {"route": _describe_route(world, old)}


def describe_vpn_gateways(world: World, query: Query) -> Structure:
    """DescribeVpnGateways: by filters; all of them are attached to the VPC. It knows no pages."""
    chosen: List[Structure] = []
    for one in world.vpn_gateways:
        attributes = tag_attributes(world.tags.get(one, {}))
        attributes.update(
            {
                "vpn-gateway-id": [one],
                "state": ["available"],
                "type": ["ipsec.1"],
                "attachment.vpc-id": [world.vpc.vpc_id],
                "attachment.state": ["attached"],
            }
        )
        if matches(query.filters(), attributes):
            chosen.append(
                {
                    "vpnGatewayId": one,
                    "state": "available",
                    "type": "ipsec.1",
                    "attachments": [{"vpcId": world.vpc.vpc_id, "state": "attached"}],
                    "tagSet": tag_set(world.tags.get(one, {})),
                }
            )
    return {"vpnGatewaySet": chosen}
