"""The contract's rows for the probe and the monitors, overlay-ip, and its three-valued cloud state."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from sandbox import Node, Ran, crm_resource_stub, ip, make_interface, with_files, without_packages
from vpc_lab.ec2 import Consistency, Fault
from vpc_lab.topology import topology_for
from vpc_lab.vpc import RouteOrigin
from vpc_lab.waiting import eventually

NOT_RUNNING = 7
DEGRADED = 190
# What shows that a monitor finds the cloud side elsewhere, without doing anything about it.
RESTART = {"on_drift": "restart"}
FAULTS = [
    Fault("error", code="RequestLimitExceeded", status=503),
    Fault("error", code="UnauthorizedOperation", status=403),
    Fault("error", code="RequestExpired", status=400),
    Fault("hang"),
    Fault("reset"),
    Fault("refuse"),
    Fault("html"),
]


def described(fault: Fault) -> str:
    """A fault as a test's id."""
    return fault.kind if fault.kind != "error" else fault.code


# -- probe ------------------------------------------------------------------------------------------------------


def test_probe_here(node: Node) -> None:
    """probe: 0 here."""
    node.hold()
    ran = node.agent.run("monitor", interval=0)
    assert ran.code == 0, ran
    assert ran.calls == ()
    assert ran.reasons == []


def test_probe_not_here(node: Node) -> None:
    """probe: 7 not here, without an exit reason: it is what a standby is expected to say. Nothing is asked."""
    ran = node.agent.run("monitor", interval=0)
    assert ran.code == NOT_RUNNING, ran
    assert ran.calls == ()
    assert ran.stderr == ""


@pytest.mark.parametrize("level", [0, 10, 20])
@pytest.mark.parametrize("monapi", ["true", "false"])
def test_a_probe_never_asks_the_cloud(node: Node, level: int, monapi: str) -> None:
    """probe: local state only, whatever the level and monapi say; an interval of 0 or none is a probe."""
    node.hold()
    for interval in (0, None):
        ran = node.agent.run("monitor", {"monapi": monapi}, level=level, interval=interval)
        assert ran.code == 0, ran
        assert ran.calls == ()


@pytest.mark.parametrize("fault", FAULTS, ids=described)
def test_probe_during_an_outage(node: Node, fault: Fault) -> None:
    """probe: during an outage, 0 on the active node and 7 on the standby, with no call."""
    node.aws.faults.add(fault)
    assert node.agent.run("monitor").code == NOT_RUNNING
    ip("address", "add", "192.168.10.10/32", "dev", "eth0")
    ran = node.agent.run("monitor")
    assert ran.code == 0, ran
    assert ran.calls == ()


def test_a_probe_looks_at_every_device(node: Node) -> None:
    """A local check looks for the address on every device, and needs neither interface nor IMDS."""
    make_interface("eth1")
    ip("address", "add", "192.168.10.10/24", "dev", "eth1")
    ran = node.agent.run("monitor", {"interface": "eth0"}, environ={"AWS_EC2_METADATA_SERVICE_ENDPOINT": None})
    assert ran.code == 0, ran


@pytest.mark.parametrize("other", ["192.168.10.1", "192.168.10.100", "192.168.10.101", "19.168.10.10", "92.168.10.10"])
def test_a_similar_address_is_another_one(node: Node, other: str) -> None:
    """Addresses are compared as values: one that has the text of the other in it is another one."""
    ip("address", "add", f"{other}/32", "dev", "eth0")
    assert node.agent.run("monitor").code == NOT_RUNNING


def test_probe_cannot_tell(node: Node, tmp_path: Path) -> None:
    """probe: 1 where it cannot tell: an `ip` that does not work is no evidence of anything."""
    broken = tmp_path / "bin" / "ip"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho nonsense\n")
    broken.chmod(0o755)
    ran = node.agent.run("monitor", environ={"PATH": str(broken.parent)})
    assert ran.code == 1, ran
    assert "ip address show" in ran.reason


