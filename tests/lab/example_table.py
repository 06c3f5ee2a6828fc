"""The table of results in crm-examples/README.md, between two comments: read, and written again with newer rows."""

from __future__ import annotations

import re
from typing import Dict, Mapping, NamedTuple, Optional

BEGIN, END = "<!-- results -->", "<!-- end of results -->"
_HEAD = "| example | tool | longest silence of a consumer | verdict |\n|---|---|---|---|\n"
_ROW = re.compile(r"\| ([\w-]+) \| (crm|pcs) \| (?:([\d.]+) s|-) \| (\w+) \|")


class Row(NamedTuple):
    """What came of a file. `silence`: seconds for which some consumer had no answer, `None` where it failed before."""

    name: str
    silence: Optional[float]
    verdict: str


def updated(page: str, found: Mapping[str, Row]) -> str:
    """`page` with these rows in its table; those of other files stay. ValueError where it has no table."""
    head, begin, rest = page.partition(BEGIN)
    old, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} with an {END} after it")
    rows: Dict[str, Row] = {}
    for stem, tool, silence, verdict in _ROW.findall(old):
        name = f"{stem}.{tool}"
        rows[name] = Row(name, float(silence) if silence else None, verdict)
    rows.update(found)
    lines = "".join(_line(rows[name]) for name in sorted(rows))
    return f"{head}{BEGIN}\n{_HEAD}{lines}{END}{tail}"


def _line(row: Row) -> str:
    stem, _, tool = row.name.rpartition(".")
    silence = "-" if row.silence is None else f"{row.silence:.1f} s"
    return f"| {stem} | {tool} | {silence} | {row.verdict} |\n"
