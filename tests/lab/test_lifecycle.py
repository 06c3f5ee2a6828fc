"""A lab leaves nothing behind, however it ends, and there can be several."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, List, Set, Tuple

import pytest

from vpc_lab.errors import LabError
from vpc_lab.host import rundir as rundirs
from vpc_lab.host.rundir import RunDir, start_time
from vpc_lab.lab import Lab
from vpc_lab.settings import Settings
from vpc_lab.waiting import eventually

pytestmark = pytest.mark.root

WITHOUT_CLUSTER = Settings(boot_cluster=False)
CLI = [sys.executable, "-m", "aws_ipfailover.cli.main", "lab"]
HOLDER = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's children ignore it
from vpc_lab.lab import Lab
from vpc_lab.settings import Settings
with Lab.running(sys.argv[1], Settings(boot_cluster=False), say=lambda text: print(text, flush=True)):
    print("held", flush=True)
    signal.pause()
"""


@pytest.fixture
def name() -> Iterator[str]:
    """The name of a lab of this test alone; whatever is left of it in the end is taken down."""
    chosen = f"test-{os.getpid()}-life"
    yield chosen
    Lab(chosen).down()


def host() -> Tuple[str, Set[str]]:
    """The host's mounts and network devices."""
    links = json.loads(subprocess.run(["ip", "-json", "link"], capture_output=True, text=True, check=True).stdout)
    return Path("/proc/self/mountinfo").read_text(encoding="utf-8"), {link["ifname"] for link in links}


