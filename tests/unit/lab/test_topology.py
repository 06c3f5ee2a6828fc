"""Presets of a topology, and topologies made by hand: what each has, and what cannot be."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Callable, Dict, List

import pytest

from vpc_lab import examples
from vpc_lab.errors import LabError
from vpc_lab.lab import Lab
from vpc_lab.settings import Settings
from vpc_lab.topology import (
    Consumer,
    InterfaceSpec,
    Layout,
    Mode,
    Node,
    SubnetSpec,
    Topology,
    node_names,
    topology_for,
)

TWO = topology_for()


def zones(topology: Topology) -> List[str]:
    """The availability zone of each node."""
    return [one.subnet.availability_zone for one in topology.nodes]


def with_first_node(**changes: object) -> Callable[[], Topology]:
    """The preset of two nodes, its first one changed."""

    def made() -> Topology:
        return replace(TWO, nodes=(replace(TWO.nodes[0], **changes), *TWO.nodes[1:]))  # type: ignore[arg-type]

    return made


def with_first_subnet(**changes: object) -> Callable[[], Topology]:
    """The preset of two nodes, its first subnet changed."""

    def change(one: SubnetSpec) -> SubnetSpec:
        return replace(one, **changes) if one.name == "a" else one  # type: ignore[arg-type]

    return lambda: TWO.with_subnets(change)


@pytest.mark.parametrize("count", [2, 3])
def test_each_node_of_overlay_ip_has_a_zone_of_its_own(count: int) -> None:
    """With a subnet, a route table and a consumer in each; one more consumer is on premises."""
    topology = topology_for(nodes=node_names(count))
    assert zones(topology) == [f"eu-central-1{letter}" for letter in "abc"[:count]]
    assert [one.subnet for one in topology.nodes] == [one.subnet for one in topology.consumers]
    assert len({one.route_table_id for one in topology.subnets}) == count
    assert [one.name for one in topology.outside] == ["onprem"]


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize(
    ("mode", "layout"), [("eni", "service-subnet"), ("eni", "same-subnet"), ("private-ip", "service-subnet")]
)
def test_what_stays_in_a_zone_has_all_nodes_in_it(mode: Mode, layout: Layout, count: int) -> None:
    """In one subnet; the source/destination check is on there, and an internet gateway lets Elastic IPs pass."""
    topology = topology_for(mode, layout, nodes=node_names(count))
    assert {one.subnet for one in topology.nodes} == {topology.subnet("a")}
    assert len(topology.nodes) == count
    assert topology.source_dest_check
    assert topology.internet is not None
    assert topology.service_address is not None
    home = "service" if (mode, layout) == ("eni", "service-subnet") else "a"
    assert topology.service_address in topology.subnet(home).cidr
    assert home in {one.subnet.name for one in topology.consumers}


def test_two_nodes_are_what_they_were_among_three() -> None:
    """A third node changes neither name nor id nor address of the other two."""
    assert topology_for(nodes=node_names(3)).nodes[:2] == TWO.nodes


@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_preset_is_for_two_or_three_nodes(count: int) -> None:
    """Another number is refused before anything is made."""
    with pytest.raises(LabError, match=f"2 or 3 nodes, not {count}"):
        topology_for(nodes=[f"node{number}" for number in range(count)])
    with pytest.raises(LabError, match=f"2 or 3 nodes, not {count}"):
        Settings(nodes=count).topology()


def test_a_lab_that_cannot_be_leaves_nothing_behind() -> None:
    """It is refused before there is a process, or a directory."""
    with pytest.raises(LabError, match=r"^a lab has 2 or 3 nodes, not 5"):
        Lab.up("five-nodes", Settings(nodes=5))
    assert not Lab("five-nodes").rundir.path.exists()


def test_settings_choose_the_topology() -> None:
    """Whatever of it they name; all else is the preset's."""
    chosen = Settings(
        nodes=3, extra_route_tables=2, shared_vpc_owner="210987654321", overlays=("192.168.10.20",)
    ).topology()
    assert [one.name for one in chosen.nodes] == ["node1", "node2", "node3"]
    assert len(chosen.extra_route_tables) == 2
    assert chosen.table_owner_id == "210987654321"
    assert IPv4Address("192.168.10.20") in chosen.overlays
    with pytest.raises(LabError, match="overlay address"):
        Settings(overlays=("192.168.10",)).topology()


def test_a_third_node_has_values_for_a_configuration() -> None:
    """NODE3 and INSTANCE3; in a cluster of two they are missing, and loading says so."""
    values = examples.values_of(topology_for(nodes=["db1", "db2", "db3"]), ["rtb-1"])
    assert (values["NODE1"], values["NODE3"]) == ("db1", "db3")
    assert values["INSTANCE3"] not in (values["INSTANCE1"], values["INSTANCE2"])
    with pytest.raises(ValueError, match="@NODE3@"):
        examples.render("@NODE3@", examples.values_of(TWO, ["rtb-1"]))


