"""What docs/operations.md says AWS has to allow is enough for each mode, and every part of it is needed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Callable, Dict, List

import pytest

from sandbox import EniNode, Node, Ran, crm_resource_stub
from vpc_lab.ec2 import Policy

GUIDE = Path(__file__).parents[2] / "docs" / "operations.md"
MODES: Dict[str, List[str]] = {
    "eni": [
        "AttachNetworkInterface",
        "DescribeInstances",
        "DescribeNetworkInterfaces",
        "DescribeSubnets",
        "DetachNetworkInterface",
    ],
    "private-ip": [
        "AssignIpv6Addresses",
        "AssignPrivateIpAddresses",
        "DescribeNetworkInterfaces",
        "UnassignIpv6Addresses",
    ],
}
FALLBACKS: Dict[str, List[str]] = {"eni": [], "private-ip": ["DescribeSubnets"]}
"""Operations for where instance metadata is silent: named, and not needed here."""


def allowing(actions: List[str]) -> Policy:
    """A policy of an administrator."""
    statement = {"Effect": "Allow", "Action": [f"ec2:{action}" for action in actions], "Resource": "*"}
    return Policy.from_document({"Version": "2012-10-17", "Statement": [statement]})


@pytest.mark.parametrize("mode", MODES)
def test_the_guide_names_them(mode: str) -> None:
    """The guide's section of a mode names these operations and no other."""
    section = GUIDE.read_text(encoding="utf-8").split(f"\n### {mode}\n")[1].split("\n### ")[0]
    assert sorted(set(re.findall(r"ec2:(\w+)", section))) == sorted(MODES[mode] + FALLBACKS[mode])


@pytest.mark.parametrize("without", [None, *MODES["eni"]])
def test_eni(eni_node: EniNode, without: str | None) -> None:
    """With all of them start, monitor, validate-all and stop work; without any one of them, start is 4."""
    actions = [action for action in MODES["eni"] if action != without]
    eni_node.aws.account.identities.restrict_instances(allowing(actions))
    eni_node.attach(eni_node.other)
    ran = eni_node.agent.run("start")
    assert ran.code == (4 if without else 0), ran
    if without:
        assert without in ran.reason
        return
    for action in ("monitor", "validate-all", "stop"):
        allowed(eni_node.agent.run(action, level=10, interval=10))
    assert eni_node.holder() is None


@pytest.mark.parametrize("without", [None, *MODES["private-ip"]])
def test_private_ip(make_node: Callable[..., Node], without: str | None) -> None:
    """With all of them start, monitor, validate-all and stop work, IPv4 and IPv6; without any one, a start is 4."""
    node = make_node()
    actions = [action for action in MODES["private-ip"] if action != without]
    node.aws.account.identities.restrict_instances(allowing(actions))
    other = node.aws.account.instance("consumer-a").network_interface_id
    codes = []
    for address in ("10.0.1.50", "2001:db8:1000:1::50"):
        node.agent.parameters = {"mode": "private-ip", "ip": address}
        version = "Ipv6Addresses" if ":" in address else "PrivateIpAddresses"
        name = "Ipv6Addresses.1" if ":" in address else "PrivateIpAddress.1"
        node.aws.api.administer(f"Assign{version}", NetworkInterfaceId=other, **{name: address})
        codes.append(node.agent.run("start").code)
        if not without:
            for action in ("monitor", "validate-all", "stop"):
                allowed(node.agent.run(action, level=10, interval=10))
    assert sorted(set(codes)) == ([0, 4] if without else [0])


def overlay_policy(node: Node, without: str | None = None) -> Policy:
    """The policy of the guide's section on overlay-ip, for this node's tables; without one of its actions."""
    section = GUIDE.read_text(encoding="utf-8").split("\n### overlay-ip\n")[1].split("\n### ")[0]
    document = json.loads(section.split("```json\n")[1].split("```")[0])
    for statement in document["Statement"]:
        listed = statement["Action"]
        actions = [listed] if isinstance(listed, str) else listed
        statement["Action"] = [action for action in actions if action != without]
        if statement["Resource"] != "*":
            statement["Resource"] = [f"arn:aws:ec2:eu-central-1:123456789012:route-table/{one}" for one in node.tables]
    return Policy.from_document(document)


