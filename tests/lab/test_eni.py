"""The modes eni and private-ip in the lab: examples that fail over, an ENI that sticks, an API that is gone at stop."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Dict, Iterator, List, Tuple, cast

import pytest

from aws_ipfailover.lab.audits import Auditor, held
from aws_ipfailover.lab.client import Completed, Lab, eventually
from aws_ipfailover.lab.demo import resource_of
from aws_ipfailover.lab.fabric import device_of
from aws_ipfailover.lab.plan import INTERNET, PUBLIC, Layout, Mode
from aws_ipfailover.lab.supervisor import Settings
from aws_ipfailover.lab.traffic.analysis import Switch, overlap_ms, rows
from aws_ipfailover.lab.traffic.measurement import PORT, Measurement

from .conftest import NAME
from .test_examples import DIRECTORY

pytestmark = pytest.mark.root

AGENT = "/usr/lib/ocf/resource.d/heartbeat/aws-ipfailover"
EC2_SECONDS = {"attach_seconds": 0.3, "detach_seconds": 0.4, "forced_detach_seconds": 0.2, "nic_seconds": 0.2}


def settings(mode: Mode, layout: Layout = "service-subnet", *, cluster: bool = True) -> Settings:
    """A lab whose EC2 takes a moment; the examples bring their own fencing."""
    return Settings(fencing=False, boot_cluster=cluster, mode=mode, layout=layout, imds_lag_seconds=5.0, **EC2_SECONDS)  # type: ignore[arg-type]


def other(lab: Lab, node: str) -> str:
    """The other node."""
    return next(name for name in lab.nodes() if name != node)


def service(lab: Lab) -> List[str]:
    """The addresses that move."""
    return cast("List[str]", lab.status()["service"]["addresses"])


def holder(lab: Lab) -> str:
    """The instance that EC2 has the address or the ENI on."""
    return cast("str", lab.status()["service"]["holder"])


def load(lab: Lab, name: str) -> str:
    """Load an example on a cluster that has nothing; the resource that holds the address."""
    text = (DIRECTORY / name).read_text(encoding="utf-8")
    assert lab.load(text, "node1", pcs=name.endswith(".pcs")) == ""
    assert lab.exec("node1", ["crm_verify", "--live-check", "--verbose"]).stderr == ""
    lab.settle()
    status = lab.cluster_status()
    assert status is not None
    assert status.failures == ()
    assert [one.resource_id for one in status.resources if not one.active] == []
    return resource_of(lab, "node1", service(lab)[0])


def fails_over(lab: Lab, resource: str, *, planned: bool = True) -> None:
    """A planned move and a power cut: every consumer is served by the new node, by nobody else, and EC2 agrees."""
    address = service(lab)[0]
    auditor = Auditor(lab, service(lab))
    status = lab.cluster_status()
    old = cast("str", status.where(resource) if status else None)
    lab.order("elastic-ip")
    with Measurement.running(lab, lab.nodes(), lab.questions(address)) as measurement:
        assert measurement.wait_steady(old, 0.0, 30.0)
        if planned:
            switch = Switch(old, other(lab, old), time.time())
            lab.exec(old, ["crm_resource", "--move", "--resource", resource, "--node", switch.new])
            assert measurement.wait_steady(switch.new, switch.triggered, 60.0)
            assert_switched(lab, measurement, switch, address)
            lab.exec(old, ["crm_resource", "--clear", "--resource", resource])
            lab.settle()
            old = switch.new
        switch = Switch(old, other(lab, old), time.time())
        lab.power_off(old)
        assert measurement.wait_steady(switch.new, switch.triggered, 90.0)
        assert_switched(lab, measurement, switch, address)
    assert auditor.complaints(may_be_fenced=[old]) == []


def assert_switched(lab: Lab, measurement: Measurement, switch: Switch, address: str) -> None:
    """What the consumers saw was a switch, and EC2 has the address where they see it."""
    seen = measurement.histories(since=switch.triggered - 1.0)
    assert [problem for row in rows(seen, switch) for problem in row.problems()] == []
    assert overlap_ms(seen, switch) == 0
    assert holder(lab) == switch.new
    assert address in held(lab, switch.new)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Lab]:
    """A cluster with a service subnet and nothing configured."""
    with Lab.running(f"{NAME}-eni", settings("eni")) as lab:
        yield lab


def test_the_crm_example_moves_an_eni(cluster: Lab) -> None:
    """With a service subnet: planned, and after a power cut with fencing."""
    fails_over(cluster, load(cluster, "eni.crm"))


def test_an_api_that_is_gone_at_stop_hinders_nobody(cluster: Lab) -> None:
    """The node that cannot reach EC2 stops answering, is not fenced, and the other one takes the ENI away from it."""
    for name in set(cluster.nodes()) - set(cluster.powered_nodes()):
        cluster.power_on(name)
    cluster.wait_online()
    resource, began = "eni_service", time.time()
    old = holder(cluster)
    new = other(cluster, old)
    auditor = Auditor(cluster, service(cluster))
    cluster.cut(old, "api")
    try:
        cluster.exec(old, ["crm_resource", "--move", "--resource", resource, "--node", new])
        cluster.settle(within=90)
        status = cluster.cluster_status()
        assert status is not None
        assert status.where(resource) == new
        assert status.failures == ()
        assert holder(cluster) == new
        assert not held(cluster, old) & set(service(cluster))
        detachers = {call["caller"] for call in cluster.calls(began) if call["action"] == "DetachNetworkInterface"}
        assert detachers == {new}
        for consumer, address in cluster.questions(service(cluster)[0]).items():
            assert answers(cluster, consumer, address)
    finally:
        cluster.heal()
    assert auditor.complaints() == []


def test_the_audit_sees_an_address_that_two_nodes_hold(cluster: Lab) -> None:
    """And is content once it is gone: an audit that cannot fail shows nothing."""
    auditor = Auditor(cluster, service(cluster))
    passive = other(cluster, holder(cluster))
    address = service(cluster)[0]
    cluster.exec(passive, ["ip", "address", "add", f"{address}/32", "dev", "lo"])
    try:
        assert [one for one in auditor.complaints(within=0.5) if address in one]
    finally:
        cluster.exec(passive, ["ip", "address", "delete", f"{address}/32", "dev", "lo"])
    assert auditor.complaints() == []


def test_the_pcs_example_moves_an_eni_of_the_nodes_own_subnet() -> None:
    """Where the nodes' primary ENIs are in the same subnet, and would answer in its stead."""
    with Lab.running(f"{NAME}-same", settings("eni", "same-subnet")) as lab:
        fails_over(lab, load(lab, "eni.pcs"), planned=False)


