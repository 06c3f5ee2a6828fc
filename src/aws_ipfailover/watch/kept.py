"""Asks on one TCP connection that is kept, as a client of a database does."""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
from typing import Optional

from aws_ipfailover.watch.addresses import Address, family_of
from aws_ipfailover.watch.answers import parse_answer
from aws_ipfailover.watch.failures import FAILURES, failure_of
from aws_ipfailover.watch.outcomes import Outcomes
from aws_ipfailover.watch.question import Failure


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
