"""Makes the record of a run while it goes on, and hands it to a judge in the order of time.

with Recording.running(lab, directory, resources={"ip_service": ["192.168.10.10"]}) as recording:
    judge = Judge(recording.header, expectations)
    ...
    judge.feed(*recording.advance())
judge.feed(*recording.rest())
"""

from __future__ import annotations

import contextlib
import platform
import re
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Union

from vpc_lab.errors import LabError
from vpc_lab.judge.operations import LOG, Log
from vpc_lab.judge.record import QUESTIONS, Event, Header, Item, Operation, Record, Writer
from vpc_lab.lab import Lab
from vpc_lab.traffic.question import PROTOCOLS
from vpc_lab.traffic.recorder import INTERVAL, LATE, TIMEOUT, Measurement

# Seconds for a program to tell its version.
_TOLD_WITHIN = 5.0


class Recording:
    """One run: its consumers ask until it is closed. Use `running`."""

    def __init__(self, lab: Lab, writer: Writer, header: Header, measurement: Measurement) -> None:
        self.header = header
        self.measurement = measurement
        self._lab = lab
        self._writer = writer
        self._reader = Record(writer.directory)
        self._logs = [Log(lab.disk(node) / LOG, node) for node in header.nodes]
        # Events are fetched once they are so old that none can come before them any more; at first all there are, since
        # a fault may be in force.
        self._fetched = 0.0
        self._noted: List[Event] = []

    @classmethod
    @contextlib.contextmanager
    def running(
        cls,
        lab: Lab,
        directory: Path,
        resources: Mapping[str, Sequence[str]],
        *,
        addresses: Sequence[str] = (),
        interval: float = INTERVAL,
        settings: Mapping[str, Any] = {},
    ) -> Iterator[Recording]:
        """Ask the addresses of `resources`, and further `addresses` that no resource holds, from every consumer.

        The record is in `directory`, also after the end of the `with` block. LabError when it cannot be made.
        """
        services = tuple(dict.fromkeys((*(held for each in resources.values() for held in each), *addresses)))
        asked: Dict[str, Dict[str, str]] = {}
        for service in services:
            for consumer, address in lab.questions(service).items():
                asked.setdefault(consumer, {})[address] = service
        header = Header(
            begun=time.time(),
            nodes=tuple(lab.nodes()),
            asked=asked,
            resources={name: tuple(held) for name, held in resources.items()},
            protocols=PROTOCOLS,
            interval=interval,
            timeout=TIMEOUT,
            instance_ids=lab.instance_ids(),
            settings=settings,
            versions={**versions(), **programs()},
        )
        writer = Writer(directory, header)
        with Measurement.running(
            lab,
            lab.powered_nodes(),
            {consumer: tuple(questions) for consumer, questions in asked.items()},
            interval,
            protocols=PROTOCOLS,
            directory=directory / QUESTIONS,
        ) as measurement:
            recording = cls(lab, writer, header, measurement)
            try:
                yield recording
            except BaseException:
                # What failed is what matters: the lab may be gone with it.
                measurement.close()
                with contextlib.suppress(LabError):
                    recording._collect(time.time())
                raise
            measurement.close()
            recording._collect(time.time())

    def note(self, kind: str, **about: Any) -> None:
        """An event of the scenario, now.

        `move` with `within=SECONDS`: from now on, an address may be moving; `to=NODE`: until it is started there.
        `whole`: every consumer is served, and what has been healed explains nothing from now on.
        """
        self._noted.append(Event(time.time(), kind, about))

    def advance(self) -> List[Item]:
        """What is known now and was not before, in order of time: up to some seconds ago, when all has come in."""
        until = time.time() - LATE
        self._collect(until)
        return list(self._reader.until(until))

    def rest(self) -> Iterator[Item]:
        """What is left when the run is over."""
        return self._reader.items()

    def pack(self) -> None:
        """Compress the record of a run that is over, and has been read."""
        self._writer.pack()

    def _collect(self, until: float) -> None:
        found: List[Union[Event, Operation]] = [one for log in self._logs for one in log.read()]
        found += [Event.of(event) for event in self._lab.events(self._fetched) if event["time"] < until]
        found += [event for event in self._noted if event.time < until]
        self._noted = [event for event in self._noted if event.time >= until]
        self._fetched = max(self._fetched, until)
        # Together: the logs tell of now, the lab at first of all that ever was.
        self._writer.add(*sorted(found, key=lambda one: one.time))


def versions() -> Dict[str, str]:
    """Of the agent and of the lab, as far as they are installed."""
    found: Dict[str, str] = {}
    for name in ("aws-ipfailover", "aws-ipfailover-lab"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def programs() -> Dict[str, str]:
    """Versions of what a lab's cluster is made of, as far as that tells."""
    found = {"Linux": platform.release(), "Python": platform.python_version()}
    for name, argv in (("Pacemaker", ["pacemakerd", "--version"]), ("Corosync", ["corosync", "-v"])):
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            said = subprocess.run(argv, capture_output=True, text=True, timeout=_TOLD_WITHIN, check=False).stdout
            version = re.search(r"\d+(\.\d+)+[\w.+~-]*", said)
            if version is not None:
                found[name] = version[0]
    return found


def find_resources(lab: Lab, addresses: Sequence[str], node: Optional[str] = None) -> Dict[str, List[str]]:
    """The resources of the running cluster that hold `addresses`, by their parameter `ip`, `address`, or their ENI.

    A resource whose agent knows none of these parameters holds nothing.
    """
    name = node or lab.awake_node()
    status, service = lab.cluster_status(name), lab.status().service
    wanted = {str(address) for address in addresses}
    found: Dict[str, List[str]] = {}
    for resource in status.resources if status else ():
        # The second one is the name that aws-vpc-move-ip had for it once; published configurations have it still.
        named = [one for word in ("ip", "address") for one in _parameter(lab, name, resource.resource_id, word)]
        held = wanted & set(named)
        eni = service.network_interface_id
        if eni and eni in _parameter(lab, name, resource.resource_id, "network_interface_id"):
            held |= wanted & set(service.addresses)
        if held:
            found[resource.resource_id] = sorted(held)
    return found


def resource_of(lab: Lab, address: str) -> str:
    """The resource of the running cluster that holds `address`, itself or with its ENI. LabError where none does."""
    found = find_resources(lab, [address])
    if not found:
        raise LabError(f"the configuration has no resource with {address} as ip or address, or with its ENI")
    return next(iter(found))


def _parameter(lab: Lab, node: str, resource: str, name: str) -> List[str]:
    done = lab.exec(node, ["crm_resource", "--resource", resource, "--get-parameter", name], check=False)
    return [part.strip() for part in done.stdout.split(",")] if done.returncode == 0 else []
