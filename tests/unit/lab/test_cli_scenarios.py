"""What `lab scenarios` and `lab soak` say to wrong input: a sentence, and no lab comes up for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest

from vpc_lab.cli import scenarios
from vpc_lab.cli.lab import command
from vpc_lab.judge.verdict import Verdict
from vpc_lab.scenarios.configuration import Configuration
from vpc_lab.scenarios.runner import Company, Played
from vpc_lab.scenarios.scenario import Scenario
from vpc_lab.scenarios.soak import Options
from vpc_lab.settings import Settings

CLI = [str(Path(sys.executable).with_name("aws-ipfailover")), "lab"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["soak", "--minutes", "0"], "Invalid value for '--minutes': a number of minutes, more than 0, not 0"),
        (["soak", "--steps", "0"], "Invalid value for '--steps': a whole number, 1 or more, not 0"),
        (["soak", "--first-step", "-1"], "Invalid value for '--first-step': a whole number, 1 or more, not -1"),
        (
            ["soak", "--mode", "arp"],
            "Invalid value for '--mode': 'arp' is not one of 'overlay-ip', 'eni', 'private-ip'",
        ),
        (["scenarios", "nope"], "there is no scenario 'nope'; `lab scenarios --list` shows which there are"),
        (["scenarios", "planned-move", "--directory", "/proc/none"], "cannot write to /proc/none: "),
        (["scenarios", "planned-move", "--directory", "/etc"], "/etc is not empty: records go into a directory"),
    ],
)
def test_wrong_input_is_a_sentence(arguments: List[str], sentence: str) -> None:
    """With an exit code that is not 0, and without a traceback."""
    done = subprocess.run([*CLI, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2)
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_the_catalogue_is_listed_without_root_or_lab() -> None:
    """Each scenario with its sentence."""
    done = subprocess.run([*CLI, "scenarios", "--list", "split-brain"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("split-brain\n    The active node and the others lose sight of each other")


def test_a_soak_has_at_least_one_step() -> None:
    """However little time there is; with a number of steps, time does not count."""
    assert Options(1, minutes=0.0).more(1, began=0.0)
    assert not Options(1, minutes=0.0).more(2, began=0.0)
    assert Options(1, minutes=0.0, first=5, steps=2).more(6, began=0.0)
    assert not Options(1, minutes=9e9, first=5, steps=2).more(7, began=0.0)


def test_what_an_interrupted_run_has_played_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the JSON, which another run can take up; there is no page of a part of the run."""

    def play(_: Company, scenario: Scenario, configuration: Configuration) -> Played:
        if scenario.name != "planned-move":
            raise KeyboardInterrupt
        return Played(scenario, configuration, Verdict(), tmp_path, 1.0)

    monkeypatch.setattr(Company, "play", play)
    monkeypatch.setattr(scenarios, "_base_settings", lambda *_, **__: Settings())
    kept, page = tmp_path / "kept.json", tmp_path / "page.md"
    arguments = ["scenarios", "planned-move", "split-brain", "--json", str(kept), "--page", str(page)]
    assert command.main([*arguments, "--directory", str(tmp_path / "records")], standalone_mode=False) == 130
    assert [one["scenario"] for one in json.loads(kept.read_text())] == ["planned-move"]
    assert not page.exists()
    assert "Interrupted" in capsys.readouterr().out
