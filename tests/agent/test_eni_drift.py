"""The contract's row for the level-10 monitor in mode=eni: what `on_drift` does about an ENI elsewhere."""

from __future__ import annotations

from typing import Callable, List

import pytest

from sandbox import EniNode, Ran, crm_resource_stub, ip
from vpc_lab.ec2 import Fault, Timing
from vpc_lab.waiting import eventually

DEGRADED = 190
MakeEniNode = Callable[..., EniNode]
WRITES = {"AttachNetworkInterface", "DetachNetworkInterface"}


def monitor(node: EniNode, level: int = 10, **parameters: str) -> Ran:
    """A recurring monitor."""
    return node.agent.run("monitor", parameters, level=level, interval=10, timeout=60)


def actions(node: EniNode) -> List[str]:
    """Everything that was asked so far."""
    return [call.action for call in node.aws.calls()]


def drifted(node: EniNode) -> EniNode:
    """Somebody has given the ENI to another instance; its NIC is not yet gone from this one."""
    node.started()
    node.forget_writes()
    nic = node.hot_plug.plugged.pop(node.eni)
    node.hot_plug.never = True
    node.detach()
    eventually("it is detached", lambda: node.status() == "available")
    node.attach(node.other)
    # With the next change the old NIC goes, and a new one comes where the ENI is attached here.
    node.hot_plug.plugged[node.eni], node.hot_plug.never = nic, False
    return node


def test_repaired_in_place(eni_node: EniNode) -> None:
    """ELSEWHERE, once a second read confirms it: `repair` attaches it here again, configured, with 0 and a warning."""
    first = drifted(eni_node).nic
    asked = crm_resource_stub(eni_node, "managed")
    ran = monitor(eni_node)
    assert ran.code == 0, ran
    assert ran.reasons == []
    assert eni_node.holder() == eni_node.me.instance_id
    assert eni_node.served()
    assert eni_node.nic != first
    warnings = [line for line in ran.stderr.splitlines() if line.startswith("WARNING")]
    assert any(eni_node.other.instance_id in line for line in warnings)
    assert any(f"{eni_node.eni} attached to {eni_node.me.instance_id} again" in line for line in warnings)
    assert "ERROR" not in ran.stderr
    assert len(asked()) == 1
    reads = ran.ec2[: ran.ec2.index("DetachNetworkInterface")]
    assert reads[:2] == ["DescribeNetworkInterfaces"] * 2
    ran = monitor(eni_node)
    assert (ran.code, ran.ec2) == (0, ["DescribeNetworkInterfaces"])


def test_repaired_while_it_is_detached(make_eni_node: MakeEniNode) -> None:
    """Somebody detaches it, and its NIC is still here when the monitor looks: attached again, in place."""
    node = make_eni_node("10.0.1.60", "2001:db8:1000:1::60", timing=Timing(detach=3.0))
    node.started()
    node.forget_writes()
    crm_resource_stub(node, "managed")
    node.detach()
    ran = monitor(node)
    assert ran.code == 0, ran
    assert node.served()


def test_drift_by_monapi(eni_node: EniNode) -> None:
    """monapi=true: every recurring monitor does the same."""
    drifted(eni_node)
    crm_resource_stub(eni_node, "managed")
    ran = monitor(eni_node, level=0, monapi="true")
    assert ran.code == 0, ran
    assert eni_node.served()


def untouched(node: EniNode, ran: Ran) -> None:
    """Nothing was written: neither in EC2 nor here."""
    assert not WRITES & set(ran.ec2)
    assert node.holder() == node.other.instance_id
    assert node.rules() == ["10.0.1.60"]
    assert node.on_nic() == ["10.0.1.60/32"]


def test_restart(eni_node: EniNode) -> None:
    """on_drift=restart: 1, naming the instance that has it; nothing is written, and Pacemaker is not asked."""
    drifted(eni_node)
    asked = crm_resource_stub(eni_node, "managed")
    ran = monitor(eni_node, on_drift="restart")
    assert ran.code == 1, ran
    assert eni_node.other.instance_id in ran.reason[:110]
    assert ran.ec2 == ["DescribeNetworkInterfaces"] * 2
    untouched(eni_node, ran)
    assert asked() == []


