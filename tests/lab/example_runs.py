"""What is tried with each configuration of crm-examples/: loaded, its active node powered off, and looked at again.

One row of `RUNS` is one example, for crm and for pcs alike: both files have the same resources.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import List, Mapping, Optional, Sequence, Tuple

from vpc_lab import examples
from vpc_lab.cluster import ClusterStatus
from vpc_lab.judge.audits import Auditor
from vpc_lab.judge.expectations import Allowance
from vpc_lab.judge.recording import resource_of
from vpc_lab.lab import Lab
from vpc_lab.scenarios.runner import Played
from vpc_lab.settings import Settings

from .configurations import SECOND_ADDRESS, load
from .judged import judged, power_cut
from .stand_ins import stand_ins

# How long consumers may be without an answer: the examples delay fencing by 5 or 10 s, and their fence device may have
# to start on the other node first. How long it was is in the table of crm-examples/README.md.
SILENCE = Allowance("crash", 60.0)
AGENT = "ocf:heartbeat:aws-ipfailover"
OVERLAY = Settings(fencing=False, overlays=(SECOND_ADDRESS,))
_EC2_TAKES = {"attach_seconds": 0.3, "detach_seconds": 0.4, "forced_detach_seconds": 0.2, "nic_seconds": 0.2}
ENI = replace(Settings(fencing=False, mode="eni"), **_EC2_TAKES)  # type: ignore[arg-type]
PRIVATE = Settings(fencing=False, mode="private-ip")


@dataclass(frozen=True)
class Run:
    """One example. All that is named are ids of resources.

    `together`: on one node, before and after. `apart`: on two nodes before, and on the one that is left after.
    `promoted`: what is promoted, and only where the others of `together` are. `stopped`: what gives way, and runs
    nowhere after. `everywhere`: clones that run on each node.
    """

    stem: str
    settings: Settings = OVERLAY
    ipv6: bool = False
    together: Tuple[str, ...] = ()
    apart: Tuple[str, ...] = ()
    promoted: str = ""
    stopped: str = ""
    everywhere: Tuple[str, ...] = ()


_HANA = ("hana", "hana_topology")
RUNS: Tuple[Run, ...] = (
    Run("overlay-ip"),
    Run("overlay-ipv6", ipv6=True, together=("ip_service6", "ip_service4")),
    Run("many-addresses"),
    Run("make-before-break"),
    Run("health", everywhere=("health",)),
    Run("health-only-green", everywhere=("health",)),
    Run("stateless", everywhere=("nginx",)),
    Run("hana-performance", together=("ip_primary",), promoted="hana", everywhere=_HANA),
    Run(
        "hana-cost",
        together=("ip_primary",),
        promoted="hana",
        apart=("ip_primary", "qas"),
        stopped="qas",
        everywhere=_HANA,
    ),
    Run(
        "hana-read-enabled",
        together=("ip_primary",),
        promoted="hana",
        apart=("ip_primary", "ip_secondary"),
        everywhere=_HANA,
    ),
    Run("sap-ascs", together=("ip_ascs", "fs_ascs", "sap_ascs"), apart=("sap_ascs", "sap_ers")),
    Run("postgresql", together=("ip_primary",), promoted="postgresql", everywhere=("postgresql",)),
    Run(
        "nfs",
        together=("fs_nfs", "nfs_server", "export_data", "ip_nfs"),
        promoted="drbd_nfs",
        everywhere=("drbd_nfs",),
    ),
    Run("shared-vpc", Settings(fencing=False, shared_vpc_owner=examples.NETWORK_ACCOUNT)),
    Run("three-nodes", Settings(fencing=False, nodes=3)),
    Run("eni", ENI),
    Run("private-ip", PRIVATE),
    Run("private-ip-ipv6", PRIVATE, ipv6=True, together=("ip_service6", "ip_service4")),
)


def run_of(name: str) -> Run:
    """The row for a file of crm-examples/."""
    stem = Path(name).stem
    return next(run for run in RUNS if run.stem == stem)


def settings_of(run: Run, agents: Path) -> Settings:
    """The lab for an example, whose nodes have the agents that are in `agents`."""
    return replace(run.settings, agents=str(agents))


def agents_in(directory: str) -> Path:
    """Make the stand-ins below a directory."""
    return stand_ins(Path(tempfile.mkdtemp(dir=directory)))


def play(lab: Lab, name: str, directory: Path) -> Played:
    """Load an example into an empty cluster, cut the power of its active node, and see that it fails over as it should.

    `directory`: for the record. AssertionError with what is wrong.
    """
    run = run_of(name)
    if run.settings.shared_vpc_owner is not None:
        lab.lend_role()
    assert load(lab, name) == []
    lab.settle()
    status = _status(lab)
    assert status.failures == ()
    assert [one.resource_id for one in status.resources if not one.active] == []
    assert wrong_before(status, run, lab.nodes()) == []
    address = _address(lab, run)
    old = status.where(resource_of(lab, address))
    auditor = Auditor(lab, _addresses(lab))
    played = judged(lab, address, directory, power_cut, allowances=[SILENCE], more=[SECOND_ADDRESS])
    lab.settle()
    assert wrong_after(_status(lab), run, [node for node in lab.nodes() if node != old]) == []
    assert auditor.complaints(may_be_fenced=[old] if old else []) == []
    return played


def wrong_before(status: ClusterStatus, run: Run, nodes: Sequence[str]) -> List[str]:
    """What is not as the example has it while every node is there."""
    found = _wrong(status, run, nodes)
    places = _places(status, run.apart)
    if None in places.values() or len(set(places.values())) < len(places):
        found.append(f"not on nodes of their own: {places}")
    return found


def wrong_after(status: ClusterStatus, run: Run, left: Sequence[str]) -> List[str]:
    """What is not as the example has it after the active node's power was cut. `left`: the other nodes."""
    found = _wrong(status, run, left)
    for one in status.resources:
        if one.agent.replace("::", ":") == AGENT and not (len(one.nodes) == 1 and one.nodes[0] in left):
            found.append(f"{one.resource_id} is on {one.nodes}, and {left} are left")
    for resource, node in _places(status, run.apart).items():
        if (node is None) != (resource == run.stopped):
            found.append(f"{resource} has not given way: {node}" if node else f"{resource} runs nowhere")
    return found


