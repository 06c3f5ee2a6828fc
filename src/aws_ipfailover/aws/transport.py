"""Sends the requests of the SDK's clients: certificates verified, answers bounded, and nothing later than the deadline.

botocore's own HTTP session verifies nothing where a setting is blank, and reads whatever a server sends. So a session
of the SDK gets this transport by botocore's event `before-send`, whose handler may answer a request itself.

Facts: boto3 guide, "Extensibility guide" (events); botocore.awsrequest.
"""

from __future__ import annotations

import ssl
import threading
from typing import Any, Dict, Optional, Tuple
from urllib.parse import unquote
from xml.parsers import expat

import botocore.session
import urllib3
from botocore import exceptions as sdk
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.utils import get_environ_proxies
from urllib3 import exceptions as http

from aws_ipfailover.aws.errors import UnusableAnswer
from aws_ipfailover.aws.retry import LONGEST_ANSWER
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import Error, ParameterError
from aws_ipfailover.parameters import PLAIN_HTTP, is_insecure

# Bytes of an answer. 100 route tables of 500 routes each, EC2's quota, are about 15 MB.
LARGEST_ANSWER = 32 * 1024 * 1024
# Bytes of all answers to one action. A monitor reads twice what it does not believe.
LARGEST_TOTAL = 2 * LARGEST_ANSWER
# Equals signs, of which each attribute has one: EC2's answers have attributes nowhere but in their first element.
_MOST_EQUALS = 50_000
# XML elements of an answer: those 100 tables have 300,000. The SDK takes some 250 bytes of memory for each.
MOST_ELEMENTS = 600_000
_DEEPEST = 64
# Different names of elements, which the SDK keeps for a while. The answers that this package reads have some 200.
_MOST_NAMES = 2000
_LONGEST_HEADERS = 64 * 1024
# Answers beyond this many bytes are parsed one at a time, so that many parallel calls do not fill the memory.
_SMALL = 256 * 1024
_CHUNK = 64 * 1024
_LONGEST_STEP = 4 * 1024 * 1024


