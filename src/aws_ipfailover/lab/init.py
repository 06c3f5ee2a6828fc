"""Process 1 of an instance: mounts its disk, brings its services up, and reaps what is orphaned.

Run as `python -m aws_ipfailover.lab.init`, with a `Boot` as JSON in the file given as argument. It makes the
instance's namespaces and, in them, process 1; killing that one with SIGKILL is a power-off, because the kernel kills
every other process of a pid namespace with its first.

The order of words on its standard streams is the whole protocol: it prints `up PID` once the namespaces and mounts
are made; whoever started it plugs in the network and writes `go`; then the services start. `shutdown SECONDS`, at any
time after that, lets everything run on for so long, then stops the services, the last one first; `down` says that
the power may go.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from . import namespaces as ns

# File systems that hold no file of the host's: made by the kernel, or replaced by ours.
_NOT_A_DISK = frozenset(
    (
        "proc",
        "sysfs",
        "devtmpfs",
        "devpts",
        "mqueue",
        "cgroup",
        "cgroup2",
        "securityfs",
        "debugfs",
        "tracefs",
        "bpf",
        "configfs",
        "fusectl",
        "hugetlbfs",
        "pstore",
        "efivarfs",
        "autofs",
        "binfmt_misc",
        "nsfs",
        "rpc_pipefs",
    )
)


@dataclass(frozen=True)
class Service:
    """A program that process 1 starts and stops; it stays in the foreground.

    `ready` is a command polled until it exits 0 before the next service starts. `stop` is a command that asks the
    program to end (without one it gets SIGTERM); process 1 then waits for its end, however long that takes.
    """

    argv: Tuple[str, ...]
    ready: Tuple[str, ...] = ()
    ready_within: float = 15.0
    stop: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Boot:
    """What an instance is made of.

    `directories` and `files` map a path inside to the private file that is shown there; a target the host does not
    have is left out. `memory` lists directories that start empty at each boot, with their modes.
    """

    hostname: str
    directories: Mapping[str, str]
    files: Mapping[str, str]
    memory: Mapping[str, int]
    overlays: Mapping[str, str] = field(default_factory=dict)
    # Directories that everybody may pass through in here, though not on the host, and where to keep the difference.
    opened: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    make: Mapping[str, int] = field(default_factory=dict)
    services: Tuple[Service, ...] = ()

    def to_json(self) -> str:
        """The boot file's text."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Boot:
        """The inverse of `to_json`."""
        raw: Dict[str, Any] = json.loads(text)
        raw["services"] = tuple(
            Service(tuple(one["argv"]), tuple(one["ready"]), one["ready_within"], tuple(one["stop"]))
            for one in raw["services"]
        )
        return cls(**raw)


def mount_disk(boot: Boot) -> None:
    """Make the instance's view of the file system: private directories, and everything else read-only."""
    ns.mount("none", "/", flags=ns.MS_REC | ns.MS_PRIVATE)
    private: List[str] = []
    # First, because what is mounted below them has to come on top.
    for target, store in boot.opened.items():
        # Without overlayfs it stays closed; then only what root runs finds its files there.
        with contextlib.suppress(OSError):
            _mount_overlay(target, Path(store), Path(target).stat().st_mode & 0o7777 | 0o011)
            private.append(target)
    for target, source in boot.files.items():
        if Path(target).is_file():
            ns.bind(Path(source), Path(target).resolve())
            private.append(str(Path(target).resolve()))
    for target, source in boot.directories.items():
        if Path(target).is_dir():
            ns.bind(Path(source), Path(target))
            private.append(target)
    for target, store in boot.overlays.items():
        _overlay(target, Path(store))
        private.append(target)
    for point, kind in ns.mount_points():
        if kind not in _NOT_A_DISK and point not in private and point not in boot.memory:
            # A mount that is covered by another one cannot be reached, and needs no protection.
            with contextlib.suppress(OSError):
                ns.mount("none", point, flags=ns.MS_REMOUNT | ns.MS_BIND | ns.MS_RDONLY)
    for target, mode in boot.memory.items():
        if Path(target).is_dir():
            ns.mount("tmpfs", target, "tmpfs", ns.MS_NOSUID | ns.MS_NODEV, f"mode={mode:o}")
    ns.mount("proc", "/proc", "proc", ns.MS_NOSUID | ns.MS_NODEV | ns.MS_NOEXEC)
    # A sysfs shows the network devices of the namespace it was mounted in.
    ns.mount("sysfs", "/sys", "sysfs", ns.MS_NOSUID | ns.MS_NODEV | ns.MS_NOEXEC | ns.MS_RDONLY)
    for path, mode in boot.make.items():
        Path(path).mkdir(parents=True, exist_ok=True)
        Path(path).chmod(mode)


