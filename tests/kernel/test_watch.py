"""A watch against a real kernel: pings without root, routers that refuse, connections that hang."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import IO, Iterator, List, cast

import pytest

from aws_ipfailover.watch.question import Question
from sandbox import ip, need_commands, need_root, network_namespace

PING_GROUPS = Path("/proc/sys/net/ipv4/ping_group_range")
# As to raw sockets, like anybody; the files of a Python that only root can read stay readable.
ANYBODY = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"]
ADDRESS = "192.0.2.10"


@pytest.fixture(autouse=True)
def namespace() -> Iterator[None]:
    """A network namespace of its own with an address of both families."""
    need_root()
    need_commands("setpriv", "nft")
    with network_namespace():
        ip("link", "set", "dev", "lo", "up")
        ip("address", "add", f"{ADDRESS}/32", "dev", "lo")
        yield


def asked(*arguments: str, user: List[str] = ANYBODY) -> subprocess.CompletedProcess[str]:
    """The process of a watch, to its end."""
    command = [*user, sys.executable, "-m", "aws_ipfailover.watch", "--interval", "0.1", *arguments]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60, cwd="/"
    )


def outcomes(*arguments: str, user: List[str] = ANYBODY) -> List[Question]:
    """What it has written."""
    done = asked(*arguments, user=user)
    assert done.returncode == 0, done.stderr
    return [Question.from_json(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("address", [ADDRESS, "::1"])
def test_whoever_may_open_ping_sockets_pings_without_root(address: str) -> None:
    """The TTL is told as by a raw socket."""
    PING_GROUPS.write_text("0 2147483647\n", encoding="ascii")
    found = outcomes("--address", address, "--protocol", "icmp", "--for", "0.3")
    assert {one.node for one in found} == {"ttl-64"}
    assert {one.node for one in outcomes("--address", address, "--protocol", "icmp", "--for", "0.3", user=[])} == {
        "ttl-64"
    }


@pytest.mark.parametrize("user", [[], ANYBODY], ids=["raw socket", "ping socket"])
@pytest.mark.parametrize("scope", ["by name", "by index"])
def test_a_link_local_address_is_one_of_an_interface(user: List[str], scope: str) -> None:
    """`fe80::1%eth0`: it is asked there, and its answers, which come with that name, are its own."""
    PING_GROUPS.write_text("0 2147483647\n", encoding="ascii")
    ip("link", "add", "veth0", "type", "veth", "peer", "name", "veth1")
    ip("address", "add", "fe80::1/64", "dev", "veth0", "nodad")
    ip("link", "set", "dev", "veth0", "up")
    ip("link", "set", "dev", "veth1", "up")
    interface = "veth0" if scope == "by name" else str(socket.if_nametoindex("veth0"))
    found = outcomes("--address", f"fe80::1%{interface}", "--protocol", "icmp", "--for", "0.3", user=user)
    assert {one.node for one in found} == {"ttl-64"}
    (question, *_) = outcomes("--address", f"fe80::1%{interface}", "--protocol", "tcp:9", "--for", "0.2", user=user)
    assert question.error == "refused"


def test_a_link_local_address_of_no_interface_is_a_sentence() -> None:
    """It cannot be asked."""
    done = asked("--address", "fe80::1%none0", "--protocol", "icmp", "--for", "0.3")
    assert (done.returncode, done.stdout) == (4, "")
    assert "no interface with this name" in done.stderr


@pytest.mark.parametrize("user", [[], ANYBODY], ids=["raw socket", "ping socket"])
def test_what_a_router_refuses_is_unreachable(user: List[str]) -> None:
    """At once, and not after the timeout; each question has its own outcome."""
    PING_GROUPS.write_text("0 2147483647\n", encoding="ascii")
    ip("link", "add", "name", "near", "type", "veth", "peer", "name", "far")
    ip("address", "add", "198.51.100.1/24", "dev", "near")
    ip("link", "set", "dev", "near", "up")
    ip("link", "set", "dev", "far", "up")
    # Nobody there answers the kernel's ARP, which takes three seconds to give up.
    found = outcomes("--address", "198.51.100.9", "--protocol", "icmp", "--for", "0.3", "--timeout", "20", user=user)
    assert {one.error for one in found} == {"unreachable"}
    assert [one.sequence for one in sorted(found, key=lambda one: one.sequence)] == list(range(len(found)))


def test_without_any_permission_it_says_what_to_do() -> None:
    """Where no group may open ping sockets; the command cannot find anything out: 3."""
    PING_GROUPS.write_text("1 0\n", encoding="ascii")
    command = [*ANYBODY, sys.executable, "-m", "aws_ipfailover.cli.main", "watch", ADDRESS, "--for", "0.3", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd="/")
    assert done.returncode == 3
    assert done.stdout == ""
    assert "ping_group_range" in done.stderr
    assert "Traceback" not in done.stderr


SERVER = """
import socket
with socket.create_server(("192.0.2.10", 0)) as server:
    print(server.getsockname()[1], flush=True)
    kept = []
    while True:
        kept.append(server.accept()[0])
