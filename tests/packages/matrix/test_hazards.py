"""Systems that are not as usual, and installations that were disturbed."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Callable, List

import pytest

from box import AGENT, HOME, Box, box, python_named, pythons_of_pyenv
from locked import PYTHONS
from sandbox import Agent, Node, cannot_run, need_root

from ..conftest import deb_of, rpm_of
from .test_distributions import system

MODULES = f"{HOME}/current/lib/python3/site-packages"


def agent_in(opened: Box, node: Node) -> Agent:
    """The installed agent."""
    return replace(node.agent, interpreter=tuple(opened.prefix), path=Path(AGENT))


def life(agent: Agent) -> List[int]:
    """The exit codes of a service's life: probe, start, monitor, level-10 monitor, stop, probe. Right: 7 0 0 0 0 7."""
    codes = [agent.run(action).code for action in ("monitor", "start", "monitor")]
    codes.append(agent.run("monitor", level=10, interval=60).code)
    return [*codes, *(agent.run(action).code for action in ("stop", "monitor"))]


RIGHT = [7, 0, 0, 0, 0, 7]


def test_read_only(open_box: Box, packages: Path, newer: Path, node: Node) -> None:
    """With a read-only /usr the agent runs; an upgrade that dpkg cannot unpack leaves it as it was."""
    open_box.run("dpkg", "--install", deb_of(packages))
    was = open_box.run("readlink", f"{HOME}/current").stdout
    open_box.run("mount", "-o", "remount,ro", "/usr")
    agent = agent_in(open_box, node)
    assert life(agent) == RIGHT
    assert open_box.run("dpkg", "--install", deb_of(newer), check=False).returncode != 0
    assert open_box.run("readlink", f"{HOME}/current").stdout == was
    assert life(agent) == RIGHT
    open_box.run("mount", "-o", "remount,rw", "/usr")
    open_box.run("dpkg", "--install", deb_of(newer))
    assert open_box.run("readlink", f"{HOME}/current").stdout != was
    assert life(agent) == RIGHT


@pytest.mark.parametrize("kind", ["deb", "rpm"])
def test_programs_cannot_be_executed_in_tmp(open_box: Box, packages: Path, kind: str) -> None:
    """With /tmp and /var/tmp mounted noexec, and a umask of 077, everything is installed for everybody, and runs."""
    package = deb_of(packages) if kind == "deb" else rpm_of(packages)
    open_box.sh('mkdir -p /run/lock /run/package; cp "$1" /run/package', package)
    for place in ("/tmp", "/var/tmp"):
        open_box.run("mount", "-t", "tmpfs", "-o", "mode=1777,noexec,nosuid,nodev", "box", place)
    install = "dpkg --install" if kind == "deb" else "rpm --install --nodeps --nosignature"
    open_box.sh(f"umask 077; cd /; {install} /run/package/*; aws-ipfailover install --as suse:aws-vpc-move-ip")
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    for path in (AGENT, f"{AGENT}-health", "/usr/lib/ocf/resource.d/suse/aws-vpc-move-ip"):
        assert "<resource-agent" in open_box.run(*as_nobody, path, "meta-data").stdout
    assert open_box.run(*as_nobody, "aws-ipfailover", "--version").returncode == 0
    assert open_box.sh(f"find {HOME} ! -type l ! -perm -o=r") == ""


def test_directories_that_are_not_merged(packages: Path, node: Node) -> None:
    """/bin and /sbin are directories of their own, with the shell and `ip` in them: all scripts and the agent run."""
    need_root()
    with box(system("trixie")) as opened:
        opened.sh(
            "PATH=/usr/bin:/usr/sbin; rm /bin /sbin; mkdir /bin /sbin;"
            " mv /usr/bin/ip /usr/sbin/ip /sbin/ 2>/dev/null || :;"
            " for name in dash sh cat cp ls ln rm mkdir rmdir readlink grep sed date mv;"
            " do mv /usr/bin/$name /bin/; done"
        )
        assert opened.sh("command -v ip").startswith("/sbin/")
        opened.run("dpkg", "--install", deb_of(packages))
        agent = agent_in(opened, node)
        assert life(agent) == RIGHT
        opened.run("dpkg", "--purge", "aws-ipfailover")
        assert opened.sh(f"ls -d {HOME} 2>/dev/null || :") == ""


def test_a_chroot_without_proc(packages: Path, newer: Path) -> None:
    """Where /proc is not mounted, as in a system that is being put together: installed, upgraded, purged."""
    need_root()
    with box(system("trixie")) as opened:
        opened.run("umount", "/proc")
        for package in (packages, newer):
            opened.run("dpkg", "--install", deb_of(package))
            assert "<resource-agent" in opened.run(AGENT, "meta-data").stdout
        assert opened.sh(f"find {MODULES}/ -name '*.pyc' | head -n 1") != ""
        opened.run("dpkg", "--purge", "aws-ipfailover")
        assert opened.sh(f"ls -d {HOME} 2>/dev/null || :") == ""


def test_python_comes_later(open_box: Box, packages: Path, node: Node) -> None:
    """Installed where there is no Python: as soon as one is there the agent starts, and the trigger compiles for it."""
    pythons = dict(pythons_of_pyenv(PYTHONS))
    if "3.12" not in pythons:
        cannot_run("pyenv has no Python 3.12")
    open_box.sh("rm -f /usr/bin/python3 /usr/bin/python3.*")
    open_box.run("dpkg", "--install", "--force-depends", deb_of(packages))
    agent = agent_in(open_box, node)
    assert [agent.run("monitor").code, agent.run("start").code, agent.run("stop").code] == [7, 5, 0]
    python_named(open_box, "python3.12", pythons["3.12"])
    assert life(agent) == RIGHT
    open_box.sh(
        "dpkg-trigger --by-package=aws-ipfailover /usr/bin/python3.12;"
        " dpkg --triggers-only --force-depends aws-ipfailover"
    )
    assert open_box.run("readlink", f"{HOME}/current/bin/python").stdout.strip() == "python3.12"
    assert open_box.sh(f"find {MODULES}/ -name '*.cpython-312.pyc' | head -n 1") != ""
    assert life(agent) == RIGHT


