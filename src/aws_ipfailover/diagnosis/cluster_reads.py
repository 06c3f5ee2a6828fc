"""What checks of the cluster look at: Pacemaker's configuration and status, and Corosync's timeouts, each read once."""

from __future__ import annotations

import os
import re
from typing import Mapping, NamedTuple, Sequence

from aws_ipfailover import programs
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.diagnosis.finding import NotAskedError
from aws_ipfailover.diagnosis.reads import Reads
from aws_ipfailover.errors import Error, UnknownError
from aws_ipfailover.ocf.cib import Cib
from aws_ipfailover.ocf.managing import is_running
from aws_ipfailover.ocf.scheduler import Scheduler


class Totem(NamedTuple):
    """Corosync's timeouts in force, in milliseconds; see corosync.conf(5)."""

    token: int
    consensus: int


def may_run() -> bool:
    """Whether Pacemaker runs here, or that cannot be found out: then the checks say so."""
    try:
        return is_running()
    except UnknownError:
        return True


class ClusterReads:
    """The cluster as this node knows it. Every method raises `UnknownError` where it cannot be read."""

    def __init__(self, deadline: Deadline, reads: Reads) -> None:
        self._deadline = deadline
        self._reads = reads

    def cib(self) -> Cib:
        """Configuration and status."""
        return self._reads.get("the cluster's configuration", lambda: self._scheduler().configuration().cib)

    def node_name(self) -> str:
        """What the cluster calls this node."""
        return self._reads.get("this node's name in the cluster", lambda: self._scheduler().node())

    def known_cib(self) -> Cib:
        """The same for checks of one resource.

        Raises:
            NotAskedError: it cannot be read; the check `cluster` tells why.
        """
        try:
            return self.cib()
        except Error:
            raise NotAskedError("cluster") from None

    def totem(self) -> Totem:
        """Corosync's timeouts."""
        return self._reads.get("corosync-cmapctl", self._read_totem)

    def _scheduler(self) -> Scheduler:
        return Scheduler(os.environ, self._deadline)

    def _read_totem(self) -> Totem:
        program = programs.find("corosync-cmapctl")
        if program is None:
            raise UnknownError("corosync-cmapctl is not in PATH")
        done = programs.run([program, "runtime.config.totem."], self._deadline.remaining(), _environment())
        if done.returncode != 0:
            raise UnknownError(f"corosync-cmapctl fails ({done.returncode}): {done.stderr[:200].strip()}")
        return totem_in(done.stdout.splitlines())


def totem_in(lines: Sequence[str]) -> Totem:
    """The timeouts in what `corosync-cmapctl` prints: `runtime.config.totem.token (u32) = 3000`.

    Raises:
        UnknownError: they are not there.
    """
    found = {}
    for line in lines:
        match = re.fullmatch(r"runtime\.config\.totem\.(\w+) \(\w+\) = (\d+)", line.strip())
        if match is not None:
            found[match[1]] = int(match[2])
    if "token" not in found or "consensus" not in found:
        raise UnknownError("corosync-cmapctl does not tell the token timeout")
    return Totem(found["token"], found["consensus"])


def _environment() -> Mapping[str, str]:
    return dict(os.environ, LC_ALL="C")
