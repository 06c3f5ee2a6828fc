"""What somebody changes in EC2 behind the cluster's back, on a real cluster: nothing behind the address stops."""

from __future__ import annotations

import os
from typing import Iterator, List, cast

import pytest

from vpc_lab.cluster import ClusterStatus, Failure
from vpc_lab.faults import AccessDenied, RouteDeleted, RouteTableDeleted, SourceDestCheck
from vpc_lab.judge.audits import held
from vpc_lab.lab import Lab
from vpc_lab.settings import Settings
from vpc_lab.waiting import eventually

pytestmark = pytest.mark.root

OVERLAY = "192.168.10.10"
DESTINATION = f"{OVERLAY}/32"
# As SAP's central services have it: file system, address, instance.
CONFIGURATION = """
primitive fs ocf:heartbeat:Dummy op monitor interval=10s timeout=20s
primitive ip ocf:heartbeat:aws-ipfailover \\
    params ip=@OVERLAY_IP@ routing_table="@ROUTE_TABLES@" \\
    op start interval=0 timeout=20s op stop interval=0 timeout=20s \\
    op monitor interval=3s timeout=20s op monitor interval=4s timeout=20s OCF_CHECK_LEVEL=10
primitive app ocf:heartbeat:Dummy op monitor interval=10s timeout=20s
group sap fs ip app
rsc_defaults resource-stickiness=1000 migration-threshold=3 failure-timeout=60s
"""


@pytest.fixture(scope="module")
def booted() -> Iterator[Lab]:
    """A cluster with the group, and a route table that no subnet uses."""
    with Lab.running(f"test-{os.getpid()}-drift", Settings(extra_route_tables=1)) as lab:
        lab.load(CONFIGURATION)
        lab.settle()
        yield lab


@pytest.fixture
def lab(booted: Lab) -> Iterator[Lab]:
    """The group started, its last write to EC2 more than a minute ago; afterwards everything is well again."""
    started(booted)
    forget_writes(booted)
    yield booted
    booted.heal()
    node = booted.nodes()[0]
    booted.exec(node, ["crm_resource", "--meta", "--resource", "ip", "-d", "is-managed"])
    booted.exec(node, ["crm_resource", "--clear", "--resource", "sap"])
    booted.forget_failures()


def started(lab: Lab) -> str:
    """Wait until the whole group is started; the node."""
    now = lab.wait_cluster("the group started", lambda now: all(now.where(one) for one in ("fs", "ip", "app")), 60.0)
    return cast("str", now.where("ip"))


def forget_writes(lab: Lab) -> None:
    """Make what the agent remembers of its own writes older than the minute in which EC2's reads may lag."""
    older = (
        "import json, pathlib\n"
        "for path in pathlib.Path('/run/resource-agents').glob('aws-ipfailover-*.json'):\n"
        "    noted = json.loads(path.read_text())\n"
        "    if 'at' in noted:\n"
        "        noted['at'] -= 61\n"
        "        path.write_text(json.dumps(noted))\n"
    )
    for node in lab.nodes():
        lab.exec(node, ["python3", "-c", older])


def starts(lab: Lab, node: str) -> str:
    """When the application was started: its state file's inode and time."""
    return lab.exec(node, ["stat", "-c", "%i %y", "/run/resource-agents/Dummy-app.state"]).stdout


def degraded(now: ClusterStatus) -> List[Failure]:
    """What crm_mon shows of the address as degraded."""
    return [entry for entry in now.failures if entry.operation.startswith("ip_monitor") and entry.exit_code == 190]


def wait_degraded(lab: Lab, text: str) -> None:
    """Wait until crm_mon says so of the address."""
    lab.wait_cluster(
        f"crm_mon showing '{text}'", lambda now: any(text in entry.exit_reason for entry in degraded(now)), 40.0
    )


def routes(lab: Lab) -> List[object]:
    """Where the tables lead the address: nodes' names."""
    return list(lab.status().routes[OVERLAY].values())


