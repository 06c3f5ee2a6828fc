"""node.py: interface, ENI and subnet of this node, from what the kernel and IMDS say, or EC2 where IMDS does not."""

from __future__ import annotations

import threading
from ipaddress import ip_network
from typing import Dict, List, Mapping, Optional, Sequence, Tuple, cast

import pytest

from aws_ipfailover.aws.client import Ec2
from aws_ipfailover.aws.imds import Imds
from aws_ipfailover.aws.models import Attachment, NetworkInterface
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import DeniedError, Error, NodeError, UnknownError
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


class SilentImds(FakeImds):
    """Answers nothing: `error` to every question."""

    def __init__(self, error: Error) -> None:
        super().__init__({})
        self.error = error

    def primary_mac(self) -> str:
        raise self.error

    def network_interface_id(self, mac: str) -> Optional[str]:
        raise self.error

    def instance_id(self) -> str:
        raise self.error

    def subnet_cidrs(self, mac: str) -> List[str]:
        raise self.error

    def vpc_cidrs(self, mac: str) -> List[str]:
        raise self.error

    def addresses(self, mac: str) -> List[str]:
        raise self.error


class FakeEc2:
    """Knows ENIs that are attached to this instance, by their MAC addresses: id and device index."""

    def __init__(self, known: Mapping[str, Tuple[str, Optional[int]]], error: Optional[Error] = None) -> None:
        self.known = known
        self.error = error
        self.asked: List[List[str]] = []

    def network_interfaces_with(self, macs: Sequence[str]) -> List[NetworkInterface]:
        self.asked.append(list(macs))
        if self.error is not None:
            raise self.error
        return [
            NetworkInterface(
                *(eni, "vpc-1", False, "subnet-1", "zone-a", mac, ()),
                Attachment(f"eni-attach-{index}", "i-0a", index, "attached"),
            )
            for mac, (eni, index) in self.known.items()
            if mac in macs
        ]


def imds(**known: str) -> FakeImds:
    """An IMDS that knows these ENIs."""
    macs = {"primary": PRIMARY, "second": SECOND, "own": OWN}
    return FakeImds({macs[name]: eni for name, eni in known.items()})


def node(interface: Optional[str], **known: str) -> Node:
    """A node whose IMDS knows these ENIs."""
    return node_by(imds(**known), interface=interface)


def node_by(
    metadata: FakeImds, ec2: Optional[FakeEc2] = None, interface: Optional[str] = None, seconds: float = 20.0
) -> Node:
    """A node with this IMDS and this EC2; without one, EC2 is not to be asked."""
    links = cast("Links", FakeLinks())
    chosen = named_link(links, interface) if interface else None
    return Node(links, cast("Imds", metadata), cast("Ec2", ec2), chosen, Deadline(seconds))


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
        node_by(imds(primary="eni-1"), FakeEc2({PRIMARY: ("eni-1", 0)}), "ens6").network_interface_id()


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


def test_a_page_instead_of_cidrs_is_no_answer() -> None:
    """Empty, so that EC2 is asked, where IMDS has the page of a broken proxy at this place."""

    class Captured(FakeImds):
        def subnet_cidrs(self, mac: str) -> List[str]:
            return ["<html>Please", "log", "in</html>"]

    assert node_by(Captured({PRIMARY: "eni-1"})).subnet_cidrs() == []


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
        node_by(Strange({})).link()


def test_what_is_known_is_not_asked_again() -> None:
    """Link and ENI are looked for once in a run."""
    asked = imds(primary="eni-1")
    here = node_by(asked)
    here.network_interface_id()
    before = asked.asked
    here.network_interface_id()
    here.link()
    assert asked.asked == before


OFF = Error("IMDS refuses to answer (403 for api/token): metadata is switched off for this instance")
SILENT = UnknownError("IMDS does not answer (ConnectTimeout)")
# The second ENI comes first: what is primary is told by the device index alone.
ENIS: Dict[str, Tuple[str, Optional[int]]] = {SECOND: ("eni-2", 1), PRIMARY: ("eni-1", 0)}


@pytest.mark.parametrize("error", [OFF, SILENT])
def test_without_imds_the_node_finds_its_eni_by_mac_through_ec2(error: Error) -> None:
    """ "IMDS switched off (403) or silent: … the node finds its ENI by MAC through EC2": the one of device index 0."""
    ec2 = FakeEc2(ENIS)
    here = node_by(SilentImds(error), ec2)
    assert (here.link().name, here.network_interface_id(), here.instance_id()) == ("ens5", "eni-1", "i-0a")


@pytest.mark.parametrize("error", [OFF, SILENT])
def test_ec2_is_asked_once_and_for_every_mac_address_that_is_one(error: Error) -> None:
    """One call for all; lo has no MAC address."""
    ec2 = FakeEc2(ENIS)
    here = node_by(SilentImds(error), ec2)
    here.link()
    here.network_interface_id()
    here.instance_id()
    assert ec2.asked == [[PRIMARY, SECOND, OWN]]


