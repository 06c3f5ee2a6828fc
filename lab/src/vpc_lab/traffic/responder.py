"""A process on each cluster node that answers "who are you?" with the node's name.

    python -m vpc_lab.traffic.responder --name node1 --port 7777 --ttl 240

It listens on the wildcard addresses of both families, over TCP and UDP, so an address is served from the moment the
kernel has it, and no longer than that. A question is one line; the answer is the node's name, the time at which it was
given (wall time in seconds since the epoch: all of a lab has one clock), and the question again, with blanks between.
A TCP connection may carry any number of questions. A UDP answer leaves from the address that was asked: the wildcard
alone would let the kernel choose, and it would choose the instance's own address.

ICMP is the kernel's to answer. To tell the nodes apart there, `--ttl` is written to this network namespace's
`net.ipv4.ip_default_ttl` and to `net.ipv6.conf.*.hop_limit` (`default`, for devices that come later, included), before
anything listens; `vpc_lab.traffic.ttl` says how a consumer reads it. Nothing outside the network namespace changes.
"""

from __future__ import annotations

import argparse
import contextlib
import selectors
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Callable, List, Optional, Sequence

IP_PKTINFO = 8  # <linux/in.h>; Python's socket module has only the IPv6 names
IN_PKTINFO = struct.Struct("=i4s4s")  # struct in_pktinfo: interface index, local address, header's destination
IN6_PKTINFO = struct.Struct("=16sI")  # struct in6_pktinfo: address, interface index
LONGEST_QUESTION = 512
# How many connections or datagrams of one listener are taken before the others have their turn. With one at a time, a
# family that has more addresses waits longer than the other one on a busy machine: at last longer than consumers wait.
AT_ONCE = 64

Ready = Callable[[int], None]


def sign_packets(ttl: int, sysctl: Path = Path("/proc/sys/net")) -> None:
    """Let every packet of this network namespace start with `ttl`. Raises OSError when the kernel refuses."""
    (sysctl / "ipv4/ip_default_ttl").write_text(f"{ttl}\n")
    for device in (sysctl / "ipv6/conf").glob("*/hop_limit"):
        # A device may go while we walk; one that comes later starts from `default`.
        with contextlib.suppress(FileNotFoundError):
            device.write_text(f"{ttl}\n")


def answer(name: str, question: bytes) -> bytes:
    """The answer to one question, given now: the name, the time, and the question, by which the two are matched."""
    return b"%s %.6f %s\n" % (name.encode(), time.time(), question.strip()[:LONGEST_QUESTION])


class Connection:
    """One accepted TCP connection: lines in, lines out, until the other side closes."""

    def __init__(self, accepted: socket.socket, name: str, selector: selectors.BaseSelector) -> None:
        self._socket = accepted
        self._name = name
        self._selector = selector
        self._received = b""
        accepted.setblocking(False)
        selector.register(accepted, selectors.EVENT_READ, self.ready)

    def ready(self, _events: int) -> None:
        """Read what is there, answer each full line. Any error closes this connection and no other."""
        try:
            if self._answer():
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._selector.unregister(self._socket)
        self._socket.close()

    def _answer(self) -> bool:
        """Whether the connection goes on. Raises OSError as the socket does."""
        received = self._socket.recv(4096)
        *questions, self._received = (self._received + received).split(b"\n")
        if questions:
            # Far smaller than a send buffer: a peer that never reads its answers stalls, and blocks nobody else.
            self._socket.send(b"".join(answer(self._name, question) for question in questions))
        return bool(received) and len(self._received) <= LONGEST_QUESTION


def tcp_listener(family: int, port: int, name: str, selector: selectors.BaseSelector) -> None:
    """Accept TCP connections of `family` on the wildcard address."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.bind(("", port))
    listener.listen(128)
    listener.setblocking(False)

    def ready(_events: int) -> None:
        for _ in range(AT_ONCE):
            try:
                accepted, _sender = listener.accept()
            except BlockingIOError:
                return
            except OSError:  # a connection that was reset while it waited: the next one must not suffer for it
                continue
            Connection(accepted, name, selector)

    selector.register(listener, selectors.EVENT_READ, ready)


def udp_listener(family: int, port: int, name: str, selector: selectors.BaseSelector) -> None:
    """Answer datagrams of `family` on the wildcard address, each from the address it was sent to."""
    listener = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        listener.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    listener.bind(("", port))
    listener.setblocking(False)

    def ready(_events: int) -> None:
        for _ in range(AT_ONCE):
            try:
                question, ancillary, _flags, sender = listener.recvmsg(LONGEST_QUESTION, socket.CMSG_SPACE(64))
            except BlockingIOError:
                return
            except OSError:  # what the network said of an earlier answer
                continue
            asked = [
                (level, kind, answer_from(data))
                for level, kind, data in ancillary
                if (level, kind) in ((socket.IPPROTO_IP, IP_PKTINFO), (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO))
            ]
            # The address may have left this node since the question arrived: then no answer can leave from it, rightly.
            with contextlib.suppress(OSError):
                listener.sendmsg([answer(name, question)], asked, 0, sender)

    selector.register(listener, selectors.EVENT_READ, ready)


def answer_from(pktinfo: bytes) -> bytes:
    """Turn the packet information of a received question into that of its answer: same address, any interface.

    The interface is left to the routing table: which way back is the network's business, the source address is ours.
    """
    if len(pktinfo) == IN6_PKTINFO.size:
        address, _index = IN6_PKTINFO.unpack(pktinfo)
        return IN6_PKTINFO.pack(address, 0)
    _index, local, _destination = IN_PKTINFO.unpack(pktinfo)
    return IN_PKTINFO.pack(0, local, b"\0\0\0\0")


def serve(name: str, port: int, stop: socket.socket) -> None:
    """Answer until `stop` becomes readable. Raises OSError when the port is taken."""
    selector = selectors.DefaultSelector()
    stopping: List[int] = []
    selector.register(stop, selectors.EVENT_READ, stopping.append)
    for family in (socket.AF_INET, socket.AF_INET6):
        tcp_listener(family, port, name, selector)
        udp_listener(family, port, name, selector)
    sys.stdout.write(f"{name} answers on port {port}\n")
    sys.stdout.flush()
    while not stopping:
        for key, events in selector.select():
            ready: Ready = key.data
            ready(events)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Parse the command line, sign the namespace's packets, answer until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="responder", description='answer "who are you?" on every address')
    parser.add_argument("--name", required=True, help="what to answer")
    parser.add_argument("--port", type=int, default=7777)
    parser.add_argument("--ttl", type=int, help="TTL and hop limit of this network namespace, which sign ICMP answers")
    arguments = parser.parse_args(argv)
    stop, wake = socket.socketpair()
    wake.setblocking(False)
    # Python writes the signal's number to this socket: the one wake-up of the loop that cannot be lost.
    signal.set_wakeup_fd(wake.fileno())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        if arguments.ttl is not None:
            sign_packets(arguments.ttl)
        serve(arguments.name, arguments.port, stop)
    except OSError as error:
        sys.stderr.write(f"responder: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
