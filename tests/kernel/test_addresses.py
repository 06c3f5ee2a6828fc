"""linux.py against a real kernel, in a fresh network namespace."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Iterator, List

import pytest
from aws_ipfailover.linux import Linux, LocalAddress, ip_path

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import DeniedError, Error, MissingError, NodeError, UnknownError
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
def linux() -> Linux:
    """The kernel of this namespace."""
    return Linux(Deadline(20))


def listed() -> List[str]:
    """Every address here, as text."""
    return [f"{one.device} {one.address}" for one in addresses()]


def promote(value: int) -> None:
    """Whether the kernel makes a secondary address primary when its primary is removed; the namespace's own setting."""
    for device in ("all", "eth0"):
        # /proc/sys/net shows the namespace of the one who opens it.
        Path(f"/proc/sys/net/ipv4/conf/{device}/promote_secondaries").write_text(str(value))


def test_find_nothing(linux: Linux) -> None:
    """An address that is nowhere is found nowhere."""
    assert linux.find(ADDRESS) == []


def test_add_and_find(linux: Linux) -> None:
    """An address is added as a host address, and found with device, prefix and label."""
    linux.add(ADDRESS, "eth0", None)
    assert linux.find(ADDRESS) == [LocalAddress(ADDRESS, 32, "eth0", "eth0")]
    assert answers_on(str(ADDRESS))


def test_add_twice(linux: Linux) -> None:
    """Adding what is there is no error, and adds nothing."""
    linux.add(ADDRESS, "eth0", None)
    linux.add(ADDRESS, "eth0", None)
    assert len(linux.find(ADDRESS)) == 1


def test_add_with_a_label(linux: Linux) -> None:
    """A label of 15 characters in all is set."""
    linux.add(ADDRESS, "eth0", "a" * 10)
    assert linux.find(ADDRESS) == [LocalAddress(ADDRESS, 32, "eth0", "eth0:" + "a" * 10)]


def test_add_to_a_device_that_is_not_there(linux: Linux) -> None:
    """NodeError, naming the device."""
    with pytest.raises(NodeError, match="eth7"):
        linux.add(ADDRESS, "eth7", None)


def test_add_to_a_link_that_is_down(linux: Linux) -> None:
    """The link's state does not matter."""
    ip("link", "set", "dev", "eth0", "down")
    linux.add(ADDRESS, "eth0", None)
    linux.add(ADDRESS6, "eth0", None)
    assert len(linux.find(ADDRESS)) == len(linux.find(ADDRESS6)) == 1


def test_ipv6(linux: Linux) -> None:
    """IPv6: without duplicate address detection, usable at once, and deprecated so that it is no source address."""
    linux.add(ADDRESS6, "eth0", "ignored")
    shown = [info for link in ip("address", "show", "dev", "eth0") for info in link["addr_info"]]
    (info,) = [info for info in shown if info["local"] == str(ADDRESS6)]
    assert (info["prefixlen"], info.get("nodad"), info["preferred_life_time"]) == (128, True, 0)
    assert answers_on(str(ADDRESS6))
    linux.remove(linux.find(ADDRESS6)[0])
    assert not answers_on(str(ADDRESS6))


@pytest.mark.parametrize("text", ["192.168.10.1", "192.168.10.100", "92.168.10.10", "fd00:10::1", "fd00:10::100"])
def test_similar_addresses(linux: Linux, text: str) -> None:
    """Addresses are compared as values, never as text."""
    ip("address", "add", f"{text}/{128 if ':' in text else 32}", "dev", "eth0")
    assert linux.find(ADDRESS) == linux.find(ADDRESS6) == []


def test_two_at_once(linux: Linux) -> None:
    """Two addresses on one device are two things; one is removed, the other stays."""
    other = ip_address("192.168.10.20")
    linux.add(ADDRESS, "eth0", None)
    linux.add(other, "eth0", None)
    linux.remove(linux.find(ADDRESS)[0])
    assert linux.find(ADDRESS) == []
    assert len(linux.find(other)) == 1


