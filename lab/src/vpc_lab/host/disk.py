"""The file system of an instance: a root of its own, with nothing of the machine's that could be written or is private.

It is put together from what an instance needs, not from the machine's root with parts covered up: what nobody has
thought of is not there. There are the system's programs and this Python (read-only), a copy of what everybody may read
in /etc, the instance's private directories, and empty ones in memory; a /dev of its own with the devices that every
program may have; and a /proc in which only /proc/sys/net can be written, because the rest of it belongs to the machine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from pathlib import Path
from typing import Iterable, Mapping

from vpc_lab.host import namespaces as ns
from vpc_lab.host.boot import Boot

# The directories of the system's programs; in a merged /usr most of them are symbolic links.
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
ETC = Path("/etc")

# There, and empty: programs look into them.
_EMPTY = ("boot", "home", "media", "mnt", "opt", "root", "srv", "var/cache", "var/lib", "var/spool")
_LINKS = {"var/run": "/run", "var/lock": "/run/lock"}

# Names in linux/Documentation/admin-guide/devices.txt.
_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
# What everybody may read of /proc and /sys, though it is about the whole machine: its keys, timers and hardware. As
# container engines hide it.
_MACHINE_S = (
    "proc/acpi",
    "proc/asound",
    "proc/key-users",
    "proc/keys",
    "proc/latency_stats",
    "proc/sched_debug",
    "proc/scsi",
    "proc/timer_stats",
    "sys/devices/virtual/powercap",
    "sys/firmware",
)


def copy_etc(copy: Path, own: Iterable[Path]) -> None:
    """Copy to `copy` what everybody may read in /etc; the files `own`, which each instance brings, are empty there.

    A copy, because a file that is replaced on the machine, as /etc/shadow is with every new password, would shed what
    is mounted over it. A directory that not everybody may read is empty.
    """
    _copy_public(ETC, copy)
    for path in own:
        place = copy / path.relative_to(ETC)
        if place.parent.is_dir():
            place.unlink(missing_ok=True)
            place.touch()


def _copy_public(source: Path, copy: Path) -> None:
    about = source.stat()
    copy.mkdir()
    if about.st_mode & 0o005 == 0o005:
        for child in source.iterdir():
            # What somebody removes meanwhile, such as a file with which another one is replaced, is not missed.
            with contextlib.suppress(FileNotFoundError):
                mode = child.lstat().st_mode
                if stat.S_ISDIR(mode):
                    _copy_public(child, copy / child.name)
                elif stat.S_ISLNK(mode):
                    (copy / child.name).symlink_to(child.readlink())
                elif stat.S_ISREG(mode) and mode & 0o004:
                    shutil.copy2(child, copy / child.name)
    os.chown(copy, about.st_uid, about.st_gid)
    copy.chmod(stat.S_IMODE(about.st_mode))


def mount_disk(boot: Boot) -> None:
    """Make the instance's root the caller's, without a way back to the machine's. To be called in a mount namespace.

    The caller is chroot(2)ed below the namespace's own root, which is empty: in such a process the kernel refuses a
    user namespace (user_namespaces(7), EPERM), in which everybody has every capability over some of the kernel.
    """
    # First of all, so that no mount in here reaches the machine.
    ns.mount("none", "/", flags=ns.MS_REC | ns.MS_PRIVATE)
    top = Path(boot.root)
    root, machine, hidden = top / "instance", top / "machine", top / "hidden"
    _memory(top, 0o755)
    for directory in (root, machine, hidden):
        directory.mkdir()
    _memory(root, 0o755)
    for name in _EMPTY:
        (root / name).mkdir(parents=True)
    for name, target in _LINKS.items():
        (root / name).symlink_to(target)
    _devices(root / "dev")
    for path, mode in boot.memory.items():
        _memory(_inside(root, path), mode)
    for path in boot.shown:
        _show(root, Path(path))
    ns.show(Path(boot.etc), _inside(root, str(ETC)))
    for path in boot.make:
        _inside(root, path)
    for kind in (boot.directories, boot.files):
        _private(root, kind)
    _kernel(root, hidden)
    for path, mode in boot.make.items():
        (root / path.lstrip("/")).chmod(mode)
    ns.make_read_only(root / "dev")
    ns.make_read_only(root)
    ns.pivot_root(top, machine)
    os.chdir("/")
    ns.detach(Path("/machine"))
    Path("/machine").rmdir()
    ns.make_read_only(Path("/"))
    os.chroot("/instance")
    os.chdir("/")


def _inside(root: Path, path: str) -> Path:
    """The directory that an instance calls `path`, made if need be."""
    place = root / path.lstrip("/")
    place.mkdir(parents=True, exist_ok=True)
    return place


def _memory(point: Path, mode: int, flags: int = ns.MS_NOSUID | ns.MS_NODEV) -> None:
    ns.mount("tmpfs", str(point), "tmpfs", flags, f"mode={mode:o}")


def _show(root: Path, path: Path) -> None:
    """Let the instance see `path` of the machine, read-only.

    Pacemaker asks an agent for its metadata as the user hacluster. A directory that only its owner may pass, as Debian
    makes /root, is therefore one that everybody may pass in here, with the same children.
    """
    place = root / str(path).lstrip("/")
    if os.path.lexists(place) and not place.is_dir():
        return  # it came along with a directory above it
    if place.exists() and os.path.samestat(place.stat(), path.stat()):
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        place.symlink_to(path.readlink())
    elif path.is_dir() and not path.stat().st_mode & 0o001:
        place.mkdir(exist_ok=True)
        for child in path.iterdir():
            _show(root, child)
    elif path.is_dir():
        place.mkdir(exist_ok=True)
        ns.show(path, place)
    elif path.is_file():
        place.touch()
        ns.show(path, place)


def _private(root: Path, what: Mapping[str, str]) -> None:
    """Put the instance's own directories and files in their places; what the machine does not have is left out."""
    for target, source in what.items():
        place = root / target.lstrip("/")
        if Path(target).is_dir() and not place.exists():
            place.mkdir(parents=True)
        if place.exists():
            ns.bind(Path(source), place)


