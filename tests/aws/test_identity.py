"""STS and as much of IAM as a resource agent meets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Dict, List

import pytest
import requests
from botocore.exceptions import ClientError

from vpc_lab.ec2 import Policy, Role, RunningAws, running_aws
from vpc_lab.topology import topology_for

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


EVERYTHING = {"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"Condition": {"Bool": {"aws:SecureTransport": "true"}}}, "Bool on aws:SecureTransport"),
        ({"Condition": {"StringEquals": {"aws:RequestedRegion": "eu-central-1"}}}, "aws:RequestedRegion"),
        ({"NotAction": "ec2:*"}, "NotAction"),
        ({"Effect": "Maybe"}, "Maybe"),
    ],
)
def test_unknown_policy_elements(changed: dict[str, Any], named: str) -> None:
    """A policy with what the lab does not know is refused, not half understood."""
    with pytest.raises(ValueError, match=named):
        Policy.from_document({"Statement": {**EVERYTHING, **changed}})


class Replacing:
    """node1's session of its role, which tries ReplaceRoute in its own table."""

    def __init__(self, aws: RunningAws, connect: Callable[..., Any]) -> None:
        self.aws = aws
        self.table = aws.account.instance("node1").subnet.route_table_id
        self.arn = f"arn:aws:ec2:eu-central-1:123456789012:route-table/{self.table}"
        self.ec2 = connect("ec2", aws.account.identities.of_instance("i-1"))
        aws.account.put_route(OVERLAY, "node2")

    def allow(self, *statements: dict[str, Any]) -> None:
        """The role has these statements."""
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        self.aws.account.identities.restrict_instances(Policy.from_document(document))

    def tag(self, **tags: str) -> None:
        """The table has these tags too."""
        self.aws.api.administer(
            "CreateTags",
            **{"ResourceId.1": self.table},
            **{f"Tag.{number}.Key": key for number, key in enumerate(tags, 1)},
            **{f"Tag.{number}.Value": value for number, value in enumerate(tags.values(), 1)},
        )

    def replace(self) -> None:
        """ReplaceRoute."""
        target = self.aws.account.instance("node1").network_interface_id
        self.ec2.replace_route(RouteTableId=self.table, DestinationCidrBlock=OVERLAY, NetworkInterfaceId=target)

    def denied(self, why: str) -> None:
        """ReplaceRoute is denied, in EC2's words."""
        user = "arn:aws:sts::123456789012:assumed-role/lab-node/i-1"
        with refused(
            "UnauthorizedOperation",
            f"You are not authorized to perform this operation. User: {user} is not authorized to perform: "
            f"ec2:ReplaceRoute on resource: {self.arn} {why}. Encoded authorization failure message: ",
        ):
            self.replace()


@pytest.fixture
def replacing(aws: RunningAws, connect: Callable[..., Any]) -> Replacing:
    """A role that is to be restricted."""
    return Replacing(aws, connect)


def test_implicit_deny(replacing: Replacing) -> None:
    """What no statement allows is denied, and the message says so."""
    replacing.allow({"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"})
    replacing.denied("because no identity-based policy allows the ec2:ReplaceRoute action")


def test_explicit_deny(replacing: Replacing) -> None:
    """A Deny wins over every Allow, in any order, on its own resources only; the message names it."""
    deny = {"Effect": "Deny", "Action": "ec2:ReplaceRoute", "Resource": replacing.arn}
    for statements in ((deny, EVERYTHING), (EVERYTHING, deny)):
        replacing.allow(*statements)
        replacing.denied("with an explicit deny in an identity-based policy")
    replacing.allow({**deny, "Resource": "arn:aws:ec2:*:*:route-table/rtb-1"}, EVERYTHING)
    replacing.replace()


def test_service_control_policy(aws: RunningAws, replacing: Replacing) -> None:
    """The account's service control policy limits what its roles may do; administrators are spared."""
    identities = aws.account.identities
    deny = {"Effect": "Deny", "Action": "ec2:ReplaceRoute", "Resource": "*"}
    identities.service_control_policy = Policy.from_document({"Statement": [EVERYTHING, deny]})
    replacing.denied("with an explicit deny in a service control policy")
    identities.service_control_policy = Policy(())
    replacing.denied("because no service control policy allows the ec2:ReplaceRoute action")
    aws.api.administer("DescribeVpcs")
    identities.service_control_policy = None
    replacing.replace()


