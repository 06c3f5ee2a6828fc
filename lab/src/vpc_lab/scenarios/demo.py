"""The demonstration: a cluster loses its active node, and its clients keep their address.

A planned move first, then a power failure with real fencing; consumers in both availability zones and on premises ask
"who are you?" all the time. Prints what they saw and what happened when, writes the same as JSON, and fails when an
answer was lost for good, came from a wrong node, or the lab's audit finds something.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from vpc_lab import examples
from vpc_lab.errors import LabError
from vpc_lab.faults import Crash
from vpc_lab.judge.audits import Auditor
from vpc_lab.judge.timeline import COROSYNC, Moment, of_answers, of_events, of_log, pacemaker_patterns, timeline
from vpc_lab.lab import Lab
from vpc_lab.scenarios.narrator import Narrator, narrator
from vpc_lab.settings import Settings
from vpc_lab.topology import Layout, Mode, Topology, topology_for
from vpc_lab.traffic.analysis import Row, Switch, overlap_ms, rows
from vpc_lab.traffic.recorder import INTERVAL, Measurement
from vpc_lab.vpc import Address

AGENT = "ocf:heartbeat:aws-ipfailover"
JSON_FILE = Path("demo.json")
LEAD = 1.0  # seconds before the trigger that a failover's figures look back to
PLANNED_WITHIN = 60.0
FENCED_WITHIN = 120.0
# What EC2 takes for an ENI in the demonstration.
SLOW = Settings(attach_seconds=1.0, detach_seconds=2.0, forced_detach_seconds=1.0, nic_seconds=0.5)
_EXAMPLES: Mapping[Mode, str] = {"overlay-ip": "overlay-ip.crm", "eni": "eni.crm", "private-ip": "private-ip.crm"}
_EXAMPLES_IPV6: Mapping[Mode, str] = {
    "overlay-ip": "overlay-ipv6.crm",
    "eni": "eni.crm",
    "private-ip": "private-ip-ipv6.crm",
}
_SCENES: Mapping[Mode, str] = {
    "overlay-ip": ("A VPC in a box: two cluster nodes and two consumers in two availability zones, one on premises"),
    "eni": (
        "A VPC in a box: two cluster nodes in one availability zone and an ENI that moves between them; consumers in"
        " its subnet, in another zone, on premises and on the Internet"
    ),
    "private-ip": (
        "A VPC in a box: two cluster nodes in one subnet and a private address that moves between their ENIs;"
        " consumers in that subnet, in another zone, on premises and on the Internet"
    ),
}
LOGS = (("/var/log/corosync/corosync.log", COROSYNC),)
INTERRUPTED = 130


@dataclass(frozen=True)
class Failover:
    """One failover of the demonstration, as it was seen."""

    name: str
    switch: Switch
    rows: Tuple[Row, ...]
    overlap_ms: float
    timeline: Tuple[Moment, ...]
    problems: Tuple[str, ...]

    def to_json(self) -> Dict[str, Any]:
        """Plain values; times in ms relative to the trigger, beside the wall time of the trigger itself."""
        return {
            "name": self.name,
            "old": self.switch.old,
            "new": self.switch.new,
            "triggered": self.switch.triggered,
            "rows": [
                {
                    **row.to_json(),
                    "last_old_ms": self.ms(row.last_old),
                    "first_new_ms": self.ms(row.first_new),
                    "problems": row.problems(),
                }
                for row in self.rows
            ],
            "both_answered_ms": self.overlap_ms,
            "timeline": [
                {"ms": self.ms(moment.time), "where": moment.where, "what": moment.what} for moment in self.timeline
            ],
            "problems": self.problems,
        }

    def ms(self, when: Optional[float]) -> Optional[float]:
        """A wall time relative to the trigger."""
        return None if when is None else round((when - self.switch.triggered) * 1000, 1)


@dataclass(frozen=True)
class Script:
    """What a demonstration does: the address it moves, the configuration it loads, how often consumers ask."""

    address: str
    configuration: Path
    interval: float
    mode: Mode = "overlay-ip"
    layout: Layout = "service-subnet"

    @property
    def settings(self) -> Settings:
        """The lab that it is played in. An ENI takes its time to move, as it does in EC2, though not that long."""
        timing = SLOW if self.mode == "eni" else Settings()
        owner = examples.NETWORK_ACCOUNT if self.shared_vpc else None
        return replace(timing, fencing=False, shared_vpc_owner=owner, mode=self.mode, layout=self.layout)

    @property
    def two_may_answer(self) -> bool:
        """Whether the configuration lets both nodes hold the address during a planned move."""
        return "allow-migrate=true" in self._text

    @property
    def shared_vpc(self) -> bool:
        """Whether the configuration is for route tables that belong to another account."""
        return "routing_table_role=" in self._text

    @property
    def _text(self) -> str:
        return self.configuration.read_text(encoding="utf-8")


def script(
    *,
    ipv6: bool = False,
    configuration: Optional[Path] = None,
    interval: float = INTERVAL,
    mode: Mode = "overlay-ip",
    layout: Layout = "service-subnet",
) -> Script:
    """The script for the options of the command line. LabError when the configuration cannot be found."""
    topology = topology_for(mode, layout)
    if configuration is None:
        directory = examples.directory()
        if directory is None:
            raise LabError("crm-examples/ is neither in the package nor beside it; give a file with --nodes-config")
        configuration = directory / (_EXAMPLES_IPV6 if ipv6 else _EXAMPLES)[mode]
    if not configuration.is_file():
        raise LabError(f"there is no file {configuration}")
    if interval <= 0:
        raise LabError("--interval is more than 0 seconds")
    return Script(str(service_address(topology, ipv6=ipv6)), configuration, interval, mode, layout)


def service_address(topology: Topology, *, ipv6: bool = False) -> Address:
    """The address of a topology that moves: an ENI's, a private one, or the overlay address."""
    if topology.service_interface is not None:
        return next(one for one in topology.service_interface.addresses if (one.version == 6) == ipv6)
    if topology.private is not None and topology.private_ipv6 is not None:
        return topology.private_ipv6 if ipv6 else topology.private
    return topology.overlay_ipv6 if ipv6 else topology.overlay


