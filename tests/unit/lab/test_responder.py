"""The responder's listeners: none waits for its turn longer than another one because it is asked more."""

from __future__ import annotations

import selectors
import socket
from contextlib import ExitStack
from typing import Callable, Iterator, List

import pytest

from vpc_lab.traffic.responder import Ready, tcp_listener, udp_listener

MANY = 20
LOOPBACK = "127.0.0.1"


@pytest.fixture
def selector() -> Iterator[selectors.BaseSelector]:
    """A selector; what is registered in it is closed afterwards."""
    with selectors.DefaultSelector() as made:
        yield made
        for key in list(made.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]


def one_turn(selector: selectors.BaseSelector) -> None:
    """Everybody who has something to do has a turn."""
    for key, events in selector.select(5):
        ready: Ready = key.data
        ready(events)


def listening(selector: selectors.BaseSelector, begin: Callable[..., None]) -> int:
    """The port of a listener that is the only one in the selector."""
    begin(socket.AF_INET, 0, "node1", selector)
    (key,) = selector.get_map().values()
    port: int = key.fileobj.getsockname()[1]  # type: ignore[union-attr]
    return port


def test_all_connections_that_wait_are_accepted_in_one_turn(selector: selectors.BaseSelector) -> None:
    """Each is answered in the next one."""
    port = listening(selector, tcp_listener)
    with ExitStack() as stack:
        asking: List[socket.socket] = []
        for number in range(MANY):
            one = stack.enter_context(socket.create_connection((LOOPBACK, port), 5))
            one.sendall(f"question {number}\n".encode())
            asking.append(one)
        one_turn(selector)
        assert len(selector.get_map()) == 1 + MANY
        one_turn(selector)
        answers = [one.recv(100).split() for one in asking]
    assert [answer[0] for answer in answers] == [b"node1"] * MANY
    assert [int(answer[-1]) for answer in answers] == list(range(MANY))


def test_all_datagrams_that_wait_are_answered_in_one_turn(selector: selectors.BaseSelector) -> None:
    """Each by an answer of its own."""
    port = listening(selector, udp_listener)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        for number in range(MANY):
            asking.sendto(f"question {number}".encode(), (LOOPBACK, port))
        one_turn(selector)
        answers = [asking.recv(100).split() for _ in range(MANY)]
    assert [answer[0] for answer in answers] == [b"node1"] * MANY
    assert [int(answer[-1]) for answer in answers] == list(range(MANY))


def test_a_connection_that_was_reset_does_not_hold_up_the_next(selector: selectors.BaseSelector) -> None:
    """Whatever its own end is, the next one is answered."""
    port = listening(selector, tcp_listener)
    with socket.create_connection((LOOPBACK, port), 5) as reset:
        reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with socket.create_connection((LOOPBACK, port), 5) as asking:
        asking.sendall(b"question\n")
        one_turn(selector)
        one_turn(selector)
        assert asking.recv(100).startswith(b"node1 ")