class Transport:
    """Sends requests of botocore; safe to use from many threads.

    `trusted`: the TLS context of all connections, also that to a proxy. `connections`: kept open for each host.
    `insecure`: plain http is not refused.
    """

    def __init__(self, trusted: ssl.SSLContext, deadline: Deadline, connections: int, *, insecure: bool) -> None:
        self._trusted = trusted
        self._deadline = deadline
        self._connections = connections
        self._insecure = insecure
        self._managers: Dict[Optional[str], urllib3.PoolManager] = {}
        self._making = threading.Lock()
        self._large = _OneAtATime(deadline)
        self._total = 0

    def serve(self, session: botocore.session.Session) -> None:
        """Send the requests of every client that `session` makes from now on."""
        session.register("before-send", self.send)  # type: ignore[arg-type]  # the stubs know no answer
        session.register("after-call", self.parsed)
        session.register("after-call-error", self.parsed)

    def send(self, request: AWSPreparedRequest, **_: Any) -> Any:
        """The whole answer to a request, an `AWSResponse`.

        Raises:
            botocore.exceptions.HTTPClientError: of the kind that botocore's own session raises.
            UnusableAnswer: the answer is too large, encoded, no plain XML, or not complete in time.
            ParameterError: the request would be plain http beyond this node, which was not accepted.
        """
        url = str(request.url)
        if is_insecure(url) and not self._insecure:
            raise ParameterError(f"the endpoint {url} {PLAIN_HTTP}")
        limit = self._deadline.within(LONGEST_ANSWER)
        try:
            answer = self._manager(url).urlopen(
                request.method,
                url,
                body=request.body,
                headers={name: _text(value) for name, value in request.headers.items()},
                timeout=_timeout(self._deadline.remaining()),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
                enforce_content_length=True,
            )
            try:
                body = self._read(answer, limit)
            except BaseException:
                answer.close()  # what is left of it must not become the next answer on this connection
                raise
            answer.release_conn()
        except Exception as error:  # noqa: BLE001  translated for botocore
            raise _translated(error, url) from None
        return AWSResponse(url, answer.status, dict(answer.headers), _Whole(body))  # type: ignore[arg-type]

    def date_of(self, url: str) -> str:
        """The `Date` of whatever a server answers to a request without a signature; empty where it tells none.

        Raises:
            as `send`.
        """
        answer = self.send(AWSPreparedRequest("GET", url, HTTPHeaders(), None, False))
        return str(answer.headers.get("Date", ""))

    @staticmethod
    def proxy_for(url: str) -> str:
        """Host and port of the proxy for requests to `url`, without the password that can stand before; or empty."""
        proxy = _proxy_for(url)
        return urllib3.util.parse_url(proxy).netloc or "" if proxy else ""

    def _manager(self, url: str) -> urllib3.PoolManager:
        proxy = _proxy_for(url)
        with self._making:
            if proxy not in self._managers:
                self._managers[proxy] = self._new_manager(proxy)
            return self._managers[proxy]

    def _new_manager(self, proxy: Optional[str]) -> urllib3.PoolManager:
        # The certificate that the context demands is demanded by name as well: some versions of urllib3 go by this.
        options: Dict[str, Any] = {
            "maxsize": self._connections,
            "ssl_context": self._trusted,
            "cert_reqs": "CERT_REQUIRED",
        }
        if proxy is None:
            return urllib3.PoolManager(**options)
        user = urllib3.util.parse_url(proxy).auth
        headers = urllib3.make_headers(proxy_basic_auth=unquote(user)) if user else {}
        return urllib3.ProxyManager(proxy, proxy_headers=headers, proxy_ssl_context=self._trusted, **options)

    def _read(self, answer: urllib3.response.BaseHTTPResponse, limit: Deadline) -> bytes:
        if sum(len(name) + len(value) for name, value in answer.headers.items()) > _LONGEST_HEADERS:
            raise UnusableAnswer(f"an answer has more than {_LONGEST_HEADERS // 1024} KiB of headers")
        encoding = str(answer.headers.get("Content-Encoding", "identity")).strip().lower()
        if encoding not in ("", "identity"):
            raise UnusableAnswer("an answer is encoded, which was not asked for")
        parts, size = [], 0
        while True:
            # Read by http.client, which bounds the lines between the chunks; `stream` of urllib3 does not.
            part = answer.read(_CHUNK, decode_content=False)
            if not part:
                break
            parts.append(part)
            size += len(part)
            if size > LARGEST_ANSWER:
                raise UnusableAnswer(f"an answer has more than {LARGEST_ANSWER // 2**20} MiB")
            self._total += len(part)  # a thread that is interrupted here makes it a little inexact
            if self._total > LARGEST_TOTAL:
                raise UnusableAnswer(f"all answers together have more than {LARGEST_TOTAL // 2**20} MiB")
            if limit.expired:
                raise UnusableAnswer(f"no complete answer in {LONGEST_ANSWER:.0f} s, or before the operation's timeout")
        body = b"".join(parts)
        if size > _SMALL:
            self._large.enter()
        refuse_bombs(body, limit)
        return body

    def parsed(self, **_: object) -> None:
        """Tell that the SDK has parsed this thread's answer, or never will: another large one may be parsed."""
        self._large.leave()


class _OneAtATime:
    """A lock that a thread may enter often, and leaves as a whole, or not having entered it."""

    def __init__(self, deadline: Deadline) -> None:
        self._lock = threading.Lock()
        self._mine = threading.local()
        self._deadline = deadline

    def enter(self) -> None:
        """Wait until no other thread is inside; raises `UnusableAnswer` at the deadline."""
        if not getattr(self._mine, "inside", False):
            if not self._lock.acquire(timeout=self._deadline.remaining()):
                raise UnusableAnswer("other large answers took all of the operation's time")
            self._mine.inside = True

    def leave(self) -> None:
        """Let another thread in."""
        if getattr(self._mine, "inside", False):
            self._mine.inside = False
            self._lock.release()


