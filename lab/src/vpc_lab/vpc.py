"""The nouns of a VPC, as EC2 means them: immutable values, of which the fabric reads what its packets need.

There is one class for each noun. `World` (`vpc_lab.world`) holds those of one account at one moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Dict, Literal, Optional, Tuple, Union

Address = Union[IPv4Address, IPv6Address]
Cidr = Union[IPv4Network, IPv6Network]

AttachmentStatus = Literal["attaching", "attached", "detaching"]
InstanceState = Literal["pending", "running", "stopping", "stopped", "shutting-down", "terminated"]


def identifier(prefix: str, *names: str) -> str:
    """An id with EC2's shape (`rtb-0` and 16 hex digits) that is the same in every run for the same names."""
    return f"{prefix}-0{sha256('/'.join((prefix, *names)).encode()).hexdigest()[:16]}"


def mac_of(network_interface_id: str) -> str:
    """A locally administered MAC address that belongs to this ENI in every run."""
    digits = network_interface_id.rpartition("-")[2].rjust(10, "0")[-10:]
    return ":".join(("06", *(digits[i : i + 2] for i in range(0, 10, 2))))


@dataclass(frozen=True)
class Vpc:
    """The VPC; `cidrs` are all its associated blocks, the primary IPv4 block first."""

    vpc_id: str
    cidrs: Tuple[Cidr, ...]


# An account that has no VPC yet.
NO_VPC = Vpc("", ())


@dataclass(frozen=True)
class Subnet:
    """A subnet of the VPC."""

    subnet_id: str
    availability_zone: str
    cidrs: Tuple[Cidr, ...]


RouteOrigin = Literal["CreateRouteTable", "CreateRoute", "EnableVgwRoutePropagation", "Advertisement"]
RouteState = Literal["active", "blackhole", "filtered"]
STATIC: Tuple[RouteOrigin, ...] = ("CreateRouteTable", "CreateRoute")


@dataclass(frozen=True)
class Route:
    """One route; `target` is `local` or the id of an ENI or a gateway.

    `origin`: how it came: static ones by a call, propagated ones from a virtual private gateway or a route server.
    `state`: what EC2 says of it, where that does not follow from its target.
    """

    destination: Cidr
    target: str
    origin: RouteOrigin = "CreateRoute"
    state: Optional[RouteState] = None

    @property
    def static(self) -> bool:
        """Whether a call made it, and not propagation."""
        return self.origin in STATIC


@dataclass(frozen=True)
class Association:
    """A route table's association with a subnet; with the VPC itself (the main table) where `subnet_id` is None."""

    association_id: str
    subnet_id: Optional[str]


@dataclass(frozen=True)
class RouteTable:
    """A route table with its routes in the order they were made: one static route for a destination at most.

    It decides for traffic that *leaves* the ENIs of the subnets that use it.
    """

    route_table_id: str
    owner_id: str
    routes: Tuple[Route, ...]
    associations: Tuple[Association, ...] = ()

    def static(self, destination: Cidr) -> Optional[Route]:
        """The static route for exactly this destination: the one that CreateRoute, ReplaceRoute and so on are about."""
        return next((route for route in self.routes if route.destination == destination and route.static), None)

    def in_use(self, destination: Cidr) -> Optional[Route]:
        """The route that decides for exactly this destination.

        A static route, also one that is a blackhole, comes before a propagated one ("Route priority", VPC user guide);
        one that is `filtered` is not used.
        """
        found = [route for route in self.routes if route.destination == destination and route.state != "filtered"]
        return min(found, key=lambda route: not route.static, default=None)

    def route_for(self, address: Address) -> Optional[Route]:
        """The route that decides for an address, if it is none for everything: the most specific one in use."""
        holding = [one for one in self.routes_in_use() if one.destination.prefixlen and address in one.destination]
        return max(holding, key=lambda route: route.destination.prefixlen, default=None)

    def routes_in_use(self) -> Tuple[Route, ...]:
        """The route in use for each destination."""
        found: Dict[Cidr, Route] = {}
        for route in self.routes:
            known = found.get(route.destination)
            if route.state != "filtered" and (known is None or (route.static and not known.static)):
                found[route.destination] = route
        return tuple(found.values())


# A place for a network interface on an instance: network card and device index.
Slot = Tuple[int, int]


@dataclass(frozen=True)
class Attachment:
    """An ENI on an instance."""

    attachment_id: str
    instance_id: str
    device_index: int
    status: AttachmentStatus
    delete_on_termination: bool
    attach_time: float
    network_card_index: int = 0
    # Whether the instance gets a NIC for it, whatever `status` says; see `World.dead_slots`.
    plugged: bool = True

    @property
    def slot(self) -> Slot:
        """Where on the instance it is."""
        return self.network_card_index, self.device_index

    @property
    def is_primary(self) -> bool:
        """Whether it makes the ENI the instance's primary one: device index 0 of network card 0."""
        return self.slot == (0, 0)


