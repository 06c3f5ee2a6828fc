"""Who can change what the agent executes: Pacemaker runs it as root, so that must be nobody but root.

A sticky directory such as /tmp is refused like any other that everybody can write: what is in it is removed after a
while, and then anybody can make it anew.
"""

from __future__ import annotations

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
    """
    found: Dict[Path, str] = {}
    seen: Set[Path] = set()
    for path in paths:
        for place in (*_way_to(path.absolute(), seen), *_below(path)):
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


def _way_to(path: Path, seen: Set[Path]) -> Iterator[Path]:
    """A path, every directory above it, and the same of whatever a symbolic link among them leads to."""
    for place in (*reversed(path.parents), path):
        if place in seen:
            continue
        seen.add(place)
        yield place
        if place.is_symlink():
            yield from _way_to(place.parent / os.readlink(place), seen)


def _below(path: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            yield Path(folder, name)


def _doubt(place: Path) -> str:
    try:
        found = place.lstat()
    except OSError:
        return ""  # it is not there: to make it, its directory has to be written
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid != 0:
        return f"owner {found.st_uid}, mode {mode:04o}"
    if stat.S_ISLNK(found.st_mode):
        return ""  # a link's mode has no meaning
    if mode & stat.S_IWOTH or (mode & stat.S_IWGRP and found.st_gid != 0):
        return f"owner 0, group {found.st_gid}, mode {mode:04o}"
    return ""
