"""Many addresses: all of a node fail over at once under EC2's token buckets; and what their monitors take."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
import time
from collections import Counter
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Sequence

from vpc_lab.faults import RouteChanged, Slow, Throttled
from vpc_lab.lab import Lab
from vpc_lab.scenarios.peer import write_profiles
from vpc_lab.settings import Settings

from . import peer
from .failover import LATENCY, OURS, PEER, UDP_SERVER

COUNTS = (1, 5, 10, 20, 50)
PEER_COUNTS = (1, 5, 10)
PORT = 8081
# Of the project's examples: seconds between two plain monitors, and between two that ask EC2.
PLAIN, DEEP = 20, 120
MONITORED = 100
WRITES = ("ReplaceRoute", "CreateRoute")


def measure(out: Callable[[str], None], quick: bool) -> Dict[str, Any]:
    """Failovers of many addresses, then rounds of monitors."""
    peer.require()
    result: Dict[str, Any] = {"failovers": [], "monitors": []}
    with Lab.running("bench", Settings()) as lab:
        lab.inject(Slow(LATENCY))
        write_profiles(lab, lab.status().region)
        for count in (2,) if quick else COUNTS:
            for agent in (OURS, PEER) if quick or count in PEER_COUNTS else (OURS,):
                found = failover(lab, agent, count)
                result["failovers"].append({"agent": agent, "addresses": count, **found})
                out(f"{agent}, {count} addresses: {found}")
        for monitors in rounds(lab, 5 if quick else MONITORED):
            result["monitors"].append(monitors)
            out(f"monitors: {monitors}")
    return result


def addresses(lab: Lab, count: int) -> List[str]:
    """Overlay addresses."""
    first = ip_address(lab.status().overlay)
    return [str(first + number) for number in range(count)]


def parameters(lab: Lab, agent: str, ip: str) -> Dict[str, str]:
    """The agent's, for the tables of the lab."""
    status = lab.status()
    if agent == OURS:
        found = {"ip": ip, "routing_table": ",".join(status.route_tables)}
    else:
        found = peer.parameters(ip, status.route_tables)
    return {**found, "region": status.region}


def load(lab: Lab, agent: str, ips: Sequence[str]) -> None:
    """A cluster with one resource for each address, all on node1."""
    lab.heal()
    for name in lab.nodes():
        lab.exec(name, ["crm_standby", "--node", name, "--delete"], check=False)
    lab.exec("node1", ["crm", "--force", "configure", "property", "stop-all-resources=true"])
    lab.settle(300)
    lab.exec("node1", ["crm", "--force", "configure", "erase"])
    lines = ["property stonith-enabled=false", "rsc_defaults resource-stickiness=1000"]
    for number, ip in enumerate(ips):
        lab.inject(RouteChanged(f"{ip}/32", "node1"))
        params = " ".join(f'{name}="{value}"' for name, value in parameters(lab, agent, ip).items())
        lines.append(
            f"primitive ip_{number} ocf:heartbeat:{agent} params {params}"
            " op start timeout=180s op stop timeout=180s op monitor interval=600s timeout=60s"
        )
        lines.append(f"location ip_{number}_first ip_{number} 50: node1")
    lab.exec(
        "node1",
        ["sh", "-c", "cat > /run/scale.crm && crm --force configure load update /run/scale.crm"],
        stdin="\n".join(lines) + "\n",
    )
    lab.wait_cluster(
        "every address on node1",
        lambda status: all(status.where(f"ip_{number}") == "node1" for number in range(len(ips))),
        600,
    )
    lab.settle(600)
    lab.inject(Slow(LATENCY))
    lab.inject(Throttled())


