"""diagnosis/local_network.py on routes, rules and reverse path filters of a real kernel."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator, List, Optional, Sequence

import pytest

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.diagnosis import local_network
from aws_ipfailover.diagnosis.finding import Finding, Outcome
from aws_ipfailover.errors import UnknownError
from aws_ipfailover.kernel.kernel import Kernel
from sandbox import ip, make_interface, need_root, network_namespace

ADDRESS, OTHER_MAC = "192.168.10.10", "02:00:00:00:00:02"
SYSTEM = Path("/proc/sys/net/ipv4/conf")


@pytest.fixture(autouse=True)
def namespace() -> Iterator[None]:
    """A node with two network interfaces: the address belongs on eth1, and the default route is eth0's."""
    need_root()
    with network_namespace():
        ip("link", "set", "dev", "lo", "up")
        make_interface("eth0", OTHER_MAC)
        make_interface("eth1")
        ip("address", "add", "10.0.1.11/24", "dev", "eth0")
        ip("address", "add", "10.0.2.11/24", "dev", "eth1")
        ip("route", "add", "default", "via", "10.0.1.1")
        yield


class Ec2:
    """What EC2 knows of the ENI of eth0."""

    def __init__(self, check: Optional[bool] = False, *addresses: str) -> None:
        self._eni = SimpleNamespace(
            network_interface_id="eni-0", source_dest_check=check, addresses=list(map(ip_address, addresses))
        )

    def network_interfaces_with(self, macs: Sequence[str]) -> List[Any]:
        """As `Ec2`."""
        assert macs == [OTHER_MAC]
        return [self._eni]


class Silent:
    """EC2 that does not answer."""

    def network_interfaces_with(self, macs: Sequence[str]) -> List[Any]:
        """As `Ec2`."""
        raise UnknownError("DescribeNetworkInterfaces: no answer")


def found(*addresses: str, device: str = "eth1", ec2: Any = None, vpc: Sequence[str] = ("10.0.0.0/16",)) -> Finding:
    """What the check finds for these addresses, which belong on a device."""
    kernel = Kernel(Deadline(20))
    (link,) = [one for one in kernel.links.all() if one.name == device]
    surroundings: Any = SimpleNamespace(
        values=lambda: SimpleNamespace(mode="overlay-ip", ip=tuple(map(ip_address, addresses or (ADDRESS,)))),
        link=lambda: link,
        # make_interface makes veths; those of instances are none.
        links=lambda: [one._replace(virtual=False) for one in kernel.links.all()],
        node=lambda: SimpleNamespace(vpc_cidrs=lambda: list(map(ip_network, vpc))),
        kernel=kernel,
        deadline=Deadline(20),
        ec2=lambda: ec2 or Ec2(),
    )
    return local_network._answers(surroundings)


@pytest.mark.parametrize("here", [True, False])
def test_by_the_same_interface(here: bool) -> None:
    """All is well, whether the node has the address or not, and whatever the filter is."""
    if here:
        ip("address", "add", f"{ADDRESS}/32", "dev", "eth0")
    (SYSTEM / "eth0" / "rp_filter").write_text("1")
    assert found(device="eth0").outcome is Outcome.PASS


@pytest.mark.parametrize(("everywhere", "there"), [("0", "1"), ("1", "0"), ("1", "1")])
def test_a_strict_filter(everywhere: str, there: str) -> None:
    """The larger of both numbers counts; the finding has the question to ask, and the loose filter."""
    (SYSTEM / "all" / "rp_filter").write_text(everywhere)
    (SYSTEM / "eth1" / "rp_filter").write_text(there)
    finding = found()
    assert finding.outcome is Outcome.WARN
    assert "answers to 10.0.0.1 would leave by eth0, so that rp_filter=1 of eth1 drops" in finding.text
    assert finding.commands == (
        ("ip", "-4", "route", "get", "10.0.0.1"),
        ("sysctl", "--write", "net.ipv4.conf.eth1.rp_filter=2"),
    )


def test_a_rule_for_the_address_mends_it() -> None:
    """With the address on the node the kernel says so; without it nobody can, and that does not count."""
    (SYSTEM / "eth1" / "rp_filter").write_text("1")
    ip("route", "add", "default", "via", "10.0.2.1", "dev", "eth1", "table", "100")
    ip("rule", "add", "from", ADDRESS, "lookup", "100", "priority", "1000")
    finding = found()
    assert (finding.outcome, finding.counts) == (Outcome.UNKNOWN, False)
    assert f"1000: from {ADDRESS} lookup 100" in finding.text
    ip("address", "add", f"{ADDRESS}/32", "dev", "eth1")
    assert found().outcome is Outcome.PASS


def test_rules_of_others_are_not_the_address_s() -> None:
    """As amazon-ec2-net-utils makes them for each interface's own addresses."""
    ip("rule", "add", "from", "10.0.2.11", "lookup", "100", "priority", "1000")
    ip("rule", "add", "from", "10.0.0.0/8", "lookup", "101", "priority", "1001")
    ip("rule", "add", "not", "from", "192.168.0.0/16", "lookup", "102", "priority", "1002")
    ip("rule", "add", "from", ADDRESS, "iif", "eth0", "lookup", "103", "priority", "1003")
    assert found(device="eth0").outcome is Outcome.PASS


@pytest.mark.parametrize("loose", ["0", "2"])
def test_the_check_of_another_eni(loose: str) -> None:
    """The kernel lets the packets in; EC2 drops answers by another ENI that has its check on and not the address."""
    (SYSTEM / "eth1" / "rp_filter").write_text(loose)
    finding = found(ec2=Ec2(True))
    assert finding.outcome is Outcome.WARN
    assert "answers to 10.0.0.1 leave by eth0, and the source/destination check of eni-0 drops them" in finding.text
    assert found(ec2=Ec2(True, ADDRESS)).outcome is Outcome.PASS
    assert found(ec2=Ec2(False)).outcome is Outcome.PASS


def test_without_an_answer_of_ec2_it_is_not_known() -> None:
    """No `no`."""
    with pytest.raises(UnknownError):
        found(ec2=Silent())
    with pytest.raises(UnknownError, match="does not tell the source/destination check of eni-0"):
        found(ec2=Ec2(None))
    assert found(ec2=Ec2(None, ADDRESS)).outcome is Outcome.PASS


@pytest.mark.parametrize("kind", ["blackhole", "unreachable", "prohibit"])
def test_a_rule_that_drops(kind: str) -> None:
    """The node that has the address is told what its kernel says; another one that it cannot be told there."""
    ip("rule", "add", "from", ADDRESS, kind, "priority", "1000")
    assert not found(device="eth0").counts
    ip("address", "add", f"{ADDRESS}/32", "dev", "eth0")
    finding = found(device="eth0")
    assert finding.outcome is Outcome.WARN
    assert finding.text.startswith("answers to 10.0.0.1 go nowhere: ")
    assert "root" not in finding.text
    assert finding.commands == (("ip", "-4", "route", "get", "10.0.0.1", "from", ADDRESS),)


def test_no_route_at_all() -> None:
    """Each version of IP for itself."""
    ip("route", "del", "default")
    assert found(device="eth0").outcome is Outcome.WARN
    ip("-6", "route", "add", "default", "dev", "eth0")
    assert found("2001:db8::10", device="eth0", vpc=["10.0.0.0/16", "2001:db8:1000::/56"]).outcome is Outcome.PASS
