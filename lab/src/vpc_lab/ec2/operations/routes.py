"""Route tables: what EC2 does with CreateRoute, ReplaceRoute, DeleteRoute, and how DescribeRouteTables shows them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Network, ip_network
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from vpc_lab.ec2.errors import ApiError, invalid_value, missing, not_found
from vpc_lab.ec2.wire import Query, Structure, matches, specified_tags, tag_attributes, tag_set
from vpc_lab.vpc import Association, Cidr, Route, RouteTable, identifier
from vpc_lab.world import World

PAGE = 100  # DescribeRouteTables never returns more tables at once.

# The targets that a route can have, as parameters of the Query API.
TARGETS = (
    "GatewayId",
    "NatGatewayId",
    "NetworkInterfaceId",
    "VpcPeeringConnectionId",
    "EgressOnlyInternetGatewayId",
    "TransitGatewayId",
    "LocalGatewayId",
    "CarrierGatewayId",
    "VpcEndpointId",
    "CoreNetworkArn",
    "InstanceId",
)
GATEWAY_MEMBER = {
    "tgw": "transitGatewayId",
    "nat": "natGatewayId",
    "pcx": "vpcPeeringConnectionId",
    "eigw": "egressOnlyInternetGatewayId",
}


def route_table(world: World, route_table_id: str, owner_id: str) -> RouteTable:
    """A table that `owner_id` can see; otherwise InvalidRouteTableID.NotFound or .Malformed."""
    if not route_table_id.startswith("rtb-"):
        raise ApiError("InvalidRouteTableId.Malformed", f'Invalid id: "{route_table_id}" (expecting "rtb-...")')
    table = world.route_tables.get(route_table_id)
    if table is None or table.owner_id != owner_id:
        raise not_found("InvalidRouteTableID.NotFound", "routeTable", route_table_id)
    return table


def destination(query: Query) -> Cidr:
    """The destination of a call; EC2 sets an IPv4 block's host bits to zero itself."""
    ipv4, ipv6 = query.get("DestinationCidrBlock"), query.get("DestinationIpv6CidrBlock")
    if ipv4 is not None and ipv6 is not None:
        raise ApiError(
            "InvalidParameterCombination",
            "The parameters destinationCidrBlock and destinationIpv6CidrBlock cannot be used together",
        )
    text = ipv4 or ipv6
    if text is None:
        raise missing("destinationCidrBlock")
    name = "destinationCidrBlock" if ipv4 else "destinationIpv6CidrBlock"
    block: Optional[Cidr]
    try:
        block = ip_network(text, strict=False)
    except ValueError:
        block = None
    if block is None or "/" not in text or isinstance(block, IPv6Network) is not (ipv6 is not None):
        raise invalid_value(f"Value ({text}) for parameter {name} is invalid. This is not a valid CIDR block.")
    return block


def target(world: World, query: Query, table: RouteTable) -> str:
    """The id that a route is to lead to, checked; an instance stands for its only ENI, and has to be running.

    The wording of what is refused is that of EC2's own answers, as public bug reports quote them.
    """
    given = [(name, value) for name in TARGETS for value in (query.get(name),) if value is not None]
    local = query.flag("LocalTarget")
    if len(given) + local != 1:
        # Both codes and the wording are those of EC2's own answers.
        raise ApiError(
            "InvalidParameterCombination" if given else "MissingParameter",
            "The request must contain exactly one of gatewayId, natGatewayId, networkInterfaceId, "
            "vpcPeeringConnectionId, egressOnlyInternetGatewayId, transitGatewayId, localGatewayId or instanceId",
        )
    if local:
        return "local"
    name, value = given[0]
    if name == "NetworkInterfaceId":
        if value not in world.interfaces:
            raise not_found("InvalidNetworkInterfaceID.NotFound", "networkInterface", value)
        if world.interfaces[value].vpc_id is not None:
            raise invalid_value(
                f"route table {table.route_table_id} and interface {value} belong to different networks"
            )
        return value
    if name == "InstanceId":
        if value not in world.instances or world.instances[value].state == "terminated":
            raise not_found("InvalidInstanceID.NotFound", "instance", value)
        state = world.instances[value].state
        if state != "running":
            raise ApiError("IncorrectInstanceState", f"Instance with state '{state}' is not valid for this operation.")
        held = world.interfaces_of(value)
        if len(held) != 1:
            raise ApiError(
                "InvalidInstanceID",
                f"There are multiple interfaces attached to instance '{value}'. "
                "Please specify an interface ID for the operation instead.",
            )
        return held[0].network_interface_id
    if value not in world.gateways:
        raise not_found(f"Invalid{name[:-2]}ID.NotFound", name[0].lower() + name[1:-2], value)
    return value


