"""What is tried with each configuration of crm-examples/: loaded, its active node powered off, and looked at again.

One row of `RUNS` is one example, for crm and for pcs alike: both files have the same resources.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, List, Mapping, Optional, Sequence, Tuple

from vpc_lab import examples
from vpc_lab.cluster import ClusterStatus
from vpc_lab.judge.audits import Auditor
from vpc_lab.judge.recording import resource_of
from vpc_lab.lab import Lab
from vpc_lab.scenarios.runner import Played
from vpc_lab.settings import Settings

from .configurations import SECOND_ADDRESS, load
from .judged import LOST, judged, power_cut
from .stand_ins import stand_ins

AGENT = "ocf:heartbeat:aws-ipfailover"
OVERLAY = Settings(fencing=False, overlays=(SECOND_ADDRESS,))
_EC2_TAKES = {"attach_seconds": 0.3, "detach_seconds": 0.4, "forced_detach_seconds": 0.2, "nic_seconds": 0.2}
ENI = replace(Settings(fencing=False, mode="eni"), **_EC2_TAKES)  # type: ignore[arg-type]
PRIVATE = Settings(fencing=False, mode="private-ip")
# A resource and where it is: the one node on which it is active.
Places = Mapping[str, Optional[str]]


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
    nodes = lab.nodes()
    _kept(status, run, nodes, lambda ids: len(set(ids)) == len(ids), "on nodes of their own")
    address = _address(lab, run)
    old = status.where(resource_of(lab, address))
    assert old is not None
    if run.stopped:
        assert status.where(run.stopped) not in (None, old)
    auditor = Auditor(lab, _addresses(lab))
    played = judged(lab, address, directory, power_cut, allowances=[LOST], more=[SECOND_ADDRESS])
    lab.settle()
    status = _status(lab)
    left = [node for node in nodes if node != old]
    for one in status.resources:
        if one.agent.replace("::", ":") == AGENT:
            assert len(one.nodes) == 1, f"{one.resource_id} is on {one.nodes}"
            assert one.nodes[0] in left
    if run.stopped:
        found = status.resource(run.stopped)
        assert found is not None
        assert found.nodes == (), f"{run.stopped} has not given way"
        run = replace(run, apart=())
    _kept(status, run, left, lambda ids: len(set(ids)) == 1, "on the node that is left")
    assert auditor.complaints(may_be_fenced=[old]) == []
    return played


def _kept(status: ClusterStatus, run: Run, nodes: Sequence[str], apart: Callable[..., bool], how: str) -> None:
    places: Places = {one.resource_id: status.where(one.resource_id) for one in status.resources}
    together = {one: places.get(one) for one in run.together}
    assert len(set(together.values())) <= 1, f"not together: {together}"
    assert None not in together.values(), f"not started: {together}"
    if run.apart:
        found = [places.get(one) for one in run.apart]
        assert None not in found, f"not started: {run.apart} are on {found}"
        assert apart(found), f"{run.apart} are not {how}: {found}"
    for resource in run.everywhere:
        active = {node for one in status.resources if one.resource_id == resource for node in one.nodes}
        assert active == set(nodes), f"{resource} is active on {active}"
    if run.promoted:
        promoted = [
            node
            for one in status.resources
            if one.resource_id == run.promoted and one.role == "Promoted"
            for node in one.nodes
        ]
        assert promoted == [next(iter(together.values()))], f"{run.promoted} is promoted on {promoted}: {together}"


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
