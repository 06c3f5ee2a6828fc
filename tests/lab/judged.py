"""A test's cluster under the judge: what the test does to it is a scenario of its own."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Sequence

from vpc_lab.faults import Crash
from vpc_lab.judge.expectations import Allowance
from vpc_lab.judge.recording import find_resources, resource_of
from vpc_lab.lab import Lab
from vpc_lab.scenarios import runner
from vpc_lab.scenarios.configuration import Configuration
from vpc_lab.scenarios.narrator import PlainNarrator
from vpc_lab.scenarios.runner import Played
from vpc_lab.scenarios.scenario import Play, Scenario
from vpc_lab.scenarios.stage import Service, Stage

# Seconds between two questions of a consumer. Twice the lab's own, because several labs share two processors here.
INTERVAL = 0.1


def judged(
    lab: Lab,
    address: str,
    directory: Path,
    play: Play,
    *,
    allowances: Sequence[Allowance] = (),
    more: Sequence[str] = (),
) -> Played:
    """Play it, with every consumer asking `address`; nothing may be wrong in the judge's eyes.

    `more`: further addresses that the cluster has; they are asked as well where the same resource holds them. The
    cluster is left as it is then.
    """
    resource = resource_of(lab, address)
    held = {name: tuple(some) for name, some in find_resources(lab, [address, *more]).items()}
    service = Service(resource, held.pop(resource), held)
    scenario = Scenario("test", "What a test does.", play, allowances=tuple(allowances), restores=False)
    voice = PlainNarrator(io.StringIO())
    played = runner.play(lab, scenario, Configuration(), directory, voice, service=service, interval=INTERVAL)
    wrong = played.verdict.sentences()
    assert not wrong, wrong
    return played


def power_cut(stage: Stage) -> None:
    """The active node loses its power: it is fenced, and another one serves everybody."""
    old = stage.active()
    stage.fails_over(Crash(old), fenced=[old])


# How long consumers may be without an answer after a power cut: detection, fencing by EC2, start.
LOST = Allowance("crash", 30.0)