"""


def test_a_kept_connection_that_hangs_is_noticed_though_nothing_is_said_on_it() -> None:
    """The kernel's probes are not acknowledged any more; a connection that is opened anew is answered."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as server:
        port = cast("IO[str]", server.stdout).readline().strip()
        command = [sys.executable, "-m", "aws_ipfailover.watch", "--address", ADDRESS, "--protocol", f"stream:{port}"]
        command += ["--interval", "0.1", "--ask=", "--accepted", "--ends"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as watch:
            output = cast("IO[str]", watch.stdout)
            answered = [Question.from_json(next(output)) for _ in range(3)]
            listed = subprocess.run(
                ["ss", "-Htn", "state", "established", "dport", port], check=True, capture_output=True, text=True
            )
            local = listed.stdout.split()[2].rpartition(":")[2]
            subprocess.run(["nft", "-f", "-"], check=True, input=HOLE.format(port=local), text=True)
            lost = next(one for one in map(Question.from_json, output) if one.error)
            again = Question.from_json(next(output))
            cast("IO[str]", watch.stdin).close()
            output.read()
        server.kill()
    assert {one.connection for one in answered} == {0}
    assert (lost.error, lost.connection) == ("timeout", 0)
    assert again.answered is not None
    assert again.connection == 1


HOLE = """
add table ip hole
add chain ip hole out {{ type filter hook output priority 0; }}
add rule ip hole out tcp sport {port} drop
"""


def test_the_command_tells_an_outage(tmp_path: Path) -> None:
    """The address leaves the node and comes back: lost answers, in the exit code and in the record."""
    record = tmp_path / "record"
    command = [sys.executable, "-m", "aws_ipfailover.cli.main", "watch", ADDRESS, "--interval", "0.1", "--json"]
    command += ["--timeout", "0.3", "--record", str(record), "--until-eof"]
    # Without it packets to the address leave by nowhere: unreachable.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as watch:
        wait_for(record, '"node"')
        ip("address", "delete", f"{ADDRESS}/32", "dev", "lo")
        wait_for(record, '"error"')
        ip("address", "add", f"{ADDRESS}/32", "dev", "lo")
        size = record.stat().st_size
        wait_for(record, '"node"', size)
        found = json.loads(watch.communicate()[0])
    assert watch.returncode == 1
    (series,) = found["series"]
    assert series["silences"][0]["before"] == series["silences"][0]["after"] == "ttl-64"
    assert set(series["errors"]) == {"unreachable"}


def wait_for(record: Path, text: str, offset: int = 0) -> None:
    """Wait until this text is in the record."""
    from vpc_lab.waiting import eventually

    eventually(f"{text} in the record", lambda: record.exists() and text in record.read_text()[offset:], 20)
