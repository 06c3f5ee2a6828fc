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
from vpc_lab.judge.recording import resource_of
from vpc_lab.judge.verdict import Verdict
from vpc_lab.lab import Lab
from vpc_lab.report.document import About
from vpc_lab.report.page import write as write_page
from vpc_lab.scenarios.catalogue import CATALOGUE
from vpc_lab.scenarios.configuration import Configuration
from vpc_lab.scenarios.figures import Failover, figures, show
from vpc_lab.scenarios.narrator import Narrator, narrator
from vpc_lab.scenarios.runner import Played, play
from vpc_lab.scenarios.stage import Service, Stage
from vpc_lab.settings import Settings
from vpc_lab.topology import Layout, Mode, Topology, topology_for
from vpc_lab.traffic.analysis import Switch
from vpc_lab.traffic.recorder import INTERVAL
from vpc_lab.vpc import Address

JSON_FILE = Path("demo.json")
PAGE_FILE = Path("demo.html")
# Seconds for which both nodes may answer in a move that makes before it breaks: its drain.
GRACE = 2.0
# What the demonstration calls a fault.
CALLED = {"crash": "power failure"}
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
INTERRUPTED = 130


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
    page_file: Optional[Path] = None,
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
    drawn = PAGE_FILE if page_file is None else page_file
    began = time.monotonic()
    unwritten: Optional[LabError] = None
    try:
        chosen = script(ipv6=ipv6, configuration=configuration, interval=interval, mode=mode, layout=layout)
        with tempfile.TemporaryDirectory(prefix="vpc-lab-demo-") as directory:
            failovers, played = perform(name, chosen, voice, Path(directory) / "record")
            verdict = played.verdict
            write(target, result(chosen, failovers, verdict, time.monotonic() - began))
            try:
                report(drawn, chosen, played)
            except LabError as error:
                unwritten = error  # the verdict is told first
    except KeyboardInterrupt:
        # What is still under way ends with this process; a second Ctrl-C has nothing left to say.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        voice.say("Interrupted: the lab is gone, and everything in it.")
        return INTERRUPTED
    for problem in verdict.sentences():
        voice.verdict(problem, good=False)
    if verdict.passed:
        voice.verdict("Every consumer kept its address, and no answer came from a wrong node.", good=True)
    if unwritten is not None:
        raise unwritten
    voice.say(f"These figures are in {target}, and who answered whom when is drawn in {drawn}. The lab is gone.")
    return 0 if verdict.passed else 1


def result(chosen: Script, failovers: Sequence[Failover], verdict: Verdict, seconds: float) -> Dict[str, Any]:
    """What the file of the figures has."""
    return {
        "version": metadata.version("aws-ipfailover"),
        "mode": chosen.mode,
        "address": chosen.address,
        "configuration": chosen.configuration.name,
        "interval_ms": chosen.interval * 1000,
        "failovers": [failover.to_json() for failover in failovers],
        "verdict": verdict.to_json(),
        "seconds": round(seconds, 1),
        "passed": verdict.passed,
    }


def perform(name: str, chosen: Script, voice: Narrator, directory: Path) -> Tuple[List[Failover], Played]:
    """Both failovers in a lab of their own, which is gone afterwards; and what came of the whole."""
    voice.heading(_SCENES[chosen.mode])
    voice.say(
        "Real Corosync, real Pacemaker, real packets; EC2's API is moto with EC2's manners. About a minute in all."
    )
    if chosen.mode == "eni":
        voice.say(
            f"EC2 takes {SLOW.detach_seconds:.0f} s here to detach an ENI and {SLOW.attach_seconds:.0f} s to attach it,"
            f" and the NIC is {SLOW.nic_seconds} s later than EC2 says; the real one may take a minute."
        )
    failovers: List[Failover] = []

    def seen(stage: Stage, what: str, switch: Switch) -> None:
        failovers.append(figures(stage, CALLED.get(what, what), switch))
        show(failovers[-1], voice)

    with Lab.running(name, chosen.settings, say=voice.say) as lab:
        if chosen.shared_vpc:
            lab.lend_role()
        with voice.step(f"Loading {chosen.configuration.name} and waiting for its resources, a few seconds"):
            load(lab, chosen.configuration, lab.nodes()[0])
            lab.settle()
        resource = resource_of(lab, chosen.address)
        if chosen.mode != "overlay-ip":
            public = lab.order("elastic-ip")
            if ":" not in chosen.address:
                voice.say(f"The Internet reaches it by the Elastic IP {public}, which goes along.")
        asking = ", ".join(lab.questions(chosen.address))
        voice.say(
            f"{asking} now ask {chosen.address} 'who are you?' over TCP, UDP and ICMP, and on a connection that they"
            f" keep, every {chosen.interval * 1000:.0f} ms each."
        )
        played = play(
            lab,
            replace(CATALOGUE.known["demonstration"], grace=GRACE if chosen.two_may_answer else 0.0),
            Configuration(mode=chosen.mode),
            directory,
            voice,
            interval=chosen.interval,
            service=Service(resource, (chosen.address,)),
            seen=seen,
            settings=chosen.settings,
        )
    return failovers, played


def report(target: Path, chosen: Script, played: Played) -> None:
    """Write the page. LabError when that cannot be done."""
    about = About(
        f"demonstration: {chosen.configuration.name}",
        "A planned move, and then the power of the active node fails; consumers ask the address all the time.",
        figures={"address": chosen.address},
    )
    write_page(target, played.record, played.verdict, about)


def load(lab: Lab, configuration: Path, node: str) -> None:
    """Fill the lab's values into a configuration and load it on `node`. LabError when it does not load."""
    try:
        text = configuration.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise LabError(f"{configuration}: {error}") from error
    lab.load(text, node, pcs=configuration.suffix == ".pcs")


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
