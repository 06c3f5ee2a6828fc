"""What `validate-all` checks beyond the text of the parameters: this node, its ENI, the route tables, the VPC."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, List, Set

from aws_ipfailover.coexistence import warnings
from aws_ipfailover.context import Context
from aws_ipfailover.deadline import Task
from aws_ipfailover.errors import DeniedError, NodeError
from aws_ipfailover.holdings.bounded import Bounded
from aws_ipfailover.holdings.eni_attachment import EniAttachment
from aws_ipfailover.modes import mode_named
from aws_ipfailover.parameters import Values

if TYPE_CHECKING:
    from aws_ipfailover.aws.models import Cidr, RouteTable

log = logging.getLogger(__name__)


def validate(context: Context, values: Values) -> None:
    """Check the parameters against this node and the VPC. Changes nothing.

    Raises:
        NodeError, DeniedError, MissingError, UnknownError: the first thing that is wrong or cannot be found out.
    """
    mode = mode_named(values.mode)
    holdings = [one.holding if isinstance(one, Bounded) else one for one in mode.holdings(context, values)]
    mac = None
    for holding in holdings:
        if isinstance(holding, EniAttachment):
            Task(holding.check).result(context.deadline, context.progress)
            mac = holding.described().mac
    for warning in warnings(mode, mac):
        log.warning("%s", warning)
    if values.mode == "overlay-ip":
        Task(lambda: _check_overlay(context, values)).result(context.deadline, context.progress)


def _check_overlay(context: Context, values: Values) -> None:
    """Check an overlay address.

    Raises:
        NodeError: a table is unknown or of another VPC, the source/destination check is on, or the address lies
            inside the VPC.  DeniedError, UnknownError: it cannot be found out.
    """
    address, own = values.required_ip, context.ec2
    network_interface_id = context.node.network_interface_id()
    tables = context.role_ec2.route_tables(values.routing_table)
    interface = own.network_interface(network_interface_id)
    for table in tables:
        if table.vpc_id != interface.vpc_id:
            raise NodeError(
                f"parameter routing_table: {table.route_table_id} is of {table.vpc_id},"
                f" but this node's {network_interface_id} is in {interface.vpc_id}"
            )
    if interface.source_dest_check:
        raise NodeError(
            f"the source/destination check of {network_interface_id} is on, so that EC2 drops traffic for the overlay"
            f" address: aws ec2 modify-network-interface-attribute --region {own.region}"
            f" --network-interface-id {network_interface_id} --no-source-dest-check"
        )
    for cidr in sorted(_vpc_cidrs(context, interface.vpc_id, tables), key=str):
        if cidr.version == address.version and address in cidr:
            raise NodeError(
                f"parameter ip: {address} lies inside the VPC's CIDR {cidr}, expected an address outside every CIDR"
            )


def _vpc_cidrs(context: Context, vpc_id: str, tables: List[RouteTable]) -> Set[Cidr]:
    """Every CIDR of the VPC: by its tables' local routes and IMDS, and by DescribeVpcs where that is allowed."""
    cidrs = {route.destination for table in tables for route in table.routes if route.local}
    cidrs |= set(context.node.vpc_cidrs())
    try:
        cidrs |= set(context.ec2.vpc_cidrs(vpc_id))
    except DeniedError as error:
        log.info("%s; taking the VPC's CIDRs from its route tables", error)
    return cidrs
