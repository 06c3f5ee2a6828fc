"""The service address on this node: on a network interface."""

from __future__ import annotations

from typing import Callable, Optional

from aws_ipfailover.errors import Error, NodeError
from aws_ipfailover.failover import Where
from aws_ipfailover.linux import Linux
from aws_ipfailover.parameters import Address

_NAME_LENGTH = 15


class HostAddress:
    """`address` on the interface that `device` names, which is only asked for to take it."""

    local = True

    def __init__(
        self,
        linux: Linux,
        address: Address,
        device: Callable[[], str],
        label: Optional[str],
        prefix_length: Optional[Callable[[], int]] = None,
    ) -> None:
        self._linux = linux
        self._address = address
        self._device = device
        self._label = label
        self._prefix_length = prefix_length or (lambda: address.max_prefixlen)

    def prepare(self) -> None:
        """Resolve the interface and the prefix length."""
        name = self._device()
        self._prefix_length()
        if self._label and self._address.version == 4 and len(f"{name}:{self._label}") > _NAME_LENGTH:
            raise NodeError(f"parameter iflabel: '{name}:{self._label}' is longer than {_NAME_LENGTH} characters")

    def take(self) -> None:
        """Add the address where it is missing; then remove other copies of it, so that there is one."""
        name = self._device()
        label = f"{name}:{self._label}" if self._label and self._address.version == 4 else None
        length = self._prefix_length()
        found = self._linux.find(self._address)
        right = [
            one
            for one in found
            if one.device == name and one.prefix_length == length and (label is None or one.label == label)
        ]
        # To the kernel it is the same address with another label, and in IPv6 also with another prefix length: such a
        # one has to go before the right one can come.
        clashing = [
            one
            for one in found
            if one not in right and one.device == name and (one.prefix_length == length or self._address.version == 6)
        ]
        for one in clashing:
            self._linux.remove(one)
        if not right:
            self._linux.add(self._address, name, self._label, length)
        for one in found:
            if one not in right and one not in clashing:
                self._linux.remove(one)
        if self.where() is not Where.HERE:
            raise Error(f"{self._address} is not on {name} although it was added")

    def release(self) -> None:
        """Remove every copy of the address, and prove that none is left.

        Raises:
            Error: it is still here, or that cannot be found out.
        """
        failure: Optional[Error] = None
        for one in self._linux.find(self._address):
            try:
                self._linux.remove(one)
            except Error as error:
                failure = error  # it may have gone in between: what counts is what is found afterwards
        left = self._linux.find(self._address)
        if left:
            raise failure or Error(f"{self._address} is still on {left[0].device}")
        self._linux.remove_local_routes(self._address)

    def where(self) -> Where:
        """Whether any interface has the address."""
        return Where.HERE if self._linux.find(self._address) else Where.ELSEWHERE

    def explain(self) -> str:
        """For an address that is missing."""
        return f"{self._address} is on no network interface of this node"
