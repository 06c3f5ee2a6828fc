"""The package comes, changes and goes while the resource runs."""

from __future__ import annotations

import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import Callable, List

import pytest

from box import AGENT, HOME, Box
from sandbox import Agent, Node
from vpc_lab.ec2 import Fault
from vpc_lab.waiting import eventually

from ..conftest import deb_of, rpm_of

CIB = """#!/bin/sh
cat <<'END'
<cib><configuration><resources>
  <primitive id="ip-hana" class="ocf" provider="{provider}" type="{type}"/>
</resources></configuration></cib>
END
exit {code}
"""


def agent_in(opened: Box, node: Node) -> Agent:
    """The installed agent."""
    return replace(node.agent, interpreter=tuple(opened.prefix), path=Path(AGENT))


def version(opened: Box) -> str:
    """The version that new operations run."""
    return opened.run("readlink", f"{HOME}/current").stdout.strip().rpartition("/")[2]


@pytest.mark.parametrize("way", ["upgrade", "downgrade"])
def test_the_other_version_understands_what_it_finds(
    open_box: Box, packages: Path, newer: Path, node: Node, way: str
) -> None:
    """Started by one version; monitored, moved and stopped by the other, which believes the first one's writes."""
    first, second = (packages, newer) if way == "upgrade" else (newer, packages)
    open_box.run("dpkg", "--install", deb_of(first))
    agent = agent_in(open_box, node)
    assert agent.run("start").code == 0
    remembered = [path.read_text() for path in node.remembered()]
    was = version(open_box)
    open_box.run("dpkg", "--install", deb_of(second))
    assert version(open_box) != was
    assert [path.read_text() for path in node.remembered()] == remembered
    assert [agent.run("monitor").code, agent.run("monitor", level=10, interval=60).code] == [0, 0]
    assert agent.run("reload-agent").code == 0
    assert agent.run("stop").code == 0
    assert node.held() == []


@pytest.mark.parametrize("kind", ["deb", "rpm"])
def test_no_operation_finds_half_a_package(
    open_box: Box, packages: Path, newer: Path, node: Node, kind: str, note: Callable[[str], None]
) -> None:
    """Monitors and meta-data one after the other through two upgrades and a downgrade: every one answers rightly."""

    def install(where: Path) -> List[str]:
        if kind == "deb":
            return ["dpkg", "--install", deb_of(where)]
        return ["rpm", "--upgrade", "--oldpackage", "--nodeps", "--nosignature", rpm_of(where)]

    open_box.run("mkdir", "-p", "/run/lock")
    open_box.run(*install(packages))
    agent = agent_in(open_box, node)
    assert agent.run("start").code == 0
    over, count = threading.Event(), [0]
    wrong: List[str] = []
    prefix, environ = open_box.prefix, agent.environment()

    def ask() -> None:
        while not over.is_set():
            for action in ("monitor", "meta-data"):
                done = subprocess.run(
                    [*prefix, AGENT, action], check=False, capture_output=True, text=True, env=environ
                )
                count[0] += 1
                if done.returncode != 0 or done.stderr:
                    wrong.append(f"{action}: {done.returncode} {done.stderr}")

    # In the namespace of the node: a thread is where the one is that starts it.
    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for where in (newer, packages, newer):
            open_box.run(*install(where))
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert count[0] > 20
    note(f"{count[0]} operations")


def test_an_operation_in_flight(open_box: Box, packages: Path, newer: Path, node: Node) -> None:
    """A start that waits for EC2 ends in the version in which it began, which is there until it has ended."""
    open_box.run("dpkg", "--install", deb_of(packages))
    agent = agent_in(open_box, node)
    was = version(open_box)
    number = node.aws.faults.add(Fault("error", action="ReplaceRoute", code="RequestLimitExceeded"))
    with agent.begin("start", timeout=170) as running:
        eventually("EC2 is asked", lambda: node.aws.calls("ReplaceRoute"))
        open_box.run("dpkg", "--install", deb_of(newer))
        node.aws.faults.remove(number)
        ran = running.end()
    assert ran.code == 0, ran
    assert version(open_box) != was
    assert open_box.run("test", "-d", f"{HOME}/versions/{was}", check=False).returncode == 0


def test_versions_before_the_last_are_removed(open_box: Box, packages: Path, newer: Path) -> None:
    """The version before is kept, older ones go; one in which a process still runs stays."""
    open_box.run("dpkg", "--install", deb_of(packages))
    first = version(open_box)
    old = f"{HOME}/versions/0.0.1-1-000000000000"
    used = f"{HOME}/versions/0.0.2-1-000000000000"
    open_box.sh(f"mkdir -p {old} {used}; ln -s /bin/sleep {used}/sleep")
    with open_box.start(f"{used}/sleep", "600") as process:
        eventually("it runs", lambda: open_box.run("pgrep", "-f", used, check=False).returncode == 0)
        open_box.run("dpkg", "--install", deb_of(newer))
        left = set(open_box.sh(f"ls {HOME}/versions").split())
        process.kill()
    assert left == {first, version(open_box), "0.0.2-1-000000000000"}


