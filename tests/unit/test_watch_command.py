"""`aws-ipfailover watch` on loopback: real questions, from a process of its own."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any, Callable, Dict, Iterator, List, cast
from xml.etree import ElementTree

import pytest

from aws_ipfailover import cli
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import ParameterError, UnknownError
from aws_ipfailover.watch import record, target
from aws_ipfailover.watch.answers import parse_answer
from aws_ipfailover.watch.asking import Asking, Port
from aws_ipfailover.watch.clock import steady
from aws_ipfailover.watch.outcomes import Outcomes
from aws_ipfailover.watch.question import Question
from aws_ipfailover.watch.watcher import local_command
from running import running

PROGRAM = str(Path(sys.executable).with_name("aws-ipfailover"))
# It comes with moto, as the lab does.
jsonschema: Any = pytest.importorskip("jsonschema")
SCHEMA = json.loads((Path(cli.__file__).parent / "schemas" / "watch.json").read_text(encoding="utf-8"))
HERE = "127.0.0.1"

Serve = Callable[[socket.socket], None]


@contextlib.contextmanager
def serving(serve: Serve) -> Iterator[int]:
    """A TCP server on a port of its own, which serves one connection after the other."""
    with socket.create_server((HERE, 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with listener.accept()[0] as connection, contextlib.suppress(OSError):
                        serve(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield cast("int", listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def speaks_first(connection: socket.socket) -> None:
    """As an SSH server."""
    connection.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n")
    connection.recv(100)


def waits(connection: socket.socket) -> None:
    """As a server of HTTP: says nothing until it is asked."""
    if connection.recv(100):
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def closes(_connection: socket.socket) -> None:
    """Accepts, and has nothing to serve."""


def watch(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run([PROGRAM, "watch", *arguments], capture_output=True, text=True, check=False, timeout=60)


def document(done: subprocess.CompletedProcess[str]) -> Dict[str, Any]:
    """What it printed, which fits its schema."""
    found: Dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(found, SCHEMA)
    return found


def test_a_server_that_speaks_first_is_named_by_its_first_line() -> None:
    """Nothing has to be sent to it; nothing lost is exit code 0."""
    with serving(speaks_first) as port:
        done = watch(HERE, "--tcp", str(port), "--for", "1", "--interval", "0.1", "--json")
    assert done.returncode == 0, done.stderr
    (series,) = document(done)["series"]
    assert [one["name"] for one in series["who"]] == ["SSH-2.0-OpenSSH_9.2p1 Debian"]
    assert (series["over"], series["port"], series["lost"]) == ("tcp", port, 0)


def test_a_server_that_waits_to_be_asked_answers_by_accepting() -> None:
    """It has no name then; with a question, its first line is the answer."""
    with serving(waits) as port:
        silent = watch(HERE, "--tcp", str(port), "--for", "1", "--interval", "0.1", "--json")
        asked = watch(HERE, "--tcp", str(port), "--for", "1", "--ask", r"HEAD / HTTP/1.0\r\n\r\n", "--json")
    assert (silent.returncode, asked.returncode) == (0, 0)
    assert document(silent)["series"][0]["who"] == []
    assert document(asked)["series"][0]["who"][0]["name"] == "HTTP/1.1 400 Bad Request"


def test_a_server_that_closes_at_once_serves_nobody() -> None:
    """The connection was accepted, and a client would have got nothing: never answered is not known, 3."""
    with serving(closes) as port:
        done = watch(HERE, "--tcp", str(port), "--for", "0.5", "--json")
    assert done.returncode == 3
    found = document(done)
    assert found["outcome"] == "never answered"
    # A reset is what the kernel says where data was not read.
    assert set(found["series"][0]["errors"]) <= {"closed", "reset"}


def test_lost_answers_are_an_exit_code() -> None:
    """1, unless silences of that length are allowed; the text tells it in a line of each change, and a table."""
    ends = threading.Event()

    def once(connection: socket.socket) -> None:
        if not ends.is_set():
            speaks_first(connection)

    with serving(once) as port:
        command = [PROGRAM, "watch", HERE, "--tcp", str(port), "--interval", "0.1", "--until-eof"]
        with running(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            output = cast("IO[str]", process.stdout)
            lines = [next(one for one in output if ": answered by SSH" in one)]
            ends.set()
            lines += [next(one for one in output if "no answer" in one)]
            ends.clear()
            lines += [next(one for one in output if "answered again" in one)]
            cast("IO[str]", process.stdin).close()
            table = output.read()
        assert process.returncode == 1
    assert "longest silence" in table
    assert "\x1b" not in "".join(lines) + table


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_watch_ends_with_its_summary(number: signal.Signals) -> None:
    """Ctrl-C is how it usually ends."""
    with serving(speaks_first) as port:
        command = [PROGRAM, "watch", HERE, "--tcp", str(port)]
        with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            output = cast("IO[str]", process.stdout)
            next(one for one in output if "answered by" in one)
            process.send_signal(number)
            said, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "nothing was lost" in said
    assert errors == ""


def test_a_kept_connection_that_ends_is_a_loss() -> None:
    """Asked by nobody but the kernel, it is noticed when the server closes it; then another is opened."""
    closed = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"hello\n")
        if not closed.is_set():
            closed.wait(10)
        else:
            connection.recv(100)

    with serving(serve) as port:
        # Only the connection that is kept: the server serves one at a time.
        command = [sys.executable, "-m", "aws_ipfailover.watch", "--address", HERE, "--protocol", f"stream:{port}"]
        command += ["--ask=", "--accepted", "--ends", "--interval", "0.1"]
        with running(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            output = cast("IO[str]", process.stdout)
            before = [Question.from_json(next(output)) for _ in range(3)]
            closed.set()
            after = [Question.from_json(next(output)) for _ in range(3)]
            cast("IO[str]", process.stdin).close()
            output.read()
    assert {(one.node, one.connection) for one in before} == {("hello", 0)}
    # The second answer is an acknowledgement of a probe, and not older than its question.
    assert all(cast("float", one.answered) > one.sent for one in before)
    errors = [(one.error, one.connection) for one in after if one.error]
    assert errors == [("closed", 0)]
    assert after[-1].connection == 1


def test_a_record_has_a_head_and_every_outcome(tmp_path: Path) -> None:
    """So that others can judge it; the picture is XML."""
    lines, picture = tmp_path / "record.jsonl", tmp_path / "picture.svg"
    with serving(speaks_first) as port:
        done = watch(HERE, "--tcp", str(port), "--for", "1", "--record", str(lines), "--svg", str(picture), "--json")
    found = document(done)
    head, *questions = [record.parse(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    assert isinstance(head, record.Header)
    assert (head.target, head.ports) == (HERE, (f"tcp {port}",))
    assert len(questions) == found["series"][0]["asked"]
    assert all(isinstance(one, Question) for one in questions)
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_the_record_on_standard_output_is_nothing_but_the_record() -> None:
    """For a program that reads it while the watch goes on."""
    with serving(speaks_first) as port:
        done = watch(HERE, "--tcp", str(port), "--for", "0.5", "--record", "-")
    assert done.returncode == 0
    head, *questions = [record.parse(line) for line in done.stdout.splitlines()]
    assert isinstance(head, record.Header)
    assert questions
    assert "nothing was lost" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--keep"], "--keep keeps a connection to the port of --tcp, which is missing"),
        (["--ask", "x"], "--ask is for --tcp and --udp"),
        (["--tcp", "0"], "Invalid value for '--tcp'"),
        (["--interval", "0"], "Invalid value for '--interval'"),
        (["--record", "-", "--json"], "--json and --record - both write to standard output"),
        (["--record", "/proc/none/x"], "/proc/none/x cannot be written: No such file or directory"),
        (["--svg", "/proc/none/x"], "/proc/none/x cannot be written: No such file or directory"),
    ],
)
def test_a_wrong_command_line_is_a_sentence(arguments: List[str], sentence: str) -> None:
    """Exit code 2, before anything is sent."""
    done = watch(HERE, *arguments)
    assert done.returncode == 2
    assert sentence in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_help_is_a_screen_with_an_example() -> None:
    """80 by 24."""
    lines = watch("--help").stdout.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert any(line.strip().startswith("aws-ipfailover watch ") for line in lines)


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64, "."])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    """And is not sent to the resolver, which would raise something else."""
    with pytest.raises(ParameterError, match="neither an address nor a host name"):
        target.resolve(name, Deadline(5))


def test_a_name_is_resolved_once_and_says_what_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its other addresses are told, and not asked."""
    answers = [(0, 0, 0, "", (one, 0)) for one in ("192.0.2.1", "192.0.2.2", "192.0.2.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
    found = target.resolve("service.example", Deadline(5))
    assert str(found) == "service.example (192.0.2.1)"
    assert [str(one) for one in found.others] == ["192.0.2.2"]


def test_a_name_that_is_not_known_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the service answers could not be found out."""

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(UnknownError, match=r"nowhere\.example is not resolved: Name or service not known"):
        target.resolve("nowhere.example", Deadline(5))


NEITHER = """
import sys
from aws_ipfailover.watch import __main__, icmp
def open_socket(address):
    raise PermissionError(icmp.NOT_PERMITTED)
icmp.open_socket = open_socket
sys.exit(__main__.main(["--address", "127.0.0.1", "--protocol", "icmp", "--for", "0.1"]))
"""


def test_without_permission_for_icmp_it_says_what_to_do() -> None:
    """Neither raw nor ping sockets: the exit code is none of those by which the command tells what it has found."""
    done = subprocess.run(
        [sys.executable, "-c", NEITHER], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert "net.ipv4.ping_group_range" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("answer", "name", "stamped"),
    [
        (b"node1 1795945853.5 17\n", "node1", 1795945853.5),
        (b"node1 5.0 x", "node1", 5.0),
        # A number with more digits than a time has is none: as a float it could be infinite.
        (b"n " + b"9" * 60 + b".0\n", "n " + "9" * 60 + ".0", None),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n", "SSH-2.0-OpenSSH_9.2p1 Debian", None),
        (b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n", "HTTP/1.1 400 Bad Request", None),
        (b"J\x00\x00\x00\n5.7.1\x00", "J???", None),
        (b"\x1b[31mred\n", "?[31mred", None),
        (b"x" * 200, "x" * 79 + "…", None),
        (b"", "", None),
    ],
)
def test_servers_are_named_by_what_they_say(answer: bytes, name: str, stamped: float) -> None:
    """A responder by its name; whatever a server sends, a terminal does not obey it."""
    assert parse_answer(answer) == (name, stamped)


NAMES: List[Any] = ["\x1b[31m", "\x9b31m", "\u202e", ["n"], {}, 5]
GOOD: Dict[str, Any] = {
    "protocol": "tcp",
    "sequence": 1,
    "sent": 5.0,
    "answered": 5.5,
    "node": "n",
    "address": "10.0.0.1",
}


@pytest.mark.parametrize(
    "line",
    [
        *("", "{", "[]", "{}", '{"schema":"aws-ipfailover/watch-record/1"}', '{"protocol":"x"}', "[" * 100_000),
        *(json.dumps({**GOOD, "node": node}) for node in NAMES),
        *(json.dumps({**GOOD, "sent": at}) for at in (float("nan"), float("inf"), -1.0, 1e300, 10**400, "5")),
        *(json.dumps({**GOOD, name: 1e300}) for name in ("answered", "stamped")),
        json.dumps({**GOOD, "answered": None, "error": "\x1b[31m"}),
        json.dumps({**GOOD, "connection": "x"}),
        json.dumps({**GOOD, "sequence": float("inf")}),
    ],
    ids=lambda line: line[:90],
)
def test_what_is_no_record_is_refused(line: str) -> None:
    """A line of something else on the way, as of a shell's start-up file."""
    with pytest.raises(ValueError, match="not a line of a record"):
        record.parse(line)


def test_the_picture_on_standard_output_is_nothing_but_the_picture(tmp_path: Path) -> None:
    """`-` is standard output here, too, and no file of that name."""
    done = subprocess.run(
        [PROGRAM, "watch", HERE, "--tcp", "9", "--for", "0.3", "--svg", "-"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 3, done.stderr
    assert ElementTree.fromstring(done.stdout).tag.endswith("svg")
    assert not list(tmp_path.iterdir())


def test_a_clock_that_is_set_meanwhile_changes_no_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour forward or back between question and answer: NTP may do that after a boot."""
    wall = time.time
    for step in (3600.0, -3600.0):
        written: List[Question] = []
        outcomes = Outcomes(ip_address(HERE), 0.9, written.append, steady)
        outcomes.asked("tcp", 1, lambda _: None)
        with monkeypatch.context() as patched:
            patched.setattr(time, "time", partial(_stepped, wall, step))
            outcomes.answered("tcp", 1, "node1")
        (question,) = written
        assert question.answered is not None
        assert 0 <= question.answered - question.sent < 60
    assert "--steady" in local_command(ip_address(HERE), Asking((Port("icmp"),)), None)


def _stepped(wall: Callable[[], float], step: float) -> float:
    return wall() + step
