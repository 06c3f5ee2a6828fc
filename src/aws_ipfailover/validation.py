"""What `validate-all` checks beyond the text of the parameters: this node, its ENI, the VPC, and every permission.

Permissions are checked with EC2's DryRun, which changes nothing, so that a permission that the standby's role lacks is
found before a failover. EC2 has no DryRun for AssignPrivateIpAddresses and AssignIpv6Addresses.
"""

from __future__ import annotations

import logging
from ipaddress import ip_network
from typing import TYPE_CHECKING, Dict, List, Optional, Sequence, Set

from aws_ipfailover.address import Address, Cidr
from aws_ipfailover.coexistence import warnings
from aws_ipfailover.context import Context
from aws_ipfailover.deadline import Task
from aws_ipfailover.errors import DeniedError, InUseError, NodeError, NoRouteError, NoTableError
from aws_ipfailover.holdings.delegated_prefixes import delegations
from aws_ipfailover.holdings.eni_attachment import EniAttachment
from aws_ipfailover.holdings.overlay_routes import check_is_on
from aws_ipfailover.modes import mode_named
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
    mac = Task(lambda: checks[mode.name](context, values)).result(context.deadline, context.progress)
    for warning in warnings(mode, mac):
        log.warning("%s", warning)


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
    """Check an overlay address.

    Raises:
        NodeError: a table is unknown or of another VPC, the source/destination check is on, or the address lies
            inside the VPC.  DeniedError: a permission is missing.  UnknownError: one of these cannot be found out.
    """
    network_interface_id = context.node.network_interface_id()
    tables = context.role_ec2.route_tables(values.routing_table.ids)
    if tables.missing:
        raise NoTableError(
            f"{', '.join(tables.missing)}: no such route table, remove it from routing_table"
            " (DescribeRouteTables: InvalidRouteTableID.NotFound)"
        )
    interface = context.ec2.network_interface(network_interface_id)
    _check_vpc(context, values.ip[0], tables.found, interface)
    _check_route_permissions(context, values.ip[0], tables.found, network_interface_id)
    return None


def _check_vpc(context: Context, address: Address, tables: Sequence[RouteTable], interface: NetworkInterface) -> None:
    for table in tables:
        if table.vpc_id != interface.vpc_id:
            raise NodeError(
                f"parameter routing_table: {table.route_table_id} is of {table.vpc_id},"
                f" but this node's {interface.network_interface_id} is in {interface.vpc_id}"
            )
    if interface.source_dest_check:
        raise NodeError(check_is_on(context.ec2.region, interface.network_interface_id))
    for cidr in sorted(_vpc_cidrs(context, interface.vpc_id, tables), key=str):
        if cidr.version == address.version and address in cidr:
            raise NodeError(
                f"parameter ip: {address} lies inside the VPC's CIDR {cidr}, expected an address outside every CIDR"
            )


def _check_route_permissions(
    context: Context, address: Address, tables: Sequence[RouteTable], network_interface_id: str
) -> None:
    """Check, for all tables in parallel, that a start on this node may write them."""
    destination, ec2 = ip_network(address), context.role_ec2

    def ask(table: RouteTable) -> None:
        try:
            ec2.may_replace_route(table.route_table_id, destination, network_interface_id)
        except NoRouteError as error:
            log.debug("%s", error)
        if table.in_use(destination) is None:
            ec2.may_create_route(table.route_table_id, destination, network_interface_id)

    tasks = {table.route_table_id: Task(lambda table=table: ask(table)) for table in tables}  # type: ignore[misc]
    denied: Dict[str, List[str]] = {}
    for route_table_id, task in tasks.items():
        try:
            task.result(context.deadline, context.progress)
        except DeniedError as error:
            denied.setdefault(str(error), []).append(route_table_id)
    if denied:
        raise DeniedError("; ".join(f"{', '.join(ids)}: {text}" for text, ids in denied.items()))


def _vpc_cidrs(context: Context, vpc_id: str, tables: Sequence[RouteTable]) -> Set[Cidr]:
    """Every CIDR of the VPC: from its tables' local routes and IMDS, and from DescribeVpcs if that is permitted."""
    cidrs = {route.destination for table in tables for route in table.routes if route.local}
    cidrs |= set(context.node.vpc_cidrs())
    try:
        cidrs |= set(context.ec2.vpc_cidrs(vpc_id))
    except DeniedError as error:
        log.info("%s; taking the VPC's CIDRs from its route tables", error)
    return cidrs
