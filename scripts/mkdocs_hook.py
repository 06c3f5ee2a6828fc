"""MkDocs's hook: pages from outside docs/, links as the site needs them, diagrams, tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Set

from mkdocs.structure.files import File, Files

from documentation import diagram, links, tables

ROOT = Path(__file__).resolve().parents[1]
# What pages weigh in the site's search, 1 by default. Whoever types a message of the agent's is in a hurry, and results
# of runs are nobody's first answer.
WEIGHTS: Dict[str, float] = {"reasons.md": 10, "symptoms.md": 4, "operations.md": 3, "health.md": 2}
WEIGHTS.update(dict.fromkeys(("packages.md", "rehearsals.md", "scenarios.md", "performance.md", "lab.md"), 0.3))
WEIGHTS.update(dict.fromkeys(("CHANGELOG.md", "CONTRIBUTING.md", "tests/lab/data/third-party/README.md"), 0.3))


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
    if page.file.src_uri in WEIGHTS:
        page.meta["search"] = {"boost": WEIGHTS[page.file.src_uri]}
    path = links.repository_path(page.file.src_uri, ROOT)
    return diagram.replace_all(links.for_site(markdown, path))


def on_page_content(html: str, **_: Any) -> str:
    """Tell each cell of a table its column, for narrow screens."""
    return tables.labelled(html)
