"""Forty addresses of one service: as one resource with one route, as one resource, and as forty, where EC2 is busy.

EC2's token buckets are full to begin with, and shared with another program of the account that writes routes too.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections import Counter
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Sequence, Tuple

from vpc_lab.faults import RouteChanged, Slow, Throttled
from vpc_lab.lab import Lab
from vpc_lab.settings import Settings

from .failover import LATENCY
from .scale import WRITES, addresses, asking, responders

COUNT = 40
LAYOUTS = ("one resource, one destination", "one resource", "forty resources")
EVENTS = ("planned move", "power cut")
AGENT = "ocf:heartbeat:aws-ipfailover"
# Writes of routes a second by the other program: most of what EC2 refills the bucket with.
NEIGHBOUR = 3
# A route of nobody's, which the other program writes.
ITS_DESTINATION = "198.18.0.1/32"


def measure(out: Callable[[str], None], quick: bool) -> Dict[str, Any]:
    """Each layout through both events, in turns."""
    rounds = 1 if quick else 3
    count = 4 if quick else COUNT
    result: Dict[str, Any] = {"addresses": count, "runs": []}
    with Lab.running("bench", Settings(fencing=False)) as lab:
        for number in range(rounds):
            for layout in LAYOUTS:
                for found in events(lab, layout, addresses(lab, count)):
                    result["runs"].append({"round": number, "layout": layout, **found})
                    out(f"{layout}, {found}")
    result["tables"] = len(lab_tables)
    return result


lab_tables: List[str] = []


def configuration(lab: Lab, layout: str, ips: Sequence[str]) -> str:
    """A cluster with the addresses on node1, fenced by fence_aws."""
    status = lab.status()
    lab_tables[:] = status.route_tables
    ids = lab.instance_ids()
    region, tables = status.region, ",".join(status.route_tables)
    destination = f" destination={ip_network(f'{ips[0]}/26', strict=False)}" if "destination" in layout else ""
    resources = {"ip_many": ",".join(ips)} if "one" in layout else {f"ip_{number}": ip for number, ip in enumerate(ips)}
    hosts = f'pcmk_host_map="node1:{ids["node1"]};node2:{ids["node2"]}"'
    operations = "op start timeout=180s op stop timeout=180s op monitor interval=600s timeout=60s"
    lines = [
        f"primitive fence_aws stonith:fence_aws params region={region} {hosts} op monitor interval=300s timeout=60s",
        "property stonith-enabled=true stonith-action=off stonith-timeout=600s",
        "rsc_defaults resource-stickiness=1000 failure-timeout=900s",
    ]
    for name, ip in resources.items():
        lines += [
            f'primitive {name} {AGENT} {operations} params ip="{ip}"{destination} routing_table={tables} region={region}',
            f"location {name}_first {name} 50: node1",
        ]
    return "\n".join(lines) + "\n"


def events(lab: Lab, layout: str, ips: Sequence[str]) -> Iterator[Dict[str, Any]]:
    """Load a layout, then move it from node1, then cut the power of the node that has it."""
    clear(lab)
    for ip in ips:
        lab.inject(RouteChanged(f"{ip}/32", "node1"))
    if "destination" in layout:
        for ip in ips:
            lab.order("delete-route", destination=f"{ip}/32")
    lab.inject(RouteChanged(ITS_DESTINATION, "node1"))
    text = configuration(lab, layout, ips)
    lab.exec(
        "node1",
        ["sh", "-c", "cat > /run/many.crm && crm --force configure load update /run/many.crm"],
        stdin=text,
    )
    names = [line.split()[1] for line in text.splitlines() if AGENT in line]
    everywhere(lab, names, "node1")
    yield {"what": EVENTS[0], **switch(lab, ips, "node1", "node2", EVENTS[0])}
    lab.exec("node1", ["crm_standby", "--node", "node1", "--delete"])
    everywhere(lab, names, "node2")
    yield {"what": EVENTS[1], **switch(lab, ips, "node2", "node1", EVENTS[1])}
    lab.power_on("node2")
    lab.wait_online()


def clear(lab: Lab) -> None:
    """An empty cluster, EC2 as it is."""
    lab.heal()
    lab.exec("node1", ["crm", "--force", "configure", "property", "stop-all-resources=true"])
    lab.settle(300)
    lab.exec("node1", ["crm", "--force", "configure", "erase"])
    lab.forget_failures(within=300)


def everywhere(lab: Lab, names: Sequence[str], node: str) -> None:
    """Wait until all resources are on a node."""
    lab.wait_cluster(f"everything on {node}", lambda status: all(status.where(name) == node for name in names), 600)
    lab.settle(600)


def switch(lab: Lab, ips: Sequence[str], old: str, new: str, what: str) -> Dict[str, Any]:
    """Seconds until the first and the last address is served by the new node; writes, refusals, processor time."""
    slow, throttled = lab.inject(Slow(LATENCY)), lab.inject(Throttled())
    with responders(lab), asking(lab, ips) as prober, neighbour(lab, new) as its:
        assert prober.stdin is not None
        assert prober.stdout is not None
        prober.stdout.readline()  # all are served by the old node
        before, begun = processor_time(lab, new), time.time()
        if what == EVENTS[0]:
            lab.exec(old, ["crm_standby", "--node", old, "--update", "on"])
        else:
            lab.power_off(old)
        prober.stdin.write(f"{new}\n")
        prober.stdin.flush()
        served: Mapping[str, float] = json.loads(prober.stdout.readline())
        wrote = its()
    lab.settle(300)
    used = processor_time(lab, new) - before
    throttled.heal()
    slow.heal()
    calls = [
        one
        for one in lab.calls(begun)
        if one["service"] == "ec2"
        and one["caller"] == new
        and one["parameters"].get("DestinationCidrBlock") != ITS_DESTINATION
    ]
    done = Counter(str(one["action"]) for one in calls)
    moments = sorted(when - begun for when in served.values())
    status = lab.cluster_status()
    return {
        "first": moments[0],
        "last": moments[-1],
        "writes": sum(done[action] for action in WRITES),
        "refused": sum(one["outcome"] == "RequestLimitExceeded" for one in calls),
        "neighbour": wrote,
        "cpu": used,
        "failures": len(status.failures) if status else -1,
    }


@contextlib.contextmanager
def neighbour(lab: Lab, node: str) -> Iterator[Callable[[], Tuple[int, int]]]:
    """Another program of the account writes a route several times a second; yields what ends it and tells its writes.

    It runs on a node, whose credentials it uses.
    """
    table = lab.status().route_tables[0]
    argv = [sys.executable, "-c", _NEIGHBOUR, lab.status().region, table, ITS_DESTINATION, str(NEIGHBOUR)]
    target = lab.status().network_interfaces["node1"]
    process: subprocess.Popen[str] = lab.spawn(
        node, [*argv, target], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()  # it has written once

    def end() -> Tuple[int, int]:
        done, refused = json.loads(process.communicate("end\n", timeout=60)[0])
        return int(done), int(refused)

    try:
        yield end
    finally:
        process.kill()
        process.communicate()


_NEIGHBOUR = """
import json, select, sys, time
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
region, table, destination, rate, target = sys.argv[1:]
ec2 = boto3.client("ec2", region_name=region, config=Config(retries={"total_max_attempts": 1}))
done = refused = 0
ec2.replace_route(RouteTableId=table, DestinationCidrBlock=destination, NetworkInterfaceId=target)
print("writing", flush=True)
while not select.select([sys.stdin], [], [], 1 / float(rate))[0]:
    try:
        ec2.replace_route(RouteTableId=table, DestinationCidrBlock=destination, NetworkInterfaceId=target)
        done += 1
    except ClientError:
        refused += 1
