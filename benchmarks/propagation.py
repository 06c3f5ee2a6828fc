"""What a planned move with allow-migrate=true loses where a written route takes effect later, with `drain` and without."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Mapping

from vpc_lab.faults import Slow
from vpc_lab.lab import Lab
from vpc_lab.settings import Settings

from .failover import LATENCY, OURS, RESOURCE, load, losses, moves, reasons

# Seconds: the latest moment, after the call, at which a written route takes effect for a source of traffic.
LAG = 1.0
DRAINS = (2, 1, 0)


def measure(out: Callable[[str], None], quick: bool) -> Dict[str, Any]:
    """Moves with each value of `drain`."""
    result: Dict[str, Any] = {}
    with Lab.running("bench", Settings(fencing=False, route_lag_seconds=LAG)) as lab:
        lab.inject(Slow(LATENCY))
        load(lab, OURS, "make-before-break.crm")
        for drain in DRAINS:
            lab.exec("node1", ["crm_resource", "--resource", RESOURCE, "-p", "drain", "-v", str(drain)])
            lab.settle(90)
            result[str(drain)] = []
            for number, found in enumerate(moves(lab, 2 if quick else 12, linger=2 * LAG)):
                result[str(drain)].append(found)
                out(f"drain={drain}, move {number + 1}: {found}")
    return result


def markdown(result: Mapping[str, Any]) -> str:
    """The section of the page."""
    lines = [
        "## Make before break while routes take effect",
        "",
        "AWS makes a written route effective at its own pace, and publishes no figure. Here each source of traffic follows a",
        f"written route at a moment of its own, up to {LAG:.0f} s after the call; else as above.",
        f"{len(result[str(DRAINS[0])])} moves for each value of `drain`.",
        "",
        "| `drain` | protocol | requests | lost | longest time without an answer, median of the moves (greatest) | lost by |",
        "|---|---|---|---|---|---|",
    ]
    for drain in map(str, DRAINS):
        for protocol in ("udp", "http"):
            cells = losses(result[drain], protocol)
            lines.append(f"| {drain} s | {protocol.upper()} | {cells} | {reasons(result[drain], (protocol,))} |")
    lines += [
        "",
        "With `drain` longer than the routes take, only a TCP connection that is under way when its own source's route changes",
        "is lost: the new node knows no such connection.",
    ]
    return "\n".join(lines) + "\n"


def plots(result: Mapping[str, Any], directory: Path) -> None:
    """None."""
