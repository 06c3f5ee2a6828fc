"""Security groups and network ACLs: what is told of them, and how they are changed."""

from __future__ import annotations

from vpc_lab.ec2 import RunningAws

from .conftest import EC2Client, refused

ANYWHERE = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
HTTPS = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}


def test_the_labs_group_lets_everything_through(aws: RunningAws, ec2: EC2Client) -> None:
    """As its network does; every instance has it."""
    (group,) = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [aws.account.vpc_id]}])[
        "SecurityGroups"
    ]
    assert group["GroupId"] == aws.account.world.group_id
    for rules in (group["IpPermissions"], group["IpPermissionsEgress"]):
        assert [one["IpRanges"] + one["Ipv6Ranges"] for one in rules] == [
            [{"CidrIp": "0.0.0.0/0"}],
            [{"CidrIpv6": "::/0"}],
        ]


def test_a_group_lives(aws: RunningAws, ec2: EC2Client) -> None:
    """Created it lets nothing in; rules are added and taken away, each once; in use it cannot be deleted."""
    made = ec2.create_security_group(GroupName="db", Description="db", VpcId=aws.account.vpc_id)["GroupId"]
    with refused("InvalidGroup.Duplicate"):
        ec2.create_security_group(GroupName="db", Description="db", VpcId=aws.account.vpc_id)
    by_group = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 2, "UserIdGroupPairs": [{"GroupId": made}]}
    ec2.authorize_security_group_ingress(GroupId=made, IpPermissions=[HTTPS, by_group])
    with refused("InvalidPermission.Duplicate"):
        ec2.authorize_security_group_ingress(GroupId=made, IpPermissions=[HTTPS])
    (group,) = ec2.describe_security_groups(GroupIds=[made])["SecurityGroups"]
    assert [(one["FromPort"], one["ToPort"]) for one in group["IpPermissions"]] == [(443, 443), (1, 2)]
    assert group["IpPermissions"][1]["UserIdGroupPairs"][0]["GroupId"] == made
    assert len(group["IpPermissionsEgress"]) == 1
    ec2.revoke_security_group_ingress(GroupId=made, IpPermissions=[HTTPS])
    ec2.revoke_security_group_egress(GroupId=made, IpPermissions=[ANYWHERE])
    with refused("InvalidPermission.NotFound"):
        ec2.revoke_security_group_ingress(GroupId=made, IpPermissions=[HTTPS])
    ec2.delete_security_group(GroupId=made)
    with refused("InvalidGroup.NotFound"):
        ec2.describe_security_groups(GroupIds=[made])
    with refused("DependencyViolation"):
        ec2.delete_security_group(GroupId=aws.account.world.group_id)


def test_the_labs_network_acl(aws: RunningAws, ec2: EC2Client) -> None:
    """It is every subnet's, and lets everything through; the last rules deny the rest."""
    (acl,) = ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [aws.account.vpc_id]}])["NetworkAcls"]
    assert {one["SubnetId"] for one in acl["Associations"]} == set(aws.account.world.subnets)
    numbers = [(one["RuleNumber"], one["RuleAction"]) for one in acl["Entries"] if one["Egress"]]
    assert numbers == [(100, "allow"), (101, "allow"), (32767, "deny"), (32768, "deny")]
    mine = acl["NetworkAclId"]
    entry = {"NetworkAclId": mine, "RuleNumber": 50, "Egress": True}
    rule = {"Protocol": "-1", "RuleAction": "deny", "CidrBlock": "192.168.10.10/32"}
    ec2.create_network_acl_entry(**entry, **rule)
    with refused("NetworkAclEntryAlreadyExists"):
        ec2.create_network_acl_entry(**entry, **rule)
    (acl,) = ec2.describe_network_acls(NetworkAclIds=[mine])["NetworkAcls"]
    assert (50, "192.168.10.10/32") in [(one["RuleNumber"], one.get("CidrBlock")) for one in acl["Entries"]]
    ec2.delete_network_acl_entry(**entry)
    with refused("InvalidNetworkAclEntry.NotFound"):
        ec2.delete_network_acl_entry(**entry)
    with refused("InvalidParameterValue"):
        ec2.create_network_acl_entry(**{**entry, "RuleNumber": 32767}, **rule)
    with refused("InvalidNetworkAclID.NotFound"):
        ec2.describe_network_acls(NetworkAclIds=["acl-0123456789abcdef0"])
