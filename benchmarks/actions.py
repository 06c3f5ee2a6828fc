"""How long each action takes as a whole process, beside the peer's, by number of route tables and latency of the API.

EC2 and instance metadata are the lab's, on loopback of a network namespace of their own; EC2 over TLS, and the latency
is added to each of its calls by the server. Both agents get the same tables in the same state, one after the other.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

import boto3
import botocore
from botocore.config import Config

from vpc_lab.ec2.account import Account
from vpc_lab.ec2.faults import Fault
from vpc_lab.ec2.running import RunningAws, environment, start_aws
from vpc_lab.ec2.throttle import Limit
from vpc_lab.ec2.tls import make_certificates
from vpc_lab.scenarios.peer import AGENT as PEER_AGENT
from vpc_lab.topology import topology_for

from . import peer
from .measuring import Launcher, Ran, Spread, spread

AGENT = Path(__file__).parents[1] / "heartbeat" / "aws-ipfailover"
IMDS = "169.254.169.254"
TABLES = (1, 3, 5, 20, 100, 200)
LATENCIES = (0, 50, 200)
PEER_TIMEOUT = 180.0  # seconds: its own, in its metadata
# Of Amazon's documentation: ReplaceRoute's bucket of tokens, and how many come back each second.
BUCKET, REFILL = 50, 5
OURS, PEER = "aws-ipfailover", "aws-vpc-move-ip"
RECURRING = {"OCF_RESKEY_CRM_meta_interval": "10000"}


class Action(NamedTuple):
    """An action of both agents; `held`: the address is here before it."""

    name: str
    action: str
    ours: Mapping[str, str]
    peers: Mapping[str, str]
    expected: int
    held: bool


ACTIONS = (
    Action("start", "start", {}, {}, 0, held=False),
    Action(
        "monitor with API",
        "monitor",
        {**RECURRING, "OCF_CHECK_LEVEL": "10"},
        {**RECURRING, "OCF_RESKEY_monapi": "true"},
        0,
        held=True,
    ),
    Action("monitor", "monitor", RECURRING, RECURRING, 0, held=True),
    Action("probe", "monitor", {}, {}, 7, held=False),
    Action("stop", "stop", {}, {}, 0, held=True),
)


def measure(out: Callable[[str], None], quick: bool) -> Dict[str, Any]:
    """Run everything, in a network namespace of its own; rows of single measurements."""
    peer.require()
    with tempfile.TemporaryDirectory() as directory:
        result = Path(directory) / "result.json"
        command = ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, "-m", __name__]
        with subprocess.Popen([*command, str(result), *(["quick"] if quick else [])], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            for line in child.stdout:
                out(line.decode().rstrip())
        if child.returncode != 0:
            sys.exit(f"benchmarks.actions failed with {child.returncode}")
        return dict(json.loads(result.read_text(encoding="utf-8")))


def main() -> None:
    """Inside the namespace."""
    quick = sys.argv[2:] == ["quick"]
    for command in (
        ["mount", "-t", "sysfs", "sysfs", "/sys"],  # the peer looks up MAC addresses there
        ["ip", "link", "set", "dev", "lo", "up"],
        ["ip", "address", "add", f"{IMDS}/32", "dev", "lo"],
        ["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "fabric"],
        ["ip", "link", "set", "dev", "eth0", "up"],
    ):
        subprocess.run(command, check=True)
    result: Dict[str, Any] = {"rows": [], "plain": {}, "bucket": {}}
    with tempfile.TemporaryDirectory() as directory:
        for tables in (1, 5) if quick else TABLES:
            with Bench.running(Path(directory), tables) as bench:
                for latency in (50,) if quick else LATENCIES:
                    bench.rows(latency, quick, result["rows"])
                if tables == 1:
                    result["plain"] = bench.plain(3 if quick else 15)
                if tables == TABLES[-1]:
                    result["bucket"] = bench.bucket()
    Path(sys.argv[1]).write_text(json.dumps(result), encoding="utf-8")


class Bench:
    """Both agents, an AWS, and a number of route tables."""

    def __init__(self, aws: RunningAws, launcher: Launcher, directory: Path, bundle: Path, tables: int) -> None:
        self.aws = aws
        self._launcher = launcher
        self.tables = aws.account.route_table_ids[:tables]
        region, ip = aws.account.topology.region, str(aws.account.topology.overlay)
        common = {
            "PATH": os.environ["PATH"],
            "OCF_ROOT": "/usr/lib/ocf",
            "OCF_RESOURCE_INSTANCE": "ip",
            "HA_RSCTMP": str(directory / "memory"),
            "HA_LOGFILE": "/dev/null",
            "OCF_RESKEY_CRM_meta_timeout": "180000",
            **environment(aws.ec2_url, f"http://{IMDS}"),
            "AWS_CA_BUNDLE": str(bundle),
            **peer.write_profile(directory, region),
        }
        self.environments = {
            OURS: {**common, **_parameters({"ip": ip, "routing_table": ",".join(self.tables)})},
            PEER: {**common, **_parameters({**peer.parameters(ip, self.tables), "region": region})},
        }
        self.commands = {OURS: [sys.executable, str(AGENT)], PEER: [str(PEER_AGENT)]}
        self._elsewhere = aws.account.instance("node2").network_interface_id
        self._ip = ip
        self._client: Any = boto3.client(
            "ec2",
            region_name=region,
            endpoint_url=aws.ec2_url,
            verify=str(bundle),
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="secret",
            config=Config(retries={"total_max_attempts": 1}),
        )
        for table in self.tables:
            self._client.create_route(
                RouteTableId=table, DestinationCidrBlock=f"{ip}/32", NetworkInterfaceId=self._elsewhere
            )

    @classmethod
    @contextlib.contextmanager
    def running(cls, directory: Path, tables: int) -> Iterator[Bench]:
        """With an AWS that has so many tables."""
        certificates = make_certificates(directory / "tls", ["127.0.0.1"])
        # As long as the list that everybody reads.
        sdks = Path(botocore.__file__).parent / "cacert.pem"
        bundle = directory / "bundle.pem"
        bundle.write_bytes(certificates.authority.read_bytes() + sdks.read_bytes())
        (directory / "memory").mkdir(exist_ok=True)
        account = Account(topology_for(extra_route_tables=max(0, tables - 2)))
        mac = account.instance("node1").mac
        subprocess.run(["ip", "link", "set", "dev", "eth0", "address", mac], check=True)
        aws = start_aws(account, imds_addresses=((IMDS, 80),), tls=certificates.server_context(), who=lambda _: "node1")
        launcher = Launcher()
        try:
            yield cls(aws, launcher, directory, bundle, tables)
        finally:
            launcher.close()
            aws.close()

    def rows(self, latency: int, quick: bool, into: List[Dict[str, Any]]) -> None:
        """Every action of both agents, in pairs."""
        peer_is_late = False
        for action in ACTIONS:
            for number in range(runs(action, len(self.tables), latency, quick)):
                for agent in (OURS, PEER):
                    if agent == PEER and (number >= peer_runs(action, len(self.tables), latency) or peer_is_late):
                        continue
                    try:
                        ran, calls = self._once(agent, action, latency)
                    except TimeoutError:
                        peer_is_late = True
                        ran, calls = None, 0
                    row = {
                        "agent": agent,
                        "action": action.name,
                        "tables": len(self.tables),
                        "latency": latency,
                        "pair": number,
                        "calls": calls,
                    }
                    into.append({**row, **(vars(ran) if ran else {"late": True})})
                    shown = f"{ran.wall:.3f} s, {calls} calls" if ran else f"killed after {PEER_TIMEOUT:.0f} s"
                    say(f"{agent} {action.name}, {len(self.tables)} tables, {latency} ms: {shown}")

    def plain(self, times: int) -> Dict[str, List[float]]:
        """Seconds of Python that does nothing, of the least that a local action and a start take, and of our start."""
        found: Dict[str, List[float]] = {"nothing": [], "local": [], "cloud": [], "start": []}
        codes = {"nothing": "pass", "local": _LOCAL, "cloud": _CLOUD.format(url=self.aws.ec2_url)}
        for _ in range(times):
            for name, code in codes.items():
                found[name].append(self._run([sys.executable, "-c", code], OURS, 0).wall)
            found["start"].append(self._once(OURS, ACTIONS[0], 0)[0].wall)
        return found

    def bucket(self) -> Dict[str, Any]:
        """A start under EC2's documented bucket for ReplaceRoute."""
        self._reset(ACTIONS[0])
        with self._latency(50):
            self.aws.throttle.limit(Limit())
            try:
                self.aws.calls.clear()
                ran = self._run([*self.commands[OURS], "start"], OURS, 0)
            finally:
                self.aws.throttle.limit()
        calls = [call for call in self.aws.calls() if call.action == "ReplaceRoute"]
        refused = sum("RequestLimitExceeded" in str(call.outcome) for call in calls)
        say(f"{OURS} start, throttled: {ran.wall:.1f} s, {len(calls)} calls, {refused} refused")
        return {"tables": len(self.tables), "wall": ran.wall, "calls": len(calls), "refused": refused}

    def _once(self, agent: str, action: Action, latency: int) -> Any:
        self._reset(action)
        with self._latency(latency):
            self.aws.calls.clear()
            own = action.ours if agent == OURS else action.peers
            ran = self._run([*self.commands[agent], action.action], agent, action.expected, own)
        return ran, sum(call.service == "ec2" for call in self.aws.calls())

    def _reset(self, action: Action) -> None:
        """The routes lead to the other node and the address is nowhere; or both are here."""
        subprocess.run(["ip", "address", "flush", "dev", "eth0"], check=True)
        eni = self._elsewhere
        if action.held:
            subprocess.run(["ip", "address", "add", f"{self._ip}/32", "dev", "eth0"], check=True)
            eni = self.aws.account.instance("node1").network_interface_id
        for table in self.tables:
            self._client.replace_route(
                RouteTableId=table, DestinationCidrBlock=f"{self._ip}/32", NetworkInterfaceId=eni
            )

    @contextlib.contextmanager
    def _latency(self, milliseconds: int) -> Iterator[None]:
        self.aws.faults.add(Fault("latency", service="ec2", seconds=milliseconds / 1000))
        try:
            yield
        finally:
            self.aws.faults.clear()

    def _run(self, command: Sequence[str], agent: str, expected: int, more: Optional[Mapping[str, str]] = None) -> Ran:
        environment = {**self.environments[agent], **(more or {})}
        return self._launcher.run(command, environment, expected, PEER_TIMEOUT)


