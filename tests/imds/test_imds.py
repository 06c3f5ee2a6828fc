"""imds.py against the lab's metadata service, over real sockets."""

from __future__ import annotations

import logging
import socket
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Callable, Iterator, List

import pytest

from aws_ipfailover.aws.imds import Credentials, Imds
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import Error, UnknownError
from sandbox import dribble, ip, need_root, network_namespace, proxy, serving, silent_address
from vpc_lab.ec2 import Fault, RunningAws, running_aws
from vpc_lab.ec2.http import HttpServer
from vpc_lab.ec2.server import imds_server

TOKEN = "/latest/api/token"
MAC = "/latest/meta-data/mac"


@pytest.fixture
def aws() -> Iterator[RunningAws]:
    """The lab's AWS; this process is node1 to its metadata service."""
    with running_aws() as running:
        yield running


@pytest.fixture
def imds(aws: RunningAws) -> Imds:
    """A session."""
    return Imds(aws.imds_url, Deadline(20))


@pytest.fixture
def hasty(aws: RunningAws) -> Imds:
    """A session with little time."""
    return Imds(aws.imds_url, Deadline(0.4))


def asked(aws: RunningAws) -> list[str]:
    """Paths asked so far."""
    return [call.action for call in aws.calls()]


def test_everything_it_is_asked(aws: RunningAws, imds: Imds) -> None:
    """Who this node is: MAC, ENI, region, the VPC's CIDRs, credentials."""
    me, topology = aws.account.instance("node1"), aws.account.topology
    assert imds.primary_mac() == me.mac
    assert imds.network_interface_id(me.mac) == me.network_interface_id
    assert imds.region() == topology.region
    assert imds.vpc_cidrs(me.mac) == [str(topology.cidr), str(topology.ipv6_cidr)]
    credentials = imds.credentials()
    assert credentials is not None
    assert credentials.access_key_id.startswith("ASIA")


def test_delegated_prefixes(aws: RunningAws, imds: Imds) -> None:
    """Those of the IP versions that are asked for, `ipv4-prefix` and `ipv6-prefix`; 404: none. And the subnet."""
    me = aws.account.instance("node1")
    assert imds.prefixes(me.mac, {4, 6}) == []
    assert imds.subnet_id(me.mac) == me.subnet.subnet_id
    assert imds.subnet_id("02:00:00:00:00:99") is None
    assign = {"NetworkInterfaceId": me.network_interface_id}
    aws.api.administer("AssignPrivateIpAddresses", **assign, **{"Ipv4Prefix.1": "10.0.1.16/28"})
    aws.api.administer("AssignPrivateIpAddresses", **assign, **{"Ipv4Prefix.1": "10.0.1.32/28"})
    aws.api.administer("AssignIpv6Addresses", **assign, **{"Ipv6Prefix.1": "2001:db8:1000:1:1::/80"})
    session = Imds(aws.imds_url, Deadline(20))
    assert session.prefixes(me.mac, {4, 6}) == ["10.0.1.16/28", "10.0.1.32/28", "2001:db8:1000:1:1::/80"]
    assert Imds(aws.imds_url, Deadline(20)).prefixes(me.mac, {6}) == ["2001:db8:1000:1:1::/80"]


def test_one_token_for_a_session(aws: RunningAws, imds: Imds) -> None:
    """IMDSv2: one token, by PUT, for all questions of a session; and each thing is asked once."""
    mac = imds.primary_mac()
    for _ in range(2):
        imds.network_interface_id(mac)
        imds.region()
    assert asked(aws).count(TOKEN) == 1
    assert [call.parameters["method"] for call in aws.calls(TOKEN)] == ["PUT"]
    assert len(asked(aws)) == len(set(asked(aws)))


def test_an_expired_token(aws: RunningAws, imds: Imds) -> None:
    """401: a new token is fetched, once, and the question asked again."""
    imds.primary_mac()
    aws.imds.expire_tokens()
    assert imds.region() == aws.account.topology.region
    assert asked(aws).count(TOKEN) == 2


def test_a_token_that_is_never_accepted(aws: RunningAws, hasty: Imds) -> None:
    """401 for a fresh token too: UnknownError in the end, and no endless loop of new tokens."""
    aws.faults.add(Fault("error", service="imds", action="/latest/meta-data/*", status=401))
    with pytest.raises(UnknownError, match="401"):
        hasty.primary_mac()
    assert asked(aws).count(TOKEN) < 20


