"""Whose ICMP answer is it? The kernel answers pings, so a node signs with the TTL (IPv6: hop limit) of its packets.

Each router on the way takes one off, and the number of routers differs from consumer to consumer: the initial values
lie `STEP` apart, and what arrives belongs to the node whose initial value is the next one above. The kernel's own
defaults, 64 and 255, belong to no node: a machine that the lab did not sign is never taken for one of its nodes.
"""

from __future__ import annotations

from typing import Mapping, Optional

HIGHEST = 240
STEP = 40
NODES = 4  # 240, 200, 160, 120: the next step would claim the kernel's default of 64


def initial_ttl(index: int) -> int:
    """The TTL that the node with this `index` (from 0) sends with. Raises ValueError beyond `NODES` nodes."""
    if not 0 <= index < NODES:
        raise ValueError(f"a lab tells {NODES} nodes apart by their TTL, there is none for number {index + 1}")
    return HIGHEST - STEP * index


def node_of(ttl: int, initial: Mapping[str, int]) -> Optional[str]:
    """The node of `initial` (name to initial TTL) whose packet arrives with `ttl`; None when it is none of theirs."""
    above = [(value, name) for name, value in initial.items() if 0 <= value - ttl < STEP]
    return min(above)[1] if above else None
