"""An address that moves within a subnet, whose other instances have it in their neighbour tables."""

from __future__ import annotations

import json
from typing import Iterator

import pytest

from vpc_lab.faults import RemapLag
from vpc_lab.lab import Lab
from vpc_lab.settings import Settings
from vpc_lab.waiting import eventually

from .conftest import NAME

pytestmark = pytest.mark.root

# By the SDK of the system: an address, IPv4 or IPv6, is taken from one ENI and given to another.
ASSIGN = """
import sys, boto3
ec2 = boto3.client("ec2", region_name=sys.argv[1])
address, to, old = sys.argv[2:]
if ":" in address:
    if old:
        ec2.unassign_ipv6_addresses(NetworkInterfaceId=old, Ipv6Addresses=[address])
    ec2.assign_ipv6_addresses(NetworkInterfaceId=to, Ipv6Addresses=[address])
else:
    ec2.assign_private_ip_addresses(NetworkInterfaceId=to, PrivateIpAddresses=[address], AllowReassignment=True)
"""
# A gratuitous ARP, or an unsolicited neighbour advertisement with the override flag.
ANNOUNCE = """
import ipaddress, socket, struct, sys
address = ipaddress.ip_address(sys.argv[1])
mac = bytes.fromhex(open("/sys/class/net/eth0/address").read().strip().replace(":", ""))
if address.version == 4:
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + address.packed + bytes(6) + address.packed
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.sendto(b"\\xff" * 6 + mac + b"\\x08\\x06" + body, ("eth0", 0))
else:
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw:
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        raw.bind((str(address), 0))
        body = struct.pack("!BBHI", 136, 0, 0, 0x20000000) + address.packed + b"\\x02\\x01" + mac
        raw.sendto(body, ("ff02::1", 0, 0, socket.if_nametoindex("eth0")))
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Two nodes and a consumer in one subnet, another consumer beyond it, and an address that is free."""
    settings = Settings(mode="private-ip", boot_cluster=False, stale_neighbours=True)
    with Lab.running(f"{NAME}-neighbours", settings) as lab:
        yield lab


def give(lab: Lab, address: str, node: str, old: str = "") -> None:
    """Assign the address to a node's ENI, and put it on the node's device, not without taking it off the old one."""
    status = lab.status()
    enis = status.network_interfaces
    lab.exec("node1", ["/usr/bin/python3", "-c", ASSIGN, status.region, address, enis[node], enis.get(old, "")])
    lab.settle_network()
    prefix = f"{address}/128" if ":" in address else f"{address}/32"
    if old:
        lab.exec(old, ["ip", "address", "delete", prefix, "dev", "eth0"])
    lab.exec(node, ["ip", "address", "add", prefix, "dev", "eth0", *(["nodad"] if ":" in address else [])])


def announce(lab: Lab, address: str, node: str) -> None:
    """Tell the subnet that the node has the address."""
    lab.exec(node, ["/usr/bin/python3", "-c", ANNOUNCE, address])


def answers(lab: Lab, consumer: str, address: str) -> bool:
    """Whether a ping is answered."""
    return lab.exec(consumer, ["ping", "-n", "-c", "1", "-W", "1", address], check=False).returncode == 0


def known(lab: Lab, address: str) -> str:
    """The MAC under which consumer-a knows the address."""
    (entry,) = json.loads(lab.exec("consumer-a", ["ip", "-json", "neighbour", "show", "to", address]).stdout)
    return str(entry["lladdr"])


def mac(lab: Lab, node: str) -> str:
    """The MAC of a node."""
    return lab.exec(node, ["cat", "/sys/class/net/eth0/address"]).stdout.strip()


@pytest.mark.parametrize("version", [4, 6])
def test_an_address_that_moved_is_sent_to_its_old_interface_until_it_is_announced(lab: Lab, version: int) -> None:
    """In the subnet only: the old holder's announcement is not carried, the new one's teaches the consumer."""
    address = next(one for one in lab.status().service.addresses if (":" in one) == (version == 6))
    give(lab, address, "node1")
    assert answers(lab, "consumer-a", address)
    assert answers(lab, "consumer-b", address)
    assert known(lab, address) == mac(lab, "node1")
    give(lab, address, "node2", "node1")
    assert answers(lab, "consumer-b", address)
    assert not answers(lab, "consumer-a", address)
    if version == 4:
        announce(lab, address, "node1")
    assert not answers(lab, "consumer-a", address)
    assert known(lab, address) == mac(lab, "node1")

    def learnt() -> bool:
        # Linux does not believe one within a second of another (neigh/…/locktime).
        announce(lab, address, "node2")
        return known(lab, address) == mac(lab, "node2")

    eventually("the consumer to learn from the announcement", learnt, 20)
    assert answers(lab, "consumer-a", address)


@pytest.mark.parametrize("address", ["10.0.1.11", "2001:db8:1000:1::b", "10.0.2.102", "10.0.1.101"])
def test_everything_else_is_reached_as_ever(lab: Lab, address: str) -> None:
    """Instances in the subnet and beyond, over IPv4 and IPv6."""
    assert answers(lab, "node2", address)


def test_a_moved_address_arrives_later_than_ec2_says(lab: Lab) -> None:
    """With a lag of the remapping packets still find the old ENI, from other subnets too, and not the new one."""
    address = "10.0.1.61"
    enis = lab.status().network_interfaces
    give(lab, address, "node1")
    assert answers(lab, "consumer-b", address)
    with lab.inject(RemapLag(3600)):
        argv = [lab.status().region, address, enis["node2"], ""]
        lab.exec("node1", ["/usr/bin/python3", "-c", ASSIGN, *argv])
        lab.settle_network()
        assert answers(lab, "consumer-b", address)
    lab.exec("node1", ["ip", "address", "delete", f"{address}/32", "dev", "eth0"])
    assert not answers(lab, "consumer-b", address)