def descendants(root: int) -> Dict[int, int]:
    """Process `root` and all below it, with their start times; across every namespace, as the host sees them."""
    children: Dict[int, List[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found: Dict[int, int] = {}
    left = [root]
    while left:
        pid = left.pop()
        started = start_time(pid)
        if started is not None:
            found[pid] = started
        left += children.get(pid, [])
    return found


def processes(name: str) -> Dict[int, int]:
    """Every process of a lab that is up."""
    launcher = int(RunDir(name).pid_file.read_text(encoding="ascii").split()[0])
    found = descendants(launcher)
    # The launcher, the reaper, the supervisor, and for each of five instances its launcher and its process 1.
    assert len(found) >= 13
    return found


def alive(known: Dict[int, int]) -> List[int]:
    """Those of the processes that still run, not counting zombies that a holder has not waited for."""
    return [pid for pid, started in known.items() if start_time(pid) == started and not is_zombie(pid)]


def is_zombie(pid: int) -> bool:
    """Whether a process has ended, also where it ended since somebody looked."""
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return True


def assert_gone(known: Dict[int, int], before: Tuple[str, Set[str]]) -> None:
    """No process, mount or device of the lab is left."""
    eventually("the end of every process of the lab", lambda: not alive(known), 10)
    assert host() == before


def hold(name: str, *, until: str) -> subprocess.Popen[str]:
    """A process that holds a lab, read until it says that it is so far."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, name], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    for line in holder.stdout:
        if line.startswith(until):
            return holder
    raise AssertionError(f"the holder ended before it said '{until}'")


def test_nothing_is_left_after_a_foreground_lab(name: str) -> None:
    """When the `with` block ends, no process, mount, device or file of the lab is left."""
    before = host()
    with Lab.running(name, WITHOUT_CLUSTER):
        known = processes(name)
    assert_gone(known, before)
    assert not RunDir(name).path.exists()


def test_nothing_is_left_after_an_error(name: str) -> None:
    """An exception in the `with` block ends the lab as well."""
    before = host()
    known: Dict[int, int] = {}

    def fails() -> None:
        with Lab.running(name, WITHOUT_CLUSTER):
            known.update(processes(name))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert_gone(known, before)
    assert not RunDir(name).path.exists()


def test_nothing_is_left_when_the_holder_is_killed(name: str) -> None:
    """SIGKILL of the holder, which cannot clean up, ends the lab and removes its directory."""
    before = host()
    with hold(name, until="held") as holder:
        known = processes(name)
        holder.send_signal(signal.SIGKILL)
    assert_gone(known, before)
    eventually("the removal of the run directory", lambda: not RunDir(name).path.exists(), 10)


@pytest.mark.parametrize("until", ["laying out", "booting", "held"])
def test_nothing_is_left_after_an_interrupt(name: str, until: str) -> None:
    """Ctrl-C at any moment of a lab's start, and when it is up, leaves nothing."""
    before = host()
    with hold(name, until=until) as holder:
        known = descendants(int(RunDir(name).pid_file.read_text(encoding="ascii").split()[0]))
        holder.send_signal(signal.SIGINT)
        holder.wait(60)
    assert holder.returncode != 0
    assert_gone(known, before)
    assert not RunDir(name).path.exists()


def test_a_killed_launcher_takes_everything_along(name: str) -> None:
    """SIGKILL of the one process outside leaves a directory, which the next `up` recognises and clears away."""
    before = host()
    lab = Lab.up(name, WITHOUT_CLUSTER)
    known = processes(name)
    os.kill(int(lab.rundir.pid_file.read_text(encoding="ascii").split()[0]), signal.SIGKILL)
    lab.wait_gone()
    assert_gone(known, before)
    assert RunDir(name).path.exists()
    said: List[str] = []
    with Lab.running(name, WITHOUT_CLUSTER, say=said.append):
        assert "clearing away what a lab that crashed has left" in said
    assert not RunDir(name).path.exists()


def test_down_clears_a_crashed_lab_away_and_never_signals_a_stranger(name: str) -> None:
    """`down` of a crashed lab removes its directory; a recycled process id in it is left in peace."""
    lock = RunDir(name).acquire()
    assert lock is not None
    os.close(lock)
    with subprocess.Popen(["sleep", "60"]) as stranger:
        RunDir(name).pid_file.write_text(f"{stranger.pid} 1\n", encoding="ascii")
        assert Lab(name).down()
        assert stranger.poll() is None
        stranger.kill()
    assert not RunDir(name).path.exists()


def test_a_detached_lab_outlives_its_holder_and_ends_with_down(name: str) -> None:
    """`lab up` returns and the lab stays; a second `up` says so; `down` removes it, and again does nothing."""
    before = host()
    up = [sys.executable, "-c", DETACH, name]
    assert subprocess.run(up, check=True, capture_output=True, text=True).stdout == "up\n"
    known = processes(name)
    second = subprocess.run(up, check=False, capture_output=True, text=True)
    assert f"lab '{name}' is already up" in second.stderr
    for expected in (f"lab '{name}' is down\n", f"lab '{name}' was not up\n"):
        down = subprocess.run([*CLI, "down", "--name", name], check=True, capture_output=True, text=True)
        assert down.stdout == expected
    assert_gone(known, before)
    assert not RunDir(name).path.exists()


DETACH = """
import sys
from vpc_lab.lab import Lab
from vpc_lab.settings import Settings
Lab.up(sys.argv[1], Settings(boot_cluster=False))
print("up")
"""


def test_a_lab_whose_supervisor_hangs_is_taken_down_too(name: str) -> None:
    """`down` does not need the supervisor's help: a stopped one ends all the same."""
    before = host()
    lab = Lab.up(name, WITHOUT_CLUSTER)
    known = processes(name)
    os.kill(lab.supervisor_pid(), signal.SIGSTOP)
    assert lab.down()
    assert_gone(known, before)
    assert not RunDir(name).path.exists()


def test_two_labs_live_side_by_side(name: str) -> None:
    """Labs of different names do not see each other, though their addresses are the same."""
    with Lab.running(name, WITHOUT_CLUSTER) as one, Lab.running(f"{name}-2", WITHOUT_CLUSTER) as other:
        one.power_off("node1")
        assert "node1" not in one.powered_nodes()
        assert "node1" in other.powered_nodes()
        assert other.exec("consumer-a", ["ping", "-n", "-c", "1", "10.0.1.11"]).returncode == 0


def test_a_command_dies_with_whoever_runs_it(name: str) -> None:
    """What is spawned in an instance ends when the process that `spawn` returned is killed."""
    with Lab.running(name, WITHOUT_CLUSTER) as lab:
        process = lab.spawn("node1", ["sleep", "1234"])

        def running() -> bool:
            return "sleep 1234" in lab.exec("node1", ["ps", "-e", "-o", "args="]).stdout.splitlines()

        eventually("the command to run", running, 10)
        process.kill()
        process.wait()
        eventually("the command to be gone", lambda: not running(), 10)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["status"], "is not up"),
        (["power-off", "node1"], "is not up"),
        (["exec", "node1", "--", "true"], "is not up"),
        (["exec", "node1"], "there is no command to run"),
    ],
)
def test_a_verb_without_a_lab_fails_with_a_sentence(name: str, arguments: List[str], sentence: str) -> None:
    """A user's mistake gets one sentence and a non-zero exit code, never a traceback."""
    done = subprocess.run(
        [*CLI, arguments[0], "--name", name, *arguments[1:]], check=False, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_exec_passes_output_and_exit_code_on(name: str) -> None:
    """`lab exec` behaves as the command it runs: its output, its input, its exit code."""
    with Lab.running(name, WITHOUT_CLUSTER):
        done = subprocess.run(
            [*CLI, "exec", "--name", name, "node2", "--", "sh", "-c", "hostname; cat; exit 7"],
            input="from outside\n",
            check=False,
            capture_output=True,
            text=True,
        )
    assert (done.returncode, done.stdout) == (7, "node2\nfrom outside\n")


@pytest.mark.parametrize("bad", ["", "../etc", "Über", "a b", "x" * 32])
def test_a_name_that_cannot_name_a_lab_is_refused(bad: str) -> None:
    """A lab's name is a file name, and a short one."""
    with pytest.raises(LabError, match="cannot name a lab"):
        RunDir(bad)


def test_the_run_directory_is_for_root_only(name: str) -> None:
    """Nobody but root can reach the socket, the key or the logs."""
    with Lab.running(name, WITHOUT_CLUSTER) as lab:
        assert rundirs.PARENT.stat().st_mode & 0o777 == 0o700
        assert lab.rundir.path.stat().st_mode & 0o777 == 0o700
        assert lab.rundir.socket.stat().st_mode & 0o777 == 0o600
        assert "BEGIN CERTIFICATE" in lab.rundir.ca_certificate.read_text(encoding="ascii")
