"""The contract's second edition for mode=eni: what EC2 does while a network interface moves."""

from __future__ import annotations

import math
from typing import Callable, List

import pytest

from sandbox import EniNode, HotPlug, answers_on, attach, create_eni, silent_address
from vpc_lab.ec2 import Fault, Timing
from vpc_lab.waiting import eventually

MakeEniNode = Callable[..., EniNode]
LONG = 600.0  # seconds: longer than any test
SHORT = 6.0  # seconds of timeout, where a run is to reach its end
MISSING = "eni-0123456789abcdef0"


def detachments(node: EniNode) -> List[str]:
    """`Force` of every detachment that the agent has asked for."""
    calls = node.aws.calls("DetachNetworkInterface")
    return [call.parameters.get("Force", "false") for call in calls if call.caller != "administrator"]


def device_index(node: EniNode) -> int:
    """The device index that the ENI is attached at."""
    attachment = node.interface().attachment
    assert attachment is not None
    return attachment.device_index


# -- a holder that goes down ------------------------------------------------------------------------------------------

GOING_DOWN = [("StopInstances", "stopping"), ("TerminateInstances", "shutting-down")]


@pytest.mark.parametrize(("operation", "state"), GOING_DOWN)
def test_a_holder_that_goes_down_is_asked(make_eni_node: MakeEniNode, operation: str, state: str) -> None:
    """An instance that is `stopping` still runs and may answer; it is treated as one that runs: never by force."""
    node = make_eni_node(timing=Timing(stop=LONG, terminate=LONG, detach=0.3))
    node.attach(node.other)
    node.aws.api.administer(operation, InstanceId=node.other.instance_id)
    assert node.aws.account.world.instances[node.other.instance_id].state == state
    node.started()
    assert detachments(node) == ["false"]


@pytest.mark.parametrize(("operation", "state"), GOING_DOWN)
def test_a_holder_that_does_not_take_part(make_eni_node: MakeEniNode, operation: str, state: str) -> None:
    """One that is `stopping` and lets the ENI not go has the grace that one that runs has; only then force."""
    node = make_eni_node(timing=Timing(stop=LONG, terminate=LONG))
    node.aws.account.stuck_detach.add(node.eni)
    node.attach(node.other)
    node.aws.api.administer(operation, InstanceId=node.other.instance_id)
    with node.agent.begin("start", timeout=300) as running:
        eventually("a plain detachment is asked for", lambda: detachments(node) == ["false"])
        reads = len(node.aws.calls("DescribeNetworkInterfaces"))
        eventually("it is looked at again", lambda: len(node.aws.calls("DescribeNetworkInterfaces")) > reads + 2)
        assert detachments(node) == ["false"]
        running.process.kill()
    ran = node.agent.run("start", timeout=9)
    assert ran.code == 0, ran
    assert detachments(node) == ["false", "true"]


def test_a_holder_that_has_gone_down_meanwhile(make_eni_node: MakeEniNode) -> None:
    """`stopping` becomes `stopped` while its detachment hangs: force follows at once."""
    node = make_eni_node(timing=Timing(stop=4.0))
    node.aws.account.stuck_detach.add(node.eni)
    node.attach(node.other)
    node.aws.api.administer("StopInstances", InstanceId=node.other.instance_id)
    ran = node.agent.run("start", timeout=300)
    assert ran.code == 0, ran
    assert node.served()
    assert detachments(node) == ["false", "true"]


# -- reads that come back empty ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["DescribeNetworkInterfaces", "DescribeInstances"])
@pytest.mark.parametrize("holder", ["nobody", "another", "this node"])
def test_an_empty_answer(make_eni_node: MakeEniNode, operation: str, holder: str) -> None:
    """An empty answer to a filtered read is UNKNOWN until a second read agrees: start gets there, with 0."""
    node = make_eni_node()
    if holder != "nobody":
        node.attach(node.other if holder == "another" else node.me)
    node.aws.faults.add(Fault("empty_set", action=operation, times=1))
    ran = node.started()
    assert ran.ec2[: ran.ec2.index(operation) + 2].count(operation) == 2  # the same one again, before anything else


@pytest.mark.parametrize("operation", ["DescribeNetworkInterfaces", "DescribeInstances"])
@pytest.mark.parametrize("at", ["AttachNetworkInterface", "DetachNetworkInterface"])
def test_an_empty_answer_in_the_middle_of_a_move(make_eni_node: MakeEniNode, at: str, operation: str) -> None:
    """A filtered Describe that comes back empty once in the middle of a move: never 2, the move is carried through."""
    node = make_eni_node(timing=Timing(attach=0.5, detach=0.5))
    node.attach(node.other)
    node.aws.account.wait_for(lambda _: node.status() == "attached")
    with node.agent.begin("start") as running:
        mine = eventually(
            f"{at} is asked for", lambda: [call for call in node.aws.calls(at) if call.caller != "administrator"]
        )
        assert mine
        node.aws.faults.add(Fault("empty_set", action=operation, times=1))
        ran = running.end()
    assert ran.code == 0, ran
    assert node.served()