def _inside_vpc(world: World, block: Cidr) -> bool:
    return any(block.version == cidr.version and block.subnet_of(cidr) for cidr in world.vpc.cidrs)  # type: ignore[arg-type]


def create_route(world: World, query: Query, owner_id: str, quota: int) -> World:
    """CreateRoute; a propagated route for the same destination does not stand in its way."""
    table = route_table(world, query.require("RouteTableId"), owner_id)
    block = destination(query)
    leads_to = target(world, query, table)
    if table.static(block) is not None:
        raise ApiError("RouteAlreadyExists", f"The route identified by {block} already exists.")
    # A destination more specific than the VPC's local route has to be a whole subnet ("middlebox routing").
    if _inside_vpc(world, block) and not any(block in subnet.cidrs for subnet in world.subnets.values()):
        raise invalid_value("Route destination doesn't match any subnet CIDR blocks.")
    if len(table.routes) >= quota:
        raise ApiError("RouteLimitExceeded", "The maximum number of routes has been reached.")
    return world.with_route_table(replace(table, routes=(*table.routes, Route(block, leads_to))))


def replace_route(world: World, query: Query, owner_id: str) -> World:
    """ReplaceRoute of a static route; a propagated one for the same destination is none that it finds."""
    table = route_table(world, query.require("RouteTableId"), owner_id)
    block = destination(query)
    leads_to = target(world, query, table)
    old = table.static(block)
    if old is None:
        raise invalid_value(f"There is no route defined for '{block}' in the route table. Use CreateRoute instead.")
    if old.target == leads_to and old.state is None:
        return world
    changed = tuple(replace(route, target=leads_to, state=None) if route is old else route for route in table.routes)
    return world.with_route_table(replace(table, routes=changed))


def delete_route(world: World, query: Query, owner_id: str) -> World:
    """DeleteRoute of a static route."""
    table = route_table(world, query.require("RouteTableId"), owner_id)
    block = destination(query)
    old = table.static(block)
    if old is None:
        raise ApiError(
            "InvalidRoute.NotFound",
            f"no route with destination-cidr-block {block} in route table {table.route_table_id}",
        )
    if old.origin == "CreateRouteTable":
        raise invalid_value(f"cannot remove local route {block} in route table {table.route_table_id}")
    return world.with_route_table(replace(table, routes=tuple(route for route in table.routes if route is not old)))


def local_routes(world: World) -> Tuple[Route, ...]:
    """The routes every table starts with."""
    return tuple(Route(cidr, "local", "CreateRouteTable") for cidr in world.vpc.cidrs)


def create_route_table(world: World, query: Query, owner_id: str) -> Tuple[World, Structure]:
    """CreateRouteTable."""
    if query.require("VpcId") != world.vpc.vpc_id:
        raise not_found("InvalidVpcID.NotFound", "vpc", query.require("VpcId"))
    number = len(world.route_tables)
    while identifier("rtb", f"created {number}") in world.route_tables:
        number += 1
    made = RouteTable(identifier("rtb", f"created {number}"), owner_id, local_routes(world))
    world = world.with_route_table(made)
    world = world.with_tags(made.route_table_id, specified_tags(query))
    return world, {"routeTable": _describe(world, made, owner_id, shared=False)}


