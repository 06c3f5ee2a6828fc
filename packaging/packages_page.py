"""docs/packages.md, as a run of `make packages-matrix` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence


class Row(NamedTuple):
    """What came of a test: pytest's id, its docstring, `passed`, `failed` or `skipped`, and what it has noted."""

    test: str
    sentence: str
    outcome: str
    note: str

    @property
    def file(self) -> str:
        """The name of the test's file, without `test_` and `.py`."""
        return self.test.split("::", maxsplit=1)[0].rpartition("/test_")[2].replace(".py", "")


TITLES: Dict[str, str] = {
    "build": "What is built",
    "release": "`make release`: what it refuses",
    "installed": "Installed on Debian 12, once",
    "launcher": "Without any Python",
    "distributions": "Distributions",
    "pythons": "Pythons",
    "lifecycle": "Install, upgrade, downgrade, remove, purge",
    "interpreter": "The interpreter is exchanged",
    "hazards": "Systems that are not as usual, disturbed installations, damaged files",
    "rpm": "The .rpm",
    "contract": "The agents' contract, with the installed files",
    "speed": "Speed",
    "linters": "lintian and rpmlint",
    "cluster": "Clusters in the lab",
}
HEAD = """# Packages: what was tried

What `make packages-matrix` found, in one run or in several, of which the last result of a test counts: it runs
tests/packages on a Debian 12 machine. Each line is a test, in the words of its docstring, and what it measured. What is
not listed was not run to its end. How to install: [Install](install.md).
"""
SHOWN = {"passed": "yes", "failed": "**no**", "skipped": "not tried"}


def write(page: Path, rows: Sequence[Row], results: Optional[str] = None) -> None:
    """Write the page. results: a file that keeps what several runs found; of a test's results the last counts."""
    found = {row.test: row for row in rows}
    if results is not None:
        kept = Path(results)
        old = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else []
        found = {**{row[0]: Row(*row) for row in old}, **found}
        kept.write_text(json.dumps(list(found.values()), indent=1), encoding="utf-8")
    page.write_text(text(list(found.values())), encoding="utf-8")


def text(rows: Sequence[Row]) -> str:
    """The page: a table for each file of tests, in the order of TITLES."""
    parts: List[str] = [HEAD]
    for file in [*TITLES, *sorted({row.file for row in rows} - set(TITLES))]:
        own = [row for row in rows if row.file == file]
        if own:
            lines = [f"| {cell(row.sentence)} | {SHOWN[row.outcome]} | {cell(row.note)} |" for row in own]
            parts.append(
                "\n".join([f"## {TITLES.get(file, file)}\n", "| what | holds | |", "|---|---|---|", *lines]) + "\n"
            )
    return "\n".join(parts)


def cell(words: str) -> str:
    """Text as a table of Markdown takes it."""
    return words.replace("|", "\\|").replace("\n", " ")
