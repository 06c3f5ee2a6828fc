"""ENIs and their addresses, as EC2 handles them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Iterator

import pytest

from vpc_lab.ec2 import RunningAws, Timing, running_aws
from vpc_lab.ec2.imds import look_up, metadata
from vpc_lab.topology import topology_for

from .conftest import EC2Client, client, refused


@pytest.fixture
def moving(aws: RunningAws, ec2: EC2Client) -> str:
    """A free ENI in node1's subnet."""
    subnet = aws.account.instance("node1").subnet.subnet_id
    return str(ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"])


def described(ec2: EC2Client, network_interface_id: str) -> Any:
    """An ENI as DescribeNetworkInterfaces shows it."""
    return ec2.describe_network_interfaces(NetworkInterfaceIds=[network_interface_id])["NetworkInterfaces"][0]


def attach(ec2: EC2Client, aws: RunningAws, eni: str, name: str = "node1", index: int = 1) -> str:
    """Attach an ENI; the attachment's id."""
    answer = ec2.attach_network_interface(
        DeviceIndex=index, InstanceId=aws.account.instance(name).instance_id, NetworkInterfaceId=eni
    )
    return str(answer["AttachmentId"])


def test_attach_and_detach(aws: RunningAws, ec2: EC2Client, moving: str) -> None:
    """An attached ENI is in use and shows its attachment; a detached one is available."""
    attachment = attach(ec2, aws, moving)
    shown = described(ec2, moving)
    assert shown["Status"] == "in-use"
    assert shown["Attachment"]["Status"] == "attached"
    assert shown["Attachment"]["DeviceIndex"] == 1
    assert shown["Attachment"]["AttachmentId"] == attachment
    ec2.detach_network_interface(AttachmentId=attachment)
    shown = described(ec2, moving)
    assert shown["Status"] == "available"
    assert "Attachment" not in shown


def test_in_use(aws: RunningAws, ec2: EC2Client, moving: str) -> None:
    """An ENI that is attached does not silently move: InvalidNetworkInterface.InUse. Nor can it be deleted."""
    attach(ec2, aws, moving)
    with refused("InvalidNetworkInterface.InUse", f"Interface: [{moving}] in use."):
        attach(ec2, aws, moving, index=2)
    with refused("InvalidParameterValue", "is currently in use"):
        ec2.delete_network_interface(NetworkInterfaceId=moving)


@pytest.mark.parametrize("index", [0, 1])
def test_index_taken(aws: RunningAws, ec2: EC2Client, moving: str, index: int) -> None:
    """A device index that is taken, 0 always, is InvalidParameterValue."""
    subnet = aws.account.instance("node1").subnet.subnet_id
    other = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    attach(ec2, aws, other)
    with refused("InvalidParameterValue", f"already has an interface attached at device index '{index}'"):
        attach(ec2, aws, moving, index=index)


def test_other_availability_zone(aws: RunningAws, ec2: EC2Client, moving: str) -> None:
    """An ENI does not leave its availability zone: InvalidParameterCombination."""
    with refused("InvalidParameterCombination", "availability zone"):
        attach(ec2, aws, moving, "node2")


def test_attachment_limit(aws: RunningAws, ec2: EC2Client) -> None:
    """An m5.large holds three ENIs; the fourth is AttachmentLimitExceeded."""
    subnet = aws.account.instance("node1").subnet.subnet_id
    enis = [ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"] for _ in range(3)]
    attach(ec2, aws, enis[0], index=1)
    attach(ec2, aws, enis[1], index=2)
    with refused("AttachmentLimitExceeded"):
        attach(ec2, aws, enis[2], index=3)


def test_primary_stays(aws: RunningAws, ec2: EC2Client) -> None:
    """The primary ENI cannot be detached, not even by force; an unknown attachment has its own code."""
    primary = described(ec2, aws.account.instance("node1").network_interface_id)
    with refused("OperationNotPermitted", "at device index 0"):
        ec2.detach_network_interface(AttachmentId=primary["Attachment"]["AttachmentId"], Force=True)
    with refused("InvalidAttachmentID.NotFound"):
        ec2.detach_network_interface(AttachmentId="eni-attach-0123456789abcdef0")


def test_dry_run(aws: RunningAws, ec2: EC2Client, moving: str) -> None:
    """DryRun attaches nothing."""
    with refused("DryRunOperation"):
        ec2.attach_network_interface(
            DeviceIndex=1,
            InstanceId=aws.account.instance("node1").instance_id,
            NetworkInterfaceId=moving,
            DryRun=True,
        )
    assert described(ec2, moving)["Status"] == "available"


def test_states_last(aws: RunningAws, ec2: EC2Client, moving: str) -> None:
    """Attaching and detaching are states that last as long as configured, then end by themselves."""
    aws.account.timing = Timing(attach=0.2, detach=0.2)
    attachment = attach(ec2, aws, moving)
    assert described(ec2, moving)["Attachment"]["Status"] == "attaching"
    aws.account.wait_for(lambda world: "attached" in str(world.interfaces[moving].attachment))
    ec2.detach_network_interface(AttachmentId=attachment)
    assert described(ec2, moving)["Attachment"]["Status"] == "detaching"
    aws.account.wait_for(lambda world: world.interfaces[moving].attachment is None)


@pytest.mark.parametrize("how", ["all", "one"])
def test_stuck_detach(aws: RunningAws, ec2: EC2Client, moving: str, how: str) -> None:
    """A detach that is stuck stays `detaching`, keeps the ENI in use, and ends by Force."""
    attachment = attach(ec2, aws, moving)
    if how == "all":
        aws.account.timing = Timing(detach=math.inf)
    else:
        aws.account.stuck_detach.add(moving)
    ec2.detach_network_interface(AttachmentId=attachment)
    assert described(ec2, moving)["Attachment"]["Status"] == "detaching"
    with refused("InvalidNetworkInterface.InUse"):
        attach(ec2, aws, moving, index=2)
    ec2.detach_network_interface(AttachmentId=attachment, Force=True)
    assert described(ec2, moving)["Status"] == "available"


def test_a_detach_that_was_stuck_ends_once_it_can(aws: RunningAws, ec2: EC2Client, moving: str) -> None:
    """Also one that was asked for while it could not; but not while its instance takes no part."""
    attachment = attach(ec2, aws, moving)
    instance_id = aws.account.instance("node1").instance_id
    aws.account.stuck_detach.add(moving)
    aws.account.unresponsive.add(instance_id)
    ec2.detach_network_interface(AttachmentId=attachment)
    aws.api.detaches_again(moving)
    assert described(ec2, moving)["Attachment"]["Status"] == "detaching"
    aws.api.responds_again(instance_id)
    aws.account.wait_for(lambda world: world.interfaces[moving].attachment is None)


def test_stopped_instance_keeps_its_interfaces(aws: RunningAws, ec2: EC2Client, moving: str) -> None:
    """A stopped instance keeps its secondary ENIs attached; a terminated one gives them back."""
    node = aws.account.instance("node1")
    attach(ec2, aws, moving)
    ec2.stop_instances(InstanceIds=[node.instance_id])
    aws.account.wait_for(lambda world: world.instances[node.instance_id].state == "stopped")
    assert described(ec2, moving)["Attachment"]["InstanceId"] == node.instance_id
    ec2.terminate_instances(InstanceIds=[node.instance_id])
    aws.account.wait_for(lambda world: world.instances[node.instance_id].state == "terminated")
    assert described(ec2, moving)["Status"] == "available"
    with refused("InvalidNetworkInterfaceID.NotFound"):
        described(ec2, node.network_interface_id)


def test_reassignment(aws: RunningAws, ec2: EC2Client, moving: str) -> None:
    """A secondary address in use moves only with AllowReassignment, and then leaves the other ENI."""
    primary = aws.account.instance("node1").network_interface_id
    address = "10.0.1.50"
    ec2.assign_private_ip_addresses(NetworkInterfaceId=primary, PrivateIpAddresses=[address])
    with refused("InvalidParameterValue", "already assigned"):
        ec2.assign_private_ip_addresses(NetworkInterfaceId=moving, PrivateIpAddresses=[address])
    ec2.assign_private_ip_addresses(NetworkInterfaceId=moving, PrivateIpAddresses=[address], AllowReassignment=True)

    def held(eni: str) -> list[str]:
        return [one["PrivateIpAddress"] for one in described(ec2, eni)["PrivateIpAddresses"]]

    assert address in held(moving)
    assert held(primary) == ["10.0.1.11"]


def test_no_reassignment_across_subnets(aws: RunningAws, ec2: EC2Client) -> None:
    """An address does not leave its subnet, and a primary address never leaves its ENI."""
    with refused("InvalidParameterValue"):
        ec2.assign_private_ip_addresses(
            NetworkInterfaceId=aws.account.instance("node2").network_interface_id,
            PrivateIpAddresses=["10.0.1.50"],
            AllowReassignment=True,
        )
    with refused("InvalidParameterValue"):
        ec2.assign_private_ip_addresses(
            NetworkInterfaceId=aws.account.instance("consumer-a").network_interface_id,
            PrivateIpAddresses=["10.0.1.11"],
            AllowReassignment=True,
        )


def test_unassign(aws: RunningAws, ec2: EC2Client) -> None:
    """Unassigning gives a secondary address back; the primary one and foreign ones are refused."""
    primary = aws.account.instance("node1").network_interface_id
    ec2.assign_private_ip_addresses(NetworkInterfaceId=primary, PrivateIpAddresses=["10.0.1.50"])
    ec2.unassign_private_ip_addresses(NetworkInterfaceId=primary, PrivateIpAddresses=["10.0.1.50"])
    for address in ("10.0.1.50", "10.0.1.11"):
        with refused("InvalidParameterValue"):
            ec2.unassign_private_ip_addresses(NetworkInterfaceId=primary, PrivateIpAddresses=[address])
    assert [one["PrivateIpAddress"] for one in described(ec2, primary)["PrivateIpAddresses"]] == ["10.0.1.11"]


def test_ipv6_addresses(aws: RunningAws, ec2: EC2Client, moving: str) -> None:
    """IPv6 addresses are assigned and unassigned; there is no reassignment."""
    address = "2001:db8:1000:1::50"
    ec2.assign_ipv6_addresses(NetworkInterfaceId=moving, Ipv6Addresses=[address])
    assert described(ec2, moving)["Ipv6Addresses"] == [{"Ipv6Address": address}]
    primary = aws.account.instance("node1").network_interface_id
    with refused("InvalidParameterValue"):
        ec2.assign_ipv6_addresses(NetworkInterfaceId=primary, Ipv6Addresses=[address])
    ec2.unassign_ipv6_addresses(NetworkInterfaceId=moving, Ipv6Addresses=[address])
    assert described(ec2, moving)["Ipv6Addresses"] == []


def test_source_dest_check(aws: RunningAws, ec2: EC2Client) -> None:
    """The check is off on nodes and on on consumers; both ways to change it work and reach the fabric."""
    node, consumer = aws.account.instance("node1"), aws.account.instance("consumer-a")

    def checked(eni: str) -> bool:
        one = aws.account.world.interfaces[eni]
        assert described(ec2, eni)["SourceDestCheck"] is one.source_dest_check
        return bool(one.source_dest_check)

    assert not checked(node.network_interface_id)
    assert checked(consumer.network_interface_id)
    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=node.network_interface_id, SourceDestCheck={"Value": True}
    )
    ec2.modify_instance_attribute(InstanceId=consumer.instance_id, SourceDestCheck={"Value": False})
    assert checked(node.network_interface_id)
    assert not checked(consumer.network_interface_id)
    answer: Any = ec2.describe_instance_attribute(InstanceId=node.instance_id, Attribute="sourceDestCheck")
    assert answer["SourceDestCheck"]["Value"] is True


def test_describe_by_filter(aws: RunningAws, ec2: EC2Client) -> None:
    """Filters find ENIs by instance, address, MAC, subnet and status."""
    node = aws.account.instance("node1")
    for name, value in (
        ("attachment.instance-id", node.instance_id),
        ("private-ip-address", "10.0.1.11"),
        ("ipv6-addresses.ipv6-address", "2001:db8:1000:1::b"),
        ("mac-address", node.mac),
        ("network-interface-id", node.network_interface_id),
        ("private-dns-name", "ip-10-0-1-11.ec2.internal"),
    ):
        found = ec2.describe_network_interfaces(Filters=[{"Name": name, "Values": [value]}])["NetworkInterfaces"]
        assert [one["NetworkInterfaceId"] for one in found] == [node.network_interface_id], name


def plugged(aws: RunningAws, eni: str) -> bool:
    """Whether the instance that an ENI is attached to has a NIC for it."""
    one = aws.account.world.interfaces[eni]
    return one.attachment is not None and one.attachment.plugged


@pytest.mark.parametrize("force", [True, False])
def test_dead_index(aws: RunningAws, ec2: EC2Client, moving: str, force: bool) -> None:
    """After a detachment by force EC2 attaches at that index, and no NIC comes; after a plain one it does."""
    aws.account.dead_indexes_after_force = True
    ec2.detach_network_interface(AttachmentId=attach(ec2, aws, moving), Force=force)
    attach(ec2, aws, moving)
    assert described(ec2, moving)["Attachment"]["Status"] == "attached"
    assert plugged(aws, moving) is not force


def test_other_places_live(aws: RunningAws, ec2: EC2Client, moving: str) -> None:
    """A dead index is one of one instance: other indexes of it and the same index of others have their NIC."""
    aws.account.dead_indexes_after_force = True
    ec2.detach_network_interface(AttachmentId=attach(ec2, aws, moving), Force=True)
    for name, index in (("node1", 2), ("consumer-a", 1)):
        attachment = attach(ec2, aws, moving, name, index)
        assert plugged(aws, moving)
        ec2.detach_network_interface(AttachmentId=attachment)


def test_dead_index_ends(aws: RunningAws, ec2: EC2Client, moving: str) -> None:
    """A dead index lives again once the instance has stopped; a reboot does not help."""
    aws.account.dead_indexes_after_force = True
    node = aws.account.instance("node1").instance_id
    ec2.detach_network_interface(AttachmentId=attach(ec2, aws, moving), Force=True)
    attachment = attach(ec2, aws, moving)
    ec2.reboot_instances(InstanceIds=[node])
    assert not plugged(aws, moving)
    ec2.stop_instances(InstanceIds=[node])
    aws.account.wait_for(lambda world: world.instances[node].state == "stopped")
    ec2.start_instances(InstanceIds=[node])
    aws.account.wait_for(lambda world: world.instances[node].state == "running")
    assert plugged(aws, moving)
    ec2.detach_network_interface(AttachmentId=attachment)
    attach(ec2, aws, moving)
    assert plugged(aws, moving)


def test_no_dead_index_by_default(aws: RunningAws, ec2: EC2Client, moving: str) -> None:
    """Unless it is switched on, a detachment by force leaves no dead index."""
    ec2.detach_network_interface(AttachmentId=attach(ec2, aws, moving), Force=True)
    attach(ec2, aws, moving)
    assert plugged(aws, moving)


@pytest.fixture
def several_cards() -> Iterator[RunningAws]:
    """An AWS whose instances have four network cards."""
    with running_aws(instance_type="p4d.24xlarge") as running:
        yield running


def test_network_card(several_cards: RunningAws) -> None:
    """An ENI shows its network card, everywhere; a device index is taken on its own card only."""
    aws, ec2 = several_cards, client(several_cards)
    node = aws.account.instance("node1")
    moving = ec2.create_network_interface(SubnetId=node.subnet.subnet_id)["NetworkInterface"]["NetworkInterfaceId"]
    answer = ec2.attach_network_interface(
        DeviceIndex=1, NetworkCardIndex=1, InstanceId=node.instance_id, NetworkInterfaceId=moving
    )
    assert answer["NetworkCardIndex"] == 1
    assert described(ec2, moving)["Attachment"]["NetworkCardIndex"] == 1
    (reservation,) = ec2.describe_instances(InstanceIds=[node.instance_id])["Reservations"]
    found = [
        (one["Attachment"]["NetworkCardIndex"], one["Attachment"]["DeviceIndex"])
        for one in reservation["Instances"][0]["NetworkInterfaces"]
    ]
    assert found == [(0, 0), (1, 1)]
    subnet = node.subnet.subnet_id
    other = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    attach(ec2, aws, other)
    third = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    with refused("InvalidParameterValue", "Value (4) for parameter networkCardIndex is invalid"):
        ec2.attach_network_interface(
            DeviceIndex=1, NetworkCardIndex=4, InstanceId=node.instance_id, NetworkInterfaceId=third
        )
    shown = metadata(aws.account, "node1")
    macs = f"latest/meta-data/network/interfaces/macs/{described(ec2, moving)['MacAddress']}"
    assert look_up(shown, f"{macs}/network-card") == "1"
    # Index 0 is free on the other cards, and what is there can be detached.
    made = ec2.attach_network_interface(
        DeviceIndex=0, NetworkCardIndex=2, InstanceId=node.instance_id, NetworkInterfaceId=third
    )
    ec2.detach_network_interface(AttachmentId=made["AttachmentId"])
    ec2.close()


def test_one_network_card(aws: RunningAws, ec2: EC2Client, moving: str) -> None:
    """Most instance types have one network card: another index is refused, and the metadata tells none."""
    node = aws.account.instance("node1")
    with refused("InvalidParameterValue", "networkCardIndex"):
        ec2.attach_network_interface(
            DeviceIndex=1, NetworkCardIndex=1, InstanceId=node.instance_id, NetworkInterfaceId=moving
        )
    attach(ec2, aws, moving)
    macs = "latest/meta-data/network/interfaces/macs"
    assert look_up(metadata(aws.account, "node1"), f"{macs}/{node.mac}/device-number") == "0"
    assert look_up(metadata(aws.account, "node1"), f"{macs}/{node.mac}/network-card") is None


def test_secondary_interface(aws: RunningAws, ec2: EC2Client, moving: str) -> None:
    """DescribeInstances shows secondary interfaces apart from ENIs; their device indexes are taken."""
    made = aws.account.add_secondary_interface("node1", 1)
    node = aws.account.instance("node1")
    (reservation,) = ec2.describe_instances(InstanceIds=[node.instance_id])["Reservations"]
    (shown,) = reservation["Instances"]
    assert len(shown["NetworkInterfaces"]) == 1
    (secondary,) = shown["SecondaryInterfaces"]
    assert secondary["SecondaryInterfaceId"] == made
    assert (secondary["Attachment"]["NetworkCardIndex"], secondary["Attachment"]["DeviceIndex"]) == (0, 1)
    with refused("InvalidParameterValue", "already has an interface attached at device index '1'"):
        attach(ec2, aws, moving)
    attach(ec2, aws, moving, index=2)


@pytest.fixture
def ipv6_only() -> Iterator[RunningAws]:
    """An AWS whose subnets are IPv6-only."""
    topology = topology_for().with_subnets(lambda one: replace(one, ipv6_only=True))
    with running_aws(topology) as running:
        yield running


def test_an_ipv6_only_subnet(ipv6_only: RunningAws) -> None:
    """Neither the subnet nor an ENI nor an instance has anything of IPv4; what would give it one is refused."""
    aws, ec2 = ipv6_only, client(ipv6_only)
    node = aws.account.instance("node1")
    (subnet,) = ec2.describe_subnets(SubnetIds=[node.subnet.subnet_id])["Subnets"]
    assert "CidrBlock" not in subnet
    assert subnet["Ipv6Native"] is True
    made = ec2.create_network_interface(SubnetId=node.subnet.subnet_id)["NetworkInterface"]["NetworkInterfaceId"]
    for eni in (made, node.network_interface_id):
        shown = described(ec2, eni)
        assert "PrivateIpAddress" not in shown
        assert shown["PrivateIpAddresses"] == []
        assert len(shown["Ipv6Addresses"]) == 1
    (reservation,) = ec2.describe_instances(InstanceIds=[node.instance_id])["Reservations"]
    assert "PrivateIpAddress" not in reservation["Instances"][0]
    assert reservation["Instances"][0]["PrivateDnsName"].startswith("i-")
    with refused("InvalidParameterValue", "subnet"):
        ec2.create_network_interface(SubnetId=node.subnet.subnet_id, PrivateIpAddress="10.0.1.50")
    with refused("InvalidParameterValue", "subnet"):
        ec2.assign_private_ip_addresses(NetworkInterfaceId=made, SecondaryPrivateIpAddressCount=1)
    allocation = ec2.allocate_address(Domain="vpc")["AllocationId"]
    with refused("InvalidParameterValue", "no private IPv4 address"):
        ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=made)
    ec2.close()


