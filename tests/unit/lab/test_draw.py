"""What a soak draws: the same for the same seed, all of it possible, and every fault of the list sooner or later."""

from __future__ import annotations

from typing import Tuple

import pytest

from vpc_lab import faults
from vpc_lab.faults import FAULTS, Fault
from vpc_lab.scenarios.draw import HARMLESS, LATEST, LONGEST, MOST, Step, Timed, View, draw, may_be_fenced
from vpc_lab.topology import MODES, Mode

# What no soak draws: `role-policy` is drawn as `access-denied`, `dead-indexes` outlast a step by design.
NEVER = {"role-policy", "dead-indexes"}
ONLY = {
    "overlay-ip": {"route-changed", "route-deleted", "route-table-deleted", "source-dest-check", "zone-cut"},
    "eni": {"rules-removed", "stuck-detach", "eni-detached"},
    "private-ip": {"remap-lag", "address-taken"},
}


def view(mode: Mode, standbys: Tuple[str, ...] = ("node2", "node3")) -> View:
    """Something to choose from."""
    zones = ("z-1a", "z-1b", "z-1c") if mode == "overlay-ip" else ("z-1a",)
    return View(mode, "node1", standbys, ("192.168.10.10", "fd00:10::10"), ("rtb-1", "rtb-2"), zones)


def test_a_seed_draws_the_same_again() -> None:
    """The step of a number does not depend on those before: it can be repeated alone."""
    seen = view("overlay-ip")
    assert [draw(7, number, seen) for number in range(1, 20)] == [draw(7, number, seen) for number in range(1, 20)]
    assert draw(7, 3, seen) != draw(8, 3, seen)


@pytest.mark.parametrize("mode", MODES)
def test_every_fault_that_fits_the_mode_is_drawn(mode: Mode) -> None:
    """And none that does not."""
    drawn = {one.fault.name for number in range(1, 1500) for one in draw(1, number, view(mode)).timed}
    others = set().union(*(faults for one, faults in ONLY.items() if one != mode))
    assert drawn == set(FAULTS) - NEVER - others


def test_a_step_has_a_few_faults_that_overlap() -> None:
    """At most three, within some seconds of each other, in the order of time; some with a move."""
    steps = [draw(2, number, view("overlay-ip")) for number in range(1, 200)]
    for step in steps:
        assert 1 <= len(step.timed) <= MOST
        assert [one.at for one in step.timed] == sorted(one.at for one in step.timed)
        assert all(0 <= one.at <= LATEST and 0 < one.lasting <= LONGEST for one in step.timed)
    assert {len(step.timed) for step in steps} == {1, 2, 3}
    assert {step.move is None for step in steps} == {True, False}


def test_what_is_harmless_is_a_fault() -> None:
    """A fault that was renamed would not be judged as strictly any more."""
    assert set(HARMLESS) <= set(FAULTS)


def test_a_step_says_what_it_does() -> None:
    """For whoever reads of it: each fault as the command line has it, with its times, and the move."""
    steps = [draw(3, number, view("eni")) for number in range(1, 99)]
    (step, move), *_ = [(step, step.move) for step in steps if step.move is not None]
    for one in step.timed:
        assert f"{one.at:.1f} s for {one.lasting:.1f} s: {one.fault}" in str(step)
    assert str(step).endswith(f"the service is moved to {move[1]}")


@pytest.mark.parametrize(
    ("fault", "may"),
    [
        (faults.Crash("node1"), True),
        (faults.GracefulStop("node2"), True),
        (faults.Partition("node1", "node2"), True),
        (faults.Partition("node1", "api"), False),
        (faults.Unreachable(), False),
        (faults.Hang("*", "node1"), False),
        (faults.Imds("node1", "silent"), False),
        (faults.AddressRemoved("node1", "192.168.10.10"), False),
    ],
)
def test_nodes_are_fenced_for_what_befalls_nodes(fault: Fault, may: bool) -> None:
    """An agent whose stop fails because EC2 does not answer gets its node fenced: that is none of the faults' doing."""
    step = Step(1, (Timed(0.0, 1.0, faults.Slow(1.0)), Timed(0.0, 1.0, fault)))
    assert may_be_fenced(step, ("node1", "node2")) == (("node1", "node2") if may else ())