@pytest.mark.parametrize("path", [TOKEN, MAC])
def test_forbidden(aws: RunningAws, imds: Imds, path: str) -> None:
    """403 is final: metadata is switched off for this instance; it is asked once, and is no UnknownError."""
    aws.faults.add(Fault("error", service="imds", action=path, status=403))
    with pytest.raises(Error, match=r"switched off.*switch it on") as caught:
        imds.primary_mac()
    assert not isinstance(caught.value, UnknownError)
    assert asked(aws).count(path) == 1


def test_switched_off(aws: RunningAws, imds: Imds) -> None:
    """An instance whose metadata is switched off gets 403."""
    aws.imds.disabled.add("node1")
    with pytest.raises(Error, match="403"):
        imds.primary_mac()


def test_not_found(aws: RunningAws, imds: Imds) -> None:
    """404: `None` where that is an answer, UnknownError where the thing has to be there; asked once."""
    assert imds.network_interface_id("02:00:00:00:00:99") is None
    aws.imds.overrides[MAC] = None
    with pytest.raises(UnknownError, match="404"):
        imds.primary_mac()
    assert asked(aws).count(MAC) == 1


@pytest.mark.parametrize("text", ["<html>Please wait</html>", "02:00:00", "é" * 17])
def test_an_answer_of_another_form_is_asked_for_again(aws: RunningAws, text: str) -> None:
    """What is no MAC address is no answer: it is asked for again until the deadline."""
    aws.imds.overrides[MAC] = text
    with pytest.raises(UnknownError, match="not of the expected form"):
        Imds(aws.imds_url, Deadline(1.0)).primary_mac()
    assert asked(aws).count(MAC) > 1


@pytest.mark.parametrize("token", ["<html>Please\nwait</html>", "two words", "x" * 5000, "é"])
def test_a_token_that_no_header_can_carry(token: str) -> None:
    """It is no token: another one is asked for, and the reason says so."""
    asked: List[bytes] = []
    body = token.encode()

    def answer(connection: object) -> None:
        asked.append(connection.recv(65536))  # type: ignore[attr-defined]
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + body)  # type: ignore[attr-defined]

    with serving(answer) as (host, port), pytest.raises(UnknownError, match="no usable session token"):
        Imds(f"http://{host}:{port}", Deadline(1.0)).primary_mac()
    assert len(asked) > 1
    assert all(request.startswith(b"PUT") for request in asked)


def test_no_role(aws: RunningAws, imds: Imds) -> None:
    """An instance without a role has no credentials: `None`."""
    aws.imds.overrides["/latest/meta-data/iam/security-credentials"] = None
    assert imds.credentials() is None


@pytest.mark.parametrize(
    "text",
    [
        *("{}", "nonsense", "[]", '{"Code": "Success"}', '"text"'),
        '{"AccessKeyId": ["A"], "SecretAccessKey": {}, "Token": 1}',
        '{"AccessKeyId": "A", "SecretAccessKey": "b", "Token": ""}',
        '{"AccessKeyId": "A", "SecretAccessKey": "b", "Token": "c\\r\\nd"}',
    ],
)
def test_credentials_that_make_no_sense(aws: RunningAws, hasty: Imds, text: str) -> None:
    """Credentials that cannot be read are an UnknownError, not a crash."""
    aws.imds.overrides["/latest/meta-data/iam/security-credentials/lab-node"] = text
    with pytest.raises(UnknownError):
        hasty.credentials()


def test_region_by_availability_zone(aws: RunningAws, imds: Imds) -> None:
    """Where there is no placement/region, the region is that of the availability zone."""
    aws.imds.overrides["/latest/meta-data/placement/region"] = None
    assert imds.region() == aws.account.topology.region


@pytest.mark.parametrize("path", [TOKEN, MAC])
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "error", "status": 503},
        {"kind": "error", "status": 500},
        {"kind": "error", "status": 429},
        {"kind": "reset"},
        {"kind": "close"},
        {"kind": "empty"},
        {"kind": "html"},
    ],
    ids=str,
)
def test_trouble_that_passes(aws: RunningAws, imds: Imds, path: str, fault: dict[str, object]) -> None:
    """503, resets, empty bodies: asked again, until there is an answer."""
    aws.faults.add(Fault(service="imds", action=path, times=2, **fault))  # type: ignore[arg-type]
    assert imds.primary_mac() == aws.account.instance("node1").mac
    assert asked(aws).count(path) == 3


