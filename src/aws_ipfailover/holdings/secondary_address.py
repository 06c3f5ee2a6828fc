"""Secondary private addresses on this node's own ENI: the VPC delivers them within the subnet."""

from __future__ import annotations

import logging
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Callable, Dict, List, Optional, Protocol, Sequence, Tuple

from aws_ipfailover.address import Address, Cidr
from aws_ipfailover.changes import changes
from aws_ipfailover.consistency import Contradictions, WriteMemory, confirmed
from aws_ipfailover.deadline import Deadline, Task
from aws_ipfailover.errors import DeniedError, Error, NodeError, UnknownError
from aws_ipfailover.failover import HERE, Look, Repair, Where
from aws_ipfailover.holdings.delegated_prefixes import delegations
from aws_ipfailover.steps import Need, Step, of_call

if TYPE_CHECKING:
    from aws_ipfailover.aws.client import Ec2
    from aws_ipfailover.aws.models import NetworkInterface
    from aws_ipfailover.aws.writes import Write

log = logging.getLogger(__name__)

# Seconds for which a refused assignment of an IPv6 address is retried, because the read of its holder can be stale.
_OLD_READS = 15.0
# Seconds that the last try has for its calls: without an answer to them EC2's refusal would not be the one reported.
_LAST_TRY = 0.5


class Metadata(Protocol):
    """What IMDS says of the ENI."""

    def metadata_addresses(self) -> Sequence[str]:
        """The private addresses of the ENI as IMDS lists them now."""

    def subnet_id(self) -> str:
        """The subnet of the ENI."""


