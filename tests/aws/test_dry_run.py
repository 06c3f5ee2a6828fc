"""DryRun: EC2 tells whether a call is permitted, and does nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vpc_lab.ec2 import Policy, RunningAws
from vpc_lab.ec2.dispatch import Caller
from vpc_lab.ec2.errors import ApiError
from vpc_lab.ec2.wire import Query

from .conftest import OVERLAY, EC2Client, refused

UNKNOWN = "0123456789abcdef0"


def filters_and_gateways(aws: RunningAws) -> dict[str, dict[str, str]]:
    """The operations of security groups, network ACLs and transit gateways, as `operations`."""
    world = aws.account.world
    rule = {"GroupId": world.group_id, "IpPermissions.1.IpProtocol": "-1"}
    new, old = {"IpPermissions.1.IpRanges.1.CidrIp": "10.9.0.0/16"}, {"IpPermissions.1.IpRanges.1.CidrIp": "0.0.0.0/0"}
    entry = {"NetworkAclId": next(iter(world.network_acls)), "RuleNumber": "100", "Egress": "false"}
    made = {"Protocol": "-1", "RuleAction": "deny", "CidrBlock": "10.9.0.0/16"}
    table = {"TransitGatewayRouteTableId": next(iter(world.transit_tables))}
    attachment = {"TransitGatewayAttachmentId": world.transit_attachments[0].attachment_id}
    return {
        "CreateSecurityGroup": {"GroupName": "more", "GroupDescription": "more"},
        "DeleteSecurityGroup": {"GroupId": world.group_id},
        "AuthorizeSecurityGroupIngress": {**rule, **new},
        "AuthorizeSecurityGroupEgress": {**rule, **new},
        "RevokeSecurityGroupIngress": {**rule, **old},
        "RevokeSecurityGroupEgress": {**rule, **old},
        "CreateNetworkAclEntry": {**entry, **made, "RuleNumber": "50"},
        "DeleteNetworkAclEntry": entry,
        "SearchTransitGatewayRoutes": {
            **table,
            "Filter.1.Name": "route-search.exact-match",
            "Filter.1.Value.1": OVERLAY,
        },
        "CreateTransitGatewayRoute": {**table, **attachment, "DestinationCidrBlock": "192.168.77.1/32"},
        "DeleteTransitGatewayRoute": {**table, "DestinationCidrBlock": OVERLAY},
    }


def operations(aws: RunningAws) -> dict[str, dict[str, str]]:
    """Every operation that the lab answers itself, with parameters that could be carried out."""
    account = aws.account
    node = account.instance("node1")
    eni = node.network_interface_id
    free = {"NetworkInterfaceId": "free"}
    route = {
        "RouteTableId": account.route_table_ids[0],
        "DestinationCidrBlock": OVERLAY,
        "NetworkInterfaceId": eni,
    }
    association = account.world.route_tables[node.subnet.route_table_id].associations[0].association_id
    given: dict[str, dict[str, str]] = {
        "CreateRoute": {**route, "DestinationCidrBlock": "192.168.77.1/32"},
        "ReplaceRoute": route,
        "DeleteRoute": route,
        "DeleteRouteTable": {"RouteTableId": account.route_table_id("extra-1")},
        "CreateRouteTable": {"VpcId": account.vpc_id},
        "AssociateRouteTable": {
            "RouteTableId": account.route_table_id("extra-1"),
            "SubnetId": account.instance("node2").subnet.subnet_id,
        },
        "DisassociateRouteTable": {"AssociationId": association},
        "ReplaceRouteTableAssociation": {
            "RouteTableId": account.route_table_id("extra-1"),
            "AssociationId": association,
        },
        "CreateNetworkInterface": {"SubnetId": node.subnet.subnet_id},
        "DeleteNetworkInterface": free,
        "AssignPrivateIpAddresses": {"NetworkInterfaceId": eni, "PrivateIpAddress.1": "10.0.1.50"},
        "UnassignPrivateIpAddresses": {"NetworkInterfaceId": eni, "PrivateIpAddress.1": "10.0.1.60"},
        "AssignIpv6Addresses": {"NetworkInterfaceId": eni, "Ipv6Addresses.1": "2001:db8:1000:1::50"},
        "UnassignIpv6Addresses": {"NetworkInterfaceId": eni, "Ipv6Addresses.1": "2001:db8:1000:1::b"},
        "AllocateAddress": {},
        "ReleaseAddress": {"AllocationId": "eip"},
        "AssociateAddress": {"AllocationId": "eip", "NetworkInterfaceId": eni},
        "DisassociateAddress": {"AssociationId": "eipassoc-1"},
        "ModifyNetworkInterfaceAttribute": {"NetworkInterfaceId": eni, "SourceDestCheck.Value": "true"},
        "ModifyInstanceAttribute": {"InstanceId": node.instance_id, "SourceDestCheck.Value": "true"},
        "AssociateVpcCidrBlock": {"VpcId": account.vpc_id, "CidrBlock": "10.9.0.0/16"},
        "CreateTags": {"ResourceId.1": eni, "Tag.1.Key": "Owner", "Tag.1.Value": "me"},
        "DeleteTags": {"ResourceId.1": node.instance_id, "Tag.1.Key": "Name"},
        "AttachNetworkInterface": {**free, "InstanceId": node.instance_id, "DeviceIndex": "1"},
        "DetachNetworkInterface": {"AttachmentId": "held"},
        **{
            action: {"InstanceId.1": node.instance_id}
            for action in ("StopInstances", "StartInstances", "RebootInstances", "TerminateInstances")
        },
        **filters_and_gateways(aws),
        "CreateVpc": {"CidrBlock": "10.9.0.0/16"},
        "DeleteVpc": {"VpcId": account.vpc_id},
        "CreateSubnet": {"VpcId": account.vpc_id, "CidrBlock": "10.0.9.0/24"},
        "DeleteSubnet": {"SubnetId": node.subnet.subnet_id},
        **{
            action: {"InternetGatewayId": "igw", "VpcId": account.vpc_id}
            for action in ("AttachInternetGateway", "DetachInternetGateway", "DeleteInternetGateway")
        },
        "RunInstances": {
            "ImageId": "ami-0fedcba9876543210",
            "MinCount": "1",
            "MaxCount": "1",
            "SubnetId": node.subnet.subnet_id,
        },
        "DescribeNetworkInterfaceAttribute": {"NetworkInterfaceId": eni, "Attribute": "sourceDestCheck"},
        "DescribeInstanceAttribute": {"InstanceId": node.instance_id, "Attribute": "sourceDestCheck"},
    }
    for action in aws.api.actions:
        given.setdefault(action, {})
    return given


def prepare(aws: RunningAws, ec2: EC2Client) -> dict[str, str]:
    """What the operations above act on, by the names that they use."""
    node = aws.account.instance("node1")
    aws.account.put_route(OVERLAY, "node2")
    ec2.assign_private_ip_addresses(NetworkInterfaceId=node.network_interface_id, PrivateIpAddresses=["10.0.1.60"])
    free, held = (
        ec2.create_network_interface(SubnetId=node.subnet.subnet_id)["NetworkInterface"]["NetworkInterfaceId"]
        for _ in range(2)
    )
    attached = ec2.attach_network_interface(DeviceIndex=5, InstanceId=node.instance_id, NetworkInterfaceId=held)
    return {
        "free": free,
        "held": attached["AttachmentId"],
        "igw": ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"],
        "eip": ec2.allocate_address(Domain="vpc")["AllocationId"],
    }


def dry_run(aws: RunningAws, action: str, parameters: dict[str, str]) -> ApiError:
    """The error that a dry run of an operation is answered with, by an administrator."""
    with pytest.raises(ApiError) as caught:
        aws.api.administer(action, **parameters, DryRun="true")
    return caught.value


def test_every_operation(aws: RunningAws, ec2: EC2Client) -> None:
    """A dry run of any operation that the lab answers is DryRunOperation with status 412, and changes nothing."""
    names = prepare(aws, ec2)
    before = aws.account.world
    found = {}
    for action, parameters in operations(aws).items():
        if action == "DisassociateAddress":
            continue  # needs an association, which the others of this list must not have
        error = dry_run(aws, action, {key: names.get(value, value) for key, value in parameters.items()})
        found[action] = (error.code, error.status)
    assert len(found) > 35
    assert set(found.values()) == {("DryRunOperation", 412)}, found
    assert aws.account.world is before


def test_not_permitted(aws: RunningAws) -> None:
    """A dry run of any operation that is not permitted is UnauthorizedOperation."""
    aws.account.identities.restrict_instances(Policy(()))
    credentials = aws.account.identities.of_instance("i-1")
    caller = Caller("127.0.0.1", credentials.access_key_id, credentials.session_token)
    for action, parameters in operations(aws).items():
        reply = aws.api.handle("ec2", Query({"Action": action, **parameters, "DryRun": "true"}), caller)
        assert reply.status == 403, action
        assert b"<Code>UnauthorizedOperation</Code>" in reply.body, action


@pytest.mark.parametrize("dry", [True, False])
def test_permission_before_existence(aws: RunningAws, connect: Callable[..., Any], dry: bool) -> None:
    """Whoever may not do something does not learn whether what it names exists."""
    aws.account.identities.restrict_instances(Policy(()))
    ec2 = connect("ec2", aws.account.identities.of_instance("i-1"))
    node = aws.account.instance("node1")
    with refused("UnauthorizedOperation"):
        ec2.replace_route(
            RouteTableId=f"rtb-{UNKNOWN}", DestinationCidrBlock=OVERLAY, NetworkInterfaceId="eni-1", DryRun=dry
        )
    with refused("UnauthorizedOperation"):
        ec2.detach_network_interface(AttachmentId=f"eni-attach-{UNKNOWN}", DryRun=dry)
    with refused("UnauthorizedOperation"):
        ec2.attach_network_interface(
            InstanceId=node.instance_id, NetworkInterfaceId=f"eni-{UNKNOWN}", DeviceIndex=1, DryRun=dry
        )
    with refused("UnauthorizedOperation"):
        ec2.stop_instances(InstanceIds=[f"i-{UNKNOWN}"], DryRun=dry)


def test_what_does_not_exist(aws: RunningAws, ec2: EC2Client) -> None:
    """A permitted dry run of a write still says which of the things it names does not exist."""
    node = aws.account.instance("node1")
    with refused("InvalidNetworkInterfaceID.NotFound"):
        ec2.attach_network_interface(
            InstanceId=node.instance_id, NetworkInterfaceId=f"eni-{UNKNOWN}", DeviceIndex=1, DryRun=True
        )
    with refused("InvalidAttachmentID.NotFound"):
        ec2.detach_network_interface(AttachmentId=f"eni-attach-{UNKNOWN}", DryRun=True)
    with refused("InvalidInstanceID.NotFound"):
        ec2.stop_instances(InstanceIds=[f"i-{UNKNOWN}"], DryRun=True)


def test_state_does_not_matter(aws: RunningAws, ec2: EC2Client) -> None:
    """A permitted dry run does not say that the request would fail for the state things are in."""
    node = aws.account.instance("node1")
    with refused("DryRunOperation"):
        ec2.attach_network_interface(
            InstanceId=node.instance_id, NetworkInterfaceId=node.network_interface_id, DeviceIndex=1, DryRun=True
        )
    with refused("DryRunOperation"):
        ec2.replace_route(
            RouteTableId=node.subnet.route_table_id,
            DestinationCidrBlock=OVERLAY,
            NetworkInterfaceId=node.network_interface_id,
            DryRun=True,
        )


def test_operations_of_moto(aws: RunningAws, ec2: EC2Client, connect: Callable[..., Any]) -> None:
    """A dry run of an operation that moto answers is not carried out either, and needs permission like any other."""
    with refused("DryRunOperation"):
        ec2.create_key_pair(KeyName="more", DryRun=True)
    assert ec2.describe_key_pairs()["KeyPairs"] == []
    aws.account.identities.restrict_instances(Policy(()))
    with refused("UnauthorizedOperation"):
        connect("ec2", aws.account.identities.of_instance("i-1")).create_key_pair(KeyName="more", DryRun=True)


def test_unknown_operation(aws: RunningAws) -> None:
    """A dry run of an operation that EC2 does not have is InvalidAction."""
    assert dry_run(aws, "MakeCoffee", {}).code == "InvalidAction"
