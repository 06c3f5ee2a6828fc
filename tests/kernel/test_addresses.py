"""kernel/addresses.py against a real kernel, in a fresh network namespace."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Iterator, List

import pytest

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import MissingError, NodeError, UnknownError
from aws_ipfailover.kernel.addresses import Addresses, KernelAddress
from aws_ipfailover.kernel.command import Ip
from sandbox import addresses, answers_on, ip, make_interface, need_root, network_namespace

ADDRESS = ip_address("192.168.10.10")
ADDRESS6 = ip_address("fd00:10::10")


@pytest.fixture(autouse=True)
def namespace() -> Iterator[None]:
    """A fresh namespace with lo up and eth0."""
    need_root()
    with network_namespace():
        ip("link", "set", "dev", "lo", "up")
        make_interface("eth0", "02:00:00:00:00:01")
        yield


@pytest.fixture
def kernel() -> Addresses:
    """The addresses of this namespace."""
    return Addresses(Ip(Deadline(20)))


def listed() -> List[str]:
    """Every address here, as text."""
    return [f"{one.device} {one.address}" for one in addresses()]


def promote(value: int) -> None:
    """Whether the kernel makes a secondary address primary when its primary is removed; the namespace's own setting."""
    for device in ("all", "eth0"):
        # /proc/sys/net shows the namespace of the one who opens it.
        Path(f"/proc/sys/net/ipv4/conf/{device}/promote_secondaries").write_text(str(value))


def test_find_nothing(kernel: Addresses) -> None:
    """An address that is nowhere is found nowhere."""
    assert kernel.find([ADDRESS]) == []


def test_add_and_find(kernel: Addresses) -> None:
    """An address is added as a host address, and found with device, prefix and label."""
    kernel.add(ADDRESS, "eth0", None)
    assert kernel.find([ADDRESS]) == [KernelAddress(ADDRESS, 32, "eth0", "eth0", link_up=True)]
    assert answers_on(str(ADDRESS))


def test_add_twice(kernel: Addresses) -> None:
    """Adding what is there is no error, and adds nothing."""
    kernel.add(ADDRESS, "eth0", None)
    kernel.add(ADDRESS, "eth0", None)
    assert len(kernel.find([ADDRESS])) == 1


def test_add_with_a_label(kernel: Addresses) -> None:
    """A label of 15 characters in all is set."""
    kernel.add(ADDRESS, "eth0", "a" * 10)
    assert kernel.find([ADDRESS]) == [KernelAddress(ADDRESS, 32, "eth0", "eth0:" + "a" * 10, link_up=True)]


def test_add_to_a_device_that_is_not_there(kernel: Addresses) -> None:
    """NodeError, naming the device."""
    with pytest.raises(NodeError, match="eth7"):
        kernel.add(ADDRESS, "eth7", None)


def test_add_to_a_link_that_is_down(kernel: Addresses) -> None:
    """It is added and found all the same; what is found says whether its link is up."""
    ip("link", "set", "dev", "eth0", "down")
    kernel.add(ADDRESS, "eth0", None)
    kernel.add(ADDRESS6, "eth0", None)
    assert [one.link_up for address in (ADDRESS, ADDRESS6) for one in kernel.find([address])] == [False, False]
    ip("link", "set", "dev", "eth0", "up")
    assert [one.link_up for address in (ADDRESS, ADDRESS6) for one in kernel.find([address])] == [True, True]


def test_ipv6(kernel: Addresses) -> None:
    """IPv6: without duplicate address detection, usable at once, and deprecated so that it is no source address."""
    kernel.add(ADDRESS6, "eth0", "ignored")
    shown = [info for link in ip("address", "show", "dev", "eth0") for info in link["addr_info"]]
    (info,) = [info for info in shown if info["local"] == str(ADDRESS6)]
    assert (info["prefixlen"], info.get("nodad"), info["preferred_life_time"]) == (128, True, 0)
    assert answers_on(str(ADDRESS6))
    kernel.remove(kernel.find([ADDRESS6])[0])
    assert not answers_on(str(ADDRESS6))


