"""routing_table_role: what the trust policy of a role can ask for, and what CloudTrail sees of a session."""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, List

import pytest

from sandbox import Node, Ran
from vpc_lab.ec2 import Call, Fault, Policy, Role, Statement
from vpc_lab.topology import topology_for

OWNER = "210987654321"
ARN = f"arn:aws:iam::{OWNER}:role/network"
EXTERNAL_ID = "external-id-of-the-owner"
DAY = 86_400


@pytest.fixture
def trusting(make_node: Callable[..., Node]) -> Callable[..., Node]:
    """Make a node whose route tables are another account's, with a role; the arguments are the trust policy's."""

    def make(**trust: Any) -> Node:
        node = make_node(topology=topology_for(shared_vpc_owner=OWNER))
        account = node.aws.account
        account.identities.put_role(Role(ARN, None, frozenset({account.topology.account_id}), **trust))
        node.agent.parameters["routing_table_role"] = ARN
        return node

    return make


def assumed(ran: Ran) -> List[Call]:
    """The calls of AssumeRole."""
    return [call for call in ran.calls if call.action == "AssumeRole"]


def tags(call: Call) -> Dict[str, str]:
    """The session tags of a call."""
    given, found = call.parameters, {}
    for number in range(1, 51):
        if f"Tags.member.{number}.Key" in given:
            found[given[f"Tags.member.{number}.Key"]] = given.get(f"Tags.member.{number}.Value", "")
    return found


# -- the external id --------------------------------------------------------------------------------------------------


def test_the_external_id_goes_along(trusting: Callable[..., Node]) -> None:
    """A trust policy that asks for an external id gets the parameter's."""
    node = trusting(external_id=EXTERNAL_ID, may_be_tagged=True)
    ran = node.agent.run("start", {"external_id": EXTERNAL_ID})
    assert ran.code == 0, ran
    assert [call.parameters["ExternalId"] for call in assumed(ran)] == [EXTERNAL_ID]


@pytest.mark.parametrize("given", [None, "external-id-of-another"])
def test_a_wrong_external_id(trusting: Callable[..., Node], given: str | None) -> None:
    """Without it, or with another one, the role is not assumed: 4, and nothing is changed."""
    node = trusting(external_id=EXTERNAL_ID)
    before = node.routes()
    ran = node.agent.run("start", {"external_id": given})
    assert ran.code == 4, ran
    assert "AssumeRole: AccessDenied" in ran.reason
    assert (node.held(), node.routes()) == ([], before)


def test_no_external_id_without_the_parameter(trusting: Callable[..., Node]) -> None:
    """STS is given none where the parameter is not."""
    ran = trusting(may_be_tagged=True).agent.run("start")
    assert [call for call in assumed(ran) if "ExternalId" in call.parameters] == []


# -- session tags -----------------------------------------------------------------------------------------------------


def test_session_tags(trusting: Callable[..., Node]) -> None:
    """The session's tags tell instance and resource, whole, by one call."""
    node = trusting(may_be_tagged=True)
    node.agent.environ["OCF_RESOURCE_INSTANCE"] = name = "ip_" + "x" * 100
    ran = node.agent.run("start")
    assert ran.code == 0, ran
    (call,) = assumed(ran)
    assert tags(call) == {"aws-ipfailover:instance": node.me.instance_id, "aws-ipfailover:resource": name}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a b\nc:0;é", "a b-c:0--"), ("y" * 300, "y" * 256), ("", "aws-ipfailover")],
)
def test_what_sts_accepts_in_a_tag(trusting: Callable[..., Node], name: str, expected: str) -> None:
    """A value that STS would refuse is changed, so that the role is assumed."""
    node = trusting(may_be_tagged=True)
    node.agent.environ["OCF_RESOURCE_INSTANCE"] = name
    ran = node.agent.run("start")
    assert ran.code == 0, ran
    assert [tags(call)["aws-ipfailover:resource"] for call in assumed(ran)] == [expected]


def test_a_role_that_takes_no_tags(trusting: Callable[..., Node]) -> None:
    """A trust policy without sts:TagSession denies the whole call: assumed without tags, by one call from then on."""
    node = trusting()
    ran = node.agent.run("start")
    assert ran.code == 0, ran
    assert [bool(tags(call)) for call in assumed(ran)] == [True, False]
    for action in ("monitor", "start"):
        ran = node.agent.run(action, level=10, interval=10)
        assert ran.code == 0, ran
        assert [bool(tags(call)) for call in assumed(ran)] == [False]


