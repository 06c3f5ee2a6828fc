"""The contract's sentences about the source/destination check, with which EC2 drops every packet for the address."""

from __future__ import annotations

import pytest

from sandbox import Node, Ran, crm_resource_stub
from vpc_lab.ec2 import Fault, Policy, Statement
from vpc_lab.waiting import eventually

DEGRADED = 190
ROUTES = ("ec2:ReplaceRoute", "ec2:DescribeRouteTables")
SWITCH = "ModifyNetworkInterfaceAttribute"


def is_on(node: Node) -> bool:
    """Whether the check of this node's primary ENI is on."""
    return node.aws.account.world.interfaces[node.me.network_interface_id].source_dest_check


def may(node: Node, *actions: str) -> None:
    """What the instances' role may do."""
    node.aws.account.identities.restrict_instances(Policy((Statement(actions),)))


def has_command(node: Node, ran: Ran) -> None:
    """The reason has what it means early, and the command that switches the check off."""
    eni = node.me.network_interface_id
    for expected in (f"source/destination check of {eni} is on", "EC2 drops all packets", "switch it off: aws ec2"):
        assert expected in ran.reason[:110]
    assert (
        "aws ec2 modify-network-interface-attribute --region eu-central-1"
        f" --network-interface-id {eni} --no-source-dest-check"
    ) in ran.reason


@pytest.fixture
def checked(node: Node) -> Node:
    """A node whose check is on."""
    node.aws.account.set_source_dest_check("node1", checked=True)
    return node


# -- start ------------------------------------------------------------------------------------------------------------


def test_start_switches_it_off(checked: Node) -> None:
    """start: source/destination check on: switched off where the credentials may; a repair is logged at WARNING."""
    ran = checked.agent.run("start")
    assert ran.code == 0, ran
    assert not is_on(checked)
    assert [line for line in ran.stderr.splitlines() if line.startswith("WARNING:") and "switched off" in line]
    assert len(checked.held()) == 1


def test_start_leaves_one_alone_that_is_off(node: Node) -> None:
    """start: a check that is off is only read."""
    assert SWITCH not in node.started().ec2


def test_start_where_it_may_not_switch_it_off(checked: Node) -> None:
    """start: source/destination check on: 2 with the command where the credentials may not, never a success that
    answers nobody; the address is taken away again."""
    may(checked, *ROUTES, "ec2:DescribeNetworkInterfaces")
    ran = checked.agent.run("start")
    assert ran.code == 2, ran
    has_command(checked, ran)
    assert f"{SWITCH}: UnauthorizedOperation" in ran.reason
    assert checked.held() == []


@pytest.mark.parametrize("kind", ["hang", "reset"])
def test_start_where_nobody_answers_the_switching_off(checked: Node, kind: str) -> None:
    """start: never a success that answers nobody: 2 with the command where EC2 does not answer to the end."""
    checked.aws.faults.add(Fault(kind, action=SWITCH))  # type: ignore[arg-type]
    ran = checked.agent.run("start", timeout=10)
    assert ran.code == 2, ran
    has_command(checked, ran)
    assert checked.held() == []


def test_start_waits_for_the_switching_off(checked: Node) -> None:
    """start: never a success that answers nobody: EC2 is waited for, however slowly it switches the check off."""
    checked.aws.faults.add(Fault("latency", action=SWITCH, seconds=4.0))
    ran = checked.agent.run("start", timeout=60)
    assert ran.code == 0, ran
    assert not is_on(checked)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("latency", action="DescribeNetworkInterfaces", seconds=4.0),
        Fault("error", action="DescribeNetworkInterfaces", code="RequestLimitExceeded", status=503, times=6),
    ],
    ids=["slow", "throttled"],
)
def test_start_waits_for_the_read(checked: Node, fault: Fault) -> None:
    """start: never a success that answers nobody: the read is waited for, for a third of the time that is left."""
    checked.aws.faults.add(fault)
    ran = checked.agent.run("start", timeout=60)
    assert ran.code == 0, ran
    assert not is_on(checked)


def test_monitor_after_a_start_that_could_not_read_it(checked: Node) -> None:
    """What this start has not seen off is no write of its own: the next monitor at level 10 switches it off."""
    fault = checked.aws.faults.add(Fault("error", action="DescribeNetworkInterfaces", code="InternalError", status=500))
    ran = checked.agent.run("start", timeout=10)
    assert ran.code == 0, ran
    assert is_on(checked)
    checked.aws.faults.remove(fault)
    crm_resource_stub(checked, "managed")
    ran = look(checked)
    assert ran.code == 0, ran
    assert not is_on(checked)


