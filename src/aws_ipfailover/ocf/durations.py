"""Pacemaker's texts of durations and scores, as Pacemaker itself reads them.

Facts: Pacemaker's sources, `crm_get_msec` and `crm_parse_interval_spec` of 2.1 in lib/common, `pcmk__parse_ms` of 3.0;
"Pacemaker Explained", Table "Option types".
"""

from __future__ import annotations

import re
from typing import Optional

INFINITY = 1_000_000
"""What Pacemaker's score INFINITY is as a number."""

# A unit counts by its first letters: "10 seconds" is ten seconds. Milliseconds each; the order matters.
_UNITS = (("ms", 1.0), ("us", 0.001), ("s", 1000.0), ("m", 60_000.0), ("h", 3_600_000.0))
_NUMBER = re.compile(r"[ \t\n\r\f]*([0-9]*)[0-9.]*[ \t\n\r\f]*(.*)", re.DOTALL)
_ISO = re.compile(
    r"P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?"
)
_DAY = 86_400.0
# Seconds of each part of an ISO 8601 duration; Pacemaker takes a year for 365 days and a month for 30.
_PARTS = {
    "years": 365 * _DAY,
    "months": 30 * _DAY,
    "weeks": 7 * _DAY,
    "days": _DAY,
    "hours": 3600.0,
    "minutes": 60.0,
    "seconds": 1.0,
}


def timeout_seconds(text: str) -> Optional[float]:
    """Seconds of a timeout such as `10s`, `10min`, `1000ms`, or `10`, which is seconds; `None` if it is none.

    Of a decimal number only the part before the point counts. An ISO 8601 duration is no timeout: Pacemaker then uses
    its default.
    """
    found = _NUMBER.fullmatch(text)
    if found is None or not found[1]:
        return None
    unit = found[2].lower()
    factor = next((one for name, one in _UNITS if unit.startswith(name)), None if unit else 1000.0)
    return None if factor is None else int(found[1][:15]) * factor / 1000


def duration_seconds(text: str) -> Optional[float]:
    """Seconds of an interval or another duration: as `timeout_seconds`, or ISO 8601 such as `PT10S` or `P1D`."""
    if not text.startswith("P"):
        return timeout_seconds(text)
    found = _ISO.fullmatch(text)
    if found is None or not any(found.groups()):
        return None
    return sum(int(found[name][:9]) * factor for name, factor in _PARTS.items() if found[name])


def interval_seconds(text: str) -> float:
    """Seconds of an operation's interval; 0 for what is no duration, as Pacemaker takes it."""
    return duration_seconds(text) or 0.0


def score_of(text: str) -> int:
    """A score, from -INFINITY to INFINITY; 0 for what is none, as Pacemaker takes it."""
    name = text.strip().upper().lstrip("+")
    if name in ("INFINITY", "-INFINITY"):
        return INFINITY if name == "INFINITY" else -INFINITY
    found = re.match(r"[+-]?\d{1,15}", text.strip())
    return max(-INFINITY, min(INFINITY, int(found[0]))) if found else 0


def truth_of(text: Optional[str]) -> Optional[bool]:
    """A boolean of Pacemaker: true, on, yes, y, 1 and their opposites, in any case; `None` for anything else."""
    known = {"true": True, "on": True, "yes": True, "y": True, "1": True}
    known.update({"false": False, "off": False, "no": False, "n": False, "0": False})
    return known.get((text or "").strip().lower())
