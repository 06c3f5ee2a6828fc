"""A VPC's network in the kernel: what `Network` says, done with veths, routing tables and nftables.

The namespace of whoever uses a `Fabric` becomes the VPC's routers. Every ENI of a running instance is one veth whose
other end lies in the instance. All traffic, also within a subnet, is routed here:

* `ip rule iif VETH` sends what *leaves* an ENI to a kernel table of its own: the ENI's view of its subnet's route
  table, which may lag behind (see `propagation`). A `throw` for the VPC's own CIDRs leads on to the one table that
  knows where each ENI is (the `local` route of every route table).
* A route to an ENI delivers at MAC level (a permanent neighbour entry): nobody asks with ARP who has the address,
  and nobody checks that the ENI owns it. That is all an overlay address is.
* With stale neighbours, the instances of a subnet know each other's MACs (see `neighbours`); a frame to one of them
  goes to that ENI, whoever has the address by now.
* An internet gateway translates Elastic IPs one to one and keeps no state; what has none does not pass.
* nftables enforces the source/destination check, does that translation, and cuts links.

`desired()` is pure: Network in, kernel objects out. `Fabric` compares that with what it made before and changes only
the difference, in one `ip -batch` for each family.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path
from random import Random
from typing import Dict, FrozenSet, Iterable, List, Mapping, Optional, Set, Tuple

from .neighbours import Neighbours, Segment, mac_bytes
from .network import Address, Cidr, Interface, Network, RouteTable
from .plan import Outside, Plan
from .propagation import Propagation

METADATA_ADDRESS = IPv4Address("169.254.169.254")
# The router's link-local address on every link, the gateway of IPv6 as in a VPC.
ROUTER_IPV6 = IPv6Address("fe80::1")
# The VPC router's own static address, as the VPC user guide documents it ("Subnet route tables").
STATIC_ROUTER_IPV6 = IPv6Address("fe80:ec2::1")
TRANSIT_GATEWAY = "tgw0"
INTERNET_GATEWAY = "igw0"
# The devices behind which somebody outside the VPC is, by what the ids of the gateways begin with.
GATEWAYS = {"tgw": TRANSIT_GATEWAY, "igw": INTERNET_GATEWAY}

_TRANSIT_TABLE = 98
_LOCAL_TABLE = 99
_FIRST_TABLE = 1000
# Added to the number of an ENI's table: the table, and the mark, of what is sent to its MAC.
_TO_MAC = 1 << 30
_RULE_MAC = 90
_RULE_ENI = 100
_RULE_TRANSIT = 110
_RULE_TRANSIT_LOCAL = 111
_RULE_TRANSIT_END = 112
_RULE_INTERNET = 120
_RULE_INTERNET_END = 121
_RULE_LOCAL = 200


class FabricError(Exception):
    """The kernel refused what the fabric asked for."""


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


def device_of(network_interface_id: str) -> str:
    """The fabric's device for an ENI: its id's last digits, cut to what IFNAMSIZ allows."""
    return "e" + network_interface_id.rsplit("-", 1)[-1][-12:]


def inside_of(interface: Interface) -> str:
    """The device's name in the instance as it boots: Linux's own, by device index."""
    return f"eth{interface.attachment.device_index}" if interface.attachment else "eth?"


def link_local(mac: str) -> IPv6Address:
    """The address that Linux derives from a MAC (RFC 4291, modified EUI-64)."""
    octets = [int(part, 16) for part in mac.split(":")]
    octets[0] ^= 2
    eui = bytes([*octets[:3], 0xFF, 0xFE, *octets[3:]])
    return IPv6Address(bytes.fromhex("fe80000000000000") + eui)


@dataclass(frozen=True)
class Name:
    """What an instance (by id, and process 1 of this boot) calls a device; `renamed`: its udev has been there."""

    instance_id: str
    pid: int
    number: int
    renamed: bool = False

    @property
    def inside(self) -> str:
        """The device's name: the kernel's, then udev's (on Nitro `ens5` is the primary NIC)."""
        return f"ens{5 + self.number}" if self.renamed else f"eth{self.number}"