@pytest.mark.parametrize("key", ["aws:ResourceTag/Cluster", "ec2:ResourceTag/Cluster", "ec2:ResourceTag/cluster"])
@pytest.mark.parametrize(
    ("operator", "value", "without", "matching", "other"),
    [
        ("StringEquals", "hana", False, True, False),
        ("StringEquals", ["x", "hana"], False, True, False),
        ("StringEquals", "ha*", False, False, False),
        ("StringLike", "ha*", False, True, False),
        ("StringNotEquals", "hana", True, False, True),
        ("StringNotLike", "ha*", True, False, True),
    ],
)
def test_condition(
    replacing: Replacing, key: str, operator: str, value: Any, without: bool, matching: bool, other: bool
) -> None:
    """A Condition decides by the tags that the resource has at that moment."""
    replacing.allow({**EVERYTHING, "Condition": {operator: {key: value}}})

    def allowed() -> bool:
        denied = None
        try:
            replacing.replace()
        except ClientError as error:
            denied = error.response["Error"]["Code"]
        assert denied in (None, "UnauthorizedOperation")
        return denied is None

    found = [allowed()]
    for cluster in ("hana", "ascs"):
        replacing.tag(Owner="hana", Cluster=cluster)
        found.append(allowed())
    assert found == [without, matching, other]


def test_deny_by_tag(replacing: Replacing) -> None:
    """A Deny with a Condition denies what is tagged so, and nothing else."""
    deny = {"Effect": "Deny", "Action": "*", "Resource": "*"}
    replacing.allow(EVERYTHING, {**deny, "Condition": {"StringEquals": {"aws:ResourceTag/Cluster": "hana"}}})
    replacing.replace()
    replacing.tag(Cluster="hana")
    replacing.denied("with an explicit deny in an identity-based policy")


@pytest.mark.parametrize(
    "narrow",
    [
        {"Resource": "arn:aws:ec2:*:*:*"},
        {"Condition": {"StringLike": {"aws:ResourceTag/Name": "*"}}},
    ],
)
def test_no_resource_level(replacing: Replacing, narrow: dict[str, Any]) -> None:
    """A Describe has no resource-level permissions: a statement with an ARN or a condition on tags never allows it."""
    replacing.allow({**EVERYTHING, **narrow})
    replacing.replace()
    with pytest.raises(ClientError) as caught:
        replacing.ec2.describe_route_tables(RouteTableIds=[replacing.table])
    message = caught.value.response["Error"]["Message"]
    assert message.endswith(
        "is not authorized to perform: ec2:DescribeRouteTables because no identity-based policy allows the "
        "ec2:DescribeRouteTables action"
    )
    eni = replacing.aws.account.instance("node1").network_interface_id
    with refused("UnauthorizedOperation"):
        replacing.ec2.describe_network_interface_attribute(NetworkInterfaceId=eni, Attribute="sourceDestCheck")


def test_every_resource_counts(aws: RunningAws, connect: Callable[..., Any]) -> None:
    """AttachNetworkInterface needs permission for the instance as well as for the ENI; the one that lacks is named."""
    node = aws.account.instance("node1")
    ec2 = connect("ec2", aws.account.identities.of_instance("i-1"))
    eni = "arn:aws:ec2:eu-central-1:123456789012:network-interface/*"
    aws.account.identities.restrict_instances(policy((["ec2:AttachNetworkInterface"], [eni])))
    with refused("UnauthorizedOperation", f":instance/{node.instance_id}"):
        ec2.attach_network_interface(
            DeviceIndex=1, InstanceId=node.instance_id, NetworkInterfaceId=node.network_interface_id
        )


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
    deny = {"Effect": "Deny", "Action": "sts:AssumeRole", "Resource": "*"}
    aws.account.identities.restrict_instances(Policy.from_document({"Statement": deny}))
    with refused("AccessDenied", f"on resource: {ROLE} with an explicit deny in an identity-based policy"):
        sts.assume_role(**request)


def test_an_external_id(aws: RunningAws, connect: Callable[..., Any]) -> None:
    """A role whose trust policy has a condition on sts:ExternalId is assumed only with that one."""
    sts = connect("sts", aws.account.identities.of_instance("i-1"))
    role = Role(ROLE, trusted_accounts=frozenset({"123456789012"}), external_id="of-the-owner")
    aws.account.identities.put_role(role)
    for given in ({}, {"ExternalId": "of-another"}):
        with refused("AccessDenied", "is not authorized to perform: sts:AssumeRole on resource: " + ROLE):
            sts.assume_role(RoleArn=ROLE, RoleSessionName="cluster", **given)
    sts.assume_role(RoleArn=ROLE, RoleSessionName="cluster", ExternalId="of-the-owner")
    assert "of-the-owner" not in repr(role)


