"""The page itself: HTML with its style, its script and its data in one file, and nothing from elsewhere. Pure.

Every text of the document and of the questions is escaped, without secrets, and cut. The page's own policy lets a
browser run one script, by its hash, and load nothing at all: a text that got through would still be no script.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import datetime, timezone
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from aws_ipfailover.report.document import FAILED, PASSED, UNKNOWN, Document, Judged, Span
from aws_ipfailover.report.lanes import Answers, Lane, Part
from aws_ipfailover.report.picture import LONGEST_NAME, PROBLEMS, cleaned, picture, reasons, shown
from aws_ipfailover.watch.history import Silence

# The most rows of each table.
SILENCES, EVENTS, PARTS, SENTENCES = 100, 1_500, 600, 200
_WORDS = {PASSED: ("✔", "Passed"), FAILED: ("✘", "Failed"), UNKNOWN: ("?", "Could not find out")}
# Of tables with no more rows than that, all are shown at once.
_FEW = 40
# Sentences about what is wrong that are shown at once: the picture is to be near.
_FIRST = 8
_LONG = 400
# What the buttons above the picture do, what is on them, and what they are called.
_BUTTONS = (
    ("in", "+", "Zoom in"),
    ("out", "&minus;", "Zoom out"),
    ("left", "◀", "Earlier"),
    ("right", "▶", "Later"),
    ("whole", "whole run", "Whole run"),
    ("longest", "longest silence", "Longest silence"),
    ("previous", "previous event", "Previous event"),
    ("next", "next event", "Next event"),
)
_PICTURE = """\
<section id="picture" aria-labelledby="when">
<h2 id="when">Who answered whom when</h2>
<p id="without">The picture needs JavaScript, which is switched off here; the tables below need none.</p>
<div id="tools" role="toolbar" aria-label="What the picture shows" hidden>{buttons}</div>
<p id="legend" hidden></p>
<div id="drawing" tabindex="0" role="group" aria-label="The picture" aria-describedby="keys" hidden></div>
<p id="readout" hidden>&nbsp;</p>
<p id="told" class="unseen" role="status"></p>
<p id="keys" class="hint" hidden>Keys, when the picture has the focus: <kbd>+</kbd> and <kbd>&minus;</kbd> zoom,
<kbd>←</kbd> and <kbd>→</kbd> move, <kbd>0</kbd> shows the whole run, <kbd>L</kbd> the longest silence, <kbd>N</kbd> and
<kbd>P</kbd> go to the next and to the previous event and tell it. By mouse: drag over a time to zoom into it,
double-click for the whole run. By touch: two fingers zoom, one moves.</p>
</section>"""


class Event(NamedTuple):
    """A row of the table of what happened when."""

    at: float
    row: str
    text: str
    wrong: bool


def page(document: Document, lanes: Sequence[Lane]) -> str:
    """The whole page; the same document and lanes make the same page."""
    sign, word = _WORDS[document.verdict]
    title = cleaned(document.title)
    verdict = f'<span class="verdict {document.verdict}"><span aria-hidden="true">{sign}</span> {escape(word)}</span>'
    style, script = _own("page.css"), _own("page.js")
    drawn = picture(document, lanes)
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{escape(word)}: {escape(title)}</title>",
        f"<style>{style}</style>",
        "</head>",
        "<body>",
        "<main>",
        f"<h1>{verdict} {escape(title)}</h1>",
    ]
    if document.summary:
        parts.append(f'<p class="summary">{_text(document.summary)}</p>')
    parts += _problems(document)
    parts += _figures(document, lanes)
    parts += _picture(lanes)
    parts += _silences(document, lanes)
    parts += _events(document)
    parts += _answers(document, lanes)
    for note in document.notes:
        parts += [f"<h2>{_text(note.heading)}</h2>", _list(note.sentences)]
    parts += _made_with(document)
    parts += [
        "</main>",
        f'<script type="application/json" id="record">{_json(drawn)}</script>',
        f"<script>{script}</script>",
        "</body>",
        "</html>",
    ]
    return "\n".join(parts) + "\n"


@cache
def _own(name: str) -> str:
    """The style or the script, which are files beside this module."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json(value: Mapping[str, Any]) -> str:
    """JSON that can stand in a script element: no text of it ends that, or begins a comment."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c").replace(">", "\\u003e")


def _text(text: str, longest: int = _LONG) -> str:
    return escape(cleaned(text, longest))


def _list(sentences: Sequence[str]) -> str:
    items = [f"<li>{_text(one)}</li>" for one in sentences[:SENTENCES]]
    if len(sentences) > SENTENCES:
        items.append(f"<li>and {len(sentences) - SENTENCES} more</li>")
    return f"<ul>{''.join(items)}</ul>"


# -- above the picture --------------------------------------------------------------------------------------------


def _problems(document: Document) -> List[str]:
    if not document.problems:
        return []
    items = []
    for number, one in enumerate(document.problems[:PROBLEMS], 1):
        show = "" if one.at is None else _show(document, one.at - 1.0, one.at + 1.0, f"problem {number}")
        items.append(f"<li>{_text(one.text, 1000)}{show}</li>")
    lines = ["<h2>What is wrong</h2>", f'<ol class="problems">{"".join(items[:_FIRST])}</ol>']
    rest = items[_FIRST:]
    if rest:
        left_out = len(document.problems) - PROBLEMS
        more = f"<p>and {left_out:,} that are not listed</p>" if left_out > 0 else ""
        listed = f'<ol class="problems" start="{_FIRST + 1}">{"".join(rest)}</ol>{more}'
        lines.append(f"<details><summary>and {len(document.problems) - _FIRST:,} more</summary>{listed}</details>")
    return lines


def _show(document: Document, begins: float, ends: float, what: str) -> str:
    """A button that shows a time in the picture; the script makes it work, and without it it is not there."""
    first, last = (round((at - document.begins) * 1000) for at in (begins, ends))
    label = f"Show {cleaned(what)} in the picture"
    return (
        f' <button type="button" class="show" hidden data-from="{first}" data-to="{last}"'
        f' aria-label="{escape(label)}">show</button>'
    )


def _figures(document: Document, lanes: Sequence[Lane]) -> List[str]:
    asked, lost = sum(lane.asked for lane in lanes), sum(lane.asked - lane.answered for lane in lanes)
    longest = max(
        ((one, lane) for lane in lanes for one in lane.silences), key=lambda pair: pair[0].seconds, default=None
    )
    found = {
        "began": f"{_date(document.begins)} UTC",
        "lasted": _seconds(document.ends - document.begins),
        "questions": f"{asked:,}, of which {lost:,} were lost",
        "longest silence": "none"
        if longest is None
        else f"{_seconds(longest[0].seconds)}: {longest[1].consumer} over {longest[1].over}",
        **document.figures,
    }
    if not lanes:
        found["questions"] = "there is no record of any"
        del found["longest silence"]
    return [_terms(found, "figures")]


def _terms(values: Mapping[str, str], kind: str) -> str:
    pairs = (
        f"<div><dt>{_text(name, LONGEST_NAME)}</dt><dd>{_text(shown(name, text) or '-')}</dd></div>"
        for name, text in list(values.items())[:SENTENCES]
    )
    return f'<dl class="{kind}">{"".join(pairs)}</dl>'


def _picture(lanes: Sequence[Lane]) -> List[str]:
    if not lanes:
        return []
    made = "".join(
        f'<button type="button" data-do="{do}" aria-label="{label}" title="{label}">{text}</button>'
        for do, text, label in _BUTTONS
    )
    return [_PICTURE.format(buttons=made)]


# -- tables -------------------------------------------------------------------------------------------------------


class _Column(NamedTuple):
    name: str
    number: bool = False


def _table(kind: str, label: str, columns: Sequence[_Column], rows: Sequence[Sequence[str]]) -> str:
    """A table; the cells are HTML. Roles are spelled out because on a narrow screen rows become blocks."""
    head = "".join(f'<th scope="col" role="columnheader">{escape(one.name)}</th>' for one in columns)
    lines = []
    for row in rows:
        cells = "".join(
            f'<td role="cell" data-label="{escape(one.name)}"{" class=number" if one.number else ""}>{cell}</td>'
            for one, cell in zip(columns, row)
        )
        lines.append(f'<tr role="row">{cells}</tr>')
    return (
        f'<table class="{kind}" role="table" aria-label="{escape(label)}"><thead role="rowgroup">'
        f'<tr role="row">{head}</tr></thead><tbody role="rowgroup">{"".join(lines)}</tbody></table>'
    )


def _folded(summary: str, count: int, content: str) -> str:
    """Content that is shown at once if there is little of it."""
    return f"<details{' open' if count <= _FEW else ''}><summary>{escape(summary)}</summary>{content}</details>"


def _silences(document: Document, lanes: Sequence[Lane]) -> List[str]:
    if not lanes:
        return []
    found = sorted(
        ((one, lane) for lane in lanes for one in lane.silences), key=lambda pair: (-pair[0].seconds, pair[0].begins)
    )
    lines = ["<h2>Silences</h2>"]
    if not found:
        return [*lines, "<p>Every question was answered.</p>"]
    several = len({lane.address for lane in lanes}) > 1
    columns = [
        _Column("from"),
        _Column("lasted", True),
        _Column("consumer"),
        *([_Column("address")] if several else []),
        _Column("over"),
        _Column("before and after"),
        _Column("lost"),
        *([_Column("unexplained", True)] if document.judged else []),
    ]
    judged = _by_lane(document.judged)
    rows = []
    for one, lane in found[:SILENCES]:
        what = f"the silence of {lane.consumer} over {lane.over}"
        around = max(0.5, one.seconds * 0.5)
        rows.append(
            [
                f"{_when(document, one.begins)}{_show(document, one.begins - around, one.ends + around, what)}",
                _seconds(one.seconds),
                _text(lane.consumer, LONGEST_NAME),
                *([_text(lane.address)] if several else []),
                _text(lane.over),
                f"{_text(_before(one), LONGEST_NAME)} → {_text(_after(one), LONGEST_NAME)}",
                f"{one.lost:,} ({_text(reasons(one.errors))})",
                *([_unexplained(one, lane, judged)] if document.judged else []),
            ]
        )
    lines.append(
        "<p>A silence lasts from the last answer before to the first one after; at least one question was lost in it."
        " It contains the wait for the next question: the interruption was not longer.</p>"
    )
    lines.append(_table("silences", "Silences, the longest first", columns, rows))
    if len(found) > SILENCES:
        lines.append(f"<p>These are the longest {SILENCES} of {len(found):,}.</p>")
    return lines


def _before(one: Silence) -> str:
    return "nobody yet" if one.never_before else one.before or "somebody"


def _after(one: Silence) -> str:
    return (one.after or "somebody") if one.ended else "nobody"


Judgements = Dict[Tuple[str, str, str], List[Judged]]


def _by_lane(judged: Sequence[Judged]) -> Judgements:
    found: Judgements = {}
    for one in judged:
        found.setdefault((one.consumer, one.address, one.protocol), []).append(one)
    return found


def _unexplained(silence: Silence, lane: Lane, judged: Judgements) -> str:
    """What the judge has of this silence; it has the longest ones alone."""
    for one in judged.get((lane.consumer, lane.address, lane.protocol), ()):
        if one.begins <= silence.ends and silence.begins <= one.ends:
            return _seconds(one.unexplained)
    return "-"


def events_of(document: Document) -> List[Event]:
    """What happened, in the order of time: the spans, and the marks that are not minor."""
    found = [Event(one.begins, one.row, _lasted(one), one.wrong) for one in document.spans]
    found += [Event(one.at, one.row, one.name, one.wrong) for one in document.marks if not one.minor]
    return sorted(found, key=lambda one: one.at)


def _lasted(span: Span) -> str:
    return f"{span.name}, {'to the end' if span.ends is None else _seconds(span.ends - span.begins)}"


def _events(document: Document) -> List[str]:
    found = events_of(document)
    if not found:
        return []
    rows = []
    for one in found[:EVENTS]:
        wrong = '<span class="wrong">✘</span> ' if one.wrong else ""
        rows.append([_when(document, one.at), _text(one.row, LONGEST_NAME), wrong + _text(one.text)])
    content = _table("events", "What happened when", [_Column("when"), _Column("where"), _Column("what")], rows)
    minor = sum(one.minor for one in document.marks)
    if len(found) > EVENTS:
        content += f"<p>These are the first {EVENTS:,} of {len(found):,}; the picture has all of them.</p>"
    if minor:
        content += f"<p>Not in this table, but in the picture: {minor:,} calls and looks that changed nothing.</p>"
    return ["<h2>What happened when</h2>", _folded(f"{len(found):,} events", len(found), content)]


def _answers(document: Document, lanes: Sequence[Lane]) -> List[str]:
    """The picture's lanes as a table: for who does not see it."""
    if not lanes:
        return []
    rows: List[List[str]] = []
    several = len({lane.address for lane in lanes}) > 1
    total = 0
    for lane in lanes:
        total += len(lane.parts)
        name = f"{lane.consumer} at {lane.address}" if several else lane.consumer
        for part in lane.parts[: max(0, PARTS - len(rows))]:
            rows.append(
                [
                    _text(name),
                    _text(lane.over),
                    _when(document, part.begins),
                    _when(document, part.ends),
                    _text(_said(part), LONGEST_NAME * 2),
                ]
            )
    columns = [_Column(name) for name in ("consumer", "over", "from", "to", "answered by")]
    content = _table("answers", "Who answered whom when", columns, rows)
    if total > len(rows):
        content += f"<p>These are the first {len(rows):,} of {total:,}; the picture has all of them.</p>"
    return ["<h2>The picture as a table</h2>", _folded(f"{total:,} times of answers and silences", total, content)]


