"""Decisions: the verdict table, and every interrupted state of start and stop."""

from __future__ import annotations

from typing import List, Optional, Tuple

import pytest

from aws_ipfailover.errors import DeniedError, Error, UnknownError
from aws_ipfailover.failover import Evidence, Failover, Verdict, Where, verdict


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

    def prepare(self) -> None:
        self.world.step()
        if not self.local and self.world.cloud_error is not None:
            raise self.world.cloud_error

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

    def where(self) -> Where:
        if not self.local and self.world.cloud_error is not None:
            raise self.world.cloud_error
        return Where.HERE if self.world.held[self.name] else Where.ELSEWHERE

    def explain(self) -> str:
        return "" if self.world.held[self.name] else f"no {self.name}"


def overlay(world: World) -> Failover:
    """An overlay IP: the address, then its routes."""
    return Failover((Thing(world, "address"), Thing(world, "routes")))


UNKNOWN = UnknownError("no answer")


@pytest.mark.parametrize(
    ("local", "cloud", "expected"),
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
def test_verdict_table(local: Where, cloud: Optional[Evidence], expected: Verdict) -> None:
    """Local evidence comes first, and an unknown cloud side degrades a running resource but never fails it."""
    assert verdict(local, cloud) is expected


def test_start_takes_the_address_before_the_routes() -> None:
    """Packets must not arrive before the address is there."""
    world = World()
    overlay(world).start()
    assert world.changes == ["take address", "take routes"]


def test_nothing_is_changed_when_something_cannot_be_resolved() -> None:
    """Everything is found out before the first change; what is undone was never done."""
    world = World()
    world.cloud_error = DeniedError("AssumeRole: AccessDenied")
    with pytest.raises(DeniedError):
        overlay(world).start()
    assert "take address" not in world.changes
    assert world.held == {"address": False, "routes": False}


def test_a_start_that_fails_takes_an_older_address_away_too() -> None:
    """On failure this node does not answer, also where the address was there before."""
    world = World()
    world.held["address"] = True
    world.cloud_error = UnknownError("ReplaceRoute: RequestLimitExceeded")
    with pytest.raises(UnknownError):
        overlay(world).start()
    assert not world.held["address"]


def test_stop_needs_no_cloud() -> None:
    """A dead API has no part in stop."""
    world = World()
    overlay(world).start()
    world.cloud_error = UNKNOWN
    overlay(world).stop()
    assert not world.held["address"]


def test_monitor_does_not_ask_the_cloud_without_the_address() -> None:
    """Without local evidence no API is called."""
    world = World()
    world.cloud_error = AssertionError  # type: ignore[assignment]  # asking would raise it
    assert overlay(world).monitor(ask_cloud=True).verdict is Verdict.NOT_RUNNING


def test_every_error_of_the_cloud_side_degrades_a_monitor() -> None:
    """Whatever kept it from asking, it did not find out."""
    for error in (UNKNOWN, DeniedError("DescribeRouteTables: UnauthorizedOperation"), Error("no credentials")):
        world = World()
        overlay(world).start()
        world.cloud_error = error
        finding = overlay(world).monitor(ask_cloud=True)
        assert (finding.verdict, finding.reason) == (Verdict.DEGRADED, str(error))


def _interrupt(action: str, steps: int) -> Tuple[World, bool]:
    world = World()
    if action == "stop":
        overlay(world).start()
    world.steps_left = steps
    try:
        getattr(overlay(world), action)()
        finished = True
    except Killed:
        finished = False
    world.steps_left = None
    return world, finished


@pytest.mark.parametrize("action", ["start", "stop"])
def test_from_every_interrupted_state_stop_and_start_reach_their_goal(action: str) -> None:
    """A crash after k steps of start or stop leaves nothing that the next stop and start cannot put right."""
    steps, finished = 0, False
    while not finished:
        world, finished = _interrupt(action, steps)
        overlay(world).stop()
        assert not world.held["address"], (action, steps)
        assert overlay(world).monitor(ask_cloud=True).verdict is Verdict.NOT_RUNNING
        world, finished = _interrupt(action, steps)
        overlay(world).start()
        assert overlay(world).monitor(ask_cloud=True).verdict is Verdict.RUNNING, (action, steps)
        steps += 1
    assert steps > 3