def test_session_tags(aws: RunningAws, connect: Callable[..., Any]) -> None:
    """A role whose trust policy, or a caller whose own policy, does not allow sts:TagSession: the whole call fails."""
    sts = connect("sts", aws.account.identities.of_instance("i-1"))
    request = {"RoleArn": ROLE, "RoleSessionName": "cluster", "Tags": [{"Key": "of:cluster", "Value": "a b"}]}
    aws.account.identities.put_role(Role(ROLE, trusted_accounts=frozenset({"123456789012"})))
    with refused("AccessDenied", "is not authorized to perform: sts:TagSession on resource: " + ROLE):
        sts.assume_role(**request)
    aws.account.identities.put_role(Role(ROLE, trusted_accounts=frozenset({"123456789012"}), may_be_tagged=True))
    sts.assume_role(**request)
    for tag in ({"Key": "of:cluster", "Value": "a\nb;c"}, {"Key": "k", "Value": "x" * 257}):
        with refused("ValidationError"):
            sts.assume_role(**{**request, "Tags": [tag]})
    with refused("InvalidParameterValue"):
        sts.assume_role(**{**request, "Tags": [{"Key": "aws:cluster", "Value": "a"}]})
    aws.account.identities.restrict_instances(policy((["sts:AssumeRole"], ["*"])))
    with refused("AccessDenied", "sts:TagSession"):
        sts.assume_role(**request)


def test_shared_vpc() -> None:
    """In a shared VPC the tables are seen and changed only with the owner's role, and no instance id shows."""
    with running_aws(topology_for(shared_vpc_owner=OWNER)) as aws:
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
    with running_aws(topology_for(region="cn-north-1")) as aws:
        token = requests.put(
            aws.imds_url + "/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"}, timeout=5
        ).text
        path = "/latest/meta-data/services/partition"
        answer = requests.get(aws.imds_url + path, headers={"X-aws-ec2-metadata-token": token}, timeout=5)
        assert answer.text == "aws-cn"
        sts = client(aws, "sts", aws.account.identities.of_instance("i-1"))
        assert sts.get_caller_identity()["Arn"].startswith("arn:aws-cn:sts::")
        sts.close()


@pytest.mark.parametrize(("value", "allowed"), [("false", True), ("true", False), (["true", "false"], True)])
def test_condition_on_an_attribute(aws: RunningAws, connect: Callable[..., Any], value: Any, allowed: bool) -> None:
    """ec2:Attribute/SourceDestCheck is the value that a request gives; one that changes another attribute has none.

    EC2's answers to AppMana/cloud-provisioning, docs/validation/aws-gateway-source-check-results.json.
    """
    condition = {"StringEquals": {"ec2:Attribute/SourceDestCheck": value}}
    aws.account.identities.restrict_instances(
        Policy.from_document({"Statement": {**EVERYTHING, "Condition": condition}})
    )
    ec2 = connect("ec2", aws.account.identities.of_instance("i-1"))
    eni = aws.account.instance("node1").network_interface_id
    asked: List[Dict[str, Any]] = [{"SourceDestCheck": {"Value": False}}, {"Description": {"Value": "mine"}}]
    for attribute, code in zip(
        asked, ("DryRunOperation" if allowed else "UnauthorizedOperation", "UnauthorizedOperation")
    ):
        with refused(code):
            ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, DryRun=True, **attribute)


@pytest.mark.parametrize("operator", ["StringEquals", "ArnEquals", "ArnLike"])
def test_condition_on_the_vpc(aws: RunningAws, replacing: Replacing, operator: str) -> None:
    """ec2:Vpc is the ARN of the VPC that the resource is in; the operators for ARNs know wildcards."""
    vpc = aws.account.world.vpc.vpc_id
    right = f"arn:aws:ec2:eu-central-1:123456789012:vpc/{vpc}"
    replacing.allow({**EVERYTHING, "Condition": {operator: {"ec2:Vpc": right}}})
    replacing.replace()
    replacing.allow({**EVERYTHING, "Condition": {operator: {"ec2:Vpc": right.replace(vpc, "vpc-01234567")}}})
    replacing.denied("because no identity-based policy allows the ec2:ReplaceRoute action")
    replacing.allow({**EVERYTHING, "Condition": {operator: {"ec2:Vpc": right.replace("eu-central-1", "*")}}})
    if operator == "StringEquals":
        replacing.denied("because no identity-based policy allows the ec2:ReplaceRoute action")
    else:
        replacing.replace()
