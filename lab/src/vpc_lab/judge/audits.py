"""What must hold in a lab after anything that was done to it, as questions to a `Snapshot`.

`Auditor` gathers; `complaints` judges, and is pure: what it cannot find wrong, it would not find in a lab either.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Dict, FrozenSet, List, Mapping, Sequence, Tuple

from vpc_lab.errors import LabError, LabTimeoutError
from vpc_lab.lab import Lab, files_below
from vpc_lab.waiting import eventually

# Lines of Pacemaker's and Corosync's logs that no scenario of the lab explains.
BAD_NEWS = re.compile(
    r"\bcrit(ical)?:|core dumped|segfault|assert(ion)?\b.*fail|Traceback|unexpectedly|respawn|"
    r"unhandled|Unable to (fork|execute)|exit_reason=.*Traceback|Cluster is now split",
    re.IGNORECASE,
)
# The daemons that process 1 of a node starts; whatever else has process 1 as its parent has lost its own.
DAEMONS = frozenset(("corosync", "pacemakerd"))


@dataclass(frozen=True)
class Snapshot:
    """What an auditor saw. All mappings are by the instance's name."""

    # Service addresses that are on a device of the node, in the nodes that run.
    addresses: Mapping[str, FrozenSet[str]] = field(default_factory=dict)
    # Processes whose parent has ended, as "pid command".
    orphans: Mapping[str, Tuple[str, ...]] = field(default_factory=dict)
    # Lines logged since the auditor began.
    log: Mapping[str, Tuple[str, ...]] = field(default_factory=dict)
    # Instances that somebody stopped through EC2's API, in order.
    fenced: Tuple[str, ...] = ()
    # What went wrong inside the lab itself.
    errors: Tuple[str, ...] = ()


def complaints(seen: Snapshot, *, may_be_fenced: Sequence[str] = ()) -> List[str]:
    """A sentence for everything that is wrong; empty when all is well."""
    found: List[str] = []
    holders: Dict[str, List[str]] = {}
    for node, addresses in seen.addresses.items():
        for address in addresses:
            holders.setdefault(address, []).append(node)
    for address, nodes in sorted(holders.items()):
        if len(nodes) > 1:
            found.append(f"{address} is on {' and '.join(sorted(nodes))} at the same time")
    for node, processes in sorted(seen.orphans.items()):
        found.extend(f"{node} has an orphan process: {process}" for process in processes)
    for node, lines in sorted(seen.log.items()):
        found.extend(f"{node} logged bad news: {line}" for line in lines if BAD_NEWS.search(line))
    found.extend(f"{name} was fenced" for name in seen.fenced if name not in may_be_fenced)
    found.extend(f"the lab itself failed: {error}" for error in seen.errors)
    return found


class Auditor:
    """Watches one lab from the moment it is made (or `restart`ed)."""

    def __init__(self, lab: Lab, addresses: Sequence[str]) -> None:
        self._lab = lab
        self._addresses = frozenset(addresses)
        self._since = 0.0
        self._offsets: Dict[str, int] = {}
        self.restart()

    def restart(self) -> None:
        """Forget what was logged and fenced up to now."""
        self._since = time.time()
        self._offsets = {str(path): path.stat().st_size for name in self._lab.nodes() for path in self._logs(name)}

    def _logs(self, name: str) -> List[Path]:
        top = self._lab.disk(name) / "var/log"
        return [path for path in files_below(top) if path.match("var/log/*/*.log")]

    def _does_not_run(self, name: str) -> bool:
        return name not in self._lab.awake_nodes()

    def snapshot(self) -> Snapshot:
        """Look now."""
        addresses: Dict[str, FrozenSet[str]] = {}
        orphans: Dict[str, Tuple[str, ...]] = {}
        for name in self._lab.awake_nodes():
            try:
                addresses[name] = held(self._lab, name) & self._addresses
                orphans[name] = orphan_processes(self._lab, name)
            except LabError:
                # It may have lost its power while we looked: then nothing runs there. Otherwise we may not look away.
                eventually(f"an answer of {name}", partial(self._does_not_run, name), 3)
                addresses.pop(name, None)
        log: Dict[str, Tuple[str, ...]] = {}
        for name in self._lab.nodes():
            lines: List[str] = []
            for path in self._logs(name):
                with path.open("rb") as file:
                    file.seek(self._offsets.get(str(path), 0))
                    lines += file.read().decode("utf-8", "replace").splitlines()
            log[name] = tuple(lines)
        ids = {one.instance_id: one.name for one in self._lab.status().instances}
        fenced = tuple(
            ids[value]
            for call in self._lab.calls(self._since)
            if call["action"] == "StopInstances" and call["outcome"] == "ok"
            for key, value in call["parameters"].items()
            if key.startswith("InstanceId.")
        )
        return Snapshot(addresses, orphans, log, fenced, self._lab.status().errors)

    def complaints(self, *, may_be_fenced: Sequence[str] = (), within: float = 5.0) -> List[str]:
        """What is wrong, after a moment for actions that are just ending."""
        last: List[str] = []

        def quiet() -> bool:
            last[:] = complaints(self.snapshot(), may_be_fenced=may_be_fenced)
            return not last

        try:
            eventually("a clean audit", quiet, within, every=0.5)
        except LabTimeoutError:
            return last
        return []


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
