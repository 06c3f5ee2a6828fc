"""The command `aws-ipfailover`."""

from __future__ import annotations

import argparse
import sys
from importlib import metadata
from typing import Callable, List, Optional, Sequence

from aws_ipfailover import __version__
from aws_ipfailover.cli import install, parameters

# Other packages add commands of their own by entry points of this group: functions that take the sub-parsers.
COMMANDS = "aws_ipfailover.commands"
NO_LAB = "the lab is a package of its own, and is not installed here; try: pip install aws-ipfailover-lab\n"


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run one command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="aws-ipfailover", description="Move a fixed IP address between AWS instances, under Pacemaker."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    install.register(commands)
    parameters.register(commands)
    for register in _further_commands():
        register(commands)
    if "lab" not in commands.choices:
        _register_no_lab(commands)
    chosen = parser.parse_args(arguments)
    try:
        return int(chosen.run(chosen))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130


def _further_commands() -> List[Callable[..., None]]:
    """What installed packages add. One that does not load is left out: it must not keep anybody from `install`."""
    points = metadata.entry_points()
    # Before Python 3.10 a dictionary by group.
    group = points.select(group=COMMANDS) if hasattr(points, "select") else points.get(COMMANDS, ())
    found = {}
    for point in group:
        try:
            found[point.name] = point.load()
        except Exception as error:  # noqa: BLE001 - whatever another package does when it is imported
            sys.stderr.write(f"the command '{point.name}' does not load: {type(error).__name__}: {error}\n")
    return list(found.values())


def _register_no_lab(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("lab", help="a VPC in a box, for tests: a package of its own")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)

    def refuse(_: argparse.Namespace) -> int:
        sys.stderr.write(NO_LAB)
        return 1

    parser.set_defaults(run=refuse)


if __name__ == "__main__":
    sys.exit(main())
