"""How faults add up: what all of them cause together, and what is left when one of them goes."""

from __future__ import annotations

from itertools import permutations
from typing import Dict, List, Optional, Set, Tuple

import pytest

from vpc_lab.ec2 import Limit
from vpc_lab.ec2.errors import ApiError as Refusal
from vpc_lab.ec2.throttle import Throttle
from vpc_lab.ec2.wire import Query
from vpc_lab.errors import LabError
from vpc_lab.faults import (
    AccessDenied,
    DeadIndexes,
    DiskFull,
    ExpiredCredentials,
    Fault,
    Freeze,
    GracefulStop,
    Imds,
    Partition,
    RemapLag,
    RolePolicy,
    RouteLag,
    StaleReads,
    StuckDetach,
    Throttled,
    Unreachable,
    ZoneCut,
)
from vpc_lab.host.injection.conditions import Conditions, Lags, Places, combined
from vpc_lab.host.injection.layers import Layers

PLACES = Places(("node1", "node2", "consumer-a"), ("zone-a", "zone-b", "zone-c"), ("onprem", "internet"))


def conditions(*in_force: Fault) -> Conditions:
    """What these faults cause in a lab that is as by default."""
    return combined(in_force, PLACES)


def both(*pairs: Tuple[str, str]) -> Set[Tuple[str, str]]:
    """These links, both ways."""
    return {*pairs, *((other, one) for one, other in pairs)}


def test_without_faults_everything_is_well() -> None:
    """And so it is again when the last fault has gone: there is no other state."""
    assert conditions() == combined([], PLACES, Lags())
    well = conditions()
    assert (well.cuts, well.lags, well.limits, well.policies, well.frozen, well.full) == (
        frozenset(),
        Lags(),
        (),
        (),
        {},
        frozenset(),
    )
    assert well.consistency.lag == 0
    assert well.renewing
    assert not well.stuck_detach
    assert not well.dead_indexes


@pytest.mark.parametrize(
    ("fault", "cuts"),
    [
        (Partition("node1", "node2"), both(("node1", "node2"))),
        (Partition("node1", "node2", one_way=True), {("node1", "node2")}),
        (
            ZoneCut("zone-a"),
            both(*(("zone-a", other) for other in ("zone-b", "zone-c", "onprem", "internet", "api"))),
        ),
        (Unreachable("node2"), both(("node2", "api"))),
        (Unreachable(), both(*((name, "api") for name in PLACES.instances))),
        (Imds("node1", "silent"), both(("node1", "imds"))),
        (Imds("node1", "off"), set()),
    ],
    # A set is written in another order by each process.
    ids=lambda value: str(value) if isinstance(value, Fault) else "",
)
def test_what_a_fault_cuts(fault: Fault, cuts: Set[Tuple[str, str]]) -> None:
    """From where to where no packet passes."""
    assert conditions(fault).cuts == cuts


def test_a_link_that_two_faults_cut_stays_cut_with_one() -> None:
    """Whichever of them goes first."""
    two = [Partition("node1", "api"), Unreachable()]
    assert ("node1", "api") in conditions(*two).cuts
    for one in two:
        assert ("node1", "api") in conditions(one).cuts


def test_the_longest_lag_counts() -> None:
    """Of routes, of addresses, of metadata, and of reads, each by itself; what the lab was brought up with too."""
    found = combined(
        [RouteLag(2), RouteLag(1), RemapLag(1, imds=5), RemapLag(3), StaleReads(4), StaleReads(9)],
        PLACES,
        Lags(0.5, 0.5, 7),
    )
    assert found.lags == Lags(2, 3, 7)
    assert found.consistency.lag == 9
    assert combined([], PLACES, Lags(1, 2, 3)).lags == Lags(1, 2, 3)


def test_reads_that_are_always_stale_hide_those_that_are_every_second_time() -> None:
    """The stricter of the two holds."""
    assert conditions(StaleReads(1, alternating=True)).consistency.alternating
    assert not conditions(StaleReads(1, alternating=True), StaleReads(1)).consistency.alternating


