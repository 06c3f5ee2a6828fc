"""The kernel's objects for a world: what EC2 says, as devices, routes and rules. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, ip_network
from typing import Dict, FrozenSet, Iterable, List, Mapping, Optional, Set, Tuple

from vpc_lab.fabric.commands import FabricError
from vpc_lab.fabric.devices import GATEWAYS, INTERNET_GATEWAY, TRANSIT_GATEWAY, inside_of, link_local, plugged
from vpc_lab.fabric.ruleset import NO_CUTS, Cuts, are_neighbours, ingress, ruleset
from vpc_lab.fabric.tables import INTERNET_TABLE, TO_MAC, TRANSIT_TABLE, table_number
from vpc_lab.topology import METADATA_ADDRESS, Topology
from vpc_lab.vpc import Address, Cidr, Interface, RouteTable
from vpc_lab.world import World

# The router's link-local address on every link, the gateway of IPv6 as in a VPC.
ROUTER_IPV6 = IPv6Address("fe80::1")
# The VPC router's own static address, as the VPC user guide documents it ("Subnet route tables").
STATIC_ROUTER_IPV6 = IPv6Address("fe80:ec2::1")

_LOCAL_TABLE = 99
_RULE_MAC = 90
_RULE_ENI = 100
_RULE_TRANSIT = 110
_RULE_TRANSIT_LOCAL = 111
_RULE_TRANSIT_END = 112
_RULE_INTERNET_FROM_API = 119
_RULE_INTERNET = 120
_RULE_INTERNET_END = 121
_RULE_LOCAL = 200


@dataclass(frozen=True)
class Link:
    """One ENI in an instance: `device` here, `inside` in the network namespace of process `pid`."""

    device: str
    inside: str
    mac: str
    pid: int
    addresses: Tuple[str, ...] = ()
    gateways: Tuple[str, ...] = ()
    # IPv6 prefixes whose addresses are asked for on the link, instead of going to the router.
    on_link: Tuple[str, ...] = ()


@dataclass(frozen=True)
class KernelState:
    """What the kernel should hold. `batch` objects are arguments of `ip`, without the verb, and their family.

    `routes` maps (family, table, destination) to the rest of the route; `neighbours` and `rules` are sets.
    """

    links: Mapping[str, Link] = field(default_factory=dict)
    routes: Mapping[Tuple[int, int, str], str] = field(default_factory=dict)
    neighbours: Mapping[Tuple[int, str, str], str] = field(default_factory=dict)
    # IPv6 addresses for which the router answers neighbour solicitations on a device.
    proxies: FrozenSet[Tuple[str, str]] = frozenset()
    rules: FrozenSet[Tuple[int, str]] = frozenset()
    addresses: FrozenSet[str] = frozenset()
    ruleset: str = ""
    # Rules on what comes in by the ENIs' devices, which have to be there; empty for none.
    ingress: str = ""


def tables_of(world: World, hosts: Mapping[str, int]) -> Dict[str, RouteTable]:
    """The route table that EC2 has for what comes in by a device: an ENI's, or the transit gateway's."""
    tables = {subnet_id: world.route_table_of(subnet_id) for subnet_id in world.subnets}
    found = {device: tables[eni.subnet_id] for device, eni in plugged(world, hosts).items()}
    # The transit gateway's static routes lead into the VPC, where the table of the attachment's subnet decides.
    if world.subnets:
        found[TRANSIT_GATEWAY] = tables[next(iter(world.subnets))]
    numbers = {table_number(source) for source in found}
    if len(numbers) != len(found):
        raise FabricError("two network interfaces need the same kernel table: their ids are too much alike")
    return found


def desired(
    world: World,
    topology: Topology,
    hosts: Mapping[str, int],
    cuts: Cuts = NO_CUTS,
    *,
    gateways: FrozenSet[str] = frozenset((TRANSIT_GATEWAY, INTERNET_GATEWAY)),
    names: Mapping[str, str] = {},
    hidden: FrozenSet[str] = frozenset(),
    tables: Mapping[str, RouteTable] = {},
    stale_neighbours: bool = False,
) -> KernelState:
    """The kernel's objects for `world`, with the running instances' process 1 in `hosts` (by instance id).

    `gateways`: the gateways' devices that are there. `names`: what the instance calls a device, where it
    is not the name by device index. `hidden`: devices that EC2 calls attached and the instance does not have yet.
    `tables`: the routes in effect for what comes in by a device, where they are not those that EC2 has.
    `stale_neighbours`: frames within a subnet go to the ENI whose MAC they carry, not to the one that has the address.
    """
    enis = {device: eni for device, eni in plugged(world, hosts).items() if device not in hidden}
    by_id = {eni.network_interface_id: (device, eni) for device, eni in enis.items()}
    links: Dict[str, Link] = {}
    routes: Dict[Tuple[int, int, str], str] = {}
    neighbours: Dict[Tuple[int, str, str], str] = {}
    rules: Set[Tuple[int, str]] = set()
    proxies: Set[Tuple[str, str]] = set()
    addresses = {f"{topology.api_address}/32", f"{METADATA_ADDRESS}/32"}

    for subnet in world.subnets.values():
        addresses |= {f"{_router(cidr)}/32" for cidr in subnet.cidrs if cidr.version == 4}
    for eni in world.interfaces_in_network():
        for address in eni.addresses:
            if address.version == 4:
                # Dropped (on its way to the loopback device), but ARP is answered: an address in a VPC has a place even
                # while nothing is behind it.
                routes[(4, _LOCAL_TABLE, str(ip_network(address)))] = "dev lo scope link"
            elif not stale_neighbours:
                proxies |= {(device, str(address)) for device, other in enis.items() if are_neighbours(other, eni)}
    for device, eni in enis.items():
        link = _link(device, names.get(device), eni, world.subnets[eni.subnet_id].cidrs, hosts)
        if stale_neighbours and link.addresses:
            on_link = tuple(str(cidr) for cidr in world.subnets[eni.subnet_id].cidrs if cidr.version == 6)
            link = replace(link, on_link=on_link)
        links[device] = link
        for family in (4, 6):
            rules.add((family, f"pref {_RULE_ENI} iif {device} lookup {table_number(device)}"))
        if stale_neighbours:
            number = TO_MAC + table_number(device)
            for family, everything in ((4, "0.0.0.0/0"), (6, "::/0")):
                rules.add((family, f"pref {_RULE_MAC} fwmark {number} lookup {number}"))
                routes[(family, number, everything)] = f"via {_next_hop(eni, family)} dev {device} onlink"
        neighbours[(6, device, str(link_local(eni.mac)))] = eni.mac
        for address in eni.addresses:
            neighbours[(address.version, device, str(address))] = eni.mac
            routes[(address.version, _LOCAL_TABLE, str(ip_network(address)))] = f"dev {device} scope link"
    for family, everything in ((4, "0.0.0.0/0"), (6, "::/0")):
        rules.add((family, f"pref {_RULE_LOCAL} lookup {_LOCAL_TABLE}"))
        # What has no route is dropped without a word, as in a VPC.
        routes[(family, _LOCAL_TABLE, everything)] = "blackhole"
        rules.add((family, f"pref {_RULE_TRANSIT_END} iif {TRANSIT_GATEWAY} blackhole"))
        if INTERNET_GATEWAY in gateways:
            # It delivers to the ENIs of the VPC, and asks no route table.
            rules.add((family, f"pref {_RULE_INTERNET_END} iif {INTERNET_GATEWAY} blackhole"))
    for source, route_table in {**tables_of(world, hosts), **tables}.items():
        if source == TRANSIT_GATEWAY or source in enis:
            routes.update(_routes(world, route_table, table_number(source), by_id, gateways))
    for cidr in (*world.vpc.cidrs, *map(ip_network, topology.overlays)):
        rules.add((cidr.version, f"pref {_RULE_TRANSIT} iif {TRANSIT_GATEWAY} to {cidr} lookup {TRANSIT_TABLE}"))
        rules.add((cidr.version, f"pref {_RULE_TRANSIT_LOCAL} iif {TRANSIT_GATEWAY} to {cidr} lookup {_LOCAL_TABLE}"))
    if INTERNET_GATEWAY in gateways:
        if topology.internet is not None:
            # What the API answers, and nothing of an instance's.
            there = topology.internet.cidr
            rules.add((4, f"pref {_RULE_INTERNET_FROM_API} iif lo to {there} lookup {INTERNET_TABLE}"))
            routes[(4, INTERNET_TABLE, str(there))] = f"dev {INTERNET_GATEWAY}"
        for cidr in world.vpc.cidrs:
            rules.add((cidr.version, f"pref {_RULE_INTERNET} iif {INTERNET_GATEWAY} to {cidr} lookup {_LOCAL_TABLE}"))
    return KernelState(
        links,
        routes,
        neighbours,
        frozenset(proxies),
        frozenset(rules),
        frozenset(addresses),
        ruleset(world, topology, enis, cuts),
        ingress(enis) if stale_neighbours else "",
    )


def _router(cidr: Cidr) -> Address:
    return cidr.network_address + 1


def _link(device: str, name: Optional[str], eni: Interface, cidrs: Iterable[Cidr], hosts: Mapping[str, int]) -> Link:
    if eni.attachment is None:
        raise FabricError(f"{eni.network_interface_id} is not attached")
    first: Dict[int, Address] = {}
    for address in eni.addresses:
        first.setdefault(address.version, address)
    inside = name or inside_of(eni)
    addresses: List[str] = []
    gateways: List[str] = []
    # Only the primary ENI is set up by the system, as by DHCP; another one is the administrator's or the agent's.
    if eni.attachment.is_primary:
        for cidr in cidrs:
            if cidr.version in first:
                # DHCPv6 hands out a /128 in a VPC; IPv4 comes with the subnet's prefix.
                prefix = cidr.prefixlen if cidr.version == 4 else 128
                addresses.append(f"{first[cidr.version]}/{prefix}")
                gateways.append(str(_router(cidr)) if cidr.version == 4 else str(ROUTER_IPV6))
    return Link(device, inside, eni.mac, hosts[eni.attachment.instance_id], tuple(addresses), tuple(gateways))


def _routes(
    world: World,
    table: RouteTable,
    number: int,
    enis: Mapping[str, Tuple[str, Interface]],
    gateways: FrozenSet[str],
) -> Dict[Tuple[int, int, str], str]:
    found: Dict[Tuple[int, int, str], str] = {(cidr.version, number, str(cidr)): "throw" for cidr in world.vpc.cidrs}
    for route in table.routes_in_use():
        key = (route.destination.version, number, str(route.destination))
        if route.target == "local":
            found[key] = "throw"
        elif world.state_of(route) == "blackhole":
            found[key] = "blackhole"
        elif GATEWAYS.get(route.target.partition("-")[0]) in gateways:
            found[key] = f"dev {GATEWAYS[route.target.partition('-')[0]]}"
        elif route.target in enis:
            device, eni = enis[route.target]
            found[key] = f"via {_next_hop(eni, route.destination.version)} dev {device} onlink"
        else:
            # An ENI that is attached, but whose instance has no power yet or no more.
            found[key] = "blackhole"
    return found


def _next_hop(eni: Interface, family: int) -> Address:
    if family == 6:
        return link_local(eni.mac)
    return next(address for address in eni.addresses if address.version == 4)
