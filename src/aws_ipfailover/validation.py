"""What `validate-all` checks beyond the text of the parameters: this node, its ENI, the VPC, and every permission.

Permissions are checked with EC2's DryRun, which changes nothing, so that a permission that the standby's role lacks is
found before a failover. EC2 has no DryRun for AssignPrivateIpAddresses and AssignIpv6Addresses.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Dict, List, Optional, Sequence, Set

from aws_ipfailover.address import Cidr
from aws_ipfailover.coexistence import warnings
from aws_ipfailover.context import Context
from aws_ipfailover.deadline import Task
from aws_ipfailover.errors import DeniedError, Error, InUseError, NodeError, NoRouteError, NoTableError
from aws_ipfailover.holdings.delegated_prefixes import delegations
from aws_ipfailover.holdings.eni_attachment import EniAttachment
from aws_ipfailover.holdings.overlay_routes import check_is_on
from aws_ipfailover.holdings.route_writes import RouteId, RouteWrites, few, sentences, summary
from aws_ipfailover.modes import chosen_tables, destinations_of, elastic_ip, mode_named
from aws_ipfailover.parameters import Values

if TYPE_CHECKING:
    from aws_ipfailover.aws.models import NetworkInterface, RouteTable

log = logging.getLogger(__name__)


def validate(context: Context, values: Values) -> None:
    """Check the parameters against this node and the VPC. Changes nothing.

    Raises:
        NodeError, DeniedError, MissingError, UnknownError: the first thing that is wrong or cannot be found out.
    """
    mode = mode_named(values.mode)
    mode.holdings(context, values)
    checks = {"overlay-ip": _check_overlay, "eni": _check_eni, "private-ip": _check_private}

    def check() -> Optional[str]:
        mac = checks[mode.name](context, values)
        _check_elastic_ip(context, values)
        return mac

    mac = Task(check).result(context.deadline, context.progress)
    for warning in warnings(mode, mac):
        log.warning("%s", warning)


def _check_elastic_ip(context: Context, values: Values) -> None:
    eni = values.network_interface_id if values.mode == "eni" else None
    association = elastic_ip(context, values, eni or context.node.network_interface_id())
    if association is not None:
        association.check()


def _check_private(context: Context, values: Values) -> Optional[str]:
    log.info("EC2 has no dry run for assigning an address: whether this node may do it is not checked")
    eni = context.ec2.network_interface(context.node.network_interface_id())
    for found in delegations(values.ip, [eni, *context.ec2.network_interfaces_in(eni.subnet_id)]):
        raise found.refused()
    for address in values.ip:
        if address.version != 4 or eni.addresses[:1] != (address,):
            continue
        raise NodeError(
            f"parameter ip: {address} is the primary private address of this node's own {eni.network_interface_id},"
            " which never moves; expected a secondary one"
        )
    return None


def _check_eni(context: Context, values: Values) -> Optional[str]:
    """Check that this node can attach the ENI; returns its MAC address."""
    eni, ec2 = values.required_network_interface_id, context.ec2
    me = context.node.instance_id()
    index, card = values.device_index, values.network_card_index
    attachment = EniAttachment(eni, index, card, me, ec2, context.memory(eni), context.deadline)
    attachment.check()
    found = attachment.described()
    try:
        attachment.may_attach()
    except InUseError as error:
        log.info("%s: whether this node may attach it cannot be asked while it is attached", error)
    if found.attachment is not None:
        ec2.may_detach(found.attachment.attachment_id)
    else:
        log.info("whether this node may detach %s cannot be asked while it is attached to nothing", eni)
    return found.mac


def _check_overlay(context: Context, values: Values) -> Optional[str]:
    """Check overlay addresses.

    Raises:
        NodeError: a table is unknown or of another VPC, no table has a tag, the source/destination check is on, or an
            address lies inside the VPC.
        DeniedError: a permission is missing.  UnknownError: one of these cannot be found out.
    """
    network_interface_id = context.node.network_interface_id()
    chosen = chosen_tables(context, values)
    tables, unmatched = chosen.described()
    if tables.missing:
        raise NoTableError(
            f"{', '.join(tables.missing)}: no such route table, remove it from routing_table"
            " (DescribeRouteTables: InvalidRouteTableID.NotFound)"
        )
    if unmatched:
        raise chosen.none_found(unmatched)
    if chosen.need_lookup:
        log.info("routing_table names %s", ", ".join(table.route_table_id for table in tables.found))
    interface = context.ec2.network_interface(network_interface_id)
    _check_vpc(context, values, tables.found, interface)
    _check_route_permissions(context, values, tables.found, network_interface_id)
    _warn_of_uncovered_subnets(context, interface.vpc_id, [table.route_table_id for table in tables.found])
    # Told to a standby too: where the lookup fails at its first start, it knows these tables.
    chosen.remember([table.route_table_id for table in tables.found])
    return None


def _warn_of_uncovered_subnets(context: Context, vpc_id: str, route_table_ids: Sequence[str]) -> None:
    """Warn of the VPC's subnets whose route table is none of these: their consumers do not reach the address."""
    ec2 = context.role_ec2
    try:
        tables, subnets = ec2.route_tables_of(vpc_id), ec2.subnets_of(vpc_id)
    except Error as error:
        log.info("%s: which subnets cannot reach the address is not known", error)
        return
    explicit = {subnet: table.route_table_id for table in tables for subnet in table.subnet_ids}
    main = next((table.route_table_id for table in tables if table.main), "")
    uncovered: Dict[str, List[str]] = {}
    for subnet in subnets:
        table = explicit.get(subnet.subnet_id, main)
        if table not in route_table_ids:
            uncovered.setdefault(table, []).append(f"{subnet.subnet_id} in {subnet.availability_zone}")
    for table, some in uncovered.items():
        log.warning(
            "%s is not among the tables of routing_table: consumers in %s do not reach the address",
            table or "the main route table",
            few(some),
        )


