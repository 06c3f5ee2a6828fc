"""MkDocs's hook: pages from outside docs/, links as the site needs them, diagrams, the navigation of what exists."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any, Dict, Iterator, List, Set, Union

from mkdocs.structure.files import File, Files

from documentation import diagram, links

ROOT = Path(__file__).resolve().parents[1]
# A navigation as mkdocs.yml has it: pages, sections by their titles, and folders, which end with a slash.
Navigation = List[Union[str, Dict[str, Any]]]


def on_config(config: Any) -> Any:
    """Leave out of the navigation what is optional and not there, and put the pages of folders into it."""
    config.nav = list(_existing(config.nav, set(config.extra.get("optional", ()))))
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages outside docs/, and whatever of the repository any page links to, such as examples."""
    linked: Set[str] = set()
    for page in (*links.PAGES, *(f"docs/{one.src_uri}" for one in files.documentation_pages())):
        linked |= links.targets((ROOT / page).read_text(encoding="utf-8"), page)
    for path in sorted({*links.PAGES, *linked}):
        if not path.startswith(("docs/", "..")) and (ROOT / path).is_file():
            files.append(File.generated(config, links.site_path(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Draw diagrams, and lead links to where the site has what they name."""
    path = links.repository_path(page.file.src_uri, ROOT)
    return diagram.replace_all(links.for_site(markdown, path))


def _existing(navigation: Navigation, optional: Set[str]) -> Iterator[Union[str, Dict[str, Any]]]:
    for entry in navigation:
        title, what = next(iter(entry.items())) if isinstance(entry, dict) else ("", entry)
        if isinstance(what, list):
            inside = list(_existing(what, optional))
            if inside:
                yield {title: inside}
        elif what.endswith("/"):
            yield from sorted(path.relative_to(ROOT / "docs").as_posix() for path in _pages_in(what))
        elif what not in optional or (ROOT / "docs" / what).is_file():
            yield entry


def _pages_in(folder: str) -> List[Path]:
    return sorted((ROOT / "docs" / posixpath.normpath(folder)).glob("*.md"))
