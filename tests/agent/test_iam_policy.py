"""The policies of `aws-ipfailover iam-policy`, with IAM enforced: enough for each mode, and none of it too much."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

import pytest

from aws_ipfailover.parameters import parse
from aws_ipfailover.setup.policy import Policies, Scope, policies
from sandbox import EniNode, Node, Ran, crm_resource_stub
from vpc_lab.ec2 import Policy, Role, RunningAws
from vpc_lab.topology import topology_for

REGION, ACCOUNT, OWNER = "eu-central-1", "123456789012", "210987654321"
ROLE = f"arn:aws:iam::{OWNER}:role/network"
EXTERNAL_ID = "external-id-of-the-owner"


def scope(aws: RunningAws) -> Scope:
    """All ids that an administrator can give."""
    nodes = [aws.account.instance(name) for name in ("node1", "node2")]
    return Scope(
        account=ACCOUNT,
        region=REGION,
        instances=tuple(one.instance_id for one in nodes),
        interfaces=tuple(one.network_interface_id for one in nodes),
        node_role="lab-node",
    )


def less(document: Mapping[str, Any], without: Optional[str]) -> Policy:
    """A policy document without one of its statements, which it has."""
    kept = [one for one in document["Statement"] if one["Sid"] != without]
    assert len(kept) == len(document["Statement"]) - (without is not None)
    return Policy.from_document({**document, "Statement": kept})


def attach(node: Node | EniNode, found: Policies, document: str = "node", without: Optional[str] = None) -> None:
    """Give the roles these policies, but for one statement of one of them."""
    identities = node.aws.account.identities
    for one in found.documents:
        left_out = without if one.name == document else None
        if one.name == "node":
            identities.restrict_instances(less(one.policy, left_out))
        elif one.name == "role":
            trust = found.named("trust")
            assert trust is not None
            identities.put_role(trusting(trust.policy, less(one.policy, left_out)))


def trusting(trust: Mapping[str, Any], policy: Policy) -> Role:
    """The role that has this trust policy."""
    assume, tag = trust["Statement"]
    assert assume["Principal"] == tag["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:role/lab-node"}
    assert (assume["Action"], tag["Action"]) == ("sts:AssumeRole", "sts:TagSession")
    external_id = assume["Condition"]["StringEquals"]["sts:ExternalId"]
    return Role(ROLE, policy, frozenset({ACCOUNT}), external_id=external_id, may_be_tagged=True)


def judge(runs: Sequence[Ran], without: Optional[str], document: Mapping[str, Any]) -> None:
    """Everything worked; or, without a statement, an action of that statement was refused, and that is told."""
    refused = {call.action for ran in runs for call in ran.calls if call.outcome in REFUSALS}
    if without is None:
        assert refused == set()
        assert [(ran.code, ran.reason) for ran in runs] == [(0, "")] * len(runs), "\n".join(map(str, runs))
        assert not [line for ran in runs for line in ran.stderr.splitlines() if line.startswith("ERROR:")]
        return
    (statement,) = (one for one in document["Statement"] if one["Sid"] == without)
    listed = statement["Action"]
    actions = {one.partition(":")[2] for one in ([listed] if isinstance(listed, str) else listed)}
    assert refused <= actions
    told = "\n".join(ran.stderr for ran in runs)
    assert any(f"{action}: {code}" in told for action in refused for code in REFUSALS), told
    assert any(ran.code != 0 for ran in runs) or "ERROR:" in told, told


REFUSALS = ("UnauthorizedOperation", "AccessDenied")


def life(node: Node | EniNode, between: Callable[[], None]) -> List[Ran]:
    """A start, a monitor that finds nothing wrong, what happens `between`, a repair, validate-all, and a stop."""
    crm_resource_stub(node, "managed")
    runs = [node.agent.run("start"), node.agent.run("monitor", level=10, interval=10)]
    node.forget_writes()
    between()
    for action in ("monitor", "validate-all", "stop"):
        runs.append(node.agent.run(action, level=10, interval=10))
    return runs


# -- overlay-ip -------------------------------------------------------------------------------------------------------

OVERLAY = ["ReplaceRoutes", "CreateRoutes", "SwitchOffSourceDestCheck", "AssociateElasticIp", "Describe"]


def overlay(node: Node) -> Callable[[], None]:
    """A table without the route, a check that is on, an Elastic IP; the return value leads the routes elsewhere."""
    api = node.aws.api
    api.administer("DeleteRoute", RouteTableId=node.tables[1], DestinationCidrBlock=node.destination)
    eni = node.me.network_interface_id
    api.administer("ModifyNetworkInterfaceAttribute", NetworkInterfaceId=eni, **{"SourceDestCheck.Value": "true"})
    return lambda: node.point_routes_at("node2")


@pytest.mark.parametrize("without", [None, *OVERLAY])
def test_overlay_ip(node: Node, without: str | None) -> None:
    """Tables by id, one of which has no route yet; the check is on; an Elastic IP follows."""
    node.aws.api.administer("AllocateAddress")
    (node.agent.parameters["allocation_id"],) = node.aws.account.world.elastic_ips
    found = policies(parse(node.agent.parameters), scope(node.aws))
    assert [one["Sid"] for one in found.documents[0].policy["Statement"]] == OVERLAY
    assert found.notes == ()
    elsewhere = overlay(node)
    attach(node, found, without=without)
    judge(life(node, elsewhere), without, found.documents[0].policy)


@pytest.mark.parametrize("without", [None, "ReplaceRoutesByTag", "CreateRoutesByTag", "Describe"])
def test_overlay_ip_by_tag(node: Node, without: str | None) -> None:
    """Tables by tag may be written while they have it; interfaces without ids, in the VPC that is given alone."""
    for table in node.tables:
        tag = {"Tag.1.Key": "cluster", "Tag.1.Value": "hana", "ResourceId.1": table}
        node.aws.api.administer("CreateTags", **tag)
    overlay(node)
    node.agent.parameters["routing_table"] = "tag:cluster=hana"
    where = scope(node.aws)._replace(vpc_id=node.aws.account.world.vpc.vpc_id, interfaces=())
    found = policies(parse(node.agent.parameters), where)
    attach(node, found, without=without)
    judge(life(node, lambda: None), without, found.documents[0].policy)


def test_overlay_ip_of_another_tag_or_vpc(node: Node) -> None:
    """A policy by tag allows no table without it, and one for a VPC none of another VPC."""
    ids = node.agent.parameters["routing_table"]
    for named, vpc in (("tag:cluster=hana", None), ("auto", "vpc-01234567")):
        values = parse({**node.agent.parameters, "routing_table": named})
        found = policies(values, scope(node.aws)._replace(vpc_id=vpc or ""))
        attach(node, found)
        ran = node.agent.run("start", {"routing_table": ids})
        assert ran.code == 4, ran
        assert "ReplaceRoute: UnauthorizedOperation" in ran.reason


BOTH = [
    *(("node", sid) for sid in (None, "AssumeRole", "SwitchOffSourceDestCheck", "Describe")),
    *(("role", sid) for sid in ("ReplaceRoutes", "CreateRoutes", "Describe")),
]


@pytest.mark.parametrize(("document", "without"), BOTH)
def test_shared_vpc(make_node: Callable[..., Node], document: str, without: str | None) -> None:
    """Two policies and a trust policy where the route tables are another account's; session tags are allowed."""
    node = make_node(topology=topology_for(shared_vpc_owner=OWNER))
    node.agent.parameters.update(routing_table_role=ROLE, external_id=EXTERNAL_ID)
    found = policies(parse(node.agent.parameters), scope(node.aws), external_id=True)
    assert [one.name for one in found.documents] == ["node", "role", "trust"]
    elsewhere = overlay(node)
    attach(node, found, document, without)
    chosen = found.named(document)
    assert chosen is not None
    judge(life(node, elsewhere), without, chosen.policy)


