"""`aws-ipfailover history`: what the agent has done on this node."""

from __future__ import annotations

import os
import textwrap
import time
from typing import Any, Dict, List, Optional

import click
from rich.table import Table
from rich.text import Text

from aws_ipfailover.cli import group
from aws_ipfailover.cli.screen import console, json_option, write_json
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.output import printable
from aws_ipfailover.state.history import Event, History, Write, of_resource, read, since_of

# Seconds for systemd's journal, of which years can be there.
_PATIENCE = 60.0
# Columns of a terminal that the table needs; one with fewer gets lines.
_TABLE = 120
_INDENT = " " * 4
_COLUMNS = ("when", "action", "resource", "from", "to", "took", "outcome", "what was written")
# Actions after which this node holds the addresses, if they succeed, and those after which it does not.
_TAKES, _GIVES = ("start", "migrate_from", "monitor", "reload-agent"), ("stop",)


@click.command(
    "history",
    short_help="What the agent has done on this node.",
    epilog="Example: aws-ipfailover history ip_service --since 2h",
)
@click.argument("resource", required=False, metavar="[RESOURCE]")
@click.option("--since", default="7d", show_default=True, metavar="TIME", help="2h, 30min, 7d or '2026-11-29 10:00'.")
@json_option
def command(resource: Optional[str], since: str, as_json: bool) -> int:
    """Show what the agent has done on this node, newest last: when, from where to where, how long it took, and what it
    wrote in EC2 and in the kernel.

    Every start, stop, reload and migration is there, and each monitor that has repaired something, or has found it not
    in order. It is read from systemd's journal, Pacemaker's log file and those of syslog.

    Exit codes: 0 read, 3 no log can be read.
    """
    history = read(os.environ, since_of(since, time.time()), Deadline(_PATIENCE))
    if resource is not None:
        history = of_resource(history, resource)
    for source in history.sources:
        if source.error:
            console(stderr=True).print(Text(printable(f"{source.name} could not be read: {source.error}")))
    if as_json:
        write_json("history", document(history))
        return group.OK
    to = console()
    if not history.events:
        to.print(Text("no record of the agent since then"))
    elif to.is_terminal and to.width >= _TABLE:
        to.print(table(history))
    elif to.is_terminal:
        for text in lines(history, to.width):
            to.print(text, soft_wrap=True)
    else:
        for event in history.events:
            to.print(Text(printable("  ".join(_cells(event)))))
    return group.OK


def table(history: History) -> Table:
    """The events for a terminal."""
    found = Table(show_edge=False, pad_edge=False, show_lines=False)
    for title in _COLUMNS:
        found.add_column(title, overflow="fold", no_wrap=title == "when")
    for event in history.events:
        found.add_row(*(Text(printable(cell), style=_style(event)) for cell in _cells(event)))
    return found


def lines(history: History, width: int) -> List[Text]:
    """The events for a terminal that is too narrow for the table: no line has more than `width` characters.

    The first line of an event tells when and what, those below it are indented.
    """
    found: List[Text] = []
    for event in history.events:
        when, action, resource, origin, target, took, outcome, _ = map(printable, _cells(event))
        told = [f"{when}  {action} of {resource} in {took}: exit code {outcome}"]
        way = [f"{word} {one}" for word, one in (("from", origin), ("to", target)) if one != "-"]
        told += [" ".join(way)] if way else []
        told += [printable(one) for one in (*map(_write, event.wrote), *_local(event))]
        for number, text in enumerate(told):
            before = _INDENT if number else ""
            wrapped = textwrap.wrap(text, width, initial_indent=before, subsequent_indent=before or _INDENT)
            found += [Text(one, style=_style(event) if not number else "") for one in wrapped]
    return found


def _style(event: Event) -> str:
    """Of its outcome: 0, and 7 of a monitor, are in order; 190 is degraded."""
    return "" if event.code in (0, 7) else "red" if event.code != 190 else "yellow"


def _cells(event: Event) -> List[str]:
    return [
        time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.at)),
        event.action,
        event.resource_id or "-",
        came_from(event) or "-",
        went_to(event) or "-",
        f"{event.seconds:.2f} s",
        f"{event.code}{': ' if event.reason else ''}{event.reason}",
        "; ".join([*map(_write, event.wrote), *_local(event)]) or "-",
    ]


def came_from(event: Event) -> str:
    """Who had the addresses before; empty where the agent did not see that."""
    return event.node if event.action in _GIVES else ", ".join(event.came_from)


def went_to(event: Event) -> str:
    """Who had the addresses afterwards; empty where this node did not get them."""
    return event.node if event.action in _TAKES and event.code in (0, 190) else ""


def _write(write: Write) -> str:
    parts = [
        write.operation,
        ", ".join(write.of),
        write.destination,
        f"-> {write.to}" if write.to else "",
        write.result,
    ]
    return " ".join(filter(None, parts))


def _local(event: Event) -> List[str]:
    return [*(f"added {one}" for one in event.added), *(f"removed {one}" for one in event.removed)]


def document(history: History) -> Dict[str, Any]:
    """What schemas/history.json describes."""
    return {
        "sources": [{"name": one.name, "error": one.error or None} for one in history.sources],
        "events": [
            {
                "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(event.at)),
                "action": event.action,
                "resource": event.resource_id or None,
                "node": event.node,
                "mode": event.mode,
                "addresses": list(event.addresses),
                "code": event.code,
                "reason": event.reason or None,
                "seconds": event.seconds,
                "from": list(event.came_from),
                "to": went_to(event) or None,
                "wrote": [
                    {
                        "operation": one.operation,
                        "result": one.result,
                        "of": list(one.of),
                        "to": one.to or None,
                        "destination": one.destination or None,
                    }
                    for one in event.wrote
                ],
                "added": list(event.added),
                "removed": list(event.removed),
            }
            for event in history.events
        ],
    }
