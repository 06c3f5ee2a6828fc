"""The .rpm, by Debian's rpm: there is no Red Hat or SUSE system here."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from box import AGENT, HOME, Box, box, pythons_of_pyenv
from locked import PYTHONS
from sandbox import Node, cannot_run, need_root

from ..conftest import rpm_of
from .test_distributions import system

RPM = ("rpm", "--nodeps", "--nosignature")


def asked(rpm: str, *what: str) -> str:
    """What `rpm --query` prints of a package's file."""
    command = ["rpm", "--query", "--package", "--nosignature", *what, rpm]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def rpm_box(open_box: Box, packages: Path) -> Box:
    """A box in which the .rpm is installed."""
    open_box.run(*RPM, "--install", rpm_of(packages))
    return open_box


def test_what_it_needs(packages: Path) -> None:
    """Any of Red Hat's and SUSE's Pythons from 3.9 on, iproute under either name; pacemaker is only recommended."""
    needed = asked(rpm_of(packages), "--requires")
    for word in ("python3 >= 3.9", "python3.11", "python311", "(iproute or iproute2)"):
        assert word in needed
    assert "pacemaker" not in needed
    assert asked(rpm_of(packages), "--recommends").split() == ["pacemaker"]
    assert asked(rpm_of(packages), "--queryformat", "%{ARCH} %{BUILDHOST}") == "noarch localhost"


def test_installed_below_another_root(packages: Path, node: Node) -> None:
    """`rpm --root` into a system (Debian 13) with Python and without systemd: its scripts and the agent run there."""
    need_root()
    with box(system("trixie")) as opened:
        outside = replace_root(opened)
        assert opened.sh("ls -d /usr/bin/systemctl /usr/lib/systemd/systemd /run/systemd 2>/dev/null || :") == ""
        outside.run(*RPM, "--root", "/mnt/root", "--dbpath", "/var/lib/rpm", "--install", rpm_of(packages))
        agent = replace(node.agent, interpreter=tuple(opened.prefix), path=Path(AGENT))
        assert [agent.run(action).code for action in ("meta-data", "validate-all", "start", "monitor", "stop")] == [
            0
        ] * 5
        outside.run(*RPM, "--root", "/mnt/root", "--dbpath", "/var/lib/rpm", "--erase", "aws-ipfailover")
        assert opened.sh("ls -d /usr/lib/aws-ipfailover /usr/bin/aws-ipfailover 2>/dev/null || :") == ""


def replace_root(opened: Box) -> Box:
    """The same box, seen from outside of its system."""
    twin = object.__new__(Box)
    twin.__dict__.update({**opened.__dict__, "root": "/"})
    return twin


def test_verify(rpm_box: Box) -> None:
    """`rpm --verify` finds nothing changed after the agent has run."""
    rpm_box.run(AGENT, "usage")
    assert rpm_box.run("rpm", "--verify", "--nodeps", "aws-ipfailover").stdout == ""


def test_upgrade_and_erase(rpm_box: Box, newer: Path, node: Node) -> None:
    """Upgraded with the resource running, then erased: the old files go after the new version is in use."""
    agent = replace(node.agent, interpreter=tuple(rpm_box.prefix), path=Path(AGENT))
    assert agent.run("start").code == 0
    rpm_box.run(*RPM, "--upgrade", rpm_of(newer))
    assert agent.run("monitor", level=10, interval=60).code == 0
    assert agent.run("stop").code == 0
    assert rpm_box.sh(f"ls {HOME}/package | wc -l") == "1"
    rpm_box.run("rpm", "--erase", "aws-ipfailover")
    assert rpm_box.sh(f"ls -d {HOME} {AGENT} /usr/share/licenses/aws-ipfailover 2>/dev/null || :") == ""


def test_installed_again(rpm_box: Box, packages: Path) -> None:
    """The same package again mends what was damaged: modules that are gone, bytecode that was cut off."""
    modules = f"{HOME}/current/lib/python3/site-packages"
    rpm_box.sh(f"rm -r {modules}/boto3; truncate --size=-100 {modules}/__pycache__/ocf_aws_ipfailover.*")
    assert "damaged" in rpm_box.run(AGENT, "meta-data", check=False).stderr
    rpm_box.run(*RPM, "--upgrade", "--replacepkgs", rpm_of(packages))
    assert "<resource-agent" in rpm_box.run(AGENT, "meta-data").stdout
    rpm_box.run(f"{HOME}/current/bin/python", "-I", "-c", "import boto3")


def test_its_trigger(open_box: Box, packages: Path, tmp_path: Path) -> None:
    """Another package that takes python3.11 away, and one that brings python3.12, have the interpreter chosen anew."""
    pythons = dict(pythons_of_pyenv(PYTHONS))
    if not {"3.11", "3.12"} <= set(pythons):
        cannot_run("pyenv has no Python 3.11 and 3.12")
    open_box.sh("rm -rf /usr/bin/python3 /usr/bin/python3.* /usr/lib/python3.11")
    for name in ("3.11", "3.12"):
        built = interpreter_package(tmp_path, name, pythons[name])
        if name == "3.11":
            open_box.run(*RPM, "--install", built)
            open_box.run(*RPM, "--install", rpm_of(packages))
        else:
            open_box.run(*RPM, "--install", built)
        assert open_box.run("readlink", f"{HOME}/current/bin/python").stdout.strip() == "python3.11"
    open_box.run("rpm", "--erase", "--nodeps", "python3.11")
    assert open_box.run("readlink", f"{HOME}/current/bin/python").stdout.strip() == "python3.12"


def interpreter_package(directory: Path, name: str, interpreter: str) -> str:
    """An .rpm with /usr/bin/pythonNAME alone."""
    spec = directory / f"python{name}.spec"
    spec.write_text(
        f"Name: python{name}\nVersion: {name}\nRelease: 1\nSummary: x\nLicense: x\nBuildArch: noarch\nAutoReqProv: no\n"
        "%description\nx\n%install\nmkdir -p %{buildroot}/usr/bin\n"
        f"ln -s {interpreter} %{{buildroot}}/usr/bin/python{name}\n"
        f"%files\n/usr/bin/python{name}\n",
        encoding="utf-8",
    )
    command = ["rpmbuild", "--quiet", "-bb", "--target", "noarch", "--define", f"_topdir {directory}/top-{name}"]
    subprocess.run([*command, "--define", "__os_install_post %{nil}", str(spec)], check=True, capture_output=True)
    (found,) = (directory / f"top-{name}").rglob("*.rpm")
    return str(found)
