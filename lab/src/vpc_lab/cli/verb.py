"""What the verbs of `aws-ipfailover lab` have in common: the option --name, how errors are told, and their help."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Callable, List, Sequence, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

# Copies from vpc_lab.host.rundir and vpc_lab.topology, which are imported only when a verb runs.
DEFAULT_NAME = "default"
MODES = ("overlay-ip", "eni", "private-ip")
LAYOUTS = ("service-subnet", "same-subnet")
# Of the cluster, as they are typed.
NODES = ("2", "3")
WRONG, USAGE = 1, 2
# A file that is read or written: what is wrong with it is told by whoever opens it.
FILE = click.Path(readable=False, path_type=Path)
_NEGATIVE = re.compile(r"-(\d+|\d*\.\d+)")


class Argument(click.Argument):
    """An argument that the help explains."""

    def __init__(self, declarations: Sequence[str], text: str = "", **attributes: Any) -> None:
        super().__init__(declarations, **attributes)
        self.text = text


def argument(name: str, text: str, **attributes: Any) -> Callable[[Decorated], Decorated]:
    """Add an argument to a verb, with the text of its help. `metavar`, which is needed, is how the usage shows it."""

    def add(decorated: Decorated) -> Decorated:
        # Made anew each time: the decorator of click 8.0 can be used only once.
        return click.argument(name, cls=Argument, text=text, **attributes)(decorated)

    return add


def mode_option(decorated: Decorated) -> Decorated:
    """Add `--mode` to a verb."""
    text = "overlay-ip (default), eni or private-ip"
    return click.option("--mode", type=click.Choice(MODES), default=MODES[0], metavar="MODE", help=text)(decorated)


def layout_option(decorated: Decorated) -> Decorated:
    """Add `--layout` to a verb."""
    text = "mode eni: service-subnet (default) or same-subnet"
    option = click.option("--layout", type=click.Choice(LAYOUTS), default=LAYOUTS[0], metavar="LAYOUT", help=text)
    return option(decorated)


def name_option() -> click.Option:
    """The option `--name`, which every verb has; None if it is not given."""
    text = f"which lab, if there are several (default: {DEFAULT_NAME})"
    return click.Option(["--name"], metavar="NAME", help=text)


class Verb(click.Command):
    """A verb. Its function gets the `Lab` as `lab`, and returns its exit code. A `LabError` is told as one sentence."""

    def __init__(self, *arguments: Any, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.params.append(name_option())

    def parse_args(self, ctx: click.Context, args: List[str]) -> List[str]:
        """Read the command line. A negative number is an argument, as in `lab fault route-lag -1`, and no option."""
        if ctx.allow_interspersed_args and any(_NEGATIVE.fullmatch(one) for one in args):
            ctx.ignore_unknown_options = True
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> int:
        """Run the verb; returns its exit code."""
        from vpc_lab.errors import LabError  # noqa: PLC0415 - a verb runs
        from vpc_lab.lab import Lab  # noqa: PLC0415 - as above

        own = ctx.params.pop("name")
        try:
            ctx.params["lab"] = Lab(own or _name_before(ctx) or DEFAULT_NAME)
            return int(super().invoke(ctx))
        except LabError as error:
            sys.stderr.write(f"{error}\n")
            return WRONG

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The arguments, which click 8.0 does not list by itself, and the options."""
        described = [(str(one.metavar), one.text) for one in self.params if isinstance(one, Argument)]
        if described:
            with formatter.section("Arguments"):
                formatter.write_dl(described)
        records = [one.get_help_record(ctx) for one in self.shown_options(ctx)]
        with formatter.section(self.options_heading(ctx)):
            formatter.write_dl([record for record in records if record is not None])

    def shown_options(self, ctx: click.Context) -> List[click.Parameter]:
        """The options that the help lists."""
        return [one for one in self.get_params(ctx) if isinstance(one, click.Option)]

    def options_heading(self, ctx: click.Context) -> str:
        """What the help writes above them."""
        return "Options"


def _name_before(ctx: click.Context) -> str:
    """The name of the lab that was given before the verb's own name, as in `lab fault --name mine crash node1`."""
    before = ctx.parent.params.get("name") if ctx.parent is not None else None
    return before or ""


class Group(click.Group):
    """Verbs. Without one of them the help goes to standard error, and the exit code is that of a wrong command line."""

    command_class = Verb

    def parse_args(self, ctx: click.Context, args: List[str]) -> List[str]:
        """Read the command line. Said here because releases of click differ in the exit code."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(USAGE)
        return super().parse_args(ctx, args)
