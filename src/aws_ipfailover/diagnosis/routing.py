"""Checks of overlay-ip: route tables, CIDRs, the routes themselves, and the source/destination check.

Facts: Amazon VPC User Guide, "Route table concepts" and "Route priority"; Amazon EC2 API Reference, `Route`.
"""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from aws_ipfailover.address import Address, Cidr
from aws_ipfailover.aws.models import Route, RouteTable
from aws_ipfailover.diagnosis.aws_cli import ec2_command
from aws_ipfailover.diagnosis.finding import (
    ROUTING,
    Check,
    Command,
    Finding,
    Fix,
    Needs,
    failed,
    passed,
    unknown,
    warned,
)
from aws_ipfailover.diagnosis.surroundings import Surroundings
from aws_ipfailover.errors import DeniedError
from aws_ipfailover.holdings.destinations import Destinations
from aws_ipfailover.holdings.overlay_routes import CHECK_UNTOLD
from aws_ipfailover.holdings.route_writes import RouteWrites, few, summary

_OVERLAY = ("overlay-ip",)
_ANY_ADDRESS = 0  # the prefix length of a default route


def _tables(surroundings: Surroundings) -> Finding:
    described, unmatched = surroundings.chosen()
    vpc = surroundings.vpc_id()
    wrong: List[str] = []
    if described.missing:
        wrong.append(f"EC2 knows no route table {few(described.missing)}")
    others = [one for one in described.found if one.vpc_id != vpc]
    wrong += [f"{one.route_table_id} is of {one.vpc_id}, and this node is in {vpc}" for one in others]
    if unmatched:
        wrong.append(str(surroundings.why_unmatched(unmatched)))
    usable = [one.route_table_id for one in described.found if one not in others]
    if not wrong:
        return passed(f"{_count(len(usable), 'table')} of {vpc}: {few(usable)}")
    commands = _without(surroundings, [*described.missing, *(one.route_table_id for one in others)])
    return failed("; ".join(wrong), "Correct parameter routing_table.", *commands)


def _without(surroundings: Surroundings, gone: Sequence[str]) -> List[Command]:
    """The command that takes tables out of routing_table, where they are named by id in the cluster's configuration."""
    text = surroundings.given.get("routing_table", "")
    kept = [part.strip() for part in text.split(",") if part.strip() not in gone]
    return [set_tables(surroundings.resource_id, kept)] if surroundings.resource_id and gone and kept else []


def set_tables(resource_id: str, tables: Sequence[str]) -> Command:
    """The command that sets parameter routing_table of a resource."""
    value = ",".join(tables)
    return (
        *("crm_resource", "--resource", resource_id, "--set-parameter", "routing_table"),
        *("--parameter-value", value),
    )


def _outside_vpc(surroundings: Surroundings) -> Finding:
    cidrs, values = surroundings.vpc_cidrs(), surroundings.values()
    inside = [(address, cidr) for address in values.ip for cidr in cidrs if address in cidr]
    if not inside:
        return passed(f"outside {', '.join(map(str, cidrs))}")
    text = "; ".join(f"{address} is inside {cidr}, a CIDR of the VPC" for address, cidr in inside)
    hosts = {one.network_address for one in values.destination if one.prefixlen == one.max_prefixlen}
    remedy = "Choose an address outside every CIDR of the VPC: EC2 makes no route for a part of one."
    if any(address in hosts for address, _ in inside):
        return failed(text, remedy)
    return warned(text, f"{remedy} A destination that is a whole subnet's CIDR is accepted.")


def _outside_others(surroundings: Surroundings) -> Finding:
    """Peered networks by their CIDRs, attached ones by the wider routes that lead to them."""
    addresses = surroundings.values().ip
    try:
        peerings, refusal = surroundings.peerings(), None
    except DeniedError as error:
        peerings, refusal = [], error
    inside = [
        f"{address} is inside {cidr} of {one.vpc_id}, which {one.peering_id} leads to"
        for one in peerings
        for cidr in one.cidrs
        for address in addresses
        if address in cidr
    ]
    remedy = "Choose an address that no network uses which consumers are in, or reach."
    if inside:
        return failed("; ".join(inside), remedy)
    around = _attached_around(surroundings.tables(), addresses)
    if around:
        return warned(f"{'; '.join(around)}: is the address used there?", remedy)
    if refusal is not None:
        return unknown(str(refusal), 'Allow ec2:DescribeVpcPeeringConnections on Resource "*".')
    return passed("outside the networks that peering connections and routes lead to")


