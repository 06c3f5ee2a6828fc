"""The commands of `aws-ipfailover`, each loaded when it is asked for, and what their exit codes mean.

0    what was asked for was done, or everything is in order
1    something is wrong: a check failed, a call was refused, an answer was lost
2    the command line is wrong
3    could not find out
130  interrupted (Ctrl-C)
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from importlib import import_module, metadata
from typing import Any, Dict, List, Optional, Sequence, Tuple

import click
from click.shell_completion import shell_complete

from aws_ipfailover import __version__
from aws_ipfailover.cli.streams import outlast_readers
from aws_ipfailover.errors import Error, ParameterError, UnknownError
from aws_ipfailover.output import line

# Other packages add commands of their own by entry points of this group: objects of click.
COMMANDS = "aws_ipfailover.commands"
OK, WRONG, USAGE, UNKNOWN, INTERRUPTED = 0, 1, 2, 3, 130
_NAME = "aws-ipfailover"
# What the kernel says of a write that has no place to go.
_OF_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_LONGEST = 4000  # characters of one line of an error
# What a shell sets when it asks for its completion script, or for what can stand at the cursor.
_COMPLETE = "_AWS_IPFAILOVER_COMPLETE"
NO_LAB = "the lab is a package of its own, and is not installed here; try: pip install aws-ipfailover-lab"


# The commands of this package, and the modules whose `command` they are.
_OWN: Dict[str, str] = {
    "advise": "aws_ipfailover.cli.advise",
    "config": "aws_ipfailover.cli.config",
    "doctor": "aws_ipfailover.cli.doctor",
    "drill": "aws_ipfailover.cli.drill",
    "history": "aws_ipfailover.cli.history",
    "iam-policy": "aws_ipfailover.cli.iam_policy",
    "install": "aws_ipfailover.cli.install_command",
    "migrate": "aws_ipfailover.cli.migrate",
    "parameters": "aws_ipfailover.cli.parameters",
    "plan": "aws_ipfailover.cli.plan",
    "release": "aws_ipfailover.cli.release",
    "schema": "aws_ipfailover.cli.schema",
    "status": "aws_ipfailover.cli.status",
    "take": "aws_ipfailover.cli.take",
    "watch": "aws_ipfailover.cli.watch",
    "where": "aws_ipfailover.cli.where",
}
# How `--help` lists them: in 24 lines, so that related ones share one.
_LIST: Tuple[Tuple[Tuple[str, ...], str], ...] = (
    (("doctor",), "Check what a resource needs here, and say what to do."),
    (("status", "history"), "Show who holds each address; what the agent has done."),
    (("plan", "where"), "Print what a start here would do; whether it is here."),
    (("take", "release"), "Take an address to this node, or release it, by hand."),
    (("watch", "drill"), "Ask an address who answers; fail over on purpose."),
    (("advise",), "Which mode for these nodes and consumers, or what else."),
    (("config", "iam-policy"), "Print a cluster's configuration; the least IAM policy."),
    (("migrate",), "Print how to get from another agent to this one."),
    (("install",), "Install the resource agents for Pacemaker."),
    (("parameters", "schema"), "Print the agent's parameters; what JSON looks like."),
)


class Commands(click.Group):
    """The commands of this package, and those that other packages add."""

    def parse_args(self, ctx: click.Context, args: List[str]) -> List[str]:
        """Read the command line. Without arguments the help, as an error: releases of click differ in its exit code."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(USAGE)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> List[str]:
        """Their names, in alphabetical order."""
        return sorted({*_OWN, *_entry_points(), "lab"})

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        """One command; one of another package that does not load is told on standard error, and not there."""
        if cmd_name in _OWN:
            command = import_module(_OWN[cmd_name]).command
            return command if isinstance(command, click.Command) else None
        point = _entry_points().get(cmd_name)
        if point is None:
            return _NO_LAB if cmd_name == "lab" else None
        try:
            loaded = point.load()
        except Exception as error:  # noqa: BLE001 - whatever another package does when it is imported
            click.echo(f"the command '{cmd_name}' does not load: {type(error).__name__}: {error}", err=True)
            return None
        if not isinstance(loaded, click.Command):
            click.echo(f"the command '{cmd_name}' does not load: {point.value} is no command of click", err=True)
            return None
        return loaded

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of `--help`, without loading the commands of this package."""
        rows = [(", ".join(names), text) for names, text in _LIST]
        listed = {name for names, _ in _LIST for name in names}
        for name in self.list_commands(ctx):
            command = None if name in listed else self.get_command(ctx, name)
            if command is not None:
                rows.append((name, command.get_short_help_str(60)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _entry_points() -> Dict[str, metadata.EntryPoint]:
    points = metadata.entry_points()
    # Before Python 3.10 a dictionary by group.
    found = points.select(group=COMMANDS) if hasattr(points, "select") else points.get(COMMANDS, ())
    return {point.name: point for point in found}


@click.command(
    "lab",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    short_help="A VPC in a box, for tests: a package of its own.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def _no_lab(arguments: Sequence[str]) -> int:
    click.echo(NO_LAB, err=True)
    return WRONG


_NO_LAB = _no_lab

_EPILOG = """\b
Completion, for bash (zsh and fish likewise):
  eval "$(_AWS_IPFAILOVER_COMPLETE=bash_source aws-ipfailover)"
