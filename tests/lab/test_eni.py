"""The modes eni and private-ip in the lab: examples that fail over, an ENI that sticks, an API that is gone at stop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, Iterator, List, Tuple, cast

import pytest

from vpc_lab import examples
from vpc_lab.errors import LabError
from vpc_lab.fabric.devices import device_of
from vpc_lab.faults import AddressTaken, EniDetached, StuckDetach, Unreachable
from vpc_lab.judge.audits import held
from vpc_lab.lab import Completed, Lab
from vpc_lab.settings import Settings
from vpc_lab.topology import INTERNET, PUBLIC, Layout, Mode
from vpc_lab.traffic.recorder import PORT, Measurement
from vpc_lab.waiting import eventually

from .configurations import DIRECTORY
from .conftest import NAME
from .judged import LOST, judged, power_cut

pytestmark = pytest.mark.root

AGENT = "/usr/lib/ocf/resource.d/heartbeat/aws-ipfailover"
EC2_SECONDS = {"attach_seconds": 0.3, "detach_seconds": 0.4, "forced_detach_seconds": 0.2, "nic_seconds": 0.2}


def settings(mode: Mode, layout: Layout = "service-subnet", *, cluster: bool = True) -> Settings:
    """A lab whose EC2 takes a moment; the examples bring their own fencing."""
    return Settings(fencing=False, boot_cluster=cluster, mode=mode, layout=layout, imds_lag_seconds=5.0, **EC2_SECONDS)  # type: ignore[arg-type]


def service(lab: Lab) -> List[str]:
    """The addresses that move."""
    return list(lab.status().service.addresses)


def holder(lab: Lab) -> str:
    """The instance that EC2 has the address or the ENI on."""
    return cast("str", lab.status().service.holder)


def load(lab: Lab, name: str) -> None:
    """Load an example on a cluster that has nothing, and wait until all of it is started."""
    text = (DIRECTORY / name).read_text(encoding="utf-8")
    assert lab.load(text, "node1", pcs=name.endswith(".pcs")) == ""
    assert lab.exec("node1", ["crm_verify", "--live-check", "--verbose"]).stderr == ""
    lab.settle()
    status = lab.cluster_status()
    assert status is not None
    assert status.failures == ()
    assert [one.resource_id for one in status.resources if not one.active] == []


def address_for(lab: Lab, name: str) -> str:
    """The address that consumers of an example ask."""
    return service(lab)[-1 if "ipv6" in name else 0]


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("eni.pcs", "same-subnet"),
        ("private-ip-ipv6.crm", "service-subnet"),
    ],
)
def test_an_example_fails_over(name: str, layout: Layout, tmp_path: Path) -> None:
    """After a power cut every consumer is served by the new node, by nobody else, and EC2 agrees.

    Also where the ENI is in the nodes' own subnet, in which their primary ENIs would answer in its stead.
    """
    with Lab.running(f"{NAME}-examples", settings(examples.mode_of((DIRECTORY / name).read_text()), layout)) as lab:
        load(lab, name)
        lab.order("elastic-ip")
        judged(lab, address_for(lab, name), tmp_path / "record", power_cut, allowances=[LOST])


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
    bare.heal()
    for node in bare.nodes():
        if node not in bare.powered_nodes():
            bare.power_on(node)
        agent(bare, node, "stop")


def agent(lab: Lab, node: str, action: str, **more: str) -> Completed:
    """Run the agent for the lab's ENI."""
    eni = lab.status().service.network_interface_id
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
    mac = lab.status().service.mac
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
    mac = lab.status().service.mac
    succeeds(lab, "node1", "start")
    lab.power_off("node1")
    assert (holder(lab), lab.status().service.attachment) == ("node1", "attached")
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
    lab.inject(StuckDetach())
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
    lab.inject(Unreachable("node1"))
    succeeds(lab, "node1", "stop", OCF_RESKEY_CRM_meta_timeout="5000")
    assert holder(lab) == "node1"
    for address in service(lab):
        assert lab.exec("consumer-b", ["ping", "-n", "-c", "1", "-W", "0.5", address], check=False).returncode == 1
    assert agent(lab, "node1", "monitor").returncode == 7
    succeeds(lab, "node2", "start")
    for address in service(lab):
        assert answers(lab, "consumer-b", address)


