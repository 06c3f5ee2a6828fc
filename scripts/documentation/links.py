"""Where the files of the repository are in the site, and what a link between two of them becomes.

Pages are written so that they can be read, and their links followed, in the repository. In the site docs/ is the top,
README.md the start page, and every other file has the place that it has in the repository.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Callable, Set

# Pages outside docs/ that the site has.
PAGES = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "crm-examples/README.md",
    "tests/lab/data/third-party/README.md",
)
_FENCE = re.compile(r"^( *)(```+|~~~+)")
# The target of [text](target), of [text](target "title"), and of ![text](target).
_LINK = re.compile(r"(?<!\\)(\]\()([^)\s]+)((?:\s+\"[^\"]*\")?\))")
_CODE = re.compile(r"(`+)(?:(?!\1).)+?\1")
_OUTSIDE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:|//|#|/)", re.IGNORECASE)


def site_path(repository_path: str) -> str:
    """Where a file of the repository is in the site, both with slashes and relative to the top."""
    if repository_path == "README.md":
        return "index.md"
    return repository_path[len("docs/") :] if repository_path.startswith("docs/") else repository_path


def repository_path(path_in_site: str, root: Path) -> str:
    """The file of the repository at `root` that is at this place in the site."""
    if path_in_site == "index.md":
        return "README.md"
    below = f"docs/{path_in_site}"
    return below if (root / below).exists() else path_in_site


def target_in_repository(target: str, page: str) -> str:
    """The file that a link's target names, seen from `page`; a folder's is its README.md."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), target))
    return posixpath.join(path, "README.md") if target.endswith("/") or "." not in posixpath.basename(path) else path


def is_outside(target: str) -> bool:
    """Whether a link's target is another site, or a place on its own page."""
    return bool(_OUTSIDE.match(target))


def targets(text: str, page: str) -> Set[str]:
    """The files of the repository that the text of `page` links to."""
    found: Set[str] = set()

    def note(target: str) -> str:
        if not is_outside(target):
            found.add(target_in_repository(target.partition("#")[0], page))
        return target

    each_link(text, note)
    return found


def for_site(text: str, page: str) -> str:
    """The text of the repository's file `page` with its links as the site needs them."""
    here = posixpath.dirname(site_path(page)) or "."

    def moved(target: str) -> str:
        if is_outside(target):
            return target
        path, mark, anchor = target.partition("#")
        there = site_path(target_in_repository(path, page))
        return posixpath.relpath(there, here) + mark + anchor

    return each_link(text, moved)


def each_link(text: str, change: Callable[[str], str]) -> str:
    """`text` with `change` done to the target of each link that is not in a block or a span of code."""
    lines, fence = [], ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if fence:
            fence = "" if mark and mark.group(2).startswith(fence) else fence
        elif mark:
            fence = mark.group(2)
        else:
            line = _outside_of_code(line, change)  # noqa: PLW2901  the line as the site has it
        lines.append(line)
    return "\n".join(lines)


def _outside_of_code(line: str, change: Callable[[str], str]) -> str:
    spans = [match.span() for match in _CODE.finditer(line)]

    def replaced(match: re.Match[str]) -> str:
        # The text of a link may be code; its target may not be inside of a span.
        if any(begin < match.start() and match.end() <= end for begin, end in spans):
            return match.group(0)
        return match.group(1) + change(match.group(2)) + match.group(3)

    return _LINK.sub(replaced, line)
