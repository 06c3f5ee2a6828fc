"""kernel/links.py against a real kernel, in a fresh network namespace."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Iterator

import pytest

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import NodeError
from aws_ipfailover.kernel.kernel import Kernel
from sandbox import ip, make_interface, need_root, network_namespace


@pytest.fixture(autouse=True)
def namespace() -> Iterator[None]:
    """A fresh namespace with lo up and eth0."""
    need_root()
    with network_namespace():
        ip("link", "set", "dev", "lo", "up")
        make_interface("eth0", "02:00:00:00:00:01")
        yield


@pytest.fixture
def kernel() -> Kernel:
    """The kernel of this namespace."""
    return Kernel(Deadline(20))


def test_altnames(kernel: Kernel) -> None:
    """Devices are listed with their alternative names and MAC addresses; an altname is as good as the name."""
    ip("link", "property", "add", "dev", "eth0", "altname", "enp0s5", "altname", "a-name-longer-than-fifteen")
    (device,) = [one for one in kernel.links.all() if one.name == "eth0"]
    assert device.altnames == ["enp0s5", "a-name-longer-than-fifteen"]
    assert device.mac == "02:00:00:00:00:01"
    kernel.addresses.add(ip_address("192.168.10.10"), "enp0s5", None)
    assert [one.device for one in kernel.addresses.find([ip_address("192.168.10.10")])] == ["eth0"]


def test_made_by_software_or_not(kernel: Kernel) -> None:
    """lo and a bridge are virtual: they need not be an ENI's own interface."""
    ip("link", "add", "name", "br0", "type", "bridge")
    assert {link.name for link in kernel.links.all() if link.virtual} >= {"lo", "br0"}


def test_up_and_down(kernel: Kernel) -> None:
    """The administrative state, as it is set and as it is read."""
    for change, up in ((kernel.links.set_up, True), (kernel.links.set_down, False)):
        change("eth0")
        assert [link.up for link in kernel.links.all() if link.name == "eth0"] == [up]


def test_an_alias(kernel: Kernel) -> None:
    """Words with blanks, read as they were set; empty where none was."""
    assert [link.alias for link in kernel.links.all() if link.name == "eth0"] == [""]
    kernel.links.set_alias("eth0", "aws-ipfailover eni-1, addresses: 2")
    assert [link.alias for link in kernel.links.all() if link.name == "eth0"] == ["aws-ipfailover eni-1, addresses: 2"]


def test_a_link_that_is_not_there(kernel: Kernel) -> None:
    """NodeError, naming it."""
    with pytest.raises(NodeError, match="eth7"):
        kernel.links.set_up("eth7")


def test_a_namespace_with_nothing_in_it() -> None:
    """There is always lo."""
    with network_namespace():
        assert [link.name for link in Kernel(Deadline(20)).links.all()] == ["lo"]


def test_the_largest_packet(kernel: Kernel) -> None:
    """The MTU, in bytes, as it is set and as it is read."""
    assert [link.mtu for link in kernel.links.all() if link.name == "eth0"] == [1500]
    kernel.links.set_mtu("eth0", 1400)
    assert [link.mtu for link in kernel.links.all() if link.name == "eth0"] == [1400]
