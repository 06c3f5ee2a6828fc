"""One question a consumer asked, and what became of it: the line format between consumer, demo and analysis."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal, Optional, Tuple, cast

Protocol = Literal["tcp", "udp", "icmp"]
Failure = Literal["timeout", "refused", "unreachable", "reset", "closed", "error"]

PROTOCOLS: Tuple[Protocol, ...] = ("tcp", "udp", "icmp")


@dataclass(frozen=True)
class Question:
    """A question and its outcome: either `answered` and `node` are set, or `error` is.

    `sequence` counts the slots of the protocol's schedule, so a slot that the consumer had to skip (it got no CPU) is
    a number that is missing. `sent` and `answered` are wall time in seconds since the epoch. `node` is the name
    that answered; an ICMP answer that no node signed is from "ttl-N".
    """

    protocol: Protocol
    sequence: int
    sent: float
    answered: Optional[float]
    node: Optional[str]
    error: Optional[Failure]

    def to_json(self) -> str:
        """One line of JSON without its newline."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> Question:
        """The inverse of `to_json`. Raises ValueError when `line` is not one."""
        value = json.loads(line)
        if not isinstance(value, dict) or value.get("protocol") not in PROTOCOLS:
            raise ValueError(f"not a question: {line.strip()!r}")
        answered = value.get("answered")
        return cls(
            protocol=cast("Protocol", value["protocol"]),
            sequence=int(value["sequence"]),
            sent=float(value["sent"]),
            answered=None if answered is None else float(answered),
            node=value.get("node"),
            error=value.get("error"),
        )
