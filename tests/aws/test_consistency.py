"""Reads after writes: late, and not even monotonic."""

from __future__ import annotations

from vpc_lab.ec2 import Consistency, RunningAws
from vpc_lab.waiting import eventually

from .conftest import OVERLAY, EC2Client


def seen(aws: RunningAws, ec2: EC2Client) -> str | None:
    """Where node1's table leads the overlay address, by DescribeRouteTables: the name of the node."""
    table = aws.account.instance("node1").subnet.route_table_id
    names = {one.network_interface_id: one.name for one in aws.account.instances()}
    (described,) = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    for route in described["Routes"]:
        if route.get("DestinationCidrBlock") == OVERLAY:
            return names[route["NetworkInterfaceId"]]
    return None


def move(aws: RunningAws, ec2: EC2Client, name: str) -> None:
    """ReplaceRoute in node1's table."""
    node = aws.account.instance(name)
    ec2.replace_route(
        RouteTableId=aws.account.instance("node1").subnet.route_table_id,
        DestinationCidrBlock=OVERLAY,
        NetworkInterfaceId=node.network_interface_id,
    )


def test_immediate_by_default(aws: RunningAws, ec2: EC2Client) -> None:
    """Without further ado a read sees the last write."""
    aws.account.put_route(OVERLAY, "node1")
    move(aws, ec2, "node2")
    assert seen(aws, ec2) == "node2"


def test_lag(aws: RunningAws, ec2: EC2Client) -> None:
    """For the lag's duration reads answer with the world before the write; writes go by the truth."""
    aws.account.put_route(OVERLAY, "node1")
    aws.account.consistency = Consistency(lag=3600)
    # The lag reaches back before the route was made.
    assert seen(aws, ec2) is None
    move(aws, ec2, "node2")
    assert seen(aws, ec2) is None
    assert set(aws.account.routes_to(OVERLAY).values()) == {
        aws.account.instance("node1").network_interface_id,
        aws.account.instance("node2").network_interface_id,
    }
    aws.account.consistency = Consistency(lag=0.05)
    eventually("a read that sees the write", lambda: seen(aws, ec2) == "node2")


def test_alternating(aws: RunningAws, ec2: EC2Client) -> None:
    """Reads can be right, then old again."""
    aws.account.put_route(OVERLAY, "node1")
    aws.account.consistency = Consistency(lag=3600, alternating=True)
    assert [seen(aws, ec2) for _ in range(4)] == ["node1", None, "node1", None]
