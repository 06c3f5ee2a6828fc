"""`aws-ipfailover config`: the cluster's configuration for an address, as crmsh or pcs loads it."""

from __future__ import annotations

from typing import Optional, Sequence

import click

from aws_ipfailover.cli import group
from aws_ipfailover.cli.screen import json_option, write_json
from aws_ipfailover.cli.subject import typed
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.parameters import without_effect
from aws_ipfailover.setup.cluster_configuration import WITHOUT_EFFECT, Node, Wanted, crm, pcs, plan
from aws_ipfailover.setup.fence_agent import FENCE_AWS, knows

_SECONDS = 10.0  # for fence_aws to tell its parameters


@click.command(
    "config",
    short_help="The cluster's configuration for an address.",
    epilog="""\b
Example:
  aws-ipfailover config crm ip=192.168.10.10 routing_table=auto \\
      --node a=i-01234567 --node b=i-12345678 --region eu-central-1 |
      crm configure load update -
""",
)
@click.argument("tool", type=click.Choice(["crm", "pcs"]))
@click.argument("what", nargs=-1, metavar="NAME=VALUE...")
@click.option("--node", "nodes", multiple=True, metavar="NAME=INSTANCE-ID", help="A node; once for each of them.")
@click.option(
    "--id", "resource_id", default="ip_service", metavar="ID", help="The resource's id; by default ip_service."
)
@click.option("--fencing/--no-fencing", default=True, help="With a fence device (fence_aws); the default.")
@click.option("--health", is_flag=True, help="With the health agent on every node.")
@click.option("--region", metavar="NAME", help="For the fence device and the address.")
@click.option("--show-external-id", is_flag=True, help="Print external_id, if that is a parameter.")
@json_option
def command(
    tool: str,
    what: Sequence[str],
    nodes: Sequence[str],
    resource_id: str,
    fencing: bool,
    health: bool,
    region: Optional[str],
    show_external_id: bool,
    as_json: bool,
) -> int:
    """Print a cluster's configuration for an address and its nodes.

    crm: for `crm configure load update -`. pcs: commands, for `sh`.
    """
    given = typed(what)
    if not given:
        raise click.UsageError("for which address? Give the agent's parameters as NAME=VALUE")
    if given.get("external_id", "").strip() and not show_external_id:
        raise click.UsageError("external_id would be printed: add --show-external-id")
    if region is not None:
        # The agent's own check of it, and its sentence.
        given = {**given, "region": region}
    wanted = Wanted(given, tuple(map(_node, nodes)), resource_id, fencing, health, region)
    plan(wanted)  # whatever is wrong is told before fence_aws is asked
    known = knows("skip_os_shutdown", Deadline(_SECONDS)) if fencing else None
    made = plan(wanted._replace(skip_os_shutdown=known))
    text = crm(made) if tool == "crm" else pcs(made)
    notes = list(without_effect(given))
    notes += [f"parameter {name} has no effect, and is left out" for name in given if name in WITHOUT_EFFECT]
    if fencing and known is None:
        notes.append(f"{FENCE_AWS} does not tell here whether it knows skip_os_shutdown: see the comment")
    if as_json:
        write_json("config", {"tool": tool, "text": text, "notes": notes})
    else:
        click.echo(text, nl=False)
        for note in notes:
            click.echo(f"note: {note}", err=True)
    return group.OK


def _node(text: str) -> Node:
    name, equals, instance_id = text.partition("=")
    if not equals:
        raise click.UsageError(f"--node {text!r} is no NAME=INSTANCE-ID")
    return Node(name, instance_id)
