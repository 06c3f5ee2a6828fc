"""The agents that the nodes see: the host's directory of OCF agents, with ours put in, as a private copy."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Optional

from .instance import AGENTS


def agents_directory(root: Path) -> Optional[Path]:
    """Copy the host's OCF agents below `root` and install ours there; None if the host has no agents.

    Ours comes through the command that an administrator uses, run by the interpreter that runs the lab.
    """
    if not Path(AGENTS).is_dir():
        return None
    target = root / AGENTS.lstrip("/")
    shutil.copytree(AGENTS, target, symlinks=True)
    subprocess.run(
        [sys.executable, "-m", "aws_ipfailover.cli.main", "install", "--root", str(root)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return target