class SecondaryAddresses:
    """`addresses` as secondary private addresses of `network_interface_id`; `node` knows what IMDS lists for it.

    `when_assigned` is called by `take`, before the wait for IMDS.
    """

    local = False

    def __init__(
        self,
        addresses: Sequence[Address],
        network_interface_id: str,
        node: Metadata,
        ec2: Ec2,
        memory: WriteMemory,
        deadline: Deadline,
        when_assigned: Optional[Callable[[], object]] = None,
    ) -> None:
        self._when_assigned = when_assigned
        self._addresses = tuple(addresses)
        self._node = node
        self._eni = network_interface_id
        self._ec2 = ec2
        self._memory = memory
        self._deadline = deadline
        self._drift: Contradictions = {}

    def take(self) -> None:
        """Assign the addresses to this ENI, also if other ENIs of the subnet have them: one call for each IP version.

        Returns when IMDS lists them too, or a third of the time that is left has passed: "Remapping an IP address is
        an asynchronous operation" (Amazon EC2 API Reference, AssignPrivateIpAddresses).

        Raises:
            NodeError: EC2 refused to, because one is inside a prefix that is delegated to an ENI of the subnet.
        """
        self._assign(self._addresses)
        self._memory.remember(self._eni, map(str, self._addresses))
        if self._when_assigned is not None:
            self._when_assigned()
        self._wait_for_remap(self._addresses)

    def release(self) -> None:
        """Nothing: without the addresses this node does not answer, and the next active node takes them over."""

    def look(self) -> Look:
        """Whether EC2 lists the addresses on this ENI, as far as its reads can be believed."""
        self._drift = confirmed(self._contradictions, self._memory, self._eni, self._deadline)
        return Look(Where.ELSEWHERE, "; ".join(self._drift.values())) if self._drift else HERE

    def plan(self) -> List[Step]:
        """What `take` would do.

        Raises:
            Error: which ENIs have the IPv6 addresses cannot be found out, as in `take`.
        """
        ipv4, ipv6 = _of_versions(self._addresses)
        return [*(self._plan_ipv4(ipv4) if ipv4 else ()), *(self._plan_ipv6(ipv6) if ipv6 else ())]

    def _plan_ipv4(self, addresses: Sequence[IPv4Address]) -> List[Step]:
        write = self._ec2.planned(lambda ec2: ec2.assign_ipv4_addresses(self._eni, addresses))
        try:
            enis = self._ec2.network_interfaces_in(self._node.subnet_id())
        except Error as error:  # `take` does without this read
            return [of_call(write, self._assigned(addresses), None, self._eni, note=str(error))]
        return [self._assignment(write, addresses, enis)]

    def _plan_ipv6(self, addresses: Sequence[IPv6Address]) -> List[Step]:
        enis = self._ec2.network_interfaces_in(self._ec2.network_interface(self._eni).subnet_id)
        write = self._ec2.planned(lambda ec2: ec2.assign_ipv6_addresses(self._eni, addresses))
        assignment = self._assignment(write, addresses, enis)
        steps = []
        for held, holder in () if assignment.need is Need.REFUSED else _taken_from(addresses, enis, self._eni):
            text = f"{', '.join(map(str, held))} unassigned from {holder}"
            steps.append(of_call(self._ec2.planned(_unassign(holder, held)), text, holder, ""))
        return [*steps, assignment]

    def _assignment(self, write: Write, addresses: Sequence[Address], enis: Sequence[NetworkInterface]) -> Step:
        """The step of the call that assigns the addresses, by one read of the ENIs of the subnet."""
        held = {one.network_interface_id: one.addresses for one in enis}
        holders = [eni for eni, its in held.items() if any(address in its for address in addresses)]
        step = of_call(write, self._assigned(addresses), ", ".join(holders), self._eni)
        found = delegations(addresses, enis)
        if found:
            return step._replace(need=Need.REFUSED, note=str(found[0].refused()))
        is_so = all(address in held.get(self._eni, ()) for address in addresses)
        return step._replace(need=Need.ALREADY if is_so else Need.NEEDED)

    def _assigned(self, addresses: Sequence[Address]) -> str:
        return f"{', '.join(map(str, addresses))} assigned to {self._eni}"

    def repair(self) -> Repair:
        """Assign those addresses here again that the last `look` found elsewhere: together, or else one by one."""
        lost = [address for address in self._addresses if str(address) in self._drift]
        failures = self._failures([one for one in _of_versions(lost) if one])
        mended = [address for address in lost if address not in failures]
        failed = "; ".join(dict.fromkeys(map(str, failures.values())))
        if not mended:
            unknown = any(isinstance(error, UnknownError) for error in failures.values())
            return Repair("", failed, True if len(lost) < len(self._addresses) else None if unknown else False)
        self._memory.remember_also(self._eni, map(str, mended))
        self._wait_for_remap(mended)
        return Repair(f"{_named(mended)} assigned to {self._eni} again", failed, replaced_local=True)

    def _failures(self, groups: Sequence[Sequence[Address]]) -> Dict[Address, Error]:
        """Assign each group of addresses; returns those that could not be, and why."""
        failures: Dict[Address, Error] = {}
        for addresses in groups:
            try:
                self._assign(addresses)
            except UnknownError as error:
                failures.update(dict.fromkeys(addresses, error))
            except Error as error:
                if len(addresses) == 1:
                    failures[addresses[0]] = error
                else:  # EC2 refuses all addresses of a call for one of them
                    failures.update(self._failures([[address] for address in addresses]))
        return failures

    def _assign(self, addresses: Sequence[Address]) -> None:
        ipv4, ipv6 = _of_versions(addresses)
        moving = Task(lambda: self._move_ipv6(ipv6)) if ipv6 else None
        if ipv4:
            self._assign_ipv4(ipv4)
        if moving is not None:
            moving.result(self._deadline, "AssignIpv6Addresses")
        log.info("%s assigned to %s", _are(addresses), self._eni)

    def _wait_for_remap(self, addresses: Sequence[Address]) -> None:
        patience = self._deadline.within(self._deadline.remaining() / 3)
        poll = patience.poll(first=0.05, longest=0.5)
        assigned = f"{_are(addresses)} assigned to {self._eni}"
        unlisted: Sequence[str] = ()
        unknown: Optional[Error] = None
        while True:
            try:
                # In a task of its own: an IMDS in trouble is asked for longer than the addresses are to wait for it.
                unlisted, unknown = Task(lambda: self._unlisted(addresses)).result(patience, "instance metadata"), None
                if not unlisted:
                    return
            except Error as error:
                # It is switched off, or has never answered and is not asked again: then the same error comes at once.
                if not isinstance(error, UnknownError) or error is unknown:
                    unknown = error
                    break
                unknown = error
            if not poll.wait():
                break
        # The last question may have had no time for an answer; then the answer before it is what is known.
        if unknown is not None and not unlisted:
            log.warning("%s; whether AWS has remapped it cannot be found out: %s", assigned, unknown)
            return
        which = ", ".join(unlisted) if len(addresses) > 1 else "it"
        log.warning("%s, but instance metadata does not list %s yet", assigned, which)

    def _unlisted(self, addresses: Sequence[Address]) -> Sequence[str]:
        listed = set()
        for text in self._node.metadata_addresses():
            try:
                listed.add(ip_address(text))
            except ValueError:
                continue  # not an address: something other than IMDS has answered
        return [str(address) for address in addresses if address not in listed]

    def _assign_ipv4(self, addresses: Sequence[IPv4Address]) -> None:
        try:
            self._ec2.assign_ipv4_addresses(self._eni, addresses)
        except (DeniedError, NodeError, UnknownError):
            raise
        except Error as refusal:
            for reason in self._reasons(addresses, refusal):
                raise reason from None
            raise

    def _reasons(self, addresses: Sequence[Address], refusal: Error) -> List[NodeError]:
        """Why EC2 never assigns some of the addresses, by the ENIs of the subnet; none if they cannot be read."""
        try:
            enis = self._ec2.network_interfaces_in(self._node.subnet_id())
        except Error as error:
            log.info("%s", error)
            return []
        inside = [one.refused(refusal) for one in delegations(addresses, enis)]
        return [*inside, *primary_addresses(addresses, enis, refusal)]

    def _move_ipv6(self, addresses: Sequence[IPv6Address]) -> None:
        """Unassign the addresses from their holders and assign them here, as EC2 does not reassign IPv6 addresses.

        Reads of the holders can be stale. So only a successful assignment is proof, even if a read shows the addresses
        here already, and after a refusal the holders are read again, for `_OLD_READS` seconds. If the read shows an
        address inside a delegated prefix, no other ENI loses an address before EC2 has agreed.
        """
        subnet_id = self._ec2.network_interface(self._eni).subnet_id
        patience = self._deadline.earlier(_LAST_TRY).within(_OLD_READS)
        poll, refused = patience.poll(first=0.1, longest=1.0), False
        while True:
            enis = self._ec2.network_interfaces_in(subnet_id)
            inside = delegations(addresses, enis)
            # Unassign from this ENI only if EC2 refused to assign the addresses to it.
            for held, holder in () if inside else _taken_from(addresses, enis, None if refused else self._eni):
                self._take_away(held, holder)
            refusal = self._refusal(addresses)
            if refusal is None:
                return
            if inside:
                raise inside[0].refused(refusal)
            if not poll.wait():
                raise refusal
            refused = True

    def _refusal(self, addresses: Sequence[IPv6Address]) -> Optional[Error]:
        """Assign the addresses; returns EC2's refusal if another ENI can still have one, else `None`."""
        try:
            self._ec2.assign_ipv6_addresses(self._eni, addresses)
        except (DeniedError, NodeError, UnknownError):
            raise
        except Error as error:
            log.info("%s", error)
            return error
        return None

    def _take_away(self, addresses: Sequence[IPv6Address], holder: str) -> None:
        try:
            self._ec2.unassign_ipv6_addresses(holder, addresses)
            changes.came_from(holder)
        except (DeniedError, UnknownError):
            raise
        except Error as error:
            # The holder may have released one already; the next assignment shows whether it has.
            log.info("%s", error)

    def _contradictions(self) -> Contradictions:
        assigned = self._ec2.network_interface(self._eni).addresses
        return {
            str(address): f"{address} is not assigned to {self._eni}"
            for address in self._addresses
            if address not in assigned
        }


