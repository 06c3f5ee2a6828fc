"""holdings/eni_interface.py against a real kernel: the moving ENI's NIC, in a fresh network namespace."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Callable, Iterator, List, Optional, Sequence, Tuple

import pytest

from aws_ipfailover.address import Address, Cidr
from aws_ipfailover.aws.models import NetworkInterface
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import Error, UnknownError
from aws_ipfailover.failover import HERE, Where
from aws_ipfailover.holdings import announcement
from aws_ipfailover.holdings.eni_interface import EniInterface, FoundInterface, table_of
from aws_ipfailover.kernel.addresses import Addresses
from aws_ipfailover.kernel.announcements import gratuitous_arp, neighbour_advertisement
from aws_ipfailover.kernel.command import Ip
from aws_ipfailover.kernel.kernel import Kernel
from aws_ipfailover.kernel.links import Links
from aws_ipfailover.kernel.rules import Rules
from sandbox import addresses, ip, make_interface, need_root, network_namespace

ENI, MAC = "eni-0123456789abcdef0", "06:00:00:00:00:01"
SECOND, SECOND_MAC = "eni-0123456789abcdef1", "06:00:00:00:00:02"
IPV4, IPV6 = "10.0.3.60", "2001:db8:1000:3::60"
CIDRS = [ip_network("10.0.3.0/24"), ip_network("2001:db8:1000:3::/64")]


@pytest.fixture(autouse=True)
def namespace() -> Iterator[None]:
    """A fresh namespace with lo up, and eth0 with the node's own address and default route."""
    need_root()
    with network_namespace():
        ip("link", "set", "dev", "lo", "up")
        make_interface("eth0", "02:00:00:00:00:01")
        ip("address", "add", "10.0.1.11/24", "dev", "eth0")
        ip("route", "add", "default", "via", "10.0.1.1")
        yield


def plug(name: str = "ens6", mac: str = MAC) -> None:
    """A NIC appears, as a hot-plugged one does: down, with nothing but its MAC address."""
    ip("link", "add", "name", name, "address", mac, "type", "veth", "peer", "name", f"far-{name}")
    ip("link", "set", "dev", f"far-{name}", "up")


class Attached:
    """An ENI that EC2 has attached here."""

    def __init__(self, eni: str, mac: str, *addresses: str, at_another_index: Optional[Callable[[], None]]) -> None:
        held = tuple(ip_address(text) for text in addresses)
        self._described = NetworkInterface(eni, "vpc-1", True, "subnet-1", "eu-central-1a", mac, held, None)
        self._at_another_index = at_another_index

    def described(self) -> NetworkInterface:
        return self._described

    def subnet_cidrs(self) -> Sequence[Cidr]:
        return CIDRS

    def mac_here(self) -> Optional[str]:
        return None

    def use_another_index(self) -> bool:
        if self._at_another_index is None:
            return False
        self._at_another_index()
        return True


class Clock:
    """A clock that only a pause moves: a test waits for nothing, and a deadline does not depend on the machine."""

    def __init__(self) -> None:
        self.now = 0.0

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def deadline(self, seconds: float) -> Deadline:
        """A deadline on this clock."""
        return Deadline(seconds, lambda: self.now, self._sleep)


class KernelOf(Kernel):
    """The kernel of this namespace, whose commands go through `ip`."""

    def __init__(self, ip: Ip) -> None:
        super().__init__(Deadline(20))
        self.addresses, self.links, self.rules = Addresses(ip), Links(ip), Rules(ip)


def service(
    *texts: str,
    eni: str = ENI,
    mac: str = MAC,
    extra: Optional[str] = None,
    commands: Optional[Ip] = None,
    mtu: Optional[int] = None,
    seconds: float = 20.0,
    at_another_index: Optional[Callable[[], None]] = None,
) -> EniInterface:
    """The holding, on a clock of its own; `texts` are the ENI's addresses.

    `at_another_index` happens when it is attached at another device index.
    """
    deadline = Clock().deadline(seconds)
    attached = Attached(eni, mac, *(texts or (IPV4, IPV6)), at_another_index=at_another_index)
    more = [ip_address(extra)] if extra else []
    return EniInterface(KernelOf(commands or Ip(Deadline(20))), eni, more, attached, mtu, deadline)