def named(known: Mapping[str, Name], enis: Mapping[str, Interface], hosts: Mapping[str, int]) -> Dict[str, Name]:
    """The names of the devices of `enis`, with those of `known`: a NIC that is plugged in gets one never used before.

    So does the kernel when udev is asked for predictable names and a slot is still busy; who takes a NIC's name for
    its identity is to fail here. Numbers start anew at boot. Names of devices that went are kept, under another key.
    """
    found = {key: name for key, name in known.items() if hosts.get(name.instance_id) == name.pid}
    for device in [device for device in found if device in known and device not in enis and " " not in device]:
        gone = found.pop(device)
        found[f"gone {gone.instance_id} {gone.number}"] = gone
    for device, eni in sorted(enis.items()):
        held = eni.attachment
        if held is None:
            continue
        name = found.get(device)
        if name is not None and name.instance_id == held.instance_id:
            continue
        if name is not None:
            found[f"gone {name.instance_id} {name.number}"] = name
        used = [name.number for name in found.values() if name.instance_id == held.instance_id]
        number = 0 if held.is_primary else max([0, *used]) + 1
        found[device] = Name(held.instance_id, hosts[held.instance_id], number)
    return found


@dataclass(frozen=True)
class Cuts:
    """Pairs of places between which nothing passes: instances' names, zones, `api`, `imds`, `onprem`."""

    pairs: FrozenSet[FrozenSet[str]] = frozenset()

    def plus(self, one: str, other: str) -> Cuts:
        """These and the link between `one` and `other`."""
        return Cuts(self.pairs | {frozenset((one, other))})


def plugged(network: Network, hosts: Mapping[str, int]) -> Dict[str, Interface]:
    """The ENIs that have a device now, by device: attached to an instance that has a process 1 in `hosts`.

    While EC2 says `detaching` the instance still has it: with an instance that does not let go, for ever. One whose
    device index is dead never gets a device.
    """
    return {
        device_of(eni.network_interface_id): eni
        for eni in network.interfaces
        if eni.attachment is not None
        and eni.attachment.plugged
        and eni.attachment.status != "attaching"
        and eni.attachment.instance_id in hosts
    }


def table_number(source: str) -> int:
    """The kernel table that decides for what comes in by device `source`; the same for an ENI in every boot."""
    if source == TRANSIT_GATEWAY:
        return _TRANSIT_TABLE
    # The device is named by its ENI's id, which is hexadecimal; a table has 32 bits.
    return _FIRST_TABLE + int(source[1:], 16) % (1 << 29)


def tables_of(network: Network, hosts: Mapping[str, int]) -> Dict[str, RouteTable]:
    """The route table that EC2 has for what comes in by a device: an ENI's, or the transit gateway's."""
    tables = {table.route_table_id: table for table in network.route_tables}
    subnets = {subnet.subnet_id: tables[subnet.route_table_id] for subnet in network.subnets}
    found = {device: subnets[eni.subnet_id] for device, eni in plugged(network, hosts).items()}
    # The transit gateway's static routes lead into the VPC, where the table of the attachment's subnet decides.
    found[TRANSIT_GATEWAY] = subnets[network.subnets[0].subnet_id]
    numbers = {table_number(source) for source in found}
    if len(numbers) != len(found):
        raise FabricError("two network interfaces need the same kernel table: their ids are too much alike")
    return found


