"""`aws-ipfailover config`: the models of crm-examples/ for other values, quoted for crmsh and shells, and checked."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from aws_ipfailover.cli import config, main
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import ParameterError
from aws_ipfailover.setup import fence_agent
from aws_ipfailover.setup.cluster_configuration import Node, Wanted, crm, pcs, plan
from vpc_lab import examples
from vpc_lab.ec2 import Account
from vpc_lab.topology import node_names, topology_for

EXAMPLES = Path(__file__).parents[2] / "crm-examples"
SCHEMA = json.loads((Path(config.__file__).parent / "schemas" / "config.json").read_text(encoding="utf-8"))
NODES = (Node("node1", "i-01234567"), Node("node2", "i-12345678"))
GIVEN = {"ip": "192.168.10.10", "routing_table": "rtb-01234567,rtb-12345678"}
WANTED = Wanted(GIVEN, NODES, region="eu-central-1")
ARGUMENTS = ["ip=192.168.10.10", "routing_table=auto", "--node", "node1=i-01234567", "--node", "node2=i-12345678"]
SHARED_VPC = {
    "ip": "@OVERLAY_IP@",
    "routing_table": "@ROUTE_TABLES@",
    "region": "@REGION@",
    "routing_table_role": "arn:aws:iam::@NETWORK_ACCOUNT@:role/@NETWORK_ROLE@",
}
MANY = {"ip": "@OVERLAY_IP@,@OVERLAY_IP2@", "destination": "@OVERLAY_CIDR@", "routing_table": "@ROUTE_TABLES@"}
jsonschema: Any = pytest.importorskip("jsonschema")


def tokens(text: str) -> List[List[str]]:
    """The words of each statement: lines that are continued are one, comments are none, as crmsh and shells split."""
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    return [shlex.split(line) for line in joined.splitlines() if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize(
    ("example", "mode", "given", "resource_id", "health"),
    [
        (
            "overlay-ip.crm",
            "overlay-ip",
            {"ip": "@OVERLAY_IP@", "routing_table": "@ROUTE_TABLES@"},
            "ip_service",
            False,
        ),
        (
            "overlay-ip.pcs",
            "overlay-ip",
            {"ip": "@OVERLAY_IP@", "routing_table": "@ROUTE_TABLES@"},
            "ip_service",
            False,
        ),
        ("health.crm", "overlay-ip", {"ip": "@OVERLAY_IP@", "routing_table": "@ROUTE_TABLES@"}, "ip_service", True),
        ("health.pcs", "overlay-ip", {"ip": "@OVERLAY_IP@", "routing_table": "@ROUTE_TABLES@"}, "ip_service", True),
        (
            "three-nodes.crm",
            "overlay-ip",
            {"ip": "@OVERLAY_IP@", "routing_table": "@ROUTE_TABLES@"},
            "ip_service",
            False,
        ),
        (
            "three-nodes.pcs",
            "overlay-ip",
            {"ip": "@OVERLAY_IP@", "routing_table": "@ROUTE_TABLES@"},
            "ip_service",
            False,
        ),
        ("shared-vpc.crm", "overlay-ip", SHARED_VPC, "ip_service", False),
        ("shared-vpc.pcs", "overlay-ip", SHARED_VPC, "ip_service", False),
        ("many-addresses.crm", "overlay-ip", MANY, "ip_many", False),
        ("many-addresses.pcs", "overlay-ip", MANY, "ip_many", False),
        ("eni.crm", "eni", {"mode": "eni", "network_interface_id": "@SERVICE_ENI@"}, "eni_service", False),
        ("eni.pcs", "eni", {"mode": "eni", "network_interface_id": "@SERVICE_ENI@"}, "eni_service", False),
        ("private-ip.crm", "private-ip", {"mode": "private-ip", "ip": "@PRIVATE_IP@"}, "ip_service", False),
        ("private-ip.pcs", "private-ip", {"mode": "private-ip", "ip": "@PRIVATE_IP@"}, "ip_service", False),
    ],
)
def test_it_is_the_example(example: str, mode: Any, given: Dict[str, str], resource_id: str, health: bool) -> None:
    """The same statements as the file that tests have failed over: order and comments aside."""
    topology = topology_for(mode, nodes=node_names(3 if example.startswith("three") else 2))
    account = Account(topology)
    values = examples.values_of(topology, account.route_table_ids)
    account.close()
    rendered = {name: examples.render(text, values) for name, text in given.items()}
    nodes = tuple(Node(one.name, one.instance_id) for one in topology.nodes)
    made = plan(Wanted(rendered, nodes, resource_id, health=health, region=topology.region))
    text = crm(made) if example.endswith(".crm") else pcs(made)
    file = examples.render((EXAMPLES / example).read_text(encoding="utf-8"), values)
    # Several properties can be one statement or two.
    ours, theirs = (
        sorted(" ".join(words) for words in tokens(one) if "property" not in words[:2]) for one in (text, file)
    )
    assert ours == theirs
    properties = [
        sorted(word for words in tokens(one) if "property" in words[:2] for word in words if "=" in word)
        for one in (text, file)
    ]
    assert properties[0] == properties[1]


HOSTILE = ["a b", "it's", 'say "x"', "$HOME", "`id`", "a\\", "a;b|c&d", "#x", "*", "!!", "x=y", "~", "\\n"]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("tool", [crm, pcs])
def test_values_are_quoted(tool: Any, value: str) -> None:
    """Whatever a value holds is one word of crmsh and of a shell, and changes nothing around it."""
    plain = tokens(tool(plan(WANTED._replace(given={**GIVEN, "profile": "plain"}))))
    hostile = tokens(tool(plan(WANTED._replace(given={**GIVEN, "profile": value}))))
    expected = [[f"profile={value}" if word == "profile=plain" else word for word in words] for words in plain]
    assert hostile == expected


@pytest.mark.parametrize("value", ["a\tb", "é", "a\u2028b"])
def test_values_that_do_not_arrive(value: str) -> None:
    """What crmsh turns into something else is refused, and not printed."""
    given = {**GIVEN, "routing_table": f"tag:a={value}"}
    with pytest.raises(ParameterError, match=r"parameter routing_table: .* characters that crm and pcs do not keep"):
        plan(WANTED._replace(given=given))


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (NODES[:1], None),
        (NODES, "node1:5s"),
        ((*NODES, Node("node3", "i-23456789")), None),
    ],
)
def test_the_delay_is_for_two_nodes(nodes: Any, expected: Optional[str]) -> None:
    """More nodes have a quorum that decides; one has nobody to fence it."""
    device = plan(WANTED._replace(nodes=nodes)).fencing
    assert device is not None
    assert dict(device.parameters).get("pcmk_delay_base") == expected
    hosts = dict(device.parameters)["pcmk_host_map"].split(";")
    assert hosts == [f"{one.name}:{one.instance_id}" for one in nodes]


@pytest.mark.parametrize("known", [True, False, None])
@pytest.mark.parametrize("tool", [crm, pcs])
def test_skip_os_shutdown(tool: Any, known: Optional[bool]) -> None:
    """Set where the installed fence_aws has it, else a comment: an unknown parameter would fail the device."""
    text = tool(plan(WANTED._replace(skip_os_shutdown=known)))
    assert any("skip_os_shutdown=true" in words for words in tokens(text)) is (known is True)
    assert any("skip_os_shutdown" in line for line in text.splitlines() if line.startswith("#")) is (known is not True)


@pytest.mark.parametrize("tool", [crm, pcs])
def test_without_fencing(tool: Any) -> None:
    """Neither a device nor a word about stonith: what the cluster has stays as it is."""
    text = tool(plan(WANTED._replace(fencing=False, region=None)))
    assert "stonith" not in text
    assert "fence" not in text


def test_parameters_of_other_agents() -> None:
    """Former names become ours, and what has no effect is left out."""
    given = {"address": "192.168.10.10", "routing_table": "rtb-01234567", "awscli": "/usr/bin/aws", "iflabel": " "}
    words = dict(plan(WANTED._replace(given=given)).address.parameters)
    assert words == {"ip": "192.168.10.10", "routing_table": "rtb-01234567", "region": "eu-central-1"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["crm"], "for which address?"),
        (["crm", "ip=10.0.0.300", "routing_table=auto"], "parameter ip: '10.0.0.300' is wrong, expected"),
        (["pcs", "ip=192.168.10.10"], "parameter routing_table is missing"),
        (["pcs", *ARGUMENTS[:2], "--region", "eu-central-1"], "which nodes?"),
        (["pcs", *ARGUMENTS], "fence_aws needs the region"),
        (["crm", *ARGUMENTS, "--region", "x;y"], "parameter region: 'x;y' is wrong"),
        (["crm", *ARGUMENTS[:2], "--node", "a"], "'a' is no NAME=INSTANCE-ID"),
        (["crm", *ARGUMENTS[:2], "--node", "a;b=i-01234567"], "node 'a;b' is wrong"),
        (["crm", *ARGUMENTS[:2], "--node", "a=b"], "node a: 'b' is wrong"),
        (["crm", *ARGUMENTS, "--node", "node1=i-23456789"], "two nodes have the same name"),
        (["crm", *ARGUMENTS, "--id", "fence_aws", "--region", "eu-central-1"], "id 'fence_aws' is wrong"),
        (["crm", *ARGUMENTS, "external_id=secret-of-owner"], "add --show-external-id"),
        (["yaml", *ARGUMENTS], "yaml"),
    ],
)
def test_a_wrong_command_line(arguments: List[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """2, and the agent's own sentence about its parameters; nothing on standard output, which may be a pipe to crm."""
    assert main.main(["config", *arguments]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""
    assert "secret-of-owner" not in told.err


@pytest.mark.parametrize("tool", ["crm", "pcs"])
def test_json(tool: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same text, with the notes, as the schema says."""
    monkeypatch.setenv("PATH", "/nowhere")
    arguments = ["config", tool, *ARGUMENTS, "--region", "eu-central-1", "awscli=/usr/bin/aws"]
    assert main.main(arguments) == 0
    plain = capsys.readouterr()
    assert main.main([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert document["text"] == plain.out
    assert [f"note: {note}" for note in document["notes"]] == plain.err.splitlines()
    assert "parameter awscli has no effect, and is left out" in document["notes"]
    assert any("does not tell here whether it knows skip_os_shutdown" in note for note in document["notes"])


def test_help_fits_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """80 by 24, the last line of which is the prompt; with an example."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main.main(["config", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("  ") and line.lstrip().startswith("aws-ipfailover ") for line in lines)


# -- the fence agent that is installed --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (
            "echo '<resource-agent><parameters><parameter name=\"skip_os_shutdown\"/></parameters></resource-agent>'",
            True,
        ),
        ("echo '<resource-agent><parameters><parameter name=\"region\"/></parameters></resource-agent>'", False),
        ("echo no xml", None),
        ("echo '<resource-agent/>'", None),
        ("exec sleep 60", None),
        (None, None),
    ],
)
def test_the_installed_fence_agent(
    script: Optional[str], expected: Optional[bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for its metadata; no answer is neither yes nor no."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    if script is not None:
        program = tmp_path / "fence_aws"
        program.write_text(f'#!/bin/sh\n[ "$*" = "-o metadata" ] || exit 1\n{script}\n')
        program.chmod(0o755)
    assert fence_agent.knows("skip_os_shutdown", Deadline(0.3 if expected is None else 10.0)) is expected
