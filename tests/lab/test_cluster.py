"""The agent on a real cluster: what Pacemaker makes of it when nodes, links and EC2 fail."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Dict, List, cast

import pytest

from vpc_lab.cluster import ClusterStatus, Failure
from vpc_lab.faults import AddressRemoved, ApiError, Crash, Fault, Hang, Partition, Reset, RouteChanged, Unreachable
from vpc_lab.judge.audits import held
from vpc_lab.lab import Lab
from vpc_lab.waiting import eventually

from .conftest import Audited

pytestmark = pytest.mark.root

OVERLAY = "192.168.10.10"
OVERLAY_IPV6 = "fd00:10::10"
AGENT = "/usr/lib/ocf/resource.d/heartbeat/aws-ipfailover"
ADDRESS = {"ip": OVERLAY, "ip6": OVERLAY_IPV6}
# Short intervals, so that a test sees several monitors; the timeout bounds how long an API that hangs is waited for.
CONFIGURATION = """
primitive ip ocf:heartbeat:aws-ipfailover \\
    params ip=@OVERLAY_IP@ routing_table="@ROUTE_TABLES@" \\
    op start interval=0 timeout=60s op stop interval=0 timeout=20s \\
    op monitor interval=3s timeout=20s op monitor interval=4s timeout=5s OCF_CHECK_LEVEL=10
primitive ip6 ocf:heartbeat:aws-ipfailover \\
    params ip=@OVERLAY_IPV6@ routing_table="@ROUTE_TABLES@" monapi=true \\
    op start interval=0 timeout=60s op stop interval=0 timeout=20s \\
    op monitor interval=4s timeout=5s