def test_a_damaged_version_is_made_anew(open_box: Box, packages: Path) -> None:
    """The same package installed again mends what has been damaged, without a moment at which it is not there."""
    open_box.run("dpkg", "--install", deb_of(packages))
    was = version(open_box)
    open_box.sh(f"rm -r {HOME}/current/lib/python3/site-packages/boto3")
    open_box.run("dpkg", "--install", deb_of(packages))
    assert version(open_box) != was
    open_box.run(f"{HOME}/current/bin/python", "-I", "-c", "import boto3")


def test_a_disk_that_is_full(open_box: Box, packages: Path, newer: Path) -> None:
    """Where the new version cannot be made whole, dpkg says so, and operations go on in the old one."""
    open_box.run("dpkg", "--install", deb_of(packages))
    was = version(open_box)
    open_box.sh("cp -a /usr/bin/cp /usr/bin/cp.real; printf '#!/bin/sh\\nexit 1\\n' >/usr/bin/cp; chmod +x /usr/bin/cp")
    assert open_box.run("dpkg", "--install", deb_of(newer), check=False).returncode != 0
    assert version(open_box) == was
    assert open_box.run(AGENT, "meta-data").returncode == 0
    open_box.sh("mv /usr/bin/cp.real /usr/bin/cp; dpkg --configure -a")
    assert version(open_box) != was


def pretend(opened: Box, kind: str, provider: str = "heartbeat", code: int = 0) -> None:
    """A process called pacemakerd, and a cibadmin that prints a configuration with a resource of this type."""
    opened.run("ln", "-sf", "/bin/sleep", "/run/pacemakerd")
    text = CIB.format(type=kind, provider=provider, code=code).replace("'", "'\\''")
    opened.sh(f"printf '%s' '{text}' >/usr/sbin/cibadmin; chmod +x /usr/sbin/cibadmin")


@pytest.mark.parametrize(
    ("kind", "code", "refused"),
    [("aws-ipfailover", 0, True), ("aws-ipfailover-health", 0, True), ("IPaddr2", 0, False), ("IPaddr2", 1, True)],
    ids=["it uses the agent", "it uses the health agent", "it does not", "it cannot be asked"],
)
@pytest.mark.parametrize("manager", ["dpkg", "rpm"])
def test_removal_while_pacemaker_runs(
    open_box: Box, packages: Path, kind: str, code: int, refused: bool, manager: str
) -> None:
    """Refused, with the reason, if the configuration uses the agent or cannot be asked; force removes all the same."""
    open_box.run("mkdir", "-p", "/run/lock")
    if manager == "dpkg":
        open_box.run("dpkg", "--install", deb_of(packages))
        remove, force = (
            ["dpkg", "--remove", "aws-ipfailover"],
            ["dpkg", "--remove", "--force-remove-essential", "aws-ipfailover"],
        )
    else:
        open_box.run("rpm", "--install", "--nodeps", "--nosignature", rpm_of(packages))
        remove, force = ["rpm", "--erase", "aws-ipfailover"], ["rpm", "--erase", "--noscripts", "aws-ipfailover"]
    pretend(open_box, kind, code=code)
    with open_box.start("/run/pacemakerd", "600") as process:
        eventually("it runs", lambda: open_box.run("pgrep", "-x", "pacemakerd", check=False).returncode == 0)
        done = open_box.run(*remove, check=False)
        assert (done.returncode != 0) == refused, done
        if refused:
            assert "not removed: " in done.stderr
            assert open_box.run(AGENT, "meta-data").returncode == 0
            open_box.run(*force)
        process.kill()
    assert open_box.run("test", "-e", AGENT, check=False).returncode == 1


def test_removal_where_pacemaker_does_not_run(open_box: Box, packages: Path) -> None:
    """Nothing is left but what a purge removes as well: what the agent remembers."""
    open_box.run("dpkg", "--install", deb_of(packages))
    open_box.run("aws-ipfailover", "install", "--as", "suse:aws-vpc-move-ip")
    open_box.sh("mkdir -p /run/resource-agents; touch /run/resource-agents/aws-ipfailover-x.json")
    open_box.run("dpkg", "--remove", "aws-ipfailover")
    assert open_box.sh(f"ls -d {HOME} /usr/lib/ocf/resource.d/suse /usr/bin/aws-ipfailover 2>/dev/null || :") == ""
    assert open_box.sh("ls /run/resource-agents") != ""
    open_box.run("dpkg", "--purge", "aws-ipfailover")
    assert open_box.sh("ls /run/resource-agents") == ""


def test_an_alias_survives_an_upgrade(open_box: Box, packages: Path, newer: Path, note: Callable[[str], None]) -> None:
    """What `install --as` made runs the new version after an upgrade."""
    open_box.run("dpkg", "--install", deb_of(packages))
    open_box.run("aws-ipfailover", "install", "--as", "suse:aws-vpc-move-ip")
    open_box.run("dpkg", "--install", deb_of(newer))
    lines: List[str] = open_box.run("/usr/lib/ocf/resource.d/suse/aws-vpc-move-ip", "meta-data").stdout.splitlines()
    assert 'name="aws-vpc-move-ip"' in lines[1]
