"""Diagrams that are text in a page, drawn as SVG in the site.

A block of code whose language is `diagram` is drawn on a grid of characters: box-drawing characters become lines,
all else is text. Double lines are the way of a packet, and have a colour of their own; so have the heads of arrows
and the crosses that a double line leads to. The picture takes its colours from the page: light or dark.
"""

from __future__ import annotations

import html
import re
from typing import Dict, Iterator, List, Tuple

# Pixels of a character. A monospaced font of this size has about this width; each text is drawn to fit its cells.
WIDTH, HEIGHT, SIZE = 8.4, 18.0, 14

# For each character the weight of its line up, right, down and left: 0 none, 1 single, 2 double.
ARMS: Dict[str, Tuple[int, int, int, int]] = {
    "─": (0, 1, 0, 1),
    "│": (1, 0, 1, 0),
    "┌": (0, 1, 1, 0),
    "┐": (0, 0, 1, 1),
    "└": (1, 1, 0, 0),
    "┘": (1, 0, 0, 1),
    "├": (1, 1, 1, 0),
    "┤": (1, 0, 1, 1),
    "┬": (0, 1, 1, 1),
    "┴": (1, 1, 0, 1),
    "┼": (1, 1, 1, 1),
    "═": (0, 2, 0, 2),
    "║": (2, 0, 2, 0),
    "╔": (0, 2, 2, 0),
    "╗": (0, 0, 2, 2),
    "╚": (2, 2, 0, 0),
    "╝": (2, 0, 0, 2),
    "╠": (2, 2, 2, 0),
    "╣": (2, 0, 2, 2),
    "╦": (0, 2, 2, 2),
    "╩": (2, 2, 0, 2),
    "╬": (2, 2, 2, 2),
    "╪": (1, 2, 1, 2),
    "╫": (2, 1, 2, 1),
    "╞": (1, 2, 1, 0),
    "╡": (1, 0, 1, 2),
    "╥": (0, 1, 2, 1),
    "╨": (2, 1, 0, 1),
    "╤": (0, 2, 1, 2),
    "╧": (1, 2, 0, 2),
    "╟": (2, 1, 2, 0),
    "╢": (2, 0, 2, 1),
}
# The heads of arrows: what leads to each, as a step back from it, and its corners in halves of a cell.
HEADS: Dict[str, Tuple[Tuple[int, int], Tuple[Tuple[float, float], ...]]] = {
    "▶": ((0, -1), ((-1, -0.5), (1, 0), (-1, 0.5))),
    "◀": ((0, 1), ((1, -0.5), (-1, 0), (1, 0.5))),
    "▲": ((1, 0), ((-0.9, 0.6), (0, -0.6), (0.9, 0.6))),
    "▼": ((-1, 0), ((-0.9, -0.6), (0, 0.6), (0.9, -0.6))),
}
CROSS = "✗"
_BLOCK = re.compile(r"^```diagram *(?P<title>[^\n]*)\n(?P<body>.*?)\n```$", re.MULTILINE | re.DOTALL)
_TEXT = re.compile(r"\S+(?: \S+)*")
_STEPS = ((-1, 0), (0, 1), (1, 0), (0, -1))


def replace_all(markdown: str) -> str:
    """The text of a page with each diagram as HTML. The title after the word `diagram` is the picture's description."""
    return _BLOCK.sub(lambda match: figure(match["body"], match["title"].strip()), markdown)


def figure(text: str, title: str) -> str:
    """The HTML of one diagram, on one line: no blank line ends it for Markdown."""
    return f'<figure class="diagram">{svg(text, title)}</figure>'


def svg(text: str, title: str) -> str:
    """The picture, as wide as its longest line."""
    lines = text.rstrip("\n").split("\n")
    columns = max(len(line) for line in lines)
    width, height = columns * WIDTH, len(lines) * HEIGHT
    label = html.escape(title or "Diagram")
    elements = "".join(_drawn(lines))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}"'
        f' height="{height:.0f}" role="img" aria-label="{label}"><title>{label}</title>{elements}</svg>'
    )


def _drawn(lines: List[str]) -> Iterator[str]:
    # All lines of a kind are one path: where two paths overlap, a colour that is not opaque is darker.
    paths: Dict[str, List[str]] = {"line": [], "way": [], "cross": []}
    others: List[str] = []
    for row, line in enumerate(lines):
        for column, character in enumerate(line):
            x, y = (column + 0.5) * WIDTH, (row + 0.5) * HEIGHT
            if character in HEADS:
                others.append(_head(lines, row, column))
            elif character == CROSS:
                a, b = 0.6 * WIDTH, 0.3 * HEIGHT
                paths["cross"] += [f"M{x - a:.1f} {y - b:.1f}L{x + a:.1f} {y + b:.1f}"]
                paths["cross"] += [f"M{x - a:.1f} {y + b:.1f}L{x + a:.1f} {y - b:.1f}"]
            for (dy, dx), weight in zip(_STEPS, ARMS.get(character, (0, 0, 0, 0))):
                if weight:
                    end = f"L{x + dx * WIDTH / 2:.1f} {y + dy * HEIGHT / 2:.1f}"
                    paths[_kind(weight)].append(f"M{x:.1f} {y:.1f}{end}")
        others += [_text(match.group(), row, match.start()) for match in _TEXT.finditer(_without_lines(line))]
    yield from (f'<path class="{kind}" d="{"".join(path)}"/>' for kind, path in paths.items() if path)
    yield from others


def _head(lines: List[str], row: int, column: int) -> str:
    x, y = (column + 0.5) * WIDTH, (row + 0.5) * HEIGHT
    back, corners = HEADS[lines[row][column]]
    weight = _weight(lines, row + back[0], column + back[1], back)
    points = " ".join(f"{x + dx * WIDTH / 2:.1f},{y + dy * HEIGHT / 2:.1f}" for dx, dy in corners)
    return f'<polygon class="{_kind(weight)}" points="{points}"/>'


def _weight(lines: List[str], row: int, column: int, back: Tuple[int, int]) -> int:
    """That of the line which leads from a cell to the head of an arrow, the other way than `back`."""
    if not (0 <= row < len(lines) and 0 <= column < len(lines[row])):
        return 1
    arms = ARMS.get(lines[row][column], (1, 1, 1, 1))
    return arms[_STEPS.index((-back[0], -back[1]))]


def _kind(weight: int) -> str:
    return "way" if weight == 2 else "line"


def _without_lines(line: str) -> str:
    return "".join(" " if one in ARMS or one in HEADS or one == CROSS else one for one in line)


def _text(text: str, row: int, column: int) -> str:
    x, y, width = column * WIDTH, (row + 0.5) * HEIGHT + SIZE * 0.35, len(text) * WIDTH
    fitted = f'textLength="{width:.1f}" lengthAdjust="spacingAndGlyphs"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {fitted}>{html.escape(text)}</text>'
