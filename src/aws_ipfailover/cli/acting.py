"""`take` and `release`: one action of the agent by hand, for each subject, unless a running Pacemaker manages it."""

from __future__ import annotations

import logging
import os
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import click
from rich.text import Text

from aws_ipfailover.aws.writes import Made
from aws_ipfailover.by_hand import ByHand, Written, environment
from aws_ipfailover.cli import screen
from aws_ipfailover.cli.group import INTERRUPTED, OK, UNKNOWN, WRONG
from aws_ipfailover.cli.listening import listening
from aws_ipfailover.cli.subject import Subject, agents_root, subjects_or_advice, title_of
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import DeniedError, Error, ParameterError, UnknownError
from aws_ipfailover.ocf.action import Terminated, terminate_on_signals
from aws_ipfailover.ocf.managing import Managed, managing, move
from aws_ipfailover.output import line
from aws_ipfailover.parameters import held, parse
from aws_ipfailover.prospects import installed

# Seconds for the questions to the cluster, before anything is done.
_QUESTIONS = 30.0
_DONE = {"start": "taken", "stop": "released"}


class _Ended(NamedTuple):
    """What became of one subject; `seconds` and `written` of the action, `instead`: the command to use."""

    subject: Subject
    outcome: str
    code: int
    reason: str = ""
    seconds: float = 0.0
    written: Sequence[Written] = ()
    instead: Optional[str] = None


def act(action: str, what: Sequence[str], timeout: Optional[float], *, force: bool, as_json: bool) -> int:
    """Perform `start` or `stop` for each subject, in order; stop goes backwards. Ends at the first one that fails.

    Raises:
        click.UsageError, Error: nothing has been done.
    """
    name = {"start": "take", "stop": "release"}[action]
    if not what:
        raise click.UsageError("give the parameters as NAME=VALUE, or ids of resources of the cluster")
    if os.geteuid() != 0:
        raise DeniedError(f"{name}: root is needed to change addresses; try sudo")
    terminate_on_signals()
    ended: List[_Ended] = []
    try:
        chosen = _subjects(what)
        ended = [] if force else _refusals(action, chosen)
        for one in () if ended else (chosen if action == "start" else reversed(chosen)):
            ended.append(_perform(action, one, timeout))
            if ended[-1].code != OK:
                break
    except Terminated:
        raise click.Abort from None
    if as_json:
        screen.write_json(name, {"results": [_document(one) for one in ended]})
    else:
        _show(action, ended)
    return max((one.code for one in ended), default=OK)


def _subjects(what: Sequence[str]) -> List[Subject]:
    """What to act on, all of it with parameters that a start accepts.

    Raises:
        Error: of one of them; nothing is done for the others then.
    """
    chosen = subjects_or_advice(what, Deadline(_QUESTIONS))
    for problems in chosen.problems.values():
        for problem in problems:
            raise problem.error
    for one in chosen.found:
        try:
            parse(one.given)
        except ParameterError as error:
            if not one.resource_id:
                raise  # typed: the command line is wrong
            raise Error(f"{one.resource_id}: {error}") from None
    return list(chosen.found)


def _refusals(action: str, chosen: Sequence[Subject]) -> List[_Ended]:
    """Those that a running Pacemaker manages, or of which that cannot be found out."""
    root = agents_root()
    found = []
    for one in chosen:
        try:
            managed = managing(held(one.given), os.environ, lambda agent: installed(agent, root), Deadline(_QUESTIONS))
        except UnknownError as error:
            reason = f"whether Pacemaker, which runs, manages it could not be found out, so nothing was done: {error}"
            found.append(_Ended(one, "refused", UNKNOWN, f"{reason}; --force acts all the same"))
            continue
        if managed is not None:
            found.append(_refusal(action, one, managed))
    return found


def _refusal(action: str, one: Subject, managed: Managed) -> _Ended:
    reason = (
        f"Pacemaker manages it by the resource {managed.resource_id} ({managed.agent}), and would undo this, so nothing"
        " was done; this command acts while the resource is unmanaged or in maintenance mode, and with --force"
    )
    instead = move(managed.outermost_id, managed.node if action == "start" else managed.other)
    return _Ended(one, "refused", WRONG, reason, instead=instead)


def _perform(action: str, one: Subject, timeout: Optional[float]) -> _Ended:
    console = screen.console(stderr=True)

    def tell(level: int, text: str) -> None:
        style = "red" if level >= logging.ERROR else "yellow" if level >= logging.WARNING else "dim"
        console.print(Text(f"  {text}", style=style))

    console.print(Text(line(f"{title_of(one)}: {action}")))
    run = ByHand(action, environment(one.given, os.environ, timeout, one.resource_id))
    begun = time.monotonic()
    with listening(tell, logging.INFO):
        result = run.carry_out()
    seconds = time.monotonic() - begun
    if result.error is None:
        return _Ended(one, "done", OK, seconds=seconds, written=run.written)
    reason = line(str(result.error))
    if result.interrupted:
        return _Ended(one, "interrupted", INTERRUPTED, reason, seconds, run.written)
    if isinstance(result.error, UnknownError):
        return _Ended(one, "could not find out", UNKNOWN, reason, seconds, run.written)
    return _Ended(one, "failed", WRONG, reason, seconds, run.written)


# -- for people --------------------------------------------------------------------------------------------------------


def _show(action: str, ended: Sequence[_Ended]) -> None:
    console, errors = screen.console(), screen.console(stderr=True)
    for one in ended:
        title = title_of(one.subject)
        for written in one.written:
            console.print(Text(f"  {_written(written)}"))
        if one.code == OK:
            console.print(
                Text(f"{title}: {_DONE[action]} in {one.seconds:.1f} s; {_counted(one.written)}", style="green")
            )
            continue
        errors.print(Text(f"{title}: {one.outcome}: {one.reason}", style="red"))
        if one.instead is not None:
            errors.print(Text(f"use this instead: {one.instead}"))


def _written(written: Written) -> str:
    if not isinstance(written, Made):
        return f"kernel: {screen.command_line(written)}"
    failed = f"; failed: {line(written.error)}" if written.error else ""
    return f"EC2: {written.operation} {line(screen.parameters(written.arguments), 4000)}{failed}"


def _counted(written: Sequence[Written]) -> str:
    calls = sum(isinstance(one, Made) for one in written)
    changes = len(written) - calls
    return f"{changes} change{'s' * (changes != 1)} of the kernel, {calls} call{'s' * (calls != 1)} of EC2"


# -- for programs ------------------------------------------------------------------------------------------------------


def _document(one: _Ended) -> Dict[str, Any]:
    return {
        "resource": one.subject.resource_id or None,
        "title": title_of(one.subject),
        "outcome": one.outcome,
        "reason": line(one.reason, 2000),
        "instead": one.instead,
        "seconds": round(one.seconds, 3),
        "written": [_written_document(written) for written in one.written],
    }


def _written_document(written: Written) -> Dict[str, Any]:
    if isinstance(written, Made):
        return {
            "place": "ec2",
            "command": None,
            "operation": written.operation,
            "parameters": dict(written.arguments),
            "error": line(written.error) or None,
        }
    return {"place": "kernel", "command": list(written), "operation": None, "parameters": None, "error": None}
