"""`aws-ipfailover status` on a node in a box, without a cluster: EC2 and the kernel, and whether they agree."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple

import pytest

import aws_ipfailover.cli
from sandbox import EniNode, Node, ip
from vpc_lab.ec2 import Fault
from vpc_lab.waiting import eventually

jsonschema: Any = pytest.importorskip("jsonschema")
pytestmark = pytest.mark.root

SCHEMA = Path(aws_ipfailover.cli.__file__).parent / "schemas" / "status.json"


# Also where the tests run in the background of a script, whose shell has SIGINT ignored.
INTERRUPTIBLE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from aws_ipfailover.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


class Said(NamedTuple):
    """What the command answered."""

    code: int
    out: str
    err: str
    ec2: List[str]


def run(node: Any, *options: str, environ: Mapping[str, str] = {}) -> Said:
    """`aws-ipfailover status` with the agent's parameters, in the node's namespace."""
    before = len(node.aws.calls())
    given = [f"{name}={value}" for name, value in node.agent.parameters.items()]
    done = subprocess.run(
        [sys.executable, "-m", "aws_ipfailover.cli.main", "status", *given, *options],
        env={**node.agent.environment(), **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    asked = [call.action for call in node.aws.calls()[before:] if call.service == "ec2"]
    return Said(done.returncode, done.stdout, done.stderr, asked)


def documented(node: Any, **environ: str) -> Dict[str, Any]:
    """The one resource of its JSON, which fits the schema, with the exit code."""
    said = run(node, "--json", environ=environ)
    document = json.loads(said.out)
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(document)
    (one,) = document["resources"]
    assert document["verdict"] == one["verdict"]
    return {**one, "code": said.code, "asked": said.ec2}


def test_an_active_node(node: Node) -> None:
    """Every table with its subnets and the instance it leads to; the kernel agrees; one read of all tables."""
    node.started()
    one = documented(node)
    assert (one["code"], one["verdict"], one["kernel"]["state"]) == (0, "agree", "here")
    assert one["this_node"]["instance_id"] == node.me.instance_id
    routes = one["ec2"]["routes"]
    assert [route["route_table_id"] for route in routes] == node.tables
    assert {route["instance"]["instance_id"] for route in routes} == {node.me.instance_id}
    assert {route["instance"]["name"] for route in routes} == {"node1"}
    assert {route["state"] for route in routes} == {"active"}
    assert all(route["destination"] == node.destination and route["subnets"] for route in routes)
    assert one["asked"].count("DescribeRouteTables") == 1


def test_a_standby(node: Node) -> None:
    """EC2 leads to another instance, and the address is not here: they agree."""
    one = documented(node)
    assert (one["code"], one["kernel"]["state"]) == (0, "not here")
    assert [holder["name"] for holder in one["ec2"]["holders"]] == ["node2"]
    assert "node2" in one["sentences"][0]


def test_routes_that_lead_elsewhere(node: Node) -> None:
    """The kernel has the address and EC2 sends its traffic to somebody else: exit code 1, and a sentence."""
    node.hold()
    node.point_routes_at("node2")
    said = run(node)
    assert said.code == 1
    assert "  kernel:    here\n" in said.out
    assert "disagree:  the kernel of this node has it, and EC2 leads to node2" in said.out


def test_a_table_without_route(node: Node) -> None:
    """It is named, and so is every table that leads elsewhere than another one."""
    node.started()
    node.aws.api.administer("DeleteRoute", RouteTableId=node.tables[0], DestinationCidrBlock=node.destination)
    one = documented(node)
    assert one["code"] == 1
    assert [route["state"] for route in one["ec2"]["routes"]] == ["no route", "active"]
    assert f"{node.tables[0]} has no route to {node.destination}" in one["sentences"]
    node.aws.account.put_route(node.destination, "node2", node.tables[0])
    assert any("at once" in sentence for sentence in documented(node)["sentences"])


def test_a_table_that_does_not_exist(node: Node) -> None:
    """The others are shown all the same."""
    node.started()
    node.agent.parameters["routing_table"] += ",rtb-0123456789abcdef0"
    one = documented(node)
    assert one["code"] == 1
    assert [route["state"] for route in one["ec2"]["routes"]] == ["no such table", "active", "active"]


def test_without_an_answer_of_ec2(node: Node) -> None:
    """The kernel is shown all the same; EC2's column says why, and the exit code is 3."""
    node.started()
    one = documented(node, AWS_ENDPOINT_URL_EC2="http://127.0.0.1:1", AWS_ENDPOINT_URL="http://127.0.0.1:1")
    assert (one["code"], one["verdict"], one["kernel"]["state"]) == (3, "unknown", "here")
    assert "DescribeRouteTables" in one["sentences"][0]


def test_parameters_that_are_wrong(node: Node) -> None:
    """They are a wrong command line: exit code 2, one sentence, no traceback."""
    node.agent.parameters["ip"] = "10.0.0.300"
    said = run(node)
    assert (said.code, said.out) == (2, "")
    assert "parameter ip" in said.err
    assert "Traceback" not in said.err


