"""`routing_table=tag:KEY=VALUE` and `auto`: which tables these are, and what a start and a monitor do about them."""

from __future__ import annotations

import json
from typing import Callable, Dict, List, Optional, Tuple

import pytest

from sandbox import Node, Ran, crm_resource_stub
from vpc_lab.ec2 import Fault, Policy, Role, Statement
from vpc_lab.topology import topology_for

DEGRADED = 190
TAG = "tag:ha=hana"
DENIED = Policy(
    (Statement(("*",)), Statement(("ec2:DescribeRouteTables",), effect="Deny")),
)


def tag(node: Node, *tables: str, key: str = "ha", value: str = "hana") -> None:
    """Tag route tables."""
    for table in tables:
        node.aws.api.administer("CreateTags", **{"ResourceId.1": table, "Tag.1.Key": key, "Tag.1.Value": value})


def untag(node: Node, *tables: str) -> None:
    """Take the tag away."""
    for table in tables:
        node.aws.api.administer("DeleteTags", **{"ResourceId.1": table, "Tag.1.Key": "ha"})


def new_table(node: Node) -> str:
    """A table that is added to the VPC, as with a new subnet."""
    before = set(node.aws.account.world.route_tables)
    node.aws.api.administer("CreateRouteTable", VpcId=node.aws.account.vpc_id)
    (made,) = set(node.aws.account.world.route_tables) - before
    return made


def leads(node: Node, destination: str) -> Dict[str, Optional[str]]:
    """Where every table of the VPC leads a destination."""
    return {
        table.route_table_id: next((one.target for one in table.routes if str(one.destination) == destination), None)
        for table in node.aws.account.world.route_tables.values()
    }


def written(ran: Ran) -> List[str]:
    """The tables that a run wrote, sorted."""
    return sorted(
        call.parameters["RouteTableId"]
        for call in ran.calls
        if call.action in ("ReplaceRoute", "CreateRoute") and "DryRun" not in call.parameters
    )


def errors(ran: Ran) -> List[str]:
    """What was logged as an error."""
    return [line for line in ran.stderr.splitlines() if line.startswith("ERROR:")]


def look(node: Node) -> Ran:
    """A level-10 monitor, long after the start."""
    return node.agent.run("monitor", level=10, interval=10)


@pytest.fixture
def box(node: Node) -> Node:
    """A node whose VPC has two tables with the tag, whose routes lead to the other node, and a third one without."""
    crm_resource_stub(node, "managed")
    tag(node, *node.tables)
    new_table(node)
    return node


def both(node: Node) -> Tuple[str, ...]:
    """The two tables that the service is about: those that the topology has."""
    return node.aws.account.route_table_ids[:2]


WAYS = pytest.mark.parametrize("named", [TAG, "auto"])


@WAYS
def test_start_writes_the_tables_that_are_named(box: Node, named: str) -> None:
    """Those with the tag, those with a route for the destination: one lookup beside what else a start reads."""
    ran = box.agent.run("start", {"routing_table": named})
    assert ran.code == 0, ran
    assert written(ran) == sorted(both(box))
    assert sorted(ran.ec2) == ["DescribeNetworkInterfaces", "DescribeRouteTables", "ReplaceRoute", "ReplaceRoute"]


def test_ids_tags_and_auto_together(box: Node) -> None:
    """ "Also mixed with ids": every table once."""
    third = new_table(box)
    box.aws.account.put_route(box.destination, "node2", third)
    untag(box, both(box)[1])
    ran = box.agent.run("start", {"routing_table": f"{both(box)[1]}, {TAG}, auto"})
    assert ran.code == 0, ran
    assert written(ran) == sorted([*both(box), third])


@pytest.mark.parametrize("value", ["a*b", "what?", "back\\slash", "with blank", "k=v", ""])
def test_a_value_is_taken_as_it_stands(box: Node, value: str) -> None:
    """No wildcards, and everything after the first = is the value."""
    tag(box, both(box)[0], key="name", value=value)
    tag(box, both(box)[1], key="name", value=f"axb{value}")
    ran = box.agent.run("start", {"routing_table": f"tag:name={value}"})
    assert ran.code == 0, ran
    assert written(ran) == [both(box)[0]]


