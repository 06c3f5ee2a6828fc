"""`aws-ipfailover status` and `history` on the nodes of a real cluster."""

from __future__ import annotations

import json
import sys
from typing import Any, Dict, Iterator

import pytest

from lab.configurations import load
from vpc_lab.lab import Lab
from vpc_lab.settings import Settings

from .conftest import NAME

pytestmark = pytest.mark.root
COMMAND = (sys.executable, "-m", "aws_ipfailover.cli.main")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A cluster with one overlay address."""
    with Lab.running(f"{NAME}-status", Settings()) as running:
        assert load(running, "overlay-ip.crm") == []
        running.wait_cluster("the address", lambda now: now.where("ip_service") is not None)
        running.settle()
        yield running


def asked(lab: Lab, node: str, *arguments: str) -> Dict[str, Any]:
    """The JSON of `status` on a node, with the exit code."""
    done = lab.exec(node, [*COMMAND, "status", "--json", *arguments], check=False)
    return {**json.loads(done.stdout), "code": done.returncode}


def test_every_node_says_the_same(lab: Lab) -> None:
    """The active one and the standby: who holds it, by nodes' names; only the active one's kernel has the address."""
    holder = lab.wait_cluster("the address", lambda now: now.where("ip_service") is not None).where("ip_service")
    for node in lab.nodes():
        answer = asked(lab, node)
        (one,) = answer["resources"]
        assert (answer["code"], one["verdict"]) == (0, "agree"), one["sentences"]
        assert one["resource"] == "ip_service"
        assert {route["instance"]["node"] for route in one["ec2"]["routes"]} == {holder}
        assert one["pacemaker"]["nodes"] == [holder]
        assert (one["this_node"]["name"], one["kernel"]["state"]) == (node, "here" if node == holder else "not here")


def test_a_route_that_somebody_moved(lab: Lab) -> None:
    """All see that EC2 leads elsewhere than Pacemaker has it started."""
    status = lab.status()
    holder = lab.wait_cluster("the address", lambda now: now.where("ip_service") is not None).where("ip_service")
    other = next(node for node in lab.nodes() if node != holder)
    lab.exec(other, ["crm_attribute", "--name", "maintenance-mode", "--update", "true"])  # no monitor may mend it
    lab.administer(
        "ReplaceRoute",
        RouteTableId=status.route_tables[0],
        DestinationCidrBlock=f"{status.overlay}/32",
        NetworkInterfaceId=status.network_interfaces[other],
    )
    try:
        for node in lab.nodes():
            answer = asked(lab, node, "ip_service")
            (one,) = answer["resources"]
            assert answer["code"] == 1
            assert not one["pacemaker"]["managed"]
            assert any("at once" in sentence for sentence in one["sentences"])
            assert any(f"started on {holder}" in sentence for sentence in one["sentences"])
    finally:
        lab.administer(
            "ReplaceRoute",
            RouteTableId=status.route_tables[0],
            DestinationCidrBlock=f"{status.overlay}/32",
            NetworkInterfaceId=status.network_interfaces[str(holder)],
        )
        lab.exec(other, ["crm_attribute", "--name", "maintenance-mode", "--delete"])
        lab.settle()


def test_a_resource_that_nobody_knows(lab: Lab) -> None:
    """The command line is wrong, and it says what there is."""
    done = lab.exec("node1", [*COMMAND, "status", "--json", "nobody"], check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "has no resource 'nobody'; of this agent it has ip_service" in done.stderr


def test_disabled(lab: Lab) -> None:
    """Stopped on purpose, nobody holds it, and that is in order; where the routes still lead is told."""
    lab.exec("node1", ["crm_resource", "--resource", "ip_service", "--meta", "-p", "target-role", "-v", "Stopped"])
    lab.settle()
    try:
        answer = asked(lab, "node1")
        (one,) = answer["resources"]
        assert answer["code"] == 0, one["sentences"]
        assert one["sentences"][0].startswith("stopped, nobody holds it; EC2 still leads to node")
    finally:
        lab.exec("node1", ["crm_resource", "--resource", "ip_service", "--meta", "-d", "target-role"])
        lab.settle()


def test_the_history_of_a_move(lab: Lab) -> None:
    """Each node tells its own part, from Pacemaker's log file: the stop here, the start there, and what it wrote."""
    before = lab.wait_cluster("the address", lambda now: now.where("ip_service") is not None).where("ip_service")
    other = next(node for node in lab.nodes() if node != before)
    lab.exec(other, ["crm_resource", "--resource", "ip_service", "--move", "--node", other])
    lab.wait_cluster("the move", lambda now: now.where("ip_service") == other)
    lab.settle()
    lab.exec(other, ["crm_resource", "--resource", "ip_service", "--clear"])
    last = {}
    for node in lab.nodes():
        done = lab.exec(node, [*COMMAND, "history", "ip_service", "--since", "1h", "--json"])
        document = json.loads(done.stdout)
        assert {"name": "/var/log/pacemaker/pacemaker.log", "error": None} in document["sources"]
        last[node] = document["events"][-1]
    stopped, started = last[str(before)], last[other]
    assert (stopped["action"], stopped["code"], stopped["node"], stopped["to"]) == ("stop", 0, before, None)
    assert stopped["removed"] == [f"{lab.status().overlay} eth0"]
    assert (started["action"], started["code"], started["to"]) == ("start", 0, other)
    assert started["added"] == [f"{lab.status().overlay} eth0"]
    (wrote,) = started["wrote"]
    assert (wrote["operation"], wrote["result"], wrote["to"]) == (
        "ReplaceRoute",
        "ok",
        lab.status().network_interfaces[other],
    )
    assert sorted(wrote["of"]) == sorted(lab.status().route_tables)
    text = lab.exec(other, [*COMMAND, "history"]).stdout
    assert f" start ip_service - {other} " in text
