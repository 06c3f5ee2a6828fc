"""How long each action takes as a whole process, by number of route tables and by the API's latency.

Run as root: `unshare --net .venv/bin/python benchmarks/actions.py`. EC2 and instance metadata are the lab's, on
loopback of this network namespace; the latency is added to every EC2 call by the server.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, Sequence

from aws_ipfailover.lab.aws.faults import Fault
from aws_ipfailover.lab.aws.running import RunningAws, running_aws
from aws_ipfailover.lab.plan import Plan

AGENT = Path(__file__).parents[1] / "heartbeat" / "aws-ipfailover"
RECURRING = {"OCF_RESKEY_CRM_meta_interval": "10000"}


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, nargs="+", default=[1, 5, 50, 200])
    parser.add_argument("--latency", type=float, nargs="+", default=[0, 50, 100], help="milliseconds")
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    _network()
    sys.stdout.write(
        "| action | tables | latency ms | median ms | min ms | max ms | EC2 calls |\n|---|---|---|---|---|---|---|\n"
    )
    _row("python3 -c pass", "", "", [_time([sys.executable, "-c", "pass"], {}, 0) for _ in range(arguments.runs)], "")
    plan = Plan()
    for tables in arguments.tables:
        with running_aws(plan, extra_route_tables=max(0, tables - 2)) as aws, tempfile.TemporaryDirectory() as memory:
            environment = _environment(aws, memory, aws.account.route_table_ids[:tables])
            for latency in arguments.latency:
                aws.faults.clear()
                aws.faults.add(Fault("latency", service="ec2", seconds=latency / 1000))
                _measure(aws, environment, tables, latency, arguments.runs)


def _measure(aws: RunningAws, environment: Dict[str, str], tables: int, latency: float, runs: int) -> None:
    _time(_command("start"), environment, 0)  # so that the routes exist
    for name, action, extra, code in (
        ("start", "start", {}, 0),
        ("monitor, level 10", "monitor", {**RECURRING, "OCF_CHECK_LEVEL": "10"}, 0),
        ("monitor", "monitor", RECURRING, 0),
        ("stop", "stop", {}, 0),
        ("probe", "monitor", {}, 7),
    ):
        times = []
        for _ in range(runs):
            if action == "stop":
                _time(_command("start"), environment, 0)
            aws.calls.clear()
            times.append(_time(_command(action), {**environment, **extra}, code))
        calls = [call for call in aws.calls() if call.service == "ec2"]
        _row(name, str(tables), f"{latency:g}", times, str(len(calls)))


def _row(name: str, tables: str, latency: str, times: List[float], calls: str) -> None:
    figures = " | ".join(f"{1000 * figure:.0f}" for figure in (statistics.median(times), min(times), max(times)))
    sys.stdout.write(f"| {name} | {tables} | {latency} | {figures} | {calls} |\n")
    sys.stdout.flush()


def _command(action: str) -> List[str]:
    return [sys.executable, str(AGENT), action]


def _time(command: List[str], environment: Dict[str, str], expected: int) -> float:
    begun = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    taken = time.perf_counter() - begun
    if done.returncode != expected:
        raise SystemExit(f"{command[-1]} exited {done.returncode}: {done.stderr.decode()}")
    return taken


def _environment(aws: RunningAws, memory: str, tables: Sequence[str]) -> Dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        **aws.environment(),
        "HA_RSCTMP": memory,
        "OCF_RESKEY_ip": str(aws.account.plan.overlay),
        "OCF_RESKEY_routing_table": ",".join(tables),
    }


def _network() -> None:
    plan = Plan()
    with running_aws(plan) as aws:
        mac = aws.account.instance("node1").mac
    for command in (
        ["link", "set", "dev", "lo", "up"],
        ["link", "add", "eth0", "address", mac, "type", "veth", "peer", "name", "fabric"],
        ["link", "set", "dev", "eth0", "up"],
    ):
        subprocess.run(["ip", *command], check=True)


if __name__ == "__main__":
    main()
