"""The values of a topology. An id that is not given follows from the name, the same in every run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Callable, ClassVar, Literal, Optional, Tuple

from vpc_lab.errors import LabError
from vpc_lab.topology.checks import complaints
from vpc_lab.vpc import Address, identifier, mac_of

# Where every instance asks for its metadata ("Retrieve instance metadata", EC2 user guide).
METADATA_ADDRESS = IPv4Address("169.254.169.254")

Role = Literal["node", "consumer"]


@dataclass(frozen=True)
class SubnetSpec:
    """A subnet to be made, with a route table, its own unless another one is given the same id.

    `ipv6_only`: EC2 has no IPv4 CIDR for it, and its ENIs have no IPv4 address; for tests of the API, not for a lab.
    """

    name: str
    availability_zone: str
    cidr: IPv4Network
    ipv6_cidr: IPv6Network
    ipv6_only: bool = False
    subnet_id: str = ""
    route_table_id: str = ""

    def __post_init__(self) -> None:
        """Give what has no id the one of its name."""
        _default(self, "subnet_id", identifier("subnet", self.name))
        _default(self, "route_table_id", identifier("rtb", self.name))


@dataclass(frozen=True)
class InstanceSpec:
    """An EC2 instance to be launched, and its primary ENI; in an IPv6-only subnet that does not have `address`."""

    role: ClassVar[Role]
    name: str
    subnet: SubnetSpec
    address: IPv4Address
    ipv6_address: IPv6Address
    instance_id: str = ""
    network_interface_id: str = ""
    mac: str = ""

    def __post_init__(self) -> None:
        """Give what has no id the one of its name, and the ENI the MAC address of its id."""
        _default(self, "instance_id", identifier("i", self.name))
        _default(self, "network_interface_id", identifier("eni", self.name))
        _default(self, "mac", mac_of(self.network_interface_id))


@dataclass(frozen=True)
class Launched:
    """An instance that a call of RunInstances has made. `name`: by which the lab knows it, and its host name."""

    name: str
    instance_id: str
    network_interface_id: str
    mac: str
    address: IPv4Address
    role: Role
    ipv6_address: ClassVar[None] = None


class Node(InstanceSpec):
    """An instance that runs the cluster."""

    role: ClassVar[Role] = "node"


class Consumer(InstanceSpec):
    """An instance that only asks for the service's address."""

    role: ClassVar[Role] = "consumer"


@dataclass(frozen=True)
class InterfaceSpec:
    """An ENI that belongs to no instance: attached to nothing at first. The first IPv4 address is its primary one."""

    name: str
    subnet: SubnetSpec
    ipv4: Tuple[IPv4Address, ...]
    ipv6: Tuple[IPv6Address, ...] = ()
    network_interface_id: str = ""

    def __post_init__(self) -> None:
        """Give it the id of its name if it has none."""
        _default(self, "network_interface_id", identifier("eni", self.name))

    @property
    def addresses(self) -> Tuple[Address, ...]:
        """IPv4 then IPv6."""
        return (*self.ipv4, *self.ipv6)


@dataclass(frozen=True)
class Outside:
    """A consumer outside the VPC, behind one of its gateways."""

    name: str
    cidr: IPv4Network
    address: IPv4Address
    ipv6_cidr: IPv6Network
    ipv6_address: IPv6Address


# Behind a transit gateway with static routes for the VPC and the overlay addresses.
ON_PREMISES = Outside(
    "onprem",
    IPv4Network("172.31.0.0/24"),
    IPv4Address("172.31.0.10"),
    IPv6Network("2001:db8:31::/64"),
    IPv6Address("2001:db8:31::10"),
)
# Behind an internet gateway, which passes what has an Elastic IP, or a global IPv6 address.
INTERNET = Outside(
    "internet",
    IPv4Network("198.51.100.0/24"),
    IPv4Address("198.51.100.10"),
    IPv6Network("2001:db8:51::/64"),
    IPv6Address("2001:db8:51::10"),
)
# The same place, where an account's administrator sits.
WORKSTATION = replace(INTERNET, name="workstation")
# What Elastic IPs are allocated from.
PUBLIC = IPv4Network("203.0.113.0/24")


