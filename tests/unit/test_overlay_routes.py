"""The overlay's routes: what is written, what reads are believed, and what is said of failures."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, cast

import pytest

from aws_ipfailover import consistency
from aws_ipfailover.aws.client import Ec2
from aws_ipfailover.aws.models import Cidr, Route, RouteTable
from aws_ipfailover.consistency import WriteMemory
from aws_ipfailover.deadline import Deadline, Progress
from aws_ipfailover.errors import (
    DeniedError,
    Error,
    NodeError,
    NoRouteError,
    NoTableError,
    RouteExistsError,
    UnknownError,
)
from aws_ipfailover.failover import HERE, Where
from aws_ipfailover.holdings.overlay_routes import OverlayRoutes

MINE, OTHER = "eni-00000000000000001", "eni-00000000000000002"
IP = ip_address("192.168.10.10")
TABLES = ("rtb-0000000a", "rtb-0000000b", "rtb-0000000c")


class FakeEc2:
    """Route tables in memory; `fail` has errors by table, `readings` overrides what reads say, one per read."""

    region = "eu-central-1"

    def __init__(self) -> None:
        self.targets: Dict[str, Optional[str]] = dict.fromkeys(TABLES, OTHER)
        self.blackholes: List[str] = []
        self.fail: Dict[str, Error] = {}
        self.fail_create: Optional[Error] = None
        self.readings: List[Callable[[], List[RouteTable]]] = []
        self.written: List[str] = []
        self.reads = 0

    def replace_route(self, route_table_id: str, destination: Cidr, network_interface_id: str) -> None:
        self.written.append(route_table_id)
        if route_table_id in self.fail:
            raise self.fail[route_table_id]
        if self.targets[route_table_id] is None:
            raise NoRouteError("ReplaceRoute: InvalidParameterValue")
        self.targets[route_table_id] = network_interface_id

    def create_route(self, route_table_id: str, destination: Cidr, network_interface_id: str) -> None:
        if self.fail_create is not None:
            raise self.fail_create
        if self.targets[route_table_id] is not None:
            raise RouteExistsError("CreateRoute: RouteAlreadyExists")
        self.targets[route_table_id] = network_interface_id

    def route_tables(self, route_table_ids: Sequence[str]) -> List[RouteTable]:
        self.reads += 1
        if len(self.targets) < len(TABLES):
            raise NoTableError(f"DescribeRouteTables: InvalidRouteTableID.NotFound: {TABLES[1]}")
        return self.readings.pop(0)() if self.readings else self.now()

    def now(self) -> List[RouteTable]:
        return [
            RouteTable(
                table, "vpc-1", (Route(ip_network(IP), target, table not in self.blackholes, False),) if target else ()
            )
            for table, target in self.targets.items()
        ]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second read follows at once."""
    monkeypatch.setattr(consistency, "SECOND_READ_AFTER", 0.001)


@pytest.fixture
def ec2() -> FakeEc2:
    """Three tables whose routes point to the other node."""
    return FakeEc2()


@pytest.fixture
def memory(tmp_path: Path) -> WriteMemory:
    """Nothing written yet."""
    return WriteMemory({"HA_RSCTMP": str(tmp_path)}, str(IP))


@pytest.fixture
def overlay(ec2: FakeEc2, memory: WriteMemory) -> OverlayRoutes:
    """The routes under test, on a node whose ENI is `MINE`."""
    return OverlayRoutes(IP, TABLES, MINE, cast("Ec2", ec2), memory, Deadline(5), Progress("EC2"))


