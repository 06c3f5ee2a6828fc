"""The tutorials do what they say: their commands, run in an account that is empty at first, print what they show."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import tutorials


@pytest.mark.root
def test_the_tutorial_of_overlay_ip_can_be_followed() -> None:
    """Each command of the page succeeds, from the VPC to its deletion, and prints what the page shows.

    `make tutorials` runs the other pages too, and `make tutorials TUTORIALS=--write` writes what they print.
    """
    if not Path(sys.prefix, "peer", "bin", "aws").exists() and os.environ.get("CI") != "true":
        pytest.skip("the workstation needs the AWS CLI: make .venv/.peer")
    _, differences = tutorials.follow("overlay-ip", f"test-{os.getpid()}-tutorial")
    assert differences == []