def primary_addresses(
    addresses: Sequence[Address], enis: Sequence[NetworkInterface], refusal: Optional[Error] = None
) -> List[NodeError]:
    """An error for each of the addresses that is the primary private address of one of the ENIs, which never moves.

    `refusal`: what EC2 answered to the assignment.
    """
    holders = {one.addresses[0]: one.network_interface_id for one in enis if one.addresses}
    said = f" ({refusal})" if refusal is not None else ""
    return [
        NodeError(
            f"parameter ip: {address} is the primary address of {holders[address]}, expected a secondary one: a primary"
            f" one never moves{said}"
        )
        for address in addresses
        if address.version == 4 and address in holders
    ]


def _of_versions(addresses: Sequence[Address]) -> Tuple[List[IPv4Address], List[IPv6Address]]:
    ipv4 = [address for address in addresses if isinstance(address, IPv4Address)]
    ipv6 = [address for address in addresses if isinstance(address, IPv6Address)]
    return ipv4, ipv6


def _named(addresses: Sequence[Address]) -> str:
    return ", ".join(map(str, addresses))


def _are(addresses: Sequence[Address]) -> str:
    return f"{_named(addresses)} {'is' if len(addresses) == 1 else 'are'}"


def _taken_from(
    addresses: Sequence[IPv6Address], enis: Sequence[NetworkInterface], spared: Optional[str]
) -> List[Tuple[List[IPv6Address], str]]:
    """The addresses that ENIs other than `spared` have, with the id of each one's holder."""
    held = [([address for address in addresses if address in eni.addresses], eni.network_interface_id) for eni in enis]
    return [(some, holder) for some, holder in held if some and holder != spared]


def _unassign(holder: str, addresses: Sequence[IPv6Address]) -> Callable[[Ec2], None]:
    return lambda ec2: ec2.unassign_ipv6_addresses(holder, addresses)


def subnet_prefix(cidrs: Sequence[Cidr], address: Address) -> int:
    """The prefix length of the CIDR that `address` is in; `cidrs` are those of one subnet.

    Raises:
        NodeError: it is in none of them.  UnknownError: `cidrs` is empty, so that the subnet is not known.
    """
    for network in cidrs:
        if network.version == address.version and address in network:
            return network.prefixlen
    if not cidrs:
        raise UnknownError("neither IMDS nor EC2 says which subnet this node is in")
    if not any(network.version == address.version for network in cidrs):
        kind = "IPv4" if address.version == 4 else "IPv6"
        raise NodeError(f"parameter ip: {address} cannot be of this node's subnet, which has no {kind} CIDR")
    raise NodeError(
        f"parameter ip: {address} is outside this node's subnet ({', '.join(map(str, cidrs))}), expected an address of"
        " it; across subnets and availability zones use mode=overlay-ip"
    )
