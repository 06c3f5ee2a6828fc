"""One question, and what became of it: the format of the lines that the process of a watch writes."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Literal, Optional, Tuple, cast

Protocol = Literal["tcp", "udp", "icmp", "stream"]
Failure = Literal["timeout", "refused", "unreachable", "reset", "closed", "error"]

# Those in which every question is asked as by a new client, and all: a stream keeps its connection.
SINGLE: Tuple[Protocol, ...] = ("tcp", "udp", "icmp")
PROTOCOLS: Tuple[Protocol, ...] = (*SINGLE, "stream")


@dataclass(frozen=True)
class Question:
    """A question and its outcome: either `answered` is set, and `node` if the answer names one, or `error` is.

    `sequence` counts the slots of the schedule of one protocol and address, so a slot that the consumer had to skip (it
    got no CPU; a stream still waited for an answer) is a number that is missing. `sent`, `answered` and `stamped` are
    wall time in seconds since the epoch: when the question left, when the answer arrived, and when the responder gave
    it; the kernel, which answers ICMP, does not say that. `node` is the name that answered; an ICMP answer that no node
    signed is from "ttl-N". `connection` counts a stream's connections, also those that were never established.
    """

    protocol: Protocol
    sequence: int
    sent: float
    answered: Optional[float]
    node: Optional[str]
    error: Optional[Failure]
    stamped: Optional[float] = None
    address: str = ""
    connection: Optional[int] = None

    @property
    def not_before(self) -> float:
        """The earliest time at which the answer, or else the failure, can have come about."""
        return self.sent if self.stamped is None else self.stamped

    @property
    def not_after(self) -> float:
        """The latest time at which `node` can have answered; for a question without an answer, when it was sent."""
        return self.stamped or self.answered or self.sent

    def to_json(self) -> str:
        """One line of JSON without its newline; what is not known is left out, and times have microseconds."""
        told = {field.name: getattr(self, field.name) for field in fields(self)}
        values = {name: round(value, 6) if isinstance(value, float) else value for name, value in told.items()}
        return json.dumps(
            {name: value for name, value in values.items() if value is not None and value != ""}, separators=(",", ":")
        )

    @classmethod
    def from_json(cls, line: str) -> Question:
        """The inverse of `to_json`. Raises ValueError or KeyError when `line` is not one."""
        value = json.loads(line)
        if not isinstance(value, dict) or value.get("protocol") not in PROTOCOLS:
            raise ValueError(f"not a question: {line.strip()!r}")
        answered, stamped = value.get("answered"), value.get("stamped")
        return cls(
            protocol=cast("Protocol", value["protocol"]),
            sequence=int(value["sequence"]),
            sent=float(value["sent"]),
            answered=None if answered is None else float(answered),
            node=value.get("node"),
            error=value.get("error"),
            stamped=None if stamped is None else float(stamped),
            address=str(value.get("address", "")),
            connection=value.get("connection"),
        )
