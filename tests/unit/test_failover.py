"""failover.py: the verdict table, and every interrupted state of start and stop."""

from __future__ import annotations

from itertools import product
from typing import Callable, Dict, List, Optional, Tuple, Union

import pytest

from aws_ipfailover.errors import DeniedError, Error, UnknownError
from aws_ipfailover.failover import (
    HERE,
    Evidence,
    Failover,
    Finding,
    Look,
    OnDrift,
    Repair,
    Verdict,
    Where,
    look_locally,
    not_checked,
    release_all,
    verdict,
)


class Killed(BaseException):
    """The process dies here: no clean-up runs."""


class World:
    """What is held on this node and in the cloud, and a countdown to the moment at which the process dies."""

    def __init__(self) -> None:
        self.held = {"address": False, "routes": False}
        self.steps_left: Optional[int] = None
        self.cloud_error: Optional[Error] = None
        self.changes: List[str] = []

    def step(self) -> None:
        if self.steps_left is not None:
            if self.steps_left == 0:
                raise Killed
            self.steps_left -= 1


class Thing:
    """A holding in a `World`, one step before each change and one after it."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.local = name == "address"

    def take(self) -> None:
        self.world.step()
        if not self.local and self.world.cloud_error is not None:
            raise self.world.cloud_error
        self.world.held[self.name] = True
        self.world.changes.append(f"take {self.name}")
        self.world.step()

    def release(self) -> None:
        self.world.step()
        if self.local:
            self.world.held[self.name] = False
            self.world.changes.append(f"release {self.name}")
        self.world.step()

    def look(self) -> Look:
        if not self.local and self.world.cloud_error is not None:
            raise self.world.cloud_error
        return HERE if self.world.held[self.name] else Look(Where.ELSEWHERE, f"no {self.name}")


class Pacemaker:
    """Says whether it manages the resource, or raises; counts the questions."""

    def __init__(self, answer: Union[bool, Error] = True) -> None:
        self.answer = answer
        self.asked = 0

    def manages(self) -> bool:
        self.asked += 1
        if isinstance(self.answer, Error):
            raise self.answer
        return self.answer


def overlay(world: World) -> Failover:
    """An overlay IP: the address, then its routes."""
    return Failover((Thing(world, "address"), Thing(world, "routes")))


def local(world: World) -> List[Thing]:
    """What stop and a probe know of it."""
    return [Thing(world, "address")]


def monitor(world: World) -> Finding:
    """As the agent's monitor does: the kernel first, and the cloud only where the address is here."""
    found = look_locally(local(world))
    return overlay(world).look_at_cloud(OnDrift.RESTART, Pacemaker()) if found.verdict is Verdict.RUNNING else found


UNKNOWN = UnknownError("no answer")


@pytest.mark.parametrize(
    ("kernel", "cloud", "expected"),
    [
        (Where.HERE, None, Verdict.RUNNING),
        (Where.HERE, Where.HERE, Verdict.RUNNING),
        (Where.HERE, Where.ELSEWHERE, Verdict.FAILED),
        (Where.HERE, UNKNOWN, Verdict.DEGRADED),
        (Where.ELSEWHERE, None, Verdict.NOT_RUNNING),
        (Where.ELSEWHERE, Where.HERE, Verdict.NOT_RUNNING),
        (Where.ELSEWHERE, Where.ELSEWHERE, Verdict.NOT_RUNNING),
        (Where.ELSEWHERE, UNKNOWN, Verdict.NOT_RUNNING),
    ],
)
def test_verdict_table(kernel: Where, cloud: Optional[Evidence], expected: Verdict) -> None:
    """Local evidence comes first, and an unknown cloud side degrades a running resource but never fails it."""
    assert verdict(kernel, cloud) is expected


def test_start_takes_the_address_before_the_routes() -> None:
    """Packets must not arrive before the address is there."""
    world = World()
    overlay(world).start()
    assert world.changes == ["take address", "take routes"]


def test_a_start_that_fails_takes_an_older_address_away_too() -> None:
    """On failure this node does not answer, also where the address was there before."""
    world = World()
    world.held["address"] = True
    world.cloud_error = UnknownError("ReplaceRoute: RequestLimitExceeded")
    with pytest.raises(UnknownError):
        overlay(world).start()
    assert not world.held["address"]


