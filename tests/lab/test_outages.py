"""The examples while EC2 does not answer: what they keep running, and what comes back by itself afterwards.

They are loaded with shorter timeouts than people run them with, so that an outage longer than a start's timeout takes
seconds and not minutes: start 8 s, failure-timeout 25 s, see `hastened`.
"""

from __future__ import annotations

import os
import re
import tempfile
from typing import Callable, Iterable, Iterator, List, Optional, Sequence, Set, Tuple, cast

import pytest

from vpc_lab.cluster import ClusterStatus
from vpc_lab.faults import ApiError, Fault, Unreachable
from vpc_lab.judge.audits import held
from vpc_lab.lab import Lab
from vpc_lab.scenarios.stage import operations
from vpc_lab.settings import Settings
from vpc_lab.waiting import eventually

from .configurations import SECOND_ADDRESS, TOPOLOGY, emptied, load
from .example_runs import agents_in

pytestmark = pytest.mark.root

FATAL = "1000000"  # the fail count with which Pacemaker bans a node: INFINITY
PRIMARY = str(TOPOLOGY.overlay)
HASTENED = (
    (r"op monitor interval=(?:20|60)s timeout=\d+s", "op monitor interval=3s timeout=5s"),
    (r"op start interval=(0s?) timeout=180s", r"op start interval=\1 timeout=8s"),
    (r"failure-timeout=900s", "failure-timeout=25s"),
)


def hastened(text: str) -> str:
    """An example with start timeouts of 8 s, failure timeouts of 25 s, and frequent monitors."""
    for pattern, replacement in HASTENED:
        text = re.sub(pattern, replacement, text)
    return text


@pytest.fixture(scope="module")
def bare() -> Iterator[Lab]:
    """A cluster with nothing configured, fencing included: that is the examples' business."""
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings(fencing=False, agents=str(agents_in(directory)))
        with Lab.running(f"test-{os.getpid()}-outages", settings) as lab:
            yield lab


@pytest.fixture
def lab(bare: Lab) -> Iterator[Lab]:
    """The cluster, empty, with an EC2 that answers."""
    with emptied(bare) as lab:
        yield lab


def with_fencing_watched(text: str) -> str:
    """An example, hastened, with a monitor of the fence device each 8 s instead of each 300 s."""
    changed = text.replace("op monitor interval=300s timeout=60s", "op monitor interval=8s timeout=8s")
    assert changed != text
    return hastened(changed)


def with_ensa1(text: str) -> str:
    """sap-ascs.crm, hastened, as its comment has it for ENSA1: an ASCS that fails goes where ERS is at once."""
    changed = text.replace("priority=1000", "priority=1000 migration-threshold=1 failure-timeout=300s")
    assert changed != text
    return hastened(changed)


def running(lab: Lab, name: str, edit: Callable[[str], str] = hastened) -> ClusterStatus:
    """Load an example, hastened; the cluster with all of it started."""
    load(lab, name, edit)
    lab.settle()
    status = lab.cluster_status()
    assert status is not None
    assert [one.resource_id for one in status.resources if not one.active] == []
    return status


def healthy(status: ClusterStatus, resource: str) -> Optional[str]:
    """The node on which a resource is started and has not failed; None if there is none."""
    one, node = status.resource(resource), status.where(resource)
    return node if one and node and not one.failed and (node, resource) not in failed(status) else None


def failed(status: ClusterStatus) -> Set[Tuple[str, str]]:
    """(node, resource) for everything with a fail count."""
    return {which for which, count in status.fail_counts.items() if count != "0"}


def where(status: ClusterStatus, resource: str) -> str:
    """The node on which a resource is started."""
    node = status.where(resource)
    assert node is not None
    return node


def break_ec2(lab: Lab, how: Fault) -> None:
    """Let EC2 fail, and take the addresses off the nodes as some daemon might: the cluster has to start them again."""
    lab.inject(how)
    for node in lab.nodes():
        for address in held(lab, node) & {PRIMARY, SECOND_ADDRESS}:
            lab.exec(node, ["ip", "address", "delete", f"{address}/32", "dev", "eth0"])


def wait_banned(lab: Lab, *expected: Tuple[str, str], undisturbed: Sequence[str] = ()) -> None:
    """Wait until each of these (node, resource) was banned once: its start has failed there.

    All the time and afterwards the resources `undisturbed` are neither started, stopped, promoted nor demoted.
    """
    seen: Set[Tuple[str, str]] = set()
    before = history(lab, undisturbed)

    def all_seen() -> bool:
        status = lab.cluster_status()
        assert history(lab, undisturbed) == before
        seen.update(which for which, count in (status.fail_counts.items() if status else ()) if count == FATAL)
        return seen.issuperset(expected)

    eventually(f"a failed start of {expected}", all_seen, 150.0)


