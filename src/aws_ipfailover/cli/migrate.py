"""`aws-ipfailover migrate`: the commands that give a cluster's resources this agent in the place of another one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, Optional

import click

from aws_ipfailover.cli import group
from aws_ipfailover.cli.screen import json_option, write_json
from aws_ipfailover.cli.subject import agents_root
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import UnknownError
from aws_ipfailover.ocf.cib import AgentName, Cib
from aws_ipfailover.ocf.scheduler import Scheduler
from aws_ipfailover.prospects import installed
from aws_ipfailover.setup.migration import Migration, migration, script

_SECONDS = 10.0  # for the cluster to tell its configuration


@click.command(
    "migrate",
    short_help="From another agent to this one, on a running cluster.",
    epilog="""\b
Example:
  aws-ipfailover migrate > migrate.sh
  less migrate.sh
  sh -e migrate.sh
""",
)
@click.option("--crm", "tool", flag_value="crm", help="Set the cluster's property by crmsh.")
@click.option("--pcs", "tool", flag_value="pcs", help="Set the cluster's property by pcs.")
@click.option(
    "--cib", type=click.Path(exists=True, dir_okay=False), metavar="FILE", help="What cibadmin --query printed."
)
@json_option
def command(tool: Optional[str], cib: Optional[str], as_json: bool) -> int:
    """Print commands that replace aws-vpc-move-ip, awsvip with IPaddr2, and awseip.

    It changes nothing itself. The commands interrupt no address: they work in maintenance mode, and end it only if
    that would start and stop nothing.
    """
    read = Cib(_text(cib), cib) if cib is not None else Scheduler(os.environ, Deadline(_SECONDS)).configuration().cib
    found = migration(read, _is_ours, tool or "pacemaker")
    if as_json:
        write_json("migrate", _as_json(found))
    else:
        _print(found)
    return group.WRONG if found.refused else group.OK


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnknownError(f"{path} cannot be read: {error}") from None


def _is_ours(agent: AgentName) -> Optional[bool]:
    """Whether this node has this agent under that name: installed by `install --as`."""
    return installed(agent, agents_root())


def _as_json(found: Migration) -> Dict[str, Any]:
    return {
        "moved": [
            {"resource": one.resource_id, "before": str(one.before), "absorbs": list(one.absorbs)}
            for one in found.moved
        ],
        "steps": [{"text": one.text, "commands": list(one.commands)} for one in found.steps],
        "differences": list(found.differences),
        "unchanged": list(found.unchanged),
        "left": list(found.left),
        "refused": list(found.refused),
    }


def _print(found: Migration) -> None:
    for sentence in found.refused:
        click.echo(sentence, err=True)
    if found.moved:
        click.echo(script(found), nl=False)
        return
    for sentence in found.left:
        click.echo(f"note: {sentence}", err=True)
    if not found.refused:
        click.echo("nothing to migrate: no resource of aws-vpc-move-ip or awsvip", err=True)
