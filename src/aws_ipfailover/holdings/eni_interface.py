"""The moving ENI on this node: a network interface found by MAC, with its addresses and its own routing table.

A reply has to leave through the ENI that has its source address: the source check of every other ENI drops it. So each
address gets a rule into a table whose default route goes through this interface. The node's own default route, its
requests to IMDS and its cluster traffic do not change. Facts: AWS, "Elastic network interfaces", best practices;
"Subnet CIDR blocks" for the router at the subnet's first address, and at fe80:ec2::1.
"""

from __future__ import annotations

import logging
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, List, Optional, Protocol, Sequence

from aws_ipfailover.address import Address, Cidr
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import Error, NodeError, NoIpv6Error, UnknownError
from aws_ipfailover.failover import HERE, Look, Where
from aws_ipfailover.holdings.announcement import announce_all
from aws_ipfailover.kernel.kernel import Kernel
from aws_ipfailover.kernel.links import Link
from aws_ipfailover.kernel.rules import Rule

if TYPE_CHECKING:
    from aws_ipfailover.aws.models import NetworkInterface
    from aws_ipfailover.steps import Step

log = logging.getLogger(__name__)

_ROUTER_IPV6 = "fe80:ec2::1"
_RULE_PRIORITY = 5000
_FIRST_TABLE = 1_000_000
# Seconds, or a third of the remaining time if that is less, after which another device index is tried for an attached
# ENI whose interface has not appeared.
_APPEARANCE = 30.0
# With fewer seconds left no other device index is tried.
_LAST_TRY = 2.0
# Stands in a plan for an interface that gets its name when the ENI is attached.
_UNNAMED = "NEW-INTERFACE"
# How often stop looks for an interface that is renamed meanwhile: udev renames an interface once, after it appears.
_RENAMES = 3


def table_of(network_interface_id: str) -> int:
    """The kernel's routing table for an ENI: the same on every node and at every attachment."""
    return _FIRST_TABLE + int(network_interface_id[-6:], 16)


class Attached(Protocol):
    """An ENI that is attached to this instance."""

    def described(self) -> NetworkInterface:
        """The ENI as EC2 describes it."""

    def subnet_cidrs(self) -> Sequence[Cidr]:
        """The CIDRs of its subnet, IPv4 first."""

    def mac_here(self) -> Optional[str]:
        """Its MAC address, if EC2 described it last as an interface of this instance."""

    def use_another_index(self) -> bool:
        """Attach the ENI at another device index; `False` if it stays at the present one."""


class Metadata(Protocol):
    """Finds the interface of an ENI that carries no mark."""

    def mac_of(self, network_interface_id: str, macs: Sequence[str]) -> Optional[str]:
        """The one of `macs` that is the ENI's, never the primary ENI's; `None` if that is not known in time."""