def test_every_place_is_found(linux: Linux) -> None:
    """One address on several devices, with several prefixes, is found everywhere."""
    make_interface("eth1")
    for prefix, device in ((32, "eth0"), (24, "eth0"), (16, "eth1"), (32, "lo")):
        ip("address", "add", f"{ADDRESS}/{prefix}", "dev", device)
    found = linux.find(ADDRESS)
    assert {(one.device, one.prefix_length) for one in found} == {("eth0", 32), ("eth0", 24), ("eth1", 16), ("lo", 32)}
    for one in found:
        linux.remove(one)
    assert linux.find(ADDRESS) == []
    assert not answers_on(str(ADDRESS))


def test_a_peer_address_is_not_ours(linux: Linux) -> None:
    """The far end of a point-to-point link is no address of this node; the near end is."""
    ip("address", "add", "10.9.9.1", "peer", f"{ADDRESS}/32", "dev", "eth0")
    assert linux.find(ADDRESS) == []
    assert len(linux.find(ip_address("10.9.9.1"))) == 1


def test_the_near_end_of_a_peer(linux: Linux) -> None:
    """An address with a peer is removed like any other."""
    ip("address", "add", str(ADDRESS), "peer", "10.9.9.1/32", "dev", "eth0")
    for one in linux.find(ADDRESS):
        linux.remove(one)
    assert not answers_on(str(ADDRESS))


@pytest.mark.parametrize("promoting", [0, 1])
def test_secondaries_survive(linux: Linux, promoting: int) -> None:
    """Others' addresses that are secondaries of the one removed survive, with label and prefix, whatever the sysctl."""
    promote(promoting)
    ip("address", "add", f"{ADDRESS}/24", "dev", "eth0")
    ip("address", "add", "192.168.10.77/24", "dev", "eth0")
    ip("address", "add", "192.168.10.78/24", "dev", "eth0", "label", "eth0:mine")
    ip("address", "add", "192.168.20.1/24", "dev", "eth0")
    before = addresses()
    linux.remove(linux.find(ADDRESS)[0])
    assert addresses() == [one for one in before if one.address != f"{ADDRESS}/24"]


def test_as_a_secondary_itself(linux: Linux) -> None:
    """An address that is a secondary one is removed, its primary stays."""
    ip("address", "add", "192.168.10.77/24", "dev", "eth0")
    ip("address", "add", f"{ADDRESS}/24", "dev", "eth0")
    linux.remove(linux.find(ADDRESS)[0])
    assert listed() == ["eth0 192.168.10.77/24"]


