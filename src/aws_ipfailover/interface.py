"""The moving ENI on this node: a network interface found by MAC, with its addresses and its own routing table.

Replies have to leave by the ENI whose address they carry: EC2's source check drops them elsewhere. So each address gets
a rule into a table whose default route goes through this interface; the node's own default route, its metadata and its
cluster traffic stay where they are. Facts: AWS, "Elastic network interfaces", best practices; "Subnet CIDR blocks" for
the router at the subnet's first address, and at fe80:ec2::1.
"""

from __future__ import annotations

import logging
import random
import time
from ipaddress import IPv4Network, ip_network
from typing import TYPE_CHECKING, Callable, Optional, Sequence

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import Error, NodeError, UnknownError
from aws_ipfailover.failover import Where
from aws_ipfailover.linux import Device, Linux
from aws_ipfailover.parameters import Address

if TYPE_CHECKING:
    from aws_ipfailover.ec2 import NetworkInterface

log = logging.getLogger(__name__)

_ROUTER_IPV6 = "fe80:ec2::1"
_RULE_PRIORITY = 5000
_FIRST_TABLE = 1_000_000


def table_of(network_interface_id: str) -> int:
    """The kernel's routing table for an ENI: the same on every node and at every attachment."""
    return _FIRST_TABLE + int(network_interface_id[-6:], 16)


