"""Pacemaker's texts of durations, scores and booleans."""

from __future__ import annotations

from typing import Optional

import pytest

from aws_ipfailover.ocf.durations import (
    INFINITY,
    duration_seconds,
    interval_seconds,
    score_of,
    timeout_seconds,
    truth_of,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10", 10.0),
        ("10s", 10.0),
        (" 10 sec", 10.0),
        ("10S", 10.0),
        ("10min", 600.0),
        ("10m", 600.0),
        ("2h", 7200.0),
        ("2hr", 7200.0),
        ("1000ms", 1.0),
        ("1500msec", 1.5),
        ("1000us", 0.001),
        ("1.9s", 1.0),
        ("0", 0.0),
        ("", None),
        ("s", None),
        ("10 parsecs", None),
        ("-10", None),
        ("PT10S", None),
    ],
)
def test_timeouts(text: str, seconds: Optional[float]) -> None:
    """A number, seconds without a unit, and units by their first letters; ISO 8601 is none."""
    assert timeout_seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT10S", 10.0),
        ("PT1H30M", 5400.0),
        ("P1D", 86_400.0),
        ("P1W", 604_800.0),
        ("P1M", 2_592_000.0),
        ("PT1M", 60.0),
        ("10s", 10.0),
        ("P", None),
        ("PT", None),
        ("P10", None),
    ],
)
def test_durations(text: str, seconds: Optional[float]) -> None:
    """Also ISO 8601, where M is a month before T and a minute after it."""
    assert duration_seconds(text) == seconds
    assert interval_seconds(text) == (seconds or 0.0)


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("INFINITY", INFINITY),
        ("+INFINITY", INFINITY),
        ("-infinity", -INFINITY),
        ("50", 50),
        ("-5000", -5000),
        ("+3", 3),
        ("99999999", INFINITY),
        ("red", 0),
        ("", 0),
    ],
)
def test_scores(text: str, score: int) -> None:
    """Numbers are cut to INFINITY; what is none is 0."""
    assert score_of(text) == score


@pytest.mark.parametrize(("text", "truth"), [("TRUE", True), ("y", True), ("0", False), ("maybe", None), (None, None)])
def test_booleans(text: Optional[str], truth: Optional[bool]) -> None:
    """Pacemaker's words in any case; anything else is not known."""
    assert truth_of(text) is truth
