"""The service address on a network interface of this node."""

from __future__ import annotations

import logging
from typing import List, NamedTuple, Optional, Tuple

from aws_ipfailover.address import Address
from aws_ipfailover.errors import Error, NodeError
from aws_ipfailover.failover import HERE, Look, Where
from aws_ipfailover.kernel.addresses import KernelAddress
from aws_ipfailover.kernel.kernel import Kernel
from aws_ipfailover.kernel.links import Link

log = logging.getLogger(__name__)

_NAME_LENGTH = 15  # IFNAMSIZ - 1


class OwnRule(NamedTuple):
    """What shows for certain that an address in the kernel is the node's own, so that no start has added it.

    `dynamic`: the IP versions of which DHCP configures no address that moves. `with_gateway`: an address with its
    subnet's prefix length, and a gateway in that subnet, is the instance's primary one there. An address that this
    package adds is never dynamic, and has a gateway in its subnet only in private-ip.
    """

    dynamic: Tuple[int, ...] = ()
    with_gateway: bool = False


class FoundAddress:
    """`address` wherever it is on this node: it can be looked for and removed.

    A copy that is the node's own, by `own`, is not the service's: it counts as not here, and stays.
    """

    def __init__(self, kernel: Kernel, address: Address, own: OwnRule) -> None:
        self._kernel = kernel
        self._address = address
        self._own = own

    def look(self) -> Look:
        """Whether any interface that is up has the address.

        Raises:
            UnknownError: the kernel's addresses cannot be read.
        """
        found, own = self._find()
        if any(one.link_up for one in found):
            return HERE
        if own:
            return Look(Where.ELSEWHERE, self._is_own(own[0]), is_nodes_own=True)
        if found:
            return Look(Where.ELSEWHERE, f"{self._address} is on {found[0].device}, which is down")
        return Look(Where.ELSEWHERE, f"{self._address} is on no network interface of this node")

    def release(self) -> None:
        """Remove every copy of the address, and prove that none is left.

        Raises:
            Error: it is still here, or that cannot be found out.
        """
        addresses = self._kernel.addresses
        failure: Optional[Error] = None
        for one in self._find()[0]:
            try:
                addresses.remove(one)
            except Error as error:
                failure = error  # it may be gone already: only the second look counts
        left, own = self._find()
        if left:
            raise failure or Error(f"{self._address} is still on {left[0].device}")
        if own:
            log.warning("%s; it stays", self._is_own(own[0]))
        else:
            addresses.remove_local_routes(self._address)

    def _find(self) -> Tuple[List[KernelAddress], List[KernelAddress]]:
        """The copies of the address: those that count, and those that are the node's own."""
        found = self._kernel.addresses.find(self._address)
        own = [one for one in found if self._is_systems(one)]
        return [one for one in found if one not in own], own

    def _is_systems(self, one: KernelAddress) -> bool:
        if one.dynamic:
            return one.address.version in self._own.dynamic
        if not self._own.with_gateway or one.prefix_length == one.address.max_prefixlen:
            return False
        if one.secondary or one.peer:
            return False
        try:
            return self._kernel.addresses.has_gateway(one)
        except Error as error:  # not certain: the address goes with a stop, as every other one
            log.info("whether %s on %s is this node's own cannot be found out: %s", one.address, one.device, error)
            return False

    def _is_own(self, one: KernelAddress) -> str:
        return (
            f"parameter ip: {one.address} is this node's own address on {one.device}, which the system configured;"
            " expected an address that only the service has"
        )


class LocalAddress(FoundAddress):
    """`address` with `prefix_length` on the interface `link`, labelled DEVICE:LABEL if `label` is given.

    Raises:
        NodeError: the label and this node's interface make a name that is too long.
    """

    local = True

    def __init__(
        self, kernel: Kernel, address: Address, own: OwnRule, link: Link, label: Optional[str], prefix_length: int
    ) -> None:
        super().__init__(kernel, address, own)
        self._device = link.name
        self._link_up = link.up
        self._label = label if address.version == 4 else None
        self._prefix_length = prefix_length
        if self._label and len(f"{link.name}:{self._label}") > _NAME_LENGTH:
            raise NodeError(f"parameter iflabel: '{link.name}:{self._label}' is longer than {_NAME_LENGTH} characters")

    def take(self) -> None:
        """Set the link up and add the address where it is missing; then remove other copies, so that there is one.

        Raises:
            NodeError: the address is the node's own; nothing has been changed.
        """
        addresses, name, length = self._kernel.addresses, self._device, self._prefix_length
        label = f"{name}:{self._label}" if self._label else None
        found, own = self._find()
        if own:
            raise NodeError(self._is_own(own[0]))
        if not self._link_up:
            self._kernel.links.set_up(name)
            log.warning("%s was down: set up", name)
        right = [
            one
            for one in found
            if one.device == name and one.prefix_length == length and (label is None or one.label == label)
        ]
        # The kernel treats a copy with another label, and in IPv6 also with another prefix length, as the same address:
        # it has to be removed before the right one can be added.
        clashing = [
            one
            for one in found
            if one not in right and one.device == name and (one.prefix_length == length or self._address.version == 6)
        ]
        for one in clashing:
            addresses.remove(one)
        if not right:
            addresses.add(self._address, name, self._label, length)
        for one in found:
            if one not in right and one not in clashing:
                addresses.remove(one)
        if self.look().where is not Where.HERE:
            raise Error(f"{self._address} is not on {name} although it was added")
