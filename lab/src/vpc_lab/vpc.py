"""What a VPC's network is at one moment, as plain values: the language between EC2's API and the fabric.

The API layer (`vpc_lab.ec2`) owns the truth and hands a new `Network` to the fabric (`vpc_lab.fabric`) after every
change that took effect; the fabric makes the kernel equal to it. Neither side knows the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal, Optional, Tuple, Union

Address = Union[IPv4Address, IPv6Address]
Cidr = Union[IPv4Network, IPv6Network]

AttachmentStatus = Literal["attaching", "attached", "detaching"]
InstanceState = Literal["pending", "running", "stopping", "stopped", "shutting-down", "terminated"]


@dataclass(frozen=True)
class Subnet:
    """A subnet: one availability zone, one effective route table (the VPC's main one unless associated)."""

    subnet_id: str
    availability_zone: str
    cidrs: Tuple[Cidr, ...]
    route_table_id: str


@dataclass(frozen=True)
class Route:
    """One route of a table. `target` is "local", an `eni-…`, a `tgw-…` or an `igw-…` id."""

    destination: Cidr
    target: str
    state: Literal["active", "blackhole"]


@dataclass(frozen=True)
class RouteTable:
    """A route table; it decides for traffic that *leaves* the ENIs of the subnets that use it."""

    route_table_id: str
    routes: Tuple[Route, ...]


@dataclass(frozen=True)
class Attachment:
    """An ENI's attachment to an instance, as EC2 reports it.

    `plugged` False: the instance gets no NIC for it, whatever `status` says.
    """

    instance_id: str
    device_index: int
    status: AttachmentStatus
    plugged: bool = True
    network_card_index: int = 0

    @property
    def is_primary(self) -> bool:
        """Whether it makes the ENI the instance's primary one: device index 0 of network card 0."""
        return (self.network_card_index, self.device_index) == (0, 0)


@dataclass(frozen=True)
class Interface:
    """An elastic network interface. `addresses`: IPv4 then IPv6, the primary private IPv4 address first."""

    network_interface_id: str
    mac: str
    subnet_id: str
    addresses: Tuple[Address, ...]
    source_dest_check: bool
    attachment: Optional[Attachment]


@dataclass(frozen=True)
class ElasticIp:
    """A public address that an internet gateway translates to and from a private one, one to one."""

    public: IPv4Address
    private: IPv4Address


@dataclass(frozen=True)
class Instance:
    """An instance; `name` is its Name tag, and the host name inside."""

    instance_id: str
    name: str
    state: InstanceState


@dataclass(frozen=True)
class Network:
    """The whole VPC at one moment."""

    cidrs: Tuple[Cidr, ...]
    subnets: Tuple[Subnet, ...]
    route_tables: Tuple[RouteTable, ...]
    interfaces: Tuple[Interface, ...]
    instances: Tuple[Instance, ...]
    elastic_ips: Tuple[ElasticIp, ...] = ()