def test_what_is_undone_after_a_failed_start_does_not_hide_why_it_failed() -> None:
    """An address that cannot be removed again is a warning; the start's own error is what is told."""
    world = World()
    world.cloud_error = UnknownError("ReplaceRoute: RequestLimitExceeded")

    class Stuck(Thing):
        def release(self) -> None:
            raise Error("still on eth0")

    with pytest.raises(UnknownError, match="RequestLimitExceeded"):
        Failover((Stuck(world, "address"), Thing(world, "routes"))).start()


def test_only_the_cloud_is_let_go_of_in_the_cloud() -> None:
    """release_in_cloud: last taken first, and nothing of the kernel's, which stop has removed by then."""
    changes: List[str] = []

    class Noted(Thing):
        def release(self) -> None:
            changes.append(self.name)

    world = World()
    Failover((Noted(world, "address"), Noted(world, "routes"), Noted(world, "more"))).release_in_cloud()
    assert changes == ["more", "routes"]


def test_a_missing_part_is_not_running_and_says_why() -> None:
    """look_locally: the first part that is not here gives the reason; with all of them here it is running."""
    world = World()
    missing = look_locally(local(world))
    assert missing.verdict is Verdict.NOT_RUNNING
    assert missing.reason.startswith("no address; something other than the cluster changed it")
    world.held["address"] = True
    assert look_locally(local(world)) == Finding(Verdict.RUNNING)


def test_a_kernel_that_cannot_be_read_is_no_verdict() -> None:
    """look_locally: an unknown is raised, never "not running"."""

    class Unreadable(Thing):
        def look(self) -> Look:
            raise UnknownError("ip address show: nothing")

    with pytest.raises(UnknownError):
        look_locally([Unreadable(World(), "address")])


def test_every_part_is_released_whatever_becomes_of_one() -> None:
    """release_all: last one first, all of them, and the failure is told at the end."""
    world, changes = World(), []

    class Noted(Thing):
        def release(self) -> None:
            changes.append(self.name)
            if self.name == "second":
                raise Error("second is still here")

    with pytest.raises(Error, match="second is still here"):
        release_all([Noted(world, name) for name in ("first", "second", "third")])
    assert changes == ["third", "second", "first"]


def test_the_first_thing_of_the_cloud_that_is_wrong_is_told() -> None:
    """look_at_cloud: the kernel is not asked again; the first thing that is not here explains it."""
    world = World()
    overlay(world).start()
    world.held["routes"] = False
    assert monitor(world) == Finding(Verdict.FAILED, "no routes")


def test_the_cloud_is_not_asked_without_the_address() -> None:
    """Without local evidence no API is called."""
    world = World()
    world.cloud_error = AssertionError  # type: ignore[assignment]  # asking would raise it
    assert monitor(world).verdict is Verdict.NOT_RUNNING


def test_every_error_of_the_cloud_side_degrades_a_monitor() -> None:
    """Whatever kept it from asking, it did not find out."""
    for error in (UNKNOWN, DeniedError("DescribeRouteTables: UnauthorizedOperation"), Error("no credentials")):
        world = World()
        overlay(world).start()
        world.cloud_error = error
        found = monitor(world)
        assert found.verdict is Verdict.DEGRADED
        assert found.reason.startswith(f"Address up, nothing moved: {error}")


def test_what_may_answer_later_is_asked_again() -> None:
    """not_checked: an unknown passes; a denial stays, so nothing is promised of the next monitor."""
    assert not_checked(UNKNOWN) == NOT_CHECKED
    assert not_checked(DeniedError("denied")) == Finding(Verdict.DEGRADED, "Address up, nothing moved: denied")


DRIFT = Look(Where.ELSEWHERE, "rtb-a routes elsewhere")
MENDED = Repair("routed again in rtb-a")
PARTLY = Repair("routed again in rtb-a", "rtb-b: denied", leads_here=True)
IN_VAIN = Repair("", "rtb-a: denied", leads_here=False)
SILENT = UnknownError("crm_resource does not answer")


