"""Transit gateways, virtual private gateways, peering connections and instance types, as they are told."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

from vpc_lab.ec2 import RunningAws
from vpc_lab.vpc import Peering

from .conftest import OVERLAY, EC2Client, refused

LONGEST = "route-search.longest-prefix-match"


def test_the_transit_gateway(aws: RunningAws, ec2: EC2Client) -> None:
    """The VPC is attached by all its subnets; the one table leads its CIDRs and the overlay addresses to it."""
    mine = [{"Name": "vpc-id", "Values": [aws.account.vpc_id]}]
    (held,) = ec2.describe_transit_gateway_vpc_attachments(Filters=mine)["TransitGatewayVpcAttachments"]
    assert held["TransitGatewayId"] == aws.account.transit_gateway_id
    assert set(held["SubnetIds"]) == set(aws.account.world.subnets)
    by_resource = [{"Name": "resource-id", "Values": [aws.account.vpc_id]}]
    (same,) = ec2.describe_transit_gateway_attachments(Filters=by_resource)["TransitGatewayAttachments"]
    assert same["TransitGatewayOwnerId"] == aws.account.topology.account_id
    of_gateway = [{"Name": "transit-gateway-id", "Values": [held["TransitGatewayId"]]}]
    (table,) = ec2.describe_transit_gateway_route_tables(Filters=of_gateway)["TransitGatewayRouteTables"]
    which = {"TransitGatewayRouteTableId": table["TransitGatewayRouteTableId"]}
    (route,) = ec2.search_transit_gateway_routes(**which, Filters=[{"Name": LONGEST, "Values": [OVERLAY]}])["Routes"]
    assert (route["DestinationCidrBlock"], route["Type"], route["State"]) == (OVERLAY, "static", "active")
    attachment = {"TransitGatewayAttachmentId": held["TransitGatewayAttachmentId"]}
    with refused("RouteAlreadyExists"):
        ec2.create_transit_gateway_route(**which, **attachment, DestinationCidrBlock=OVERLAY)
    ec2.delete_transit_gateway_route(**which, DestinationCidrBlock=OVERLAY)
    assert ec2.search_transit_gateway_routes(**which, Filters=[{"Name": LONGEST, "Values": [OVERLAY]}])["Routes"] == []
    ec2.create_transit_gateway_route(**which, DestinationCidrBlock="192.168.0.0/16", Blackhole=True)
    (route,) = ec2.search_transit_gateway_routes(**which, Filters=[{"Name": LONGEST, "Values": [OVERLAY]}])["Routes"]
    assert (route["DestinationCidrBlock"], route["State"]) == ("192.168.0.0/16", "blackhole")
    with refused("InvalidRoute.NotFound"):
        ec2.delete_transit_gateway_route(**which, DestinationCidrBlock=OVERLAY)


def test_a_transit_gateway_of_another_account(aws: RunningAws, ec2: EC2Client) -> None:
    """Its route tables are not seen."""
    aws.account.change(
        lambda world: replace(
            world, transit_attachments=tuple(replace(one, owner_id="999999999999") for one in world.transit_attachments)
        )
    )
    assert ec2.describe_transit_gateway_route_tables()["TransitGatewayRouteTables"] == []


def test_peerings(aws: RunningAws, ec2: EC2Client) -> None:
    """By whichever side the VPC is."""
    there = (ip_network("10.77.0.0/16"), ip_network("fd00:77::/56"))
    pair = (Peering("pcx-1", "vpc-2", there), Peering("pcx-2", "vpc-3", there, requested=False))
    aws.account.change(lambda world: replace(world, peerings=pair))
    for side, which in (("requester", "pcx-1"), ("accepter", "pcx-2")):
        mine = [{"Name": f"{side}-vpc-info.vpc-id", "Values": [aws.account.vpc_id]}]
        (found,) = ec2.describe_vpc_peering_connections(Filters=mine)["VpcPeeringConnections"]
        assert found["VpcPeeringConnectionId"] == which
        other = found["AccepterVpcInfo" if side == "requester" else "RequesterVpcInfo"]
        assert other["CidrBlockSet"] == [{"CidrBlock": "10.77.0.0/16"}]


def test_vpn_gateways(aws: RunningAws, ec2: EC2Client) -> None:
    """None, or those that are attached to the VPC."""
    mine = [{"Name": "attachment.vpc-id", "Values": [aws.account.vpc_id]}]
    assert ec2.describe_vpn_gateways(Filters=mine)["VpnGateways"] == []
    aws.account.change(lambda world: replace(world, vpn_gateways=("vgw-1",)))
    (found,) = ec2.describe_vpn_gateways(Filters=mine)["VpnGateways"]
    assert found["VpcAttachments"] == [{"VpcId": aws.account.vpc_id, "State": "attached"}]


def test_instance_types(ec2: EC2Client) -> None:
    """What a type takes of network interfaces and addresses, by network card; an unknown one is refused."""
    (found,) = ec2.describe_instance_types(InstanceTypes=["p4d.24xlarge"])["InstanceTypes"]
    network = found["NetworkInfo"]
    assert [one["MaximumNetworkInterfaces"] for one in network["NetworkCards"]] == [15, 15, 15, 15]
    assert (network["MaximumNetworkInterfaces"], network["Ipv4AddressesPerInterface"]) == (60, 50)
    with refused("InvalidInstanceType"):
        ec2.describe_instance_types(InstanceTypes=["x0.tiny"])
