"""What somebody changes behind the cluster's back, and what healing it puts back: what nobody has mended."""

from __future__ import annotations

from typing import Dict, Iterator, List

import pytest

from vpc_lab.errors import LabError
from vpc_lab.faults import (
    AddressRemoved,
    Fault,
    RouteChanged,
    RouteDeleted,
    RouteTableDeleted,
    RulesRemoved,
    SourceDestCheck,
    StuckDetach,
)
from vpc_lab.judge.audits import held
from vpc_lab.lab import Lab

from .calls import asked
from .conftest import delete_route
from .test_fabric import OVERLAY, OVERLAY_IPV6, answers, give, silent, take

pytestmark = pytest.mark.root

DESTINATION = f"{OVERLAY}/32"


@pytest.fixture
def lab(network_lab: Lab) -> Iterator[Lab]:
    """A lab in which node1 has the overlay addresses and every table leads there; well again afterwards."""
    give(network_lab, "node1")
    for destination in (DESTINATION, f"{OVERLAY_IPV6}/128"):
        network_lab.inject(RouteChanged(destination, "node1"))
    yield network_lab
    network_lab.heal()
    delete_route(network_lab, DESTINATION)
    for node in network_lab.nodes():
        take(network_lab, node)


def targets(lab: Lab) -> List[object]:
    """Where each table leads the overlay address."""
    return list(lab.status().routes[OVERLAY].values())


def tables(lab: Lab) -> List[Dict[str, object]]:
    """All route tables, as EC2 shows them to a node, without the order of their routes."""
    found = asked(lab, "node1", "describe_route_tables")["RouteTables"]
    return [{**one, "Routes": sorted(one["Routes"], key=str)} for one in found]


def write(lab: Lab, table: str, node: str) -> None:
    """ReplaceRoute, as an agent mends it."""
    eni = lab.status().network_interfaces[node]
    lab.administer("ReplaceRoute", RouteTableId=table, DestinationCidrBlock=DESTINATION, NetworkInterfaceId=eni)


@pytest.mark.parametrize(
    "fault",
    [
        RouteChanged(DESTINATION, "consumer-b"),
        RouteChanged(DESTINATION, "node2", table="a"),
        RouteChanged(DESTINATION, "node2", state="blackhole"),
        RouteChanged(DESTINATION, "node2", origin="EnableVgwRoutePropagation"),
        RouteChanged("192.168.10.0/24", "node2"),
        RouteDeleted(DESTINATION),
        RouteDeleted(DESTINATION, table="b"),
        RouteTableDeleted("b"),
        SourceDestCheck("node1"),
    ],
    ids=str,
)
def test_ec2_is_as_before_once_it_is_healed(lab: Lab, fault: Fault) -> None:
    """Every table with its id, routes, tags and subnets; the ENI; and each consumer is answered again."""
    before, eni = tables(lab), asked(lab, "node1", "describe_network_interfaces")
    injected = lab.inject(fault)
    assert (tables(lab), asked(lab, "node1", "describe_network_interfaces")) != (before, eni)
    injected.heal()
    assert (tables(lab), asked(lab, "node1", "describe_network_interfaces")) == (before, eni)
    for consumer in ("consumer-a", "consumer-b", "onprem"):
        assert answers(lab, consumer, OVERLAY)


def test_a_route_that_leads_elsewhere(lab: Lab) -> None:
    """Nobody is answered, and everybody is once it is healed."""
    with lab.inject(RouteChanged(DESTINATION, "consumer-b")):
        assert silent(lab, "consumer-a", OVERLAY)
        assert answers(lab, "consumer-a", OVERLAY_IPV6)
    assert answers(lab, "consumer-a", OVERLAY)


def test_a_filtered_route_is_shown_beside_the_static_one(lab: Lab) -> None:
    """And is not used; only the one of that origin can be deleted."""
    table = lab.status().route_tables[0]

    def shown() -> List[List[str]]:
        (found,) = asked(lab, "node1", "describe_route_tables", RouteTableIds=[table])["RouteTables"]
        routes = [one for one in found["Routes"] if one.get("DestinationCidrBlock") == DESTINATION]
        return sorted([one["Origin"], one["State"]] for one in routes)

    lab.inject(RouteChanged(DESTINATION, "node2", origin="Advertisement", state="filtered"))
    assert shown() == [["Advertisement", "filtered"], ["CreateRoute", "active"]]
    assert answers(lab, "consumer-a", OVERLAY)
    with lab.inject(RouteDeleted(DESTINATION, origin="Advertisement")):
        assert shown() == [["CreateRoute", "active"]]
    assert shown() == [["Advertisement", "filtered"], ["CreateRoute", "active"]]


def test_a_deleted_table_takes_its_subnet_along(lab: Lab) -> None:
    """To the main table, which has no overlay address; EC2 and the status do not know it until it is healed."""
    table = lab.status().route_tables[1]
    with lab.inject(RouteTableDeleted("b")):
        assert table not in lab.status().route_tables
        assert silent(lab, "consumer-b", OVERLAY)
        assert answers(lab, "consumer-a", OVERLAY)
        assert asked(lab, "node1", "describe_route_tables", RouteTableIds=[table]) == "InvalidRouteTableID.NotFound"
        with pytest.raises(LabError, match="there is no route table 'b'"):
            lab.inject(RouteTableDeleted("b"))
    assert answers(lab, "consumer-b", OVERLAY)