def sources(eni: str = ENI) -> List[str]:
    """Source addresses with a rule into the ENI's table."""
    found = [*ip("-4", "rule", "show"), *ip("-6", "rule", "show")]
    return sorted(rule["src"] for rule in found if rule["table"] == str(table_of(eni)))


def on(device: str) -> List[str]:
    """The addresses of a device."""
    return [one.address for one in addresses() if one.device == device]


def test_take(namespace: None) -> None:
    """Mark, link, addresses, sysctls, rules and routes; what the node had stays as it was."""
    plug()
    before = ip("route", "show")
    service().take()
    (link,) = ip("link", "show", "dev", "ens6")
    assert link["ifalias"].startswith(f"aws-ipfailover {ENI}")
    assert "UP" in link["flags"]
    assert on("ens6") == [f"{IPV4}/32", f"{IPV6}/128"]
    assert sources() == [IPV4, IPV6]
    assert ip("route", "show") == before
    for key, value in (("rp_filter", "2"), ("arp_ignore", "1"), ("arp_announce", "2")):
        assert Path(f"/proc/sys/net/ipv4/conf/ens6/{key}").read_text().strip() == value
        assert Path(f"/proc/sys/net/ipv4/conf/eth0/{key}").read_text().strip() == "0"
    assert Path("/proc/sys/net/ipv6/conf/ens6/accept_ra").read_text().strip() == "0"
    assert ip("route", "get", "8.8.8.8", "from", IPV4)[0]["gateway"] == "10.0.3.1"
    assert ip("route", "get", "8.8.8.8")[0]["dev"] == "eth0"
    assert service().look() == HERE


def test_take_twice(namespace: None) -> None:
    """Taking it again adds nothing: no second rule, no second address."""
    plug()
    for _ in range(2):
        service().take()
    assert sources() == [IPV4, IPV6]
    assert on("ens6") == [f"{IPV4}/32", f"{IPV6}/128"]


def test_where_nothing_is(namespace: None) -> None:
    """A NIC without the mark is not it: MAC addresses are EC2's to know."""
    holding = service()
    assert holding.look().where is Where.ELSEWHERE
    plug()
    found = holding.look()
    assert found.where is Where.ELSEWHERE
    assert ENI in found.why


def test_another_name(namespace: None) -> None:
    """Attached again under another name: what is left of the first time is no hindrance."""
    plug("ens6")
    service().take()
    ip("link", "del", "dev", "ens6")
    assert service().look().where is Where.ELSEWHERE
    plug("enp0s9")
    service().take()
    assert service().look() == HERE
    assert sources() == [IPV4, IPV6]
    assert ip("route", "get", "8.8.8.8", "from", IPV4)[0]["dev"] == "enp0s9"


def test_no_nic(namespace: None) -> None:
    """No NIC with the MAC address before the deadline: UnknownError with that address."""
    with pytest.raises(UnknownError, match=MAC):
        service(seconds=0.5).take()


def test_release(namespace: None) -> None:
    """Nothing is left: no address, no rule, link down; a second time is no error. eth0 stays."""
    plug()
    service(extra="192.168.10.10").take()
    for _ in range(2):
        service(extra="192.168.10.10").release()
        assert on("ens6") == sources() == []
        assert "UP" not in ip("link", "show", "dev", "ens6")[0]["flags"]
        assert on("eth0") == ["10.0.1.11/24"]
    assert service().look().where is Where.ELSEWHERE


def test_release_after_the_nic_vanished(namespace: None) -> None:
    """The NIC is gone, its rules are not: they go."""
    plug()
    service().take()
    ip("link", "del", "dev", "ens6")
    assert sources() == [IPV4, IPV6]
    service().release()
    assert sources() == []


class ByMetadata:
    """Metadata that knows the ENI of one MAC address."""

    def __init__(self, known: Optional[str]) -> None:
        self.known = known

    def mac_of(self, network_interface_id: str, macs: Sequence[str]) -> Optional[str]:
        return next((mac for mac in macs if mac == self.known and network_interface_id == ENI), None)