def delete_route_table(world: World, query: Query, owner_id: str) -> World:
    """DeleteRouteTable; refused while it is associated, so the main table always is."""
    table = route_table(world, query.require("RouteTableId"), owner_id)
    if table.associations:
        raise ApiError(
            "DependencyViolation",
            f"The routeTable '{table.route_table_id}' has dependencies and cannot be deleted.",
        )
    return world.without_route_table(table.route_table_id)


def associate(world: World, query: Query, owner_id: str) -> Tuple[World, Structure]:
    """AssociateRouteTable with a subnet."""
    table = route_table(world, query.require("RouteTableId"), owner_id)
    subnet_id = query.require("SubnetId")
    if subnet_id not in world.subnets:
        raise not_found("InvalidSubnetID.NotFound", "subnet", subnet_id)
    for other in world.route_tables.values():
        for association in other.associations:
            if association.subnet_id == subnet_id:
                raise ApiError(
                    "Resource.AlreadyAssociated",
                    f"the specified association for route table {other.route_table_id} conflicts with an existing "
                    "association",
                )
    made = Association(identifier("rtbassoc", table.route_table_id, subnet_id), subnet_id)
    world = world.with_route_table(replace(table, associations=(*table.associations, made)))
    return world, {"associationId": made.association_id, "associationState": {"state": "associated"}}


def disassociate(world: World, query: Query) -> World:
    """DisassociateRouteTable; the subnet then uses the main table."""
    association_id = query.require("AssociationId")
    for table in world.route_tables.values():
        for association in table.associations:
            if association.association_id == association_id and association.subnet_id is not None:
                kept = tuple(one for one in table.associations if one is not association)
                return world.with_route_table(replace(table, associations=kept))
    raise ApiError("InvalidAssociationID.NotFound", f"The association ID '{association_id}' does not exist")


def replace_association(world: World, query: Query, owner_id: str) -> Tuple[World, Structure]:
    """ReplaceRouteTableAssociation."""
    association_id = query.require("AssociationId")
    table = route_table(world, query.require("RouteTableId"), owner_id)
    for old in world.route_tables.values():
        for association in old.associations:
            if association.association_id == association_id:
                kept = tuple(one for one in old.associations if one is not association)
                world = world.with_route_table(replace(old, associations=kept))
                table = world.route_tables[table.route_table_id]
                made = Association(identifier("rtbassoc", association_id, table.route_table_id), association.subnet_id)
                world = world.with_route_table(replace(table, associations=(*table.associations, made)))
                return world, {"newAssociationId": made.association_id, "associationState": {"state": "associated"}}
    raise ApiError("InvalidAssociationID.NotFound", f"The association ID '{association_id}' does not exist")


def _describe_route(world: World, route: Route, *, shared: bool) -> Structure:
    result: Dict[str, object] = {}
    ipv6 = route.destination.version == 6
    result["destinationIpv6CidrBlock" if ipv6 else "destinationCidrBlock"] = str(route.destination)
    kind = route.target.split("-")[0]
    if kind == "eni":
        result["networkInterfaceId"] = route.target
        interface = world.interfaces.get(route.target)
        if interface is not None and interface.attachment is not None:
            # The owner of a shared VPC sees a participant's ENI, but not its instance.
            if not shared:
                result["instanceId"] = interface.attachment.instance_id
            result["instanceOwnerId"] = interface.owner_id
    else:
        result[GATEWAY_MEMBER.get(kind, "gatewayId")] = route.target
    result["state"] = world.state_of(route)
    result["origin"] = route.origin
    return result


