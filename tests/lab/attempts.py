"""What an intruder in an instance would try. Run in an instance, with its own Python; prints outcomes as JSON.

Each attempt is harmless where it succeeds: a value is written over itself, a file opened and closed, a mount made in
the instance's own mount namespace. Arguments: the machine's disk, MAJOR:MINOR, and files of the machine's that must not
be there.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import stat
import sys
import time
from functools import partial
from pathlib import Path
from typing import Callable, Dict, List

LIBC = ctypes.CDLL(None, use_errno=True)
MS_RDONLY, MS_REMOUNT, MS_BIND = 1, 32, 4096
CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x00020000
# By the kernel's tables; glibc has no functions of these names.
INIT_MODULE = {"x86_64": 175, "aarch64": 105}[platform.machine()]
# Magic numbers, and to do nothing on Ctrl-Alt-Del; the kernel answers EINVAL in a pid namespace to who may reboot.
REBOOT = {"x86_64": 169, "aarch64": 142}[platform.machine()]
REBOOT_ARGUMENTS = (ctypes.c_int(0xFEE1DEAD - (1 << 32)), 672274793, 0, None)


def call(result: int) -> None:
    """Raise OSError for a failed call of the C library."""
    if result < 0:
        raise OSError(ctypes.get_errno(), "failed")


def writable(top: str) -> List[str]:
    """The files below `top`, but for processes' and the network's own, that open for writing."""
    found = []
    for directory, children, files in os.walk(top):
        path = Path(directory)
        if top == "/proc":
            children[:] = [name for name in children if not (path == Path(top) and name.isdigit())]
            children[:] = [name for name in children if path / name != Path("/proc/sys/net")]
        for name in files:
            place = path / name
            if place.is_symlink() or not place.lstat().st_mode & 0o222:
                continue
            try:
                os.close(os.open(place, os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                continue
            found.append(str(place))
    return found


def told(*names: str) -> List[str]:
    """Those of these files of /proc that have something to tell."""
    found = []
    for name in names:
        try:
            with open(f"/proc/{name}", "rb", buffering=0) as file:
                os.set_blocking(file.fileno(), False)
                if file.read(1):
                    found.append(name)
        except OSError:
            continue
    return found


def write_core_pattern() -> None:
    """Write what is there already."""
    place = Path("/proc/sys/kernel/core_pattern")
    place.write_text(place.read_text(encoding="ascii"), encoding="ascii")


def make_file(directory: str) -> None:
    """And remove it again."""
    place = Path(directory, "lab-was-here")
    place.touch()
    place.unlink()


def mount(source: bytes, target: bytes, kind: bytes, flags: int) -> None:
    """mount(2)."""
    call(LIBC.mount(source, target, kind, ctypes.c_ulong(flags), None))


def make_device(kind: int, major: int, minor: int) -> None:
    """And remove it again."""
    place = "/run/lab-device"
    os.mknod(place, kind | 0o600, os.makedev(major, minor))
    os.unlink(place)


def new_user_namespace() -> None:
    """With a mount namespace in it, where everything could be mounted."""
    call(LIBC.unshare(CLONE_NEWUSER | CLONE_NEWNS))


def enter_a_mount_namespace() -> None:
    """Its own: that takes the same right as any other."""
    with open("/proc/self/ns/mnt", "rb") as namespace:
        call(LIBC.setns(namespace.fileno(), CLONE_NEWNS))


def open_by_handle() -> None:
    """A file of the file system that /usr is on, by its number and not by its path, as anything else there."""
    handle = ctypes.create_string_buffer(8 + 128)
    ctypes.memmove(handle, (128).to_bytes(4, sys.byteorder), 4)
    mounted = ctypes.c_int()
    call(LIBC.name_to_handle_at(-100, b"/usr", handle, ctypes.byref(mounted), 0))
    directory = os.open("/usr", os.O_RDONLY)
    descriptor = LIBC.open_by_handle_at(directory, handle, os.O_RDONLY)
    os.close(directory)
    call(descriptor)
    os.close(descriptor)


def make_network_setting() -> None:
    """Write what is there already."""
    place = Path("/proc/sys/net/ipv4/ip_forward")
    place.write_text(place.read_text(encoding="ascii"), encoding="ascii")


def outcome(attempt: Callable[[], None]) -> str:
    """`done`, or the name of the error; in a child, so that one that succeeds is no help or hindrance to the next."""
    child = os.fork()
    if child == 0:
        number = errno.EIO
        try:
            attempt()
            number = 0
        except OSError as error:
            number = error.errno or number
        finally:
            os._exit(number)
    number = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return errno.errorcode[number] if number else "done"


def main() -> None:
    """Try everything."""
    major, minor = map(int, sys.argv[1].split(":"))
    attempts: Dict[str, Callable[[], None]] = {
        "core_pattern": write_core_pattern,
        "mount": lambda: mount(b"tmpfs", b"/tmp", b"tmpfs", 0),
        "unmount": lambda: call(LIBC.umount2(b"/var/tmp", 2)),
        "remount /": lambda: mount(b"none", b"/", b"", MS_REMOUNT | MS_BIND),
        "remount /usr": lambda: mount(b"none", b"/usr", b"", MS_REMOUNT | MS_BIND),
        "remount /proc": lambda: mount(b"none", b"/proc", b"", MS_REMOUNT | MS_BIND),
        "user namespace": new_user_namespace,
        "mount namespace": enter_a_mount_namespace,
        "chroot": lambda: os.chroot("/"),
        "null device": lambda: make_device(stat.S_IFCHR, 1, 3),
        "disk": lambda: make_device(stat.S_IFBLK, major, minor),
        "module": lambda: call(LIBC.syscall(INIT_MODULE, b"garbage", ctypes.c_ulong(7), b"")),
        "reboot": lambda: call(LIBC.syscall(REBOOT, *REBOOT_ARGUMENTS)),
        "clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_REALTIME)),
        "handle": open_by_handle,
        **{f"file in {place}": partial(make_file, place) for place in ("/", "/usr", "/etc", "/dev", "/opt")},
        # Not an intruder's, but a node's: to see that the attempts work.
        "network": make_network_setting,
        "own file": lambda: make_file("/var/log"),
    }
    found: Dict[str, object] = {name: outcome(attempt) for name, attempt in attempts.items()}
    found["writable"] = [*writable("/proc"), *writable("/sys")]
    found["told"] = told("kcore", "keys", "kmsg", "timer_list", "vmallocinfo", "slabinfo")
    found["devices"] = sorted(os.listdir("/dev"))
    found["disks"] = [str(place) for place in Path("/dev").rglob("*") if place.is_block_device()]
    found["pts"] = sorted(os.listdir("/dev/pts"))
    found["seen"] = [
        path for path in sys.argv[2:] for way in ("", "/proc/1/root", "/proc/1/cwd") if os.path.exists(way + path)
    ]
    shadow = [name for name in ("shadow", "shadow-", "gshadow", "gshadow-") if os.path.exists(f"/etc/{name}")]
    found["shadow"] = shadow
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
