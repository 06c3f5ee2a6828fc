"""A small threaded HTTP/1.1 server with keep-alive, for services that can also refuse, hang, reset and cut off.

One thread a connection: enough for a lab, and a thread that hangs on purpose hurts nobody.
"""

from __future__ import annotations

import logging
import socket
import ssl
import struct
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Set, Tuple, Union

from vpc_lab.ec2.reply import Reply

logger = logging.getLogger(__name__)
MOST_HEADER_BYTES = 65536
MOST_BODY_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class HttpRequest:
    """A request; header names in lower case. `caller` is the address it came from."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    caller: str


Handler = Callable[[HttpRequest], Reply]

# Seconds of silence after which a caller counts as gone.
_GONE = 30
# Host and port, or the path of a Unix socket.
Endpoint = Union[Tuple[str, int], Path]


class HttpServer:
    """Listens on all given addresses until closed.

    `refuses(caller)` decides whether a new connection is reset at once. With an `SSLContext`, connections are TLS.
    The sockets belong to the network namespace that the constructing thread is in.
    """

    def __init__(
        self,
        handler: Handler,
        addresses: Sequence[Endpoint],
        *,
        tls: Optional[ssl.SSLContext] = None,
        refuses: Callable[[str], bool] = lambda caller: False,
    ) -> None:
        self._handler = handler
        self._tls = tls
        self._refuses = refuses
        self._lock = Lock()
        self._open: Set[socket.socket] = set()
        self.closing = Event()
        self._listeners: List[socket.socket] = []
        try:
            for address in addresses:
                self._listeners.append(_listen(address))
        except OSError:
            for listener in self._listeners:
                listener.close()
            raise
        self._threads = [
            Thread(target=self._accept, args=(listener,), name="aws-accept", daemon=True)
            for listener in self._listeners
        ]
        for thread in self._threads:
            thread.start()

    @property
    def addresses(self) -> Tuple[Tuple[str, int], ...]:
        """Where it listens: host and port, the real one where 0 was asked for. Unix sockets are not listed."""
        return tuple(
            (name[0], name[1])
            for name in (listener.getsockname() for listener in self._listeners)
            if isinstance(name, tuple)
        )

    def close(self) -> None:
        """Stop listening and end every connection, also those that hang on purpose."""
        self.closing.set()
        for listener in self._listeners:
            _shut(listener)
            listener.close()
        with self._lock:
            left = list(self._open)
        for connection in left:
            _shut(connection)
        for thread in self._threads:
            thread.join(timeout=5)

    def _accept(self, listener: socket.socket) -> None:
        while not self.closing.is_set():
            try:
                connection, peer = listener.accept()
            except OSError:
                return
            caller = str(peer[0]).replace("::ffff:", "") if isinstance(peer, tuple) else "local"
            if self._refuses(caller):
                _reset(connection)
                continue
            Thread(target=self._serve, args=(connection, caller), name="aws-connection", daemon=True).start()

    def _serve(self, plain: socket.socket, caller: str) -> None:
        connection = plain
        with self._lock:
            self._open.add(plain)
        try:
            if plain.family != socket.AF_UNIX:
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _end_with_its_caller(plain)
            if self._tls is not None:
                plain.settimeout(30)
                connection = self._tls.wrap_socket(plain, server_side=True)
                with self._lock:
                    self._open.discard(plain)
                    self._open.add(connection)
                connection.settimeout(None)
            reader = _Reader(connection)
            while not self.closing.is_set():
                request = reader.request(caller)
                if request is None or not self._reply(connection, request):
                    break
        except (OSError, ValueError) as error:
            # The other side went away, or does not speak HTTP or TLS: its problem, and often the point of a test.
            logger.debug("connection from %s ended: %s", caller, error)
        finally:
            with self._lock:
                self._open.discard(plain)
                self._open.discard(connection)
            connection.close()

    def _reply(self, connection: socket.socket, request: HttpRequest) -> bool:
        """Answer; False when the connection is over."""
        try:
            reply = self._handler(request)
        except Exception:
            logger.exception("%s %s failed", request.method, request.path)
            reply = Reply(500, b"the lab's service failed; see its log")
        if reply.latency > 0:
            self.closing.wait(reply.latency)
        # Before it is sent: who has an answer in hand can rely on finding it in the log.
        if reply.answered is not None:
            reply.answered()
        return self._send(connection, request, reply)

    def _send(self, connection: socket.socket, request: HttpRequest, reply: Reply) -> bool:
        if reply.transport == "hang":
            while connection.recv(65536):
                pass
            return False
        if reply.transport == "reset":
            _reset(connection)
            return False
        if reply.transport == "close":
            return False
        ending = request.headers.get("connection", "").lower() == "close"
        try:
            phrase = HTTPStatus(reply.status).phrase
        except ValueError:
            phrase = "Unknown"
        lines = [f"HTTP/1.1 {reply.status} {phrase}", "Server: AmazonEC2"]
        headers = {"Date": formatdate(usegmt=True), **reply.headers}
        lines.extend(f"{name}: {value}" for name, value in headers.items())
        lines.append(f"Content-Length: {len(reply.body)}")
        if ending:
            lines.append("Connection: close")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        if reply.transport == "truncate":
            connection.sendall(head + reply.body[: len(reply.body) // 2])
            return False
        connection.sendall(head + (b"" if request.method == "HEAD" else reply.body))
        return not ending


class _Reader:
    """Reads requests from one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""

    def request(self, caller: str) -> Optional[HttpRequest]:
        """The next request; None when the other side has closed. Raises ValueError for what is not HTTP."""
        while b"\r\n\r\n" not in self._buffer:
            if len(self._buffer) > MOST_HEADER_BYTES:
                raise ValueError("header too long")
            if not self._more():
                return None
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers: Dict[str, str] = {}
        for line in rest:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding"):
            raise ValueError("chunked requests are not accepted")
        length = int(headers.get("content-length") or 0)
        if not 0 <= length <= MOST_BODY_BYTES:
            raise ValueError("body too long")
        while len(self._buffer) < length:
            if not self._more():
                return None
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        path, _, query = target.partition("?")
        return HttpRequest(method, path, query, headers, body, caller)

    def _more(self) -> bool:
        data = self._connection.recv(65536)
        self._buffer += data
        return bool(data)


def _end_with_its_caller(connection: socket.socket) -> None:
    """Have the kernel end a connection whose other side is gone without a word, as a node that loses its power is.

    Else it stays open for ever, and so does its thread: also one that hangs on purpose.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, max(1, _GONE // 2)),
        (socket.TCP_KEEPINTVL, max(1, _GONE // 6)),
        (socket.TCP_KEEPCNT, 3),
        (socket.TCP_USER_TIMEOUT, 1000 * _GONE),
    ):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _listen(address: Endpoint) -> socket.socket:
    if isinstance(address, Path):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    else:
        listener = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(str(address) if isinstance(address, Path) else address)
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener


def _shut(connection: socket.socket) -> None:
    # Not connected any more: nothing to end.
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _reset(connection: socket.socket) -> None:
    """Close with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
