"""IP addresses as the kernel has them, compared as values."""

from __future__ import annotations

import errno
import logging
from ipaddress import ip_address, ip_network
from typing import Any, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from aws_ipfailover.address import Address, Cidr
from aws_ipfailover.changes import changes
from aws_ipfailover.errors import Error, MissingError, NodeError, UnknownError
from aws_ipfailover.kernel.command import Ip

log = logging.getLogger(__name__)


class KernelAddress(NamedTuple):
    """An address as the kernel has it.

    `link_up`: whether its device is administratively up. `dynamic`: it has a limited lifetime, as those of DHCP have.
    `secondary`: another address of the same subnet was there first.
    """

    address: Address
    prefix_length: int
    device: str
    label: Optional[str]
    link_up: bool
    peer: Optional[str] = None  # the far end of a point-to-point address; `prefix_length` is then the peer's
    dynamic: bool = False
    secondary: bool = False


class Addresses:
    """The addresses of this network namespace."""

    def __init__(self, ip: Ip) -> None:
        self._ip = ip

    def find(self, addresses: Sequence[Address]) -> List[KernelAddress]:
        """Every place where `addresses` are configured, on whatever device, with whatever prefix and label.

        Raises:
            UnknownError: the kernel's addresses cannot be read.
        """
        try:
            listed = self._ip.json("address", "show")
        except MissingError:
            if all(_cannot_be_bound(address) for address in addresses):
                return []
            raise
        wanted = set(addresses)
        return [found for found in _addresses(listed) if found.address in wanted]

    def has_gateway(self, found: KernelAddress) -> bool:
        """Whether the kernel reaches a gateway, of a route in any table, through the network of this address.

        A gateway that is also in a narrower network of the same device is reached through that one.

        Raises:
            UnknownError: the kernel's routes cannot be read.
        """
        device, network = _subnet(found)
        listed = _addresses(self._ip.json("address", "show", "dev", device))
        narrower = [one for one in (_subnet(other)[1] for other in listed) if _is_narrower(one, network)]
        routes = self._ip.json(f"-{found.address.version}", "route", "show", "table", "all")
        try:
            hops = [hop for route in routes for hop in (route, *route.get("nexthops", ())) if hop.get("dev") == device]
            gateways = [ip_address(hop["gateway"]) for hop in hops if "gateway" in hop]
        except (ValueError, TypeError, AttributeError) as error:
            raise UnknownError(f"ip route show: a route is not described as expected ({error!r})") from None
        return any(one in network and not any(one in other for other in narrower) for one in gateways)

    def add(self, address: Address, device: str, label: Optional[str], prefix_length: Optional[int] = None) -> None:
        """Put `address` on `device`, as a host address (/32 or /128) unless a prefix length is given.

        IPv6: without duplicate address detection, which would delay its use by a second and finds no duplicates in
        a VPC; and never preferred as a source address, so that the node's own connections keep their own address.

        Raises:
            NodeError: no such device.  DeniedError: not root.  Error: the kernel refused.
        """
        options = ["nodad", "preferred_lft", "0"] if address.version == 6 else []
        if label and address.version == 4:
            options += ["label", f"{device}:{label}"]
        self._ip.run(
            "address", "replace", f"{address}/{prefix_length or address.max_prefixlen}", "dev", device, *options
        )
        log.info("added %s to %s", address, device)
        changes.address_added(address, device)

    def remove(self, found: KernelAddress) -> None:
        """Remove an address exactly as it was found; one that is gone meanwhile counts as removed.

        The kernel removes an IPv4 address's secondaries with it (net.ipv4.conf.*.promote_secondaries=0). They belong to
        others, so they are added again. Other addresses that disappear at the same time are not: another resource's
        stop removes them.
        """
        before = self._secondaries(found)
        try:
            named = [str(found.address), "peer", found.peer] if found.peer else [str(found.address)]
            named[-1] += f"/{found.prefix_length}"
            self._ip.run("address", "del", *named, "dev", found.device)
        except Error as error:
            if not _says_gone(error):
                raise
            log.info("%s/%d on %s: gone already", found.address, found.prefix_length, found.device)
            return
        log.info("removed %s/%d from %s", found.address, found.prefix_length, found.device)
        changes.address_removed(found.address, found.device)
        if not before:
            return
        kept = self._secondaries(found)
        for lost in before:
            if lost not in kept:
                label = ["label", lost.label] if lost.label else []
                self._ip.run(
                    "address", "replace", f"{lost.address}/{lost.prefix_length}", "brd", "+", "dev", lost.device, *label
                )

    def _secondaries(self, found: KernelAddress) -> List[KernelAddress]:
        """What the kernel counts, or would count, as secondary addresses of `found`: same device, subnet and prefix."""
        if found.address.version == 6 or found.prefix_length == found.address.max_prefixlen:
            return []
        return [
            one
            for one in _addresses(self._ip.json("address", "show", "dev", found.device))
            if one.address != found.address and _subnet(one) == _subnet(found)
        ]

    def remove_local_routes(self, addresses: Sequence[Address]) -> None:
        """Remove routes for `addresses` that are left in the local table: the kernel answers on one while it has one.

        Raises:
            Error: such a route cannot be removed.
        """
        for version in sorted({address.version for address in addresses}):
            family, of_version = f"-{version}", [address for address in addresses if address.version == version]
            for destination, device in self._local_routes(family, of_version):
                self._ip.run(family, "route", "del", "local", destination, "dev", device, "table", "local")
                log.info("removed the local route of %s on %s", destination, device)

    def _local_routes(self, family: str, addresses: Sequence[Address]) -> List[Tuple[str, str]]:
        """The routes of type local for exactly these addresses: destination and device of each."""
        wanted = {str(address): f"{address}/{address.max_prefixlen}" for address in addresses}
        exact = ["exact", *wanted.values()] if len(addresses) == 1 else []
        try:
            routes = self._ip.json(family, "route", "show", "table", "local", *exact)
        except Error as error:
            if "table does not exist" not in str(error):  # else a namespace that never had an address
                log.warning("looking for local routes of %s: %s", ", ".join(wanted), error)
            return []
        return [
            (wanted[route["dst"]], route["dev"])
            for route in routes
            if route.get("type") == "local" and route.get("dev") and route.get("dst") in wanted
        ]

    def on(self, device: str) -> List[Address]:
        """The addresses of an interface, without link-local ones."""
        listed = _addresses(self._ip.json("address", "show", "dev", device))
        return [found.address for found in listed if not found.address.is_link_local]


