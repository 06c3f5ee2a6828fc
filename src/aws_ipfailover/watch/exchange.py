"""What is said on a connection or in a datagram, and what of it counts as an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

# Seconds that a server has, from the connection on, to say something by itself, where the connection is the answer.
SPEAKS_WITHIN = 0.3
# Bytes of an answer that are read for its first line.
LONGEST_ANSWER = 4096


@dataclass(frozen=True)
class Exchange:
    r"""How to ask, and what to wait for.

    `ask`: the text to send with each question, in which \r and \n stand for these; `None` for the question's number,
    empty for nothing. `accepted`: a connection that is accepted is the answer, and a line that the server says at once
    only tells who it is; otherwise the first line is the answer. `ends`: a kept connection that ends while no question
    is under way counts as a lost question.
    """

    ask: Optional[str] = None
    accepted: bool = False
    ends: bool = False

    def message(self, sequence: int) -> bytes:
        """What to send with this question, with a newline at its end; empty for nothing."""
        if self.ask is None:
            return b"%d\n" % sequence
        if not self.ask:
            return b""
        text = self.ask.replace("\\r", "\r").replace("\\n", "\n")
        return (text if text.endswith("\n") else text + "\n").encode("utf-8", "surrogateescape")


# What the responder of the lab expects: the question's number, which it answers by a line.
NUMBERED = Exchange()
