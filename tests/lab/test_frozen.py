"""A holder that stands still, or hangs: what consumers see when nobody can fence it, and it goes on afterwards."""

from __future__ import annotations

import contextlib
import subprocess
import time
from typing import Dict, Iterator, List, cast

import pytest

from vpc_lab.errors import LabError
from vpc_lab.fabric.devices import device_of
from vpc_lab.faults import Freeze
from vpc_lab.judge.audits import held
from vpc_lab.lab import Completed, Lab
from vpc_lab.settings import Settings
from vpc_lab.topology import Mode
from vpc_lab.traffic.analysis import Switch, overlap_ms, rows
from vpc_lab.traffic.recorder import PORT, Measurement
from vpc_lab.waiting import eventually

from .conftest import NAME
from .test_eni import Capture

pytestmark = pytest.mark.root

AGENT = "/usr/lib/ocf/resource.d/heartbeat/aws-ipfailover"
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)"
kernels = pytest.mark.parametrize("kernel", [True, False], ids=["stands-still", "hangs"])


@pytest.fixture(scope="module", params=["eni", "private-ip"])
def bare(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Two instances and an address that moves, without a cluster."""
    settings = Settings(fencing=False, boot_cluster=False, mode=cast("Mode", request.param), detach_seconds=0.3)
    with Lab.running(f"{NAME}-frozen", settings) as lab:
        yield lab


@pytest.fixture
def lab(bare: Lab) -> Iterator[Lab]:
    """The same; afterwards everything goes on, and the agent is stopped on both nodes."""
    yield bare
    bare.heal()
    for node in bare.nodes():
        bare.power_on(node)
        agent(bare, node, "stop")


# For what has nothing to do with the mode.
one_mode = pytest.mark.parametrize("bare", ["private-ip"], indirect=True)


def parameters(lab: Lab) -> Dict[str, str]:
    """The agent's, for the address that moves in this lab."""
    status = lab.status()
    found = {"mode": status.mode, "CRM_meta_timeout": "15000"}
    if status.mode == "eni":
        found["network_interface_id"] = status.service.network_interface_id
    else:
        found["ip"] = status.service.addresses[0]
    return found


def agent(lab: Lab, node: str, action: str, **more: str) -> Completed:
    """Run the agent."""
    pairs = [f"OCF_RESKEY_{name}={value}" for name, value in {**parameters(lab), **more}.items()]
    return lab.exec(node, ["env", *pairs, AGENT, action], check=False, timeout=120)


def succeeds(lab: Lab, node: str, action: str) -> None:
    """Run the agent, with what it said if it fails."""
    done = agent(lab, node, action)
    assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def running(lab: Lab, name: str, argv: List[str]) -> Iterator[subprocess.Popen[str]]:
    """A command in an instance for the length of a `with` block."""
    process = lab.spawn(name, argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    """The next line that it prints."""
    assert process.stdout is not None
    return process.stdout.readline()


def pinged(lab: Lab, address: str) -> bool:
    """Whether a ping is answered."""
    return lab.exec("consumer-b", ["ping", "-n", "-c", "1", "-W", "1", address], check=False).returncode == 0


def connected(lab: Lab, address: str) -> bool:
    """Whether a TCP connection is accepted."""
    return lab.exec("consumer-b", ["/usr/bin/python3", "-c", CONNECT, address, str(PORT)], check=False).returncode == 0


@one_mode
@kernels
def test_what_a_frozen_instance_still_does(lab: Lab, kernel: bool) -> None:
    """Standing still: nothing at all. Hanging: its kernel answers pings and accepts connections, as those do."""
    address = lab.status().instances[0].address
    with Measurement.running(lab, ["node1"], {}):
        assert pinged(lab, address)
        assert connected(lab, address)
        frozen = lab.inject(Freeze("node1", kernel))
        assert pinged(lab, address) is not kernel
        assert connected(lab, address) is not kernel
        with Measurement.running(lab, [], {"consumer-a": address}) as measurement:
            asked = time.time()
            while len(seen := measurement.histories(asked).get("consumer-a", [])) < 30:
                time.sleep(0.05)
            assert {one.protocol for one in seen if one.answered} == (set() if kernel else {"icmp"})
        frozen.heal()
        assert pinged(lab, address)
        assert connected(lab, address)


@one_mode
def test_a_frozen_instance_runs_no_command(lab: Lab) -> None:
    """A new one is refused with a sentence; one that runs goes on where it stood, who waits for it sees its end."""
    argv = ["sh", "-c", "echo begun; read -r line; echo $line"]
    with running(lab, "node1", argv) as process:
        assert said(process) == "begun\n"
        frozen = lab.inject(Freeze("node1"))
        assert lab.status().instance("node1").frozen
        with pytest.raises(LabError, match="node1 is frozen"):
            lab.exec("node1", ["true"])
        frozen.heal()
        assert process.communicate("ended\n", timeout=60)[0] == "ended\n"


@one_mode
def test_a_frozen_instance_can_lose_its_power(lab: Lab) -> None:
    """And is an instance like any other when it has it again."""
    with running(lab, "node1", ["sleep", "1234"]) as process:
        frozen = lab.inject(Freeze("node1"))
        lab.power_off("node1")
        process.wait(20)
    assert lab.faults() == ()
    frozen.heal()
    with pytest.raises(LabError, match="node1 has no power"):
        lab.inject(Freeze("node1"))
    lab.power_on("node1")
    assert pinged(lab, lab.status().instances[0].address)
    lab.exec("node1", ["true"])


@kernels
def test_a_holder_that_goes_on_answers_nobody(lab: Lab, kernel: bool) -> None:
    """Not fenced: the other node takes the address all the same, and the old one answers nothing when it goes on."""
    succeeds(lab, "node1", "start")
    address = lab.status().service.addresses[0]
    began = time.time()
    with Measurement.running(lab, lab.nodes(), lab.questions(address)) as measurement:
        assert measurement.wait_steady("node1", 0.0, 30.0)
        switch = Switch("node1", "node2", time.time())
        frozen = lab.inject(Freeze("node1", kernel))
        succeeds(lab, "node2", "start")
        assert measurement.wait_steady("node2", switch.triggered, 60.0)
        frozen.heal()
        assert measurement.wait_steady("node2", time.time(), 60.0)
        seen = measurement.histories(since=switch.triggered - 1.0)
    assert [problem for row in rows(seen, switch) for problem in row.problems()] == []
    assert overlap_ms(seen, switch) == 0
    detached = [call for call in lab.calls(began) if call["action"] == "DetachNetworkInterface"]
    if lab.status().mode == "eni":
        # The holder takes no part in a plain one.
        assert [call["parameters"].get("Force", "false") for call in detached] == ["false", "true"]
        assert address not in held(lab, "node1")
        assert agent(lab, "node1", "monitor").returncode == 7
    else:
        assert agent(lab, "node1", "monitor", CRM_meta_interval="10000").returncode == 0  # by its kernel alone
    began = time.time()
    succeeds(lab, "node1", "stop")
    assert not [call for call in lab.calls(began) if call["action"].startswith(("Detach", "Unassign"))]
    assert lab.status().service.holder == "node2"
    assert address not in held(lab, "node1")
    assert agent(lab, "node2", "monitor").returncode == 0


@one_mode
def test_an_answer_that_comes_too_late_arrives_nowhere(lab: Lab) -> None:
    """What was asked while it hung waits in its sockets: it answers when it goes on, by an ENI without the address.

    EC2's source/destination check, which can stay on in this mode, drops that.
    """
    succeeds(lab, "node1", "start")
    status = lab.status()
    address = status.service.addresses[0]
    with Measurement.running(lab, lab.nodes(), {}):
        frozen = lab.inject(Freeze("node1", kernel=False))
        argv = ["/usr/bin/python3", "-c", ASK_AND_WAIT, address, str(PORT)]
        with running(lab, "consumer-b", argv) as asking:
            assert said(asking) == "asked\n"
            succeeds(lab, "node2", "start")
            capture = Capture(lab, device_of(status.network_interfaces["node1"]))
            try:
                frozen.heal()
                eventually("a late answer", lambda: any(address in line for line in capture.seen()), 30)
            finally:
                capture.lines()
            assert asking.communicate("enough\n", timeout=30)[0] == "nothing\n"


# Asks a responder, and says at the next line of its input what has come.
ASK_AND_WAIT = """
import select, socket, sys
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
connection.sendall(b"?\\n")
print("asked", flush=True)
while sys.stdin not in select.select([connection, sys.stdin], [], [])[0]:
    if connection in select.select([connection], [], [], 0)[0]:
        print(connection.recv(99), flush=True)
        break
else:
    print("nothing")
"""