@WAYS
def test_through_the_role(make_node: Callable[..., Node], named: str) -> None:
    """A shared VPC's tables: `routing_table_role` looks them up too."""
    owner = "210987654321"
    node = make_node(topology=topology_for(shared_vpc_owner=owner))
    arn = f"arn:aws:iam::{owner}:role/network"
    account = node.aws.account
    account.identities.put_role(Role(arn, None, frozenset({account.topology.account_id})))
    tag(node, *both(node))
    ran = node.agent.run("start", {"routing_table": named, "routing_table_role": arn})
    assert ran.code == 0, ran
    assert written(ran) == sorted(both(node))
    (asked,) = [call for call in ran.calls if call.action == "DescribeRouteTables"]
    assert f"arn:aws:sts::{owner}:assumed-role/network/" in str(asked.principal)


def test_another_vpc_is_not_this_nodes(box: Node) -> None:
    """The lookup names the node's VPC."""
    ran = box.agent.run("start", {"routing_table": TAG})
    (asked,) = [call for call in ran.calls if call.action == "DescribeRouteTables"]
    assert box.aws.account.vpc_id in asked.parameters.values()


@WAYS
def test_a_table_that_appears_later(box: Node, named: str) -> None:
    """ "Written by the next level-10 monitor (`on_drift`)"."""
    box.agent.parameters["routing_table"] = named
    box.started()
    box.forget_writes()
    third = new_table(box)
    if named == TAG:
        tag(box, third)
    else:
        box.aws.account.put_route(box.destination, "node2", third)
    assert look_with(box, on_drift="report").code == DEGRADED
    ran = look(box)
    assert ran.code == 0, ran
    assert set(written(ran)) == {third}
    assert leads(box, box.destination)[third] == box.me.network_interface_id
    assert look(box).stderr == ""


def look_with(node: Node, **parameters: str) -> Ran:
    """A level-10 monitor with other parameters."""
    return node.agent.run("monitor", parameters, level=10, interval=10)


def test_a_table_that_appears_right_after_the_start(box: Node) -> None:
    """What this node has not written is no old read: it counts within the minute after the start, too."""
    box.agent.parameters["routing_table"] = TAG
    box.started()
    third = new_table(box)
    tag(box, third)
    ran = look(box)
    assert ran.code == 0, ran
    assert leads(box, box.destination)[third] == box.me.network_interface_id


@WAYS
def test_a_table_that_vanishes(box: Node, named: str) -> None:
    """ "One that vanishes is not an error": neither for a monitor nor for the next start."""
    box.agent.parameters["routing_table"] = named
    box.started()
    box.forget_writes()
    box.aws.account.delete_route_table(both(box)[1])
    assert look(box).code == 0
    ran = box.agent.run("start")
    assert ran.code == 0, ran
    assert written(ran) == [both(box)[0]]
    assert errors(ran) == []


def test_a_route_that_is_deleted_under_auto(box: Node) -> None:
    """A table that led here is still meant when somebody deletes its route: the monitor makes it again."""
    box.agent.parameters["routing_table"] = "auto"
    box.started()
    box.forget_writes()
    box.aws.account.delete_route(box.destination, both(box)[0])
    ran = look(box)
    assert ran.code == 0, ran
    assert set(box_routes(box).values()) == {box.me.network_interface_id}


def box_routes(node: Node) -> Dict[str, Optional[str]]:
    """Where the two tables lead the address."""
    return {table: leads(node, node.destination)[table] for table in both(node)}


@pytest.mark.parametrize(
    ("named", "says"),
    [
        (TAG, "has the tag ha=hana"),
        ("auto", "auto finds no table of"),
        (f"{TAG},auto", "or correct it; auto finds"),
    ],
)
def test_none_found(box: Node, named: str, says: str) -> None:
    """None found: start 2, level 10 190, naming what was looked for; two reads say so."""
    box.hold()
    untag(box, *both(box))
    box.aws.account.delete_route(box.destination)
    degraded = look_with(box, routing_table=named)
    assert degraded.code == DEGRADED, degraded
    assert says in degraded.reason
    assert box.agent.run("stop").code == 0
    ran = box.agent.run("start", {"routing_table": named})
    assert ran.code == 2, ran
    assert says in ran.reason
    assert box.aws.account.vpc_id in ran.reason
    assert ran.ec2.count("DescribeRouteTables") == 2
    assert box.held() == []
    validated = box.agent.run("validate-all", {"routing_table": named}, level=10)
    assert validated.code == 2, validated
    assert says in validated.reason


