"""`aws-ipfailover install`: put the agents where Pacemaker finds them, with the interpreter that has the package.

The one that moves addresses also under another name, for tools that know that one alone: its file is the same, and
derives its name from the path by which it is started. The health agent knows all of its names, and has one itself.
"""

from __future__ import annotations

import argparse
import os
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import List, NamedTuple, Sequence, Tuple

import aws_ipfailover
from aws_ipfailover.cli.ownership import is_there, packages_of
from aws_ipfailover.cli.trust import doubts, is_editable, module_directories
from aws_ipfailover.errors import UnknownError
from aws_ipfailover.ocf import AGENT, HEALTH_AGENT
from aws_ipfailover.ocf.installed import is_ours
from aws_ipfailover.ocf.name import LONGEST, is_name

_AGENTS = Path("usr/lib/ocf/resource.d")
# Characters of the first line that every supported kernel reads: Linux before 5.1 cuts it there (execve(2)).
_LONGEST_FIRST_LINE = 127
_SHOWN = 3  # paths of which nothing more than their number is told


class RefusedError(Exception):
    """The agent was not installed, or not removed; the text is a sentence that says why and what to do."""


class Alias(NamedTuple):
    """Where Pacemaker knows an agent as `ocf:PROVIDER:NAME`; `file`: which of this package's agents it is."""

    provider: str = "heartbeat"
    name: str = AGENT
    file: str = AGENT

    def __str__(self) -> str:
        return f"{self.provider}:{self.name}"

    def folder(self, root: Path) -> Path:
        """The provider's directory."""
        return root / _AGENTS / self.provider

    def path(self, root: Path) -> Path:
        """The agent's file."""
        return self.folder(root) / self.name


OWN = Alias()
HEALTH = Alias(name=HEALTH_AGENT, file=HEALTH_AGENT)
_EXAMPLES = """\
For tools that know no other name than ocf:suse:aws-vpc-move-ip:
  aws-ipfailover install --as suse:aws-vpc-move-ip
  aws-ipfailover install --as suse:aws-vpc-move-ip --remove
"""


def main(arguments: Sequence[str]) -> int:
    """Run `aws-ipfailover install` with these arguments; returns its exit code.

    Without click: so that the agent can be installed where nothing but what it needs itself is.
    """
    try:
        chosen = _parser().parse_args(arguments)
    except SystemExit as ended:  # after --help, or a wrong command line
        return int(ended.code or 0)
    return _run(chosen)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aws-ipfailover install",
        description="Install the resource agent ocf:heartbeat:aws-ipfailover, and beside it the\n"
        "health agent ocf:heartbeat:aws-ipfailover-health, or remove both. A file of\n"
        "somebody else, or of a package of the system, is never written over.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--root", type=Path, default=Path("/"), metavar="DIR", help="install below DIR (default: /)")
    parser.add_argument(
        "--as",
        dest="alias",
        type=alias_of,
        default=OWN,
        metavar="PROVIDER:NAME",
        help="the first agent alone, as ocf:PROVIDER:NAME",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--remove", action="store_true", help="remove the files, if they are these agents")
    how.add_argument(
        "--force", action="store_true", help="install also where somebody other than root could change what root runs"
    )
    return parser


def alias_of(text: str) -> Alias:
    """PROVIDER:NAME of a command line, checked."""
    provider, colon, name = text.partition(":")
    if not colon or not is_name(provider) or not is_name(name):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not PROVIDER:NAME, such as suse:aws-vpc-move-ip: each of letters, digits, '.', '_' and '-',"
            f" {LONGEST} at most, and neither '.' nor '-' first"
        )
    if (provider, name) == (HEALTH.provider, HEALTH.name):
        raise argparse.ArgumentTypeError(f"{text!r} is the health agent's own name, which no other agent can have")
    return Alias(provider, name)


def _run(arguments: argparse.Namespace) -> int:
    alias, root = arguments.alias, arguments.root
    try:
        if arguments.remove:
            return _say_removed(root, alias, remove(root, alias))
        paths = install(root, alias, force=arguments.force)
    except RefusedError as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 1
    except OSError as error:
        what = "remove" if arguments.remove else "install to"
        sys.stderr.write(f"cannot {what} {error.filename or alias.path(root)}: {error.strerror}\n")
        return 1
    for path in paths:
        how = f"leads to {OWN.path(Path('/'))}" if is_packaged() else f"runs with {sys.executable}"
        sys.stdout.write(f"installed {path} ({how})\n")
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


def _say_removed(root: Path, alias: Alias, removed: Sequence[Path]) -> int:
    for path in removed:
        sys.stdout.write(f"removed {path}\n")
    if not removed:
        sys.stdout.write(f"nothing to remove: {alias.path(root)} is not there\n")
    return 0


def _files(alias: Alias) -> Tuple[Alias, ...]:
    """What an installation consists of: with the agent under its own name goes the health agent."""
    return (OWN, HEALTH) if alias == OWN else (alias,)


