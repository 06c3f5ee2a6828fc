"""The overlay's routes: what is written, what reads are believed, and what is said of failures."""

from __future__ import annotations

import threading
import time
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Set, Tuple, cast

import pytest

from aws_ipfailover import consistency
from aws_ipfailover.address import Cidr
from aws_ipfailover.aws.client import Ec2
from aws_ipfailover.aws.models import NetworkInterface, Route, RouteTable, RouteTables
from aws_ipfailover.consistency import WriteMemory
from aws_ipfailover.deadline import Deadline, Progress
from aws_ipfailover.errors import (
    DeniedError,
    Error,
    ExpiredError,
    NodeError,
    NoRouteError,
    NoTableError,
    RouteExistsError,
    ThrottledError,
    UnknownError,
)
from aws_ipfailover.failover import HERE, Look, Repair, Where
from aws_ipfailover.holdings import overlay_routes
from aws_ipfailover.holdings.chosen_tables import ChosenTables
from aws_ipfailover.holdings.destinations import Destinations
from aws_ipfailover.holdings.overlay_routes import CHECK_UNTOLD, OverlayRoutes
from aws_ipfailover.memory import Memory
from aws_ipfailover.parameters import TableNames

MINE, OTHER = "eni-00000000000000001", "eni-00000000000000002"
IP = ip_address("192.168.10.10")
TABLES = ("rtb-0000000a", "rtb-0000000b", "rtb-0000000c")
DENIED = DeniedError("ReplaceRoute: UnauthorizedOperation: allow it")
HANGS = UnknownError("ReplaceRoute: no answer before the operation's timeout")
THROTTLED = ThrottledError("ReplaceRoute: RequestLimitExceeded")
OTHER_VPC = NodeError("ReplaceRoute: InvalidParameterValue: belong to different networks")
NO_TABLE = NoTableError("does not exist: remove it from routing_table (ReplaceRoute: InvalidRouteTableID.NotFound)")
CHECK_COMMAND = (
    "aws ec2 modify-network-interface-attribute --region eu-central-1 --network-interface-id"
    f" {MINE} --no-source-dest-check"
)


def to(target: str, state: str = "active", *, static: bool = True) -> Route:
    """A route of the overlay address to an ENI."""
    return Route(ip_network(IP), target, state, static)


