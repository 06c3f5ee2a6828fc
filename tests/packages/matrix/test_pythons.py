"""Every Python that is supported, as the node's own: the agent is started, watched and stopped with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Callable

import pytest

from box import AGENT, HOME, Box, python_named, pythons_of_pyenv
from locked import PYTHONS
from sandbox import Node, cannot_run

from ..conftest import deb_of


@pytest.mark.parametrize("python", PYTHONS)
def test_a_node_with_this_python(
    open_box: Box, packages: Path, node: Node, python: str, note: Callable[[str], None]
) -> None:
    """It is chosen, compiled for, and runs: start, level-10 monitor, stop, with its own locked SDK."""
    found = dict(pythons_of_pyenv(PYTHONS))
    if python not in found:
        cannot_run(f"pyenv has no Python {python}")
    # The system's own library would be found first.
    open_box.sh('rm -rf /usr/bin/python3.* "/usr/lib/python$1"', python)
    python_named(open_box, f"python{python}", found[python])
    open_box.run("ln", "-sfn", f"python{python}", "/usr/bin/python3")
    open_box.run("dpkg", "--install", "--force-depends", deb_of(packages))
    assert open_box.run("readlink", f"{HOME}/current/bin/python").stdout.strip() == f"python{python}"
    agent = replace(node.agent, interpreter=tuple(open_box.prefix), path=Path(AGENT))
    codes = [agent.run(action).code for action in ("validate-all", "monitor", "start", "monitor")]
    assert codes == [0, 7, 0, 0]
    assert agent.run("monitor", level=10, interval=60).code == 0
    assert agent.run("stop").code == 0
    script = (
        "import sys, boto3, urllib3;"
        " print(sys.version.split()[0], 'boto3', boto3.__version__, 'urllib3', urllib3.__version__)"
    )
    note(open_box.run(f"{HOME}/current/bin/python", "-I", "-c", script).stdout.strip())