@pytest.mark.parametrize("name", ["private-ip.crm", "private-ip.pcs"])
def test_the_examples_move_a_private_address(name: str) -> None:
    """After a power cut with fencing, and one of them planned as well."""
    with Lab.running(f"{NAME}-private", settings("private-ip")) as lab:
        fails_over(lab, load(lab, name), planned=name.endswith(".crm"))


# -- without a cluster: the agent by hand ---------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["service-subnet", "same-subnet"])
def bare(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Two instances and an ENI, in both layouts."""
    with Lab.running(f"{NAME}-bare", settings("eni", request.param, cluster=False)) as lab:
        yield lab


# For what does not depend on where the ENI's subnet is.
one_layout = pytest.mark.parametrize("bare", ["same-subnet"], indirect=True)


@pytest.fixture
def lab(bare: Lab) -> Iterator[Lab]:
    """The same, with the agent stopped on both nodes afterwards."""
    yield bare
    bare.api.ok()
    bare.heal()
    bare.order("stuck-detach", stuck=False)
    for node in bare.nodes():
        if node not in bare.powered_nodes():
            bare.power_on(node)
        agent(bare, node, "stop")


def agent(lab: Lab, node: str, action: str, **more: str) -> Completed:
    """Run the agent for the lab's ENI."""
    eni = lab.status()["service"]["network_interface_id"]
    environment = {"OCF_RESKEY_mode": "eni", "OCF_RESKEY_network_interface_id": eni, **more}
    pairs = [f"{name}={value}" for name, value in environment.items()]
    return lab.exec(node, ["env", *pairs, AGENT, action], check=False, timeout=120)


def succeeds(lab: Lab, node: str, action: str, **more: str) -> None:
    """Run the agent, with what it said if it fails."""
    done = agent(lab, node, action, **more)
    assert done.returncode == 0, done.stderr


def answers(lab: Lab, consumer: str, address: str) -> bool:
    """Whether one of three pings is answered."""
    ping = ["ping", "-n", "-c", "3", "-i", "0.1", "-W", "1", "-w", "2", address]
    return lab.exec(consumer, ping, check=False).returncode == 0


def nics(lab: Lab, node: str) -> Dict[str, Tuple[str, bool]]:
    """The node's interfaces: MAC, and whether they are up."""
    links = json.loads(lab.exec(node, ["ip", "-json", "link", "show"]).stdout)
    return {link["ifname"]: (link["address"], "UP" in link["flags"]) for link in links}


@one_layout
def test_a_nic_comes_bare_and_under_a_new_name(lab: Lab) -> None:
    """Attached by the agent it has everything; after a detachment it is gone, and comes back under another name."""
    mac = lab.status()["service"]["mac"]
    seen = []
    for _ in range(2):
        succeeds(lab, "node1", "start")
        seen += [name for name, (address, up) in nics(lab, "node1").items() if address == mac and up]
        succeeds(lab, "node1", "stop")
        eventually("the NIC is gone", lambda: mac not in [one for one, _ in nics(lab, "node1").values()], 10)
    assert len(set(seen)) == 2


@one_layout
def test_an_instance_without_power_keeps_its_eni(lab: Lab) -> None:
    """After a power cut it boots with the NIC, which is bare and down; to the agent that is not running."""
    mac = lab.status()["service"]["mac"]
    succeeds(lab, "node1", "start")
    lab.power_off("node1")
    assert (holder(lab), lab.status()["service"]["attachment"]) == ("node1", "attached")
    lab.power_on("node1")
    assert [up for address, up in nics(lab, "node1").values() if address == mac] == [False]
    assert not held(lab, "node1") & set(service(lab))
    assert agent(lab, "node1", "monitor").returncode == 7
    succeeds(lab, "node1", "start")
    assert agent(lab, "node1", "monitor").returncode == 0
    for address in service(lab):
        assert answers(lab, "onprem", address)


@one_layout
def test_a_detachment_that_sticks_is_forced_after_a_grace_period(lab: Lab) -> None:
    """Plainly first; by force after a third of the timeout. Until then the instance keeps its NIC."""
    succeeds(lab, "node1", "start")
    lab.order("stuck-detach", stuck=True)
    began = time.time()
    succeeds(lab, "node2", "start", OCF_RESKEY_CRM_meta_timeout="15000")
    asked = [call for call in lab.calls(began) if call["action"] == "DetachNetworkInterface"]
    assert [call["parameters"].get("Force", "false") for call in asked] == ["false", "true"]
    assert holder(lab) == "node2"
    assert agent(lab, "node1", "monitor").returncode == 7
    for consumer, address in lab.questions(service(lab)[0]).items():
        assert answers(lab, consumer, address)


@one_layout
def test_a_stop_without_the_api_is_quiet_and_successful(lab: Lab) -> None:
    """No packet is answered by that node any more though EC2 still has the ENI there; the next start takes it over."""
    succeeds(lab, "node1", "start")
    lab.api.fail("unreachable", caller="node1")
    succeeds(lab, "node1", "stop", OCF_RESKEY_CRM_meta_timeout="5000")
    assert holder(lab) == "node1"
    for address in service(lab):
        assert lab.exec("consumer-b", ["ping", "-n", "-c", "1", "-W", "0.5", address], check=False).returncode == 1
    assert agent(lab, "node1", "monitor").returncode == 7
    succeeds(lab, "node2", "start")
    for address in service(lab):
        assert answers(lab, "consumer-b", address)


# Prints the source MAC and address of every TCP segment from the port that a device carries: as an instance sends it.
_CAPTURE = """
import socket, struct, sys
device, port = sys.argv[1], int(sys.argv[2])
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
raw.bind((device, 3))
print("ready", flush=True)
while True:
    frame, about = raw.recvfrom(65535)
    if about[2] == socket.PACKET_OUTGOING:
        continue
    kind, = struct.unpack("!H", frame[12:14])
    if kind == 0x0800 and frame[23] == 6:
        source, segment = socket.inet_ntop(socket.AF_INET, frame[26:30]), frame[14 + (frame[14] & 15) * 4:]
    elif kind == 0x86DD and frame[20] == 6:
        source, segment = socket.inet_ntop(socket.AF_INET6, frame[22:38]), frame[54:]
    else:
        continue
    if struct.unpack("!H", segment[:2])[0] == port:
        print(frame[6:12].hex(":"), source, flush=True)
"""

# Asks a responder, as a client that knows nothing of the lab would.
_ASK = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 2) as connection:
    connection.sendall(b"?\\n")
    print(connection.recv(99))
