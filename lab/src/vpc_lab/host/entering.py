"""The command with which another one runs in an instance."""

from __future__ import annotations

from pathlib import Path
from typing import List, Sequence

from vpc_lab.host import capabilities

_NAMESPACES = (("ipc", "ipc"), ("uts", "uts"), ("net", "net"), ("pid", "pid"), ("mount", "mnt"))


def entering(process_1: Path, argv: Sequence[str], *, with_parent: bool = True) -> List[str]:
    """The command that runs `argv` in the instance with this process 1, which is given by its directory in a /proc.

    With `with_parent`, `argv` dies with the process that runs the command.
    """
    root = process_1 / "root"
    # Who waits outside is a shell: nsenter itself would stop with a child that is stopped, and then neither go on
    # with it nor let the kernel clear the instance away.
    command = ["nsenter", "--no-fork", *(f"--{kind}={process_1 / 'ns' / file}" for kind, file in _NAMESPACES)]
    # Without --wd it would take the directory along that it is called in, one of the host's.
    command += [f"--root={root}", f"--wd={root}", "--", *capabilities.dropping()]
    command += ["/bin/sh", "-c", '"$@"; exit $?', "sh"]
    if with_parent:
        command += ["setpriv", "--pdeathsig", "KILL", "--"]
    return [*command, *argv]
