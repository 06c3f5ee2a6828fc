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
from aws_ipfailover.cli.trust import doubts, is_editable, module_directories

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_PROVIDER = Path("usr/lib/ocf/resource.d/heartbeat")
# Characters of the first line that every supported kernel reads: Linux before 5.1 cuts it there (execve(2)).
_LONGEST_FIRST_LINE = 127
_SHOWN = 3  # paths of which nothing more than their number is told


class RefusedError(Exception):
    """The agent was not installed; the text is a sentence that says why and what to do."""


def register(commands: Commands) -> None:
    """Add `install` to the command line."""
    parser = commands.add_parser("install", help="install the resource agent for Pacemaker")
    parser.add_argument("--root", type=Path, default=Path("/"), metavar="DIR", help="install below DIR (default: /)")
    parser.add_argument(
        "--force", action="store_true", help="install also where somebody other than root could change what root runs"
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    try:
        path = install(arguments.root, force=arguments.force)
    except RefusedError as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 1
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


def install(root: Path, *, force: bool = False) -> Path:
    """Install the agent below `root`; it will run with this process's interpreter. Returns the agent's path.

    Where `root` is this machine's own, everything that the agent will execute must be root's alone. Below another
    `root` a package, or a lab, is being put together: who may write it there is decided when it is unpacked.

    Raises:
        RefusedError: somebody other than root could change what the agent executes, and not `force`; or no first line
            can name the interpreter.
        OSError: the file cannot be written.
    """
    first_line = f"#!{sys.executable} -I"
    if any(character.isspace() for character in sys.executable) or len(first_line) > _LONGEST_FIRST_LINE:
        raise RefusedError(
            f"not installed: {sys.executable} cannot stand in a script's first line, which takes no blanks and"
            f" {_LONGEST_FIRST_LINE} characters at most: install the package into a shorter path, such as /opt"
        )
    folder = root / _PROVIDER
    if root.resolve() == Path("/"):
        problem = _problem(folder)
        if problem and not force:
            raise RefusedError(f"not installed: {problem} (--force installs all the same)")
        if problem:
            sys.stderr.write(f"warning: {problem}\n")
    return _write(folder, first_line)


def _problem(folder: Path) -> str:
    """Why what the agent executes is not root's alone, and what to do; empty if it is."""
    package = Path(aws_ipfailover.__file__).parent
    if is_editable(package):
        return (
            f"the package is a checkout, {package}: whoever can write there is root when Pacemaker next runs the agent;"
            " install it as root with `make install`, or with pip into a virtual environment of root's, such as"
            " /opt/aws-ipfailover"
        )
    # pyvenv.cfg names the standard library's place.
    environment = Path(sys.prefix, "pyvenv.cfg")
    found = doubts([Path(sys.executable), environment, *module_directories(sys.executable), package])
    found += [one for one in doubts([folder]) if one not in found]
    if not found:
        return ""
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return (
        f"somebody other than root can write {', '.join(found[:_SHOWN])}{more}: whoever does so is root when Pacemaker"
        " next runs the agent; install the package as root into a directory of root's, such as /opt/aws-ipfailover"
    )


def _write(folder: Path, first_line: str) -> Path:
    body = agent_file().read_text(encoding="utf-8").split("\n", 1)[1]
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "aws-ipfailover"
    # Replaced atomically, because Pacemaker may run the agent at any time.
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".aws-ipfailover-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{first_line}\n{body}")
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