class FoundInterface:
    """The interface of `network_interface_id` if it is on this node: it can be looked for and quiesced.

    It is recognised by its mark, a link alias that `EniInterface` sets, without IMDS or EC2. Only `release` asks
    `metadata`, if no interface carries the mark. `extra`: further addresses of the interface, besides the ENI's own.
    """

    def __init__(
        self, kernel: Kernel, network_interface_id: str, extra: Sequence[Address], metadata: Optional[Metadata] = None
    ) -> None:
        self._kernel = kernel
        self._eni = network_interface_id
        self._mark = f"aws-ipfailover {network_interface_id}, addresses: "
        self._table = table_of(network_interface_id)
        self._extra = tuple(extra)
        self._metadata = metadata

    def release(self) -> None:
        """Remove the addresses and rules, set the link down, and verify that.

        The rules name the addresses also where the interface has lost its mark.

        Raises:
            Error: something is left, or that cannot be found out.
        """
        for address in self._extra:
            self._remove(address)
        self._quiesce_interface()
        for rule in self._kernel.rules.into(self._table):
            self._remove(rule.source)
            try:
                self._kernel.rules.remove(rule)
            except Error:
                if rule in self._kernel.rules.into(self._table):
                    raise

    def _quiesce_interface(self) -> None:
        for _ in range(_RENAMES):
            device = self._marked() or self._known_to_metadata()
            if device is None:
                return
            try:
                self._quiesce(device.name)
            except Error:
                if any(one.name == device.name for one in self._kernel.links.all()):
                    raise
                log.info("%s went by itself, or was renamed", device.name)
            else:
                return
        raise Error(f"the network interface of {self._eni} is renamed again and again")

    def _quiesce(self, device: str) -> None:
        for address in self._kernel.addresses.on(device):
            self._remove(address)
        self._kernel.links.set_down(device)
        left = self._kernel.addresses.on(device)
        if left:
            raise Error(f"{left[0]} is still on {device}")

    def _remove(self, address: Address) -> None:
        for found in self._kernel.addresses.find([address]):
            self._kernel.addresses.remove(found)
        self._kernel.addresses.remove_local_routes([address])

    def look(self) -> Look:
        """Whether the interface is there, up, and has its addresses and rules."""
        device = self._marked()
        try:
            missing = self._missing_of(device)
        except NodeError as error:
            missing = str(error)
        if missing and device is not None and device.name not in [one.name for one in self._kernel.links.all()]:
            missing = self._missing_of(self._marked())  # renamed or removed during the look
        return Look(Where.ELSEWHERE, missing, in_part=self._is_in_part(device)) if missing else HERE

    def _is_in_part(self, device: Optional[Link]) -> bool:
        """Whether some of several addresses are there: a probe must not call them stopped."""
        if device is None or not device.up:
            return False
        try:
            there = self._kernel.addresses.on(device.name)
        except NodeError:  # it is gone
            return False
        return 0 < sum(address in there for address in self._wanted()) < len(self._wanted())

    def _wanted(self) -> List[Address]:
        """The addresses that the interface was last configured with."""
        return [*dict.fromkeys((*(rule.source for rule in self._kernel.rules.into(self._table)), *self._extra))]

    def _missing_of(self, device: Optional[Link]) -> str:
        if device is None:
            return f"{self._eni} is no network interface of this node"
        if not device.up:
            return f"{device.name} is down"
        wanted = [rule.source for rule in self._kernel.rules.into(self._table)]
        if len(set(wanted)) < self._marked_count(device):
            return f"{device.name} has lost routing rules"
        for version in sorted({source.version for source in wanted}):
            # The kernel removes the IPv4 routes of a link that goes down, even for a moment.
            if not self._kernel.rules.has_default_route(device.name, self._table, version):
                return f"{device.name} has lost its IPv{version} routes"
        there = self._kernel.addresses.on(device.name)
        lost = [address for address in [*wanted, *self._extra] if address not in there]
        return f"{', '.join(map(str, lost))} is not on {device.name}" if lost else ""

    def _marked(self) -> Optional[Link]:
        return next((device for device in self._kernel.links.all() if device.alias.startswith(self._mark)), None)

    def _marked_count(self, device: Link) -> int:
        """The number of addresses that its mark records; 1 if it records none."""
        text = device.alias[len(self._mark) :]
        return int(text) if text.isdigit() else 1

    def _known_to_metadata(self) -> Optional[Link]:
        links = [link for link in self._kernel.links.all() if link.mac.strip("0:")]  # lo has none
        if self._metadata is None or len(links) < 2:  # only the primary ENI's: the ENI is not here
            return None
        mac = self._metadata.mac_of(self._eni, [link.mac for link in links])
        return next((link for link in links if link.mac == mac), None)


