"""The fabric's nftables rules: links cut, the source/destination check, Elastic IPs, frames by MAC. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, FrozenSet, List, Mapping, Set, Tuple

from vpc_lab.fabric.devices import INTERNET_GATEWAY, TRANSIT_GATEWAY, link_local
from vpc_lab.fabric.neighbours import Segment, mac_bytes
from vpc_lab.fabric.tables import TO_MAC, table_number
from vpc_lab.topology import METADATA_ADDRESS, Topology
from vpc_lab.vpc import Interface
from vpc_lab.world import World


@dataclass(frozen=True)
class Cuts:
    """From which place to which nothing passes: instances' names, zones, `api`, `imds`, `onprem`, `internet`."""

    pairs: FrozenSet[Tuple[str, str]] = frozenset()


NO_CUTS = Cuts()


def ruleset(world: World, topology: Topology, enis: Mapping[str, Interface], cuts: Cuts) -> str:
    """The nftables rules: links cut, and the source/destination check. Applied as one transaction."""
    checked = sorted(device for device, eni in enis.items() if eni.source_dest_check)
    own: Dict[int, List[str]] = {4: [], 6: []}
    for device, eni in sorted(enis.items()):
        for address in (*eni.addresses, link_local(eni.mac)):
            own[address.version].append(f'"{device}" . {address}')
    pairs, to, back = _cut_devices(world, enis, cuts)
    elastic_ips = [(one.public_ip, one.private_ip) for one in world.elastic_ips.values() if one.private_ip is not None]
    elastic_ips += [(one.public_ip, one.ipv4[0]) for one in world.interfaces_in_network() if one.public_ip is not None]
    lines = [
        "table inet lab { }",
        "delete table inet lab",
        "table inet lab {",
        _set("checked", "ifname", [f'"{device}"' for device in checked]),
        _set("own4", "ifname . ipv4_addr", own[4]),
        _set("own6", "ifname . ipv6_addr", own[6]),
        _set("cut", "ifname . ifname", sorted(f'"{a}" . "{b}"' for a, b in pairs)),
        *(_set(f"to_{name}", "ifname", sorted(f'"{d}"' for d in found)) for name, found in to.items()),
        *(_set(f"from_{name}", "ifname", sorted(f'"{d}"' for d in found)) for name, found in back.items()),
        _set("public", "ipv4_addr", [str(public) for public, _ in elastic_ips]),
        _set("private", "ipv4_addr", [str(private) for _, private in elastic_ips]),
        _map("to_private", [f"{public} : {private}" for public, private in elastic_ips]),
        _map("to_public", [f"{private} : {public}" for public, private in elastic_ips]),
        " chain from_internet {",
        "  type filter hook prerouting priority raw; policy accept;",
        # Before routing.
        # AWS's endpoints are on the Internet themselves: whoever is there reaches them by no gateway.
        f'  iifname "{INTERNET_GATEWAY}" ip daddr {topology.api_address} accept',
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
        f"  iifname @to_api ip daddr {topology.api_address} counter drop",
        f"  iifname @to_imds ip daddr {METADATA_ADDRESS} counter drop",
        "  jump leaves",
        " }",
        " chain output {",
        "  type filter hook output priority filter; policy accept;",
        f"  oifname @from_api ip saddr {topology.api_address} counter drop",
        f"  oifname @from_imds ip saddr {METADATA_ADDRESS} counter drop",
        " }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def ingress(enis: Mapping[str, Interface]) -> str:
    """The nftables rules that take a frame to the ENI whose MAC it carries, one of the sender's subnet."""
    marks = [
        f'"{device}" . {other.mac} : {TO_MAC + table_number(beside)}'
        for device, eni in sorted(enis.items())
        for beside, other in sorted(enis.items())
        if are_neighbours(eni, other)
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


def segment(world: World, enis: Mapping[str, Interface], cuts: Cuts) -> Segment:
    """What is known of ENIs and addresses, for those who ask in a subnet."""
    return Segment(
        {device: (eni.subnet_id, mac_bytes(eni.mac)) for device, eni in enis.items()},
        {
            (eni.subnet_id, address): mac_bytes(eni.mac)
            for eni in world.interfaces_in_network()
            for address in eni.addresses
        },
        frozenset(_cut_devices(world, enis, cuts)[0]),
    )


def _cut_devices(
    world: World, enis: Mapping[str, Interface], cuts: Cuts
) -> Tuple[Set[Tuple[str, str]], Dict[str, Set[str]], Dict[str, Set[str]]]:
    """From which device to which nothing passes; those that reach the API or IMDS no more, those that they do not."""
    devices = _devices_by_place(world, enis)
    pairs: Set[Tuple[str, str]] = set()
    to: Dict[str, Set[str]] = {"api": set(), "imds": set()}
    back: Dict[str, Set[str]] = {"api": set(), "imds": set()}
    for source, target in cuts.pairs:
        if target in to:
            to[target] |= devices.get(source, set())
        elif source in back:
            back[source] |= devices.get(target, set())
        else:
            pairs |= {(a, b) for a in devices.get(source, set()) for b in devices.get(target, set())}
    return pairs, to, back


def _set(name: str, kind: str, elements: List[str]) -> str:
    body = f" elements = {{ {', '.join(elements)} }};" if elements else ""
    return f" set {name} {{ type {kind};{body} }}"


def _map(name: str, elements: List[str]) -> str:
    body = f" elements = {{ {', '.join(elements)} }};" if elements else ""
    return f" map {name} {{ type ipv4_addr : ipv4_addr;{body} }}"


def _devices_by_place(world: World, enis: Mapping[str, Interface]) -> Dict[str, Set[str]]:
    places: Dict[str, Set[str]] = {"onprem": {TRANSIT_GATEWAY}, "internet": {INTERNET_GATEWAY}}
    for device, eni in enis.items():
        if eni.attachment is not None:
            places.setdefault(world.name_of(eni.attachment.instance_id), set()).add(device)
        places.setdefault(world.subnets[eni.subnet_id].availability_zone, set()).add(device)
    return places


def are_neighbours(one: Interface, other: Interface) -> bool:
    """Whether these are two ENIs of one subnet."""
    return one.subnet_id == other.subnet_id and one.network_interface_id != other.network_interface_id
