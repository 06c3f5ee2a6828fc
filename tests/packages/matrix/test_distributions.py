"""The .deb in whole systems of distributions, made by debootstrap: by name, from the mirrors that this machine has."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Callable, Dict, Iterator

import pytest

from box import AGENT, Box, box
from sandbox import Node, cannot_run, need_commands, need_root

from ..conftest import deb_of

# Where a system is kept from one run to the next; else it is made anew.
ROOTS = Path(os.environ.get("PACKAGES_ROOTS", "/var/cache/aws-ipfailover-roots"))
SUITES: Dict[str, str] = {
    "Debian 11": "bullseye",
    "Debian 12": "bookworm",
    "Debian 13": "trixie",
    "Ubuntu 22.04": "jammy",
    "Ubuntu 24.04": "noble",
}
# Debian's debootstrap has one script for all newer releases of Ubuntu.
UBUNTU = ("jammy", "noble")
SCRIPT = "/usr/share/debootstrap/scripts/jammy"
KEYRING = "/usr/share/keyrings/ubuntu-archive-keyring.gpg"
NEEDED = "python3,iproute2,ca-certificates"


def system(suite: str) -> Path:
    """The directory of a suite's system with what the package depends on; made unless it is there."""
    need_commands("debootstrap")
    place = ROOTS / suite
    if (place / "usr/bin/python3").exists() and not (place / "debootstrap").exists():
        return place
    command = ["debootstrap", "--variant=minbase", f"--include={NEEDED}"]
    if suite in UBUNTU:
        if "PACKAGES_UBUNTU" not in os.environ:
            cannot_run("no mirror of Ubuntu is known to this machine; PACKAGES_UBUNTU=URL names one")
        command += [f"--keyring={KEYRING}", suite, str(place), os.environ["PACKAGES_UBUNTU"], SCRIPT]
    else:
        command += [suite, str(place)]
    place.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        cannot_run(f"debootstrap {suite}: {done.stdout.splitlines()[-1:]} {done.stderr.splitlines()[-1:]}")
    return place


@pytest.fixture(params=SUITES)
def distribution(request: pytest.FixtureRequest, packages: Path) -> Iterator[Box]:
    """A system with the package installed."""
    need_root()
    with ExitStack() as stack:
        opened = stack.enter_context(box(system(SUITES[request.param])))
        opened.run("dpkg", "--install", deb_of(packages))
        yield opened


def test_the_agent_runs(distribution: Box, node: Node, note: Callable[[str], None]) -> None:
    """Installed with its dependencies alone: meta-data, validate-all, start, level-10 monitor, stop."""
    agent = replace(node.agent, interpreter=tuple(distribution.prefix), path=Path(AGENT))
    codes = [agent.run(action).code for action in ("meta-data", "validate-all", "monitor", "start", "monitor")]
    assert codes == [0, 0, 7, 0, 0]
    assert agent.run("monitor", level=10, interval=60).code == 0
    assert agent.run("stop").code == 0
    assert node.held() == []
    note(distribution.run("/usr/lib/aws-ipfailover/current/bin/python", "--version").stdout.strip())


def test_purge_leaves_nothing(distribution: Box) -> None:
    """Purged, nothing of the package is left in the system, with all that it had made."""
    distribution.run("dpkg", "--purge", "aws-ipfailover")
    left = distribution.sh(
        "find / -xdev -name '*aws*ipfailover*' -not -path '/proc/*' -not -path '/tmp/*' -not -path '/var/log/*'"
    )
    assert left == ""
