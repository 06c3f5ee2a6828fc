"""Answers that are meant to hurt: an action ends in time, in little memory, with the code of an answer that is none."""

from __future__ import annotations

import gzip
import socket
import sys
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Tuple

import pytest

from sandbox import Node, Ran, ip, serving
from vpc_lab.waiting import eventually

DEGRADED = 190
TIMEOUT = 10.0  # seconds
LARGEST_MEMORY = 300_000  # kB
MIB = 2**20

# Writes the peak of the memory of what it runs, in kB, to the file of its first argument.
_MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[2:]).returncode
open(sys.argv[1], "w").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""

Send = Callable[[bytes], None]


def document(operation: str, inside: bytes = b"") -> bytes:
    """An answer of EC2 that is well formed."""
    return b"<%(name)sResponse>%(inside)s</%(name)sResponse>" % {b"name": operation.encode(), b"inside": inside}


def plain(send: Send, body: bytes, *headers: bytes) -> None:
    """An answer with its length."""
    lines = [b"HTTP/1.1 200 OK", b"Content-Type: text/xml", b"Content-Length: %d" % len(body), *headers, b"", b""]
    send(b"\r\n".join(lines))
    send(body)


def large(send: Send, operation: str) -> None:
    """100 MB of text."""
    send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n<%sResponse>" % (100 * MIB, operation.encode()))
    for _ in range(100):
        send(b"x" * MIB)


def endless(send: Send, operation: str) -> None:
    """Text without an end, of a length that is not told."""
    send(b"HTTP/1.1 200 OK\r\n\r\n<%sResponse>" % operation.encode())
    while True:
        send(b"x" * MIB)


def chunks_without_end(send: Send, operation: str) -> None:
    """Many large chunks."""
    send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        send(b"%x\r\n%s\r\n" % (MIB, b"x" * MIB))


def a_chunk_whose_length_never_ends(send: Send, operation: str) -> None:
    """The line with the length of a chunk goes on for ever."""
    send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        send(b"0" * MIB)