class ServiceInterface:
    """The interface of `network_interface_id`, marked with an alias so that it is known again without asking anybody.

    `details` and `subnet_cidrs` are asked for only to take it; `by_metadata` (the MAC address that IMDS knows the ENI
    by, if it answers at once) only to release one that carries no mark.
    """

    local = True

    def __init__(
        self,
        linux: Linux,
        network_interface_id: str,
        extra: Optional[Address],
        deadline: Deadline,
        details: Callable[[], NetworkInterface],
        subnet_cidrs: Callable[[], Sequence[str]],
        by_metadata: Callable[[Sequence[str]], Optional[str]] = lambda _macs: None,
    ) -> None:
        self._linux = linux
        self._eni = network_interface_id
        self._mark = f"aws-ipfailover {network_interface_id}, addresses: "
        self._table = table_of(network_interface_id)
        self._extra = extra
        self._deadline = deadline
        self._details = details
        self._subnet_cidrs = subnet_cidrs
        self._by_metadata = by_metadata
        self._explanation = ""

    def prepare(self) -> None:
        """Nothing: the interface is there only once the ENI is attached."""

    def take(self) -> None:
        """Wait for the interface and give it everything: mark, link, addresses, routes, rules.

        Whatever else configures new interfaces on this node may do so at the same time: what it took away is given
        again, until all of it is there.
        """
        attempt = 0
        while True:
            try:
                self._configure()
            except NodeError as error:  # it went while it was configured, which says nothing about this node
                raise Error(str(error)) from None
            lost = self._missing()
            if not lost:
                return
            log.warning("%s while it was configured; something else on this node does that", lost)
            attempt = self._pause(attempt, lost)

    def _configure(self) -> None:
        details = self._details()
        device = self._appeared(details.mac)
        addresses = list(details.addresses)
        if self._extra is not None and self._extra not in addresses:
            addresses.append(self._extra)
        # Before anything else: what was begun and not finished is found again, and found incomplete.
        self._linux.mark(device.name, f"{self._mark}{len(addresses)}")
        self._linux.loosen(device.name)
        self._linux.link(device.name, up=True)
        for address in addresses:
            for found in self._linux.find(address):
                if found.device != device.name:
                    self._linux.remove(found)
            self._linux.add(address, device.name, None)
        self._route(device.name, addresses)
        log.info("%s has %s", device.name, ", ".join(map(str, addresses)))

    def release(self) -> None:
        """Take everything off again, and prove it: no address, no rule, link down.

        Raises:
            Error: something is left, or that cannot be found out.
        """
        if self._extra is not None:
            self._remove(self._extra)
        device = self._marked() or self._known_to_metadata()
        if device is not None:
            try:
                self._quiesce(device.name)
            except Error:
                if any(one.name == device.name for one in self._linux.devices()):
                    raise
                log.info("%s went by itself", device.name)
        for rule in self._linux.rules(self._table):
            try:
                self._linux.remove_rule(rule)
            except Error:
                if rule in self._linux.rules(self._table):
                    raise

    def _quiesce(self, device: str) -> None:
        for address in self._linux.addresses_on(device):
            self._remove(address)
        self._linux.link(device, up=False)
        left = self._linux.addresses_on(device)
        if left:
            raise Error(f"{left[0]} is still on {device}")

    def _remove(self, address: Address) -> None:
        for found in self._linux.find(address):
            self._linux.remove(found)
        self._linux.remove_local_routes(address)

    def where(self) -> Where:
        """Whether the interface is there, up, and has its addresses and rules."""
        self._explanation = self._missing()
        return Where.ELSEWHERE if self._explanation else Where.HERE

    def explain(self) -> str:
        """What is missing."""
        return self._explanation

    def _missing(self) -> str:
        device = self._marked()
        if device is None:
            return f"{self._eni} is no network interface of this node"
        if not device.up:
            return f"{device.name} is down"
        wanted = [rule.source for rule in self._linux.rules(self._table)]
        if len(set(wanted)) < self._marked_count(device):
            return f"{device.name} has lost routing rules"
        for version in sorted({source.version for source in wanted}):
            # The kernel takes IPv4 routes away with a link that was down for a moment.
            if not self._linux.has_default_route(device.name, self._table, version):
                return f"{device.name} has lost its IPv{version} routes"
        there = self._linux.addresses_on(device.name)
        lost = [address for address in [*wanted, *([self._extra] if self._extra else [])] if address not in there]
        return f"{', '.join(map(str, lost))} is not on {device.name}" if lost else ""

    def _marked(self) -> Optional[Device]:
        return next((device for device in self._linux.devices() if device.alias.startswith(self._mark)), None)

    def _marked_count(self, device: Device) -> int:
        """How many addresses it was given; at least one."""
        text = device.alias[len(self._mark) :]
        return int(text) if text.isdigit() else 1

    def _known_to_metadata(self) -> Optional[Device]:
        devices = [device for device in self._linux.devices() if device.mac.strip("0:")]  # lo has none
        if len(devices) < 2:  # the primary one alone: the ENI is not here
            return None
        mac = self._by_metadata([device.mac for device in devices])
        return next((device for device in devices if device.mac == mac), None)

    def _appeared(self, mac: str) -> Device:
        attempt = 0
        while True:
            for device in self._linux.devices():
                if device.mac == mac:
                    return device
            attempt = self._pause(attempt, f"{self._eni} is attached, but no network interface with {mac} has appeared")

    def _pause(self, attempt: int, waited_for: str) -> int:
        pause = min(0.5, 0.02 * 1.5**attempt) * random.uniform(0.7, 1.0)  # noqa: S311  jitter, no secret
        if self._deadline.remaining() <= pause:
            raise UnknownError(waited_for)
        time.sleep(pause)
        return attempt + 1

    def _route(self, device: str, addresses: Sequence[Address]) -> None:
        cidrs = [ip_network(text) for text in self._subnet_cidrs()]
        for version in {address.version for address in addresses}:
            of_version = [cidr for cidr in cidrs if cidr.version == version]
            for cidr in of_version:
                self._linux.route(str(cidr), device, self._table, via=None, version=version)
            router = _ROUTER_IPV6
            if of_version and isinstance(of_version[0], IPv4Network):
                router = str(of_version[0].network_address + 1)
            self._linux.route("default", device, self._table, via=router, version=version)
        for rule in self._linux.rules(self._table):
            if rule.source not in addresses:  # one that the ENI had at an earlier start
                self._linux.remove_rule(rule)
                for found in self._linux.find(rule.source):
                    if found.device == device:
                        self._linux.remove(found)
        known = [rule.source for rule in self._linux.rules(self._table)]
        for address in addresses:
            if address not in known:
                self._linux.add_rule(address, self._table, _RULE_PRIORITY)
