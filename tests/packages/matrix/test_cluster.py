"""Clusters in the lab, whose nodes have the package in /usr instead of the checkout's agent, or come to have it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest

from box import AGENT, HOME, Box
from vpc_lab.lab import Lab
from vpc_lab.waiting import eventually

from ..conftest import ROOT, deb_of

pytestmark = pytest.mark.root

# PACKAGES_SCENARIOS: other ones, by their names, separated by blanks; `all`: every one that fits the mode.
SOME = "planned-move crash-of-the-active-node outage-of-ec2-during-a-failover killed-at-every-step-of-a-start"
PLAYED = os.environ.get("PACKAGES_SCENARIOS", SOME).split()
WITHIN = 3000.0  # seconds, also for all of them
CONFIGURATION = """
primitive ip ocf:heartbeat:aws-ipfailover \\
    params ip=@OVERLAY_IP@ routing_table="@ROUTE_TABLES@" \\
    op start interval=0 timeout=60s op stop interval=0 timeout=60s op monitor interval=2s timeout=20s \\
    op monitor interval=5s timeout=20s OCF_CHECK_LEVEL=10
"""
# In the node's mount namespace, where /usr is this machine's: a layer over it, for this node alone, and lists of dpkg's
# with no package yet. The node's own directory of agents is moved along.
LAYER = """
cd /
mkdir -p /run/layer/usr /run/layer/usr.work /run/layer/agents /run/layer/dpkg/info /run/layer/dpkg/updates
touch /run/layer/dpkg/status /run/layer/dpkg/available
cp -a /usr/lib/ocf/resource.d/. /run/layer/agents/
mount -t overlay layer -o lowerdir=/usr,upperdir=/run/layer/usr,workdir=/run/layer/usr.work /usr
mount --bind /run/layer/agents /usr/lib/ocf/resource.d
"""


def as_host(lab: Lab, node: str, script: str, *arguments: str) -> str:
    """Run a shell script with a node's files and processes, and all of root's rights; what it printed."""
    pid = lab.status().instance(node).pid
    place = f"/proc/{lab.supervisor_pid()}/root/proc/{pid}"
    enter = ["nsenter", f"--mount={place}/ns/mnt", f"--pid={place}/ns/pid", f"--root={place}/root", "--"]
    command = [*enter, "sh", "-ec", script, "sh", *arguments]
    environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environ, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def install(lab: Lab, node: str, package: str) -> None:
    """Install a .deb on a node."""
    lab.exec(node, ["mkdir", "-p", "/run/package"])
    pid = lab.status().instance(node).pid
    place = Path(f"/proc/{lab.supervisor_pid()}/root/proc/{pid}/root/run/package") / Path(package).name
    place.write_bytes(Path(package).read_bytes())
    as_host(
        lab,
        node,
        'cd /; dpkg --admindir=/run/layer/dpkg --install --no-triggers --force-depends "$1"',
        f"/run/package/{place.name}",
    )


def test_node_by_node(packages: Path, newer: Path, tmp_path: Path, note: Callable[[str], None]) -> None:
    """From the wheel to the package, then to a newer one, node by node: `watch` loses nothing, no operation fails."""
    record = tmp_path / "watched.json"
    command = [sys.executable, "-m", "aws_ipfailover.cli.main", "watch"]
    with Lab.running(f"packages-{os.getpid()}") as lab:
        lab.load(CONFIGURATION)
        lab.settle()
        active = lab.wait_cluster("it runs", lambda now: now.where("ip") is not None).where("ip")
        assert active is not None
        other = next(one for one in lab.nodes() if one != active)
        for node in lab.nodes():
            as_host(lab, node, LAYER)
        with record.open("w", encoding="utf-8") as file:
            watch = [*command, lab.status().overlay, "--icmp", "--interval", "0.1", "--json"]
            watcher = lab.spawn("onprem", watch, stdout=file, stderr=subprocess.DEVNULL)
            try:
                for package in (packages, newer):
                    for node in (other, active):
                        install(lab, node, deb_of(package))
                        assert lab.exec(node, ["head", "-n", "1", AGENT]).stdout == "#!/bin/sh\n"
                        after_more_monitors(lab)
            finally:
                lab.exec("onprem", ["pkill", "-INT", "-f", "cli.main watch"], check=False)
                watcher.wait(60)
        now = lab.wait_cluster("it runs where it was", lambda now: now.where("ip") == active)
        assert list(now.failures) == []
        versions = {lab.exec(one, ["readlink", f"{HOME}/current"]).stdout for one in (active, other)}
        assert len(versions) == 1
        lab.exec(active, ["crm_resource", "--move", "--resource", "ip", "--node", other])
        lab.settle()
        assert list(lab.wait_cluster("it moves", lambda now: now.where("ip") == other).failures) == []
    found = json.loads(record.read_text(encoding="utf-8"))
    note("; ".join(f"{one.get('asked')} asked, {one.get('lost')} lost" for one in found["series"]))
    assert found["outcome"] == "answered", found


def after_more_monitors(lab: Lab) -> None:
    """Wait for two more level-10 monitors, by the calls of EC2 that they make."""

    def asked() -> int:
        return sum(call.get("action") == "DescribeRouteTables" for call in lab.calls())

    before = asked()
    eventually("monitors run", lambda: asked() > before + 1, within=60)


@pytest.mark.parametrize("mode", ["overlay-ip", "eni", "private-ip"])
def test_the_catalogue(installed: Box, mode: str, tmp_path: Path, note: Callable[[str], None]) -> None:
    """Scenarios of the lab's catalogue are passed by nodes that have the package; how long consumers waited."""
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