def reaches(lab: Lab, consumer: str) -> bool:
    """Whether a ping is answered."""
    done = lab.exec(consumer, ["ping", "-n", "-c", "2", "-i", "0.1", "-W", "1", OVERLAY], check=False)
    return done.returncode == 0


def test_a_route_removed_by_somebody_else_is_mended_and_nothing_restarts(lab: Lab) -> None:
    """P2: one ReplaceRoute or CreateRoute mends it within a monitor; the group behind the address goes on."""
    node = started(lab)
    before = starts(lab, node)
    lab.inject(RouteDeleted(DESTINATION, lab.status().route_tables[0]))
    eventually("the route there again", lambda: set(routes(lab)) == {node}, 40.0)
    lab.settle()
    assert starts(lab, node) == before
    assert reaches(lab, "consumer-a")
    assert lab.wait_cluster("no failure", lambda now: not now.failures)


def test_nothing_is_written_while_pacemaker_does_not_manage_it(lab: Lab) -> None:
    """An unmanaged resource's drift is reported, and mended as soon as it is managed again."""
    node, table = started(lab), lab.status().route_tables[0]
    lab.exec(node, ["crm_resource", "--meta", "--resource", "ip", "-p", "is-managed", "-v", "false"])
    lab.inject(RouteDeleted(DESTINATION, table))
    wait_degraded(lab, "not managed by Pacemaker")
    assert lab.status().routes[OVERLAY][table] is None
    lab.exec(node, ["crm_resource", "--meta", "--resource", "ip", "-d", "is-managed"])
    eventually("the route there again", lambda: set(routes(lab)) == {node}, 40.0)


def test_a_check_that_is_switched_on_is_switched_off_in_operation(lab: Lab) -> None:
    """A source/destination check that somebody switches on drops every packet: the next monitors put it right."""
    node = started(lab)
    before = starts(lab, node)
    lab.inject(SourceDestCheck(node))
    eventually("the address reached again", lambda: reaches(lab, "consumer-b"), 40.0)
    assert starts(lab, node) == before


def test_a_standby_that_would_answer_nobody_refuses_with_the_command(lab: Lab) -> None:
    """P3: its check is on and it may not switch it off: it does not "succeed", and the service returns where it was."""
    old = started(lab)
    new = next(name for name in lab.nodes() if name != old)
    lab.inject(AccessDenied("ModifyNetworkInterfaceAttribute"))
    lab.inject(SourceDestCheck(new))
    lab.exec(old, ["crm_resource", "--move", "--resource", "sap", "--node", new])
    lab.wait_cluster(
        "the refusal in crm_mon",
        lambda now: any(
            entry.node == new and entry.exit_code == 2 and "switch it off: aws ec2" in entry.exit_reason
            for entry in now.failures
        ),
        60.0,
    )
    lab.exec(old, ["crm_resource", "--clear", "--resource", "sap"])
    assert started(lab) == old
    eventually("the routes back", lambda: set(routes(lab)) == {old}, 40.0)
    assert reaches(lab, "consumer-a")


def test_a_deleted_table_stops_nothing_and_hinders_no_failover(lab: Lab) -> None:
    """P1: crm_mon shows it, the application goes on; a power cut moves the service to a node that serves it."""
    old = started(lab)
    new = next(name for name in lab.nodes() if name != old)
    before = starts(lab, old)
    table = lab.status().route_tables[-1]
    lab.inject(RouteTableDeleted(table))
    wait_degraded(lab, f"{table} does not exist: remove it from routing_table")
    assert starts(lab, old) == before
    assert reaches(lab, "consumer-a")
    lab.power_off(old)
    lab.wait_cluster("the group on the other node", lambda now: now.where("app") == new, 90.0)
    assert OVERLAY in held(lab, new)
    for consumer in ("consumer-a", "consumer-b", "onprem"):
        assert reaches(lab, consumer)
    wait_degraded(lab, table)
    lab.power_on(old)
    lab.wait_online()