@pytest.mark.parametrize("text", ["192.168.10.1", "192.168.10.100", "92.168.10.10", "fd00:10::1", "fd00:10::100"])
def test_similar_addresses(kernel: Addresses, text: str) -> None:
    """Addresses are compared as values, never as text."""
    ip("address", "add", f"{text}/{128 if ':' in text else 32}", "dev", "eth0")
    assert kernel.find([ADDRESS]) == kernel.find([ADDRESS6]) == []


def test_two_at_once(kernel: Addresses) -> None:
    """Two addresses on one device are two things; one is removed, the other stays."""
    other = ip_address("192.168.10.20")
    kernel.add(ADDRESS, "eth0", None)
    kernel.add(other, "eth0", None)
    kernel.remove(kernel.find([ADDRESS])[0])
    assert kernel.find([ADDRESS]) == []
    assert len(kernel.find([other])) == 1


def test_every_place_is_found(kernel: Addresses) -> None:
    """One address on several devices, with several prefixes, is found everywhere."""
    make_interface("eth1")
    for prefix, device in ((32, "eth0"), (24, "eth0"), (16, "eth1"), (32, "lo")):
        ip("address", "add", f"{ADDRESS}/{prefix}", "dev", device)
    found = kernel.find([ADDRESS])
    assert {(one.device, one.prefix_length) for one in found} == {("eth0", 32), ("eth0", 24), ("eth1", 16), ("lo", 32)}
    for one in found:
        kernel.remove(one)
    assert kernel.find([ADDRESS]) == []
    assert not answers_on(str(ADDRESS))


def test_a_peer_address_is_not_ours(kernel: Addresses) -> None:
    """The far end of a point-to-point link is no address of this node; the near end is."""
    ip("address", "add", "10.9.9.1", "peer", f"{ADDRESS}/32", "dev", "eth0")
    assert kernel.find([ADDRESS]) == []
    assert len(kernel.find([ip_address("10.9.9.1")])) == 1


def test_the_near_end_of_a_peer(kernel: Addresses) -> None:
    """An address with a peer is removed like any other."""
    ip("address", "add", str(ADDRESS), "peer", "10.9.9.1/32", "dev", "eth0")
    for one in kernel.find([ADDRESS]):
        kernel.remove(one)
    assert not answers_on(str(ADDRESS))


@pytest.mark.parametrize("promoting", [0, 1])
def test_secondaries_survive(kernel: Addresses, promoting: int) -> None:
    """Others' addresses that are secondaries of the one removed survive, with label and prefix, whatever the sysctl."""
    promote(promoting)
    ip("address", "add", f"{ADDRESS}/24", "dev", "eth0")
    ip("address", "add", "192.168.10.77/24", "dev", "eth0")
    ip("address", "add", "192.168.10.78/24", "dev", "eth0", "label", "eth0:mine")
    ip("address", "add", "192.168.20.1/24", "dev", "eth0")
    before = addresses()
    kernel.remove(kernel.find([ADDRESS])[0])
    assert addresses() == [one for one in before if one.address != f"{ADDRESS}/24"]


def test_as_a_secondary_itself(kernel: Addresses) -> None:
    """An address that is a secondary one is removed, its primary stays."""
    ip("address", "add", "192.168.10.77/24", "dev", "eth0")
    ip("address", "add", f"{ADDRESS}/24", "dev", "eth0")
    kernel.remove(kernel.find([ADDRESS])[0])
    assert listed() == ["eth0 192.168.10.77/24"]


