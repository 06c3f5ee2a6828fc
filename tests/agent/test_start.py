"""The contract's row for `start`, overlay-ip."""

from __future__ import annotations

import threading
from typing import Callable, List

import pytest

from sandbox import Held, Node, Ran, ip, make_interface
from vpc_lab.ec2 import Fault, Limit, Policy, Statement
from vpc_lab.topology import topology_for
from vpc_lab.waiting import eventually

MANY = 30


def test_start_takes_address_and_routes(node: Node) -> None:
    """start: 0; the address is on the primary ENI's NIC as a host address, and every table leads it to this ENI."""
    ran = node.agent.run("start")
    assert ran.code == 0, ran
    assert node.held() == [Held("eth0", "192.168.10.10/32", "eth0")]
    assert set(node.routes().values()) == {node.me.network_interface_id}
    assert ran.reasons == []
    assert ran.stdout == ""


def test_start_is_idempotent(node: Node) -> None:
    """start: idempotent. A second one succeeds, and leaves address and routes as they were."""
    node.started()
    before = node.held(), node.routes()
    again = node.agent.run("start")
    assert again.code == 0, again
    assert (node.held(), node.routes()) == before


def test_start_always_asserts_the_cloud_side(node: Node) -> None:
    """start: always asserts the cloud side. A start where the address is here already moves the routes all the same."""
    node.started()
    node.point_routes_at("node2")
    again = node.agent.run("start")
    assert again.code == 0, again
    assert set(node.routes().values()) == {node.me.network_interface_id}
    assert again.ec2.count("ReplaceRoute") == 2


def test_a_route_that_is_right_already_is_written_again(node: Node) -> None:
    """start: always asserts. No read, which can be old, keeps it from writing."""
    node.started()
    again = node.agent.run("start")
    assert sorted(again.ec2) == ["DescribeNetworkInterfaces", "ReplaceRoute", "ReplaceRoute"]


def test_the_address_comes_before_the_routes(node: Node) -> None:
    """start: local address first. While the first ReplaceRoute is on its way, the address is here already."""
    node.aws.faults.add(Fault("hang", action="ReplaceRoute", times=2))
    with node.agent.begin("start", timeout=40) as running:
        eventually("both tables are being written", lambda: len(node.aws.calls("ReplaceRoute")) == 2)
        assert len(node.held()) == 1
        assert set(node.routes().values()) == {node.aws.account.instance("node2").network_interface_id}
        running.process.kill()


def test_all_tables_are_written_at_once(make_node: Callable[..., Node]) -> None:
    """start: every table at once. With every answer held back, all the calls are under way together."""
    node = make_node(topology=topology_for(extra_route_tables=MANY - 2))
    node.aws.faults.add(Fault("hang", action="ReplaceRoute"))
    with node.agent.begin("start", timeout=60) as running:
        eventually("all tables are being written", lambda: len(node.aws.calls("ReplaceRoute")) == MANY)
        assert {call.outcome for call in node.aws.calls("ReplaceRoute")} <= {"pending", "fault:hang"}
        running.process.kill()


def test_a_missing_route_is_created(node: Node) -> None:
    """start: CreateRoute only for a table without the route."""
    lacking, having = node.tables
    node.aws.account.delete_route(node.destination, lacking)
    ran = node.started()
    assert set(node.routes().values()) == {node.me.network_interface_id}
    created = [call for call in ran.calls if call.action == "CreateRoute"]
    assert [call.parameters["RouteTableId"] for call in created] == [lacking]
    assert having in [call.parameters["RouteTableId"] for call in ran.calls if call.action == "ReplaceRoute"]


def test_no_permission_to_create_gives_the_command(node: Node) -> None:
    """Routes that are missing and may not be created: 4, and the exit reason has the exact AWS CLI command to run."""
    node.aws.account.delete_route(node.destination)
    may = Statement(("ec2:ReplaceRoute", "ec2:DescribeRouteTables"))
    node.aws.account.identities.restrict_instances(Policy((may,)))
    ran = node.agent.run("start")
    assert ran.code == 4, ran
    assert "CreateRoute: UnauthorizedOperation" in ran.reason
    first, *others = node.tables
    assert (
        f"aws ec2 create-route --region eu-central-1 --route-table-id {first}"
        f" --destination-cidr-block 192.168.10.10/32 --network-interface-id {node.me.network_interface_id}"
    ) in ran.reason
    assert all(table in ran.reason for table in others)
    assert node.held() == []


