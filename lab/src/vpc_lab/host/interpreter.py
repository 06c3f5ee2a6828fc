"""Where this Python lies: an instance sees that, and nothing else beside the system's own programs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Iterable, Set, Tuple


def python_paths() -> Tuple[Path, ...]:
    """What the agent needs to be found by whoever runs it: this interpreter, its libraries, this package."""
    return tuple(Path(path) for path in (sys.executable, sys.prefix, sys.base_prefix, *filter(None, sys.path)))


def places(paths: Iterable[Path]) -> Tuple[Path, ...]:
    """What has to be seen for `paths` to be found: each symbolic link on the way, and where each path ends.

    Sorted, so that a directory comes before what is in it. What does not exist is left out, and so is `/`, which
    Python adds to its path when a module is run from there.
    """
    found: Set[Path] = set()
    seen: Set[Path] = set()
    waiting = [Path(os.path.normpath(path)) for path in paths]
    while waiting:
        path = waiting.pop()
        if path in seen or path == Path("/"):
            continue
        seen.add(path)
        for step in (*reversed(path.parents), path):
            if step.is_symlink():
                found.add(step)
                waiting.append(Path(os.path.normpath(step.parent / step.readlink() / path.relative_to(step))))
                break
        else:
            if path.exists():
                found.add(path)
    return tuple(sorted(found))