def desired(
    network: Network,
    plan: Plan,
    hosts: Mapping[str, int],
    cuts: Cuts = Cuts(),
    *,
    gateways: FrozenSet[str] = frozenset((TRANSIT_GATEWAY, INTERNET_GATEWAY)),
    names: Mapping[str, str] = {},
    hidden: FrozenSet[str] = frozenset(),
    tables: Mapping[str, RouteTable] = {},
    stale_neighbours: bool = False,
) -> KernelState:
    """The kernel's objects for `network`, with the running instances' process 1 in `hosts` (by instance id).

    `gateways`: the gateways' devices that are there. `names`: what the instance calls a device, where it
    is not the name by device index. `hidden`: devices that EC2 calls attached and the instance does not have yet.
    `tables`: the routes in effect for what comes in by a device, where they are not those that EC2 has.
    `stale_neighbours`: frames within a subnet go to the ENI whose MAC they carry, not to the one that has the address.
    """
    enis = {device: eni for device, eni in plugged(network, hosts).items() if device not in hidden}
    by_id = {eni.network_interface_id: (device, eni) for device, eni in enis.items()}
    subnets = {subnet.subnet_id: subnet for subnet in network.subnets}
    links: Dict[str, Link] = {}
    routes: Dict[Tuple[int, int, str], str] = {}
    neighbours: Dict[Tuple[int, str, str], str] = {}
    rules: Set[Tuple[int, str]] = set()
    proxies: Set[Tuple[str, str]] = set()
    addresses = {f"{plan.api_address}/32", f"{METADATA_ADDRESS}/32"}

    for subnet in network.subnets:
        addresses |= {f"{_router(cidr)}/32" for cidr in subnet.cidrs if cidr.version == 4}
    for eni in network.interfaces:
        for address in eni.addresses:
            if address.version == 4:
                # Dropped (on its way to the loopback device), but ARP is answered: an address in a VPC has a place even
                # while nothing is behind it.
                routes[(4, _LOCAL_TABLE, str(ip_network(address)))] = "dev lo scope link"
            elif not stale_neighbours:
                proxies |= {(device, str(address)) for device, other in enis.items() if _neighbours(other, eni)}
    for device, eni in enis.items():
        link = _link(device, names.get(device), eni, subnets[eni.subnet_id].cidrs, hosts)
        if stale_neighbours and link.addresses:
            on_link = tuple(str(cidr) for cidr in subnets[eni.subnet_id].cidrs if cidr.version == 6)
            link = replace(link, on_link=on_link)
        links[device] = link
        for family in (4, 6):
            rules.add((family, f"pref {_RULE_ENI} iif {device} lookup {table_number(device)}"))
        if stale_neighbours:
            number = _TO_MAC + table_number(device)
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
    for source, route_table in {**tables_of(network, hosts), **tables}.items():
        if source == TRANSIT_GATEWAY or source in enis:
            routes.update(_routes(route_table, table_number(source), network.cidrs, by_id, gateways))
    for cidr in (*network.cidrs, *map(ip_network, (plan.overlay, plan.overlay_ipv6, *plan.more_overlays))):
        rules.add((cidr.version, f"pref {_RULE_TRANSIT} iif {TRANSIT_GATEWAY} to {cidr} lookup {_TRANSIT_TABLE}"))
        rules.add((cidr.version, f"pref {_RULE_TRANSIT_LOCAL} iif {TRANSIT_GATEWAY} to {cidr} lookup {_LOCAL_TABLE}"))
    if INTERNET_GATEWAY in gateways:
        for cidr in network.cidrs:
            rules.add((cidr.version, f"pref {_RULE_INTERNET} iif {INTERNET_GATEWAY} to {cidr} lookup {_LOCAL_TABLE}"))
    return KernelState(
        links,
        routes,
        neighbours,
        frozenset(proxies),
        frozenset(rules),
        frozenset(addresses),
        ruleset(network, plan, enis, cuts),
        ingress(enis) if stale_neighbours else "",
    )


def _neighbours(one: Interface, other: Interface) -> bool:
    return one.subnet_id == other.subnet_id and one.network_interface_id != other.network_interface_id


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
    table: RouteTable,
    number: int,
    cidrs: Tuple[Cidr, ...],
    enis: Mapping[str, Tuple[str, Interface]],
    gateways: FrozenSet[str],
) -> Dict[Tuple[int, int, str], str]:
    found: Dict[Tuple[int, int, str], str] = {(cidr.version, number, str(cidr)): "throw" for cidr in cidrs}
    for route in table.routes:
        key = (route.destination.version, number, str(route.destination))
        if route.target == "local":
            found[key] = "throw"
        elif route.state == "blackhole":
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


