"""Elastic IPs, as EC2 handles them."""

from __future__ import annotations

from typing import Any, Iterator

import pytest

from vpc_lab.ec2 import RunningAws, running_aws
from vpc_lab.topology import PUBLIC, topology_for

from .conftest import EC2Client, client, refused


@pytest.fixture
def aws() -> Iterator[RunningAws]:
    """The AWS of a lab with an ENI that moves and an internet gateway."""
    with running_aws(topology_for("eni")) as running:
        yield running


@pytest.fixture
def ec2(aws: RunningAws) -> EC2Client:
    """EC2's real client."""
    return client(aws)


@pytest.fixture
def eni(aws: RunningAws) -> str:
    """The ENI that moves."""
    return aws.account.interface_id("service")


def described(ec2: EC2Client, allocation: str) -> Any:
    """An Elastic IP as DescribeAddresses shows it."""
    return ec2.describe_addresses(AllocationIds=[allocation])["Addresses"][0]


def allocated(ec2: EC2Client) -> str:
    """A new Elastic IP's allocation."""
    return str(ec2.allocate_address(Domain="vpc")["AllocationId"])


def test_an_elastic_ip_is_of_a_private_address_of_an_eni(aws: RunningAws, ec2: EC2Client, eni: str) -> None:
    """The primary one unless told; DescribeAddresses and DescribeNetworkInterfaces show it, and filters find it."""
    first, second = allocated(ec2), allocated(ec2)
    primary, secondary = (str(address) for address in aws.account.world.interfaces[eni].ipv4)
    ec2.associate_address(AllocationId=first, NetworkInterfaceId=eni)
    ec2.associate_address(AllocationId=second, NetworkInterfaceId=eni, PrivateIpAddress=secondary)
    shown = described(ec2, first)
    assert (shown["NetworkInterfaceId"], shown["PrivateIpAddress"]) == (eni, primary)
    assert shown["PublicIp"].startswith(str(PUBLIC.network_address).rpartition(".")[0])
    (found,) = ec2.describe_network_interfaces(
        Filters=[{"Name": "association.public-ip", "Values": [described(ec2, second)["PublicIp"]]}]
    )["NetworkInterfaces"]
    assert found["Association"]["PublicIp"] == shown["PublicIp"]
    assert [one["Association"]["AllocationId"] for one in found["PrivateIpAddresses"]] == [first, second]
    with refused("InvalidParameterValue"):
        ec2.associate_address(AllocationId=first, NetworkInterfaceId=eni, PrivateIpAddress="10.0.3.99")


def test_it_stays_with_an_eni_that_moves(aws: RunningAws, ec2: EC2Client, eni: str) -> None:
    """Detached and attached: the association is the same, only the instance is another one."""
    allocation = allocated(ec2)
    association = ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=eni)["AssociationId"]
    for name in ("node1", "node2"):
        instance = aws.account.instance(name).instance_id
        attachment = ec2.attach_network_interface(NetworkInterfaceId=eni, InstanceId=instance, DeviceIndex=1)
        shown = described(ec2, allocation)
        assert (shown["AssociationId"], shown["InstanceId"]) == (association, instance)
        ec2.detach_network_interface(AttachmentId=attachment["AttachmentId"])
        assert "InstanceId" not in described(ec2, allocation)


def test_it_goes_with_a_private_address_that_is_reassigned(aws: RunningAws, ec2: EC2Client) -> None:
    """AssignPrivateIpAddresses with AllowReassignment moves the Elastic IP of the address along."""
    enis = [aws.account.instance(name).network_interface_id for name in ("node1", "node2")]
    allocation = allocated(ec2)
    ec2.assign_private_ip_addresses(NetworkInterfaceId=enis[0], PrivateIpAddresses=["10.0.1.77"])
    ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=enis[0], PrivateIpAddress="10.0.1.77")
    ec2.assign_private_ip_addresses(
        NetworkInterfaceId=enis[1], PrivateIpAddresses=["10.0.1.77"], AllowReassignment=True
    )
    assert described(ec2, allocation)["NetworkInterfaceId"] == enis[1]
    ec2.unassign_private_ip_addresses(NetworkInterfaceId=enis[1], PrivateIpAddresses=["10.0.1.77"])
    assert "AssociationId" not in described(ec2, allocation)


def test_it_is_not_taken_away_silently(aws: RunningAws, ec2: EC2Client, eni: str) -> None:
    """Associated elsewhere: refused without AllowReassociation; in use: not released; unknown ids are NotFound."""
    allocation = allocated(ec2)
    ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=eni)
    other = aws.account.instance("node1").network_interface_id
    with refused("Resource.AlreadyAssociated"):
        ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=other, AllowReassociation=False)
    association = ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=other, AllowReassociation=True)[
        "AssociationId"
    ]
    with refused("InvalidIPAddress.InUse"):
        ec2.release_address(AllocationId=allocation)
    ec2.disassociate_address(AssociationId=association)
    ec2.release_address(AllocationId=allocation)
    with refused("InvalidAllocationID.NotFound"):
        ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=eni)
    with refused("InvalidAssociationID.NotFound"):
        ec2.disassociate_address(AssociationId=association)


def test_a_private_address_has_one_elastic_ip(ec2: EC2Client, eni: str) -> None:
    """A second one takes the place of the first; five are an account's quota; an ENI that goes leaves its own free."""
    first, second = allocated(ec2), allocated(ec2)
    for allocation in (first, second):
        ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=eni)
    assert "AssociationId" not in described(ec2, first)
    ec2.delete_network_interface(NetworkInterfaceId=eni)
    assert "AssociationId" not in described(ec2, second)
    for _ in range(3):
        allocated(ec2)
    with refused("AddressLimitExceeded"):
        allocated(ec2)


def test_an_internet_gateway(aws: RunningAws, ec2: EC2Client) -> None:
    """Every table of such a VPC leads what is for nobody else to it; a VPC for overlay addresses has one
    only where that is asked for."""
    (gateway,) = ec2.describe_internet_gateways()["InternetGateways"]
    assert gateway["Attachments"][0]["VpcId"] == aws.account.vpc_id
    for table in aws.account.world.route_tables.values():
        targets = {str(route.destination): route.target for route in table.routes}
        assert targets["0.0.0.0/0"] == targets["::/0"] == gateway["InternetGatewayId"]
    with running_aws(topology_for("overlay-ip")) as plain:
        assert client(plain).describe_internet_gateways()["InternetGateways"] == []
    with running_aws(topology_for("overlay-ip", internet=True)) as connected:
        assert len(client(connected).describe_internet_gateways()["InternetGateways"]) == 1
        (table, *_) = connected.account.world.route_tables.values()
        assert "0.0.0.0/0" in {str(route.destination) for route in table.routes}
