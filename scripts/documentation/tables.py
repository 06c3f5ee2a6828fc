"""Tables of a page: each cell knows the heading of its column, which the style sheet shows on a narrow screen."""

from __future__ import annotations

import html
import re

_TABLE = re.compile(r"<table>.*?</table>", re.DOTALL)
_HEADING = re.compile(r"<th\b[^>]*>(.*?)</th>", re.DOTALL)
_ROW = re.compile(r"<tr>.*?</tr>", re.DOTALL)
_CELL = re.compile(r"<td\b")
_TAG = re.compile(r"<[^>]+>")


def labelled(page: str) -> str:
    """The HTML of a page with an attribute `data-label` at each cell of the tables that Markdown has made.

    A cell below a heading without text gets none. A bar that was escaped to stand in a cell loses the backslash, which
    Markdown leaves there inside of code.
    """
    return _TABLE.sub(lambda table: _with_labels(table.group(0)), page)


def _with_labels(table: str) -> str:
    headings = [html.unescape(_TAG.sub("", one)).strip() for one in _HEADING.findall(table)]

    def row(found: re.Match[str]) -> str:
        left = iter(headings)

        def cell(tag: re.Match[str]) -> str:
            heading = next(left, "")
            return f'{tag.group(0)} data-label="{html.escape(heading)}"' if heading else tag.group(0)

        return _CELL.sub(cell, found.group(0))

    return _ROW.sub(row, table).replace("\\|", "|")
