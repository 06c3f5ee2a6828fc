"""Scenarios that only a configuration with an application behind the address can play.

The application is played by a stand-in, which they end as if its software had failed.
"""

from __future__ import annotations

import time
from functools import partial
from typing import List

from vpc_lab.errors import LabError
from vpc_lab.faults import Crash
from vpc_lab.judge.expectations import Allowance
from vpc_lab.rehearsal import software
from vpc_lab.scenarios.scenario import Catalogue
from vpc_lab.scenarios.stage import Stage

CATALOGUE = Catalogue()
scenario = CATALOGUE.scenario
# Until Pacemaker has dealt with a failure that its monitor has found; the monitor's interval comes on top.
RECOVERED = 90.0
LOST = 45.0


def _fails(stage: Stage, node: str) -> None:
    """The software behind the address ends on a node, and Pacemaker has noticed and dealt with it."""
    behind = stage.service.behind
    before = _operations(stage, behind)
    stage.voice.say(f"The software of {behind} ends on {node}")
    software.kill(stage.lab, node, behind)
    stage.wait(f"a monitor of {behind} that finds out", lambda: _operations(stage, behind) != before, RECOVERED)
    stage.lab.settle(RECOVERED + stage.service.patience)


def _operations(stage: Stage, resource: str) -> str:
    """What Pacemaker has counted as failures of a resource, on every node."""
    counts = stage.cluster().fail_counts
    return str(sorted((node, count) for (node, name), count in counts.items() if name.partition(":")[0] == resource))


def _tidy(stage: Stage) -> None:
    stage.care()
    stage.lab.forget_failures(within=RECOVERED + stage.service.patience)


@scenario()
def failure_of_the_application(stage: Stage) -> None:
    """The software behind the address ends on the active node: Pacemaker recovers it, and the address is with it."""
    stage.recording.note("move", within=RECOVERED + stage.service.patience)
    _fails(stage, stage.active())
    stage.served()
    stage.voice.say(f"The service is on {stage.active()}")
    _tidy(stage)


def _primary(stage: Stage) -> str:
    found = software.promoted_on(stage.lab, stage.service.behind)
    if found is None:
        raise LabError(f"{stage.service.behind} is not promoted on exactly one node")
    return found


@scenario()
def failure_of_each_primary_in_turn(stage: Stage) -> None:
    """The primary database ends, the secondary takes over, with the address; then the same the other way round."""
    for _ in range(2):
        old = _primary(stage)
        stage.recording.note("move", within=RECOVERED + stage.service.patience)
        _fails(stage, old)
        stage.wait("a takeover", lambda old=old: _primary(stage) != old, RECOVERED)  # type: ignore[misc]
        _address_is_with_the_primary(stage)
        if software.in_sync(stage.lab, _sid(stage), old):
            raise LabError(f"the database of {old} was registered, and nobody had asked for it")
        _tidy(stage)


@scenario()
def failure_of_the_secondary(stage: Stage) -> None:
    """The secondary database ends: it is started again where it was, and consumers notice nothing."""
    primary = _primary(stage)
    before = stage.history()
    _fails(stage, next(node for node in stage.nodes if node != primary))
    if _primary(stage) != primary:
        raise LabError("the primary has changed")
    if stage.acted_since(before):
        raise LabError(f"Pacemaker has started or stopped {stage.resource}")
    _tidy(stage)


@scenario(allowances=(Allowance("crash", LOST, healed=0.0),), fences=True)
def crash_of_each_primary_in_turn(stage: Stage) -> None:
    """The primary's node loses its power, is fenced, the secondary takes over; then the same the other way round."""
    for _ in range(2):
        old, since = _primary(stage), time.time()
        lost = stage.fails_over(Crash(old), fenced=[old])
        if _primary(stage) == old:
            raise LabError(f"the primary is on {old} still")
        stage.wait(f"the fencing of {old}", partial(stage.is_fenced, old, since))
        lost.heal()
        stage.all_online()
        _address_is_with_the_primary(stage)
        _tidy(stage)


@scenario(allowances=(Allowance("crash", LOST, healed=0.0),), fences=True)
def takeover_with_automatic_registration(stage: Stage) -> None:
    """With AUTOMATED_REGISTER=true the primary ends, then the new one's node crashes: each comes back in sync."""
    behind = stage.service.behind
    parameter = ["crm_resource", "--resource", behind, "--set-parameter", "AUTOMATED_REGISTER", "--parameter-value"]
    before = stage.command(
        ["crm_resource", "--resource", behind, "--get-parameter", "AUTOMATED_REGISTER"], check=False
    ).strip()
    _change(stage, [*parameter, "true"])
    old = _primary(stage)
    stage.recording.note("move", within=RECOVERED + stage.service.patience)
    _fails(stage, old)
    stage.wait("a takeover", lambda: _primary(stage) != old, RECOVERED)
    _comes_back(stage, old)
    stage.lab.forget_failures(within=RECOVERED + stage.service.patience)
    old, since = _primary(stage), time.time()
    lost = stage.fails_over(Crash(old), fenced=[old])
    stage.wait(f"the fencing of {old}", partial(stage.is_fenced, old, since))
    lost.heal()
    stage.all_online()
    _comes_back(stage, old)
    _change(stage, [*parameter, before or "false"])
    _tidy(stage)


def _change(stage: Stage, command: List[str]) -> None:
    """A changed parameter restarts the databases, and the address may be on the way meanwhile."""
    stage.recording.note("move", within=RECOVERED + stage.service.patience)
    stage.command(command)
    stage.lab.settle(RECOVERED + stage.service.patience)
    _address_is_with_the_primary(stage)


def _comes_back(stage: Stage, node: str) -> None:
    def in_sync() -> bool:
        return software.in_sync(stage.lab, _sid(stage), node)

    stage.wait(f"the database of {node} in sync without a hand", in_sync, RECOVERED)
    _address_is_with_the_primary(stage)


def _address_is_with_the_primary(stage: Stage) -> None:
    stage.serves(_primary(stage), time.time(), RECOVERED)


def _sid(stage: Stage) -> str:
    command = ["crm_resource", "--resource", stage.service.behind, "--get-parameter", "SID"]
    return stage.command(command).strip()