# -- eni and private-ip -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("without", [None, "MoveInterface", "Describe"])
def test_eni(eni_node: EniNode, without: str | None) -> None:
    """The interface is another node's, and is taken from it."""
    where = scope(eni_node.aws)
    where = where._replace(instances=(*where.instances, eni_node.other.instance_id))
    found = policies(parse(eni_node.agent.parameters), where)
    assert found.notes == ()
    eni_node.attach(eni_node.other)
    attach(eni_node, found, without=without)
    judge(life(eni_node, lambda: None), without, found.documents[0].policy)


@pytest.mark.parametrize("without", [None, "AssignIpv4Addresses", "AssignIpv6Addresses", "Describe"])
def test_private_ip(make_node: Callable[..., Node], without: str | None) -> None:
    """IPv4 and IPv6 addresses that another interface has, twice."""
    node = make_node()
    account = node.aws.account
    other = account.instance("consumer-a").network_interface_id
    node.agent.parameters = {"mode": "private-ip", "ip": "10.0.1.50,2001:db8:1000:1::50"}

    def take_away() -> None:
        for action, name, address in (
            ("AssignPrivateIpAddresses", "PrivateIpAddress.1", "10.0.1.50"),
            ("AssignIpv6Addresses", "Ipv6Addresses.1", "2001:db8:1000:1::50"),
        ):
            own = node.me.network_interface_id
            if ":" in address and address in map(str, account.world.interfaces[own].ipv6):
                node.aws.api.administer("UnassignIpv6Addresses", NetworkInterfaceId=own, **{name: address})
            more: Dict[str, str] = {} if ":" in address else {"AllowReassignment": "true"}
            node.aws.api.administer(action, NetworkInterfaceId=other, **{name: address}, **more)

    where = scope(node.aws)
    where = where._replace(interfaces=(*where.interfaces, other))
    found = policies(parse(node.agent.parameters), where)
    assert found.notes == ()
    take_away()
    attach(node, found, without=without)
    judge(life(node, take_away), without, found.documents[0].policy)
