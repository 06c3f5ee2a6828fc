"""The contract's sentences about drift: what a level-10 monitor does where the cloud side no longer leads here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from sandbox import Node, Ran, crm_resource_stub, need_commands
from vpc_lab.ec2 import Fault, Policy, Statement
from vpc_lab.topology import topology_for

DEGRADED = 190
READS = ("ec2:DescribeRouteTables", "ec2:DescribeNetworkInterfaces")


def look(node: Node, **parameters: str) -> Ran:
    """A level-10 monitor."""
    return node.agent.run("monitor", parameters, level=10, interval=10)


def writes(ran: Ran) -> List[str]:
    """The operations that a run asked of EC2 and that change something."""
    return [action for action in ran.ec2 if not action.startswith("Describe")]


def logged(ran: Ran, level: str) -> List[str]:
    """What was logged at a level."""
    return [line for line in ran.stderr.splitlines() if line.startswith(f"{level}:")]


@pytest.fixture
def drifted(node: Node) -> Node:
    """The active node long after its start, managed by Pacemaker; somebody has led the last table elsewhere."""
    node.hold()
    node.aws.account.put_route(node.destination, "node2", node.tables[1])
    crm_resource_stub(node, "managed")
    return node


@pytest.mark.parametrize("deep", [{"level": 10}, {"parameters": {"monapi": "true"}}], ids=["level 10", "monapi"])
def test_repair(drifted: Node, deep: Dict[str, Any]) -> None:
    """`repair` writes what is missing, in place, and answers 0 with a warning in the log."""
    before = drifted.held()
    ran = drifted.agent.run("monitor", interval=10, **deep)
    assert ran.code == 0, ran
    assert ran.reasons == []
    assert set(drifted.routes().values()) == {drifted.me.network_interface_id}
    assert [call.parameters["RouteTableId"] for call in ran.calls if call.action == "ReplaceRoute"] == [
        drifted.tables[1]
    ]
    assert drifted.held() == before
    assert "added" not in ran.stderr
    assert [line for line in logged(ran, "WARNING") if drifted.tables[1] in line and "again" in line], ran
    assert logged(ran, "ERROR") == []
    assert look(drifted).stderr == ""


def test_repair_of_a_route_that_is_gone(drifted: Node) -> None:
    """`repair` writes what is missing: a route that somebody deleted is made anew."""
    drifted.aws.account.delete_route(drifted.destination, drifted.tables[0])
    ran = look(drifted)
    assert ran.code == 0, ran
    assert set(drifted.routes().values()) == {drifted.me.network_interface_id}


def test_repair_is_the_default(drifted: Node) -> None:
    """`on_drift`: default `repair`; an empty value is one not given."""
    assert writes(look(drifted, on_drift="")) == ["ReplaceRoute"]


def test_restart(drifted: Node) -> None:
    """`restart` answers 1: nothing is written, and Pacemaker is not asked."""
    asked = crm_resource_stub(drifted, "managed")
    ran = look(drifted, on_drift="restart")
    assert ran.code == 1, ran
    assert drifted.tables[1] in ran.reason
    assert writes(ran) == []
    assert asked() == []


def test_restart_where_the_start_was_refused(node: Node) -> None:
    """A table that the start could not write is 190 under `restart` too: each restart would end there again."""
    gone = "rtb-0123456789abcdef0"
    parameters = {"routing_table": f"{','.join(node.tables)},{gone}", "on_drift": "restart"}
    assert node.agent.run("start", parameters).code == 0
    ran = node.agent.run("monitor", parameters, level=10, interval=10)
    assert ran.code == DEGRADED, ran
    assert gone in ran.reason[:110]
    assert writes(ran) == []


def test_report(drifted: Node) -> None:
    """`report` answers 190: nothing is written, and Pacemaker is not asked."""
    asked = crm_resource_stub(drifted, "managed")
    ran = look(drifted, on_drift="report")
    assert ran.code == DEGRADED, ran
    assert "nothing changed" in ran.reason
    assert drifted.tables[1] in ran.reason[:110]
    assert writes(ran) == []
    assert asked() == []


def test_pacemaker_is_asked_before_a_write(drifted: Node) -> None:
    """Never a write while Pacemaker does not manage the resource (`crm_resource` is asked, in this case only)."""
    asked = crm_resource_stub(drifted, "managed")
    assert look(drifted).code == 0
    assert asked() == ["--query-xml --resource the-vip"]
    assert look(drifted).code == 0
    assert len(asked()) == 1


@pytest.mark.parametrize("says", ["unmanaged", "maintenance"])
def test_unmanaged(drifted: Node, says: str) -> None:
    """Never a write while Pacemaker does not manage the resource (unmanaged, maintenance mode): 190."""
    crm_resource_stub(drifted, says)
    ran = look(drifted)
    assert ran.code == DEGRADED, ran
    assert "not managed by Pacemaker" in ran.reason[:110]
    assert drifted.tables[1] in ran.reason[:110]
    assert writes(ran) == []


@pytest.mark.parametrize("says", ["hanging", "failing", "absent"])
def test_pacemaker_does_not_answer(drifted: Node, says: str) -> None:
    """`crm_resource` does not answer: 190, and nothing is written."""
    crm_resource_stub(drifted, says)
    ran = look(drifted)
    assert ran.code == DEGRADED, ran
    assert "crm_resource" in ran.reason
    assert drifted.tables[1] in ran.reason[:110]
    assert writes(ran) == []
    assert len(drifted.held()) == 1


# -- the real crm_resource ------------------------------------------------------------------------------------------

CIB = """\
<cib crm_feature_set="3.16.2" validate-with="pacemaker-3.0" epoch="1" num_updates="0" admin_epoch="0">
  <configuration>
    <crm_config><cluster_property_set id="options">
      <nvpair id="stonith" name="stonith-enabled" value="false"/>
      <nvpair id="maintenance" name="maintenance-mode" value="{cluster}"/>
    </cluster_property_set></crm_config>
    <nodes><node id="1" uname="maintenance"><instance_attributes id="node">
      <nvpair id="of-node" name="maintenance" value="{node}"/>
    </instance_attributes></node></nodes>
    <resources><primitive id="unmanaged" class="ocf" provider="pacemaker" type="Dummy"><meta_attributes id="meta">
      <nvpair id="is-managed" name="is-managed" value="{managed}"/>
    </meta_attributes></primitive></resources>
    <constraints/>
  </configuration>
  <status><node_state id="1" uname="maintenance" in_ccm="true" crmd="online" join="member" expected="member">
    <lrm id="1"><lrm_resources><lrm_resource id="unmanaged" type="Dummy" class="ocf" provider="pacemaker">
      <lrm_rsc_op id="last" operation_key="unmanaged_start_0" operation="start" crm_feature_set="3.16.2"
       transition-key="1:1:0:00000000-0000-0000-0000-000000000000"
       transition-magic="0:0;1:1:0:00000000-0000-0000-0000-000000000000" call-id="5" rc-code="0" op-status="0"
       interval="0" op-digest="f2317cad3d54cec5d7d7aa7d0bf35cf8"/>
    </lrm_resource></lrm_resources></lrm>
  </node_state></status>
