"""`aws-ipfailover release`: release an address of this node by hand, with the engine of the agent's stop."""

from __future__ import annotations

from typing import Optional, Sequence

import click

from aws_ipfailover.cli import screen
from aws_ipfailover.cli.acting import act
from aws_ipfailover.cli.numbers import Seconds
from aws_ipfailover.cli.subject import subject_argument


@click.command("release")
@subject_argument
@click.option("--force", is_flag=True, help="Also against a running Pacemaker that manages it.")
@click.option("--timeout", type=Seconds(1), metavar="SECONDS", help="Of the stop; default 180.")
@screen.json_option
def command(what: Sequence[str], timeout: Optional[float], *, force: bool, as_json: bool) -> int:
    """Release an address of this node by hand, as a stop of the agent does.

    What is not here counts as released. Routes stay as they are until another node takes them; an ENI is detached.
    Refused where a running Pacemaker manages the address: it says which command moves it. Exit code: 0 released,
    1 failed or refused, 3 could not find out.

    \b
    Example:
      aws-ipfailover release ip=192.168.10.10 routing_table=rtb-0a,rtb-0b
    """
    return act("stop", what, timeout, force=force, as_json=as_json)
