"""`aws-ipfailover doctor` on the nodes of a cluster whose address is in twenty route tables."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Dict, List

from vpc_lab.faults import Slow
from vpc_lab.lab import Lab
from vpc_lab.settings import Settings

from .failover import LATENCY

TABLES = 20
COMMAND = str(Path(sys.executable).with_name("aws-ipfailover"))


def measure(out: Callable[[str], None], quick: bool) -> Dict[str, Any]:
    """Each node in turn, the one that has the address and the standby."""
    runs: List[Dict[str, Any]] = []
    with Lab.running("bench", Settings(extra_route_tables=TABLES - 2)) as lab:
        status = lab.status()
        tables = ",".join(status.every_route_table)
        lab.load(
            f"primitive ip_service ocf:heartbeat:aws-ipfailover params ip={status.overlay} routing_table={tables}"
            f" region={status.region} op start timeout=180s op stop timeout=180s op monitor interval=20s timeout=60s\n"
        )
        lab.wait_cluster("the start of the address", lambda now: now.where("ip_service") is not None)
        lab.settle()
        slow = lab.inject(Slow(LATENCY))
        for number in range(1 if quick else 10):
            for node in lab.nodes():
                found = examined(lab, node)
                runs.append({"round": number, "tables": tables.count(",") + 1, **found})
                out(f"{node}: {found}")
        slow.heal()
    return {"runs": runs}


def examined(lab: Lab, node: str) -> Dict[str, Any]:
    """One run on a node: its seconds, its calls of EC2, and what it found."""
    begun, began = time.time(), time.monotonic()
    done = lab.exec(node, [COMMAND, "doctor", "ip_service", "--json"], check=False, timeout=120)
    seconds = time.monotonic() - began
    calls = [one for one in lab.calls(begun) if one["service"] == "ec2" and one["caller"] == node]
    findings = [one["outcome"] for report in json.loads(done.stdout)["reports"] for one in report["findings"]]
    return {"node": node, "seconds": seconds, "calls": len(calls), "found": dict(Counter(findings))}


def markdown(result: Dict[str, Any]) -> str:
    """The section of the page."""
    runs = result["runs"]
    lines = [
        "## The doctor",
        "",
        "`aws-ipfailover doctor ip_service --json` on both nodes of a cluster, with the start of Python; the address is in",
        f"{runs[0]['tables']} route tables, and every call of EC2 has {1000 * LATENCY:.0f} ms latency.",
        "",
        "| node | seconds | least to greatest | EC2 calls | lines |",
        "|---|---|---|---|---|",
    ]
    for node in sorted({one["node"] for one in runs}):
        own = [one for one in runs if one["node"] == node]
        seconds = [one["seconds"] for one in own]
        found = own[-1]["found"]
        lines.append(
            f"| {node} | {statistics.median(seconds):.2f} | {min(seconds):.2f} to {max(seconds):.2f} |"
            f" {statistics.median(one['calls'] for one in own):.0f} | {sum(found.values())} |"
        )
    return "\n".join([*lines, ""])


def plots(result: Dict[str, Any], directory: Path) -> None:
    """None."""
