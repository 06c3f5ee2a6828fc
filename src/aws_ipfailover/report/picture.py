"""What the script of a page draws, as one JSON object: compact, and bounded however long the run was. Pure.

Times are whole milliseconds after the beginning of the run. `parts` of a lane are four numbers each: begin, length, who
answered (an index of `who`, or one of the kinds below), and how many questions were answered, or lost. `told`: what
more there is to say of the part with that index.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from aws_ipfailover.output import line
from aws_ipfailover.report.document import Document, Mark, Span
from aws_ipfailover.report.lanes import Answers, Lane, Mixed, Part, coarser
from aws_ipfailover.watch.history import Silence

SILENCE, UNASKED, MIXED, UNNAMED = -1, -2, -3, -4
# The most that one picture has: of parts, in all lanes; of marks, spans and problems; of names of who answered.
PARTS, MARKS, SPANS, PROBLEMS, NAMES = 40_000, 6_000, 3_000, 300, 40
LONGEST_NAME, LONGEST_TEXT = 60, 300
# Names whose values are never shown, whatever they are; the token of Corosync, which is a time, is none.
_NAMES = r"[\w.-]*(?:secret|passw|credential|access_?key|external_?id|authorization)[\w.-]*|[\w.-]+token"
_IS_SECRET = re.compile(_NAMES, re.IGNORECASE)
_ASSIGNED = re.compile(rf"\b({_NAMES})=(?:\"[^\"]*\"|'[^']*'|[^\s,;]+)", re.IGNORECASE)


def cleaned(text: str, longest: int = LONGEST_TEXT) -> str:
    """A text from elsewhere as a page has it: on one line, without secrets and without what cannot be seen."""
    return line(_ASSIGNED.sub(r"\1=***", text) if "=" in text else text, longest)


def shown(name: str, text: str) -> str:
    """The value of something with that name; `***` where that is the name of a secret."""
    return "***" if _IS_SECRET.fullmatch(name.replace(" ", "_")) else text


def reasons(errors: Mapping[str, int]) -> str:
    """Kinds of failures, and how often: "timeout 12, refused 3"."""
    return ", ".join(f"{name} {count}" for name, count in sorted(errors.items(), key=lambda one: -one[1]))


def picture(document: Document, lanes: Sequence[Lane]) -> Dict[str, Any]:
    """All that the script needs."""
    who = names_of(lanes)
    spans, marks = chosen_spans(document.spans), chosen_marks(document.marks)
    times = _Times(document.begins)
    rows: List[Dict[str, Any]] = []
    for name in document.rows:
        own_spans = [one for one in spans if one.row == name]
        own_marks = [one for one in marks if one.row == name]
        if own_spans or own_marks:
            rows.append(
                {
                    "name": cleaned(name, LONGEST_NAME),
                    "guided": int(name == document.guided),
                    "spans": [
                        [times.of(one.begins), times.maybe(one.ends), cleaned(one.name), int(one.wrong)]
                        for one in own_spans
                    ],
                    "marks": [
                        [times.of(one.at), cleaned(one.name), int(one.wrong), int(one.minor)] for one in own_marks
                    ],
                }
            )
    most = max(20, PARTS // max(1, len(lanes)))
    several = len({lane.address for lane in lanes}) > 1
    for lane in lanes:
        group = f"{lane.consumer} at {lane.address}" if several else lane.consumer
        row = {"name": cleaned(lane.over, LONGEST_NAME), "group": cleaned(group), **_parts(lane, most, who, times)}
        rows.append({**row, "asked": lane.asked, "lost": lane.asked - lane.answered})
    return {
        "begins": round(document.begins * 1000),
        "length": max(1, times.of(document.ends)),
        "who": [cleaned(name, LONGEST_NAME) for name in who],
        "rows": rows,
        "problems": [
            [times.of(one.at), number, cleaned(one.text)]
            for number, one in enumerate(document.problems[:PROBLEMS], 1)
            if one.at is not None
        ],
    }


def names_of(lanes: Sequence[Lane]) -> Tuple[str, ...]:
    """Who answered, in the order of their names; of very many only the first."""
    found = {part.who for lane in lanes for part in lane.parts if isinstance(part, Answers) and part.who is not None}
    return tuple(sorted(found)[:NAMES])


class _Times:
    def __init__(self, begins: float) -> None:
        self._begins = begins

    def of(self, at: float) -> int:
        """A wall time in ms after the beginning."""
        return round((at - self._begins) * 1000)

    def maybe(self, at: Optional[float]) -> Optional[int]:
        """As `of`; None stays."""
        return None if at is None else self.of(at)


def _parts(lane: Lane, most: int, who: Sequence[str], times: _Times) -> Dict[str, Any]:
    index = {name: number for number, name in enumerate(who)}
    numbers: List[int] = []
    told: Dict[int, str] = {}
    for position, part in enumerate(coarser(lane.parts, most)):
        kind, count, text = _kind(part, index)
        begins = times.of(part.begins)
        numbers += [begins, max(0, times.of(part.ends) - begins), kind, count]
        if text:
            told[position] = text
    return {"parts": numbers, "told": told}


def _kind(part: Part, index: Mapping[str, int]) -> Tuple[int, int, str]:
    if isinstance(part, Answers):
        if part.who is None:
            return UNNAMED, part.answers, ""
        known = index.get(part.who)
        return (UNNAMED, part.answers, cleaned(part.who)) if known is None else (known, part.answers, "")
    if isinstance(part, Silence):
        return SILENCE, part.lost, cleaned(reasons(part.errors))
    if isinstance(part, Mixed):
        return MIXED, part.answers, f"{part.answers} answered, {part.lost} lost"
    return UNASKED, 0, ""


def chosen_marks(marks: Sequence[Mark]) -> List[Mark]:
    """Those that the picture has: all, or of too many those that matter more, in the order of time."""
    ranked = sorted(marks, key=lambda one: (not one.wrong, one.minor, one.at))
    return sorted(ranked[:MARKS], key=lambda one: one.at)


def chosen_spans(spans: Sequence[Span]) -> List[Span]:
    """As `chosen_marks`: of too many those that are wrong, and the longest."""
    ranked = sorted(spans, key=lambda one: (not one.wrong, one.begins - one.ends if one.ends else float("-inf")))
    return sorted(ranked[:SPANS], key=lambda one: one.begins)