DAMAGES = {
    "no modules": f"rm -r {HOME}/current/lib/",
    "no link to the modules": f"rm -r {HOME}/current/lib/python3.*",
    "bytecode that is cut off": f"for file in {MODULES}/__pycache__/ocf_*; do truncate --size=-100 $file; done",
    "an empty module": f": >{MODULES}/ocf_aws_ipfailover.py; rm -r {MODULES}/__pycache__",
    "not a virtual environment": f"rm {HOME}/current/pyvenv.cfg",
    "no links to Pythons": f"rm {HOME}/current/bin/python*",
    "current leads nowhere": f"rm -r {HOME}/versions",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_under_a_running_resource(open_box: Box, packages: Path, node: Node, damage: str) -> None:
    """A probe sees the address and stop removes it all the same; the same package installed again mends it."""
    open_box.run("dpkg", "--install", deb_of(packages))
    agent = agent_in(open_box, node)
    assert agent.run("start").code == 0
    # What is in package/ shares its inodes with what runs: a file that is written in place is damaged in both.
    open_box.sh(DAMAGES[damage])
    ran = [agent.run("monitor"), agent.run("stop"), agent.run("monitor")]
    assert [one.code for one in ran] == [0, 0, 7], [str(one) for one in ran]
    assert node.held() == []
    assert "Traceback" not in "".join(one.stderr for one in ran)
    open_box.run("dpkg", "--install", deb_of(packages))
    assert life(agent) == RIGHT


@pytest.mark.parametrize("way", ["upgrade", "remove"])
def test_an_installation_that_was_killed(open_box: Box, packages: Path, newer: Path, way: str) -> None:
    """What a killed `configure` has left behind goes with the next upgrade, and with the package."""
    open_box.run("dpkg", "--install", deb_of(packages))
    open_box.sh(f"mkdir {HOME}/versions/.new.99; touch {HOME}/versions/.new.99/x; ln -s nowhere {HOME}/current.new.99")
    if way == "upgrade":
        open_box.run("dpkg", "--install", deb_of(newer))
        assert open_box.sh(f"ls -A {HOME}/versions | grep new || :; ls {HOME} | grep new || :") == ""
    else:
        open_box.run("dpkg", "--purge", "aws-ipfailover")
        assert open_box.sh(f"ls -d {HOME} 2>/dev/null || :") == ""


def test_killed_at_any_moment(open_box: Box, packages: Path, newer: Path, note: Callable[[str], None]) -> None:
    """dpkg killed with all its scripts in the middle of an upgrade: the agent runs, and another upgrade mends it."""
    open_box.run("dpkg", "--install", deb_of(packages))
    begun = time.monotonic()
    open_box.run("dpkg", "--install", deb_of(newer))
    whole = time.monotonic() - begun
    # Process 1 of a namespace: with it everything that it has started goes.
    alone = ["unshare", "--pid", "--fork", "--kill-child", "--"]
    killed = 0
    for eighth in range(1, 8):
        open_box.run("dpkg", "--install", deb_of(packages))
        limit = ["timeout", "--signal=KILL", f"{whole * eighth / 8:.2f}"]
        killed += open_box.run(*limit, *alone, "dpkg", "--install", deb_of(newer), check=False).returncode != 0
        assert "<resource-agent" in open_box.run(AGENT, "meta-data").stdout
        open_box.run("dpkg", "--install", deb_of(newer))
        assert "<resource-agent" in open_box.run(AGENT, "meta-data").stdout
    assert killed > 0
    note(f"killed {killed} times")


FAPOLICYD = """#!/bin/sh
echo "$*" >>/run/fapolicyd.calls
"""


def test_fapolicyd_is_told(open_box: Box, packages: Path, newer: Path) -> None:
    """Where fapolicyd-cli is, the version that is to run is on the package's list of trust, removed ones are not."""
    listed = "/etc/fapolicyd/trust.d/aws-ipfailover"
    open_box.sh(f"mkdir -p /etc/fapolicyd/trust.d; touch {listed}")
    open_box.sh("printf '%s' \"$1\" >/usr/sbin/fapolicyd-cli; chmod +x /usr/sbin/fapolicyd-cli", FAPOLICYD)
    open_box.run("dpkg", "--install", deb_of(packages))
    first = open_box.run("readlink", "-f", f"{HOME}/current").stdout.strip()
    assert open_box.sh("cat /run/fapolicyd.calls").splitlines() == [
        f"--file delete {first}/ --trust-file aws-ipfailover",
        f"--file add {first}/ --trust-file aws-ipfailover",
        "--update",
    ]
    old = f"{HOME}/versions/0.0.1-1-000000000000"
    open_box.sh(f"mkdir {old}; rm /run/fapolicyd.calls")
    open_box.run("dpkg", "--install", deb_of(newer))
    calls = open_box.sh("cat /run/fapolicyd.calls")
    assert f"--file delete {old}/ " in calls
    assert f"--file delete {first}/ " not in calls
    open_box.run("dpkg", "--purge", "aws-ipfailover")
    assert open_box.sh(f"ls -d {HOME} {listed} 2>/dev/null || :") == ""
