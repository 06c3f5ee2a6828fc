"""How commands speak: text for people, as wide as the terminal and in colours only there; JSON for programs.

Whatever comes from outside is shown as `rich.text.Text`, in which brackets are no markup.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import sys
from typing import Any, Callable, Mapping, NoReturn, Sequence, TypeVar

import click
from rich.console import Console
from rich.text import Text

from aws_ipfailover.output import line

_LONGEST = 4000  # characters of an argument

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class _Console(Console):
    """One that leaves it to `group.run` what a reader that is gone means; rich ends the process with 1."""

    def on_broken_pipe(self) -> NoReturn:
        """Called where nobody reads any more."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def console(*, stderr: bool = False) -> Console:
    """Standard output for people. Where it is no terminal: plain lines that are not wrapped, so that one can grep."""
    stream = sys.stderr if stderr else sys.stdout
    if stream.isatty():
        return _Console(stderr=stderr, highlight=False)
    return _Console(file=stream, highlight=False, no_color=True, width=1000)


def hanging(to: Console, text: Text, indent: int) -> None:
    """Print a text whose further lines, where a terminal is too narrow for one, begin below its column `indent`."""
    if not to.is_terminal:
        to.print(text)
        return
    first, *further = text[indent:].wrap(to, max(20, to.width - indent)) or [Text()]
    to.print(text[:indent] + first, soft_wrap=True)
    for rest in further:
        to.print(Text(" " * indent) + rest, soft_wrap=True)


def json_option(decorated: Decorated) -> Decorated:
    """Add `--json`, which the function gets as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(decorated)


def write_json_line(name: str, document: Mapping[str, Any]) -> None:
    """As `write_json`, on one line: for commands that print one document after another."""
    click.echo(json.dumps({"schema": f"aws-ipfailover/{name}/1", **document}))


def write_json(name: str, document: Mapping[str, Any]) -> None:
    """Print a document that fits `schemas/NAME.json`; it says so itself.

    In ASCII: what a terminal would obey is escaped, and every encoding has it.
    """
    click.echo(json.dumps({"schema": f"aws-ipfailover/{name}/1", **document}, indent=2))


def command_line(arguments: Sequence[str]) -> str:
    """A command to paste into a shell, on one line.

    Quoted last: what stands for a secret is a pattern for a shell, and an escape has a backslash.
    """
    return shlex.join(line(one, _LONGEST) for one in arguments)


def parameters(arguments: Mapping[str, Any]) -> str:
    """The parameters of a call of EC2 on one line, as NAME=VALUE; a value that is no text as JSON."""
    texts = (one if isinstance(one, str) else json.dumps(one) for one in arguments.values())
    return " ".join(f"{name}={text}" for name, text in zip(arguments, texts))
