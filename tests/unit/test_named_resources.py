"""Commands that are given ids of resources of the cluster: one rule for those that do not fit, whatever the command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List

import pytest

from aws_ipfailover.cli import acting, status
from aws_ipfailover.cli.main import main
from aws_ipfailover.ocf import AGENT

COMMANDS = (["doctor"], ["where"], ["plan"], ["status"], ["status", "--watch"], ["take"], ["release"])
PRIMITIVE = '<primitive id="{}" class="ocf" provider="heartbeat" type="{}">{}</primitive>'
WRONG = (
    '<instance_attributes id="p"><nvpair id="m" name="mode" value="eni"/>'
    '<nvpair id="i" name="network_interface_id" value="eth1"/></instance_attributes>'
)
CIB = f"""<cib><configuration><nodes><node id="1" uname="node1"/></nodes><resources>
{PRIMITIVE.format("ip_own", AGENT, WRONG)}{PRIMITIVE.format("web", "apache", "")}
</resources></configuration></cib>"""
GRAPH = """<transition_graph><synapse><action_set>
<rsc_op operation="monitor" operation_key="ip_own_monitor_0" on_node="node1"><primitive id="ip_own"/>
<attributes mode="eni" network_interface_id="eth1"/></rsc_op></action_set></synapse></transition_graph>"""


def program(folder: Path, name: str, script: str) -> None:
    """One of Pacemaker's."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


@pytest.fixture(autouse=True)
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node of a cluster that has one resource of the agent, with a wrong parameter, and one of another agent."""
    for name, text in (("cib.xml", CIB), ("graph.xml", GRAPH)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    program(tmp_path, "cibadmin", f"cat {tmp_path}/cib.xml")
    program(tmp_path, "crm_node", "echo node1")
    # Its last argument is where the graph goes.
    program(tmp_path, "crm_simulate", f'for last; do :; done; cat {tmp_path}/graph.xml >"$last"')
    agents = tmp_path / "resource.d" / "heartbeat"
    agents.mkdir(parents=True)
    (agents / AGENT).symlink_to(Path(__file__).resolve().parents[2] / "heartbeat" / AGENT)
    program(agents, "apache", "exit 5")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("OCF_ROOT", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(acting, "terminate_on_signals", lambda: None)
    return tmp_path


@pytest.mark.parametrize("more", [[], ["ip_own"]], ids=["alone", "beside another"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_unknown_id_is_a_wrong_command_line(
    command: List[str], more: List[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and one sentence that says what there is; nothing is printed, not even as JSON."""
    for options in ([], ["--json"]):
        assert main([*command, *more, "ip_owm", *options]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err == "the cluster's configuration has no resource 'ip_owm'; of this agent it has ip_own\n"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_so_is_one_of_another_agent(command: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    """All that do not fit are named."""
    assert main([*command, "web", "ip_owm"]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "resource 'web' is of ocf:heartbeat:apache, and not of this agent; of this agent it has ip_own;" in said.err
    assert "has no resource 'ip_owm'" in said.err


@pytest.mark.parametrize("command", [one for one in COMMANDS if "--watch" not in one], ids=" ".join)
def test_where_the_cluster_tells_nothing_that_could_not_be_found_out(
    command: List[str], node: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3: whether there is such a resource is not known."""
    program(node, "cibadmin", "echo 'no connection' >&2; exit 102")
    assert main([*command, "ip_owm"]) in ((1, 3) if command == ["doctor"] else (3,))
    said = capsys.readouterr()
    assert "cibadmin fails (102): no connection" in said.out + said.err


@pytest.mark.parametrize("command", [["take"], ["release"]], ids=" ".join)
def test_a_wrong_parameter_in_the_cluster_is_no_wrong_command_line(
    command: List[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The command line is right: 1, and the sentence begins with the resource. Typed, it is 2."""
    assert main([*command, "ip_own"]) == 1
    assert capsys.readouterr().err.startswith("ip_own: parameter network_interface_id: 'eth1' is wrong")
    assert main([*command, "mode=eni", "network_interface_id=eth1"]) == 2
    assert capsys.readouterr().err.startswith("parameter network_interface_id: 'eth1' is wrong")


@pytest.mark.parametrize(("command", "code"), [("plan", 1), ("status", 1), ("where", 3)])
def test_so_do_the_commands_that_look(command: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the address is cannot be known by wrong parameters; that something is wrong is known."""
    assert main([command, "ip_own"]) == code
    assert "parameter network_interface_id: 'eth1' is wrong" in capsys.readouterr().out


@pytest.mark.parametrize(("command", "code"), [("plan", 1), ("status", 1), ("where", 3), ("take", 1), ("release", 1)])
def test_an_agent_that_is_not_installed(
    command: str, code: int, node: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is a fault of this node, and not of the command line."""
    (node / "resource.d" / "heartbeat" / AGENT).unlink()
    assert main([command, "ip_own"]) == code
    said = capsys.readouterr()
    assert "is not installed on this node, run: aws-ipfailover install" in said.out + said.err


def test_a_resource_that_is_removed_while_it_is_watched_is_shown(node: Path) -> None:
    """The watch goes on: it can be configured again."""
    looks = status._looks(["ip_own"], 0.01)
    assert next(looks).found
    (node / "cib.xml").write_text(CIB.replace('"ip_own"', '"ip_new"'), encoding="utf-8")
    ((problem,),) = next(looks).problems.values()
    assert "has no resource 'ip_own'; of this agent it has ip_new" in str(problem.error)
