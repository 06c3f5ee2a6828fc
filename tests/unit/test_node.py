"""node.py: interface, ENI and subnet of this node, from what the kernel and IMDS say."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Dict, List, Optional, cast

import pytest

from aws_ipfailover.aws.imds import Imds
from aws_ipfailover.errors import NodeError, UnknownError
from aws_ipfailover.kernel.links import Link, Links
from aws_ipfailover.node import Node, named_link

PRIMARY, SECOND, OWN = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"


class FakeLinks:
    """Two NICs and a bridge."""

    def all(self) -> List[Link]:
        return [
            Link("lo", [], "00:00:00:00:00:00", virtual=True, alias="", up=True),
            Link("ens5", ["enp0s5"], PRIMARY, virtual=False, alias="", up=True),
            Link("ens6", [], SECOND, virtual=False, alias="", up=True),
            Link("br0", [], OWN, virtual=True, alias="", up=True),
        ]


class FakeImds:
    """Knows the ENIs by MAC; counts the questions."""

    def __init__(self, known: Dict[str, str]) -> None:
        self.known = known
        self.asked = 0

    def primary_mac(self) -> str:
        self.asked += 1
        return PRIMARY

    def network_interface_id(self, mac: str) -> Optional[str]:
        self.asked += 1
        return self.known.get(mac)

    def subnet_cidrs(self, mac: str) -> List[str]:
        return {PRIMARY: ["10.0.1.0/24", "2001:db8:1::/64"], SECOND: ["10.0.2.0/24"]}.get(mac, [])


def imds(**known: str) -> FakeImds:
    """An IMDS that knows these ENIs."""
    macs = {"primary": PRIMARY, "second": SECOND, "own": OWN}
    return FakeImds({macs[name]: eni for name, eni in known.items()})


def node(interface: Optional[str], **known: str) -> Node:
    """A node whose IMDS knows these ENIs."""
    links = cast("Links", FakeLinks())
    return Node(links, cast("Imds", imds(**known)), named_link(links, interface) if interface else None)


def test_the_primary_interface_is_found_by_its_mac() -> None:
    """Without a parameter, whatever the interface is called."""
    here = node(None, primary="eni-1", second="eni-2")
    assert (here.link().name, here.network_interface_id()) == ("ens5", "eni-1")


def test_an_interface_means_its_own_eni() -> None:
    """Also by its alternative name."""
    assert node("ens6", primary="eni-1", second="eni-2").network_interface_id() == "eni-2"
    here = node("enp0s5", primary="eni-1", second="eni-2")
    assert (here.link().name, here.network_interface_id()) == ("ens5", "eni-1")


def test_a_nic_that_imds_does_not_know_is_unknown() -> None:
    """IMDS lags behind an attachment; no other ENI is taken for it."""
    with pytest.raises(UnknownError, match="ens6"):
        node("ens6", primary="eni-1").network_interface_id()


@pytest.mark.parametrize("name", ["lo", "br0"])
def test_an_interface_made_by_software_gets_its_traffic_by_the_primary_eni(name: str) -> None:
    """Unless IMDS knows its MAC address, as that of a bridge over a NIC."""
    assert node(name, primary="eni-1").network_interface_id() == "eni-1"
    assert node("br0", primary="eni-1", own="eni-3").network_interface_id() == "eni-3"


def test_the_subnet_is_that_of_the_eni() -> None:
    """Of the ENI that the interface's traffic comes through: for one made by software, of the primary ENI."""
    assert node("ens6", primary="eni-1", second="eni-2").subnet_cidrs() == [ip_network("10.0.2.0/24")]
    of_primary = [ip_network("10.0.1.0/24"), ip_network("2001:db8:1::/64")]
    assert node("lo", primary="eni-1").subnet_cidrs() == of_primary


def test_an_interface_that_is_not_there_is_wrong_here() -> None:
    """It may be there on another node."""
    with pytest.raises(NodeError, match="eth7"):
        node("eth7", primary="eni-1")


def test_without_the_primary_enis_interface_the_parameter_is_named() -> None:
    """No interface has the primary ENI's MAC address: NodeError that names the parameter to set."""

    class Strange(FakeImds):
        def primary_mac(self) -> str:
            return "02:00:00:00:00:99"

    with pytest.raises(NodeError, match="set parameter interface"):
        Node(cast("Links", FakeLinks()), cast("Imds", Strange({})), None).link()


def test_what_is_known_is_not_asked_again() -> None:
    """Link and ENI are looked for once in a run."""
    asked = imds(primary="eni-1")
    here = Node(cast("Links", FakeLinks()), cast("Imds", asked), None)
    here.network_interface_id()
    before = asked.asked
    here.network_interface_id()
    here.link()
    assert asked.asked == before


def test_the_primary_eni_is_never_the_one_that_moves() -> None:
    """A parameter that names this node's primary ENI finds no interface to quiesce; any other ENI finds its own."""
    here = node(None, primary="eni-1", second="eni-2")
    assert here.mac_of("eni-1", [PRIMARY, SECOND]) is None
    assert here.mac_of("eni-2", [PRIMARY, SECOND]) == SECOND
