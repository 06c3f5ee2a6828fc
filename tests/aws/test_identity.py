"""STS and as much of IAM as a resource agent meets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from aws_ipfailover.lab.aws import Policy, Role, RunningAws, running_aws
from aws_ipfailover.lab.plan import Plan

from .conftest import OVERLAY, client, refused

OWNER = "210987654321"
ROLE = f"arn:aws:iam::{OWNER}:role/overlay"


def policy(*statements: tuple[list[str], list[str]]) -> Policy:
    """A policy from a document as an administrator writes it."""
    return Policy.from_document(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": actions, "Resource": resources} for actions, resources in statements
            ],
        }
    )


def test_who_am_i(aws: RunningAws, connect: Callable[..., Any]) -> None:
    """GetCallerIdentity names the instance's session of its role."""
    credentials = aws.account.identities.of_instance("i-1")
    answer = connect("sts", credentials).get_caller_identity()
    assert answer["Arn"] == "arn:aws:sts::123456789012:assumed-role/lab-node/i-1"
    assert answer["Account"] == "123456789012"


def test_enforcement(aws: RunningAws, connect: Callable[..., Any]) -> None:
    """With enforcement an unknown key is AuthFailure, a stolen key without its session token as well."""
    credentials = aws.account.identities.of_instance("i-1")
    connect().describe_route_tables()
    aws.account.identities.enforce = True
    with refused("AuthFailure"):
        connect().describe_route_tables()
    with refused("InvalidClientTokenId"):
        connect("sts").get_caller_identity()
    connect("ec2", credentials).describe_route_tables()
    connect("ec2", aws.account.identities.user()).describe_route_tables()
    credentials_without_token = type(credentials)(
        credentials.access_key_id, credentials.secret_access_key, credentials.identity
    )
    with refused("AuthFailure"):
        connect("ec2", credentials_without_token).describe_route_tables()


def test_expiry(aws: RunningAws, connect: Callable[..., Any]) -> None:
    """Expired session credentials are RequestExpired for EC2, ExpiredToken for STS; IMDS gives new ones."""
    credentials = aws.account.identities.of_instance("i-1")
    assert aws.account.identities.of_instance("i-1") == credentials
    aws.account.identities.expire()
    with refused("RequestExpired"):
        connect("ec2", credentials).describe_route_tables()
    with refused("ExpiredToken"):
        connect("sts", credentials).get_caller_identity()
    connect("ec2", aws.account.identities.of_instance("i-1")).describe_route_tables()


def test_expiry_without_renewal(aws: RunningAws, connect: Callable[..., Any]) -> None:
    """IMDS can go on to hand out credentials that have expired, until it has new ones."""
    identities = aws.account.identities
    known = identities.of_instance("i-1")
    identities.expire(renew=False)
    assert identities.of_instance("i-1").access_key_id == known.access_key_id
    for name in ("i-1", "i-2"):
        with refused("RequestExpired", "Request has expired."):
            connect("ec2", identities.of_instance(name)).describe_route_tables()
    identities.renew()
    connect("ec2", identities.of_instance("i-1")).describe_route_tables()
    connect("ec2", identities.of_instance("i-2")).describe_route_tables()


def test_code_of_expiry(aws: RunningAws, connect: Callable[..., Any]) -> None:
    """The error code that expired credentials are answered with can be another one."""
    credentials = aws.account.identities.of_instance("i-1")
    aws.account.identities.expire()
    aws.account.identities.expired_codes["ec2"] = "ExpiredToken"
    with refused("ExpiredToken", "The security token included in the request is expired"):
        connect("ec2", credentials).describe_route_tables()


def test_policy(aws: RunningAws, connect: Callable[..., Any]) -> None:
    """What the role's policy does not allow is UnauthorizedOperation, worded like IAM; DryRun says the same."""
    first, second = aws.account.route_table_ids[:2]
    arn = f"arn:aws:ec2:eu-central-1:123456789012:route-table/{first}"
    aws.account.identities.restrict_instances(
        policy((["ec2:CreateRoute"], [arn]), (["ec2:DescribeRouteTables"], ["*"]))
    )
    ec2 = connect("ec2", aws.account.identities.of_instance("i-1"))
    target = aws.account.instance("node1").network_interface_id
    route = {"DestinationCidrBlock": OVERLAY, "NetworkInterfaceId": target}
    ec2.describe_route_tables()
    with refused("DryRunOperation"):
        ec2.create_route(RouteTableId=first, DryRun=True, **route)
    ec2.create_route(RouteTableId=first, **route)
    for dry in (False, True):
        with refused(
            "UnauthorizedOperation",
            "User: arn:aws:sts::123456789012:assumed-role/lab-node/i-1 is not authorized to perform: ec2:CreateRoute "
            f"on resource: arn:aws:ec2:eu-central-1:123456789012:route-table/{second} because no identity-based",
        ):
            ec2.create_route(RouteTableId=second, DryRun=dry, **route)
    with refused("UnauthorizedOperation"):
        ec2.replace_route(RouteTableId=first, **route)
    with refused("UnauthorizedOperation"):
        ec2.describe_instances()
    assert aws.account.routes_to(OVERLAY)[second] is None


