"""host/agents.py: what is prepared on the machine for the agents of the instances."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import aws_ipfailover
import vpc_lab
from vpc_lab.errors import LabError
from vpc_lab.host import agents
from vpc_lab.host.agents import SYSTEM_BUS, compile_packages, services_of


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
