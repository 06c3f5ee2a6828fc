"""Who can change what the agent executes: Pacemaker runs it as root, so that must be nobody but root.

A sticky directory such as /tmp is refused like any other that everybody can write: what is in it is removed after a
while, and then anybody can make it anew.
"""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Set

# Of directories that the interpreter loads code from, those that a package manager installs packages to.
_INSTALLED = ("site-packages", "dist-packages")


def doubts(paths: Sequence[Path]) -> List[str]:
    """What somebody other than root can write of these files and directories, and of everything in and above them.

    Each one half a sentence, with path, owner and mode; symbolic links are followed.

    Raises:
        OSError: one of them cannot be looked at.
    """
    found: Dict[Path, str] = {}
    seen: Set[Path] = set()
    for path in paths:
        for place in _places(path, seen):
            text = _doubt(place)
            if text:
                found.setdefault(place, text)
    return [f"{place} ({text})" for place, text in sorted(found.items())]


def module_directories(interpreter: str) -> List[Path]:
    """The directories from which this interpreter loads modules when it is isolated (`-I`).

    Raises:
        OSError: it cannot be run.
    """
    code = "import sys; print(*sys.path, sep='\\0')"
    done = subprocess.run([interpreter, "-I", "-c", code], check=False, capture_output=True, text=True, cwd="/")
    if done.returncode != 0:
        raise OSError(done.returncode, "the interpreter does not start", interpreter)
    return [path for path in map(Path, done.stdout.strip("\n").split("\0")) if path.exists()]


def is_editable(package: Path) -> bool:
    """Whether the package's files are those of a checkout, and not installed ones."""
    return not any(part in _INSTALLED for part in package.parts)


def _places(path: Path, seen: Set[Path]) -> Iterator[Path]:
    """A path, all directories above it, all that is in it, and the same of what symbolic links among these lead to."""
    for place in (*reversed(path.absolute().parents), path.absolute()):
        if place not in seen:
            seen.add(place)
            yield place
            if place.is_symlink():
                yield from _places(place.parent / os.readlink(place), seen)
    for folder, folders, files in os.walk(path, onerror=_raise) if path.is_dir() else ():
        for place in (Path(folder, name) for name in (*folders, *files)):
            if place in seen:
                continue
            if place.is_symlink():
                yield from _places(place, seen)
            else:
                seen.add(place)
                yield place


def _raise(error: OSError) -> None:
    raise error


def _doubt(place: Path) -> str:
    try:
        found = place.lstat()
    except FileNotFoundError:
        return ""  # to make it, its directory has to be written
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid != 0:
        return f"owner {found.st_uid}, mode {mode:04o}"
    if stat.S_ISLNK(found.st_mode):
        return ""  # a link's mode has no meaning
    if mode & stat.S_IWOTH or (mode & stat.S_IWGRP and (found.st_gid != 0 or _has_acl(place))):
        return f"owner 0, group {found.st_gid}, mode {mode:04o}"
    return ""


def _has_acl(place: Path) -> bool:
    """Whether an access control list says more than the mode; the group's bits are then the most that it grants."""
    try:
        return "system.posix_acl_access" in os.listxattr(place, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENOTSUP:  # a file system without them
            return False
        raise