class Drifting:
    """Something in the cloud that is found as `found`, and of whose repair this comes."""

    local = False

    def __init__(self, found: Union[Look, Error], outcome: Union[Repair, Error]) -> None:
        self.found = found
        self.outcome = outcome
        self.repairs = 0

    def take(self) -> None:
        raise AssertionError

    def release(self) -> None:
        raise AssertionError

    def look(self) -> Look:
        if isinstance(self.found, Error):
            raise self.found
        return self.found

    def repair(self) -> Repair:
        self.repairs += 1
        if isinstance(self.outcome, Error):
            raise self.outcome
        return self.outcome


LOOKS: Dict[str, Union[Look, Error]] = {"here": HERE, "elsewhere": DRIFT, "unknown": UNKNOWN}
ANSWERS: Dict[str, Union[bool, Error]] = {"managed": True, "unmanaged": False, "silent": SILENT}
OUTCOMES: Dict[str, Union[Repair, Error]] = {
    "mended": MENDED,
    "partly": PARTLY,
    "in vain": IN_VAIN,
    "raised": DeniedError("check is on"),
    "not answered": UnknownError("AssignPrivateIpAddresses: InternalError"),
}
NOT_CHECKED = Finding(Verdict.DEGRADED, "Address up, nothing moved: no answer; asked again at the next monitor")
# What a look, on_drift, Pacemaker's answer and the repair's outcome make together; None and "" stand for each of them.
FINDINGS: List[Tuple[str, Optional[OnDrift], str, str, Finding]] = [
    ("here", None, "", "", Finding(Verdict.RUNNING)),
    ("unknown", None, "", "", NOT_CHECKED),
    ("elsewhere", OnDrift.RESTART, "", "", Finding(Verdict.FAILED, DRIFT.why)),
    ("elsewhere", OnDrift.REPORT, "", "", Finding(Verdict.DEGRADED, f"on_drift=report, nothing changed: {DRIFT.why}")),
    (
        *("elsewhere", OnDrift.REPAIR, "unmanaged", ""),
        Finding(Verdict.DEGRADED, f"not managed by Pacemaker, so nothing changed: {DRIFT.why}"),
    ),
    (
        *("elsewhere", OnDrift.REPAIR, "silent", ""),
        Finding(Verdict.DEGRADED, f"nothing changed: {DRIFT.why} ({SILENT})"),
    ),
    ("elsewhere", OnDrift.REPAIR, "managed", "mended", Finding(Verdict.RUNNING, MENDED.mended)),
    ("elsewhere", OnDrift.REPAIR, "managed", "partly", Finding(Verdict.DEGRADED, "Served in part: rtb-b: denied")),
    ("elsewhere", OnDrift.REPAIR, "managed", "in vain", Finding(Verdict.FAILED, f"rtb-a: denied; {DRIFT.why}")),
    ("elsewhere", OnDrift.REPAIR, "managed", "raised", Finding(Verdict.FAILED, f"check is on; {DRIFT.why}")),
    (
        *("elsewhere", OnDrift.REPAIR, "managed", "not answered"),
        Finding(Verdict.DEGRADED, f"Repair not confirmed: AssignPrivateIpAddresses: InternalError; {DRIFT.why}"),
    ),
]


def expected_of(look: str, on_drift: OnDrift, answer: str, outcome: str) -> Finding:
    """The one row of FINDINGS that speaks of this case."""
    (finding,) = [
        row[4]
        for row in FINDINGS
        if row[0] == look and row[1] in (None, on_drift) and row[2] in ("", answer) and row[3] in ("", outcome)
    ]
    return finding


@pytest.mark.parametrize(("look", "on_drift", "answer", "outcome"), list(product(LOOKS, OnDrift, ANSWERS, OUTCOMES)))
def test_what_a_monitor_makes_of_the_cloud_side(look: str, on_drift: OnDrift, answer: str, outcome: str) -> None:
    """HERE 0; UNKNOWN 190; ELSEWHERE by `on_drift`: the contract's row on level 10, in every combination.

    "Never a write while Pacemaker does not manage the resource"; Pacemaker is asked "in this case only".
    """
    thing, pacemaker = Drifting(LOOKS[look], OUTCOMES[outcome]), Pacemaker(ANSWERS[answer])
    found = Failover((thing,)).look_at_cloud(on_drift, pacemaker)
    assert found == expected_of(look, on_drift, answer, outcome)
    to_be_repaired = look == "elsewhere" and on_drift is OnDrift.REPAIR
    assert pacemaker.asked == (1 if to_be_repaired else 0)
    assert thing.repairs == (1 if to_be_repaired and answer == "managed" else 0)


