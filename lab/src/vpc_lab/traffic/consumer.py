"""Keeps asking addresses "who are you?" over TCP, UDP and ICMP, and writes down each question's outcome.

    python -m vpc_lab.traffic.consumer --address 192.168.10.10 --ttl node1=240 --ttl node2=200

Each protocol of each address has an absolute schedule of its own: question n is due at n intervals after the start,
whatever became of the ones before. A new TCP connection for each question (and a new UDP socket, so that an ICMP error
finds its question) shows what a new client would meet; there is no retry that would hide a gap: a timeout below one
second is shorter than the first retransmission of a SYN. A slot missed for want of CPU is left out, never made up for
in a burst.

The protocol `stream` is a client that keeps its TCP connection, as one of a database does, and has one question under
way at a time: a slot at which it still waits is left out. When the connection is reset or closed, or an answer does not
come within the timeout, it gives that connection up and opens another at the next slot.

Standard output gets one line of JSON for each question, as soon as its outcome is known (`vpc_lab.traffic.question`).
SIGTERM, SIGINT and end of file on a standard input that is a pipe, socket or terminal end the asking; the questions
under way are waited for, at most `--timeout`, everything is flushed, and the exit code is 0.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import secrets
import selectors
import signal
import socket
import struct
import sys
import time
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union, cast

from vpc_lab.traffic.question import PROTOCOLS, Failure, Protocol, Question
from vpc_lab.traffic.ttl import node_of

Address = Union[IPv4Address, IPv6Address]
Ready = Callable[[int], None]
Release = Callable[[bool], None]

IP_RECVERR = 11  # <linux/in.h>
IPV6_RECVERR = 25  # <linux/in6.h>
ICMP_ECHO_REPLY, ICMP_UNREACHABLE, ICMP_ECHO = 0, 3, 8  # RFC 792
ICMP6_UNREACHABLE, ICMP6_ECHO, ICMP6_ECHO_REPLY = 1, 128, 129  # RFC 4443
ECHO = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence
SIGNATURE = struct.Struct("!8sQ")  # this process's random cookie, the question's full sequence number
IPV6_HEADER = 40

FAILURES: Dict[int, Failure] = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EACCES: "unreachable",  # what a "prohibit" route and ICMP "administratively prohibited" become
    errno.ETIMEDOUT: "timeout",
}


def failure_of(error: OSError) -> Failure:
    """The kind of failure that `error` is."""
    return FAILURES.get(error.errno or 0, "error")


class Reply(NamedTuple):
    """An ICMP message that concerns one of our questions: the TTL it arrived with, or None for "unreachable"."""

    sequence: int
    ttl: Optional[int]


@dataclass
class Pending:
    """A question under way. `release` gives back what it holds, and is told if it was answered.

    `deadline` is monotonic.
    """

    sent: float
    deadline: float
    release: Release
    connection: Optional[int]


class Outcomes:
    """The questions to one address under way, and the one place where an outcome becomes a line.

    The first outcome of a question counts; what comes later is ignored.
    """

    def __init__(self, address: Address, timeout: float, write: Callable[[Question], None]) -> None:
        self._address = str(address)
        self._timeout = timeout
        self._write = write
        self._pending: Dict[Tuple[Protocol, int], Pending] = {}

    def asked(self, protocol: Protocol, sequence: int, release: Release, connection: Optional[int] = None) -> None:
        """A question is about to leave."""
        self._pending[protocol, sequence] = Pending(time.time(), time.monotonic() + self._timeout, release, connection)

    def answered(self, protocol: Protocol, sequence: int, node: str, stamped: Optional[float] = None) -> None:
        """`node` answered, by its own time at `stamped`."""
        self._finish(protocol, sequence, time.time(), node, stamped, None)

    def failed(self, protocol: Protocol, sequence: int, failure: Failure) -> None:
        """The question failed."""
        self._finish(protocol, sequence, None, None, None, failure)

    def expire(self, now: float) -> None:
        """Fail the questions whose time was over at `now` (monotonic)."""
        for protocol, sequence in [key for key, pending in self._pending.items() if pending.deadline <= now]:
            self.failed(protocol, sequence, "timeout")

    def next_deadline(self) -> Optional[float]:
        """When the first question under way times out (monotonic), if one is."""
        return min((pending.deadline for pending in self._pending.values()), default=None)

    def _finish(
        self,
        protocol: Protocol,
        sequence: int,
        answered: Optional[float],
        node: Optional[str],
        stamped: Optional[float],
        error: Optional[Failure],
    ) -> None:
        pending = self._pending.pop((protocol, sequence), None)
        if pending is not None:
            pending.release(node is not None)
            self._write(
                Question(
                    protocol, sequence, pending.sent, answered, node, error, stamped, self._address, pending.connection
                )
            )


class TcpProber:
    """A new connection for each question: connect, ask, read one line, close."""

    def __init__(self, address: Address, port: int, outcomes: Outcomes, selector: selectors.BaseSelector) -> None:
        self._family = family_of(address)
        self._target = (str(address), port)
        self._outcomes = outcomes
        self._selector = selector

    def ask(self, sequence: int) -> None:
        """Open the connection; the rest happens as the socket becomes ready."""
        connection = socket.socket(self._family, socket.SOCK_STREAM)
        connection.setblocking(False)
        received = bytearray()

        def close(_answered: bool) -> None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(connection)
            connection.close()

        def connected(_events: int) -> None:
            code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self._outcomes.failed("tcp", sequence, FAILURES.get(code, "error"))
                return
            try:
                connection.send(b"%d\n" % sequence)
            except OSError as error:
                self._outcomes.failed("tcp", sequence, failure_of(error))
                return
            self._selector.modify(connection, selectors.EVENT_READ, readable)

        def readable(_events: int) -> None:
            try:
                data = connection.recv(1024)
            except BlockingIOError:
                return
            except OSError as error:
                self._outcomes.failed("tcp", sequence, failure_of(error))
                return
            received.extend(data)
            if b"\n" in received:
                self._outcomes.answered("tcp", sequence, *parse_answer(bytes(received)))
            elif not data:
                self._outcomes.failed("tcp", sequence, "closed")

        self._outcomes.asked("tcp", sequence, close)
        code = connection.connect_ex(self._target)
        if code in (0, errno.EINPROGRESS):
            self._selector.register(connection, selectors.EVENT_WRITE, connected)
        else:
            self._outcomes.failed("tcp", sequence, FAILURES.get(code, "error"))


class UdpProber:
    """A connected socket for each question: only an answer from the address that was asked arrives."""

    def __init__(self, address: Address, port: int, outcomes: Outcomes, selector: selectors.BaseSelector) -> None:
        self._family = family_of(address)
        self._target = (str(address), port)
        self._outcomes = outcomes
        self._selector = selector

    def ask(self, sequence: int) -> None:
        """Send one datagram."""
        datagram = socket.socket(self._family, socket.SOCK_DGRAM)
        datagram.setblocking(False)
        # Without it the kernel keeps "host unreachable" from a UDP socket.
        if self._family == socket.AF_INET6:
            datagram.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        else:
            datagram.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)

        def close(_answered: bool) -> None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(datagram)
            datagram.close()

        def readable(_events: int) -> None:
            try:
                data = datagram.recv(1024)
            except BlockingIOError:
                return
            except OSError as error:
                self._outcomes.failed("udp", sequence, failure_of(error))
                return
            self._outcomes.answered("udp", sequence, *parse_answer(data))

        self._outcomes.asked("udp", sequence, close)
        try:
            datagram.connect(self._target)
            self._selector.register(datagram, selectors.EVENT_READ, readable)
            datagram.send(b"%d\n" % sequence)
        except OSError as error:
            self._outcomes.failed("udp", sequence, failure_of(error))


class IcmpProber:
    """Echo requests on one raw socket; the TTL of a reply tells the node.

    Raises PermissionError without CAP_NET_RAW.
    """

    def __init__(
        self, address: Address, nodes: Mapping[str, int], outcomes: Outcomes, selector: selectors.BaseSelector
    ) -> None:
        self._address = address
        self._nodes = nodes
        self._outcomes = outcomes
        self._identifier = secrets.randbelow(1 << 16)
        self._cookie = secrets.token_bytes(8)
        if address.version == 6:
            self._socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        else:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self._socket.setblocking(False)
        selector.register(self._socket, selectors.EVENT_READ, self._readable)

    def ask(self, sequence: int) -> None:
        """Send one echo request."""
        kind = ICMP6_ECHO if self._address.version == 6 else ICMP_ECHO
        message = echo_request(kind, self._identifier, sequence, self._cookie)
        self._outcomes.asked("icmp", sequence, lambda _answered: None)
        try:
            self._socket.sendto(message, (str(self._address), 0))
        except OSError as error:
            self._outcomes.failed("icmp", sequence, failure_of(error))

    def _readable(self, _events: int) -> None:
        while True:
            try:
                packet, ancillary, _flags, sender = self._socket.recvmsg(2048, socket.CMSG_SPACE(4))
            except OSError:
                return  # nothing more to read, or an error that no question can be told from
            if self._address.version == 6:
                limits = [struct.unpack("=i", data)[0] for _, kind, data in ancillary if kind == socket.IPV6_HOPLIMIT]
                reply = parse_icmp6(packet, limits[0] if limits else 0, self._cookie)
            else:
                reply = parse_icmp(packet, self._cookie)
            if reply is None:
                continue
            if reply.ttl is None:
                self._outcomes.failed("icmp", reply.sequence, "unreachable")
            elif ip_address(sender[0]) == self._address:
                node = node_of(reply.ttl, self._nodes)
                self._outcomes.answered("icmp", reply.sequence, node or f"ttl-{reply.ttl}")


class StreamProber:
    """One connection that is kept: a question at a time on it, and another connection once it has failed."""

    def __init__(self, address: Address, port: int, outcomes: Outcomes, selector: selectors.BaseSelector) -> None:
        self._family = family_of(address)
        self._target = (str(address), port)
        self._outcomes = outcomes
        self._selector = selector
        self._socket: Optional[socket.socket] = None
        self._number = -1
        self._waiting: Optional[int] = None
        self._received = bytearray()

    def ask(self, sequence: int) -> None:
        """Ask on the connection there is, or on a new one; nothing while an answer is waited for."""
        if self._waiting is not None:
            return
        self._waiting = sequence
        if self._socket is not None:
            self._outcomes.asked("stream", sequence, self._settled, self._number)
            self._send()
            return
        self._number += 1
        self._received.clear()
        self._socket = socket.socket(self._family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._outcomes.asked("stream", sequence, self._settled, self._number)
        code = self._socket.connect_ex(self._target)
        if code in (0, errno.EINPROGRESS):
            self._selector.register(self._socket, selectors.EVENT_WRITE, self._connected)
        else:
            self._broken(FAILURES.get(code, "error"))

    def _settled(self, answered: bool) -> None:
        self._waiting = None
        if not answered:
            self._close()

    def _close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None

    def _broken(self, failure: Failure) -> None:
        """The connection is no more: a question under way failed, or the next one opens another."""
        if self._waiting is None:
            self._close()
        else:
            self._outcomes.failed("stream", self._waiting, failure)

    def _send(self) -> None:
        if self._socket is not None and self._waiting is not None:
            try:
                self._socket.send(b"%d\n" % self._waiting)
            except OSError as error:
                self._broken(failure_of(error))

    def _connected(self, _events: int) -> None:
        if self._socket is None:
            return
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._broken(FAILURES.get(code, "error"))
            return
        self._selector.modify(self._socket, selectors.EVENT_READ, self._readable)
        self._send()

    def _readable(self, _events: int) -> None:
        if self._socket is None:
            return
        try:
            data = self._socket.recv(1024)
        except BlockingIOError:
            return
        except OSError as error:
            self._broken(failure_of(error))
            return
        self._received.extend(data)
        if b"\n" in self._received and self._waiting is not None:
            answer = bytes(self._received)
            self._received.clear()
            self._outcomes.answered("stream", self._waiting, *parse_answer(answer))
        elif not data:
            self._broken("closed")


Prober = Union[TcpProber, UdpProber, IcmpProber, StreamProber]
_CONNECTED: Mapping[Protocol, Callable[[Address, int, Outcomes, selectors.BaseSelector], Prober]] = {
    "tcp": TcpProber,
    "udp": UdpProber,
    "stream": StreamProber,
}
# What one prober asks: an address, over a protocol.
Line = Tuple[Address, Protocol]


def family_of(address: Address) -> socket.AddressFamily:
    """The socket family of `address`."""
    return socket.AF_INET6 if address.version == 6 else socket.AF_INET


def parse_answer(answer: bytes) -> Tuple[str, Optional[float]]:
    """The node's name in an answer over TCP or UDP, and the node's time; None where it has none."""
    words = answer.split(b" ", 2)
    try:
        stamped = float(words[1])
    except (IndexError, ValueError):
        stamped = None
    return words[0].strip().decode(errors="replace"), stamped


def checksum(message: bytes) -> int:
    """The Internet checksum (RFC 1071). The kernel computes that of ICMPv6 itself."""
    total = sum(struct.unpack(f"!{len(message) // 2}H", message))
    total = (total >> 16) + (total & 0xFFFF)
    folded: int = ~(total + (total >> 16)) & 0xFFFF
    return folded


def echo_request(kind: int, identifier: int, sequence: int, cookie: bytes) -> bytes:
    """An echo request that carries the cookie and the full sequence number."""
    payload = SIGNATURE.pack(cookie, sequence)
    message = ECHO.pack(kind, 0, 0, identifier, sequence & 0xFFFF) + payload
    return ECHO.pack(kind, 0, checksum(message), identifier, sequence & 0xFFFF) + payload


def signed_sequence(message: bytes, kind: int, cookie: bytes) -> Optional[int]:
    """The sequence number in `message` if it is an echo of type `kind` that carries our cookie."""
    if len(message) < ECHO.size + SIGNATURE.size or message[0] != kind:
        return None
    carried: bytes
    sequence: int
    carried, sequence = SIGNATURE.unpack_from(message, ECHO.size)
    return sequence if carried == cookie else None


def parse_icmp(packet: bytes, cookie: bytes) -> Optional[Reply]:
    """What an IPv4 packet from a raw socket (header included) says about one of our questions, if it does."""
    if len(packet) < 20:
        return None
    message = packet[(packet[0] & 0x0F) * 4 :]
    sequence = signed_sequence(message, ICMP_ECHO_REPLY, cookie)
    if sequence is not None:
        return Reply(sequence, packet[8])
    quoted = message[8:]
    if len(quoted) >= 20 and message[0] == ICMP_UNREACHABLE:
        sequence = signed_sequence(quoted[(quoted[0] & 0x0F) * 4 :], ICMP_ECHO, cookie)
        return None if sequence is None else Reply(sequence, None)
    return None


def parse_icmp6(message: bytes, hop_limit: int, cookie: bytes) -> Optional[Reply]:
    """As `parse_icmp`; a raw ICMPv6 socket gives no header, the hop limit comes beside it."""
    sequence = signed_sequence(message, ICMP6_ECHO_REPLY, cookie)
    if sequence is not None:
        return Reply(sequence, hop_limit)
    if message[:1] == bytes([ICMP6_UNREACHABLE]):
        sequence = signed_sequence(message[8 + IPV6_HEADER :], ICMP6_ECHO, cookie)
        return None if sequence is None else Reply(sequence, None)
    return None


def next_slot(elapsed: float, interval: float, last: int) -> int:
    """The slot to wait for, `elapsed` seconds after the start, once slot `last` was asked: missed ones are left out."""
    return max(last + 1, int(elapsed // interval))


class Consumer:
    """Asks on schedule until told to stop, then waits for what is under way."""

    def __init__(self, stop: Sequence[int]) -> None:
        """End of file on, or a signal's number from, a descriptor of `stop` ends the asking."""
        self.selector = selectors.DefaultSelector()
        self._stopping = False
        for descriptor in stop:
            # A regular file and /dev/null cannot be watched: they never end the asking.
            with contextlib.suppress(PermissionError):
                self.selector.register(descriptor, selectors.EVENT_READ, self._stop_at_end(descriptor))

    def _stop_at_end(self, descriptor: int) -> Ready:
        def ready(_events: int) -> None:
            data = os.read(descriptor, 512)
            if not data or descriptor != sys.stdin.fileno():
                self._stopping = True
                self.selector.unregister(descriptor)

        return ready

    def run(self, probers: Mapping[Line, Prober], outcomes: Sequence[Outcomes], interval: float) -> None:
        """Ask until stopped. Spreads the schedules evenly over an interval."""
        start = time.monotonic()
        begins = {line: start + interval * index / len(probers) for index, line in enumerate(probers)}
        slots = dict.fromkeys(probers, 0)
        while True:
            now = time.monotonic()
            for line, prober in probers.items():
                if not self._stopping and begins[line] + slots[line] * interval <= now:
                    slot = next_slot(now - begins[line], interval, slots[line] - 1)
                    prober.ask(slot)
                    slots[line] = slot + 1
            wakes = [] if self._stopping else [begins[line] + slots[line] * interval for line in probers]
            wakes += [deadline for deadline in (each.next_deadline() for each in outcomes) if deadline is not None]
            if not wakes:
                return
            looked = time.monotonic()
            for key, events in self.selector.select(max(0.0, min(wakes) - looked)):
                # A handler before this one may have closed the socket behind this event, and another have its number.
                if self.selector.get_map().get(key.fd) is key:
                    ready: Ready = key.data
                    ready(events)
            # Not what became due while this process had no CPU: an answer may have come, which the next look finds.
            for each in outcomes:
                each.expire(looked)