def test_metadata_of_an_ipv6_only_subnet(ipv6_only: RunningAws) -> None:
    """404 for all that is of IPv4 but the VPC's own CIDRs."""
    node = ipv6_only.account.instance("node1")
    shown = metadata(ipv6_only.account, "node1")
    mac = f"latest/meta-data/network/interfaces/macs/{node.mac}"
    for path in (f"{mac}/local-ipv4s", f"{mac}/subnet-ipv4-cidr-block", "latest/meta-data/local-ipv4"):
        assert look_up(shown, path) is None
    assert look_up(shown, f"{mac}/ipv6s") == str(node.ipv6_address)
    assert look_up(shown, f"{mac}/vpc-ipv4-cidr-blocks") == "10.0.0.0/16"


PREFIX4, PREFIX6 = "10.0.1.192/28", "2001:db8:1000:1:9::/80"


def test_prefixes(aws: RunningAws, ec2: EC2Client, moving: str) -> None:
    """Prefixes are assigned, shown, and unassigned; both descriptions have them."""
    answer = ec2.assign_private_ip_addresses(NetworkInterfaceId=moving, Ipv4Prefixes=[PREFIX4])
    assert answer["AssignedIpv4Prefixes"] == [{"Ipv4Prefix": PREFIX4}]
    answer = ec2.assign_ipv6_addresses(NetworkInterfaceId=moving, Ipv6Prefixes=[PREFIX6])
    assert answer["AssignedIpv6Prefixes"] == [PREFIX6]
    attach(ec2, aws, moving)
    (reservation,) = ec2.describe_instances(InstanceIds=[aws.account.instance("node1").instance_id])["Reservations"]
    for shown in (described(ec2, moving), reservation["Instances"][0]["NetworkInterfaces"][1]):
        assert shown["Ipv4Prefixes"] == [{"Ipv4Prefix": PREFIX4}]
        assert shown["Ipv6Prefixes"] == [{"Ipv6Prefix": PREFIX6}]
    with refused("InvalidParameterValue", "prefixes are not assigned"):
        ec2.unassign_private_ip_addresses(NetworkInterfaceId=moving, Ipv4Prefixes=["10.0.1.208/28"])
    ec2.unassign_private_ip_addresses(NetworkInterfaceId=moving, Ipv4Prefixes=[PREFIX4])
    ec2.unassign_ipv6_addresses(NetworkInterfaceId=moving, Ipv6Prefixes=[PREFIX6])
    shown = described(ec2, moving)
    assert (shown["Ipv4Prefixes"], shown["Ipv6Prefixes"]) == ([], [])
    assert shown["PrivateIpAddress"]