def test_an_eni_that_is_not_there(eni_node: EniNode) -> None:
    """2: ENI not found, by two reads; the failure is logged at ERROR."""
    ran = eni_node.agent.run("start", {"network_interface_id": MISSING})
    assert ran.code == 2, ran
    assert f"EC2 does not know {MISSING} in this region" in ran.reason[:110]
    assert f"ERROR: start: {ran.reason}" in ran.stderr
    assert ran.ec2 == ["DescribeNetworkInterfaces"] * 2


def test_an_instance_that_is_not_there(eni_node: EniNode) -> None:
    """2 by two reads as well where EC2 goes on not knowing this instance."""
    eni_node.aws.faults.add(Fault("empty_set", action="DescribeInstances"))
    ran = eni_node.agent.run("start")
    assert ran.code == 2, ran
    assert ran.ec2.count("DescribeInstances") == 2
    assert eni_node.status() == "available"


def test_no_time_for_a_second_read(eni_node: EniNode) -> None:
    """1 and not 2 where no second read could agree: what is not known bans no node."""
    eni_node.aws.faults.add(Fault("empty_set", action="DescribeNetworkInterfaces", times=1))
    eni_node.aws.faults.add(Fault("hang", action="DescribeNetworkInterfaces"))
    ran = eni_node.agent.run("start", timeout=SHORT)
    assert ran.code == 1, ran


@pytest.mark.parametrize("level", [0, 10])
def test_a_monitor_that_reads_nothing(eni_node: EniNode, level: int) -> None:
    """Level-10 monitor: one empty answer is not believed (0), and the ENI is still served."""
    eni_node.started()
    eni_node.forget_writes()
    eni_node.aws.faults.add(Fault("empty_set", action="DescribeNetworkInterfaces", times=1))
    ran = eni_node.agent.run("monitor", level=level, interval=10)
    assert ran.code == 0, ran
    assert eni_node.served()


# -- EC2 is still changing something ----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["IncorrectState", "IncorrectInstanceState"])
@pytest.mark.parametrize("operation", ["AttachNetworkInterface", "DetachNetworkInterface"])
def test_incorrect_state(make_eni_node: MakeEniNode, operation: str, code: str) -> None:
    """IncorrectState while something changes is waited for; a detachment is then asked for plainly, as at first."""
    node = make_eni_node()
    node.attach(node.other)
    message = "The network interface is not in a state in which this is possible."
    node.aws.faults.add(Fault("error", action=operation, code=code, message=message, status=400, times=2))
    # With so long a timeout the grace of a holder outlasts the test.
    ran = node.agent.run("start", timeout=300)
    assert ran.code == 0, ran
    assert node.served()
    assert ran.ec2.count(operation) == 3
    assert set(detachments(node)) == {"false"}


def test_incorrect_state_when_forced(make_eni_node: MakeEniNode) -> None:
    """IncorrectState as the answer to a detachment by force is waited for: it is asked for again."""
    node = make_eni_node(timing=Timing(detach=math.inf))
    node.attach(node.other)
    node.aws.api.administer("StopInstances", InstanceId=node.other.instance_id, Force="true")
    node.aws.account.wait_for(lambda world: world.instances[node.other.instance_id].state == "stopped")
    node.aws.faults.add(Fault("error", action="DetachNetworkInterface", code="IncorrectState", status=400, times=2))
    node.started()
    assert detachments(node) == ["true"] * 3


# -- device indexes ---------------------------------------------------------------------------------------------------


def test_a_dead_device_index(make_eni_node: MakeEniNode) -> None:
    """Detach by force: the lowest free index by API can be dead: no NIC appears, so detach and try the next."""
    node = make_eni_node()
    node.aws.account.dead_indexes_after_force = True
    node.attach(node.me)
    node.aws.account.stuck_detach.add(node.eni)
    attachment = node.interface().attachment
    assert attachment is not None
    node.aws.api.administer("DetachNetworkInterface", AttachmentId=attachment.attachment_id, Force="true")
    node.aws.account.settle()
    node.aws.account.stuck_detach.clear()
    ran = node.agent.run("start", timeout=15)
    assert ran.code == 0, ran
    assert node.served()
    assert device_index(node) == 2
    assert "device index 1 brings no interface" in ran.stderr
    assert detachments(node) == ["false"]


