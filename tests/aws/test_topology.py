"""An account whose topology was made by hand: EC2 has exactly the ids that it names."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Iterator

import pytest

from vpc_lab.ec2 import RunningAws, running_aws
from vpc_lab.topology import InterfaceSpec, Node, SubnetSpec, Topology

from .conftest import EC2Client, client

REGION = "us-west-2"
BLUE = SubnetSpec(
    "blue",
    "us-west-2b",
    IPv4Network("10.20.1.0/24"),
    IPv6Network("2001:db8:2000:1::/64"),
    subnet_id="subnet-0123456789abcdef1",
    route_table_id="rtb-0123456789abcdef1",
)
GREEN = SubnetSpec(
    "green",
    "us-west-2c",
    IPv4Network("10.20.2.0/24"),
    IPv6Network("2001:db8:2000:2::/64"),
    subnet_id="subnet-0123456789abcdef2",
    route_table_id="rtb-12345678",
)
TOPOLOGY = Topology(
    (BLUE, GREEN),
    (
        Node(
            "hana-a",
            BLUE,
            IPv4Address("10.20.1.7"),
            IPv6Address("2001:db8:2000:1::7"),
            "i-0123456789abcdef1",
            "eni-0123456789abcdef1",
        ),
        Node("hana-b", GREEN, IPv4Address("10.20.2.7"), IPv6Address("2001:db8:2000:2::7"), "i-0123456789abcdef2"),
        Node("majority", GREEN, IPv4Address("10.20.2.8"), IPv6Address("2001:db8:2000:2::8")),
    ),
    interfaces=(InterfaceSpec("vip", BLUE, (IPv4Address("10.20.1.60"),), (), "eni-0123456789abcdef9"),),
    region=REGION,
    account_id="111122223333",
    cidr=IPv4Network("10.20.0.0/16"),
    ipv6_cidr=IPv6Network("2001:db8:2000::/56"),
    extra_route_tables=("rtb-0123456789abcdef7",),
    overlay=IPv4Address("192.168.201.116"),
)


@pytest.fixture
def own() -> Iterator[RunningAws]:
    """The AWS of that topology."""
    with running_aws(TOPOLOGY, imds_instance="hana-a") as aws:
        yield aws


@pytest.fixture
def ec2(own: RunningAws) -> Iterator[EC2Client]:
    """Its EC2."""
    made = client(own)
    yield made
    made.close()


def test_instances_and_interfaces_have_the_ids_that_were_given(ec2: EC2Client) -> None:
    """By EC2's own descriptions: id, name, zone, address, ENI; what was given none has one of its name."""
    found = {}
    for reservation in ec2.describe_instances()["Reservations"]:
        for one in reservation["Instances"]:
            (name,) = [tag["Value"] for tag in one["Tags"] if tag["Key"] == "Name"]
            found[name] = one
    assert found.keys() == {"hana-a", "hana-b", "majority"}
    assert found["hana-a"]["InstanceId"] == "i-0123456789abcdef1"
    assert found["hana-a"]["NetworkInterfaces"][0]["NetworkInterfaceId"] == "eni-0123456789abcdef1"
    assert found["hana-a"]["PrivateIpAddress"] == "10.20.1.7"
    assert found["hana-b"]["InstanceId"] == "i-0123456789abcdef2"
    assert found["hana-b"]["Placement"]["AvailabilityZone"] == "us-west-2c"
    assert found["hana-b"]["SubnetId"] == "subnet-0123456789abcdef2"
    (vip,) = ec2.describe_network_interfaces(NetworkInterfaceIds=["eni-0123456789abcdef9"])["NetworkInterfaces"]
    assert (vip["Status"], vip["PrivateIpAddress"], vip["OwnerId"]) == ("available", "10.20.1.60", "111122223333")


def test_route_tables_have_the_ids_that_were_given(own: RunningAws, ec2: EC2Client) -> None:
    """Those of the subnets and those that none uses; a route of the configuration can be written in each."""
    named = ["rtb-0123456789abcdef1", "rtb-12345678", "rtb-0123456789abcdef7"]
    tables = {one["RouteTableId"]: one for one in ec2.describe_route_tables(RouteTableIds=named)["RouteTables"]}
    assert tables.keys() == set(named) == set(own.account.route_table_ids)
    assert tables["rtb-12345678"]["Associations"][0]["SubnetId"] == "subnet-0123456789abcdef2"
    assert tables["rtb-0123456789abcdef7"]["Associations"] == []
    for table in named:
        ec2.create_route(
            RouteTableId=table, DestinationCidrBlock="192.168.201.116/32", InstanceId="i-0123456789abcdef2"
        )
    own.account.settle()
    targets = set(own.account.routes_to("192.168.201.116/32").values())
    assert targets == {own.account.instance("hana-b").network_interface_id}


def test_subnets_may_share_a_route_table() -> None:
    """As in a VPC with one table for every zone: it is there once, with an association for each subnet."""
    shared = TOPOLOGY.with_subnets(lambda one: replace(one, route_table_id="rtb-0123456789abcdef1"))
    with running_aws(shared) as own:
        assert own.account.route_table_ids == ("rtb-0123456789abcdef1", "rtb-0123456789abcdef7")
        table = own.account.world.route_tables["rtb-0123456789abcdef1"]
        assert {one.subnet_id for one in table.associations} == {BLUE.subnet_id, GREEN.subnet_id}