def test_a_caller_that_may_not_tag(trusting: Callable[..., Node]) -> None:
    """The node's own policy without sts:TagSession: the same."""
    node = trusting(may_be_tagged=True)
    allowed = Statement(("sts:AssumeRole", "ec2:*"))
    node.aws.account.identities.restrict_instances(Policy((allowed,)))
    ran = node.agent.run("start")
    assert ran.code == 0, ran
    assert [bool(tags(call)) for call in assumed(ran)] == [True, False]


def older(node: Node, seconds: float) -> None:
    """Make what the agent remembers older."""
    for path in node.remembered():
        noted = json.loads(path.read_text())
        noted["at"] -= seconds
        path.write_text(json.dumps(noted))


def test_it_is_remembered_for_a_day(trusting: Callable[..., Node]) -> None:
    """That a role takes no tags is remembered for a day; then they are tried again, and used where they are allowed."""
    node = trusting()
    node.started()
    older(node, DAY - 60)
    assert [bool(tags(call)) for call in assumed(node.agent.run("start"))] == [False]
    account = node.aws.account
    role = Role(ARN, None, frozenset({account.topology.account_id}), may_be_tagged=True)
    account.identities.put_role(role)
    assert [bool(tags(call)) for call in assumed(node.agent.run("start"))] == [False]
    older(node, 120)
    assert [bool(tags(call)) for call in assumed(node.agent.run("start"))] == [True]


def test_a_trust_policy_that_asks_for_tags_now(trusting: Callable[..., Node]) -> None:
    """A role that took no tags, and is denied without them now: assumed with tags, and so by one call afterwards."""
    node = trusting()
    node.started()
    role = Role(ARN, None, frozenset({node.aws.account.topology.account_id}), may_be_tagged=True)
    node.aws.account.identities.put_role(role)
    node.aws.faults.add(Fault("error", service="sts", code="AccessDenied", times=1))
    ran = node.agent.run("start")
    assert ran.code == 0, ran
    assert [bool(tags(call)) for call in assumed(ran)] == [False, True]
    assert [bool(tags(call)) for call in assumed(node.agent.run("start"))] == [True]


def test_another_role_is_another_matter(trusting: Callable[..., Node]) -> None:
    """What is remembered is of one role."""
    node = trusting()
    node.started()
    account = node.aws.account
    account.identities.put_role(Role(ARN + "-2", None, frozenset({account.topology.account_id}), may_be_tagged=True))
    ran = node.agent.run("start", {"routing_table_role": ARN + "-2"})
    assert [bool(tags(call)) for call in assumed(ran)] == [True]


def test_without_a_memory(trusting: Callable[..., Node]) -> None:
    """HA_RSCTMP cannot be used: each action asks twice, and succeeds."""
    node = trusting()
    node.agent.environ["HA_RSCTMP"] = "/proc/nowhere"
    for _ in range(2):
        ran = node.agent.run("start")
        assert ran.code == 0, ran
        assert [bool(tags(call)) for call in assumed(ran)] == [True, False]


def test_the_denial_without_tags_is_reported(trusting: Callable[..., Node]) -> None:
    """A role that may not be assumed at all: the denial without tags is the reason, and nothing is remembered."""
    node = trusting()
    node.aws.faults.add(
        Fault("error", service="sts", code="AccessDenied", message="with an explicit deny of tags", times=1)
    )
    node.aws.account.identities.put_role(Role(ARN, None, frozenset()))
    ran = node.agent.run("start")
    assert ran.code == 4, ran
    assert ran.sts == ["AssumeRole", "AssumeRole"]
    assert "AssumeRole: AccessDenied" in ran.reason
    assert "of tags" not in ran.reason
    assert node.remembered() == []


def test_an_error_is_no_denial(trusting: Callable[..., Node]) -> None:
    """Another refusal than a denial is reported as it is: tags have nothing to do with it."""
    node = trusting(may_be_tagged=True)
    node.aws.faults.add(Fault("error", service="sts", code="ValidationError", status=400))
    ran = node.agent.run("start")
    assert ran.code == 1, ran
    assert [bool(tags(call)) for call in assumed(ran)] == [True]
    assert "AssumeRole: ValidationError" in ran.reason


def test_a_role_with_a_long_name(trusting: Callable[..., Node]) -> None:
    """It is remembered of a role whose ARN is longer than the name of a file can be."""
    node = trusting()
    arn = ARN.replace("network", f"{'path/' * 60}network")
    node.aws.account.identities.put_role(Role(arn, None, frozenset({node.aws.account.topology.account_id})))
    node.agent.parameters["routing_table_role"] = arn
    node.started()
    assert [bool(tags(call)) for call in assumed(node.agent.run("start"))] == [False]
