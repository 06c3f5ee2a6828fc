"""holdings/route_writes.py: many routes at once, whatever their number and whenever they are added."""

from __future__ import annotations

import threading
from ipaddress import ip_network
from typing import List, Set

import pytest

from aws_ipfailover.deadline import Deadline, Progress
from aws_ipfailover.errors import DeniedError
from aws_ipfailover.holdings.route_writes import MOST_PARALLEL, RouteId, RouteWrites

PROGRESS = Progress("ReplaceRoute")


def routes(first: int, count: int) -> List[RouteId]:
    """So many routes of one table."""
    return [("rtb-a", ip_network(first + number)) for number in range(count)]


def test_more_than_are_written_in_parallel() -> None:
    """Every route is written once, also those that are added after the first ones have used all the threads."""
    lock, written = threading.Lock(), []

    def write(route: RouteId) -> None:
        with lock:
            written.append(route)

    writes = RouteWrites(write)
    some, more = routes(0x0A000000, MOST_PARALLEL + 50), routes(0x0B000000, MOST_PARALLEL + 50)
    writes.add(some)
    assert writes.failures(Deadline(60), PROGRESS) == {}
    writes.add([*some[:10], *more])
    assert writes.failures(Deadline(60), PROGRESS) == {}
    assert sorted(written, key=str) == sorted([*some, *more], key=str)


def test_a_route_is_not_added_twice_while_it_is_written() -> None:
    """Also one that is neither waiting nor done."""
    begun, go_on = threading.Event(), threading.Event()
    written: List[RouteId] = []

    def write(route: RouteId) -> None:
        written.append(route)
        begun.set()
        go_on.wait(20)

    writes = RouteWrites(write)
    writes.add(routes(1, 1))
    assert begun.wait(20)
    writes.add(routes(1, 1))
    go_on.set()
    assert writes.failures(Deadline(60), PROGRESS) == {}
    assert written == routes(1, 1)


def test_one_failure_keeps_no_other_from_being_written() -> None:
    """Failures are told by route."""
    all_of_them, done = routes(1, 5), set()
    denied = DeniedError("ReplaceRoute: UnauthorizedOperation")

    def write(route: RouteId) -> None:
        if route == all_of_them[2]:
            raise denied
        done.add(route)

    writes = RouteWrites(write)
    writes.add(all_of_them)
    expected: Set[RouteId] = {*all_of_them} - {all_of_them[2]}
    assert writes.failures(Deadline(60), PROGRESS) == {all_of_them[2]: denied}
    assert done == expected


@pytest.mark.parametrize(
    ("progress", "told"),
    [
        ("DescribeNetworkInterfaces: InternalError (tried again)", "ReplaceRoute"),
        ("ReplaceRoute: RequestLimitExceeded (tried again)", "ReplaceRoute: RequestLimitExceeded (tried again)"),
        ("CreateRoute: InternalError (tried again)", "CreateRoute: InternalError (tried again)"),
    ],
)
def test_a_write_without_an_answer_is_named_as_what_it_is(progress: str, told: str) -> None:
    """Beside the writes other calls are tried again, and what was tried again last is told only of a write."""
    end = threading.Event()

    def write(_route: RouteId) -> None:
        end.wait(30)

    writes = RouteWrites(write)
    writes.add(routes(1, 1))
    try:
        (failure,) = writes.failures(Deadline(0.05), Progress(progress)).values()
    finally:
        end.set()
    assert str(failure) == f"{told}: no answer before the operation's timeout"
