"""Who this node is: the interface that gets the address, its ENI, and its instance."""

from __future__ import annotations

import logging
from ipaddress import ip_network
from typing import TYPE_CHECKING, List, NamedTuple, Optional, Sequence

from aws_ipfailover.errors import NodeError, UnknownError
from aws_ipfailover.kernel.links import Link, Links

if TYPE_CHECKING:
    from aws_ipfailover.aws.imds import Imds
    from aws_ipfailover.aws.models import Cidr

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
    """The instance this runs on; `chosen` is the interface that the parameters name, if they name one."""

    def __init__(self, links: Links, imds: Imds, chosen: Optional[Link]) -> None:
        self._links = links
        self._imds = imds
        self._link = chosen
        self._own: Optional[OwnInterface] = None

    def link(self) -> Link:
        """The interface that gets the address.

        Raises:
            NodeError: none has the primary ENI's MAC address.  UnknownError: IMDS is silent.
        """
        if self._link is None:
            self._link = self._primary()
        return self._link

    def instance_id(self) -> str:
        """The id of this instance."""
        return self._imds.instance_id()

    def network_interface_id(self) -> str:
        """The ENI that routes have to point to: that of the interface with the address, found by MAC.

        An interface that is no ENI's own (lo, a dummy, a bridge with a MAC of its own) gets its traffic through the
        primary ENI: the kernel accepts an address of its own on any interface.
        """
        return self._interface().network_interface_id

    def subnet_cidrs(self) -> List[Cidr]:
        """The CIDRs of the subnet that the interface's ENI is in; empty where IMDS does not tell them."""
        return [ip_network(text) for text in self._imds.subnet_cidrs(self._interface().mac)]

    def vpc_cidrs(self) -> List[Cidr]:
        """Every CIDR of this node's VPC, as far as IMDS lists them."""
        return [ip_network(text) for text in self._imds.vpc_cidrs(self.link().mac)]

    def mac_of(self, network_interface_id: str, macs: Sequence[str]) -> Optional[str]:
        """Which of these MAC addresses is an ENI's by IMDS; never the primary one, which is the node's own."""
        others = [mac for mac in macs if mac != self._imds.primary_mac()]
        return next((mac for mac in others if self._imds.network_interface_id(mac) == network_interface_id), None)

    def _interface(self) -> OwnInterface:
        if self._own is None:
            link = self.link()
            mac = link.mac
            found = self._imds.network_interface_id(mac) if mac else None
            if found is None and link.virtual:
                mac = self._imds.primary_mac()
                found = self._imds.network_interface_id(mac)
                log.info("%s is no ENI's own interface: its traffic comes through the primary one", link.name)
            if found is None:
                raise UnknownError(f"IMDS does not know (yet) the network interface of {link.name} ({mac})")
            self._own = OwnInterface(found, mac)
        return self._own

    def _primary(self) -> Link:
        mac = self._imds.primary_mac()
        for link in self._links.all():
            if link.mac == mac:
                return link
        raise NodeError(f"no network interface here has the primary ENI's MAC address {mac}; set parameter interface")