@dataclass(frozen=True)
class Topology:
    """One lab. LabError, with a sentence, for one that EC2 or the fabric could not have."""

    subnets: Tuple[SubnetSpec, ...]
    nodes: Tuple[Node, ...]
    consumers: Tuple[Consumer, ...] = ()
    interfaces: Tuple[InterfaceSpec, ...] = ()
    region: str = "eu-central-1"
    account_id: str = "123456789012"
    cidr: IPv4Network = IPv4Network("10.0.0.0/16")
    ipv6_cidr: IPv6Network = IPv6Network("2001:db8:1000::/56")
    # The ids of route tables that no subnet uses: a real VPC has many, and the agent moves the address in all it is
    # told of.
    extra_route_tables: Tuple[str, ...] = ()
    # The account that owns the route tables, where the VPC is one that another account shares.
    shared_vpc_owner: Optional[str] = None
    on_premises: Outside = ON_PREMISES
    # None: a VPC without an internet gateway.
    internet: Optional[Outside] = None
    # Of the nodes' primary ENIs. An overlay address takes it off; the other modes work, and are tested, with it on.
    source_dest_check: bool = False
    # A secondary private address for the nodes' ENIs, where they share a subnet.
    private: Optional[IPv4Address] = None
    private_ipv6: Optional[IPv6Address] = None
    instance_role: str = "lab-node"
    # Outside every CIDR of the VPC, as an overlay address has to be. On-premises has transit gateway routes for both.
    overlay: IPv4Address = IPv4Address("192.168.10.10")
    overlay_ipv6: IPv6Address = IPv6Address("fd00:10::10")
    # Further ones, of which on-premises has routes as well.
    more_overlays: Tuple[Address, ...] = ()
    # Where instances reach EC2's and STS's API under their real host names (hosts entries, TLS with the lab's own CA).
    api_address: IPv4Address = IPv4Address("198.18.0.10")
    # An account without a VPC: what there is, somebody makes by calls.
    empty: bool = False

    def __post_init__(self) -> None:
        """Refuse what contradicts itself, before anything is made of it."""
        for complaint in complaints(self):
            raise LabError(complaint)

    @property
    def instances(self) -> Tuple[InstanceSpec, ...]:
        """Every instance of the VPC, the cluster's nodes first."""
        return (*self.nodes, *self.consumers)

    @property
    def overlays(self) -> Tuple[Address, ...]:
        """Every overlay address that on-premises has a route for."""
        return (self.overlay, self.overlay_ipv6, *self.more_overlays)

    @property
    def table_owner_id(self) -> str:
        """The account that owns the route tables."""
        return self.shared_vpc_owner or self.account_id

    @property
    def service_interface(self) -> Optional[InterfaceSpec]:
        """The ENI that moves, if there is one."""
        return next(iter(self.interfaces), None)

    @property
    def service_address(self) -> Optional[IPv4Address]:
        """The private IPv4 address that moves: the primary one of the service's ENI, or the secondary private one."""
        if self.service_interface is None:
            return self.private
        return next(iter(self.service_interface.ipv4), None)

    @property
    def outside(self) -> Tuple[Outside, ...]:
        """Who is behind the gateways."""
        if self.empty:
            return () if self.internet is None else (self.internet,)
        return (self.on_premises,) if self.internet is None else (self.on_premises, self.internet)

    def api_host_names(self) -> Tuple[str, ...]:
        """Every name under which an SDK looks for EC2 and STS in this region, and for IAM."""
        return (*(f"{service}.{self.region}.amazonaws.com" for service in ("ec2", "sts")), "iam.amazonaws.com")

    def subnet(self, name: str) -> SubnetSpec:
        """The subnet called `name`."""
        return next(subnet for subnet in self.subnets if subnet.name == name)

    def with_subnets(self, change: Callable[[SubnetSpec], SubnetSpec]) -> Topology:
        """The same with each subnet changed, also where an instance or an ENI is in it; their names have to stay."""
        changed = {one.name: change(one) for one in self.subnets}
        return replace(
            self,
            subnets=tuple(changed.values()),
            nodes=tuple(replace(one, subnet=changed[one.subnet.name]) for one in self.nodes),
            consumers=tuple(replace(one, subnet=changed[one.subnet.name]) for one in self.consumers),
            interfaces=tuple(replace(one, subnet=changed[one.subnet.name]) for one in self.interfaces),
        )


def _default(spec: object, field: str, value: str) -> None:
    """Fill in a field that was left empty, of a value that nobody has seen yet."""
    if not getattr(spec, field):
        object.__setattr__(spec, field, value)