def test_release_by_metadata(namespace: None) -> None:
    """An interface without the mark is released where the metadata names it, and only then."""
    plug()
    ip("link", "set", "dev", "ens6", "up")
    ip("address", "add", f"{IPV4}/24", "dev", "ens6")
    kernel = Kernel(Deadline(20))
    for metadata in (None, ByMetadata(None)):
        FoundInterface(kernel, ENI, (), metadata).release()
        assert on("ens6") == [f"{IPV4}/24"]
    FoundInterface(kernel, ENI, (), ByMetadata(MAC)).release()
    assert on("ens6") == []
    assert "UP" not in ip("link", "show", "dev", "ens6")[0]["flags"]


def test_what_stop_uses_needs_no_ec2(namespace: None) -> None:
    """FoundInterface: found by its mark, and quiesced, by the ENI's id alone."""
    plug()
    service().take()
    found = FoundInterface(Kernel(Deadline(20)), ENI, ())
    assert found.look() == HERE
    found.release()
    assert found.look().where is Where.ELSEWHERE
    assert on("ens6") == sources() == []


def test_the_extra_address_elsewhere(namespace: None) -> None:
    """The extra address is taken from other interfaces at take, and released wherever it is."""
    plug()
    ip("address", "add", "192.168.10.10/24", "dev", "eth0")
    service(extra="192.168.10.10").take()
    assert on("eth0") == ["10.0.1.11/24"]
    ip("address", "add", "192.168.10.10/24", "dev", "eth0")
    service(extra="192.168.10.10").release()
    assert on("eth0") == ["10.0.1.11/24"]


def test_two_interfaces(namespace: None) -> None:
    """Two moving ENIs on one node have tables of their own; releasing one leaves the other."""
    plug()
    plug("ens7", SECOND_MAC)
    first, second = service(), service("10.0.3.70", eni=SECOND, mac=SECOND_MAC)
    first.take()
    second.take()
    assert table_of(ENI) != table_of(SECOND)
    first.release()
    assert first.look().where is Where.ELSEWHERE
    assert second.look() == HERE
    assert sources(SECOND) == ["10.0.3.70"]


def test_rules_of_others(namespace: None) -> None:
    """Rules into other tables, by number or by name, are somebody else's."""
    ip("rule", "add", "from", IPV4, "table", "77", "priority", "100")
    ip("rule", "add", "from", "10.9.0.0/16", "table", "main", "priority", "101")
    plug()
    service().take()
    service().release()
    assert {rule["priority"] for rule in ip("rule", "show")} >= {100, 101}


class Vanishing(Ip):
    """A kernel whose NIC is unplugged right before a certain command."""

    def __init__(self, before: str) -> None:
        super().__init__(Deadline(20))
        self._before = before

    def run(self, *arguments: str) -> str:
        if self._before in " ".join(arguments):
            self._before = "never again"
            ip("link", "del", "dev", "ens6")
        return super().run(*arguments)


@pytest.mark.parametrize("lost", [IPV4, IPV6])
def test_one_rule_of_two(namespace: None, lost: str) -> None:
    """One rule is missing: ELSEWHERE, although the rest is as it should be; taking it again brings it back."""
    plug()
    service().take()
    ip("-6" if ":" in lost else "-4", "rule", "del", "from", lost, "table", str(table_of(ENI)))
    assert service().look().where is Where.ELSEWHERE
    service().take()
    assert service().look() == HERE


class Failing(Ip):
    """A kernel that refuses a certain command."""

    def __init__(self, what: str) -> None:
        super().__init__(Deadline(20))
        self._what = what

    def run(self, *arguments: str) -> str:
        if self._what in " ".join(arguments):
            raise Error("refused")
        return super().run(*arguments)


HALVES = ["link set dev ens6 up", f"address replace {IPV4}", f"address replace {IPV6}", "route replace", "rule add"]


@pytest.mark.parametrize("step", HALVES)
def test_half_way(namespace: None, step: str) -> None:
    """Whatever step it stopped at, it is ELSEWHERE, found again, and released."""
    plug()
    with pytest.raises(Error, match="refused"):
        service(commands=Failing(step)).take()
    assert service().look().where is Where.ELSEWHERE
    service().release()
    assert on("ens6") == sources() == []
    assert "UP" not in ip("link", "show", "dev", "ens6")[0]["flags"]


STEPS = ["link set dev ens6 alias", "link set dev ens6 up", f"address replace {IPV4}", "route replace default"]


