"""What must hold in a lab after anything that was done to it, as questions to a `Snapshot`.

`Auditor` gathers; `complaints` judges, and is pure: what it cannot find wrong, it would not find in a lab either. An
audit looks at state that may just be changing, and so it looks twice: what was wrong both times is wrong. Whether two
nodes held an address for a moment, between two looks or before the first, is what the answers tell (`tenure`).
"""

from __future__ import annotations

import json
import re
import select
import time
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Callable, Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

from vpc_lab.errors import LabError
from vpc_lab.judge.expectations import Expectations
from vpc_lab.lab import Lab, files_below
from vpc_lab.status import Status
from vpc_lab.waiting import eventually

# Lines of Pacemaker's and Corosync's logs that no scenario of the lab explains.
BAD_NEWS = re.compile(
    r"\bcrit(ical)?:|core dumped|segfault|assert(ion)?\b.*fail|Traceback|unexpectedly|respawn|"
    r"unhandled|Unable to (fork|execute)|exit_reason=.*Traceback|Cluster is now split",
    re.IGNORECASE,
)
# The daemons that process 1 of a node starts; whatever else has process 1 as its parent has lost its own.
# The system bus is there where a configuration has resources of class systemd (rehearsal/programs/system_bus.py).
DAEMONS = frozenset(("corosync", "pacemakerd", "system_bus"))
# HA_RSCTMP of Debian's resource agents, and what is meant to stay there: the agent's records, other agents' state. A
# service has a few of them, which are written anew; one that makes another each time would look the same but for that.
TEMPORARY = "/run/resource-agents"
_RECORDS = re.compile(r"aws-ipfailover-.*\.json|.*\.(state|pid|lock)")
_RECORDS_EACH = 6
# Where other temporary files are made. What was there before is somebody else's.
_OTHERS_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - the instance's own
# Rules that every network namespace has (ip-rule(8)), and tables whose routes the kernel or the boot made.
_RULES = frozenset((0, 32766, 32767))
_TABLES = frozenset(("main", "local", "default"))
# How much a supervisor may grow: orders and API calls are under way at any time, each in a thread and on a socket.
_DESCRIPTORS, _THREADS = 24, 12
# Between two looks: longer than an agent needs for its last steps.
PAUSE = 2.0
_MOST_LINES = 100
STRICT = Expectations()


@dataclass(frozen=True)
class Process:
    """What the supervisor's process takes."""

    descriptors: int
    threads: int


@dataclass(frozen=True)
class Holding:
    """Who has an address, by everybody who can tell; names of nodes.

    `started`: where Pacemaker has its resource started, None where nowhere or where nobody was asked. `leads_to`: who
    it is in EC2's eyes, by a route table's id or another name for the source; a table without the route is left out.
    `unrouted`: the tables that had a route for it when the auditor began, and have none now.
    """

    devices: FrozenSet[str] = frozenset()
    started: Optional[str] = None
    known: bool = False
    leads_to: Mapping[str, str] = field(default_factory=dict)
    unrouted: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """What an auditor saw. Mappings are by the instance's name, where nothing else is said."""

    # By the address.
    holdings: Mapping[str, Holding] = field(default_factory=dict)
    # Addresses, routing rules and routes of further tables that a node has and its boot did not make. Those that a
    # service's node has for it are left out.
    leftovers: Mapping[str, Tuple[str, ...]] = field(default_factory=dict)
    # Processes whose parent has ended, as "pid command".
    orphans: Mapping[str, Tuple[str, ...]] = field(default_factory=dict)
    # Files under HA_RSCTMP that are no records, and those in other temporary places that were not there before.
    temporary: Mapping[str, Tuple[str, ...]] = field(default_factory=dict)
    # How many records there are under HA_RSCTMP, and the number of services that they are of.
    records: Mapping[str, int] = field(default_factory=dict)
    services: int = 1
    # Bad news logged since the auditor began.
    log: Mapping[str, Tuple[str, ...]] = field(default_factory=dict)
    # False where no node could tell how the cluster is: neither `holdings` nor `fail_counts` can be relied on then.
    cluster_known: bool = True
    # Fail counts that are not 0, by resource and node.
    fail_counts: Mapping[Tuple[str, str], str] = field(default_factory=dict)
    # Instances that somebody stopped through EC2's API, in order.
    fenced: Tuple[str, ...] = ()
    # What went wrong inside the lab itself.
    errors: Tuple[str, ...] = ()
    # The supervisor when the auditor began, and now.
    processes: Optional[Tuple[Process, Process]] = None