@pytest.mark.parametrize("script", ["exit 1", "exit 255", "kill -9 $$", "echo '[{'", "exec sleep 30"])
def test_a_probe_is_never_wrong_about_a_broken_ip(node: Node, tmp_path: Path, script: str) -> None:
    """probe: whatever way `ip` fails, by code, by signal, by output or by hanging, the answer is 1, not 7."""
    broken = tmp_path / "bin" / "ip"
    broken.parent.mkdir()
    broken.write_text(f"#!/bin/sh\n{script}\n")
    broken.chmod(0o755)
    ran = node.agent.run("monitor", environ={"PATH": f"{broken.parent}:/bin"}, timeout=5)
    assert ran.code == 1, ran
    assert ran.reason


def test_probe_without_iproute2(node: Node, tmp_path: Path) -> None:
    """probe: without the ip command, 7 where the kernel itself says the address is not here, else 1."""
    (tmp_path / "empty").mkdir()
    nothing = {"PATH": str(tmp_path / "empty")}
    assert node.agent.run("monitor", environ=nothing).code == NOT_RUNNING
    node.hold()
    assert node.agent.run("monitor", environ=nothing).code == 1


def test_probe_without_boto3_and_requests(node: Node, tmp_path: Path) -> None:
    """probe and monitor level 0: neither boto3 nor requests is needed."""
    missing = without_packages(tmp_path / "shim", "boto3", "botocore", "requests")
    assert node.agent.run("monitor", environ=missing).code == NOT_RUNNING
    node.hold()
    assert node.agent.run("monitor", environ=missing).code == 0
    assert node.agent.run("monitor", environ=missing, interval=10).code == 0


BAD: list[Dict[str, str | None]] = [
    {"routing_table": "nonsense"},
    {"mode": "teleport"},
    {"interface": "eth7"},
    {"profile": "missing"},
    {"region": "nowhere"},
]


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_a_probe_never_says_6(node: Node, bad: Dict[str, str | None]) -> None:
    """Pacemaker gives up on every node after a 6, even from a probe: bad parameters do not change its answer."""
    assert node.agent.run("monitor", bad).code == NOT_RUNNING
    node.hold()
    assert node.agent.run("monitor", bad).code == 0


@pytest.mark.parametrize("bad", [None, "", "nonsense", "10.99.0.500", "127.0.0.1"])
def test_a_probe_for_no_address(node: Node, bad: str | None) -> None:
    """probe: an address that cannot exist is not here."""
    assert node.agent.run("monitor", {"ip": bad}).code == NOT_RUNNING


# -- monitor, level 0 ---------------------------------------------------------------------------------------------


def test_level_0_here(node: Node) -> None:
    """monitor level 0: 0, local state only; routes that lead elsewhere are not looked at."""
    node.hold()
    node.point_routes_at("node2")
    ran = node.agent.run("monitor", interval=10)
    assert ran.code == 0, ran
    assert ran.calls == ()


def test_an_address_on_a_link_that_is_down(node: Node) -> None:
    """An address on a link that is administratively down is not here (a probe says 7; stop removes it all the same;
    start sets the link up)."""
    node.hold()
    ip("link", "set", "dev", "eth0", "down")
    ran = node.agent.run("monitor", interval=10)
    assert ran.code == NOT_RUNNING, ran
    assert "is on eth0, which is down" in ran.reason
    assert node.agent.run("monitor").code == NOT_RUNNING
    assert node.agent.run("monitor", level=10, interval=10).code == NOT_RUNNING
    assert len(node.held()) == 1
    assert node.agent.run("stop").code == 0
    assert node.held() == []
    node.started()
    assert node.agent.run("monitor", interval=10).code == 0


def test_level_0_not_here(node: Node) -> None:
    """monitor level 0: 7, and the reason names what is likely to have removed the address."""
    node.hold()
    ip("address", "del", "192.168.10.10/32", "dev", "eth0")
    ran = node.agent.run("monitor", interval=10)
    assert ran.code == NOT_RUNNING, ran
    assert "192.168.10.10" in ran.reason
    assert "nm-cloud-setup" in ran.reason


# -- monitor, level 10 and monapi -----------------------------------------------------------------------------------


@pytest.fixture(params=["level 10", "monapi"])
def deep(request: pytest.FixtureRequest) -> Dict[str, Any]:
    """The two ways to ask for the cloud side."""
    if request.param == "monapi":
        return {"parameters": {"monapi": "TRUE"}, "interval": 10}
    return {"level": 10, "interval": 10}


