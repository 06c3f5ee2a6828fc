"""Network interfaces as the kernel has them."""

from __future__ import annotations

from typing import List, NamedTuple

from aws_ipfailover.kernel.command import Ip


class Link(NamedTuple):
    """A network interface; `mac` is lower case, `alias` the description it was given; both can be empty.

    `virtual`: made by software on this node (lo, a bridge, a dummy, a veth), so that it may belong to no ENI.
    `up`: its administrative state. `mtu` in bytes.
    """

    name: str
    altnames: List[str]
    mac: str
    virtual: bool
    alias: str
    up: bool
    mtu: int = 1500


class Links:
    """The interfaces of this network namespace."""

    def __init__(self, ip: Ip) -> None:
        self._ip = ip

    def all(self) -> List[Link]:
        """All network interfaces.

        Raises:
            UnknownError: they cannot be read.
        """
        return [
            Link(
                link["ifname"],
                list(link.get("altnames", ())),
                str(link.get("address", "")).lower(),
                link.get("link_type") == "loopback" or "info_kind" in link.get("linkinfo", {}),
                str(link.get("ifalias", "")),
                "UP" in link.get("flags", ()),
                int(link.get("mtu", 1500)),
            )
            for link in self._ip.json("-details", "link", "show")
            if "ifname" in link
        ]

    def set_alias(self, device: str, alias: str) -> None:
        """Set the alias of an interface; it is lost when the interface is removed."""
        self._ip.run("link", "set", "dev", device, "alias", alias)

    def set_mtu(self, device: str, mtu: int) -> None:
        """Set the MTU of an interface, in bytes."""
        self._ip.run("link", "set", "dev", device, "mtu", str(mtu))

    def set_up(self, device: str) -> None:
        """Set an interface up."""
        self._ip.run("link", "set", "dev", device, "up")

    def set_down(self, device: str) -> None:
        """Set an interface down."""
        self._ip.run("link", "set", "dev", device, "down")