def refuse_bombs(body: bytes, limit: Deadline) -> None:
    """Refuse a document that the SDK's parser would take too much memory or time for.

    The SDK parses in one go, during which no other thread of this process runs. So it is looked through beforehand, in
    small steps; a document that is not well formed is left to the SDK.

    Raises:
        UnusableAnswer: too many or too deeply nested elements, entities of its own, or the deadline has passed.
    """
    if body.count(b"=") > _MOST_EQUALS:  # expat collects the attributes of an element before it tells of it
        raise UnusableAnswer(f"an answer has more than {_MOST_EQUALS} attributes")
    count = depth = 0

    names = set()

    def opened(name: str, _: object) -> None:
        nonlocal count, depth
        count += 1
        depth += 1
        names.add(name)
        if len(names) > _MOST_NAMES:
            raise UnusableAnswer(f"an answer has elements of more than {_MOST_NAMES} names")
        if count > MOST_ELEMENTS or depth > _DEEPEST:
            raise UnusableAnswer(
                f"an answer has more than {MOST_ELEMENTS} elements, or more than {_DEEPEST} within each other"
            )

    def closed(_: str) -> None:
        nonlocal depth
        depth -= 1

    def typed(*_: object) -> None:
        raise UnusableAnswer("an answer has a document type of its own")

    parser = expat.ParserCreate()
    parser.StartElementHandler = opened
    parser.EndElementHandler = closed
    parser.StartDoctypeDeclHandler = typed
    start, step = 0, _CHUNK
    while start < len(body):
        try:
            parser.Parse(body[start : start + step], False)
        except expat.ExpatError:
            return
        # Longer and longer steps: expat looks through a token that has not ended once more at each of them.
        start, step = start + step, min(2 * step, _LONGEST_STEP)
        if limit.expired:
            raise UnusableAnswer("an answer could not be read before the operation's timeout")


class _Whole:
    """An answer that has been read, as AWSResponse reads it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: object, **__: object) -> Tuple[bytes, ...]:
        """All of it in one part."""
        return (self._body,)


def _timeout(left: float) -> urllib3.Timeout:
    """How long to wait for a connection, and for the next part of an answer, with so many seconds left."""
    return urllib3.Timeout(connect=max(0.5, min(3.0, left / 4)), read=max(0.5, min(15.0, left / 3)))


def _proxy_for(url: str) -> Optional[str]:
    proxies: Dict[str, str] = get_environ_proxies(url)
    found = proxies.get(url.partition(":")[0].lower())
    if not found:
        return None
    return found if found.startswith(("http:", "https:")) else "http://" + found.lstrip("/")


def _text(value: object) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _translated(error: Exception, url: str) -> Exception:
    """The error that botocore's own session raises for one of urllib3, without the text, which can quote a password."""
    about: Dict[str, Any] = {"endpoint_url": url, "error": type(error).__name__}
    if isinstance(error, (Error, UnusableAnswer)):
        return error
    if isinstance(error, http.SSLError):
        return sdk.SSLError(**about)
    if isinstance(error, http.ProxyError):
        return sdk.ProxyConnectionError(proxy_url="***", error=about["error"])
    if isinstance(error, http.NewConnectionError):
        return sdk.EndpointConnectionError(**about)
    if isinstance(error, http.ConnectTimeoutError):
        return sdk.ConnectTimeoutError(**about)
    if isinstance(error, http.ReadTimeoutError):
        return sdk.ReadTimeoutError(**about)
    if isinstance(error, http.ProtocolError):
        return sdk.ConnectionClosedError(**about)
    return sdk.HTTPClientError(error=about["error"])
