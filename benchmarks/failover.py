"""The gap that consumers see, of a planned move and of a power cut, by both agents under the same Pacemaker.

And make before break: what a planned move with allow-migrate=true loses.
"""

from __future__ import annotations

import collections
import contextlib
import io
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Sequence, Tuple, cast

from vpc_lab import examples
from vpc_lab.faults import Crash, RouteChanged, Slow
from vpc_lab.judge.expectations import Expectations
from vpc_lab.judge.recording import Recording
from vpc_lab.judge.verdict import Judge
from vpc_lab.lab import Lab
from vpc_lab.scenarios.configuration import Configuration
from vpc_lab.scenarios.figures import moments
from vpc_lab.scenarios.narrator import PlainNarrator
from vpc_lab.scenarios.peer import write_profiles
from vpc_lab.scenarios.stage import Service, Stage
from vpc_lab.settings import Settings
from vpc_lab.traffic.analysis import Switch, rows

from . import peer
from .measuring import spread

OURS, PEER = "aws-ipfailover", "aws-vpc-move-ip"
RESOURCE = "ip_service"
LATENCY = 0.05  # seconds, of every call of EC2's API
INTERVAL = 0.02
PHASES = ("detection", "fencing", "scheduling", "stop", "agent", "API", "network")
HTTP_PORT = 8080


def measure(out: Callable[[str], None], quick: bool) -> Dict[str, Any]:
    """Failovers of both agents in turns, then moves of ours that make before they break."""
    peer.require()
    pairs = 1 if quick else 10
    result: Dict[str, Any] = {"failovers": [], "moves": []}
    with Lab.running("bench", Settings(fencing=False)) as lab:
        lab.inject(RouteChanged(f"{address_of(lab)}/32", "node1"))
        lab.inject(Slow(LATENCY))
        for pair in range(pairs):
            for agent in (OURS, PEER):
                for found in failovers(lab, agent):
                    result["failovers"].append({"agent": agent, "pair": pair, **found})
                    out(f"{agent} {found['what']}: {found['gap']:.2f} s, worst {found['worst']:.2f} s, {phases(found)}")
        load(lab, OURS, "make-before-break.crm")
        for number, found in enumerate(moves(lab, 2 if quick else 24)):
            result["moves"].append(found)
            out(f"make before break, move {number + 1}: {found}")
    return result


def address_of(lab: Lab) -> str:
    """The overlay address."""
    return str(lab.status().overlay)


def configuration(lab: Lab, agent: str, example: str = "overlay-ip.crm") -> str:
    """The example of the project, with the peer's primitive in its place where that is asked for."""
    directory = examples.directory()
    assert directory is not None
    text = (directory / example).read_text(encoding="utf-8")
    if agent == OURS:
        return text
    status = lab.status()
    given = peer.parameters(str(status.overlay), status.route_tables)
    params = " ".join(f'{name}="{value}"' for name, value in {**given, "region": status.region}.items())
    begin = text.index(f"primitive {RESOURCE} ")
    primitive = text[begin : text.index("\n\n", begin)]
    operations = primitive[primitive.index("    op start") :].replace(" \\\n    op monitor interval=120s", "\n#")
    theirs = f"primitive {RESOURCE} ocf:heartbeat:aws-vpc-move-ip \\\n    params {params} \\\n{operations}"
    return text.replace(primitive, theirs)


def load(lab: Lab, agent: str, example: str = "overlay-ip.crm") -> None:
    """Give the cluster this configuration instead of what it has, with the resource started on node1."""
    write_profiles(lab, lab.status().region)
    lab.exec("node1", ["crm", "--force", "configure", "property", "stop-all-resources=true"], check=False)
    lab.settle(90)
    lab.exec("node1", ["crm", "--force", "configure", "erase"])
    lab.load(configuration(lab, agent, example), "node1")
    lab.wait_cluster("the resource started", lambda status: status.where(RESOURCE) is not None, 90)
    lab.settle(90)


def failovers(lab: Lab, agent: str) -> Iterator[Dict[str, Any]]:
    """A planned move and a power cut; afterwards both nodes are there again."""
    load(lab, agent)
    found: List[Dict[str, Any]] = []
    address = address_of(lab)
    with (
        tempfile.TemporaryDirectory(prefix="vpc-lab-bench-") as directory,
        Recording.running(lab, Path(directory) / "record", {RESOURCE: [address]}, interval=INTERVAL) as recording,
    ):
        stage = Stage(
            lab,
            recording,
            Judge(recording.header, Expectations()),
            Configuration(agent=agent),  # type: ignore[arg-type]
            Service(RESOURCE, (address,)),
            PlainNarrator(io.StringIO()),
            lambda stage, name, switch: found.append(seen(stage, switch, name)),
        )
        stage.serves(stage.active(), time.time(), 60.0)
        stage.move(within=180.0)
        yield found.pop()
        lost = stage.fails_over(Crash(stage.active()), within=180.0)
        yield found.pop()
        lost.heal()
        stage.all_online()
    lab.settle(90)


