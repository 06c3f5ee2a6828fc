"""Asks by ICMP echo requests."""

from __future__ import annotations

import secrets
import selectors
import socket
import struct
from ipaddress import ip_address
from typing import Mapping

from aws_ipfailover.watch.addresses import Address
from aws_ipfailover.watch.echo import ICMP6_ECHO, ICMP_ECHO, echo_request, parse_icmp, parse_icmp6
from aws_ipfailover.watch.failures import failure_of
from aws_ipfailover.watch.outcomes import Outcomes
from aws_ipfailover.watch.ttl import node_of


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
