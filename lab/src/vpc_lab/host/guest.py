"""The guest behind an instance of EC2: a host name, a disk that survives a power-off, and a process 1 that does not."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Dict, Mapping, Optional, Tuple

from vpc_lab.host import freezer, units
from vpc_lab.host import namespaces as ns
from vpc_lab.host.boot import Boot, Service
from vpc_lab.host.disk import SYSTEM
from vpc_lab.host.interpreter import places, python_paths
from vpc_lab.settings import FENCE_AGENTS

# Directories that belong to the instance and not to the host it lives on. Debian's packages make them; what the host
# has in them stays out of sight.
_DIRECTORIES = (
    "/etc/corosync",
    "/etc/pacemaker",
    "/var/lib/corosync",
    "/var/lib/pacemaker",
    "/var/lib/pcsd",
    "/var/log",
)
# Root's home, with its AWS configuration, for one; the host's is no model for it.
HOME = "/run/home"
_CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_OWN_FILES = ("/etc/hostname", "/etc/hosts", "/etc/machine-id", "/etc/resolv.conf")
# Where commands are put for an instance that has some of its own: nothing of the machine's comes before them in PATH.
COMMANDS = "/usr/local/sbin"
# What each instance brings to /etc.
FILES = (*_OWN_FILES, _CA_BUNDLE)
_MEMORY = {"/run": 0o755, "/dev/shm": 0o1777, "/tmp": 0o1777, "/var/tmp": 0o1777}  # noqa: S108 - the instance's own
_MADE = {
    HOME: 0o700,
    "/run/lock": 0o1777,
    "/run/resource-agents": 0o1755,
    "/run/crm": 0o755,
}
# Where Pacemaker finds OCF agents, libstonith fencing plugins, init scripts: each instance has copies of its own.
AGENT_PLACES = ("/usr/lib/ocf/resource.d", "/usr/lib/stonith/plugins/external", "/etc/init.d")
AGENTS = "/usr/lib/ocf/resource.d/heartbeat"


@dataclass(frozen=True)
class Image:
    """What all guests of a lab boot from: where its private files are, and what its clients must trust.

    `agents`: a directory that has the agents in the places of `AGENT_PLACES`.
    """

    private: Path
    etc: Path
    ca_bundle: Path
    agents: Optional[Path]
    hosts: str
    metadata: bool = True

    def environment(self) -> Dict[str, str]:
        """The environment of everything that runs in an instance; nothing of the host's own gets in."""
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "HOME": HOME,
            # SDKs that bring their own list of authorities do not look at the system's.
            "AWS_CA_BUNDLE": _CA_BUNDLE,
            "REQUESTS_CA_BUNDLE": _CA_BUNDLE,
        }