def active(lab: Lab) -> Tuple[str, str]:
    """The node that has the resource, and the other one."""
    status = lab.cluster_status()
    old = cast("str", status.where(RESOURCE) if status else None)
    return old, next(node for node in lab.nodes() if node != old)


def seen(stage: Stage, switch: Switch, name: str) -> Dict[str, Any]:
    """Gaps of the consumers in a failover that is over, and the phases of the slowest of them."""
    lab, measurement = stage.lab, stage.recording.measurement
    what = {"crash": "power cut"}.get(name, name)
    table = rows(measurement.histories(since=switch.triggered - 1.0), switch)
    problems = [problem for row in table for problem in row.problems()]
    if problems:
        raise RuntimeError(" ".join(problems))
    gaps = [cast("float", row.gap_ms) / 1000 for row in table]
    served = max(measurement.first_answers(switch.new, switch.triggered).values())
    lab.wait_cluster("the end of the start", lambda status: status.where(RESOURCE) == switch.new, 120)
    lab.settle(120)
    found = {"what": what, "gap": spread(gaps).median, "worst": max(gaps), "served": served - switch.triggered}
    return {**found, "phases": split(lab, switch, served)}


def split(lab: Lab, switch: Switch, served: float) -> Dict[str, float]:
    """Seconds of each phase, from the trigger until the last consumer is served."""
    found_moments = moments(lab, RESOURCE, switch.triggered)
    told = sorted((one for one in found_moments if one.time >= switch.triggered), key=lambda one: one.time)

    def when(what: str, where: str) -> float:
        return next(one.time for one in told if one.where == where and what in one.what)

    writes = [call for call in lab.calls(switch.triggered) if call["action"] in ("ReplaceRoute", "CreateRoute")]
    first = min(float(call["time"]) for call in writes)
    # A route can lead to the node before EC2 has said so.
    last = min(served, max(float(call["time"]) + float(call["duration"] or 0) for call in writes))
    start = when("agent's start begins", switch.new)
    found: Dict[str, float] = {"agent": first - start, "API": last - first, "network": served - last}
    if switch.old in lab.awake_nodes():
        begun, ended = when("agent's stop begins", switch.old), when("agent's stop is done", switch.old)
        found.update({"stop": ended - begun, "scheduling": start - switch.triggered - (ended - begun)})
    else:
        lost, fenced = when(f"sees that {switch.old} is lost", switch.new), when(f"fencing of {switch.old}", switch.new)
        found.update({"detection": lost - switch.triggered, "fencing": fenced - lost, "scheduling": start - fenced})
    return found


def phases(found: Mapping[str, Any]) -> str:
    """In one line."""
    return ", ".join(f"{name} {found['phases'][name]:.2f}" for name in PHASES if name in found["phases"])


