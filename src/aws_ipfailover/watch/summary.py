"""What a watch has found: the figures of each series of questions, and the answer to "was anything lost?". Pure."""

from __future__ import annotations

import enum
from typing import Any, Dict, List, Optional, Sequence

from aws_ipfailover.watch.history import History, Phase, Silence


class Outcome(enum.Enum):
    """How a watch ended."""

    ANSWERED = "answered"
    LOST = "lost"
    NEVER_ANSWERED = "never answered"


def outcome_of(histories: Sequence[History], allowed: Optional[float]) -> Outcome:
    """Whether answers were lost. `allowed`: seconds that a silence may last; `None` if no question may be lost.

    Where nothing has ever answered, nothing is known: it may be that the address is not reached from here at all.
    """
    if not any(history.answered for history in histories):
        return Outcome.NEVER_ANSWERED
    for history in histories:
        if not history.answered or any(allowed is None or one.seconds > allowed for one in history.silences):
            return Outcome.LOST
    return Outcome.ANSWERED


def figures(history: History) -> Dict[str, Any]:
    """The figures of one series, as the JSON documents of `watch` and `drill` have them; times in seconds."""
    longest = history.longest
    return {
        "asked": history.asked,
        "answered": history.answered,
        "lost": history.lost,
        "not_asked": history.not_asked,
        "errors": dict(history.errors),
        "longest_silence": None if longest is None else round(longest.seconds, 6),
        "round_trip": {
            "fastest": _rounded(history.fastest),
            "mean": _rounded(history.mean),
            "slowest": _rounded(history.slowest),
        },
        "connections": history.connections if history.protocol == "stream" else None,
        "who": [{"name": name, "answers": count} for name, count in history.who.items()],
        "phases": [_phase(phase) for phase in history.phases],
        "silences": [_silence(silence) for silence in history.silences],
    }


def reasons(errors: Dict[str, int]) -> str:
    """How questions were lost, the most frequent way first: "timeout 12, refused 1"."""
    ordered: List[str] = sorted(errors, key=lambda error: (-errors[error], error))
    return ", ".join(f"{error} {errors[error]}" for error in ordered)


def _phase(phase: Phase) -> Dict[str, Any]:
    return {"who": phase.who, "begins": round(phase.begins, 6), "ends": round(phase.ends, 6), "answers": phase.answers}


def _silence(silence: Silence) -> Dict[str, Any]:
    return {
        "begins": round(silence.begins, 6),
        "ends": round(silence.ends, 6),
        "seconds": round(silence.seconds, 6),
        "lost": silence.lost,
        "errors": dict(silence.errors),
        "before": silence.before,
        "after": silence.after,
        "never_before": silence.never_before,
        "ended": silence.ended,
    }


def _rounded(seconds: Optional[float]) -> Optional[float]:
    return None if seconds is None else round(seconds, 6)
