"""What runs in an instance cannot reach the machine that the lab runs on: each way is tried, and refused."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, cast

import pytest

from vpc_lab.host.capabilities import KEPT
from vpc_lab.host.guest import AGENTS
from vpc_lab.lab import Lab
from vpc_lab.waiting import eventually

pytestmark = pytest.mark.root

ATTEMPTS = Path(__file__).with_name("attempts.py")
PYTHON = "/usr/bin/python3"
# Where people, programs and other checkouts have their files; a directory that is not there has none.
PRIVATE = ("/", "/root", "/home", "/srv", "/mnt", "/media", "/boot", "/opt", "/tmp", "/var/tmp", "/var/lib", "/run")
AGENT = f"""#!/bin/sh
case "$1" in
meta-data)
    cat <<'END'
<?xml version="1.0"?>
<resource-agent name="containment" version="1"><version>1.1</version>
<longdesc lang="en">Tries to get out</longdesc><shortdesc lang="en">Tries to get out</shortdesc>
<parameters/><actions>
<action name="start" timeout="60s"/><action name="stop" timeout="20s"/><action name="monitor" timeout="20s"/>
<action name="meta-data" timeout="5s"/></actions></resource-agent>
END
    ;;
start) {PYTHON} {AGENTS}/.attempts.py $(cat {AGENTS}/.arguments) >/run/attempts.json 2>/run/attempts.log ;;
stop) rm -f /run/attempts.json ;;
monitor) test -e /run/attempts.json || exit 7 ;;
*) exit 3 ;;
esac
"""


@pytest.fixture(scope="module")
def private_files() -> Iterator[List[str]]:
    """Files of the host's, readable by root alone, made before the lab is."""
    made = [tempfile.mkdtemp(prefix="lab-containment-", dir=place) for place in PRIVATE if Path(place).is_dir()]
    files = [f"{directory}/secret" for directory in made]
    descriptor, in_etc = tempfile.mkstemp(prefix="lab-containment-", dir="/etc")
    os.close(descriptor)
    try:
        for file in files:
            Path(file).write_text("secret\n", encoding="ascii")
        yield [*files, in_etc]
    finally:
        for directory in made:
            shutil.rmtree(directory)
        Path(in_etc).unlink()


@pytest.fixture(scope="module")
def lab(private_files: List[str]) -> Iterator[Lab]:
    """A cluster on a host that has secrets."""
    assert private_files
    with Lab.running(f"test-{os.getpid()}-contained") as lab:
        yield lab


@pytest.fixture(scope="module", params=["lab exec", "an agent"])
def found(request: pytest.FixtureRequest, lab: Lab, private_files: List[str]) -> Dict[str, Any]:
    """How every attempt ended, by the way in which it came in."""
    way = by_exec if request.param == "lab exec" else by_an_agent
    return way(lab, private_files)


def by_exec(lab: Lab, private_files: List[str]) -> Dict[str, Any]:
    """How every attempt ended from `lab exec`."""
    said = lab.exec("node1", [PYTHON, "-", *arguments_with(private_files)], stdin=ATTEMPTS.read_text(encoding="utf-8"))
    return cast("Dict[str, Any]", json.loads(said.stdout))


def arguments_with(private_files: List[str]) -> List[str]:
    """What the attempts are to be called with."""
    disk = Path("/").stat().st_dev
    return [f"{os.major(disk)}:{os.minor(disk)}", *private_files]


def by_an_agent(lab: Lab, private_files: List[str]) -> Dict[str, Any]:
    """How every attempt ended from an agent that Pacemaker ran."""
    for node in lab.nodes():
        agents = lab.disk(node) / AGENTS.lstrip("/")
        (agents / ".attempts.py").write_text(ATTEMPTS.read_text(encoding="utf-8"), encoding="utf-8")
        (agents / ".arguments").write_text(" ".join(arguments_with(private_files)), encoding="utf-8")
        (agents / "containment").write_text(AGENT, encoding="utf-8")
        (agents / "containment").chmod(0o755)
    lab.load("primitive intruder ocf:heartbeat:containment op start interval=0 timeout=60s")
    lab.settle()
    status = lab.wait_cluster("the agent", lambda now: now.where("intruder") is not None)
    node = cast("str", status.where("intruder"))
    said = lab.exec(node, ["cat", "/run/attempts.json"]).stdout
    lab.exec(node, ["crm", "--force", "configure", "delete", "intruder"])
    return cast("Dict[str, Any]", json.loads(said))


@pytest.mark.parametrize(
    "attempt",
    [
        *("mount", "unmount", "remount /", "remount /usr", "remount /proc"),
        *("user namespace", "mount namespace", "chroot", "null device", "disk", "reboot", "clock", "handle"),
    ],
)
def test_what_takes_a_right_over_the_machine_is_refused(found: Dict[str, Any], attempt: str) -> None:
    """Root in an instance is not root of the machine: the kernel answers EPERM."""
    assert found[attempt] == "EPERM"


def test_no_module_is_loaded(found: Dict[str, Any]) -> None:
    """A kernel without modules says so instead."""
    assert found["module"] in ("EPERM", "ENOSYS")


