"""EC2's operations that this project uses, each as one method.

Facts: Amazon EC2 API Reference, each operation's page; "Request throttling for the Amazon EC2 API".
"""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Any, Dict, Iterator, List, Mapping, Optional, Protocol, Sequence

from aws_ipfailover.aws import models
from aws_ipfailover.aws.models import Address, Cidr, Instance, NetworkInterface, RouteTable
from aws_ipfailover.errors import Error, NodeError, UnknownError

_PAGE = 100  # tables that one DescribeRouteTables returns at most


class Calls(Protocol):
    """What answers an operation, or raises `errors.Error`."""

    def __call__(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        """The answer."""


class Ec2:
    """EC2 in one region, with one set of credentials; safe to call from many threads.

    Everything raised is an `errors.Error` that starts with the operation and carries AWS's error code.
    """

    def __init__(self, calls: Calls, region: str) -> None:
        self._calls = calls
        self.region = region

    def replace_route(self, route_table_id: str, destination: Cidr, network_interface_id: str) -> None:
        """Point an existing route to an ENI; when this returns, EC2 has done it.

        Raises:
            NoRouteError: there is none to replace.
        """
        answer = self._calls("ReplaceRoute", **_route(route_table_id, destination, network_interface_id))
        if answer.get("Return", True) is False:
            raise Error("ReplaceRoute: EC2 answered false")

    def create_route(self, route_table_id: str, destination: Cidr, network_interface_id: str) -> None:
        """Make a route to an ENI.

        Raises:
            RouteExistsError: there is one for this destination.
        """
        answer = self._calls("CreateRoute", **_route(route_table_id, destination, network_interface_id))
        if answer.get("Return", True) is False:
            raise Error("CreateRoute: EC2 answered false")

    def route_tables(self, route_table_ids: Sequence[str]) -> List[RouteTable]:
        """These tables as EC2 reads them now, which can be older than the last write; one call per 100.

        Raises:
            NoTableError: EC2 does not know one of them.  UnknownError: its answer leaves one out.
        """
        found: List[RouteTable] = []
        for first in range(0, len(route_table_ids), _PAGE):
            some = list(route_table_ids[first : first + _PAGE])
            for page in self._pages("DescribeRouteTables", RouteTableIds=some):
                found += [models.route_table(table) for table in page.get("RouteTables", ())]
        missing = sorted(set(route_table_ids) - {table.route_table_id for table in found})
        if missing:
            # For a table that is not there EC2 answers InvalidRouteTableID.NotFound; this is no answer at all.
            raise UnknownError(f"DescribeRouteTables: the answer leaves out {', '.join(missing)}")
        return found

    def network_interface(self, network_interface_id: str) -> NetworkInterface:
        """An ENI.

        Raises:
            NodeError: EC2 does not know it.
        """
        # A filter and not an id: EC2 allows filtered calls twice the rate.
        answer = self._calls(
            "DescribeNetworkInterfaces",
            Filters=[{"Name": "network-interface-id", "Values": [network_interface_id]}],
        )
        for found in answer.get("NetworkInterfaces", ()):
            if found.get("NetworkInterfaceId") == network_interface_id:
                return models.network_interface(found)
        raise NodeError(f"DescribeNetworkInterfaces: EC2 does not know {network_interface_id} in this region")

    def holder_of(self, address: IPv6Address, subnet_id: str) -> Optional[str]:
        """The ENI of a subnet that has an IPv6 address, or `None`."""
        # Not by the filter ipv6-addresses.ipv6-address: endpoints that only speak EC2's language do not all know it.
        for page in self._pages("DescribeNetworkInterfaces", Filters=[{"Name": "subnet-id", "Values": [subnet_id]}]):
            for found in page.get("NetworkInterfaces", ()):
                if address in models.network_interface(found).addresses:
                    return str(found["NetworkInterfaceId"])
        return None

    def assign_address(self, network_interface_id: str, address: Address) -> None:
        """Give an ENI a secondary private address; an IPv4 address is taken away from the ENI that had it."""
        if address.version == 4:
            self._calls(
                "AssignPrivateIpAddresses",
                NetworkInterfaceId=network_interface_id,
                PrivateIpAddresses=[str(address)],
                AllowReassignment=True,
            )
        else:
            self._calls("AssignIpv6Addresses", NetworkInterfaceId=network_interface_id, Ipv6Addresses=[str(address)])

    def unassign_ipv6_address(self, network_interface_id: str, address: IPv6Address) -> None:
        """Take an IPv6 address away from an ENI: EC2 has no reassignment for them."""
        self._calls("UnassignIpv6Addresses", NetworkInterfaceId=network_interface_id, Ipv6Addresses=[str(address)])

    def instance(self, instance_id: str) -> Instance:
        """An instance.

        Raises:
            NodeError: EC2 does not know it.
        """
        answer = self._calls("DescribeInstances", Filters=[{"Name": "instance-id", "Values": [instance_id]}])
        for reservation in answer.get("Reservations", ()):
            for found in reservation.get("Instances", ()):
                if found.get("InstanceId") == instance_id:
                    return models.instance(found)
        raise NodeError(f"DescribeInstances: EC2 does not know {instance_id} in this region")

    def subnet_cidrs(self, subnet_id: str) -> List[Cidr]:
        """Every CIDR of a subnet, IPv4 first."""
        answer = self._calls("DescribeSubnets", SubnetIds=[subnet_id])
        return [cidr for subnet in answer.get("Subnets", ()) for cidr in models.subnet_cidrs(subnet)]

    def attach(self, network_interface_id: str, instance_id: str, device_index: int) -> None:
        """Begin to attach an ENI.

        Raises:
            IndexTakenError: another interface has this device index.  InUseError: the ENI is attached.
            NodeError: other availability zone, too many interfaces.
        """
        self._calls(
            "AttachNetworkInterface",
            NetworkInterfaceId=network_interface_id,
            InstanceId=instance_id,
            DeviceIndex=device_index,
        )

    def detach(self, attachment_id: str, *, force: bool) -> None:
        """Begin to detach an ENI; `force` where the instance cannot take part in it.

        Raises:
            DetachedError: it is not attached so any more.  NodeError: EC2 lets nobody detach it.
        """
        self._calls("DetachNetworkInterface", AttachmentId=attachment_id, Force=force)

    def vpc_cidrs(self, vpc_id: str) -> List[Cidr]:
        """Every CIDR that is associated with a VPC."""
        answer = self._calls("DescribeVpcs", VpcIds=[vpc_id])
        found = [cidr for vpc in answer.get("Vpcs", ()) for cidr in models.vpc_cidrs(vpc)]
        if not found:
            raise UnknownError(f"DescribeVpcs: the answer leaves out {vpc_id}")
        return found

    def _pages(self, operation: str, **arguments: Any) -> Iterator[Mapping[str, Any]]:
        token: Dict[str, str] = {}
        while True:
            answer = self._calls(operation, **arguments, **token)
            yield answer
            if not answer.get("NextToken"):
                return
            token = {"NextToken": answer["NextToken"]}


def _route(route_table_id: str, destination: Cidr, network_interface_id: str) -> Dict[str, str]:
    return {
        "RouteTableId": route_table_id,
        "DestinationCidrBlock" if destination.version == 4 else "DestinationIpv6CidrBlock": str(destination),
        "NetworkInterfaceId": network_interface_id,
    }
