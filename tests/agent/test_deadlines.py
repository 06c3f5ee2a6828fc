"""Every action ends before CRM_meta_timeout less a margin, whatever the network does."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest

from sandbox import Agent, Node, answers_on, dribble, ip, serving, silent_address, with_files
from vpc_lab.ec2 import Fault
from vpc_lab.topology import topology_for

# Seconds Pacemaker gives; it kills what is not done by then.
TIMEOUT = 5.0


@contextmanager
def fault(node: Node, **options: Any) -> Iterator[Dict[str, str]]:
    """A fault of the AWS layer."""
    node.aws.faults.add(Fault(**options))
    yield {}


@contextmanager
def silent(node: Node, name: str) -> Iterator[Dict[str, str]]:
    """Packets to a service are dropped."""
    with silent_address() as (host, port):
        yield {name: f"http://{host}:{port}"}


@contextmanager
def dribbling(node: Node, name: str) -> Iterator[Dict[str, str]]:
    """A service answers a byte at a time, for ever."""
    with serving(dribble) as (host, port):
        yield {name: f"http://{host}:{port}"}


@contextmanager
def proxied(node: Node) -> Iterator[Dict[str, str]]:
    """A proxy takes the connection, and says nothing."""
    with silent_address() as (host, port):
        yield {"HTTP_PROXY": f"http://{host}:{port}"}


IMDS = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
EC2 = "AWS_ENDPOINT_URL"
TROUBLES: Dict[str, Callable[[Node], Any]] = {
    "EC2 hangs": lambda node: fault(node, kind="hang", service="ec2"),
    "EC2 resets": lambda node: fault(node, kind="reset", service="ec2"),
    "EC2 throttles": lambda node: fault(node, kind="error", service="ec2", code="RequestLimitExceeded", status=503),
    "EC2 answers 5xx": lambda node: fault(node, kind="error", service="ec2", code="InternalError", status=500),
    "EC2 is slow": lambda node: fault(node, kind="latency", service="ec2", seconds=30.0),
    "EC2 is silent": lambda node: silent(node, EC2),
    "EC2 dribbles": lambda node: dribbling(node, EC2),
    "the proxy is silent": proxied,
    "IMDS hangs": lambda node: fault(node, kind="hang", service="imds"),
    # What EC2 cannot tell instead.
    "IMDS hangs for one path": lambda node: fault(node, kind="hang", service="imds", action="*/security-credentials/*"),
    "IMDS answers 503": lambda node: fault(node, kind="error", service="imds", status=503),
    "IMDS is silent": lambda node: silent(node, IMDS),
    "IMDS dribbles": lambda node: dribbling(node, IMDS),
}


def in_trouble(node: Node, environ: Dict[str, str], **options: Any) -> None:
    """Run every action that asks the cloud, at the same time: each ends by itself, in time, with the right code."""
    # The monitor is another resource's, which is active here.
    other = Agent({**node.agent.parameters, "ip": "192.168.10.20"}, dict(node.agent.environ), node.aws)
    ip("address", "add", "192.168.10.20/32", "dev", "eth0")
    actions: List[Tuple[Agent, str, Dict[str, Any], int]] = [
        (node.agent, "start", {}, 1),
        (other, "monitor", {"level": 10, "interval": 10}, 190),
        (node.agent, "validate-all", {"level": 10}, 1),
    ]
    with ExitStack() as stack:
        running = [
            (stack.enter_context(agent.begin(action, environ=environ, timeout=TIMEOUT, **more, **options)), code)
            for agent, action, more, code in actions
        ]
        for one, code in running:
            ran = one.end()
            # No measure of speed: past this moment Pacemaker would have killed it.
            assert ran.elapsed < TIMEOUT, ran
            assert ran.code == code, ran
            assert ran.reason
            assert "Traceback" not in ran.stderr
    assert node.held() == []
    assert answers_on("192.168.10.20")


@pytest.mark.parametrize("trouble", TROUBLES)
def test_in_time(node: Node, trouble: str) -> None:
    """Whatever the network does, an action ends before its timeout; start leaves no address, monitor leaves it."""
    with TROUBLES[trouble](node) as environ:
        in_trouble(node, environ)


def test_a_resolver_that_hangs(node: Node, tmp_path: Path) -> None:
    """A DNS server that never answers holds the resolver longer than any socket's timeout: it ends in time."""
    import socket

    resolver = tmp_path / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        server.bind(("127.0.0.1", 53))
        in_trouble(
            node,
            {EC2: "https://ec2.eu-central-1.amazonaws.com"},
            command=with_files({resolver: "/etc/resolv.conf"}),
        )
        server.setblocking(False)
        assert server.recv(4096)  # it was asked


@pytest.mark.parametrize("timeout", [1.0, 0.5])
def test_a_timeout_far_too_short(node: Node, timeout: float) -> None:
    """With a timeout in which nothing can be done, start still ends by itself and leaves nothing."""
    node.aws.faults.add(Fault("hang", service="*"))
    ran = node.agent.run("start", timeout=timeout)
    assert ran.code == 1, ran
    assert ran.reason
    assert node.held() == []


def test_one_table_that_hangs(make_node: Callable[..., Node]) -> None:
    """One table that never answers costs itself alone: the start succeeds in time, with that table in an error."""
    node = make_node(topology=topology_for(extra_route_tables=3))
    slow = node.tables[2]
    node.aws.faults.add(Fault("hang", action="ReplaceRoute", resource=slow))
    ran = node.agent.run("start", timeout=TIMEOUT)
    assert ran.elapsed < TIMEOUT
    assert ran.code == 0, ran
    (error,) = [line for line in ran.stderr.splitlines() if line.startswith("ERROR:")]
    assert slow in error
    assert "ReplaceRoute" in error
    assert {table for table, target in node.routes().items() if target != node.me.network_interface_id} == {slow}
    assert len(node.held()) == 1


@pytest.mark.parametrize("action", ["stop", "monitor"])
def test_an_ip_command_that_hangs(node: Node, tmp_path: Path, action: str) -> None:
    """Local actions end in time too: an `ip` that hangs is ended, and the answer is 1."""
    slow = tmp_path / "bin" / "ip"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    ran = node.agent.run(action, environ={"PATH": f"{slow.parent}:/bin"}, timeout=4)
    assert ran.elapsed < 4
    assert ran.code == 1, ran
    assert ran.reason
