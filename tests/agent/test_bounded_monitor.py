"""The contract's sentences about a level-10 monitor's time: the cloud has a bound, and the kernel is read last."""

from __future__ import annotations

from typing import Callable, Iterable

import pytest

from sandbox import Node, Running, crm_resource_stub, ip
from vpc_lab.ec2 import Fault
from vpc_lab.waiting import eventually

DEGRADED = 190


def outage(seconds: float) -> Fault:
    """An API that fails for so long, and is well then."""
    return Fault("error", service="ec2", code="InternalError", status=500, lasting=seconds)


@pytest.mark.parametrize(("timeout", "seconds"), [(60, 11.0), (9, 4.5)], ids=["8 s", "a third of the timeout"])
def test_the_cloud_has_a_bound(node: Node, timeout: float, seconds: float) -> None:
    """The cloud has 8 s at most, or a third of the timeout where that is less: an API that is well again only after
    that is not waited for. UNKNOWN 190."""
    node.hold()
    node.aws.faults.add(outage(seconds))
    ran = node.agent.run("monitor", level=10, interval=10, timeout=timeout)
    assert ran.code == DEGRADED, ran
    assert node.aws.faults.current(), ran  # it did not wait for the outage's end


def test_within_the_bound_it_is_tried_again(node: Node) -> None:
    """Transient errors are retried: an outage that ends within the bound is not seen."""
    node.hold()
    node.aws.faults.add(outage(1.0))
    ran = node.agent.run("monitor", level=10, interval=10, timeout=30)
    assert ran.code == 0, ran


def while_asking(node: Node, running: Running, actions: Iterable[str], do: Callable[[], object]) -> None:
    """Do something as soon as the agent asks EC2."""
    eventually("EC2 is being asked", lambda: [call for name in actions for call in node.aws.calls(name)])
    do()


@pytest.mark.parametrize("kind", ["hang", "latency"])
@pytest.mark.parametrize("gone", ["address", "link"])
def test_the_kernel_is_read_last(node: Node, kind: str, gone: str) -> None:
    """local, then cloud, then local again before it answers: an address that was removed while EC2 was asked, or whose
    link was set down, is 7, and not "running" by what was so before."""
    node.hold()
    node.aws.faults.add(Fault(kind, service="ec2", seconds=1.0))  # type: ignore[arg-type]
    change = {
        "address": ("address", "del", node.destination, "dev", "eth0"),
        "link": ("link", "set", "dev", "eth0", "down"),
    }[gone]
    with node.agent.begin("monitor", level=10, interval=10, timeout=9) as running:
        while_asking(node, running, ["DescribeRouteTables"], lambda: ip(*change))
        ran = running.end()
    assert ran.code == 7, ran
    assert node.address in ran.reason


def test_the_kernel_is_read_after_a_repair(node: Node) -> None:
    """local again before it answers: also after a repair."""
    node.hold()
    node.point_routes_at("node2")
    crm_resource_stub(node, "managed")
    node.aws.faults.add(Fault("latency", action="ReplaceRoute", seconds=1.0))
    with node.agent.begin("monitor", level=10, interval=10, timeout=30) as running:
        while_asking(node, running, ["ReplaceRoute"], lambda: ip("address", "del", node.destination, "dev", "eth0"))
        ran = running.end()
    assert ran.code == 7, ran


def test_both_reads_are_under_way_together(node: Node) -> None:
    """monitor level 10: the tables and the ENI are asked for at once."""
    node.hold()
    node.aws.faults.add(Fault("hang", service="ec2"))
    with node.agent.begin("monitor", level=10, interval=10, timeout=60) as running:
        eventually(
            "both are being asked for",
            lambda: node.aws.calls("DescribeRouteTables") and node.aws.calls("DescribeNetworkInterfaces"),
        )
        running.process.kill()
