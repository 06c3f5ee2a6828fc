"""Which of the system's packages a file among the agents belongs to."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Dict, List

from aws_ipfailover.errors import UnknownError
from aws_ipfailover.output import printable
from aws_ipfailover.programs import Done, find, run

# Seconds for one question. dpkg-query reads the lists of all packages, which takes a slow disk some seconds.
_PATIENCE = 30.0
_DPKG = "var/lib/dpkg"
# Where distributions keep rpm's database, and its files, the newest format first.
_RPM = ("usr/lib/sysimage/rpm", "usr/share/rpm", "var/lib/rpm")
_RPM_FILES = ("rpmdb.sqlite", "Packages.db", "Packages")
# What the programs say, in English, of a path that they know nothing of.
_DPKG_KNOWS_NOTHING = "no path found matching pattern"
_RPM_KNOWS_NOTHING = ("is not owned by any package", "No such file or directory")


def is_there(path: Path) -> bool:
    """Whether anything is at `path`, also a link that leads nowhere.

    Raises:
        OSError: that cannot be found out.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def packages_of(path: Path, root: Path) -> List[str]:
    """The packages of the system below `root` to which the file `path` belongs, which need not be there.

    This machine's dpkg and rpm are asked, where they are installed, for what they know of the system below `root`: of
    another one than this machine's, where their databases are there. The path is asked for as it is, and as it is
    behind symbolic links.

    Raises:
        UnknownError: one of them does not answer, or cannot be asked; half a sentence.
    """
    root = root.absolute()
    paths = [f"/{path.absolute().relative_to(root)}"]
    folder, top = Path(os.path.realpath(path.parent)), Path(os.path.realpath(root))
    if top in (folder, *folder.parents):
        paths.append(f"/{(folder / path.name).relative_to(top)}")
    owners: Dict[str, None] = {}
    for one in dict.fromkeys(paths):
        owners.update(dict.fromkeys([*_dpkg(one, root), *_rpm(one, root)]))
    return list(owners)


def _dpkg(path: str, root: Path) -> List[str]:
    program, database = find("dpkg-query"), root / _DPKG
    if not _is_own(root):
        if not (database / "status").exists():
            return []
        if program is None:
            raise _not_installed("dpkg-query", root)
    if program is None:
        return []
    done = _ask([program, f"--admindir={database}", "--search", path])
    # Packages with the same file stand in one line, "a:amd64, a:i386: PATH"; so does a diversion of it.
    owners = [line.rpartition(f": {path}")[0] for line in done.stdout.splitlines()]
    if done.returncode == 0 and any(owners):
        return [f"{owner} (dpkg)" for owner in owners if owner]
    if done.returncode == 1 and _DPKG_KNOWS_NOTHING in done.stderr:
        return []
    raise _no_answer("dpkg-query", done)


def _rpm(path: str, root: Path) -> List[str]:
    program, where = find("rpm"), []
    if not _is_own(root):
        # Named, because the rpm of another distribution would look for it elsewhere.
        databases = [one for one in _RPM if any((root / one / file).exists() for file in _RPM_FILES)]
        if not databases:
            return []
        where = ["--root", str(root), "--dbpath", f"/{databases[0]}"]
        if program is None:
            raise _not_installed("rpm", root)
    if program is None:
        return []
    done = _ask([program, *where, "--query", "--file", "--queryformat", "%{NAME}\\n", path])
    names = done.stdout.split()
    if done.returncode == 0 and names and all(re.fullmatch(r"[A-Za-z0-9._+-]+", name) for name in names):
        return [f"{name} (rpm)" for name in names]
    said = [line for line in (done.stderr + done.stdout).splitlines() if not line.startswith("warning: ")]
    # Where it cannot read its database it says so, and then that no package has the file.
    if done.returncode == 1 and len(said) == 1 and path in said[0] and said[0].endswith(_RPM_KNOWS_NOTHING):
        return []
    raise _no_answer("rpm", done)


def _not_installed(name: str, root: Path) -> UnknownError:
    return UnknownError(f"{name}, which knows the packages below {root}, is not installed here")


def _is_own(root: Path) -> bool:
    return os.path.realpath(root) == "/"


def _ask(command: List[str]) -> Done:
    name = os.path.basename(command[0])
    # Nothing of this environment: DPKG_ADMINDIR, for one, would name another database.
    environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/"}
    try:
        return run(command, _PATIENCE, environ)
    except UnknownError as error:
        raise UnknownError(f"{name} does not answer: {error}") from None


def _no_answer(name: str, done: Done) -> UnknownError:
    said = printable(done.stderr or done.stdout)[:200]
    return UnknownError(f"{name} answers {done.returncode}{': ' if said else ''}{said}")
