"""An account that is empty at first: a VPC, its subnets, roles and instances, made and deleted as on EC2 and IAM."""

from __future__ import annotations

import json
from typing import Any, Iterator

import pytest

from vpc_lab.ec2 import RunningAws, running_aws
from vpc_lab.topology import empty_account

from .conftest import EC2Client, client, refused

ZONE = "eu-central-1a"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
        ],
    }
)


def policy(*actions: str) -> str:
    """A document that allows these on everything."""
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]}
    )


@pytest.fixture
def aws() -> Iterator[RunningAws]:
    """An account without a VPC."""
    with running_aws(empty_account()) as running:
        yield running


@pytest.fixture
def vpc(ec2: EC2Client) -> str:
    """A VPC."""
    return str(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])


@pytest.fixture
def subnet(ec2: EC2Client, vpc: str) -> str:
    """A subnet of it."""
    made = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24", AvailabilityZone=ZONE)["Subnet"]
    assert made["AvailabilityZone"] == ZONE
    return str(made["SubnetId"])


def launch(ec2: EC2Client, subnet: str, name: str = "node1", **more: Any) -> str:
    """An instance, when EC2 calls it running."""
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}]
    given = {"ImageId": "ami-0fedcba9876543210", "MinCount": 1, "MaxCount": 1, "SubnetId": subnet, **more}
    if "NetworkInterfaces" in given:
        del given["SubnetId"]
    (made,) = ec2.run_instances(TagSpecifications=tags, **given)["Instances"]
    ec2.get_waiter("instance_running").wait(InstanceIds=[made["InstanceId"]], WaiterConfig={"Delay": 1})
    return str(made["InstanceId"])


def test_an_empty_account_has_nothing(ec2: EC2Client) -> None:
    """Neither a VPC nor what comes with one."""
    assert ec2.describe_vpcs()["Vpcs"] == []
    assert ec2.describe_subnets()["Subnets"] == []
    assert ec2.describe_route_tables()["RouteTables"] == []
    assert ec2.describe_security_groups()["SecurityGroups"] == []
    assert ec2.describe_instances()["Reservations"] == []


def test_a_vpc_brings_its_main_table_and_default_group(ec2: EC2Client, vpc: str) -> None:
    """They are there at once, and go with it."""
    (table,) = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    assert [one["Main"] for one in table["Associations"]] == [True]
    assert [one["GroupName"] for one in ec2.describe_security_groups()["SecurityGroups"]] == ["default"]
    with refused("UnsupportedOperation"):
        ec2.create_vpc(CidrBlock="10.1.0.0/16")
    ec2.delete_vpc(VpcId=vpc)
    test_an_empty_account_has_nothing(ec2)


def test_subnets_that_cannot_be_are_refused(ec2: EC2Client, vpc: str, subnet: str) -> None:
    """Outside the VPC, over another subnet, in no zone of the Region."""
    with refused("InvalidSubnet.Range"):
        ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.0.0/24")
    with refused("InvalidSubnet.Conflict"):
        ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.128/25")
    with refused("InvalidParameterValue", "availabilityZone"):
        ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.2.0/24", AvailabilityZone="us-east-1a")
    with refused("InvalidVpcID.NotFound"):
        ec2.create_subnet(VpcId="vpc-0123456789abcdef0", CidrBlock="10.0.2.0/24")


def test_what_something_else_needs_is_not_deleted(ec2: EC2Client, vpc: str, subnet: str) -> None:
    """DependencyViolation, until the other is gone: subnet before VPC, gateway detached, instance before subnet."""
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    nic = {"DeviceIndex": 0, "SubnetId": subnet, "AssociatePublicIpAddress": True}
    instance = launch(ec2, subnet, NetworkInterfaces=[nic])
    for delete, named in (
        (ec2.delete_vpc, {"VpcId": vpc}),
        (ec2.delete_subnet, {"SubnetId": subnet}),
        (ec2.delete_internet_gateway, {"InternetGatewayId": gateway}),
        (ec2.detach_internet_gateway, {"InternetGatewayId": gateway, "VpcId": vpc}),
    ):
        with refused("DependencyViolation"):
            delete(**named)
    ec2.terminate_instances(InstanceIds=[instance])
    ec2.get_waiter("instance_terminated").wait(InstanceIds=[instance], WaiterConfig={"Delay": 1})
    ec2.delete_subnet(SubnetId=subnet)
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    ec2.delete_vpc(VpcId=vpc)
    assert ec2.describe_vpcs()["Vpcs"] == []
    assert ec2.describe_internet_gateways()["InternetGateways"] == []


