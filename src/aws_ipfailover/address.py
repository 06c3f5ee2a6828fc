"""The types of IP addresses and CIDRs, of either version."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Union

Address = Union[IPv4Address, IPv6Address]
Cidr = Union[IPv4Network, IPv6Network]