def test_a_route_created_by_someone_else_meanwhile(node: Node) -> None:
    """A table that gets its route between our ReplaceRoute and our CreateRoute is replaced after all."""
    lacking = node.tables[0]
    node.aws.account.delete_route(node.destination, lacking)
    node.aws.faults.add(Fault("latency", action="CreateRoute", seconds=1.0))
    node.aws.faults.add(Fault("error", action="CreateRoute", code="RouteAlreadyExists", times=1))
    with node.agent.begin("start") as running:
        eventually("the route is being created", lambda: node.aws.calls("CreateRoute"))
        node.aws.account.put_route(node.destination, "node2", lacking)
        ran = running.end()
    assert ran.code == 0, ran
    assert set(node.routes().values()) == {node.me.network_interface_id}


def errors(ran: Ran) -> List[str]:
    """What was logged at ERROR."""
    return [line for line in ran.stderr.splitlines() if line.startswith("ERROR:")]


def test_a_failed_table(node: Node) -> None:
    """start: it succeeds when at least one table leads here; a table that could not be written is logged as an error
    with its AWS error code."""
    bad, good = node.tables
    node.aws.faults.add(Fault("error", action="ReplaceRoute", resource=bad, code="UnauthorizedOperation"))
    ran = node.started()
    (error,) = errors(ran)
    assert bad in error
    assert "ReplaceRoute: UnauthorizedOperation" in error
    assert good not in error
    assert ran.reasons == []
    assert len(node.held()) == 1
    assert node.routes()[good] == node.me.network_interface_id
    assert node.agent.run("stop").code == 0


@pytest.mark.parametrize("failing", [0, 2, 4])
def test_all_tables_are_tried_whichever_fails(make_node: Callable[..., Node], failing: int) -> None:
    """start: every table at once, all tried, whichever of them fails."""
    node = make_node(topology=topology_for(extra_route_tables=3))
    bad = node.tables[failing]
    node.aws.faults.add(Fault("error", action="ReplaceRoute", resource=bad, code="UnauthorizedOperation"))
    node.started()
    moved = {table for table, target in node.routes().items() if target == node.me.network_interface_id}
    assert moved == set(node.tables) - {bad}


def test_several_failures_are_all_named(make_node: Callable[..., Node]) -> None:
    """start: each table that could not be written (deleted, denied, throttled to the end) is logged as an error with
    its AWS error code."""
    node = make_node(topology=topology_for(extra_route_tables=3))
    denied, deleted, throttled, full, good = node.tables
    node.aws.faults.add(Fault("error", action="ReplaceRoute", resource=denied, code="UnauthorizedOperation"))
    node.aws.account.delete_route_table(deleted)
    node.aws.faults.add(Fault("error", action="ReplaceRoute", resource=throttled, code="RequestLimitExceeded"))
    node.aws.account.delete_route(node.destination, full)
    node.aws.faults.add(Fault("error", action="CreateRoute", resource=full, code="RouteLimitExceeded"))
    ran = node.agent.run("start", timeout=12)
    assert ran.code == 0, ran
    for table, code in (
        (denied, "UnauthorizedOperation"),
        (deleted, "InvalidRouteTableID.NotFound"),
        (throttled, "RequestLimitExceeded"),
        (full, "RouteLimitExceeded"),
    ):
        assert [line for line in errors(ran) if table in line and code in line], ran
    assert not [line for line in errors(ran) if good in line]
    assert len(node.held()) == 1


def fail_all(node: Node, *codes: str) -> Ran:
    """A start whose every ReplaceRoute fails, the tables with these codes in turn."""
    for number, table in enumerate(node.tables):
        code = codes[number % len(codes)]
        node.aws.faults.add(Fault("error", action="ReplaceRoute", resource=table, code=code))
    return node.agent.run("start", timeout=5)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (["InvalidRouteTableID.NotFound"], 2),
        (["UnauthorizedOperation"], 4),
        (["RequestLimitExceeded"], 1),
        (["InvalidRouteTableID.NotFound", "UnauthorizedOperation"], 1),
        (["RequestLimitExceeded", "UnauthorizedOperation"], 1),
    ],
    ids=str,
)
def test_no_table_was_written(node: Node, codes: List[str], expected: int) -> None:
    """start: it fails when none was written, the local address taken away again: 2 all unknown, 4 all denied, else
    1. The exit reason names each table with its AWS error code."""
    ran = fail_all(node, *codes)
    assert ran.code == expected, ran
    assert node.held() == []
    assert all(table in ran.reason for table in node.tables)
    assert all(f"ReplaceRoute: {code}" in ran.reason for code in codes)
    assert len(errors(ran)) == 1
    assert node.remembered() == []


