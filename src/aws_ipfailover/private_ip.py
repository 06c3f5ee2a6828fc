"""A secondary private address on this node's own ENI: the VPC delivers it within the subnet."""

from __future__ import annotations

import logging
import random
import time
from ipaddress import IPv6Address, ip_network
from typing import TYPE_CHECKING, Callable, Dict, Optional, Sequence

from aws_ipfailover.believing import Reader
from aws_ipfailover.deadline import Deadline, Progress, Task
from aws_ipfailover.errors import DeniedError, Error, NodeError, UnknownError
from aws_ipfailover.failover import Where
from aws_ipfailover.last_write import LastWrite
from aws_ipfailover.parameters import Address

if TYPE_CHECKING:
    from aws_ipfailover.ec2 import Ec2
    from aws_ipfailover.node import ThisNode

log = logging.getLogger(__name__)

# How long a refused assignment of an IPv6 address is put down to reads that lag.
_OLD_READS = 15.0


class Subnet:
    """The subnet that the interface of `node` is in: as IMDS describes it, or EC2 where IMDS has no such entry."""

    def __init__(self, node: ThisNode, ec2: Callable[[], Ec2], deadline: Deadline, progress: Progress) -> None:
        self._node = node
        self._ec2 = ec2
        self._deadline = deadline
        self._progress = progress
        self._cidrs: Sequence[str] = ()

    def prefix_length(self, address: Address) -> int:
        """The prefix length that `address` has in it.

        Raises:
            NodeError: it is of another subnet.  UnknownError: nobody tells.
        """
        self._cidrs = self._cidrs or self._node.subnet_cidrs()
        if not self._cidrs:
            self._ec2()
            self._cidrs = Task(self._by_ec2).result(self._deadline, self._progress)
        return subnet_prefix(self._cidrs, address)

    def _by_ec2(self) -> Sequence[str]:
        found = self._ec2().network_interface(self._node.network_interface_id())
        return [str(cidr) for cidr in self._ec2().subnet_cidrs(found.subnet_id)]


class PrivateIp:
    """`address` as a secondary private address of the ENI of `node`'s interface."""

    local = False

    def __init__(
        self,
        address: Address,
        node: ThisNode,
        subnet: Subnet,
        ec2: Callable[[], Ec2],
        last_write: LastWrite,
        deadline: Deadline,
        progress: Progress,
    ) -> None:
        self._address = address
        self._node = node
        self._subnet = subnet
        self._ec2 = ec2
        self._last_write = last_write
        self._deadline = deadline
        self._progress = progress
        self._reader = Reader(self._contradictions, last_write, deadline)

    def prepare(self) -> None:
        """Find the ENI, check that the address is of its subnet, and connect to EC2."""
        self._node.network_interface_id()
        self._subnet.prefix_length(self._address)
        self._ec2()

    def take(self) -> None:
        """Assign the address here, taking it away from whichever ENI of the subnet has it."""
        eni = self._node.network_interface_id()
        Task(lambda: self._assign(eni)).result(self._deadline, self._progress)
        self._last_write.remember(eni)
        log.info("%s is assigned to %s", self._address, eni)

    def release(self) -> None:
        """Nothing: without the address this node does not answer, and the next active node takes it over."""

    def where(self) -> Where:
        """Whether EC2 lists the address on this ENI, as far as its reads can be believed."""
        self._ec2()
        return self._reader.where(self._node.network_interface_id())

    def explain(self) -> str:
        """Why it was ELSEWHERE."""
        return self._reader.explanation

    def _assign(self, eni: str) -> None:
        if isinstance(self._address, IPv6Address):
            self._move_ipv6(self._address, eni)
        else:
            self._ec2().assign_address(eni, self._address)

    def _move_ipv6(self, address: IPv6Address, eni: str) -> None:
        """EC2 reassigns no IPv6 address: it is taken away where a read shows it, and assigned here.

        Only the assignment is a proof, also where a read shows the address here already: reads can be old. That is why
        a refusal is looked into again for a while.
        """
        ec2 = self._ec2()
        subnet_id = ec2.network_interface(eni).subnet_id
        patience = self._deadline.within(_OLD_READS)
        attempt, refused = 0, False
        while True:
            holder = ec2.holder_of(address, subnet_id)
            # From here only where that is in the way: should EC2 refuse to assign what this ENI has.
            if holder is not None and (holder != eni or refused):
                self._take_away(address, holder)
            refusal = self._refusal(address, eni)
            if refusal is None:
                return
            pause = min(1.0, 0.1 * 1.5**attempt) * random.uniform(0.7, 1.0)  # noqa: S311  jitter, no secret
            if patience.remaining() <= pause:
                raise refusal
            attempt, refused = attempt + 1, True
            time.sleep(pause)

    def _refusal(self, address: IPv6Address, eni: str) -> Optional[Error]:
        """Assign it: `None`, or why EC2 does not, where that can be because another ENI has it."""
        try:
            self._ec2().assign_address(eni, address)
        except (DeniedError, NodeError, UnknownError):
            raise
        except Error as error:
            log.info("%s", error)
            return error
        return None

    def _take_away(self, address: IPv6Address, holder: str) -> None:
        try:
            self._ec2().unassign_ipv6_address(holder, address)
        except (DeniedError, UnknownError):
            raise
        except Error as error:
            # It let go of it meanwhile, or an answer was lost; whether it did, the assignment tells.
            log.info("%s", error)

    def _contradictions(self) -> Dict[str, str]:
        eni = self._node.network_interface_id()
        read = Task(lambda: self._ec2().network_interface(eni))
        found = read.result(self._deadline, self._progress)
        if self._address in found.addresses:
            return {}
        return {eni: f"{self._address} is not assigned to {eni}"}


def subnet_prefix(cidrs: Sequence[str], address: Address) -> int:
    """The prefix length of the one of a subnet's CIDRs that `address` is in.

    Raises:
        NodeError: it is in none of them.  UnknownError: there are none, which no subnet has.
    """
    networks = [ip_network(text) for text in cidrs]
    for network in networks:
        if network.version == address.version and address in network:
            return network.prefixlen
    if not networks:
        raise UnknownError("neither IMDS nor EC2 says which subnet this node is in")
    if not any(network.version == address.version for network in networks):
        kind = "IPv4" if address.version == 4 else "IPv6"
        raise NodeError(f"parameter ip: {address} cannot be of this node's subnet, which has no {kind} CIDR")
    raise NodeError(
        f"parameter ip: {address} is outside this node's subnet ({', '.join(cidrs)}), expected an address of"
        " it; across subnets and availability zones use mode=overlay-ip"
    )