def a_header_that_never_ends(send: Send, operation: str) -> None:
    """One header for ever."""
    send(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while True:
        send(b"x" * MIB)


def headers_without_end(send: Send, operation: str) -> None:
    """Header after header."""
    send(b"HTTP/1.1 200 OK\r\n")
    while True:
        send(b"".join(b"X-%d: %s\r\n" % (number, b"x" * 1000) for number in range(1000)))


@cache
def _compressed(operation: str) -> bytes:
    return gzip.compress(document(operation, b" " * 200 * MIB), 1)


def compressed(send: Send, operation: str) -> None:
    """200 MB, compressed to less than one."""
    plain(send, _compressed(operation), b"Content-Encoding: gzip")


def many_elements(send: Send, operation: str) -> None:
    """28 MB of the smallest elements."""
    plain(send, document(operation, b"<a/>" * 7 * MIB))


_ATTRIBUTES = b"<a %s/>" % b" ".join(b'a%d=""' % number for number in range(2 * MIB))


def many_attributes(send: Send, operation: str) -> None:
    """One element with as many attributes as fit in."""
    plain(send, document(operation, _ATTRIBUTES))


def deep(send: Send, operation: str) -> None:
    """Elements in each other, a million."""
    plain(send, document(operation, b"<a>" * MIB + b"</a>" * MIB))


def entities(send: Send, operation: str) -> None:
    """A document of entities that stand for each other."""
    lines = [b'<!ENTITY e0 "%s">' % (b"x" * 1000)]
    lines += [b'<!ENTITY e%d "%s">' % (number, b"&e%d;" % (number - 1) * 10) for number in range(1, 9)]
    plain(send, b"<!DOCTYPE a [%s]>" % b"".join(lines) + document(operation, b"&e8;"))


def pages(send: Send, operation: str) -> None:
    """A page of route tables of others and a token for the next one; the server does so for each."""
    table = b"<item><routeTableId>rtb-0%015d</routeTableId></item>"
    body = b"".join(table % number for number in range(50_000))
    plain(send, document(operation, b"<routeTableSet>%s</routeTableSet><nextToken>more</nextToken>" % body))


HOSTILE = (
    *(large, endless, chunks_without_end, a_chunk_whose_length_never_ends, a_header_that_never_ends),
    *(headers_without_end, compressed, many_elements, many_attributes, deep, entities, pages),
)


@contextmanager
def hostile(answer: Callable[[Send, str], None]) -> Iterator[Tuple[str, List[str]]]:
    """A server that answers each request like this: its URL, and the operations that were asked of it."""
    asked: List[str] = []

    def serve(connection: socket.socket) -> None:
        while True:
            request = _request(connection)
            if not request:
                return
            asked.append(_operation(request))
            answer(connection.sendall, asked[-1])

    with serving(serve) as (host, port):
        yield f"http://{host}:{port}", asked


def _request(connection: socket.socket) -> bytes:
    request = b""
    while b"\r\n\r\n" not in request:
        data = connection.recv(65536)
        if not data:
            return b""
        request += data
    head, _, body = request.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    missing = int(lengths[0]) - len(body) if lengths else 0
    while missing > 0:
        data = connection.recv(65536)
        request, missing = request + data, missing - len(data)
    return request


def _operation(request: bytes) -> str:
    _, _, rest = request.partition(b"Action=")
    return rest.partition(b"&")[0].decode() or request.split(b" ")[1].decode()


def measured(node: Node, directory: Path, *arguments: object, **options: object) -> Tuple[Ran, int]:
    """Run the agent; also its peak of memory in kB."""
    peak = directory / "peak"
    command = [sys.executable, "-c", _MEASURE, str(peak)]
    with node.agent.begin(*arguments, command=command, timeout=TIMEOUT, **options) as running:  # type: ignore[arg-type]
        ran = running.end()
    return ran, int(peak.read_text())


@pytest.mark.parametrize("answer", HOSTILE, ids=lambda answer: answer.__name__)
def test_ec2(node: Node, tmp_path: Path, answer: Callable[[Send, str], None]) -> None:
    """A level-10 monitor says 190 and a start 1, both in time and in less than 300 MB."""
    node.hold()
    with hostile(answer) as (url, asked):
        environ = {"AWS_ENDPOINT_URL": url}
        for action, code, options in (
            ("monitor", DEGRADED, {"level": 10, "interval": 10}),
            ("start", 1, {}),
        ):
            ran, peak = measured(node, tmp_path, action, environ=environ, **options)
            if (answer, action) == (pages, "start"):
                assert ran.code == 0, ran  # it asks for no tables, and its writes were confirmed
            else:
                assert ran.code == code, ran
            assert ran.elapsed < TIMEOUT, ran
            assert peak < LARGEST_MEMORY, (peak, ran)
            assert len(ran.stderr) < 10_000
            assert "Traceback" not in ran.stderr
    assert {"DescribeRouteTables", "ReplaceRoute"} <= set(asked)


@pytest.mark.parametrize("answer", [large, compressed, many_elements], ids=lambda answer: answer.__name__)
def test_sts(node: Node, tmp_path: Path, answer: Callable[[Send, str], None]) -> None:
    """STS's answers are bounded as EC2's are."""
    with hostile(answer) as (url, asked):
        parameters = {"routing_table_role": "arn:aws:iam::210987654321:role/network"}
        ran, peak = measured(node, tmp_path, "start", parameters, environ={"AWS_ENDPOINT_URL_STS": url})
    assert ran.code == 1, ran
    assert "AssumeRole" in ran.reason
    assert peak < LARGEST_MEMORY, (peak, ran)
    assert set(asked) == {"AssumeRole"}
    assert node.held() == []


IMDS = tuple(answer for answer in HOSTILE if answer not in (many_elements, many_attributes, deep, entities, pages))


@pytest.mark.parametrize("answer", IMDS, ids=lambda answer: answer.__name__)
def test_imds(node: Node, tmp_path: Path, answer: Callable[[Send, str], None]) -> None:
    """IMDS's answers are bounded as well: a start ends with 1 in time, in less than 300 MB."""
    with hostile(answer) as (url, asked):
        ran, peak = measured(node, tmp_path, "start", environ={"AWS_EC2_METADATA_SERVICE_ENDPOINT": url})
    assert ran.code == 1, ran
    assert "IMDS" in ran.reason
    assert ran.elapsed < TIMEOUT, ran
    assert peak < LARGEST_MEMORY, (peak, ran)
    assert asked
    assert node.held() == []


@pytest.mark.parametrize("bytes_of_body", [65, 200])
def test_an_answer_of_imds_that_is_too_long(node: Node, bytes_of_body: int) -> None:
    """IMDS's answers have 64 KiB at most: one more is refused, although it could be read."""
    body = b"a" * bytes_of_body * 1024
    with hostile(lambda send, _: plain(send, body)) as (url, _):
        ran = node.agent.run("start", environ={"AWS_EC2_METADATA_SERVICE_ENDPOINT": url}, timeout=5)
    assert ran.code == 1, ran
    assert "64 KiB" in ran.reason


def test_imds_does_not_lead_elsewhere(node: Node) -> None:
    """A redirection of IMDS or EC2 is not followed: credentials go nowhere else."""
    with hostile(lambda send, _: plain(send, b"")) as (elsewhere, asked):

        def redirect(send: Send, _: str) -> None:
            send(b"HTTP/1.1 307 Moved\r\nLocation: %s/\r\nContent-Length: 0\r\n\r\n" % elsewhere.encode())

        with hostile(redirect) as (url, first):
            for name in ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_ENDPOINT_URL"):
                environ: Dict[str, str] = {name: url}
                assert node.agent.run("start", environ=environ, timeout=5).code == 1
                assert first
                first.clear()
    assert asked == []


def test_what_is_in_parallel_shares_the_memory(node: Node, tmp_path: Path) -> None:
    """Twenty tables are written, whose answers have nearly as many elements as one may have, in less than 250 MB."""
    tables = ",".join(f"rtb-{number:017x}" for number in range(20))
    body = b"<a/>" * 590_000
    with hostile(lambda send, operation: plain(send, document(operation, body))) as (url, asked):
        ran, peak = measured(node, tmp_path, "start", {"routing_table": tables}, environ={"AWS_ENDPOINT_URL": url})
    assert ran.elapsed < TIMEOUT, ran
    assert peak < 250_000, (peak, ran)
    assert eventually("several tables are written", lambda: asked.count("ReplaceRoute") >= 2)


def test_a_large_page_of_another_kind_hinders_no_later_answer(node: Node) -> None:
    """A large answer that is none, once: the next one, as large and right, is used, and nothing waits for the first."""
    node.hold()
    eni = node.me.network_interface_id
    blanks = b" " * 300_000
    asked: List[str] = []

    def answer(send: Send, operation: str) -> None:
        asked.append(operation)
        if operation == "DescribeRouteTables" and asked.count(operation) == 1:
            plain(send, b"<html>%s</html>" % blanks)
        elif operation == "DescribeRouteTables":
            routes = f"<item><destinationCidrBlock>{node.destination}</destinationCidrBlock><state>active</state>"
            routes += f"<networkInterfaceId>{eni}</networkInterfaceId><origin>CreateRoute</origin></item>"
            item = "<item><routeTableId>{}</routeTableId><routeSet>{}</routeSet></item>"
            tables = "".join(item.format(table, routes) for table in node.tables)
            plain(send, document(operation, f"<routeTableSet>{tables}</routeTableSet>".encode() + blanks))
        else:
            inside = (
                f"<item><networkInterfaceId>{eni}</networkInterfaceId><sourceDestCheck>false</sourceDestCheck></item>"
            )
            plain(send, document(operation, f"<networkInterfaceSet>{inside}</networkInterfaceSet>".encode()))

    with hostile(answer) as (url, _):
        ran = node.agent.run("monitor", environ={"AWS_ENDPOINT_URL": url}, level=10, interval=10, timeout=30)
    assert ran.code == 0, ran
    assert asked.count("DescribeRouteTables") == 2


def test_an_answer_of_many_routes_is_read(node: Node) -> None:
    """An answer of 100 tables of 100 routes each is no hostile one: the monitor finds its routes."""
    node.hold()
    eni = node.me.network_interface_id
    route = (
        "<item><destinationCidrBlock>10.{}.{}.0/24</destinationCidrBlock><gatewayId>tgw-0123456789abcdef0</gatewayId>"
        "<state>active</state><origin>CreateRoute</origin></item>"
    )
    routes = "".join(route.format(number // 256, number % 256) for number in range(100))
    own = route.replace("10.{}.{}.0/24", node.destination).replace(
        "<gatewayId>tgw-0123456789abcdef0</gatewayId>", f"<networkInterfaceId>{eni}</networkInterfaceId>"
    )
    tables = [f"rtb-{number:017x}" for number in range(100)]
    items = "".join(
        f"<item><routeTableId>{table}</routeTableId><routeSet>{routes}{own}</routeSet></item>" for table in tables
    )
    answers = {
        "DescribeRouteTables": document("DescribeRouteTables", f"<routeTableSet>{items}</routeTableSet>".encode()),
        "DescribeNetworkInterfaces": document(
            "DescribeNetworkInterfaces",
            f"<networkInterfaceSet><item><networkInterfaceId>{eni}</networkInterfaceId>"
            "<sourceDestCheck>false</sourceDestCheck></item></networkInterfaceSet>".encode(),
        ),
    }
    with hostile(lambda send, operation: plain(send, answers[operation])) as (url, _):
        ran = node.agent.run(
            "monitor",
            {"routing_table": ",".join(tables)},
            environ={"AWS_ENDPOINT_URL": url},
            level=10,
            interval=10,
            timeout=30,
        )
    assert ran.code == 0, ran
    assert ip("address", "show", "dev", "eth0")
