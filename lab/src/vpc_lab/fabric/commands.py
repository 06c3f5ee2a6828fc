"""The commands by which the fabric speaks to the kernel."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import List, Optional


class FabricError(Exception):
    """The kernel refused what the fabric asked for."""


def run(argv: List[str], text: str = "") -> str:
    """Run a command with `text` on its standard input; FabricError with what it said when it fails."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise FabricError(f"{' '.join(argv)} failed: {done.stderr.strip()}\n{text}")
    return done.stdout


def batch(lines: List[str], family: int = 4, pid: Optional[int] = None) -> None:
    """Run `lines` through one `ip -batch`, in the network namespace of process `pid` if given."""
    if lines:
        enter = ["nsenter", f"--net=/proc/{pid}/ns/net"] if pid is not None else []
        run([*enter, "ip", f"-{family}", "-batch", "-"], "\n".join(lines) + "\n")


def sysctl(path: str, value: int) -> None:
    """Set net/… of the network namespace of the calling thread."""
    Path("/proc/sys/net", path).write_text(f"{value}\n", encoding="ascii")
