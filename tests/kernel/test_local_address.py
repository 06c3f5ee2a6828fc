"""holdings/local_address.py against a real kernel: take and release from every state, and several at once."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Iterator, List, Tuple

import pytest

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import NodeError
from aws_ipfailover.failover import HERE, Where
from aws_ipfailover.holdings.local_address import FoundAddresses, LocalAddresses, OwnRule
from aws_ipfailover.kernel.command import Ip
from aws_ipfailover.kernel.kernel import Kernel
from aws_ipfailover.kernel.links import Link
from sandbox import Held, addresses, answers_on, ip, make_interface, need_root, network_namespace

ADDRESS = "192.168.10.10"
ADDRESS6 = "fd00:10::10"
OTHERS = [Held("eth0", "192.168.10.77/24", "eth0"), Held("eth0", "192.168.10.78/24", "eth0:mine")]

# Where the address may be found before: prefix, device, label.
Places = List[Tuple[int, str, str]]
STATES: List[Places] = [
    [],
    [(32, "eth0", "eth0")],
    [(32, "eth0", "eth0:vip")],
    [(24, "eth0", "eth0")],
    [(24, "eth0", "eth0:old")],
    [(32, "eth1", "eth1")],
    [(32, "lo", "lo")],
    [(32, "eth0", "eth0"), (24, "eth0", "eth0"), (16, "eth1", "eth1"), (32, "lo", "lo")],
]


@pytest.fixture(autouse=True)
def namespace() -> Iterator[None]:
    """A fresh namespace with lo, eth0 and eth1."""
    need_root()
    with network_namespace():
        ip("link", "set", "dev", "lo", "up")
        make_interface("eth0")
        make_interface("eth1")
        yield


def kernel() -> Kernel:
    """The kernel of this namespace."""
    return Kernel(Deadline(20))


def link(name: str) -> Link:
    """An interface as it is now."""
    return next(one for one in kernel().links.all() if one.name == name)


def holding(
    address: str = ADDRESS, device: str = "eth0", label: str | None = None, length: int | None = None
) -> LocalAddresses:
    """The address on a device, as a host address unless a prefix length is given."""
    value = ip_address(address)
    return LocalAddresses(kernel(), {value: length or value.max_prefixlen}, OwnRule(), link(device), label)


def put(places: Places) -> None:
    """Bring about a state; others' addresses of the same subnet come last, as secondaries of the address."""
    for prefix, device, label in places:
        ip("address", "add", f"{ADDRESS}/{prefix}", "dev", device, "label", label)
    for other in OTHERS:
        ip("address", "add", other.address, "dev", other.device, "label", other.label)


@pytest.mark.parametrize("places", STATES, ids=str)
@pytest.mark.parametrize("label", [None, "vip"])
def test_take_from_every_state(places: Places, label: str | None) -> None:
    """take: from every state there is one address, on the right device, as a host address; others' survive."""
    put(places)
    one = holding(label=label)
    one.take()
    (held,) = set(addresses()) - set(OTHERS)
    assert (held.device, held.address) == ("eth0", f"{ADDRESS}/32")
    if label:
        assert held.label == "eth0:vip"
    assert set(OTHERS) <= set(addresses())
    assert one.look() == HERE
    before = addresses()
    one.take()
    assert addresses() == before


@pytest.mark.parametrize("places", STATES, ids=str)
def test_release_from_every_state(places: Places) -> None:
    """release: from every state the address is gone everywhere, the kernel refuses it, others' survive."""
    put(places)
    one = holding()
    one.release()
    assert sorted(addresses()) == sorted(OTHERS)
    assert not answers_on(ADDRESS)
    found = one.look()
    assert found.where is Where.ELSEWHERE
    assert ADDRESS in found.why
    one.release()


@pytest.mark.parametrize("prefix", [128, 64])
@pytest.mark.parametrize("device", ["eth0", "eth1", "lo"])
def test_ipv6_from_every_state(prefix: int, device: str) -> None:
    """IPv6: take and release, from whatever prefix and device."""
    ip("-6", "address", "add", f"{ADDRESS6}/{prefix}", "dev", device, "nodad")
    one = holding(ADDRESS6)
    one.take()
    assert [(held.device, held.address) for held in addresses()] == [("eth0", f"{ADDRESS6}/128")]
    one.release()
    assert addresses() == []
    assert not answers_on(ADDRESS6)


def test_the_address_is_never_away_when_it_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """take: where the address is on a wrong device, the right one has it before the wrong one loses it."""
    ip("address", "add", f"{ADDRESS}/32", "dev", "eth1")
    real, seen = Ip.run, []

    def run(self: Ip, *arguments: str) -> str:
        answer = real(self, *arguments)
        seen.append(answers_on(ADDRESS))
        return answer

    monkeypatch.setattr(Ip, "run", run)
    holding().take()
    assert all(seen)


