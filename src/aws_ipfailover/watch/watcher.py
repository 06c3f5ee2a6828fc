"""Runs what asks, here or elsewhere, and reads its record while it goes on."""

from __future__ import annotations

import sys
from typing import List, Optional, Sequence

from aws_ipfailover.background import Background
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import UnknownError
from aws_ipfailover.output import printable
from aws_ipfailover.watch.addresses import Address
from aws_ipfailover.watch.asking import Asking
from aws_ipfailover.watch.question import Question
from aws_ipfailover.watch.record import Header, parse

# Seconds beyond the timeout in which what asks has to end once it is told to: also over a slow connection.
_TO_END = 10.0


def local_command(address: Address, asking: Asking, seconds: Optional[float]) -> List[str]:
    """The command that asks `address` from here: a process of its own, which nothing that is shown here delays."""
    return [sys.executable, "-m", "aws_ipfailover.watch", "--steady", *asking.process_arguments(address, seconds)]


class Watcher:
    """What asks, and what it has said so far; use it in a `with` block, whose end ends it.

    `name`: what messages call it. `header`: once it has come, if the command writes one.
    """

    def __init__(self, name: str, command: Sequence[str], timeout: float) -> None:
        self.name = name
        self.header: Optional[Header] = None
        self._timeout = timeout
        self._asked = False
        self._background = Background(command)

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._background.kill()

    @property
    def ended(self) -> bool:
        """Whether everything has been read that it had to say."""
        return self._background.ended

    def questions(self, seconds: float) -> List[Question]:
        """The outcomes that have come since the last call; waits for the first one for so many seconds.

        Raises:
            UnknownError: it writes something else than a record.
        """
        found: List[Question] = []
        line = self._background.line(seconds)
        while line is not None:
            try:
                said = parse(line)
            except ValueError:
                raise UnknownError(f"{self.name}: {printable(line)[:200]!r} is no line of a record") from None
            if isinstance(said, Header):
                self.header = said
            else:
                found.append(said)
                self._asked = True
            line = self._background.line(0)
        return found

    def stop(self) -> None:
        """Ask no more; the outcomes of the questions under way still come."""
        self._background.stop()

    def rest(self) -> List[Question]:
        """Stop, and return what comes until its end.

        Raises:
            UnknownError: it does not end, or it has failed; a sentence with its own reason.
        """
        self.stop()
        deadline = Deadline(self._timeout + _TO_END)
        found: List[Question] = []
        while not self.ended and not deadline.expired:
            found += self.questions(deadline.remaining(0.5))
        if not self.ended:
            raise UnknownError(f"{self.name}: what asks does not end")
        self.check()
        return found

    def check(self) -> None:
        """Raise `UnknownError`, with its own reason, if it has ended because it could not ask."""
        if not self.ended:
            return
        code = self._background.wait(1.0)
        # 1 and 3, where it is the command, tell what it has found: losses, or nobody that answers.
        if code == 0 or (code in (1, 3) and self._asked):
            return
        said = self._background.said().splitlines()
        text = printable(said[-1])[:300] if said else f"exit code {code}"
        raise UnknownError(f"{self.name}: {text}")
