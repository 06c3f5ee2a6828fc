"""The kernel's addresses and interfaces: the only module that runs `ip`.

Everything is read as JSON and compared as values; every command names its device with `dev`, so that an interface
called like one of ip's keywords is still an interface.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, List, Mapping, NamedTuple, Optional, Tuple, Union

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import DeniedError, Error, MissingError, NodeError, UnknownError
from aws_ipfailover.parameters import Address

IPNetwork = Union[IPv4Network, IPv6Network]
log = logging.getLogger(__name__)

# Where iproute2 is looked for when the caller has no PATH at all.
_DEFAULT_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# Rules and routes of this protocol systemd-networkd never removes as foreign ones: networkd.conf(5),
# ManageForeignRoutingPolicyRules= and ManageForeignRoutes=, both on unless set otherwise.
_NOT_FOREIGN = ("protocol", "kernel")


class LocalAddress(NamedTuple):
    """An address as the kernel has it."""

    address: Address
    prefix_length: int
    device: str
    label: Optional[str]
    peer: Optional[str] = None  # the far end of a point-to-point address, which `prefix_length` is of then


class Device(NamedTuple):
    """A network interface; `mac` is lower case, `alias` the description it was given; both can be empty.

    `virtual`: made by software on this node (lo, a bridge, a dummy, a veth), so that it need not be an ENI's.
    """

    name: str
    altnames: List[str]
    mac: str
    virtual: bool
    alias: str
    up: bool


class Rule(NamedTuple):
    """A routing rule that sends what carries the source address `source` to `table`."""

    source: Address
    table: int
    priority: int


def ip_path() -> str:
    """The `ip` command of iproute2.

    Raises:
        MissingError: it is not in PATH.
    """
    for folder in os.environ.get("PATH", _DEFAULT_PATH).split(os.pathsep):
        path = os.path.join(folder or ".", "ip")
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise MissingError("the ip command (package iproute2) is not installed, or not in PATH")


class Linux:
    """The network namespace that this process is in."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def find(self, address: Address) -> List[LocalAddress]:
        """Every place where `address` is configured, on whatever device, with whatever prefix and label.

        Raises:
            UnknownError: the kernel's addresses cannot be read.
        """
        try:
            listed = self._json("address", "show")
        except MissingError:
            if _cannot_be_bound(address):
                return []
            raise
        return [found for found in _addresses(listed) if found.address == address]

    def devices(self) -> List[Device]:
        """All network interfaces."""
        return [
            Device(
                link["ifname"],
                list(link.get("altnames", ())),
                str(link.get("address", "")).lower(),
                link.get("link_type") == "loopback" or "info_kind" in link.get("linkinfo", {}),
                str(link.get("ifalias", "")),
                "UP" in link.get("flags", ()),
            )
            for link in self._json("-details", "link", "show")
            if "ifname" in link
        ]

    def add(self, address: Address, device: str, label: Optional[str], prefix_length: Optional[int] = None) -> None:
        """Put `address` on `device`, as a host address (/32 or /128) unless a prefix length is given.

        IPv6: without duplicate address detection, which would keep it unusable for a second and compares nothing in
        a VPC; and never preferred as a source address, so that the node's own connections keep their own address.

        Raises:
            NodeError: no such device.  DeniedError: not root.  Error: the kernel refused.
        """
        options = ["nodad", "preferred_lft", "0"] if address.version == 6 else []
        if label and address.version == 4:
            options += ["label", f"{device}:{label}"]
        self._run("address", "replace", f"{address}/{prefix_length or address.max_prefixlen}", "dev", device, *options)
        log.info("added %s to %s", address, device)

    def remove(self, found: LocalAddress) -> None:
        """Remove an address exactly as it was found; one that is gone meanwhile counts as removed.

        The kernel removes an IPv4 address's secondaries with it (net.ipv4.conf.*.promote_secondaries=0); those are
        somebody else's addresses, and put back. Nothing else that vanishes at the same time is: that is another
        resource's own stop.
        """
        before = self._secondaries(found)
        try:
            named = [str(found.address), "peer", found.peer] if found.peer else [str(found.address)]
            named[-1] += f"/{found.prefix_length}"
            self._run("address", "del", *named, "dev", found.device)
        except Error as error:
            if not _says_gone(error):
                raise
            log.info("%s/%d on %s: gone already", found.address, found.prefix_length, found.device)
            return
        log.info("removed %s/%d from %s", found.address, found.prefix_length, found.device)
        if not before:
            return
        kept = self._secondaries(found)
        for lost in before:
            if lost not in kept:
                label = ["label", lost.label] if lost.label else []
                self._run(
                    "address", "replace", f"{lost.address}/{lost.prefix_length}", "brd", "+", "dev", lost.device, *label
                )

    def _secondaries(self, found: LocalAddress) -> List[LocalAddress]:
        """What the kernel counts, or would count, as secondary addresses of `found`: same device, subnet and prefix."""
        if found.address.version == 6 or found.prefix_length == found.address.max_prefixlen:
            return []
        return [
            one
            for one in _addresses(self._json("address", "show", "dev", found.device))
            if one.address != found.address and _subnet(one) == _subnet(found)
        ]

    def remove_local_routes(self, address: Address) -> None:
        """Remove what is left in the local table for `address`: the kernel answers on it as long as it stands there.

        Raises:
            Error: one is there and cannot be removed.
        """
        family = "-6" if address.version == 6 else "-4"
        destination = f"{address}/{address.max_prefixlen}"
        try:
            routes = self._json(family, "route", "show", "table", "local", "exact", destination)
        except Error as error:
            if "table does not exist" in str(error):  # a namespace that never had an address
                return
            log.warning("looking for local routes of %s: %s", address, error)
            return
        for route in routes:
            if route.get("type") == "local" and route.get("dev"):
                self._run(family, "route", "del", "local", destination, "dev", route["dev"], "table", "local")
                log.info("removed the local route of %s on %s", address, route["dev"])

    def addresses_on(self, device: str) -> List[Address]:
        """The addresses of an interface, without link-local ones."""
        listed = _addresses(self._json("address", "show", "dev", device))
        return [found.address for found in listed if not found.address.is_link_local]

    def mark(self, device: str, alias: str) -> None:
        """Describe an interface; the mark goes with the interface."""
        self._run("link", "set", "dev", device, "alias", alias)

    def link(self, device: str, *, up: bool) -> None:
        """Set an interface up or down."""
        self._run("link", "set", "dev", device, "up" if up else "down")

    def loosen(self, device: str) -> None:
        """Let an interface be one of two in a subnet: loose reverse path filter, ARP only for its own addresses.

        And none that is configured by the router's advertisements: they would bring a second default route.
        """
        for path, value in (
            (f"ipv4/conf/{device}/rp_filter", "2"),
            (f"ipv4/conf/{device}/arp_ignore", "1"),
            (f"ipv4/conf/{device}/arp_announce", "2"),
            (f"ipv6/conf/{device}/accept_ra", "0"),
        ):
            try:
                with open(f"/proc/sys/net/{path}", "w", encoding="ascii") as file:
                    file.write(value)
            except FileNotFoundError:
                if path.startswith("ipv4/"):
                    raise NodeError(f"there is no network interface {device} any more") from None
                # The kernel was started without IPv6.
            except OSError as error:
                raise Error(f"writing /proc/sys/net/{path}: {error.strerror}") from None

    def route(self, destination: str, device: str, table: int, *, via: Optional[str], version: int) -> None:
        """Make a route in a table of our own."""
        gateway = ["via", via, "onlink"] if via else []
        where = ["dev", device, "table", str(table), *_NOT_FOREIGN]
        self._run(f"-{version}", "route", "replace", destination, *gateway, *where)

    def has_default_route(self, device: str, table: int, version: int) -> bool:
        """Whether a table of our own has its default route through `device`."""
        try:
            routes = self._json(f"-{version}", "route", "show", "table", str(table), "default")
        except Error as error:
            if "table does not exist" in str(error):
                return False
            raise
        return any(route.get("dev") == device for route in routes)

    def rules(self, table: int) -> List[Rule]:
        """The rules into a table, IPv4 and IPv6."""
        found = []
        for family in ("-4", "-6"):
            for rule in self._json(family, "rule", "show"):
                try:
                    if int(rule.get("table", 0)) == table:
                        found.append(Rule(ip_address(rule["src"]), table, int(rule["priority"])))
                except (KeyError, ValueError):
                    continue  # a rule of somebody else, by a table's name or without a source
        return found

    def add_rule(self, source: Address, table: int, priority: int) -> None:
        """Send what carries this source address to a table."""
        family = f"-{source.version}"
        where = ["table", str(table), "priority", str(priority), *_NOT_FOREIGN]
        self._run(family, "rule", "add", "from", str(source), *where)

    def remove_rule(self, rule: Rule) -> None:
        """Remove one rule."""
        family = f"-{rule.source.version}"
        self._run(
            *(family, "rule", "del", "from", str(rule.source), "table", str(rule.table)),
            *("priority", str(rule.priority)),
        )

    def _json(self, *arguments: str) -> List[Mapping[str, Any]]:
        output = self._run("-json", *arguments)
        try:
            listed = json.loads(output or "[]")
        except ValueError:
            listed = None
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise UnknownError(f"ip {' '.join(arguments)}: its output is not a list in JSON")
        return listed

    def _run(self, *arguments: str) -> str:
        command = [ip_path(), *arguments]
        shown = "ip " + " ".join(argument for argument in arguments if argument != "-json")
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self._deadline.remaining(),
                check=False,
                env={**os.environ, "LC_ALL": "C"},
            )
        except subprocess.TimeoutExpired:
            raise UnknownError(f"{shown}: not finished before the operation's timeout") from None
        except OSError as error:
            raise UnknownError(f"{shown}: {error.strerror}") from None
        if done.returncode == 0:
            return done.stdout.decode("utf-8", "replace")
        said = " ".join(done.stderr.decode("utf-8", "replace").split()).rstrip(".")
        raise _refused(shown, said)