@dataclass(frozen=True)
class Interface:
    """An elastic network interface; the first of `ipv4` is its primary private address.

    `prefixes`: those that are delegated to it, IPv4 first; the fabric delivers nothing for them.
    """

    network_interface_id: str
    mac: str
    subnet_id: str
    availability_zone: str
    owner_id: str
    ipv4: Tuple[IPv4Address, ...]
    ipv6: Tuple[IPv6Address, ...] = ()
    source_dest_check: bool = True
    description: str = ""
    groups: Tuple[str, ...] = ()
    attachment: Optional[Attachment] = None
    # Where it is another one than the account's own: no network of the lab's then.
    vpc_id: Optional[str] = None
    prefixes: Tuple[Cidr, ...] = ()
    # Of its primary address, given at the launch of its instance and gone with that; not an Elastic IP.
    public_ip: Optional[IPv4Address] = None

    @property
    def addresses(self) -> Tuple[Address, ...]:
        """IPv4 then IPv6, the primary private IPv4 address first."""
        return (*self.ipv4, *self.ipv6)


@dataclass(frozen=True)
class Remap:
    """An address whose assignment has not taken effect everywhere: the ENIs that still have it, or None for no ENI.

    EC2's own reads tell of the assignment at once. `number` tells it from other assignments of the address.
    """

    number: int
    network: Optional[str]
    metadata: Optional[str]


@dataclass(frozen=True)
class ElasticIp:
    """An Elastic IP; once associated, of one private address of one ENI."""

    allocation_id: str
    public_ip: IPv4Address
    association_id: Optional[str] = None
    network_interface_id: Optional[str] = None
    private_ip: Optional[IPv4Address] = None


@dataclass(frozen=True)
class SecondaryInterface:
    """A network interface of an instance in a secondary network: no ENI, with a device index of its own."""

    secondary_interface_id: str
    mac: str
    device_index: int
    network_card_index: int
    address: IPv4Address
    attach_time: float

    @property
    def slot(self) -> Slot:
        """Where on the instance it is."""
        return self.network_card_index, self.device_index


@dataclass(frozen=True)
class Instance:
    """An EC2 instance."""

    instance_id: str
    instance_type: str
    subnet_id: str
    availability_zone: str
    state: InstanceState
    launch_time: float
    role: Optional[str] = None
    image_id: str = "ami-0fedcba9876543210"
    secondary_interfaces: Tuple[SecondaryInterface, ...] = ()
    # The instance profile that the role came by, where its name is not the role's.
    profile: Optional[str] = None

    @property
    def profile_name(self) -> Optional[str]:
        """The name of its instance profile."""
        return self.profile or self.role


@dataclass(frozen=True)
class GroupRule:
    """What a security group allows: a protocol (`-1`: all), its ports, and a CIDR or another group."""

    protocol: str
    ports: Optional[Tuple[int, int]] = None
    cidr: Optional[Cidr] = None
    group_id: Optional[str] = None


@dataclass(frozen=True)
class SecurityGroup:
    """A security group, as EC2 tells of it; the fabric filters nothing by it."""

    group_id: str
    name: str
    description: str
    inbound: Tuple[GroupRule, ...] = ()
    outbound: Tuple[GroupRule, ...] = ()


# The number of a network ACL's last rule, which denies everything else and cannot be changed.
LAST_ENTRY = 32767


@dataclass(frozen=True)
class AclEntry:
    """A rule of a network ACL; `protocol` `-1`: all."""

    number: int
    allows: bool
    outbound: bool
    cidr: Cidr
    protocol: str = "-1"


@dataclass(frozen=True)
class NetworkAcl:
    """A network ACL and the subnets that have it, as EC2 tells of it; the fabric filters nothing by it."""

    network_acl_id: str
    entries: Tuple[AclEntry, ...]
    subnet_ids: Tuple[str, ...]
    default: bool = False


@dataclass(frozen=True)
class Peering:
    """A peering connection with another VPC, as EC2 tells of it; no packet of the lab takes it."""

    peering_id: str
    vpc_id: str
    cidrs: Tuple[Cidr, ...]
    requested: bool = True  # by the lab's VPC, and not by the other one
    status: str = "active"


@dataclass(frozen=True)
class TransitAttachment:
    """The VPC's attachment to a transit gateway, with an ENI in each of these subnets; `owner_id`: the gateway's."""

    attachment_id: str
    gateway_id: str
    owner_id: str
    subnet_ids: Tuple[str, ...]


@dataclass(frozen=True)
class TransitRoute:
    """A route of a transit gateway to an attachment, a blackhole without one; propagated unless `static`."""

    destination: Cidr
    attachment_id: Optional[str]
    static: bool = True


@dataclass(frozen=True)
class TransitTable:
    """A route table of a transit gateway, as EC2 tells of it; on premises, the fabric routes by the topology alone."""

    table_id: str
    gateway_id: str
    routes: Tuple[TransitRoute, ...]
