"""A node's colour, from what a start of each resource would meet there. Pure.

Facts: "Pacemaker Explained", "Tracking Node Health": the values green, yellow and red, and what each
`node-health-strategy` makes of them.
"""

from __future__ import annotations

import enum
from typing import List, Mapping, NamedTuple, Sequence

from aws_ipfailover.validation import Effect, Problem


class Colour(enum.Enum):
    """The value of a node's health attribute."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


class Health(NamedTuple):
    """A colour, and the sentence that explains it; empty for green."""

    colour: Colour
    reason: str = ""


_COLOURS = {
    Effect.MENDED: Colour.GREEN,
    Effect.UNKNOWN: Colour.YELLOW,
    Effect.PARTLY: Colour.YELLOW,
    Effect.FAILS: Colour.RED,
}
# What a reason begins with, by effect, the worst first.
_PREFACES = {
    Effect.FAILS: "a start here would fail",
    Effect.PARTLY: "a start here would serve a part",
    Effect.UNKNOWN: "whether a start here would succeed cannot be found out",
}


def health_of(problems: Mapping[str, Sequence[Problem]]) -> Health:
    """The health for the problems of each resource, by its id: the worst colour, and every problem that counts."""
    colour = Colour.GREEN
    reasons: List[str] = []
    for effect, preface in _PREFACES.items():
        of_effect = [
            f"{resource}: {problem.error}" if resource else str(problem.error)
            for resource, found in problems.items()
            for problem in found
            if problem.effect is effect
        ]
        if of_effect:
            colour = _COLOURS[effect] if colour is Colour.GREEN else colour
            reasons.append(f"{preface}: {'; '.join(of_effect)}")
    return Health(colour, "; ".join(reasons))
