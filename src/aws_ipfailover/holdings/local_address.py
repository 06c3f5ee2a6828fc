"""The service addresses on a network interface of this node."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from aws_ipfailover.address import Address
from aws_ipfailover.errors import Error, NodeError
from aws_ipfailover.failover import HERE, Look, Where
from aws_ipfailover.kernel.addresses import KernelAddress
from aws_ipfailover.kernel.kernel import Kernel
from aws_ipfailover.kernel.links import Link

if TYPE_CHECKING:
    from aws_ipfailover.steps import Step

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


class Copies(NamedTuple):
    """The copies of one address in the kernel: those that count, and those that are the node's own."""

    found: Tuple[KernelAddress, ...]
    own: Tuple[KernelAddress, ...]


class FoundAddresses:
    """`addresses` wherever they are on this node: they can be looked for and removed.

    A copy that is the node's own, by `own`, is not the service's: it counts as not here, and stays.
    """

    def __init__(self, kernel: Kernel, addresses: Sequence[Address], own: OwnRule) -> None:
        self._kernel = kernel
        self._addresses = tuple(addresses)
        self._own = own

    def look(self) -> Look:
        """Whether any interface that is up has them: HERE if all are here.

        Raises:
            UnknownError: the kernel's addresses cannot be read.
        """
        copies = self._find()
        missing = [one for one in self._addresses if not any(copy.link_up for copy in copies[one].found)]
        if not missing:
            return HERE
        why = self._why(missing, copies)
        here = len(self._addresses) - len(missing)
        if here:
            why += f" ({here} of {len(self._addresses)} addresses are here)"
        owned = any(copies[one].own for one in missing)
        return Look(Where.ELSEWHERE, why, is_nodes_own=owned, in_part=here > 0)

    def release(self) -> None:
        """Remove every copy of every address, and prove that none is left.

        Raises:
            Error: one is still here, or that cannot be found out.
        """
        addresses = self._kernel.addresses
        failure: Optional[Error] = None
        for copies in self._find().values():
            for one in copies.found:
                try:
                    addresses.remove(one)
                except Error as error:
                    failure = error  # it may be gone already: only the second look counts
        left = self._find()
        still = [one for copies in left.values() for one in copies.found]
        if still:
            places = ", ".join(f"{one.address} is still on {one.device}" for one in still)
            raise failure if failure and len(still) == 1 else Error(f"{places}{f': {failure}' if failure else ''}")
        for own in (copies.own for copies in left.values() if copies.own):
            log.warning("%s; it stays", self._is_own(own[0]))
        addresses.remove_local_routes([one for one, copies in left.items() if not copies.own])

    def plan_release(self) -> List[Step]:
        """What `release` would remove; nothing if no copy is here."""
        from aws_ipfailover.steps import of_kernel

        rehearsal = self._kernel.rehearsal()
        for copies in self._find().values():
            for one in copies.found:
                rehearsal.addresses.remove(one)
        return of_kernel(rehearsal.changes) if rehearsal.changes else []

    def _why(self, missing: Sequence[Address], copies: Dict[Address, Copies]) -> str:
        """Why these addresses are not here: those with the same reason in one sentence."""
        for one in missing:
            if copies[one].own:
                return self._is_own(copies[one].own[0])
        down = [f"{one} is on {copies[one].found[0].device}, which is down" for one in missing if copies[one].found]
        absent = [str(one) for one in missing if not copies[one].found]
        verb = "is" if len(absent) == 1 else "are"
        return "; ".join(
            [*([f"{', '.join(absent)} {verb} on no network interface of this node"] * bool(absent)), *down]
        )

    def _find(self) -> Dict[Address, Copies]:
        """Where the addresses are, by one read of the kernel."""
        found = self._kernel.addresses.find(self._addresses)
        own = [one for one in found if self._is_systems(one)]
        return {
            address: Copies(
                tuple(one for one in found if one.address == address and one not in own),
                tuple(one for one in own if one.address == address),
            )
            for address in self._addresses
        }

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


class LocalAddresses(FoundAddresses):
    """`addresses`, each with its prefix length, on the interface `link`, labelled DEVICE:LABEL if `label` is given.

    Raises:
        NodeError: the label and this node's interface make a name that is too long.
    """

    local = True

    def __init__(
        self, kernel: Kernel, addresses: Mapping[Address, int], own: OwnRule, link: Link, label: Optional[str]
    ) -> None:
        super().__init__(kernel, tuple(addresses), own)
        self._prefix_lengths = addresses
        self._device = link.name
        self._link_up = link.up
        self._label = label if any(address.version == 4 for address in addresses) else None
        if self._label and len(f"{link.name}:{self._label}") > _NAME_LENGTH:
            raise NodeError(f"parameter iflabel: '{link.name}:{self._label}' is longer than {_NAME_LENGTH} characters")

    def take(self) -> None:
        """Set the link up and add each address where it is missing; then remove other copies, so that there is one.

        Raises:
            NodeError: an address is the node's own; nothing has been changed.
        """
        self._put_all(self._kernel)
        if not self._link_up:
            log.warning("%s was down: set up", self._device)
        missing = self.look()
        if missing.where is not Where.HERE:
            raise Error(f"{missing.why}, although added to {self._device}")

    def plan(self) -> List[Step]:
        """What `take` would do; raises as it does."""
        from aws_ipfailover.steps import of_kernel

        rehearsal = self._kernel.rehearsal()
        self._put_all(rehearsal)
        if rehearsal.changes:
            return of_kernel(rehearsal.changes)
        lengths = self._prefix_lengths.items()
        named = ", ".join(f"{address}/{length}" for address, length in lengths)
        return of_kernel((), already=f"{named} {'is' if len(lengths) == 1 else 'are'} on {self._device}, which is up")

    def _put_all(self, kernel: Kernel) -> None:
        copies = self._find()
        for found in copies.values():
            if found.own:
                raise NodeError(self._is_own(found.own[0]))
        if not self._link_up:
            kernel.links.set_up(self._device)
        for address, found in copies.items():
            self._put(kernel, address, found.found)

    def _put(self, kernel: Kernel, address: Address, found: Sequence[KernelAddress]) -> None:
        """Have one copy of an address, the right one."""
        addresses, name, length = kernel.addresses, self._device, self._prefix_lengths[address]
        label = f"{name}:{self._label}" if self._label and address.version == 4 else None
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
            if one not in right and one.device == name and (one.prefix_length == length or address.version == 6)
        ]
        for one in clashing:
            addresses.remove(one)
        if not right:
            addresses.add(address, name, self._label, length)
        for one in found:
            if one not in right and one not in clashing:
                addresses.remove(one)
