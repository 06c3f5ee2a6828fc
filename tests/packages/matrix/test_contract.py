"""tests/agent, whose tests run the agents as Pacemaker does, with the installed files in place of the checkout's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Callable, Dict, Iterator

import pytest

from box import AGENT, HOME, Box, box
from sandbox import need_root

from ..conftest import ROOT, deb_of

COMMAND = "runs the command `aws-ipfailover` of the checkout"
WORDS = "the reason is in other words: the package's file is to be reinstalled, and nothing else"
SUBNET = "overlay-ip: an address with the prefix length of a subnet may be the node's own, the shell cannot tell"
STAND_IN = "lets a stand-in for `ip` be found by PATH; without Python only the system's own is used"
INTERPRETER = "starts the agent's file with an interpreter; the package's starts itself"
# Tests that are left out, by the beginnings of their ids below tests/agent, and why. All others are run.
LEFT_OUT: Dict[str, str] = {
    "test_doctor.py": COMMAND,
    "test_status.py": COMMAND,
    "test_installation_trust.py": "is about what pip's `aws-ipfailover install` writes",
    "test_invocation.py::test_not_exactly_one_action": INTERPRETER,
    "test_invocation.py::test_the_package_is_missing": "names the interpreter of the tests",
    "test_ipv6_only.py::test_without_the_package": WORDS,
    "test_sandbox.py::test_the_agent_under_test_is_the_real_file": "is about the checkout's file",
    "test_health.py::test_an_older_interpreter_reads_the_file": "is about the checkout's file",
    "test_stop_without_package.py::test_an_older_interpreter_reads_it": "is about the checkout's file",
    "test_stop_without_package.py::test_the_installed_file": "is about what pip's `aws-ipfailover install` writes",
    "test_stop_without_package.py::test_wherever_it_is[overlay-ip": SUBNET,
    "test_stop_without_package.py::test_secondaries_stay": SUBNET,
    "test_stop_without_package.py::test_a_probe[another interpreter": SUBNET,
    "test_stop_without_package.py::test_every_other_way[another interpreter]": INTERPRETER,
    "test_stop_without_package.py::test_an_address_that_cannot_be_removed": WORDS,
    "test_stop_without_package.py::test_a_link_that_stays_up": WORDS,
    "test_stop_without_package.py::test_a_probe_of_several_addresses": WORDS,
    "test_stop_without_package.py::test_a_recurring_monitor": WORDS,
    "test_stop_without_package.py::test_the_other_actions": WORDS,
    "test_stop_without_package.py::test_ip_cannot_tell": STAND_IN,
    "test_stop_without_package.py::test_an_ip_in_the_current_directory": STAND_IN,
    "test_stop_without_package.py::test_an_ip_that_hangs": STAND_IN,
    "test_stop_without_package.py::test_a_signal": STAND_IN,
    "test_stop_without_package.py::test_a_device_that_is_renamed_meanwhile": STAND_IN,
    "test_stop_without_package.py::test_nothing_named_asks_nothing": STAND_IN,
    "test_stop_without_package.py::test_without_path": STAND_IN,
    "test_stop_without_package.py::test_a_probe_cannot_tell": STAND_IN,
}
# Tests make modules unimportable by PYTHONPATH, which the installed agent ignores. In the box, and there alone, this
# module, which a file .pth has Python load at its start, lets it count.
SHIM = """import os, sys
for place in filter(None, os.environ.get("PYTHONPATH", "").split(":")):
    sys.path.insert(0, place)
    path = os.path.join(place, "sitecustomize.py")
    if os.path.exists(path):
        exec(compile(open(path).read(), path, "exec"))
"""


WHOLE_FILES = [path.name for path in sorted((ROOT / "tests" / "agent").glob("test_*.py")) if path.name not in LEFT_OUT]


@pytest.fixture(scope="module")
def with_shim(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A box in which the .deb is installed, and PYTHONPATH counts."""
    need_root()
    shim = tmp_path_factory.mktemp("shim") / "shim.py"
    shim.write_text(SHIM, encoding="utf-8")
    modules = f"{HOME}/current/lib/python3/site-packages"
    with box() as opened:
        opened.run("dpkg", "--install", deb_of(packages))
        opened.sh(f'cp "$1" {modules}/tests_shim.py; echo import tests_shim >{modules}/tests_shim.pth', str(shim))
        yield opened


@pytest.mark.parametrize("file", WHOLE_FILES)
def test_the_agents_contract(with_shim: Box, file: str, tmp_path: Path, note: Callable[[str], None]) -> None:
    """Every test of this file passes with the installed agents, but for those beside, which cannot apply."""
    given = [f"tests/agent/{file}"]
    left_out = {name.partition("::")[2]: why for name, why in LEFT_OUT.items() if name.startswith(f"{file}::")}
    for name in left_out:
        given += ["--deselect", f"tests/agent/{file}::{name}"]
    done = pytest_in(with_shim, tmp_path, *given)
    note(counts(done))
    if done.returncode == 1:
        # What hangs together with time may fail because of what else runs on the machine.
        done = pytest_in(with_shim, tmp_path, *given, "--last-failed")
        note(f"those that failed, once more: {counts(done)}")
    for reason in dict.fromkeys(left_out.values()):
        note(f"left out, {reason}: {', '.join(f'`{name}`' for name, why in left_out.items() if why == reason)}")
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    assert done.returncode == 0, "\n".join([counts(done), *failed])


def test_what_is_left_out(note: Callable[[str], None]) -> None:
    """Whole files are not run, because they are about something else than the installed agents; each is there."""
    for name, why in LEFT_OUT.items():
        assert (ROOT / "tests" / "agent" / name.partition("::")[0]).is_file(), name
        if "::" not in name:
            note(f"`{name}`: {why}")


def pytest_in(opened: Box, tmp_path: Path, *given: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in the box, with the installed agents."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-o", f"cache_dir={tmp_path}/cache", *given]
    # Entering the box leaves the working directory.
    there = ["sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", str(ROOT)]
    hidden = ("PACKAGES_", "PYTEST_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return subprocess.run(
        [*opened.prefix, *there, *command],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**environ, "AWS_IPFAILOVER_INSTALLED": AGENT},
    )


def counts(done: subprocess.CompletedProcess[str]) -> str:
    """The numbers of pytest's last line."""
    return re.sub(r" in .*", "", (done.stdout.strip().splitlines() or [""])[-1].strip("= "))