def run(
    name: str,
    *,
    json_file: Optional[Path] = None,
    ipv6: bool = False,
    configuration: Optional[Path] = None,
    interval: float = INTERVAL,
    mode: Mode = "overlay-ip",
    layout: Layout = "service-subnet",
) -> int:
    """The whole demonstration in a lab called `name`: exit code 0 when all went well, 1 when not, 130 after Ctrl-C.

    Raises LabError when the lab or the cluster does not do what it should.
    """
    voice = narrator()
    target = JSON_FILE if json_file is None else json_file
    try:
        chosen = script(ipv6=ipv6, configuration=configuration, interval=interval, mode=mode, layout=layout)
        began = time.monotonic()
        failovers, audit = perform(name, chosen, voice)
    except KeyboardInterrupt:
        # What is still under way ends with this process; a second Ctrl-C has nothing left to say.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        voice.say("Interrupted: the lab is gone, and everything in it.")
        return INTERRUPTED
    problems = [problem for failover in failovers for problem in failover.problems] + list(audit)
    result = {
        "version": metadata.version("aws-ipfailover"),
        "mode": chosen.mode,
        "address": chosen.address,
        "configuration": chosen.configuration.name,
        "interval_ms": chosen.interval * 1000,
        "failovers": [failover.to_json() for failover in failovers],
        "audit": list(audit),
        "seconds": round(time.monotonic() - began, 1),
        "passed": not problems,
    }
    write(target, result)
    for problem in problems:
        voice.verdict(problem, good=False)
    if not problems:
        voice.verdict("Every consumer kept its address, and no answer came from a wrong node.", good=True)
    voice.say(f"These figures are in {target}. The lab is gone.")
    return 1 if problems else 0