"""


class Capture:
    """What the fabric receives on one device, until `lines` is asked for."""

    def __init__(self, lab: Lab, device: str) -> None:
        namespaces = f"/proc/{lab.supervisor_pid()}/ns"
        self._process = subprocess.Popen(
            ["nsenter", f"--net={namespaces}/net", sys.executable, "-c", _CAPTURE, device, str(PORT)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def lines(self) -> List[str]:
        """End it: MAC and source address of every segment."""
        self._process.terminate()
        output, _ = self._process.communicate(timeout=10)
        return output.splitlines()


def test_replies_leave_by_the_eni_with_its_mac_and_address(lab: Lab) -> None:
    """To TCP consumers in the ENI's subnet, outside of it and on the Internet; nothing leaves by the primary ENI."""
    status = lab.status()
    mac, eni = status["service"]["mac"], status["service"]["network_interface_id"]
    asking = {address: lab.questions(address) for address in service(lab)}
    assert {"consumer-a", "consumer-b", "onprem", "internet"} <= set(asking[service(lab)[0]])
    for node in ("node1", "node2"):
        succeeds(lab, node, "start")
        primary = device_of(status["network_interfaces"][node])
        with Measurement.running(lab, [node], {}):
            by_eni, by_primary = Capture(lab, device_of(eni)), Capture(lab, primary)
            try:
                for questions in asking.values():
                    for consumer, asked in questions.items():
                        said = lab.exec(consumer, ["/usr/bin/python3", "-c", _ASK, asked, str(PORT)]).stdout
                        assert node in said
            finally:
                carried, strayed = by_eni.lines(), by_primary.lines()
        for address in service(lab):
            # A handshake and an answer for each consumer at the least.
            assert carried.count(f"{mac} {address}") >= 2 * len(asking[address])
        assert {line.split()[0] for line in carried} == {mac}
        assert strayed == []
        succeeds(lab, node, "stop")


