"""The commands of `aws-ipfailover`, each loaded when it is asked for, and what their exit codes mean.

0    what was asked for was done, or everything is in order
1    something is wrong: a check failed, a call was refused, an answer was lost
2    the command line is wrong
3    could not find out
130  interrupted (Ctrl-C)
"""

from __future__ import annotations

import os
import select
import sys
from importlib import import_module, metadata
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import click
from click.shell_completion import shell_complete

from aws_ipfailover import __version__
from aws_ipfailover.errors import Error, ParameterError, UnknownError

# Other packages add commands of their own by entry points of this group: objects of click.
COMMANDS = "aws_ipfailover.commands"
OK, WRONG, USAGE, UNKNOWN, INTERRUPTED = 0, 1, 2, 3, 130
_NAME = "aws-ipfailover"
# What a shell sets when it asks for its completion script, or for what can stand at the cursor.
_COMPLETE = "_AWS_IPFAILOVER_COMPLETE"
NO_LAB = "the lab is a package of its own, and is not installed here; try: pip install aws-ipfailover-lab"


class Listed(NamedTuple):
    """A command of this package: its line in the list, and the module whose `command` it is."""

    help: str
    module: str


_OWN: Dict[str, Listed] = {
    "drill": Listed("Fail over on purpose, watch it, and put everything back.", "aws_ipfailover.cli.drill"),
    "history": Listed("Show what the agent has done on this node.", "aws_ipfailover.cli.history"),
    "install": Listed("Install the resource agents for Pacemaker.", "aws_ipfailover.cli.install_command"),
    "parameters": Listed("Print the agent's parameters as a Markdown page.", "aws_ipfailover.cli.parameters"),
    "schema": Listed("Print the JSON Schema of what a command prints with --json.", "aws_ipfailover.cli.schema"),
    "status": Listed("Show who holds each address: EC2, kernel, Pacemaker.", "aws_ipfailover.cli.status"),
    "watch": Listed("Ask an address who answers, and for how long nobody does.", "aws_ipfailover.cli.watch"),
}


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
            command = import_module(_OWN[cmd_name].module).command
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
        rows = []
        for name in self.list_commands(ctx):
            if name in _OWN:
                rows.append((name, _OWN[name].help))
            else:
                command = self.get_command(ctx, name)
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
        refused.show()
        return refused.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except Error as error:
        click.echo(str(error), err=True)
        return code_of(error)
    except BrokenPipeError as error:
        if _reader_is_gone():
            # It has read enough, as in `| head`. Python would try to write the rest, and complain, at its end.
            sys.stdout = None
            return OK
        click.echo(f"could not find out: a connection was closed: {error}", err=True)
        return UNKNOWN
    return result if isinstance(result, int) else OK


def _invoke(arguments: Sequence[str]) -> Any:
    # Not command.main(): of an interruption it writes an empty line, and of a broken pipe it makes exit code 1.
    with command.make_context(_NAME, list(arguments)) as context:
        return command.invoke(context)


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
