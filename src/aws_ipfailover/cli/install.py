"""`aws-ipfailover install`: put the agent where Pacemaker finds it, with the interpreter that has the package."""

from __future__ import annotations

import argparse
import os
import stat
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, List

import aws_ipfailover

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_PROVIDER = Path("usr/lib/ocf/resource.d/heartbeat")


def register(commands: Commands) -> None:
    """Add `install` to the command line."""
    parser = commands.add_parser("install", help="install the resource agent for Pacemaker")
    parser.add_argument("--root", type=Path, default=Path("/"), metavar="DIR", help="install below DIR (default: /)")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    try:
        path = install(arguments.root)
    except OSError as error:
        sys.stderr.write(f"cannot install to {error.filename or arguments.root}: {error.strerror}\n")
        return 1
    sys.stdout.write(f"installed {path} (runs with {sys.executable})\n")
    for closed in sorted(
        {*closed_directories(Path(sys.executable)), *closed_directories(Path(aws_ipfailover.__file__))}
    ):
        sys.stderr.write(
            f"warning: {closed} is closed to other users, and Pacemaker asks the agent for its metadata as the user"
            " hacluster: install into a directory that everybody may enter, such as /opt\n"
        )
    return 0


def closed_directories(path: Path) -> List[Path]:
    """The directories above `path`, also behind symbolic links, that only some users may enter."""
    places = {*path.absolute().parents, *path.resolve().parents}
    return [place for place in places if not place.stat().st_mode & stat.S_IXOTH]


def install(root: Path) -> Path:
    """Install the agent below `root`; it will run with this process's interpreter. Returns the agent's path.

    Raises:
        OSError: the file cannot be written.
    """
    body = agent_file().read_text(encoding="utf-8").split("\n", 1)[1]
    folder = root / _PROVIDER
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "aws-ipfailover"
    # Replaced atomically, because Pacemaker may run the agent at any time.
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".aws-ipfailover-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"#!{sys.executable}\n{body}")
        Path(temporary).chmod(0o755)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink()
        raise
    return target


def agent_file() -> Path:
    """The agent as the package carries it: beside this module in a wheel, in heartbeat/ of a checkout."""
    here = Path(__file__).resolve()
    packed = here.with_name("aws-ipfailover")
    return packed if packed.is_file() else here.parents[3] / "heartbeat" / "aws-ipfailover"