class FakeEc2:
    """Route tables and one ENI in memory.

    `routes`: of each table that exists. `fail`: what ReplaceRoute raises, by table. `hang`: tables whose ReplaceRoute
    does not answer before the test ends. `readings`: what the next reads of tables answer instead.
    """

    region = "eu-central-1"

    def __init__(self) -> None:
        self.routes: Dict[str, Tuple[Route, ...]] = dict.fromkeys(TABLES, (to(OTHER),))
        self.fail: Dict[str, Error] = {}
        self.hang: Set[str] = set()
        self.end = threading.Event()
        self.fail_create: Optional[Error] = None
        self.readings: List[Callable[[], RouteTables]] = []
        self.written: List[str] = []
        self.reads = 0
        self.check_on: Optional[bool] = False
        self.check_readings: List[bool] = []  # what the next reads of the ENI answer instead
        self.fail_check_read: Optional[Error] = None
        self.check_read_hangs = False
        self.fail_check_write: Optional[Error] = None
        self.check_writes = 0

    def replace_route(self, route_table_id: str, destination: Cidr, network_interface_id: str) -> None:
        self.written.append(route_table_id)
        if route_table_id in self.hang:
            self.end.wait(30)
        if route_table_id in self.fail:
            raise self.fail[route_table_id]
        if route_table_id not in self.routes:
            raise NO_TABLE
        if not self.routes[route_table_id]:
            raise NoRouteError("ReplaceRoute: InvalidParameterValue")
        self.routes[route_table_id] = (to(network_interface_id),)

    def create_route(self, route_table_id: str, destination: Cidr, network_interface_id: str) -> None:
        if self.fail_create is not None:
            raise self.fail_create
        if self.routes[route_table_id]:
            raise RouteExistsError("CreateRoute: RouteAlreadyExists")
        self.routes[route_table_id] = (to(network_interface_id),)

    def route_tables(self, route_table_ids: Sequence[str]) -> RouteTables:
        self.reads += 1
        return self.readings.pop(0)() if self.readings else self.now()

    def now(self) -> RouteTables:
        """What a read answers that does not lag."""
        found = tuple(RouteTable(table, "vpc-1", routes) for table, routes in self.routes.items())
        return RouteTables(found, tuple(table for table in TABLES if table not in self.routes))

    def network_interface(self, network_interface_id: str) -> NetworkInterface:
        if self.check_read_hangs:
            self.end.wait(30)
        if self.fail_check_read is not None:
            raise self.fail_check_read
        on = self.check_readings.pop(0) if self.check_readings else self.check_on
        return NetworkInterface(MINE, "vpc-1", on, "subnet-1", "zone-a", "06:00:00:00:00:01", (), None)

    def switch_off_source_dest_check(self, network_interface_id: str) -> None:
        self.check_writes += 1
        if self.fail_check_write is not None:
            raise self.fail_check_write
        self.check_on = False

    @property
    def mine(self) -> List[str]:
        """The tables whose route leads here."""
        return [table for table in TABLES if self.routes.get(table) == (to(MINE),)]

    def all_here(self) -> None:
        """Every table leads here."""
        self.routes = dict.fromkeys(TABLES, (to(MINE),))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second read follows at once."""
    monkeypatch.setattr(consistency, "SECOND_READ_AFTER", 0.001)


@pytest.fixture
def ec2() -> Iterator[FakeEc2]:
    """Three tables whose routes point to the other node; what hangs in it ends with the test."""
    fake = FakeEc2()
    yield fake
    fake.end.set()


@pytest.fixture
def memory(tmp_path: Path) -> WriteMemory:
    """Nothing written yet."""
    return WriteMemory({"HA_RSCTMP": str(tmp_path)}, str(IP))


Make = Callable[..., OverlayRoutes]


@pytest.fixture
def make(ec2: FakeEc2, memory: WriteMemory) -> Make:
    """The routes under test, on a node whose ENI is `MINE`, with so many seconds."""

    def made(seconds: float = 5.0) -> OverlayRoutes:
        fake, deadline = cast("Ec2", ec2), Deadline(seconds)
        to_ip = Destinations([IP], [ip_network(IP)])
        tables = ChosenTables(TableNames(TABLES), to_ip, fake, lambda: "vpc-1", Memory({}, "none"), deadline)
        return OverlayRoutes(to_ip, tables, MINE, fake, fake, memory, deadline, Progress("ReplaceRoute"))

    return made


@pytest.fixture
def overlay(make: Make) -> OverlayRoutes:
    """The routes under test, with time enough."""
    return make()


def told(tables: Sequence[str], error: Error) -> str:
    """What is said of tables with the same failure: the first one and the cause come early."""
    first, *others = tables
    if not others:
        return f"{first}: {error}"
    return f"{first} and {len(others)} more: {error} ({', '.join(others)})"


def logged(caplog: pytest.LogCaptureFixture, level: str) -> List[str]:
    """What was logged at a level."""
    return [record.getMessage() for record in caplog.records if record.levelname == level]


def test_every_table_gets_the_route(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """One write for each table, "all tried"."""
    overlay.take()
    assert ec2.mine == list(TABLES)
    assert sorted(ec2.written) == sorted(TABLES)


def test_a_missing_route_is_created(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """ReplaceRoute needs a route; where there is none, one is made."""
    ec2.routes[TABLES[1]] = ()
    overlay.take()
    assert ec2.mine == list(TABLES)


def test_a_route_that_somebody_makes_meanwhile_is_replaced(
    ec2: FakeEc2, overlay: OverlayRoutes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ReplaceRoute finds none, CreateRoute finds one: it is written all the same."""
    ec2.routes[TABLES[1]] = ()
    create = ec2.create_route

    def late(route_table_id: str, destination: Cidr, network_interface_id: str) -> None:
        ec2.routes[route_table_id] = (to(OTHER),)
        create(route_table_id, destination, network_interface_id)

    monkeypatch.setattr(ec2, "create_route", late)
    overlay.take()
    assert ec2.mine == list(TABLES)


@pytest.mark.parametrize("error", [DENIED, THROTTLED, NO_TABLE, Error("ReplaceRoute: RouteLimitExceeded")])
@pytest.mark.parametrize("failed", [TABLES[:1], TABLES[1:]])
def test_a_start_succeeds_when_at_least_one_table_leads_here(
    ec2: FakeEc2,
    overlay: OverlayRoutes,
    memory: WriteMemory,
    caplog: pytest.LogCaptureFixture,
    error: Error,
    failed: Sequence[str],
) -> None:
    """ "It succeeds when at least one table leads here": the others are written whatever becomes of one.

    "Each table that could not be written (deleted, denied, throttled to the end) is logged as an error with its AWS
    error code."
    """
    ec2.fail = dict.fromkeys(failed, error)
    overlay.take()
    assert ec2.mine == [table for table in TABLES if table not in failed]
    assert logged(caplog, "ERROR") == [told(failed, error)]
    assert memory.is_recent(MINE)
    assert [table for table in TABLES if memory.is_recent(MINE, f"{table} {IP}/32")] == ec2.mine


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ((NO_TABLE, NO_TABLE, NO_TABLE), NodeError),
        (
            (NO_TABLE, OTHER_VPC, NO_TABLE),
            NodeError,
        ),
        ((DENIED, DENIED, DENIED), DeniedError),
        ((THROTTLED, THROTTLED, UnknownError("ReplaceRoute: InternalError")), UnknownError),
        ((DENIED, NO_TABLE, NO_TABLE), Error),
        ((DENIED, THROTTLED, DENIED), Error),
        ((NO_TABLE, THROTTLED, NO_TABLE), Error),
        ((Error("ReplaceRoute: RouteLimitExceeded"), DENIED, NO_TABLE), Error),
    ],
)
def test_a_start_fails_when_no_table_was_written(
    ec2: FakeEc2, overlay: OverlayRoutes, memory: WriteMemory, errors: Sequence[Error], kind: type
) -> None:
    """ "It fails when none was written: 2 all unknown, 4 all denied, else 1", naming each table with its error."""
    ec2.fail = dict(zip(TABLES, errors))
    with pytest.raises(Error) as failed:
        overlay.take()
    assert type(failed.value) is kind
    for table, error in ec2.fail.items():
        assert table in str(failed.value)
        assert str(error) in str(failed.value)
    assert not memory.is_recent(MINE)