"""


@pytest.fixture(scope="module", autouse=True)
def configured(cluster_lab: Lab) -> None:
    """The configuration, loaded once."""
    cluster_lab.load(CONFIGURATION)
    cluster_lab.settle()


@pytest.fixture
def service(audited: Audited) -> Audited:
    """Both resources started on a healthy cluster of two nodes, whatever the test before has left."""
    if not whole(audited.lab):
        repair(audited.lab)
    audited.auditor.restart()
    return audited


def whole(lab: Lab) -> bool:
    """Whether nothing is left of what the test before did."""
    seen, now = lab.status(), lab.cluster_status()
    return (
        now is not None
        and sorted(now.online) == sorted(lab.nodes())
        and all(now.where(resource) for resource in ADDRESS)
        and not (now.failures or seen.faults)
    )


def repair(lab: Lab) -> None:
    """Make the cluster whole: links, API, power, constraints, failures."""
    lab.heal()
    for name in set(lab.nodes()) - set(lab.powered_nodes()):
        lab.power_on(name)
    lab.wait_online()
    node = lab.powered_nodes()[0]
    for resource in ADDRESS:
        lab.exec(node, ["crm_resource", "--clear", "--resource", resource])
        lab.exec(node, ["crm_resource", "--meta", "--resource", resource, "-p", "target-role", "-v", "Started"])
    lab.exec(node, ["crm_resource", "--cleanup"])
    lab.settle()
    lab.wait_cluster("every resource started", lambda now: all(now.where(one) for one in ADDRESS))


def status(lab: Lab) -> ClusterStatus:
    """The cluster now."""
    return lab.wait_cluster("an answer of the cluster", lambda _: True)


def where(lab: Lab, resource: str = "ip") -> str:
    """The node on which the resource is."""
    return cast(
        "str", lab.wait_cluster(f"{resource} started", lambda now: now.where(resource) is not None).where(resource)
    )


def other(lab: Lab, node: str) -> str:
    """The other node."""
    return next(name for name in lab.nodes() if name != node)


def together(lab: Lab) -> str:
    """The node on which both resources are, once they are."""
    node = where(lab)
    if where(lab, "ip6") != node:
        move(lab, node, "ip6")
    return node


def move(lab: Lab, target: str, *resources: str) -> None:
    """A planned move, and its constraint taken back."""
    for resource in resources:
        lab.exec(target, ["crm_resource", "--move", "--resource", resource, "--node", target])
    lab.settle()
    for resource in resources:
        lab.exec(target, ["crm_resource", "--clear", "--resource", resource])
    lab.settle()


def reaches(lab: Lab, consumer: str, address: str) -> bool:
    """Whether a ping is answered."""
    done = lab.exec(consumer, ["ping", "-n", "-c", "2", "-i", "0.1", "-W", "1", address], check=False)
    return done.returncode == 0


def assert_served(lab: Lab, node: str) -> None:
    """Both addresses are on the node, all routes lead there, and every consumer reaches them."""
    for address in ADDRESS.values():
        assert address in held(lab, node)
        assert set(lab.status().routes[address].values()) == {node}
        for consumer in ("consumer-a", "consumer-b", "onprem"):
            assert reaches(lab, consumer, address)


def degraded(now: ClusterStatus) -> Dict[str, Failure]:
    """The resources that Pacemaker shows as degraded (exit code 190)."""
    return {entry.operation.rsplit("_", 2)[0]: entry for entry in now.failures if entry.exit_code == 190}


def test_every_consumer_reaches_the_address(service: Audited) -> None:
    """Started, the IPv4 and the IPv6 address are reached from both zones and from on premises."""
    assert_served(service.lab, together(service.lab))


def test_a_planned_move_takes_the_address_along(service: Audited) -> None:
    """`crm_resource --move`: afterwards the other node has the addresses and the routes, and nobody was fenced."""
    lab = service.lab
    old = together(lab)
    move(lab, other(lab, old), "ip", "ip6")
    assert_served(lab, other(lab, old))
    assert not set(ADDRESS.values()) & held(lab, old)
    assert status(lab).failures == ()


def test_a_failed_node_is_fenced_and_comes_back(service: Audited) -> None:
    """Power failure of the active node: fence_aws stops that instance only, the address moves, the node rejoins."""
    lab = service.lab
    old = together(lab)
    new = other(lab, old)
    service.may_be_fenced.append(old)
    begin = time.time()
    crash = lab.inject(Crash(old))
    lab.wait_fenced(old)
    stops = [call for call in lab.calls(begin) if call["action"] == "StopInstances"]
    assert [(call["caller"], call["parameters"]["InstanceId.1"]) for call in stops] == [(new, lab.instance_ids()[old])]
    lab.wait_cluster("the address on the other node", lambda now: now.where("ip") == now.where("ip6") == new)
    assert_served(lab, new)
    crash.heal()
    lab.wait_online()
    assert where(lab) == new
    assert not set(ADDRESS.values()) & held(lab, old)


def test_nodes_that_lose_sight_of_each_other_never_share_the_address(service: Audited) -> None:
    """The link between the nodes is cut: exactly one of them is fenced, and only the other one has the address."""
    lab = service.lab
    together(lab)
    service.may_be_fenced += lab.nodes()
    cut = lab.inject(Partition("node1", "node2"))

    def one_left() -> str:
        assert service.auditor.complaints(may_be_fenced=lab.nodes()) == []
        powered = lab.powered_nodes()
        return powered[0] if len(powered) == 1 else ""

    survivor = eventually("one node to be fenced", one_left, 60)
    lab.wait_fenced(other(lab, survivor))
    lab.wait_cluster("the address on the survivor", lambda now: now.where("ip") == now.where("ip6") == survivor)
    cut.heal()
    assert_served(lab, survivor)
    stops = [call for call in lab.calls(0.0) if call["action"] == "StopInstances" and call["outcome"] == "ok"]
    assert stops[-1]["caller"] == survivor


OUTAGES: Dict[str, Callable[[Lab], Fault]] = {
    "unreachable": lambda _: Unreachable(),
    "throttled": lambda _: ApiError("RequestLimitExceeded"),
    "hanging": lambda _: Hang(),
    "resetting": lambda _: Reset(),
    "link of the active node cut": lambda lab: Partition(where(lab), "api"),
}


@pytest.mark.parametrize("outage", OUTAGES)
def test_an_api_outage_degrades_and_stops_cleanly(service: Audited, outage: str) -> None:
    """Without EC2: no recovery and no fencing; shown as degraded; probe and stop work.

    The recurring monitor (OCF_CHECK_LEVEL=10, and monapi=true) leaves the resource started with fail count 0. A new
    probe finds it where it is and nowhere else. A stop returns 0 and the address is gone.
    """
    lab = service.lab
    active = together(lab)
    begin = time.time()
    lab.inject(OUTAGES[outage](lab))
    now = lab.wait_cluster("both resources degraded", lambda now: degraded(now).keys() == ADDRESS.keys())
    for resource, address in ADDRESS.items():
        assert now.where(resource) == active
        assert now.fail_counts.get((active, resource), "0") == "0"
        assert degraded(now)[resource].exit_reason
        assert reaches(lab, "consumer-a", address)

    # Forget their history: Pacemaker probes both resources on both nodes.
    for resource in ADDRESS:
        lab.exec(active, ["crm_resource", "--refresh", "--resource", resource])
    lab.wait_cluster("both found", lambda now: {now.where(resource) for resource in ADDRESS} == {active})

    for resource in ADDRESS:
        lab.exec(active, ["crm_resource", "--meta", "--resource", resource, "-p", "target-role", "-v", "Stopped"])
    lab.settle()
    now = status(lab)
    assert [now.where(resource) for resource in ADDRESS] == [None, None]
    assert not set(ADDRESS.values()) & held(lab, active)
    for entry in now.failures:
        assert entry.exit_code == 190 or entry.operation.startswith("fence"), entry
    # Nobody was moved and nobody was stopped: EC2 has not seen a write.
    writes = ("ReplaceRoute", "CreateRoute", "StopInstances")
    assert [call for call in lab.calls(begin) if call["action"] in writes] == []


def test_a_degraded_resource_recovers_by_itself(service: Audited) -> None:
    """When EC2 answers again the next monitors are well, and nothing has moved.

    Pacemaker keeps the last failure on show until somebody cleans it up; after that it does not come back.
    """
    lab = service.lab
    active = together(lab)
    throttled = lab.inject(ApiError("RequestLimitExceeded"))
    lab.wait_cluster("both resources degraded", lambda now: degraded(now).keys() == ADDRESS.keys())
    throttled.heal()
    for resource in ADDRESS:
        lab.exec(active, ["crm_resource", "--cleanup", "--resource", resource])
    since = time.time()

    def asked_again() -> bool:
        return len([call for call in lab.calls(since) if call["action"] == "DescribeRouteTables"]) >= 4

    eventually("four more monitors that ask EC2", asked_again, 40)
    now = status(lab)
    assert not degraded(now)
    assert {now.where(resource) for resource in ADDRESS} == {active}
    assert_served(lab, active)


def test_a_route_taken_away_is_taken_back(service: Audited) -> None:
    """A route that somebody points elsewhere fails the deep monitor; Pacemaker recovers, the routes lead here again."""
    lab = service.lab
    active = together(lab)
    # As if the start were long ago: for a minute after its own write the agent does not believe such a read.
    lab.exec(active, ["find", "/run/resource-agents", "-name", "aws-ipfailover-*.json", "-delete"])
    lab.inject(RouteChanged(f"{OVERLAY}/32", "consumer-b"))
    eventually(
        "every route back at the resource", lambda: set(lab.status().routes[OVERLAY].values()) == {where(lab)}, 60
    )
    lab.settle()
    assert reaches(lab, "consumer-b", OVERLAY)
    assert where(lab) == active


def test_an_address_taken_away_comes_back(service: Audited) -> None:
    """An address that some daemon of the host deletes is noticed by the local monitor, and put back."""
    lab = service.lab
    active = together(lab)
    lab.inject(AddressRemoved(active, OVERLAY))
    eventually("the address to be back", lambda: OVERLAY in held(lab, where(lab)), 30)
    lab.settle()
    assert reaches(lab, "consumer-a", OVERLAY)


@pytest.mark.parametrize("tool", [["crm", "ra", "info"], ["pcs", "resource", "describe"]])
def test_the_tools_show_the_agent(cluster_lab: Lab, tool: List[str]) -> None:
    """Both administration tools read the agent's metadata without a complaint."""
    done = cluster_lab.exec("node1", [*tool, "ocf:heartbeat:aws-ipfailover"])
    assert "routing_table" in done.stdout
    assert done.stderr == ""


