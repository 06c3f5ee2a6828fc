"""EC2's operations that this project uses, each as one method.

Facts: Amazon EC2 API Reference, each operation's page; "Request throttling for the Amazon EC2 API".
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from aws_ipfailover.address import Cidr
from aws_ipfailover.aws import models
from aws_ipfailover.aws.models import ElasticIp, Instance, NetworkInterface, RouteTable, RouteTables, Subnet
from aws_ipfailover.aws.writes import Calls, Made, Noted, Planning, Write, has_dry_run
from aws_ipfailover.consistency import SECOND_READ_AFTER
from aws_ipfailover.errors import Error, NodeError, NoTableError, UnknownError, WouldSucceedError

_PAGE = 100  # tables that one DescribeRouteTables returns at most
_FILTERED = 200  # values that a filter takes at most


class Ec2:
    """EC2 in one region, with one set of credentials; safe to call from many threads.

    Everything raised is an `errors.Error` that starts with the operation and carries AWS's error code.
    """

    def __init__(self, calls: Calls, region: str) -> None:
        self._calls = calls
        self.region = region

    def planned(self, write: Callable[[Ec2], None]) -> Write:
        """The call that `write` would make, with its parameters, and how to ask whether it is permitted.

        `write` is given an `Ec2` that makes no calls, and must call one method of it, which changes something and reads
        nothing.
        """
        planning = Planning(self._calls.deadline)
        write(Ec2(planning, self.region))
        (kept,) = planning.kept
        if not has_dry_run(kept.operation):
            return kept
        return kept._replace(dry_run=lambda: self._dry_run(kept.operation, **kept.arguments))

    def noted(self, note: Callable[[Made], None]) -> Ec2:
        """The same, which tells `note` of each call that changes something, when it has ended."""
        return Ec2(Noted(self._calls, note), self.region)

    def replace_route(self, route_table_id: str, destination: Cidr, network_interface_id: str) -> None:
        """Point an existing route to an ENI; EC2 has confirmed it when this returns.

        Raises:
            NoRouteError: the table has no route for this destination.
        """
        answer = self._calls("ReplaceRoute", **_route(route_table_id, destination, network_interface_id))
        if answer.get("Return", True) is False:
            raise Error("ReplaceRoute: EC2 answered false")

    def create_route(self, route_table_id: str, destination: Cidr, network_interface_id: str) -> None:
        """Make a route to an ENI.

        Raises:
            RouteExistsError: the table already has a route for this destination.
        """
        answer = self._calls("CreateRoute", **_route(route_table_id, destination, network_interface_id))
        if answer.get("Return", True) is False:
            raise Error("CreateRoute: EC2 answered false")

    def route_tables(self, route_table_ids: Sequence[str]) -> RouteTables:
        """These tables as EC2 reads them now, which can be older than the last write; one call per 100.

        If EC2 does not know one of them, it refuses the whole call; the others are then read with a filter.

        Raises:
            UnknownError: the answer leaves one out without an error.
        """
        found: Dict[str, RouteTable] = {}
        unknown = False
        for first in range(0, len(route_table_ids), _PAGE):
            some = list(route_table_ids[first : first + _PAGE])
            try:
                found.update(self._route_tables(some, RouteTableIds=some))
            except NoTableError:
                unknown = True
                found.update(self._known_tables(some))
        missing = tuple(one for one in route_table_ids if one not in found)
        if missing and not unknown:
            raise UnknownError(f"DescribeRouteTables: the answer leaves out {', '.join(missing)}")
        return RouteTables(tuple(found.values()), missing)

    def _known_tables(self, route_table_ids: Sequence[str]) -> Dict[str, RouteTable]:
        """Those of the tables that EC2 knows; an empty answer for several counts only after a second read."""
        filters = [{"Name": "route-table-id", "Values": list(route_table_ids)}]
        for _ in self._two_reads("DescribeRouteTables", ", ".join(route_table_ids)):
            found = self._route_tables(route_table_ids, Filters=filters)
            if found or len(route_table_ids) == 1:
                return found
        return {}

    def _route_tables(self, wanted: Sequence[str], **arguments: Any) -> Dict[str, RouteTable]:
        """The wanted ones of the tables in an answer; nothing else is kept, however much there is."""
        return {
            table["RouteTableId"]: models.route_table(table)
            for page in self._pages("DescribeRouteTables", **arguments)
            for table in page.get("RouteTables", ())
            if table.get("RouteTableId") in wanted
        }

    def route_tables_of(self, vpc_id: str, tag: Optional[Tuple[str, str]] = None) -> Tuple[RouteTable, ...]:
        """The route tables of a VPC as EC2 reads them now; with `tag` (key and value) others may be left out.

        A single read: an empty answer can be a stale one.
        """
        filters = [{"Name": "vpc-id", "Values": [vpc_id]}]
        # EC2 has wildcards in a filter's values: a value with such characters is left to the caller.
        if tag is not None and not re.search(r"[*?\\]", tag[1]):
            filters.append({"Name": f"tag:{tag[0]}", "Values": [tag[1]]})
        pages = self._pages("DescribeRouteTables", Filters=filters)
        return tuple(
            models.route_table(table)
            for page in pages
            for table in page.get("RouteTables", ())
            if table.get("VpcId", vpc_id) == vpc_id
        )

    def subnets_of(self, vpc_id: str) -> List[Subnet]:
        """The subnets of a VPC."""
        pages = self._pages("DescribeSubnets", Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])
        return [models.subnet(subnet) for page in pages for subnet in page.get("Subnets", ())]

    def network_interface(self, network_interface_id: str) -> NetworkInterface:
        """An ENI.

        Raises:
            NodeError: two reads do not find it.  UnknownError: no time for the second read.
        """
        # A filter and not an id: EC2 allows filtered calls twice the rate.
        filters = [{"Name": "network-interface-id", "Values": [network_interface_id]}]
        for _ in self._two_reads("DescribeNetworkInterfaces", network_interface_id):
            # A page can be empty and name a next one: EC2 applies filters to what it has read so far.
            for page in self._pages("DescribeNetworkInterfaces", Filters=filters):
                for found in page.get("NetworkInterfaces", ()):
                    if found.get("NetworkInterfaceId") == network_interface_id:
                        return models.network_interface(found)
        raise NodeError(
            f"DescribeNetworkInterfaces: EC2 does not know {network_interface_id} in this region: check both"
        )

    def network_interfaces(self, network_interface_ids: Sequence[str]) -> Dict[str, NetworkInterface]:
        """Those of these ENIs that EC2 knows, by id; one is left out only after two reads.

        Raises:
            UnknownError: one is left out, and no time for the second read.
        """
        found: Dict[str, NetworkInterface] = {}
        for some in self._known("DescribeNetworkInterfaces", "network-interface-id", network_interface_ids, found):
            for one in some.get("NetworkInterfaces", ()):
                found[one.get("NetworkInterfaceId", "")] = models.network_interface(one)
        return found

    def network_interfaces_with(self, macs: Sequence[str]) -> List[NetworkInterface]:
        """The ENIs with these MAC addresses that are attached to an instance; none only after two reads.

        Raises:
            UnknownError: there is none, and no time for the second read.
        """
        filters = [{"Name": "mac-address", "Values": list(macs)}]
        for _ in self._two_reads("DescribeNetworkInterfaces", "the network interfaces of this node"):
            pages = self._pages("DescribeNetworkInterfaces", Filters=filters)
            found = [models.network_interface(one) for page in pages for one in page.get("NetworkInterfaces", ())]
            attached = [one for one in found if one.attachment is not None and one.mac in macs]
            if attached:
                return attached
        return []

    def switch_off_source_dest_check(self, network_interface_id: str) -> None:
        """Switch an ENI's check off: EC2 then delivers packets that are not for or from the ENI's own addresses."""
        self._calls("ModifyNetworkInterfaceAttribute", **_check_off(network_interface_id))

    def network_interfaces_in(self, subnet_id: str) -> List[NetworkInterface]:
        """The ENIs of a subnet, as one read shows them: it can leave out what there is."""
        # Without a filter for an address: not every EC2-compatible endpoint supports that, and prefixes have none.
        pages = self._pages("DescribeNetworkInterfaces", Filters=[{"Name": "subnet-id", "Values": [subnet_id]}])
        return [models.network_interface(one) for page in pages for one in page.get("NetworkInterfaces", ())]

    def assign_ipv4_addresses(self, network_interface_id: str, addresses: Sequence[IPv4Address]) -> None:
        """Assign an ENI secondary private addresses; EC2 unassigns them from the ENIs that had them."""
        self._calls(
            "AssignPrivateIpAddresses",
            NetworkInterfaceId=network_interface_id,
            PrivateIpAddresses=[str(address) for address in addresses],
            AllowReassignment=True,
        )

    def assign_ipv6_addresses(self, network_interface_id: str, addresses: Sequence[IPv6Address]) -> None:
        """Assign an ENI IPv6 addresses, which no other ENI may have: EC2 does not reassign them."""
        texts = [str(address) for address in addresses]
        self._calls("AssignIpv6Addresses", NetworkInterfaceId=network_interface_id, Ipv6Addresses=texts)

    def unassign_ipv6_addresses(self, network_interface_id: str, addresses: Sequence[IPv6Address]) -> None:
        """Unassign IPv6 addresses from an ENI."""
        texts = [str(address) for address in addresses]
        self._calls("UnassignIpv6Addresses", NetworkInterfaceId=network_interface_id, Ipv6Addresses=texts)

    def instance(self, instance_id: str) -> Instance:
        """An instance.

        Raises:
            NodeError: two reads do not find it.  UnknownError: no time for the second read.
        """
        filters = [{"Name": "instance-id", "Values": [instance_id]}]
        for _ in self._two_reads("DescribeInstances", instance_id):
            for page in self._pages("DescribeInstances", Filters=filters):
                for reservation in page.get("Reservations", ()):
                    for found in reservation.get("Instances", ()):
                        if found.get("InstanceId") == instance_id:
                            return models.instance(found)
        raise NodeError(f"DescribeInstances: EC2 does not know {instance_id} in this region: check both")

    def instances(self, instance_ids: Sequence[str]) -> Dict[str, Instance]:
        """Those of these instances that EC2 knows, by id; as `network_interfaces`."""
        found: Dict[str, Instance] = {}
        for some in self._known("DescribeInstances", "instance-id", instance_ids, found):
            for reservation in some.get("Reservations", ()):
                for one in reservation.get("Instances", ()):
                    found[one.get("InstanceId", "")] = models.instance(one)
        return found

    def subnet_cidrs(self, subnet_id: str) -> List[Cidr]:
        """Every CIDR of a subnet, IPv4 first."""
        pages = self._pages("DescribeSubnets", SubnetIds=[subnet_id])
        return [cidr for page in pages for subnet in page.get("Subnets", ()) for cidr in models.subnet_cidrs(subnet)]

    def attach(
        self, network_interface_id: str, instance_id: str, device_index: int, network_card_index: Optional[int]
    ) -> None:
        """Request the attachment of an ENI; returns before EC2 has completed it.

        `network_card_index`: `None` leaves it to EC2, whose default is 0; older endpoints do not know the parameter.

        Raises:
            IndexTakenError: another interface has this device index.  InUseError: the ENI is already attached.
            ChangingError: EC2 is still changing the ENI or the instance.  NetworkCardError: no such network card.
            NodeError: other availability zone, too many interfaces.
        """
        place = _place(network_interface_id, instance_id, device_index, network_card_index)
        self._calls("AttachNetworkInterface", **place)

    def detach(self, attachment_id: str, *, force: bool) -> None:
        """Request the detachment of an ENI; returns before EC2 has completed it.

        `force`: without the instance, which then cannot refuse or delay it.

        Raises:
            DetachedError: no such attachment any more.  NodeError: EC2 does not permit anybody to detach this ENI.
            ChangingError: EC2 is still changing the ENI.
        """
        self._calls("DetachNetworkInterface", AttachmentId=attachment_id, Force=force)

    def vpc_cidrs(self, vpc_id: str) -> List[Cidr]:
        """Every CIDR that is associated with a VPC.

        Raises:
            UnknownError: the answer leaves the VPC out.
        """
        pages = self._pages("DescribeVpcs", VpcIds=[vpc_id])
        found = [cidr for page in pages for vpc in page.get("Vpcs", ()) for cidr in models.vpc_cidrs(vpc)]
        if not found:
            raise UnknownError(f"DescribeVpcs: the answer leaves out {vpc_id}")
        return found

    def elastic_ip(self, allocation_id: str) -> ElasticIp:
        """An Elastic IP.

        Raises:
            NodeError: EC2 does not know it.  UnknownError: the answer leaves it out without an error.
        """
        for found in self._calls("DescribeAddresses", AllocationIds=[allocation_id]).get("Addresses", ()):
            if found.get("AllocationId") == allocation_id:
                return models.elastic_ip(found)
        raise UnknownError(f"DescribeAddresses: the answer leaves out {allocation_id}")

    def associate_address(
        self, allocation_id: str, network_interface_id: str, private_address: Optional[IPv4Address]
    ) -> None:
        """Associate an Elastic IP with a private address of an ENI, by default its primary one, whoever has it now.

        Raises:
            NodeError: EC2 does not know one of them, or the Elastic IP is another account's.
        """
        self._calls("AssociateAddress", **_association(allocation_id, network_interface_id, private_address))

    def may_replace_route(self, route_table_id: str, destination: Cidr, network_interface_id: str) -> None:
        """Ask whether `replace_route` is permitted; changes nothing.

        Raises:
            DeniedError: it is not.  NodeError, UnknownError, Error: that cannot be found out.
        """
        self._dry_run("ReplaceRoute", **_route(route_table_id, destination, network_interface_id))

    def may_create_route(self, route_table_id: str, destination: Cidr, network_interface_id: str) -> None:
        """Ask whether `create_route` is permitted, as `may_replace_route`."""
        self._dry_run("CreateRoute", **_route(route_table_id, destination, network_interface_id))

    def may_switch_off_source_dest_check(self, network_interface_id: str) -> None:
        """Ask whether `switch_off_source_dest_check` is permitted, as `may_replace_route`."""
        self._dry_run("ModifyNetworkInterfaceAttribute", **_check_off(network_interface_id))

    def may_attach(
        self, network_interface_id: str, instance_id: str, device_index: int, network_card_index: Optional[int]
    ) -> None:
        """Ask whether `attach` is permitted, as `may_replace_route`; raises `NetworkCardError` as `attach`."""
        place = _place(network_interface_id, instance_id, device_index, network_card_index)
        self._dry_run("AttachNetworkInterface", **place)

    def may_detach(self, attachment_id: str) -> None:
        """Ask whether `detach` is permitted, as `may_replace_route`."""
        self._dry_run("DetachNetworkInterface", AttachmentId=attachment_id)

    def may_associate_address(
        self, allocation_id: str, network_interface_id: str, private_address: Optional[IPv4Address]
    ) -> None:
        """Ask whether `associate_address` is permitted, as `may_replace_route`."""
        self._dry_run("AssociateAddress", **_association(allocation_id, network_interface_id, private_address))

    def _dry_run(self, operation: str, **arguments: Any) -> None:
        try:
            self._calls(operation, DryRun=True, **arguments)
        except WouldSucceedError:
            return

    def _two_reads(self, operation: str, what: str) -> Iterator[int]:
        """Yield for two reads with a pause between them: a filtered read can be empty although the resource exists.

        Raises:
            UnknownError: no time for the second read.
        """
        deadline = self._calls.deadline
        yield 0
        pause = min(SECOND_READ_AFTER, deadline.remaining() / 3)
        if not deadline.poll(first=pause, longest=pause).wait():
            raise UnknownError(f"{operation}: the answer leaves out {what}, and no time is left to ask again")
        yield 1

    def _known(
        self, operation: str, name: str, ids: Sequence[str], found: Mapping[str, object]
    ) -> Iterator[Mapping[str, Any]]:
        """The pages of reads with a filter for ids; the caller adds to `found`, and what it lacks is read once more."""
        if not ids:
            return
        for _ in self._two_reads(operation, ", ".join(ids)):
            missing = [one for one in ids if one not in found]
            for first in range(0, len(missing), _FILTERED):
                yield from self._pages(
                    operation, Filters=[{"Name": name, "Values": missing[first : first + _FILTERED]}]
                )
            if all(one in found for one in ids):
                return

    def _pages(self, operation: str, **arguments: Any) -> Iterator[Mapping[str, Any]]:
        token: Dict[str, str] = {}
        while True:
            answer = self._calls(operation, **arguments, **token)
            yield answer
            if not answer.get("NextToken"):
                return
            token = {"NextToken": answer["NextToken"]}


def _place(
    network_interface_id: str, instance_id: str, device_index: int, network_card_index: Optional[int]
) -> Dict[str, Any]:
    card = {} if network_card_index is None else {"NetworkCardIndex": network_card_index}
    return {"NetworkInterfaceId": network_interface_id, "InstanceId": instance_id, "DeviceIndex": device_index, **card}


def _check_off(network_interface_id: str) -> Dict[str, Any]:
    return {"NetworkInterfaceId": network_interface_id, "SourceDestCheck": {"Value": False}}


def _route(route_table_id: str, destination: Cidr, network_interface_id: str) -> Dict[str, str]:
    return {
        "RouteTableId": route_table_id,
        "DestinationCidrBlock" if destination.version == 4 else "DestinationIpv6CidrBlock": str(destination),
        "NetworkInterfaceId": network_interface_id,
    }


def _association(
    allocation_id: str, network_interface_id: str, private_address: Optional[IPv4Address]
) -> Dict[str, Any]:
    private = {} if private_address is None else {"PrivateIpAddress": str(private_address)}
    return {
        "AllocationId": allocation_id,
        "NetworkInterfaceId": network_interface_id,
        "AllowReassociation": True,
        **private,
    }
