"""Stops whatever runs in an instance, and lets it go on: a machine whose processors stand still, or one that hangs.

By SIGSTOP, which no process can refuse, also not process 1 of a pid namespace when it comes from outside (see
pid_namespaces(7)); the kernel's cgroup freezer is not to be had everywhere that a lab is.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from pathlib import Path
from typing import Iterator, Tuple

from vpc_lab.fabric.commands import run

# Before anything else sees a packet, in and out, and without a word; ARP has tables of its own.
_SILENCE = """
table inet frozen {
 chain in { type filter hook prerouting priority -500; policy drop;
 }
 chain out { type filter hook output priority -500; policy drop;
 }
}
table arp frozen {
 chain in { type filter hook input priority 0; policy drop;
 }
 chain out { type filter hook output priority 0; policy drop;
 }
}
"""
_NOISE = "delete table inet frozen\ndelete table arp frozen\n"
_STOPPED = frozenset("TtZX")
_WITHIN = 10.0


class FreezerError(Exception):
    """A process goes on running."""


def stop(first: int) -> None:
    """Stop every process of the pid namespace whose process 1 is `first`; returns when all of them are stopped.

    Raises:
        FreezerError: one is not, after seconds.
    """
    deadline = time.monotonic() + _WITHIN
    while True:
        running = [pid for pid, state in processes(first) if state not in _STOPPED]
        if not running:
            return
        if time.monotonic() > deadline:
            raise FreezerError(f"processes {', '.join(map(str, running))} do not stop")
        for pid in running:  # those that one of them has just forked are found the next time round
            _send(pid, signal.SIGSTOP)
        select.select([], [], [], 0.01)


def go_on(first: int) -> None:
    """Let every process of that pid namespace go on."""
    for pid, _ in processes(first):
        _send(pid, signal.SIGCONT)


def processes(first: int) -> Iterator[Tuple[int, str]]:
    """Process ids, as the caller sees them, and states (proc(5)) of the pid namespace whose process 1 is `first`."""
    namespace = os.stat(f"/proc/{first}/ns/pid").st_ino
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "ns/pid").stat().st_ino == namespace:
                    yield int(entry.name), (entry / "stat").read_text("utf-8", "replace").rpartition(") ")[2][0]
            except (OSError, IndexError):  # it has just ended
                continue


def silence(first: int) -> None:
    """Let the kernel drop every packet in the network namespace of process `first`."""
    _nft(first, _SILENCE)


def hear(first: int) -> None:
    """Undo `silence`."""
    _nft(first, _NOISE)


def _nft(first: int, text: str) -> None:
    run(["nsenter", f"--net=/proc/{first}/ns/net", "nft", "-f", "-"], text)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
