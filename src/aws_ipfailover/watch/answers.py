"""What a server says about itself in its answer."""

from __future__ import annotations

from typing import Optional, Tuple


def parse_answer(answer: bytes) -> Tuple[str, Optional[float]]:
    """The node's name in an answer over TCP or UDP, and the node's time; None where it has none."""
    words = answer.split(b" ", 2)
    try:
        stamped = float(words[1])
    except (IndexError, ValueError):
        stamped = None
    return words[0].strip().decode(errors="replace"), stamped