def test_a_route_to_a_detached_gateway_leads_nowhere(ec2: EC2Client, vpc: str) -> None:
    """EC2 calls it a blackhole."""
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    (table,) = ec2.describe_route_tables()["RouteTables"]
    route = {"RouteTableId": table["RouteTableId"], "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway}
    with refused("InvalidGatewayID.NotFound"):
        ec2.create_route(**route)
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.create_route(**route)
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    (table,) = ec2.describe_route_tables()["RouteTables"]
    states = {one["DestinationCidrBlock"]: one["State"] for one in table["Routes"]}
    assert states == {"10.0.0.0/16": "active", "0.0.0.0/0": "blackhole"}


def test_an_instance_has_what_the_call_says(ec2: EC2Client, subnet: str) -> None:
    """Address, public address, tags; the source/destination check is on; the same address twice is refused."""
    nic = {
        "DeviceIndex": 0,
        "SubnetId": subnet,
        "PrivateIpAddress": "10.0.1.11",
        "AssociatePublicIpAddress": True,
    }
    launch(ec2, subnet, NetworkInterfaces=[nic])
    (reservation,) = ec2.describe_instances()["Reservations"]
    (found,) = reservation["Instances"]
    assert found["PrivateIpAddress"] == "10.0.1.11"
    assert found["PublicIpAddress"] == "203.0.113.254"
    assert found["Tags"] == [{"Key": "Name", "Value": "node1"}]
    assert found["SourceDestCheck"] is True
    with refused("InvalidIPAddress.InUse"):
        launch(ec2, subnet, PrivateIpAddress="10.0.1.11")
    with refused("InvalidParameterValue", "Instance Profile"):
        launch(ec2, subnet, IamInstanceProfile={"Name": "nobody"})


def test_a_name_belongs_to_one_instance(aws: RunningAws, ec2: EC2Client, subnet: str) -> None:
    """A second one of the name is known by its address, as EC2 makes host names."""
    launch(ec2, subnet, PrivateIpAddress="10.0.1.11")
    launch(ec2, subnet, PrivateIpAddress="10.0.1.12")
    assert [one.name for one in aws.account.instances()] == ["node1", "ip-10-0-1-12"]


def test_an_instance_may_do_what_its_role_allows(aws: RunningAws, ec2: EC2Client, subnet: str) -> None:
    """The role of its instance profile, by the policies that it has at the moment of the call."""
    iam = client(aws, "iam")
    iam.create_role(RoleName="node", AssumeRolePolicyDocument=TRUST)
    iam.create_instance_profile(InstanceProfileName="profile")
    iam.add_role_to_instance_profile(InstanceProfileName="profile", RoleName="node")
    iam.put_role_policy(RoleName="node", PolicyName="look", PolicyDocument=policy("ec2:DescribeVpcs"))
    instance = launch(ec2, subnet, IamInstanceProfile={"Name": "profile"})
    as_instance = client(aws, credentials=aws.account.identities.of_instance(instance))
    assert len(as_instance.describe_vpcs()["Vpcs"]) == 1
    with refused("UnauthorizedOperation", "assumed-role/node/"):
        as_instance.describe_subnets()
    with refused("AccessDenied"):
        client(aws, "iam", aws.account.identities.of_instance(instance)).delete_role(RoleName="node")
    iam.delete_role_policy(RoleName="node", PolicyName="look")
    with refused("UnauthorizedOperation"):
        as_instance.describe_vpcs()


def test_a_role_in_use_is_not_deleted(aws: RunningAws) -> None:
    """DeleteConflict, until its policies are deleted and it is in no instance profile."""
    iam = client(aws, "iam")
    iam.create_role(RoleName="node", AssumeRolePolicyDocument=TRUST)
    iam.put_role_policy(RoleName="node", PolicyName="look", PolicyDocument=policy("ec2:DescribeVpcs"))
    with refused("DeleteConflict"):
        iam.delete_role(RoleName="node")
    iam.delete_role_policy(RoleName="node", PolicyName="look")
    iam.delete_role(RoleName="node")
    with refused("NoSuchEntity"):
        iam.get_role(RoleName="node")


def test_a_policy_that_the_lab_does_not_understand_is_refused(aws: RunningAws) -> None:
    """Half understood, it would allow or deny something else than on AWS."""
    iam = client(aws, "iam")
    iam.create_role(RoleName="node", AssumeRolePolicyDocument=TRUST)
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "NotAction": "*", "Resource": "*"}]}
    with refused("MalformedPolicyDocument"):
        iam.put_role_policy(RoleName="node", PolicyName="look", PolicyDocument=json.dumps(document))