class Guest:
    """The guest behind one instance, or outside the VPC. Its files are under `Image.private / name`.

    `start` makes its process 1.
    """

    def __init__(
        self,
        name: str,
        image: Image,
        *,
        files: Mapping[str, Tuple[str, int, Optional[str]]],
        services: Tuple[Service, ...],
        commands: Mapping[str, str] = {},
    ) -> None:
        """`files`: text, mode and owner by path. `commands`: texts of programs by name, in `COMMANDS`."""
        self.name = name
        self._commands = commands
        self._image = image
        self._services = services
        self._launcher: Optional[subprocess.Popen[str]] = None
        self._process_1: Optional[int] = None
        self.pid: Optional[int] = None
        self.frozen = False
        self._silenced = False
        self.lock = threading.RLock()
        self.disk = image.private / name
        self._install(files)

    def _install(self, files: Mapping[str, Tuple[str, int, Optional[str]]]) -> None:
        """Make the disk: empty private directories with the owners of the host's, then `files` (text, mode, owner)."""
        for directory in _DIRECTORIES:
            _like(Path(directory), self._at(directory))
        # A file system of its own, mounted out here, so that it can be full and outlives the instance's power.
        logs = self._at("/var/log")
        ns.mount("tmpfs", str(logs), "tmpfs", ns.MS_NOSUID | ns.MS_NODEV)
        _like(Path("/var/log"), logs)
        for name in ("/etc/corosync", "/var/log", "/var/lib/pacemaker", "/var/lib/corosync"):
            # Their sub-directories have owners that the daemons insist on.
            for child in sorted(Path(name).glob("*/")):
                if child.is_dir() and child.name in _NEEDED_CHILDREN:
                    _like(child, self._at(str(child)))
        self._at(HOME).mkdir(parents=True, mode=0o700)
        for agents in self._agent_places():
            shutil.copytree(self._agents(agents), self._at(agents), symlinks=True)
        for path in self._fence_agents():
            self._at(path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self._agents(path), self._at(path))
        for directory in self._own_directories():
            self._at(directory).mkdir(parents=True, exist_ok=True)
        texts: Dict[str, Tuple[str, int, Optional[str]]] = {
            "/etc/hostname": (f"{self.name}\n", 0o644, None),
            "/etc/hosts": (f"127.0.0.1 localhost\n::1 localhost\n{self._image.hosts}", 0o644, None),
            # A host name that is not in the hosts file does not exist: no packet looks for a name server.
            "/etc/resolv.conf": ("", 0o644, None),
            "/etc/machine-id": (f"{os.urandom(16).hex()}\n", 0o444, None),
            **{f"{COMMANDS}/{name}": (text, 0o755, None) for name, text in self._commands.items()},
            **files,
        }
        for target, (text, mode, owner) in texts.items():
            place = self._at(target)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
            place.chmod(mode)
            if owner is not None:
                shutil.chown(place, *owner.split(":"))

    def _own_directories(self) -> Tuple[str, ...]:
        """Directories that only some instances have for themselves."""
        started_by_hand = any(service.unit for service in self._services)
        return (*((COMMANDS,) if self._commands else ()), *((units.DIRECTORY,) if started_by_hand else ()))

    def _agents(self, place: str) -> Path:
        return Path(self._image.agents or "/nowhere", place.lstrip("/"))

    def _agent_places(self) -> Tuple[str, ...]:
        return tuple(place for place in AGENT_PLACES if self._agents(place).is_dir())

    def _fence_agents(self) -> Tuple[str, ...]:
        place = self._agents(FENCE_AGENTS)
        return tuple(f"{FENCE_AGENTS}/{path.name}" for path in sorted(place.glob("*"))) if place.is_dir() else ()

    def _at(self, path: str) -> Path:
        return self.disk / path.lstrip("/")

    def _boot(self) -> Boot:
        return Boot(
            hostname=self.name,
            root=str(self.disk / "root"),
            etc=str(self._image.etc),
            shown=tuple(str(path) for path in places((*map(Path, SYSTEM), *python_paths()))),
            directories={
                path: str(self._at(path))
                for path in (*_DIRECTORIES, HOME, *self._own_directories(), *self._agent_places())
            },
            files={
                **{path: str(self._at(path)) for path in (*_OWN_FILES, *self._fence_agents())},
                _CA_BUNDLE: str(self._image.ca_bundle),
            },
            memory=_MEMORY,
            environment=self._image.environment(),
            make=_MADE,
            services=self._services,
        )

    @property
    def clustered(self) -> bool:
        """Whether it runs Pacemaker."""
        return bool(self._services)

    @property
    def environment(self) -> Dict[str, str]:
        """Of everything that runs in it."""
        return self._image.environment()

    @property
    def running(self) -> bool:
        """Whether the instance has power."""
        return self.pid is not None

    @property
    def console(self) -> Path:
        """What process 1 and its services print."""
        return self.disk / "console.log"

    def start(self) -> int:
        """Make process 1, up to where it waits for its network; its process id. `go` lets it continue."""
        (self.disk / "root").mkdir(exist_ok=True)
        boot = self.disk / "boot.json"
        boot.write_text(self._boot().to_json(), encoding="utf-8")
        with self.console.open("a", encoding="utf-8") as console:
            self._launcher = subprocess.Popen(
                [sys.executable, "-m", "vpc_lab.host.pid1", str(boot)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=console,
                text=True,
            )
        words: Dict[str, str] = {}
        output = _pipe(self._launcher.stdout)
        while not words.keys() >= {"pid", "up"}:
            line = output.readline()
            if not line:
                self._launcher.wait()
                said = self.console.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                raise RuntimeError(f"{self.name} does not boot: {said[-1] if said else 'it says nothing'}")
            word, _, value = line.strip().partition(" ")
            words[word] = value
        self.pid = int(words["pid"])
        # What is done to process 1 later must not hit another process of that id.
        self._process_1 = os.pidfd_open(self.pid)
        return self.pid

    def go(self) -> None:
        """The network is plugged in: start the services."""
        if self._launcher is not None:
            control = _pipe(self._launcher.stdin)
            control.write("go\n")
            control.flush()

    def shut_down(self, seconds: float) -> None:
        """Press the power button: everything runs on for `seconds`, then the services are stopped in order.

        Returns when the system is down, or when somebody has taken its power away meanwhile; without power, at once.
        What process 1 says stays unread, for whoever presses the button a second time.
        """
        with self.lock:
            if self._launcher is None or self._process_1 is None:
                return
            control, output = _pipe(self._launcher.stdin), _pipe(self._launcher.stdout)
            either = [os.dup(self._process_1), os.dup(output.fileno())]
            with contextlib.suppress(BrokenPipeError):
                control.write(f"shutdown {seconds}\n")
                control.flush()
        try:
            select.select(either, [], [])
        finally:
            for descriptor in either:
                os.close(descriptor)

    def kill(self) -> None:
        """Take the power away: SIGKILL to process 1, and wait until nothing is left."""
        if self._launcher is None or self._process_1 is None:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process_1, signal.SIGKILL)
        self._launcher.wait()
        os.close(self._process_1)
        for stream in (self._launcher.stdin, self._launcher.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self._launcher = self._process_1 = self.pid = None
        self.frozen = self._silenced = False

    def freeze(self, *, kernel: bool) -> None:
        """Stop every process; with `kernel`, nor does the instance answer or send any packet.

        One that is frozen already stays so, with or without its kernel from now on.
        """
        if self.pid is None:
            return
        if kernel is not self._silenced:
            (freezer.silence if kernel else freezer.hear)(self.pid)
            self._silenced = kernel
        if not self.frozen:
            self.frozen = True
            freezer.stop(self.pid)

    def thaw(self) -> None:
        """Let everything go on where it stood."""
        if self.pid is None or not self.frozen:
            return
        if self._silenced:
            freezer.hear(self.pid)
        freezer.go_on(self.pid)
        self.frozen = self._silenced = False


_NEEDED_CHILDREN = frozenset(
    ("blackbox", "cib", "cores", "pengine", "pacemaker", "corosync", "crmsh", "pcsd", "bundles", "uidgid.d")
)


def _pipe(stream: Optional[IO[str]]) -> IO[str]:
    if stream is None:
        raise RuntimeError("the process has no pipe")
    return stream


def _like(model: Path, copy: Path) -> None:
    """An empty directory with the mode and the owner of `model`, or 0755 root where the host has no such thing."""
    copy.mkdir(parents=True, exist_ok=True)
    if model.is_dir():
        known = model.stat()
        os.chown(copy, known.st_uid, known.st_gid)
        copy.chmod(known.st_mode & 0o7777)
