"""The instance metadata service, version 2, for this node's identity. The only module that talks to 169.254.169.254.

Facts: AWS, "Use the Instance Metadata Service to access instance metadata" (session tokens, 401 and 403, the IPv6
endpoint).
"""

from __future__ import annotations

import errno
import json
import logging
import re
from typing import Collection, Dict, List, Mapping, NamedTuple, Optional

import requests
from urllib3.exceptions import HTTPError

from aws_ipfailover.deadline import Deadline, Task
from aws_ipfailover.errors import Error, UnknownError
from aws_ipfailover.redaction import keep_secret

log = logging.getLogger(__name__)

# Seconds for all tries of one request whose answer EC2 can give too; a working IMDS answers in milliseconds.
_PATIENCE = 5.0
_TIMEOUT = 2.0
_TOKEN_SECONDS = 300
_LARGEST = 64 * 1024  # bytes of an answer; credentials, the longest, have some two thousand
_MAC = "[0-9a-f]{2}(:[0-9a-f]{2}){5}"
_VPC = "vpc-[0-9a-z]+"
_INSTANCE = "i-[0-9a-f]{8,17}"
_SUBNET = "subnet-[0-9a-f]{8,17}"
_ENI = "eni-[0-9a-f]{8,17}"
_REGION = "[a-z]{2,}(-[a-z]+)+-[0-9]{1,2}"
_IN_HEADERS = "[!-~]{1,4096}"  # a session token of IMDS has some sixty characters, one of a role over a thousand
_ROLE = r"[\w+=,.@-]{1,64}"
_OBJECT = r"(?s)\{.*\}"  # of JSON
_LIST = r"[0-9a-fA-F.:/\s]+"  # of addresses or CIDRs
_ANYTHING = "(?s).*"


class Credentials(NamedTuple):
    """Temporary credentials of the instance's role."""

    access_key_id: str
    secret_access_key: str
    session_token: str

    def __repr__(self) -> str:
        """Text without any of the secrets."""
        return "Credentials(...)"


