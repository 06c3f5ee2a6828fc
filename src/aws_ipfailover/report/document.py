"""What a page is about, but for the questions: who took part, what was done, what was found to be wrong. Pure.

A drill makes a `Document` itself. Others, such as the lab, hand one over as JSON on the standard input of
`python -m aws_ipfailover.report`: an object with the fields of `Document`, those of its lists being objects with the
fields of their classes, and "schema" beside them. All times are wall time in seconds since the epoch.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, TypeVar

SCHEMA = "aws-ipfailover/report/1"
PASSED, FAILED, UNKNOWN = "passed", "failed", "unknown"
VERDICTS = (PASSED, FAILED, UNKNOWN)
T = TypeVar("T")


@dataclass(frozen=True)
class Consumer:
    """Who asked. `questions`: the file with a line for each question (`aws_ipfailover.watch.question`), plain or `.gz`.

    `asked` maps what it asks to the service's address which it reaches that way. `ahead`: seconds that its clock is
    ahead of the one that all other times are of.
    """

    name: str
    questions: str = ""
    asked: Mapping[str, str] = field(default_factory=dict)
    ahead: float = 0.0


@dataclass(frozen=True)
class Problem:
    """A sentence about something that is wrong, and where it is to be seen, as far as that is known."""

    text: str
    at: Optional[float] = None
    consumer: str = ""
    protocol: str = ""
    address: str = ""


@dataclass(frozen=True)
class Span:
    """Something that lasted, in the row of that name. `ends`: None while it lasts. `wrong`: it failed."""

    row: str
    begins: float
    ends: Optional[float]
    name: str
    wrong: bool = False


@dataclass(frozen=True)
class Mark:
    """Something that happened at a time, in the row of that name. `minor`: told by the picture alone."""

    row: str
    at: float
    name: str
    wrong: bool = False
    minor: bool = False


@dataclass(frozen=True)
class Judged:
    """How many seconds of a silence nothing explains, for a judge."""

    consumer: str
    protocol: str
    address: str
    begins: float
    ends: float
    unexplained: float


@dataclass(frozen=True)
class Note:
    """Sentences that belong together, below a heading."""

    heading: str
    sentences: Tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """A run. `summary`: what it was to show. `rows`: the names of the rows of spans and marks, from top to bottom;
    `guided`: the one of faults, whose begins and ends are drawn through all rows.

    `timeout` and `interval`: seconds, of the questions. `figures`, `settings` and `versions`: names and values.
    """

    title: str
    verdict: str
    begins: float
    ends: float
    summary: str = ""
    timeout: float = 0.9
    interval: float = 0.1
    consumers: Tuple[Consumer, ...] = ()
    rows: Tuple[str, ...] = ()
    guided: str = ""
    spans: Tuple[Span, ...] = ()
    marks: Tuple[Mark, ...] = ()
    problems: Tuple[Problem, ...] = ()
    judged: Tuple[Judged, ...] = ()
    notes: Tuple[Note, ...] = ()
    figures: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def parse(text: str) -> Document:
    """The inverse of `json.dumps` of a document's fields.

    Raises:
        ValueError: it is none; one sentence.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"no JSON: {error}") from None
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise ValueError(f'no document of a page: "schema" is not "{SCHEMA}"')
    try:
        return _document(value)
    except KeyError as error:
        raise ValueError(f"a document of a page without {error}") from None
    except (TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ValueError(f"a document of a page with a wrong value: {error}") from None


def _document(value: Mapping[str, Any]) -> Document:
    verdict = str(value["verdict"])
    if verdict not in VERDICTS:
        raise ValueError(f"verdict is one of {', '.join(VERDICTS)}, not {verdict!r}")
    return Document(
        title=str(value["title"]),
        verdict=verdict,
        begins=_number(value["begins"]),
        ends=_number(value["ends"]),
        summary=str(value.get("summary", "")),
        timeout=_number(value.get("timeout", 0.9)),
        interval=_number(value.get("interval", 0.1)),
        consumers=_each(value, "consumers", _consumer),
        rows=tuple(map(str, value.get("rows", ()))),
        guided=str(value.get("guided", "")),
        spans=_each(value, "spans", _span),
        marks=_each(value, "marks", _mark),
        problems=_each(value, "problems", _problem),
        judged=_each(value, "judged", _judged),
        notes=_each(value, "notes", lambda one: Note(str(one["heading"]), tuple(map(str, one["sentences"])))),
        figures=_texts(value.get("figures", {})),
        settings=_texts(value.get("settings", {})),
        versions=_texts(value.get("versions", {})),
    )


def _each(value: Mapping[str, Any], name: str, make: Callable[[Mapping[str, Any]], T]) -> Tuple[T, ...]:
    found: List[T] = [make(one) for one in value.get(name, ())]
    return tuple(found)


def _consumer(one: Mapping[str, Any]) -> Consumer:
    return Consumer(
        str(one["name"]), str(one.get("questions", "")), _texts(one.get("asked", {})), _number(one.get("ahead", 0.0))
    )


def _problem(one: Mapping[str, Any]) -> Problem:
    names = (str(one.get(name) or "") for name in ("consumer", "protocol", "address"))
    return Problem(str(one["text"]), _maybe(one.get("at")), *names)


def _span(one: Mapping[str, Any]) -> Span:
    return Span(
        str(one["row"]), _number(one["begins"]), _maybe(one["ends"]), str(one["name"]), bool(one.get("wrong", False))
    )


def _mark(one: Mapping[str, Any]) -> Mark:
    kinds = (bool(one.get(name, False)) for name in ("wrong", "minor"))
    return Mark(str(one["row"]), _number(one["at"]), str(one["name"]), *kinds)


def _judged(one: Mapping[str, Any]) -> Judged:
    begins, ends, unexplained = (_number(one[name]) for name in ("begins", "ends", "unexplained"))
    return Judged(str(one["consumer"]), str(one["protocol"]), str(one["address"]), begins, ends, unexplained)


def _texts(value: Mapping[str, Any]) -> Dict[str, str]:
    return {str(name): str(text) for name, text in value.items()}


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is no time")
    return number


def _maybe(value: Any) -> Optional[float]:
    return None if value is None else _number(value)
