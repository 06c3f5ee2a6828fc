"""Mends what a check offers to mend: asked again just before, because minutes can have passed, and once more after."""

from __future__ import annotations

from typing import Callable, NamedTuple

from aws_ipfailover.diagnosis.examination import Examination
from aws_ipfailover.diagnosis.finding import Check, Finding, Outcome
from aws_ipfailover.diagnosis.surroundings import Surroundings
from aws_ipfailover.errors import Error, UnknownError


class Mended(NamedTuple):
    """What came of it: `error` is empty where the change was made; `finding`: what the check found afterwards."""

    error: str
    finding: Finding


# Seconds for which EC2's reads may be older than the change.
_SETTLING = 5.0


def mend(check: Check, does: str, surroundings: Callable[[], Surroundings]) -> Mended:
    """Make the change `does`, if the check still offers exactly this one.

    `surroundings` makes new ones, with a deadline of their own.
    """
    now = _ask(check, surroundings())
    if now.fix is None:
        return Mended("it is not needed any more" if now.outcome is Outcome.PASS else now.text, now)
    if now.fix.does != does:
        return Mended(f"things have changed, now this would be right: {now.fix.does}", now)
    try:
        now.fix.apply()
    except UnknownError as error:
        return Mended(f"whether it is done is not known: {error}", _ask(check, surroundings()))
    except Error as error:
        return Mended(str(error), _ask(check, surroundings()))
    for _ in surroundings().deadline.within(_SETTLING).poll(first=0.2, longest=2.0):
        now = _ask(check, surroundings())
        if now.outcome is Outcome.PASS:
            break
    return Mended("", now)


def _ask(check: Check, surroundings: Surroundings) -> Finding:
    (finding,) = Examination(surroundings, [check], of_node=check.of_node).findings()
    return finding
