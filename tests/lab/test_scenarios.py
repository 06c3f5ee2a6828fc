"""The catalogue and the soak on real clusters: what is in order passes, and what is not is told and kept."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Iterator

import pytest

from vpc_lab.faults import CpuHogged, Crash
from vpc_lab.judge.expectations import Expectations
from vpc_lab.scenarios import soak as soaking
from vpc_lab.scenarios.catalogue import CATALOGUE
from vpc_lab.scenarios.configuration import Configuration
from vpc_lab.scenarios.draw import Step, Timed, View
from vpc_lab.scenarios.narrator import PlainNarrator
from vpc_lab.scenarios.runner import Company
from vpc_lab.scenarios.scenario import Scenario
from vpc_lab.scenarios.soak import Options, report, soak
from vpc_lab.scenarios.stage import Stage
from vpc_lab.settings import Settings

pytestmark = pytest.mark.root

NAME = f"test-{os.getpid()}-scenarios"
THREE = Configuration(nodes=3, tool="pcs")
TWO = Settings(fencing=False)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """Plays in one lab of three nodes, for as long as all goes well."""
    directory = tmp_path_factory.mktemp("records")
    with Company(NAME, directory, PlainNarrator(io.StringIO()), Settings(fencing=False, nodes=3)) as company:
        yield company


@pytest.mark.parametrize("name", ["planned-move", "crash-of-the-dc"])
def test_a_scenario_passes_with_three_nodes_by_pcs(company: Company, name: str) -> None:
    """And leaves a record from which the same verdict can be had again."""
    played = company.play(CATALOGUE.known[name], THREE)
    assert played.verdict.sentences() == []
    assert sum(counts["answered"] for counts in played.verdict.counts.values()) > 1000
    assert (played.record / "header.json").is_file()
    assert not (played.record / "logs").exists()


def test_what_goes_wrong_is_told_and_its_logs_are_kept(company: Company) -> None:
    """A crash that nothing allows to be noticed, and a scenario that does not get to its end."""

    def play(stage: Stage) -> None:
        old = stage.active()
        stage.fails_over(Crash(old))
        stage.inject(Crash("nobody"))

    played = company.play(Scenario("strict", "Nobody may notice a crash.", play), THREE)
    said = " ".join(played.verdict.sentences())
    assert "nothing explains" in said
    assert "did not get to its end: there is no instance 'nobody'" in said
    assert "was fenced" in said
    assert list((played.record / "logs").rglob("pacemaker.log"))


def test_a_soak_says_which_step_was_wrong_and_what_repeats_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seed, step and command; record and logs are kept. The step before, which was in order, is not told."""

    def draw(_seed: int, number: int, view: View) -> Step:
        fault = CpuHogged(view.active) if number == 4 else Crash(view.active)
        return Step(number, (Timed(0.0, 1.0, fault),))

    monkeypatch.setattr(soaking, "draw", draw)
    monkeypatch.setattr(soaking, "expectations", lambda: Expectations(fail_counts=None, recovered_within=150.0))
    out, options = io.StringIO(), Options(seed=7, minutes=0.0, first=4, steps=3)
    soaked = soak(f"{NAME}-soak", TWO, Configuration(), options, tmp_path, PlainNarrator(out))
    assert report(soaked, options, Configuration(), TWO, PlainNarrator(out)) == 1
    assert soaked.failed is not None
    assert soaked.failed.number == 5
    said = out.getvalue()
    assert "Seed 7, step 5: 0.0 s for 1.0 s: crash node" in said
    assert "lab soak --mode overlay-ip --nodes 2 --seed 7 --tool crm --first-step 5 --steps 1" in said
    assert "nothing explains" in said
    assert json.loads((tmp_path / "record" / "header.json").read_text())["nodes"] == ["node1", "node2"]
    assert list((tmp_path / "logs").rglob("pacemaker.log"))