def test_what_others_remove_meanwhile_stays_removed(linux: Linux, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that somebody else removes at the same moment is not put back: it may be on another node by then."""
    linux.add(ADDRESS, "eth0", None)
    ip("address", "add", "192.168.10.20/32", "dev", "eth0")
    ip("address", "add", "192.168.30.30/24", "dev", "eth0")
    real = Linux._run

    def run(self: Linux, *arguments: str) -> str:
        answer = real(self, *arguments)
        if arguments[:2] == ("address", "del"):
            ip("address", "del", "192.168.10.20/32", "dev", "eth0")
            ip("address", "del", "192.168.30.30/24", "dev", "eth0")
        return answer

    monkeypatch.setattr(Linux, "_run", run)
    linux.remove(linux.find(ADDRESS)[0])
    assert addresses() == []


def test_removing_what_is_gone(linux: Linux) -> None:
    """An address that is gone meanwhile counts as removed; so does one whose device is gone."""
    linux.add(ADDRESS, "eth0", None)
    (found,) = linux.find(ADDRESS)
    ip("address", "del", f"{ADDRESS}/32", "dev", "eth0")
    linux.remove(found)
    linux.add(ADDRESS, "eth0", None)
    ip("link", "del", "dev", "eth0")
    linux.remove(found)


@pytest.mark.parametrize("name", ["dev", "label", "up", "secondary", "to", "scope", "help", "eth0.100", "x" * 15])
def test_devices_with_odd_names(linux: Linux, name: str) -> None:
    """A device with the name of one of ip's keywords is a device."""
    make_interface(name)
    linux.add(ADDRESS, name, None)
    (found,) = linux.find(ADDRESS)
    assert found.device == name
    linux.remove(found)
    assert linux.find(ADDRESS) == []


def test_altnames(linux: Linux) -> None:
    """Devices are listed with their alternative names and MAC addresses; an altname is as good as the name."""
    ip("link", "property", "add", "dev", "eth0", "altname", "enp0s5", "altname", "a-name-longer-than-fifteen")
    (device,) = [one for one in linux.devices() if one.name == "eth0"]
    assert device.altnames == ["enp0s5", "a-name-longer-than-fifteen"]
    assert device.mac == "02:00:00:00:00:01"
    linux.add(ADDRESS, "enp0s5", None)
    assert [one.device for one in linux.find(ADDRESS)] == ["eth0"]


def test_a_leftover_local_route(linux: Linux) -> None:
    """The kernel answers on an address that only the local table has; afterwards it does not. Others' routes stay."""
    for text in (str(ADDRESS), "192.168.10.11"):
        ip("route", "add", "local", f"{text}/32", "dev", "lo", "table", "local")
    ip("-6", "route", "add", "local", f"{ADDRESS6}/128", "dev", "lo", "table", "local")
    assert linux.find(ADDRESS) == []
    linux.remove_local_routes(ADDRESS)
    linux.remove_local_routes(ADDRESS6)
    assert not answers_on(str(ADDRESS))
    assert not answers_on(str(ADDRESS6))
    assert answers_on("192.168.10.11")


def test_a_namespace_without_any_address() -> None:
    """Where there is no address, no link is up and no local table exists, nothing is found and nothing fails."""
    with network_namespace():
        linux = Linux(Deadline(20))
        assert linux.find(ADDRESS) == linux.find(ADDRESS6) == []
        linux.remove_local_routes(ADDRESS)
        linux.remove_local_routes(ADDRESS6)
        assert [one.name for one in linux.devices()] == ["lo"]


def test_no_ip_in_path(linux: Linux, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without `ip`: MissingError; but "not here" where the kernel itself refuses to bind to the address."""
    linux.add(ADDRESS, "eth0", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="iproute2"):
        linux.find(ADDRESS)
    assert linux.find(ip_address("192.168.10.11")) == []
    with pytest.raises(MissingError):
        linux.add(ADDRESS, "eth0", None)


def test_bind_is_no_evidence_for_an_address(linux: Linux, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With ip_nonlocal_bind any address can be bound: without `ip` nothing is known then, and nothing claimed."""
    Path("/proc/sys/net/ipv4/ip_nonlocal_bind").write_text("1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError):
        linux.find(ADDRESS)


def test_no_path_at_all(linux: Linux, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PATH in the environment, `ip` is found where it usually is."""
    monkeypatch.delenv("PATH")
    assert os.path.isabs(ip_path())
    assert linux.find(ADDRESS) == []


def test_no_power(linux: Linux, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the right to change addresses: DeniedError."""
    shim = tmp_path / "ip"
    shim.write_text('#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin exec unshare --user ip "$@"\n')
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeniedError, match="root is needed"):
        linux.add(ADDRESS, "eth0", None)
    assert linux.find(ADDRESS) == []


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ("echo nonsense", UnknownError),
        ("echo '[{'", UnknownError),
        ("exit 3", Error),
        ("kill -9 $$", Error),
        ("exec sleep 30", UnknownError),
    ],
)
def test_a_broken_ip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, kind: type) -> None:
    """An `ip` that does not work is an error, never "not here"."""
    shim = tmp_path / "ip"
    shim.write_text(f"#!/bin/sh\n{script}\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(kind):
        Linux(Deadline(0.5)).find(ADDRESS)


def test_the_locale_does_not_matter(linux: Linux, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages are read in the C locale, whatever the administrator's is."""
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")
    with pytest.raises(NodeError):
        linux.add(ADDRESS, "eth7", None)