def on_every_node(lab: Lab, *resources: str) -> List[Tuple[str, str]]:
    """(node, resource) for each node and resource."""
    return [(node, resource) for node in lab.nodes() for resource in resources]


def wait_started(lab: Lab, expected: Iterable[Tuple[str, str]]) -> None:
    """Wait until each (node, resource) is started there, and the fence device somewhere."""
    wanted = list(expected)

    def all_started(now: ClusterStatus) -> bool:
        return healthy(now, "fence_aws") is not None and all(healthy(now, one) == node for node, one in wanted)

    lab.wait_cluster(f"{wanted} started again", all_started, 60.0)


def history(lab: Lab, resources: Sequence[str]) -> List[str]:
    """The last start, promotion, demotion and stop of each resource on each node, with the number of the call."""
    if not resources:
        return []
    ids = " or ".join(f"@id='{resource}'" for resource in resources)
    path = f"//lrm_resource[{ids}]/lrm_rsc_op[@operation!='monitor']"
    found = lab.exec(lab.nodes()[0], ["cibadmin", "--query", "--xpath", path]).stdout
    entries = operations(found)
    assert len(entries) >= len(resources)
    return entries


def assert_served(lab: Lab, node: str) -> None:
    """The first address is on this node, and all routes lead there."""
    assert PRIMARY in held(lab, node)
    assert set(lab.status().routes[PRIMARY].values()) == {node}


def test_hana_stays_promoted_while_its_addresses_cannot_start(lab: Lab) -> None:
    """EC2 is unreachable longer than the start's timeout: the database keeps its roles, and the addresses come back.

    The readers' address fails on both nodes. Nobody cleans up.
    """
    status = running(lab, "hana-read-enabled.crm")
    primary, secondary = where(status, "ip_primary"), where(status, "ip_secondary")
    before = history(lab, ["hana"])
    assert any(" promote " in entry for entry in before)
    break_ec2(lab, Unreachable())
    wait_banned(lab, (primary, "ip_primary"), *on_every_node(lab, "ip_secondary"), undisturbed=["hana"])
    lab.heal()
    wait_started(lab, [(primary, "ip_primary"), (secondary, "ip_secondary")])
    assert history(lab, ["hana"]) == before
    assert_served(lab, primary)
    assert SECOND_ADDRESS in held(lab, secondary)


def test_sap_instances_run_on_while_their_addresses_cannot_start(lab: Lab) -> None:
    """EC2 denies every call, on both nodes: neither ASCS nor ERS is ever restarted. Nobody cleans up.

    The starts end with 4, for which Pacemaker bans the node whatever start-failure-is-fatal says.
    """
    instances = ["fs_ascs", "sap_ascs", "fs_ers", "sap_ers"]
    status = running(lab, "sap-ascs.crm")
    ascs, ers = where(status, "sap_ascs"), where(status, "sap_ers")
    assert ascs != ers
    before = history(lab, instances)
    break_ec2(lab, ApiError("UnauthorizedOperation"))
    wait_banned(lab, (ascs, "ip_ascs"), (ers, "ip_ers"), undisturbed=instances)
    lab.heal()
    wait_started(lab, [(ascs, "ip_ascs"), (ers, "ip_ers")])
    assert history(lab, instances) == before
    assert_served(lab, ascs)
    assert SECOND_ADDRESS in held(lab, ers)


def test_an_ascs_that_fails_over_in_an_outage_starts_without_its_address(lab: Lab) -> None:
    """The instance fails while EC2 is unreachable: it starts on the other node, its address after the outage."""
    old = where(running(lab, "sap-ascs.crm", with_ensa1), "sap_ascs")
    new = next(node for node in lab.nodes() if node != old)
    lab.inject(Unreachable())
    lab.exec(old, ["crm_resource", "--fail", "--resource", "sap_ascs", "--node", old])
    lab.wait_cluster("the instance on the other node", lambda now: now.where("sap_ascs") == new, 60.0)
    wait_banned(lab, (new, "ip_ascs"))
    before = history(lab, ["fs_ascs", "sap_ascs"])
    lab.heal()
    wait_started(lab, [(new, "sap_ascs"), (new, "ip_ascs")])
    assert history(lab, ["fs_ascs", "sap_ascs"]) == before
    assert_served(lab, new)


def test_everything_starts_again_after_an_outage_that_stopped_it(lab: Lab) -> None:
    """Address and fence device have failed to start on both nodes; after the outage both start by themselves."""
    running(lab, "overlay-ip.pcs", with_fencing_watched)
    break_ec2(lab, Unreachable())
    wait_banned(lab, *on_every_node(lab, "ip_service", "fence_aws"))
    lab.heal()

    def started_somewhere(now: ClusterStatus) -> bool:
        return all(healthy(now, resource) is not None for resource in ("ip_service", "fence_aws"))

    status = lab.wait_cluster("the address and the fence device started again", started_somewhere, 60.0)
    assert_served(lab, cast("str", status.where("ip_service")))