def test_tables_with_the_same_failure_are_told_together(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """The exit reason has room for one sentence: "a and 2 more: why (b, c)"."""
    ec2.fail = dict.fromkeys(TABLES, DENIED)
    with pytest.raises(DeniedError) as failed:
        overlay.take()
    assert str(failed.value) == told(TABLES, DENIED)


@pytest.mark.parametrize("failed", [TABLES[:1], TABLES[1:]])
def test_a_table_that_does_not_answer_keeps_the_others_from_nothing(
    ec2: FakeEc2, make: Make, caplog: pytest.LogCaptureFixture, failed: Sequence[str]
) -> None:
    """A call that hangs to the end is one more table that could not be written."""
    ec2.hang = set(failed)
    make(0.2).take()
    assert ec2.mine == [table for table in TABLES if table not in failed]
    assert logged(caplog, "ERROR") == [told(failed, HANGS)]


def test_without_permission_to_create_the_command_is_given(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """An administrator can run it as it stands; the other tables that lack the route are named."""
    ec2.routes = dict.fromkeys(TABLES, ())
    ec2.fail_create = DeniedError("CreateRoute: UnauthorizedOperation")
    with pytest.raises(DeniedError) as failed:
        overlay.take()
    first, *others = TABLES
    command = (
        f"aws ec2 create-route --region eu-central-1 --route-table-id {first}"
        f" --destination-cidr-block {IP}/32 --network-interface-id {MINE}"
    )
    assert f"{first} and {len(others)} more: no route there yet, create it once: {command}" in str(failed.value)
    assert all(table in str(failed.value) for table in others)


def test_a_check_that_is_off_is_left_alone(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """Nothing is changed that is as it should be."""
    overlay.take()
    assert ec2.check_writes == 0


def test_a_check_that_is_on_is_switched_off(
    ec2: FakeEc2, overlay: OverlayRoutes, caplog: pytest.LogCaptureFixture
) -> None:
    """ "Source/destination check on: switched off where the credentials may", with a warning."""
    ec2.check_on = True
    overlay.take()
    assert not ec2.check_on
    assert logged(caplog, "WARNING") == [f"the source/destination check of {MINE} was on, switched off"]


REFUSAL = DeniedError("ModifyNetworkInterfaceAttribute: UnauthorizedOperation: allow it")


@pytest.mark.parametrize("error", [REFUSAL, UnknownError("ModifyNetworkInterfaceAttribute: RequestLimitExceeded")])
def test_a_check_that_stays_on_fails_the_start(ec2: FakeEc2, overlay: OverlayRoutes, error: Error) -> None:
    """ "Else 2 with the command, never a success that answers nobody"; what it means comes first, the refusal last."""
    ec2.check_on, ec2.fail_check_write = True, error
    with pytest.raises(NodeError) as failed:
        overlay.take()
    said = str(failed.value)
    assert said.startswith(f"source/destination check of {MINE} is on, so EC2 drops all packets: switch it off: ")
    assert CHECK_COMMAND in said
    assert said.endswith(f"({error})")


def test_a_check_that_is_known_to_be_on_is_waited_for(
    ec2: FakeEc2, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patience is limited only for whether it is on; once that is known, no start succeeds before it is off.

    As where ModifyNetworkInterfaceAttribute is throttled for longer than that.
    """
    monkeypatch.setattr(overlay_routes, "_PATIENCE", 0.01)
    ec2.check_on = True
    switch_off = ec2.switch_off_source_dest_check

    def slowly(network_interface_id: str) -> None:
        ec2.end.wait(0.3)
        switch_off(network_interface_id)

    monkeypatch.setattr(ec2, "switch_off_source_dest_check", slowly)
    make().take()
    assert not ec2.check_on


@pytest.mark.parametrize("error", [DeniedError("DescribeNetworkInterfaces: UnauthorizedOperation"), THROTTLED])
def test_a_check_that_cannot_be_read_is_a_warning(
    ec2: FakeEc2, overlay: OverlayRoutes, caplog: pytest.LogCaptureFixture, error: Error
) -> None:
    """ "No permission to read it: a warning"; nor does a start wait to the end for a read that is throttled."""
    ec2.fail_check_read = error
    overlay.take()
    assert logged(caplog, "WARNING") == [
        f"cannot find out whether the source/destination check of {MINE} is off: {error}"
    ]
    assert ec2.mine == list(TABLES)


def test_a_check_whose_read_hangs_is_a_warning(ec2: FakeEc2, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """A start whose routes are written waits for the answer for a third of its time, and no longer."""
    ec2.check_read_hangs = True
    begun = time.monotonic()
    make(1.2).take()
    assert 0.3 < time.monotonic() - begun < 1.0
    (warning,) = logged(caplog, "WARNING")
    assert "no usable answer" in warning


def test_a_check_that_is_read_late_is_switched_off(ec2: FakeEc2, make: Make) -> None:
    """A read that is throttled for seconds: never a success that answers nobody."""
    ec2.check_on = True
    read = ec2.network_interface

    def late(network_interface_id: str) -> NetworkInterface:
        ec2.end.wait(0.5)
        return read(network_interface_id)

    ec2.network_interface = late  # type: ignore[method-assign]
    make(30).take()
    assert not ec2.check_on


def test_a_check_that_no_start_has_seen_off_is_no_stale_read(ec2: FakeEc2, make: Make) -> None:
    """The routes were written a moment ago, and the check was not: two reads that it is on are believed."""
    ec2.check_on, ec2.fail_check_read = True, THROTTLED
    make().take()
    ec2.fail_check_read = None
    overlay = make()
    assert overlay.look().where is Where.ELSEWHERE
    assert overlay.repair() == Repair(f"source/destination check of {MINE} switched off")
    assert not ec2.check_on


def test_here_needs_every_table_active(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """One read is enough to believe that all is well."""
    ec2.all_here()
    assert overlay.look() == HERE
    assert ec2.reads == 1


@pytest.mark.parametrize(
    ("routes", "why"),
    [
        ((to(OTHER),), f"routes {IP}/32 to {OTHER} instead of {MINE}"),
        ((to(""),), f"routes {IP}/32 to another target instead of {MINE}"),
        ((), f"has no route for {IP}/32"),
        ((to(MINE, "blackhole"),), f"has a blackhole route for {IP}/32"),
        ((to(MINE, "filtered"),), f"has a filtered route for {IP}/32"),
        ((to(OTHER, static=False),), f"routes {IP}/32 to {OTHER} instead of {MINE}"),
        ((to(MINE, static=False), to(OTHER)), f"routes {IP}/32 to {OTHER} instead of {MINE}"),
        ((to(MINE, "blackhole"), to(OTHER, static=False)), f"has a blackhole route for {IP}/32"),
        (None, "does not exist: remove it from routing_table (DescribeRouteTables: InvalidRouteTableID.NotFound)"),
    ],
)
def test_two_reads_that_agree_are_believed(
    ec2: FakeEc2, overlay: OverlayRoutes, routes: Optional[Tuple[Route, ...]], why: str
) -> None:
    """ELSEWHERE, "also: absent, or a route to us that is `blackhole`"; a state "is named as EC2 names it".

    "Of several routes for one destination EC2 uses the static one before a propagated one: only the one in use counts."
    """
    ec2.all_here()
    if routes is None:
        del ec2.routes[TABLES[1]]
    else:
        ec2.routes[TABLES[1]] = routes
    found = overlay.look()
    assert found == Look(Where.ELSEWHERE, f"{TABLES[1]} {why}")
    assert ec2.reads == 2


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("state", ["active", "blackhole"])
def test_a_propagated_route_beside_ours_is_no_contradiction(
    ec2: FakeEc2, overlay: OverlayRoutes, order: int, state: str
) -> None:
    """A gateway that announces the same /32: EC2 uses the static route, which leads here."""
    ec2.all_here()
    ec2.routes[TABLES[1]] = (to(MINE), to(OTHER, state, static=False))[::order]
    assert overlay.look() == HERE


def test_routes_for_other_destinations_do_not_count(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """Neither the VPC's own route nor a wider one that the address lies in."""
    ec2.all_here()
    local = Route(ip_network("10.0.0.0/16"), "", local=True)
    ec2.routes[TABLES[1]] = (local, Route(ip_network("192.168.0.0/16"), OTHER), to(MINE))
    assert overlay.look() == HERE


def test_a_single_contradicting_read_is_not_believed(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """EC2's reads are not monotonic: an old answer can follow a right one."""
    old = ec2.now()
    ec2.all_here()
    ec2.readings = [lambda: old]
    assert overlay.look() == HERE


def test_a_read_that_finds_no_table_at_all_is_not_believed_alone(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """ "An empty answer to a filtered read is UNKNOWN until a second read agrees"."""
    ec2.all_here()
    ec2.readings = [lambda: RouteTables((), TABLES)]
    assert overlay.look() == HERE
    ec2.readings = [lambda: RouteTables((), TABLES), lambda: RouteTables((), TABLES)]
    assert overlay.look().where is Where.ELSEWHERE


def test_two_reads_that_contradict_each_other_are_not_believed(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """Each of them can be an old one: no table is wrong in both."""
    old = []
    for wrong in TABLES[:2]:
        ec2.all_here()
        ec2.routes[wrong] = (to(OTHER),)
        old.append(ec2.now())
    ec2.readings = [lambda: old[0], lambda: old[1]]
    with pytest.raises(UnknownError, match="contradict each other"):
        overlay.look()


def test_after_its_own_write_a_contradiction_is_unknown(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """Reads lag behind writes; within the settling time the write is the better witness."""
    overlay.take()
    ec2.routes = dict.fromkeys(TABLES, (to(OTHER),))
    with pytest.raises(UnknownError, match="reads can lag"):
        overlay.look()


def test_what_a_partial_start_could_not_write_is_no_stale_read(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """ "The level-10 monitor that follows … mends what can be mended": such a table is drift at once, by two reads."""
    ec2.fail = {TABLES[1]: THROTTLED}
    overlay.take()
    ec2.fail.clear()
    assert overlay.look() == Look(Where.ELSEWHERE, f"{TABLES[1]} routes {IP}/32 to {OTHER} instead of {MINE}")
    assert overlay.repair() == Repair(f"{IP}/32 routed to {MINE} again in {TABLES[1]}")
    assert ec2.mine == list(TABLES)


def test_the_settling_time_ends(ec2: FakeEc2, overlay: OverlayRoutes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Later, contradictions count again."""
    overlay.take()
    ec2.routes = dict.fromkeys(TABLES, (to(OTHER),))
    monkeypatch.setattr(consistency, "SETTLE_SECONDS", 0.0)
    assert overlay.look().where is Where.ELSEWHERE


def test_a_second_read_that_fails_is_unknown(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """One contradiction and one silence are no answer."""

    def silence() -> RouteTables:
        raise UnknownError("DescribeRouteTables: RequestLimitExceeded")

    ec2.readings = [ec2.now, silence]
    with pytest.raises(UnknownError):
        overlay.look()


def test_a_check_that_is_on_is_drift_of_everything(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """ "A source/destination check that a second read confirms to be on counts as drift"; one read alone does not."""
    ec2.all_here()
    ec2.check_readings = [True, False]
    assert overlay.look() == HERE
    ec2.check_on = True
    found = overlay.look()
    assert found.where is Where.ELSEWHERE
    assert found.why.startswith(f"source/destination check of {MINE} is on, so EC2 drops all packets")
    assert CHECK_COMMAND in found.why


def test_a_check_that_may_not_be_read_does_not_matter_to_a_monitor(
    ec2: FakeEc2, overlay: OverlayRoutes, caplog: pytest.LogCaptureFixture
) -> None:
    """A policy without DescribeNetworkInterfaces: the routes are looked at, with a warning about the check."""
    ec2.all_here()
    ec2.fail_check_read = DeniedError("DescribeNetworkInterfaces: UnauthorizedOperation")
    assert overlay.look() == HERE
    (warning,) = logged(caplog, "WARNING")
    assert "cannot find out whether the source/destination check" in warning


def test_an_answer_without_the_check_is_no_drift(
    ec2: FakeEc2, overlay: OverlayRoutes, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not known to be on: neither a monitor nor a start writes, and both warn."""
    ec2.all_here()
    ec2.check_on = None
    assert overlay.look() == HERE
    overlay.take()
    warnings = logged(caplog, "WARNING")
    assert len(warnings) == 2
    assert all(one.endswith(CHECK_UNTOLD) for one in warnings)
    assert ec2.check_writes == 0


def test_a_check_that_is_not_known_is_unknown(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """An answer that may come at the next monitor: UNKNOWN, not HERE."""
    ec2.all_here()
    ec2.fail_check_read = UnknownError("DescribeNetworkInterfaces: RequestLimitExceeded")
    with pytest.raises(UnknownError, match="DescribeNetworkInterfaces"):
        overlay.look()


def drift(ec2: FakeEc2, *tables: str, check_on: bool = False) -> None:
    """All was here; somebody changed these tables, and switched the check on."""
    ec2.all_here()
    for table in tables:
        ec2.routes[table] = (to(OTHER),)
    ec2.check_on = check_on


@pytest.mark.parametrize("tables", [TABLES[:1], TABLES[1:], TABLES])
def test_a_repair_writes_what_is_missing_in_place(
    ec2: FakeEc2, overlay: OverlayRoutes, memory: WriteMemory, tables: Sequence[str]
) -> None:
    """ "`repair` writes what is missing", and nothing else; what it wrote is remembered."""
    drift(ec2, *tables)
    overlay.look()
    assert overlay.repair() == Repair(f"{IP}/32 routed to {MINE} again in {', '.join(tables)}")
    assert sorted(ec2.written) == sorted(tables)
    assert ec2.mine == list(TABLES)
    assert ec2.check_writes == 0
    assert memory.is_recent(MINE)


def test_a_route_that_somebody_deleted_is_made_again(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """ReplaceRoute finds none: CreateRoute."""
    drift(ec2)
    ec2.routes[TABLES[0]] = ()
    overlay.look()
    assert overlay.repair().failed == ""
    assert ec2.mine == list(TABLES)


@pytest.mark.parametrize(
    ("drifted", "failed", "leads_here"),
    [
        (TABLES[:1], TABLES[:1], True),
        (TABLES[:2], TABLES[:1], True),
        (TABLES[:2], TABLES[:2], True),
        (TABLES, TABLES[:2], True),
        (TABLES, TABLES, False),
    ],
)
def test_what_a_repair_could_not_write(
    ec2: FakeEc2,
    overlay: OverlayRoutes,
    memory: WriteMemory,
    caplog: pytest.LogCaptureFixture,
    drifted: Sequence[str],
    failed: Sequence[str],
    leads_here: bool,
) -> None:
    """ "190 naming what could not be written, while any of it leads here, also when only now; 1 when none does"."""
    drift(ec2, *drifted)
    ec2.fail = dict.fromkeys(failed, DENIED)
    overlay.look()
    outcome = overlay.repair()
    mended = [table for table in drifted if table not in failed]
    routed = f"{IP}/32 routed to {MINE} again in {', '.join(mended)}" if mended else ""
    assert outcome == Repair(routed, told(failed, DENIED), leads_here=leads_here)
    assert memory.is_recent(MINE) is bool(mended)
    assert logged(caplog, "ERROR") == [told(failed, DENIED)]


def test_a_deleted_table_is_named_and_serves_nobody(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """Three tables, one deleted: it cannot be written, and the others go on leading here."""
    drift(ec2)
    del ec2.routes[TABLES[2]]
    overlay.look()
    outcome = overlay.repair()
    assert outcome.failed.startswith(f"{TABLES[2]} does not exist: remove it from routing_table")
    assert outcome.leads_here


@pytest.mark.parametrize(
    ("addresses", "leads_here"), [(("192.168.10.10", "192.168.10.20"), True), (("192.168.10.20",), False)]
)
def test_a_narrower_route_that_stays_elsewhere_costs_its_own_addresses(
    ec2: FakeEc2, memory: WriteMemory, addresses: Sequence[str], leads_here: bool
) -> None:
    """The wide route leads one address here; for the other EC2 uses a narrower one, and the host route is denied."""
    wide = ip_network("192.168.10.0/24")
    ec2.routes = {TABLES[0]: (Route(wide, MINE), Route(ip_network("192.168.10.16/28"), OTHER))}
    ec2.fail_create = DeniedError("CreateRoute: UnauthorizedOperation")
    ec2.fail = {TABLES[0]: NoRouteError("ReplaceRoute: InvalidParameterValue")}
    fake, deadline = cast("Ec2", ec2), Deadline(5.0)
    to_wide = Destinations([ip_address(one) for one in addresses], [wide])
    tables = ChosenTables(TableNames(TABLES[:1]), to_wide, fake, lambda: "vpc-1", Memory({}, "none"), deadline)
    ec2.readings = [lambda: RouteTables(ec2.now().found, ())] * 2
    overlay = OverlayRoutes(to_wide, tables, MINE, fake, fake, memory, deadline, Progress("ReplaceRoute"))
    assert overlay.look().where is Where.ELSEWHERE
    outcome = overlay.repair()
    assert "CreateRoute: UnauthorizedOperation" in outcome.failed
    assert outcome.leads_here is leads_here


def test_a_restart_does_not_help_against_a_narrower_route(ec2: FakeEc2, memory: WriteMemory) -> None:
    """A start writes the wide route alone: the narrower one would be there after each restart; a wide one would not."""
    wide = ip_network("192.168.10.0/24")
    narrower = Route(ip_network("192.168.10.10/32"), OTHER)
    fake, deadline, to_wide = cast("Ec2", ec2), Deadline(5.0), Destinations([IP], [wide])
    tables = ChosenTables(TableNames(TABLES[:1]), to_wide, fake, lambda: "vpc-1", Memory({}, "none"), deadline)
    overlay = OverlayRoutes(to_wide, tables, MINE, fake, fake, memory, deadline, Progress("ReplaceRoute"))
    for routes, helps in (((Route(wide, MINE), narrower), False), ((Route(wide, OTHER), narrower), True)):
        ec2.routes = {TABLES[0]: routes}
        ec2.readings = [lambda: RouteTables(ec2.now().found, ())] * 2
        found = overlay.look()
        assert (found.where, found.restart_helps) == (Where.ELSEWHERE, helps)


@pytest.mark.parametrize("error", [None, THROTTLED, NodeError("DescribeNetworkInterfaces: X"), Error("Weird")])
def test_routes_are_repaired_while_the_check_is_not_known(ec2: FakeEc2, make: Make, error: Optional[Error]) -> None:
    """What two reads show of the routes is drift, whatever the ENI's read answers; what is not known is told."""
    drift(ec2, TABLES[0])
    ec2.fail_check_read, ec2.check_read_hangs = error, error is None
    overlay = make(2.0)
    assert overlay.look() == Look(Where.ELSEWHERE, f"{TABLES[0]} routes {IP}/32 to {OTHER} instead of {MINE}")
    outcome = overlay.repair()
    assert ec2.mine == list(TABLES)
    assert outcome.failed.startswith("it is not known whether the source/destination check is off (")
    assert outcome.leads_here


def test_a_name_that_no_table_has_is_told_also_after_a_repair(
    ec2: FakeEc2, memory: WriteMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "None found: level 10 190, naming what was looked for", beside what was mended."""
    drift(ec2, *TABLES)
    fake, deadline, to_ip = cast("Ec2", ec2), Deadline(5.0), Destinations([IP], [ip_network(IP)])
    names = TableNames(TABLES, tags=(("ha", "x"),))
    tables = ChosenTables(names, to_ip, fake, lambda: "vpc-1", Memory({}, "none"), deadline)
    monkeypatch.setattr(ec2, "route_tables_of", lambda _vpc, _tag: (), raising=False)
    overlay = OverlayRoutes(to_ip, tables, MINE, fake, fake, memory, deadline, Progress("ReplaceRoute"))
    assert overlay.look().where is Where.ELSEWHERE
    outcome = overlay.repair()
    assert ec2.mine == list(TABLES)
    assert "no table has the tag ha=x, tag the tables of vpc-1" in outcome.failed
    assert outcome.leads_here


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        *((DENIED, False), (NO_TABLE, False), (THROTTLED, True), (Error("ReplaceRoute: X"), True)),
        (ExpiredError("ReplaceRoute: RequestExpired: set the clock"), True),
    ],
)
def test_a_restart_does_not_help_against_what_ec2_refused_at_the_start(
    ec2: FakeEc2, make: Make, error: Error, helps: bool
) -> None:
    """It would end there again; what was throttled can be written next time, and what drifted since too."""
    ec2.fail = {TABLES[0]: error}
    make().take()
    assert make().look().restart_helps is helps
    ec2.routes[TABLES[1]] = (to(OTHER),)
    with pytest.raises(UnknownError, match="reads can lag"):  # its own write of a moment ago
        make().look()


def test_what_was_refused_and_is_in_order_since_is_a_reason_to_restart_again(
    ec2: FakeEc2, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has allowed it, and led the route here: when it drifts later, a start would write it."""
    ec2.fail = {TABLES[0]: DENIED}
    make().take()
    monkeypatch.setattr(consistency, "SETTLE_SECONDS", 0.0)
    assert not make().look().restart_helps
    ec2.routes[TABLES[0]] = (to(MINE),)
    assert make().look() == HERE
    ec2.routes[TABLES[0]] = (to(OTHER),)
    assert make().look().restart_helps


def test_a_check_that_only_one_read_tells_is_not_known(
    ec2: FakeEc2, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first read of the ENI fails, the second one says that it is on: a repair of routes does not pass over it."""
    drift(ec2, TABLES[0], check_on=True)
    ec2.fail_check_read = THROTTLED
    read = ec2.network_interface

    def once(network_interface_id: str) -> NetworkInterface:
        try:
            return read(network_interface_id)
        finally:
            ec2.fail_check_read = None

    monkeypatch.setattr(ec2, "network_interface", once)
    overlay = make()
    assert overlay.look().where is Where.ELSEWHERE
    outcome = overlay.repair()
    assert ec2.mine == list(TABLES)
    assert "it is not known whether the source/destination check is off" in outcome.failed


def test_a_destination_within_another_one_that_cannot_be_written_costs_nothing(
    ec2: FakeEc2, memory: WriteMemory
) -> None:
    """The /24 leads here, the /32 that is to be there too is not: whoever asks reaches this node."""
    wide, host = ip_network("192.168.10.0/24"), ip_network(IP)
    ec2.fail_create = DeniedError("CreateRoute: UnauthorizedOperation")
    ec2.fail = {TABLES[0]: NoRouteError("ReplaceRoute: InvalidParameterValue")}
    fake, deadline, to_both = cast("Ec2", ec2), Deadline(5.0), Destinations([IP], [wide, host])
    tables = ChosenTables(TableNames(TABLES[:1]), to_both, fake, lambda: "vpc-1", Memory({}, "none"), deadline)
    overlay = OverlayRoutes(to_both, tables, MINE, fake, fake, memory, deadline, Progress("ReplaceRoute"))
    for route, leads_here in ((Route(wide, MINE), True), (Route(wide, OTHER), False)):
        ec2.routes = {TABLES[0]: (route,)}
        ec2.readings = [lambda: RouteTables(ec2.now().found, ())] * 2
        assert overlay.look().where is Where.ELSEWHERE
        outcome = overlay.repair()
        assert outcome.failed
        assert outcome.leads_here is leads_here


def test_a_route_that_drifted_beside_a_refused_one_is_a_reason_to_restart(
    ec2: FakeEc2, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start writes that one again."""
    ec2.fail = {TABLES[0]: DENIED}
    make().take()
    monkeypatch.setattr(consistency, "SETTLE_SECONDS", 0.0)
    ec2.routes[TABLES[1]] = (to(OTHER),)
    assert make().look().restart_helps


def test_a_repair_makes_no_read_of_other_routes_stale(
    ec2: FakeEc2, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One table is repaired long after the start; when another one drifts right after, two reads are believed."""
    now = [1000.0]
    monkeypatch.setattr(consistency, "_now", lambda: now[0])
    make().take()
    now[0] += 100
    ec2.routes[TABLES[0]] = (to(OTHER),)
    overlay = make()
    overlay.look()
    overlay.repair()
    ec2.routes[TABLES[1]] = (to(OTHER),)
    assert make().look() == Look(Where.ELSEWHERE, f"{TABLES[1]} routes {IP}/32 to {OTHER} instead of {MINE}")
    ec2.routes[TABLES[0]] = (to(OTHER),)
    with pytest.raises(UnknownError, match="reads can lag"):
        make().look()


def test_a_table_that_does_not_answer_does_not_spoil_a_repair(ec2: FakeEc2, make: Make) -> None:
    """What hangs to the end is a table that could not be written."""
    drift(ec2, *TABLES)
    ec2.hang = {TABLES[0]}
    overlay = make(0.3)
    overlay.look()
    outcome = overlay.repair()
    assert outcome.failed == told(TABLES[:1], HANGS)
    assert outcome.leads_here


@pytest.mark.parametrize("tables", [(), TABLES[:1]])
def test_a_repair_switches_the_check_off(
    ec2: FakeEc2, overlay: OverlayRoutes, memory: WriteMemory, tables: Sequence[str]
) -> None:
    """ "Switched off", beside the routes; it is a write too, so that a read of before is not believed afterwards."""
    drift(ec2, *tables, check_on=True)
    overlay.look()
    outcome = overlay.repair()
    assert not ec2.check_on
    assert outcome.mended.startswith(f"source/destination check of {MINE} switched off")
    assert (outcome.failed, outcome.leads_here) == ("", True)
    assert ec2.mine == list(TABLES)
    ec2.check_on = True
    with pytest.raises(UnknownError, match="reads can lag"):
        overlay.look()


@pytest.mark.parametrize("tables", ["denied", "hang"])
def test_a_check_that_is_on_where_the_tables_cannot_be_read(ec2: FakeEc2, make: Make, tables: str) -> None:
    """It is drift of everything: switched off; where the routes lead is not known then, and said."""
    ec2.check_on = True
    denied = DeniedError("DescribeRouteTables: UnauthorizedOperation")

    def read(_ids: Sequence[str]) -> RouteTables:
        if tables == "hang":
            ec2.end.wait(30)
        raise denied

    ec2.route_tables = read  # type: ignore[assignment, method-assign]
    overlay = make(4.0)
    found = overlay.look()
    assert found.where is Where.ELSEWHERE
    assert CHECK_COMMAND in found.why
    outcome = overlay.repair()
    assert not ec2.check_on
    assert outcome.mended == f"source/destination check of {MINE} switched off"
    assert outcome.failed.startswith("where the routes lead is not known (DescribeRouteTables: ")
    assert outcome.leads_here is None


def test_tables_that_cannot_be_read_while_the_check_is_off(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """What keeps them from being read is raised, as without a check."""
    denied = DeniedError("DescribeRouteTables: UnauthorizedOperation")

    def read() -> RouteTables:
        raise denied

    ec2.readings = [read, read]
    with pytest.raises(DeniedError, match="DescribeRouteTables"):
        overlay.look()


def test_a_check_that_a_start_found_off(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """It was not written, so that two reads decide when somebody switches it on within the minute after the start."""
    overlay.take()
    ec2.check_on = True
    assert overlay.look().where is Where.ELSEWHERE


@pytest.mark.parametrize("reads", ["answered", "throttled"])
def test_a_check_that_cannot_be_switched_off_is_a_failure(ec2: FakeEc2, overlay: OverlayRoutes, reads: str) -> None:
    """ "Else 1 with the command": nothing leads here, whatever the routes say; it is not read a third time."""
    drift(ec2, TABLES[0], check_on=True)
    ec2.fail_check_write = REFUSAL
    overlay.look()
    if reads == "throttled":
        ec2.fail_check_read = THROTTLED
    with pytest.raises(NodeError, match=CHECK_COMMAND):
        overlay.repair()


def test_release_asks_nobody(ec2: FakeEc2, overlay: OverlayRoutes) -> None:
    """The routes stay for the next active node to rewrite."""
    overlay.release()
    assert ec2.reads == 0
    assert not ec2.written


def test_names_that_no_table_has_are_told_with_the_vpc() -> None:
    """Also by whoever has not looked them up itself: the doctor's finding named no VPC."""
    to_ip, ec2 = Destinations([IP], [ip_network(IP)]), cast("Ec2", None)
    tables = ChosenTables(TableNames(auto=True), to_ip, ec2, lambda: "vpc-1", Memory({}, "none"), Deadline(60))
    assert "auto finds no table of vpc-1 with a route for" in str(tables.none_found(["auto"]))
