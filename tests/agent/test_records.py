"""The record that actions leave in the log: which have one, and what it tells."""

from __future__ import annotations

from typing import Any, Dict, List, Union

import pytest

from aws_ipfailover.ocf.record import parse_record
from sandbox import EniNode, Node, Ran, crm_resource_stub
from vpc_lab.ec2 import Fault

pytestmark = pytest.mark.root


def records(ran: Ran) -> List[Dict[str, Any]]:
    """Those in what a run has logged, which is standard error here."""
    return [record for record in map(parse_record, ran.stderr.splitlines()) if record is not None]


def record(ran: Ran) -> Dict[str, Any]:
    """The one record of a run; it is the last line but for the exit reason."""
    (found,) = records(ran)
    last = [line for line in ran.stderr.splitlines() if not line.startswith("ocf-exit-reason:")][-1]
    assert parse_record(last) == found
    assert found["code"] == ran.code
    assert 0 < found["seconds"] < 60
    return found


def run(node: Union[Node, EniNode], action: str, **options: Any) -> Ran:
    """Run an action as Pacemaker does for node1."""
    environ = {"OCF_RESOURCE_INSTANCE": "ip_service", "OCF_RESKEY_CRM_meta_on_node": "node1"}
    return node.agent.run(action, environ=environ, **options)


def test_a_start_and_a_stop(node: Node) -> None:
    """All tables in one entry, the address in the kernel, who and where."""
    started = record(run(node, "start"))
    assert (started["action"], started["resource"], started["node"], started["mode"]) == (
        "start",
        "ip_service",
        "node1",
        "overlay-ip",
    )
    assert started["addresses"] == [node.address]
    assert started["added"] == [f"{node.address} eth0"]
    (entry,) = started["wrote"]
    assert {result: sorted(of) for result, of in entry.pop("results").items()} == {"ok": sorted(node.tables)}
    assert entry == {"call": "ReplaceRoute", "to": node.me.network_interface_id, "destination": node.destination}
    stopped = record(run(node, "stop"))
    assert (stopped["action"], stopped["removed"]) == ("stop", [f"{node.address} eth0"])
    assert "wrote" not in stopped


def test_what_has_none(node: Node) -> None:
    """Probes, and monitors that find everything in order; nor do actions that are no one's history."""
    assert records(run(node, "monitor")) == []
    assert run(node, "monitor").stderr == ""
    node.started()
    assert run(node, "monitor", interval=10, level=0).stderr == ""
    assert records(run(node, "monitor", interval=10, level=10)) == []
    assert records(run(node, "validate-all", level=10)) == []
    assert records(run(node, "meta-data")) == []


def test_a_monitor_that_repairs(node: Node) -> None:
    """What it has written, and to whom the routes led before."""
    crm_resource_stub(node, "managed")
    node.hold()
    node.point_routes_at("node2")
    found = record(run(node, "monitor", interval=10, level=10))
    other = node.aws.account.instance("node2").network_interface_id
    assert (found["code"], found["from"], found["wrote"][0]["call"]) == (0, [other], "ReplaceRoute")


def test_a_monitor_that_finds_the_address_gone(node: Node) -> None:
    """The reason is in it."""
    found = record(run(node, "monitor", interval=10))
    assert (found["code"], "wrote" in found) == (7, False)
    assert node.address in found["reason"]


def test_a_start_that_is_refused(node: Node) -> None:
    """Each write with EC2's error code; the address that was added, and removed again."""
    node.aws.faults.add(Fault("error", "ReplaceRoute", service="ec2", code="UnauthorizedOperation", status=403))
    found = record(run(node, "start"))
    assert found["code"] == 4
    assert [set(entry["results"]) for entry in found["wrote"]] == [{"UnauthorizedOperation"}]
    assert found["added"] == [f"{node.address} eth0"]
    assert found["removed"] == [f"{node.address} eth0"]


def test_a_table_that_does_not_exist(node: Node) -> None:
    """EC2's error code, where the reason begins with what it means."""
    gone = "rtb-0123456789abcdef0"
    ran = node.agent.run("start", {"routing_table": f"{node.tables[0]},{gone}"})
    assert ran.code == 0, ran
    (found,) = records(ran)
    assert found["wrote"][0]["results"]["InvalidRouteTableID.NotFound"] == [gone]


def test_a_write_without_an_answer(node: Node) -> None:
    """Nobody knows whether it was done, and the record says so."""
    node.aws.faults.add(Fault("hang", "ReplaceRoute", service="ec2"))
    found = record(run(node, "start", timeout=10))
    assert found["code"] == 1
    assert [set(entry["results"]) for entry in found["wrote"]] == [{"no answer"}]


def test_an_eni(eni_node: EniNode) -> None:
    """Detached from whom, attached where."""
    eni_node.attach(eni_node.other)
    found = record(run(eni_node, "start"))
    assert found["from"] == [eni_node.other.instance_id]
    assert [entry["call"] for entry in found["wrote"]] == ["DetachNetworkInterface", "AttachNetworkInterface"]
    assert (found["wrote"][1]["results"], found["wrote"][1]["to"]) == ({"ok": [eni_node.eni]}, eni_node.me.instance_id)
    stopped = record(run(eni_node, "stop"))
    assert [entry["call"] for entry in stopped["wrote"]] == ["DetachNetworkInterface"]


def test_a_private_address(node: Node) -> None:
    """Assigned to which ENI."""
    node.agent.parameters = {"mode": "private-ip", "ip": "10.0.1.70"}
    found = record(run(node, "start"))
    assert found["wrote"] == [
        {"call": "AssignPrivateIpAddresses", "to": node.me.network_interface_id, "results": {"ok": ["10.0.1.70"]}}
    ]