def test_a_dead_device_index_that_is_configured(make_eni_node: MakeEniNode) -> None:
    """Where device_index names the dead one, no other is tried: 1, with the MAC address that has not appeared."""
    node = make_eni_node(hot_plug=HotPlug())
    node.hot_plug.never = True
    ran = node.agent.run("start", {"device_index": "3"}, timeout=SHORT)
    assert ran.code == 1, ran
    assert node.interface().mac in ran.reason
    assert ran.ec2.count("AttachNetworkInterface") == 1
    assert device_index(node) == 3
    assert node.quiesced()


def test_a_place_that_becomes_free(make_eni_node: MakeEniNode) -> None:
    """Another resource's stop has just requested the detachment of what has the device index: start waits for it."""
    node = make_eni_node(timing=Timing(detach=8.0))
    other = create_eni(node.aws, node.me.subnet.subnet_id, "10.0.1.70")
    attach(node.aws, other, node.me, 1)
    node.aws.account.settle()
    assert node.agent.run("stop", {"network_interface_id": other}).code == 0
    ran = node.agent.run("start", {"device_index": "1"}, timeout=60)
    assert ran.code == 0, ran
    assert device_index(node) == 1


def test_a_late_nic_at_a_configured_index(make_eni_node: MakeEniNode) -> None:
    """No other index may be tried, so that start waits for the interface for as long as it has time."""
    node = make_eni_node(hot_plug=HotPlug(delay=6.0))
    ran = node.agent.run("start", {"device_index": "3"}, timeout=17)
    assert ran.code == 0, ran
    assert answers_on("10.0.1.60")
    assert detachments(node) == []


def test_a_secondary_interface(eni_node: EniNode) -> None:
    """Instances can have secondary interfaces with device indexes of their own: the lowest index beside theirs."""
    for index in (1, 2):
        eni_node.aws.account.add_secondary_interface("node1", index)
    ran = eni_node.started()
    assert device_index(eni_node) == 3
    assert ran.ec2.count("AttachNetworkInterface") == 1


# -- planned moves ----------------------------------------------------------------------------------------------------


def test_migrate_to(eni_node: EniNode) -> None:
    """migrate_to: 0 in eni, without a call to EC2; the source serves on until it is stopped."""
    eni_node.started()
    ran = eni_node.agent.run("migrate_to")
    assert ran.code == 0, ran
    assert ran.calls == ()
    assert eni_node.served()
    # Nothing of a make-before-break move is remembered: the stop that follows lets go at once.
    assert not list(eni_node.directory.glob("*handover*"))


def test_migrate_from(eni_node: EniNode) -> None:
    """migrate_from: the target's start takes it over, from a source that runs and is asked."""
    eni_node.attach(eni_node.other)
    ran = eni_node.agent.run("migrate_from")
    assert ran.code == 0, ran
    assert eni_node.served()
    assert detachments(eni_node) == ["false"]


BANS = [2, 3, 4, 5, 6]  # Pacemaker gives a node up for each of these


def refuse(node: EniNode, what: str) -> None:
    """Let a start fail, with a code of its own for each reason."""
    if what == "denied":
        node.aws.faults.add(Fault("error", action="Attach*", code="UnauthorizedOperation", status=403))
    elif what == "unknown":
        node.agent.parameters["network_interface_id"] = MISSING
    elif what == "refused text":
        node.agent.parameters["network_interface_id"] = "eni"
    elif what == "outage":
        node.aws.faults.add(Fault("hang", service="ec2"))


@pytest.mark.parametrize("what", ["denied", "unknown", "refused text", "outage"])
@pytest.mark.parametrize("action", ["migrate_to", "migrate_from"])
def test_a_migration_that_fails(eni_node: EniNode, action: str, what: str) -> None:
    """migrate_to, migrate_from: never an exit code that bans a node, whatever a start here would answer."""
    refuse(eni_node, what)
    assert eni_node.agent.run("start", timeout=5).code in (1, 2, 4, 6)
    ran = eni_node.agent.run(action, timeout=5)
    assert ran.code not in BANS, ran
    if action == "migrate_from":
        assert ran.code == 1, ran
        assert ran.reason
        assert eni_node.quiesced()


# -- what a planned move that fails leaves ----------------------------------------------------------------------------


def test_packets_dropped_at_a_migration(eni_node: EniNode) -> None:
    """migrate_from, nobody answers: 1 within the deadline."""
    with silent_address() as (host, port):
        url = f"http://{host}:{port}"
        ran = eni_node.agent.run("migrate_from", environ={"AWS_ENDPOINT_URL": url}, timeout=5)
    assert ran.code == 1, ran
    assert ran.elapsed < 5