@pytest.mark.parametrize("attempt", ["core_pattern", *(f"file in {p}" for p in ("/", "/usr", "/etc", "/dev", "/opt"))])
def test_what_is_the_machine_s_is_read_only(found: Dict[str, Any], attempt: str) -> None:
    """Neither a setting of the kernel's nor a file that an instance sees of the machine can be written."""
    assert found[attempt] == "EROFS"


def test_no_file_of_the_kernel_s_opens_for_writing(found: Dict[str, Any]) -> None:
    """In all of /proc, but for the network's settings, and all of /sys: sysrq-trigger, cgroups and debugfs included."""
    assert found["writable"] == []


def test_the_kernel_s_files_about_the_machine_are_empty(found: Dict[str, Any]) -> None:
    """Its memory, keys, log and timers."""
    assert found["told"] == []


def test_an_instance_has_devices_of_its_own(found: Dict[str, Any]) -> None:
    """Only those that hold nothing; no disk, and no terminal of somebody else's."""
    links = ["fd", "ptmx", "stderr", "stdin", "stdout"]
    expected = [*links, "full", "null", "random", "tty", "urandom", "zero", "pts", "shm"]
    assert found["devices"] == sorted(expected)
    assert found["disks"] == []
    assert found["pts"] == ["ptmx"]


def test_private_files_of_the_machine_are_not_there(found: Dict[str, Any]) -> None:
    """Nothing of the machine's but its programs, and what everybody may read in /etc."""
    assert found["seen"] == []
    assert found["shadow"] == []


def test_a_node_does_what_a_node_does(found: Dict[str, Any]) -> None:
    """Its network can be configured, and its own files can be written."""
    assert (found["network"], found["own file"]) == ("done", "done")


def test_no_process_has_more_rights_than_an_instance_has(lab: Lab) -> None:
    """Process 1, corosync, every daemon of Pacemaker's and what is executed from outside: none can get any back."""
    allowed = sum(1 << number for number in KEPT.values())
    with lab.spawn("node1", ["sleep", "600"]) as command:
        seen = eventually("the command", lambda: rights(lab, "node1", "sleep"), 10)
        command.kill()
    assert {"corosync", "pacemakerd", "pacemaker-execd", "sleep"} <= {name for name, _ in seen}
    for name, status in seen:
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[kind], 16) & ~allowed == 0, (name, kind)
        assert status["NoNewPrivs"] == "1", name


def rights(lab: Lab, node: str, until: str) -> List[Any]:
    """Name and /proc/PID/status of each process of an instance, once there is one called `until`."""
    top = Path(f"/proc/{lab.supervisor_pid()}/root/proc")
    pid = lab.status().instance(node).pid
    namespace = (top / str(pid) / "ns/pid").stat().st_ino
    found = []
    for entry in top.iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "ns/pid").stat().st_ino != namespace:
                    continue
                lines = (entry / "status").read_text(encoding="utf-8").splitlines()
            except OSError:  # it has just ended
                continue
            status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
            found.append((status["Name"], status))
    return found if any(name == until for name, _ in found) else []


def test_a_shell_has_a_terminal_and_no_more_rights(lab: Lab) -> None:
    """`lab shell` is interactive, starts in the instance's own root, and cannot mount either."""
    shell = shlex.join(
        [sys.executable, "-m", "aws_ipfailover.cli.main", "lab", "shell", "--name", lab.rundir.name, "node1"]
    )
    script = "test -t 0 && stty -a >/dev/null && echo a terminal in $PWD; mount -t tmpfs none /tmp; exit 7\n"
    done = subprocess.run(
        ["script", "--quiet", "--return", "--command", shell, "/dev/null"],
        input=script,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "a terminal in /\n" in done.stdout.replace("\r", "")
    assert "mount: /tmp: permission denied" in done.stdout
    assert done.returncode == 7


def test_the_logs_bring_no_file_of_the_machine_s(lab: Lab, private_files: List[str], tmp_path: Path) -> None:
    """A link among an instance's logs, to a file or to a directory, is not followed: outside it leads elsewhere."""
    directory = Path(private_files[1]).parent
    lab.exec("node1", ["ln", "-s", f"{directory}/secret", "/var/log/pacemaker/one.log"])
    lab.exec("node1", ["ln", "-s", str(directory), "/var/log/two"])
    saved = lab.save_logs(tmp_path / "logs") / "node1" / "var/log"
    assert (saved / "pacemaker" / "pacemaker.log").exists()
    assert not (saved / "pacemaker" / "one.log").exists()
    assert not (saved / "two").exists()


def test_pacemaker_s_panic_stays_in_the_instance(lab: Lab, private_files: List[str]) -> None:
    """Pacemaker reboots a system that it cannot trust, by sysrq or reboot(2): in the lab its instance ends."""
    found = by_exec(lab, private_files)
    # Never let this be tried where it could succeed.
    assert (found["writable"], found["reboot"]) == ([], "EPERM")
    node, other = lab.nodes()
    log = lab.disk(node) / "var/log/pacemaker/pacemaker.log"
    before = log.stat().st_size
    # The instance may be gone, with this command in it, before the command has ended.
    lab.exec(node, ["pkill", "-QUIT", "-x", "pacemakerd"], check=False)
    lab.wait_fenced(node)
    said = log.read_bytes()[before:].decode(errors="replace")
    assert "Panicking the system directly" in said
    assert "Reboot failed" in said
    assert lab.powered_nodes() == [other]
    lab.power_on(node)
    lab.wait_online(*lab.nodes())