def test_report(eni_node: EniNode) -> None:
    """on_drift=report: 190; nothing is written, and Pacemaker is not asked."""
    drifted(eni_node)
    asked = crm_resource_stub(eni_node, "managed")
    ran = monitor(eni_node, on_drift="report")
    assert ran.code == DEGRADED, ran
    assert eni_node.other.instance_id in ran.reason[:110]
    untouched(eni_node, ran)
    assert asked() == []


@pytest.mark.parametrize("says", ["unmanaged", "maintenance", "hanging", "failing", "absent"])
def test_never_a_write_while_it_is_not_managed(eni_node: EniNode, says: str) -> None:
    """Never a write while Pacemaker does not manage the resource; `crm_resource` does not answer: 190."""
    drifted(eni_node)
    crm_resource_stub(eni_node, says)
    ran = monitor(eni_node)
    assert ran.code == DEGRADED, ran
    assert "nothing changed" in ran.reason[:110]
    untouched(eni_node, ran)


def test_a_repair_that_is_denied(eni_node: EniNode) -> None:
    """1 where nothing leads here after the repair: with what AWS denies, first."""
    drifted(eni_node)
    crm_resource_stub(eni_node, "managed")
    eni_node.aws.faults.add(Fault("error", action="Detach*", code="UnauthorizedOperation", status=403))
    ran = monitor(eni_node)
    assert ran.code == 1, ran
    assert "DetachNetworkInterface: UnauthorizedOperation" in ran.reason[:110]


def test_a_repair_that_stops_half_way(eni_node: EniNode) -> None:
    """The NIC has gone meanwhile: 7, as the kernel has the last word; what AWS denied is in the log, at ERROR."""
    drifted(eni_node)
    crm_resource_stub(eni_node, "managed")
    eni_node.aws.faults.add(Fault("error", action="Attach*", code="UnauthorizedOperation", status=403))
    ran = monitor(eni_node)
    assert ran.code == 7, ran
    assert "is no network interface of this node" in ran.reason
    errors = [line for line in ran.stderr.splitlines() if line.startswith("ERROR")]
    assert any("AttachNetworkInterface: UnauthorizedOperation" in line for line in errors)


def test_a_single_contradicting_read(eni_node: EniNode) -> None:
    """A single contradicting read is not believed: two reads contradict each other, and nothing is written."""
    eni_node.started()
    eni_node.forget_writes()
    asked = crm_resource_stub(eni_node, "managed")
    real = eni_node.aws.account.world
    nowhere = real.interfaces[eni_node.eni]
    views: List[int] = []

    def view() -> object:
        """The first read alone sees it detached."""
        views.append(1)
        return real.with_interface(type(nowhere)(**{**vars(nowhere), "attachment": None})) if len(views) == 1 else real

    eni_node.aws.account.view = view  # type: ignore[method-assign,assignment]
    ran = monitor(eni_node)
    assert ran.code == 0, ran
    assert ran.ec2 == ["DescribeNetworkInterfaces"] * 2
    assert asked() == []


def test_the_kernel_has_the_last_word(eni_node: EniNode) -> None:
    """Local, then cloud, then local again before it answers: what goes meanwhile is not running."""
    eni_node.started()
    eni_node.aws.faults.add(Fault("latency", action="DescribeNetworkInterfaces", seconds=1.5, times=1))
    before = len(actions(eni_node))
    with eni_node.agent.begin("monitor", level=10, interval=10, timeout=60) as running:
        eventually("EC2 is asked", lambda: "DescribeNetworkInterfaces" in actions(eni_node)[before:])
        ip("address", "del", "10.0.1.60/32", "dev", eni_node.nic)
        ran = running.end()
    assert ran.code == 7, ran