def test_here(node: Node, deep: Dict[str, Any]) -> None:
    """monitor level 10 or monapi: HERE 0, by one call for the tables and one for the ENI. Pacemaker is not asked."""
    asked = crm_resource_stub(node, "managed")
    node.hold()
    ran = node.agent.run("monitor", **deep)
    assert ran.code == 0, ran
    assert sorted(ran.ec2) == ["DescribeNetworkInterfaces", "DescribeRouteTables"]
    assert asked() == []
    assert ran.stderr == ""


def test_local_comes_first(node: Node, deep: Dict[str, Any]) -> None:
    """monitor level 10 or monapi: local, then cloud. Without the address it is 7, and no call is made."""
    ran = node.agent.run("monitor", **deep)
    assert ran.code == NOT_RUNNING, ran
    assert ran.calls == ()


def reads(ran: Ran) -> List[str]:
    """What was asked about the route tables, without the calls about the ENI beside."""
    return [action for action in ran.ec2 if action != "DescribeNetworkInterfaces"]


def test_elsewhere(node: Node, deep: Dict[str, Any]) -> None:
    """monitor level 10 or monapi: ELSEWHERE, once a second read confirms it; the reason says what leads where."""
    node.hold()
    node.point_routes_at("node2")
    ran = (
        node.agent.run("monitor", RESTART, **deep)
        if "level" in deep
        else node.agent.run("monitor", {**RESTART, **deep["parameters"]}, interval=10)
    )
    assert ran.code == 1, ran
    assert reads(ran) == ["DescribeRouteTables"] * 2
    assert node.tables[0] in ran.reason
    assert node.aws.account.instance("node2").network_interface_id in ran.reason


def test_one_table_of_many_elsewhere(node: Node) -> None:
    """ELSEWHERE: one table that drifted is enough, and is the one that is named. Stop removes the address."""
    node.hold()
    node.aws.account.put_route(node.destination, "node2", node.tables[1])
    ran = node.agent.run("monitor", RESTART, level=10, interval=10)
    assert ran.code == 1, ran
    assert node.tables[1] in ran.reason
    assert node.tables[0] not in ran.reason
    assert node.agent.run("stop").code == 0
    assert node.held() == []


def test_every_kind_of_elsewhere(make_node: Callable[..., Node]) -> None:
    """ELSEWHERE: also absent, and a route to something that is no ENI. A wider route is not the address's route."""
    node = make_node(topology=topology_for(extra_route_tables=2))
    node.hold()
    right, absent, gateway, wider = node.tables
    account = node.aws.account
    account.delete_route(node.destination, absent)
    account.put_route(node.destination, account.transit_gateway_id, gateway)
    account.delete_route(node.destination, wider)
    account.put_route("192.168.10.0/24", "node1", wider)
    ran = node.agent.run("monitor", RESTART, level=10, interval=10)
    assert ran.code == 1, ran
    assert right not in ran.reason
    assert f"{absent} has no route" in ran.reason
    assert f"{gateway} routes" in ran.reason
    assert f"{wider} has no route" in ran.reason


def test_blackhole(node: Node) -> None:
    """ELSEWHERE: also a route to us that is blackhole."""
    node.hold()
    # EC2 shows the route of a stopped instance so.
    node.aws.api.administer("StopInstances", InstanceId=node.me.instance_id)
    ran = node.agent.run("monitor", RESTART, level=10, interval=10)
    assert ran.code == 1, ran
    assert "blackhole" in ran.reason


@pytest.mark.parametrize("origin", ["EnableVgwRoutePropagation", "Advertisement"])
def test_a_propagated_route_beside_ours(node: Node, origin: RouteOrigin) -> None:
    """Of several routes for one destination EC2 uses the static one before a propagated one: only the one in use
    counts."""
    node.hold()
    account = node.aws.account
    for table in node.tables:
        account.put_route(node.destination, account.transit_gateway_id, table, origin=origin)
    assert node.agent.run("monitor", RESTART, level=10, interval=10).code == 0
    # In whatever order EC2 lists them: a static route that is made again is listed after the propagated one.
    account.put_route(node.destination, "node1")
    assert node.agent.run("monitor", RESTART, level=10, interval=10).code == 0
    # The guard works: without the static one, the propagated one is in use.
    account.delete_route(node.destination, node.tables[0], origin="CreateRoute")
    ran = node.agent.run("monitor", RESTART, level=10, interval=10)
    assert ran.code == 1, ran
    assert account.transit_gateway_id not in ran.reason
    assert f"{node.tables[0]} routes" in ran.reason