def test_unknown_policy_elements() -> None:
    """A policy with what the lab does not know is refused, not half understood."""
    with pytest.raises(ValueError, match="Condition"):
        Policy.from_document(
            {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Bool": {}}}}
        )
    with pytest.raises(ValueError, match="Allow"):
        Policy.from_document({"Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]})


def test_assume_role(aws: RunningAws, connect: Callable[..., Any]) -> None:
    """A role is assumed by whom it trusts; all else is AccessDenied."""
    sts = connect("sts", aws.account.identities.of_instance("i-1"))
    request = {"RoleArn": ROLE, "RoleSessionName": "cluster"}
    with refused("AccessDenied", "is not authorized to perform: sts:AssumeRole on resource: " + ROLE):
        sts.assume_role(**request)
    aws.account.identities.put_role(Role(ROLE, trusted_accounts=frozenset({"999999999999"})))
    with refused("AccessDenied"):
        sts.assume_role(**request)
    aws.account.identities.put_role(Role(ROLE, trusted_accounts=frozenset({"123456789012"})))
    answer = sts.assume_role(**request)
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{OWNER}:assumed-role/overlay/cluster"
    aws.account.identities.restrict_instances(policy((["ec2:*"], ["*"])))
    with refused("AccessDenied"):
        sts.assume_role(**request)


def test_shared_vpc() -> None:
    """In a shared VPC the tables are seen and changed only with the owner's role, and no instance id shows."""
    with running_aws(shared_vpc_owner=OWNER) as aws:
        aws.account.identities.put_role(Role(ROLE, trusted_accounts=frozenset({"123456789012"})))
        own = aws.account.identities.of_instance("i-1")
        table, node = aws.account.route_table_ids[0], aws.account.instance("node1")
        aws.account.put_route(OVERLAY, "node2")
        participant = client(aws, "ec2", own)
        assert participant.describe_route_tables()["RouteTables"] == []
        with refused("InvalidRouteTableID.NotFound"):
            participant.describe_route_tables(RouteTableIds=[table])
        route = {
            "RouteTableId": table,
            "DestinationCidrBlock": OVERLAY,
            "NetworkInterfaceId": node.network_interface_id,
        }
        with refused("InvalidRouteTableID.NotFound"):
            participant.replace_route(**route)
        sts = client(aws, "sts", own)
        made = sts.assume_role(RoleArn=ROLE, RoleSessionName="cluster")["Credentials"]
        import boto3

        owner = boto3.client(
            "ec2",
            region_name="eu-central-1",
            endpoint_url=aws.ec2_url,
            aws_access_key_id=made["AccessKeyId"],
            aws_secret_access_key=made["SecretAccessKey"],
            aws_session_token=made["SessionToken"],
        )
        owner.replace_route(**route)
        (described,) = owner.describe_route_tables(RouteTableIds=[table])["RouteTables"]
        assert described["OwnerId"] == OWNER
        shown = [one for one in described["Routes"] if one.get("DestinationCidrBlock") == OVERLAY]
        assert shown == [
            {
                "DestinationCidrBlock": OVERLAY,
                "NetworkInterfaceId": node.network_interface_id,
                "InstanceOwnerId": "123456789012",
                "Origin": "CreateRoute",
                "State": "active",
            }
        ]
        for one in (participant, sts, owner):
            one.close()


def test_other_partition() -> None:
    """In another partition, ARNs and the metadata say so."""
    from dataclasses import replace

    plan = replace(
        Plan(),
        region="cn-north-1",
        subnets=tuple(
            replace(one, availability_zone="cn-north-1" + one.availability_zone[-1]) for one in Plan().subnets
        ),
    )
    with running_aws(plan) as aws:
        token = requests.put(
            aws.imds_url + "/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"}, timeout=5
        ).text
        path = "/latest/meta-data/services/partition"
        answer = requests.get(aws.imds_url + path, headers={"X-aws-ec2-metadata-token": token}, timeout=5)
        assert answer.text == "aws-cn"
        sts = client(aws, "sts", aws.account.identities.of_instance("i-1"))
        assert sts.get_caller_identity()["Arn"].startswith("arn:aws-cn:sts::")
        sts.close()