def _overlay(target: str, store: Path) -> None:
    """Show the host's files at `target`, and keep what is written there in `store`."""
    try:
        _mount_overlay(target, store, 0o1777)
    except OSError:
        # No overlayfs in this kernel: an empty directory is private too, it only shows less of the host.
        ns.bind(store / "upper", Path(target))


def _mount_overlay(target: str, store: Path, mode: int) -> None:
    upper, work = store / "upper", store / "work"
    # What a previous boot wrote is not wanted back: such directories hold temporary files.
    shutil.rmtree(store, ignore_errors=True)
    upper.mkdir(parents=True)
    work.mkdir()
    # The merged directory has the mode of the upper one.
    upper.chmod(mode)
    ns.mount("overlay", target, "overlay", data=f"lowerdir={target},upperdir={upper},workdir={work}")


class Process1:
    """What process 1 does once it has a network: starts services, reaps, and shuts down when it is told to."""

    def __init__(self, boot: Boot) -> None:
        self._boot = boot
        self._running: List[Tuple[Service, int]] = []
        self._orders: Optional[int] = 0
        self._heard = b""
        self._woken, writer = os.pipe()
        os.set_blocking(writer, False)
        os.set_blocking(self._woken, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def run(self) -> None:
        """Start the services at `go`, stop them at `shutdown`; for ever."""
        while self._order() != "go":
            pass
        for service in self._boot.services:
            pid = start(service, self._boot.environment)
            if pid is not None:
                self._running.append((service, pid))
        while True:
            word, _, seconds = self._order().partition(" ")
            if word == "shutdown":
                self._shut_down(float(seconds))
                _tell("down")

    def _order(self) -> str:
        """The next line on standard input; without one, as after its end, never returns."""
        while b"\n" not in self._heard:
            self._wait(None)
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode().strip()

    def _shut_down(self, seconds: float) -> None:
        """Stop the services. What else runs in here goes on until the power does."""
        sys.stderr.write(f"shutting down; the services go on for {seconds:g} s\n")
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._wait(left)
        while self._running:
            service, pid = self._running.pop()
            sys.stderr.write(f"stopping {service.argv[0]}\n")
            self._stop(service, pid)
        sys.stderr.write("powered down\n")

    def _stop(self, service: Service, pid: int) -> None:
        asked = False
        if service.stop:
            environment = dict(self._boot.environment)
            done = subprocess.run(
                service.stop, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False
            )
            asked = done.returncode == 0
        with contextlib.suppress(ProcessLookupError):
            if not asked:
                os.kill(pid, signal.SIGTERM)
            while True:
                self._reap()
                os.kill(pid, 0)
                self._wait(None)

    def _wait(self, seconds: Optional[float]) -> None:
        """Until a child ends, more orders come in, or the time is over."""
        self._reap()
        sources = [self._woken] if self._orders is None else [self._woken, self._orders]
        ready, _, _ = select.select(sources, [], [], seconds)
        if self._woken in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._woken, 4096)
            self._reap()
        if self._orders in ready:
            heard = os.read(0, 4096)
            self._heard += heard
            if not heard:
                self._orders = None

    def _reap(self) -> None:
        """Collect every child that has ended, our own and the orphans that the kernel hands to process 1."""
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass


def start(service: Service, environment: Mapping[str, str]) -> Optional[int]:
    """Start `service` and wait until it is ready; its process id, or None if it has ended already.

    The console says of a service that does not get ready why.
    """
    # Standard output is the channel to the supervisor; the console is standard error.
    process = subprocess.Popen(service.argv, env=dict(environment), stdin=subprocess.DEVNULL, stdout=sys.stderr)
    deadline = time.monotonic() + service.ready_within
    while service.ready:
        asked = subprocess.run(service.ready, env=dict(environment), capture_output=True, check=False)
        if asked.returncode == 0:
            break
        if time.monotonic() > deadline:
            said = asked.stderr.decode(errors="replace").strip()
            sys.stderr.write(f"{service.argv[0]} is not ready: {said}\n")
            break
        with contextlib.suppress(subprocess.TimeoutExpired):
            sys.stderr.write(f"{service.argv[0]} exited with {process.wait(0.02)}\n")
            return None
    return process.pid


def _tell(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def _become_process_1(boot: Boot) -> None:
    ns.die_with_parent()
    mount_disk(boot)
    socket.sethostname(boot.hostname)
    os.chdir("/")
    _tell("up")
    Process1(boot).run()


def main() -> int:
    """Make the namespaces, fork process 1 into them, and end when it does."""
    boot = Boot.from_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    ns.unshare(ns.CLONE_NEWNS | ns.CLONE_NEWNET | ns.CLONE_NEWUTS | ns.CLONE_NEWIPC | ns.CLONE_NEWPID)
    child = os.fork()
    if child == 0:
        _become_process_1(boot)
        return 0
    _tell(f"pid {child}")
    os.waitpid(child, 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