def test_what_ec2_refused_at_the_start_is_no_reason_to_restart() -> None:
    """190 under `restart`: each restart would end there again, until Pacemaker bans the node."""
    thing = Drifting(DRIFT._replace(restart_helps=False), MENDED)
    found = Failover((thing,)).look_at_cloud(OnDrift.RESTART, Pacemaker(True))
    assert found == Finding(Verdict.DEGRADED, f"A restart would not mend this: {DRIFT.why}")
    assert thing.repairs == 0


def test_a_repair_is_a_warning_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Repairs are logged at WARNING: what was found is told before it is put right."""
    Failover((Drifting(DRIFT, MENDED),)).look_at_cloud(OnDrift.REPAIR, Pacemaker())
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "rtb-a routes elsewhere: repairing it in place")
    ]


def test_what_the_kernel_lost_by_a_repair_is_taken_again() -> None:
    """An ENI that was attached again brings a new interface: the local part is taken before the verdict."""
    world = World()
    again = Repair("attached again", replaced_local=True)
    finding = Failover((Drifting(DRIFT, again), Thing(world, "address"))).look_at_cloud(OnDrift.REPAIR, Pacemaker())
    assert finding == Finding(Verdict.RUNNING, "attached again")
    assert world.held["address"]
    untouched = World()
    Failover((Drifting(DRIFT, MENDED), Thing(untouched, "address"))).look_at_cloud(OnDrift.REPAIR, Pacemaker())
    assert untouched.changes == []


def test_a_local_part_that_cannot_be_taken_again_is_a_failure() -> None:
    """An ENI that is attached again without its interface serves nobody."""

    class Stuck(Thing):
        def take(self) -> None:
            raise UnknownError("no interface has appeared")

    again = Repair("attached again", replaced_local=True)
    holdings = (Drifting(DRIFT, again), Stuck(World(), "address"))
    assert Failover(holdings).look_at_cloud(OnDrift.REPAIR, Pacemaker()) == Finding(
        Verdict.FAILED, f"no interface has appeared; {DRIFT.why}"
    )


def test_every_thing_of_the_cloud_is_looked_at() -> None:
    """What was mended is told of all; one that is unknown keeps no other from being repaired, a failure does."""
    one, other = Drifting(DRIFT, Repair("one mended")), Drifting(DRIFT, Repair("other mended"))
    found = Failover((one, Drifting(HERE, MENDED), other)).look_at_cloud(OnDrift.REPAIR, Pacemaker())
    assert found == Finding(Verdict.RUNNING, "one mended; other mended")
    found = Failover((one, Drifting(UNKNOWN, MENDED), other)).look_at_cloud(OnDrift.REPAIR, Pacemaker())
    assert found.verdict is Verdict.DEGRADED
    assert found.reason.startswith("Address up, and not all of it was checked: ")
    assert other.repairs == 2
    failed = Failover((one, Drifting(DRIFT, Error("failed")), other)).look_at_cloud(OnDrift.REPAIR, Pacemaker())
    assert failed.verdict is Verdict.FAILED
    assert other.repairs == 2


def _stop(world: World) -> None:
    release_all(local(world))


def _start(world: World) -> None:
    overlay(world).start()


def _interrupt(action: Callable[[World], None], steps: int) -> Tuple[World, bool]:
    world = World()
    if action is _stop:
        _start(world)
    world.steps_left = steps
    try:
        action(world)
        finished = True
    except Killed:
        finished = False
    world.steps_left = None
    return world, finished


@pytest.mark.parametrize("action", [_start, _stop])
def test_from_every_interrupted_state_stop_and_start_reach_their_goal(action: Callable[[World], None]) -> None:
    """A crash after k steps of start or stop leaves nothing that the next stop and start cannot put right."""
    steps, finished = 0, False
    while not finished:
        world, finished = _interrupt(action, steps)
        _stop(world)
        assert not world.held["address"], (action, steps)
        assert monitor(world).verdict is Verdict.NOT_RUNNING
        world, finished = _interrupt(action, steps)
        _start(world)
        assert monitor(world).verdict is Verdict.RUNNING, (action, steps)
        steps += 1
    assert steps > (1 if action is _stop else 3)