def test_a_filtered_route(node: Node) -> None:
    """A state that is neither `active` nor `blackhole` is named as EC2 names it."""
    node.hold()
    node.aws.account.put_route(node.destination, "node1", node.tables[1], state="filtered")
    ran = node.agent.run("monitor", RESTART, level=10, interval=10)
    assert ran.code == 1, ran
    assert f"{node.tables[1]} has a filtered route" in ran.reason


@pytest.mark.parametrize("fault", FAULTS, ids=described)
def test_unknown(node: Node, fault: Fault) -> None:
    """monitor level 10: UNKNOWN 190. Whatever keeps it from asking, the resource stays."""
    node.hold()
    node.aws.faults.add(replace(fault, service="ec2"))
    ran = node.agent.run("monitor", level=10, interval=10, timeout=6)
    assert ran.code == DEGRADED, ran
    assert ran.reason
    assert ran.reason.startswith("Address up, nothing moved: ")
    if fault.kind == "error":
        assert fault.code in ran.reason[:110]
    assert len(node.held()) == 1


def test_a_table_that_does_not_exist(node: Node) -> None:
    """ELSEWHERE, at the second read: EC2 answered that the table does not exist, so it has no route to this node. About
    the other tables EC2 is asked by a filter, as its refusal says nothing of them."""
    node.hold()
    gone, good = node.tables
    node.aws.account.delete_route_table(gone)
    node.agent.parameters["routing_table"] = f"{gone},{good}"
    ran = node.agent.run("monitor", RESTART, level=10, interval=10)
    assert ran.code == 1, ran
    assert f"{gone} does not exist" in ran.reason
    assert "DescribeRouteTables: InvalidRouteTableID.NotFound" in ran.reason
    assert good not in ran.reason
    assert reads(ran) == ["DescribeRouteTables"] * 4


def test_an_empty_answer_to_a_filtered_read(node: Node) -> None:
    """An empty answer to a filtered read is UNKNOWN until a second read agrees."""
    node.hold()
    node.aws.faults.add(Fault("empty_set", action="DescribeNetworkInterfaces", times=1))
    ran = node.agent.run("monitor", RESTART, level=10, interval=10)
    assert ran.code == 0, ran
    assert ran.ec2.count("DescribeNetworkInterfaces") == 2


@pytest.mark.parametrize("kind", ["error", "refuse"])
def test_unknown_by_imds(node: Node, kind: str) -> None:
    """monitor level 10: IMDS that does not answer is UNKNOWN as well."""
    node.hold()
    node.aws.faults.add(Fault(kind, service="imds"))  # type: ignore[arg-type]
    ran = node.agent.run("monitor", level=10, interval=10, timeout=6)
    assert ran.code == DEGRADED, ran
    assert "IMDS" in ran.reason


def test_unknown_by_dns(node: Node, tmp_path: Path) -> None:
    """monitor level 10: a name that cannot be resolved is UNKNOWN."""
    node.hold()
    hosts = tmp_path / "resolv.conf"
    hosts.write_text("nameserver 127.0.0.1\n")
    ran = node.agent.begin(
        "monitor",
        environ={"AWS_ENDPOINT_URL": "http://ec2.eu-central-1.amazonaws.com"},
        level=10,
        interval=10,
        timeout=5,
        command=with_files({hosts: "/etc/resolv.conf"}),
    ).end()
    assert ran.code == DEGRADED, ran


def test_unknown_by_missing_packages(node: Node, tmp_path: Path) -> None:
    """monitor level 10: software that is missing keeps it from asking; it did not find out, and says 190."""
    node.hold()
    for name in ("boto3", "requests"):
        missing = without_packages(tmp_path / name, name)
        ran = node.agent.run("monitor", environ=missing, level=10, interval=10)
        assert ran.code == DEGRADED, ran
        assert name in ran.reason


