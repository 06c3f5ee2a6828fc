"""The account's truth at one moment, as immutable values; every write makes a new `World`.

EC2's API (`vpc_lab.ec2`) owns it and hands each new one to the fabric (`vpc_lab.fabric`), which makes the kernel equal
to it; neither of the two knows the other. Old worlds are what eventually consistent reads answer with, so nothing here
is ever changed in place.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from typing import FrozenSet, Mapping, Optional, Tuple

from vpc_lab.vpc import (
    Address,
    ElasticIp,
    Instance,
    Interface,
    NetworkAcl,
    Peering,
    Remap,
    Route,
    RouteState,
    RouteTable,
    SecurityGroup,
    Slot,
    Subnet,
    TransitAttachment,
    TransitTable,
    Vpc,
)


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
    # Attached to the VPC, and internet gateways that are attached to none.
    gateways: Tuple[str, ...] = ()
    detached_gateways: Tuple[str, ...] = ()
    remaps: Mapping[Address, Remap] = field(default_factory=dict)
    # By instance: where no NIC appears any more until the instance stops and starts.
    dead_slots: Mapping[str, FrozenSet[Slot]] = field(default_factory=dict)
    security_groups: Mapping[str, SecurityGroup] = field(default_factory=dict)
    network_acls: Mapping[str, NetworkAcl] = field(default_factory=dict)
    peerings: Tuple[Peering, ...] = ()
    transit_attachments: Tuple[TransitAttachment, ...] = ()
    transit_tables: Mapping[str, TransitTable] = field(default_factory=dict)
    vpn_gateways: Tuple[str, ...] = ()

    def with_security_group(self, group: SecurityGroup) -> World:
        """This world with one security group put in or changed."""
        return replace(self, security_groups={**self.security_groups, group.group_id: group})

    def with_network_acl(self, acl: NetworkAcl) -> World:
        """This world with one network ACL put in or changed."""
        return replace(self, network_acls={**self.network_acls, acl.network_acl_id: acl})

    def with_transit_table(self, table: TransitTable) -> World:
        """This world with one route table of a transit gateway put in or changed."""
        return replace(self, transit_tables={**self.transit_tables, table.table_id: table})

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
        own = interface.addresses
        found = [address for address in own if places.get(address, eni) == eni]
        found += [address for address, place in places.items() if place == eni and address not in own]
        return tuple(sorted(found, key=lambda address: address.version))

    def interfaces_in_network(self) -> Tuple[Interface, ...]:
        """The ENIs of the lab's VPC as packets find them: each with the addresses that are delivered to it now."""
        return tuple(self._in_network(one) for one in self.interfaces.values() if one.vpc_id is None)

    def _in_network(self, interface: Interface) -> Interface:
        if not self.remaps:
            return interface
        found = self.addresses_in_network(interface)
        return replace(
            interface,
            ipv4=tuple(address for address in found if isinstance(address, IPv4Address)),
            ipv6=tuple(address for address in found if isinstance(address, IPv6Address)),
        )

    def name_of(self, instance_id: str) -> str:
        """The Name tag of an instance, which is its host name; its id without one."""
        return self.tags.get(instance_id, {}).get("Name", instance_id)

    def with_tags(self, resource_id: str, tags: Mapping[str, str]) -> World:
        """This world with exactly these tags on one resource."""
        return replace(self, tags={**self.tags, resource_id: dict(tags)})

    def without_tags(self, resource_id: str) -> World:
        """This world without the tags of a resource that is gone."""
        return replace(self, tags={key: value for key, value in self.tags.items() if key != resource_id})

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
        """What EC2 says of a route: `blackhole` where its target is gone or detached, or its instance does not run.

        Source: `RouteState` in the EC2 API reference.
        """
        if route.state is not None:
            return route.state
        return "blackhole" if self._leads_nowhere(route) else "active"

    def _leads_nowhere(self, route: Route) -> bool:
        if route.target.startswith("igw-"):
            return route.target not in self.gateways
        if not route.target.startswith("eni-"):
            return False
        interface = self.interfaces.get(route.target)
        if interface is None or interface.attachment is None:
            return True
        instance = self.instances.get(interface.attachment.instance_id)
        return instance is None or instance.state in ("stopped", "terminated")
