"""MkDocs's hook: pages from outside docs/, links as the site needs them, diagrams, tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Set

from mkdocs.structure.files import File, Files

from documentation import diagram, links, tables

ROOT = Path(__file__).resolve().parents[1]
# Pages that the site's search puts first: whoever types a message of the agent's is in a hurry.
FIRST = {"reasons.md": 4, "symptoms.md": 3}


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
    """Draw diagrams, lead links to where the site has what they name, and weigh the page for the search."""
    if page.file.src_uri in FIRST:
        page.meta["search"] = {"boost": FIRST[page.file.src_uri]}
    path = links.repository_path(page.file.src_uri, ROOT)
    return diagram.replace_all(links.for_site(markdown, path))


def on_page_content(html: str, **_: Any) -> str:
    """Tell each cell of a table its column, for narrow screens."""
    return tables.labelled(html)