class Imds:
    """One session with IMDS: one token, kept in memory only. It uses no proxy, even if the environment sets one.

    `otherwise`: a URL that is asked if this node has no route to `url`, which the kernel says at once. It is used from
    then on if it answers.

    Every method but the constructor raises `UnknownError` without a usable answer, and `Error` if IMDS is switched off.
    """

    def __init__(self, url: str, deadline: Deadline, otherwise: Optional[str] = None) -> None:
        self._url = url
        self._otherwise = otherwise
        self._deadline = deadline
        self._session = requests.Session()
        self._session.trust_env = False  # no proxies, no .netrc
        self._token = ""
        self._known: Dict[str, Optional[str]] = {}
        self._silent: Optional[Error] = None
        self._has_answered = False
        # Whether EC2 can answer instead, but for credentials: then a request is given up after `_PATIENCE`, or a third
        # of the time. What nobody else can tell is asked for until the deadline.
        self.is_dispensable = False

    def primary_mac(self) -> str:
        """The MAC address of the instance's primary ENI, lower case."""
        return self._required("meta-data/mac", f"(?i){_MAC}").lower()

    def network_interface_id(self, mac: str) -> Optional[str]:
        """The ENI with this MAC address, or `None` where IMDS does not know it."""
        return self._get(f"meta-data/network/interfaces/macs/{mac}/interface-id", _ENI)

    def instance_id(self) -> str:
        """The id of this instance."""
        return self._required("meta-data/instance-id", _INSTANCE)

    def subnet_cidrs(self, mac: str) -> List[str]:
        """The CIDRs of the subnet that the ENI with this MAC address is in, IPv4 and IPv6."""
        listed = ""
        for key in ("subnet-ipv4-cidr-block", "subnet-ipv6-cidr-blocks"):
            listed += (self._get(f"meta-data/network/interfaces/macs/{mac}/{key}", _LIST) or "") + "\n"
        return listed.split()

    def addresses(self, mac: str) -> List[str]:
        """The private addresses of the ENI with this MAC address, IPv4 and IPv6, as IMDS lists them now.

        An IMDS that has told something is asked again for these also after it has been silent.
        """
        if self._has_answered and isinstance(self._silent, UnknownError):
            self._silent = None
        listed = ""
        for key in ("local-ipv4s", "ipv6s"):
            listed += (self._get(f"meta-data/network/interfaces/macs/{mac}/{key}", _LIST, anew=True) or "") + "\n"
        return listed.split()

    def prefixes(self, mac: str, versions: Collection[int]) -> List[str]:
        """The prefixes of these IP versions that are delegated to the ENI with this MAC address."""
        listed = ""
        for version in sorted(versions):
            path = f"meta-data/network/interfaces/macs/{mac}/ipv{version}-prefix"
            listed += (self._get(path, _LIST) or "") + "\n"  # 404 where there is none
        return listed.split()

    def subnet_id(self, mac: str) -> Optional[str]:
        """The subnet that the ENI with this MAC address is in, or `None` where IMDS does not know it."""
        return self._get(f"meta-data/network/interfaces/macs/{mac}/subnet-id", _SUBNET)

    def region(self) -> str:
        """The region of this instance."""
        found = self._get("meta-data/placement/region", _REGION)
        return found or self._required("meta-data/placement/availability-zone", _REGION + "[a-z]")[:-1]

    def vpc_id(self, mac: str) -> Optional[str]:
        """The VPC of the ENI with this MAC address, or `None` where IMDS does not tell it."""
        return self._get(f"meta-data/network/interfaces/macs/{mac}/vpc-id", _VPC)

    def vpc_cidrs(self, mac: str) -> List[str]:
        """Every CIDR of the VPC that the ENI with this MAC address is in, as far as IMDS lists them."""
        listed = ""
        for key in ("vpc-ipv4-cidr-blocks", "vpc-ipv6-cidr-blocks"):
            listed += (self._get(f"meta-data/network/interfaces/macs/{mac}/{key}", _LIST) or "") + "\n"
        return listed.split()

    def credentials(self) -> Optional[Credentials]:
        """Credentials of the instance's role, or `None` where it has none."""
        roles = self._get("meta-data/iam/security-credentials/", _ROLE + r"(\s+\S+)*", anew=True, only_here=True)
        role = (roles or "").partition("\n")[0].strip()
        if not role:
            return None
        try:
            text = self._get(f"meta-data/iam/security-credentials/{role}", _OBJECT, anew=True, only_here=True)
            answer = json.loads(text or "{}")
            found = Credentials(answer["AccessKeyId"], answer["SecretAccessKey"], answer["Token"])
            if all(re.fullmatch(_IN_HEADERS, text) for text in found):
                return found
        except (ValueError, KeyError, TypeError):
            pass
        raise UnknownError("IMDS gave no usable credentials for the instance's role")

    def _required(self, path: str, pattern: str = _ANYTHING) -> str:
        value = self._get(path, pattern)
        if value is None:
            raise UnknownError(f"IMDS does not know {path} (404)")
        return value

    def _get(
        self, path: str, pattern: str = _ANYTHING, *, anew: bool = False, only_here: bool = False
    ) -> Optional[str]:
        """The text at `path`, `None` for 404; asked once per session, or again with `anew`.

        `only_here`: EC2 cannot tell it, so that all the time is given to it.

        An answer that `pattern` does not match as a whole, such as a broken proxy's page, is none: it is asked again.

        Raises:
            UnknownError: no answer, or an unusable one.  Error: IMDS is switched off for this instance. After either,
                this session sends no more requests and raises the same error for each.
        """
        if self._silent is not None:
            raise self._silent
        if anew or path not in self._known:
            left = self._deadline.remaining()
            patient = only_here or not self.is_dispensable
            deadline = self._deadline.within(left if patient else min(_PATIENCE, left / 3))
            asking = Task(lambda: self._ask_until(path, pattern, deadline))
            try:
                # A second longer, so that the error of the request itself arrives first.
                self._known[path] = asking.result(self._deadline.within(deadline.remaining() + 1), f"IMDS: {path}")
                self._has_answered = True
            except Error as error:
                self._silent = error
                raise
        return self._known[path]

    def _ask_until(self, path: str, pattern: str, deadline: Deadline) -> Optional[str]:
        poll = deadline.poll(first=0.2, longest=2.0, factor=2)
        while True:
            try:
                return self._ask_once(path, pattern, deadline)
            except UnknownError as error:
                if not poll.wait():
                    raise
                log.info("%s; asking again", error)

    def _ask_once(self, path: str, pattern: str, deadline: Deadline) -> Optional[str]:
        found = self._ask(path, deadline)
        if found is not None and not re.fullmatch(pattern, found):
            raise UnknownError(f"IMDS: {path} is not of the expected form")
        return found

    def _ask(self, path: str, deadline: Deadline) -> Optional[str]:
        fresh = not self._token
        if fresh:
            self._token = self._fetch_token(deadline)
        answer = self._send("GET", path, {"X-aws-ec2-metadata-token": self._token}, deadline)
        if answer.status == 404:
            return None
        if answer.status == 401:
            self._token = ""
            if not fresh:
                return self._ask(path, deadline)  # only once, because the next token is fresh
        text = self._accepted(answer, path).strip()
        if not text:
            raise UnknownError(f"IMDS: empty answer for {path}")
        return text

    def _fetch_token(self, deadline: Deadline) -> str:
        header = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_SECONDS)}
        answer = self._send("PUT", "api/token", header, deadline)
        token = self._accepted(answer, "api/token").strip()
        if not re.fullmatch(_IN_HEADERS, token):
            raise UnknownError("IMDS: no usable session token")
        keep_secret(token)
        return token

    def _accepted(self, answer: _Answer, path: str) -> str:
        if answer.status == 200:
            return answer.text
        if answer.status == 403:
            raise Error(f"IMDS is switched off (403 for {path}): switch it on, or set parameters region and profile")
        raise UnknownError(f"IMDS: status {answer.status} for {path}")

    def _send(self, method: str, path: str, headers: Mapping[str, str], deadline: Deadline) -> _Answer:
        try:
            return self._send_to(self._url, method, path, headers, deadline)
        except _NoRouteError as error:
            if self._otherwise is None:
                raise
            log.info("%s at %s, asking %s", error, self._url, self._otherwise)
            # A system that is starting can have a route a moment later: what does not answer is not used again.
            answer = self._send_to(self._otherwise, method, path, headers, deadline)
            self._url, self._otherwise = self._otherwise, None
            return answer

    def _send_to(self, url: str, method: str, path: str, headers: Mapping[str, str], deadline: Deadline) -> _Answer:
        timeout = max(0.05, deadline.remaining(_TIMEOUT))
        try:
            with self._session.request(
                method,
                f"{url}/latest/{path}",
                headers={**headers, "Accept-Encoding": "identity"},
                timeout=timeout,
                allow_redirects=False,
                stream=True,
            ) as answer:
                return _Answer(answer.status_code, _read(answer))
        except (requests.RequestException, HTTPError) as error:
            if _is_without_route(error):
                raise _NoRouteError("IMDS does not answer: this node has no route to it") from None
            # Without the error's own text, which could quote a header.
            raise UnknownError(f"IMDS does not answer ({type(error).__name__})") from None


# What the kernel answers at once to a connection that it has no route, or no address of the IP version, for.
_NO_ROUTE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class _NoRouteError(UnknownError):
    """The kernel has no route to IMDS."""


def _is_without_route(error: BaseException) -> bool:
    """Whether a request failed because the kernel has no route; the libraries wrap its answer several times."""
    seen: List[BaseException] = []
    left: List[object] = [error]
    while left:
        one = left.pop()
        if not isinstance(one, BaseException) or one in seen:
            continue
        if isinstance(one, OSError) and one.errno in _NO_ROUTE:
            return True
        seen.append(one)
        left += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return False


class _Answer(NamedTuple):
    """The status and the whole text of an answer."""

    status: int
    text: str


def _read(answer: requests.Response) -> str:
    """The text of an answer of at most `_LARGEST`, as it was sent: a small compressed one can be a huge text."""
    if answer.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise UnknownError("IMDS: an answer is encoded, which was not asked for")
    body = b""
    while len(body) <= _LARGEST:
        part = answer.raw.read(_LARGEST + 1 - len(body), decode_content=False)
        if not part:
            return body.decode("utf-8", "replace")
        body += part
    raise UnknownError(f"IMDS: an answer has more than {_LARGEST // 1024} KiB")
