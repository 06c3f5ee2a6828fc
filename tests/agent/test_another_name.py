"""The agent's file under another name, a copy or a link: it calls itself so, and does the same."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Callable, Dict, Tuple

import pytest

from aws_ipfailover.ocf.record import parse_record
from sandbox import AGENT, Agent, Node, answers_on, syslog, without_packages

NAME = "aws-vpc-move-ip"


def copied(path: Path) -> None:
    """A copy of the agent's file at `path`."""
    shutil.copy(AGENT, path)


def linked(path: Path) -> None:
    """A symbolic link to the agent's file at `path`."""
    path.symlink_to(AGENT)


@pytest.fixture(params=[copied, linked])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The agent's file as ocf:suse:aws-vpc-move-ip."""
    make: Callable[[Path], None] = request.param
    made = tmp_path / "resource.d" / "suse" / NAME
    made.parent.mkdir(parents=True)
    make(made)
    return made


def test_metadata(path: Path) -> None:
    """meta-data: the name of the file is the agent's; all else is as ever."""
    ran, own = Agent(path=path).run("meta-data"), Agent().run("meta-data")
    assert ran.code == 0, ran
    assert f'<resource-agent name="{NAME}" ' in ran.stdout
    assert ran.stdout == own.stdout.replace('name="aws-ipfailover"', f'name="{NAME}"')
    assert ran.stdout != own.stdout


@pytest.mark.parametrize("action", ["usage", "help", "nonsense"])
def test_usage(path: Path, action: str) -> None:
    """usage, and what an unknown action is told: with the name of the file."""
    ran = Agent(path=path).run(action)
    assert ran.code == (3 if action == "nonsense" else 0), ran
    assert (ran.stdout + ran.stderr).startswith(f"usage: {NAME} {{start|")


@pytest.mark.parametrize("name", ["a b", "a" * 65, ".x", "é", "x\ny"], ids=ascii)
def test_a_name_that_is_none(tmp_path: Path, name: str) -> None:
    """A file whose name cannot be an agent's calls itself aws-ipfailover."""
    path = tmp_path / name
    copied(path)
    assert Agent(path=path).run("meta-data").stdout == Agent().run("meta-data").stdout
    assert Agent(path=path).run("usage").stdout == Agent().run("usage").stdout


STEPS: Tuple[Tuple[str, Dict[str, int], int], ...] = (
    ("monitor", {}, 7),
    ("validate-all", {"level": 10}, 0),
    ("start", {}, 0),
    ("start", {}, 0),
    ("monitor", {"interval": 10}, 0),
    ("monitor", {"interval": 10, "level": 10}, 0),
    ("reload-agent", {}, 0),
    ("stop", {}, 0),
    ("stop", {}, 0),
    ("monitor", {}, 7),
)


def timeless(said: str) -> str:
    """A line of the log; of a record without what is different in every run."""
    record = parse_record(said)
    if record is None:
        return said
    return str({name: value for name, value in record.items() if name not in ("at", "process", "seconds")})


def test_a_whole_life(node: Node, path: Path, tmp_path: Path) -> None:
    """start, monitor, stop and the rest answer and ask EC2 as under its own name; its log has the file's name."""
    said = []
    for agent in (AGENT, path):
        node.agent.path = agent
        node.point_routes_at("node2")
        log = tmp_path / f"{agent.name}.log"
        environ = {"HA_LOGFILE": str(log), "OCF_RESOURCE_INSTANCE": "the-vip"}
        lines = []
        for action, options, code in STEPS:
            ran = node.agent.run(action, environ=environ, **options)
            assert ran.code == code, ran
            lines.append((action, sorted(ran.ec2), ran.stdout, ran.stderr, len(node.held())))
        told = [
            timeless(line.split(f" {agent.name}(the-vip)[", 1)[1].split("]: ", 1)[1])
            for line in log.read_text().splitlines()
        ]
        assert any("added 192.168.10.10" in line for line in told)
        said.append((lines, told))
    assert said[0] == said[1]


def test_syslog(node: Node, path: Path, tmp_path: Path) -> None:
    """The program's name in syslog is the file's."""
    node.agent.path = path
    ran, lines = syslog(node, tmp_path, "start")
    assert ran.code == 0, ran
    assert lines
    assert all(f" {NAME}(the-vip)[" in line for line in lines)


def test_the_old_parameter_under_the_old_name(node: Node, path: Path) -> None:
    """The guides' `address` for `ip` and `interface`, as ocf:suse:aws-vpc-move-ip was given them."""
    address = node.agent.parameters.pop("ip")
    node.agent.parameters.update(address=address, interface="eth0")
    node.agent.path = path
    for action, code in (("start", 0), ("monitor", 0), ("stop", 0), ("monitor", 7)):
        assert node.agent.run(action).code == code
        assert answers_on(address) is (action == "start" or (action, code) == ("monitor", 0))


@pytest.mark.parametrize(
    ("place", "advice"),
    [
        (f"resource.d/suse/{NAME}", f" --as suse:{NAME}'"),
        ("resource.d/suse/aws-ipfailover", " --as suse:aws-ipfailover'"),
        (f"elsewhere/{NAME}", f" --as PROVIDER:{NAME}'"),
        ("resource.d/heartbeat/aws-ipfailover", "'"),
        ("elsewhere/aws-ipfailover", "'"),
        ("resource.d/suse/a b", "'"),
        ("resource.d/suse/é", "'"),
    ],
)
def test_without_the_package(node: Node, tmp_path: Path, place: str, advice: str) -> None:
    """Where the package does not load, stop and a probe are performed, and all that is told has the file's name: it
    says how it is installed as that, in the 110 characters of a reason that Pacemaker shows."""
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    copied(path)
    node.hold()
    agent = Agent(node.agent.parameters, without_packages(tmp_path / "shim", "aws_ipfailover"), path=path)
    for action, code in (("monitor", 0), ("stop", 0), ("monitor", 7)):
        ran = agent.run(action)
        assert ran.code == code, ran
        assert f"run 'aws-ipfailover install{advice}" in ran.stderr
        assert ran.reasons == []
    for action in ("start", "meta-data", "usage"):
        ran = agent.run(action)
        assert ran.code == 5, ran
        assert f"run 'aws-ipfailover install{advice}" in ran.reason[:110]