def test_what_stop_uses_knows_no_interface() -> None:
    """FoundAddresses: found and removed on whatever interface; which one it should be on could need IMDS."""
    ip("address", "add", f"{ADDRESS}/32", "dev", "eth1")
    one = FoundAddresses(kernel(), [ip_address(ADDRESS)], OwnRule())
    assert one.look() == HERE
    one.release()
    assert one.look().where is Where.ELSEWHERE


def test_release_leaves_no_local_route() -> None:
    """release: the kernel answers on an address that only the local table has; afterwards it does not."""
    ip("route", "add", "local", f"{ADDRESS}/32", "dev", "lo", "table", "local")
    assert answers_on(ADDRESS)
    FoundAddresses(kernel(), [ip_address(ADDRESS)], OwnRule()).release()
    assert not answers_on(ADDRESS)


def test_a_label_that_is_too_long() -> None:
    """NodeError where INTERFACE:LABEL has more than 15 characters, before anything is changed."""
    with pytest.raises(NodeError, match="iflabel"):
        holding(label="a" * 11)
    assert addresses() == []


def test_a_prefix_length_of_its_own() -> None:
    """take: with the subnet's prefix length, where an address of the subnet asks for it."""
    holding("10.0.1.9", length=24).take()
    assert [held.address for held in addresses()] == ["10.0.1.9/24"]


def test_a_label_means_nothing_to_an_ipv6_address() -> None:
    """take: the kernel labels IPv4 addresses only; one that would be too long is no error either."""
    one = holding(ADDRESS6, label="a" * 11)
    one.take()
    assert one.look() == HERE


def test_a_device_that_is_gone() -> None:
    """take: NodeError where the device has gone; release is content."""
    one = holding()
    ip("link", "del", "dev", "eth0")
    with pytest.raises(NodeError):
        one.take()
    one.release()


def test_two_at_once() -> None:
    """Two addresses held at once: each is released alone."""
    one, other = holding(), holding("192.168.10.20")
    one.take()
    other.take()
    one.release()
    assert other.look() == HERE
    assert one.look().where is Where.ELSEWHERE


@pytest.mark.parametrize("address", [ADDRESS, ADDRESS6])
def test_an_address_on_a_link_that_is_down_is_not_here(address: str) -> None:
    """look: "An address on a link that is administratively down is not here", and it says which link is down."""
    one = holding(address)
    one.take()
    ip("link", "set", "dev", "eth0", "down")
    kernel().addresses.add(ip_address(address), "eth0", None)  # the kernel drops an IPv6 address with the link
    found = one.look()
    assert found.where is Where.ELSEWHERE
    assert found.why == f"{address} is on eth0, which is down"


def test_an_address_that_is_on_a_link_that_is_up_too_is_here() -> None:
    """look: a second copy on a link that is down takes nothing away."""
    ip("address", "add", f"{ADDRESS}/24", "dev", "eth1")
    ip("link", "set", "dev", "eth1", "down")
    one = holding()
    ip("address", "add", f"{ADDRESS}/32", "dev", "eth0")
    assert one.look() == HERE


@pytest.mark.parametrize("address", [ADDRESS, ADDRESS6])
def test_stop_removes_it_from_a_link_that_is_down_all_the_same(address: str) -> None:
    """release: the link's state does not matter, the address is gone, and the link stays as it is."""
    ip("link", "set", "dev", "eth0", "down")
    kernel().addresses.add(ip_address(address), "eth0", None)
    FoundAddresses(kernel(), [ip_address(address)], OwnRule()).release()
    assert addresses() == []
    assert not link("eth0").up


@pytest.mark.parametrize("address", [ADDRESS, ADDRESS6])
@pytest.mark.parametrize("there", [False, True])
def test_start_sets_the_link_up(address: str, there: bool, caplog: pytest.LogCaptureFixture) -> None:
    """take: "start sets the link up", whether the address is there already or not, and warns of it."""
    ip("link", "set", "dev", "eth0", "down")
    if there:
        kernel().addresses.add(ip_address(address), "eth0", None)
    one = holding(address)
    one.take()
    assert link("eth0").up
    assert one.look() == HERE
    assert [(record.levelname, record.message) for record in caplog.records if "down" in record.message] == [
        ("WARNING", "eth0 was down: set up")
    ]


def test_a_link_that_is_up_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """take: nothing is set, and nothing is warned of."""
    holding().take()
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
