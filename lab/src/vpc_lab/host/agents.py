"""The agents that the nodes see: the host's OCF agents and fencing plugins, with ours and further ones, as a copy."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import List, Optional, Tuple

from vpc_lab.errors import LabError
from vpc_lab.host.boot import Service
from vpc_lab.host.guest import AGENT_PLACES, AGENTS
from vpc_lab.settings import FENCE_AGENTS, SYSTEM_BUS

# The name under which our agent takes the place of the one that the machine may have.
PEER = "heartbeat:aws-vpc-move-ip"
# What the package aws-ipfailover installs: its agent, its command, and where it keeps the version that runs.
OURS = "aws-ipfailover"
COMMAND = "/usr/bin/aws-ipfailover"
PACKAGED = "/usr/lib/aws-ipfailover/current"


def agents_directory(
    root: Path, more: Optional[Path] = None, alias: Optional[str] = None, *, installed: bool = False
) -> Optional[Path]:
    """Copy the host's agents below `root` and install ours there; None if the host has no agents.

    Ours comes through the command that an administrator uses, run by the interpreter that runs the lab; with `alias`
    under that name, PROVIDER:NAME, as well. With `installed` ours is the one that the host has: that of the package,
    whose command is used then. What is in `more` comes on top of all that: it is laid out as a system.

    Raises:
        LabError: `more` is not laid out so, ours cannot have that name, or the host has none that a package brought.
    """
    if installed:
        need_package()
    if not Path(AGENTS).is_dir():
        return None
    compile_packages()
    places = [place for place in AGENT_PLACES if Path(place).is_dir()]
    for place in places:
        shutil.copytree(place, root / place.lstrip("/"), symlinks=True)
    if alias == PEER:
        # The peer's own users rehearse with this agent in its place.
        (root / AGENTS.lstrip("/") / PEER.partition(":")[2]).unlink(missing_ok=True)
    program = [COMMAND] if installed else [sys.executable, "-m", "aws_ipfailover.cli.main"]
    for names in [*([] if installed else [[]]), *([["--as", alias]] if alias else [])]:
        command = [*program, "install", "--root", str(root), *names]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise LabError(done.stderr.strip())
    if more is not None:
        _add(more, root, places)
    return root


def services_of(agents: Optional[Path]) -> Tuple[Service, ...]:
    """What a node has to start before Pacemaker for its agents to run: the system bus, if they bring one."""
    if agents is None or not (agents / SYSTEM_BUS.lstrip("/")).is_file():
        return ()
    return (Service((SYSTEM_BUS,), ready=("test", "-S", "/run/dbus/system_bus_socket")),)


def need_package() -> None:
    """LabError unless the host has the agent that a package brought."""
    for path in (Path(AGENTS, OURS), Path(COMMAND), Path(PACKAGED)):
        if not path.exists():
            raise LabError(
                f"the package aws-ipfailover is not installed on this machine: {path} is not there; install it, or"
                " leave out --installed"
            )


def compile_packages() -> None:
    """Compile the modules that instances run: they see these read-only, and every process would compile them anew.

    Where the bytecode cannot be written everything runs all the same, only slower.
    """
    found = [spec for name in ("aws_ipfailover", "vpc_lab") if (spec := find_spec(name)) is not None]
    places = [place for spec in found for place in spec.submodule_search_locations or ()]
    subprocess.run([sys.executable, "-m", "compileall", "-q", *places], check=False, capture_output=True)


def _add(more: Path, root: Path, places: List[str]) -> None:
    if not more.is_dir():
        raise LabError(f"the directory of further agents, {more}, is not there")
    for folder, _, files in os.walk(more):
        for file in (Path(folder, name) for name in files):
            place = file.relative_to(more)
            takes_a_place = str(Path("/", place).parent) == FENCE_AGENTS and Path("/", place).is_file()
            if not takes_a_place and not any(Path("/", place).is_relative_to(known) for known in places):
                names = " and ".join(known.lstrip("/") for known in places)
                raise LabError(f"{file} is no agent of a node: in {more} they have their places in {names}")
            target = root / place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
            # Pacemaker asks for metadata as the user hacluster, whatever the umask was when somebody made the file.
            target.chmod(0o755 if file.stat().st_mode & stat.S_IXUSR else 0o644)
