"""A cluster of three nodes in three availability zones: a majority decides, and nobody races to fence."""

from __future__ import annotations

from typing import Iterator, cast

import pytest

from vpc_lab.faults import Partition
from vpc_lab.judge.audits import held
from vpc_lab.lab import Lab
from vpc_lab.settings import Settings

from .conftest import NAME, Audited

pytestmark = pytest.mark.root

OVERLAY = "192.168.10.10"
CONFIGURATION = """
primitive ip ocf:heartbeat:aws-ipfailover \\
    params ip=@OVERLAY_IP@ routing_table="@ROUTE_TABLES@" \\
    op start interval=0 timeout=60s op stop interval=0 timeout=20s \\
    op monitor interval=3s timeout=20s op monitor interval=5s timeout=20s OCF_CHECK_LEVEL=10
"""
CONSUMERS = ("consumer-a", "consumer-b", "consumer-c", "onprem")


@pytest.fixture(scope="module")
def cluster_lab() -> Iterator[Lab]:
    """The cluster, online, with the address on one of its nodes."""
    with Lab.running(f"{NAME}-three", Settings(nodes=3)) as lab:
        lab.load(CONFIGURATION)
        lab.settle()
        yield lab


@pytest.fixture
def three(audited: Audited) -> Iterator[Audited]:
    """The same under audit; afterwards every link and every node is back."""
    yield audited
    lab = audited.lab
    lab.heal()
    for name in set(lab.nodes()) - set(lab.powered_nodes()):
        lab.power_on(name)
    lab.wait_online()


def active(lab: Lab) -> str:
    """The node that has the address."""
    return cast("str", lab.wait_cluster("the address somewhere", lambda now: now.where("ip") is not None).where("ip"))


def assert_served_by(lab: Lab, node: str) -> None:
    """The address is on this node alone, every table leads there, and every consumer reaches it."""
    lab.settle()
    assert active(lab) == node
    assert [name for name in lab.awake_nodes() if OVERLAY in held(lab, name)] == [node]
    routes = lab.status().routes[OVERLAY]
    assert len(routes) == 3
    assert set(routes.values()) == {node}
    for consumer in CONSUMERS:
        lab.exec(consumer, ["ping", "-n", "-c", "1", "-W", "2", OVERLAY])


def stopped_by(lab: Lab, since: float) -> set[tuple[str, str]]:
    """Who had whom stopped by EC2, by instance id of the latter."""
    return {
        (call["caller"], call["parameters"]["InstanceId.1"])
        for call in lab.calls(since)
        if call["action"] == "StopInstances" and call["outcome"] == "ok"
    }


def test_the_address_moves_to_each_node(three: Audited) -> None:
    """From zone to zone; a route table and a consumer is in each."""
    lab = three.lab
    first = active(lab)
    others = [name for name in lab.nodes() if name != first]
    assert len(others) == 2
    for node in (*others, first):
        lab.exec(node, ["crm_resource", "--move", "--resource", "ip", "--node", node])
        lab.settle()
        lab.exec(node, ["crm_resource", "--clear", "--resource", "ip"])
        assert_served_by(lab, node)


def test_two_of_three_keep_quorum(three: Audited) -> None:
    """The active node loses its power: the others fence it and go on, on one of them."""
    lab = three.lab
    lost = active(lab)
    three.may_be_fenced.append(lost)
    lab.power_off(lost)
    lab.wait_fenced(lost)
    now = lab.wait_cluster("the address on another node", lambda now: now.where("ip") not in (None, lost))
    assert now.quorum
    assert len(now.online) == 2
    assert_served_by(lab, cast("str", now.where("ip")))


def test_one_of_three_fences_nobody(three: Audited) -> None:
    """The active node is cut off from both others: it has no quorum, so only they fence, and only it is fenced."""
    lab = three.lab
    alone = active(lab)
    three.may_be_fenced.append(alone)
    since = lab.events()[-1]["time"]
    for other in lab.nodes():
        if other != alone:
            lab.inject(Partition(alone, other))
    lab.wait_fenced(alone)
    now = lab.wait_cluster("the address on another node", lambda now: now.where("ip") not in (None, alone))
    assert now.quorum
    assert_served_by(lab, cast("str", now.where("ip")))
    fenced = stopped_by(lab, since)
    assert {instance for _, instance in fenced} == {lab.instance_ids()[alone]}
    assert alone not in {caller for caller, _ in fenced}
