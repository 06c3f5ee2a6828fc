"""A node's colour, from the problems of the resources."""

from __future__ import annotations

from typing import Dict, List, Tuple

import pytest

from aws_ipfailover.colour import Colour, health_of
from aws_ipfailover.errors import Error
from aws_ipfailover.validation import Effect, Problem


def problems(*effects: Effect) -> List[Problem]:
    """A problem of each effect, which names it."""
    return [Problem(Error(effect.name.lower()), effect) for effect in effects]


ALONE: Tuple[Tuple[Effect, Colour], ...] = (
    (Effect.MENDED, Colour.GREEN),
    (Effect.UNKNOWN, Colour.YELLOW),
    (Effect.PARTLY, Colour.YELLOW),
    (Effect.FAILS, Colour.RED),
)


@pytest.mark.parametrize(("effect", "colour"), ALONE)
def test_one_problem(effect: Effect, colour: Colour) -> None:
    """Only a start that certainly fails is red; one that the start mends is no problem."""
    health = health_of({"ip": problems(effect)})
    assert health.colour is colour
    assert bool(health.reason) is (colour is not Colour.GREEN)


def test_every_effect_has_a_colour() -> None:
    """A new effect is a decision about its colour."""
    assert [effect for effect, _ in ALONE] == list(Effect)


def test_nothing_to_start() -> None:
    """Without resources, or without problems, a node is green."""
    assert health_of({}) == health_of({"ip": []}) == (Colour.GREEN, "")


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_the_worst_of_several_resources(names: Tuple[str, str]) -> None:
    """The worst colour counts, and its reason comes first, whichever resource has it; all reasons are told."""
    bad, unknown = names
    found: Dict[str, List[Problem]] = {unknown: problems(Effect.UNKNOWN), bad: problems(Effect.MENDED, Effect.FAILS)}
    health = health_of(dict(sorted(found.items())))
    assert health.colour is Colour.RED
    assert health.reason == (
        f"a start here would fail: {bad}: fails;"
        f" whether a start here would succeed cannot be found out: {unknown}: unknown"
    )


def test_a_problem_of_no_resource() -> None:
    """What concerns all of them names none."""
    assert health_of({"": problems(Effect.UNKNOWN)}).reason.endswith("found out: unknown")