def test_an_eni(eni_node: EniNode) -> None:
    """Its attachment, and the addresses that it brings; available without one, which is said."""
    eni_node.started()
    one = documented(eni_node)
    assert (one["code"], one["kernel"]["state"]) == (0, "here")
    attachment = one["ec2"]["attachment"]
    assert (attachment["status"], attachment["instance"]["instance_id"]) == ("attached", eni_node.me.instance_id)
    assert attachment["addresses"] == list(eni_node.addresses)
    assert eni_node.agent.run("stop").code == 0
    one = documented(eni_node)
    assert (one["code"], one["ec2"]["attachment"]["status"]) == (1, "available")


def test_an_eni_of_another_instance(eni_node: EniNode) -> None:
    """Attached elsewhere, and not here: they agree."""
    eni_node.attach(eni_node.other)
    one = documented(eni_node)
    assert (one["code"], one["ec2"]["holders"][0]["instance_id"]) == (0, eni_node.other.instance_id)


def test_a_private_address(node: Node) -> None:
    """Which ENI of the subnet has it, and whose that is; without one, that is wrong."""
    node.agent.parameters = {"mode": "private-ip", "ip": "10.0.1.70"}
    one = documented(node)
    assert (one["code"], one["ec2"]["addresses"][0]["network_interface_id"]) == (1, None)
    node.started()
    one = documented(node)
    assert (one["code"], one["kernel"]["state"]) == (0, "here")
    assert one["ec2"]["addresses"][0]["instance"]["instance_id"] == node.me.instance_id
    ip("address", "del", "10.0.1.70/24", "dev", "eth0")
    assert documented(node)["code"] == 1


def test_tables_by_tag_and_auto(node: Node) -> None:
    """Looked up as the agent does; a name that no table has is wrong."""
    node.started()
    node.agent.parameters["routing_table"] = "auto"
    assert len(documented(node)["ec2"]["routes"]) == 2
    node.agent.parameters["routing_table"] = "tag:none=here"
    one = documented(node)
    assert one["code"] == 1
    assert "tag:none=here" in one["sentences"][0]


def test_permissions_that_only_names_need(node: Node) -> None:
    """Without them the answer is the same, and notes say what is not known."""
    node.started()
    for action in ("DescribeInstances", "DescribeSubnets"):
        node.aws.faults.add(Fault("error", action, service="ec2", code="UnauthorizedOperation", status=403))
    one = documented(node)
    assert (one["code"], one["verdict"]) == (0, "agree")
    assert {route["subnets"] is None for route in one["ec2"]["routes"]} == {True}
    assert [note.partition(":")[0] for note in one["ec2"]["notes"]] == [
        "which subnets use the tables is not known",
        "names and states of instances are not known",
    ]


def test_an_elastic_ip(node: Node) -> None:
    """What it is associated with; another network interface than that of the routes is wrong."""
    node.started()
    node.aws.api.administer("AllocateAddress", Domain="vpc")
    (node.agent.parameters["allocation_id"],) = node.aws.account.world.elastic_ips
    one = documented(node)
    assert (one["code"], one["ec2"]["elastic_ip"]["network_interface_id"]) == (1, None)
    node.started()
    one = documented(node)
    assert one["code"] == 0
    assert one["ec2"]["elastic_ip"]["instance"]["instance_id"] == node.me.instance_id


def test_a_source_destination_check_that_is_on(node: Node) -> None:
    """EC2 then drops what is for the address."""
    node.started()
    node.aws.account.set_source_dest_check("node1", checked=True)
    one = documented(node)
    assert one["code"] == 1
    assert "source/destination check" in one["sentences"][0]


def test_a_source_destination_check_that_nobody_tells(node: Node) -> None:
    """It is neither on nor off, so whether packets arrive is not known: exit code 3."""
    node.started()
    node.leave_out_the_check()
    one = documented(node)
    assert (one["code"], one["verdict"]) == (3, "unknown")
    assert "the answer does not tell the source/destination check" in json.dumps(one["sentences"])


def test_a_resource_without_a_cluster(node: Node) -> None:
    """The cluster's configuration cannot be read: exit code 3."""
    done = subprocess.run(
        [sys.executable, "-m", "aws_ipfailover.cli.main", "status", "ip_service"],
        env={"PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "cibadmin" in done.stderr


def test_watching(node: Node) -> None:
    """One document for each change, and none without one; Ctrl-C ends it with 0."""
    node.started()
    given = [f"{name}={value}" for name, value in node.agent.parameters.items()]
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, "status", *given, "--watch", "--interval", "1", "--json"],
        env=node.agent.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            first = json.loads(process.stdout.readline())
            reads = len(tables_read(node))
            eventually("another look", lambda: len(tables_read(node)) > reads + 1, within=20.0)
            node.point_routes_at("node2")
            second = json.loads(process.stdout.readline())
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (first["verdict"], second["verdict"]) == ("agree", "disagree")
    assert (process.returncode, out, err) == (0, "", "")


def tables_read(node: Node) -> List[Any]:
    """The reads of route tables so far."""
    return [call for call in node.aws.calls() if call.action == "DescribeRouteTables"]
