"""What is asked: an address of either family."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address
from typing import Union

Address = Union[IPv4Address, IPv6Address]


def family_of(address: Address) -> socket.AddressFamily:
    """The socket family of `address`."""
    return socket.AF_INET6 if address.version == 6 else socket.AF_INET
