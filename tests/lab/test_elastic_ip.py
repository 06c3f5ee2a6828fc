"""An Elastic IP that follows an overlay address across availability zones: what consumers on the Internet see of it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Callable, Iterator, List, cast

import pytest

from vpc_lab import examples
from vpc_lab.judge.audits import Auditor, held
from vpc_lab.lab import Lab
from vpc_lab.settings import Settings
from vpc_lab.topology import INTERNET, topology_for
from vpc_lab.traffic.analysis import Row, Switch, overlap_ms, rows
from vpc_lab.traffic.recorder import Measurement

from .conftest import NAME

pytestmark = pytest.mark.root

OVERLAY = str(topology_for().overlay)
EXAMPLE = cast("Path", examples.directory()) / "overlay-ip.crm"
RESOURCE = "ip_service"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A cluster in two availability zones with the example, and an Elastic IP for it to take along."""
    with Lab.running(f"{NAME}-eip", Settings(fencing=False, internet=True)) as lab:
        allocation = lab.status().service.allocation_id
        text = EXAMPLE.read_text(encoding="utf-8")
        assert "params ip=@OVERLAY_IP@" in text
        lab.load(text.replace("params ip=@OVERLAY_IP@", f"params allocation_id={allocation} ip=@OVERLAY_IP@"))
        lab.settle()
        yield lab


@pytest.fixture
def active(lab: Lab) -> str:
    """The active node; every node has power."""
    for name in set(lab.nodes()) - set(lab.powered_nodes()):
        lab.power_on(name)
    lab.wait_online()
    lab.exec("node1", ["crm_resource", "--clear", "--resource", RESOURCE])
    lab.settle()
    status = lab.wait_cluster("the address started", lambda now: now.where(RESOURCE) is not None)
    return cast("str", status.where(RESOURCE))


def moves(lab: Lab, old: str, provoke: Callable[[Switch], object]) -> List[Row]:
    """Move the service away from `old`; what each consumer saw of it, those on the Internet as well."""
    questions = lab.questions(OVERLAY)
    public = lab.status().service.elastic_ips[OVERLAY]
    assert questions[INTERNET.name] == public
    assert lab.status().service.holder == old
    with Measurement.running(lab, lab.nodes(), questions) as measurement:
        assert measurement.wait_steady(old, 0.0, 30.0)
        switch = Switch(old, next(name for name in lab.nodes() if name != old), time.time())
        provoke(switch)
        assert measurement.wait_steady(switch.new, switch.triggered, 90.0)
        seen = measurement.histories(since=switch.triggered - 1.0)
    # Route tables and Elastic IP are written at the same time: each has a moment of its own.
    public_alone = {name: questions for name, questions in seen.items() if name == INTERNET.name}
    assert public_alone
    assert overlap_ms(public_alone, switch) == 0
    assert overlap_ms({name: some for name, some in seen.items() if name not in public_alone}, switch) == 0
    assert lab.status().service.holder == switch.new
    assert OVERLAY in held(lab, switch.new)
    return rows(seen, switch)


def judge(seen: List[Row], record_property: Callable[[str, object], None]) -> None:
    """Everybody is served by the new node, and after its first answer by nobody else; the gaps are recorded."""
    assert {row.consumer for row in seen} >= {"consumer-a", "consumer-b", "onprem", INTERNET.name}
    gaps = {f"{row.consumer} {row.protocol}": None if row.gap_ms is None else round(row.gap_ms) for row in seen}
    record_property("gaps in ms", json.dumps(gaps))
    print(gaps)  # noqa: T201  for whoever runs it with -s
    assert [problem for row in seen for problem in row.problems()] == []


def test_a_planned_move(lab: Lab, active: str, record_property: Callable[[str, object], None]) -> None:
    """To the other zone: consumers on the Internet follow, with all others."""
    auditor = Auditor(lab, [OVERLAY])

    def move(switch: Switch) -> None:
        lab.exec(switch.old, ["crm_resource", "--move", "--resource", RESOURCE, "--node", switch.new])

    judge(moves(lab, active, move), record_property)
    assert auditor.complaints() == []


def test_a_power_cut(lab: Lab, active: str, record_property: Callable[[str, object], None]) -> None:
    """The active node loses its power and is fenced: consumers on the Internet follow, with all others."""
    auditor = Auditor(lab, [OVERLAY])
    judge(moves(lab, active, lambda switch: lab.power_off(switch.old)), record_property)
    assert auditor.complaints(may_be_fenced=[active]) == []