def _devices(dev: Path) -> None:
    """A /dev that no device of the machine's is in, but those that hold nothing and everybody may have."""
    dev.mkdir()
    # Not MS_NODEV, unlike everything else: these are the devices.
    _memory(dev, 0o755, ns.MS_NOSUID | ns.MS_NOEXEC)
    for name, (major, minor) in _DEVICES.items():
        os.mknod(dev / name, stat.S_IFCHR, os.makedev(major, minor))
        (dev / name).chmod(0o666)
    for name, target in _DEVICE_LINKS.items():
        (dev / name).symlink_to(target)
    (dev / "pts").mkdir()
    ns.mount(
        "devpts",
        str(dev / "pts"),
        "devpts",
        ns.MS_NOSUID | ns.MS_NOEXEC,
        "newinstance,ptmxmode=0666,mode=0620",
    )


def _kernel(root: Path, hidden: Path) -> None:
    """A /proc and a /sys of the instance's namespaces, in which only its network can be configured."""
    proc, sys = root / "proc", root / "sys"
    for directory in (proc, sys):
        directory.mkdir()
    flags = ns.MS_NOSUID | ns.MS_NODEV | ns.MS_NOEXEC
    ns.mount("proc", str(proc), "proc", flags)
    # A sysfs shows the network devices of the namespace it was mounted in.
    ns.mount("sysfs", str(sys), "sysfs", flags | ns.MS_RDONLY)
    # What stands for what is not to be seen: on a file system that is read-only for root too.
    _memory(hidden, 0o755, flags)
    nothing, empty = hidden / "file", hidden / "directory"
    nothing.touch(0o444)
    empty.mkdir(0o555)
    ns.mount("none", str(hidden), flags=ns.MS_REMOUNT | ns.MS_RDONLY | flags)
    # /proc/sysrq-trigger, kcore, kmsg and their like, whatever this kernel has.
    closed = [path for path in proc.iterdir() if not path.name.isdigit() and not path.lstat().st_mode & 0o004]
    for path in (*closed, *(root / name for name in _MACHINE_S)):
        if path.exists():
            ns.show(empty if path.is_dir() else nothing, path)
    # A mount of its own stays writable when the one above it no longer is.
    network = proc / "sys" / "net"
    ns.mount(str(network), str(network), flags=ns.MS_BIND)
    ns.mount("none", str(proc), flags=ns.MS_REMOUNT | ns.MS_BIND | ns.MS_RDONLY | flags)
