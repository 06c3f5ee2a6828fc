"""The commands of `aws-ipfailover`, each loaded when it is asked for, and what their exit codes mean.

0    what was asked for was done, or everything is in order
1    something is wrong: a check failed, a call was refused, an answer was lost
2    the command line is wrong
3    could not find out
130  interrupted (Ctrl-C)
"""

from __future__ import annotations

import sys
from importlib import import_module, metadata
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import click

from aws_ipfailover import __version__
from aws_ipfailover.errors import Error, ParameterError, UnknownError

# Other packages add commands of their own by entry points of this group: objects of click.
COMMANDS = "aws_ipfailover.commands"
OK, WRONG, USAGE, UNKNOWN, INTERRUPTED = 0, 1, 2, 3, 130
NO_LAB = "the lab is a package of its own, and is not installed here; try: pip install aws-ipfailover-lab"


class Listed(NamedTuple):
    """A command of this package: its line in the list, and the module whose `command` it is."""

    help: str
    module: str


_OWN: Dict[str, Listed] = {
    "doctor": Listed("Check what a resource needs on this node.", "aws_ipfailover.cli.doctor"),
    "install": Listed("Install the resource agents for Pacemaker.", "aws_ipfailover.cli.install_command"),
    "parameters": Listed("Print the agent's parameters as a Markdown page.", "aws_ipfailover.cli.parameters"),
}


class Commands(click.Group):
    """The commands of this package, and those that other packages add."""

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
            sys.stderr.write(f"the command '{cmd_name}' does not load: {type(error).__name__}: {error}\n")
            return None
        return loaded if isinstance(loaded, click.Command) else None

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


@click.command(cls=Commands, epilog=_EPILOG, context_settings={"max_content_width": 80})
@click.version_option(__version__, message="aws-ipfailover %(version)s")
def command() -> None:
    """Move a fixed IP address between AWS instances, under Pacemaker."""


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code. Errors of the library are told as one sentence each."""
    try:
        result: Any = command.main(list(arguments), prog_name="aws-ipfailover", standalone_mode=False)
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
    except BrokenPipeError:
        # Whoever read the output has enough of it, as in `| head`. Python would complain once more at its end.
        sys.stdout = None
        return OK
    return result if isinstance(result, int) else OK


def code_of(error: Error) -> int:
    """The exit code of a command that an error has ended."""
    if isinstance(error, ParameterError):
        return USAGE
    return UNKNOWN if isinstance(error, UnknownError) else WRONG