class EniInterface(FoundInterface):
    """The interface of an ENI that `attachment` attaches here: it can also be configured.

    `mtu`: in bytes, `None` to leave it as it is. Without DHCP an interface has 1500.
    """

    local = True

    def __init__(
        self,
        kernel: Kernel,
        network_interface_id: str,
        extra: Sequence[Address],
        attachment: Attached,
        mtu: Optional[int],
        deadline: Deadline,
    ) -> None:
        super().__init__(kernel, network_interface_id, extra)
        self._attachment = attachment
        self._mtu = mtu
        self._deadline = deadline

    def _known_to_metadata(self) -> Optional[Link]:
        """The interface that EC2 has told to be here; an earlier look may have found no mark on it."""
        mac = self._attachment.mac_here()
        return next((link for link in self._kernel.links.all() if link.mac == mac), None) if mac else None

    def take(self) -> None:
        """Wait for the interface, configure it (mark, link, addresses, routes, rules), and announce its addresses.

        Another program on this node may configure or rename the new interface at the same time. So the interface is
        found by its MAC address and configured again until nothing is missing.

        Raises:
            UnknownError: before the deadline no interface appeared, or something else kept removing its configuration.
        """
        poll = self._deadline.poll(first=0.02, longest=0.5)
        while True:
            lost = self._try_to_configure()
            if not lost:
                break
            log.warning("%s while it was configured; something else on this node does that", lost)
            if not poll.wait():
                raise UnknownError(lost)
        self._announce()

    def _try_to_configure(self) -> str:
        """Configure the interface; returns what is missing afterwards, empty if nothing is."""
        try:
            link = self._appeared(self._attachment.described().mac)
            self._configure(self._kernel, link)
            log.info("%s has %s", link.name, ", ".join(map(str, self._addresses())))
            return self._missing_of(self._marked())
        except NoIpv6Error:
            raise
        except NodeError as error:  # it was renamed or removed meanwhile
            return str(error)

    def _announce(self) -> None:
        link = self._marked()
        if link is not None:
            announce_all(self._addresses(), link)

    def _addresses(self) -> List[Address]:
        return list(dict.fromkeys((*self._attachment.described().addresses, *self._extra)))

    def plan(self) -> List[Step]:
        """What `take` would do once the ENI is attached; the interface is `NEW-INTERFACE` where it is not here yet."""
        from aws_ipfailover.steps import of_announcement, of_kernel

        rehearsal, mac = self._kernel.rehearsal(), self._attachment.described().mac
        new = Link(_UNNAMED, [], mac, virtual=False, alias="", up=False)
        link = next((one for one in rehearsal.links.all() if one.mac == mac), new)
        self._configure(rehearsal, link)
        return [*of_kernel(rehearsal.changes), of_announcement(self._addresses(), link.name)]

    def _configure(self, kernel: Kernel, link: Link) -> None:
        device, addresses = link.name, self._addresses()
        # First, so that after an interrupted start stop finds the interface, and a probe sees that it is incomplete.
        kernel.links.set_alias(device, f"{self._mark}{len(addresses)}")
        kernel.sysctls.configure(device)
        if self._mtu is not None and link.mtu != self._mtu:
            self._set_mtu(kernel, device, self._mtu)
        kernel.links.set_up(device)
        for address in addresses:
            for found in kernel.addresses.find([address]):
                if found.device != device:
                    kernel.addresses.remove(found)
            kernel.addresses.add(address, device, None)
        self._route(kernel, device, addresses)

    def _set_mtu(self, kernel: Kernel, device: str, mtu: int) -> None:
        try:
            kernel.links.set_mtu(device, mtu)
        except (NodeError, UnknownError):
            raise
        except Error as error:
            log.warning("%s; %s works with the one it has", error, device)

    def _appeared(self, mac: str) -> Link:
        """The interface with this MAC address; tries other device indexes if none appears.

        Raises:
            UnknownError: none appears before the deadline.
        """
        if not mac:
            raise UnknownError(f"EC2 does not tell the MAC address of {self._eni}")
        patience = min(_APPEARANCE, self._deadline.remaining() / 3)
        while True:
            for _ in self._deadline.within(patience).poll(first=0.02, longest=0.5):
                for link in self._kernel.links.all():
                    if link.mac == mac:
                        return link
            left = self._deadline.remaining()
            if left < _LAST_TRY:
                raise UnknownError(
                    f"no interface of {self._eni} has appeared on this node: stop and start the instance (EC2 shows it"
                    f" as attached, with MAC address {mac})"
                )
            # Where no other index may be chosen there is nothing to do but wait.
            patience = min(_APPEARANCE, left / 3) if self._attachment.use_another_index() else left - _LAST_TRY / 2

    def _route(self, kernel: Kernel, device: str, addresses: Sequence[Address]) -> None:
        cidrs, rules = self._attachment.subnet_cidrs(), kernel.rules
        for version in {address.version for address in addresses}:
            of_version = [cidr for cidr in cidrs if cidr.version == version]
            for cidr in of_version:
                rules.add_route(str(cidr), device, self._table, via=None, version=version)
            router = _ROUTER_IPV6
            if of_version and isinstance(of_version[0], IPv4Network):
                router = str(of_version[0].network_address + 1)
            rules.add_route("default", device, self._table, via=router, version=version)
        for rule in rules.into(self._table):
            if rule.source not in addresses:  # an address that the ENI had at an earlier start
                rules.remove(rule)
                for found in kernel.addresses.find([rule.source]):
                    if found.device == device:
                        kernel.addresses.remove(found)
        known = [rule.source for rule in rules.into(self._table)]
        for address in addresses:
            if address not in known:
                rules.add(Rule(address, self._table, _RULE_PRIORITY))
