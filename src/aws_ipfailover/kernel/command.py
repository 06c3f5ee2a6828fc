"""The `ip` command of iproute2; no other module runs it.

Output is read as JSON. Every command names its device with `dev`, so that an interface whose name is one of ip's
keywords is still taken as an interface.
"""

from __future__ import annotations

import json
import os
from typing import Any, Callable, List, Mapping, Optional, Sequence

from aws_ipfailover import programs
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import DeniedError, Error, MissingError, NodeError, NoIpv6Error, UnknownError


def ip_path() -> str:
    """The `ip` command of iproute2.

    Raises:
        MissingError: it is not in PATH.
    """
    path = programs.find("ip")
    if path is None:
        raise MissingError("the ip command (package iproute2) is not installed, or not in PATH")
    return path


# Told of a command that has changed the kernel, as it would be typed.
Changed = Callable[[Sequence[str]], None]


class Ip:
    """Runs `ip` in the network namespace of this process; no command outlasts `deadline`.

    `changed` is told of each command that has succeeded and reads nothing.
    """

    def __init__(self, deadline: Deadline, changed: Optional[Changed] = None) -> None:
        self._deadline = deadline
        self._changed = changed

    def json(self, *arguments: str) -> List[Mapping[str, Any]]:
        """The objects that `ip -json` prints.

        Raises:
            UnknownError: the output is no list of objects, or there is none before the deadline.
            MissingError, DeniedError, NodeError, Error: as `run`.
        """
        output = self.run("-json", *arguments)
        try:
            listed = json.loads(output or "[]")
        except ValueError:
            listed = None
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise UnknownError(f"ip {' '.join(arguments)}: its output is not a list in JSON")
        return listed

    def run(self, *arguments: str) -> str:
        """What `ip` prints.

        Raises:
            MissingError: no `ip`.  DeniedError: not root.  NodeError: no such device.  Error: the kernel refused.
            UnknownError: not finished before the deadline.
        """
        command = [ip_path(), *arguments]
        shown = "ip " + " ".join(argument for argument in arguments if argument != "-json")
        try:
            done = programs.run(command, self._deadline.remaining(), {**os.environ, "LC_ALL": "C"})
        except UnknownError as error:
            raise UnknownError(f"{shown}: {error}") from None
        if done.returncode == 0:
            if self._changed is not None and arguments[:1] != ("-json",):
                self._changed(("ip", *arguments))
            return done.stdout
        said = " ".join(done.stderr.split()).rstrip(".")
        raise _refusal(shown, said)


def _refusal(shown: str, said: str) -> Error:
    lower = said.lower()
    if "ipv6 is disabled" in lower:
        return NoIpv6Error(f"IPv6 is switched off here (sysctl net.ipv6.conf.*.disable_ipv6): switch it on ({shown})")
    if "not permitted" in lower or "permission denied" in lower:
        return DeniedError(f"{shown}: {said}; root is needed")
    if "cannot find device" in lower or "does not exist" in lower:
        return NodeError(f"{shown}: {said}")
    return Error(f"{shown}: {said or 'failed'}")