def test_many_tables_that_fail_alike(make_node: Callable[..., Node]) -> None:
    """Exit reason: what it means and what to do in the first 110 characters, however many tables it is about."""
    node = make_node(topology=topology_for(extra_route_tables=10))
    ran = fail_all(node, "UnauthorizedOperation")
    assert ran.code == 4, ran
    for expected in (node.tables[0], "11 more", "ReplaceRoute: UnauthorizedOperation", "allow it in this node's IAM"):
        assert expected in ran.reason[:110]
    assert all(table in ran.reason for table in node.tables)


def test_one_table_that_stays_throttled(make_node: Callable[..., Node]) -> None:
    """start: a table that is throttled to the end costs itself: the others lead here, and the start succeeds."""
    node = make_node(topology=topology_for(extra_route_tables=1))
    bad = node.tables[1]
    node.aws.faults.add(Fault("error", action="ReplaceRoute", resource=bad, code="RequestLimitExceeded", status=503))
    ran = node.agent.run("start", timeout=8)
    assert ran.code == 0, ran
    assert [line for line in errors(ran) if bad in line and "RequestLimitExceeded" in line]
    assert [table for table, target in node.routes().items() if target != node.me.network_interface_id] == [bad]


@pytest.mark.parametrize("kind", ["hang", "reset", "html"])
def test_one_table_without_an_answer(make_node: Callable[..., Node], kind: str) -> None:
    """start: a table for which EC2 gives no answer to the end costs itself, whatever way it does not answer."""
    node = make_node(topology=topology_for(extra_route_tables=1))
    bad = node.tables[1]
    node.aws.faults.add(Fault(kind, action="ReplaceRoute", resource=bad))  # type: ignore[arg-type]
    ran = node.agent.run("start", timeout=8)
    assert ran.code == 0, ran
    assert [line for line in errors(ran) if bad in line and "ReplaceRoute" in line], ran


def test_throttling_is_retried(make_node: Callable[..., Node]) -> None:
    """Throttling is retried: a start whose first calls are all refused succeeds."""
    node = make_node(topology=topology_for(extra_route_tables=8))
    node.aws.faults.add(
        Fault("error", action="ReplaceRoute", code="RequestLimitExceeded", status=503, times=len(node.tables))
    )
    ran = node.agent.run("start")
    assert ran.code == 0, ran
    assert set(node.routes().values()) == {node.me.network_interface_id}


def test_hundreds_of_tables_under_ec2s_real_limits(make_node: Callable[..., Node]) -> None:
    """1 to 250 tables: with EC2's own token bucket (50, then 5 a second), a start gets through in the end."""
    node = make_node(topology=topology_for(extra_route_tables=68))
    node.aws.throttle.limit(Limit())
    ran = node.agent.run("start", timeout=60)
    assert ran.code == 0, ran
    assert set(node.routes().values()) == {node.me.network_interface_id}
    assert "RequestLimitExceeded" in {call.outcome for call in ran.calls}


