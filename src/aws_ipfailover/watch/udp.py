"""Asks over UDP: a socket for each question, so that an ICMP error finds its question."""

from __future__ import annotations

import contextlib
import selectors
import socket

from aws_ipfailover.watch.answers import parse_answer
from aws_ipfailover.watch.exchange import NUMBERED
from aws_ipfailover.watch.failures import failure_of
from aws_ipfailover.watch.prober import Prober

IP_RECVERR = 11  # <linux/in.h>
IPV6_RECVERR = 25  # <linux/in6.h>


class UdpProber(Prober):
    """A connected socket for each question: only an answer from the address that was asked arrives."""

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
            # An empty datagram is one that many servers drop.
            datagram.send(self._exchange.message(sequence) or NUMBERED.message(sequence))
        except OSError as error:
            self._outcomes.failed("udp", sequence, failure_of(error))
