"""Whole processes measured from outside, and what a list of measurements says."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from typing import Iterable, List, Mapping, NamedTuple, Sequence


@dataclass(frozen=True)
class Ran:
    """One process with its descendants: seconds, seconds of processor time, kilobytes of the largest of them."""

    wall: float
    cpu: float
    peak_kb: int


class UnexpectedError(Exception):
    """A process ended otherwise than the measurement needs."""


class Launcher:
    """A small process that runs commands, one at a time: a child counts the memory of the process that forked it."""

    def __init__(self) -> None:
        command = [sys.executable, "-S", "-E", "-c", _LAUNCHER]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, command: Sequence[str], environment: Mapping[str, str], expected: int, timeout: float) -> Ran:
        """Run a command to its end.

        Raises:
            UnexpectedError: it ended with another code. TimeoutError: it was killed after `timeout` seconds.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([list(command), dict(environment), timeout]) + "\n")
        self._process.stdin.flush()
        code, wall, cpu, peak, said = json.loads(self._process.stdout.readline())
        if code is None:
            raise TimeoutError(f"{' '.join(command)} was killed after {timeout:.0f} s")
        if code != expected:
            raise UnexpectedError(f"{' '.join(command)} exited {code}, not {expected}: {said}")
        return Ran(wall, cpu, peak)

    def close(self) -> None:
        """End it."""
        self._process.communicate()


# With the child in a session of its own, so that all of it is killed.
_LAUNCHER = """
import json, os, signal, sys, tempfile, time
nothing = os.open(os.devnull, os.O_RDWR)
for line in sys.stdin:
    command, environment, timeout = json.loads(line)
    with tempfile.TemporaryFile() as said:
        begun = time.perf_counter()
        pid = os.fork()
        if not pid:
            os.setsid()
            for source, target in ((nothing, 0), (nothing, 1), (said.fileno(), 2)):
                os.dup2(source, target)
            os.execvpe(command[0], command, environment)
        late = []
        def kill(*_):
            late.append(1)
            os.killpg(pid, signal.SIGKILL)
        signal.signal(signal.SIGALRM, kill)
        signal.setitimer(signal.ITIMER_REAL, timeout)
        _, status, used = os.wait4(pid, 0)
        wall = time.perf_counter() - begun
        signal.setitimer(signal.ITIMER_REAL, 0)
        said.seek(0)
        text = said.read().decode("utf-8", "replace")[-2000:]
    code = None if late else os.waitstatus_to_exitcode(status)
    print(json.dumps([code, wall, used.ru_utime + used.ru_stime, used.ru_maxrss, text]), flush=True)
"""


class Spread(NamedTuple):
    """Median, least and greatest of some figures."""

    median: float
    least: float
    greatest: float


def spread(values: Iterable[float]) -> Spread:
    """What a list of figures says."""
    found: List[float] = sorted(values)
    return Spread(statistics.median(found), found[0], found[-1])
