"""The lab's only door to the kernel's calls for namespaces, mounts and capabilities, which Python's library lacks.

Every call raises `OSError` with the kernel's errno; nothing here knows what a lab is.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
from pathlib import Path
from typing import Iterable, Tuple

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

_MNT_DETACH = 2

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4

_LINUX_CAPABILITY_VERSION_3 = 0x20080522

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
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, argument: int) -> None:
    nothing = ctypes.c_ulong(0)
    _checked(_libc.prctl(option, ctypes.c_ulong(argument), nothing, nothing, nothing), "prctl")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    result = _libc.mount(
        source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), data.encode() or None
    )
    _checked(result, f"mount {source} on {target}")


def bind(source: Path, target: Path) -> None:
    """Show `source` at `target`, a path of the same kind (file or directory) that exists already.

    Neither a device nor a set-user-ID bit has an effect there.
    """
    mount(str(source), str(target), flags=MS_BIND)
    _restrict(target, MS_NOSUID | MS_NODEV)


def show(source: Path, target: Path) -> None:
    """As `bind`, read-only, and with everything that is mounted below `source`."""
    mount(str(source), str(target), flags=MS_BIND | MS_REC)
    for point, _ in mount_points():
        if Path(point) == target or target in Path(point).parents:
            # A mount that is covered by another one cannot be reached, and needs no protection.
            with contextlib.suppress(FileNotFoundError):
                _restrict(Path(point), MS_RDONLY | MS_NOSUID | MS_NODEV)


def make_read_only(point: Path) -> None:
    """Let nothing be written through the mount at `point`, whatever other mounts of the same file system allow."""
    _restrict(point, MS_RDONLY)


def _restrict(point: Path, flags: int) -> None:
    # A remount takes away the flags that it does not name; statvfs(3) has the same bits.
    present = os.statvfs(point).f_flag & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("none", str(point), flags=MS_REMOUNT | MS_BIND | present | flags)


def pivot_root(root: Path, old: Path) -> None:
    """Make `root`, a mount point, the root of the caller's mount namespace; the former root is then at `old` below."""
    _checked(_libc.pivot_root(str(root).encode(), str(old).encode()), f"pivot_root to {root}")


def detach(point: Path) -> None:
    """Take the mount at `point`, and all below it, out of the caller's mount namespace (umount(2), MNT_DETACH)."""
    _checked(_libc.umount2(str(point).encode(), _MNT_DETACH), f"umount {point}")


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


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityData(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def keep_capabilities(numbers: Iterable[int]) -> None:
    """Take every capability but these from all sets of the calling thread, the bounding set included.

    What it executes afterwards as root has these, as far as the caller had them, and no way to any other.
    """
    kept = sum(1 << number for number in set(numbers))
    number = 0
    while (present := _libc.prctl(_PR_CAPBSET_READ, ctypes.c_ulong(number), 0, 0, 0)) >= 0:
        if present and not kept >> number & 1:
            _prctl(_PR_CAPBSET_DROP, number)
        number += 1
    if ctypes.get_errno() != errno.EINVAL:  # which says that this kernel has no capability of that number
        _checked(present, "prctl")
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = _CapabilityHeader(_LINUX_CAPABILITY_VERSION_3, 0)
    words = (_CapabilityData * 2)()
    _checked(_libc.capget(ctypes.byref(header), words), "capget")
    for shift, word in zip((0, 32), words):
        word.permitted &= kept >> shift
        word.effective, word.inheritable = word.permitted, 0
    _checked(_libc.capset(ctypes.byref(header), words), "capset")


def no_new_privileges() -> None:
    """Let no program give the caller or its children what they do not have (prctl(2), PR_SET_NO_NEW_PRIVS)."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
