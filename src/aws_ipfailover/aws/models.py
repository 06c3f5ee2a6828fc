"""What EC2's operations return, as typed records: one function for each shape of an answer.

Each raises `UnknownError` for an answer that has something else where an address or CIDR belongs. Facts: Amazon EC2 API
Reference, the data types of the same names.
"""

from __future__ import annotations

import ipaddress
from typing import Any, FrozenSet, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from aws_ipfailover.address import Address, Cidr
from aws_ipfailover.errors import UnknownError
from aws_ipfailover.output import line


class Route(NamedTuple):
    """One route of a table, as EC2 reads it; `network_interface_id` is empty if the target is not an ENI.

    `target`: the id of whatever it leads to, such as an ENI's or a transit gateway's; `local`, or an ARN.
    `state`: EC2's word, such as active, blackhole or filtered. `static`: created by an API call or with the table, not
    propagated by a gateway or advertised by a route server. `local`: the target is the VPC itself.
    """

    destination: Cidr
    network_interface_id: str
    state: str = "active"
    static: bool = True
    local: bool = False
    target: str = ""


class RouteTable(NamedTuple):
    """One route table, with its tags (key and value) and the subnets that are associated with it explicitly.

    `main`: it is the table of every subnet of the VPC that is associated with none. `owner_id`: the account's.
    """

    route_table_id: str
    vpc_id: str
    routes: Tuple[Route, ...]
    tags: Tuple[Tuple[str, str], ...] = ()
    subnet_ids: Tuple[str, ...] = ()
    main: bool = False
    owner_id: str = ""


class RouteTables(NamedTuple):
    """Route tables as a read shows them; `missing` are the ids that EC2 does not know."""

    found: Tuple[RouteTable, ...]
    missing: Tuple[str, ...] = ()


class Subnet(NamedTuple):
    """A subnet; `cidrs` are all of its CIDRs, IPv4 first."""

    subnet_id: str
    availability_zone: str
    cidrs: Tuple[Cidr, ...] = ()


class Attachment(NamedTuple):
    """Where an ENI is attached; `status` is attaching, attached or detaching.

    `delete_on_termination`: EC2 deletes the ENI together with the instance.
    """

    attachment_id: str
    instance_id: str
    device_index: Optional[int]  # None: not in the answer
    status: str
    network_card_index: int = 0
    delete_on_termination: bool = False

    @property
    def is_primary(self) -> bool:
        """Whether it makes the ENI the instance's primary one: another network card has a device index 0 of its own."""
        return (self.network_card_index, self.device_index) == (0, 0)


class NetworkInterface(NamedTuple):
    """An ENI; `addresses` are its IPv4 addresses, the primary one first, then its IPv6 addresses.

    `source_dest_check`: whether it is on; `None` where the answer does not say it. `prefixes`: those that are delegated
    to it; their addresses are not among `addresses`. `group_ids`: of its security groups.
    """

    network_interface_id: str
    vpc_id: str
    source_dest_check: Optional[bool]
    subnet_id: str
    availability_zone: str
    mac: str
    addresses: Tuple[Address, ...]
    attachment: Optional[Attachment]
    prefixes: Tuple[Cidr, ...] = ()
    group_ids: Tuple[str, ...] = ()


class Instance(NamedTuple):
    """An instance: its state (running, stopped, ...); `taken`: network card and device index of each interface.

    `changing`: those of `taken` whose interface is attaching or detaching. `network_interface_ids`: all of its ENIs.
    `name`: its tag Name, empty without one. `addresses`: the private ones of all its interfaces.
    """

    instance_id: str
    state: str
    availability_zone: str
    taken: Tuple[Tuple[int, int], ...]
    name: str = ""
    addresses: Tuple[Address, ...] = ()
    instance_type: str = ""
    changing: Tuple[Tuple[int, int], ...] = ()
    network_interface_ids: Tuple[str, ...] = ()

    def device_indexes(self, network_card_index: int) -> FrozenSet[int]:
        """The device indexes that are taken on a network card."""
        return frozenset(index for card, index in self.taken if card == network_card_index)

    @property
    def uses_several_cards(self) -> bool:
        """Whether an interface is on another network card than the first."""
        return any(card for card, _ in self.taken)


class ElasticIp(NamedTuple):
    """An Elastic IP; without an association `network_interface_id` is empty and `private_address` is `None`."""

    allocation_id: str
    public_ip: str
    network_interface_id: str
    private_address: Optional[Address]


def elastic_ip(described: Mapping[str, Any]) -> ElasticIp:
    """An Elastic IP from the element `Address` of an answer."""
    private = described.get("PrivateIpAddress")
    return ElasticIp(
        described.get("AllocationId", ""),
        described.get("PublicIp", ""),
        described.get("NetworkInterfaceId", ""),
        _address(private) if private else None,
    )


# Characters of an unexpected text that are told.
_SHOWN = 40
# The members of a route, one of which names its target.
_TARGETS = (
    *("NetworkInterfaceId", "GatewayId", "TransitGatewayId", "VpcPeeringConnectionId", "NatGatewayId"),
    *("EgressOnlyInternetGatewayId", "LocalGatewayId", "CarrierGatewayId", "CoreNetworkArn"),
)