def test_prefixes_of_a_new_interface(aws: RunningAws, ec2: EC2Client) -> None:
    """CreateNetworkInterface takes them too; the lab chooses none by itself."""
    subnet = aws.account.instance("node1").subnet.subnet_id
    made = ec2.create_network_interface(
        SubnetId=subnet, Ipv4Prefixes=[{"Ipv4Prefix": PREFIX4}], Ipv6Prefixes=[{"Ipv6Prefix": PREFIX6}]
    )["NetworkInterface"]
    assert made["Ipv4Prefixes"] == [{"Ipv4Prefix": PREFIX4}]
    assert described(ec2, made["NetworkInterfaceId"])["Ipv6Prefixes"] == [{"Ipv6Prefix": PREFIX6}]
    with refused("UnsupportedOperation", "chooses no prefixes"):
        ec2.create_network_interface(SubnetId=subnet, Ipv4PrefixCount=1)


@pytest.mark.parametrize("holder", ["moving", "another"])
def test_an_address_inside_a_prefix(aws: RunningAws, ec2: EC2Client, moving: str, holder: str) -> None:
    """It is assigned to no ENI, neither the one that has the prefix nor another; what is beside it is."""
    another = aws.account.instance("node1").network_interface_id
    eni = moving if holder == "moving" else another
    ec2.assign_private_ip_addresses(NetworkInterfaceId=moving, Ipv4Prefixes=[PREFIX4])
    ec2.assign_ipv6_addresses(NetworkInterfaceId=moving, Ipv6Prefixes=[PREFIX6])
    with refused("InvalidParameterValue", "10.0.1.200"):
        ec2.assign_private_ip_addresses(
            NetworkInterfaceId=eni, PrivateIpAddresses=["10.0.1.200"], AllowReassignment=True
        )
    with refused("InvalidParameterValue", "2001:db8:1000:1:9::5"):
        ec2.assign_ipv6_addresses(NetworkInterfaceId=eni, Ipv6Addresses=["2001:db8:1000:1:9::5"])
    with refused("InvalidParameterValue", "10.0.1.200"):
        ec2.create_network_interface(
            SubnetId=aws.account.instance("node1").subnet.subnet_id, PrivateIpAddress="10.0.1.200"
        )
    ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=["10.0.1.191"], AllowReassignment=True)