def perform(name: str, chosen: Script, voice: Narrator) -> Tuple[List[Failover], List[str]]:
    """Both failovers in a lab of their own, which is gone afterwards; and what the lab's audit has to say."""
    voice.heading(_SCENES[chosen.mode])
    voice.say(
        "Real Corosync, real Pacemaker, real packets; EC2's API is moto with EC2's manners. About a minute in all."
    )
    if chosen.mode == "eni":
        voice.say(
            f"EC2 takes {SLOW.detach_seconds:.0f} s here to detach an ENI and {SLOW.attach_seconds:.0f} s to attach it,"
            f" and the NIC is {SLOW.nic_seconds} s later than EC2 says; the real one may take a minute."
        )
    with Lab.running(name, chosen.settings, say=voice.say) as lab:
        nodes = lab.nodes()
        auditor = Auditor(lab, [chosen.address])
        if chosen.shared_vpc:
            lab.order("put-role", arn=examples.NETWORK_ROLE_ARN, trusted_accounts=[topology_for().account_id])
        with voice.step(f"Loading {chosen.configuration.name} and waiting for its resources, a few seconds"):
            load(lab, chosen.configuration, nodes[0])
            lab.settle()
        resource = resource_of(lab, nodes[0], chosen.address)
        old = lab.cluster_status()
        active = old.where(resource) if old else None
        if active is None:
            raise LabError(f"{resource} is not started on exactly one node")
        standby = next(node for node in nodes if node != active)
        voice.say(f"{resource} holds {chosen.address} on {active}; {standby} stands by.")
        if chosen.mode != "overlay-ip":
            public = lab.order("elastic-ip")
            if ":" not in chosen.address:
                voice.say(f"The Internet reaches it by the Elastic IP {public}, which goes along.")
        questions = lab.questions(chosen.address)
        with Measurement.running(lab, nodes, questions, chosen.interval) as measurement:
            with voice.step(
                f"{', '.join(questions)} now ask {chosen.address} 'who are you?' over TCP, UDP and ICMP,"
                f" every {chosen.interval * 1000:.0f} ms each"
            ):
                if not measurement.wait_steady(active, 0.0, 30.0):
                    raise LabError(f"not every consumer reaches {chosen.address} on {active} to begin with")
            stage = Stage(lab, measurement, voice, resource, chosen)
            planned = stage.planned_move(active, standby)
            unplanned = stage.power_off(standby, active)
        with voice.step("Auditing the lab: addresses, orphans, logs"):
            audit = auditor.complaints(may_be_fenced=[standby])
    return [planned, unplanned], audit


def load(lab: Lab, configuration: Path, node: str) -> None:
    """Fill the lab's values into a configuration and load it on `node`. LabError when it does not load."""
    try:
        text = configuration.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise LabError(f"{configuration}: {error}") from error
    lab.load(text, node, pcs=configuration.suffix == ".pcs")


def resource_of(lab: Lab, node: str, address: str) -> str:
    """The resource that holds `address`, itself or with its ENI. LabError when the configuration has none."""
    status, service = lab.cluster_status(node), lab.status().service
    eni = service.network_interface_id if address in service.addresses else ""
    parameter, value = ("network_interface_id", eni) if eni else ("ip", address)
    for resource in status.resources if status else ():
        if resource.agent.replace("::", ":") == AGENT:
            asked = lab.exec(node, ["crm_resource", "--resource", resource.resource_id, "--get-parameter", parameter])
            if value in [part.strip() for part in asked.stdout.split(",")]:
                return resource.resource_id
    raise LabError(f"the configuration has no {AGENT} with {parameter}={value}")