</cib>
"""


@pytest.mark.parametrize(
    ("cluster", "node_", "managed", "written"),
    [
        ("false", "false", "true", True),
        ("true", "false", "true", False),
        ("false", "true", "true", False),
        ("false", "false", "false", False),
    ],
    ids=["managed", "maintenance mode", "node in maintenance", "unmanaged"],
)
def test_the_real_crm_resource(
    node: Node, tmp_path: Path, cluster: str, node_: str, managed: str, written: bool
) -> None:
    """Never a write while Pacemaker does not manage the resource: as its own tool shows it, whatever the resource and
    the node are called."""
    need_commands("crm_resource")
    node.hold()
    node.point_routes_at("node2")
    cib = tmp_path / "cib.xml"
    cib.write_text(CIB.format(cluster=cluster, node=node_, managed=managed))
    node.agent.environ.update(CIB_file=str(cib), OCF_RESOURCE_INSTANCE="unmanaged")
    ran = look(node)
    assert ran.code == (0 if written else DEGRADED), ran
    assert bool(writes(ran)) is written
    if not written:
        assert "not managed by Pacemaker" in ran.reason
        # The guard works: another resource's name is not known there.
        node.agent.environ["OCF_RESOURCE_INSTANCE"] = "other"
        assert "crm_resource fails" in look(node).reason


# -- what cannot be repaired -----------------------------------------------------------------------------------------


def deny(node: Node, table: str, code: str = "UnauthorizedOperation") -> int:
    """Let every write of a table fail; the fault's number."""
    return node.aws.faults.add(Fault("error", action="ReplaceRoute", resource=table, code=code))


@pytest.mark.parametrize("code", ["UnauthorizedOperation", "InvalidRouteTableID.NotFound", "RequestLimitExceeded"])
def test_repaired_in_part(drifted: Node, code: str) -> None:
    """190 naming what could not be written, while any of it leads here; it is logged at ERROR."""
    deny(drifted, drifted.tables[1], code)
    ran = drifted.agent.run("monitor", level=10, interval=10, timeout=12)
    assert ran.code == DEGRADED, ran
    assert ran.reason.startswith(f"Served in part: {drifted.tables[1]}")
    assert code in ran.reason
    assert drifted.tables[0] not in ran.reason
    assert [line for line in logged(ran, "ERROR") if drifted.tables[1] in line and code in line], ran
    assert len(drifted.held()) == 1


@pytest.mark.parametrize("kind", ["hang", "reset"])
def test_a_write_that_is_not_answered(drifted: Node, kind: str) -> None:
    """190 naming what could not be written, while any of it leads here: also where EC2 does not answer to the end."""
    drifted.aws.faults.add(Fault(kind, action="ReplaceRoute"))  # type: ignore[arg-type]
    ran = drifted.agent.run("monitor", level=10, interval=10, timeout=12)
    assert ran.code == DEGRADED, ran
    assert ran.reason.startswith(f"Served in part: {drifted.tables[1]}")


