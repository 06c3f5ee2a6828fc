"""Addresses whose assignment takes effect later than EC2 says: in the network, and in the instance metadata.

Source: AssignPrivateIpAddresses, EC2 API reference: "Remapping an IP address is an asynchronous operation. When you
move an IP address from one network interface to another, check network/interfaces/macs/mac/local-ipv4s in the instance
metadata to confirm that the remapping is complete."
"""

from __future__ import annotations

from dataclasses import replace
from typing import List, Literal, Tuple

from vpc_lab.vpc import Address, Remap
from vpc_lab.world import World

Step = Literal["network", "metadata"]


def delay(
    before: World, after: World, network_interface_id: str, number: int, *, remap: float, metadata: float
) -> Tuple[World, List[Tuple[float, Address, Step]]]:
    """Let the addresses that an ENI got between two worlds take effect later.

    `remap`: seconds until the network has what moved from another ENI; `metadata`: seconds more until the metadata has
    it, and whatever else was assigned. Returns the world, and when (in seconds from now) which step of `take` is due.
    """
    old, new = before.interfaces[network_interface_id], after.interfaces[network_interface_id]
    due: List[Tuple[float, Address, Step]] = []
    world = after
    addresses: Tuple[Address, ...] = (*new.ipv4, *new.ipv6)
    for address in addresses:
        if address in old.ipv4 or address in old.ipv6:
            continue
        holder = before.holder(address)
        known = before.remaps.get(address, Remap(0, holder, holder))
        seconds = 0.0 if holder is None else remap
        world = world.without_remap(address)
        if seconds > 0 or metadata > 0:
            in_network = known.network if seconds > 0 else network_interface_id
            world = world.with_remap(address, Remap(number, in_network, known.metadata))
            due += [(seconds, address, "network")] if seconds > 0 else []
            due.append((seconds + metadata, address, "metadata"))
    return world, due


def take(world: World, address: Address, number: int, step: Step) -> World:
    """An assignment takes effect in the network, or, at last, in the metadata too; nothing if a later one was made."""
    remap = world.remaps.get(address)
    if remap is None or remap.number != number:
        return world
    if step == "metadata":
        return world.without_remap(address)
    return world.with_remap(address, replace(remap, network=world.holder(address)))
