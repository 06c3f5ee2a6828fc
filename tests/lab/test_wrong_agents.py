"""Agents with the defects that real ones have had, in a real cluster: the judge finds each of them.

The right agent is installed under another provider's name. In its place is a script that does what /run/defect on its
node says, and then runs the right one.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Iterator, Tuple

import pytest

from vpc_lab.lab import Lab
from vpc_lab.scenarios import loading, runner
from vpc_lab.scenarios.configuration import Configuration
from vpc_lab.scenarios.narrator import PlainNarrator
from vpc_lab.scenarios.runner import Played
from vpc_lab.scenarios.scenario import INFINITY, Play, Scenario
from vpc_lab.scenarios.stage import Stage
from vpc_lab.settings import Settings
from vpc_lab.topology import topology_for

pytestmark = pytest.mark.root

CONFIGURATION = Configuration()
OVERLAY = str(topology_for().overlay)
DEFECT = "/run/defect"
WRONG = f"""#!/bin/sh
right=/usr/lib/ocf/resource.d/right/aws-ipfailover
recurs=${{OCF_RESKEY_CRM_meta_interval:-0}}
[ -r {DEFECT} ] && . {DEFECT}
exec "$right" "$@"
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A cluster in which the agent can be given a defect."""
    agents = tmp_path_factory.mktemp("agents")
    wrong = agents / "usr/lib/ocf/resource.d/heartbeat/aws-ipfailover"
    wrong.parent.mkdir(parents=True)
    wrong.write_text(WRONG, encoding="utf-8")
    wrong.chmod(0o755)
    settings = Settings(fencing=False, agents=str(agents), alias="right:aws-ipfailover")
    with Lab.running(f"test-{os.getpid()}-wrong", settings) as lab:
        loading.load(lab, CONFIGURATION)
        yield lab


# The node is fenced for it.
FAILED_STOP = '[ "$1" = stop ] && exit 1'


def played(lab: Lab, directory: Path, play: Play, defect: str = "") -> Played:
    """What comes of it with this defect on every node; afterwards the agent is right again."""

    def defective(stage: Stage) -> None:
        # Only now: what shows only once must not have shown before the record began.
        for node in lab.nodes():
            lab.exec(node, ["tee", DEFECT], stdin=defect)
        play(stage)

    try:
        # Only where a node was fenced there is something to restore.
        restores = defect == FAILED_STOP
        scenario = Scenario("wrong", "An agent with a defect.", defective, fail_counts=INFINITY, restores=restores)
        return runner.play(lab, scenario, CONFIGURATION, directory, PlainNarrator(io.StringIO()))
    finally:
        for node in lab.nodes():
            lab.exec(node, ["rm", "-f", DEFECT], check=False)
        runner.tidy(lab)


def moves(stage: Stage) -> None:
    """An administrator moves the service."""
    stage.move()


def waits(stage: Stage) -> None:
    """Nothing happens, for as long as two monitors take."""
    stage.watch(12.0)


def probes(stage: Stage) -> None:
    """Pacemaker asks every node what it has."""
    stage.command(["crm_resource", "--refresh", "--resource", stage.resource])
    stage.lab.settle()
    stage.watch(3.0)


def test_a_right_agent_passes_all_of_that(lab: Lab, tmp_path: Path) -> None:
    """So that it is the defects that are found below."""

    def all_of_it(stage: Stage) -> None:
        moves(stage)
        waits(stage)
        probes(stage)

    assert played(lab, tmp_path, all_of_it).verdict.sentences() == []


# The first monitor adds what the start did not, a second later.
NOT_SERVED = f"""
case $1 in
    start) "$right" start || exit; ip address delete {OVERLAY}/32 dev eth0; exit 0 ;;
    monitor) [ "$recurs" = 0 ] || {{ sleep 1; ip address add {OVERLAY}/32 dev eth0 2> /dev/null; }} ;;
esac
"""


# Once, as where a read of EC2 was refused.
FALSE_ALARM = """
[ "$1" = monitor ] && [ "$recurs" != 0 ] && [ ! -e /run/once ] && touch /run/once && exit 7
"""


@pytest.mark.parametrize(
    ("defect", "play", "rules"),
    [
        (NOT_SERVED, moves, ("not served",)),
        ('[ "$1" = stop ] && sleep 12', moves, ("slow operation",)),
        ('[ "$1 $recurs" = "monitor 0" ] && exit 0', probes, ("false probe",)),
        (FALSE_ALARM, waits, ("false alarm",)),
        (FAILED_STOP, moves, ("failed stop",)),
    ],
    ids=["start", "slow", "probe", "monitor", "stop"],
)
def test_a_wrong_agent_is_found(lab: Lab, tmp_path: Path, defect: str, play: Play, rules: Tuple[str, ...]) -> None:
    """By the rule that it breaks."""
    assert set(rules) <= set(played(lab, tmp_path, play, defect).verdict.broken)


def test_an_agent_that_leaks_files_is_found(lab: Lab, tmp_path: Path) -> None:
    """One with each monitor, where mktemp(1) makes them; the consumers notice nothing."""
    verdict = played(lab, tmp_path, waits, '[ "$1" = monitor ] && mktemp > /dev/null').verdict
    assert verdict.broken == {}
    assert all("has a temporary file that nobody removed: /tmp/" in sentence for sentence in verdict.audit)
    assert verdict.audit
