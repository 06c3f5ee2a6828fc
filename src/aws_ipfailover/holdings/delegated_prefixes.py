"""Prefixes that are delegated to ENIs: EC2 assigns no single address of one, as the whole prefix is assigned already.

Facts: Amazon EC2 User Guide, "Prefix delegation for Amazon EC2 network interfaces": a prefix is a part of the subnet's
CIDR (/28 or /80) that no other prefix or address of the subnet overlaps; instance metadata lists those of an ENI.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Collection, Iterable, List, NamedTuple, Optional, Protocol, Sequence

from aws_ipfailover.address import Address, Cidr
from aws_ipfailover.deadline import Deadline, Progress, Task
from aws_ipfailover.errors import Error, NodeError

if TYPE_CHECKING:
    from aws_ipfailover.aws.client import Ec2
    from aws_ipfailover.aws.models import NetworkInterface

log = logging.getLogger(__name__)


class Delegation(NamedTuple):
    """A service address inside a prefix that is delegated to an ENI."""

    address: Address
    prefix: Cidr
    network_interface_id: str

    def refused(self, refusal: Optional[Error] = None) -> NodeError:
        """The error for it; `refusal`: what EC2 answered to the assignment."""
        return NodeError(
            f"parameter ip: {self.address} is inside {self.prefix}, which is delegated to {self.network_interface_id}:"
            " EC2 assigns no single address of a prefix, expected an address outside delegated prefixes"
            + (f" ({refusal})" if refusal is not None else "")
        )


class Metadata(Protocol):
    """What IMDS says of the ENI."""

    def delegated_prefixes(self, versions: Collection[int]) -> Sequence[Cidr]:
        """The prefixes of these IP versions that are delegated to the ENI; empty if IMDS does not tell."""


def delegations(addresses: Iterable[Address], enis: Sequence[NetworkInterface]) -> List[Delegation]:
    """Those of the addresses that are inside a prefix of one of the ENIs."""
    return [
        Delegation(address, prefix, eni.network_interface_id)
        for address in addresses
        for eni in enis
        for prefix in eni.prefixes
        if prefix.version == address.version and address in prefix
    ]


def refuse_own_prefixes(
    addresses: Sequence[Address],
    network_interface_id: str,
    node: Metadata,
    ec2: Ec2,
    deadline: Deadline,
    progress: Progress,
) -> None:
    """Refuse an address inside a prefix of this node's own ENI, before anything is changed.

    IMDS tells the prefixes, and can lag behind: only if EC2 agrees the address is refused. EC2 is not asked otherwise.

    Raises:
        NodeError: an address is inside one.
    """
    listed = node.delegated_prefixes({address.version for address in addresses})
    if not any(address.version == prefix.version and address in prefix for address in addresses for prefix in listed):
        return
    try:
        own = Task(lambda: ec2.network_interface(network_interface_id)).result(deadline, progress)
    except Error as error:
        log.info("%s; whether an address is inside a delegated prefix is left to EC2", error)
        return
    for found in delegations(addresses, [own]):
        raise found.refused()