@pytest.mark.parametrize("step", STEPS)
def test_unplugged_while_it_is_taken(namespace: None, step: str) -> None:
    """A NIC that goes meanwhile, for good, says nothing about this node: UnknownError; release cleans up."""
    plug()
    with pytest.raises(UnknownError):
        service(commands=Vanishing(step), seconds=0.6).take()
    service().release()
    assert sources() == []


@pytest.mark.parametrize(
    "step",
    ["address show dev ens6", f"address del {IPV4}", f"address del {IPV6}", "link set dev ens6 down", "rule del"],
)
def test_unplugged_while_it_is_released(namespace: None, step: str) -> None:
    """A NIC that goes meanwhile is released: no error, and nothing is left."""
    plug()
    service().take()
    service(commands=Vanishing(step)).release()
    assert sources() == []


class Flushing(Ip):
    """A kernel whose rules a daemon flushes right before one is removed."""

    def run(self, *arguments: str) -> str:
        if "rule" in arguments and "del" in arguments:
            for source in sources():
                ip("-6" if ":" in source else "-4", "rule", "del", "from", source, "table", str(table_of(ENI)))
        return super().run(*arguments)


def test_rules_flushed_while_it_is_released(namespace: None) -> None:
    """Rules that go meanwhile are gone: no error."""
    plug()
    service().take()
    service(commands=Flushing(Deadline(20))).release()
    assert sources() == []


def test_a_release_that_is_refused(namespace: None) -> None:
    """An address that cannot be removed is an Error: stop must not claim what is not so."""

    class Refusing(Ip):
        def run(self, *arguments: str) -> str:
            if "del" in arguments:
                raise Error("ip address del: refused")
            return super().run(*arguments)

    plug()
    service().take()
    with pytest.raises(Error, match="refused"):
        service(commands=Refusing(Deadline(20))).release()


def test_without_ipv6(namespace: None) -> None:
    """An ENI with IPv4 addresses only, on a node without IPv6 on that NIC."""
    plug()
    Path("/proc/sys/net/ipv6/conf/ens6/disable_ipv6").write_text("1")
    service(IPV4).take()
    assert service(IPV4).look() == HERE
    service(IPV4).release()


class Renaming(Ip):
    """A kernel whose NIC gets its last name right before a certain command, as by udev: down for that moment."""

    def __init__(self, before: str) -> None:
        super().__init__(Deadline(20))
        self._before = before
        self.renamed = False

    def run(self, *arguments: str) -> str:
        if self._before in " ".join(arguments) and not self.renamed:
            self.renamed = True
            up = "UP" in ip("link", "show", "dev", "ens6")[0]["flags"]
            ip("link", "set", "dev", "ens6", "down")
            ip("link", "set", "dev", "ens6", "name", "enp0s9")
            if up:
                ip("link", "set", "dev", "enp0s9", "up")
        return super().run(*arguments)


RENAMED = [
    *("link set dev ens6 alias", "link set dev ens6 mtu", "link set dev ens6 up"),
    *(f"address replace {IPV4}", f"address replace {IPV6}", "route replace", "rule add"),
]


@pytest.mark.parametrize("step", RENAMED)
def test_renamed_while_it_is_configured(namespace: None, step: str) -> None:
    """take: "The interface may be renamed while it is configured (udev)"; at whatever step, it has all in the end."""
    plug()
    renaming = Renaming(step)
    service(commands=renaming, mtu=1400).take()
    assert renaming.renamed
    assert service().look() == HERE
    assert on("enp0s9") == [f"{IPV4}/32", f"{IPV6}/128"]
    assert sources() == [IPV4, IPV6]
    (link,) = ip("link", "show", "dev", "enp0s9")
    assert link["mtu"] == 1400
    assert "UP" in link["flags"]
    assert ip("route", "get", "8.8.8.8", "from", IPV4)[0]["dev"] == "enp0s9"
    service().release()
    assert on("enp0s9") == sources() == []


class Meddling(Ip):
    """A kernel in which something takes an address away as soon as it is added, so many times."""

    def __init__(self, times: int) -> None:
        super().__init__(Deadline(20))
        self.times = times

    def run(self, *arguments: str) -> str:
        answer = super().run(*arguments)
        if f"{IPV4}/32" in arguments and "replace" in arguments and self.times:
            self.times -= 1
            ip("address", "del", f"{IPV4}/32", "dev", "ens6")
        return answer


