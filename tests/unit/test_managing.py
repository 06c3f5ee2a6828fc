"""ocf/managing.py: which resources of a configuration have an address, and whether Pacemaker runs here."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Dict, List, Optional

import pytest

from aws_ipfailover.errors import UnknownError
from aws_ipfailover.ocf.cib import AgentName, Cib
from aws_ipfailover.ocf.managing import is_running, move, resources_with
from aws_ipfailover.parameters import held

ENI = "eni-0123456789abcdef0"
# Which agents are this package's; those that are not in it are not installed on this node.
INSTALLED: Dict[AgentName, bool] = {AgentName("acme", "vip"): True, AgentName("heartbeat", "portblock"): False}


def resource(agent: str, values: Dict[str, str], extra: str = "") -> str:
    """A primitive with these parameters."""
    _, provider, kind = agent.split(":")
    pairs = "".join(f'<nvpair id="{name}" name="{name}" value="{value}"/>' for name, value in values.items())
    attributes = f'<instance_attributes id="attributes">{extra}{pairs}</instance_attributes>'
    return f'<primitive id="vip" class="ocf" provider="{provider}" type="{kind}">{attributes}</primitive>'


def found(resources: str, given: Dict[str, str]) -> List[str]:
    """The ids of the resources that have what the parameters name."""
    text = f"<cib><configuration><resources>{resources}</resources></configuration></cib>"

    def is_ours(agent: AgentName) -> Optional[bool]:
        return INSTALLED.get(agent)

    return [one.resource_id for one in resources_with(Cib(text), held(given), is_ours)]


@pytest.mark.parametrize(
    ("agent", "values"),
    [
        ("ocf:heartbeat:aws-ipfailover", {"ip": "10.0.0.1"}),
        ("ocf:heartbeat:aws-ipfailover", {"ip": "10.0.0.9, 10.0.0.1"}),
        ("ocf:acme:vip", {"secondary_private_ip": "10.0.0.1"}),
        ("ocf:heartbeat:IPaddr2", {"ip": "10.0.0.1"}),
        ("ocf:heartbeat:aws-vpc-move-ip", {"ip": "10.0.0.1"}),
        ("ocf:suse:aws-vpc-move-ip", {"ip": "10.0.0.1"}),
        ("ocf:heartbeat:awsvip", {"secondary_private_ip": "10.0.0.1"}),
    ],
)
def test_these_have_the_address(agent: str, values: Dict[str, str]) -> None:
    """This package's agent under any name, and the others that move addresses."""
    assert found(resource(agent, values), {"ip": "10.0.0.1", "routing_table": "auto"}) == ["vip"]


@pytest.mark.parametrize(
    ("agent", "values"),
    [
        ("ocf:heartbeat:aws-ipfailover", {"ip": "10.0.0.11"}),
        ("ocf:heartbeat:aws-ipfailover", {}),
        ("ocf:heartbeat:portblock", {"ip": "10.0.0.1"}),
        ("ocf:other:thing", {"ip": "10.0.0.1"}),
        ("ocf:heartbeat:awsvip", {"ip": "10.0.0.1"}),
    ],
)
def test_these_do_not(agent: str, values: Dict[str, str]) -> None:
    """Another address, or an agent to which the parameter means something else."""
    assert found(resource(agent, values), {"ip": "10.0.0.1", "routing_table": "auto"}) == []


def test_an_eni_counts_by_its_id() -> None:
    """And not by addresses, which the parameters need not name."""
    given = {"mode": "eni", "network_interface_id": ENI}
    assert found(resource("ocf:heartbeat:aws-ipfailover", {"network_interface_id": ENI}), given) == ["vip"]
    assert found(resource("ocf:heartbeat:aws-ipfailover", {"ip": "10.0.0.1"}), given) == []


def test_an_address_by_a_rule_counts() -> None:
    """Whether the rule says so now only Pacemaker knows: better refused than moved against the cluster."""
    rule = '<rule id="rule" score="0"><expression id="e" attribute="#uname" operation="eq" value="node9"/></rule>'
    assert found(resource("ocf:heartbeat:IPaddr2", {"ip": "10.0.0.1"}, rule), {"ip": "10.0.0.1"}) == ["vip"]


def process(proc: Path, pid: str, comm: str, namespace: str) -> None:
    """A process as /proc shows it."""
    (proc / pid / "ns").mkdir(parents=True)
    (proc / pid / "comm").write_text(f"{comm}\n")
    os.symlink(namespace, proc / pid / "ns" / "pid")


@pytest.mark.parametrize(
    ("comm", "namespace", "expected"),
    [
        ("pacemakerd", "pid:[1]", True),
        ("pacemaker-based", "pid:[1]", True),
        ("pacemaker-remot", "pid:[1]", True),
        ("pacemaker-remot", "pid:[2]", False),
        ("corosync", "pid:[1]", False),
    ],
)
def test_whether_pacemaker_runs(tmp_path: Path, comm: str, namespace: str, expected: bool) -> None:
    """One of its processes on this node; those in a container are another system's."""
    process(tmp_path, "self", "python3", "pid:[1]")
    process(tmp_path, "1", "systemd", "pid:[1]")
    process(tmp_path, "42", comm, namespace)
    assert is_running(str(tmp_path)) is expected


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["/usr/sbin/pacemakerd"], True),
        (["/usr/sbin/pacemakerd", "-f", "-VV"], True),
        (["pacemakerd", "--version"], False),
        (["pacemakerd", "--features"], False),
        (["pacemakerd", "-S"], False),
        (["/usr/lib/pacemaker/pacemaker-based", "metadata"], False),
        ([], False),
    ],
    ids=["daemon", "foreground", "version", "features", "shutdown", "metadata", "ended"],
)
def test_whether_it_is_the_daemon(tmp_path: Path, argv: List[str], expected: bool) -> None:
    """Not one that is asked for its version, nor one that has ended and has no command line any more."""
    process(tmp_path, "self", "python3", "pid:[1]")
    process(tmp_path, "42", "pacemakerd", "pid:[1]")
    (tmp_path / "42" / "cmdline").write_text("".join(f"{one}\0" for one in argv))
    assert is_running(str(tmp_path)) is expected


@pytest.mark.parametrize(
    ("ids", "expected"),
    [("42", True), ("42\t7", False), ("42\t7\t1", False), ("", True)],
    ids=["here", "in a container", "in a container in one", "not told"],
)
def test_whether_pacemaker_runs_for_a_user(tmp_path: Path, ids: str, expected: bool) -> None:
    """Only root may read whose namespaces are whose: the process's ids tell it then, and what tells nothing counts."""
    for pid, comm, given in (("self", "python3", "99"), ("42", "pacemakerd", ids)):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "comm").write_text(f"{comm}\n")
        (tmp_path / pid / "status").write_text(f"Name:\t{comm}\n" + (f"NSpid:\t{given}\n" if given else ""))
    assert is_running(str(tmp_path)) is expected


def test_processes_that_cannot_be_listed(tmp_path: Path) -> None:
    """That is no `no`."""
    with pytest.raises(UnknownError):
        is_running(str(tmp_path / "nothing"))


@pytest.mark.parametrize("tool", ["crm", "pcs", "crm_resource"])
def test_the_command_that_moves_it_is_quoted(tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there to be pasted into a shell of root's."""
    (tmp_path / tool).write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    words = shlex.split(move("g;id", "$(id)"))
    assert words[0] == tool
    assert {"g;id", "$(id)"} <= set(words)
