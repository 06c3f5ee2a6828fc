"""The consumer and the responder: schedule, ICMP messages, and the two talking over loopback."""

from __future__ import annotations

import contextlib
import errno
import signal
import socket
import struct
import subprocess
import sys
from typing import IO, Iterator, List, cast

import pytest

from vpc_lab.traffic import consumer
from vpc_lab.traffic.consumer import Reply
from vpc_lab.traffic.question import Question

COOKIE = b"12345678"


@pytest.mark.parametrize(
    ("elapsed", "last", "slot"),
    [(0.0, -1, 0), (0.05, 0, 1), (0.051, 0, 1), (0.049, 0, 1), (1.01, 0, 20), (1.01, 30, 31)],
)
def test_a_missed_slot_is_left_out(elapsed: float, last: int, slot: int) -> None:
    """After a second without CPU the next question is that of now, not twenty at once."""
    assert consumer.next_slot(elapsed, 0.05, last) == slot


def ipv4(message: bytes, ttl: int = 239) -> bytes:
    """An IPv4 header with no options before `message`."""
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(message), 0, 0, ttl, 1, 0, bytes(4), bytes(4)) + message


def test_a_reply_carries_the_full_sequence_and_its_ttl() -> None:
    """Sequence numbers beyond 16 bits survive: a long run does not mistake old answers for new ones."""
    message = consumer.echo_request(consumer.ICMP_ECHO_REPLY, 1, 70_000, COOKIE)
    assert consumer.parse_icmp(ipv4(message), COOKIE) == Reply(70_000, 239)
    message = consumer.echo_request(consumer.ICMP6_ECHO_REPLY, 1, 70_000, COOKIE)
    assert consumer.parse_icmp6(message, 199, COOKIE) == Reply(70_000, 199)


def test_an_unreachable_finds_its_question() -> None:
    """The router quotes the packet it dropped."""
    request = consumer.echo_request(consumer.ICMP_ECHO, 1, 7, COOKIE)
    assert consumer.parse_icmp(ipv4(struct.pack("!BBHI", 3, 1, 0, 0) + ipv4(request)), COOKIE) == Reply(7, None)
    request = consumer.echo_request(consumer.ICMP6_ECHO, 1, 7, COOKIE)
    quoted = struct.pack("!BBHI", 1, 0, 0, 0) + bytes(consumer.IPV6_HEADER) + request
    assert consumer.parse_icmp6(quoted, 64, COOKIE) == Reply(7, None)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x45",
        ipv4(b""),
        ipv4(consumer.echo_request(consumer.ICMP_ECHO, 1, 7, COOKIE)),  # our own request, seen on loopback
        ipv4(consumer.echo_request(consumer.ICMP_ECHO_REPLY, 1, 7, b"notours!")),  # somebody else's ping
        ipv4(struct.pack("!BBHI", 3, 1, 0, 0)),
        ipv4(struct.pack("!BBHI", 3, 1, 0, 0) + ipv4(b"")),
    ],
)
def test_other_packets_are_nobody_s_answer(packet: bytes) -> None:
    """A raw socket sees every ICMP message of its namespace."""
    assert consumer.parse_icmp(packet, COOKIE) is None
    assert consumer.parse_icmp6(packet[20:], 64, COOKIE) is None


def test_the_checksum_of_a_request_is_right() -> None:
    """Summing a message with its checksum gives zero (RFC 1071)."""
    assert consumer.checksum(consumer.echo_request(consumer.ICMP_ECHO, 0xFFFF, 0x12345, b"\xfe" * 8)) == 0


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
    assert consumer.failure_of(OSError(number, "")) == kind


@pytest.mark.parametrize("arguments", [["--interval", "0"], ["--ttl", "node1"], ["--ttl", "=3"], ["--address", "x"]])
def test_a_bad_command_line_is_refused(arguments: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and a sentence, before anything is sent."""
    with pytest.raises(SystemExit) as stopped:
        consumer.main(["--address", "127.0.0.1", *arguments])
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
    command = [sys.executable, "-m", "vpc_lab.traffic.consumer", "--address", address]
    command += ["--port", str(port), "--interval", "0.01", "--protocol", protocol]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
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
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.99", "::1"])
def test_the_consumer_learns_who_answers(address: str, port: int, protocol: str, stop: str) -> None:
    """Every question gets the node's name, and the consumer ends with everything written down when told to."""
    questions = outcomes(address, port, protocol, 5, stop)
    assert {question.node for question in questions} == {"node1"}
    assert {question.protocol for question in questions} == {protocol}
    sequences = [question.sequence for question in questions]
    assert sequences == sorted(set(sequences))


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
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


def test_a_connection_carries_any_number_of_questions(port: int) -> None:
    """A long connection gets an answer to each line, also when a line arrives in pieces."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        answers = connection.makefile("rb")
        for question, expected in ((b"1\n", b"node1 1\n"), (b"two\n", b"node1 two\n")):
            connection.sendall(question)
            assert answers.readline() == expected
        connection.sendall(b"3\n4\n5")
        assert [answers.readline(), answers.readline()] == [b"node1 3\n", b"node1 4\n"]
        connection.sendall(b"\n")
        assert answers.readline() == b"node1 5\n"


def test_an_endless_line_ends_the_connection_and_no_other(port: int) -> None:
    """A peer that talks nonsense cannot fill the responder's memory, nor stop it."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as other:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"x" * 5000)
            # A reset is what the kernel says when unread data was thrown away.
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(100) == b""
        other.sendall(b"still here?\n")
        assert other.makefile("rb").readline() == b"node1 still here?\n"


def test_a_taken_port_is_a_sentence(port: int) -> None:
    """No traceback: exit code 1 and the reason."""
    command = [sys.executable, "-m", "vpc_lab.traffic.responder", "--name", "node2", "--port", str(port)]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)
    assert result.returncode == 1
    assert result.stderr.startswith("responder: ")
    assert "Traceback" not in result.stderr
