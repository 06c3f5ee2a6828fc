"""`aws-ipfailover drill` on a real cluster, watched from instances of the lab, whose nodes say their names."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Dict, Iterator, List, cast

import pytest

from aws_ipfailover import cli
from vpc_lab import examples
from vpc_lab.lab import Lab
from vpc_lab.topology import topology_for
from vpc_lab.traffic.recorder import PORT
from vpc_lab.waiting import eventually

pytestmark = pytest.mark.root

OVERLAY = str(topology_for().overlay)
PROGRAM = str(Path(sys.executable).with_name("aws-ipfailover"))
SCHEMA = json.loads((Path(cli.__file__).parent / "schemas" / "drill.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A cluster with the first example, and on each node a server that says its name."""
    with Lab.running(f"test-{os.getpid()}-drill") as lab, ExitStack() as stack:
        lab.load((cast("Path", examples.directory()) / "overlay-ip.crm").read_text(encoding="utf-8"))
        lab.settle()
        for node in lab.nodes():
            server = [sys.executable, "-m", "vpc_lab.traffic.responder", "--name", node, "--port", str(PORT)]
            process = stack.enter_context(lab.spawn(node, server, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE))
            stack.callback(process.kill)
            assert cast("IO[bytes]", process.stdout).readline().startswith(node.encode())
        yield lab


def drill(lab: Lab, *arguments: str, consumers: str = "consumer-a,onprem") -> List[str]:
    """The command line of a drill from outside: every host is an instance of the lab."""
    inside = f"{PROGRAM} lab exec --name {lab.rundir.name}"
    return [
        *(PROGRAM, "drill", "ip_service", "--watch-from", consumers),
        *("--cluster-command", f"{inside} node2 --", "--watch-command", f"{inside} {{host}} -- {PROGRAM}"),
        *("--tcp", str(PORT), "--ask", "who", "--interval", "0.1", "--wait", "60", *arguments),
    ]


def ended(command: List[str]) -> subprocess.CompletedProcess[str]:
    """A drill that has run to its end."""
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=110)


def where(lab: Lab) -> str:
    """The node that has the resource."""
    status = lab.wait_cluster("the address started", lambda now: now.where("ip_service") is not None)
    return cast("str", status.where("ip_service"))


def moves_left(lab: Lab) -> List[str]:
    """Constraints that moves have left."""
    shown = lab.exec("node1", ["crm", "configure", "show"]).stdout
    return [line for line in shown.splitlines() if "cli-" in line]


def test_a_planned_move_there_and_back_has_figures(lab: Lab, tmp_path: Path) -> None:
    """Every consumer sees the other node, nobody a wrong one, and everything is as before."""
    jsonschema = pytest.importorskip("jsonschema")
    origin = where(lab)
    other = next(node for node in lab.nodes() if node != origin)
    page = tmp_path / "page.html"
    done = ended(drill(lab, "--icmp", "--json", "--yes", "--allowed", "20", "--report", str(page)))
    assert done.returncode == 0, done.stderr + done.stdout
    document: Dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(document, SCHEMA)
    assert (document["verdict"], document["as_before"], document["problems"]) == ("in order", True, [])
    assert [(one["name"], one["old"], one["new"]) for one in document["steps"]] == [
        ("move", origin, other),
        ("move back", other, origin),
    ]
    for step in document["steps"]:
        rows = {(one["consumer"], one["over"]): one for one in step["consumers"]}
        assert {consumer for consumer, _ in rows} == {"consumer-a", "onprem"}
        for consumer in ("consumer-a", "onprem"):
            named, ping = rows[consumer, f"tcp {PORT}"], rows[consumer, "icmp"]
            assert (named["before"], named["after"], named["wrong_answers"]) == ([step["old"]], [step["new"]], 0)
            # Pings do not tell the nodes apart.
            assert ping["wrong_answers"] is None
            assert 0 < named["longest_silence"] <= step["ended"] - step["triggered"]
    assert (where(lab), moves_left(lab)) == (origin, [])
    text = page.read_text(encoding="utf-8")
    assert "<title>Passed: drill of ip_service</title>" in text
    assert f"move: {origin} to {other}" in text
    assert f"answered by {origin}" not in text  # the script says that, from the record
    assert f'"who":["{min(origin, other)}","{max(origin, other)}"' in text


def test_ctrl_c_in_the_middle_leaves_no_constraint(lab: Lab) -> None:
    """The service is on the other node then: it goes back, and the exit code is that of an interruption."""
    origin = where(lab)
    with subprocess.Popen(
        drill(lab, "--yes", "--report", "none", consumers="consumer-a"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        output = cast("IO[str]", running.stdout)
        said = [next(line for line in output if " move: ip_service from " in line)]
        eventually("the constraint of the move", lambda: moves_left(lab), 20)
        running.send_signal(signal.SIGINT)
        said += output.readlines()
    assert running.returncode == 130, said
    assert any(line.endswith(f"ip_service is on {origin}, as before\n") for line in said), said
    assert (where(lab), moves_left(lab)) == (origin, [])


def test_a_cluster_that_is_not_healthy_is_left_alone(lab: Lab) -> None:
    """The reason is told, and nothing was moved."""
    lab.exec("node1", ["crm", "configure", "property", "maintenance-mode=true"])
    try:
        lab.wait_cluster("the cluster", lambda _: True)
        done = ended(drill(lab, "--yes", "--report", "none"))
    finally:
        lab.exec("node1", ["crm", "configure", "property", "maintenance-mode=false"])
    assert done.returncode == 1
    assert "the cluster is in maintenance mode\n" in done.stdout
    assert done.stdout.endswith("nothing was changed\n")
    assert moves_left(lab) == []


WITH_A_DATABASE = """
primitive rsc_db ocf:pacemaker:Stateful op monitor interval=10s role=Promoted op monitor interval=11s role=Unpromoted
clone msl_db rsc_db meta promotable=true promoted-max=1 clone-max=2
colocation ip_with_db 2000: ip_service:Started msl_db:Promoted
"""


def promoted(lab: Lab) -> str:
    """The node with the promoted instance of the database."""
    shown = lab.exec("node1", ["crm_resource", "--locate", "--resource", "msl_db"]).stdout
    (line,) = [line for line in shown.splitlines() if "Promoted" in line or "Master" in line]
    return next(node for node in lab.nodes() if node in line)


def test_an_address_that_follows_a_database_is_moved_by_moving_that(lab: Lab) -> None:
    """Alone it is refused, as the move would fail the database over; asked for, both go there and back."""
    lab.load(WITH_A_DATABASE)
    lab.settle()
    origin = where(lab)
    assert promoted(lab) == origin
    done = ended(drill(lab, "--yes", "--report", "none"))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "--move msl_db" in " ".join(done.stdout.split())
    assert (where(lab), promoted(lab)) == (origin, origin)
    done = ended(drill(lab, "--move", "msl_db", "--json", "--yes", "--report", "none"))
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(done.stdout)
    assert (found["resource"], found["moved"], found["verdict"]) == ("ip_service", "msl_db", "in order")
    assert [step["name"] for step in found["steps"]] == ["move", "move back"]
    assert (where(lab), promoted(lab), moves_left(lab)) == (origin, origin, [])
