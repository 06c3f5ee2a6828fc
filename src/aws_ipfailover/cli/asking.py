"""The options of commands that ask an address: over which protocols, what, and how often."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, TypeVar

import click

from aws_ipfailover.cli.numbers import Seconds
from aws_ipfailover.watch.asking import Asking, Port

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
_PORT = click.IntRange(1, 65535)
# A shorter interval asks more often than most services like; a TCP handshake takes longer than a shorter timeout.
_INTERVAL = Seconds(0.01, 3600)
_TIMEOUT = Seconds(0.05, 60)


def _options(brief: bool) -> Tuple[Callable[[Decorated], Decorated], ...]:
    pace: Dict[str, Any] = {"show_default": True, "metavar": "S", "hidden": brief}
    return (
        click.option("--tcp", type=_PORT, metavar="PORT", help="TCP: a new connection per question."),
        click.option("--keep", is_flag=True, help="With --tcp: also one connection that is kept."),
        click.option("--udp", type=_PORT, metavar="PORT", help="UDP: a datagram per question."),
        click.option("--icmp", is_flag=True, help="Ping; what is done without --tcp and --udp."),
        click.option("--ask", metavar="TEXT", help="What to send over TCP and UDP; wait for a line."),
        click.option("--interval", type=_INTERVAL, default=0.2, help="Seconds between questions.", **pace),
        click.option("--timeout", type=_TIMEOUT, default=0.9, help="Then a question is lost.", **pace),
    )


def asking_options(*, brief: bool = False) -> Callable[[Decorated], Decorated]:
    """Add the options, which the function gets as keywords: see `asking_of`. `brief`: the pace is not in the help."""

    def decorate(decorated: Decorated) -> Decorated:
        for option in reversed(_options(brief)):
            decorated = option(decorated)
        return decorated

    return decorate


def asking_of(options: Mapping[str, Any]) -> Asking:
    """What the options mean.

    Raises:
        click.UsageError: they do not go together.
    """
    tcp: Optional[int] = options["tcp"]
    udp: Optional[int] = options["udp"]
    if options["keep"] and tcp is None:
        raise click.UsageError("--keep keeps a connection to the port of --tcp, which is missing")
    if options["ask"] is not None and tcp is None and udp is None:
        raise click.UsageError("--ask is for --tcp and --udp")
    ports: List[Port] = []
    if tcp is not None:
        ports.append(Port("tcp", tcp))
        if options["keep"]:
            ports.append(Port("stream", tcp))
    if udp is not None:
        ports.append(Port("udp", udp))
    if options["icmp"] or not ports:
        ports.append(Port("icmp"))
    return Asking(tuple(ports), options["ask"] or "", options["interval"], options["timeout"])
