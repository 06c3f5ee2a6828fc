"""One action of an agent as a process: signals, the log, the exit reason, and standard output."""

from __future__ import annotations

import logging
import signal
import sys
from typing import Callable, Iterable, Mapping, NoReturn, Sequence, Tuple

from aws_ipfailover.errors import Error
from aws_ipfailover.ocf.exit_codes import Exit
from aws_ipfailover.ocf.log import complain, exit_reason, set_up_logging

log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Terminated(BaseException):
    """A signal has asked to terminate this action; a start that it interrupts releases its local state."""


def carry_out(
    argv: Sequence[str],
    name: str,
    environ: Mapping[str, str],
    actions: Iterable[str],
    perform: Callable[[str], Tuple[Exit, str]],
    record: Callable[[str, Exit, str], None] = lambda action, code, reason: None,
) -> int:
    """Perform `argv[1]`, one of the `actions` of the agent that is called `name`; returns its exit code.

    `perform` returns the code and the exit reason, which is told at the end and can be empty. A signal raises
    `Terminated` in it. `record` logs the record of the action, before the exit reason.
    """
    if len(argv) != 2 or argv[1] not in actions:
        complain(usage(name, actions), environ)
        return Exit.UNIMPLEMENTED
    action = argv[1]
    try:
        for number in _SIGNALS:
            signal.signal(number, _terminate)
        set_up_logging(environ, name)
        code, reason = perform(action)
    except Terminated:
        code, reason = ended_by_signal(action)
    if reason:
        log.log(logging.WARNING if code is Exit.DEGRADED else logging.ERROR, "%s: %s", action, reason)
    try:
        record(action, code, reason)
    except (Exception, Terminated) as error:  # noqa: BLE001  what an action has done stays done without its record
        log.debug("no record: %s", type(error).__name__)
    if reason:
        exit_reason(environ, reason)
    return int(code)


def usage(name: str, actions: Iterable[str]) -> str:
    """How the agent that is called `name` is called."""
    return f"usage: {name} {{{'|'.join(actions)}}}\n"


def ended_by_signal(action: str) -> Tuple[Exit, str]:
    """The result of an action that a signal has ended."""
    return Exit.GENERIC, f"{action}: ended by a signal before it was done"


def print_out(text: str) -> None:
    """Write to standard output.

    Raises:
        Error: it is closed from the start, or nobody reads it.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except (AttributeError, OSError, ValueError) as error:
        raise Error(f"cannot write to standard output: {error}") from None


def _terminate(signum: int, frame: object) -> NoReturn:
    for another in _SIGNALS:  # a second signal would interrupt the clean-up
        signal.signal(another, signal.SIG_IGN)
    raise Terminated
