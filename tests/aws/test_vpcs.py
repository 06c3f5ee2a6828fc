"""The VPC as EC2 shows it, and what moto adds."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from vpc_lab.ec2 import RunningAws, running_aws

from .conftest import EC2Client, client, refused


def test_every_cidr(aws: RunningAws, ec2: EC2Client) -> None:
    """DescribeVpcs lists all IPv4 and IPv6 associations."""
    ec2.associate_vpc_cidr_block(VpcId=aws.account.vpc_id, CidrBlock="10.1.0.0/16")
    (vpc,) = ec2.describe_vpcs(VpcIds=[aws.account.vpc_id])["Vpcs"]
    assert [one["CidrBlock"] for one in vpc["CidrBlockAssociationSet"]] == ["10.0.0.0/16", "10.1.0.0/16"]
    assert [one["Ipv6CidrBlock"] for one in vpc["Ipv6CidrBlockAssociationSet"]] == ["2001:db8:1000::/56"]
    with refused("InvalidVpcID.NotFound"):
        ec2.describe_vpcs(VpcIds=["vpc-0123456789abcdef0"])


def test_subnets(aws: RunningAws, ec2: EC2Client) -> None:
    """Subnets have their planned blocks and zones."""
    found = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [aws.account.vpc_id]}])["Subnets"]
    assert [(one["CidrBlock"], one["AvailabilityZone"]) for one in found] == [
        ("10.0.1.0/24", "eu-central-1a"),
        ("10.0.2.0/24", "eu-central-1b"),
    ]


def test_tags(aws: RunningAws, ec2: EC2Client) -> None:
    """Tags can be put, found and taken away."""
    node = aws.account.instance("node1").instance_id
    ec2.create_tags(Resources=[node], Tags=[{"Key": "pacemaker", "Value": "yes"}])
    found = ec2.describe_tags(Filters=[{"Name": "key", "Values": ["pacemaker"]}])["Tags"]
    assert found == [{"Key": "pacemaker", "ResourceId": node, "ResourceType": "instance", "Value": "yes"}]
    ec2.delete_tags(Resources=[node], Tags=[{"Key": "pacemaker"}])
    assert ec2.describe_tags(Filters=[{"Name": "key", "Values": ["pacemaker"]}])["Tags"] == []


def test_on_premises(aws: RunningAws) -> None:
    """Every table leads to the on-premises network through the transit gateway."""
    topology = aws.account.topology
    for table in aws.account.world.route_tables.values():
        targets = {route.destination: route.target for route in table.routes}
        assert targets[topology.on_premises.cidr] == aws.account.transit_gateway_id
        assert targets[topology.on_premises.ipv6_cidr] == aws.account.transit_gateway_id


def test_moto_answers_the_rest(aws: RunningAws, ec2: EC2Client) -> None:
    """Actions without semantics of our own are moto's, with the lab's VPC in it; unknown ones are InvalidAction."""
    vpc = aws.account.vpc_id
    made = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName="com.amazonaws.eu-central-1.s3")["VpcEndpoint"]
    assert made["VpcId"] == vpc
    assert "eu-central-1" in [one["RegionName"] for one in ec2.describe_regions()["Regions"]]
    with refused("UnsupportedOperation"):
        ec2.create_vpc(CidrBlock="10.9.0.0/16")


def test_accounts_share_nothing() -> None:
    """Two accounts in one process have the same ids and nothing else in common."""

    with running_aws() as first, running_aws() as second:
        assert first.account.route_table_ids == second.account.route_table_ids
        one, other = client(first), client(second)
        first.account.put_route("192.168.10.10/32", "node1")
        assert set(second.account.routes_to("192.168.10.10/32").values()) == {None}
        one.create_security_group(GroupName="mine", Description="mine", VpcId=first.account.vpc_id)
        one.create_key_pair(KeyName="mine")
        assert len(one.describe_security_groups(GroupNames=["mine"])["SecurityGroups"]) == 1
        assert len(one.describe_key_pairs(KeyNames=["mine"])["KeyPairs"]) == 1
        assert "mine" not in [group["GroupName"] for group in other.describe_security_groups()["SecurityGroups"]]
        assert other.describe_key_pairs()["KeyPairs"] == []
        assert second.calls("CreateSecurityGroup") == ()
        one.close()
        other.close()


def test_moto_stays_at_home(aws: RunningAws, ec2: EC2Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever moto answers, it answers from memory: no connection leaves loopback, no name is looked up."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo
    strangers: list[object] = []

    def watched_connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not str(address[0]).startswith("127."):
            strangers.append(address)
            raise OSError("no network")
        connect(self, address)

    def watched_look_up(host: Any, *rest: Any, **options: Any) -> Any:
        if host != "127.0.0.1":
            strangers.append(host)
            raise OSError("no network")
        return look_up(host, *rest, **options)

    monkeypatch.setattr(socket.socket, "connect", watched_connect)
    monkeypatch.setattr(socket, "getaddrinfo", watched_look_up)
    assert ec2.describe_regions()["Regions"]
    assert ec2.describe_images(Owners=["amazon"])["Images"]
    assert ec2.describe_availability_zones()["AvailabilityZones"]
    assert ec2.describe_security_groups()["SecurityGroups"]
    assert strangers == []
