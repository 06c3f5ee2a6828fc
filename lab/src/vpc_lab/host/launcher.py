"""The lab's one process outside its namespaces: makes them, waits for their end, and tidies up.

`python -m vpc_lab.host.launcher RUNDIR-NAME SPEC`, inheriting the run directory's lock as an open file.
Its standard input is the leash: a pipe whose other end the holder keeps. When the pipe closes, because the holder
let go, was interrupted or was killed with SIGKILL, the lab ends, and its run directory is removed. The line
`detach` on it makes the lab live on alone.

Process 1 of the lab's pid namespace is a reaper that ends with the supervisor, its child; the kernel then kills
everything else in the namespace. It gets SIGKILL when the launcher dies, so that nothing survives that either.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from typing import NoReturn

from vpc_lab.host import namespaces as ns
from vpc_lab.host.rundir import RunDir, start_time


def _process_1(rundir: RunDir, spec: str) -> NoReturn:
    ns.die_with_parent()
    # Not shared with the launcher: it has to be able to remove directories that are mount points in here.
    ns.unshare(ns.CLONE_NEWNS)
    ns.mount("none", "/", flags=ns.MS_REC | ns.MS_PRIVATE)
    ns.mount("proc", "/proc", "proc", ns.MS_NOSUID | ns.MS_NODEV | ns.MS_NOEXEC)
    ns.mount("sysfs", "/sys", "sysfs", ns.MS_NOSUID | ns.MS_NODEV | ns.MS_NOEXEC)
    ns.mount("tmpfs", str(rundir.private), "tmpfs", ns.MS_NOSUID | ns.MS_NODEV, "mode=755")
    supervisor = os.fork()
    if supervisor == 0:
        from vpc_lab.host.supervisor import main  # noqa: PLC0415 - heavy, and only needed in here

        os._exit(main(rundir, spec))
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == supervisor:
            os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1)


def _wait(child: int) -> None:
    """Until `child` has ended or the leash is gone."""
    ended = os.pidfd_open(child)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(0, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == ended:
                return
            if os.read(0, 64).strip() != b"detach":
                os.kill(child, signal.SIGKILL)
            poll.unregister(0)


def _interrupted(*_: object) -> NoReturn:
    raise SystemExit(0)


def main() -> int:
    """Run a lab from its first process to the removal of its directory."""
    rundir = RunDir(sys.argv[1])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _interrupted)
    rundir.pid_file.write_text(f"{os.getpid()} {start_time(os.getpid())}\n", encoding="ascii")
    rundir.private.mkdir(mode=0o700)
    me, child = os.getpid(), 0
    try:
        ns.unshare(ns.CLONE_NEWNET | ns.CLONE_NEWUTS | ns.CLONE_NEWIPC | ns.CLONE_NEWPID)
        child = os.fork()
        if child == 0:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            _process_1(rundir, sys.argv[2])
        # The supervisor reports to the holder; when it is gone, so is the report.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        _wait(child)
    finally:
        if os.getpid() == me:
            if child:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            rundir.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