def test_a_tag_that_no_table_has_beside_ids(box: Node) -> None:
    """The tables by id are served: an error in the log, and 190 at level 10 that names the tag."""
    box.agent.parameters["routing_table"] = f"{','.join(both(box))}, tag:ha=other"
    ran = box.agent.run("start")
    assert ran.code == 0, ran
    assert written(ran) == sorted(both(box))
    assert any("has the tag ha=other" in line for line in errors(ran))
    degraded = look(box)
    assert degraded.code == DEGRADED, degraded
    assert "has the tag ha=other" in degraded.reason


@WAYS
def test_an_empty_read_is_read_again(box: Node, named: str) -> None:
    """ "An empty answer to a filtered read is UNKNOWN until a second read agrees"."""
    box.aws.faults.add(Fault("empty_set", action="DescribeRouteTables", times=1))
    ran = box.agent.run("start", {"routing_table": named})
    assert ran.code == 0, ran
    assert written(ran) == sorted(both(box))


# -- a lookup that fails --------------------------------------------------------------------------------------------

FAILING = {
    "denied": lambda node: node.aws.account.identities.restrict_instances(DENIED),
    "5xx": lambda node: node.aws.faults.add(Fault("error", action="DescribeRouteTables")),
    "hanging": lambda node: node.aws.faults.add(Fault("hang", action="DescribeRouteTables")),
    "throttled": lambda node: node.aws.faults.add(
        Fault("error", action="DescribeRouteTables", code="RequestLimitExceeded")
    ),
}
FAILURES = pytest.mark.parametrize("fail", FAILING.values(), ids=FAILING)
# Those that differ in how long they take to be known.
TWO_FAILURES = pytest.mark.parametrize("fail", [FAILING["denied"], FAILING["hanging"]], ids=["denied", "hanging"])


@FAILURES
def test_a_start_falls_back_to_the_last_tables(box: Node, fail: Callable[[Node], object]) -> None:
    """ "A failover must not depend on one more read": the tables that this node saw lead here, and the log says so."""
    box.agent.parameters["routing_table"] = "auto"
    box.started()
    assert box.agent.run("stop").code == 0
    for table in both(box):
        box.aws.account.put_route(box.destination, "node2", table)
    fail(box)
    ran = box.agent.run("start")
    assert ran.code == 0, ran
    assert written(ran) == sorted(both(box))
    (told,) = errors(ran)
    assert "the tables that led here before" in told
    assert all(table in told for table in both(box))


@TWO_FAILURES
def test_what_a_monitor_saw_is_remembered_too(box: Node, fail: Callable[[Node], object]) -> None:
    """The last tables, not those of the start: one that was added since counts."""
    box.agent.parameters["routing_table"] = TAG
    box.started()
    box.forget_writes()
    third = new_table(box)
    tag(box, third)
    assert look(box).code == 0
    assert look(box).code == 0
    box.agent.run("stop")
    fail(box)
    ran = box.agent.run("start")
    assert ran.code == 0, ran
    assert written(ran) == sorted([*both(box), third])


def test_other_names_are_not_what_is_remembered(box: Node) -> None:
    """After a change of routing_table the tables of before are not written by a start whose lookup fails."""
    box.agent.parameters["routing_table"] = "auto"
    box.started()
    assert box.agent.run("stop").code == 0
    tag(box, both(box)[0], key="name", value="one")
    FAILING["denied"](box)
    ran = box.agent.run("start", {"routing_table": "tag:name=one"})
    assert ran.code == 4, ran
    assert written(ran) == []


@TWO_FAILURES
def test_a_standby_knows_the_tables_by_validation(box: Node, fail: Callable[[Node], object]) -> None:
    """validate-all at level 10 on a node that was never active: what it found is remembered there."""
    box.agent.parameters["routing_table"] = TAG
    assert box.agent.run("validate-all", level=10).code == 0
    fail(box)
    ran = box.agent.run("start")
    assert ran.code == 0, ran
    assert written(ran) == sorted(both(box))


@TWO_FAILURES
def test_tables_by_id_do_not_wait_for_the_lookup(box: Node, fail: Callable[[Node], object]) -> None:
    """Mixed with ids, and nothing remembered: those by id are served, the rest is an error in the log."""
    fail(box)
    ran = box.agent.run("start", {"routing_table": f"{both(box)[0]},tag:ha=hana"})
    assert ran.code == 0, ran
    assert written(ran) == [both(box)[0]]
    assert "only the ones by id" in "".join(errors(ran))


