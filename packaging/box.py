"""A system in a box: this machine's, or one below a directory, whose files a test may change as it likes.

Mount, process and IPC namespaces of its own, and file systems whose changes go to memory (overlayfs). When the box is
closed, the kernel removes it all. The network is that of whoever runs a command in it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

AGENT = "/usr/lib/ocf/resource.d/heartbeat/aws-ipfailover"
HOME = "/usr/lib/aws-ipfailover"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# What of this machine a box changes for itself. The rest of /var stays: other programs of this machine need it.
CHANGED = ("/usr", "/etc", "/var/lib/dpkg", "/var/cache/man")
_OWN = """
set -e
mount -t tmpfs -o mode=755 box /mnt
number=0
for place in "$@"; do
    [ -d "$place" ] || continue
    number=$((number + 1))
    mkdir "/mnt/upper.$number" "/mnt/work.$number"
    mount -t overlay box -o "lowerdir=$place,upperdir=/mnt/upper.$number,workdir=/mnt/work.$number" "$place"
done
mount -t tmpfs -o mode=755 box /run
"""
# bin, sbin and lib are links into /usr in every system here.
_BELOW = """
set -e
mount -t tmpfs -o mode=755 box /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay box -o "lowerdir=$1,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/root
mount -t proc proc /mnt/root/proc
mount --rbind /sys /mnt/root/sys
mount --rbind /dev /mnt/root/dev
mount --rbind /tmp /mnt/root/tmp
mount -t tmpfs -o mode=755 box /mnt/root/run
"""
# Process 1 waits for whatever it inherits: a namespace of processes inside the box, as a node of the lab has, ends only
# when each of its processes has been waited for.
_READY = "echo ready; exec </dev/null >/dev/null; while :; do sleep infinity & wait $!; done"


class Box:
    """A box that is open. `root`: what stands for `/` in it, as seen from its mount namespace."""

    def __init__(self, pid: int, root: str) -> None:
        self._pid = pid
        self.root = root

    @property
    def prefix(self) -> List[str]:
        """What to put before a command for it to run in the box, in the caller's network and environment."""
        enter = ["nsenter", f"--mount=/proc/{self._pid}/ns/mnt", f"--pid=/proc/{self._pid}/ns/pid", "--"]
        return enter if self.root == "/" else [*enter, "chroot", self.root]

    def run(
        self, *command: str, check: bool = True, environ: Optional[Mapping[str, str]] = None, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; AssertionError, with what it said, if it fails and `check`."""
        done = subprocess.run(
            [*self.prefix, *command],
            check=False,
            capture_output=True,
            text=True,
            env=self._environ(environ),
            stdin=subprocess.DEVNULL,
            timeout=timeout,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def start(self, *command: str, environ: Optional[Mapping[str, str]] = None) -> subprocess.Popen[str]:
        """Start a command and go on."""
        return subprocess.Popen(
            [*self.prefix, *command],
            env=self._environ(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def sh(self, script: str, *arguments: str, **options: Any) -> str:
        """Run a shell script; what it printed, without the last line end."""
        return self.run("sh", "-ec", script, "sh", *arguments, **options).stdout.rstrip("\n")

    @staticmethod
    def _environ(given: Optional[Mapping[str, str]]) -> Dict[str, str]:
        return {"PATH": PATH, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/run", **(given or {})}


@contextlib.contextmanager
def box(root: Optional[Path] = None, changed: Sequence[str] = CHANGED) -> Iterator[Box]:
    """Open a box around this machine's system, or around the one below `root`, which stays as it is.

    Raises:
        RuntimeError: the kernel refuses one; a sentence.
    """
    script, arguments = (_OWN, list(changed)) if root is None else (_BELOW, [str(root)])
    command = [
        "unshare",
        "--mount",
        "--pid",
        "--ipc",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--propagation",
        "private",
    ]
    process = subprocess.Popen(
        [*command, "sh", "-c", script + _READY, "sh", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": PATH, "LC_ALL": "C"},
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"no box can be opened here: {process.stderr.read().strip()}")
        yield Box(_child_of(process.pid), "/" if root is None else "/mnt/root")
    finally:
        process.kill()  # and so its child, and with that process 1 everything that still runs in the box
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _child_of(pid: int) -> int:
    """The process that `unshare` has forked: process 1 of the box."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
            if children:
                return int(children[0])
    raise RuntimeError("no box can be opened here: unshare has no child")


def python_named(box_: Box, name: str, interpreter: str) -> None:
    """Let /usr/bin/`name` of a box be this interpreter, which has its standard library where it was installed."""
    box_.run("ln", "-sfn", interpreter, f"/usr/bin/{name}")


def pythons_of_pyenv(versions: Sequence[str]) -> List[Tuple[str, str]]:
    """Those Pythons, such as "3.9", that pyenv has on this machine: each with its interpreter's path."""
    done = subprocess.run(["pyenv", "root"], check=False, capture_output=True, text=True) if _has_pyenv() else None
    place = Path(done.stdout.strip() if done else os.environ.get("PYENV_ROOT", "/nowhere")) / "versions"
    found = {one: sorted(place.glob(f"{one}.*/bin/python{one}")) for one in versions}
    return [(one, str(paths[-1])) for one, paths in found.items() if paths]


def _has_pyenv() -> bool:
    return any(Path(folder, "pyenv").exists() for folder in os.environ.get("PATH", "").split(":"))
