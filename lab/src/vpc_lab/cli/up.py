"""The verb `up` of `aws-ipfailover lab`. It has more options than fit a terminal, so that its help is in two parts."""

from __future__ import annotations

import sys
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Optional, Tuple

import click

from vpc_lab.cli.verb import FILE, NODES, Verb, layout_option, mode_option

if TYPE_CHECKING:
    from vpc_lab.lab import Lab

_OF_EC2 = "vpc_lab.cli.up.of_ec2"


class _OfEc2(click.Option):
    """An option that `--help-ec2` lists, and `--help` does not."""


class _Up(Verb):
    def shown_options(self, ctx: click.Context) -> List[click.Parameter]:
        of_ec2 = _OF_EC2 in ctx.meta
        return [one for one in super().shown_options(ctx) if isinstance(one, _OfEc2) is of_ec2]

    def options_heading(self, ctx: click.Context) -> str:
        return "How EC2, the network and the instances behave" if _OF_EC2 in ctx.meta else "Options"


def _help_ec2(ctx: click.Context, param: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        ctx.meta[_OF_EC2] = True
        click.echo(ctx.get_help())
        ctx.exit()


def _addresses(ctx: click.Context, param: click.Parameter, given: Tuple[str, ...]) -> Tuple[str, ...]:
    try:
        return tuple(str(ip_address(one)) for one in given)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _say(text: str) -> None:
    sys.stdout.write(f"{text} ...\n")
    sys.stdout.flush()


# The options are named as the fields of vpc_lab.settings.Settings are, but for four.
@click.command("up", cls=_Up)
@click.option("--nodes", type=click.Choice(NODES), default=NODES[0], help=f"of the cluster (default: {NODES[0]})")
@mode_option
@layout_option
@click.option(
    "--token", "token_ms", type=int, default=1000, metavar="MS", help="corosync's token timeout (default: 1000 ms)"
)
@click.option("--without-fencing", is_flag=True, help="leave fence_aws out of the cluster")
@click.option("--extra-route-tables", type=int, default=0, metavar="N", help="route tables that no subnet uses")
@click.option("--internet", is_flag=True, help="overlay-ip: an internet gateway and an Elastic IP")
@click.option("--empty", is_flag=True, help="an account without a VPC, and a workstation")
@click.option(
    "--overlay",
    "overlays",
    multiple=True,
    callback=_addresses,
    metavar="IP",
    help="a further overlay address; repeatable",
)
@click.option("--agents", type=FILE, metavar="DIR", help="further agents, in DIR/usr/lib/ocf/resource.d, ...")
@click.option("--as", "alias", metavar="PROVIDER:NAME", help="install the agent under this name, too")
@click.option("--seed", type=int, default=0, metavar="N", help="of everything that is drawn (default: 0)")
@click.option(
    "--attach",
    "attach_seconds",
    cls=_OfEc2,
    type=float,
    default=0.0,
    metavar="S",
    help="seconds that EC2 takes to attach an ENI",
)
@click.option(
    "--detach",
    "detach_seconds",
    cls=_OfEc2,
    type=float,
    default=0.0,
    metavar="S",
    help="seconds that EC2 takes to detach an ENI",
)
@click.option(
    "--nic", "nic_seconds", cls=_OfEc2, type=float, default=0.0, metavar="S", help="seconds from `attached` to the NIC"
)
@click.option(
    "--imds-lag",
    "imds_lag_seconds",
    cls=_OfEc2,
    type=float,
    default=0.0,
    metavar="S",
    help="seconds until IMDS knows an ENI",
)
@click.option(
    "--graceful-stop",
    cls=_OfEc2,
    is_flag=True,
    help="StopInstances, which fencing uses, shuts the system down first",
)
@click.option(
    "--shutdown",
    "shutdown_seconds",
    cls=_OfEc2,
    type=float,
    default=0.0,
    metavar="S",
    help="seconds that its services run on meanwhile",
)
@click.option(
    "--shutdown-limit",
    "shutdown_limit_seconds",
    cls=_OfEc2,
    type=float,
    default=300.0,
    metavar="S",
    help="seconds until the power goes anyhow (default: 300.0)",
)
@click.option(
    "--route-lag",
    "route_lag_seconds",
    cls=_OfEc2,
    type=float,
    default=0.0,
    metavar="S",
    help="seconds until a route is effective, at most: drawn",
)
@click.option(
    "--rename",
    "rename_seconds",
    cls=_OfEc2,
    type=float,
    default=0.0,
    metavar="S",
    help="seconds until udev renames a new NIC, about",
)
@click.option(
    "--stale-neighbours",
    cls=_OfEc2,
    is_flag=True,
    help="a moved address is sent to its old ENI until it is announced",
)
@click.option(
    "--remap",
    "remap_seconds",
    cls=_OfEc2,
    type=float,
    default=0.0,
    metavar="S",
    help="seconds until packets find a moved private address",
)
@click.option(
    "--imds-address-lag",
    "imds_address_lag_seconds",
    cls=_OfEc2,
    type=float,
    default=0.0,
    metavar="S",
    help="how much later IMDS lists such an address",
)
@click.option("--dead-indexes", cls=_OfEc2, is_flag=True, help="no NIC at an index after a detachment by force")
@click.option(
    "--help-ec2",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_help_ec2,
    help="more options: how EC2 behaves",
)
def up_verb(lab: Lab, nodes: str, without_fencing: bool, agents: Optional[Path], **as_named: Any) -> int:
    """Bring a lab up and leave it running.

    \b
    Example:
      aws-ipfailover lab up --mode eni --attach 1 --detach 2 --nic 0.5
    """
    from vpc_lab.settings import Settings  # noqa: PLC0415 - a verb runs

    settings = Settings(
        nodes=int(nodes),
        fencing=not without_fencing,
        agents=None if agents is None else str(agents.absolute()),
        **as_named,
    )
    name = lab.rundir.name
    lab.up(name, settings, say=_say)
    sys.stdout.write(f"lab '{name}' is up\n")
    if settings.empty:
        sys.stdout.write(f"its account is empty: aws-ipfailover lab shell workstation --name {name}\n")
    return 0