def _check_vpc(context: Context, values: Values, tables: Sequence[RouteTable], interface: NetworkInterface) -> None:
    for table in tables:
        if table.vpc_id != interface.vpc_id:
            raise NodeError(
                f"parameter routing_table: {table.route_table_id} is of {table.vpc_id},"
                f" but this node's {interface.network_interface_id} is in {interface.vpc_id}"
            )
    if interface.source_dest_check:
        raise NodeError(check_is_on(context.ec2.region, interface.network_interface_id))
    cidrs = sorted(_vpc_cidrs(context, interface.vpc_id, tables), key=str)
    for address in values.ip:
        for cidr in cidrs:
            if address in cidr:
                raise NodeError(
                    f"parameter ip: {address} lies inside the VPC's CIDR {cidr}, expected an address outside every CIDR"
                )


def _check_route_permissions(
    context: Context, values: Values, tables: Sequence[RouteTable], network_interface_id: str
) -> None:
    """Check, for all tables in parallel, that a start on this node may write them.

    Permissions are for a table, so that one of several destinations stands for all.
    """
    ec2, destinations = context.role_ec2, destinations_of(values)

    def ask(route: RouteId) -> None:
        table, destination = route
        try:
            ec2.may_replace_route(table, destination, network_interface_id)
        except NoRouteError as error:
            log.debug("%s", error)
        if destination not in present[table]:
            ec2.may_create_route(table, destination, network_interface_id)

    present = {table.route_table_id: destinations.routes_in(table) for table in tables}
    asked = RouteWrites(ask)
    for table, routes in present.items():
        missing = [cidr for cidr in destinations.cidrs if cidr not in routes]
        asked.add([(table, (missing or destinations.cidrs)[0])])
    failures = asked.failures(context.deadline, context.progress)
    denied = {route: error for route, error in failures.items() if isinstance(error, DeniedError)}
    if denied:
        raise DeniedError("; ".join(sentences(denied, 1)))
    if failures:
        raise summary(failures, 1)


def _vpc_cidrs(context: Context, vpc_id: str, tables: Sequence[RouteTable]) -> Set[Cidr]:
    """Every CIDR of the VPC: from its tables' local routes and IMDS, and from DescribeVpcs if that is permitted."""
    cidrs = {route.destination for table in tables for route in table.routes if route.local}
    cidrs |= set(context.node.vpc_cidrs())
    try:
        cidrs |= set(context.ec2.vpc_cidrs(vpc_id))
    except DeniedError as error:
        log.info("%s; taking the VPC's CIDRs from its route tables", error)
    return cidrs
