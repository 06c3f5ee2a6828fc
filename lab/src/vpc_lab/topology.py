"""What a lab consists of: the account, the VPC, who lives where. Values only; every other module reads them here.

`topology_for` has the presets. A topology can as well be made by hand, for the names, ids and addresses of somebody's
own cluster: the lab's EC2 then has exactly these. An id that is not given follows from the name, the same in every run.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Callable, ClassVar, Iterable, Iterator, Literal, Optional, Sequence, Tuple, Type, TypeVar

from vpc_lab.errors import LabError
from vpc_lab.vpc import Address, identifier, mac_of

# Where every instance asks for its metadata ("Retrieve instance metadata", EC2 user guide).
METADATA_ADDRESS = IPv4Address("169.254.169.254")

Role = Literal["node", "consumer"]
# The modes of the agent that a lab can be laid out for; the first layout fits overlay-ip.
Mode = Literal["overlay-ip", "eni", "private-ip"]
# Where the service's ENI lives: in a subnet of its own beside the nodes', or in the nodes' subnet.
Layout = Literal["service-subnet", "same-subnet"]
Made = TypeVar("Made", bound="InstanceSpec")
MODES: Tuple[Mode, ...] = ("overlay-ip", "eni", "private-ip")
LAYOUTS: Tuple[Layout, ...] = ("service-subnet", "same-subnet")
# The digits of EC2's ids, the long ones and those of before 2018. The fabric names devices after them.
_DIGITS = r"-[0-9a-f]{8}(?:[0-9a-f]{9})?"
# A host name, which the lab also uses as the name of a directory.
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True)
class SubnetSpec:
    """A subnet to be made, with a route table of its own.

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

    def __post_init__(self) -> None:
        """Refuse what contradicts itself, before anything is made of it."""
        for complaint in _complaints(self):
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
        return (self.on_premises,) if self.internet is None else (self.on_premises, self.internet)

    def api_host_names(self) -> Tuple[str, ...]:
        """Every name under which an SDK looks for EC2 and STS in this region."""
        return tuple(f"{service}.{self.region}.amazonaws.com" for service in ("ec2", "sts"))

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


def _default(spec: object, field: str, value: str) -> None:
    """Fill in a field that was left empty, of a value that nobody has seen yet."""
    if not getattr(spec, field):
        object.__setattr__(spec, field, value)


def _complaints(topology: Topology) -> Iterator[str]:
    """A sentence for each thing that cannot be, the plainest first."""
    if not topology.nodes:
        yield "a lab has at least one node"
    yield from _wrong_names(topology)
    yield from _wrong_ids(topology)
    yield from _wrong_places(topology)
    yield from _wrong_addresses(topology)


def _placed(topology: Topology) -> Tuple[Tuple[str, SubnetSpec, Tuple[Address, ...]], ...]:
    """Who is in which subnet, with which addresses."""
    return (
        *((one.name, one.subnet, (one.address, one.ipv6_address)) for one in topology.instances),
        *((one.name, one.subnet, one.addresses) for one in topology.interfaces),
    )


def _wrong_names(topology: Topology) -> Iterator[str]:
    """Each is a place of its own for whoever cuts links: instances, zones, and what is outside."""
    names = [one.name for one in topology.instances]
    for name in names:
        if not _NAME.fullmatch(name):
            yield f"'{name}' cannot be the host name of an instance: it takes letters, digits and hyphens, at most 63"
    places = [*names, *(one.name for one in topology.outside), "api", "imds"]
    places += {one.availability_zone for one in topology.subnets}
    yield from (f"two places of the lab are called '{name}'" for name in _twice(places))
    yield from (f"two subnets are called '{name}'" for name in _twice([one.name for one in topology.subnets]))


def _wrong_ids(topology: Topology) -> Iterator[str]:
    ids = {
        "i": [one.instance_id for one in topology.instances],
        "eni": [
            *(one.network_interface_id for one in topology.instances),
            *(one.network_interface_id for one in topology.interfaces),
        ],
        "subnet": [one.subnet_id for one in topology.subnets],
        "rtb": [*(one.route_table_id for one in topology.subnets), *topology.extra_route_tables],
    }
    for prefix, found in ids.items():
        for given in found:
            if not re.fullmatch(prefix + _DIGITS, given):
                yield f"'{given}' is no id of EC2's: it takes {prefix}- and 17 (or 8) hexadecimal digits"
        yield from (f"two things of the lab have the id {given}" for given in _twice(found))
    yield from (f"two instances have the MAC address {mac}" for mac in _twice([one.mac for one in topology.instances]))


def _wrong_places(topology: Topology) -> Iterator[str]:
    for subnet in topology.subnets:
        if not subnet.availability_zone.startswith(topology.region):
            yield f"availability zone {subnet.availability_zone} is not one of region {topology.region}"
        if not (subnet.cidr.subnet_of(topology.cidr) and subnet.ipv6_cidr.subnet_of(topology.ipv6_cidr)):
            yield f"subnet {subnet.name} is not within the VPC's {topology.cidr} and {topology.ipv6_cidr}"
    for name, home, _ in _placed(topology):
        if home not in topology.subnets:
            yield f"{name} is in subnet {home.name}, which is none of the lab's"


def _wrong_addresses(topology: Topology) -> Iterator[str]:
    placed = _placed(topology)
    for name, subnet, addresses in placed:
        for address in addresses:
            if address not in (subnet.cidr if isinstance(address, IPv4Address) else subnet.ipv6_cidr):
                yield f"{address} of {name} is not within its subnet {subnet.name}"
    yield from (f"two interfaces have the address {one}" for one in _twice([one for *_, own in placed for one in own]))
    for overlay in topology.overlays:
        if overlay in (topology.cidr if isinstance(overlay, IPv4Address) else topology.ipv6_cidr):
            yield f"overlay address {overlay} is within the VPC, where no route can lead it to an instance"


def _twice(found: Sequence[object]) -> Tuple[object, ...]:
    return tuple(one for one, times in Counter(found).items() if times > 1)