def test_an_id_follows_from_the_name_unless_it_is_given() -> None:
    """The same in every run; the MAC address follows from the ENI's id, also from a short one."""
    subnet = TWO.subnet("a")
    address, ipv6_address = IPv4Address("10.0.1.50"), IPv6Address("2001:db8:1000:1::50")
    made = Node("db1", subnet, address, ipv6_address)
    assert made == Node("db1", subnet, address, ipv6_address)
    assert made.instance_id.startswith("i-0")
    given = Node("db1", subnet, address, ipv6_address, "i-0123456789abcdef0", "eni-12345678")
    assert (given.instance_id, given.mac) == ("i-0123456789abcdef0", "06:00:12:34:56:78")


def test_a_changed_subnet_is_changed_for_whoever_is_in_it() -> None:
    """Nodes, consumers and ENIs are in the changed one."""
    changed = topology_for("eni").with_subnets(lambda one: replace(one, ipv6_only=True))
    inside = {one.subnet for one in changed.instances} | {one.subnet for one in changed.interfaces}
    assert inside == set(changed.subnets)
    assert all(one.ipv6_only for one in inside)


OTHER = SubnetSpec("other", "eu-central-1a", IPv4Network("10.0.9.0/24"), IPv6Network("2001:db8:1000:9::/64"))
WRONG: Dict[str, Callable[[], Topology]] = {
    "at least one node": lambda: replace(TWO, nodes=()),
    "'db_1' cannot be the host name": with_first_node(name="db_1"),
    "'../x' cannot be the host name": with_first_node(name="../x"),
    "two places of the lab are called 'node2'": with_first_node(name="node2"),
    "two places of the lab are called 'api'": with_first_node(name="api"),
    "two places of the lab are called 'onprem'": with_first_node(name="onprem"),
    "two subnets are called 'b'": with_first_subnet(name="b"),
    "'i-123' is no id of EC2's": with_first_node(instance_id="i-123"),
    "'eni-0123456789abcdefg' is no id": with_first_node(network_interface_id="eni-0123456789abcdefg"),
    "'vpc-0123456789abcdef0' is no id": with_first_subnet(route_table_id="vpc-0123456789abcdef0"),
    f"the id {TWO.nodes[1].instance_id}": with_first_node(instance_id=TWO.nodes[1].instance_id),
    f"the id {TWO.subnets[1].route_table_id}": lambda: replace(
        TWO, extra_route_tables=(TWO.subnets[1].route_table_id,)
    ),
    f"the MAC address {TWO.nodes[1].mac}": with_first_node(mac=TWO.nodes[1].mac),
    "us-east-1a is not one of region eu-central-1": with_first_subnet(availability_zone="us-east-1a"),
    "subnet a is not within the VPC's": with_first_subnet(cidr=IPv4Network("10.1.1.0/24")),
    "node1 is in subnet other, which is none": with_first_node(subnet=OTHER),
    "10.0.2.11 of node1 is not within its subnet a": with_first_node(address=IPv4Address("10.0.2.11")),
    "two interfaces have the address 10.0.1.101": with_first_node(address=IPv4Address("10.0.1.101")),
    "10.0.9.9 of service is not within": lambda: replace(
        TWO, interfaces=(InterfaceSpec("service", TWO.subnet("a"), (IPv4Address("10.0.9.9"),)),)
    ),
    "overlay address 10.0.7.7 is within the VPC": lambda: replace(TWO, overlay=IPv4Address("10.0.7.7")),
}


@pytest.mark.parametrize("sentence", WRONG)
def test_what_cannot_be_is_refused_with_a_sentence(sentence: str) -> None:
    """When the topology is made, before anything is booted."""
    with pytest.raises(LabError, match=sentence):
        WRONG[sentence]()


@pytest.mark.parametrize(
    "topology",
    [
        topology_for("eni", nodes=["a1", "b2", "c3"], extra_route_tables=2, more_overlays=[IPv6Address("fd00::9")]),
        topology_for("private-ip", region="us-west-2", shared_vpc_owner="210987654321"),
    ],
    ids=["eni", "private-ip"],
)
def test_a_topology_made_by_hand_reaches_the_lab_as_it_is(topology: Topology) -> None:
    """It goes through the launcher's command line, and takes the place of the preset."""
    settings = Settings(token_ms=700, described=topology)
    arrived = Settings.from_json(settings.to_json())
    assert arrived == settings
    assert arrived.topology() == topology
    assert Settings.from_json(Settings(nodes=3).to_json()) == Settings(nodes=3)


def test_roles_are_types() -> None:
    """A node runs the cluster; a consumer only asks."""
    assert {(type(one), one.role) for one in TWO.instances} == {(Node, "node"), (Consumer, "consumer")}


def test_settings_that_are_not_as_by_default_are_told() -> None:
    """By their names, for the record of a run."""
    assert Settings().chosen() == {}
    assert Settings(mode="eni", seed=7).chosen() == {"mode": "eni", "seed": 7}
    assert Settings(described=topology_for()).chosen() == {"described": "a topology of its own"}
