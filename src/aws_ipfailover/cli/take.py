"""`aws-ipfailover take`: take an address to this node by hand, with the engine of the agent's start."""

from __future__ import annotations

from typing import Optional, Sequence

import click

from aws_ipfailover.cli import screen
from aws_ipfailover.cli.acting import act
from aws_ipfailover.cli.numbers import Seconds
from aws_ipfailover.cli.subject import subject_argument


@click.command("take")
@subject_argument
@click.option("--force", is_flag=True, help="Also against a running Pacemaker that manages it.")
@click.option("--timeout", type=Seconds(1), metavar="SECONDS", help="Of the start; default 180.")
@screen.json_option
def command(what: Sequence[str], timeout: Optional[float], *, force: bool, as_json: bool) -> int:
    """Take an address to this node by hand, as a start of the agent does.

    For a first test before there is a cluster, and for runbooks. Refused where a running Pacemaker manages the
    address: it says which command moves it. Ctrl-C undoes what has been done in the kernel, as a start that is
    ended. Exit code: 0 taken, 1 failed or refused, 3 could not find out.

    \b
    Example:
      aws-ipfailover take ip=192.168.10.10 routing_table=rtb-0a,rtb-0b
    """
    return act("start", what, timeout, force=force, as_json=as_json)
