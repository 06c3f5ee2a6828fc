"""`aws-ipfailover where`: whether an address is on this node, or whom EC2 leads it to; changes nothing."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Sequence

import click
from rich.text import Text

from aws_ipfailover.cli import screen
from aws_ipfailover.cli.listening import listening
from aws_ipfailover.cli.numbers import Seconds
from aws_ipfailover.cli.subject import Subject, subject_argument, subjects_or_advice, title_of
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import ParameterError
from aws_ipfailover.failover import Where
from aws_ipfailover.output import line
from aws_ipfailover.state.location import Holder, Location, locate

_EXITS = {Where.HERE: 0, Where.ELSEWHERE: 1, None: 3}
_WORDS = {Where.HERE: "here", Where.ELSEWHERE: "elsewhere", None: "could not find out"}
_STYLES = {Where.HERE: "green", Where.ELSEWHERE: "", None: "yellow"}


class _Found(NamedTuple):
    title: str
    resource_id: str
    location: Location
    notes: List[str]


@click.command("where")
@subject_argument
@click.option("--timeout", type=Seconds(1), default=30.0, metavar="SECONDS", help="For all; default 30.")
@screen.json_option
def command(what: Sequence[str], timeout: float, *, as_json: bool) -> int:
    """Print whether an address is on this node, or whom EC2 leads it to. Changes nothing.

    Here it is if this node's kernel has it and EC2 leads it here. Of resources of the cluster, all that use the
    agent by default, or for parameters typed as NAME=VALUE. Exit code: 0 here, 1 elsewhere or nowhere, 3 could not
    find out; of several the first of 1, 3 and 0 that is among them.

    \b
    Example:
      aws-ipfailover where ip=192.168.10.10 routing_table=rtb-0a,rtb-0b
    """
    deadline = Deadline(timeout)
    chosen = subjects_or_advice(what, deadline)
    found = [_look(one, deadline) for one in chosen.found]
    for resource_id, problems in chosen.problems.items():
        found += [_unknown(resource_id, str(one.error)) for one in problems[:1]]
    if as_json:
        screen.write_json("where", {"locations": [_document(one) for one in found]})
    else:
        _show(found)
    codes = {_EXITS[one.location.where] for one in found}
    # Without any resource nothing is here.
    return next((code for code in (1, 3) if code in codes), 0 if found else 1)


def _look(subject: Subject, deadline: Deadline) -> _Found:
    notes: List[str] = []
    with listening(lambda _, text: notes.append(text)):
        try:
            location = locate(subject.given, deadline, subject.resource_id)
        except ParameterError as error:
            if not subject.resource_id:
                raise  # typed: the command line is wrong
            return _unknown(subject.resource_id, str(error))
    return _Found(title_of(subject), subject.resource_id, location, list(dict.fromkeys(notes)))


def _unknown(resource_id: str, reason: str) -> _Found:
    return _Found(resource_id, resource_id, Location(None, reason, None), [])


def _show(found: Sequence[_Found]) -> None:
    console = screen.console()
    if not found:
        console.print("the cluster has no resource of this agent")
    for one in found:
        where, reason, _, holders = one.location
        holding = " and ".join(map(_named, holders))
        text = f"{one.title}: {_WORDS[where]}"
        if where is not Where.HERE:
            text += f": {line(reason)}" + (f"; EC2 leads it to {holding}" if holding else "")
        elif holding:
            text += f": {holding}"
        console.print(Text(text, style=_STYLES[where]))
        for note in one.notes:
            console.print(Text(f"note: {note}"))


def _named(holder: Holder) -> str:
    instance = ", ".join(filter(None, [holder.instance_id, holder.name, "this node" if holder.here else ""]))
    return line(f"{holder.network_interface_id} ({instance or 'attached to nothing that is known'})")


def _document(found: _Found) -> Dict[str, Any]:
    location = found.location
    return {
        "resource": found.resource_id or None,
        "title": found.title,
        "where": _WORDS[location.where],
        "reason": line(location.reason, 2000),
        "local": location.local,
        "holders": [
            {
                "network_interface": one.network_interface_id,
                "instance": one.instance_id or None,
                "name": one.name or None,
                "here": one.here,
            }
            for one in location.holders
        ],
        "notes": found.notes,
    }