def _attached_around(tables: Sequence[RouteTable], addresses: Sequence[Address]) -> List[str]:
    """Routes to gateways that are for networks around an address, each told once; not default routes. Pure."""
    found: Dict[Tuple[Cidr, str], Address] = {}
    for table in tables:
        for route in table.routes:
            leads_away = route.target and not route.local and not route.network_interface_id
            if not leads_away or route.destination.prefixlen in (_ANY_ADDRESS, route.destination.max_prefixlen):
                continue
            for address in addresses:
                if address in route.destination:
                    found.setdefault((route.destination, route.target), address)
    return [f"{address} is inside {cidr}, which {target} leads to" for (cidr, target), address in found.items()]


def _source_dest_check(surroundings: Surroundings) -> Finding:
    eni = surroundings.own()
    if eni.source_dest_check is None:
        return unknown(CHECK_UNTOLD, "EC2 always tells it: see what answers in its place, such as AWS_ENDPOINT_URL.")
    if not eni.source_dest_check:
        return passed(f"off on {eni.network_interface_id}")
    command = ec2_command(
        surroundings,
        *("modify-network-interface-attribute", "--network-interface-id", eni.network_interface_id),
        "--no-source-dest-check",
    )
    ec2 = surroundings.ec2()
    return failed(
        f"on for {eni.network_interface_id}, so that EC2 drops every packet for the address",
        "Switch it off. A start does so where it may.",
        command,
        fix=Fix(
            f"switch off the source/destination check of {eni.network_interface_id}",
            lambda: ec2.switch_off_source_dest_check(eni.network_interface_id),
        ),
    )


class Leads(NamedTuple):
    """Where tables lead the destinations: each ENI with active routes, and what is not in order, by table and CIDR.

    `other_targets`: static routes to something that is no ENI.
    """

    enis: Tuple[str, ...]
    missing: Tuple[Tuple[str, Cidr], ...]
    blackholes: Tuple[Tuple[str, Cidr, str], ...]
    other_targets: Tuple[Tuple[str, Cidr, str], ...]


def leads(tables: Sequence[RouteTable], destinations: Destinations) -> Leads:
    """Where these tables lead the destinations. Pure."""
    enis: Dict[str, None] = {}
    missing: List[Tuple[str, Cidr]] = []
    blackholes: List[Tuple[str, Cidr, str]] = []
    others: List[Tuple[str, Cidr, str]] = []
    for table in tables:
        routes = destinations.routes_in(table)
        for cidr in destinations.cidrs:
            route: Optional[Route] = routes.get(cidr)
            if route is None or not route.static:
                missing.append((table.route_table_id, cidr))
            elif not route.network_interface_id:
                others.append((table.route_table_id, cidr, route.target))
            elif route.state != "active":
                blackholes.append((table.route_table_id, cidr, route.network_interface_id))
            else:
                enis[route.network_interface_id] = None
    return Leads(tuple(enis), tuple(missing), tuple(blackholes), tuple(others))


def _routes(surroundings: Surroundings) -> Finding:
    tables, own = surroundings.usable_tables(), surroundings.own_id()
    found = leads(tables, surroundings.destinations())
    wrong = _wrong(found)
    if not wrong:
        to = "this node" if found.enis == (own,) else found.enis[0]
        return passed(f"{_count(len(tables), 'table')} with an active route to {to}")
    stopped = found.blackholes and not (found.enis or found.missing or found.other_targets)
    if stopped:
        return warned("; ".join(wrong), "The next start writes the routes: nobody serves the address now.")
    target = _target_of_missing(found, own)
    commands = [_create_route(surroundings, table, cidr, target or "ENI-ID") for table, cidr in found.missing]
    commands += [
        _replace_route(surroundings, table, cidr, found.enis[0])
        for table, cidr, _ in (*found.blackholes, *found.other_targets)
        if len(found.enis) == 1
    ]
    remedy = "Make each table lead to the node that has the address; a start there does so, and a monitor at level 10."
    fix = _fix(surroundings, found, target) if target and found.missing else None
    return failed("; ".join(wrong), remedy, *commands, fix=fix)


