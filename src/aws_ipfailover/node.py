"""This node's identity: the interface that gets the address, its ENI, and its instance."""

from __future__ import annotations

import logging
from ipaddress import ip_network
from typing import TYPE_CHECKING, Callable, Collection, List, NamedTuple, Optional, Sequence

from aws_ipfailover.address import Cidr
from aws_ipfailover.deadline import Deadline, Task
from aws_ipfailover.errors import Error, NodeError, UnknownError
from aws_ipfailover.kernel.links import Link, Links

if TYPE_CHECKING:
    from aws_ipfailover.aws.client import Ec2
    from aws_ipfailover.aws.imds import Imds
    from aws_ipfailover.aws.models import NetworkInterface

log = logging.getLogger(__name__)


class OwnInterface(NamedTuple):
    """The ENI that this node's traffic comes through, and its MAC address."""

    network_interface_id: str
    mac: str


def named_link(links: Links, name: str) -> Link:
    """The interface with this name or alternative name.

    Raises:
        NodeError: there is none.
    """
    for link in links.all():
        if name == link.name or name in link.altnames:
            return link
    raise NodeError(f"parameter interface: this node has no network interface '{name}'")


class Node:
    """The instance that the agent runs on; `chosen`: the interface that the parameters name, or `None`.

    Its identity comes from IMDS. If IMDS is switched off or does not answer, EC2 is asked for the ENIs with this node's
    MAC addresses, until `deadline` at most. Each value is fetched when it is first needed; only `metadata_addresses` is
    read again each time.
    """

    def __init__(self, links: Links, imds: Imds, ec2: Ec2, chosen: Optional[Link], deadline: Deadline) -> None:
        self._links = links
        self._imds = imds
        self._ec2 = ec2
        self._link = chosen
        self._deadline = deadline
        self._own: Optional[OwnInterface] = None
        self._by_ec2: Optional[List[NetworkInterface]] = None

    def link(self) -> Link:
        """The interface that gets the address.

        Raises:
            NodeError: none has the primary ENI's MAC address.  UnknownError: neither IMDS nor EC2 tells that address.
        """
        if self._link is None:
            self._link = self.primary_link()
        return self._link

    def primary_link(self) -> Link:
        """The interface of the instance's primary ENI; raises as `link`."""
        mac = self._primary_mac()
        for link in self._links.all():
            if link.mac == mac:
                return link
        raise NodeError(f"no network interface here has the primary ENI's MAC address {mac}; set parameter interface")

    def instance_id(self) -> str:
        """The id of this instance.

        Raises:
            Error: neither IMDS nor EC2 tells it.
        """
        try:
            return self._imds.instance_id()
        except Error as error:
            for eni in self._enis_by_ec2(error):
                if eni.attachment is not None:
                    return eni.attachment.instance_id
            raise

    def network_interface_id(self) -> str:
        """The ENI that routes have to point to: that of the interface with the address, found by MAC.

        An interface that belongs to no ENI (lo, a dummy, a bridge with its own MAC) gets its traffic through the
        primary ENI: the kernel accepts packets for any of its addresses on every interface.

        Raises:
            UnknownError: neither IMDS nor EC2 knows the ENI, or not yet.
        """
        return self._interface().network_interface_id

    def subnet_cidrs(self) -> List[Cidr]:
        """The CIDRs of the subnet that the interface's ENI is in; empty if IMDS does not tell them."""
        return self._cidrs(self._imds.subnet_cidrs, self._interface().mac)

    def vpc_id(self) -> str:
        """The VPC of the interface's ENI.

        Raises:
            Error: neither IMDS nor EC2 tells it.
        """
        return self._told(self._imds.vpc_id) or self._described().vpc_id

    def vpc_cidrs(self) -> List[Cidr]:
        """Every CIDR of this node's VPC that IMDS lists; empty if it does not answer."""
        return self._cidrs(self._imds.vpc_cidrs, self.link().mac)

    def delegated_prefixes(self, versions: Collection[int]) -> List[Cidr]:
        """The prefixes of these IP versions that are delegated to the interface's ENI; empty if IMDS does not tell."""
        return self._cidrs(lambda mac: self._imds.prefixes(mac, versions), self._interface().mac)

    def subnet_id(self) -> str:
        """The subnet that the interface's ENI is in; raises `Error` if neither IMDS nor EC2 tells."""
        return self._told(self._imds.subnet_id) or self._described().subnet_id

    def metadata_addresses(self) -> List[str]:
        """The addresses of the interface's ENI as IMDS lists them now; raises `Error` if IMDS does not answer."""
        return self._imds.addresses(self._interface().mac)

    def _told(self, ask: Callable[[str], Optional[str]]) -> Optional[str]:
        """What IMDS tells of the interface's ENI; `None` if it does not answer, or does not know."""
        try:
            return ask(self._interface().mac)
        except Error as error:
            log.info("%s", error)
            return None

    def _described(self) -> NetworkInterface:
        return self._ec2.network_interface(self._interface().network_interface_id)

    @staticmethod
    def _cidrs(ask: Callable[[str], List[str]], mac: str) -> List[Cidr]:
        try:
            return [ip_network(text) for text in ask(mac)]
        except (Error, ValueError) as error:
            log.info("%s", error)
        return []

    def _interface(self) -> OwnInterface:
        if self._own is None:
            link = self.link()
            mac = link.mac
            found = self._eni_with(mac) if mac else None
            if found is None and link.virtual:
                mac = self._primary_mac()
                found = self._eni_with(mac)
                log.info("%s is no ENI's own interface: its traffic comes through the primary one", link.name)
            if found is None:
                unknown = UnknownError(f"IMDS does not know (yet) the network interface of {link.name} ({mac})")
                found = self._eni_by_ec2(mac, unknown)
                if found is None:
                    raise unknown
            self._own = OwnInterface(found, mac)
        return self._own

    def _primary_mac(self) -> str:
        try:
            return self._imds.primary_mac()
        except Error as error:
            for eni in self._enis_by_ec2(error):
                if eni.attachment is not None and eni.attachment.is_primary:
                    return eni.mac
            raise

    def _eni_with(self, mac: str) -> Optional[str]:
        try:
            return self._imds.network_interface_id(mac)
        except Error as error:
            return self._eni_by_ec2(mac, error)

    def _eni_by_ec2(self, mac: str, refusal: Error) -> Optional[str]:
        return next((eni.network_interface_id for eni in self._enis_by_ec2(refusal) if eni.mac == mac), None)

    def _enis_by_ec2(self, refusal: Error) -> Sequence[NetworkInterface]:
        """The ENIs of this instance as EC2 finds them by their MAC addresses."""
        if self._by_ec2 is None:
            log.info("%s; looking for this node's network interfaces by their MAC addresses in EC2", refusal)
            macs = sorted({link.mac for link in self._links.all() if link.mac.strip("0:")})
            try:
                asking = Task(lambda: self._ec2.network_interfaces_with(macs))
                self._by_ec2 = asking.result(self._deadline, "DescribeNetworkInterfaces")
            except Error as error:
                raise UnknownError(f"{refusal}; and {error}") from None
        return self._by_ec2
