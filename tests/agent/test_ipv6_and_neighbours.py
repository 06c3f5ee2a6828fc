"""IPv6, and several resources on one node."""

from __future__ import annotations

from typing import Callable, List

import pytest

from sandbox import Agent, Held, Node, addresses, answers_on, ip
from vpc_lab.ec2 import Fault, Policy, Statement
from vpc_lab.waiting import eventually

OVERLAY6 = "fd00:10::10"


@pytest.fixture
def node6(make_node: Callable[..., Node]) -> Node:
    """A node whose overlay address is IPv6."""
    node = make_node()
    node.agent.parameters["ip"] = OVERLAY6
    node.point_routes_at("node2")
    return node


def test_ipv6(node6: Node) -> None:
    """IPv6: /128, the route by DestinationIpv6CidrBlock; the whole life of a resource."""
    ran = node6.started()
    assert node6.held() == [Held("eth0", f"{OVERLAY6}/128")]
    assert set(node6.routes().values()) == {node6.me.network_interface_id}
    replaced = [call.parameters for call in ran.calls if call.action == "ReplaceRoute"]
    assert {one["DestinationIpv6CidrBlock"] for one in replaced} == {f"{OVERLAY6}/128"}
    assert node6.agent.run("monitor").code == 0
    assert node6.agent.run("monitor", level=10, interval=10).code == 0
    assert node6.agent.run("validate-all", level=10).code == 0
    assert node6.agent.run("start").code == 0
    assert node6.agent.run("stop").code == 0
    assert not answers_on(OVERLAY6)
    assert node6.agent.run("monitor").code == 7


def test_ipv6_is_usable_at_once_and_no_source(node6: Node) -> None:
    """IPv6: no duplicate address detection, which takes a second; never chosen as a source address."""
    node6.started()
    (info,) = [
        one
        for link in ip("-6", "address", "show", "dev", "eth0")
        for one in link["addr_info"]
        if one["local"] == OVERLAY6
    ]
    assert info.get("nodad") is True
    assert info["preferred_life_time"] == 0
    assert "tentative" not in info
    assert answers_on(OVERLAY6)


def test_ipv6_route_that_is_missing(node6: Node) -> None:
    """IPv6: CreateRoute for a table without the route; where that is denied, the command has the right option."""
    node6.aws.account.delete_route(f"{OVERLAY6}/128")
    may = Statement(("ec2:ReplaceRoute",))
    node6.aws.account.identities.restrict_instances(Policy((may,)))
    ran = node6.agent.run("start")
    assert ran.code == 4, ran
    assert f"--destination-ipv6-cidr-block {OVERLAY6}/128" in ran.reason
    assert not answers_on(OVERLAY6)
    node6.aws.account.identities.restrict_instances(None)
    assert node6.started().ec2.count("CreateRoute") == 2


@pytest.mark.parametrize("prefix", [128, 64, 48])
def test_ipv6_stop_with_whatever_prefix(node6: Node, prefix: int) -> None:
    """IPv6: stop with whatever prefix, spelling and device."""
    ip("-6", "address", "add", f"{OVERLAY6}/{prefix}", "dev", "eth0", "nodad")
    ip("-6", "address", "add", f"{OVERLAY6}/128", "dev", "lo", "nodad")
    ran = node6.agent.run("stop", {"ip": "FD00:0010:0::0010"})
    assert ran.code == 0, ran
    assert not answers_on(OVERLAY6)


def test_ipv6_elsewhere(node6: Node) -> None:
    """IPv6: a monitor at level 10 sees where the IPv6 route leads."""
    node6.hold()
    node6.point_routes_at("node2")
    ran = node6.agent.run("monitor", {"on_drift": "restart"}, level=10, interval=10)
    assert ran.code == 1, ran
    assert f"{OVERLAY6}/128" in ran.reason


def test_a_label_means_nothing_to_ipv6(node6: Node) -> None:
    """iflabel: labels are IPv4's; with an IPv6 address it is no error."""
    ran = node6.agent.run("start", {"iflabel": "vip"})
    assert ran.code == 0, ran
    assert node6.held() == [Held("eth0", f"{OVERLAY6}/128")]


# -- several resources -----------------------------------------------------------------------------------------------


def second(node: Node, address: str = "192.168.10.20") -> Agent:
    """Another resource on the same node, with the same tables."""
    for table in node.tables:
        node.aws.account.put_route(f"{address}/{128 if ':' in address else 32}", "node2", table)
    return Agent({**node.agent.parameters, "ip": address}, dict(node.agent.environ), node.aws)


@pytest.mark.parametrize("address", ["192.168.10.1", OVERLAY6])
def test_two_resources_on_one_node(node: Node, address: str) -> None:
    """Two resources on one node share a route table, and know nothing of each other: each starts and stops alone."""
    other = second(node, address)
    node.started()
    assert other.run("start").code == 0
    assert answers_on(node.address)
    assert answers_on(address)
    assert node.agent.run("stop").code == 0
    assert not answers_on(node.address)
    assert answers_on(address)
    assert other.run("monitor", level=10, interval=10).code == 0
    assert other.run("stop").code == 0
    assert not answers_on(address)


def test_two_resources_with_one_label(node: Node) -> None:
    """Two addresses with the same label are two addresses."""
    other = second(node)
    assert node.agent.run("start", {"iflabel": "vip"}).code == 0
    assert other.run("start", {"iflabel": "vip"}).code == 0
    assert node.agent.run("stop").code == 0
    assert [one.address for one in addresses() if one.label == "eth0:vip"] == ["192.168.10.20/32"]


def test_each_remembers_its_own_write(node: Node) -> None:
    """What one resource wrote explains nothing of another one's routes."""
    other = second(node)
    node.started()
    ip("address", "add", "192.168.10.20/32", "dev", "eth0")
    ran = other.run("monitor", {"on_drift": "restart"}, level=10, interval=10)
    assert ran.code == 1, ran


def test_concurrent_actions_of_many_resources(node: Node) -> None:
    """Several resources are started at the same time, then stopped at the same time: all succeed."""
    agents: List[Agent] = [second(node, f"192.168.11.{number}") for number in range(1, 5)]
    for action, held in (("start", 4), ("stop", 0)):
        started = [agent.begin(action) for agent in agents]
        codes = [one.end() for one in started]
        assert [ran.code for ran in codes] == [0] * 4, "\n".join(map(str, codes))
        assert len([one for one in addresses() if one.address.startswith("192.168.11.")]) == held


def test_stop_beside_a_start_that_waits(node: Node) -> None:
    """A stop that comes while a start still waits for EC2 does its work, and the start leaves nothing behind either."""
    number = node.aws.faults.add(Fault("hang", action="ReplaceRoute"))
    with node.agent.begin("start", timeout=60) as running:
        eventually("the routes are being written", lambda: len(node.aws.calls("ReplaceRoute")) == 2)
        ran = node.agent.run("stop")
        assert ran.code == 0, ran
        assert node.held() == []
        running.process.terminate()
        assert running.end().code == 1
    node.aws.faults.remove(number)
    assert node.held() == []
