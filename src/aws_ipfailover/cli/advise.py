"""`aws-ipfailover advise`: which mode for these nodes and consumers, and when something else is the better answer."""

from __future__ import annotations

import sys
from typing import Any, Dict, FrozenSet, List, Optional, Sequence

import click
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from aws_ipfailover.cli import group
from aws_ipfailover.cli.numbers import Seconds
from aws_ipfailover.cli.screen import console, json_option, write_json
from aws_ipfailover.setup.advice import MODES, Advice, Consumers, Needs, Verdict, Weight, advise, missing

_PLACES = [one.value for one in Consumers]
_ZONES = {"1": False, "2+": True}
_PROTOCOLS = ("tcp", "udp", "http")
_STYLES = {Verdict.BEST: "bold green", Verdict.POSSIBLE: "", Verdict.UNKNOWN: "yellow", Verdict.EXCLUDED: "dim"}
# The option that tells what `missing` names.
_OPTIONS = {
    "zones": "--zones",
    "same-subnet": "--same-subnet or --other-subnets",
    "consumers": "--consumers",
    "seconds": "--seconds",
    "by-name": "--by-name or --by-address",
}


def _places(_: click.Context, __: click.Parameter, value: Optional[str]) -> FrozenSet[Consumers]:
    named = [one.strip() for one in value.split(",")] if value else []
    for one in named:
        if one not in _PLACES:
            raise click.BadParameter(f"{one!r} is none of {', '.join(_PLACES)}")
    return frozenset(map(Consumers, named))


@click.command(
    "advise",
    short_help="Which mode for these nodes and consumers, or what instead.",
    epilog="\b\n  aws-ipfailover advise --zones 2+ --consumers vpc --seconds 30",
)
@click.option("--zones", type=click.Choice(list(_ZONES)), help="Availability zones of the nodes.")
@click.option("--same-subnet/--other-subnets", default=None, help="Of the nodes.")
@click.option("--consumers", callback=_places, metavar="LIST", help="Where they are: several, with commas.")
@click.option("--address-in-vpc", is_flag=True, help="Consumers need an address of the VPC.")
@click.option("--keeps-mac", is_flag=True, help="The service needs its MAC address.")
@click.option("--ipv6", is_flag=True, help="The address is IPv6, or has an IPv6 sister.")
@click.option("--protocol", type=click.Choice(_PROTOCOLS))
@click.option("--seconds", type=Seconds(0), metavar="N", help="Acceptable silence at a failover.")
@click.option("--by-name/--by-address", default=None, help="Whether consumers look a name up again.")
@click.option("--read-scaling", is_flag=True, help="Several nodes serve at once.")
@click.option("--sap", is_flag=True, help="The service is SAP's.")
@click.option("--shared-vpc", is_flag=True, help="Another account owns the route tables.")
@json_option
def command(as_json: bool, **given: Any) -> int:
    """Tell which way an address should move, and why; asks if nothing is given. Consumers are in: vpc, peered,
    transit-gateway, on-premises, internet.
    """
    # Without an option on a terminal: somebody wants to be asked.
    if not any(given.values()) and given["same_subnet"] is None and given["by_name"] is None and _on_terminal():
        given = _ask()
    zones = given.pop("zones")
    found = advise(Needs(several_zones=None if zones is None else _ZONES[zones], **given))
    if as_json:
        write_json("advise", {"advice": list(map(_as_json, found)), "missing": missing(found)})
    else:
        _print(found)
    if found[0].verdict is Verdict.BEST:
        return group.OK
    return group.UNKNOWN if any(one.verdict is Verdict.UNKNOWN for one in found) else group.WRONG


def _on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _ask() -> Dict[str, Any]:
    """The questions of the options, one by one; Ctrl-C ends them."""

    def yes(question: str) -> bool:
        return click.confirm(question, default=False)

    zones = click.prompt("In how many availability zones are the nodes?", type=click.Choice(list(_ZONES)))
    same_subnet = yes("Do all nodes share a subnet?") if zones == "1" else None
    places = [one for one in Consumers if yes(f"Are there consumers in: {one.value}?")]
    return {
        "zones": zones,
        "same_subnet": same_subnet,
        "consumers": frozenset(places or [Consumers.VPC]),
        "address_in_vpc": yes("Do consumers need an address of the VPC?"),
        "keeps_mac": yes("Does the service need its MAC address?"),
        "ipv6": yes("Is the address IPv6?"),
        "protocol": click.prompt("Which protocol?", type=click.Choice(_PROTOCOLS), default="tcp"),
        "seconds": click.prompt("How many seconds of silence are acceptable?", type=float, default=60.0),
        "by_name": yes("Do consumers look the name up again after a failure?"),
        "read_scaling": yes("Do several nodes serve at once?"),
        "sap": yes("Is the service SAP's?"),
        "shared_vpc": yes("Does another account own the route tables (a shared VPC)?"),
    }


def _as_json(one: Advice) -> Dict[str, Any]:
    reasons = [{"kind": _kind(reason.weight), "text": reason.text, "source": reason.source} for reason in one.reasons]
    return {
        "solution": one.solution.value,
        "verdict": one.verdict.value,
        "score": one.score,
        "reasons": reasons,
        "missing": list(one.unknown),
    }


def _kind(weight: Weight) -> str:
    if weight is Weight.EXCLUDES:
        return "excludes"
    return "for" if weight > 0 else "against"


_MARKS = {"excludes": "x", "for": "+", "against": "-"}


def _print(found: Sequence[Advice]) -> None:
    screen = console()
    for one in found:
        screen.print(Text(f"{one.solution.value}: {one.verdict.value}", style=_STYLES[one.verdict]))
        for reason in one.reasons:
            if one.verdict is Verdict.EXCLUDED and reason.weight is not Weight.EXCLUDES:
                continue
            _item(screen, _MARKS[_kind(reason.weight)], reason.text)
        if one.unknown:
            _item(screen, "?", f"not told: {', '.join(_OPTIONS[name] for name in one.unknown)}")
    screen.print(Text(_summary(found)))


def _item(screen: Console, mark: str, text: str) -> None:
    screen.print(Padding(Text(f"{mark} {text}"), (0, 0, 0, 2), expand=False))


def _summary(found: Sequence[Advice]) -> str:
    best: List[Advice] = [one for one in found if one.verdict is Verdict.BEST]
    if not best:
        if all(one.verdict is Verdict.EXCLUDED for one in found):
            return "Nothing fits all of this: each x above is a requirement that would have to give way."
        return "What is not told (?) decides."
    names = " or ".join(one.solution.value for one in best)
    if best[0].solution in MODES:
        return f"{names}. Next: aws-ipfailover config, aws-ipfailover iam-policy --mode {best[0].solution.value}"
    return f"{names}, which this agent does not set up."