def test_what_was_mended_is_left_alone(lab: Lab) -> None:
    """The table that somebody wrote to meanwhile stays as it is; the other one is put back."""
    first, second = lab.status().route_tables
    injected = lab.inject(RouteChanged(DESTINATION, "consumer-b"))
    write(lab, first, "node2")
    injected.heal()
    assert lab.status().routes[OVERLAY] == {first: "node2", second: "node1"}


def test_a_check_that_was_switched_off_again_is_left_alone(lab: Lab) -> None:
    """Whoever did that: it is as it should be."""
    eni = lab.status().network_interfaces["node1"]
    about = {"NetworkInterfaceId": eni, "SourceDestCheck.Value": "false"}
    with lab.inject(SourceDestCheck("node1")):
        assert silent(lab, "consumer-a", OVERLAY)
        lab.administer("ModifyNetworkInterfaceAttribute", **about)
    assert answers(lab, "consumer-a", OVERLAY)


@pytest.mark.parametrize("first_healed", [0, 1])
def test_two_changes_of_one_route(lab: Lab, first_healed: int) -> None:
    """Healed in either order it leads to node1 again; until then the one that is left shows."""
    two = [lab.inject(RouteChanged(DESTINATION, target)) for target in ("consumer-a", "consumer-b")]
    left = ("consumer-a", "consumer-b")[1 - first_healed]
    two[first_healed].heal()
    assert set(targets(lab)) == {left}
    two[1 - first_healed].heal()
    assert set(targets(lab)) == {"node1"}


def test_a_route_of_a_deleted_table(lab: Lab) -> None:
    """Healed while the table is away, it is as before in the table that comes back."""
    table = lab.status().route_tables[1]
    route, gone = lab.inject(RouteChanged(DESTINATION, "node2")), lab.inject(RouteTableDeleted("b"))
    route.heal()
    gone.heal()
    assert lab.status().routes[OVERLAY][table] == "node1"


@pytest.mark.parametrize("address", [OVERLAY, OVERLAY_IPV6])
def test_an_address_is_removed_and_put_back(lab: Lab, address: str) -> None:
    """With the prefix length that it had, on the device that had it."""

    def shown() -> str:
        return lab.exec("node1", ["ip", "-o", "address", "show", "to", address]).stdout.split("valid_lft")[0][3:]

    before = shown()
    with lab.inject(AddressRemoved("node1", address)):
        assert address not in held(lab, "node1")
        assert silent(lab, "consumer-a", address)
        with pytest.raises(LabError, match=f"no device of node1 has {address}"):
            lab.inject(AddressRemoved("node1", address))
    assert shown() == before
    assert answers(lab, "consumer-a", address)


def test_an_address_that_is_elsewhere_by_now_does_not_come_back(lab: Lab) -> None:
    """Two holders would be a worse fault than the one that is healed."""
    with lab.inject(AddressRemoved("node1", OVERLAY)):
        give(lab, "node2")
    assert OVERLAY not in held(lab, "node1")
    assert OVERLAY in held(lab, "node2")


def test_an_address_does_not_come_back_after_a_boot(lab: Lab) -> None:
    """The instance that lost it is another one now."""
    with lab.inject(AddressRemoved("node1", OVERLAY)):
        lab.power_off("node1")
        lab.power_on("node1")
    assert OVERLAY not in held(lab, "node1")


def test_rules_are_removed_and_put_back(lab: Lab) -> None:
    """Those that somebody made, of both families, as they were; what is there again already stays single."""
    for family, address in (("-4", OVERLAY), ("-6", OVERLAY_IPV6)):
        lab.exec("node1", ["ip", family, "rule", "add", "pref", "1000", "from", address, "lookup", "1001"])
        lab.exec("node1", ["ip", family, "rule", "add", "pref", "1001", "from", address, "lookup", "1002"])

    def shown() -> List[str]:
        return [lab.exec("node1", ["ip", family, "rule", "show"]).stdout for family in ("-4", "-6")]

    before = shown()
    try:
        with lab.inject(RulesRemoved("node1")):
            assert not [one for one in shown() if "100" in one]
            assert answers(lab, "consumer-a", OVERLAY)
            lab.exec("node1", ["ip", "rule", "add", "pref", "1000", "from", OVERLAY, "lookup", "1001"])
        assert shown() == before
    finally:
        lab.inject(RulesRemoved("node1"))
        lab.power_off("node1")
        lab.power_on("node1")
    with pytest.raises(LabError, match="node1 has no routing policy rules but those that every Linux has"):
        lab.inject(RulesRemoved("node1"))


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (RouteChanged(DESTINATION, "node9"), "there is no target 'node9'; there are node1, node2"),
        (RouteChanged(DESTINATION, "node1", table="rtb-9"), r"there is no route table 'rtb-9'; there are a, "),
        (RouteDeleted("10.99.0.0/16"), "there is no route for 10.99.0.0/16"),
        (RouteTableDeleted("main"), "is the main route table, which EC2 does not delete"),
        (StuckDetach(), "this lab has no network interface that moves"),
    ],
    ids=str,
)
def test_a_change_that_cannot_be_made(lab: Lab, fault: Fault, sentence: str) -> None:
    """A sentence, and nothing has changed."""
    before = lab.status()
    with pytest.raises(LabError, match=sentence):
        lab.inject(fault)
    assert lab.status() == before
