"""The account's truth at one moment, as immutable values; every write makes a new `World`.

Old worlds are what eventually consistent reads answer with, so nothing here is ever changed in place.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address
from typing import Dict, FrozenSet, List, Literal, Mapping, Optional, Tuple

from vpc_lab import vpc as network
from vpc_lab.vpc import Address, AttachmentStatus, Cidr, InstanceState


def identifier(prefix: str, *names: str) -> str:
    """An id with EC2's shape (`rtb-0` and 16 hex digits) that is the same in every run for the same names."""
    return f"{prefix}-0{sha256('/'.join((prefix, *names)).encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class Vpc:
    """The VPC; `cidrs` are all its associated blocks, the primary IPv4 block first."""

    vpc_id: str
    cidrs: Tuple[Cidr, ...]


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
    """A route table with its routes in the order they were made: one static route for a destination at most."""

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
        found: List[Route] = []
        for destination in dict.fromkeys(route.destination for route in self.routes):
            route = self.in_use(destination)
            if route is not None:
                found.append(route)
        return tuple(found)


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
    # Whether the instance gets a NIC for it; see `World.dead_slots`.
    plugged: bool = True

    @property
    def slot(self) -> Slot:
        """Where on the instance it is."""
        return self.network_card_index, self.device_index


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


@dataclass(frozen=True)
class World:
    """Everything that the account holds in its Region."""

    vpc: Vpc
    group_id: str
    subnets: Mapping[str, Subnet] = field(default_factory=dict)
    route_tables: Mapping[str, RouteTable] = field(default_factory=dict)
    interfaces: Mapping[str, Interface] = field(default_factory=dict)
    instances: Mapping[str, Instance] = field(default_factory=dict)
    elastic_ips: Mapping[str, ElasticIp] = field(default_factory=dict)
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    gateways: Tuple[str, ...] = ()
    remaps: Mapping[Address, Remap] = field(default_factory=dict)
    # By instance: where no NIC appears any more until the instance stops and starts.
    dead_slots: Mapping[str, FrozenSet[Slot]] = field(default_factory=dict)

    def with_route_table(self, table: RouteTable) -> World:
        """This world with one route table put in or changed."""
        return replace(self, route_tables={**self.route_tables, table.route_table_id: table})

    def with_routes_of(self, one: str, other: str) -> World:
        """The same, where the table `other` has the routes of the table `one` that lead to no ENI."""
        routes = tuple(route for route in self.route_tables[one].routes if not route.target.startswith("eni-"))
        return self.with_route_table(replace(self.route_tables[other], routes=routes))

    def without_route_table(self, route_table_id: str) -> World:
        """This world without one route table, its associations and its tags: its subnets use the main table."""
        return replace(
            self,
            route_tables={key: value for key, value in self.route_tables.items() if key != route_table_id},
            tags={key: value for key, value in self.tags.items() if key != route_table_id},
        )

    def with_interface(self, interface: Interface) -> World:
        """This world with one ENI put in or changed."""
        return replace(self, interfaces={**self.interfaces, interface.network_interface_id: interface})

    def with_instance(self, instance: Instance) -> World:
        """This world with one instance put in or changed; one that has stopped has no dead slots any more."""
        world = replace(self, instances={**self.instances, instance.instance_id: instance})
        return world._revived(instance.instance_id) if instance.state in ("stopped", "terminated") else world

    def with_dead_slot(self, instance_id: str, slot: Slot) -> World:
        """This world with a place of an instance where no NIC appears until that has stopped."""
        dead = self.dead_slots.get(instance_id, frozenset()) | {slot}
        return replace(self, dead_slots={**self.dead_slots, instance_id: dead})

    def _revived(self, instance_id: str) -> World:
        if instance_id not in self.dead_slots:
            return self
        world = replace(self, dead_slots={key: dead for key, dead in self.dead_slots.items() if key != instance_id})
        for one in world.interfaces_of(instance_id):
            if one.attachment is not None and not one.attachment.plugged:
                world = world.with_interface(replace(one, attachment=replace(one.attachment, plugged=True)))
        return world

    def with_elastic_ip(self, elastic_ip: ElasticIp) -> World:
        """This world with one Elastic IP put in or changed."""
        return replace(self, elastic_ips={**self.elastic_ips, elastic_ip.allocation_id: elastic_ip})

    def without_elastic_ip(self, allocation_id: str) -> World:
        """This world without one Elastic IP."""
        kept = {key: value for key, value in self.elastic_ips.items() if key != allocation_id}
        return replace(self, elastic_ips=kept)

    def elastic_ip_of(self, private: IPv4Address) -> Optional[ElasticIp]:
        """The Elastic IP associated with a private address."""
        return next((one for one in self.elastic_ips.values() if one.private_ip == private), None)

    def holder(self, address: Address) -> Optional[str]:
        """The ENI that EC2 says has an address."""
        for one in self.interfaces.values():
            if address in one.ipv4 or address in one.ipv6:
                return one.network_interface_id
        return None

    def with_remap(self, address: Address, remap: Remap) -> World:
        """This world with an assignment of `address` that has yet to take effect."""
        return replace(self, remaps={**self.remaps, address: remap})

    def without_remap(self, address: Address) -> World:
        """This world with every place agreeing on who has `address`."""
        if address not in self.remaps:
            return self
        return replace(self, remaps={key: value for key, value in self.remaps.items() if key != address})

    def addresses_in_network(self, interface: Interface) -> Tuple[Address, ...]:
        """The addresses that packets find on an ENI: IPv4 first, the primary one at the start."""
        return self._placed(interface, {address: remap.network for address, remap in self.remaps.items()})

    def addresses_in_metadata(self, interface: Interface) -> Tuple[Address, ...]:
        """The addresses that the instance metadata lists for an ENI, in the same order."""
        return self._placed(interface, {address: remap.metadata for address, remap in self.remaps.items()})

    @staticmethod
    def _placed(interface: Interface, places: Mapping[Address, Optional[str]]) -> Tuple[Address, ...]:
        eni = interface.network_interface_id
        own: Tuple[Address, ...] = (*interface.ipv4, *interface.ipv6)
        found = [address for address in own if places.get(address, eni) == eni]
        found += [address for address, place in places.items() if place == eni and address not in own]
        return tuple(sorted(found, key=lambda address: address.version))

    def with_tags(self, resource_id: str, tags: Mapping[str, str]) -> World:
        """This world with exactly these tags on one resource."""
        return replace(self, tags={**self.tags, resource_id: dict(tags)})

    def without_interface(self, network_interface_id: str) -> World:
        """This world without one ENI; its Elastic IPs are associated with nothing any more."""
        kept = {key: value for key, value in self.interfaces.items() if key != network_interface_id}
        elastic_ips = dict(self.elastic_ips)
        for key, one in self.elastic_ips.items():
            if one.network_interface_id == network_interface_id:
                elastic_ips[key] = ElasticIp(one.allocation_id, one.public_ip)
        return replace(self, interfaces=kept, elastic_ips=elastic_ips)

    def interfaces_of(self, instance_id: str) -> Tuple[Interface, ...]:
        """The ENIs attached to an instance, in any status, by network card and device index."""
        held = [
            (interface.attachment.slot, interface)
            for interface in self.interfaces.values()
            if interface.attachment is not None and interface.attachment.instance_id == instance_id
        ]
        return tuple(interface for _, interface in sorted(held, key=lambda pair: pair[0]))

    def route_table_of(self, subnet_id: str) -> RouteTable:
        """The table a subnet uses: the one associated with it, or the VPC's main one."""
        main = None
        for table in self.route_tables.values():
            for association in table.associations:
                if association.subnet_id == subnet_id:
                    return table
                if association.subnet_id is None:
                    main = table
        if main is None:
            raise LookupError(f"{subnet_id} has no route table and the VPC has no main one")
        return main

    def state_of(self, route: Route) -> RouteState:
        """What EC2 says of a route: `blackhole` where its ENI is gone or detached, or its instance does not run.

        Source: `RouteState` in the EC2 API reference.
        """
        if route.state is not None:
            return route.state
        return "blackhole" if self._leads_nowhere(route) else "active"

    def _leads_nowhere(self, route: Route) -> bool:
        if not route.target.startswith("eni-"):
            return False
        interface = self.interfaces.get(route.target)
        if interface is None or interface.attachment is None:
            return True
        instance = self.instances.get(interface.attachment.instance_id)
        return instance is None or instance.state in ("stopped", "terminated")


