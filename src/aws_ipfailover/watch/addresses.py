"""What is asked: an address of either family."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address
from typing import Tuple, Union

Address = Union[IPv4Address, IPv6Address]


def family_of(address: Address) -> socket.AddressFamily:
    """The socket family of `address`."""
    return socket.AF_INET6 if address.version == 6 else socket.AF_INET


def without_scope(address: Address) -> Address:
    """A link-local IPv6 address without the network interface that it is of, as `%eth0`."""
    return IPv6Address(address.packed) if isinstance(address, IPv6Address) else address


def socket_address(address: Address, port: int) -> Union[Tuple[str, int], Tuple[str, int, int, int]]:
    """What a socket takes for `address`: a link-local one with the index of its network interface.

    Raises:
        OSError: there is no such network interface.
    """
    scope = address.scope_id if isinstance(address, IPv6Address) else None
    if scope is None:
        return str(address), port
    index = int(scope) if scope.isdigit() else socket.if_nametoindex(scope)
    return str(without_scope(address)), port, 0, index