def test_two_that_freeze_an_instance() -> None:
    """The kernel stands still for as long as one of them says so; the instance for as long as any does."""
    assert conditions(Freeze("node1"), Freeze("node1", kernel=False)).frozen == {"node1": True}
    assert conditions(Freeze("node1", kernel=False), Freeze("node2")).frozen == {"node1": False, "node2": True}


def test_what_is_of_one_instance_is_listed_by_it() -> None:
    """Full file systems, metadata that is off, systems that shut down first."""
    metadata = (Imds("node1", "401"), Imds("node2", "off"))
    found = conditions(DiskFull("node1"), DiskFull("node1", "run"), *metadata, GracefulStop("node2"))
    assert found.full == {("node1", "log"), ("node1", "run")}
    assert found.imds_off == {"node2"}
    assert found.shut_down_first == {"node2"}


def test_switches_of_ec2_stay_on_with_the_last() -> None:
    """And dead indexes of a lab that was brought up so, for good."""
    assert conditions(StuckDetach(), StuckDetach()).stuck_detach
    assert conditions(DeadIndexes()).dead_indexes
    assert combined([], PLACES, dead_indexes=True).dead_indexes


def test_metadata_renews_credentials_when_nothing_hinders_it() -> None:
    """One that lets it hand out expired ones counts, whatever others say."""
    assert conditions(ExpiredCredentials()).renewing
    assert not conditions(ExpiredCredentials(), ExpiredCredentials(renew=False)).renewing


@pytest.mark.parametrize(
    ("fault", "action", "resource", "permitted"),
    [
        (AccessDenied("ReplaceRoute"), "ec2:ReplaceRoute", "arn:aws:ec2:r:1:route-table/rtb-1", False),
        (AccessDenied("ReplaceRoute"), "ec2:CreateRoute", "arn:aws:ec2:r:1:route-table/rtb-1", True),
        (AccessDenied("*Route", "rtb-1"), "ec2:CreateRoute", "arn:aws:ec2:r:1:route-table/rtb-1", False),
        (AccessDenied("*Route", "rtb-1"), "ec2:CreateRoute", "arn:aws:ec2:r:1:route-table/rtb-2", True),
        (AccessDenied("*Route", "rtb-1"), "ec2:CreateRoute", "arn:aws:ec2:r:1:route-table/xrtb-1", True),
        (AccessDenied("Describe*"), "ec2:DescribeInstances", "*", False),
        (AccessDenied("Describe*"), "ec2:StopInstances", "arn:aws:ec2:r:1:instance/i-1", True),
    ],
    ids=str,
)
def test_what_iam_denies(fault: AccessDenied, action: str, resource: str, permitted: bool) -> None:
    """The operation, or it on one resource, and nothing else."""
    (policy,) = conditions(fault).policies
    assert policy.decide(action, resource) == ("allowed" if permitted else "explicit deny")


def test_a_policy_that_the_lab_does_not_understand_is_refused() -> None:
    """A policy is never half understood."""
    with pytest.raises(LabError, match="it has no 'Statement'"):
        conditions(RolePolicy("{}"))
    with pytest.raises(LabError, match="the lab does not understand this policy"):
        conditions(RolePolicy('{"Statement": {"Effect": "Maybe", "Action": "*", "Resource": "*"}}'))


# -- token buckets -----------------------------------------------------------------------------------------------------


def admitted(throttle: Throttle, action: str, calls: int, now: float) -> int:
    """How many of so many calls at one moment pass."""
    passed = 0
    for _ in range(calls):
        try:
            throttle.take(Query({"Action": action}), now)
        except Refusal:
            continue
        passed += 1
    return passed


def test_a_bucket_empties_and_fills() -> None:
    """As documented: 50 writes, then 5 a second; never more than it holds."""
    throttle = Throttle()
    assert admitted(throttle, "ReplaceRoute", 99, 0.0) == 99
    throttle.limit(*conditions(Throttled()).limits)
    assert admitted(throttle, "ReplaceRoute", 99, 0.0) == 50
    assert admitted(throttle, "ReplaceRoute", 99, 2.0) == 10
    assert admitted(throttle, "ReplaceRoute", 99, 1000.0) == 50
    assert admitted(throttle, "CreateRoute", 99, 1000.0) == 50


