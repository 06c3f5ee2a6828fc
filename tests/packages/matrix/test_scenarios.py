"""Scenarios of the lab's catalogue, whose nodes have the package in /usr instead of the checkout's agent."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Callable

import pytest

from box import Box

from ..conftest import ROOT

pytestmark = pytest.mark.root

# PACKAGES_SCENARIOS: other ones, by their names, separated by blanks; `all`: every one that fits the mode.
SOME = "planned-move crash-of-the-active-node outage-of-ec2-during-a-failover killed-at-every-step-of-a-start"
PLAYED = os.environ.get("PACKAGES_SCENARIOS", SOME).split()
WITHIN = 3000.0  # seconds, also for all of them


@pytest.mark.parametrize("mode", ["overlay-ip", "eni", "private-ip"])
def test_the_catalogue(installed: Box, mode: str, tmp_path: Path, note: Callable[[str], None]) -> None:
    """Scenarios of the lab's catalogue are passed by nodes that have the package installed."""
    outcomes = tmp_path / "outcomes.json"
    command = [sys.executable, "-m", "aws_ipfailover.cli.main", "lab", "scenarios", "--installed", "--mode", mode]
    command += ["--name", f"packages-{os.getpid()}", "--directory", str(tmp_path / "records"), "--json", str(outcomes)]
    # Entering the box leaves the working directory.
    there = ["sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", str(ROOT)]
    done = installed.run(
        *there, *command, *(PLAYED if PLAYED != ["all"] else []), check=False, environ=dict(os.environ), timeout=WITHIN
    )
    assert outcomes.exists(), done.stdout + done.stderr
    found = json.loads(outcomes.read_text(encoding="utf-8"))
    note("; ".join(f"{one['scenario']}: {one['longest_silence']:.1f} s" for one in found))
    assert done.returncode == 0, done.stdout + done.stderr
    if PLAYED != ["all"]:
        assert {one["scenario"] for one in found} == set(PLAYED)
