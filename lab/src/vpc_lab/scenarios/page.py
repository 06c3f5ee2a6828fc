"""The table and the page of runs, from their outcomes as plain values: of this run, and of earlier ones."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, List, Mapping, Sequence

from vpc_lab.errors import LabError
from vpc_lab.judge.expectations import Expectations
from vpc_lab.judge.recording import versions

# As `Played.to_json` makes it.
Outcome = Mapping[str, Any]
_NAMES = frozenset(("scenario", "summary", "agent", "mode", "nodes", "tool", "passed", "longest_silence", "problems"))

_INTRODUCTION = """\
Written by `lab scenarios --page`: what befalls a cluster in [the lab](lab.md), for how long some consumer was without
an answer because of it, at most, and the judge's verdict. One that is not `passed` tells the first thing that was
wrong.

A start or stop that nothing holds up and that takes more than {most:.0f} s is wrong, too. For a minute after its own
write aws-ipfailover takes a read that contradicts it for an old one: a route that somebody changes in that minute is
mended after it. What is `not played` the catalogue has for the other agent alone.
"""


def outcomes_of(file: Path) -> List[Outcome]:
    """The outcomes that an earlier run has written with `--json`; LabError where the file has none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LabError(f"cannot read the outcome of a run from {file}: {error}") from error
    if not isinstance(found, list) or not all(isinstance(one, dict) and set(one) >= _NAMES for one in found):
        raise LabError(f"{file} is not what `lab scenarios --json` writes")
    return found


def table(outcomes: Sequence[Outcome]) -> str:
    """The table, in Markdown: scenarios, and of each way to play them the longest silence and the verdict."""
    columns = list(dict.fromkeys(map(_column, outcomes)))
    found = {(one["scenario"], _column(one)): one for one in outcomes}
    lines = [
        "| scenario | " + " | ".join(f"{column}: longest silence | verdict" for column in columns) + " |",
        "|---|" + "---|---|" * len(columns),
    ]
    for name in dict.fromkeys(one["scenario"] for one in outcomes):
        cells = []
        for column in columns:
            one = found.get((name, column))
            if one is None:
                cells += ["", "not played"]
            else:
                cells += [f"{one['longest_silence']:.1f} s", "passed" if one["passed"] else _first(one["problems"])]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def page(outcomes: Sequence[Outcome]) -> str:
    """The page: what each scenario is, the table, and what it was made with."""
    lines = [
        "# Scenarios",
        "",
        _INTRODUCTION.format(most=Expectations().operation_within),
        table(outcomes),
    ]
    for name, summary in {one["scenario"]: one["summary"] for one in outcomes}.items():
        lines.append(f"- **{name}**: {summary}")
    made_with = ", ".join(f"{name} {version}" for name, version in versions().items())
    lines += ["", f"*{time.strftime('%Y-%m-%d')}, {made_with}.*", ""]
    return "\n".join(lines)


def _column(outcome: Outcome) -> str:
    return f"{outcome['agent']}, {outcome['mode']}, {outcome['nodes']} nodes, {outcome['tool']}"


def _first(problems: Sequence[str]) -> str:
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"FAILED: {problems[0].replace('|', '/')}{more}"