def test_the_deep_validation_passes_on_a_node(cluster_lab: Lab) -> None:
    """validate-all at level 10 finds nothing wrong with the lab's VPC from inside a node."""
    tables = ",".join(cluster_lab.status().route_tables)
    environment = ["OCF_CHECK_LEVEL=10", f"OCF_RESKEY_ip={OVERLAY}", f"OCF_RESKEY_routing_table={tables}"]
    done = cluster_lab.exec("node1", ["env", *environment, AGENT, "validate-all"])
    assert done.returncode == 0


def test_pcs_shows_the_configuration(cluster_lab: Lab) -> None:
    """`pcs config`, which also reads corosync's own files, has nothing to complain of."""
    done = cluster_lab.exec("node1", ["pcs", "config"])
    assert "Cluster Name: lab" in done.stdout
    assert "fence_aws" in done.stdout
    assert "Traceback" not in done.stderr


def test_load_says_what_there_is_afterwards(cluster_lab: Lab, tmp_path: Path) -> None:
    """The file, and every resource with where it runs; a fence device of the file takes the place of the lab's own."""
    file = tmp_path / "own.pcs"
    file.write_text(
        "pcs stonith create fence_aws fence_aws region=@REGION@ pcmk_host_map=@NODE1@:@INSTANCE1@;@NODE2@:@INSTANCE2@"
        " pcmk_delay_base=@NODE1@:2s\n"
        "pcs resource create dummy ocf:heartbeat:Dummy\n",
        encoding="utf-8",
    )
    argv = [
        sys.executable,
        "-m",
        "aws_ipfailover.cli.main",
        "lab",
        "load",
        "--name",
        cluster_lab.rundir.name,
        str(file),
    ]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert f"loaded {file}" in said
    assert any(line.startswith("dummy (ocf:heartbeat:Dummy): Started on node") for line in said)
    device = cluster_lab.exec("node1", ["pcs", "stonith", "config", "fence_aws"]).stdout
    assert "pcmk_delay_base=node1:2s" in device
    cluster_lab.exec("node1", ["pcs", "resource", "delete", "dummy"])
