"""What goes back over a connection: an answer, or the lack of one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Callable, Literal, Mapping, Optional

from vpc_lab.ec2.faults import Kind

Transport = Literal["send", "hang", "reset", "close", "truncate"]

BAD_GATEWAY = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n"


@dataclass(frozen=True)
class Reply:
    """An answer. `latency` seconds pass before it is sent; then `answered` is called, then it is sent, or not sent."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    transport: Transport = "send"
    latency: float = 0.0
    answered: Optional[Callable[[], None]] = None


def faulty(kind: Kind, right: Optional[Reply]) -> Reply:
    """What a fault other than `error` and `latency` makes of the right answer."""
    if kind == "hang":
        return Reply(0, transport="hang")
    if kind in ("reset", "refuse"):
        return Reply(0, transport="reset")
    if kind == "close":
        return Reply(0, transport="close")
    if kind == "html":
        return Reply(502, BAD_GATEWAY, {"Content-Type": "text/html"})
    if kind == "truncate" and right is not None:
        return replace(right, transport="truncate")
    return Reply(200)
