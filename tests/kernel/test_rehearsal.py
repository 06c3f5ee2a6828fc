"""kernel/rehearsal.py: the kernel is read and never changed; each command knows whether it would change anything."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Iterator, List, Tuple

import pytest

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.kernel.kernel import Kernel
from aws_ipfailover.kernel.rehearsal import Rehearsal
from aws_ipfailover.kernel.rules import Rule
from sandbox import addresses, ip, make_interface, need_commands, need_root, network_namespace

TABLE = 1_000_001


@pytest.fixture
def namespace() -> Iterator[None]:
    """A network namespace with eth0, which is up and has 10.0.0.1/24."""
    need_root()
    need_commands("ip")
    with network_namespace():
        make_interface("eth0")
        ip("address", "add", "10.0.0.1/24", "dev", "eth0")
        yield


def everything(kernel: Kernel, device: str) -> None:
    """Each command that changes the kernel."""
    kernel.links.set_alias(device, "marked")
    kernel.links.set_mtu(device, 1400)
    kernel.links.set_up(device)
    kernel.addresses.add(ip_address("10.0.0.9"), device, None)
    kernel.addresses.add(ip_address("2001:db8::9"), device, None)
    kernel.rules.add_route("10.0.0.0/24", device, TABLE, via=None, version=4)
    kernel.rules.add_route("default", device, TABLE, via="10.0.0.254", version=4)
    kernel.sysctls.configure(device)


def state() -> Tuple[object, ...]:
    """What the kernel has."""
    return addresses(), ip("link", "show"), ip("rule", "show"), ip("route", "show", "table", "all")


def test_nothing_is_changed(namespace: None) -> None:
    """All of it is needed, and kept in the order in which it was asked for."""
    before = state()
    rehearsal = Kernel(Deadline(20)).rehearsal()
    everything(rehearsal, "eth0")
    rehearsal.rules.add(Rule(ip_address("10.0.0.9"), TABLE, 5000))
    (found,) = rehearsal.addresses.find([ip_address("10.0.0.1")])
    rehearsal.addresses.remove(found)
    assert state() == before
    commands = [" ".join(one.command) for one in rehearsal.changes]
    assert commands[0] == "ip link set dev eth0 alias marked"
    assert commands[3] == "ip address replace 10.0.0.9/32 dev eth0"
    assert commands[-1] == "ip address del 10.0.0.1/24 dev eth0"
    assert needed(rehearsal, "up") == [False]
    assert all(one.needed for one in rehearsal.changes if one.command[-1] != "up")


def needed(rehearsal: Rehearsal, last: str) -> List[object]:
    """Whether the commands with this last word are needed."""
    return [one.needed for one in rehearsal.changes if one.command[-1] == last]


def test_what_is_so_already(namespace: None) -> None:
    """After the same commands have been given nothing of them is needed."""
    everything(Kernel(Deadline(20)), "eth0")
    rehearsal = Rehearsal(Deadline(20))
    everything(rehearsal, "eth0")
    assert [one.needed for one in rehearsal.changes] == [False] * len(rehearsal.changes)


def test_a_device_that_is_not_there_yet(namespace: None) -> None:
    """All of it is needed."""
    rehearsal = Rehearsal(Deadline(20))
    everything(rehearsal, "NEW-INTERFACE")
    assert {one.needed for one in rehearsal.changes} == {True}
    assert len(rehearsal.changes) == 11
