"""An attribute of this node in the cluster, by Pacemaker's `attrd_updater`."""

from __future__ import annotations

from typing import List

from aws_ipfailover import programs
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import MissingError, UnknownError

# Seconds to wait for one `attrd_updater`, which waits for its daemon alone and not for the CIB.
_PATIENCE = 4.0
_PROGRAM = "attrd_updater"


class NodeAttribute:
    """The transient attribute `name` of this node: it is gone when the node leaves the cluster.

    Every method raises `MissingError` or `UnknownError` where that was not done, or may not have been done.
    """

    def __init__(self, name: str, deadline: Deadline) -> None:
        self._name = name
        self._deadline = deadline

    def set(self, value: str, dampen: str) -> None:
        """Set it; Pacemaker waits `dampen` for further changes before it acts on one."""
        self._run("--update", value, "--delay", dampen)

    def set_dampen(self, dampen: str) -> None:
        """Change how long Pacemaker waits from now on."""
        self._run("--update-delay", "--delay", dampen)

    def delete(self) -> None:
        """Delete it."""
        self._run("--delete")

    def _run(self, *arguments: str) -> None:
        command: List[str] = ["--name", self._name, *arguments]
        program = programs.find(_PROGRAM)
        if program is None:
            raise MissingError(f"{_PROGRAM} of Pacemaker is not in PATH: {self._name} is not set")
        try:
            done = programs.run([program, *command], self._deadline.remaining(_PATIENCE))
        except UnknownError as error:
            raise UnknownError(f"{_PROGRAM}: {error}: whether {self._name} is set is not known") from None
        if done.returncode != 0:
            raise UnknownError(f"{_PROGRAM} fails ({done.returncode}): {self._name} is not set: {done.stderr[:200]}")