# The kernel's addresses, as iproute2 tells them.
_LOCAL = """
import ipaddress, json, subprocess
json.loads(subprocess.run(["ip", "-json", "address", "show"], capture_output=True).stdout)
"""
# The SDK, and one HTTPS request by what it uses itself; the answer, which is a refusal, ends the round trip.
_CLOUD = """
import os, botocore.session, urllib3
pool = urllib3.PoolManager(ca_certs=os.environ["AWS_CA_BUNDLE"], retries=False)
pool.request("POST", {url!r}, fields={{"Action": "DescribeVpcs"}}, encode_multipart=False)
"""


def runs(action: Action, tables: int, latency: int, quick: bool) -> int:
    """How many pairs."""
    if quick:
        return 2
    return 11 if tables <= 5 else 5


def peer_runs(action: Action, tables: int, latency: int) -> int:
    """In how many of the pairs the peer takes part: it sleeps for seconds, and varies little."""
    if action.name in ("monitor", "stop"):  # without the API: the same for every number of tables and latency
        return 11 if (tables, latency) == (3, 50) else 0
    if tables <= 5:
        return 5 if latency == 50 else 2
    if action.name == "start":
        return 1 if tables == 20 or (tables == 100 and latency == 50) else 0
    return 0


def _parameters(values: Mapping[str, str]) -> Dict[str, str]:
    return {f"OCF_RESKEY_{name}": value for name, value in values.items()}


