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
FAILURES: Tuple[Failure, ...] = ("timeout", "refused", "unreachable", "reset", "closed", "error")
# The end of the year 9999, in seconds since the epoch: no program has a date for what comes then.
_LAST = 253402300800.0


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
        """The inverse of `to_json`. Raises ValueError or KeyError when `line` is not one.

        Also where a value is of another kind: what asks can be on another machine, and its lines are shown here.
        """
        value = json.loads(line)
        if not isinstance(value, dict) or value.get("protocol") not in PROTOCOLS:
            raise ValueError(f"not a question: {line.strip()!r}")
        node, error, connection = value.get("node"), value.get("error"), value.get("connection")
        if not (node is None or (isinstance(node, str) and node.isprintable())):
            raise ValueError(f"not the name of a server: {node!r}")
        if error is not None and error not in FAILURES:
            raise ValueError(f"not a failure: {error!r}")
        if not (connection is None or isinstance(connection, int)):
            raise ValueError(f"not the number of a connection: {connection!r}")
        return cls(
            protocol=cast("Protocol", value["protocol"]),
            sequence=int(value["sequence"]),
            sent=time_of(value["sent"]),
            answered=None if value.get("answered") is None else time_of(value["answered"]),
            node=node,
            error=error,
            stamped=None if value.get("stamped") is None else time_of(value["stamped"]),
            address=str(value.get("address", "")),
            connection=connection,
        )


def time_of(value: object) -> float:
    """Seconds since the epoch, of a time that there is a date for."""
    if not isinstance(value, (int, float)) or not 0 <= value < _LAST:
        raise ValueError(f"not a time: {value!r}")
    return float(value)
