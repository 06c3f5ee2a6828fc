"""A lab whose topology was made by hand: a configuration that names its ids runs in it as it stands."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Iterator

import pytest

from vpc_lab.judge.audits import held
from vpc_lab.lab import Lab
from vpc_lab.settings import Settings
from vpc_lab.topology import Consumer, Node, SubnetSpec, Topology

from .conftest import NAME

pytestmark = pytest.mark.root

BLUE = SubnetSpec(
    "blue",
    "us-west-2b",
    IPv4Network("10.20.1.0/24"),
    IPv6Network("2001:db8:2000:1::/64"),
    route_table_id="rtb-0123456789abcdef1",
)
GREEN = SubnetSpec(
    "green",
    "us-west-2c",
    IPv4Network("10.20.2.0/24"),
    IPv6Network("2001:db8:2000:2::/64"),
    route_table_id="rtb-12345678",
)
OVERLAY = "192.168.201.116"
TOPOLOGY = Topology(
    (BLUE, GREEN),
    (
        Node("hana-a", BLUE, IPv4Address("10.20.1.7"), IPv6Address("2001:db8:2000:1::7"), "i-0123456789abcdef1"),
        Node("hana-b", GREEN, IPv4Address("10.20.2.7"), IPv6Address("2001:db8:2000:2::7"), "i-0123456789abcdef2"),
    ),
    (Consumer("app", GREEN, IPv4Address("10.20.2.101"), IPv6Address("2001:db8:2000:2::101")),),
    region="us-west-2",
    cidr=IPv4Network("10.20.0.0/16"),
    ipv6_cidr=IPv6Network("2001:db8:2000::/56"),
    extra_route_tables=("rtb-0123456789abcdef7",),
    overlay=IPv4Address(OVERLAY),
)
# No placeholder: what an administrator has, with the fence device that names the instances.
CONFIGURATION = f"""
primitive fence_own stonith:fence_aws \\
    params region=us-west-2 pcmk_host_map="hana-a:i-0123456789abcdef1;hana-b:i-0123456789abcdef2" \\
    pcmk_reboot_action=off \\
    op monitor interval=120s timeout=60s
primitive vip ocf:heartbeat:aws-ipfailover \\
    params ip={OVERLAY} routing_table="rtb-0123456789abcdef1,rtb-12345678,rtb-0123456789abcdef7" \\
    op start interval=0 timeout=60s op stop interval=0 timeout=20s \\
    op monitor interval=10s timeout=20s
location first vip 100: hana-a
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """The cluster with that configuration."""
    with Lab.running(f"{NAME}-described", Settings(fencing=False, described=TOPOLOGY)) as lab:
        lab.load(CONFIGURATION)
        lab.settle()
        yield lab


def test_a_configuration_runs_as_it_stands(lab: Lab) -> None:
    """Every table that it names leads to the node that it prefers, and who asks from inside and outside is answered."""
    lab.wait_cluster("the address where it is preferred", lambda now: now.where("vip") == "hana-a")
    assert set(lab.status().routes[OVERLAY]) == {"rtb-0123456789abcdef1", "rtb-12345678", "rtb-0123456789abcdef7"}
    assert set(lab.status().routes[OVERLAY].values()) == {"hana-a"}
    for consumer in ("app", "onprem"):
        lab.exec(consumer, ["ping", "-n", "-c", "1", "-W", "2", OVERLAY])


def test_it_fails_over_and_fences_the_instance_that_it_names(lab: Lab) -> None:
    """The preferred node loses its power: EC2 stops the instance of that id, and the other node has the address."""
    lab.power_off("hana-a")
    lab.wait_fenced("hana-a")
    lab.wait_cluster("the address on the other node", lambda now: now.where("vip") == "hana-b")
    stops = [call for call in lab.calls() if call["action"] == "StopInstances" and call["outcome"] == "ok"]
    assert {call["parameters"]["InstanceId.1"] for call in stops} == {"i-0123456789abcdef1"}
    assert OVERLAY in held(lab, "hana-b")
    for consumer in ("app", "onprem"):
        lab.exec(consumer, ["ping", "-n", "-c", "1", "-W", "2", OVERLAY])
