"""The agents that the nodes see: the host's directory of OCF agents, with ours put in, as a private copy."""

from __future__ import annotations

import shutil
import sys
from importlib import resources
from pathlib import Path
from typing import Optional

from .instance import AGENTS

NAME = "aws-ipfailover"


def agent_source() -> Optional[Path]:
    """Where the agent lies: beside the package when installed from a wheel, in `heartbeat/` of a checkout."""
    package = Path(str(resources.files("aws_ipfailover")))
    shipped = package / "cli" / NAME
    checkout = package.parent.parent / "heartbeat" / NAME
    return next((path for path in (shipped, checkout) if path.is_file()), None)


def agents_directory(target: Path) -> Optional[Path]:
    """Copy the host's OCF agents to `target` and add ours, run by this interpreter; None if the host has no agents."""
    if not Path(AGENTS).is_dir():
        return None
    shutil.copytree(AGENTS, target, symlinks=True)
    source = agent_source()
    if source is not None:
        lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
        installed = target / NAME
        installed.write_text("".join([f"#!{sys.executable}\n", *lines[1:]]), encoding="utf-8")
        installed.chmod(0o755)
    return target
