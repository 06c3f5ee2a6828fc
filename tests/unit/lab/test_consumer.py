"""The consumer and the responder: schedule, ICMP messages, and the two talking over loopback."""

from __future__ import annotations

import contextlib
import errno
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from typing import IO, Callable, Iterator, List, cast

import pytest

from aws_ipfailover.watch import __main__ as process
from aws_ipfailover.watch import echo
from aws_ipfailover.watch.echo import Reply
from aws_ipfailover.watch.failures import failure_of
from aws_ipfailover.watch.schedule import next_slot
from running import running
from vpc_lab.traffic.question import Question

COOKIE = b"12345678"


@pytest.mark.parametrize(
    ("elapsed", "last", "slot"),
    [(0.0, -1, 0), (0.05, 0, 1), (0.051, 0, 1), (0.049, 0, 1), (1.01, 0, 20), (1.01, 30, 31)],
)
def test_a_missed_slot_is_left_out(elapsed: float, last: int, slot: int) -> None:
    """After a second without CPU the next question is that of now, not twenty at once."""
    assert next_slot(elapsed, 0.05, last) == slot


def ipv4(message: bytes, ttl: int = 239) -> bytes:
    """An IPv4 header with no options before `message`."""
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(message), 0, 0, ttl, 1, 0, bytes(4), bytes(4)) + message


def test_a_reply_carries_the_full_sequence_and_its_ttl() -> None:
    """Sequence numbers beyond 16 bits survive: a long run does not mistake old answers for new ones."""
    message = echo.echo_request(echo.ICMP_ECHO_REPLY, 1, 70_000, COOKIE)
    assert echo.parse_icmp(ipv4(message), COOKIE) == Reply(70_000, 239)
    message = echo.echo_request(echo.ICMP6_ECHO_REPLY, 1, 70_000, COOKIE)
    assert echo.parse_icmp6(message, 199, COOKIE) == Reply(70_000, 199)


def test_an_unreachable_finds_its_question() -> None:
    """The router quotes the packet it dropped."""
    request = echo.echo_request(echo.ICMP_ECHO, 1, 7, COOKIE)
    assert echo.parse_icmp(ipv4(struct.pack("!BBHI", 3, 1, 0, 0) + ipv4(request)), COOKIE) == Reply(7, None)
    request = echo.echo_request(echo.ICMP6_ECHO, 1, 7, COOKIE)
    quoted = struct.pack("!BBHI", 1, 0, 0, 0) + bytes(echo.IPV6_HEADER) + request
    assert echo.parse_icmp6(quoted, 64, COOKIE) == Reply(7, None)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x45",
        ipv4(b""),
        ipv4(echo.echo_request(echo.ICMP_ECHO, 1, 7, COOKIE)),  # our own request, seen on loopback
        ipv4(echo.echo_request(echo.ICMP_ECHO_REPLY, 1, 7, b"notours!")),  # somebody else's ping
        ipv4(struct.pack("!BBHI", 3, 1, 0, 0)),
        ipv4(struct.pack("!BBHI", 3, 1, 0, 0) + ipv4(b"")),
    ],
)
def test_other_packets_are_nobody_s_answer(packet: bytes) -> None:
    """A raw socket sees every ICMP message of its namespace."""
    assert echo.parse_icmp(packet, COOKIE) is None
    assert echo.parse_icmp6(packet[20:], 64, COOKIE) is None


def test_the_checksum_of_a_request_is_right() -> None:
    """Summing a message with its checksum gives zero (RFC 1071)."""
    assert echo.checksum(echo.echo_request(echo.ICMP_ECHO, 0xFFFF, 0x12345, b"\xfe" * 8)) == 0


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ECONNREFUSED, "refused"),
        (errno.ECONNRESET, "reset"),
        (errno.EHOSTUNREACH, "unreachable"),
        (errno.EMFILE, "error"),
    ],
)
def test_failures_have_names(number: int, kind: str) -> None:
    """An error number that says nothing about the network is an "error"."""
    assert failure_of(OSError(number, "")) == kind


