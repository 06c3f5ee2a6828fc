"""Which agents' files on this node are this package's: each has a line in its head that names the agent."""

from __future__ import annotations

import stat
from pathlib import Path

from aws_ipfailover.ocf import AGENT

# Such a line begins so, whatever the agent's version, the file's name and its interpreter; the agent's name follows.
_MARK = "# The OCF resource agent ocf:heartbeat:"
_HEAD = 4096  # bytes


def is_ours(path: Path, name: str = AGENT) -> bool:
    """Whether what is at `path` is this package's agent `name`, or a link to it.

    Raises:
        OSError: that cannot be found out.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            head = file.read(_HEAD).decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return False  # also a link that leads nowhere
    marks = (line[len(_MARK) :].split(maxsplit=1) for line in head.splitlines() if line.startswith(_MARK))
    return any(mark and mark[0].rstrip(".") == name for mark in marks)