def _refused(shown: str, said: str) -> Error:
    lower = said.lower()
    if "not permitted" in lower or "permission denied" in lower:
        return DeniedError(f"{shown}: {said}; root is needed")
    if "cannot find device" in lower or "does not exist" in lower:
        return NodeError(f"{shown}: {said}")
    return Error(f"{shown}: {said or 'failed'}")


def _says_gone(error: Error) -> bool:
    """Whether `ip address del` failed because there is nothing to delete: neither the address nor its device."""
    said = str(error).lower()
    return isinstance(error, NodeError) or "cannot assign requested address" in said or "address not found" in said


def _subnet(one: LocalAddress) -> Tuple[str, IPNetwork]:
    return one.device, ip_network(f"{one.address}/{one.prefix_length}", strict=False)


def _addresses(listed: List[Mapping[str, Any]]) -> List[LocalAddress]:
    """The addresses in what `ip address show` says.

    Raises:
        UnknownError: it is not of the expected shape. Every namespace has an interface: none at all is no answer.
    """
    found = []
    try:
        for link in filter(None, listed):  # iproute2 prints {} for what it passes over
            for info in link["addr_info"]:
                # A peer address is shown as "address", the node's own one always as "local".
                if "local" in info:
                    found.append(
                        LocalAddress(
                            ip_address(info["local"]),
                            int(info["prefixlen"]),
                            str(link["ifname"]),
                            info.get("label"),
                            info.get("address"),
                        )
                    )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnknownError(f"ip address show: an interface is not described as expected ({error!r})") from None
    if not any(listed):
        raise UnknownError("ip address show: it shows no interface at all")
    return found


def _cannot_be_bound(address: Address) -> bool:
    """Whether the kernel itself says that `address` is not local: evidence where there is no `ip` to ask.

    Only a "no" counts. A bind can succeed without the address, under ip_nonlocal_bind.
    """
    import socket

    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError as error:
            return error.errno == errno.EADDRNOTAVAIL
    return False
