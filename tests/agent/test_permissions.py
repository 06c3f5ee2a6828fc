"""What docs/operations.md says AWS has to allow is enough for each mode, and every part of it is needed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Callable, Dict, List

import pytest

from aws_ipfailover.lab.aws import Policy
from sandbox import EniNode, Node, Ran

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


def allowed(ran: Ran) -> None:
    """It succeeded, and nothing was refused."""
    assert ran.code == 0, ran
    assert {call.outcome for call in ran.calls if call.service == "ec2"} <= {"ok", "DryRunOperation"}, ran
