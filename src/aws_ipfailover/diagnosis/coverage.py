"""Checks of overlay-ip: from which subnets, and from where outside the VPC, the address is reached.

Nothing here fails: not every subnet, and not every network outside, has consumers.

Facts: Amazon VPC User Guide, "Subnet route tables"; Amazon VPC Transit Gateways guide, "How transit gateways work" (a
transit gateway routes by the table of the attachment that a packet comes from, and into a VPC through the subnets of
its attachment); SAP on AWS guides, "Overlay IP address routing" (a static route to the VPC's attachment; a peering
connection and a virtual private gateway pass nothing for an address outside the VPC's CIDRs).
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from aws_ipfailover.address import Cidr
from aws_ipfailover.aws.models import RouteTable, Subnet
from aws_ipfailover.aws.survey_models import TransitAttachment, TransitRoute
from aws_ipfailover.diagnosis.aws_cli import ec2_command
from aws_ipfailover.diagnosis.finding import (
    COVERAGE,
    Check,
    Command,
    Finding,
    Needs,
    passed,
    unknown,
    warned,
)
from aws_ipfailover.diagnosis.routing import set_tables
from aws_ipfailover.diagnosis.surroundings import Surroundings
from aws_ipfailover.errors import Error
from aws_ipfailover.holdings.route_writes import few

_BALANCER = "Or put a Network Load Balancer, whose address the VPC has, before the nodes."


def table_of(subnets: Sequence[Subnet], tables: Sequence[RouteTable]) -> Dict[str, str]:
    """The route table of each subnet, by the subnets' ids: its own or the main one; empty where neither is known."""
    explicit = {subnet: table.route_table_id for table in tables for subnet in table.subnet_ids}
    main = next((table.route_table_id for table in tables if table.main), "")
    return {one.subnet_id: explicit.get(one.subnet_id, main) for one in subnets}


def lacking(subnets: Sequence[Subnet], tables: Sequence[RouteTable], chosen: Sequence[str]) -> Dict[str, List[Subnet]]:
    """The subnets whose table is none of the `chosen`, by the table's id. Pure."""
    used = table_of(subnets, tables)
    found: Dict[str, List[Subnet]] = {}
    for one in subnets:
        if used[one.subnet_id] not in chosen:
            found.setdefault(used[one.subnet_id], []).append(one)
    return found


def _subnets(surroundings: Surroundings) -> Finding:
    chosen = [one.route_table_id for one in surroundings.usable_tables()]
    subnets, tables = surroundings.subnets(), surroundings.tables()
    found = lacking(subnets, tables, chosen)
    if not found:
        zones = sorted({one.availability_zone for one in subnets})
        return passed(f"all {len(subnets)} subnets, in {', '.join(zones)}")
    texts = [
        f"{few([f'{one.subnet_id} in {one.availability_zone}' for one in some])} by {table or 'the main route table'}"
        for table, some in found.items()
    ]
    remedy = "If consumers are there, add these tables to routing_table."
    given = [part.strip() for part in surroundings.given.get("routing_table", "").split(",") if part.strip()]
    more = [table for table in found if table]
    commands = [set_tables(surroundings.resource_id, [*given, *more])] if surroundings.resource_id and more else []
    return warned(
        f"no route to the address in {'; '.join([*texts, *_entries(surroundings, found)])}", remedy, *commands
    )


def _entries(surroundings: Surroundings, found: Dict[str, List[Subnet]]) -> List[str]:
    """By which of these subnets packets from a transit gateway enter the VPC, as far as that is known."""
    without = {one.subnet_id for some in found.values() for one in some}
    try:
        attachments = surroundings.transit_attachments()
    except Error:
        return []
    entered = {one.gateway_id: sorted(without.intersection(one.subnet_ids)) for one in attachments}
    return [f"packets from {gateway} enter by {few(subnets)}" for gateway, subnets in entered.items() if subnets]


