"""Asks by ICMP echo requests, over a raw socket where that is permitted, else over a ping socket.

Linux lets the groups of `net.ipv4.ping_group_range` open ping sockets, for IPv6 too. They carry echo requests and their
replies alone; what a router has to say about a request comes by the socket's error queue (`man 7 icmp`, `man 7 ip`).
"""

from __future__ import annotations

import contextlib
import errno
import secrets
import selectors
import socket
import struct
from ipaddress import ip_address
from typing import List, Mapping, Optional, Tuple

from aws_ipfailover.watch.addresses import Address, family_of, socket_address, without_scope
from aws_ipfailover.watch.echo import (
    ICMP6_ECHO,
    ICMP_ECHO,
    Reply,
    echo_request,
    parse_icmp,
    parse_icmp6,
    parse_ping,
    signed_sequence,
)
from aws_ipfailover.watch.failures import failure_of
from aws_ipfailover.watch.outcomes import Outcomes
from aws_ipfailover.watch.ttl import node_of

IP_TTL, IP_RECVERR, IP_RECVTTL = 2, 11, 12  # <linux/in.h>
IPV6_RECVERR = 25  # <linux/in6.h>
NOT_PERMITTED = (
    "ICMP takes root, CAP_NET_RAW, or a group that may open ping sockets:"
    ' sysctl -w net.ipv4.ping_group_range="0 2147483647"; or ask over TCP'
)


class IcmpProber:
    """Echo requests on one socket; the TTL of a reply tells the node.

    Raises PermissionError, with a sentence that says what to do, where neither kind of socket is permitted.
    """

    def __init__(
        self, address: Address, nodes: Mapping[str, int], outcomes: Outcomes, selector: selectors.BaseSelector
    ) -> None:
        self._address = without_scope(address)
        self._target = socket_address(address, 0)
        self._nodes = nodes
        self._outcomes = outcomes
        self._identifier = secrets.randbelow(1 << 16)
        self._cookie = secrets.token_bytes(8)
        self._kind = ICMP6_ECHO if address.version == 6 else ICMP_ECHO
        self._socket, self._is_raw = open_socket(address)
        self._socket.setblocking(False)
        selector.register(self._socket, selectors.EVENT_READ, self._readable)

    def ask(self, sequence: int) -> None:
        """Send one echo request."""
        message = echo_request(self._kind, self._identifier, sequence, self._cookie)
        self._outcomes.asked("icmp", sequence, lambda _answered: None)
        try:
            try:
                self._socket.sendto(message, self._target)
            except OSError:
                if self._is_raw:
                    raise
                # A ping socket tells the error of an earlier request here; that of this one, if it is one, once more.
                self._read_errors()
                self._socket.sendto(message, self._target)
        except OSError as error:
            self._outcomes.failed("icmp", sequence, failure_of(error))

    def _readable(self, _events: int) -> None:
        self._read_errors()
        while True:
            try:
                packet, ancillary, _flags, sender = self._socket.recvmsg(2048, socket.CMSG_SPACE(4))
            except OSError:
                return  # nothing more to read, or an error that no question can be told from
            reply = self._reply(packet, ancillary)
            if reply is None:
                continue
            if reply.ttl is None:
                self._outcomes.failed("icmp", reply.sequence, "unreachable")
            elif without_scope(ip_address(sender[0])) == self._address:
                node = node_of(reply.ttl, self._nodes)
                self._outcomes.answered("icmp", reply.sequence, node or f"ttl-{reply.ttl}")

    def _reply(self, packet: bytes, ancillary: List[Tuple[int, int, bytes]]) -> Optional[Reply]:
        limits = [struct.unpack("=i", data)[0] for _, kind, data in ancillary if kind in (socket.IPV6_HOPLIMIT, IP_TTL)]
        limit: int = limits[0] if limits else 0
        if self._address.version == 6:
            return parse_icmp6(packet, limit, self._cookie)
        return parse_icmp(packet, self._cookie) if self._is_raw else parse_ping(packet, limit, self._cookie)

    def _read_errors(self) -> None:
        """Fail the requests that the error queue of a ping socket tells something about."""
        if self._is_raw:
            return
        with contextlib.suppress(OSError):
            while True:
                # The quoted request; what a router says about it is one of the failures, whatever it says.
                quoted, *_ = self._socket.recvmsg(2048, socket.CMSG_SPACE(128), socket.MSG_ERRQUEUE)
                sequence = signed_sequence(quoted, self._kind, self._cookie)
                if sequence is not None:
                    self._outcomes.failed("icmp", sequence, "unreachable")


def open_socket(address: Address) -> Tuple[socket.socket, bool]:
    """A socket for echo requests to `address`, and whether it is a raw one."""
    is_six = address.version == 6
    protocol = socket.IPPROTO_ICMPV6 if is_six else socket.IPPROTO_ICMP
    try:
        found, is_raw = socket.socket(family_of(address), socket.SOCK_RAW, protocol), True
    except PermissionError:
        try:
            found, is_raw = socket.socket(family_of(address), socket.SOCK_DGRAM, protocol), False
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EPROTONOSUPPORT):
                raise PermissionError(NOT_PERMITTED) from None
            raise
    if is_six:
        found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    if not is_raw:
        found.setsockopt(*((socket.IPPROTO_IPV6, IPV6_RECVERR) if is_six else (socket.IPPROTO_IP, IP_RECVERR)), 1)
        if not is_six:
            found.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
    return found, is_raw