def failover(lab: Lab, agent: str, count: int) -> Dict[str, Any]:
    """node1 goes to standby: seconds until the last address is served by node2; calls of EC2, and those refused."""
    ips = addresses(lab, count)
    load(lab, agent, ips)
    with responders(lab), asking(lab, ips) as prober:
        assert prober.stdin is not None
        assert prober.stdout is not None
        prober.stdout.readline()  # all are served by node1
        begun = time.time()
        lab.exec("node1", ["crm_standby", "--node", "node1", "--update", "on"])
        prober.stdin.write("node2\n")
        prober.stdin.flush()
        served: Mapping[str, float] = json.loads(prober.stdout.readline())
    lab.settle(300)
    calls = [call for call in lab.calls(begun) if call["service"] == "ec2"]
    refused = sum(call["outcome"] == "RequestLimitExceeded" for call in calls)
    status = lab.cluster_status()
    failures = len(status.failures) if status else -1
    done = Counter(str(call["action"]) for call in calls)
    moments = sorted(when - begun for when in served.values())
    return {
        "first": moments[0],
        "last": moments[-1],
        "tables": len(lab.status().route_tables),
        "calls": dict(done),
        "refused": refused,
        "failures": failures,
    }


@contextlib.contextmanager
def responders(lab: Lab) -> Iterator[None]:
    """Both nodes answer over UDP on every address that they have."""
    with contextlib.ExitStack() as stack:
        for node in lab.nodes():
            stack.enter_context(_running(lab, node, [sys.executable, "-c", UDP_SERVER, node, str(PORT)], wait=True))
        yield