def test_every_table_gets_the_route(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """One write for each table."""
    overlay.take()
    assert ec2.targets == dict.fromkeys(TABLES, MINE)
    assert sorted(ec2.written) == sorted(TABLES)


def test_a_missing_route_is_created(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """ReplaceRoute needs a route; where there is none, one is made."""
    ec2.targets[TABLES[1]] = None
    overlay.take()
    assert ec2.targets[TABLES[1]] == MINE


def test_a_route_that_somebody_makes_meanwhile_is_replaced(
    ec2: FakeEc2, overlay: OverlayRoutes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ReplaceRoute finds none, CreateRoute finds one: it is written all the same."""
    ec2.targets[TABLES[1]] = None
    create = ec2.create_route

    def late(route_table_id: str, destination: Cidr, network_interface_id: str) -> None:
        ec2.targets[route_table_id] = OTHER
        create(route_table_id, destination, network_interface_id)

    monkeypatch.setattr(ec2, "create_route", late)
    overlay.take()
    assert ec2.targets == dict.fromkeys(TABLES, MINE)


def test_all_tables_are_tried_whatever_becomes_of_one(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """A failed table is named with its code, and does not keep the others from being written."""
    ec2.fail = {TABLES[0]: DeniedError("ReplaceRoute: UnauthorizedOperation")}
    with pytest.raises(DeniedError, match=f"{TABLES[0]}: ReplaceRoute: UnauthorizedOperation"):
        overlay.take()
    assert [ec2.targets[table] for table in TABLES] == [OTHER, MINE, MINE]


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        (
            UnknownError("ReplaceRoute: RequestLimitExceeded"),
            DeniedError("ReplaceRoute: UnauthorizedOperation"),
            DeniedError,
        ),
        (
            UnknownError("ReplaceRoute: RequestLimitExceeded"),
            NodeError("ReplaceRoute: InvalidRouteTableID.NotFound"),
            NodeError,
        ),
        (
            NodeError("ReplaceRoute: InvalidRouteTableID.NotFound"),
            DeniedError("ReplaceRoute: AuthFailure"),
            DeniedError,
        ),
        (Error("ReplaceRoute: RouteLimitExceeded"), UnknownError("ReplaceRoute: InternalError"), Error),
        (UnknownError("ReplaceRoute: InternalError"), UnknownError("ReplaceRoute: InternalError"), UnknownError),
    ],
)
def test_failures_together_mean_the_one_that_will_not_pass(
    ec2: FakeEc2, overlay: OverlayRoutes, first: Error, second: Error, kind: type
) -> None:
    """What is denied or does not exist stays so on this node; what is throttled may pass."""
    ec2.fail = {TABLES[0]: first, TABLES[2]: second}
    with pytest.raises(Error) as failed:
        overlay.take()
    assert type(failed.value) is kind
    for table, error in ec2.fail.items():
        assert table in str(failed.value)
        assert str(error) in str(failed.value)


def test_without_permission_to_create_the_command_is_given(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """An administrator can run it as it stands."""
    ec2.targets[TABLES[0]] = None
    ec2.fail_create = DeniedError("CreateRoute: UnauthorizedOperation")
    command = (
        f"aws ec2 create-route --region eu-central-1 --route-table-id {TABLES[0]}"
        f" --destination-cidr-block {IP}/32 --network-interface-id {MINE}"
    )
    with pytest.raises(DeniedError, match=command):
        overlay.take()


def test_here_needs_every_table_active(ec2: FakeEc2, overlay: OverlayRoutes, memory: WriteMemory) -> None:
    """One read is enough to believe that all is well."""
    ec2.targets = dict.fromkeys(TABLES, MINE)
    assert overlay.look() == HERE
    assert ec2.reads == 1


@pytest.mark.parametrize("wrong", ["other", "absent", "blackhole", "no table"])
def test_two_reads_that_agree_are_believed(ec2: FakeEc2, overlay: OverlayRoutes, wrong: str) -> None:
    """Another target, no route, a blackhole or no table at all: ELSEWHERE, and it says which table."""
    ec2.targets = dict.fromkeys(TABLES, MINE)
    if wrong == "blackhole":
        ec2.blackholes = [TABLES[1]]
    elif wrong == "no table":
        del ec2.targets[TABLES[1]]
    else:
        ec2.targets[TABLES[1]] = OTHER if wrong == "other" else None
    found = overlay.look()
    assert found.where is Where.ELSEWHERE
    assert ec2.reads == 2
    assert TABLES[1] in found.why
    assert TABLES[0] not in found.why


def test_a_single_contradicting_read_is_not_believed(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """EC2's reads are not monotonic: an old answer can follow a right one."""
    old = ec2.now()
    ec2.targets = dict.fromkeys(TABLES, MINE)
    ec2.readings = [lambda: old]
    assert overlay.look() == HERE


def test_two_reads_that_contradict_each_other_are_not_believed(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """Each of them can be an old one: no table is wrong in both."""
    old = []
    for wrong in TABLES[:2]:
        ec2.targets = {**dict.fromkeys(TABLES, MINE), wrong: OTHER}
        old.append(ec2.now())
    ec2.readings = [lambda: old[0], lambda: old[1]]
    with pytest.raises(UnknownError, match="contradict each other"):
        overlay.look()


def test_after_its_own_write_a_contradiction_is_unknown(
    ec2: FakeEc2, overlay: OverlayRoutes, memory: WriteMemory
) -> None:
    """Reads lag behind writes; within the settling time the write is the better witness."""
    overlay.take()
    ec2.targets = dict.fromkeys(TABLES, OTHER)
    with pytest.raises(UnknownError, match="reads can lag"):
        overlay.look()


def test_the_settling_time_ends(
    ec2: FakeEc2, overlay: OverlayRoutes, monkeypatch: pytest.MonkeyPatch, memory: WriteMemory
) -> None:
    """Later, contradictions count again."""
    overlay.take()
    ec2.targets = dict.fromkeys(TABLES, OTHER)
    monkeypatch.setattr(WriteMemory, "age", lambda _self, _what: 60.1)
    assert overlay.look().where is Where.ELSEWHERE


def test_a_second_read_that_fails_is_unknown(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """One contradiction and one silence are no answer."""

    def silence() -> List[RouteTable]:
        raise UnknownError("DescribeRouteTables: RequestLimitExceeded")

    ec2.readings = [ec2.now, silence]
    with pytest.raises(UnknownError):
        overlay.look()


def test_release_asks_nobody(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """The routes stay for the next active node to rewrite."""
    overlay.release()
    assert ec2.reads == 0
    assert not ec2.written