def ruleset(network: Network, plan: Plan, enis: Mapping[str, Interface], cuts: Cuts) -> str:
    """The nftables rules: links cut, and the source/destination check. Applied as one transaction."""
    checked = sorted(device for device, eni in enis.items() if eni.source_dest_check)
    own: Dict[int, List[str]] = {4: [], 6: []}
    for device, eni in sorted(enis.items()):
        for address in (*eni.addresses, link_local(eni.mac)):
            own[address.version].append(f'"{device}" . {address}')
    pairs, services = _cut_devices(network, enis, cuts)
    to_private = [f"{one.public} : {one.private}" for one in network.elastic_ips]
    to_public = [f"{one.private} : {one.public}" for one in network.elastic_ips]
    lines = [
        "table inet lab { }",
        "delete table inet lab",
        "table inet lab {",
        _set("checked", "ifname", [f'"{device}"' for device in checked]),
        _set("own4", "ifname . ipv4_addr", own[4]),
        _set("own6", "ifname . ipv6_addr", own[6]),
        _set("cut", "ifname . ifname", sorted(f'"{a}" . "{b}"' for a, b in pairs)),
        *(_set(f"cut_{name}", "ifname", sorted(f'"{d}"' for d in found)) for name, found in services.items()),
        _set("public", "ipv4_addr", [f"{one.public}" for one in network.elastic_ips]),
        _set("private", "ipv4_addr", [f"{one.private}" for one in network.elastic_ips]),
        _map("to_private", to_private),
        _map("to_public", to_public),
        " chain from_internet {",
        "  type filter hook prerouting priority raw; policy accept;",
        # Before routing.
        f'  iifname "{INTERNET_GATEWAY}" meta nfproto ipv4 ip daddr != @public counter drop',
        f'  iifname "{INTERNET_GATEWAY}" ip daddr set ip daddr map @to_private',
        " }",
        " chain to_internet {",
        "  type filter hook postrouting priority srcnat; policy accept;",
        f'  oifname "{INTERNET_GATEWAY}" ip saddr set ip saddr map @to_public',
        " }",
        " chain leaves {",
        "  iifname @checked meta nfproto ipv4 iifname . ip saddr != @own4 counter drop",
        "  iifname @checked meta nfproto ipv6 iifname . ip6 saddr != @own6 counter drop",
        " }",
        " chain forward {",
        "  type filter hook forward priority filter; policy accept;",
        '  oifname "lo" drop',
        f'  oifname "{INTERNET_GATEWAY}" meta nfproto ipv4 ip saddr != @private counter drop',
        "  iifname . oifname @cut counter drop",
        "  jump leaves",
        "  oifname @checked meta nfproto ipv4 oifname . ip daddr != @own4 counter drop",
        "  oifname @checked meta nfproto ipv6 oifname . ip6 daddr != @own6 counter drop",
        " }",
        " chain input {",
        "  type filter hook input priority filter; policy accept;",
        f"  iifname @cut_api ip daddr {plan.api_address} counter drop",
        f"  iifname @cut_imds ip daddr {METADATA_ADDRESS} counter drop",
        "  jump leaves",
        " }",
        " chain output {",
        "  type filter hook output priority filter; policy accept;",
        f"  oifname @cut_api ip saddr {plan.api_address} counter drop",
        f"  oifname @cut_imds ip saddr {METADATA_ADDRESS} counter drop",
        " }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def ingress(enis: Mapping[str, Interface]) -> str:
    """The nftables rules that take a frame to the ENI whose MAC it carries, one of the sender's subnet."""
    marks = [
        f'"{device}" . {other.mac} : {_TO_MAC + table_number(beside)}'
        for device, eni in sorted(enis.items())
        for beside, other in sorted(enis.items())
        if _neighbours(eni, other)
    ]
    lines = ["table netdev lab { }", "delete table netdev lab"]
    if marks:
        devices = ", ".join(f'"{device}"' for device in sorted(enis))
        lines += [
            "table netdev lab {",
            f" map to {{ type ifname . ether_addr : mark; elements = {{ {', '.join(marks)} }}; }}",
            " chain in {",
            f"  type filter hook ingress devices = {{ {devices} }} priority 0; policy accept;",
            # For the kernel a frame to another MAC is somebody else's.
            "  meta mark set iifname . ether daddr map @to meta pkttype set host",
            " }",
            "}",
        ]
    return "\n".join(lines) + "\n"


def segment(network: Network, enis: Mapping[str, Interface], cuts: Cuts) -> Segment:
    """What is known of ENIs and addresses, for those who ask in a subnet."""
    return Segment(
        {device: (eni.subnet_id, mac_bytes(eni.mac)) for device, eni in enis.items()},
        {(eni.subnet_id, address): mac_bytes(eni.mac) for eni in network.interfaces for address in eni.addresses},
        frozenset(_cut_devices(network, enis, cuts)[0]),
    )


def _cut_devices(
    network: Network, enis: Mapping[str, Interface], cuts: Cuts
) -> Tuple[Set[Tuple[str, str]], Dict[str, Set[str]]]:
    """The pairs of devices between which nothing passes, and those that do not reach the API or IMDS."""
    devices = _devices_by_place(network, enis)
    pairs: Set[Tuple[str, str]] = set()
    services: Dict[str, Set[str]] = {"api": set(), "imds": set()}
    for one, other in (tuple(sorted(pair)) if len(pair) == 2 else (*pair, *pair) for pair in cuts.pairs):
        for left, right in ((one, other), (other, one)):
            if left in services:
                services[left] |= devices.get(right, set())
            pairs |= {(a, b) for a in devices.get(left, set()) for b in devices.get(right, set())}
    return pairs, services


def _set(name: str, kind: str, elements: List[str]) -> str:
    body = f" elements = {{ {', '.join(elements)} }};" if elements else ""
    return f" set {name} {{ type {kind};{body} }}"


def _map(name: str, elements: List[str]) -> str:
    body = f" elements = {{ {', '.join(elements)} }};" if elements else ""
    return f" map {name} {{ type ipv4_addr : ipv4_addr;{body} }}"


def _devices_by_place(network: Network, enis: Mapping[str, Interface]) -> Dict[str, Set[str]]:
    names = {instance.instance_id: instance.name for instance in network.instances}
    zones = {subnet.subnet_id: subnet.availability_zone for subnet in network.subnets}
    places: Dict[str, Set[str]] = {"onprem": {TRANSIT_GATEWAY}, "internet": {INTERNET_GATEWAY}}
    for device, eni in enis.items():
        if eni.attachment is not None:
            places.setdefault(names.get(eni.attachment.instance_id, ""), set()).add(device)
        places.setdefault(zones[eni.subnet_id], set()).add(device)
    return places


def run(argv: List[str], text: str = "") -> str:
    """Run a command with `text` on its standard input; FabricError with what it said when it fails."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise FabricError(f"{' '.join(argv)} failed: {done.stderr.strip()}\n{text}")
    return done.stdout


def batch(lines: List[str], family: int = 4, pid: Optional[int] = None) -> None:
    """Run `lines` through one `ip -batch`, in the network namespace of process `pid` if given."""
    if lines:
        enter = ["nsenter", f"--net=/proc/{pid}/ns/net"] if pid is not None else []
        run([*enter, "ip", f"-{family}", "-batch", "-"], "\n".join(lines) + "\n")


def sysctl(path: str, value: int) -> None:
    """Set net/… of the network namespace of the calling thread."""
    Path("/proc/sys/net", path).write_text(f"{value}\n", encoding="ascii")


class Fabric:
    """The VPC's network in the caller's network namespace, kept equal to what `apply` was given last.

    Safe to call from several threads. A change of routes costs one `ip -batch` with the difference.
    """

    def __init__(
        self,
        plan: Plan,
        nic_delay: float = 0.0,
        *,
        route_lag: float = 0.0,
        rename_after: float = 0.0,
        stale_neighbours: bool = False,
        seed: int = 0,
    ) -> None:
        """What takes its time, in seconds.

        `nic_delay`: from EC2's `attached` to the NIC of a running instance. `route_lag`: until a written route is
        effective, at most. `rename_after`: from the NIC's appearance to its renaming, drawn between half and one and a
        half times as long; 0: it keeps its name. `seed`: of what is drawn. `stale_neighbours`: see `neighbours`.
        """
        self._stale_neighbours = stale_neighbours
        self._neighbours: Optional[Neighbours] = None
        self._rename_after = rename_after
        self._seed = seed
        self._plan = plan
        self._nic_delay = nic_delay
        self._propagation = Propagation(route_lag, seed)
        self._alarm: Optional[Tuple[float, threading.Timer]] = None
        self._names: Dict[str, Name] = {}
        self._due: Dict[str, float] = {}
        self._lock = threading.RLock()
        self._network: Optional[Network] = None
        self._hosts: Dict[str, int] = {}
        self._cuts = Cuts()
        self._gateways: FrozenSet[str] = frozenset()
        self._now = KernelState()

    def open(self) -> None:
        """Make the namespace a router: forwarding on, reverse path filters off, loopback up."""
        batch(["link set dev lo up"])
        for path, value in (
            ("ipv4/ip_forward", 1),
            ("ipv6/conf/all/forwarding", 1),
            ("ipv4/conf/all/rp_filter", 0),
            ("ipv4/conf/default/rp_filter", 0),
            # A router that tells instances of better ways would let them bypass the rules.
            ("ipv4/conf/all/send_redirects", 0),
            ("ipv4/conf/default/send_redirects", 0),
            ("ipv6/conf/default/accept_dad", 0),
        ):
            sysctl(path, value)
        if self._stale_neighbours:
            self._neighbours = Neighbours()

    def plug_outside(self, there: Outside, pid: int) -> None:
        """Connect the network namespace of process `pid` as the consumer beyond a gateway of the VPC."""
        device = INTERNET_GATEWAY if there == self._plan.internet else TRANSIT_GATEWAY
        router, router6 = there.cidr.network_address + 1, there.ipv6_cidr.network_address + 1
        batch([f"link add {device} type veth peer name eth0 netns {pid}"])
        self._router_end(device)
        batch([f"address add {router}/{there.cidr.prefixlen} dev {device} noprefixroute"])
        batch([f"address add {router6}/{there.ipv6_cidr.prefixlen} dev {device} nodad noprefixroute"], 6)
        _plug_in(
            Link(
                device,
                "eth0",
                "",
                pid,
                (f"{there.address}/{there.cidr.prefixlen}", f"{there.ipv6_address}/{there.ipv6_cidr.prefixlen}"),
                (str(router), str(router6)),
            )
        )
        with self._lock:
            self._gateways |= {device}
            self._reconcile()

    def apply(self, network: Network) -> None:
        """Make the kernel equal to `network`."""
        with self._lock:
            self._network = network
            self._reconcile()

    def power_on(self, instance_id: str, pid: int) -> None:
        """The instance has a process 1 now: its attached ENIs get their devices."""
        with self._lock:
            self._hosts[instance_id] = pid
            self._reconcile(booting=instance_id)

    def power_off(self, instance_id: str) -> None:
        """The instance has lost power: its devices go at once, so that not even its kernel answers any more."""
        with self._lock:
            self._hosts.pop(instance_id, None)
            self._reconcile()

    @property
    def cuts(self) -> Cuts:
        """The links that are cut now."""
        return self._cuts

    def cut(self, one: str, other: str) -> None:
        """Drop everything between two places until `heal`."""
        with self._lock:
            self._cuts = self._cuts.plus(one, other)
            self._reconcile()

    def mend(self, pairs: Iterable[Tuple[str, str]]) -> None:
        """Undo these cuts."""
        with self._lock:
            self._cuts = Cuts(self._cuts.pairs - {frozenset(pair) for pair in pairs})
            self._reconcile()

    def heal(self) -> None:
        """Undo every cut."""
        with self._lock:
            self._cuts = Cuts()
            self._reconcile()

    @property
    def route_lag(self) -> float:
        """The longest time in seconds until a written route is effective."""
        return self._propagation.lag

    def delay_routes(self, seconds: float) -> None:
        """Let routes that are written from now on take up to `seconds`; 0: all, also those under way, at once."""
        with self._lock:
            self._propagation.lag = seconds
            self._reconcile()

    def routes_under_way(self) -> Tuple[Tuple[str, Cidr], ...]:
        """Who does not follow the newest route yet, by name, and its destination."""
        with self._lock:
            if self._network is None:
                return ()
            names = {instance.instance_id: instance.name for instance in self._network.instances}
            sources = {TRANSIT_GATEWAY: self._plan.on_premises.name}
            for device, eni in plugged(self._network, self._hosts).items():
                if eni.attachment is not None:
                    sources[device] = names[eni.attachment.instance_id]
            return tuple((sources[device], destination) for device, destination in self._propagation.under_way())

    def places(self) -> Tuple[str, ...]:
        """Every name that `cut` takes."""
        network = self._network
        names: List[str] = ["api", "imds", *(there.name for there in self._plan.outside)]
        if network is not None:
            names += [instance.name for instance in network.instances]
            names += sorted({subnet.availability_zone for subnet in network.subnets})
        return tuple(names)

    def _hot_plug(self, network: Network, booting: Optional[str]) -> FrozenSet[str]:
        """Name the NICs that come, forget those that went; the ones whose time has not come."""
        found = plugged(network, self._hosts)
        known = self._names
        self._names = named(known, found, self._hosts)
        now = time.monotonic()
        for device, eni in found.items():
            if known.get(device) == self._names[device] or not self._nic_delay:
                continue
            if eni.attachment is None or eni.attachment.is_primary or eni.attachment.instance_id == booting:
                continue
            self._due[device] = now + self._nic_delay
            timer = threading.Timer(self._nic_delay, self._appear)
            timer.daemon = True
            timer.start()
        self._due = {device: due for device, due in self._due.items() if device in found and due > now}
        return frozenset(self._due)

    def _appear(self) -> None:
        with self._lock:
            self._reconcile()

    def _propagate(self, network: Network) -> Dict[str, RouteTable]:
        """The routes in effect now; whoever waits for one is woken when it is due."""
        now = time.monotonic()
        self._propagation.write(now, tables_of(network, self._hosts))
        due = self._propagation.due()
        if due is not None and (self._alarm is None or due < self._alarm[0] or self._alarm[0] <= now):
            if self._alarm is not None:
                self._alarm[1].cancel()
            self._alarm = (due, threading.Timer(due - now, self._appear))
            self._alarm[1].daemon = True
            self._alarm[1].start()
        return self._propagation.effective()

    def _reconcile(self, booting: Optional[str] = None) -> None:
        if self._network is None:
            return
        hidden = self._hot_plug(self._network, booting)
        old, new = (
            self._now,
            desired(
                self._network,
                self._plan,
                self._hosts,
                self._cuts,
                gateways=self._gateways,
                names={device: name.inside for device, name in self._names.items()},
                hidden=hidden,
                tables=self._propagate(self._network),
                stale_neighbours=self._stale_neighbours,
            ),
        )
        gone = {device for device, link in old.links.items() if new.links.get(device) != link}
        if gone:
            self._unplug(gone)
            old = _without(old, gone)
            self._now = old
        if new.ruleset != old.ruleset:
            # Before a new device passes its first packet, and before a healed link does.
            run(["nft", "-f", "-"], new.ruleset)
        for device in new.links.keys() - old.links.keys():
            self._plug(new.links[device])
            name = self._names[device]
            if self._rename_after and name.number > 0 and name.instance_id != booting:
                drawn = Random(f"{self._seed} {device} {name.number}").uniform(0.5, 1.5)  # noqa: S311 - not a secret
                timer = threading.Timer(drawn * self._rename_after, self._rename, (device, name))
                timer.daemon = True
                timer.start()
        if new.ingress and (new.ingress != old.ingress or new.links.keys() - old.links.keys()):
            run(["nft", "-f", "-"], new.ingress)
        for family in (4, 6):
            batch(_difference(old, new, family), family)
        self._now = new
        if self._neighbours is not None:
            there = {device: eni for device, eni in plugged(self._network, self._hosts).items() if device in new.links}
            self._neighbours.segment = segment(self._network, there, self._cuts)

    def _rename(self, device: str, name: Name) -> None:
        """Rename a NIC in its instance, as udev does; also one that is up, where the kernel lets it (Linux 6.2)."""
        with self._lock:
            link = self._now.links.get(device)
            if link is None or self._names.get(device) != name:
                return
            renamed = replace(name, renamed=True)
            # Refused by an older kernel for a NIC that is up: it stays as it is, as with udev.
            with contextlib.suppress(FabricError):
                batch([f"link set dev {name.inside} name {renamed.inside}"], 4, link.pid)
                self._names[device] = renamed
                links = {**self._now.links, device: replace(link, inside=renamed.inside)}
                self._now = replace(self._now, links=links)

    def _unplug(self, devices: Iterable[str]) -> None:
        for device in devices:
            # The device may have died with its namespace already.
            if Path("/sys/class/net", device).exists():
                batch([f"link delete dev {device}"])

    def _plug(self, link: Link) -> None:
        mac = f"address {link.mac} " if link.mac else ""
        batch([f"link add {link.device} type veth peer name {link.inside} {mac}netns {link.pid}"])
        self._router_end(link.device)
        _plug_in(link)

    def _router_end(self, device: str) -> None:
        sysctl(f"ipv4/conf/{device}/rp_filter", 0)
        # Instances ask with ARP for their neighbours in the subnet; the router answers for all that it can reach,
        # unless they are to know each other's MACs.
        sysctl(f"ipv4/conf/{device}/proxy_arp", int(self._neighbours is None or device in GATEWAYS.values()))
        sysctl(f"ipv4/neigh/{device}/proxy_delay", 0)
        # IPv6 has no such switch for everything: `desired` lists the addresses.
        sysctl(f"ipv6/conf/{device}/proxy_ndp", 1)
        sysctl(f"ipv6/neigh/{device}/proxy_delay", 0)
        batch([f"link set dev {device} up"])
        batch([f"address replace {ROUTER_IPV6}/64 dev {device} nodad"], 6)
        batch([f"address replace {STATIC_ROUTER_IPV6}/128 dev {device} nodad"], 6)


def _plug_in(link: Link) -> None:
    """Set up the instance's end as its system would: address, prefix, default routes."""
    four: List[str] = ["link set dev lo up"]
    six: List[str] = []
    if link.addresses:
        four.append(f"link set dev {link.inside} up")
    for address, gateway in zip(link.addresses, link.gateways):
        if ":" in address:
            six.append(f"address replace {address} dev {link.inside} nodad")
            six.append(f"route replace default via {gateway} dev {link.inside} onlink")
        else:
            four.append(f"address replace {address} dev {link.inside}")
            four.append(f"route replace default via {gateway} dev {link.inside}")
    six += [f"route replace {prefix} dev {link.inside}" for prefix in link.on_link]
    batch(four, 4, link.pid)
    batch(six, 6, link.pid)


def _without(state: KernelState, devices: Set[str]) -> KernelState:
    """What is left after `devices` went: the kernel takes their routes and neighbours along, but not their rules."""

    def on(spec: str) -> bool:
        words = spec.split()
        return "dev" in words and words[words.index("dev") + 1] in devices

    return KernelState(
        {device: link for device, link in state.links.items() if device not in devices},
        {key: spec for key, spec in state.routes.items() if not on(spec)},
        {key: mac for key, mac in state.neighbours.items() if key[1] not in devices},
        frozenset(pair for pair in state.proxies if pair[0] not in devices),
        state.rules,
        state.addresses,
        state.ruleset,
        state.ingress,
    )


def _difference(old: KernelState, new: KernelState, family: int) -> List[str]:
    lines: List[str] = []
    if family == 4:
        lines += [f"address add {address} dev lo" for address in sorted(new.addresses - old.addresses)]
        lines += [f"address delete {address} dev lo" for address in sorted(old.addresses - new.addresses)]
    else:
        lines += [f"neighbour delete proxy {one} dev {device}" for device, one in sorted(old.proxies - new.proxies)]
        lines += [f"neighbour add proxy {one} dev {device}" for device, one in sorted(new.proxies - old.proxies)]
    for key in old.neighbours.keys() - new.neighbours.keys():
        if key[0] == family:
            lines.append(f"neighbour delete {key[2]} dev {key[1]}")
    for key, mac in new.neighbours.items():
        if key[0] == family and old.neighbours.get(key) != mac:
            lines.append(f"neighbour replace {key[2]} lladdr {mac} nud permanent dev {key[1]}")
    for route in old.routes.keys() - new.routes.keys():
        if route[0] == family:
            lines.append(f"route delete {_words(old.routes[route], route)} table {route[1]}")
    for route, spec in new.routes.items():
        if route[0] == family and old.routes.get(route) != spec:
            if route in old.routes and family == 6:
                # IPv6's replace adds beside a route of another type or device (it matches on more than the
                # destination), so the old one is taken away by name; where the kernel has room for both, afterwards.
                lines += [
                    f"route append {_words(spec, route)} table {route[1]}",
                    f"route delete {_words(old.routes[route], route)} table {route[1]}",
                ][:: 1 if _is_unicast(spec) and _is_unicast(old.routes[route]) else -1]
            else:
                lines.append(f"route replace {_words(spec, route)} table {route[1]}")
    lines += [f"rule delete {rule}" for known, rule in sorted(old.rules - new.rules) if known == family]
    lines += [f"rule add {rule}" for known, rule in sorted(new.rules - old.rules) if known == family]
    return lines


def _is_unicast(spec: str) -> bool:
    return spec.split(maxsplit=1)[0] not in {"throw", "blackhole"}


def _words(spec: str, route: Tuple[int, int, str]) -> str:
    """A route's arguments: the type, if it is not unicast, goes before the destination."""
    return f"{route[2]} {spec}" if _is_unicast(spec) else f"{spec} {route[2]}"
