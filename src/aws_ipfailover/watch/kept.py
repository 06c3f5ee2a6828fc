"""Asks on one TCP connection that is kept, as a client of a database does.

Where nothing is to be said on the connection, the kernel asks: it sends a keepalive probe a second after the last
acknowledgement, and tells the age of that in `struct tcp_info`. A node that has taken the address over knows nothing of
the connection, and answers the probe by a reset.
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import struct
from typing import Optional

from aws_ipfailover.watch.addresses import Address
from aws_ipfailover.watch.answers import parse_answer
from aws_ipfailover.watch.exchange import NUMBERED, SPEAKS_WITHIN, Exchange
from aws_ipfailover.watch.failures import FAILURES, failure_of
from aws_ipfailover.watch.outcomes import Outcomes
from aws_ipfailover.watch.prober import Prober
from aws_ipfailover.watch.question import Failure

# <linux/tcp.h>, struct tcp_info: eight bytes and twelve words before tcpi_last_ack_recv, which is in milliseconds.
_LAST_ACK = struct.Struct("=56xI")
# Seconds for the acknowledgement of a probe, which leaves one second after the one before.
_ACKNOWLEDGED_WITHIN = 2.5
# Seconds by which the age of an acknowledgement can be too small: it is counted in ticks of the kernel.
_GRANULARITY = 0.02
# Unanswered probes after which the kernel ends the connection: later than this module does.
_MANY = 100


class StreamProber(Prober):
    """One connection that is kept: a question at a time on it, and another connection once it has failed."""

    def __init__(
        self,
        address: Address,
        port: int,
        outcomes: Outcomes,
        selector: selectors.BaseSelector,
        exchange: Exchange = NUMBERED,
    ) -> None:
        super().__init__(address, port, outcomes, selector, exchange)
        self._socket: Optional[socket.socket] = None
        self._number = -1
        self._waiting: Optional[int] = None
        self._received = bytearray()
        # Who is on the other end, by the first line that it said.
        self._name = ""
        # When the question on an idle connection was asked (wall time).
        self._idle_since: Optional[float] = None
        # How a connection ended while no question was under way: for the next one to tell.
        self._ended: Optional[Failure] = None

    def ask(self, sequence: int) -> None:
        """Ask on the connection there is, or on a new one; nothing while an answer is waited for."""
        if self._waiting is not None:
            self._look_for_acknowledgement()
        if self._waiting is not None:
            return
        self._waiting = sequence
        if self._ended is not None:
            ended, self._ended = self._ended, None
            self._outcomes.asked("stream", sequence, self._settled, self._number)
            self._outcomes.failed("stream", sequence, ended)
            return
        if self._socket is not None:
            if self._exchange.message(sequence):
                self._outcomes.asked("stream", sequence, self._settled, self._number)
                self._send()
            else:
                self._idle_since = self._outcomes.now()
                self._outcomes.asked(
                    "stream",
                    sequence,
                    self._settled,
                    self._number,
                    within=_ACKNOWLEDGED_WITHIN,
                    last_look=self._look_for_acknowledgement,
                )
            return
        self._number += 1
        self._received.clear()
        self._name = ""
        self._socket = socket.socket(self._family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        if not self._exchange.message(sequence):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _MANY)
        self._outcomes.asked("stream", sequence, self._settled, self._number)
        code = self._socket.connect_ex(self._target)
        if code in (0, errno.EINPROGRESS):
            self._selector.register(self._socket, selectors.EVENT_WRITE, self._connected)
        else:
            self._broken(FAILURES.get(code, "error"))

    def _look_for_acknowledgement(self) -> None:
        """Whether the other end has acknowledged a probe since the question on an idle connection was asked."""
        if self._socket is None or self._waiting is None or self._idle_since is None:
            return
        told = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_ACK.size)
        at = self._outcomes.now() - _LAST_ACK.unpack(told)[0] / 1000
        if at > self._idle_since + _GRANULARITY:
            self._outcomes.answered("stream", self._waiting, self._name, at=at)

    def _settled(self, answered: bool) -> None:
        self._waiting = None
        self._idle_since = None
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
            self._ended = failure if self._exchange.ends else None
            self._close()
        else:
            self._outcomes.failed("stream", self._waiting, failure)

    def _send(self) -> None:
        if self._socket is not None and self._waiting is not None:
            try:
                self._socket.send(self._exchange.message(self._waiting))
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
        if self._exchange.accepted and self._waiting is not None:
            self._outcomes.accepted("stream", self._waiting, SPEAKS_WITHIN)
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
        if not data:
            self._broken("closed")
        elif self._idle_since is not None or (self._waiting is None and self._exchange.accepted):
            self._received.clear()  # what nobody asked for
        elif b"\n" in self._received and self._waiting is not None:
            name, stamped = parse_answer(bytes(self._received))
            self._received.clear()
            self._name = self._name or name
            self._outcomes.answered("stream", self._waiting, name, stamped)