def test_overlay_ip(node: Node) -> None:
    """With the guide's policy start, repair, monitor, validate-all and stop work; nothing is refused that counts."""
    node.aws.account.identities.restrict_instances(overlay_policy(node))
    crm_resource_stub(node, "managed")
    allowed(node.agent.run("start"))
    node.forget_writes()
    node.point_routes_at("node2")
    for action in ("monitor", "monitor", "validate-all", "stop"):
        ran = node.agent.run(action, level=10, interval=10)
        assert ran.code == 0, ran
        refused = {call.action for call in ran.calls if call.outcome == "UnauthorizedOperation"}
        assert refused <= {"DescribeVpcs", "DescribeSubnets"}  # which can be missing


@pytest.mark.parametrize(
    ("without", "action", "code"),
    [("ec2:ReplaceRoute", "start", 4), ("ec2:DescribeRouteTables", "monitor", 190)],
)
def test_overlay_ip_needs_each(node: Node, without: str, action: str, code: int) -> None:
    """Each action of the guide's policy is needed."""
    node.aws.account.identities.restrict_instances(overlay_policy(node, without))
    if action == "monitor":
        node.hold()
    ran = node.agent.run(action, level=10, interval=10)
    assert ran.code == code, ran
    assert without.partition(":")[2] in ran.reason


def test_overlay_ip_warns_without_the_interface(node: Node) -> None:
    """Without ec2:DescribeNetworkInterfaces start and a monitor at level 10 warn, and go on."""
    node.aws.account.identities.restrict_instances(overlay_policy(node, "ec2:DescribeNetworkInterfaces"))
    for action in ("start", "monitor"):
        ran = node.agent.run(action, level=10, interval=10)
        assert ran.code == 0, ran
        assert [line for line in ran.stderr.splitlines() if line.startswith("WARNING:") and "check" in line]


def allowed(ran: Ran) -> None:
    """It succeeded, and nothing was refused."""
    assert ran.code == 0, ran
    assert {call.outcome for call in ran.calls if call.service == "ec2"} <= {"ok", "DryRunOperation"}, ran


def elastic_ip_policy(node: Node, allocation: str, without: str | None = None) -> Policy:
    """The policies of the guide's sections on overlay-ip and on an Elastic IP together, without one action."""
    section = GUIDE.read_text(encoding="utf-8").split("\n### An Elastic IP\n")[1].split("\n### ")[0]
    text = section.split("```json\n")[1].split("```")[0]
    for name, value in {
        "REGION": "eu-central-1",
        "ACCOUNT": "123456789012",
        "eipalloc-0123456789abcdef0": allocation,
        "eni-0123456789abcdef0": node.me.network_interface_id,
        "i-0123456789abcdef0": node.me.instance_id,
    }.items():
        text = text.replace(name, value)
    document = json.loads(text)
    document["Statement"] = [one for one in document["Statement"] if one["Action"] != without]
    return Policy((*overlay_policy(node).statements, *Policy.from_document(document).statements))


@pytest.fixture
def allocation(node: Node) -> str:
    """An Elastic IP that is to follow the overlay address."""
    node.aws.api.administer("AllocateAddress")
    (made,) = node.aws.account.world.elastic_ips
    node.agent.parameters["allocation_id"] = made
    return made


def test_elastic_ip(node: Node, allocation: str) -> None:
    """With the guide's policy for an Elastic IP start, monitor and validate-all work, and log no error."""
    node.aws.account.identities.restrict_instances(elastic_ip_policy(node, allocation))
    for action in ("start", "monitor", "validate-all", "stop"):
        ran = node.agent.run(action, level=10, interval=10)
        assert ran.code == 0, ran
        assert "ERROR:" not in ran.stderr
    assert node.aws.account.world.elastic_ips[allocation].network_interface_id == node.me.network_interface_id


@pytest.mark.parametrize(
    ("without", "action", "code"),
    [("ec2:AssociateAddress", "start", 0), ("ec2:DescribeAddresses", "monitor", 190)],
)
def test_elastic_ip_needs_each(node: Node, allocation: str, without: str, action: str, code: int) -> None:
    """Each action of the guide's policy for an Elastic IP is needed."""
    node.aws.account.identities.restrict_instances(elastic_ip_policy(node, allocation, without))
    if action == "monitor":
        node.hold()
    ran = node.agent.run(action, level=10, interval=10)
    assert ran.code == code, ran
    assert f"{without.partition(':')[2]}: UnauthorizedOperation" in ran.stderr