def _wrong(status: ClusterStatus, run: Run, nodes: Sequence[str]) -> List[str]:
    found = []
    together = _places(status, run.together)
    if None in together.values() or len(set(together.values())) > 1:
        found.append(f"not together: {together}")
    for resource in run.everywhere:
        active = {node for one in status.resources if one.resource_id == resource for node in one.nodes}
        if active != set(nodes):
            found.append(f"{resource} is active on {sorted(active)}")
    if run.promoted:
        promoted = [
            node
            for one in status.resources
            if one.resource_id == run.promoted and one.role == "Promoted"
            for node in one.nodes
        ]
        if set(promoted) != set(together.values()) or len(promoted) != 1:
            found.append(f"{run.promoted} is promoted on {promoted}: {together}")
    return found


def _places(status: ClusterStatus, resources: Sequence[str]) -> Mapping[str, Optional[str]]:
    """The one node on which each is started."""
    return {resource: status.where(resource) for resource in resources}


def _status(lab: Lab) -> ClusterStatus:
    status = lab.cluster_status()
    assert status is not None
    return status


def _addresses(lab: Lab) -> List[str]:
    status = lab.status()
    return [*status.service.addresses] or [status.overlay, status.overlay_ipv6, SECOND_ADDRESS]


def _address(lab: Lab, run: Run) -> str:
    """The address that consumers ask."""
    status = lab.status()
    if run.settings.mode != "overlay-ip":
        return next(one for one in status.service.addresses if (":" in one) == run.ipv6)
    return status.overlay_ipv6 if run.ipv6 else status.overlay
