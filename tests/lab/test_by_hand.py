"""`aws-ipfailover take`, `release` and `where` on a real cluster: what it manages is refused, until it does not."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from vpc_lab.judge.audits import held
from vpc_lab.lab import Completed, Lab
from vpc_lab.settings import Settings

from .conftest import NAME

pytestmark = pytest.mark.root

OVERLAY = "192.168.10.10"
COMMAND = str(Path(sys.executable).with_name("aws-ipfailover"))
CONFIGURATION = """
property stonith-enabled=false
primitive ip_x ocf:heartbeat:aws-ipfailover \\
    params ip=@OVERLAY_IP@ routing_table="@ROUTE_TABLES@" \\
    op start interval=0 timeout=60s op stop interval=0 timeout=20s op monitor interval=3s timeout=20s
primitive other ocf:heartbeat:Dummy
group g_x ip_x other
location first g_x 100: node1
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A cluster of two nodes with the address on node1, in a group."""
    with Lab.running(f"{NAME}-by-hand", Settings(fencing=False)) as booted:
        booted.load(CONFIGURATION)
        booted.wait_cluster("the address on node1", lambda now: now.where("ip_x") == "node1", 60)
        booted.settle()
        yield booted


def typed(lab: Lab) -> List[str]:
    """The resource's parameters, as they are typed."""
    return [f"ip={OVERLAY}", f"routing_table={','.join(lab.status().route_tables)}"]


def run(lab: Lab, node: str, *arguments: str) -> Completed:
    """Run a command on a node."""
    return lab.exec(node, [COMMAND, *arguments], check=False)


def where(lab: Lab) -> Dict[str, str]:
    """What `where` says of the resource on each node."""
    return {node: location(lab, node)["where"] for node in lab.nodes()}


def location(lab: Lab, node: str) -> Dict[str, Any]:
    """The only location of `where` on a node; its exit code fits."""
    done = run(lab, node, "where", "ip_x", "--json")
    (found,) = json.loads(done.stdout)["locations"]
    assert done.returncode == {"here": 0, "elsewhere": 1, "could not find out": 3}[found["where"]], done
    return dict(found)


def test_what_the_cluster_manages_is_refused(lab: Lab) -> None:
    """With the command that moves the group, on the node that would take it and on the one that has it; it works."""
    assert where(lab) == {"node1": "here", "node2": "elsewhere"}
    assert [one["name"] for one in location(lab, "node2")["holders"]] == ["node1"]
    for what in (typed(lab), ["ip_x"]):
        done = run(lab, "node2", "take", *what)
        assert (done.returncode, done.stderr.splitlines()[-1]) == (
            1,
            "use this instead: crm resource move g_x node2",
        ), done
        done = run(lab, "node1", "release", *what)
        assert (done.returncode, done.stderr.splitlines()[-1]) == (
            1,
            "use this instead: crm resource move g_x node2",
        ), done
    assert OVERLAY in held(lab, "node1")
    assert OVERLAY not in held(lab, "node2")
    lab.exec("node1", ["crm", "resource", "move", "g_x", "node2"])
    lab.wait_cluster("the address on node2", lambda now: now.where("ip_x") == "node2", 60)
    assert where(lab) == {"node1": "elsewhere", "node2": "here"}
    lab.exec("node1", ["crm", "resource", "move", "g_x", "node1"])
    lab.wait_cluster("the address on node1", lambda now: now.where("ip_x") == "node1", 60)
    lab.exec("node1", ["crm", "resource", "clear", "g_x"])
    lab.settle()


def test_it_works_in_maintenance_mode(lab: Lab) -> None:
    """Released on one node and taken on the other, and back; then the cluster goes on with what it finds."""
    lab.exec("node1", ["crm_attribute", "--name", "maintenance-mode", "--update", "true"])
    lab.settle()
    for old, new in (("node1", "node2"), ("node2", "node1")):
        done = run(lab, old, "release", "ip_x")
        assert done.returncode == 0, done
        done = run(lab, new, "take", "ip_x")
        assert done.returncode == 0, done
        assert where(lab) == {new: "here", old: "elsewhere"}
        assert set(lab.status().routes[OVERLAY].values()) == {new}
    lab.exec("node1", ["crm_attribute", "--name", "maintenance-mode", "--delete"])
    lab.settle()
    status = lab.cluster_status()
    assert status is not None
    assert (status.where("ip_x"), OVERLAY in held(lab, "node1")) == ("node1", True)


def test_a_plan_is_permitted_on_both_nodes(lab: Lab) -> None:
    """By the resource's id; EC2 is asked with each node's own role."""
    for node in lab.nodes():
        done = run(lab, node, "plan", "ip_x")
        assert done.returncode == 0, done
        assert done.stdout.count("; permitted") == len(lab.status().route_tables)


def test_a_pacemaker_that_does_not_answer_forbids_it(lab: Lab) -> None:
    """Whether it manages the address is not known: nothing is done."""
    lab.exec("node2", ["sh", "-c", "kill -STOP $(pidof pacemaker-based)"])
    try:
        done = run(lab, "node2", "take", *typed(lab))
    finally:
        lab.exec("node2", ["sh", "-c", "kill -CONT $(pidof pacemaker-based)"])
    assert done.returncode == 3, done
    assert "could not be found out" in done.stderr
    assert OVERLAY not in held(lab, "node2")
