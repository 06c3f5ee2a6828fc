"""Tags of route tables, network interfaces and instances."""

from __future__ import annotations

from typing import Any

import pytest

from vpc_lab.ec2 import RunningAws

from .conftest import EC2Client, refused

KINDS = ["route-table", "network-interface", "instance"]


def identifier(aws: RunningAws, kind: str) -> str:
    """A resource of this kind: one that the topology has."""
    node = aws.account.instance("node1")
    return {
        "route-table": node.subnet.route_table_id,
        "network-interface": node.network_interface_id,
        "instance": node.instance_id,
    }[kind]


def found_by(ec2: EC2Client, kind: str, name: str, value: str) -> list[str]:
    """The ids of what a Describe of this kind finds by one filter."""
    filters = [{"Name": name, "Values": [value]}]
    if kind == "route-table":
        return [str(one["RouteTableId"]) for one in ec2.describe_route_tables(Filters=filters)["RouteTables"]]
    if kind == "network-interface":
        listed = ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        return [str(one["NetworkInterfaceId"]) for one in listed]
    return [
        str(one["InstanceId"])
        for reservation in ec2.describe_instances(Filters=filters)["Reservations"]
        for one in reservation["Instances"]
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_found_by_tag(aws: RunningAws, ec2: EC2Client, kind: str) -> None:
    """What was tagged is found by `tag:KEY` and `tag-key` until the tag is deleted."""
    tagged = identifier(aws, kind)
    assert found_by(ec2, kind, "tag:Owner", "SAP") == []
    ec2.create_tags(Resources=[tagged], Tags=[{"Key": "Owner", "Value": "SAP"}])
    assert found_by(ec2, kind, "tag:Owner", "SAP") == [tagged]
    assert found_by(ec2, kind, "tag:Owner", "S*") == [tagged]
    assert found_by(ec2, kind, "tag-key", "Owner") == [tagged]
    assert found_by(ec2, kind, "tag:Owner", "sap") == []
    ec2.delete_tags(Resources=[tagged], Tags=[{"Key": "Owner"}])
    assert found_by(ec2, kind, "tag:Owner", "SAP") == []


@pytest.mark.parametrize("kind", KINDS)
def test_described_tags(aws: RunningAws, ec2: EC2Client, kind: str) -> None:
    """DescribeTags finds a tag by resource, type, key and value."""
    tagged = identifier(aws, kind)
    ec2.create_tags(Resources=[tagged], Tags=[{"Key": "Owner", "Value": "SAP"}])
    for name, value in (("resource-type", kind), ("key", "Owner"), ("value", "SAP"), ("tag:Owner", "SAP")):
        filters = [{"Name": "resource-id", "Values": [tagged]}, {"Name": name, "Values": [value]}]
        listed: Any = ec2.describe_tags(Filters=filters)["Tags"]
        assert {"ResourceId": tagged, "ResourceType": kind, "Key": "Owner", "Value": "SAP"} in listed, name


def test_delete_by_value(aws: RunningAws, ec2: EC2Client) -> None:
    """A tag is deleted by key and value only where the value is its own; without any key every tag goes."""
    table = identifier(aws, "route-table")
    ec2.create_tags(Resources=[table], Tags=[{"Key": "Owner", "Value": "SAP"}])
    ec2.delete_tags(Resources=[table], Tags=[{"Key": "Owner", "Value": "other"}])
    assert found_by(ec2, "route-table", "tag:Owner", "SAP") == [table]
    ec2.delete_tags(Resources=[table])
    assert ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [table]}])["Tags"] == []


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ("rtb-0123456789abcdef0", "InvalidRouteTableID.NotFound"),
        ("eni-0123456789abcdef0", "InvalidNetworkInterfaceID.NotFound"),
        ("i-0123456789abcdef0", "InvalidInstanceID.NotFound"),
    ],
)
def test_what_does_not_exist(ec2: EC2Client, wrong: str, code: str) -> None:
    """What does not exist is not tagged."""
    with refused(code):
        ec2.create_tags(Resources=[wrong], Tags=[{"Key": "Owner", "Value": "SAP"}])


def test_reserved_key(aws: RunningAws, ec2: EC2Client) -> None:
    """Keys that begin with `aws:` are refused."""
    with refused("InvalidParameterValue", "reserved for internal use"):
        ec2.create_tags(Resources=[aws.account.route_table_ids[0]], Tags=[{"Key": "aws:x", "Value": ""}])


def test_created_with_tags(aws: RunningAws, ec2: EC2Client) -> None:
    """A route table that is created with tags has them."""
    specification = [{"ResourceType": "route-table", "Tags": [{"Key": "Owner", "Value": "SAP"}]}]
    made = ec2.create_route_table(VpcId=aws.account.vpc_id, TagSpecifications=specification)["RouteTable"]
    assert found_by(ec2, "route-table", "tag:Owner", "SAP") == [made["RouteTableId"]]
