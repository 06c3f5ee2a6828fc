"""host/agents.py: what is prepared on the machine for the agents of the instances."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import aws_ipfailover
import vpc_lab
from vpc_lab.cli.lab import command
from vpc_lab.errors import LabError
from vpc_lab.host import agents
from vpc_lab.host.agents import agents_directory, compile_packages, services_of
from vpc_lab.settings import SYSTEM_BUS


@pytest.mark.parametrize("package", [aws_ipfailover, vpc_lab], ids=lambda one: one.__name__)
def test_what_instances_run_is_compiled(package: object) -> None:
    """Every module, whether anything has imported it or not: instances could not write the bytecode themselves."""
    sources = list(Path(str(getattr(package, "__file__", ""))).parent.rglob("*.py"))
    assert len(sources) > 50
    # Programs: hardly anything imports them, which would write it too.
    programs = [one for one in sources if one.name in ("__main__.py", "responder.py")]
    assert programs
    for one in programs:
        Path(importlib.util.cache_from_source(str(one))).unlink(missing_ok=True)
    compile_packages()
    assert [one for one in sources if not Path(importlib.util.cache_from_source(str(one))).exists()] == []


def test_a_system_bus_among_the_agents_is_started_before_pacemaker(tmp_path: Path) -> None:
    """And nothing where there is none."""
    assert services_of(None) == services_of(tmp_path) == ()
    program = tmp_path / SYSTEM_BUS.lstrip("/")
    program.parent.mkdir(parents=True)
    program.touch()
    (service,) = services_of(tmp_path)
    assert service.argv == (SYSTEM_BUS,)


def test_a_fence_agent_can_take_the_place_of_one_of_the_machine_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no other place for it: what the machine does not have is refused."""
    machine, more, root = (tmp_path / name for name in ("sbin", "more", "root"))
    monkeypatch.setattr(agents, "FENCE_AGENTS", str(machine))
    machine.mkdir()
    (machine / "fence_here").touch()
    place = more / str(machine).lstrip("/")
    place.mkdir(parents=True)
    (place / "fence_here").write_text("new", encoding="utf-8")
    agents._add(more, root, [])
    assert (root / str(machine).lstrip("/") / "fence_here").read_text(encoding="utf-8") == "new"
    (place / "fence_nowhere").touch()
    with pytest.raises(LabError, match="fence_nowhere is no agent of a node"):
        agents._add(more, root, [])


@pytest.mark.parametrize("verb", ["scenarios", "soak"])
def test_the_machine_has_no_package(
    verb: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--installed` says so, and no lab comes up for it."""
    monkeypatch.setattr(agents, "PACKAGED", str(tmp_path / "current"))
    monkeypatch.setattr(agents, "AGENTS", str(tmp_path))
    monkeypatch.setattr(agents, "COMMAND", str(tmp_path / agents.OURS))
    (tmp_path / agents.OURS).touch()
    monkeypatch.setattr("vpc_lab.lab.Lab.running", lambda *_, **__: pytest.fail("a lab comes up"))
    command.main([verb, "--installed", "--directory", str(tmp_path / "record")], standalone_mode=False)
    assert "current is not there; install it, or leave out --installed" in capsys.readouterr().err


def test_the_machine_s_package_is_what_nodes_get(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With `installed` the agent's file is the machine's, and nothing is installed over it."""
    places = tmp_path / "machine" / "resource.d"
    (places / "heartbeat").mkdir(parents=True)
    (places / "heartbeat" / agents.OURS).write_text("#!/bin/sh\n")
    monkeypatch.setattr(agents, "AGENTS", str(places / "heartbeat"))
    monkeypatch.setattr(agents, "AGENT_PLACES", (str(places),))
    for name in ("PACKAGED", "COMMAND"):
        monkeypatch.setattr(agents, name, str(tmp_path))
    root = agents_directory(tmp_path / "root", installed=True)
    assert root is not None
    files = [path for path in root.rglob("*") if path.is_file()]
    assert [path.read_text() for path in files] == ["#!/bin/sh\n"]