def test_unknown_by_credentials(node: Node) -> None:
    """monitor level 10: credentials that have expired, or are missing, are UNKNOWN."""
    node.hold()
    node.aws.imds.overrides["/latest/meta-data/iam/security-credentials"] = None
    ran = node.agent.run("monitor", level=10, interval=10)
    assert ran.code == DEGRADED, ran
    assert "credentials" in ran.reason


@pytest.mark.parametrize("bad", BAD[:2], ids=str)
def test_unknown_by_parameters(node: Node, bad: Dict[str, str | None]) -> None:
    """monitor level 10: never 6. A bad parameter keeps the cloud from being asked, and the address is here."""
    node.hold()
    ran = node.agent.run("monitor", bad, level=10, interval=10)
    assert ran.code == DEGRADED, ran
    ran = node.agent.run("monitor", {**bad, "monapi": "Yes"}, interval=10)
    assert ran.code == DEGRADED, ran
    assert node.agent.run("monitor", bad, interval=10).code == 0


def test_a_degraded_resource_is_looked_at_again(node: Node) -> None:
    """Once EC2 answers again, the next monitor says 0."""
    node.hold()
    number = node.aws.faults.add(Fault("reset", service="ec2"))
    assert node.agent.run("monitor", level=10, interval=10, timeout=5).code == DEGRADED
    node.aws.faults.remove(number)
    assert node.agent.run("monitor", level=10, interval=10).code == 0


# -- reads that lag ---------------------------------------------------------------------------------------------


def test_a_contradicting_read_within_a_minute(node: Node) -> None:
    """For 60 s after this node's own successful write a read that contradicts it is UNKNOWN; it is read only once."""
    node.started()
    node.point_routes_at("node2")
    ran = node.agent.run("monitor", level=10, interval=10)
    assert ran.code == DEGRADED, ran
    assert reads(ran) == ["DescribeRouteTables"]


@pytest.mark.parametrize("age", [59.0, 61.0])
def test_the_minute(node: Node, age: float) -> None:
    """For 60 s: at 59 s the contradiction is UNKNOWN (190), at 61 s it is ELSEWHERE (1)."""
    node.started()
    node.point_routes_at("node2")
    (path,) = node.remembered()
    noted = json.loads(path.read_text())
    # A second for the agent to start in.
    noted["at"] -= age - 1 if age < 60 else age
    path.write_text(json.dumps(noted))
    expected = DEGRADED if age < 60 else 1
    assert node.agent.run("monitor", RESTART, level=10, interval=10).code == expected


def test_stale_reads_after_start(node: Node) -> None:
    """EC2's reads lag behind its writes: start 0, and a monitor whose reads still show the old routes 190, not 1."""
    node.aws.account.consistency = Consistency(lag=60.0)
    node.started()
    ran = node.agent.run("monitor", level=10, interval=10)
    assert ran.code == DEGRADED, ran
    node.aws.account.consistency = Consistency()
    assert node.agent.run("monitor", level=10, interval=10).code == 0


def test_a_single_contradicting_read(node: Node) -> None:
    """Later, a single contradicting read is not believed until a second one agrees: here the second does not."""
    node.hold()
    eni = node.me.network_interface_id
    node.point_routes_at("node2")
    with node.agent.begin("monitor", level=10, interval=10) as running:
        eventually("the first read", lambda: [c for c in node.aws.calls("DescribeRouteTables") if c.outcome == "ok"])
        for table in node.tables:
            node.aws.account.put_route(node.destination, eni, table)
        ran = running.end()
    assert ran.code == 0, ran
    assert reads(ran) == ["DescribeRouteTables"] * 2


def test_a_second_read_that_fails(node: Node) -> None:
    """A contradiction that cannot be confirmed is UNKNOWN."""
    node.hold()
    node.point_routes_at("node2")
    with node.agent.begin("monitor", level=10, interval=10) as running:
        eventually("the first read", lambda: [c for c in node.aws.calls("DescribeRouteTables") if c.outcome == "ok"])
        node.aws.faults.add(Fault("error", code="UnauthorizedOperation", status=403))
        ran = running.end()
    assert ran.code == DEGRADED, ran
    assert reads(ran) == ["DescribeRouteTables"] * 2