@contextlib.contextmanager
def asking(lab: Lab, ips: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A consumer in the other zone asks every address twenty times a second."""
    with _running(lab, "consumer-b", [sys.executable, "-c", _PROBER, str(PORT), *ips], wait=False) as process:
        yield process


@contextlib.contextmanager
def _running(lab: Lab, where: str, argv: List[str], *, wait: bool) -> Iterator[subprocess.Popen[str]]:
    process: subprocess.Popen[str] = lab.spawn(where, argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if wait:
            assert process.stdout is not None
            process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


# Says when every address has answered; then reads the name of a node, and says when it first answered on each.
_PROBER = """
import json, select, socket, sys, time
port, ips = int(sys.argv[1]), sys.argv[2:]
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
def until(done):
    while not done():
        for ip in ips:
            asking.sendto(b"?", (ip, port))
        end = time.monotonic() + 0.05
        while (left := end - time.monotonic()) > 0 and not done():
            ready = select.select([asking, sys.stdin] if not goal else [asking], [], [], left)[0]
            if sys.stdin in ready:
                goal.append(sys.stdin.readline().strip())
            if asking in ready:
                data, (ip, _) = asking.recvfrom(2048)
                node = data.split()[-1].decode()
                seen.setdefault((ip, node), time.time())
goal, seen = [], {}
until(lambda: all(any(one == ip for one, _ in seen) for ip in ips))
print("served", flush=True)
until(lambda: goal and all((ip, goal[0]) in seen for ip in ips))
print(json.dumps({ip: seen[ip, goal[0]] for ip in ips}), flush=True)
sys.stdin.read()
"""


def rounds(lab: Lab, count: int) -> Iterator[Dict[str, Any]]:
    """One round of monitors of so many addresses on node1, as whole processes one after the other."""
    ips = addresses(lab, count)
    lab.heal()
    lab.exec("node1", ["crm", "--force", "configure", "property", "stop-all-resources=true"])
    lab.settle(300)
    lab.exec("node1", ["crm", "--force", "configure", "erase"])
    for ip in ips:
        lab.exec("node1", ["ip", "address", "add", f"{ip}/32", "dev", "eth0"])
        lab.inject(RouteChanged(f"{ip}/32", "node1"))
    for agent, deep in ((OURS, False), (OURS, True), (PEER, False), (PEER, True)):
        # The peer sleeps a second for each table that it asks for: a few of them tell as much.
        few = ips[:3] if agent == PEER and deep else ips
        environments = []
        for ip in few:
            more = {"CRM_meta_interval": "10000", "CRM_meta_timeout": "60000", **({"monapi": "true"} if deep else {})}
            given = {**parameters(lab, agent, ip), **more}
            environments.append({f"OCF_RESKEY_{name}": value for name, value in given.items()})
        begun = time.time()
        done = lab.exec(
            "node1",
            [sys.executable, "-c", _ROUND, f"/usr/lib/ocf/resource.d/heartbeat/{agent}"],
            stdin=json.dumps(environments),
            timeout=300,
        )
        cpu, wall = json.loads(done.stdout)
        calls = sum(call["service"] == "ec2" for call in lab.calls(begun))
        yield {
            "agent": agent,
            "deep": deep,
            "monitors": len(few),
            "cpu": cpu / len(few),
            "wall": wall / len(few),
            "calls": calls / len(few),
        }


# Runs the agent's monitor once with each environment; seconds of processor time and of the clock.
_ROUND = """
import json, os, resource, subprocess, sys, time
begun = time.perf_counter()
for environment in json.load(sys.stdin):
    environment = {**os.environ, "OCF_ROOT": "/usr/lib/ocf", "HA_LOGFILE": "/dev/null", **environment}
    subprocess.run([sys.argv[1], "monitor"], env=environment, check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([used.ru_utime + used.ru_stime, time.perf_counter() - begun]))
"""


def markdown(result: Mapping[str, Any]) -> str:
    """The section of the page."""
    some = result["failovers"][0]
    lines = [
        "## Many addresses",
        "",
        f"Every address is a resource of its own, in {some['tables']} route tables; all are on one node, which goes to standby. {1000 * LATENCY:.0f} ms",
        "latency, and EC2's documented token buckets, full to begin with: 50 calls of ReplaceRoute, then 5 a second. The floor is",
        "what the bucket takes for the writes. Pacemaker runs as many operations at once on a node as it does by default, twice",
        "the number of processors; more do not help where processors are what is short.",
        "",
        "| agent | addresses | first served | last served | the bucket's floor | writes | refused |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in result["failovers"]:
        writes = sum(one["calls"].get(action, 0) for action in WRITES)
        needed = one["addresses"] * one["tables"]
        floor = max(0.0, (needed - 50) / 5)
        failed = f", {one['failures']} operations failed" if one["failures"] else ""
        lines.append(
            f"| {one['agent']} | {one['addresses']} | {one['first']:.1f} s | {one['last']:.1f} s{failed}"
            f" | {floor:.0f} s | {writes} | {one['refused']} |"
        )
    lines += [
        "",
        "![Until the last of many addresses is served](performance/scale.svg)",
        "",
        f"### Monitors of {MONITORED} addresses",
        "",
        "One round of monitors on a node, each a process of its own, and what that is in a minute at the intervals of the project's",
        f"examples: {PLAIN} s for the plain one, {DEEP} s for the one that asks EC2 (`OCF_CHECK_LEVEL=10`; `monapi=true` for the peer).",
        "",
        "| agent | monitor | processor time of one | in a minute | EC2 calls of one | in a minute |",
        "|---|---|---|---|---|---|",
    ]
    for one in result["monitors"]:
        minute = MONITORED * 60 / (DEEP if one["deep"] else PLAIN)
        lines.append(
            f"| {one['agent']} | {'asks EC2' if one['deep'] else 'plain'} | {1000 * one['cpu']:.0f} ms | {minute * one['cpu']:.0f} s"
            f" | {one['calls']:.1f} | {math.ceil(minute * one['calls'])} |"
        )
    return "\n".join(lines) + "\n"


def plots(result: Mapping[str, Any], directory: Path) -> None:
    """Time until the last address is served, as scale.svg."""
    from matplotlib.figure import Figure  # noqa: PLC0415  slow, and not needed to measure

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.add_subplot()
    for agent in (OURS, PEER):
        found = [one for one in result["failovers"] if one["agent"] == agent]
        axes.plot([one["addresses"] for one in found], [one["last"] for one in found], "-o", label=agent)
    ours = [one for one in result["failovers"] if one["agent"] == OURS]
    floors = [max(0.0, (one["addresses"] * one["tables"] - 50) / 5) for one in ours]
    axes.plot([one["addresses"] for one in ours], floors, "k:", label="the bucket's floor")
    axes.set(xlabel="addresses", ylabel="last one served, seconds")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(directory / "scale.svg", metadata={"Date": None})