@pytest.mark.parametrize(
    ("prefix", "says"),
    [
        ("10.0.1.192/27", "has to be a /28"),
        ("10.0.1.193/28", "not a valid CIDR"),
        ("10.0.2.192/28", "does not fall within the subnet"),
        ("10.0.1.0/28", "overlaps"),  # node1's own address
        ("10.0.1.208/28", "overlaps"),  # another prefix
    ],
)
def test_a_wrong_prefix(aws: RunningAws, ec2: EC2Client, moving: str, prefix: str, says: str) -> None:
    """A /28 (or an IPv6 /80) of the subnet, that overlaps with no address and no other prefix."""
    other = aws.account.instance("node1").network_interface_id
    ec2.assign_private_ip_addresses(NetworkInterfaceId=other, Ipv4Prefixes=["10.0.1.208/28"])
    with refused("InvalidParameterValue", says):
        ec2.assign_private_ip_addresses(NetworkInterfaceId=moving, Ipv4Prefixes=[prefix])


def test_a_prefix_counts_as_one_address(aws: RunningAws, ec2: EC2Client, moving: str) -> None:
    """An instance type's limit of addresses is that of addresses and prefixes together: m5.large has 10."""
    attach(ec2, aws, moving)
    prefixes = [f"10.0.1.{16 * number}/28" for number in range(7, 15)]
    ec2.assign_private_ip_addresses(NetworkInterfaceId=moving, Ipv4Prefixes=prefixes)
    ec2.assign_private_ip_addresses(NetworkInterfaceId=moving, SecondaryPrivateIpAddressCount=1)
    with refused("PrivateIpAddressLimitExceeded"):
        ec2.assign_private_ip_addresses(NetworkInterfaceId=moving, Ipv4Prefixes=["10.0.1.240/28"])
    with refused("PrivateIpAddressLimitExceeded"):
        ec2.assign_private_ip_addresses(NetworkInterfaceId=moving, SecondaryPrivateIpAddressCount=1)


