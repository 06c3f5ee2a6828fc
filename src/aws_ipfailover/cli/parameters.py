"""`aws-ipfailover parameters`: the agent's parameters as a Markdown page, made from the agent's own list."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from aws_ipfailover.parameters import PARAMETERS, Parameter

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_HEAD = """# Parameters of ocf:heartbeat:aws-ipfailover

Made by `aws-ipfailover parameters`. An empty value is the same as none. A reloadable parameter can be changed while the
resource runs, without a restart.

| name | default | reloadable | meaning |
|---|---|---|---|
"""


def register(commands: Commands) -> None:
    """Add `parameters` to the command line."""
    parser = commands.add_parser("parameters", help="print the agent's parameters as a Markdown page")
    parser.set_defaults(run=_run)


def _run(_: argparse.Namespace) -> int:
    sys.stdout.write(page())
    return 0


def page() -> str:
    """The Markdown page, as docs/parameters.md has it."""
    return _HEAD + "".join(_row(parameter) for parameter in PARAMETERS)


def _row(parameter: Parameter) -> str:
    name = f"`{parameter.name}`"
    if parameter.required:
        name += " (required)"
    if parameter.deprecated:
        name += " (deprecated)"
    default = f"`{parameter.default}`" if parameter.default is not None else ""
    return f"| {name} | {default} | {'yes' if parameter.reloadable else ''} | {parameter.longdesc} |\n"
