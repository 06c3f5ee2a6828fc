"""The topologies of `lab up`: one for each mode of the agent, with two nodes or three."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from typing import Iterable, Literal, Optional, Sequence, Tuple, Type, TypeVar

from vpc_lab.errors import LabError
from vpc_lab.topology.specs import (
    INTERNET,
    WORKSTATION,
    Consumer,
    InstanceSpec,
    InterfaceSpec,
    Node,
    SubnetSpec,
    Topology,
)
from vpc_lab.vpc import Address, identifier

# The modes of the agent that a lab can be laid out for; the first layout fits overlay-ip.
Mode = Literal["overlay-ip", "eni", "private-ip"]
# Where the service's ENI lives: in a subnet of its own beside the nodes', or in the nodes' subnet.
Layout = Literal["service-subnet", "same-subnet"]
MODES: Tuple[Mode, ...] = ("overlay-ip", "eni", "private-ip")
LAYOUTS: Tuple[Layout, ...] = ("service-subnet", "same-subnet")
Made = TypeVar("Made", bound=InstanceSpec)
# How many nodes the presets are for, and what these are called.
NODE_COUNTS = (2, 3)
_NUMBERS = {"a": 1, "b": 2, "c": 4, "service": 3}
SERVICE_HOSTS = (60, 61)
SERVICE_IPV6_HOSTS = (60,)


def node_names(count: int) -> Tuple[str, ...]:
    """The names of so many nodes. LabError unless a preset is for that number."""
    if count not in NODE_COUNTS:
        raise LabError(f"a lab has {' or '.join(map(str, NODE_COUNTS))} nodes, not {count}")
    return tuple(f"node{number}" for number in range(1, count + 1))


def topology_for(
    mode: Mode = "overlay-ip",
    layout: Layout = "service-subnet",
    *,
    nodes: Sequence[str] = node_names(2),
    region: str = "eu-central-1",
    internet: bool = False,
    extra_route_tables: int = 0,
    shared_vpc_owner: Optional[str] = None,
    more_overlays: Iterable[Address] = (),
) -> Topology:
    """The lab for a mode of the agent, with two or three nodes of these names. LabError for another number.

    overlay-ip: an availability zone for each node, with a subnet, its route table and a consumer in each. An ENI and a
    private address stay in one zone: there, all nodes share the subnet of the first of two zones. `layout` matters to
    `eni` only. With a service subnet there is a consumer in it as well. An overlay address is no address of an ENI, so
    that no Elastic IP can be associated with it: there, the VPC has an internet gateway only with `internet`, for an
    Elastic IP that the agent associates with the nodes' own addresses.
    """
    node_names(len(nodes))
    zones = "abc"[: len(nodes)] if mode == "overlay-ip" else "ab"
    subnets = [_subnet(zone, region + zone) for zone in zones]
    consumers = [_at(Consumer, f"consumer-{one.name}", one, 101 + place) for place, one in enumerate(subnets)]
    topology = Topology(
        tuple(subnets),
        tuple(
            _at(Node, name, subnets[place if mode == "overlay-ip" else 0], 11 + place)
            for place, name in enumerate(nodes)
        ),
        tuple(consumers),
        region=region,
        extra_route_tables=tuple(identifier("rtb", f"extra-{number}") for number in range(1, extra_route_tables + 1)),
        shared_vpc_owner=shared_vpc_owner,
        more_overlays=tuple(more_overlays),
        internet=INTERNET if internet or mode != "overlay-ip" else None,
        source_dest_check=mode != "overlay-ip",
    )
    if mode == "overlay-ip":
        return topology
    service = topology.subnet("a")
    if mode == "private-ip":
        return replace(
            topology,
            private=service.cidr.network_address + SERVICE_HOSTS[0],
            private_ipv6=service.ipv6_cidr.network_address + SERVICE_IPV6_HOSTS[0],
        )
    if layout == "service-subnet":
        service = _subnet("service", region + "a")
        subnets, consumers = [*subnets, service], [*consumers, _at(Consumer, "consumer-s", service, 103)]
    return replace(
        topology,
        subnets=tuple(subnets),
        consumers=tuple(consumers),
        interfaces=(
            InterfaceSpec(
                "service",
                service,
                tuple(service.cidr.network_address + host for host in SERVICE_HOSTS),
                tuple(service.ipv6_cidr.network_address + host for host in SERVICE_IPV6_HOSTS),
            ),
        ),
    )


def empty_account(region: str = "eu-central-1") -> Topology:
    """An account without a VPC, and a workstation on the Internet from which somebody makes one."""
    return Topology((), (), region=region, internet=WORKSTATION, empty=True)


def _subnet(name: str, availability_zone: str) -> SubnetSpec:
    number = _NUMBERS[name]
    return SubnetSpec(
        name,
        availability_zone,
        IPv4Network(f"10.0.{number}.0/24"),
        IPv6Network(f"2001:db8:1000:{number}::/64"),
    )


def _at(kind: Type[Made], name: str, subnet: SubnetSpec, host: int) -> Made:
    """An instance whose addresses end in `host`."""
    return kind(name, subnet, subnet.cidr.network_address + host, subnet.ipv6_cidr.network_address + host)
