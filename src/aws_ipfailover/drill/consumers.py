"""The consumers of a drill: a watch on each host that was named, or here, all read side by side."""

from __future__ import annotations

import os
import shlex
import time
from contextlib import ExitStack
from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.drill.judgement import Series
from aws_ipfailover.errors import ParameterError, UnknownError
from aws_ipfailover.watch.addresses import Address
from aws_ipfailover.watch.asking import Asking
from aws_ipfailover.watch.clock import steady
from aws_ipfailover.watch.question import Question
from aws_ipfailover.watch.watcher import Watcher, local_command

HERE = "here"
# Nobody can answer ssh's questions while a drill goes on; which host keys it trusts is as it is configured.
BY_SSH = "ssh -o BatchMode=yes {host} aws-ipfailover"
# Seconds that one look at one consumer waits.
_LOOK = 0.05


class Place(NamedTuple):
    """Where a consumer is, and the command that asks from there."""

    name: str
    command: Tuple[str, ...]


def hosts_in(text: str) -> List[str]:
    """The hosts of a list with commas, each once.

    Raises:
        ParameterError: one of them is an option to ssh and no host, or a list that was given has none.
    """
    found = list(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))
    for host in found:
        if host.startswith("-"):
            raise ParameterError(f"--watch-from: {host!r} is wrong, expected names of hosts, with commas")
    if text and not found:
        raise ParameterError(f"--watch-from: {text!r} is wrong, expected names of hosts, with commas")
    return found


def places(hosts: Sequence[str], template: str, address: Address, asking: Asking) -> List[Place]:
    """A place for each host, or this machine if there are none.

    `template`: the command that runs `aws-ipfailover` on the host `{host}`.
    """
    if not hosts:
        return [Place(HERE, tuple(local_command(address, asking, None)))]
    arguments = ["watch", str(address), *asking.command_arguments(), "--record", "-", "--until-eof"]
    found: List[Place] = []
    for host in hosts:
        words = program_on(host, template)
        # ssh hands its arguments, joined by blanks, to a shell on the other side.
        by_shell = os.path.basename(words[0]) == "ssh"
        found.append(Place(host, (*words, *(map(shlex.quote, arguments) if by_shell else arguments))))
    return found


def program_on(host: str, template: str) -> List[str]:
    """The command that runs `aws-ipfailover` on a host."""
    return [word.replace("{host}", host) for word in shlex.split(template)]


class Consumers:
    """All consumers while they ask; use it in a `with` block, whose end ends them.

    `tell` gets a sentence where one of them ends too early.
    """

    def __init__(self, where: Sequence[Place], asking: Asking, tell: Callable[[str], None]) -> None:
        self._asking = asking
        self._tell = tell
        self._questions: Dict[str, List[Question]] = {place.name: [] for place in where}
        self._ahead: Dict[str, float] = {}
        self._watchers: Dict[str, Watcher] = {}
        self.failures: Dict[str, str] = {}
        with ExitStack() as stack:
            for place in where:
                name = f"the watch from {place.name}"
                self._watchers[place.name] = stack.enter_context(Watcher(name, place.command, asking.timeout))
            self._stack = stack.pop_all()

    def __enter__(self) -> Consumers:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def asking(self) -> List[str]:
        """The consumers that still ask."""
        return [name for name in self._watchers if name not in self.failures]

    def read(self, seconds: float) -> None:
        """Read what has come, for so many seconds at least."""
        end = time.monotonic() + seconds
        while True:
            for name in self.asking:
                self._read(name)
            if time.monotonic() >= end or not self.asking:
                return

    def wait_answered(self, since: float, long: float, deadline: Deadline) -> bool:
        """Wait until every series has been answered all the time for `long` seconds after `since` (wall time here).

        `False` if the deadline comes first, or no consumer asks any more. Series of consumers that have ended do not
        count.
        """
        while self.asking and not deadline.expired:
            self.read(0.1)
            if self.asking and all(
                self._is_answered(one, since, long) for one in self.series() if one.consumer in self.asking
            ):
                return True
        return False

    def unanswered(self, since: float) -> List[str]:
        """The series without any answer after `since`, as texts."""
        return [
            f"{one.consumer} over {one.over}"
            for one in self.series()
            if not any(each.answered is not None for each in one.between(since, float("inf")))
        ]

    def finish(self) -> None:
        """Let all ask no more, and read what they still have to say."""
        for name in self.asking:
            self._watchers[name].stop()
        for name in self.asking:
            try:
                self._questions[name] += self._watchers[name].rest()
            except UnknownError as error:
                self._fail(name, error)

    def series(self) -> List[Series]:
        """What has been asked so far."""
        return [
            Series(
                name,
                str(port),
                port.protocol,
                self._asking.timeout,
                [one for one in questions if one.protocol == port.protocol],
                self._ahead.get(name, 0.0),
            )
            for name, questions in self._questions.items()
            for port in self._asking.ports
        ]

    def _read(self, name: str) -> None:
        watcher = self._watchers[name]
        had_header = watcher.header is not None
        try:
            self._questions[name] += watcher.questions(_LOOK)
            watcher.check()
        except UnknownError as error:
            self._fail(name, error)
            return
        if watcher.ended:
            self._fail(name, UnknownError(f"{watcher.name} has ended before the drill"))
        if watcher.header is not None and not had_header:
            # Seconds on the way make its clock look behind by as much.
            self._ahead[name] = watcher.header.now - steady()

    def _fail(self, name: str, error: UnknownError) -> None:
        self.failures[name] = str(error)
        self._tell(str(error))

    def _is_answered(self, series: Series, since: float, long: float) -> bool:
        recent = series.between(since, float("inf"))
        last_lost = max((one.sent for one in recent if one.answered is None), default=0.0)
        answered = [one.sent for one in recent if one.answered is not None and one.sent > last_lost]
        return bool(answered) and max(answered) - min(answered) >= long - _pace(series, self._asking)


def _pace(series: Series, asking: Asking) -> float:
    """Seconds between two questions: the kernel asks on a kept connection every second."""
    return max(asking.interval, 1.5) if series.protocol == "stream" and not asking.ask else asking.interval