def complaints(seen: Snapshot, expected: Expectations = STRICT, *, over: bool = True) -> List[str]:
    """A sentence for everything that is wrong; empty when all is well.

    `over`: nothing more is to come, so that an excuse that was not needed is told, and a fencing that was missing.
    """
    return [sentence for _, sentence in _complaints(seen, expected, over=over)]


def _complaints(seen: Snapshot, expected: Expectations, *, over: bool) -> List[Tuple[str, str]]:
    """The sentences, each with what tells it from others in another look: without a number that may change."""
    found = [(sentence, sentence) for sentence in _constant_complaints(seen, expected, over=over)]
    for node, records in sorted(seen.records.items()):
        if records > _RECORDS_EACH * seen.services:
            many = f"{node} has {records} records in {TEMPORARY}, and {seen.services} services to have them"
            found.append((f"records of {node}", many))
    if expected.fail_counts is not None:
        for (resource, node), count in sorted(seen.fail_counts.items()):
            most = expected.fail_counts.get(resource, 0)
            if count == "INFINITY" or int(count) > most:
                text = f"{resource} has a fail count of {count} on {node}, and may have {most}"
                found.append((f"fail count of {resource} on {node}", text))
    if seen.processes is not None:
        before, now = seen.processes
        if now.descriptors > before.descriptors + _DESCRIPTORS:
            text = f"the supervisor has {now.descriptors} open files, and had {before.descriptors}"
            found.append(("open files", text))
        if now.threads > before.threads + _THREADS:
            found.append(("threads", f"the supervisor has {now.threads} threads, and had {before.threads}"))
    return found


def _constant_complaints(seen: Snapshot, expected: Expectations, *, over: bool) -> List[str]:
    found: List[str] = []
    for address, holding in sorted(seen.holdings.items()):
        found += _disagreements(address, holding)
    for node, things in sorted(seen.leftovers.items()):
        found.extend(f"{node} has what nothing on it needs: {thing}" for thing in things)
    for node, processes in sorted(seen.orphans.items()):
        found.extend(f"{node} has an orphan process: {process}" for process in processes)
    for node, files in sorted(seen.temporary.items()):
        found.extend(f"{node} has a temporary file that nobody removed: {file}" for file in files)
    found += _bad_news(seen, expected, over=over)
    if not seen.cluster_known:
        found.append("no node can tell how the cluster is, so that neither starts nor fail counts can be judged")
    found.extend(f"{name} was fenced" for name in seen.fenced if name not in expected.may_be_fenced)
    if over:
        found.extend(f"{name} was not fenced" for name in expected.must_be_fenced if name not in seen.fenced)
    found.extend(f"the lab itself failed: {error}" for error in seen.errors)
    return found


def _disagreements(address: str, holding: Holding) -> List[str]:
    devices = sorted(holding.devices)
    if len(devices) > 1:
        return [f"{address} is on {' and '.join(devices)} at the same time"]
    if not holding.known:
        return []
    if holding.started is None:
        return [f"{address} is on {node}, and Pacemaker has it started nowhere" for node in devices]
    found = []
    if devices != [holding.started]:
        where = devices[0] if devices else "no node"
        found.append(f"{address} is on {where}, and Pacemaker has it started on {holding.started}")
    found += [
        f"{source} leads {address} to {node}, and Pacemaker has it started on {holding.started}"
        for source, node in sorted(holding.leads_to.items())
        if node != holding.started
    ]
    found += [
        f"{table} has no route for {address} any more, and Pacemaker has it started on {holding.started}"
        for table in sorted(holding.unrouted)
    ]
    if not holding.leads_to:
        found.append(f"nothing in EC2 leads {address} to {holding.started}, where Pacemaker has it started")
    return found


def _bad_news(seen: Snapshot, expected: Expectations, *, over: bool) -> List[str]:
    found: List[str] = []
    needed = set()
    for node, lines in sorted(seen.log.items()):
        for line in lines:
            excuses = [excuse.name for excuse in expected.excuses if re.search(excuse.pattern, line)]
            needed.update(excuses)
            if not excuses:
                found.append(f"{node} logged bad news: {line}")
    if over:
        found += [
            f"nothing was logged that '{excuse.name}' would have excused"
            for excuse in expected.excuses
            if excuse.name not in needed
        ]
    return found