def say(text: str) -> None:
    """One line, at once."""
    print(text, flush=True)


def markdown(result: Mapping[str, Any]) -> str:
    """The section of the page."""
    rows, plain = result["rows"], {name: spread(values) for name, values in result["plain"].items()}
    lines = [
        "## Actions",
        "",
        "Whole processes, as Pacemaker starts them. Both agents take turns with the same tables in the same state.",
        "Milliseconds: median (least to greatest). The ratio is the median over the pairs. The last columns are processor",
        "time in milliseconds, the memory of the largest process in MB, and calls of EC2, each ours / the peer's.",
        "",
        "| action | tables | latency | aws-ipfailover | aws-vpc-move-ip | ratio | processor | memory | calls |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for key in dict.fromkeys((row["action"], row["tables"], row["latency"]) for row in rows):
        lines.append(_line(key, _cells(rows, key)))
    lines += [
        "",
        f"aws-vpc-move-ip sleeps for a second after each call, and is killed after {PEER_TIMEOUT:.0f} s, the timeout of",
        "its own metadata. Its monitor and stop depend neither on tables nor on latency, and were measured with 3 tables.",
        "",
        "![Time to start by number of route tables](performance/actions.svg)",
        "",
        "### The floor",
        "",
        "| process | ms |",
        "|---|---|",
        f"| `python3 -c pass` | {_ms(plain['nothing'])} |",
        f"| Python, and `ip -json address show` read | {_ms(plain['local'])} |",
        f"| Python, `import botocore.session`, and one HTTPS request | {_ms(plain['cloud'])} |",
        f"| start, one table, no latency | {_ms(plain['start'])} |",
        "",
        *_reached(rows, result["plain"], result["bucket"]),
    ]
    return "\n".join(lines) + "\n"


def _cells(rows: Sequence[Mapping[str, Any]], key: Sequence[Any]) -> Dict[str, List[Mapping[str, Any]]]:
    found = [row for row in rows if (row["action"], row["tables"], row["latency"]) == tuple(key)]
    return {agent: [row for row in found if row["agent"] == agent] for agent in (OURS, PEER)}


def _ratios(cells: Mapping[str, Sequence[Mapping[str, Any]]]) -> List[float]:
    ours = {row["pair"]: row["wall"] for row in cells[OURS]}
    return [row["wall"] / ours[row["pair"]] for row in cells[PEER] if "wall" in row]


def _line(key: Sequence[Any], cells: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    action, tables, latency = key
    shown, cpu, memory, calls = [], [], [], []
    for agent in (OURS, PEER):
        done = [row for row in cells[agent] if "wall" in row]
        if done:
            shown.append(_ms(spread(row["wall"] for row in done)))
            cpu.append(f"{1000 * spread(row['cpu'] for row in done).median:.0f}")
            memory.append(f"{spread(row['peak_kb'] for row in done).median / 1024:.0f}")
            calls.append(f"{spread(row['calls'] for row in done).median:.0f}")
        elif cells[agent]:
            shown.append(f"killed after {PEER_TIMEOUT:.0f} s")
        else:
            shown.append("")
    ratios = _ratios(cells)
    ratio = f"1/{spread(ratios).median:.1f}" if ratios else ""
    return (
        f"| {action} | {tables} | {latency} ms | {shown[0]} | {shown[1]} | {ratio}"
        f" | {' / '.join(cpu)} | {' / '.join(memory)} | {' / '.join(calls)} |"
    )


def _ms(found: Spread) -> str:
    return f"{1000 * found.median:.0f} ({1000 * found.least:.0f} to {1000 * found.greatest:.0f})"


def _reached(
    rows: Sequence[Mapping[str, Any]], plain: Mapping[str, Sequence[float]], bucket: Mapping[str, Any]
) -> List[str]:
    """What was aimed at, and what this run says of it."""
    lines = ["### What was aimed at", "", "| what | aim | this run | |", "|---|---|---|---|"]

    def add(what: str, aim: str, found: str, *, reached: bool) -> None:
        lines.append(f"| {what} | {aim} | {found} | {'reached' if reached else 'not reached'} |")

    for action, tables, least in (("start", 1, 8), ("start", 5, 30), ("monitor with API", 3, 10)):
        ratios = _ratios(_cells(rows, (action, tables, 50)))
        if ratios:
            ratio = spread(ratios).median
            word = "table" if tables == 1 else "tables"
            add(
                f"{action}, {tables} {word}, 50 ms",
                f"1/{least} of the peer's",
                f"1/{ratio:.1f}",
                reached=ratio >= least,
            )
    for action in ("probe", "monitor", "stop"):
        ratios = _ratios(_cells(rows, (action, 3, 50)))
        own = [row["wall"] for row in rows if row["agent"] == OURS and row["action"] == action]
        beyond = 1000 * (spread(own).median - spread(plain["nothing"]).median)
        if ratios:
            part = 1 / spread(ratios).median
            add(f"{action}, 3 tables, 50 ms", "half of the peer's", f"{part:.2f} of it", reached=part <= 0.5)
        add(f"{action}, all", "40 ms beyond `python3 -c pass`", f"{beyond:.0f} ms", reached=beyond <= 40)
    beyond = 1000 * spread(one - two for one, two in zip(plain["start"], plain["cloud"])).median
    add("start beyond the floor", "150 ms", f"{beyond:.0f} ms", reached=beyond < 150)
    many = [row["wall"] for row in rows if (row["agent"], row["action"], row["tables"]) == (OURS, "start", 200)]
    if many:
        slowest = max(many)
        add("start, 200 tables, unthrottled, any latency", "4 s", f"{slowest:.1f} s at most", reached=slowest < 4)
    if bucket:
        floor = (bucket["tables"] - BUCKET) / REFILL
        found = f"{bucket['wall']:.1f} s, {bucket['refused']} calls refused"
        add(
            f"start, {bucket['tables']} tables, bucket of {BUCKET}, {REFILL} a second",
            f"1.2 times {floor:.0f} s",
            found,
            reached=bucket["wall"] <= 1.2 * floor,
        )
    lines += [
        "",
        "A monitor and a stop that ask nobody are mostly the start of Python and of its own modules: compare them with the",
        "second row of the floor, which no agent in Python that asks `ip` can undercut.",
    ]
    return lines


def plots(result: Mapping[str, Any], directory: Path) -> None:
    """Time to start by number of tables, as actions.svg."""
    from matplotlib.figure import Figure  # noqa: PLC0415  not for the process inside the namespace

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for agent, marker in ((OURS, "o"), (PEER, "s")):
        for latency, style in zip(LATENCIES, (":", "-", "--")):
            medians: Dict[int, List[float]] = {}
            for row in result["rows"]:
                if (row["agent"], row["action"], row["latency"]) == (agent, "start", latency) and "wall" in row:
                    medians.setdefault(row["tables"], []).append(row["wall"])
            if medians:
                axes.plot(
                    list(medians),
                    [spread(values).median for values in medians.values()],
                    style + marker,
                    color="C0" if agent == OURS else "C1",
                    label=f"{agent}, {latency} ms",
                )
    axes.set(xscale="log", yscale="log", xlabel="route tables", ylabel="start, seconds")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(directory / "actions.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
