"""What the lab consists of: the account, the VPC, who lives where. Values only; every other module reads them here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal, Optional, Tuple, Union

# Where every instance asks for its metadata ("Retrieve instance metadata", EC2 user guide).
METADATA_ADDRESS = IPv4Address("169.254.169.254")

Role = Literal["node", "consumer"]
# The modes of the agent that a lab can be laid out for; the first layout fits overlay-ip.
Mode = Literal["overlay-ip", "eni", "private-ip"]
# Where the service's ENI lives: in a subnet of its own beside the nodes', or in the nodes' subnet.
Layout = Literal["service-subnet", "same-subnet"]
MODES: Tuple[Mode, ...] = ("overlay-ip", "eni", "private-ip")
LAYOUTS: Tuple[Layout, ...] = ("service-subnet", "same-subnet")


@dataclass(frozen=True)
class PlannedSubnet:
    """A subnet and its own route table; addresses end in the numbers that `PlannedInstance.host` gives.

    `ipv6_only`: EC2 has no IPv4 CIDR for it, and its ENIs have no IPv4 address; for tests of the API, not for a lab.
    """

    name: str
    availability_zone: str
    cidr: IPv4Network
    ipv6_cidr: IPv6Network
    ipv6_only: bool = False


@dataclass(frozen=True)
class PlannedInstance:
    """An EC2 instance of the lab. A `node` runs the cluster; a `consumer` only asks the address."""

    name: str
    role: Role
    subnet: str
    host: int


@dataclass(frozen=True)
class PlannedInterface:
    """An ENI that belongs to no instance: attached to nothing at first. `hosts`: of its IPv4 addresses."""

    name: str
    subnet: str
    hosts: Tuple[int, ...]
    ipv6_hosts: Tuple[int, ...]


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
# What Elastic IPs are allocated from.
PUBLIC = IPv4Network("203.0.113.0/24")


@dataclass(frozen=True)
class Plan:
    """One lab."""

    region: str = "eu-central-1"
    account_id: str = "123456789012"
    cidr: IPv4Network = IPv4Network("10.0.0.0/16")
    ipv6_cidr: IPv6Network = IPv6Network("2001:db8:1000::/56")
    subnets: Tuple[PlannedSubnet, ...] = (
        PlannedSubnet("a", "eu-central-1a", IPv4Network("10.0.1.0/24"), IPv6Network("2001:db8:1000:1::/64")),
        PlannedSubnet("b", "eu-central-1b", IPv4Network("10.0.2.0/24"), IPv6Network("2001:db8:1000:2::/64")),
    )
    instances: Tuple[PlannedInstance, ...] = (
        PlannedInstance("node1", "node", "a", 11),
        PlannedInstance("node2", "node", "b", 12),
        PlannedInstance("consumer-a", "consumer", "a", 101),
        PlannedInstance("consumer-b", "consumer", "b", 102),
    )
    interfaces: Tuple[PlannedInterface, ...] = ()
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
    more_overlays: Tuple[Union[IPv4Address, IPv6Address], ...] = ()
    # Where instances reach EC2's and STS's API under their real host names (hosts entries, TLS with the lab's own CA).
    api_address: IPv4Address = IPv4Address("198.18.0.10")

    @property
    def service_interface(self) -> Optional[PlannedInterface]:
        """The ENI that moves, if there is one."""
        return next(iter(self.interfaces), None)

    @property
    def service_address(self) -> Optional[IPv4Address]:
        """The private IPv4 address that moves: the primary one of the service's ENI, or the secondary private one."""
        if self.service_interface is None:
            return self.private
        found = self.interface_addresses(self.service_interface)[0]
        return found if isinstance(found, IPv4Address) else None

    @property
    def outside(self) -> Tuple[Outside, ...]:
        """Who is behind the gateways."""
        return (self.on_premises,) if self.internet is None else (self.on_premises, self.internet)

    def interface_addresses(self, interface: PlannedInterface) -> Tuple[Union[IPv4Address, IPv6Address], ...]:
        """The addresses of `interface`: IPv4 then IPv6, the primary private IPv4 address first."""
        subnet = self.subnet(interface.subnet)
        return (
            *(subnet.cidr.network_address + host for host in interface.hosts),
            *(subnet.ipv6_cidr.network_address + host for host in interface.ipv6_hosts),
        )

    def address(self, instance: PlannedInstance) -> IPv4Address:
        """The primary private address of `instance`."""
        return self.subnet(instance.subnet).cidr.network_address + instance.host

    def ipv6_address(self, instance: PlannedInstance) -> IPv6Address:
        """The IPv6 address of `instance`."""
        return self.subnet(instance.subnet).ipv6_cidr.network_address + instance.host

    def api_host_names(self) -> Tuple[str, ...]:
        """Every name under which an SDK looks for EC2 and STS in this region."""
        return tuple(f"{service}.{self.region}.amazonaws.com" for service in ("ec2", "sts"))

    def subnet(self, name: str) -> PlannedSubnet:
        """The subnet called `name`."""
        return next(subnet for subnet in self.subnets if subnet.name == name)


SERVICE_HOSTS = (60, 61)
SERVICE_IPV6_HOSTS = (60,)
_SERVICE_SUBNET = PlannedSubnet(
    "service", "eu-central-1a", IPv4Network("10.0.3.0/24"), IPv6Network("2001:db8:1000:3::/64")
)


def plan_for(mode: Mode = "overlay-ip", layout: Layout = "service-subnet", *, internet: bool = False) -> Plan:
    """The lab for a mode of the agent. An ENI and a private address stay in one zone: there, both nodes share a subnet.

    `layout` matters to `eni` only. With a service subnet there is a consumer in it as well. An overlay address is no
    address of an ENI, so that no Elastic IP can be associated with it: there, the VPC has an internet gateway only with
    `internet`, for an Elastic IP that the agent associates with the nodes' own addresses.
    """
    plan = Plan()
    if mode == "overlay-ip":
        return replace(plan, internet=INTERNET if internet else None)
    plan = replace(
        plan,
        instances=tuple(replace(one, subnet="a") if one.role == "node" else one for one in plan.instances),
        source_dest_check=True,
        internet=INTERNET,
    )
    if mode == "private-ip":
        nodes = plan.subnet("a")
        return replace(
            plan,
            private=nodes.cidr.network_address + SERVICE_HOSTS[0],
            private_ipv6=nodes.ipv6_cidr.network_address + SERVICE_IPV6_HOSTS[0],
        )
    if layout == "same-subnet":
        return replace(plan, interfaces=(PlannedInterface("service", "a", SERVICE_HOSTS, SERVICE_IPV6_HOSTS),))
    return replace(
        plan,
        subnets=(*plan.subnets, _SERVICE_SUBNET),
        instances=(*plan.instances, PlannedInstance("consumer-s", "consumer", "service", 103)),
        interfaces=(PlannedInterface("service", "service", SERVICE_HOSTS, SERVICE_IPV6_HOSTS),),
    )
