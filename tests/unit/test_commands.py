"""The command line's entry points: what other packages add, and what is said where the lab is not installed."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import List

import pytest

from aws_ipfailover.cli import main


class Point:
    """An entry point that does not load."""

    name = "broken"

    def load(self) -> None:
        """What importing a damaged package does."""
        raise ImportError("no module named 'gone'")


class Points(List[Point]):
    """What importlib.metadata hands out, of any Python."""

    def select(self, group: str) -> List[Point]:
        """The entry points of one group."""
        return list(self) if group == main.COMMANDS else []


def test_without_the_lab_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever follows `lab`, and as a failure."""
    monkeypatch.setattr(metadata, "entry_points", Points)
    assert main.main(["lab", "up", "--mode", "eni"]) == 1
    assert "pip install aws-ipfailover-lab" in capsys.readouterr().err


def test_a_package_that_does_not_load_leaves_the_other_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named, with its error."""
    monkeypatch.setattr(metadata, "entry_points", lambda: Points([Point()]))
    assert main.main(["parameters"]) == 0
    said = capsys.readouterr()
    assert "# Parameters of" in said.out
    assert said.err == "the command 'broken' does not load: ImportError: no module named 'gone'\n"


def test_with_the_lab_its_verbs_are_there() -> None:
    """The lab's package adds its command by an entry point."""
    done = subprocess.run(
        [Path(sys.executable).with_name("aws-ipfailover"), "lab", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "power-off" in done.stdout