def test_no_time_for_a_second_read(node: Node) -> None:
    """A contradiction without the time to read again is UNKNOWN."""
    node.hold()
    node.point_routes_at("node2")
    node.aws.faults.add(Fault("latency", action="DescribeRouteTables", seconds=0.6))
    ran = node.agent.run("monitor", level=10, interval=10, timeout=5)
    assert ran.code == DEGRADED, ran


def test_a_write_by_another_node_is_not_ours(node: Node) -> None:
    """The minute is for this node's own write: without one remembered, two agreeing reads are believed."""
    node.started()
    for path in node.remembered():
        path.unlink()
    node.point_routes_at("node2")
    assert node.agent.run("monitor", RESTART, level=10, interval=10).code == 1


@pytest.mark.parametrize("content", ["", '{"what": 1, "at": "x"}', "\x00\xff"])
def test_memory_that_makes_no_sense(node: Node, content: str) -> None:
    """Remembered under HA_RSCTMP; unreadable, it is done without."""
    node.started()
    (path,) = node.remembered()
    path.write_bytes(content.encode("latin-1"))
    node.point_routes_at("node2")
    assert node.agent.run("monitor", RESTART, level=10, interval=10).code == 1


def test_memory_from_before_a_reboot(node: Node) -> None:
    """A remembered time in the future is from before a reboot, and counts for nothing."""
    node.started()
    node.point_routes_at("node2")
    (path,) = node.remembered()
    noted = json.loads(path.read_text())
    path.write_text(json.dumps({**noted, "at": noted["at"] + 1e6}))
    assert node.agent.run("monitor", RESTART, level=10, interval=10).code == 1


@pytest.mark.parametrize("place", ["/proc/no/such", "/dev/null", "/dev/full"])
def test_memory_that_cannot_be_kept(node: Node, place: str) -> None:
    """Remembered under HA_RSCTMP; where it cannot be written, start and monitor do without."""
    node.agent.environ["HA_RSCTMP"] = place
    node.started()
    assert node.agent.run("monitor", level=10, interval=10).code == 0


def test_a_full_disk(node: Node, tmp_path: Path) -> None:
    """Remembered under HA_RSCTMP; with its file system full, start succeeds."""
    size = "size=4k"
    fill = 'mount -t tmpfs -o "$1" tmpfs "$2" && head -c 1M /dev/zero >"$2/full" 2>/dev/null; shift 2; exec "$@"'
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", fill, "sh", size, str(node.directory)]
    ran = node.agent.begin("start", command=command).end()
    assert ran.code == 0, ran
    assert "cannot remember" in ran.stderr
    assert node.remembered() == []


def test_what_is_remembered_is_private(node: Node) -> None:
    """What is remembered are two small files, 0600, without a secret; nothing else is left behind."""
    node.started()
    files = sorted(node.directory.iterdir())
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]
    assert [set(json.loads(file.read_text())) for file in files] == [
        {"what", "at", "wrote", "refused"},
        {"addresses", "cloud", "network_interface_id"},
    ]
    assert files[:1] == node.remembered()


def test_a_failed_start_is_not_remembered(node: Node) -> None:
    """Only a successful write is remembered: after a failed start no contradiction is explained away."""
    node.aws.faults.add(Fault("error", action="ReplaceRoute", code="UnauthorizedOperation"))
    assert node.agent.run("start").code == 4
    assert node.remembered() == []


def test_monitor_calls_per_hundred_tables(make_node: Callable[..., Node]) -> None:
    """monitor level 10, N tables: 1 call per 100 tables, and 1 for the ENI."""
    node = make_node(topology=topology_for(extra_route_tables=199))
    node.hold()
    for count in (1, 100, 101, 200, 201):
        ran = node.agent.run("monitor", {"routing_table": ",".join(node.tables[:count])}, level=10, interval=10)
        assert ran.code == 0, ran
        assert sorted(ran.ec2) == ["DescribeNetworkInterfaces", *["DescribeRouteTables"] * -(-count // 100)]
