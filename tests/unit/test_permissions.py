"""The list of what IAM has to allow: complete, and each entry explained."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, Tuple

import pytest

import aws_ipfailover
from aws_ipfailover.parameters import parse
from aws_ipfailover.setup.permissions import ALL_MODES, PERMISSIONS, Kind, Permission, User, permissions_for

CLIENT = Path(aws_ipfailover.__file__).parent / "aws" / "client.py"
ELASTIC_IP = "eipalloc-01234567"
TABLE, ENI, ROLE = "rtb-0123456789abcdef0", "eni-0123456789abcdef0", "arn:aws:iam::210987654321:role/network"


def actions(*users: User, **given: str) -> set[str]:
    """The names of the operations that `users`, by default the agent, call with these parameters."""
    return {one.operation for one in permissions_for(parse(given), users or (User.AGENT,))}


def test_every_call_of_the_client_is_listed() -> None:
    """An operation that nobody has listed would be denied by every policy that is made from the list."""
    called = set(re.findall(r'(?:_calls|_pages|_dry_run)\(\s*"(\w+)"', CLIENT.read_text(encoding="utf-8")))
    assert len(called) > 10
    assert called <= {one.operation for one in PERMISSIONS}


@pytest.mark.parametrize("one", PERMISSIONS, ids=lambda one: f"{one.operation}-{one.modes[0]}-{one.users[0].name}")
def test_an_entry_is_whole(one: Permission) -> None:
    """It says what for, and what happens without; its modes exist; reads alone have no resources."""
    assert one.purpose
    assert one.without
    assert one.users
    assert one.modes
    assert set(one.modes) <= set(ALL_MODES)
    assert one.sid.isalnum()
    assert one.is_read is one.operation.startswith(("Describe", "Search"))
    assert re.fullmatch(r"(ec2|sts):[A-Z]\w+", one.action)
    assert (Kind.ROLE in one.kinds) is one.action.startswith("sts:")


def test_the_statement_of_an_operation_is_one() -> None:
    """All operations of a statement have the same types of resources, so that IAM can match all of its ARNs."""
    kinds: Dict[str, Tuple[Kind, ...]] = {}
    for one in PERMISSIONS:
        assert kinds.setdefault(one.sid, one.kinds) == one.kinds, one.action


def test_what_depends_on_parameters() -> None:
    """IPv4 and IPv6, an Elastic IP and a role of another account each take operations of their own."""
    private = {"mode": "private-ip", "ip": "10.0.1.50"}
    assert actions(**private) == {"AssignPrivateIpAddresses", "DescribeNetworkInterfaces", "DescribeSubnets"}
    assert "AssignPrivateIpAddresses" not in actions(mode="private-ip", ip="fd00::1")
    assert {"AssignIpv6Addresses", "UnassignIpv6Addresses"} < actions(mode="private-ip", ip="fd00::1")
    overlay = {"ip": "192.168.10.10", "routing_table": TABLE}
    assert "AssumeRole" not in actions(**overlay)
    assert {"AssumeRole", "TagSession"} < actions(**overlay, routing_table_role=ROLE)
    assert "AssociateAddress" in actions(mode="eni", network_interface_id=ENI, allocation_id=ELASTIC_IP)


def test_the_health_agent_needs_nothing_more_than_a_start() -> None:
    """What a start needs is what it asks for."""
    for given in (
        {
            "ip": "192.168.10.10",
            "routing_table": TABLE,
            "routing_table_role": ROLE,
            "allocation_id": "eipalloc-01234567",
        },
        {"mode": "eni", "network_interface_id": ENI},
        {"mode": "private-ip", "ip": "10.0.1.50,fd00::1"},
    ):
        assert actions(User.HEALTH, **given) <= actions(**given)


def test_fencing() -> None:
    """fence_aws stops and starts instances; external/ec2 also reboots them, and reads tags."""
    given = {"mode": "eni", "network_interface_id": ENI}
    assert actions(User.FENCE_AWS, **given) == {"DescribeInstances", "StartInstances", "StopInstances"}
    more = actions(User.EXTERNAL_EC2, **given) - actions(User.FENCE_AWS, **given)
    assert more == {"RebootInstances", "DescribeTags"}