def test_what_others_remove_meanwhile_stays_removed(kernel: Addresses, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that somebody else removes at the same moment is not put back: it may be on another node by then."""
    kernel.add(ADDRESS, "eth0", None)
    ip("address", "add", "192.168.10.20/32", "dev", "eth0")
    ip("address", "add", "192.168.30.30/24", "dev", "eth0")
    real = Ip.run

    def run(self: Ip, *arguments: str) -> str:
        answer = real(self, *arguments)
        if arguments[:2] == ("address", "del"):
            ip("address", "del", "192.168.10.20/32", "dev", "eth0")
            ip("address", "del", "192.168.30.30/24", "dev", "eth0")
        return answer

    monkeypatch.setattr(Ip, "run", run)
    kernel.remove(kernel.find([ADDRESS])[0])
    assert addresses() == []


def test_removing_what_is_gone(kernel: Addresses) -> None:
    """An address that is gone meanwhile counts as removed; so does one whose device is gone."""
    kernel.add(ADDRESS, "eth0", None)
    (found,) = kernel.find([ADDRESS])
    ip("address", "del", f"{ADDRESS}/32", "dev", "eth0")
    kernel.remove(found)
    kernel.add(ADDRESS, "eth0", None)
    ip("link", "del", "dev", "eth0")
    kernel.remove(found)


@pytest.mark.parametrize("name", ["dev", "label", "up", "secondary", "to", "scope", "help", "eth0.100", "x" * 15])
def test_devices_with_odd_names(kernel: Addresses, name: str) -> None:
    """A device with the name of one of ip's keywords is a device."""
    make_interface(name)
    kernel.add(ADDRESS, name, None)
    (found,) = kernel.find([ADDRESS])
    assert found.device == name
    kernel.remove(found)
    assert kernel.find([ADDRESS]) == []


def test_a_leftover_local_route(kernel: Addresses) -> None:
    """The kernel answers on an address that only the local table has; afterwards it does not. Others' routes stay."""
    for text in (str(ADDRESS), "192.168.10.11"):
        ip("route", "add", "local", f"{text}/32", "dev", "lo", "table", "local")
    ip("-6", "route", "add", "local", f"{ADDRESS6}/128", "dev", "lo", "table", "local")
    assert kernel.find([ADDRESS]) == []
    kernel.remove_local_routes([ADDRESS])
    kernel.remove_local_routes([ADDRESS6])
    assert not answers_on(str(ADDRESS))
    assert not answers_on(str(ADDRESS6))
    assert answers_on("192.168.10.11")


def test_a_namespace_without_any_address() -> None:
    """Where there is no address, no link is up and no local table exists, nothing is found and nothing fails."""
    with network_namespace():
        kernel = Addresses(Ip(Deadline(20)))
        assert kernel.find([ADDRESS]) == kernel.find([ADDRESS6]) == []
        kernel.remove_local_routes([ADDRESS])
        kernel.remove_local_routes([ADDRESS6])


def test_no_ip_in_path(kernel: Addresses, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without `ip`: MissingError; but "not here" where the kernel itself refuses to bind to the address."""
    kernel.add(ADDRESS, "eth0", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="iproute2"):
        kernel.find([ADDRESS])
    assert kernel.find([ip_address("192.168.10.11")]) == []
    with pytest.raises(MissingError):
        kernel.add(ADDRESS, "eth0", None)


def test_bind_is_no_evidence_for_an_address(kernel: Addresses, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With ip_nonlocal_bind any address can be bound: without `ip` nothing is known then, and nothing claimed."""
    Path("/proc/sys/net/ipv4/ip_nonlocal_bind").write_text("1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError):
        kernel.find([ADDRESS])


def test_what_is_on_one_interface(kernel: Addresses) -> None:
    """The addresses of an interface in both families, without link-local ones, and without another interface's."""
    make_interface("eth1")
    ip("link", "set", "dev", "eth0", "up")
    ip("address", "add", "fe80::9/64", "dev", "eth0", "nodad")
    kernel.add(ADDRESS, "eth0", None)
    kernel.add(ADDRESS6, "eth0", None)
    kernel.add(ip_address("192.168.10.20"), "eth1", None)
    assert kernel.on("eth0") == [ADDRESS, ADDRESS6]


@pytest.mark.parametrize(
    "shown", ["[]", "[{}]", '[{"ifname": "eth0"}]', '[{"ifname": "eth0", "addr_info": [{"local": 1}]}]']
)
def test_an_answer_of_another_shape_is_unknown(
    kernel: Addresses, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shown: str
) -> None:
    """Every namespace has an interface: an answer without any is none, and never "not here"."""
    shim = tmp_path / "ip"
    shim.write_text(f"#!/bin/sh\necho '{shown}'\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(UnknownError):
        kernel.find([ADDRESS])