def test_figures_of_one_operation_leave_the_others() -> None:
    """The smallest capacity and the slowest refill count."""
    throttle = Throttle()
    throttle.limit(Limit("*Route", capacity=4, refill=3), Limit("ReplaceRoute", capacity=9, refill=1))
    assert admitted(throttle, "ReplaceRoute", 99, 0.0) == 4
    assert admitted(throttle, "ReplaceRoute", 99, 1.0) == 1
    assert admitted(throttle, "DescribeRouteTables", 999, 1.0) == 999


def test_buckets_are_full_when_a_limit_comes_after_none() -> None:
    """What was taken under a limit that is gone is forgotten; under one that comes beside another one it is not."""
    throttle = Throttle()
    throttle.limit(Limit())
    assert admitted(throttle, "ReplaceRoute", 99, 0.0) == 50
    throttle.limit(Limit(), Limit("Describe*"))
    assert admitted(throttle, "ReplaceRoute", 99, 0.0) == 0
    throttle.limit()
    throttle.limit(Limit())
    assert admitted(throttle, "ReplaceRoute", 99, 0.0) == 50


def test_somebody_else_s_load_takes_from_the_same_bucket() -> None:
    """What is left of the refill is ours; a load above it leaves nothing, but the bucket never owes anything."""
    throttle = Throttle()
    throttle.limit(Limit("ReplaceRoute", load=3))
    assert admitted(throttle, "ReplaceRoute", 99, 0.0) == 50
    assert admitted(throttle, "ReplaceRoute", 99, 10.0) == 20
    throttle.limit(Limit("ReplaceRoute", load=3), Limit("ReplaceRoute", load=9))
    assert admitted(throttle, "ReplaceRoute", 99, 20.0) == 0
    throttle.limit(Limit("ReplaceRoute"))
    assert admitted(throttle, "ReplaceRoute", 99, 21.0) == 5


# -- layers ------------------------------------------------------------------------------------------------------------


class Thing:
    """Something with one value, that faults change and an agent mends."""

    def __init__(self) -> None:
        self.value = "well"
        self._layers: Layers[str, str] = Layers()

    def change(self, number: int, after: str) -> None:
        """A fault."""
        self._layers.put(number, "thing", self.value, after)
        self.value = after

    def heal(self, number: int) -> None:
        """Undo it, as the injection does."""
        for key in self._layers.keys(number):
            layer: Optional[object] = self._layers.take(number, key)
            if layer is not None and self.value == layer.after:  # type: ignore[attr-defined]
                self.value = layer.before  # type: ignore[attr-defined]


@pytest.mark.parametrize("order", list(permutations([1, 2, 3])))
def test_layers_come_off_in_any_order(order: Tuple[int, ...]) -> None:
    """When the last is healed the thing is as before the first; until then the latest that is left is what shows."""
    thing, left = Thing(), {1: "first", 2: "second", 3: "third"}
    for number, value in left.items():
        thing.change(number, value)
    for number in order:
        thing.heal(number)
        del left[number]
        assert thing.value == (left[max(left)] if left else "well")
    thing.heal(order[0])
    assert thing.value == "well"


def test_what_was_mended_is_left_alone() -> None:
    """By whatever was healed later, and by whatever came after the mending."""
    thing = Thing()
    thing.change(1, "broken")
    thing.value = "moved"
    thing.heal(1)
    assert thing.value == "moved"


def test_a_fault_after_a_mending_leads_back_to_the_mended() -> None:
    """Not to what there was before an earlier fault."""
    thing = Thing()
    thing.change(1, "broken")
    thing.value = "moved"
    thing.change(2, "broken again")
    thing.heal(1)
    assert thing.value == "broken again"
    thing.heal(2)
    assert thing.value == "moved"


def test_layers_of_different_things_do_not_touch() -> None:
    """Each thing has its own."""
    layers: Layers[str, int] = Layers()
    layers.put(1, "a", 0, 1)
    layers.put(1, "b", 0, 2)
    layers.put(2, "b", 2, 3)
    found: Dict[str, List[object]] = {key: [layers.take(1, key)] for key in layers.keys(1)}
    assert [one is None for one in found["a"]] == [False]
    assert found["b"] == [None]
    top = layers.take(2, "b")
    assert top is not None
    assert (top.before, top.after) == (0, 3)
