"""Interrupted states: whatever moment the agent is killed at, stop and start reach their goal from there."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest

from sandbox import Node, answers_on, ip
from vpc_lab.ec2 import Fault
from vpc_lab.topology import topology_for
from vpc_lab.waiting import eventually

# Each is a moment of start that a hanging answer holds the agent at.
MOMENTS = [
    ("imds", "/latest/api/token"),
    ("imds", "/latest/meta-data/mac"),
    ("imds", "*/interface-id"),
    ("imds", "/latest/meta-data/placement/region"),
    ("imds", "/latest/meta-data/iam/security-credentials/lab-node"),
    ("ec2", "ReplaceRoute"),
]


def reach_the_goal(node: Node) -> None:
    """From any state: stop is 0 and the address gone; then start is 0, the address held, the routes here."""
    ran = node.agent.run("stop")
    assert ran.code == 0, ran
    assert not node.held()
    assert not answers_on(node.address)
    ran = node.agent.run("start")
    assert ran.code == 0, ran
    assert len(node.held()) == 1
    assert set(node.routes().values()) == {node.me.network_interface_id}


@pytest.mark.parametrize(("service", "path"), MOMENTS)
def test_start_killed_while_it_waits(node: Node, service: str, path: str) -> None:
    """Start is killed (SIGKILL) while it waits for an answer: stop is 0 and gone, start is 0 and held."""
    number = node.aws.faults.add(Fault("hang", service=service, action=path))
    with node.agent.begin("start", timeout=60) as running:
        eventually(f"{path} is asked", lambda: [c for c in node.aws.calls() if c.outcome == "fault:hang"])
        running.process.kill()
    node.aws.faults.remove(number)
    reach_the_goal(node)


@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_start_killed_after_some_tables(make_node: Callable[..., Node], done: int) -> None:
    """Start is killed when some of its tables are written: stop is 0 and gone, start is 0 and held."""
    node = make_node(topology=topology_for(extra_route_tables=1))
    for table in node.tables[done:]:
        node.aws.faults.add(Fault("hang", action="ReplaceRoute", resource=table))
    # The write has been made, but its answer is never heard.
    for table in node.tables[:done]:
        node.aws.faults.add(Fault("hang", action="ReplaceRoute", resource=table, after=True))
    with node.agent.begin("start", timeout=60) as running:
        eventually("all tables are being written", lambda: len(node.aws.calls("ReplaceRoute")) == len(node.tables))
        running.process.kill()
    assert list(node.routes().values()).count(node.me.network_interface_id) == done
    node.aws.faults.clear()
    reach_the_goal(node)


# The k-th command to the kernel has been given when the agent is killed; 0: none has.
STEPS = [("start", step) for step in range(5)] + [("stop", step) for step in range(6)]


@pytest.mark.parametrize(("action", "step"), STEPS)
def test_killed_after_a_step(node: Node, tmp_path: Path, action: str, step: int) -> None:
    """Start and stop are killed after the k-th command they give to the kernel: the goal is reached from there."""
    if action == "stop":
        node.hold()
        ip("address", "add", f"{node.address}/24", "dev", "eth0")
    # An `ip` that kills the agent at its k-th call.
    shim = tmp_path / "bin" / "ip"
    shim.parent.mkdir()
    count = tmp_path / "count"
    run = 'PATH=/usr/sbin:/usr/bin:/sbin:/bin ip "$@"'
    shim.write_text(
        "#!/bin/sh\n"
        f"echo x >>{count}\n"
        f'if [ "$(wc -l <{count})" -eq {max(1, step)} ]; then\n'
        f"  {run + ' >/dev/null 2>&1' if step else ':'}\n"
        "  kill -9 $PPID; exit 1\n"
        "fi\n"
        f"{run}\n"
    )
    shim.chmod(0o755)
    ran = node.agent.run(action, environ={"PATH": f"{shim.parent}:/usr/bin:/bin"})
    # A run that needs fewer commands gets through.
    assert ran.code == (-9 if len(count.read_text().splitlines()) >= step > 0 or step == 0 else 0), ran
    reach_the_goal(node)


def test_monitor_after_a_killed_start(node: Node) -> None:
    """A start that was killed after its first table: the monitor says what is so, at each level."""
    node.aws.faults.add(Fault("hang", action="ReplaceRoute", resource=node.tables[1]))
    with node.agent.begin("start", timeout=60) as running:
        eventually("the first table is written", lambda: node.me.network_interface_id in node.routes().values())
        running.process.kill()
    node.aws.faults.clear()
    assert node.agent.run("monitor").code == 0
    ran = node.agent.run("monitor", {"on_drift": "restart"}, level=10, interval=10)
    assert ran.code == 1, ran
    assert node.tables[1] in ran.reason
