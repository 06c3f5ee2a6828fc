"""StopInstances on a cluster whose instances shut down first, as EC2 has them do."""

from __future__ import annotations

import time
from typing import Iterator

import pytest

from vpc_lab.lab import Lab
from vpc_lab.settings import Settings
from vpc_lab.waiting import eventually

from .conftest import NAME

pytestmark = pytest.mark.root

OVERLAY = "192.168.10.10"
CONFIGURATION = """
primitive ip ocf:heartbeat:aws-ipfailover \\
    params ip=@OVERLAY_IP@ routing_table="@ROUTE_TABLES@" \\
    op start interval=0 timeout=60s op stop interval=0 timeout=20s op monitor interval=3s timeout=20s
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A cluster with the address on one node, whose system takes a moment to shut down."""
    with Lab.running(f"{NAME}-graceful", Settings(graceful_stop=True, shutdown_seconds=4)) as lab:
        lab.load(CONFIGURATION)
        lab.wait_cluster("the address to be started", lambda now: now.where("ip") is not None)
        yield lab


def state(lab: Lab, name: str) -> str:
    """What EC2 says of an instance."""
    return lab.status().instance(name).state


def answered(lab: Lab) -> bool:
    """Whether a ping to the overlay address is answered."""
    ping = ["ping", "-n", "-c", "1", "-W", "1", OVERLAY]
    return lab.exec("consumer-a", ping, check=False).returncode == 0


def console(lab: Lab, name: str) -> str:
    """What process 1 of an instance said since the lab came up."""
    return (lab.disk(name) / "console.log").read_text(encoding="utf-8")


def test_a_fenced_node_s_resources_run_while_ec2_says_stopping(lab: Lab) -> None:
    """fence_aws stops the holder: it answers while EC2 says `stopping`; its Pacemaker stops the resource; all is off.

    The other node sees it leave, fences nobody, and takes the address.
    """
    holder = lab.wait_cluster("the address", lambda now: now.where("ip") is not None).where("ip")
    assert holder is not None
    other = next(name for name in lab.nodes() if name != holder)
    begun = time.time()
    off = ["fence_aws", "-o", "off", "-r", "eu-central-1", "-n", lab.instance_ids()[holder]]
    with lab.spawn(other, off) as fencing:
        eventually("EC2 to stop the holder", lambda: state(lab, holder) == "stopping", 30)
        # By the holder itself, and while it is stopping: it was when the question was asked, and still is.
        assert set(lab.status().routes[OVERLAY].values()) == {holder}
        assert answered(lab)
        assert fencing.poll() is None
        assert state(lab, holder) == "stopping"
        assert fencing.wait(60) == 0
    assert state(lab, holder) == "stopped"
    assert holder not in lab.powered_nodes()
    said = console(lab, holder)
    assert said.index("stopping pacemakerd") < said.index("stopping corosync") < said.index("powered down")
    logged = (lab.disk(holder) / "var/log/pacemaker/pacemaker.log").read_text(encoding="utf-8")
    assert "Result of stop operation for ip on " + holder + ": ok" in logged
    lab.wait_cluster("the address on the other node", lambda now: now.where("ip") == other)
    stops = [call for call in lab.calls(begun) if call["action"] == "StopInstances"]
    assert len(stops) == 1
    lab.power_on(holder)
    lab.wait_online()


def test_skipping_the_shutdown_leaves_no_time_to_stop(lab: Lab) -> None:
    """With SkipOsShutdown the power goes at once: nothing in the instance is told."""
    name = "consumer-b"
    lab.administer("StopInstances", InstanceId=lab.instance_ids()[name], SkipOsShutdown="true")
    eventually(f"{name} to be stopped", lambda: state(lab, name) == "stopped", 30)
    assert console(lab, name) == ""
    lab.power_on(name)
