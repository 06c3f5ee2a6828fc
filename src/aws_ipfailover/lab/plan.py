"""What the lab consists of: the account, the VPC, who lives where. Values only; every other module reads them here."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal, Tuple

Role = Literal["node", "consumer"]


@dataclass(frozen=True)
class PlannedSubnet:
    """A subnet and its own route table; addresses end in the numbers that `PlannedInstance.host` gives."""

    name: str
    availability_zone: str
    cidr: IPv4Network
    ipv6_cidr: IPv6Network


@dataclass(frozen=True)
class PlannedInstance:
    """An EC2 instance of the lab. A `node` runs the cluster; a `consumer` only asks the address."""

    name: str
    role: Role
    subnet: str
    host: int


@dataclass(frozen=True)
class OnPremises:
    """A consumer outside AWS, behind a transit gateway with static routes for the VPC and the overlay addresses."""

    name: str = "onprem"
    cidr: IPv4Network = IPv4Network("172.31.0.0/24")
    address: IPv4Address = IPv4Address("172.31.0.10")
    ipv6_cidr: IPv6Network = IPv6Network("2001:db8:31::/64")
    ipv6_address: IPv6Address = IPv6Address("2001:db8:31::10")


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
    on_premises: OnPremises = OnPremises()
    instance_role: str = "lab-node"
    # Outside every CIDR of the VPC, as an overlay address has to be. On-premises has transit gateway routes for both.
    overlay: IPv4Address = IPv4Address("192.168.10.10")
    overlay_ipv6: IPv6Address = IPv6Address("fd00:10::10")
    # Where instances reach EC2's and STS's API under their real host names (hosts entries, TLS with the lab's own CA).
    api_address: IPv4Address = IPv4Address("198.18.0.10")

    def address(self, instance: PlannedInstance) -> IPv4Address:
        """The primary private address of `instance`."""
        return self._subnet(instance).cidr.network_address + instance.host

    def ipv6_address(self, instance: PlannedInstance) -> IPv6Address:
        """The IPv6 address of `instance`."""
        return self._subnet(instance).ipv6_cidr.network_address + instance.host

    def api_host_names(self) -> Tuple[str, ...]:
        """Every name under which an SDK looks for EC2 and STS in this region."""
        return tuple(f"{service}.{self.region}.amazonaws.com" for service in ("ec2", "sts"))

    def _subnet(self, instance: PlannedInstance) -> PlannedSubnet:
        return next(subnet for subnet in self.subnets if subnet.name == instance.subnet)