def moves(lab: Lab, times: int, linger: float = 0.0) -> Iterator[Dict[str, Any]]:
    """Planned moves with allow-migrate=true, under UDP and HTTP requests of every consumer.

    `linger`: seconds for which they go on asking after Pacemaker has nothing left to do.
    """
    address = address_of(lab)
    with contextlib.ExitStack() as stack:
        for node in lab.nodes():
            process = lab.spawn(node, [sys.executable, "-c", UDP_SERVER, node, str(HTTP_PORT)], stdout=subprocess.PIPE)
            stack.callback(_end, process)
            assert process.stdout is not None
            process.stdout.readline()
        for _ in range(times):
            old, new = active(lab)
            asking = {
                consumer: lab.spawn(
                    consumer,
                    [sys.executable, "-c", _CLIENT, asked, str(HTTP_PORT)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                for consumer, asked in lab.questions(address).items()
            }
            try:
                for process in asking.values():
                    assert process.stdout is not None
                    process.stdout.readline()  # served by the old node
                lab.exec(old, ["crm_resource", "--move", "--resource", RESOURCE, "--node", new])
                lab.wait_cluster("the move", lambda status, new=new: status.where(RESOURCE) == new, 60)  # type: ignore[misc]
                lab.settle(90)
                time.sleep(linger)
            finally:
                told = [json.loads(process.communicate("end\n", timeout=60)[0]) for process in asking.values()]
            lab.exec(new, ["crm_resource", "--clear", "--resource", RESOURCE])
            lab.settle(90)
            yield {
                protocol: {
                    "asked": sum(one[protocol]["asked"] for one in told),
                    "lost": [error for one in told for error in one[protocol]["lost"]],
                    "gap": max(one[protocol]["gap"] for one in told),
                }
                for protocol in ("udp", "http")
            }


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


# UDP and HTTP on one port of every address; each answer names the node.
UDP_SERVER = """
import http.server, socket, sys, threading
name, port = sys.argv[1].encode(), int(sys.argv[2])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(name)))
        self.end_headers()
        self.wfile.write(name)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("", port), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO: the answer leaves from the address that was asked
udp.bind(("", port))
print("ready", flush=True)
while True:
    data, ancillary, _, asker = udp.recvmsg(2048, 128)
    info = b"".join(one for _, kind, one in ancillary if kind == 8)
    try:
        udp.sendmsg([data + b" " + name], [(socket.IPPROTO_IP, 8, b"\\0" * 4 + info[8:12] + b"\\0" * 4)], 0, asker)
    except OSError:  # the address has gone meanwhile
        pass
"""
# Asks over both, each on its own, a request every 10 ms or as soon as the one before was answered; a request is lost
# that has no answer within a second. Begins to count at once, says when both are served, ends with its input.
_CLIENT = """
import http.client, json, select, socket, sys, threading, time
host, port = sys.argv[1], int(sys.argv[2])
end = threading.Event()
def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(1)
        asking.connect((host, port))
        token = str(time.perf_counter()).encode()
        asking.send(token)
        while not asking.recv(2048).startswith(token + b" "):
            pass
def http_():
    asking = http.client.HTTPConnection(host, port, timeout=1)
    try:
        asking.request("GET", "/")
        assert asking.getresponse().read()
    finally:
        asking.close()
def ask(how, result, served):
    last = time.perf_counter()
    while not end.is_set():
        begun = time.perf_counter()
        result["asked"] += 1
        try:
            how()
        except Exception as error:
            result["lost"].append(type(error).__name__)
        else:
            now = time.perf_counter()
            result["gap"], last = max(result["gap"], now - last), now
            served.set()
        end.wait(max(0, begun + 0.01 - time.perf_counter()))
results, threads = {}, []
for name, how in (("udp", udp), ("http", http_)):
    results[name] = {"asked": 0, "lost": [], "gap": 0.0}
    served = threading.Event()
    threads.append(threading.Thread(target=ask, args=(how, results[name], served)))
    threads[-1].start()
    served.wait(30)
print("served", flush=True)
sys.stdin.readline()
end.set()
for thread in threads:
    thread.join()
print(json.dumps(results))
"""


def markdown(result: Mapping[str, Any]) -> str:
    """The section of the page."""
    runs = 1 + max(one["pair"] for one in result["failovers"])
    lines = [
        "## Failover",
        "",
        f"Two nodes in two availability zones, one overlay IP, the route tables of both zones, {1000 * LATENCY:.0f} ms latency of",
        "EC2's API, `fence_aws`, Corosync's token of 1 s, and the configuration of `crm-examples/overlay-ip.crm`; for the peer",
        f"its primitive in that place. {runs} runs of each, the agents in turns. Consumers in both zones and on premises ask",
        f"over TCP, UDP and ICMP every {1000 * INTERVAL:.0f} ms. The gap is from the last answer of the old node to the first",
        "of the new one: the median of all consumers and protocols, and the worst of them. Seconds: median (least to greatest).",
        "",
        "| failover | agent | gap | worst gap | ratio of gaps |",
        "|---|---|---|---|---|",
    ]
    names = list(dict.fromkeys(one["what"] for one in result["failovers"]))
    for what in names:
        gaps = {
            agent: {
                one["pair"]: one["gap"] for one in result["failovers"] if (one["what"], one["agent"]) == (what, agent)
            }
            for agent in (OURS, PEER)
        }
        ratio = spread(gaps[PEER][pair] / gaps[OURS][pair] for pair in gaps[OURS]).median
        for agent in (OURS, PEER):
            found = [one for one in result["failovers"] if (one["what"], one["agent"]) == (what, agent)]
            cells = [_seconds(one[key] for one in found) for key in ("gap", "worst")]
            lines.append(
                f"| {what} | {agent} | {cells[0]} | {cells[1]} | {f'1/{ratio:.1f}' if agent == OURS else ''} |"
            )
    lines += [
        "",
        "Where the time goes, from the command or the power cut until the last consumer is served; medians, in seconds:",
        "",
        f"| failover | agent | {' | '.join(PHASES)} |",
        f"|---|---|{'---|' * len(PHASES)}",
    ]
    for what in names:
        for agent in (OURS, PEER):
            medians = _medians(result, what, agent)
            cells = [f"{medians[name]:.2f}" if name in medians else "" for name in PHASES]
            lines.append(f"| {what} | {agent} | {' | '.join(cells)} |")
    lines += [
        "",
        "Detection: until Pacemaker knows that the node is lost. Fencing: until `fence_aws` has seen the instance stopped.",
        "Scheduling: what Pacemaker takes between the operations. Stop: the agent's, on the old node. Agent: from the start",
        "operation to the first write to EC2. API: from there to the answer to the last write; in the peer's case with the",
        "seconds that it sleeps between tables. Network: from there until the last consumer is served; in the peer's case with",
        "the second that it sleeps before it configures the address.",
        "",
        "![Where the time goes](performance/failover.svg)",
        "",
        "### Make before break",
        "",
        f"Planned moves with `allow-migrate=true` (`crm-examples/make-before-break.crm`), {len(result['moves'])} of them, both ways.",
        "Each consumer sends a UDP and an HTTP request every 10 ms, the latter each over a new connection. Lost is what",
        "fails, or has no answer within a second.",
        "",
        "| protocol | requests | lost | longest time without an answer, median of the moves (greatest) |",
        "|---|---|---|---|",
    ]
    lines += [f"| {protocol.upper()} | {losses(result['moves'], protocol)} |" for protocol in ("udp", "http")]
    lines += [
        "",
        f"Lost by: {reasons(result['moves'], ('udp', 'http'))}.",
        "",
        "aws-vpc-move-ip has no `migrate_to`: its planned move is the one above. A connection that is open while the route",
        "moves belongs to the node that accepted it, and is reset by the other one; so is a short request that is under way in",
        "that very moment. No agent can change that: let clients ask again.",
    ]
    return "\n".join(lines) + "\n"


def losses(moved: Sequence[Mapping[str, Any]], protocol: str) -> str:
    """Of moves: requests, lost ones, and the longest time without an answer, as cells of a table."""
    found = [one[protocol] for one in moved]
    gap = spread(1000 * one["gap"] for one in found)
    asked, lost = sum(one["asked"] for one in found), sum(len(one["lost"]) for one in found)
    return f"{asked} | {lost} | {gap.median:.0f} ms ({gap.greatest:.0f} ms)"


def reasons(moved: Sequence[Mapping[str, Any]], protocols: Sequence[str]) -> str:
    """By which errors requests were lost, most frequent first."""
    counted = collections.Counter(error for one in moved for name in protocols for error in one[name]["lost"])
    return ", ".join(f"{error} ({count})" for error, count in counted.most_common()) or "nothing was lost"


def _seconds(values: Iterable[float]) -> str:
    found = spread(values)
    return f"{found.median:.2f} ({found.least:.2f} to {found.greatest:.2f})"


def _medians(result: Mapping[str, Any], what: str, agent: str) -> Dict[str, float]:
    found = [one["phases"] for one in result["failovers"] if (one["what"], one["agent"]) == (what, agent)]
    return {name: spread(one[name] for one in found).median for name in PHASES if name in found[0]}


def plots(result: Mapping[str, Any], directory: Path) -> None:
    """Where the time goes, as failover.svg."""
    from matplotlib.figure import Figure  # noqa: PLC0415  slow, and not needed to measure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.add_subplot()
    bars = [
        (what, agent) for what in dict.fromkeys(one["what"] for one in result["failovers"]) for agent in (OURS, PEER)
    ]
    left = [0.0] * len(bars)
    for number, phase in enumerate(PHASES):
        widths = [max(0.0, _medians(result, *bar).get(phase, 0.0)) for bar in bars]
        axes.barh([f"{what}\n{agent}" for what, agent in bars], widths, left=left, label=phase, color=f"C{number}")
        left = [one + two for one, two in zip(left, widths)]
    axes.invert_yaxis()
    axes.set(xlabel="seconds until the last consumer is served")
    axes.legend(ncols=len(PHASES), fontsize="small", loc="upper center", bbox_to_anchor=(0.45, 1.2))
    figure.savefig(directory / "failover.svg", metadata={"Date": None})