@one_layout
def test_a_detachment_that_sticks_ends_once_that_is_healed(lab: Lab) -> None:
    """Also one that was asked for meanwhile: nobody has to force it."""
    succeeds(lab, "node1", "start")
    stuck = lab.inject(StuckDetach())
    succeeds(lab, "node1", "stop")
    assert lab.status().service.attachment == "detaching"
    stuck.heal()
    eventually("the end of the detachment", lambda: lab.status().service.attachment is None, 10)


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
        with tempfile.TemporaryFile() as written:
            command = ["nsenter", f"--net={namespaces}/net", sys.executable, "-c", _CAPTURE, device, str(PORT)]
            self._process = subprocess.Popen(command, stdout=written)
            self._written = os.dup(written.fileno())
        eventually("the capture to begin", self._text, 30)

    def seen(self) -> List[str]:
        """MAC and source address of every segment so far."""
        return self._text().splitlines()[1:]

    def lines(self) -> List[str]:
        """End it: MAC and source address of every segment."""
        self._process.terminate()
        self._process.wait(10)
        seen = self.seen()
        os.close(self._written)
        return seen

    def _text(self) -> str:
        return os.pread(self._written, 1 << 24, 0).decode()


def test_replies_leave_by_the_eni_with_its_mac_and_address(lab: Lab) -> None:
    """To TCP consumers in the ENI's subnet, outside of it and on the Internet; nothing leaves by the primary ENI."""
    status = lab.status()
    mac, eni = status.service.mac, status.service.network_interface_id
    asking = {address: lab.questions(address) for address in service(lab)}
    assert {"consumer-a", "consumer-b", "onprem", "internet"} <= set(asking[service(lab)[0]])
    for node in ("node1", "node2"):
        succeeds(lab, node, "start")
        primary = device_of(status.network_interfaces[node])
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
    public = lab.status().service.elastic_ips[private]
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
        strays = Capture(lab, device_of(status.network_interfaces["node1"]))
        try:
            asked = lab.exec("consumer-b", ["/usr/bin/python3", "-c", _ASK, address, str(PORT)], check=False)
        finally:
            seen = strays.lines()
    assert asked.returncode == 1
    assert {line.split()[1] for line in seen} == {address}
    assert agent(lab, "node1", "monitor").returncode == 7


# -- what somebody else does to what moves ----------------------------------------------------------------------------


def test_an_eni_that_somebody_detaches(lab: Lab) -> None:
    """It is on no instance; healing attaches it where it was, unless it is attached by then."""
    succeeds(lab, "node1", "start")
    injected = lab.inject(EniDetached())
    eventually("EC2 to show it as free", lambda: holder(lab) is None, 20)
    with pytest.raises(LabError, match="is attached to no instance"):
        lab.inject(EniDetached())
    injected.heal()
    eventually("EC2 to show it as attached", lambda: holder(lab) == "node1", 20)
    with lab.inject(EniDetached()):
        succeeds(lab, "node2", "start")
    assert holder(lab) == "node2"


def test_a_private_address_that_somebody_takes() -> None:
    """It is another instance's; healing gives it back, unless it went elsewhere meanwhile."""
    with Lab.running(f"{NAME}-taken", settings("private-ip", cluster=False)) as lab:
        (address, *_), enis = service(lab), lab.status().network_interfaces

        def assign(node: str) -> None:
            about = {"PrivateIpAddress.1": address, "AllowReassignment": "true"}
            lab.administer("AssignPrivateIpAddresses", NetworkInterfaceId=enis[node], **about)

        with pytest.raises(LabError, match=f"no network interface has {address}"):
            lab.inject(AddressTaken("node2", address))
        assign("node1")
        with pytest.raises(LabError, match=f"node1 has {address} already"):
            lab.inject(AddressTaken("node1", address))
        with lab.inject(AddressTaken("node2", address)):
            assert holder(lab) == "node2"
        assert holder(lab) == "node1"
        injected = lab.inject(AddressTaken("node2", address))
        assign("node1")
        injected.heal()
        assert holder(lab) == "node1"