def _says_gone(error: Error) -> bool:
    """Whether `ip address del` failed because there is nothing to delete: neither the address nor its device."""
    said = str(error).lower()
    return isinstance(error, NodeError) or "cannot assign requested address" in said or "address not found" in said


def _subnet(one: KernelAddress) -> Tuple[str, Cidr]:
    return one.device, ip_network(f"{one.address}/{one.prefix_length}", strict=False)


def _is_narrower(one: Cidr, network: Cidr) -> bool:
    return one.version == network.version and one.prefixlen > network.prefixlen


def _addresses(listed: List[Mapping[str, Any]]) -> List[KernelAddress]:
    """The addresses in what `ip address show` says.

    Raises:
        UnknownError: it is not of the expected shape, or shows no interface, although every namespace has one.
    """
    found = []
    try:
        for link in filter(None, listed):  # iproute2 prints {} for an entry that it filters out
            for info in link["addr_info"]:
                # A peer address is shown as "address", the node's own one always as "local".
                if "local" in info:
                    found.append(
                        KernelAddress(
                            ip_address(info["local"]),
                            int(info["prefixlen"]),
                            str(link["ifname"]),
                            info.get("label"),
                            "UP" in link.get("flags", ()),
                            info.get("address"),
                            dynamic=info.get("dynamic") is True,
                            secondary=info.get("secondary") is True,
                        )
                    )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnknownError(f"ip address show: an interface is not described as expected ({error!r})") from None
    if not any(listed):
        raise UnknownError("ip address show: it shows no interface at all")
    return found


def _cannot_be_bound(address: Address) -> bool:
    """Whether the kernel itself says that `address` is not local: evidence without the `ip` command.

    Only `True` is evidence: with ip_nonlocal_bind a bind succeeds without the address.
    """
    import socket

    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError as error:
            return error.errno == errno.EADDRNOTAVAIL
    return False