@pytest.mark.parametrize(("failing", "code"), [("denied", 4), ("5xx", 1), ("hanging", 1)])
def test_nothing_to_fall_back_to(box: Node, failing: str, code: int) -> None:
    """A lookup that fails is UNKNOWN; denied 4. The local address is taken away again."""
    FAILING[failing](box)
    ran = box.agent.run("start", {"routing_table": TAG}, timeout=5)
    assert ran.code == code, ran
    assert "DescribeRouteTables" in ran.reason
    assert box.held() == []


@FAILURES
def test_a_monitor_does_not_fall_back(box: Node, fail: Callable[[Node], object]) -> None:
    """A lookup that fails is UNKNOWN at level 10: 190, nothing written."""
    box.agent.parameters["routing_table"] = TAG
    box.started()
    fail(box)
    ran = box.agent.run("monitor", level=10, interval=10, timeout=6)
    assert ran.code == DEGRADED, ran
    assert written(ran) == []


@pytest.mark.parametrize("content", ["", "[]", '{"tables": "rtb-0000000a"}', '{"tables": [1]}', "{"])
def test_a_damaged_memory_is_none(box: Node, content: str) -> None:
    """It is an aid; nothing is done by it that cannot be read."""
    box.agent.parameters["routing_table"] = TAG
    box.started()
    (file,) = box.directory.glob("aws-ipfailover-tables-*")
    file.write_text(content)
    FAILING["denied"](box)
    ran = box.agent.run("start", timeout=10)
    assert ran.code in (1, 4), ran
    assert ran.stderr.count("Traceback") == 0


def test_a_stop_and_a_probe_look_nothing_up(box: Node) -> None:
    """Neither needs the cloud."""
    box.agent.parameters["routing_table"] = f"{TAG},auto"
    box.started()
    assert box.agent.run("monitor").calls == ()
    assert box.agent.run("monitor", interval=10).calls == ()
    assert box.agent.run("stop").calls == ()


# -- validate-all ---------------------------------------------------------------------------------------------------


def test_validation_names_what_was_found(box: Node) -> None:
    """ "`validate-all` level 10 names what was found"."""
    ran = box.agent.run("validate-all", {"routing_table": TAG}, environ={"HA_debug": "1"}, level=10)
    assert ran.code == 0, ran
    assert f"routing_table names {', '.join(both(box))}" in ran.stderr.replace(" and ", ", ")


def test_validation_warns_of_subnets_without_the_address(box: Node) -> None:
    """A subnet whose table, its own or the main one, is not among them: its consumers do not reach the address."""
    ran = box.agent.run("validate-all", {"routing_table": both(box)[0]}, level=10)
    assert ran.code == 0, ran
    (warning,) = [line for line in ran.stderr.splitlines() if "is not among the tables" in line]
    assert both(box)[1] in warning
    assert "subnet-" in warning
    covered = box.agent.run("validate-all", {"routing_table": ",".join(both(box))}, level=10)
    assert "is not among the tables" not in covered.stderr


def test_validation_without_the_right_to_read_subnets(box: Node) -> None:
    """Which subnets are covered is then not known, and no failure."""
    policy = Policy((Statement(("*",)), Statement(("ec2:DescribeSubnets",), effect="Deny")))
    box.aws.account.identities.restrict_instances(policy)
    ran = box.agent.run("validate-all", {"routing_table": both(box)[0]}, level=10)
    assert ran.code == 0, ran
    assert "is not among the tables" not in ran.stderr


@pytest.mark.parametrize(
    "text",
    ["tag:ha", "tag:=x", "tag:", "Auto", "all", f"tag:{'k' * 129}=v", f"tag:k={'v' * 257}", "tag:k=\udcff"],
)
def test_a_bad_name(box: Node, text: str) -> None:
    """6, naming parameter, value and what would be right; nothing asked."""
    ran = box.agent.run("start", {"routing_table": text})
    assert ran.code == 6, ran
    assert "parameter routing_table:" in ran.reason
    assert "tag:KEY=VALUE or auto" in ran.reason
    assert ran.calls == ()


def test_what_is_remembered_is_private(box: Node) -> None:
    """A file under HA_RSCTMP that nobody else can write or read."""
    box.agent.parameters["routing_table"] = TAG
    box.started()
    (file,) = box.directory.glob("aws-ipfailover-tables-*")
    assert file.stat().st_mode & 0o077 == 0
    assert sorted(json.loads(file.read_text())["tables"]) == sorted(both(box))
