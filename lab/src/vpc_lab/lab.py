"""A lab as seen from the host: bring it up, give it orders, run commands in its instances, take it down.

`Lab.running()` holds a lab in the foreground: it ends with the holder, even when that gets SIGKILL. `Lab.up()`
leaves one behind that `Lab.down()` ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Callable, Dict, FrozenSet, Iterator, List, Mapping, Optional, Sequence, Tuple

from vpc_lab import examples
from vpc_lab.cluster import (
    FENCE_DEVICE,
    TRANSITION,
    ClusterStatus,
    actions_left,
    is_recurring_monitor,
    parse_status,
)
from vpc_lab.errors import LabError, LabTimeoutError
from vpc_lab.faults import Fault, InForce
from vpc_lab.host.agents import need_package
from vpc_lab.host.entering import entering
from vpc_lab.host.rundir import DEFAULT_NAME, RunDir, start_time
from vpc_lab.settings import Settings
from vpc_lab.status import Status
from vpc_lab.topology import INTERNET, topology_for
from vpc_lab.waiting import eventually

Say = Callable[[str], None]
DEFAULTS = Settings()
# Seconds between two looks at a cluster: each starts crm_mon, and labs side by side are short of processor time.
_CLUSTER_EVERY = 0.4
# Seconds between the two looks that find a cluster with nothing to do: what Pacemaker hears just then is in the second.
_CALM = 0.4
PROGRAMS = ("corosync", "pacemakerd", "crm_mon", "crm", "fence_aws", "ip", "nft", "nsenter", "setpriv")
PACKAGES = "pacemaker corosync crmsh pcs resource-agents fence-agents iproute2 nftables util-linux"


def _silence(_: str) -> None:
    """What hears progress when nobody wants to."""


@dataclass(frozen=True)
class Completed:
    """How a command in an instance ended."""

    argv: Tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str


def missing_programs() -> Tuple[str, ...]:
    """The programs that a lab runs and this machine does not have."""
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    return tuple(program for program in PROGRAMS if shutil.which(program, path=path) is None)


class Injected:
    """A fault that was put in force; also a context manager, which heals it at its end."""

    def __init__(self, lab: Lab, number: int, fault: Fault) -> None:
        self._lab = lab
        self.number = number
        self.fault = fault

    def heal(self) -> None:
        """Undo it; nothing if that has been done, or if it has ended by itself."""
        self._lab.heal(self.number)

    def __enter__(self) -> Injected:
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()


class Lab:
    """The running lab called `name`."""

    def __init__(self, name: str = DEFAULT_NAME) -> None:
        self.rundir = RunDir(name)
        self._launcher: Optional[subprocess.Popen[str]] = None

    # -- life ---------------------------------------------------------------------------------------------------

    @staticmethod
    def possible(settings: Settings) -> None:
        """LabError where this machine lacks what a lab of these settings needs of it, before one comes up."""
        if settings.installed:
            need_package()

    @classmethod
    @contextlib.contextmanager
    def running(
        cls,
        name: str = DEFAULT_NAME,
        settings: Settings = DEFAULTS,
        *,
        say: Say = _silence,
        online: bool = True,
    ) -> Iterator[Lab]:
        """A lab for the length of a `with` block, with its cluster online."""
        lab = cls(name)
        leash = lab._launch(settings, say)
        try:
            if online and settings.boots_cluster:
                say("waiting for the cluster to be online")
                lab.wait_online()
            yield lab
        finally:
            os.close(leash)
            lab.wait_gone()

    @classmethod
    def up(cls, name: str = DEFAULT_NAME, settings: Settings = DEFAULTS, *, say: Say = _silence) -> Lab:
        """Bring a lab up that stays when this process ends; LabError if there is one of that name."""
        lab = cls(name)
        leash = lab._launch(settings, say)
        try:
            if settings.boots_cluster:
                say("waiting for the cluster to be online")
                lab.wait_online()
            os.write(leash, b"detach\n")
        except BaseException:
            os.close(leash)
            lab.wait_gone()
            raise
        os.close(leash)
        return lab

    def _launch(self, settings: Settings, say: Say) -> int:
        """Start the launcher and wait until the lab is built; the leash, a file descriptor that keeps it alive."""
        # Refuses what cannot be, before anything is made.
        settings.topology()
        if os.geteuid() != 0:
            raise LabError("a lab is made of namespaces: it takes root (try sudo)")
        missing = missing_programs()
        if missing:
            raise LabError(
                f"the lab needs {', '.join(missing)}; on Debian: apt-get install --no-install-recommends {PACKAGES}"
            )
        lock = self.rundir.acquire()
        if lock is None:
            raise LabError(f"lab '{self.rundir.name}' is already up")
        if self.rundir.leftovers():
            say("clearing away what a lab that crashed has left")
            self.rundir.empty()
        leash_end, leash = os.pipe()
        try:
            self._launcher = _spawn_launcher(self.rundir, settings, lock, leash_end)
        except BaseException:
            os.close(leash)
            self.rundir.remove()
            raise
        finally:
            os.close(leash_end)
            os.close(lock)
        try:
            with self._launcher.stdout or contextlib.nullcontext() as lines:
                self._follow(lines, say)
        except BaseException as error:
            log = _tail(self.rundir.log)
            os.close(leash)
            self.wait_gone()
            if isinstance(error, LabError) and log:
                raise LabError(f"{error}\n{log}") from error
            raise
        return leash

    def _follow(self, lines: Optional[IO[str]], say: Say) -> None:
        for line in lines or ():
            word = json.loads(line)
            if "error" in word:
                raise LabError(f"the lab does not come up: {word['error']}")
            if word.get("ready"):
                return
            say(word["progress"])
        raise LabError("the lab ended while it came up")

    def wait_gone(self, within: float = 20.0) -> None:
        """Wait until no process of the lab is left."""
        eventually(f"the end of lab '{self.rundir.name}'", lambda: not self.rundir.in_use(), within, every=0.02)
        if self._launcher is not None:
            self._launcher.wait()

    def down(self) -> bool:
        """End the lab and remove every trace of it; False if there was nothing to do."""
        if not self.rundir.path.exists():
            return False
        if self.rundir.in_use():
            try:
                self.order("down")
                self.wait_gone(5.0)
            except LabError:
                self._kill()
        lock = self.rundir.acquire()
        if lock is None:
            raise LabError(f"lab '{self.rundir.name}' is being brought up at this moment")
        self.rundir.remove()
        os.close(lock)
        return True

    def _kill(self) -> None:
        """End a lab that takes no orders, by its launcher's pid, if that is still the process it was."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
            pid, started = (int(word) for word in self.rundir.pid_file.read_text(encoding="ascii").split())
            handle = os.pidfd_open(pid)
            try:
                if start_time(pid) == started:
                    signal.pidfd_send_signal(handle, signal.SIGTERM)
            finally:
                os.close(handle)
        self.wait_gone()

    # -- orders -------------------------------------------------------------------------------------------------

    def order(self, verb: str, **about: Any) -> Any:
        """Send one order to the supervisor and return its result; LabError with its sentence if it refuses."""
        with self._connection() as connection:
            # A supervisor that hangs must not hang its users; `down` has other means.
            connection.settimeout(3.0 if verb == "down" else 120.0)
            try:
                connection.sendall(json.dumps({"do": verb, **about}).encode() + b"\n")
                with connection.makefile("r", encoding="utf-8") as lines:
                    line = lines.readline()
            except OSError as error:
                raise LabError(f"lab '{self.rundir.name}' does not answer: {error}") from error
        if not line:
            if verb == "down":
                return None
            raise LabError(f"lab '{self.rundir.name}' ended before it answered")
        reply = json.loads(line)
        if not reply["ok"]:
            raise LabError(reply["error"])
        return reply["result"]

    def _connection(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(self.rundir.socket))
        except OSError as error:
            connection.close()
            if isinstance(error, PermissionError):
                raise LabError("only root may talk to a lab (try sudo)") from error
            raise LabError(f"lab '{self.rundir.name}' is not up") from error
        return connection

    def status(self) -> Status:
        """What there is and how it is."""
        return Status.from_json(self.order("status"))

    def inject(self, fault: Fault, lasting: Optional[float] = None) -> Injected:
        """Put a fault in force, with `lasting` for so many seconds; LabError where it cannot be in this lab now."""
        number: int = self.order("inject", fault=fault.to_json(), lasting=lasting)
        return Injected(self, number, fault)

    def heal(self, number: Optional[int] = None) -> None:
        """Undo the fault of this number, or every one; nothing if that has been done."""
        self.order("heal", number=number)

    def faults(self) -> Tuple[InForce, ...]:
        """The faults in force, in the order of their numbers."""
        return tuple(InForce.from_json(one) for one in self.order("faults"))

    def power_off(self, name: str) -> None:
        """Take an instance's power away at once, and leave it off: nothing heals that but `power_on`."""
        self.order("power-off", name=name)

    def power_on(self, name: str) -> None:
        """Give an instance power again that has none, whoever has stopped it."""
        self.order("power-on", name=name)

    def administer(self, action: str, **parameters: str) -> None:
        """One call to EC2 by an administrator who may do everything: `administer("StopInstances", InstanceId="i-…")`.

        Faults do not touch it. Returns when packets find what it has changed; LabError with EC2's error.
        """
        self.order("administer", action=action, parameters=parameters)

    def settle_network(self) -> None:
        """Wait until packets find all that EC2 has been told so far, but for what takes its time on purpose."""
        self.order("settle")

    def calls(self, since: float = 0.0) -> List[Dict[str, Any]]:
        """The API calls since that wall-clock time."""
        found: List[Dict[str, Any]] = self.order("calls", since=since)
        return found

    def events(self, since: float = 0.0) -> List[Dict[str, Any]]:
        """What happened since that wall-clock time, in order."""
        found: List[Dict[str, Any]] = self.order("events", since=since)
        return found

    # -- commands in instances ----------------------------------------------------------------------------------

    def supervisor_pid(self) -> int:
        """The supervisor's process id in the caller's pid namespace, as the kernel gives it for the socket's peer."""
        with self._connection() as connection:
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid: int = struct.unpack("3i", peer)[0]
        return pid

    def enter(self, name: str, argv: Sequence[str], *, with_parent: bool = True) -> Tuple[List[str], Dict[str, str]]:
        """The host command that runs `argv` in an instance, and its environment.

        With `with_parent`, the command dies with the process that runs it. LabError if there is no such instance, it
        has no power, or it is frozen.
        """
        one = self.status().instance(name)
        if one.pid is None:
            raise LabError(f"{name} has no power")
        if one.frozen:
            raise LabError(f"{name} is frozen")
        process_1 = Path(f"/proc/{self.supervisor_pid()}/root/proc/{one.pid}")
        environment = {**one.environment, **{key: os.environ[key] for key in ("TERM",) if key in os.environ}}
        return entering(process_1, argv, with_parent=with_parent), environment

    def exec(
        self, name: str, argv: Sequence[str], *, stdin: str = "", timeout: float = 60.0, check: bool = True
    ) -> Completed:
        """Run a command in an instance to its end; LabError if it fails (unless not `check`) or takes too long."""
        command, environment = self.enter(name, argv)
        try:
            done = subprocess.run(
                command, env=environment, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise LabTimeoutError(f"'{' '.join(argv)}' on {name} took more than {timeout:.0f} s") from error
        if check and done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise LabError(f"'{' '.join(argv)}' on {name} exited with {done.returncode}: {said}")
        return Completed(tuple(argv), done.returncode, done.stdout, done.stderr)

    def spawn(
        self,
        name: str,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] = {},
        **popen: Any,
    ) -> subprocess.Popen[Any]:
        """Start a command in an instance. It dies with the returned process, with the instance, and with the lab."""
        command, base = self.enter(name, argv)
        return subprocess.Popen(command, env={**base, **environment}, **popen)

    # -- the cluster --------------------------------------------------------------------------------------------

    def nodes(self) -> List[str]:
        """The cluster's nodes, with power or without."""
        return [one.name for one in self.status().instances if one.role == "node"]

    def powered_nodes(self) -> List[str]:
        """The nodes that have power."""
        return [one.name for one in self.status().instances if one.role == "node" and one.powered]

    def awake_nodes(self) -> List[str]:
        """The nodes that have power and are not frozen."""
        return [one.name for one in self.status().instances if one.role == "node" and one.awake]

    def awake_node(self) -> str:
        """The first of the nodes that have power and are not frozen; LabError when there is none."""
        awake = self.awake_nodes()
        if not awake:
            raise LabError(f"no node of lab '{self.rundir.name}' is awake: each is without power, or frozen")
        return awake[0]

    def questions(self, address: str) -> Dict[str, str]:
        """What every consumer asks to reach the service at `address`: that, or from the Internet its Elastic IP.

        Without an Elastic IP nobody on the Internet can ask for a private address, and is not listed.
        """
        status = self.status()
        asked: Dict[str, str] = {}
        for one in status.instances:
            if one.role == "node":
                continue
            if one.name != INTERNET.name or ":" in address:
                asked[one.name] = address
            elif address in status.service.elastic_ips:
                asked[one.name] = status.service.elastic_ips[address]
        return asked

    def cluster_status(self, node: Optional[str] = None) -> Optional[ClusterStatus]:
        """The cluster as `node` sees it, or the first node that can tell; None while none can."""
        for name in [node] if node else self.awake_nodes():
            try:
                done = self.exec(name, ["crm_mon", "--output-as=xml", "--inactive"], check=False)
                if done.returncode == 0:
                    return parse_status(done.stdout)
            except (LabError, ValueError):
                continue
        return None

    def wait_cluster(
        self, what: str, condition: Callable[[ClusterStatus], bool], within: float = 30.0
    ) -> ClusterStatus:
        """Poll the cluster until `condition` holds; LabTimeoutError naming `what`."""

        def holds() -> Optional[ClusterStatus]:
            status = self.cluster_status()
            return status if status is not None and condition(status) else None

        return eventually(what, holds, within, every=_CLUSTER_EVERY)

    def wait_online(self, *names: str, within: float = 60.0) -> ClusterStatus:
        """Wait until these nodes, by default every node that runs, are online and the cluster has settled."""
        wanted = names or tuple(self.awake_nodes())

        def everywhere() -> Optional[ClusterStatus]:
            found = None
            for name in wanted:
                found = self.cluster_status(name)
                if found is None or found.dc is None or not set(wanted) <= set(found.online):
                    return None
            return found

        found = eventually(f"the cluster with {', '.join(wanted)} online", everywhere, within, every=_CLUSTER_EVERY)
        self.settle(within=within)
        return found

    def wait_fenced(self, name: str, within: float = 60.0) -> ClusterStatus:
        """Wait until EC2 has stopped the instance and the other nodes know that it is safely gone."""

        def fenced() -> Optional[ClusterStatus]:
            one = self.status().instance(name)
            status = self.cluster_status()
            gone = status is not None and any(
                node.name == name and not node.online and not node.unclean for node in status.nodes
            )
            return status if gone and one.state == "stopped" else None

        return eventually(f"the fencing of {name}", fenced, within, every=_CLUSTER_EVERY)

    def instance_ids(self) -> Dict[str, str]:
        """The EC2 id of each instance, by name."""
        return {one.name: one.instance_id for one in self.status().instances if one.instance_id}

    def load(self, text: str, node: Optional[str] = None, *, pcs: bool = False) -> str:
        """Load a configuration of `crm configure` (or of `pcs` commands), with this lab's values for its placeholders.

        What the tools had to say. LabError when they refuse it, or it has a placeholder that nothing is known for.
        """
        name = node or self.awake_node()
        try:
            text = examples.render(text, self.order("values"))
            commands = examples.pcs_commands(text) if pcs else [["crm", "configure", "load", "update", "-"]]
        except ValueError as error:
            raise LabError(f"this configuration cannot be loaded: {error}") from error
        if pcs and any(command[:4] == ["pcs", "stonith", "create", FENCE_DEVICE] for command in commands):
            # It brings a fence device of that name, where `crm` would change the lab's own.
            found = self.cluster_status(name)
            if found is not None and found.resource(FENCE_DEVICE) is not None:
                self.exec(name, ["pcs", "stonith", "delete", FENCE_DEVICE])
        done = [self.exec(name, command, stdin="" if pcs else text) for command in commands]
        return "".join(one.stdout + one.stderr for one in done)

    def lend_role(self) -> None:
        """The account that shares its VPC lends the role of the examples to the nodes' account."""
        self.order("put-role", arn=examples.NETWORK_ROLE_ARN, trusted_accounts=[topology_for().account_id])

    def settle(self, within: float = 60.0) -> None:
        """Wait until the cluster has nothing left to do, twice in succession.

        As `crm_resource --wait`, which looks every two seconds, and not before two seconds are over; but a cluster that
        only ever repeats the same monitors has nothing left to do, where `--wait` waits for ever. The controller does
        not count a monitor that fails while the transition that began it goes on. Once failure-timeout is over, the
        scheduler starts that monitor again whenever it looks ("Rescheduling ... after failure expired"), until a
        `crm_resource --refresh`; `--cleanup` leaves it. Seen with Pacemaker 2.1.5.
        """
        # What was left to do, and when that was first seen.
        seen: List[Tuple[FrozenSet[str], float]] = []

        def is_calm() -> bool:
            if seen and time.monotonic() - seen[0][1] < _CALM:
                return False
            left = self._left_to_do(within)
            if left is None or (left and not self._is_repeated(left, within)):
                seen.clear()
                return False
            if seen and seen[0][0] == left:
                return True
            seen[:] = [(left, time.monotonic())]
            return False

        eventually("a cluster with nothing left to do", is_calm, within, every=1.0)

    def _left_to_do(self, within: float) -> Optional[FrozenSet[str]]:
        """What the scheduler says that the cluster has to do; None where it says nothing."""
        done = self.exec(self.awake_node(), TRANSITION, check=False, timeout=within)
        try:
            return actions_left(done.stdout) if done.returncode == 0 else None
        except ValueError:  # the cluster was lost while it printed
            return None

    def _is_repeated(self, left: FrozenSet[str], within: float) -> bool:
        """Whether what is left are monitors that the controller has not begun: it would, if they were not repeated."""
        if not all(is_recurring_monitor(one) for one in left):
            return False
        node = self.awake_node()
        status = self.cluster_status(node)
        if status is None or status.dc is None:
            return False
        done = self.exec(node, ["crmadmin", "--status", status.dc], check=False, timeout=within)
        return "S_IDLE" in done.stdout + done.stderr

    def forget_failures(self, resource: Optional[str] = None, within: float = 60.0) -> None:
        """Forget the failures of one resource, or of all (`crm_resource --cleanup`), once nothing is moving.

        A cleanup removes the resource from the node's executor for a moment. Where the controller of Pacemaker 2.1.5
        has a start to request just then, it fails for want of the resource, and exits: "Respawning pacemaker-controld".
        """
        self.settle(within)
        chosen = [] if resource is None else ["--resource", resource]
        self.exec(self.awake_node(), ["crm_resource", "--cleanup", *chosen])
        self.settle(within)

    def disk(self, name: str) -> Path:
        """Where an instance's private files are, for reading: its /var/log is at `disk / "var/log"`.

        The path leads through the supervisor's view of the file system and ends with the lab.
        """
        private = str(self.rundir.private).lstrip("/")
        return Path(f"/proc/{self.supervisor_pid()}/root") / private / name

    def save_logs(self, target: Path) -> Path:
        """Copy what the instances logged, and what the supervisor did, to `target`; for a test that failed."""
        target.mkdir(parents=True, exist_ok=True)
        for one in self.status().instances:
            disk = self.disk(one.name)
            configuration = [path for path in files_below(disk / "etc/corosync") if path.suffix == ".conf"]
            for path in [*files_below(disk / "var/log"), disk / "console.log", *configuration]:
                copy = target / one.name / path.relative_to(disk)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
        (target / "supervisor.log").write_text(self.rundir.log.read_text(encoding="utf-8"), encoding="utf-8")
        (target / "events.json").write_text(json.dumps(self.events(), indent=1), encoding="utf-8")
        return target


def files_below(top: Path) -> Tuple[Path, ...]:
    """The regular files below `top`, sorted.

    Who runs in an instance may put a symbolic link there, which would lead to a file of the host's out here.
    """
    # os.walk follows no link to a directory.
    found = [Path(directory, name) for directory, _, names in os.walk(top) for name in names]
    return tuple(sorted(path for path in found if stat.S_ISREG(path.lstat().st_mode)))


def _spawn_launcher(rundir: RunDir, settings: Settings, lock: int, leash: int) -> subprocess.Popen[str]:
    with rundir.log.open("a", encoding="utf-8") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "vpc_lab.host.launcher", rundir.name, settings.to_json()],
            stdin=leash,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd="/",
            # A Ctrl-C at the holder's terminal is the holder's to handle; the leash tells the lab.
            start_new_session=True,
            pass_fds=(lock,),
        )


def _tail(path: Path, lines: int = 15) -> str:
    with contextlib.suppress(FileNotFoundError):
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    return ""