def test_any_of_it_leads_here_only_now(drifted: Node) -> None:
    """190 while any of it leads here, also when only now: what could be written is."""
    drifted.point_routes_at("node2")
    deny(drifted, drifted.tables[1])
    ran = look(drifted)
    assert ran.code == DEGRADED, ran
    assert drifted.tables[1] in ran.reason
    assert drifted.routes()[drifted.tables[0]] == drifted.me.network_interface_id


def test_none_of_it_can_be_repaired(drifted: Node) -> None:
    """1 when none does lead here."""
    drifted.point_routes_at("node2")
    for table in drifted.tables:
        deny(drifted, table)
    ran = look(drifted)
    assert ran.code == 1, ran
    assert "ReplaceRoute: UnauthorizedOperation" in ran.reason[:110]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("hang", action="ReplaceRoute"),
        Fault("reset", action="ReplaceRoute"),
        Fault("reset", action="ReplaceRoute", after=True),
        Fault("error", action="ReplaceRoute", code="RequestLimitExceeded", status=503),
    ],
    ids=lambda fault: f"{fault.kind} after={fault.after}",
)
def test_a_repair_that_is_not_confirmed(drifted: Node, fault: Fault) -> None:
    """190 where EC2 confirms no write of any table: it may have done it, and an unknown is never a "no"."""
    drifted.point_routes_at("node2")
    drifted.aws.faults.add(fault)
    ran = drifted.agent.run("monitor", level=10, interval=10, timeout=12)
    assert ran.code == DEGRADED, ran
    assert ran.reason.startswith(f"Repair not confirmed: {drifted.tables[0]}")
    assert "ReplaceRoute: " in ran.reason[:110]
    assert len(drifted.held()) == 1


# -- after a start that could not write everything -------------------------------------------------------------------


def test_a_deleted_table_after_a_start(make_node: Callable[..., Node]) -> None:
    """A start that could not write each table: the level-10 monitor that follows answers 190, with the table and what
    to do in the first 110 characters."""
    node = make_node(topology=topology_for(extra_route_tables=1))
    crm_resource_stub(node, "managed")
    gone = node.tables[1]
    node.aws.account.delete_route_table(gone)
    node.agent.parameters["routing_table"] = ",".join([gone, *(one for one in node.tables if one != gone)])
    assert node.agent.run("start").code == 0
    for _ in range(2):
        ran = look(node)
        assert ran.code == DEGRADED, ran
        assert f"{gone} does not exist: remove it from routing_table" in ran.reason[:110]
        assert len(node.held()) == 1


def test_a_denied_table_after_a_start(node: Node) -> None:
    """A start that could not write each table: the level-10 monitor that follows answers 190, also long after."""
    crm_resource_stub(node, "managed")
    bad = node.tables[1]
    deny(node, bad)
    assert node.agent.run("start").code == 0
    ran = look(node)
    assert ran.code == DEGRADED, ran
    assert bad in ran.reason[:110]
    assert "ReplaceRoute: UnauthorizedOperation" in ran.reason[:110]
    node.forget_writes()
    assert look(node).code == DEGRADED


def test_what_can_be_mended_is_mended(make_node: Callable[..., Node]) -> None:
    """The level-10 monitor that follows answers 190 and mends what can be mended: at once, as what a start could not
    write cannot be contradicted by an old read."""
    node = make_node(topology=topology_for(extra_route_tables=1))
    crm_resource_stub(node, "managed")
    denied, throttled, _ = node.tables
    deny(node, denied)
    number = deny(node, throttled, "RequestLimitExceeded")
    assert node.agent.run("start", timeout=8).code == 0
    assert node.routes()[throttled] != node.me.network_interface_id
    node.aws.faults.remove(number)
    ran = look(node)
    assert ran.code == DEGRADED, ran
    assert denied in ran.reason
    assert throttled not in ran.reason
    assert node.routes()[throttled] == node.me.network_interface_id


def test_a_contradiction_about_what_was_written(node: Node) -> None:
    """For 60 s after this node's own successful write a read that contradicts it is UNKNOWN: also after a start that
    could not write another table."""
    asked = crm_resource_stub(node, "managed")
    deny(node, node.tables[1])
    assert node.agent.run("start").code == 0
    node.aws.account.put_route(node.destination, "node2", node.tables[0])
    ran = look(node)
    assert ran.code == DEGRADED, ran
    assert "reads can lag" in ran.reason
    assert writes(ran) == []
    assert asked() == []


def test_repair_needs_no_more_than_a_start(drifted: Node) -> None:
    """The policy that a start needs is enough for a repair."""
    may = Statement((*READS, "ec2:ReplaceRoute"))
    drifted.aws.account.identities.restrict_instances(Policy((may,)))
    ran = look(drifted)
    assert ran.code == 0, ran
    assert {call.outcome for call in ran.calls if call.service == "ec2"} == {"ok"}