def test_start_without_permission_to_read_it(checked: Node) -> None:
    """start: no permission to read it: a warning."""
    may(checked, *ROUTES)
    ran = checked.agent.run("start")
    assert ran.code == 0, ran
    (warning,) = [line for line in ran.stderr.splitlines() if line.startswith("WARNING:")]
    assert "source/destination check" in warning
    assert "DescribeNetworkInterfaces: UnauthorizedOperation" in warning
    assert len(checked.held()) == 1


@pytest.mark.parametrize("kind", ["hang", "reset", "empty_set"])
def test_start_where_it_cannot_be_read(node: Node, kind: str) -> None:
    """start: a check that cannot be read is no reason to fail: a warning."""
    node.aws.faults.add(Fault(kind, action="DescribeNetworkInterfaces"))  # type: ignore[arg-type]
    ran = node.agent.run("start", timeout=8)
    assert ran.code == 0, ran
    assert [line for line in ran.stderr.splitlines() if line.startswith("WARNING:") and "check" in line], ran


# -- monitor ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def active(checked: Node) -> Node:
    """The active node long after its start, whose check somebody has switched on. Pacemaker manages the resource."""
    checked.hold()
    crm_resource_stub(checked, "managed")
    return checked


def look(node: Node, **parameters: str) -> Ran:
    """A level-10 monitor."""
    return node.agent.run("monitor", parameters, level=10, interval=10)


def test_monitor_switches_it_off(active: Node) -> None:
    """monitor level 10: a check that a second read confirms to be on counts as drift of everything: switched off, with
    a warning in the log."""
    ran = look(active)
    assert ran.code == 0, ran
    assert ran.reasons == []
    assert not is_on(active)
    assert [line for line in ran.stderr.splitlines() if line.startswith("WARNING:") and "switched off" in line]
    assert "ReplaceRoute" not in ran.ec2


def test_monitor_where_it_may_not_switch_it_off(active: Node) -> None:
    """monitor level 10: switched off, else 1 with the command."""
    may(active, *ROUTES, "ec2:DescribeNetworkInterfaces")
    ran = look(active)
    assert ran.code == 1, ran
    has_command(active, ran)
    assert len(active.held()) == 1


def test_monitor_where_nobody_answers_the_switching_off(active: Node) -> None:
    """monitor level 10: switched off, else 1 with the command: also where EC2 does not answer to the end."""
    active.aws.faults.add(Fault("hang", action=SWITCH))
    ran = active.agent.run("monitor", level=10, interval=10, timeout=12)
    assert ran.code == 1, ran
    assert "--no-source-dest-check" in ran.reason


@pytest.mark.parametrize(("on_drift", "code"), [("restart", 1), ("report", DEGRADED)])
def test_monitor_by_on_drift(active: Node, on_drift: str, code: int) -> None:
    """monitor level 10: a check that is on counts as drift: `restart` answers 1, `report` 190; neither writes."""
    ran = look(active, on_drift=on_drift)
    assert ran.code == code, ran
    assert SWITCH not in ran.ec2
    assert is_on(active)
    assert "--no-source-dest-check" in ran.reason


def test_monitor_while_pacemaker_does_not_manage_it(active: Node) -> None:
    """Never a write while Pacemaker does not manage the resource: the check is not switched off either."""
    crm_resource_stub(active, "unmanaged")
    ran = look(active)
    assert ran.code == DEGRADED, ran
    assert is_on(active)


def test_a_single_read_of_it(active: Node) -> None:
    """A check that a second read confirms to be on counts: one that a single read shows is not believed."""
    with active.agent.begin("monitor", level=10, interval=10) as running:
        eventually(
            "the first read",
            lambda: [call for call in active.aws.calls("DescribeNetworkInterfaces") if call.outcome == "ok"],
        )
        active.aws.account.set_source_dest_check("node1", checked=False)
        ran = running.end()
    assert ran.code == 0, ran
    assert SWITCH not in ran.ec2
    assert ran.stderr == ""


def test_monitor_without_permission_to_read_it(active: Node) -> None:
    """monitor level 10: without the permission to read the check, the routes alone count, and a warning says so."""
    may(active, *ROUTES)
    ran = look(active)
    assert ran.code == 0, ran
    assert [line for line in ran.stderr.splitlines() if line.startswith("WARNING:") and "check" in line]


# -- an answer that does not tell it ----------------------------------------------------------------------------------


def test_an_answer_without_it(node: Node) -> None:
    """It is neither on nor off: start and monitor warn, go on and write nothing to the ENI; validate-all says so."""
    node.leave_out_the_check()
    told = "the answer does not tell the source/destination check"
    for ran in (node.agent.run("start"), node.agent.run("monitor", level=10, interval=60)):
        assert ran.code == 0, ran
        assert told in ran.stderr
        assert SWITCH not in ran.ec2
    ran = node.agent.run("validate-all", level=10)
    assert ran.code == 1, ran
    assert told in ran.reason
