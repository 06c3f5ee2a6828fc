"""What the host sees of a lab: one directory, and the lock that says whether somebody lives in it.

The lock is a flock(2) held by the lab's processes, so it cannot outlive them: a directory whose lock is free is a
stale one, whatever process ids it mentions.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Tuple

from vpc_lab.errors import LabError

DEFAULT_NAME = "default"
# Short on purpose: the path of a unix socket has room for 107 bytes.
PARENT = Path("/run/aws-ipfailover-lab")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")


@dataclass(frozen=True)
class RunDir:
    """The directory of the lab called `name`."""

    name: str = DEFAULT_NAME

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise LabError(f"'{self.name}' cannot name a lab: use up to 31 lower-case letters, digits and hyphens")

    @property
    def path(self) -> Path:
        """The directory, mode 0700."""
        return PARENT / self.name

    @property
    def socket(self) -> Path:
        """Where the supervisor takes orders."""
        return self.path / "control.sock"

    @property
    def ca_certificate(self) -> Path:
        """The lab's certificate authority, PEM."""
        return self.path / "ca.pem"

    @property
    def log(self) -> Path:
        """What the supervisor has to say, tracebacks included."""
        return self.path / "supervisor.log"

    @property
    def pid_file(self) -> Path:
        """Process id and start time of the launcher, the one process of the lab outside its pid namespace."""
        return self.path / "pid"

    @property
    def private(self) -> Path:
        """Where the lab's own mount namespace has the instances' disks; empty for everybody else."""
        return self.path / "private"

    def acquire(self) -> Optional[int]:
        """Make the directory and take its lock: an open file descriptor, or None if a lab holds it."""
        while True:
            PARENT.mkdir(mode=0o700, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # an ending lab removed the directory between two steps
                self.path.mkdir(mode=0o700, exist_ok=True)
                lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(lock)
                    return None
                if self._is_lock(lock):
                    return lock
                os.close(lock)

    def _is_lock(self, lock: int) -> bool:
        """Whether `lock` is still the file at the path, not one that an ending lab has deleted."""
        try:
            return os.path.samestat(os.fstat(lock), (self.path / "lock").stat())
        except FileNotFoundError:
            return False

    def in_use(self) -> bool:
        """Whether a lab of this name has a process."""
        try:
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def leftovers(self) -> Tuple[Path, ...]:
        """Files of a lab that ended without cleaning up; to be asked by the holder of the lock."""
        return tuple(path for path in sorted(self.path.iterdir()) if path.name != "lock")

    def empty(self) -> None:
        """Remove everything but the lock."""
        for path in self.leftovers():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()

    def remove(self) -> None:
        """Remove the directory; to be called by the holder of the lock."""
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):  # other labs live there
            PARENT.rmdir()


def start_time(pid: int) -> Optional[int]:
    """When process `pid` started, in clock ticks since boot (proc(5), field 22); None if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field, the command in parentheses, may hold blanks and parentheses itself.
    return int(stat.rsplit(")", 1)[1].split()[19])
