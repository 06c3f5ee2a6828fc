"""Network interfaces that udev renames after they have appeared."""

from __future__ import annotations

import json
from typing import Dict, Iterator

import pytest

from vpc_lab.faults import DeadIndexes
from vpc_lab.lab import Lab
from vpc_lab.settings import Settings
from vpc_lab.waiting import eventually

from .conftest import NAME

pytestmark = pytest.mark.root

# By the SDK of the system, as an administrator would; the attachment's id goes to standard output.
ATTACH = """
import sys, boto3
ec2 = boto3.client("ec2", region_name=sys.argv[1])
made = ec2.attach_network_interface(InstanceId=sys.argv[2], NetworkInterfaceId=sys.argv[3], DeviceIndex=1)
print(made["AttachmentId"])
"""
DETACH = """
import sys, boto3
boto3.client("ec2", sys.argv[1]).detach_network_interface(AttachmentId=sys.argv[2], Force=sys.argv[3:] == ["force"])
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab with an ENI that is attached to nothing; NICs are renamed after some seconds."""
    settings = Settings(mode="eni", boot_cluster=False, rename_seconds=2.5)
    with Lab.running(f"{NAME}-rename", settings) as lab:
        yield lab


def nic(lab: Lab, mac: str) -> Dict[str, object]:
    """The NIC with this MAC in node1, as `ip -json link` shows it; empty if there is none."""
    links = json.loads(lab.exec("node1", ["ip", "-json", "link", "show"]).stdout)
    return next((link for link in links if link.get("address") == mac), {})


@pytest.mark.parametrize("up", [False, True], ids=["down", "up"])
def test_a_nic_is_renamed_after_it_appeared(lab: Lab, up: bool) -> None:
    """It comes under a name of the kernel, and has one of udev's later, with all that it had, up or down."""
    status = lab.status()
    region, mac = status.region, status.service.mac
    argv = [region, lab.instance_ids()["node1"], status.service.network_interface_id]
    attachment = lab.exec("node1", ["/usr/bin/python3", "-c", ATTACH, *argv]).stdout.strip()
    born = eventually("the NIC to appear", lambda: nic(lab, mac), 20, every=0.01)
    assert str(born["ifname"]).startswith("eth")
    if up:
        lab.exec("node1", ["ip", "link", "set", "dev", str(born["ifname"]), "up"])
        lab.exec("node1", ["ip", "address", "add", "192.168.99.1/32", "dev", str(born["ifname"])])

    def renamed() -> bool:
        return str(nic(lab, mac)["ifname"]).startswith("ens")

    eventually("the NIC to be renamed", renamed, 20)
    last = nic(lab, mac)
    assert last["ifindex"] == born["ifindex"]
    assert last["ifname"] == f"ens{5 + int(str(born['ifname'])[3:])}"
    addresses = lab.exec("node1", ["ip", "-brief", "address", "show", "dev", str(last["ifname"])]).stdout
    assert ("192.168.99.1" in addresses) is up
    assert ("UP" in addresses) is up
    lab.exec("node1", ["/usr/bin/python3", "-c", DETACH, region, attachment])
    eventually("the NIC to go", lambda: not nic(lab, mac), 20)
    assert lab.status().errors == ()


def test_no_nic_appears_at_a_dead_device_index(lab: Lab) -> None:
    """With dead indexes, after a detachment by force: EC2 says attached, the instance gets no NIC before a stop."""
    status = lab.status()
    region, mac = status.region, status.service.mac
    argv = [region, lab.instance_ids()["node1"], status.service.network_interface_id]

    def attach() -> str:
        return lab.exec("node1", ["/usr/bin/python3", "-c", ATTACH, *argv]).stdout.strip()

    with lab.inject(DeadIndexes()):
        attachment = attach()
        eventually("the NIC to appear", lambda: nic(lab, mac), 20)
        lab.exec("node1", ["/usr/bin/python3", "-c", DETACH, region, attachment, "force"])
        eventually("the NIC to go", lambda: not nic(lab, mac), 20)
        attachment = attach()
        eventually("EC2 to say attached", lambda: lab.status().service.attachment == "attached", 20)
        lab.settle_network()
        assert not nic(lab, mac)
        lab.administer("StopInstances", InstanceId=lab.instance_ids()["node1"])
        eventually("node1 to be stopped", lambda: "node1" not in lab.powered_nodes(), 20)
        lab.power_on("node1")
        eventually("the NIC to be there after a boot", lambda: nic(lab, mac), 20)
        lab.exec("node1", ["/usr/bin/python3", "-c", DETACH, region, attachment])