@pytest.mark.parametrize("error", [OFF, SILENT])
def test_without_imds_an_interface_means_its_own_eni(error: Error) -> None:
    """Also one that is not primary; and one made by software gets its traffic by the primary ENI."""
    assert node_by(SilentImds(error), FakeEc2(ENIS), "ens6").network_interface_id() == "eni-2"
    assert node_by(SilentImds(error), FakeEc2(ENIS), "br0").network_interface_id() == "eni-1"
    bridged = {**ENIS, OWN: ("eni-3", 2)}
    assert node_by(SilentImds(error), FakeEc2(bridged), "br0").network_interface_id() == "eni-3"


@pytest.mark.parametrize("error", [OFF, SILENT])
def test_where_ec2_knows_no_such_mac_address_it_is_imds_that_is_told(error: Error) -> None:
    """No ENI at all can be a stale read: nothing about this node is concluded from it."""
    here = node_by(SilentImds(error), FakeEc2({}))
    for ask in (here.link, here.network_interface_id, here.instance_id):
        with pytest.raises(type(error)) as raised:
            ask()
        assert str(raised.value) == str(error)


@pytest.mark.parametrize("error", [OFF, SILENT])
def test_a_nic_that_ec2_does_not_know_is_unknown(error: Error) -> None:
    """EC2's reads lag too: no other ENI is taken for it, and it is not called wrong."""
    with pytest.raises(UnknownError, match="ens6"):
        node_by(SilentImds(error), FakeEc2({PRIMARY: ("eni-1", 0)}), "ens6").network_interface_id()


@pytest.mark.parametrize("error", [OFF, SILENT])
def test_where_no_device_index_is_told_none_is_primary(error: Error) -> None:
    """A guess would move somebody's routes to the wrong ENI."""
    with pytest.raises(type(error)):
        node_by(SilentImds(error), FakeEc2({PRIMARY: ("eni-1", None), SECOND: ("eni-2", 1)})).link()


def test_index_0_of_another_network_card_is_not_primary() -> None:
    """Without IMDS the primary ENI is the one at index 0 of card 0, in whatever order EC2 lists them."""

    class OnTwoCards(FakeEc2):
        def network_interfaces_with(self, macs: Sequence[str]) -> List[NetworkInterface]:
            first, second = super().network_interfaces_with(macs)
            assert second.attachment is not None
            on_second_card = second.attachment._replace(device_index=0, network_card_index=1)
            return [second._replace(attachment=on_second_card), first]

    found = node_by(SilentImds(OFF), OnTwoCards({PRIMARY: ("eni-1", 0), SECOND: ("eni-2", 1)}))
    assert found.link().mac == PRIMARY


def test_ec2_is_waited_for_until_the_deadline() -> None:
    """A server that sends a byte now and then holds a call longer than any socket's timeout: UnknownError, in time."""
    never = threading.Event()

    class SlowEc2(FakeEc2):
        def network_interfaces_with(self, macs: Sequence[str]) -> List[NetworkInterface]:
            never.wait(60)
            return super().network_interfaces_with(macs)

    try:
        with pytest.raises(UnknownError, match="DescribeNetworkInterfaces: no answer"):
            node_by(SilentImds(OFF), SlowEc2(ENIS), seconds=0.1).link()
    finally:
        never.set()


@pytest.mark.parametrize("refusal", [DeniedError("DescribeNetworkInterfaces: denied"), UnknownError("no answer")])
def test_where_ec2_does_not_tell_either_both_reasons_are_told(refusal: Error) -> None:
    """UnknownError: nobody says who this node is."""
    here = node_by(SilentImds(OFF), FakeEc2({}, refusal))
    for ask in (here.link, here.network_interface_id, here.instance_id):
        with pytest.raises(UnknownError) as raised:
            ask()
        assert str(raised.value) == f"{OFF}; and {refusal}"


def test_an_interface_that_imds_does_not_know_is_looked_for_in_ec2() -> None:
    """IMDS lags behind an attachment, and can answer 404 for a single key; where EC2 is silent, both are told."""
    assert node_by(imds(primary="eni-1"), FakeEc2(ENIS), "ens6").network_interface_id() == "eni-2"
    ec2 = FakeEc2({}, UnknownError("DescribeNetworkInterfaces: RequestLimitExceeded"))
    with pytest.raises(UnknownError, match=r"IMDS does not know .*ens6.*RequestLimitExceeded"):
        node_by(imds(primary="eni-1"), ec2, "ens6").network_interface_id()


def test_where_imds_answers_ec2_is_not_asked() -> None:
    """What IMDS says it says of this instance."""
    ec2 = FakeEc2(ENIS)
    assert node_by(imds(primary="eni-1"), ec2).network_interface_id() == "eni-1"
    assert ec2.asked == []


def test_without_imds_nothing_is_known_of_cidrs() -> None:
    """Subnet and VPC: empty; whoever needs them asks EC2. What IMDS lists of addresses is not to be had elsewhere."""
    here = node_by(SilentImds(OFF), FakeEc2(ENIS))
    assert here.subnet_cidrs() == here.vpc_cidrs() == []
    with pytest.raises(Error, match="switched off"):
        here.metadata_addresses()
