"""Faults of an instance that runs Pacemaker: what it does to the cluster, and what healing leaves to it."""

from __future__ import annotations

import time
from typing import FrozenSet, Iterator

import pytest

from vpc_lab.cluster import TRANSITION, actions_left
from vpc_lab.faults import AddressRemoved, Partition, Reboot
from vpc_lab.judge.audits import held
from vpc_lab.lab import Lab
from vpc_lab.scenarios.stage import operations
from vpc_lab.settings import Settings
from vpc_lab.waiting import eventually

from .conftest import NAME

pytestmark = pytest.mark.root

OVERLAY = "192.168.10.10"
# So that no monitor mends anything while a test looks.
CONFIGURATION = """
property stonith-enabled=false
primitive ip ocf:heartbeat:aws-ipfailover \\
    params ip=@OVERLAY_IP@ routing_table="@ROUTE_TABLES@" \\
    op start interval=0 timeout=60s op stop interval=0 timeout=20s op monitor interval=3600s timeout=20s
"""


@pytest.fixture(scope="module")
def booted() -> Iterator[Lab]:
    """A cluster with the address."""
    with Lab.running(f"{NAME}-faults", Settings(fencing=False)) as lab:
        lab.load(CONFIGURATION)
        lab.settle()
        yield lab


@pytest.fixture
def lab(booted: Lab) -> Iterator[Lab]:
    """The same, with the address started; afterwards no fault is left."""
    started(booted)
    yield booted
    booted.heal()
    node = booted.nodes()[0]
    booted.exec(node, ["crm_resource", "--meta", "--resource", "ip", "-d", "target-role"])
    booted.forget_failures()


def started(lab: Lab) -> str:
    """The node that has the address."""
    node = lab.wait_cluster("the address started", lambda now: now.where("ip") is not None).where("ip")
    assert node is not None
    return node


def test_an_address_that_pacemaker_has_not_noticed_comes_back(lab: Lab) -> None:
    """Nothing was started or stopped since: it is the fault that is undone, and nobody's work."""
    node = started(lab)
    # Pacemaker notes its operations in whole seconds: of one in the same second nobody knows which was first.
    begun = int(time.time())
    eventually("the second of the last operation to be over", lambda: int(time.time()) > begun, 5)
    with lab.inject(AddressRemoved(node, OVERLAY)):
        assert OVERLAY not in held(lab, node)
    assert OVERLAY in held(lab, node)


def test_an_address_that_pacemaker_has_stopped_does_not_come_back(lab: Lab) -> None:
    """It is nowhere, as it should be; put back, it would be on a node that nobody looks at."""
    node = started(lab)
    with lab.inject(AddressRemoved(node, OVERLAY)):
        lab.exec(node, ["crm_resource", "--meta", "--resource", "ip", "-p", "target-role", "-v", "Stopped"])
        lab.settle()
    assert OVERLAY not in held(lab, node)


def test_an_address_that_pacemaker_has_mended_is_left_alone(lab: Lab) -> None:
    """A start has put it there again: once, and healing changes nothing."""
    node = started(lab)
    with lab.inject(AddressRemoved(node, OVERLAY)):
        lab.exec(node, ["crm_resource", "--refresh", "--resource", "ip"])
        eventually("the address to be started again", lambda: OVERLAY in held(lab, started(lab)), 30)
        lab.settle()
    node = started(lab)
    assert OVERLAY in held(lab, node)
    shown = lab.exec(node, ["ip", "-o", "address", "show", "to", OVERLAY]).stdout
    assert shown.count("\n") == 1


def test_a_reboot_stops_the_services_in_order(lab: Lab) -> None:
    """The address is stopped and taken by the other node, nobody is fenced, and the node comes back by itself."""
    old = started(lab)
    new = next(name for name in lab.nodes() if name != old)
    console = lab.disk(old) / "console.log"
    before = len(console.read_text(encoding="utf-8"))
    lab.inject(Reboot(old))
    lab.wait_cluster("the address on the other node", lambda now: now.where("ip") == new, 60)
    eventually("the reboot to be over", lambda: not lab.faults(), 60)
    said = console.read_text(encoding="utf-8")[before:]
    assert said.index("stopping pacemakerd") < said.index("stopping corosync") < said.index("powered down")
    assert lab.status().instance(old).state == "running"
    lab.wait_online()
    assert not [call for call in lab.calls() if call["action"] == "StopInstances"]


def test_a_partition_of_one_direction_breaks_the_membership_until_it_is_healed(lab: Lab) -> None:
    """Corosync's token needs both directions: each node is alone, and both are one cluster again."""
    with lab.inject(Partition("node1", "node2", one_way=True)):

        def alone() -> bool:
            seen = [lab.cluster_status(node) for node in lab.nodes()]
            return all(now is not None and len(now.online) == 1 for now in seen)

        eventually("each node to be alone", alone, 30)
    lab.wait_online()


def test_settling_lasts_until_everything_is_done(lab: Lab) -> None:
    """A start of three seconds and the monitor after it; not a moment before both are in the cluster's history."""
    node = started(lab)
    slow = ["slow", "ocf:pacemaker:Dummy", "params", "op_sleep=3", "op", "monitor", "interval=3600s", "timeout=20s"]
    lab.exec(node, ["crm", "configure", "primitive", *slow])
    lab.settle()
    path = "//lrm_resource[@id='slow']/lrm_rsc_op[@rc-code='0']"
    done = operations(lab.exec(node, ["cibadmin", "--query", "--xpath", path]).stdout)
    lab.exec(node, ["crm", "--force", "configure", "delete", "slow"], check=False)
    assert len(done) == 2
    assert {"start", "monitor"} <= {word for entry in done for word in entry.split()}


def test_a_monitor_that_is_repeated_for_ever_is_not_waited_for(lab: Lab) -> None:
    """A failure without a fail count, as the controller leaves one of a monitor that fails during a transition.

    Once failure-timeout is over, the scheduler starts that monitor again whenever it looks.
    """
    node = started(lab)
    operation = ["op", "monitor", "interval=1s", "on-fail=ignore", "meta", "failure-timeout=10s"]
    lab.exec(node, ["crm", "configure", "primitive", "failed", "ocf:pacemaker:Dummy", *operation])
    there = lab.wait_cluster("the second resource", lambda now: now.where("failed") is not None).where("failed")
    assert there is not None
    state = "/run/Dummy-failed.state"
    lab.exec(there, ["rm", state])
    lab.wait_cluster("a fail count", lambda now: now.fail_counts.get((there, "failed"), "0") != "0")
    lab.exec(there, ["touch", state])
    for what in ("fail-count", "last-failure"):
        lab.exec(there, ["attrd_updater", "--delete", "--name", f"{what}-failed#monitor_1000", "--node", there])

    def left() -> FrozenSet[str]:
        return actions_left(lab.exec(node, TRANSITION).stdout)

    eventually("a monitor that is begun again", left, 30.0)
    lab.settle()
    repeated = left()
    lab.exec(node, ["crm", "--force", "configure", "delete", "failed"], check=False)
    assert repeated == {f"failed_monitor_1000 on {there}"}