"""


@click.command(
    cls=Commands,
    epilog=_EPILOG,
    context_settings={"max_content_width": 80, "help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, message=f"{_NAME} %(version)s")
def command() -> None:
    """Move a fixed IP address between AWS instances, under Pacemaker."""


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code. Errors of the library are told as one sentence each."""
    _prepare_streams()
    if arguments and arguments[0] in _OWN:
        outlast_readers()
    asked = os.environ.get(_COMPLETE)
    if asked:
        return shell_complete(command, {}, _NAME, _COMPLETE, asked)
    try:
        result = _invoke(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()  # while a closed pipe can still be handled: see below
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as refused:
        said = io.StringIO()
        refused.show(said)
        click.echo(_shown(said.getvalue()), err=True)
        return refused.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except Error as error:
        click.echo(_shown(str(error)), err=True)
        return code_of(error)
    except BrokenPipeError as error:
        if _reader_is_gone():
            # It has read enough, as in `| head`. Python would try to write the rest, and complain, at its end.
            sys.stdout = None
            return OK
        click.echo(f"could not find out: a connection was closed: {error}", err=True)
        return UNKNOWN
    except OSError as error:
        click.echo(_shown(_of_system(error)), err=True)
        return UNKNOWN
    return result if isinstance(result, int) else OK


def _invoke(arguments: Sequence[str]) -> Any:
    # Not command.main(): of an interruption it writes an empty line, and of a broken pipe it makes exit code 1.
    with command.make_context(_NAME, list(arguments)) as context:
        return command.invoke(context)


def _prepare_streams() -> None:
    """Let every text be written, whatever the terminal's encoding is, and have streams where a caller has closed them.

    In the order of their descriptors: a stream that is closed gets the one that it had, which no file can then have.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  until this process ends
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _shown(text: str) -> str:
    """A text for standard error, which can quote a program, a file or EC2: each of its lines printable."""
    return "\n".join(line(one, _LONGEST) for one in text.strip().split("\n"))


def _of_system(error: OSError) -> str:
    """What the kernel refused, such as to write standard output to a disk that is full."""
    try:
        sys.stdout.flush()
    except OSError:
        sys.stdout = None  # Python would try again, and complain, at its end
    said = error.strerror or str(error)
    if error.filename is not None:
        return f"{error.filename}: {said}"
    return f"the output cannot be written: {said}" if error.errno in _OF_OUTPUT else f"could not find out: {said}"


def _reader_is_gone() -> bool:
    """Whether nobody reads standard output any more: poll(2) says POLLERR of a pipe without a reader."""
    watched = select.poll()
    try:
        watched.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):  # it is no file
        return False
    return any(events & select.POLLERR for _, events in watched.poll(0))


def code_of(error: Error) -> int:
    """The exit code of a command that an error has ended."""
    if isinstance(error, ParameterError):
        return USAGE
    return UNKNOWN if isinstance(error, UnknownError) else WRONG