class Auditor:
    """Watches one lab from the moment it is made (or `restart`ed).

    `resources` are those that hold the addresses; without them nobody is asked who is to hold one.
    """

    def __init__(self, lab: Lab, addresses: Sequence[str], resources: Mapping[str, Sequence[str]] = {}) -> None:
        self._lab = lab
        self._addresses = tuple(addresses)
        self._resources = {address: name for name, held in resources.items() for address in held}
        self._since = 0.0
        self._offsets: Dict[str, int] = {}
        self._bad_news: Dict[str, List[str]] = {}
        status = lab.status()
        # Everything that may move, also what this audit is not about.
        self._services = frozenset((*addresses, *status.routes, *status.service.addresses))
        self._own = {name: held(lab, name) - self._services for name in lab.awake_nodes()}
        # The tables that have a route for each address: a service's start writes all of its own.
        self._routed = {address: _routed(status, address) for address in self._addresses}
        self._files = {name: frozenset(files(lab, name, *_OTHERS_TEMPORARY)) for name in lab.awake_nodes()}
        self._process = self._supervisor()
        self.restart()

    def restart(self) -> None:
        """Forget what was logged and fenced up to now."""
        self._since = time.time()
        self._offsets = {str(path): path.stat().st_size for name in self._lab.nodes() for path in self._logs(name)}
        self._bad_news = {name: [] for name in self._lab.nodes()}

    def _logs(self, name: str) -> List[Path]:
        top = self._lab.disk(name) / "var/log"
        return [path for path in files_below(top) if path.match("var/log/*/*.log")]

    def _supervisor(self) -> Process:
        process = Path(f"/proc/{self._lab.supervisor_pid()}")
        status = (process / "status").read_text(encoding="ascii")
        threads = next(line.split()[1] for line in status.splitlines() if line.startswith("Threads:"))
        return Process(len(list((process / "fd").iterdir())), int(threads))

    def _does_not_run(self, name: str) -> bool:
        return name not in self._lab.awake_nodes()

    def snapshot(self) -> Snapshot:
        """Look now."""
        addresses: Dict[str, FrozenSet[str]] = {}
        leftovers: Dict[str, Tuple[str, ...]] = {}
        orphans: Dict[str, Tuple[str, ...]] = {}
        temporary: Dict[str, Tuple[str, ...]] = {}
        records: Dict[str, int] = {}
        for name in self._lab.awake_nodes():
            try:
                addresses[name] = held(self._lab, name)
                leftovers[name] = self._leftovers(name, addresses[name])
                orphans[name] = orphan_processes(self._lab, name)
                temporary[name], records[name] = self._temporary(name)
            except LabError:
                # It may have lost its power while we looked: then nothing runs there. Otherwise we may not look away.
                eventually(f"an answer of {name}", partial(self._does_not_run, name), 3)
                addresses.pop(name, None)
        self._read_logs()
        status = self._lab.status()
        ids = {one.instance_id: one.name for one in status.instances}
        fenced = tuple(
            ids[value]
            for call in self._lab.calls(self._since)
            if call["action"] == "StopInstances" and call["outcome"] == "ok"
            for key, value in call["parameters"].items()
            if key.startswith("InstanceId.")
        )
        cluster = self._lab.cluster_status()
        where = None if cluster is None else cluster.where
        return Snapshot(
            holdings={address: self._holding(address, addresses, where, status) for address in self._addresses},
            leftovers=leftovers,
            orphans=orphans,
            temporary=temporary,
            records=records,
            services=max(1, len(self._addresses)),
            log={name: tuple(lines) for name, lines in self._bad_news.items()},
            cluster_known=cluster is not None or not self._resources,
            fail_counts={
                (resource, node): count
                for (node, resource), count in (cluster.fail_counts if cluster else {}).items()
                if count != "0"
            },
            fenced=fenced,
            errors=status.errors,
            processes=(self._process, self._supervisor()),
        )

    def _leftovers(self, name: str, addresses: FrozenSet[str]) -> Tuple[str, ...]:
        """What a node has that its boot did not make: addresses; and rules and tables, unless it holds a service."""
        others = addresses - self._own.setdefault(name, addresses - self._services) - self._services
        found = [f"the address {one}" for one in sorted(others) if not ip_address(one).is_link_local]
        if not addresses & self._services:
            found += foreign_rules(self._lab, name)
        return tuple(found)

    def _temporary(self, name: str) -> Tuple[Tuple[str, ...], int]:
        """Temporary files that nobody removed, and how many there are that are meant to stay."""
        found = files(self._lab, name, TEMPORARY)
        left = [path for path in found if not _RECORDS.fullmatch(Path(path).name)]
        more = set(files(self._lab, name, *_OTHERS_TEMPORARY)) - self._files.get(name, frozenset())
        return (*left, *sorted(more)), len(found) - len(left)

    def _read_logs(self) -> None:
        for name in self._lab.nodes():
            for path in self._logs(name):
                with path.open("rb") as file:
                    file.seek(self._offsets.get(str(path), 0))
                    data = file.read()
                end = data.rfind(b"\n") + 1
                self._offsets[str(path)] = self._offsets.get(str(path), 0) + end
                lines = data[:end].decode("utf-8", "replace").splitlines()
                kept = self._bad_news[name]
                kept += [line for line in lines if BAD_NEWS.search(line)][: max(0, _MOST_LINES - len(kept))]

    def _holding(
        self,
        address: str,
        devices: Mapping[str, FrozenSet[str]],
        where: Optional[Callable[[str], Optional[str]]],
        status: Status,
    ) -> Holding:
        holding = Holding(frozenset(name for name, there in devices.items() if address in there))
        if where is None or address not in self._resources:
            return holding
        started = where(self._resources[address])
        there = status.routes.get(address, {})
        unrouted = tuple(one for one in self._routed[address] if one in there and there[one] is None)
        return replace(holding, known=True, started=started, leads_to=leads_to(status, address), unrouted=unrouted)

    def complaints(
        self, expected: Optional[Expectations] = None, *, may_be_fenced: Sequence[str] = (), over: bool = True
    ) -> List[str]:
        """What is wrong, at two looks: the second one only where there is something to see again.

        Without `expected` anything may have a fail count, and only `may_be_fenced` may be fenced.
        """
        judged = expected or Expectations(fail_counts=None, may_be_fenced=tuple(may_be_fenced))
        first = {key for key, _ in _complaints(self.snapshot(), judged, over=over)}
        if not first:
            return []
        select.select([], [], [], PAUSE)
        return [text for key, text in _complaints(self.snapshot(), judged, over=over) if key in first]