def install(root: Path, alias: Alias = OWN, *, force: bool = False) -> List[Path]:
    """Install the agent below `root`, and the health agent beside it unless the agent gets another name.

    They will run with this process's interpreter. Returns their paths. Where `root` is this machine's own, everything
    that they will execute must be root's alone. Below another `root` a package, or a lab, is being put together: who
    may write it there is decided when it is unpacked.

    Raises:
        RefusedError: somebody other than root could change what is executed, and not `force`; or no first line can
            name the interpreter; or, whatever `force` says, a file is not this package's, belongs to a package of
            the system, or that cannot be found out. Nothing was changed.
        OSError: a file cannot be written.
    """
    if is_packaged() and alias == OWN:
        raise RefusedError(
            "not installed: the system's package aws-ipfailover has put the agents where Pacemaker finds them; to give"
            " the first one another name as well: aws-ipfailover install --as suse:aws-vpc-move-ip"
        )
    first_line = f"#!{sys.executable} -I"
    if any(character.isspace() for character in sys.executable) or len(first_line) > _LONGEST_FIRST_LINE:
        raise RefusedError(
            f"not installed: {sys.executable} cannot stand in a script's first line, which takes no blanks and"
            f" {_LONGEST_FIRST_LINE} characters at most: install the package into a shorter path, such as /opt"
        )
    for one in _files(alias):
        _refuse_another_s(root, one)
    folder = alias.folder(root)
    if root.resolve() == Path("/"):
        problem = _problem(folder)
        if problem and not force:
            raise RefusedError(f"not installed: {problem} (--force installs all the same)")
        if problem:
            sys.stderr.write(f"warning: {problem}\n")
    if is_packaged():
        return [_link(alias.path(root), OWN.path(Path("/")))]
    return [_write(one.path(root), agent_file(one.file), first_line) for one in _files(alias)]


def remove(root: Path, alias: Alias = OWN) -> List[Path]:
    """Remove what `install` installs below `root`, and a directory of its own that is then empty; what was there.

    Raises:
        RefusedError: a file is not this package's; nothing was removed.
        OSError: one cannot be removed, or not looked at.
    """
    there = [one for one in _files(alias) if is_there(one.path(root))]
    for one in there:
        path = one.path(root)
        if not is_ours(path, one.file):
            raise RefusedError(
                f"not removed: {path} is not the agent of aws-ipfailover; remove it by hand if it should go"
            )
    for one in there:
        one.path(root).unlink()
    if there and alias.provider != OWN.provider:
        with suppress(OSError):  # something else is in it, or it is a link
            alias.folder(root).rmdir()
    return [one.path(root) for one in there]


def _refuse_another_s(root: Path, alias: Alias) -> None:
    """Raise RefusedError unless the agent's file is this package's, or not there and nobody's."""
    path = alias.path(root)
    other = next(one for one in ("suse", "local") if one != alias.provider)
    name = alias.name if alias.file == AGENT else AGENT
    instead = f"another provider is free to choose, for instance: aws-ipfailover install --as {other}:{name}"
    try:
        owners = packages_of(path, root)
    except UnknownError as error:
        raise RefusedError(
            f"not installed: cannot find out whether {path} belongs to a package of the system, nothing was changed;"
            f" mend that and run it again: {error}"
        ) from None
    if owners:
        raise RefusedError(f"not installed: {path} belongs to the package {', '.join(owners)}; {instead}")
    if is_there(path) and not is_ours(path, alias.file):
        raise RefusedError(
            f"not installed: {path} is there and is not the agent of aws-ipfailover; remove it by hand, or: {instead}"
        )


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


def is_packaged() -> bool:
    """Whether this process runs in what a package of the system installed, which has a file that starts its agents."""
    return Path(sys.prefix, "packaged").is_file()


def _link(target: Path, agent: Path) -> Path:
    """Let `target` lead to the agent's file: that one finds its Python, and its version, also after an upgrade."""
    is_new = _make(target.parent)
    temporary = target.with_name(f".{target.name}-{os.getpid()}")
    try:
        temporary.symlink_to(agent)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        if is_new:
            with suppress(OSError):
                target.parent.rmdir()
        raise
    return target


def _write(target: Path, source: Path, first_line: str) -> Path:
    body = source.read_text(encoding="utf-8").split("\n", 1)[1]
    folder = target.parent
    is_new = _make(folder)
    # Replaced atomically, because Pacemaker may run the agent at any time.
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=f".{AGENT}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{first_line}\n{body}")
        Path(temporary).chmod(0o755)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        raise
    return target


def _make(folder: Path) -> bool:
    """Make a directory, and those above it, for everybody to enter and its owner to write; whether it is new."""
    is_new = False
    for place in (*reversed(folder.parents), folder):
        try:
            place.mkdir()
        except FileExistsError:
            is_new = False
        else:
            place.chmod(0o755)  # whatever the umask is
            is_new = True
    return is_new


def agent_file(name: str = AGENT) -> Path:
    """An agent as the package carries it: beside this module in a wheel, in heartbeat/ of a checkout."""
    here = Path(__file__).resolve()
    packed = here.with_name(name)
    return packed if packed.is_file() else here.parents[3] / "heartbeat" / name