@pytest.mark.parametrize("path", [TOKEN, MAC])
@pytest.mark.parametrize("kind", ["error", "reset", "close", "empty", "html", "hang", "refuse"])
def test_trouble_that_stays(aws: RunningAws, hasty: Imds, path: str, kind: str) -> None:
    """Trouble that stays is an UnknownError when the deadline comes."""
    aws.faults.add(Fault(kind, service="imds", action=path, status=503))  # type: ignore[arg-type]
    with pytest.raises(UnknownError, match="IMDS"):
        hasty.primary_mac()


PAGE = "<html>Please log in</html>"
TRUE_ANSWERS = {"mac": "02:00:00:00:00:01", "instance-id": "i-0123456789abcdef0", "placement/region": "eu-west-1"}
QUESTIONS: dict[str, Callable[[Imds], str]] = {
    "mac": Imds.primary_mac,
    "instance-id": Imds.instance_id,
    "placement/region": Imds.region,
}


@contextmanager
def answering(token: str, *texts: str) -> Iterator[tuple[str, list[str]]]:
    """A server that answers each PUT with `token` and each GET with the next of `texts`, always with status 200.

    Gives its URL and the first lines of the requests.
    """
    requests: list[str] = []
    answers = list(texts)

    def answer(connection: socket.socket) -> None:
        requests.append(connection.recv(65536).decode().split("\r\n")[0])
        text = token if requests[-1].startswith("PUT") else answers.pop(0)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
        connection.sendall((head + text).encode())

    with serving(answer) as (host, port):
        yield f"http://{host}:{port}", requests


@pytest.mark.parametrize("path", QUESTIONS)
def test_a_page_that_stands_in_once(path: str) -> None:
    """The page of a broken proxy, with status 200, is no answer: asked again, until there is one."""
    with answering("token", PAGE, TRUE_ANSWERS[path]) as (url, _):
        assert QUESTIONS[path](Imds(url, Deadline(20))) == TRUE_ANSWERS[path]


@pytest.mark.parametrize("path", QUESTIONS)
def test_a_page_that_stays(aws: RunningAws, hasty: Imds, path: str) -> None:
    """The page of a broken proxy is never taken for an id, and not repeated in the error."""
    aws.imds.overrides[f"/latest/meta-data/{path}"] = PAGE
    with pytest.raises(UnknownError, match="not of the expected form") as caught:
        QUESTIONS[path](hasty)
    assert "log in" not in str(caught.value)


def test_a_page_instead_of_a_token() -> None:
    """What no session token looks like is none, and is never sent."""
    with answering(PAGE) as (url, requests), pytest.raises(UnknownError, match="no usable session token"):
        Imds(url, Deadline(0.4)).primary_mac()
    assert {line.split()[0] for line in requests} == {"PUT"}


def test_silence() -> None:
    """Packets that are dropped: UnknownError at the deadline."""
    with silent_address() as (host, port), pytest.raises(UnknownError):
        Imds(f"http://{host}:{port}", Deadline(0.3)).primary_mac()


def test_dribbling() -> None:
    """An answer that comes a byte at a time, for ever: UnknownError at the deadline."""
    with serving(dribble) as (host, port), pytest.raises(UnknownError, match="no answer"):
        Imds(f"http://{host}:{port}", Deadline(0.3)).primary_mac()


def test_nobody_listens() -> None:
    """A refused connection: UnknownError."""
    with pytest.raises(UnknownError, match="does not answer"):
        Imds("http://127.0.0.1:9", Deadline(0.3)).primary_mac()


def test_redirects_are_not_followed(aws: RunningAws) -> None:
    """An answer that points elsewhere is not followed: the token would go there."""
    target: list[bytes] = []
    with serving(lambda connection: target.append(connection.recv(4096))) as (host, port):

        def redirect(connection: object) -> None:
            connection.recv(65536)  # type: ignore[attr-defined]
            head = f"HTTP/1.1 302 Found\r\nLocation: http://{host}:{port}/\r\nContent-Length: 0\r\n\r\n"
            connection.sendall(head.encode())  # type: ignore[attr-defined]

        with serving(redirect) as (first, number), pytest.raises(UnknownError, match="302"):
            Imds(f"http://{first}:{number}", Deadline(0.3)).primary_mac()
    assert target == []


def test_ipv6(aws: RunningAws) -> None:
    """The service by an IPv6 address."""
    server = imds_server(aws.imds, [("::1", 0)])
    try:
        host, port = server.addresses[0]
        assert ip_address(host).version == 6
        assert Imds(f"http://[{host}]:{port}", Deadline(20)).primary_mac() == aws.account.instance("node1").mac
    finally:
        server.close()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"])
