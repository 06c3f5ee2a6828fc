"""The TTL (IPv6: hop limit) by which a node signs its packets: the kernel answers pings, and cannot say a name.

Each router on the way takes one off, and the number of routers differs from consumer to consumer: the initial values
lie `STEP` apart, and what arrives belongs to the node whose initial value is the next one above, which is for the
consumer to find (`aws_ipfailover.watch`). The kernel's own defaults, 64 and 255, belong to no node: a machine that the
lab did not sign is never taken for one of its nodes.
"""

from __future__ import annotations

HIGHEST = 240
STEP = 40
NODES = 4  # 240, 200, 160, 120: the next step would claim the kernel's default of 64


def initial_ttl(index: int) -> int:
    """The TTL that the node with this `index` (from 0) sends with. Raises ValueError beyond `NODES` nodes."""
    if not 0 <= index < NODES:
        raise ValueError(f"a lab tells {NODES} nodes apart by their TTL, there is none for number {index + 1}")
    return HIGHEST - STEP * index
