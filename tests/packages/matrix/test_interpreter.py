"""The node's Python changes, or goes, under a resource that runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from box import AGENT, HOME, Box, python_named, pythons_of_pyenv
from locked import PYTHONS
from sandbox import Node, cannot_run

from ..conftest import deb_of


@pytest.fixture
def with_311(open_box: Box, packages: Path) -> Box:
    """A box with Python 3.11 alone, and the package."""
    pythons = dict(pythons_of_pyenv(PYTHONS))
    if "3.12" not in pythons:
        cannot_run("pyenv has no Python 3.12")
    open_box.sh("rm -f /usr/bin/python3")
    open_box.run("test", "-x", "/usr/bin/python3.11")
    open_box.run("dpkg", "--install", "--force-depends", deb_of(packages))
    return open_box


def test_it_is_exchanged_under_a_running_resource(with_311: Box, node: Node) -> None:
    """3.11 goes, 3.12 comes: monitor and stop are right before the trigger has run, and after it."""
    agent = replace(node.agent, interpreter=tuple(with_311.prefix), path=Path(AGENT))
    assert agent.run("start").code == 0
    python_named(with_311, "python3.12", dict(pythons_of_pyenv(PYTHONS))["3.12"])
    with_311.run("rm", "/usr/bin/python3.11")
    assert [agent.run("monitor").code, agent.run("monitor", level=10, interval=60).code] == [0, 0]
    # What dpkg does when a package brings or takes one of the files in DEBIAN/triggers.
    with_311.sh(
        "dpkg-trigger --by-package=aws-ipfailover /usr/bin/python3.12;"
        " dpkg --triggers-only --force-depends aws-ipfailover"
    )
    assert with_311.run("readlink", f"{HOME}/current/bin/python").stdout.strip() == "python3.12"
    assert with_311.sh(
        f"find {HOME}/current/lib/python3/site-packages/aws_ipfailover/ -name '*.cpython-312.pyc' | head -n 1"
    )
    assert agent.run("monitor", level=10, interval=60).code == 0
    assert agent.run("stop").code == 0
    assert node.held() == []


def test_none_is_left(with_311: Box, node: Node) -> None:
    """Without any Python a probe sees the address, stop removes it, a recurring monitor is 5; then one is back."""
    agent = replace(node.agent, interpreter=tuple(with_311.prefix), path=Path(AGENT))
    assert agent.run("start").code == 0
    with_311.run("rm", "/usr/bin/python3.11")
    assert agent.run("monitor").code == 0
    assert agent.run("monitor", interval=10).code == 5
    assert agent.run("stop").code == 0
    assert node.held() == []
    assert agent.run("monitor").code == 7
    ran = agent.run("start")
    assert (ran.code, "no Python from 3.9 to 3.13" in ran.reason) == (5, True), ran
    python_named(with_311, "python3.12", dict(pythons_of_pyenv(PYTHONS))["3.12"])
    assert agent.run("start").code == 0


def test_installed_without_any_python(open_box: Box, packages: Path) -> None:
    """Where dependencies were forced the package is configured all the same, and says what is missing."""
    open_box.sh("rm -f /usr/bin/python3 /usr/bin/python3.*")
    done = open_box.run("dpkg", "--install", "--force-depends", deb_of(packages))
    assert "no usable Python" in done.stderr
    assert open_box.run(AGENT, "stop").returncode == 0


def test_a_python_with_half_a_standard_library(open_box: Box, packages: Path) -> None:
    """An interpreter without TLS, as of a minimal package, is passed over for one that has it."""
    pythons = dict(pythons_of_pyenv(PYTHONS))
    if "3.10" not in pythons:
        cannot_run("pyenv has no Python 3.10")
    open_box.sh(
        "rm -f /usr/bin/python3.*; printf '#!/bin/sh\nexit 1\n' >/usr/bin/python3.13; chmod +x /usr/bin/python3.13"
    )
    python_named(open_box, "python3.10", pythons["3.10"])
    open_box.run("dpkg", "--install", "--force-depends", deb_of(packages))
    assert open_box.run("readlink", f"{HOME}/current/bin/python").stdout.strip() == "python3.10"