print(json.dumps([done, refused]))
"""


def processor_time(lab: Lab, node: str) -> float:
    """Seconds of processor time of all operations that Pacemaker's executor on a node has run and waited for."""
    script = (
        "import os; ticks = os.sysconf('SC_CLK_TCK'); total = 0\n"
        "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "    text = open(f'/proc/{pid}/stat').read()\n"
        "    if '(pacemaker-execd)' in text:\n"
        "        fields = text.rpartition(')')[2].split(); total += int(fields[13]) + int(fields[14])\n"
        "print(total / ticks)"
    )
    return float(lab.exec(node, [sys.executable, "-c", script]).stdout)


def markdown(result: Mapping[str, Any]) -> str:
    """The section of the page."""
    lines = [
        "## Many addresses of one service",
        "",
        f"{result['addresses']} addresses in {result['tables']} route tables, on one node that goes to standby or loses its",
        f"power (`fence_aws`). {1000 * LATENCY:.0f} ms latency, and EC2's documented token buckets (50 calls of ReplaceRoute,",
        "then 5 a second), full to begin with and shared with another program of the account, which tries",
        f"{NEIGHBOUR} writes a second. Seconds from the command or the power cut until a consumer in the other zone is served",
        "by the new node; medians of the runs.",
        "",
        "| layout | failover | first served | last served (greatest) | writes | refused | processor time of the agent |",
        "|---|---|---|---|---|---|---|",
    ]
    for what in EVENTS:
        for layout in LAYOUTS:
            runs = [one for one in result["runs"] if (one["what"], one["layout"]) == (what, layout)]
            middle = {key: sorted(one[key] for one in runs)[len(runs) // 2] for key in ("first", "last", "cpu")}
            failed = sum(one["failures"] for one in runs)
            lines.append(
                f"| {layout} | {what} | {middle['first']:.1f} s | {middle['last']:.1f} s ({max(one['last'] for one in runs):.1f} s)"
                f"{f', {failed} operations failed' if failed else ''}"
                f" | {max(one['writes'] for one in runs)} | {max(one['refused'] for one in runs)} | {middle['cpu']:.1f} s |"
            )
    lines += ["", "![Until the last of the addresses is served](performance/many.svg)"]
    return "\n".join(lines) + "\n"


def plots(result: Mapping[str, Any], directory: Path) -> None:
    """Until the last of the addresses is served, as many.svg."""
    from matplotlib.figure import Figure  # noqa: PLC0415  slow, and not needed to measure

    figure = Figure(figsize=(7, 2.6), layout="constrained")
    axes = figure.add_subplot()
    for number, what in enumerate(EVENTS):
        last = [
            sorted(one["last"] for one in result["runs"] if (one["what"], one["layout"]) == (what, layout))
            for layout in LAYOUTS
        ]
        places = [place + (0.2 if number else -0.2) for place in range(len(LAYOUTS))]
        axes.barh(places, [some[len(some) // 2] for some in last], height=0.38, label=what)
    axes.set_yticks(range(len(LAYOUTS)), LAYOUTS)
    axes.invert_yaxis()
    axes.set(xlabel="last of the addresses served, seconds")
    axes.legend()
    figure.savefig(directory / "many.svg", metadata={"Date": None})
