"""The contract's table of budgets: calls from the call log, imports from the interpreter itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Callable, Dict

import pytest

from sandbox import Node, Ran, without_packages
from vpc_lab.topology import topology_for

LOCAL: Dict[str, Dict[str, Any]] = {
    "probe, here": {"action": "monitor", "interval": 0},
    "monitor level 0": {"action": "monitor", "interval": 10},
    "stop": {"action": "stop"},
    "validate-all level 0": {"action": "validate-all"},
    "meta-data": {"action": "meta-data"},
    "usage": {"action": "usage"},
    "reload-agent": {"action": "reload-agent"},
    "migrate_to": {"action": "migrate_to"},
}


def imported(ran: Ran) -> set[str]:
    """Top-level packages that a run imported, by -X importtime."""
    lines = [line for line in ran.stderr.splitlines() if line.startswith("import time:")]
    assert len(lines) > 20, ran
    return {line.rpartition("|")[2].strip().split(".")[0] for line in lines}


@pytest.mark.parametrize("name", LOCAL)
def test_neither_boto3_nor_requests(node: Node, name: str) -> None:
    """probe, monitor level 0, stop: 0 EC2 calls, neither boto3 nor requests imported; so for all that is local."""
    node.hold()
    node.agent.interpreter = (sys.executable, "-X", "importtime")
    ran = node.agent.run(**LOCAL[name])
    assert ran.code == 0, ran
    assert ran.calls == ()
    found = imported(ran)
    assert "aws_ipfailover" in found
    assert not found & {"boto3", "botocore", "requests", "urllib3", "ssl", "moto", "rich"}


def test_a_probe_on_a_standby_imports_nothing_either(node: Node) -> None:
    """probe: not here; neither boto3 nor requests imported."""
    node.agent.interpreter = (sys.executable, "-X", "importtime")
    ran = node.agent.run("monitor")
    assert ran.code == 7, ran
    assert not imported(ran) & {"boto3", "botocore", "requests", "urllib3"}


def test_the_guard_sees_an_import(node: Node) -> None:
    """A monitor at level 10 does import boto3: the tests above can fail."""
    node.hold()
    node.agent.interpreter = (sys.executable, "-X", "importtime")
    assert {"boto3", "requests"} <= imported(node.agent.run("monitor", level=10, interval=10))


@pytest.mark.parametrize("name", LOCAL)
def test_without_boto3_and_requests(node: Node, tmp_path: Path, name: str) -> None:
    """All that is local works where boto3 and requests cannot be imported."""
    node.hold()
    missing = without_packages(tmp_path / "shim", "boto3", "botocore", "requests", "urllib3")
    ran = node.agent.run(**LOCAL[name], environ=missing)
    assert ran.code == 0, ran


@pytest.mark.parametrize("tables", [1, 2, 7])
def test_calls_of_start(make_node: Callable[..., Node], tables: int) -> None:
    """start, overlay-ip, N tables: N ReplaceRoute per destination, 1 DescribeNetworkInterfaces beside them and nothing
    else; IMDS is asked for each thing once."""
    node = make_node(topology=topology_for(extra_route_tables=max(0, tables - 2)))
    node.agent.parameters["routing_table"] = ",".join(node.tables[:tables])
    ran = node.started()
    assert sorted(ran.ec2) == ["DescribeNetworkInterfaces", *["ReplaceRoute"] * tables]
    assert ran.sts == []
    assert len(ran.imds) == len(set(ran.imds))


def test_calls_of_start_where_routes_are_missing(make_node: Callable[..., Node]) -> None:
    """start: CreateRoute only for a table without the route."""
    node = make_node(topology=topology_for(extra_route_tables=3))
    for table in node.tables[:2]:
        node.aws.account.delete_route(node.destination, table)
    ran = node.started()
    assert sorted(ran.ec2) == [*["CreateRoute"] * 2, "DescribeNetworkInterfaces", *["ReplaceRoute"] * 5]


def test_the_same_table_twice(node: Node) -> None:
    """A table that is listed twice is written once."""
    ran = node.agent.run("start", {"routing_table": f"{node.tables[0]}, {node.tables[1]},{node.tables[0]}"})
    assert ran.code == 0, ran
    assert ran.ec2.count("ReplaceRoute") == 2


def test_one_session_with_imds(node: Node) -> None:
    """One IMDS session token per run, for its own use and the credentials alike."""
    ran = node.started()
    assert ran.imds.count("/latest/api/token") == 1
