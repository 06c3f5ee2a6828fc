"""Which devices there are in the fabric, and what an instance calls its own. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Dict, Mapping

from vpc_lab.vpc import Interface
from vpc_lab.world import World

TRANSIT_GATEWAY = "tgw0"
INTERNET_GATEWAY = "igw0"
# What an instance calls the NIC of its primary ENI.
PRIMARY = "eth0"
# The devices behind which somebody outside the VPC is, by what the ids of the gateways begin with.
GATEWAYS = {"tgw": TRANSIT_GATEWAY, "igw": INTERNET_GATEWAY}


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


def plugged(world: World, hosts: Mapping[str, int]) -> Dict[str, Interface]:
    """The ENIs that have a device now, by device: attached to an instance that has a process 1 in `hosts`.

    While EC2 says `detaching` the instance still has it: with an instance that does not let go, for ever. One whose
    device index is dead never gets a device.
    """
    return {
        device_of(eni.network_interface_id): eni
        for eni in world.interfaces_in_network()
        if eni.attachment is not None
        and eni.attachment.plugged
        and eni.attachment.status != "attaching"
        and eni.attachment.instance_id in hosts
    }
