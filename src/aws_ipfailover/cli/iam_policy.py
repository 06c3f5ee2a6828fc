"""`aws-ipfailover iam-policy`: the least IAM policy for a configuration, ready for `aws iam put-role-policy`."""

from __future__ import annotations

import re
from typing import Any, Callable, List, Optional, Sequence, Tuple

import click

from aws_ipfailover.cli import group
from aws_ipfailover.cli.screen import json_option, write_json
from aws_ipfailover.cli.subject import typed
from aws_ipfailover.modes import MODES
from aws_ipfailover.parameters import Values, parse
from aws_ipfailover.setup.permissions import User
from aws_ipfailover.setup.policy import LONGEST, OPTIONAL, PARTITIONS, Policies, Scope, policies, widest

_ID = "[0-9a-f]{8}([0-9a-f]{9})?"
_ROLE = r"[\w+=,.@-]{1,64}|arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/[\w+=,.@/-]+"

_REGION = "By default the parameter, else all."
_DOCUMENT = "Which one, of a shared VPC."
_WITHOUT = "Leave out a statement, such as CreateRoutes."


def _matching(pattern: str, expected: str) -> Callable[[click.Context, click.Parameter, Optional[str]], Optional[str]]:
    """A check of an option's value, or of each part of it between commas if `expected` names several."""

    def check(_: click.Context, __: click.Parameter, value: Optional[str]) -> Optional[str]:
        if value is not None and not all(re.fullmatch(pattern, one, re.ASCII) for one in _parts(value)):
            raise click.BadParameter(f"{value!r} is wrong, expected {expected}")
        return value

    return check


def _parts(value: Optional[str]) -> Tuple[str, ...]:
    return tuple(dict.fromkeys(one.strip() for one in (value or "").split(","))) if value else ()


@click.command(
    "iam-policy",
    short_help="The least IAM policy for a configuration.",
    epilog="\b\n  aws-ipfailover iam-policy --mode eni --fencing > policy.json",
)
@click.argument("what", nargs=-1, metavar="[NAME=VALUE...]")
@click.option("--mode", type=click.Choice([mode.name for mode in MODES]), metavar="MODE", help="Instead of parameters.")
@click.option("--fencing", is_flag=True, help="And what fence_aws needs.")
@click.option("--external-ec2", is_flag=True, help="And what external/ec2 needs.")
@click.option("--health", is_flag=True, help="And what the health agent needs.")
@click.option("--doctor", is_flag=True, help="And what aws-ipfailover doctor looks at.")
@click.option(
    "--account", callback=_matching("[0-9]{12}", "12 digits"), metavar="ID", help="The nodes' account, 12 digits."
)
@click.option(
    "--region", callback=_matching(r"[a-z]{2,}(-[a-z]+)+-[0-9]{1,2}", "an AWS region"), metavar="NAME", help=_REGION
)
@click.option("--partition", type=click.Choice(PARTITIONS), hidden=True)  # follows from the region, or the role
@click.option(
    "--vpc",
    callback=_matching("vpc-" + _ID, "vpc-..."),
    metavar="ID",
    help="Nothing outside of it, where no id is given.",
)
@click.option(
    "--instances", callback=_matching("i-" + _ID, "i-...,i-..."), metavar="IDS", help="The nodes: i-...,i-..."
)
@click.option(
    "--interfaces", callback=_matching("eni-" + _ID, "eni-..."), metavar="IDS", help="The nodes' own: eni-...,eni-..."
)
@click.option("--shared-vpc", is_flag=True, help="Another account owns the route tables.")
@click.option(
    "--node-role",
    callback=_matching(_ROLE, "a role's name or ARN"),
    metavar="ROLE",
    help="The nodes' role, for the trust policy.",
)
@click.option("--document", type=click.Choice(["node", "role", "trust"]), default="node", help=_DOCUMENT)
@click.option("--without", multiple=True, type=click.Choice(list(OPTIONAL)), metavar="SID", help=_WITHOUT)
@click.option("--show-external-id", is_flag=True, hidden=True)
@json_option
def command(what: Sequence[str], document: str, without: Sequence[str], as_json: bool, **options: Any) -> int:
    """Print the least IAM policy for a resource; notes tell what is wider."""
    values = _values(what, options["mode"])
    found = policies(
        values,
        _scope(options),
        _users(options),
        without=without,
        shared_vpc=options["shared_vpc"],
        external_id=options["show_external_id"],
    )
    if as_json:
        written = [
            {"name": one.name, "for": one.purpose, "size": one.size, "policy": one.policy} for one in found.documents
        ]
        write_json("iam-policy", {"documents": written, "notes": list(found.notes)})
    else:
        _print(found, document)
    return group.WRONG if any(one.size > LONGEST for one in found.documents) else group.OK


def _values(what: Sequence[str], mode: Optional[str]) -> Values:
    """The parameters that were typed, or the widest of a mode.

    Raises:
        click.UsageError: neither is given.  ParameterError: as `parse`.
    """
    given = dict(typed(what))
    if not given and what:
        raise click.UsageError(f"{what[0]!r} is no NAME=VALUE")
    if not given:
        if mode is None:
            raise click.UsageError("for which resource? Give its parameters as NAME=VALUE, or --mode")
        return widest(mode)
    return parse({**given, "mode": mode} if mode is not None else given)


def _scope(options: Any) -> Scope:
    known = {name: options[name] for name in ("account", "region", "partition", "node_role") if options[name]}
    return Scope(
        **known,
        vpc_id=options["vpc"] or "",
        instances=_parts(options["instances"]),
        interfaces=_parts(options["interfaces"]),
    )


def _users(options: Any) -> List[User]:
    asked = {
        User.HEALTH: options["health"],
        User.FENCE_AWS: options["fencing"],
        User.EXTERNAL_EC2: options["external_ec2"],
        User.DOCTOR: options["doctor"],
    }
    return [User.AGENT, *(user for user, yes in asked.items() if yes)]


def _print(found: Policies, name: str) -> None:
    document = found.named(name)
    if document is None:
        why = "; ".join(note for note in found.notes if note.startswith("no trust policy"))
        raise click.UsageError(why or f"there is no document {name} without routing_table_role or --shared-vpc")
    click.echo(document.text)
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    for other in found.documents:
        if other is not document:
            click.echo(f"note: --document {other.name} prints what goes with it: {other.purpose}", err=True)
