"""The process of a watch: keeps asking addresses, and writes down each question's outcome.

    python -m aws_ipfailover.watch --address 192.168.10.10 --ttl node1=240 --ttl node2=200
    python -m aws_ipfailover.watch --address 192.168.10.10 --protocol icmp --protocol tcp:22 --accepted --for 60

`aws-ipfailover watch` runs it, and so does the lab, whose judge reads what it writes. Many of them can run beside each
other: it imports nothing that is not needed for asking.

A new TCP connection for each question (and a new UDP socket, so that an ICMP error finds its question) shows what a new
client would meet; there is no retry that would hide a gap: a timeout below one second is shorter than the first
retransmission of a SYN. Each question is asked by the rules of `aws_ipfailover.watch.schedule`.

The protocol `stream` is a client that keeps its TCP connection, as one of a database does, and has one question under
way at a time: a slot at which it still waits is left out. When the connection is reset or closed, or an answer does not
come within the timeout, it gives that connection up and opens another at the next slot.

Standard output gets one line of JSON for each question, as soon as its outcome is known
(`aws_ipfailover.watch.question`). SIGTERM, SIGINT and end of file on a standard input that is a pipe, socket or
terminal end the asking; the questions under way are waited for, at most `--timeout`, everything is flushed, and
the exit code is 0. It is 4, with a sentence on standard error, if it cannot ask.
"""

from __future__ import annotations

import argparse
import math
import selectors
import signal
import socket
import sys
import time
from ipaddress import ip_address
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from aws_ipfailover.watch.addresses import Address
from aws_ipfailover.watch.clock import steady
from aws_ipfailover.watch.exchange import Exchange
from aws_ipfailover.watch.icmp import IcmpProber
from aws_ipfailover.watch.kept import StreamProber
from aws_ipfailover.watch.outcomes import Outcomes
from aws_ipfailover.watch.question import PROTOCOLS, Protocol, Question
from aws_ipfailover.watch.schedule import Consumer, Line, Prober
from aws_ipfailover.watch.tcp import TcpProber
from aws_ipfailover.watch.udp import UdpProber

# Neither 1 nor 3, by which the command `aws-ipfailover watch` tells what it has found, nor 2, a wrong command line.
CANNOT_ASK = 4
_Make = Callable[[Address, int, Outcomes, selectors.BaseSelector, Exchange], Prober]
_CONNECTED: Mapping[Protocol, _Make] = {"tcp": TcpProber, "udp": UdpProber, "stream": StreamProber}


class Asked(NamedTuple):
    """A protocol, and the port if it has one of its own."""

    protocol: Protocol
    port: Optional[int]


def asked_protocol(text: str) -> Asked:
    """PROTOCOL or PROTOCOL:PORT of the command line. Raises argparse.ArgumentTypeError."""
    name, colon, port = text.partition(":")
    found = next((one for one in PROTOCOLS if one == name), None)
    if found is None or (colon and not (port.isdigit() and 0 < int(port) < 1 << 16)):
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(PROTOCOLS)}, nor one of them with :PORT")
    return Asked(found, int(port) if colon else None)


def signed_node(text: str) -> Tuple[str, int]:
    """NAME=TTL of the command line. Raises argparse.ArgumentTypeError."""
    name, _, ttl = text.partition("=")
    if not name or not ttl.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=TTL")
    return name, int(ttl)


def parse(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="watch", description="keep asking addresses")
    parser.add_argument(
        "--address", action="append", type=ip_address, required=True, help="IPv4 or IPv6; can be repeated"
    )
    parser.add_argument("--port", type=int, default=7777)
    parser.add_argument("--interval", type=float, default=0.05, help="seconds from question to question, per protocol")
    parser.add_argument("--timeout", type=float, default=0.9, help="seconds until a question counts as lost")
    parser.add_argument(
        "--protocol",
        action="append",
        type=asked_protocol,
        metavar="PROTOCOL[:PORT]",
        help=f"{', '.join(PROTOCOLS)}; default: all",
    )
    parser.add_argument("--ask", metavar="TEXT", help="what to send; default: the question's number; nothing if empty")
    parser.add_argument("--accepted", action="store_true", help="TCP: a connection that is accepted is an answer")
    parser.add_argument(
        "--ends", action="store_true", help="stream: a connection that ends between two questions is a lost question"
    )
    parser.add_argument("--for", dest="seconds", type=float, default=math.inf, help="seconds; default: without end")
    parser.add_argument("--steady", action="store_true", help="a clock that is set meanwhile changes no time")
    parser.add_argument(
        "--ttl", action="append", type=signed_node, default=[], metavar="NAME=TTL", help="who signs how"
    )
    arguments = parser.parse_args(argv)
    if arguments.interval <= 0 or arguments.timeout <= 0 or arguments.seconds <= 0:
        parser.error("--interval, --timeout and --for are more than 0")
    return arguments


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Ask until SIGTERM, SIGINT or the end of standard input."""
    arguments = parse(argv)
    stop, wake = socket.socketpair()
    wake.setblocking(False)
    # Python writes the signal's number to this socket: the one wake-up of the loop that cannot be lost.
    signal.set_wakeup_fd(wake.fileno())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)

    def write(question: Question) -> None:
        sys.stdout.write(question.to_json() + "\n")
        sys.stdout.flush()

    addresses: List[Address] = arguments.address
    now = steady if arguments.steady else time.time
    asked = {address: Outcomes(address, arguments.timeout, write, now) for address in addresses}
    protocols: List[Asked] = arguments.protocol or [Asked(one, None) for one in PROTOCOLS]
    exchange = Exchange(arguments.ask, arguments.accepted, arguments.ends)
    try:
        consumer = Consumer([stop.fileno(), sys.stdin.fileno()])
        probers: Dict[Line, Prober] = {}
        for address, outcomes in asked.items():
            for protocol, port in protocols:
                prober: Prober
                if protocol == "icmp":
                    prober = IcmpProber(address, dict(arguments.ttl), outcomes, consumer.selector)
                else:
                    make = _CONNECTED[protocol]
                    prober = make(address, port or arguments.port, outcomes, consumer.selector, exchange)
                probers[address, protocol] = prober
        consumer.run(probers, list(asked.values()), arguments.interval, arguments.seconds)
    except BrokenPipeError:
        return 0  # nobody reads the outcomes any more
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return CANNOT_ASK
    return 0


if __name__ == "__main__":
    sys.exit(main())