def _wrong(found: Leads) -> List[str]:
    wrong: List[str] = []
    if found.missing:
        wrong.append(f"no route in {few([f'{table} for {cidr}' for table, cidr in found.missing])}")
    if found.other_targets:
        texts = [f"{table} leads {cidr} to {target or 'no ENI'}" for table, cidr, target in found.other_targets]
        wrong.append(few(texts))
    if found.blackholes:
        texts = [
            f"{table} leads {cidr} to {eni}, which is detached or does not run" for table, cidr, eni in found.blackholes
        ]
        wrong.append(few(texts))
    if len(found.enis) > 1:
        wrong.append(f"the tables lead to several network interfaces: {few(found.enis)}")
    return wrong


def _target_of_missing(found: Leads, own: str) -> Optional[str]:
    """Where a missing route has to lead: where the others lead; to this node where nothing leads anywhere.

    `None` where that is not clear, as another node can be serving the address.
    """
    if len(found.enis) == 1:
        return found.enis[0]
    return own if not (found.enis or found.blackholes or found.other_targets) else None


def _fix(surroundings: Surroundings, found: Leads, target: str) -> Fix:
    ec2, destinations = surroundings.role_ec2(), surroundings.destinations()

    def create() -> None:
        writes = RouteWrites(lambda route: ec2.create_route(*route, target))
        writes.add(found.missing)
        failures = writes.failures(surroundings.deadline, surroundings.access.progress)
        if failures:
            raise summary(failures, len(destinations.cidrs))

    return Fix(f"create {_count(len(found.missing), 'route')} to {target}", create)


def _create_route(surroundings: Surroundings, table: str, cidr: Cidr, target: str) -> Command:
    return _route(surroundings, "create-route", table, cidr, target)


def _replace_route(surroundings: Surroundings, table: str, cidr: Cidr, target: str) -> Command:
    return _route(surroundings, "replace-route", table, cidr, target)


def _route(surroundings: Surroundings, operation: str, table: str, cidr: Cidr, target: str) -> Command:
    option = "--destination-cidr-block" if cidr.version == 4 else "--destination-ipv6-cidr-block"
    return ec2_command(
        surroundings,
        *(operation, "--route-table-id", table, option, str(cidr), "--network-interface-id", target),
    )


def _winning(surroundings: Surroundings) -> Finding:
    destinations = surroundings.destinations()
    wins: List[Tuple[str, Route]] = []
    for table in surroundings.usable_tables():
        ours = {route.network_interface_id for route in destinations.routes_in(table).values()}
        narrower: Set[Route] = {
            route for route in destinations.narrower_routes_in(table).values() if route.network_interface_id not in ours
        }
        wins += [(table.route_table_id, route) for route in sorted(narrower, key=str)]
    if not wins:
        return passed("no more specific route leads the address elsewhere")
    texts = [f"in {table} the route for {route.destination} to {route.target}" for table, route in wins]
    commands = [_delete_route(surroundings, table, route.destination) for table, route in wins if route.static]
    return failed(
        f"{few(texts)} wins, as it is more specific", "Delete it, or choose a destination without it.", *commands
    )


def _delete_route(surroundings: Surroundings, table: str, cidr: Cidr) -> Command:
    option = "--destination-cidr-block" if cidr.version == 4 else "--destination-ipv6-cidr-block"
    return ec2_command(surroundings, "delete-route", "--route-table-id", table, option, str(cidr))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _check(name: str, title: str, asks: str, look: Callable[[Surroundings], Finding]) -> Check:
    return Check(name, title, asks, ROUTING, Needs.EC2, look, modes=_OVERLAY)


CHECKS = (
    _check("tables", "Route tables", "Do the tables of routing_table exist, in this node's VPC?", _tables),
    _check("outside-vpc", "Outside the VPC", "Is the address outside every CIDR of the VPC?", _outside_vpc),
    _check(
        *("outside-others", "Outside other networks"),
        "Is the address outside every CIDR of peered VPCs and of networks that routes lead to?",
        _outside_others,
    ),
    _check(
        *("source-dest-check", "Source/dest. check", "Is the source/destination check of this node's ENI off?"),
        _source_dest_check,
    ),
    _check("routes", "Routes", "Has each table an active route, all to the same ENI?", _routes),
    _check("winning-routes", "Winning routes", "Does no more specific route win over the address's?", _winning),
)