@pytest.mark.parametrize("arguments", [["--interval", "0"], ["--ttl", "node1"], ["--ttl", "=3"], ["--address", "x"]])
def test_a_bad_command_line_is_refused(arguments: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and a sentence, before anything is sent."""
    with pytest.raises(SystemExit) as stopped:
        process.main(["--address", "127.0.0.1", *arguments])
    assert stopped.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def free_port() -> int:
    """A port that nothing listens on just now, on either family."""
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::", 0))
        return cast("int", probe.getsockname()[1])


@pytest.fixture
def port() -> Iterator[int]:
    """A running responder called node1; it signs no packets here, where the namespace is the machine's own."""
    number = free_port()
    command = [sys.executable, "-m", "vpc_lab.traffic.responder", "--name", "node1", "--port", str(number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert b"node1 answers" in cast("IO[bytes]", process.stdout).readline()
        yield number
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def outcomes(address: str, port: int, protocol: str, count: int, stop: str = "eof") -> List[Question]:
    """What a consumer has to say: `count` lines, and those that follow once it is told to stop."""
    command = [sys.executable, "-m", "aws_ipfailover.watch"]
    for each in address.split():
        command += ["--address", each]
    command += ["--port", str(port), "--interval", "0.01", "--protocol", protocol]
    with running(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        output = cast("IO[str]", process.stdout)
        lines = [output.readline() for _ in range(count)]
        if stop == "eof":
            cast("IO[str]", process.stdin).close()
        else:
            process.send_signal(signal.SIGTERM)
        lines += output.readlines()
        assert process.wait(10) == 0
    return [Question.from_json(line) for line in lines]


@pytest.mark.parametrize("stop", ["eof", "term"])
@pytest.mark.parametrize("protocol", ["tcp", "udp", "stream"])
@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.99", "::1"])
def test_the_consumer_learns_who_answers(address: str, port: int, protocol: str, stop: str) -> None:
    """Every question gets the node's name, and the consumer ends with everything written down when told to."""
    questions = outcomes(address, port, protocol, 5, stop)
    assert {question.node for question in questions} == {"node1"}
    assert {question.protocol for question in questions} == {protocol}
    assert {question.address for question in questions} == {address}
    assert all(question.sent <= (question.stamped or 0) <= (question.answered or 0) for question in questions)
    sequences = [question.sequence for question in questions]
    assert sequences == sorted(set(sequences))


@pytest.mark.parametrize("protocol", ["tcp", "udp", "stream"])
def test_a_closed_port_is_told_from_silence(protocol: str) -> None:
    """Nobody listens: refused, not a timeout."""
    questions = outcomes("127.0.0.1", free_port(), protocol, 3)
    assert {question.error for question in questions} == {"refused"}
    assert {question.node for question in questions} == {None}


def test_silence_is_a_timeout_and_delays_nobody() -> None:
    """An address that never answers: the next questions are sent while the first one is still waiting."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        questions = outcomes("127.0.0.1", silent.getsockname()[1], "udp", 3)
    assert {question.error for question in questions} == {"timeout"}
    first, second = questions[:2]
    assert second.sent - first.sent < 0.9  # before the first one's timeout was over


def test_several_addresses_are_asked_at_once(port: int) -> None:
    """One consumer asks each of its addresses over its own schedule, and says which one an answer is about."""
    questions = outcomes("127.0.0.1 ::1", port, "tcp", 100)
    sequences = {to: [q.sequence for q in questions if q.address == to] for to in ("127.0.0.1", "::1")}
    assert all(len(set(one)) == len(one) > 2 for one in sequences.values())


def test_a_stream_keeps_its_connection(port: int) -> None:
    """Every question of a service that stays is asked on the first connection."""
    assert {question.connection for question in outcomes("127.0.0.1", port, "stream", 20)} == {0}
    assert {question.connection for question in outcomes("127.0.0.1", port, "tcp", 3)} == {None}


Behaviour = Callable[[socket.socket], None]


@contextlib.contextmanager
def service(treat: Behaviour) -> Iterator[int]:
    """A server that answers two questions of each connection as node1 and does `treat` at the third; its port."""
    kept: List[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection = listener.accept()[0]
                    kept.append(connection)
                    for _ in range(2):
                        connection.sendall(b"node1 5.0 " + connection.recv(100))
                    connection.recv(100)
                    treat(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
    for connection in kept:
        connection.close()


def closes(connection: socket.socket) -> None:
    """Ends the connection in order."""
    connection.shutdown(socket.SHUT_RDWR)


def resets(connection: socket.socket) -> None:
    """Ends the connection by a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def hangs(_connection: socket.socket) -> None:
    """Never answers."""


@pytest.mark.parametrize(("treat", "failure"), [(closes, "closed"), (resets, "reset"), (hangs, "timeout")])
def test_a_stream_that_breaks_connects_again(treat: Behaviour, failure: str) -> None:
    """However a connection ends, the question under way fails and the next one is asked on a new connection."""
    with service(treat) as number:
        questions = outcomes("127.0.0.1", number, "stream", 5)[:5]
    assert [(q.connection, q.node, q.error) for q in questions] == [
        (0, "node1", None),
        (0, "node1", None),
        (0, None, failure),
        (1, "node1", None),
        (1, "node1", None),
    ]
    assert questions[0].stamped == 5.0
    # Meanwhile it asks nothing else, as a client that waits for its database.
    assert questions[3].sent >= questions[2].sent + (0.85 if failure == "timeout" else 0.0)


def test_a_connection_carries_any_number_of_questions(port: int) -> None:
    """A long connection gets an answer to each line, also when a line arrives in pieces; each has its time."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, connection.makefile("rb") as answers:

        def answer(expected: bytes) -> float:
            name, stamped, question = answers.readline().split(b" ", 2)
            assert (name, question) == (b"node1", expected)
            return float(stamped)

        before = time.time()
        for question in (b"1\n", b"two\n"):
            connection.sendall(question)
            assert before - 1e-6 <= answer(question) <= time.time()
        connection.sendall(b"3\n4\n5")
        assert answer(b"3\n") <= answer(b"4\n")
        connection.sendall(b"\n")
        answer(b"5\n")


def test_an_endless_line_ends_the_connection_and_no_other(port: int) -> None:
    """A peer that talks nonsense cannot fill the responder's memory, nor stop it."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as other:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"x" * 5000)
            # A reset is what the kernel says when unread data was thrown away.
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(100) == b""
        other.sendall(b"still here?\n")
        with other.makefile("rb") as answers:
            assert answers.readline().endswith(b" still here?\n")


def test_a_taken_port_is_a_sentence(port: int) -> None:
    """No traceback: exit code 1 and the reason."""
    command = [sys.executable, "-m", "vpc_lab.traffic.responder", "--name", "node2", "--port", str(port)]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)
    assert result.returncode == 1
    assert result.stderr.startswith("responder: ")
    assert "Traceback" not in result.stderr
