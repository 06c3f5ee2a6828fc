"""When a written route is effective for whom; pure, so with a clock of the test's own."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Dict, Optional

from vpc_lab.fabric.propagation import Propagation
from vpc_lab.vpc import Route, RouteTable

BLOCK = IPv4Network("192.168.10.10/32")
OTHER = IPv4Network("192.168.10.11/32")
OWNER = "123456789012"
SOURCES = ("e1", "e2", "e3", "e4")


def tables(target: Optional[str], other: Optional[str] = None) -> Dict[str, RouteTable]:
    """The same table for every source."""
    routes = [Route(block, to) for block, to in ((BLOCK, target), (OTHER, other)) if to is not None]
    return dict.fromkeys(SOURCES, RouteTable("rtb-1", OWNER, tuple(routes)))


def targets(propagation: Propagation, now: float, block: IPv4Network = BLOCK) -> Dict[str, Optional[str]]:
    """Where each source is led at a moment."""
    propagation.advance(now)
    return {
        source: next((route.target for route in table.routes if route.destination == block), None)
        for source, table in propagation.effective().items()
    }


def moments(propagation: Propagation, begin: float, target: Optional[str]) -> Dict[str, float]:
    """When each source switches to `target`."""
    found: Dict[str, float] = {}
    while (due := propagation.due()) is not None:
        for source, leads in targets(propagation, due).items():
            if leads == target:
                found.setdefault(source, round(due - begin, 6))
    return found


def written(seed: int = 0) -> Propagation:
    """Every source is led to `one`, and `two` was written at 100 s, with a lag of 1 s at most."""
    propagation = Propagation(1.0, seed)
    propagation.write(50.0, tables("one"))
    propagation.write(100.0, tables("two"))
    return propagation


def test_each_source_switches_at_a_moment_of_its_own() -> None:
    """All within the lag, no two together, and until then they follow the route of before."""
    propagation = written()
    assert set(targets(propagation, 100.0).values()) == {"one"}
    found = moments(propagation, 100.0, "two")
    assert found.keys() == set(SOURCES)
    assert len(set(found.values())) == len(SOURCES)
    assert all(0 < moment <= 1 for moment in found.values())
    assert propagation.under_way() == ()


def test_the_delays_are_reproducible_and_drawn_anew_for_each_change() -> None:
    """The same seed gives the same delays, another seed others, and the next change of the route others again."""
    first = moments(written(), 100.0, "two")
    again = written()
    assert moments(again, 100.0, "two") == first
    assert moments(written(7), 100.0, "two") != first
    again.write(200.0, tables("one"))
    assert moments(again, 200.0, "one") != first


def test_a_later_write_is_never_undone_by_an_earlier_one() -> None:
    """Whatever the delays were, no source goes back to an older route."""
    for seed in range(50):
        propagation = Propagation(1.0, seed)
        propagation.write(0.0, tables("0"))
        for number in range(1, 5):
            propagation.write(number / 10, tables(str(number)))
        seen: Dict[str, int] = dict.fromkeys(SOURCES, 0)
        while (due := propagation.due()) is not None:
            for source, leads in targets(propagation, due).items():
                assert leads is not None
                assert int(leads) >= seen[source]
                seen[source] = int(leads)
        assert set(seen.values()) == {4}


def test_a_quick_change_does_not_wait_for_a_slow_one_before_it() -> None:
    """A later write that is effective sooner takes the place of one that is still under way."""
    propagation = written()
    propagation.lag = 0.001
    propagation.write(100.001, tables("three"))
    assert set(targets(propagation, 100.003).values()) == {"three"}
    assert propagation.under_way() == ()


def test_a_deleted_route_is_followed_until_the_deletion_is_effective() -> None:
    """And a created one is not before."""
    propagation = Propagation(1.0)
    propagation.write(0.0, tables("one"))
    propagation.write(10.0, tables(None, "new"))
    assert set(targets(propagation, 10.0).values()) == {"one"}
    assert set(targets(propagation, 10.0, OTHER).values()) == {None}
    assert set(targets(propagation, 11.0).values()) == {None}
    assert set(targets(propagation, 11.0, OTHER).values()) == {"new"}


def test_without_a_lag_everything_is_effective_at_once() -> None:
    """Also what is under way when the lag is taken away."""
    propagation = written()
    propagation.lag = 0.0
    assert set(targets(propagation, 100.0).values()) == {"two"}
    propagation.write(100.0, tables("three"))
    assert set(targets(propagation, 100.0).values()) == {"three"}
    assert propagation.due() is None


def test_a_new_source_starts_with_the_newest_routes() -> None:
    """An instance that boots, or an ENI that is attached, has no older view; one that goes is forgotten."""
    propagation = written()
    propagation.write(100.0, {**tables("two"), "e5": tables("two")["e1"]})
    assert targets(propagation, 100.0)["e5"] == "two"
    propagation.write(100.1, {"e5": tables("two")["e1"]})
    assert targets(propagation, 100.1) == {"e5": "two"}
    assert propagation.under_way() == ()


def test_only_the_route_in_use_travels() -> None:
    """A propagated route beside a static one for the same destination, in whichever order, changes nothing."""
    propagation = Propagation(1.0)
    propagation.write(0.0, tables("one"))
    both = (Route(BLOCK, "one"), Route(BLOCK, "two", "EnableVgwRoutePropagation"))
    propagation.write(1.0, dict.fromkeys(SOURCES, RouteTable("rtb-1", OWNER, both)))
    assert propagation.under_way() == ()
    assert set(targets(propagation, 1.0).values()) == {"one"}


def test_a_black_hole_is_one_for_everybody_at_once() -> None:
    """Only the target travels: the state of the route that is in effect is the one that EC2 has."""
    propagation = Propagation(1.0)
    propagation.write(0.0, tables("one"))
    stopped = RouteTable("rtb-1", OWNER, (Route(BLOCK, "one", state="blackhole"),))
    propagation.write(1.0, dict.fromkeys(SOURCES, stopped))
    assert {table.routes[0].state for table in propagation.effective().values()} == {"blackhole"}