def network_of(world: World) -> network.Network:
    """The same moment in the language of the fabric."""
    by_subnet: Dict[str, str] = {
        subnet_id: world.route_table_of(subnet_id).route_table_id for subnet_id in world.subnets
    }
    return network.Network(
        cidrs=world.vpc.cidrs,
        subnets=tuple(
            network.Subnet(subnet.subnet_id, subnet.availability_zone, subnet.cidrs, by_subnet[subnet.subnet_id])
            for subnet in world.subnets.values()
        ),
        route_tables=tuple(
            network.RouteTable(
                table.route_table_id,
                tuple(
                    network.Route(
                        route.destination, route.target, "blackhole" if world.state_of(route) != "active" else "active"
                    )
                    for route in table.routes_in_use()
                ),
            )
            for table in world.route_tables.values()
        ),
        interfaces=tuple(
            network.Interface(
                interface.network_interface_id,
                interface.mac,
                interface.subnet_id,
                world.addresses_in_network(interface),
                interface.source_dest_check,
                None
                if interface.attachment is None
                else network.Attachment(
                    interface.attachment.instance_id,
                    interface.attachment.device_index,
                    interface.attachment.status,
                    interface.attachment.plugged,
                    interface.attachment.network_card_index,
                ),
            )
            for interface in world.interfaces.values()
            if interface.vpc_id is None
        ),
        elastic_ips=tuple(
            network.ElasticIp(one.public_ip, one.private_ip)
            for one in world.elastic_ips.values()
            if one.private_ip is not None
        ),
        instances=tuple(
            network.Instance(
                instance.instance_id,
                world.tags.get(instance.instance_id, {}).get("Name", instance.instance_id),
                instance.state,
            )
            for instance in world.instances.values()
        ),
    )
