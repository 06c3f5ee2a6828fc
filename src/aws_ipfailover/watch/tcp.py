"""Asks over TCP as a new client: a connection for each question."""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket

from aws_ipfailover.watch.answers import parse_answer
from aws_ipfailover.watch.exchange import LONGEST_ANSWER, SPEAKS_WITHIN
from aws_ipfailover.watch.failures import FAILURES, failure_of
from aws_ipfailover.watch.prober import Prober


class TcpProber(Prober):
    """A new connection for each question: connect, ask, read one line, close; without a line where none has to come."""

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
            if self._exchange.accepted:
                self._outcomes.accepted("tcp", sequence, SPEAKS_WITHIN)
            try:
                connection.send(self._exchange.message(sequence))
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
            if b"\n" in received or len(received) >= LONGEST_ANSWER:
                self._outcomes.answered("tcp", sequence, *parse_answer(bytes(received)))
            elif not data:
                # Also where the connection was accepted: who closes it at once serves nobody.
                self._outcomes.failed("tcp", sequence, "closed")

        self._outcomes.asked("tcp", sequence, close)
        code = connection.connect_ex(self._target)
        if code in (0, errno.EINPROGRESS):
            self._selector.register(connection, selectors.EVENT_WRITE, connected)
        else:
            self._outcomes.failed("tcp", sequence, FAILURES.get(code, "error"))
