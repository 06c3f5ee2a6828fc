"""tests/agent, whose tests run the agent as Pacemaker does, with the installed files in place of the checkout's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Callable

from box import AGENT, Box

from ..conftest import ROOT

# What these files test is the checkout's own file: how it is written, and what it does where its package does not load.
OF_THE_CHECKOUT = ("test_stop_without_package", "test_installation_trust", "test_sandbox", "test_another_name")


def test_the_agents_contract(installed: Box, note: Callable[[str], None]) -> None:
    """Every test of tests/agent passes with the installed agent, but for those of the checkout's own file."""
    left_out = [word for name in OF_THE_CHECKOUT for word in ("--ignore", f"tests/agent/{name}.py")]
    # Which enters the box's mount namespace, and so leaves the working directory.
    there = ["sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", str(ROOT)]
    command = [
        *installed.prefix,
        *there,
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--numprocesses",
        "2",
    ]
    environ = {**os.environ, "AWS_IPFAILOVER_INSTALLED": AGENT}
    environ.pop("PACKAGES_PAGE", None)
    done = subprocess.run(
        [*command, *left_out, "tests/agent"], check=False, capture_output=True, text=True, cwd=ROOT, env=environ
    )
    last = done.stdout.strip().splitlines()[-1]
    note(re.sub(r" in .*", "", last.strip("= ")))
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    assert done.returncode == 0, "\n".join([last, *failed])
