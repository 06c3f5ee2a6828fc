"""Each configuration of crm-examples/ on the real cluster: loaded without a warning, and failed over by a power cut."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Iterator, List, cast

import pytest

from vpc_lab import examples
from vpc_lab.judge.audits import Auditor, held
from vpc_lab.judge.recording import resource_of
from vpc_lab.lab import Lab
from vpc_lab.settings import Settings
from vpc_lab.traffic.analysis import Switch, rows
from vpc_lab.traffic.recorder import Measurement

from .configurations import DIRECTORY, SECOND_ADDRESS, TOPOLOGY, emptied, load
from .conftest import delete_route
from .judged import LOST, judged, power_cut

pytestmark = pytest.mark.root

AGENT = "ocf:heartbeat:aws-ipfailover"
SHARED = "shared-vpc.crm"
# Those for an ENI and a private address need another VPC: test_eni.py has them.
FILES = sorted(
    path.name
    for path in DIRECTORY.iterdir()
    if path.suffix in (".crm", ".pcs")
    and path.name != SHARED
    and examples.mode_of(path.read_text(encoding="utf-8")) == "overlay-ip"
)


@pytest.fixture(scope="module")
def bare() -> Iterator[Lab]:
    """A cluster with nothing configured, fencing included: that is the examples' business."""
    settings = Settings(fencing=False, overlays=(SECOND_ADDRESS,))
    with Lab.running(f"test-{os.getpid()}-examples", settings) as lab:
        yield lab


@pytest.fixture
def lab(bare: Lab) -> Iterator[Lab]:
    """The cluster, empty; emptied again afterwards, with every node back."""
    # What the example before has left would win over the one route for many addresses.
    for address in (TOPOLOGY.overlay, SECOND_ADDRESS):
        delete_route(bare, f"{address}/32")
    with emptied(bare) as lab:
        yield lab


@pytest.mark.parametrize("name", FILES)
def test_an_example_loads_and_fails_over(lab: Lab, name: str, tmp_path: Path) -> None:
    """No warning, everything started, and after a power cut the address answers from the other node, and only there."""
    loads_and_fails_over(lab, name, tmp_path / "record")


def test_an_example_for_a_shared_vpc_loads_and_fails_over(tmp_path: Path) -> None:
    """The same where the route tables belong to an account that lends a role for them."""
    settings = Settings(fencing=False, shared_vpc_owner=examples.NETWORK_ACCOUNT)
    with Lab.running(f"test-{os.getpid()}-shared", settings) as lab:
        lab.lend_role()
        loads_and_fails_over(lab, SHARED, tmp_path / "record")


def loads_and_fails_over(lab: Lab, name: str, directory: Path) -> None:
    """Load an example into an empty cluster and cut the power of the node that holds the address."""
    auditor = Auditor(lab, [str(TOPOLOGY.overlay), str(TOPOLOGY.overlay_ipv6), SECOND_ADDRESS])
    assert load(lab, name) == []
    lab.settle()
    status = lab.cluster_status()
    assert status is not None
    assert status.failures == ()
    assert [one.resource_id for one in status.resources if not one.active] == []
    address = str(TOPOLOGY.overlay_ipv6 if "ipv6" in name else TOPOLOGY.overlay)
    old = cast("str", status.where(resource_of(lab, address)))
    judged(lab, address, directory, power_cut, allowances=[LOST], more=[SECOND_ADDRESS])
    status = lab.cluster_status()
    assert status is not None
    ours = [one for one in status.resources if one.agent.replace("::", ":") == AGENT and one.active]
    assert all(len(one.nodes) == 1 and one.nodes != (old,) for one in ours)
    assert auditor.complaints(may_be_fenced=[old]) == []


def test_make_before_break_moves_without_a_gap(lab: Lab) -> None:
    """With allow-migrate=true a planned move loses no question: the new node takes before the old one lets go."""
    assert load(lab, "make-before-break.crm") == []
    lab.settle()
    status = lab.cluster_status()
    old = cast("str", status.where("ip_service") if status else None)
    new = next(node for node in lab.nodes() if node != old)
    with Measurement.running(lab, lab.nodes(), lab.questions(str(TOPOLOGY.overlay))) as measurement:
        assert measurement.wait_steady(old, 0.0, 30.0)
        switch = Switch(old, new, time.time())
        lab.exec(old, ["crm", "resource", "move", "ip_service", new])
        measurement.wait_steady(new, switch.triggered, 60.0)
        seen = rows(measurement.histories(since=switch.triggered - 1.0), switch)
    assert [problem for row in seen for problem in row.problems()] == []
    assert sum(row.lost for row in seen) == 0
    lab.settle()
    assert str(TOPOLOGY.overlay) not in held(lab, old)


def test_hana_s_addresses_follow_the_roles(lab: Lab) -> None:
    """The one address is with the promoted role, the other with the unpromoted one; when the roles swap, so do they."""
    assert load(lab, "hana.crm") == []
    lab.settle()
    status = lab.cluster_status()
    assert status is not None
    primary, secondary = cast("str", status.where("ip_primary")), cast("str", status.where("ip_secondary"))
    assert {primary, secondary} == set(lab.nodes())
    assert promoted(lab) == [primary]
    lab.exec(primary, ["crm_resource", "--move", "--promoted", "--resource", "hana_clone", "--node", secondary])
    lab.wait_cluster("the swap of the addresses", lambda now: now.where("ip_primary") == secondary)
    lab.settle()
    assert promoted(lab) == [secondary]
    status = lab.cluster_status()
    assert status is not None
    assert status.where("ip_secondary") == primary
    assert str(TOPOLOGY.overlay) in held(lab, secondary)


def test_hana_s_address_has_no_say_in_where_the_database_is_promoted(lab: Lab) -> None:
    """Whoever asks for the address on the secondary's node moves neither the address nor the database."""
    assert load(lab, "hana.crm") == []
    lab.settle()
    (primary,) = promoted(lab)
    secondary = next(node for node in lab.nodes() if node != primary)
    lab.exec(primary, ["crm", "resource", "move", "ip_primary", secondary])
    lab.settle()
    assert promoted(lab) == [primary]
    assert str(TOPOLOGY.overlay) in held(lab, primary)


def promoted(lab: Lab) -> List[str]:
    """The nodes on which the database is promoted."""
    status = lab.cluster_status()
    assert status is not None
    found = [one for one in status.resources if one.resource_id == "hana" and one.role == "Promoted"]
    return [node for one in found for node in one.nodes]
