"""Several addresses in one resource on the real cluster: what Pacemaker makes of changes, losses and new tables."""

from __future__ import annotations

import os
import time
from typing import Dict, Iterator, List, Sequence, Set, cast

import pytest

from vpc_lab.faults import Fault, RouteChanged, StaleReads
from vpc_lab.judge.audits import held
from vpc_lab.lab import Lab
from vpc_lab.settings import Settings
from vpc_lab.traffic.analysis import Switch, rows
from vpc_lab.traffic.recorder import Measurement
from vpc_lab.waiting import eventually

from .configurations import SECOND_ADDRESS, TOPOLOGY, emptied, load
from .conftest import delete_route

pytestmark = pytest.mark.root

FIRST = str(TOPOLOGY.overlay)
THIRD = "192.168.10.12"
RESOURCE = "ip_many"


@pytest.fixture(scope="module")
def bare() -> Iterator[Lab]:
    """A cluster with nothing configured."""
    with Lab.running(f"test-{os.getpid()}-many", Settings(fencing=False)) as lab:
        yield lab


def without_routes(lab: Lab) -> Lab:
    """The same, without the routes of another test: a more specific one would win."""
    for destination in (f"{FIRST}/32", f"{SECOND_ADDRESS}/32", f"{THIRD}/32", "192.168.10.0/25", "192.168.10.0/24"):
        delete_route(lab, destination)
    return lab


@pytest.fixture
def lab(bare: Lab) -> Iterator[Lab]:
    """The cluster with the example of many addresses, started."""
    with emptied(without_routes(bare)) as lab:
        assert load(lab, "many-addresses.crm") == []
        lab.settle()
        yield lab


def where(lab: Lab) -> str:
    """The node that has the resource."""
    status = lab.cluster_status()
    assert status is not None
    assert status.failures == ()
    return cast("str", status.where(RESOURCE))


def set_parameter(lab: Lab, name: str, value: str) -> None:
    """Change a parameter of the resource, and wait for what follows from it."""
    lab.exec("node1", ["crm_resource", "--resource", RESOURCE, "--set-parameter", name, "--parameter-value", value])
    lab.settle()


def operations(lab: Lab, node: str, since: float) -> List[str]:
    """The agent's actions on a node since then, by Pacemaker's log."""
    log = lab.exec(node, ["cat", "/var/log/pacemaker/pacemaker.log"]).stdout
    lines = [line for line in log.splitlines() if "executing - rsc:ip_many action:" in line]
    assert since <= time.time()
    return [line.partition("action:")[2].split()[0] for line in lines]


def test_a_reload_adds_and_removes_addresses(lab: Lab) -> None:
    """`ip` and `destination` are reloadable: nothing restarts, whoever asks the address that stays loses nothing."""
    node = where(lab)
    before = operations(lab, node, 0.0)
    with Measurement.running(lab, lab.nodes(), lab.questions(FIRST)) as measurement:
        assert measurement.wait_steady(node, 0.0, 30.0)
        begun = time.time()
        set_parameter(lab, "ip", f"{FIRST},{THIRD}")
        assert held(lab, node) >= {FIRST, THIRD}
        assert SECOND_ADDRESS not in held(lab, node)
        set_parameter(lab, "destination", "192.168.10.0/25")
        assert measurement.wait_steady(node, time.time(), 30.0)
        switch = Switch(node, node, begun)
        assert sum(row.lost for row in rows(measurement.histories(since=begun), switch)) == 0
    assert where(lab) == node
    done = operations(lab, node, 0.0)[len(before) :]
    assert "reload-agent" in done
    assert "start" not in done
    assert "stop" not in done


def test_from_many_routes_to_one_without_a_silence(bare: Lab) -> None:
    """As docs/operations.md describes it: nobody loses an answer, and afterwards the one route alone moves them all."""
    with emptied(without_routes(bare)) as lab:
        assert load(lab, "many-addresses.crm", lambda text: text.replace(" destination=@OVERLAY_CIDR@", "")) == []
        lab.settle()
        node = where(lab)
        other = next(one for one in lab.nodes() if one != node)
        with Measurement.running(lab, lab.nodes(), lab.questions(FIRST)) as measurement:
            assert measurement.wait_steady(node, 0.0, 30.0)
            begun = time.time()
            set_parameter(lab, "destination", "192.168.10.0/24")
            for address in (FIRST, SECOND_ADDRESS):
                assert set(lab.status().routes[address].values()) == {node}
                delete_route(lab, f"{address}/32")
            assert measurement.wait_steady(node, time.time(), 30.0)
            assert sum(row.lost for row in rows(measurement.histories(since=begun), Switch(node, node, begun))) == 0
            assert set(lab.status().routes[FIRST].values()) == {node}
            moved = time.time()
            move(lab, other)
            assert measurement.wait_steady(other, moved, 60.0)
        assert {FIRST, SECOND_ADDRESS} <= held(lab, other)