def _routed(status: Status, address: str) -> Tuple[str, ...]:
    return tuple(table for table, node in status.routes.get(address, {}).items() if node is not None)


def leads_to(status: Status, address: str) -> Dict[str, str]:
    """Who has `address` in EC2's eyes: by each route table that has a route to it, by its ENI, by its Elastic IP."""
    found = {table: str(node) for table, node in status.routes.get(address, {}).items() if node}
    service = status.service
    if service.holder and address in service.addresses:
        source = "the private address"
        if service.network_interface_id:
            source = "the attachment of the ENI"
        elif service.allocation_id:
            source = "the Elastic IP"
        found[source] = service.holder
    elif address in status.secondary_addresses:
        found["the private address"] = status.secondary_addresses[address]
    return found


def held(lab: Lab, name: str) -> FrozenSet[str]:
    """Every address on any device of an instance, without prefix lengths."""
    links = json.loads(lab.exec(name, ["ip", "-json", "address", "show"]).stdout)
    return frozenset(info["local"] for link in links for info in link.get("addr_info", ()) if "local" in info)


def orphan_processes(lab: Lab, name: str) -> Tuple[str, ...]:
    """Processes of an instance that lost their parent, apart from its daemons; as "pid command"."""
    found = []
    for line in lab.exec(name, ["ps", "-e", "-o", "pid=,ppid=,stat=,comm="]).stdout.splitlines():
        pid, parent, state, command = line.split(None, 3)
        if parent == "1" and command not in DAEMONS and not state.startswith("Z"):
            found.append(f"{pid} {command}")
    return tuple(found)


def files(lab: Lab, name: str, *places: str) -> Tuple[str, ...]:
    """The files in these directories of an instance, and in those below that are of the same file system."""
    paths = lab.exec(name, ["find", *places, "-xdev", "-mindepth", "1", "-type", "f"]).stdout.splitlines()
    return tuple(sorted(paths))


def foreign_rules(lab: Lab, name: str) -> List[str]:
    """Routing rules and tables of an instance that neither the kernel nor its boot made."""
    found = []
    for family in ("-4", "-6"):
        rules = lab.exec(name, ["ip", family, "-json", "rule", "show"]).stdout
        for rule in json.loads(rules or "[]"):
            if rule["priority"] not in _RULES:
                found.append(f"the rule {rule['priority']} to table {rule.get('table')}")
        routes = lab.exec(name, ["ip", family, "-json", "route", "show", "table", "all"]).stdout
        for route in json.loads(routes or "[]"):
            if route.get("table", "main") not in _TABLES:
                found.append(f"the route to {route['dst']} in table {route['table']}")
    return found
