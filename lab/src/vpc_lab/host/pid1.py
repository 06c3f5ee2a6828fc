"""Process 1 of an instance: mounts its disk, brings its services up, and reaps what is orphaned.

Run as `python -m vpc_lab.host.pid1`, with a `Boot` as JSON in the file given as argument. It makes the
instance's namespaces and, in them, process 1; killing that one with SIGKILL is a power-off, because the kernel kills
every other process of a pid namespace with its first.

The order of words on its standard streams is the whole protocol: it prints `up PID` once the namespaces and mounts
are made; whoever started it plugs in the network and writes `go`; then the services start. `shutdown SECONDS`, at any
time after that, lets everything run on for so long, then stops the services, the last one first; `down` says that
the power may go.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, List, Mapping, Optional, Tuple

from vpc_lab.host import capabilities, units
from vpc_lab.host import namespaces as ns
from vpc_lab.host.boot import Boot, Service
from vpc_lab.host.disk import mount_disk


class Process1:
    """What process 1 does once it has a network: starts services, reaps, and shuts down when it is told to."""

    def __init__(self, boot: Boot) -> None:
        self._boot = boot
        self._running: List[Tuple[Service, int]] = []
        self._orders: Optional[int] = 0
        self._heard = b""
        self._asked: Optional[socket.socket] = None
        self._woken, writer = os.pipe()
        os.set_blocking(writer, False)
        os.set_blocking(self._woken, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def run(self) -> None:
        """Start the services at `go`, stop them at `shutdown`; for ever."""
        while self._order() != "go":
            pass
        if self.units():
            self._asked = units.listen()
        for service in self._boot.services:
            if not service.unit or units.enabled(service.unit):
                self._start(service)
        while True:
            word, _, seconds = self._order().partition(" ")
            if word == "shutdown":
                self._shut_down(float(seconds))
                _tell("down")

    def _order(self) -> str:
        """The next line on standard input; without one, as after its end, never returns."""
        while b"\n" not in self._heard:
            if self._wait(None) and self._asked is not None:
                units.answer(self._asked, self)
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

    # -- what `systemctl` asks for -----------------------------------------------------------------------------

    def units(self) -> Tuple[str, ...]:
        """The services that have a unit, in the order in which they need each other."""
        return tuple(service.unit for service in self._boot.services if service.unit)

    def active(self, unit: str) -> bool:
        """Whether the service of a unit runs."""
        self._reap()
        for service, pid in self._running:
            if service.unit == unit:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 0)
                    return True
        return False

    def start_unit(self, unit: str) -> bool:
        """Start a unit, and before it those that it needs (Requires=); whether it runs then."""
        for service in self._boot.services:
            if service.unit and not self.active(service.unit):
                self._running = [held for held in self._running if held[0] is not service]
                if not self._start(service):
                    return False
            if service.unit == unit:
                break
        return True

    def stop_unit(self, unit: str) -> None:
        """Stop a unit, and before it those that need it."""
        names = self.units()
        for name in reversed(names[names.index(unit) :]):
            for service, pid in list(self._running):
                if service.unit == name:
                    self._running.remove((service, pid))
                    self._stop(service, pid)

    def _start(self, service: Service) -> bool:
        pid = start(service, self._boot.environment)
        if pid is not None:
            self._running.append((service, pid))
        return pid is not None

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

    def _wait(self, seconds: Optional[float]) -> bool:
        """Until a child ends, more orders come in, or the time is over; whether somebody asks about a unit."""
        self._reap()
        sources: List[Any] = [self._woken]
        sources += [one for one in (self._orders, self._asked) if one is not None]
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
        return self._asked in ready

    def _reap(self) -> None:
        """Collect every child that has ended, our own and the orphans that the kernel hands to process 1."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                self._look_for_panic(*ended)

    def _look_for_panic(self, pid: int, status: int) -> None:
        """Take the power away if a service has ended because it wants that and may not do it itself (reboot(2))."""
        for service, known in self._running:
            if pid == known and os.WIFEXITED(status) and os.WEXITSTATUS(status) == service.panic:
                sys.stderr.write(f"{service.argv[0]} panics\n")
                os._exit(1)


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
    os.umask(0o022)
    mount_disk(boot)
    socket.sethostname(boot.hostname)
    # From here on this is the instance's root, and no longer the machine's.
    capabilities.drop()
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