def test_what_is_taken_away_meanwhile_is_given_again(namespace: None, caplog: pytest.LogCaptureFixture) -> None:
    """take: something else on the node configures new interfaces too; all is there in the end, with a warning."""
    plug()
    service(commands=Meddling(2)).take()
    assert service().look() == HERE
    assert [record.levelname for record in caplog.records if "while it was configured" in record.message] == [
        "WARNING",
        "WARNING",
    ]


def test_what_is_taken_away_for_ever_is_told(namespace: None) -> None:
    """take: UnknownError before the deadline, naming what the interface does not keep."""
    plug()
    with pytest.raises(UnknownError, match=f"{IPV4} is not on ens6"):
        service(commands=Meddling(-1), seconds=0.6).take()


@pytest.mark.parametrize(("mtu", "expected"), [(1400, 1400), (None, 1500), (1500, 1500)])
def test_the_mtu_that_it_is_to_have(namespace: None, mtu: Optional[int], expected: int) -> None:
    """take: the largest packet is the one given, and stays as it is where none is."""
    plug()
    ip("link", "set", "dev", "far-ens6", "mtu", "9001")
    service(mtu=mtu).take()
    assert ip("link", "show", "dev", "ens6")[0]["mtu"] == expected


def test_a_link_that_is_down_is_not_here(namespace: None) -> None:
    """look: "An address on a link that is administratively down is not here"; taking it again sets the link up."""
    plug()
    service().take()
    ip("link", "set", "dev", "ens6", "down")
    assert service().look().why == "ens6 is down"
    service().take()
    assert service().look() == HERE


def test_an_index_that_brings_no_interface(namespace: None) -> None:
    """take: where none appears it is attached at another device index, whose interface is configured then."""
    service(seconds=6.0, at_another_index=plug).take()
    assert service().look() == HERE


def test_no_index_brings_an_interface(namespace: None) -> None:
    """take: other device indexes are tried as long as there is time, and no longer; then UnknownError."""
    tried: List[str] = []
    for seconds, times in ((2.2, 0), (3.2, 1)):
        tried.clear()
        with pytest.raises(UnknownError, match=MAC):
            service(seconds=seconds, at_another_index=lambda: tried.append("another")).take()
        assert len(tried) == times


@pytest.mark.parametrize("meddling", [0, 1])
def test_every_address_is_announced_once_all_is_there(
    namespace: None, monkeypatch: pytest.MonkeyPatch, meddling: int
) -> None:
    """ "eni … announce the address": with the ENI's MAC address, after the interface has everything, and not before."""
    said: List[Tuple[str, str, Optional[str], bool]] = []

    def note(address: Address, device: str, mac: Optional[str] = None) -> None:
        said.append((str(address), device, mac, service(extra="192.168.10.10").look() == HERE))

    monkeypatch.setattr(announcement, "announce", note)
    plug()
    service(extra="192.168.10.10", commands=Meddling(meddling)).take()
    assert said == [(address, "ens6", MAC, True) for address in (IPV4, IPV6, "192.168.10.10")]


def test_an_announcement_that_fails_is_a_warning(
    namespace: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """take: the address works without it, so it is no failure, and the other addresses are announced all the same."""

    def refuse(address: Address, device: str, mac: Optional[str] = None) -> None:
        raise Error(f"announcing {address} on {device}: no buffer space")

    monkeypatch.setattr(announcement, "announce", refuse)
    plug()
    service().take()
    assert service().look() == HERE
    assert [record.levelname for record in caplog.records if "is not announced" in record.message] == [
        "WARNING",
        "WARNING",
    ]


def test_frames_leave_by_the_interface(namespace: None) -> None:
    """take: neighbours at the other end of the link hear of the IPv4 and of the IPv6 address."""
    plug()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as tap:
        tap.bind(("far-ens6", 3))
        tap.settimeout(20)
        service().take()
        awaited = {gratuitous_arp(MAC, IPv4Address(IPV4)), neighbour_advertisement(MAC, IPv6Address(IPV6))}
        while awaited:
            awaited.discard(tap.recv(2048))
