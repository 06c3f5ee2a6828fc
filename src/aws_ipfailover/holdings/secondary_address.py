"""A secondary private address on this node's own ENI: the VPC delivers it within the subnet."""

from __future__ import annotations

import logging
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Optional, Protocol, Sequence, Tuple

from aws_ipfailover.address import Address, Cidr
from aws_ipfailover.consistency import Contradictions, WriteMemory, confirmed
from aws_ipfailover.deadline import Deadline, Task
from aws_ipfailover.errors import DeniedError, Error, NodeError, UnknownError
from aws_ipfailover.failover import HERE, Look, Repair, Where

if TYPE_CHECKING:
    from aws_ipfailover.aws.client import Ec2

log = logging.getLogger(__name__)

# Seconds for which a refused assignment of an IPv6 address is retried, because the read of its holder can be stale.
_OLD_READS = 15.0
# Seconds that the last try has for its calls: without an answer to them EC2's refusal would not be the one reported.
_LAST_TRY = 0.5


class Metadata(Protocol):
    """What IMDS says of the ENI."""

    def metadata_addresses(self) -> Sequence[str]:
        """The private addresses of the ENI as IMDS lists them now."""


class SecondaryAddress:
    """`address` as a secondary private address of `network_interface_id`; `node` knows what IMDS lists for it."""

    local = False

    def __init__(
        self,
        address: Address,
        network_interface_id: str,
        node: Metadata,
        ec2: Ec2,
        memory: WriteMemory,
        deadline: Deadline,
    ) -> None:
        self._address = address
        self._node = node
        self._eni = network_interface_id
        self._ec2 = ec2
        self._memory = memory
        self._deadline = deadline

    def take(self) -> None:
        """Assign the address to this ENI, also if another ENI of the subnet has it.

        Returns when IMDS lists the address too, or a third of the time that is left has passed: "Remapping an IP
        address is an asynchronous operation" (Amazon EC2 API Reference, AssignPrivateIpAddresses).
        """
        self._assign(self._eni)
        self._memory.remember(self._eni)
        log.info("%s is assigned to %s", self._address, self._eni)
        self._wait_for_remap()

    def release(self) -> None:
        """Nothing: without the address this node does not answer, and the next active node takes it over."""

    def look(self) -> Look:
        """Whether EC2 lists the address on this ENI, as far as its reads can be believed."""
        found = confirmed(self._contradictions, self._memory, self._eni, self._deadline)
        return Look(Where.ELSEWHERE, "; ".join(found.values())) if found else HERE

    def repair(self) -> Repair:
        """Assign the address here again."""
        self.take()
        return Repair(f"{self._address} assigned to {self._eni} again", replaced_local=True)

    def _wait_for_remap(self) -> None:
        patience = self._deadline.within(self._deadline.remaining() / 3)
        poll = patience.poll(first=0.05, longest=0.5)
        try:
            # In a task of its own: an IMDS in trouble is asked again for longer than the address is to wait for it.
            while not Task(self._is_listed).result(patience, "instance metadata"):
                if not poll.wait():
                    log.warning("%s is assigned to %s, but instance metadata does not list it yet", *self._named)
                    return
        except Error as error:
            log.warning(
                "%s is assigned to %s; whether AWS has remapped it cannot be found out: %s", *self._named, error
            )

    @property
    def _named(self) -> Tuple[str, str]:
        return str(self._address), self._eni

    def _is_listed(self) -> bool:
        for text in self._node.metadata_addresses():
            try:
                if ip_address(text) == self._address:
                    return True
            except ValueError:
                continue  # not an address: something other than IMDS has answered
        return False

    def _assign(self, eni: str) -> None:
        if isinstance(self._address, IPv6Address):
            self._move_ipv6(self._address, eni)
        else:
            self._ec2.assign_address(eni, self._address)

    def _move_ipv6(self, address: IPv6Address, eni: str) -> None:
        """Unassign the address from its holder and assign it to `eni`, as EC2 does not reassign IPv6 addresses.

        Reads of the holder can be stale. So only a successful assignment is proof, even if a read shows the address
        here already, and after a refusal the holder is read again, for `_OLD_READS` seconds.
        """
        ec2 = self._ec2
        subnet_id = ec2.network_interface(eni).subnet_id
        patience = self._deadline.earlier(_LAST_TRY).within(_OLD_READS)
        poll, refused = patience.poll(first=0.1, longest=1.0), False
        while True:
            holder = ec2.holder_of(address, subnet_id)
            # Unassign from this ENI only if EC2 refused to assign the address to it.
            if holder is not None and (holder != eni or refused):
                self._take_away(address, holder)
            refusal = self._refusal(address, eni)
            if refusal is None:
                return
            if not poll.wait():
                raise refusal
            refused = True

    def _refusal(self, address: IPv6Address, eni: str) -> Optional[Error]:
        """Assign the address; returns EC2's refusal if another ENI can still have it, else `None`."""
        try:
            self._ec2.assign_address(eni, address)
        except (DeniedError, NodeError, UnknownError):
            raise
        except Error as error:
            log.info("%s", error)
            return error
        return None

    def _take_away(self, address: IPv6Address, holder: str) -> None:
        try:
            self._ec2.unassign_ipv6_address(holder, address)
        except (DeniedError, UnknownError):
            raise
        except Error as error:
            # The holder may have released it already; the next assignment shows whether it has.
            log.info("%s", error)

    def _contradictions(self) -> Contradictions:
        if self._address in self._ec2.network_interface(self._eni).addresses:
            return {}
        return {self._eni: f"{self._address} is not assigned to {self._eni}"}


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
