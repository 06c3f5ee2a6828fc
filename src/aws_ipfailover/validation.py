"""What `validate-all` checks beyond the text of the parameters: this node, its ENI, the route tables, the VPC."""

from __future__ import annotations

import logging
from ipaddress import ip_network
from typing import TYPE_CHECKING, List, Sequence, Set

from aws_ipfailover.errors import DeniedError, NodeError
from aws_ipfailover.parameters import Address

if TYPE_CHECKING:
    from aws_ipfailover.ec2 import Cidr, Ec2, RouteTable
    from aws_ipfailover.imds import Imds
    from aws_ipfailover.node import ThisNode

log = logging.getLogger(__name__)


def check_overlay(
    address: Address, route_table_ids: Sequence[str], node: ThisNode, imds: Imds, own: Ec2, owner_of_tables: Ec2
) -> None:
    """Check an overlay address; `owner_of_tables` is EC2 by the role that may see the tables.

    Raises:
        NodeError: a table is unknown or of another VPC, the source/destination check is on, or the address lies
            inside the VPC.  DeniedError, UnknownError: it cannot be found out.
    """
    network_interface_id = node.network_interface_id()
    tables = owner_of_tables.route_tables(route_table_ids)
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
    for cidr in sorted(_vpc_cidrs(interface.vpc_id, node, imds, own, tables), key=str):
        if cidr.version == address.version and address in cidr:
            raise NodeError(
                f"parameter ip: {address} lies inside the VPC's CIDR {cidr}, expected an address outside every CIDR"
            )


def _vpc_cidrs(vpc_id: str, node: ThisNode, imds: Imds, own: Ec2, tables: List[RouteTable]) -> Set[Cidr]:
    """Every CIDR of the VPC: by its tables' local routes and IMDS, and by DescribeVpcs where that is allowed."""
    cidrs = {route.destination for table in tables for route in table.routes if route.local}
    cidrs |= {ip_network(text) for text in imds.vpc_cidrs(node.mac())}
    try:
        cidrs |= set(own.vpc_cidrs(vpc_id))
    except DeniedError as error:
        log.info("%s; taking the VPC's CIDRs from its route tables", error)
    return cidrs
