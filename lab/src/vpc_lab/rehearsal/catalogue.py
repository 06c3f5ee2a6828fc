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
from vpc_lab.rehearsal.model import is_on
from vpc_lab.scenarios.catalogue import MINUTE, killed_during, writes_of
from vpc_lab.scenarios.scenario import INFINITY, Catalogue
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
    within = RECOVERED + stage.service.behind_interval
    stage.wait(f"a monitor of {behind} that finds out", lambda: _operations(stage, behind) != before, within)
    stage.lab.settle(RECOVERED + stage.service.patience)


def _may_move(stage: Stage) -> None:
    """The address goes along with what is about to fail, once a monitor has found that out."""
    within = RECOVERED + stage.service.patience + stage.service.behind_interval
    stage.recording.note("move", within=within)


def _operations(stage: Stage, resource: str) -> str:
    """What Pacemaker has counted as failures of a resource, on every node."""
    counts = stage.cluster().fail_counts
    return str(sorted((node, count) for (node, name), count in counts.items() if name.partition(":")[0] == resource))


def _tidy(stage: Stage) -> None:
    """What an administrator does afterwards; no failed action is left in the status then, as SUSE's guide has it."""
    stage.care()
    stage.lab.forget_failures(within=RECOVERED + stage.service.patience)
    devices = tuple(f"{name}_" for name in stage.service.tolerated)
    left = [one.operation for one in stage.cluster().failures if not one.operation.startswith(devices)]
    if left:
        raise LabError(f"crm_mon still shows failed actions: {', '.join(left)}")


@scenario(allowances=(Allowance("slow", MINUTE, throughout=True),), fail_counts=INFINITY)
def killed_during_a_start(stage: Stage) -> None:
    """The agent's process is killed with SIGKILL while EC2 is to move the address, in a start: Pacemaker recovers."""
    killed_during(stage, writes_of(stage))


@scenario()
def failure_of_the_application(stage: Stage) -> None:
    """The software behind the address ends on the active node: Pacemaker recovers it, and the address is with it."""
    _may_move(stage)
    old = stage.active()
    _fails(stage, old)
    new, in_place = stage.served(), stage.service.behind_in_place
    stage.voice.say(f"The service is on {new}")
    if in_place is not None and in_place != (new == old):
        wanted = f"restarted on {old}" if in_place else f"moved away from {old}"
        raise LabError(f"{stage.service.behind} was to be {wanted} after one failure, and the address is on {new}")
    _tidy(stage)


def _primary(stage: Stage) -> str:
    found = software.promoted_on(stage.lab, stage.service.behind)
    if found is None:
        raise LabError(f"{stage.service.behind} is not promoted on exactly one node")
    return found


@scenario()
def failure_of_each_primary_in_turn(stage: Stage) -> None:
    """The primary database ends, the secondary takes over, with the address; then the same the other way round.

    With PREFER_SITE_TAKEOVER=false the primary is restarted where it was, and moved by hand for the other half.
    """
    takes_over = is_on(_parameter(stage, "PREFER_SITE_TAKEOVER") or "true")
    for half in range(2):
        old = _primary(stage)
        _may_move(stage)
        _fails(stage, old)
        what = "a takeover" if takes_over else f"the restart of the primary on {old}"
        stage.wait(what, lambda old=old: (_primary(stage) != old) == takes_over, RECOVERED)  # type: ignore[misc]
        _address_is_with_the_primary(stage)
        if not takes_over:
            _tidy(stage)
            if not half:
                stage.move()
            continue
        _is_registered_as_configured(stage, old)
        _tidy(stage)


def _is_registered_as_configured(stage: Stage, old: str) -> None:
    """The database of a former primary is in sync by itself with AUTOMATED_REGISTER, and without it is not."""
    if is_on(_parameter(stage, "AUTOMATED_REGISTER")):
        stage.wait(f"the database of {old} in sync", lambda: software.in_sync(stage.lab, _sid(stage), old), RECOVERED)
    elif software.in_sync(stage.lab, _sid(stage), old):
        raise LabError(f"the database of {old} was registered, and nobody had asked for it")


@scenario()
def failure_of_the_secondary(stage: Stage) -> None:
    """The secondary database ends: it is started again where it was, and consumers notice nothing."""
    primary = _primary(stage)
    secondary = next(node for node in stage.nodes if node != primary)
    before = stage.history()
    _fails(stage, secondary)
    stage.wait(
        f"the database of {secondary} in sync", lambda: software.in_sync(stage.lab, _sid(stage), secondary), RECOVERED
    )
    if _primary(stage) != primary:
        raise LabError("the primary has changed")
    if stage.acted_since(before):
        raise LabError(f"Pacemaker has started or stopped {stage.resource}")
    _tidy(stage)


@scenario(allowances=(Allowance("crash", LOST, healed=0.0),))
def crash_of_each_primary_in_turn(stage: Stage) -> None:
    """The primary's node loses its power, is fenced, the secondary takes over; then the same the other way round."""
    for _ in range(2):
        old, since = _primary(stage), time.time()
        lost = stage.fails_over(Crash(old), fenced=stage.lost_to(old))
        if _primary(stage) == old:
            raise LabError(f"the primary is on {old} still")
        stage.wait(f"the others to know that {old} is off", partial(stage.is_safely_gone, old, since))
        lost.heal()
        stage.all_online()
        _address_is_with_the_primary(stage)
        _is_registered_as_configured(stage, old)
        _tidy(stage)


@scenario(allowances=(Allowance("crash", LOST, healed=0.0),))
def takeover_with_automatic_registration(stage: Stage) -> None:
    """With AUTOMATED_REGISTER=true the primary ends, then the new one's node crashes: each comes back in sync."""
    behind = stage.service.behind
    parameter = ["crm_resource", "--resource", behind, "--set-parameter", "AUTOMATED_REGISTER", "--parameter-value"]
    before = _parameter(stage, "AUTOMATED_REGISTER")
    if not is_on(before):
        _change(stage, [*parameter, "true"])
    old = _primary(stage)
    _may_move(stage)
    _fails(stage, old)
    stage.wait("a takeover", lambda: _primary(stage) != old, RECOVERED)
    _comes_back(stage, old)
    stage.lab.forget_failures(within=RECOVERED + stage.service.patience)
    old, since = _primary(stage), time.time()
    lost = stage.fails_over(Crash(old), fenced=stage.lost_to(old))
    stage.wait(f"the others to know that {old} is off", partial(stage.is_safely_gone, old, since))
    lost.heal()
    stage.all_online()
    _comes_back(stage, old)
    if not is_on(before):
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
    return _parameter(stage, "SID")


def _parameter(stage: Stage, name: str) -> str:
    """A parameter of the databases; empty where the configuration has none of that name."""
    command = ["crm_resource", "--resource", stage.service.behind, "--get-parameter", name]
    return stage.command(command, check=False).strip()
