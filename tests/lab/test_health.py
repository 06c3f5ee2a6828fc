"""The health agent on a real cluster: a standby that has lost a right is not chosen, and an outage moves nothing."""

from __future__ import annotations

import os
import re
from typing import Dict, Iterator, cast

import pytest

from vpc_lab.faults import ApiError, Unreachable
from vpc_lab.judge.audits import held
from vpc_lab.lab import Lab
from vpc_lab.settings import Settings
from vpc_lab.waiting import eventually

pytestmark = pytest.mark.root

OVERLAY = "192.168.10.10"
NAME = "#health-aws-ipfailover"
INTERVAL, LOOK, DAMPEN = 5, 10, 1  # seconds
# node1 is preferred to node2, and node2 to node3.
CONFIGURATION = f"""
primitive ip ocf:heartbeat:aws-ipfailover \\
    params ip=@OVERLAY_IP@ routing_table="@ROUTE_TABLES@" \\
    op start interval=0 timeout=20s op stop interval=0 timeout=20s \\
    op monitor interval=3s timeout=20s op monitor interval=4s timeout=20s OCF_CHECK_LEVEL=10
primitive health ocf:heartbeat:aws-ipfailover-health params dampen={DAMPEN}s \\
    op start interval=0 timeout=20s op stop interval=0 timeout=20s \\
    op monitor interval={INTERVAL}s timeout={2 * LOOK}s
clone health_clone health meta interleave=true allow-unhealthy-nodes=true
location first ip 200: node1
location second ip 100: node2
rsc_defaults resource-stickiness=1000 migration-threshold=3 failure-timeout=60s
"""
OPTIONS = ("node-health-strategy", "node-health-base", "node-health-red")


@pytest.fixture(scope="module")
def booted() -> Iterator[Lab]:
    """A cluster of three nodes with an address, and the health agent on each."""
    with Lab.running(f"test-{os.getpid()}-health", Settings(nodes=3)) as lab:
        lab.load(CONFIGURATION)
        lab.settle()
        yield lab


@pytest.fixture
def lab(booted: Lab) -> Iterator[Lab]:
    """The same; afterwards every node is back and healthy."""
    wait_colours(booted, dict.fromkeys(booted.nodes(), "green"))
    yield booted
    booted.heal()
    for name in set(booted.nodes()) - set(booted.powered_nodes()):
        booted.power_on(name)
    booted.wait_online()
    booted.forget_failures()


def colours(lab: Lab) -> Dict[str, str]:
    """The colour of each node that has one."""
    asking = ["attrd_updater", "--query", "--all", "--name", NAME]
    said = lab.exec(lab.awake_node(), asking, check=False).stdout
    return dict(re.findall(r'host="(\w+)" value="(\w*)"', said))


def wait_colours(lab: Lab, expected: Dict[str, str]) -> None:
    """Wait for these colours, no longer than one interval, one look, and what Pacemaker waits for changes."""
    eventually(f"the colours {expected}", lambda: colours(lab) == expected, INTERVAL + LOOK + DAMPEN + 5.0)


def choose(lab: Lab, strategy: str) -> None:
    """Set the cluster's options for a strategy; those of `progressive` are the page's."""
    for name, value in zip(OPTIONS, (strategy, "500", "-500")):
        lab.exec(lab.awake_node(), ["crm_attribute", "--name", name, "--update", value])
    lab.settle()


def test_a_standby_that_has_lost_a_right_is_not_chosen(lab: Lab) -> None:
    """It turns red within one interval, and at the failover the address goes to the node behind it."""
    choose(lab, "only-green")
    status = lab.cluster_status()
    old = cast("str", status.where("ip") if status else None)
    red, healthy = (name for name in lab.nodes() if name != old)  # in the order in which they are preferred
    lab.inject(ApiError("UnauthorizedOperation", action="ReplaceRoute", caller=red))
    wait_colours(lab, {old: "green", red: "red", healthy: "green"})
    lab.settle()
    status = lab.cluster_status()
    assert status is not None
    assert (status.where("ip"), status.failures) == (old, ())
    lab.power_off(old)
    lab.wait_cluster("the address on the healthy node", lambda now: now.where("ip") == healthy, 90.0)
    assert OVERLAY in held(lab, healthy)
    assert set(lab.status().routes[OVERLAY].values()) == {healthy}
    lab.heal()
    wait_colours(lab, {**colours(lab), red: "green"})


def test_an_outage_turns_nobody_red(lab: Lab) -> None:
    """All nodes turn yellow while EC2 is out of reach; with `progressive` nothing is started, stopped or moved."""
    choose(lab, "progressive")
    before = actions(lab)
    status = lab.cluster_status()
    node = cast("str", status.where("ip") if status else None)
    lab.inject(Unreachable())
    wait_colours(lab, dict.fromkeys(lab.nodes(), "yellow"))
    lab.settle()
    assert OVERLAY in held(lab, node)
    lab.heal()
    wait_colours(lab, dict.fromkeys(lab.nodes(), "green"))
    assert actions(lab) == before


def actions(lab: Lab) -> str:
    """The last start and stop of the address on each node, with the number of the call."""
    path = "//lrm_resource[@id='ip']/lrm_rsc_op[@operation='start' or @operation='stop']"
    return lab.exec(lab.nodes()[0], ["cibadmin", "--query", "--xpath", path]).stdout
