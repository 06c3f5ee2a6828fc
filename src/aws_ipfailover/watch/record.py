"""The record of a watch: lines of JSON, the first one about the watch, and one for the outcome of each question."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Tuple, Union

from aws_ipfailover.watch.question import Question, time_of

SCHEMA = "aws-ipfailover/watch-record/1"


@dataclass(frozen=True)
class Header:
    """The first line. `now`: the clock where questions are asked, when it was written (seconds since the epoch).

    `target` is as it was typed, `address` what it was resolved to; `ports` are like "tcp 22".
    """

    target: str
    address: str
    ports: Tuple[str, ...]
    interval: float
    timeout: float
    now: float

    def to_json(self) -> str:
        """The line, without its newline."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, separators=(",", ":"))


def parse(line: str) -> Union[Header, Question]:
    """One line of a record.

    Raises:
        ValueError: it is none.
    """
    try:
        value = json.loads(line)
        if isinstance(value, dict) and value.get("schema") == SCHEMA:
            return Header(
                target=str(value["target"]),
                address=str(value["address"]),
                ports=tuple(str(port) for port in value["ports"]),
                interval=float(value["interval"]),
                timeout=float(value["timeout"]),
                now=time_of(value["now"]),
            )
        return Question.from_json(line)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
        raise ValueError(f"not a line of a record: {line[:100]!r}") from None
