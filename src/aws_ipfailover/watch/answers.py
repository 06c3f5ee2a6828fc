"""What a server says about itself in its answer."""

from __future__ import annotations

import re
from typing import Optional, Tuple

# Name and time; the 400 of "HTTP/1.1 400 Bad Request" is no time, which has a point.
_RESPONDER = re.compile(r"(\S+) ([0-9]{1,11}\.[0-9]{1,9})(?: |$)")
# Characters of a line that tell who it is: more than any banner needs.
LONGEST_NAME = 80


def parse_answer(answer: bytes) -> Tuple[str, Optional[float]]:
    """Who answers, by the first line of an answer over TCP or UDP, and that node's time; None where it has none.

    A responder answers with its name, its time in seconds since the epoch, and more; of any other server the whole
    line is its name. Servers can be anybody: what cannot be printed is replaced.
    """
    line = answer.split(b"\n", 1)[0].decode(errors="replace").strip()
    found = _RESPONDER.match(line)
    return (_printable(found[1]), float(found[2])) if found else (_printable(line), None)


def _printable(text: str) -> str:
    cut = text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "…"
    return "".join(one if one.isprintable() else "?" for one in cut)
