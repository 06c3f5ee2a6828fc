"""scenarios/soak.py: which step was wrong, and what grows with the length of a soak."""

from __future__ import annotations

from typing import List, Sequence

import pytest

from vpc_lab.judge.verdict import Verdict
from vpc_lab.judge.violations import Violation
from vpc_lab.scenarios.draw import Step
from vpc_lab.scenarios.soak import growth, step_of

BEGUN = [(100.0, Step(1, ())), (130.0, Step(2, ())), (160.0, Step(3, ()))]


def verdict(*times: float) -> Verdict:
    """One with violations at these times."""
    return Verdict(tuple(Violation(time, "silence", "nobody answers") for time in times))


@pytest.mark.parametrize(("times", "number"), [((131.0, 170.0), 2), ((158.9,), 2), ((159.9,), 3), ((98.0,), 1)])
def test_the_step_that_was_wrong_is_the_one_of_the_first_violation(times: Sequence[float], number: int) -> None:
    """What consumers got last in a step is known only in the next one; a silence begins before its fault."""
    assert step_of(verdict(*times), BEGUN, []).number == number


def test_what_an_audit_finds_is_of_the_last_step() -> None:
    """It looks at each step's end."""
    assert step_of(verdict(), BEGUN, ["after step 3: an orphan"]).number == 3
    assert step_of(verdict(131.0), BEGUN, ["after step 3: an orphan"]).number == 3


STEADY = [20.0, 35.0, 25.0] * 6
SIZES = [70_000] * 18


@pytest.mark.parametrize(
    ("durations", "memory", "found"),
    [
        (STEADY, SIZES, []),
        (STEADY, [70_000 + 1_000 * number for number in range(18)], []),
        (STEADY, [70_000 + 5_000 * number for number in range(18)], ["memory grows: "]),
        ([10.0 + 3 * number for number in range(18)], SIZES, ["steps take longer and longer: "]),
        ([10.0, 90.0], [1, 1000], []),  # of two steps nothing can be told
    ],
)
def test_what_grows_with_the_length_of_a_soak_is_wrong(
    durations: List[float], memory: List[int], found: List[str]
) -> None:
    """The time of a step, and what supervisor and soak have in memory; a step alone may be long."""
    said = growth(durations, memory)
    assert len(said) == len(found)
    assert all(one.startswith(start) for one, start in zip(said, found))