def test_each_attribute(aws: RunningAws, ec2: EC2Client, moving: str) -> None:
    """ModifyNetworkInterfaceAttribute changes groups, description and deletion on termination, one a call."""
    attachment = attach(ec2, aws, moving)
    ec2.modify_network_interface_attribute(NetworkInterfaceId=moving, Groups=["sg-1", "sg-2"])
    ec2.modify_network_interface_attribute(NetworkInterfaceId=moving, Description={"Value": "SAP"})
    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=moving, Attachment={"AttachmentId": attachment, "DeleteOnTermination": True}
    )
    shown = described(ec2, moving)
    assert [group["GroupId"] for group in shown["Groups"]] == ["sg-1", "sg-2"]
    assert shown["Description"] == "SAP"
    assert shown["Attachment"]["DeleteOnTermination"] is True
    with refused("InvalidParameterCombination", "multiple attribute types"):
        ec2.modify_network_interface_attribute(
            NetworkInterfaceId=moving, SourceDestCheck={"Value": False}, Description={"Value": "more"}
        )
    with refused("InvalidParameterCombination", "No attributes"):
        ec2.modify_network_interface_attribute(NetworkInterfaceId=moving)
    assert described(ec2, moving)["SourceDestCheck"] is True


def test_described_attribute(aws: RunningAws, ec2: EC2Client) -> None:
    """DescribeNetworkInterfaceAttribute tells the attribute that was asked for and no other."""
    eni = aws.account.instance("node1").network_interface_id
    answer: Any = ec2.describe_network_interface_attribute(NetworkInterfaceId=eni, Attribute="sourceDestCheck")
    assert answer["SourceDestCheck"] == {"Value": False}
    assert "Description" not in answer
    answer = ec2.describe_network_interface_attribute(NetworkInterfaceId=eni, Attribute="attachment")
    assert answer["Attachment"]["DeviceIndex"] == 0
    with refused("InvalidParameterValue", "Unknown attribute"):
        ec2.describe_network_interface_attribute(NetworkInterfaceId=eni, Attribute="colour")