class Stage:
    """A running lab under measurement, and the two failovers that are done to it."""

    def __init__(self, lab: Lab, measurement: Measurement, voice: Narrator, resource: str, chosen: Script) -> None:
        self._lab = lab
        self._measurement = measurement
        self._voice = voice
        self._resource = resource
        self._chosen = chosen

    def planned_move(self, old: str, new: str) -> Failover:
        """`crm resource move`, and `clear` when it has settled."""
        self._voice.heading(f"A planned move: crm resource move {self._resource} {new}")
        switch = Switch(old, new, time.time())
        with self._voice.step(f"Pacemaker stops {self._resource} on {old} and starts it on {new}"):
            self._lab.exec(old, ["crm", "resource", "move", self._resource, new])
            typed = Moment(time.time(), old, "crm resource move has returned")
            self._measurement.wait_steady(new, switch.triggered, PLANNED_WITHIN)
        result = self._result("planned move", switch, [Moment(switch.triggered, old, "crm resource move"), typed])
        with self._voice.step(f"Taking the constraint back that keeps it there: crm resource clear {self._resource}"):
            self._lab.exec(new, ["crm", "resource", "clear", self._resource])
            self._lab.settle()
        return result

    def power_off(self, old: str, new: str) -> Failover:
        """The power of the active node fails; the other one fences it before it takes over."""
        self._voice.heading(f"A failure: {old} loses its power")
        self._voice.say(
            f"{new} cannot know whether {old} is dead or only out of sight. It has to fence it, through EC2's API,"
            " before it may take the address."
        )
        with self._voice.step("The cluster notices, fences and recovers, some five seconds"):
            switch = Switch(old, new, time.time())
            self._lab.inject(Crash(old))
            self._measurement.wait_steady(new, switch.triggered, FENCED_WITHIN)
        return self._result("power failure", switch, [])

    def _result(self, name: str, switch: Switch, moments: Sequence[Moment]) -> Failover:
        measured = self._measurement.histories(since=switch.triggered - LEAD)
        firsts = self._measurement.first_answers(switch.new, switch.triggered)
        found = [*moments, *of_events(self._lab.events(switch.triggered)), *of_answers(firsts, switch.new)]
        for node in self._lab.awake_nodes():
            found += self._logged(node)
        last = max(firsts.values(), default=time.time()) + 1.0
        table = tuple(rows(measured, switch))
        overlap = overlap_ms(measured, switch)
        failover = Failover(
            name,
            switch,
            table,
            overlap,
            tuple(timeline(found, switch.triggered, last)),
            tuple(self._problems(name, switch, table, overlap)),
        )
        show(failover, self._voice)
        return failover

    def _problems(self, name: str, switch: Switch, table: Sequence[Row], overlap: float) -> List[str]:
        found = [f"{name}: {problem}" for row in table for problem in row.problems()]
        if overlap > 0 and not (name == "planned move" and self._chosen.two_may_answer):
            found.append(f"{name}: both nodes answered for {overlap:.0f} ms.")
        status = self._lab.status()
        if self._chosen.mode != "overlay-ip":
            if status.service.holder != switch.new:
                found.append(f"{name}: EC2 has {self._chosen.address} on {status.service.holder}.")
            return found
        for route_table, target in status.routes.get(self._chosen.address, {}).items():
            if target != switch.new:
                found.append(f"{name}: {route_table} leads to {target or 'nowhere'}, not to {switch.new}.")
        return found

    def _logged(self, node: str) -> List[Moment]:
        found: List[Moment] = []
        for path, patterns in (*LOGS, ("/var/log/pacemaker/pacemaker.log", pacemaker_patterns(self._resource))):
            text = self._lab.exec(node, ["cat", path]).stdout
            found += of_log(text, node, patterns, time.time())
        return found


def show(failover: Failover, voice: Narrator) -> None:
    """The table of a failover and its timeline."""

    def ms(value: Optional[float]) -> str:
        return "-" if value is None else f"{value:.0f}"

    switch = failover.switch
    voice.table(
        f"What the consumers saw: {failover.name}, {switch.old} to {switch.new}, in ms after the trigger",
        (
            ("consumer", False),
            ("protocol", False),
            ("last from old", True),
            ("first from new", True),
            ("gap ms", True),
            ("from a wrong node", True),
            ("lost / asked", True),
        ),
        [
            (
                row.consumer,
                row.protocol.upper(),
                ms(failover.ms(row.last_old)),
                ms(failover.ms(row.first_new)),
                ms(row.gap_ms),
                str(row.wrong),
                f"{row.lost} / {row.asked}",
            )
            for row in failover.rows
        ],
    )
    voice.table(
        f"What happened when: {failover.name}",
        (("ms", True), ("where", False), ("what", False)),
        [(ms(failover.ms(moment.time)), moment.where, moment.what) for moment in failover.timeline],
    )


def write(target: Path, result: Mapping[str, Any]) -> None:
    """Write the figures as JSON, whole or not at all. LabError when that cannot be done."""
    try:
        descriptor, made = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        temporary = Path(made)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(json.dumps(result, indent=2) + "\n")
            temporary.chmod(0o644)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise LabError(f"cannot write {target}: {error.strerror}") from error