@pytest.mark.parametrize("tables", [1, 250])
def test_number_of_tables(make_node: Callable[..., Node], tables: int) -> None:
    """1 to 250 tables in one resource."""
    node = make_node(topology=topology_for(extra_route_tables=max(0, tables - 2)))
    node.agent.parameters["routing_table"] = ",".join(node.tables[:tables])
    ran = node.started()
    assert len(node.tables) == tables
    assert set(node.routes().values()) == {node.me.network_interface_id}
    assert sorted(ran.ec2) == ["DescribeNetworkInterfaces", *["ReplaceRoute"] * tables]
    ran = node.agent.run("monitor", level=10, interval=10)
    assert sorted(ran.ec2) == ["DescribeNetworkInterfaces", *["DescribeRouteTables"] * -(-tables // 100)]


def test_a_permanent_error_is_not_retried(node: Node) -> None:
    """Throttling and transient errors are retried; a permanent error is not."""
    node.aws.faults.add(Fault("error", action="ReplaceRoute", code="InvalidRouteTableID.NotFound"))
    ran = node.agent.run("start")
    assert ran.code == 2, ran
    assert ran.ec2.count("ReplaceRoute") == 2


@pytest.mark.parametrize("kind", ["reset", "close", "html", "truncate", "empty"])
@pytest.mark.parametrize("after", [False, True])
def test_a_call_that_is_cut_off_is_made_again(node: Node, kind: str, after: bool) -> None:
    """Transient errors are retried: a connection that breaks before or after EC2 has done it makes no difference."""
    node.aws.faults.add(Fault(kind, action="ReplaceRoute", times=2, after=after))  # type: ignore[arg-type]
    ran = node.agent.run("start")
    assert ran.code == 0, ran
    assert set(node.routes().values()) == {node.me.network_interface_id}
    assert len(node.held()) == 1


def test_nothing_is_changed_before_everything_is_resolved(node: Node) -> None:
    """Everything is resolved before the first change: without credentials neither address nor routes are touched."""
    node.aws.imds.overrides["/latest/meta-data/iam/security-credentials"] = None
    seen: List[object] = []
    done = threading.Event()

    with node.agent.begin("start", timeout=5) as running:
        while running.process.poll() is None:
            seen += node.held()
            done.wait(0.01)
        ran = running.end()
    assert ran.code == 1, ran
    assert "no AWS credentials" in ran.reason
    assert seen == []
    assert ran.ec2 == []


def test_a_blackhole_is_moved(node: Node) -> None:
    """A blackhole left by a stopped instance is moved like any other route."""
    node.aws.api.administer("StopInstances", InstanceId=node.aws.account.instance("node2").instance_id)
    node.started()
    assert set(node.routes().values()) == {node.me.network_interface_id}


def test_stale_reads_do_not_disturb_start(node: Node) -> None:
    """Trust the write: start asks for no read, and a read that is old for a minute changes nothing."""
    from vpc_lab.ec2 import Consistency

    node.aws.account.consistency = Consistency(lag=60.0)
    ran = node.started()
    assert "DescribeRouteTables" not in ran.ec2


def test_an_address_held_elsewhere_on_this_node_is_brought_into_shape(node: Node) -> None:
    """start: the address that was put on another NIC, or with another prefix, ends as one host address on the right
    one."""
    make_interface("eth1")
    ip("address", "add", "192.168.10.10/24", "dev", "eth1")
    ip("address", "add", "192.168.10.10/24", "dev", "eth0")
    node.started()
    assert node.held() == [Held("eth0", "192.168.10.10/32", "eth0")]


@pytest.mark.parametrize("before", ["nothing", "the address"])
def test_a_link_that_is_down(node: Node, before: str) -> None:
    """start sets the link up, and says so in a warning; then the monitor finds the address."""
    if before == "the address":
        ip("address", "add", node.destination, "dev", "eth0")
    ip("link", "set", "dev", "eth0", "down")
    ran = node.agent.run("start")
    assert ran.code == 0, ran
    assert "WARNING: eth0 was down: set up" in ran.stderr
    assert "UP" in ip("link", "show", "dev", "eth0")[0]["flags"]
    assert node.agent.run("monitor", interval=10).code == 0


def test_concurrent_starts(node: Node) -> None:
    """Two starts at the same time both succeed, and leave one address."""
    with node.agent.begin("start") as one, node.agent.begin("start") as two:
        codes = [one.end(), two.end()]
    assert [ran.code for ran in codes] == [0, 0], "\n".join(map(str, codes))
    assert len(node.held()) == 1
    assert set(node.routes().values()) == {node.me.network_interface_id}


def test_start_never_sleeps(node: Node) -> None:
    """start: no fixed sleep anywhere. Where nothing has to be retried, the process never calls time.sleep."""
    marker = node.directory / "slept"
    shim = node.directory / "shim"
    shim.mkdir()
    (shim / "sitecustomize.py").write_text(
        "import time\n"
        "real = time.sleep\n"
        "def sleep(seconds):\n"
        "    if seconds > 0.05:\n"  # what Python's own subprocess module polls a child with
        f"        open({str(marker)!r}, 'a').write(f'{{seconds}}\\n')\n"
        "    real(seconds)\n"
        "time.sleep = sleep\n"
    )
    ran = node.agent.run("start", environ={"PYTHONPATH": str(shim)})
    assert ran.code == 0, ran
    assert not marker.exists()
    # The guard works: a throttled start does sleep.
    node.aws.faults.add(Fault("error", action="ReplaceRoute", code="RequestLimitExceeded", status=503, times=8))
    assert node.agent.run("start", environ={"PYTHONPATH": str(shim)}).code == 0
    assert marker.exists()
