"""`aws-ipfailover install` among the commands of click; `install` itself works without click."""

from __future__ import annotations

from typing import Sequence

import click

from aws_ipfailover.cli import install


@click.command("install", context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: Sequence[str]) -> int:
    """Install the resource agents for Pacemaker."""
    return install.main(arguments)