def test_one_that_is_lost_comes_back_with_all(lab: Lab) -> None:
    """All or nothing: a monitor that misses one answers 7, and Pacemaker stops what is left before it starts again."""
    node = where(lab)
    before = operations(lab, node, 0.0)
    lab.exec(node, ["ip", "address", "del", f"{SECOND_ADDRESS}/32", "dev", "eth0"])
    eventually("the address is back", lambda: {FIRST, SECOND_ADDRESS} <= held(lab, node) or None, 60)
    lab.settle()
    done = operations(lab, node, 0.0)[len(before) :]
    assert [one for one in done if one in ("start", "stop")] == ["stop", "start"]
    lab.forget_failures(RESOURCE)


def test_a_probe_that_finds_only_some_has_them_stopped(lab: Lab) -> None:
    """After 1 to a probe Pacemaker stops the resource there; nothing of it stays behind on the other node."""
    node = where(lab)
    other = next(one for one in lab.nodes() if one != node)
    lab.exec(other, ["ip", "address", "add", f"{SECOND_ADDRESS}/32", "dev", "eth0"])
    lab.exec("node1", ["crm_resource", "--refresh", "--resource", RESOURCE, "--node", other])
    eventually("it is gone from the other node", lambda: SECOND_ADDRESS not in held(lab, other) or None, 60)
    lab.forget_failures(RESOURCE)
    status = lab.cluster_status()
    assert status is not None
    there = cast("str", status.where(RESOURCE))
    assert {FIRST, SECOND_ADDRESS} <= held(lab, there)


# -- tables that are found by themselves -----------------------------------------------------------------------------


def automatic(text: str) -> str:
    """The example with `auto`, and a monitor at level 10 every five seconds."""
    return text.replace('routing_table="@ROUTE_TABLES@"', "routing_table=auto").replace("interval=120s", "interval=5s")


@pytest.fixture
def auto(bare: Lab) -> Iterator[Lab]:
    """The example with `auto`; both nodes have had the resource once, so that both know the tables."""
    without_routes(bare).inject(RouteChanged("192.168.10.0/24", "node1"))
    with emptied(bare) as lab:
        assert load(lab, "many-addresses.crm", automatic) == []
        lab.settle()
        for node in ("node2", "node1"):
            move(lab, node)
            lab.wait_cluster(f"the resource on {node}", lambda status, node=node: status.where(RESOURCE) == node, 60)  # type: ignore[misc]
        lab.settle()
        yield lab


def move(lab: Lab, node: str) -> None:
    """A planned move."""
    lab.exec("node1", ["crm_resource", "--move", "--resource", RESOURCE, "--node", node])
    lab.settle()
    lab.exec("node1", ["crm_resource", "--clear", "--resource", RESOURCE])


BREAK: Dict[str, Sequence[Fault]] = {"working": (), "stale": (StaleReads(30.0),)}


@pytest.mark.parametrize("lookup", BREAK)
def test_a_failover_right_after_a_subnet_was_added(auto: Lab, lookup: str) -> None:
    """The consumers of the new subnet are served; with a lookup that fails those of the tables that are known, and the
    others by the next monitor at level 10.
    """
    lab = auto
    broken = [lab.inject(fault) for fault in BREAK[lookup]]
    table = lab.order("new-route-table", subnet="b")
    lab.inject(RouteChanged("192.168.10.0/24", "node1", table))
    try:
        with Measurement.running(lab, lab.nodes(), lab.questions(FIRST)) as measurement:
            assert measurement.wait_steady("node1", 0.0, 30.0)
            switch = Switch("node1", "node2", time.time())
            lab.power_off("node1")
            if lookup == "working":
                assert measurement.wait_steady("node2", switch.triggered, 60.0)
            else:
                known = {name for name in lab.questions(FIRST) if name != "consumer-b"}

                def served() -> Set[str]:
                    return {consumer for consumer, _ in measurement.first_answers("node2", switch.triggered)}

                eventually("the consumers of the known tables are served", lambda: known <= served() or None, 60)
                for one in broken:
                    one.heal()
                assert measurement.wait_steady("node2", time.time(), 90.0)
    finally:
        lab.heal()
        delete_route(lab, "192.168.10.0/24")