def signed_node(text: str) -> Tuple[str, int]:
    """NAME=TTL of the command line. Raises argparse.ArgumentTypeError."""
    name, _, ttl = text.partition("=")
    if not name or not ttl.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=TTL")
    return name, int(ttl)


def parse(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="consumer", description='keep asking addresses "who are you?"')
    parser.add_argument(
        "--address", action="append", type=ip_address, required=True, help="IPv4 or IPv6; can be repeated"
    )
    parser.add_argument("--port", type=int, default=7777)
    parser.add_argument("--interval", type=float, default=0.05, help="seconds from question to question, per protocol")
    parser.add_argument("--timeout", type=float, default=0.9, help="seconds until a question counts as lost")
    parser.add_argument("--protocol", action="append", choices=PROTOCOLS, help="default: all")
    parser.add_argument(
        "--ttl", action="append", type=signed_node, default=[], metavar="NAME=TTL", help="who signs how"
    )
    arguments = parser.parse_args(argv)
    if arguments.interval <= 0 or arguments.timeout <= 0:
        parser.error("--interval and --timeout are more than 0")
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
    asked = {address: Outcomes(address, arguments.timeout, write) for address in addresses}
    protocols = cast("List[Protocol]", arguments.protocol or list(PROTOCOLS))
    try:
        consumer = Consumer([stop.fileno(), sys.stdin.fileno()])
        probers: Dict[Line, Prober] = {}
        for address, outcomes in asked.items():
            for protocol in protocols:
                if protocol == "icmp":
                    probers[address, protocol] = IcmpProber(address, dict(arguments.ttl), outcomes, consumer.selector)
                else:
                    prober = _CONNECTED[protocol](address, arguments.port, outcomes, consumer.selector)
                    probers[address, protocol] = prober
        consumer.run(probers, list(asked.values()), arguments.interval)
    except BrokenPipeError:
        return 0  # nobody reads the outcomes any more
    except OSError as error:
        sys.stderr.write(f"consumer: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