def _said(part: Part) -> str:
    if isinstance(part, Answers):
        return f"{part.who or 'somebody who does not say'} ({part.answers:,})"
    if isinstance(part, Silence):
        return f"nobody: {part.lost:,} lost ({reasons(part.errors)})"
    return "nothing was asked"


# -- below --------------------------------------------------------------------------------------------------------


def _made_with(document: Document) -> List[str]:
    consumers = ", ".join(one.name for one in document.consumers)
    questions = {
        "consumers": consumers or "none",
        "a question every": _seconds(document.interval),
        "lost after": _seconds(document.timeout),
    }
    settings = {**questions, **document.settings} if document.consumers else dict(document.settings)
    lines: List[str] = []
    if settings:
        lines += ["<h2>Configuration</h2>", _terms(settings, "settings")]
    if document.versions:
        lines += ["<h2>Versions</h2>", _terms(document.versions, "settings")]
    return lines


def _when(document: Document, at: float) -> str:
    """A time in seconds after the beginning, with its time of day."""
    return f'<span class="when">{at - document.begins:.3f} s <small>{_clock(at)}</small></span>'


def _clock(at: float) -> str:
    return _moment(at, "%H:%M:%S.%f")[:-3]


def _date(at: float) -> str:
    return _moment(at, "%Y-%m-%d %H:%M:%S")


def _moment(at: float, form: str) -> str:
    try:
        # To the millisecond, rounded as elsewhere.
        return datetime.fromtimestamp(round(at, 3), timezone.utc).strftime(form)
    except (OverflowError, OSError, ValueError):
        return "?" * 4


def _seconds(seconds: float) -> str:
    """A length of time: 850 ms, 3.21 s, 12 min 5 s."""
    if abs(seconds) < 1:
        return f"{seconds * 1000:.0f} ms"
    if abs(seconds) < 120:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
