"""announcements against a real kernel: what a neighbour that remembers another MAC address makes of them."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Iterator, List, Tuple

import pytest

from aws_ipfailover.errors import Error
from aws_ipfailover.kernel.announcements import COPIES, announce, gratuitous_arp, neighbour_advertisement
from sandbox import ip, need_root, network_namespace
from vpc_lab.waiting import eventually

OLD, MAC = "02:00:00:00:00:99", "06:00:00:00:00:01"
IPV4, IPV6 = "10.0.1.60", "2001:db8:1000:1::60"
ETH_P_ALL = 3


class Neighbour:
    """Another machine on the link of this namespace's `near`: a namespace of its own with the other end, `far`."""

    def __init__(self, namespace: str) -> None:
        self._inside = ["nsenter", f"--net={namespace}"]

    def ip(self, *arguments: str) -> str:
        """Run `ip` there; what it printed."""
        return subprocess.run([*self._inside, "ip", *arguments], check=True, capture_output=True, text=True).stdout

    def remember(self, address: str, mac: str) -> None:
        """Let it have an entry for an address, as one that it has talked to a while ago."""
        self.ip("neighbour", "replace", address, "lladdr", mac, "dev", "far", "nud", "stale")

    def knows(self, address: str) -> str:
        """The MAC address that it has for an address; empty where it has none."""
        words = self.ip("neighbour", "show", "to", address, "dev", "far").split()
        return words[words.index("lladdr") + 1] if "lladdr" in words else ""


@pytest.fixture
def neighbour() -> Iterator[Neighbour]:
    """Two namespaces joined by a link; the test is in the one that has `near`, up, with the address that moved here."""
    need_root()
    with network_namespace():
        there = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            with network_namespace():
                path = f"/proc/{os.getpid()}/fd/{there}"
                ip("link", "add", "name", "near", "address", MAC, "type", "veth", "peer", "name", "far", "netns", path)
                other = Neighbour(path)
                other.ip("address", "add", "10.0.1.2/24", "dev", "far")
                other.ip("address", "add", "2001:db8:1000:1::2/64", "dev", "far", "nodad")
                other.ip("link", "set", "dev", "far", "up")
                ip("link", "set", "dev", "near", "up")
                ip("address", "add", f"{IPV4}/32", "dev", "near")
                ip("-6", "address", "add", f"{IPV6}/128", "dev", "near", "nodad")
                eventually("the link is up", lambda: ip("link", "show", "dev", "near")[0]["operstate"] == "UP")
                yield other
        finally:
            os.close(there)


@contextmanager
def captured() -> Iterator[socket.socket]:
    """All frames that leave by `near`."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as tap:
        tap.bind(("near", ETH_P_ALL))
        tap.settimeout(20)
        yield tap


def wait_for(tap: socket.socket, frame: bytes, times: int = 1) -> None:
    """Wait until a frame has gone out so many times."""
    while times:
        times -= tap.recv(2048) == frame


@pytest.mark.parametrize("address", [IPV4, IPV6])
def test_a_neighbour_learns_where_the_address_is_now(neighbour: Neighbour, address: str) -> None:
    """A neighbour with an entry for the previous holder has this interface's MAC address after the announcement."""
    neighbour.remember(address, OLD)
    assert neighbour.knows(address) == OLD
    announce(ip_address(address), "near")
    eventually(f"the neighbour has {MAC} for {address}", lambda: neighbour.knows(address) == MAC)


@pytest.mark.parametrize("address", [IPV4, IPV6])
def test_the_mac_address_that_is_given(neighbour: Neighbour, address: str) -> None:
    """`mac` is what is announced, where it is given."""
    neighbour.remember(address, OLD)
    announce(ip_address(address), "near", "06:00:00:00:00:02")
    eventually("the neighbour has the MAC address given", lambda: neighbour.knows(address) == "06:00:00:00:00:02")


@pytest.mark.parametrize("reply", [False, True])
def test_request_and_reply_each_do_by_themselves(neighbour: Neighbour, reply: bool) -> None:
    """Linux learns from the ARP request alone and from the reply alone."""
    neighbour.remember(IPV4, OLD)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as link:
        link.bind(("near", 0))
        link.send(gratuitous_arp(MAC, IPv4Address(IPV4), reply=reply))
    eventually("the neighbour has learnt it", lambda: neighbour.knows(IPV4) == MAC)


KERNEL: List[Tuple[str, bytes]] = [
    ("ipv4/conf/near/arp_notify", gratuitous_arp(MAC, IPv4Address(IPV4))),
    ("ipv6/conf/near/ndisc_notify", neighbour_advertisement(MAC, IPv6Address(IPV6))),
]


@pytest.mark.parametrize(("sysctl", "frame"), KERNEL, ids=["arp", "ndisc"])
def test_the_frames_are_the_kernels(neighbour: Neighbour, sysctl: str, frame: bytes) -> None:
    """Octet by octet what the kernel itself sends under arp_notify and ndisc_notify."""
    Path("/proc/sys/net", sysctl).write_text("1")
    with captured() as tap:
        # Another MAC address and back: the kernel announces every address of the interface.
        for mac in ("06:00:00:00:00:77", MAC):
            ip("link", "set", "dev", "near", "address", mac)
        wait_for(tap, frame)


def test_several_times(neighbour: Neighbour) -> None:
    """Each frame goes out COPIES times, ARP as a request and as a reply."""
    with captured() as tap:
        announce(ip_address(IPV4), "near")
        for _ in range(COPIES):
            wait_for(tap, gratuitous_arp(MAC, IPv4Address(IPV4)))
            wait_for(tap, gratuitous_arp(MAC, IPv4Address(IPV4), reply=True))
        announce(ip_address(IPV6), "near")
        wait_for(tap, neighbour_advertisement(MAC, IPv6Address(IPV6)), COPIES)


@pytest.mark.parametrize("address", [IPV4, IPV6])
def test_what_cannot_be_announced(neighbour: Neighbour, address: str) -> None:
    """Error, naming address and interface: one that is gone, is down, or is not Ethernet; a MAC that is none."""
    ip("link", "set", "dev", "lo", "up")
    with pytest.raises(Error, match=f"announcing {address} on lo: it is not an Ethernet interface"):
        announce(ip_address(address), "lo")
    with pytest.raises(Error, match=f"announcing {address} on eth7: No such device"):
        announce(ip_address(address), "eth7")
    with pytest.raises(Error, match=f"announcing {address} on near: .*hexadecimal"):
        announce(ip_address(address), "near", "nonsense")
    ip("link", "set", "dev", "near", "down")
    with pytest.raises(Error, match=f"announcing {address} on near: Network is down"):
        announce(ip_address(address), "near")
