"""host/agents.py: what is prepared on the machine for the agents of the instances."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import aws_ipfailover
import vpc_lab
from vpc_lab.host.agents import compile_packages


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
