"""Pacemaker's own tools, here or on a node: what a drill asks of a cluster, and what it lets it do."""

from __future__ import annotations

import re
from typing import Sequence, Tuple

from aws_ipfailover import programs
from aws_ipfailover.drill.placement import Moved
from aws_ipfailover.errors import Error, UnknownError
from aws_ipfailover.ocf.cib import Cib
from aws_ipfailover.ocf.cluster_view import ARGUMENTS, ClusterView, view_of
from aws_ipfailover.ocf.refusal import refusal
from aws_ipfailover.output import printable

# Seconds for an answer of the cluster that does not depend on agents; an ssh connection has to be made first.
_PATIENCE = 30.0
# What no shell on the way changes: `prefix` can be ssh, which hands its arguments to one.
_PLAIN = re.compile(r"[A-Za-z0-9@%+=:,./_-]+")


class Cluster:
    """A cluster. `prefix`: the command that runs a command on one of its nodes; empty on a node.

    Every method raises `UnknownError` where a tool is not installed, does not end in time or cannot be run, and `Error`
    where it fails; one sentence.
    """

    def __init__(self, prefix: Sequence[str] = ()) -> None:
        self._prefix: Tuple[str, ...] = tuple(prefix)

    def configuration(self) -> Cib:
        """The cluster's configuration."""
        return Cib(self._ask("cibadmin", "--query"))

    def view(self) -> ClusterView:
        """The cluster as it is now."""
        return view_of(self._ask("crm_mon", *ARGUMENTS))

    def local_node(self) -> str:
        """The name of the node on which the tools run."""
        return self._ask("crm_node", "--name").strip()

    def settle(self, seconds: float) -> None:
        """Wait until the cluster has nothing to do, for so many seconds at most."""
        limit = max(1, int(seconds))
        self._run(seconds + _PATIENCE, "crm_resource", "--wait", f"--timeout={limit}s")

    def move(self, what: Moved, node: str) -> None:
        """Let what is moved prefer this node above all: a constraint that `clear` removes."""
        role = ("--promoted",) if what.promoted else ()
        self._run(_PATIENCE, "crm_resource", "--move", "--resource", what.resource_id, *role, "--node", node)

    def clear(self, resource_id: str) -> None:
        """Remove what moves and bans of the resource have left; nothing to remove is no failure."""
        self._run(_PATIENCE, "crm_resource", "--clear", "--resource", resource_id)

    def fence(self, node: str, *, restart: bool, seconds: float) -> None:
        """Fence a node as the cluster would: with `restart` it comes back by itself."""
        action = "--reboot" if restart else "--fence"
        self._run(seconds + _PATIENCE, "stonith_admin", action, node, f"--timeout={max(1, int(seconds))}")

    def command(self, name: str, *arguments: str) -> Tuple[str, ...]:
        """The command line that runs a tool where the cluster is."""
        for one in (name, *arguments):
            if self._prefix and not _PLAIN.fullmatch(one):
                raise Error(f"{printable(one)!r} cannot be handed to another machine: a shell there would change it")
        if self._prefix:
            return (*self._prefix, name, *arguments)
        program = programs.find(name)
        if program is None:
            raise UnknownError(f"{name} of Pacemaker is not in PATH: run this on a node of the cluster")
        return (program, *arguments)

    def _ask(self, name: str, *arguments: str) -> str:
        return self._run(_PATIENCE, name, *arguments)

    def _run(self, seconds: float, name: str, *arguments: str) -> str:
        command = self.command(name, *arguments)
        try:
            done = programs.run(command, seconds)
        except UnknownError as error:
            raise UnknownError(f"{name}: {error}") from None
        if done.returncode != 0:
            kind = UnknownError if arguments[0] in ("--query", "--name", ARGUMENTS[0]) else Error
            raise kind(refusal(f"{name} {arguments[0]}", done))
        return done.stdout
