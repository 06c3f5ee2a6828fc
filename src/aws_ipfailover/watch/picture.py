"""The picture of a watch, as SVG: a row for each series of questions over a common time axis. Pure.

A phase is a bar with the name of who answered in it; a silence is a hatched gap with its length above it. No meaning is
in colours alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from aws_ipfailover.watch.history import History

_WIDTH, _LEFT, _RIGHT, _TOP, _ROW, _BAR, _BOTTOM = 960, 170, 20, 46, 52, 20, 58
# Okabe and Ito's colours, which people with any colour vision tell apart; text on them is black.
_COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#0072b2", "#d55e00")
_UNNAMED = "#bbbbbb"
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400)
_MOST_TICKS = 12
_HATCHED = (
    '<defs><pattern id="silence" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="6" height="6" fill="#fff"/><rect width="2" height="6" fill="#c00"/></pattern></defs>'
)
# Pixels of a character of 11 px, about.
_CHARACTER = 6.2
# Characters of a row's name that fit beside its bars.
_LONGEST = int((_LEFT - 10) / _CHARACTER)


@dataclass(frozen=True)
class Row:
    """One series of questions."""

    name: str
    history: History


class _Axis:
    def __init__(self, begins: float, ends: float) -> None:
        self.begins = begins
        self.seconds = max(ends - begins, 0.1)

    def x(self, at: float) -> float:
        """Where this wall time is."""
        share = min(1.0, max(0.0, (at - self.begins) / self.seconds))
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def ticks(self) -> List[float]:
        """Seconds after the beginning."""
        step = next((one for one in _STEPS if self.seconds / one <= _MOST_TICKS), self.seconds / _MOST_TICKS)
        return [index * step for index in range(int(self.seconds / step) + 1)]


def svg(title: str, rows: Sequence[Row]) -> str:
    """The picture; `rows` from top to bottom."""
    times = [time for row in rows for time in (row.history.begins, row.history.ends) if time is not None]
    axis = _Axis(min(times, default=0.0), max(times, default=1.0))
    colours = _colours(rows)
    bottom = _TOP + _ROW * len(rows)
    height = bottom + _BOTTOM
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="sans-serif" font-size="11">',
        f"<title>{_escaped(title)}</title>",
        _HATCHED,
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        _text(10, 20, title, size=14),
        *_scale(axis, bottom),
    ]
    for index, row in enumerate(rows):
        lines += _row(row, axis, _TOP + _ROW * index, colours)
    lines += [*_legend(colours, height - 14), "</svg>"]
    return "\n".join(lines) + "\n"


def _scale(axis: _Axis, bottom: int) -> List[str]:
    lines = []
    for tick in axis.ticks():
        x = axis.x(axis.begins + tick)
        lines.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}" stroke="#ddd"/>')
        lines.append(_text(x, bottom + 14, f"{tick:g} s", anchor="middle"))
    return lines


def _row(row: Row, axis: _Axis, top: int, colours: Dict[str, str]) -> List[str]:
    middle = top + 18
    lines = [_text(10, middle + 14, row.name if len(row.name) <= _LONGEST else row.name[: _LONGEST - 1] + "…")]
    for phase in row.history.phases:
        left, right = axis.x(phase.begins), axis.x(phase.ends)
        width = max(right - left, 1.5)
        colour = _UNNAMED if phase.who is None else colours[phase.who]
        lines.append(f'<rect x="{left:.1f}" y="{middle}" width="{width:.1f}" height="{_BAR}" fill="{colour}"/>')
        if phase.who is not None and len(phase.who) * _CHARACTER < width:
            lines.append(_text(left + 3, middle + 14, phase.who))
    for silence in row.history.silences:
        left, right = axis.x(silence.begins), axis.x(silence.ends)
        width = max(right - left, 2.0)
        lines.append(
            f'<rect x="{left:.1f}" y="{middle}" width="{width:.1f}" height="{_BAR}" fill="url(#silence)"'
            f' stroke="#c00"><title>{silence.lost} lost</title></rect>'
        )
        lines.append(_text(left + width / 2, middle - 4, f"{silence.seconds:.2f} s", anchor="middle"))
    return lines


def _legend(colours: Dict[str, str], y: int) -> List[str]:
    entries: List[Tuple[str, str, Optional[str]]] = [(who, colour, None) for who, colour in colours.items()]
    entries.append(("no answer", "url(#silence)", "#c00"))
    lines: List[str] = []
    x = 10.0
    for name, fill, stroke in entries:
        edge = "" if stroke is None else f' stroke="{stroke}"'
        lines.append(f'<rect x="{x:.1f}" y="{y - 9}" width="12" height="12" fill="{fill}"{edge}/>')
        lines.append(_text(x + 17, y + 1, name))
        x += 17 + len(name) * _CHARACTER + 18
    return lines


def _colours(rows: Sequence[Row]) -> Dict[str, str]:
    names = dict.fromkeys(who for row in rows for who in row.history.who)
    return {who: _COLOURS[index % len(_COLOURS)] for index, who in enumerate(names)}


def _text(x: float, y: float, text: str, *, size: int = 11, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    """Text for XML; control characters, which XML has none of, are replaced."""
    text = "".join(one if one.isprintable() else "?" for one in text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
