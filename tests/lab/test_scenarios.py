"""The catalogue and the soak on real clusters: what is in order passes, and what is not is told and kept."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any, Iterator, Tuple

import pytest

from vpc_lab.faults import CpuHogged, Crash
from vpc_lab.judge.expectations import Expectations
from vpc_lab.scenarios import soak as soaking
from vpc_lab.scenarios.catalogue import CATALOGUE
from vpc_lab.scenarios.configuration import Configuration, settings_for
from vpc_lab.scenarios.draw import Step, Timed, View
from vpc_lab.scenarios.narrator import PlainNarrator
from vpc_lab.scenarios.runner import Company
from vpc_lab.scenarios.scenario import Scenario
from vpc_lab.scenarios.soak import Options, report, soak
from vpc_lab.scenarios.stage import Stage

from .judged import INTERVAL

pytestmark = pytest.mark.root

NAME = f"test-{os.getpid()}-scenarios"
THREE = Configuration(nodes=3, tool="pcs")

# What of the catalogue is played here, by the configuration that it is played with; `make scenarios` plays all of it.
# Power fails in test_judge.py too, in modes eni and private-ip in test_eni.py and test_config.py; EC2 fails in
# test_outages.py; test_frozen.py has both ways to stand still.
PLAYED = {
    THREE: ("crash-of-the-dc", "split-brain"),
    Configuration(): ("ipv6",),
    Configuration(mode="eni"): ("move-away-from-a-node-without-ec2", "eni-detached"),
    Configuration(mode="private-ip"): ("address-taken",),
}
Cast = Tuple[Company, Configuration]


def by(configuration: Configuration, name: str = "") -> Any:
    """Parameters of a test: a configuration, which names what shares a lab (`lab_workers`), and a scenario's name."""
    told = f"{configuration.mode}-{configuration.nodes}-{configuration.tool}"
    values = (configuration, name) if name else (configuration,)
    return pytest.param(*values, id=f"{name}@{told}")


@pytest.fixture(scope="module")
def cast(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cast]:
    """Plays in one lab, for as long as all goes well, and with what."""
    configuration: Configuration = request.param
    directory = tmp_path_factory.mktemp("records")
    voice, settings = PlainNarrator(io.StringIO()), settings_for(configuration)
    with Company(NAME, directory, voice, settings, interval=INTERVAL) as company:
        yield company, configuration


@pytest.mark.parametrize(
    ("cast", "name"), [by(one, name) for one, names in PLAYED.items() for name in names], indirect=["cast"]
)
def test_a_scenario_of_the_catalogue_passes(cast: Cast, name: str) -> None:
    """And leaves a record from which the same verdict can be had again."""
    company, configuration = cast
    played = company.play(CATALOGUE.known[name], configuration)
    assert played.verdict.sentences() == []
    assert sum(counts["answered"] for counts in played.verdict.counts.values()) > 1000
    assert (played.record / "header.json").is_file()
    assert not (played.record / "logs").exists()


@pytest.mark.parametrize("cast", [by(Configuration())], indirect=True)
def test_what_goes_wrong_is_told_and_its_logs_are_kept(cast: Cast) -> None:
    """A crash that nothing allows to be noticed, and a scenario that does not get to its end."""

    def play(stage: Stage) -> None:
        old = stage.active()
        stage.fails_over(Crash(old))
        stage.inject(Crash("nobody"))

    company, configuration = cast
    played = company.play(Scenario("strict", "Nobody may notice a crash.", play), configuration)
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
    configuration = Configuration()
    settings = settings_for(configuration)
    soaked = soak(f"{NAME}-soak", settings, configuration, options, tmp_path, PlainNarrator(out))
    assert report(soaked, options, configuration, settings, PlainNarrator(out)) == 1
    assert soaked.failed is not None
    assert soaked.failed.number == 5
    said = out.getvalue()
    assert "Seed 7, step 5: 0.0 s for 1.0 s: crash node" in said
    assert "lab soak --mode overlay-ip --nodes 2 --seed 7 --tool crm --first-step 5 --steps 1" in said
    assert "nothing explains" in said
    header = json.loads((tmp_path / "record" / "header.json").read_text())
    assert header["nodes"] == ["node1", "node2"]
    assert (header["settings"]["seed"], header["settings"]["mode"]) == (7, "overlay-ip")
    assert list((tmp_path / "logs").rglob("pacemaker.log"))