def route_table(described: Mapping[str, Any]) -> RouteTable:
    """A route table from the element `RouteTable` of an answer."""
    routes = []
    for route in described.get("Routes", ()):
        text = route.get("DestinationCidrBlock") or route.get("DestinationIpv6CidrBlock")
        if text:  # else a prefix list, which is no single destination
            routes.append(
                Route(
                    _network(text),
                    route.get("NetworkInterfaceId", ""),
                    route.get("State", "active"),
                    route.get("Origin", "CreateRoute") in ("CreateRoute", "CreateRouteTable"),
                    route.get("GatewayId") == "local",
                    next((route[member] for member in _TARGETS if route.get(member)), ""),
                )
            )
    associations = described.get("Associations", ())
    return RouteTable(
        described.get("RouteTableId", ""),
        described.get("VpcId", ""),
        tuple(routes),
        tuple((tag.get("Key", ""), tag.get("Value", "")) for tag in described.get("Tags", ())),
        tuple(one["SubnetId"] for one in associations if one.get("SubnetId")),
        any(one.get("Main") for one in associations),
        described.get("OwnerId", ""),
    )


def network_interface(described: Mapping[str, Any]) -> NetworkInterface:
    """An ENI from the element `NetworkInterface` of an answer."""
    ipv4 = sorted(described.get("PrivateIpAddresses", ()), key=lambda one: not one.get("Primary"))
    texts = [one.get("PrivateIpAddress") for one in ipv4] or [described.get("PrivateIpAddress")]
    texts += [one.get("Ipv6Address") for one in described.get("Ipv6Addresses", ())]
    prefixes = [one.get("Ipv4Prefix") for one in described.get("Ipv4Prefixes", ())]
    prefixes += [one.get("Ipv6Prefix") for one in described.get("Ipv6Prefixes", ())]
    attached = described.get("Attachment") or {}
    attachment = None
    if attached.get("InstanceId") and attached.get("Status") != "detached":
        attachment = Attachment(
            attached.get("AttachmentId", ""),
            attached["InstanceId"],
            attached.get("DeviceIndex"),
            attached.get("Status", "attached"),
            int(attached.get("NetworkCardIndex") or 0),
            bool(attached.get("DeleteOnTermination")),
        )
    return NetworkInterface(
        described.get("NetworkInterfaceId", ""),
        described.get("VpcId", ""),
        described.get("SourceDestCheck"),
        described.get("SubnetId", ""),
        described.get("AvailabilityZone", ""),
        str(described.get("MacAddress", "")).lower(),
        tuple(_address(text) for text in texts if text),
        attachment,
        tuple(_network(text) for text in prefixes if text),
        tuple(one["GroupId"] for one in described.get("Groups", ()) if one.get("GroupId")),
    )


def instance(described: Mapping[str, Any]) -> Instance:
    """An instance from the element `Instance` of an answer."""
    interfaces = [one for kind in ("NetworkInterfaces", "SecondaryInterfaces") for one in described.get(kind, ())]
    places = [_place(one.get("Attachment", {})) for one in interfaces]
    return Instance(
        described.get("InstanceId", ""),
        described.get("State", {}).get("Name", ""),
        described.get("Placement", {}).get("AvailabilityZone", ""),
        tuple(places),
        next((tag.get("Value", "") for tag in described.get("Tags", ()) if tag.get("Key") == "Name"), ""),
        tuple(
            _address(one[key])
            for interface in described.get("NetworkInterfaces", ())
            for addresses, key in (("PrivateIpAddresses", "PrivateIpAddress"), ("Ipv6Addresses", "Ipv6Address"))
            for one in interface.get(addresses, ())
            if one.get(key)
        ),
        described.get("InstanceType", ""),
        tuple(
            place
            for one, place in zip(interfaces, places)
            if one.get("Attachment", {}).get("Status") in ("attaching", "detaching")
        ),
        tuple(one["NetworkInterfaceId"] for one in interfaces if one.get("NetworkInterfaceId")),
    )


def _place(attachment: Mapping[str, Any]) -> Tuple[int, int]:
    """Network card and device index."""
    return int(attachment.get("NetworkCardIndex") or 0), int(attachment.get("DeviceIndex", 0))


def subnet(described: Mapping[str, Any]) -> Subnet:
    """A subnet from the element `Subnet` of an answer."""
    return Subnet(described.get("SubnetId", ""), described.get("AvailabilityZone", ""), tuple(subnet_cidrs(described)))


def subnet_cidrs(described: Mapping[str, Any]) -> List[Cidr]:
    """Every CIDR of a subnet, IPv4 first, from the element `Subnet` of an answer."""
    associations = described.get("Ipv6CidrBlockAssociationSet", ())
    texts = [described.get("CidrBlock"), *_associated(associations, "Ipv6CidrBlock", "Ipv6CidrBlockState")]
    return [_network(text) for text in texts if text]


def vpc_cidrs(described: Mapping[str, Any]) -> List[Cidr]:
    """Every CIDR of a VPC, each once, from the element `Vpc` of an answer."""
    texts = [
        described.get("CidrBlock"),
        *_associated(described.get("CidrBlockAssociationSet", ()), "CidrBlock", "CidrBlockState"),
        *_associated(described.get("Ipv6CidrBlockAssociationSet", ()), "Ipv6CidrBlock", "Ipv6CidrBlockState"),
    ]
    return list(dict.fromkeys(_network(text) for text in texts if text))


def _associated(associations: Sequence[Mapping[str, Any]], block: str, state: str) -> List[Optional[str]]:
    return [
        one.get(block)
        for one in associations
        if one.get(state, {}).get("State", "associated") in ("associating", "associated")
    ]


def _address(text: str) -> Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise UnknownError(f"an answer of EC2 has '{line(text, _SHOWN)}' instead of an address") from None


def _network(text: str) -> Cidr:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise UnknownError(f"an answer of EC2 has '{line(text, _SHOWN)}' instead of a CIDR") from None
