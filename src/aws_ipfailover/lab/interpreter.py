"""Where this Python lies, and who can get there: the agent runs with it, and not only as root."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Iterable, List, Set, Tuple


def python_paths() -> Tuple[Path, ...]:
    """What the agent needs to be found by whoever runs it: this interpreter, its libraries, this package."""
    return tuple(Path(path) for path in (sys.executable, sys.prefix, sys.base_prefix, *filter(None, sys.path)))


def closed_directories(paths: Iterable[Path]) -> List[Path]:
    """The directories on the way to `paths`, through every symbolic link, that only their owner may pass.

    Pacemaker asks an agent for its metadata as the user hacluster. An interpreter below /root, which Debian makes with
    mode 0700, does not exist for that user.
    """
    found: Set[Path] = set()
    seen: Set[Path] = set()
    waiting = list(paths)
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for step in (path, *path.parents):
            if step.is_symlink():
                waiting.append(Path(os.path.normpath(step.parent / step.readlink())))
            elif step.is_dir() and not step.stat().st_mode & 0o001:
                found.add(step)
    return sorted(found)
