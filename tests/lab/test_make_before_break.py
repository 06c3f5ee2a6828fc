"""A planned move with allow-migrate=true where a route takes effect later, for each source at its own moment."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Iterator, List, cast

import pytest

from vpc_lab import examples
from vpc_lab.judge.audits import held
from vpc_lab.lab import Lab
from vpc_lab.settings import Settings
from vpc_lab.topology import topology_for
from vpc_lab.traffic.analysis import Row, Switch, rows
from vpc_lab.traffic.recorder import Measurement

pytestmark = pytest.mark.root

OVERLAY = str(topology_for().overlay)
EXAMPLE = cast("Path", examples.directory()) / "make-before-break.crm"
# Of an HTTP request whose TCP connection was under way when its source's route changed: the new node knows no such one.
UNDER_WAY = {"reset", "closed", "timeout"}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A cluster with the example, whose fence device is its own, where routes take effect within a second."""
    with Lab.running(f"test-{os.getpid()}-mbb", Settings(fencing=False, route_lag_seconds=1.0)) as lab:
        lab.load(EXAMPLE.read_text(encoding="utf-8"))
        lab.settle()
        yield lab


def planned_move(lab: Lab, drain: int) -> List[Row]:
    """Move the address to the other node while every consumer asks; what each consumer saw."""
    node = lab.nodes()[0]
    lab.exec(node, ["crm_resource", "--resource", "ip_service", "-p", "drain", "-v", str(drain)])
    lab.settle()
    now = lab.wait_cluster("the address started", lambda now: now.where("ip_service") is not None)
    old = cast("str", now.where("ip_service"))
    new = next(name for name in lab.nodes() if name != old)
    with Measurement.running(lab, lab.nodes(), lab.questions(OVERLAY)) as measurement:
        assert measurement.wait_steady(old, 0.0, 30.0)
        switch = Switch(old, new, time.time())
        lab.exec(old, ["crm", "resource", "move", "ip_service", new])
        lab.settle()
        measurement.wait_steady(new, switch.triggered, 60.0)
        seen = rows(measurement.histories(since=switch.triggered - 1.0), switch)
    lab.exec(old, ["crm", "resource", "clear", "ip_service"])
    lab.settle()
    assert OVERLAY not in held(lab, old)
    return seen


def test_with_drain_no_datagram_is_lost(lab: Lab) -> None:
    """UDP and pings lose nothing; of TCP only connections that were under way when their source's route changed."""
    for _ in range(2):  # there and back
        seen = planned_move(lab, drain=2)
        assert {row.protocol: row.lost for row in seen if row.protocol != "tcp" and row.lost} == {}
        for row in seen:
            assert not row.lost_for_good, row
            assert set(row.errors) <= UNDER_WAY, row
            assert row.lost <= 2, row


def test_without_drain_some_are(lab: Lab) -> None:
    """The control: what the parameter is for. The old node stops while some sources are still routed to it."""
    lost = sum(row.lost for _ in range(2) for row in planned_move(lab, drain=0))
    assert lost > 0
