"""The lab's only door to the kernel's namespace and mount calls, which Python's library lacks before 3.12.

Every call raises `OSError` with the kernel's errno; nothing here knows what a lab is.
"""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path
from typing import Tuple

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18

_PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Move the caller into new namespaces; for CLONE_NEWPID, its next child is the new namespace's pid 1."""
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def die_with_parent() -> None:
    """Have the kernel send SIGKILL to this process when the thread that made it ends (see prctl(2))."""
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0), "prctl")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    result = _libc.mount(
        source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), data.encode() or None
    )
    _checked(result, f"mount {source} on {target}")


def bind(source: Path, target: Path, *, read_only: bool = False) -> None:
    """Show `source` at `target`, a path of the same kind (file or directory) that exists already."""
    mount(str(source), str(target), flags=MS_BIND)
    if read_only:
        mount("none", str(target), flags=MS_REMOUNT | MS_BIND | MS_RDONLY)


def mount_points() -> Tuple[Tuple[str, str], ...]:
    """Mount point and file system type of every mount the caller sees, in mount order."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            fields = line.split()
            # The kernel writes blanks in paths as octal escapes (proc(5)).
            point = fields[4].encode("latin-1", "surrogateescape").decode("unicode_escape")
            found.append((point, fields[fields.index("-") + 1]))
    return tuple(found)