def _transit_gateways(surroundings: Surroundings) -> Finding:
    attachments = surroundings.transit_attachments()
    if not attachments:
        return passed("the VPC is attached to no transit gateway")
    wrong: List[str] = []
    unseen: List[str] = []
    commands: List[Command] = []
    for one in attachments:
        tables = surroundings.transit_tables(one.gateway_id)
        if not tables:
            unseen.append(f"the route tables of {one.gateway_id} belong to {_account(one)}, and are not seen from here")
        for table in tables:
            for cidr in surroundings.destinations().cidrs:
                problem = not_led(surroundings.transit_route(table.table_id, _first(surroundings, cidr)), one)
                if problem:
                    wrong.append(f"{table.table_id} of {one.gateway_id} {problem} {cidr}")
                    commands.append(_transit_route(surroundings, table.table_id, cidr, one))
    if wrong:
        remedy = (
            "Networks behind it do not reach the address. Give each table that their attachments use a static route to"
            " the VPC's attachment; on premises, a route by VPN or Direct Connect (allowed prefixes) as well."
        )
        return warned("; ".join([*wrong, *unseen]), remedy, *commands)
    if unseen:
        remedy = "Ask its owner for a static route for the address to the VPC's attachment."
        return unknown("; ".join(unseen), remedy, *_of_owner(surroundings, attachments))
    gateways = few([one.gateway_id for one in attachments])
    return passed(f"every route table of {gateways} leads the address to this VPC")


def not_led(route: Optional[TransitRoute], attachment: TransitAttachment) -> str:
    """What is wrong with the route that a transit gateway has for the address; empty if it leads to the VPC. Pure."""
    if route is None:
        return "has no route for"
    if not route.active:
        return f"has an inactive route ({route.destination}) for"
    if attachment.attachment_id not in route.attachment_ids:
        return f"leads by {route.destination} to {few(route.attachment_ids)} instead of {attachment.attachment_id}"
    return ""


def _first(surroundings: Surroundings, cidr: Cidr) -> Cidr:
    """The service's first address in a destination, as a host's CIDR."""
    address = next(one for one in surroundings.values().ip if one in cidr)
    return ip_network(address)


def _transit_route(surroundings: Surroundings, table: str, cidr: Cidr, attachment: TransitAttachment) -> Command:
    return ec2_command(
        surroundings,
        *("create-transit-gateway-route", "--transit-gateway-route-table-id", table),
        *("--destination-cidr-block", str(cidr)),
        *("--transit-gateway-attachment-id", attachment.attachment_id),
    )


def _of_owner(surroundings: Surroundings, attachments: Sequence[TransitAttachment]) -> List[Command]:
    return [
        _transit_route(surroundings, "TGW-RTB-ID", cidr, one)
        for one in attachments
        for cidr in surroundings.destinations().cidrs
    ]


def _account(attachment: TransitAttachment) -> str:
    return f"account {attachment.owner_id}" if attachment.owner_id else "another account"


def _vpn(surroundings: Surroundings) -> Finding:
    gateways = surroundings.vpn_gateways()
    if not gateways:
        return passed("no virtual private gateway is attached to the VPC")
    return warned(
        f"networks behind {few(gateways)} do not reach the address: a virtual private gateway passes only what is for"
        " the VPC's CIDRs",
        f"Connect them by a transit gateway. {_BALANCER}",
    )


def _peering(surroundings: Surroundings) -> Finding:
    peerings = surroundings.peerings()
    if not peerings:
        return passed("no peering connection of the VPC is active")
    texts = [f"{one.vpc_id} ({one.peering_id})" for one in peerings]
    return warned(
        f"consumers in {few(texts)} do not reach the address: a peering connection passes only what is for the CIDRs of"
        " its VPCs",
        f"Connect these VPCs by a transit gateway. {_BALANCER}",
    )


def _check(name: str, title: str, asks: str, look: Callable[[Surroundings], Finding]) -> Check:
    return Check(name, title, asks, COVERAGE, Needs.EC2, look, modes=("overlay-ip",))


CHECKS: Tuple[Check, ...] = (
    _check("subnets", "Subnets", "Has every subnet of the VPC a table that leads to the address?", _subnets),
    _check(
        *("transit-gateways", "Transit gateways", "Does every transit gateway lead the address to this VPC?"),
        _transit_gateways,
    ),
    _check("vpn-gateways", "VPN gateways", "Is no network behind a virtual private gateway, which cannot?", _vpn),
    _check("peerings", "Peering", "Is no network behind a peering connection, which cannot reach it?", _peering),
)