def test_never_through_a_proxy(aws: RunningAws, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Whatever the proxy variables say, IMDS is asked directly."""
    for other in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(other, raising=False)
    with proxy() as (url, through):
        monkeypatch.setenv(name, url)
        assert Imds(aws.imds_url, Deadline(20)).primary_mac()
        assert through == []


def test_netrc_is_not_read(aws: RunningAws, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """A user's .netrc is none of IMDS's business."""
    from pathlib import Path

    netrc = Path(str(tmp_path)) / "netrc"
    netrc.write_text("default login user password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    heads: list[bytes] = []

    def listen(connection: object) -> None:
        heads.append(connection.recv(65536))  # type: ignore[attr-defined]

    with serving(listen) as (host, port), pytest.raises(UnknownError):
        Imds(f"http://{host}:{port}", Deadline(0.3)).primary_mac()
    assert heads
    assert not [head for head in heads if b"uthorization" in head]


@pytest.mark.parametrize(
    "trouble",
    [
        lambda aws: aws.imds.expire_tokens(),
        lambda aws: aws.faults.add(Fault("error", service="imds", action="/latest/meta-data/*", status=503)),
        lambda aws: aws.faults.add(Fault("reset", service="imds", action="/latest/meta-data/*")),
        lambda aws: aws.faults.add(Fault("error", service="imds", action="/latest/meta-data/*", status=403)),
        lambda aws: aws.faults.add(Fault("truncate", service="imds", action="/latest/meta-data/*")),
    ],
    ids=["expired", "503", "reset", "403", "truncated"],
)
def test_no_token_in_any_error_or_log(
    aws: RunningAws, hasty: Imds, caplog: pytest.LogCaptureFixture, trouble: Callable[[RunningAws], None]
) -> None:
    """Neither token nor credentials are in any error or log line, at any level, of this or any other library."""
    caplog.set_level(logging.DEBUG)
    hasty.primary_mac()
    credentials = hasty.credentials()
    trouble(aws)
    said = ""
    try:
        hasty.region()
    except Error as error:
        said = f"{error} {error!r} {error.__cause__!r}"
    assert credentials is not None
    secrets = [*aws.imds._tokens, hasty._token, credentials.secret_access_key, credentials.session_token]
    for secret in filter(None, secrets):
        assert secret not in said
        assert secret not in caplog.text
    assert credentials.secret_access_key not in f"{credentials} {credentials!r}"


def test_credentials_do_not_show_themselves() -> None:
    """Credentials printed by accident show nothing."""
    shown = f"{Credentials('AKIA1', 'secret', 'token')!r} {Credentials('AKIA1', 'secret', 'token')}"
    assert "secret" not in shown
    assert "token" not in shown


def test_the_addresses_of_an_eni(aws: RunningAws, imds: Imds) -> None:
    """`local-ipv4s` and `ipv6s` of that ENI, asked anew each time: what AWS remaps appears there a moment later."""
    me = aws.account.instance("node1")
    before = imds.addresses(me.mac)
    path = f"/latest/meta-data/network/interfaces/macs/{me.mac}"
    aws.imds.overrides[f"{path}/local-ipv4s"] = "10.0.1.11\n10.0.1.50"
    aws.imds.overrides[f"{path}/ipv6s"] = "2001:db8:1000:1::50"
    assert imds.addresses(me.mac) == ["10.0.1.11", "10.0.1.50", "2001:db8:1000:1::50"]
    assert before != imds.addresses(me.mac)
    aws.imds.overrides[f"{path}/ipv6s"] = None
    assert imds.addresses(me.mac) == ["10.0.1.11", "10.0.1.50"]


@pytest.mark.parametrize("status", [403, 503])
def test_what_is_silent_once_is_not_asked_again(aws: RunningAws, hasty: Imds, status: int) -> None:
    """Switched off or silent is final for a session: every further question fails at once, with the same words."""
    fault = aws.faults.add(Fault("error", service="imds", action="*", status=status))
    with pytest.raises(Error) as first:
        hasty.primary_mac()
    aws.faults.remove(fault)
    asked_before = asked(aws)
    me = aws.account.instance("node1")
    for question in (hasty.instance_id, hasty.region, hasty.credentials, lambda: hasty.addresses(me.mac)):
        with pytest.raises(type(first.value)) as again:
            question()
        assert str(again.value) == str(first.value)
    assert asked(aws) == asked_before


class Clock:
    """A clock that only a pause moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def deadline(self, seconds: float) -> Deadline:
        """A deadline on this clock."""
        return Deadline(seconds, lambda: self.now, self._sleep)


@pytest.mark.parametrize(
    ("seconds", "is_dispensable", "patience"),
    [(180.0, False, 180.0), (180.0, True, 5.0), (9.0, False, 9.0), (9.0, True, 3.0)],
)
def test_what_can_be_done_without_is_not_waited_for_so_long(
    aws: RunningAws, seconds: float, is_dispensable: bool, patience: float
) -> None:
    """ "Retried with jitter until that deadline"; for 5 s or a third of it where EC2 can tell the same."""
    clock = Clock()
    session = Imds(aws.imds_url, clock.deadline(seconds))
    session.is_dispensable = is_dispensable
    aws.faults.add(Fault("error", service="imds", status=503))
    with pytest.raises(UnknownError, match="503"):
        session.primary_mac()
    assert patience - 2.1 < clock.now <= patience


def test_credentials_are_waited_for_as_nobody_else_tells_them(aws: RunningAws) -> None:
    """Credentials get all the time, also where EC2 can tell the rest."""
    clock = Clock()
    session = Imds(aws.imds_url, clock.deadline(180.0))
    session.is_dispensable = True
    aws.faults.add(Fault("error", service="imds", status=503))
    with pytest.raises(UnknownError, match="503"):
        session.credentials()
    assert 177.9 < clock.now <= 180.0


def test_an_imds_that_has_answered_is_asked_again_for_the_addresses_of_an_eni(aws: RunningAws) -> None:
    """A start waits until IMDS lists its address: a silence about something else does not end that."""
    session = Imds(aws.imds_url, Deadline(10.0))
    session.is_dispensable = True
    mac = session.primary_mac()
    fault = aws.faults.add(Fault("error", service="imds", action="*", status=503))
    for question in (session.instance_id, lambda: session.addresses(mac)):
        with pytest.raises(UnknownError, match="503"):
            question()
    aws.faults.remove(fault)
    with pytest.raises(UnknownError, match="503"):  # anything else
        session.instance_id()
    assert "10.0.1.11" in session.addresses(mac)


# -- a node without IPv4 ----------------------------------------------------------------------------------------------

NOWHERE = "http://169.254.169.254"


@pytest.fixture
def without_route() -> Iterator[RunningAws]:
    """The lab's AWS in a network that has only loopback."""
    need_root()
    with network_namespace():
        ip("link", "set", "dev", "lo", "up")
        with running_aws() as running:
            yield running


def test_no_route_to_the_first_endpoint(without_route: RunningAws, caplog: pytest.LogCaptureFixture) -> None:
    """The other one is asked, and used from then on."""
    caplog.set_level(logging.INFO)
    session = Imds(NOWHERE, Deadline(20), without_route.imds_url)
    assert session.primary_mac() == without_route.account.instance("node1").mac
    assert session.region() == without_route.account.topology.region
    assert caplog.text.count("no route") == 1
    assert asked(without_route).count(TOKEN) == 1


def test_a_route_that_comes_later(without_route: RunningAws) -> None:
    """A system that is starting: where the other one does not answer either, the first is asked again, and used."""
    server: List[HttpServer] = []

    class Waiting(Deadline):
        """Its first pause is when the address appears."""

        def pause(self, seconds: float) -> bool:
            if not server:
                ip("address", "add", "169.254.169.254/32", "dev", "lo")
                aws = without_route
                imds = type(aws.imds)(aws.account, lambda _: "node1", faults=aws.faults, calls=aws.calls)
                server.append(imds_server(imds, [("169.254.169.254", 80)]))
            return super().pause(seconds)

        def within(self, seconds: float) -> Deadline:
            return self

    try:
        session = Imds(NOWHERE, Waiting(20), "http://[fd00:ec2::254]")
        assert session.primary_mac() == without_route.account.instance("node1").mac
    finally:
        for one in server:
            one.close()


def test_an_endpoint_that_refuses(aws: RunningAws) -> None:
    """Only a missing route is a reason: an address that answers is where IMDS is."""
    with serving(lambda connection: None) as (host, port):
        pass
    with pytest.raises(UnknownError, match="ConnectionError"):
        Imds(f"http://{host}:{port}", Deadline(0.4), aws.imds_url).primary_mac()
    assert asked(aws) == []


def test_no_route_at_all(without_route: RunningAws) -> None:
    """UnknownError that says so."""
    for otherwise in (None, "http://[fd00:ec2::254]"):
        with pytest.raises(UnknownError, match="no route"):
            Imds(NOWHERE, Deadline(0.4), otherwise).primary_mac()