def test_the_internet_reaches_what_has_an_elastic_ip(lab: Lab) -> None:
    """And nothing else, neither way: not the ENI's other address, not a private address, not the nodes."""
    succeeds(lab, "node1", "start")
    private = service(lab)[0]
    public = lab.status()["service"]["elastic_ips"][private]
    assert lab.order("elastic-ip") == public
    assert answers(lab, "internet", public)
    assert answers(lab, "internet", next(one for one in service(lab) if ":" in one))
    there = str(INTERNET.address)
    ping = ["ping", "-n", "-c", "1", "-W", "0.5"]
    assert lab.exec("node1", [*ping, "-I", private, there], check=False).returncode == 0
    for node, *argv in (
        ("node1", *ping, there),
        ("node1", *ping, "-I", service(lab)[1], there),
        ("internet", *ping, private),
        ("internet", *ping, str(PUBLIC[-2])),
    ):
        assert lab.exec(node, argv, check=False).returncode == 1
    succeeds(lab, "node1", "stop")
    assert lab.exec("internet", [*ping, public], check=False).returncode == 1


def test_a_reply_that_takes_the_other_eni_is_seen_and_dropped(lab: Lab) -> None:
    """Without the agent's rule a node answers by its primary ENI; EC2 drops that, and monitor knows."""
    succeeds(lab, "node1", "start")
    status, address = lab.status(), service(lab)[0]
    lab.exec("node1", ["ip", "rule", "delete", "from", address])
    with Measurement.running(lab, ["node1"], {}):
        strays = Capture(lab, device_of(status["network_interfaces"]["node1"]))
        try:
            asked = lab.exec("consumer-b", ["/usr/bin/python3", "-c", _ASK, address, str(PORT)], check=False)
        finally:
            seen = strays.lines()
    assert asked.returncode == 1
    assert {line.split()[1] for line in seen} == {address}
    assert agent(lab, "node1", "monitor").returncode == 7