def _describe(world: World, table: RouteTable, owner_id: str, *, shared: bool) -> Structure:
    return {
        "routeTableId": table.route_table_id,
        "vpcId": world.vpc.vpc_id,
        "ownerId": owner_id,
        "routeSet": [_describe_route(world, route, shared=shared) for route in table.routes],
        "associationSet": [
            {
                "routeTableAssociationId": association.association_id,
                "routeTableId": table.route_table_id,
                "subnetId": association.subnet_id,
                "main": association.subnet_id is None,
                "associationState": {"state": "associated"},
            }
            for association in table.associations
        ],
        "propagatingVgwSet": [],
        "tagSet": tag_set(world.tags.get(table.route_table_id, {})),
    }


def _attributes(world: World, table: RouteTable, described: Structure) -> Dict[str, List[str]]:
    routes: Sequence[Mapping[str, str]] = described["routeSet"]  # type: ignore[assignment]

    def of(member: str) -> List[str]:
        return [route[member] for route in routes if member in route]

    result = tag_attributes(world.tags.get(table.route_table_id, {}))
    result.update(
        {
            "route-table-id": [table.route_table_id],
            "vpc-id": [world.vpc.vpc_id],
            "owner-id": [table.owner_id],
            # "Route tables that do not have an association ID are not returned in the response."
            "association.main": [str(one.subnet_id is None).lower() for one in table.associations],
            "association.gateway-id": [],
            "association.subnet-id": [one.subnet_id for one in table.associations if one.subnet_id is not None],
            "association.route-table-id": [table.route_table_id] if table.associations else [],
            "association.route-table-association-id": [one.association_id for one in table.associations],
            "route.destination-cidr-block": of("destinationCidrBlock"),
            "route.destination-ipv6-cidr-block": of("destinationIpv6CidrBlock"),
            "route.gateway-id": of("gatewayId"),
            "route.instance-id": of("instanceId"),
            "route.network-interface-id": of("networkInterfaceId"),
            "route.transit-gateway-id": of("transitGatewayId"),
            "route.nat-gateway-id": of("natGatewayId"),
            "route.egress-only-internet-gateway-id": of("egressOnlyInternetGatewayId"),
            "route.vpc-peering-connection-id": of("vpcPeeringConnectionId"),
            "route.destination-prefix-list-id": [],
            "route.state": of("state"),
            "route.origin": of("origin"),
        }
    )
    return result


def describe_route_tables(world: World, query: Query, owner_id: str, *, shared: bool) -> Structure:
    """DescribeRouteTables: by ids, filters and pages."""
    wanted = query.members("RouteTableId")
    if wanted and query.get("MaxResults"):
        raise ApiError(
            "InvalidParameterCombination",
            "The parameter routeTableIds cannot be used with the parameter maxResults",
        )
    if wanted:
        tables = [route_table(world, route_table_id, owner_id) for route_table_id in dict.fromkeys(wanted)]
    else:
        tables = [table for table in world.route_tables.values() if table.owner_id == owner_id]
    filters = query.filters()
    chosen = []
    for table in tables:
        described = _describe(world, table, owner_id, shared=shared)
        if not filters or matches(filters, _attributes(world, table, described)):
            chosen.append(described)
    return paged(query, "routeTableSet", chosen, PAGE)


def paged(query: Query, member: str, items: Sequence[Structure], most: int) -> Structure:
    """One page of a Describe answer, with `nextToken` where more follow."""
    size = query.number("MaxResults")
    if size is not None and not 5 <= size <= 1000:
        raise invalid_value(
            f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value between 5 and 1000."
        )
    size = most if size is None else min(size, most)
    token = query.get("NextToken")
    begin = 0
    if token is not None:
        try:
            begin = int(token.rpartition("-")[2])
        except ValueError as error:
            raise ApiError("InvalidNextToken", "The token is invalid.") from error
    following: Optional[str] = None if begin + size >= len(items) else f"page-{begin + size}"
    return {member: list(items[begin : begin + size]), "nextToken": following}
