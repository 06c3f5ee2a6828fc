"""Who this node is: the interface that gets the address, and its ENI. Asked once, and only when needed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Callable, List, Optional

from aws_ipfailover.errors import NodeError, UnknownError
from aws_ipfailover.linux import Device, Linux

if TYPE_CHECKING:
    from aws_ipfailover.imds import Imds

log = logging.getLogger(__name__)


class ThisNode:
    """The instance this runs on; `interface` is the one that was configured, if any."""

    def __init__(self, linux: Linux, imds: Callable[[], Imds], interface: Optional[str]) -> None:
        self._linux = linux
        self._imds = imds
        self._interface = interface
        self._device: Optional[Device] = None
        self._network_interface_id = ""
        self._eni_mac = ""

    def device(self) -> str:
        """The name of the interface that gets the address.

        Raises:
            NodeError: no interface of that name, or none with the primary ENI's MAC.  UnknownError: IMDS is silent.
        """
        return self._found().name

    def mac(self) -> str:
        """The MAC address of that interface; empty where it has none."""
        return self._found().mac

    def subnet_cidrs(self) -> List[str]:
        """The CIDRs of the subnet that the interface's ENI is in."""
        self.network_interface_id()
        return self._imds().subnet_cidrs(self._eni_mac)

    def network_interface_id(self) -> str:
        """The ENI that routes have to point to: that of the interface with the address, found by MAC.

        An interface that is no ENI's own (lo, a dummy, a bridge with a MAC of its own) gets its traffic through the
        primary ENI: the kernel accepts an address of its own on any interface.
        """
        if not self._network_interface_id:
            device = self._found()
            mac = device.mac
            found = self._imds().network_interface_id(mac) if mac else None
            if found is None and device.virtual:
                mac = self._imds().primary_mac()
                found = self._imds().network_interface_id(mac)
                log.info("%s is no ENI's own interface: its traffic comes through the primary one", device.name)
            if found is None:
                raise UnknownError(f"IMDS does not know (yet) the network interface of {device.name} ({mac})")
            self._network_interface_id, self._eni_mac = found, mac
        return self._network_interface_id

    def _found(self) -> Device:
        if self._device is None:
            self._device = self._named(self._interface) if self._interface else self._primary()
        return self._device

    def _named(self, name: str) -> Device:
        for device in self._linux.devices():
            if name == device.name or name in device.altnames:
                return device
        raise NodeError(f"parameter interface: this node has no network interface '{name}'")

    def _primary(self) -> Device:
        mac = self._imds().primary_mac()
        for device in self._linux.devices():
            if device.mac == mac:
                return device
        raise NodeError(f"no network interface here has the primary ENI's MAC address {mac}; set parameter interface")
