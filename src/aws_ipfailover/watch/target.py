"""What to ask: an address, or a host name that is resolved once."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import List, NamedTuple, Tuple

from aws_ipfailover.deadline import Deadline, Task
from aws_ipfailover.errors import ParameterError, UnknownError
from aws_ipfailover.watch.addresses import Address


class Target(NamedTuple):
    """What was typed, the address that is asked, and other addresses of that name, which are not."""

    name: str
    address: Address
    others: Tuple[Address, ...] = ()

    def __str__(self) -> str:
        return str(self.address) if self.name == str(self.address) else f"{self.name} ({self.address})"


def resolve(name: str, deadline: Deadline) -> Target:
    """The target of this name: once, so that a change in the DNS does not look like a failover.

    Raises:
        ParameterError: it can be neither an address nor a name.
        UnknownError: the resolver does not know it, or does not answer in time.
    """
    try:
        return Target(name, ip_address(name))
    except ValueError:
        pass
    # The resolver's own test: an empty label, or one that is too long, is a UnicodeError there.
    if not name or any(not 0 < len(label) < 64 for label in name.rstrip(".").split(".")):
        raise ParameterError(f"{name!r} is neither an address nor a host name")
    found = Task(lambda: _addresses(name)).result(deadline, f"{name} is not resolved")
    return Target(name, found[0], tuple(found[1:]))


def _addresses(name: str) -> List[Address]:
    try:
        answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        text = error.strerror if isinstance(error, OSError) else str(error)
        raise UnknownError(f"{name} is not resolved: {text}") from None
    # In the resolver's order of preference.
    addresses = dict.fromkeys(ip_address(sockaddr[0]) for *_, sockaddr in answers)
    if not addresses:
        raise UnknownError(f"{name} is not resolved: it has no address")
    return list(addresses)
