"""`aws-ipfailover parameters`: the agent's parameters as a Markdown page, made from the agent's own list."""

from __future__ import annotations

import click

from aws_ipfailover.parameters import PARAMETERS, Parameter

_HEAD = """# Parameters of ocf:heartbeat:aws-ipfailover

Made by `aws-ipfailover parameters`. An empty value is the same as none. A reloadable parameter can be changed while the
resource runs, without a restart.

| name | default | reloadable | meaning |
|---|---|---|---|
"""


@click.command("parameters")
def command() -> None:
    """Print the agent's parameters as a Markdown page, as docs/parameters.md has it.

    \b
    Example:
      aws-ipfailover parameters > parameters.md
    """
    click.echo(page(), nl=False)


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
