"""failover.py: the verdict table, and every interrupted state of start and stop."""

from __future__ import annotations

from typing import Callable, List, Optional, Tuple

import pytest

from aws_ipfailover.errors import DeniedError, Error, UnknownError
from aws_ipfailover.failover import (
    HERE,
    Evidence,
    Failover,
    Finding,
    Look,
    Verdict,
    Where,
    look_locally,
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


def overlay(world: World) -> Failover:
    """An overlay IP: the address, then its routes."""
    return Failover((Thing(world, "address"), Thing(world, "routes")))


def local(world: World) -> List[Thing]:
    """What stop and a probe know of it."""
    return [Thing(world, "address")]


def monitor(world: World) -> Finding:
    """As the agent's monitor does: the kernel first, and the cloud only where the address is here."""
    found = look_locally(local(world))
    return overlay(world).look_at_cloud() if found.verdict is Verdict.RUNNING else found


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
    assert look_locally(local(world)) == Finding(Verdict.NOT_RUNNING, "no address")
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
        assert monitor(world) == Finding(Verdict.DEGRADED, str(error))


def test_a_defect_in_asking_degrades_a_monitor() -> None:
    """An exception that nobody expected is no evidence that the resource has failed."""
    world = World()
    overlay(world).start()
    world.cloud_error = ZeroDivisionError("odd")  # type: ignore[assignment]
    found = monitor(world)
    assert found.verdict is Verdict.DEGRADED
    assert "internal error, please report it: ZeroDivisionError: odd" in found.reason


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
