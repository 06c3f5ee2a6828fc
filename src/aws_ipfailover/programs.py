"""Finds and runs other programs: `ip` of iproute2 and Pacemaker's `crm_resource`, dpkg and rpm for the command line.

No other module of the library starts a process, but for `background`, whose programs run beside this one.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from typing import TYPE_CHECKING, Any, Dict, Mapping, NamedTuple, Optional, Sequence

from aws_ipfailover.errors import UnknownError

if TYPE_CHECKING:
    from pwd import struct_passwd

# Where programs are looked for if the environment has no PATH.
_DEFAULT_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# Bytes that a program may print. A node with a thousand addresses has some 400,000.
LARGEST_OUTPUT = 16 * 1024 * 1024
_CHUNK = 64 * 1024
_STEP = 0.5  # seconds of one wait: see `deadline.Task.ends`


class Done(NamedTuple):
    """A program that has ended."""

    returncode: int
    stdout: str
    stderr: str


def find(name: str) -> Optional[str]:
    """The path of a program by the absolute elements of PATH, `None` where it is in none of them.

    An empty or relative element would find what somebody has put into the working directory.
    """
    for folder in os.environ.get("PATH", _DEFAULT_PATH).split(os.pathsep):
        path = os.path.join(folder, name)
        if os.path.isabs(path) and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def run(
    command: Sequence[str],
    seconds: float,
    environ: Optional[Mapping[str, str]] = None,
    *,
    user: Optional[struct_passwd] = None,
    folder: Optional[str] = None,
) -> Done:
    """Run a program without input to its end, for so many seconds at most; as `user`, which only root may.

    `folder`: its working directory, by default this process's.

    Raises:
        UnknownError: it has not ended in time, prints too much, or cannot be started; half a sentence.
    """
    end = time.monotonic() + seconds
    options: Dict[str, Any] = {"cwd": folder}
    if user is not None:
        groups = os.getgrouplist(user.pw_name, user.pw_gid)
        options = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": groups, "cwd": "/"}
    try:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
            **options,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UnknownError(getattr(error, "strerror", None) or type(error).__name__) from None
    with process:
        try:
            printed = _read(process, end)
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            raise UnknownError("not finished before the operation's timeout") from None
        except BaseException:
            process.kill()
            raise
    return Done(process.returncode, printed["stdout"], printed["stderr"])


def _read(process: subprocess.Popen[bytes], end: float) -> Dict[str, str]:
    printed = {"stdout": bytearray(), "stderr": bytearray()}
    with selectors.DefaultSelector() as selector:
        for name, part in printed.items():
            selector.register(getattr(process, name), selectors.EVENT_READ, part)
        while selector.get_map():
            left = end - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired(process.args, 0)
            for key, _ in selector.select(min(left, _STEP)):
                read = os.read(key.fd, _CHUNK)
                if not read:
                    selector.unregister(key.fileobj)
                key.data.extend(read)
                if len(key.data) > LARGEST_OUTPUT:
                    raise UnknownError(f"it prints more than {LARGEST_OUTPUT // 2**20} MiB")
    return {name: bytes(part).decode("utf-8", "replace") for name, part in printed.items()}
