"""Whose answer to a ping is it? Told by the TTL (IPv6: hop limit) that the node's packets start with.

Each router on the way takes one off, and the number of routers differs from place to place: what arrives belongs to the
node whose initial value is the next one above.
"""

from __future__ import annotations

from typing import Mapping, Optional

# More routers than lie between anybody and an instance; the initial values of two nodes differ by at least as much.
STEP = 40


def node_of(ttl: int, initial: Mapping[str, int]) -> Optional[str]:
    """The node of `initial` (name to initial TTL) whose packet arrives with `ttl`; None when it is none of theirs."""
    above = [(value, name) for name, value in initial.items() if 0 <= value - ttl < STEP]
    return min(above)[1] if above else None
