"""aws/transport.py: what is refused before the SDK parses it, and how large answers take turns."""

from __future__ import annotations

import socket
import ssl
import threading

import pytest
from botocore.awsrequest import AWSRequest

from aws_ipfailover.aws.errors import UnusableAnswer
from aws_ipfailover.aws.transport import (
    LARGEST_ANSWER,
    LARGEST_TOTAL,
    MOST_ELEMENTS,
    Transport,
    _OneAtATime,
    refuse_bombs,
)
from aws_ipfailover.deadline import Deadline
from sandbox import serving


def route(number: int) -> str:
    """A route of a large table, as EC2 describes it."""
    return (
        f"<item><destinationCidrBlock>10.{number // 256}.{number % 256}.0/24</destinationCidrBlock>"
        "<transitGatewayId>tgw-0123456789abcdef0</transitGatewayId><state>active</state><origin>CreateRoute</origin></item>"
    )


def test_the_largest_answer_that_ec2_can_give() -> None:
    """100 route tables, the most that one call describes, of 500 routes each, the quota, are accepted."""
    routes = "".join(map(route, range(500)))
    tables = "".join(
        f"<item><routeTableId>rtb-{number:017x}</routeTableId><routeSet>{routes}</routeSet></item>"
        for number in range(100)
    )
    body = (
        f"<DescribeRouteTablesResponse><routeTableSet>{tables}</routeTableSet></DescribeRouteTablesResponse>".encode()
    )
    assert len(body) < LARGEST_ANSWER
    refuse_bombs(body, Deadline(60))


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"<a>" + b"<b/>" * MOST_ELEMENTS + b"</a>", "elements"),
        (b"<a>" + b"<b c='' d=''/>" * 50_000 + b"</a>", "attributes"),
        (b"<a>" + b"".join(b"<b%d/>" % number for number in range(3000)) + b"</a>", "names"),
        (b"<a>" * 100 + b"</a>" * 100, "within each other"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "document type"),
        ('<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a><a/>'.encode("utf-16"), "document type"),
    ],
    ids=["elements", "attributes", "names", "depth", "entities", "another encoding"],
)
def test_a_document_that_is_refused(body: bytes, problem: str) -> None:
    """Too many elements, too deep, or with a document type of its own, in any encoding."""
    with pytest.raises(UnusableAnswer, match=problem):
        refuse_bombs(body, Deadline(60))


@pytest.mark.parametrize("body", [b"", b"no XML", b"<a><b>", b"<a>" + b"<b/>" * 1000 + b"</a>"])
def test_a_document_that_is_left_to_the_sdk(body: bytes) -> None:
    """What is small, or not well formed."""
    refuse_bombs(body, Deadline(60))


def test_a_document_after_the_deadline() -> None:
    """Nothing is parsed after the deadline."""
    with pytest.raises(UnusableAnswer, match="timeout"):
        refuse_bombs(b"<a/>", Deadline(0))


def test_large_answers_take_turns() -> None:
    """One thread is inside; another waits until it leaves, or gives up at the deadline."""
    turns, inside, entered = _OneAtATime(Deadline(30)), threading.Event(), threading.Event()

    def other() -> None:
        inside.set()
        turns.enter()
        entered.set()
        turns.leave()

    turns.enter()
    turns.enter()
    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(60)
    assert not entered.wait(0.05)
    turns.leave()
    assert entered.wait(60)
    thread.join(10)


def test_a_turn_that_never_comes() -> None:
    """A thread that waits for its turn gives up at the deadline."""
    turns = _OneAtATime(Deadline(0.05))
    turns.enter()
    problems = []

    def other() -> None:
        try:
            turns.enter()
        except UnusableAnswer as error:
            problems.append(str(error))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join(10)
    assert problems == ["other large answers took all of the operation's time"]


def test_all_answers_together_are_bounded() -> None:
    """However many answers a server gives, each of them small enough: the action reads no more than so much of them."""
    body = b"x" * (LARGEST_ANSWER - 1)

    def serve(connection: socket.socket) -> None:
        while connection.recv(65536):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            connection.sendall(body)

    transport = Transport(ssl.create_default_context(), Deadline(60), 1, insecure=False)
    with serving(serve) as (host, port):
        request = AWSRequest("POST", f"http://{host}:{port}/", data=b"").prepare()
        for _ in range(LARGEST_TOTAL // LARGEST_ANSWER):
            assert transport.send(request).content == body
        with pytest.raises(UnusableAnswer, match="all answers together"):
            transport.send(request)


def test_a_proxy_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Host and port; nothing where requests go straight to the server."""
    monkeypatch.setenv("HTTPS_PROXY", "http://somebody:secret@proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "10.0.0.1")
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert Transport.proxy_for("https://ec2.eu-central-1.amazonaws.com") == "proxy.example:3128"
    assert Transport.proxy_for("https://10.0.0.1") == ""


def test_the_date_of_whatever_is_answered() -> None:
    """Also of a refusal; an answer without one has none."""
    dates = iter((b"Date: Sun, 29 Nov 2026 10:00:00 GMT\r\n", b""))

    def serve(connection: socket.socket) -> None:
        while connection.recv(65536):
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\n" + next(dates) + b"Content-Length: 0\r\n\r\n")

    transport = Transport(ssl.create_default_context(), Deadline(60), 1, insecure=False)
    with serving(serve) as (host, port):
        assert transport.date_of(f"http://{host}:{port}/") == "Sun, 29 Nov 2026 10:00:00 GMT"
        assert transport.date_of(f"http://{host}:{port}/") == ""
