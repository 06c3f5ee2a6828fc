"""HA_LOGFILE: a file that other users may own, in a directory that they may write to, and that root appends to.

Pacemaker's own is /var/log/pacemaker/pacemaker.log, of hacluster, in a directory of hacluster. Root must not be led by
that user to write into another file, to wait for a pipe's reader, or to open a device.
"""

from __future__ import annotations

import errno
import os
import stat

# Links in a row that are followed.
_LONGEST_CHAIN = 8


def append(path: str, text: str) -> None:
    """Append `text` to the regular file at `path`, which is created, in one write.

    Raises:
        OSError: it cannot be written, or is something else: a link of an untrusted user, a pipe, a file with a
            second name.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    descriptor = os.open(_followed(path), flags, 0o640)
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_nlink > 1:
            raise OSError(errno.EPERM, "not a regular file with one name")
        os.write(descriptor, text.encode("utf-8", "backslashreplace"))
    finally:
        os.close(descriptor)


def _followed(path: str) -> str:
    """Where links of root and of this user lead; nothing at all is there, or a regular file."""
    for _ in range(_LONGEST_CHAIN):
        try:
            about = os.lstat(path)
        except FileNotFoundError:
            return path
        if stat.S_ISREG(about.st_mode):
            return path
        if not stat.S_ISLNK(about.st_mode):
            # Looked at before it is opened: opening alone starts some devices, such as a watchdog.
            raise OSError(errno.EPERM, "not a regular file")
        if about.st_uid not in (0, os.geteuid()):
            raise OSError(errno.EPERM, "a link that does not belong to root")
        path = os.path.join(os.path.dirname(path), os.readlink(path))
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
