"""IP addresses and CIDRs, of either version."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Union

Address = Union[IPv4Address, IPv6Address]
Cidr = Union[IPv4Network, IPv6Network]


def is_inside(cidr: Cidr, other: Cidr) -> bool:
    """Whether a CIDR is a part of another one, and not all of it."""
    return cidr.version == other.version and cidr.prefixlen > other.prefixlen and cidr.network_address in other
