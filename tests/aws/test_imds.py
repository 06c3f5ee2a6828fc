"""The instance metadata service, asked over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import requests

from vpc_lab.ec2 import EVERY_INSTANCE, Fault, RunningAws, Timing
from vpc_lab.waiting import eventually

from .conftest import EC2Client

TTL = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}


class Metadata:
    """A client with a session token."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self.token = self.put(TTL).text

    def put(self, headers: dict[str, str], path: str = "/latest/api/token") -> requests.Response:
        return self.session.put(self.url + path, headers=headers, timeout=2)

    def ask(self, path: str, token: str | None = None, timeout: float = 2) -> requests.Response:
        headers = {"X-aws-ec2-metadata-token": self.token if token is None else token}
        return self.session.get(self.url + "/latest/" + path, headers=headers, timeout=timeout)

    def text(self, path: str) -> str:
        answer = self.ask("meta-data/" + path)
        assert answer.status_code == 200, path
        return answer.text


@pytest.fixture
def metadata(aws: RunningAws) -> Iterator[Metadata]:
    """A client on node1."""
    made = Metadata(aws.imds_url)
    yield made
    made.session.close()


def test_session_token(aws: RunningAws, metadata: Metadata) -> None:
    """Without a token, with a wrong one and with an expired one the answer is 401: there is no IMDSv1."""
    url = aws.imds_url + "/latest/meta-data/instance-id"
    assert metadata.session.get(url, timeout=2).status_code == 401
    assert metadata.ask("meta-data/instance-id", token="wrong").status_code == 401
    assert metadata.ask("meta-data/instance-id").text == aws.account.instance("node1").instance_id
    aws.imds.expire_tokens()
    assert metadata.ask("meta-data/instance-id").status_code == 401
    metadata.token = metadata.put(TTL).text
    assert metadata.ask("meta-data/instance-id").status_code == 200


def test_token_expires(metadata: Metadata) -> None:
    """A token is good for its lifetime only."""
    metadata.token = metadata.put({"X-aws-ec2-metadata-token-ttl-seconds": "1"}).text
    assert metadata.ask("meta-data/mac").status_code == 200
    eventually("the end of the token", lambda: metadata.ask("meta-data/mac").status_code == 401)


@pytest.mark.parametrize("seconds", ["0", "21601", "-1", "many", ""])
def test_token_lifetime(metadata: Metadata, seconds: str) -> None:
    """A token's lifetime is 1 to 21600 seconds; otherwise 400."""
    assert metadata.put({"X-aws-ec2-metadata-token-ttl-seconds": seconds}).status_code == 400
    assert metadata.put({}).status_code == 400


def test_forwarded(metadata: Metadata) -> None:
    """A token request that went through a proxy is refused."""
    assert metadata.put({**TTL, "X-Forwarded-For": "192.0.2.1"}).status_code == 403


def test_tree(aws: RunningAws, metadata: Metadata) -> None:
    """The instance finds its own facts; inner nodes are listings; what is unknown is 404."""
    node = aws.account.instance("node1")
    assert metadata.text("mac") == node.mac
    assert metadata.text("local-ipv4") == "10.0.1.11"
    assert metadata.text("placement/region") == "eu-central-1"
    assert metadata.text("placement/availability-zone") == "eu-central-1a"
    assert metadata.text("network/interfaces/macs/") == node.mac + "/"
    base = f"network/interfaces/macs/{node.mac}/"
    assert metadata.text(base + "interface-id") == node.network_interface_id
    assert metadata.text(base + "device-number") == "0"
    assert metadata.text(base + "subnet-ipv4-cidr-block") == "10.0.1.0/24"
    assert metadata.text(base + "vpc-ipv4-cidr-blocks") == "10.0.0.0/16"
    assert metadata.text(base + "ipv6s") == "2001:db8:1000:1::b"
    assert "interface-id" in metadata.text(base).split("\n")
    assert metadata.ask("meta-data/nonsense").status_code == 404
    assert metadata.ask("meta-data/network/interfaces/macs/02:00:00:00:00:00/").status_code == 404
    document = json.loads(metadata.ask("dynamic/instance-identity/document").text)
    assert (document["instanceId"], document["region"]) == (node.instance_id, "eu-central-1")


def test_role_credentials(aws: RunningAws, metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real SDK gets the role's credentials and its Region from here and calls EC2 with them."""
    aws.account.identities.enforce = True
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    assert metadata.text("iam/security-credentials/") == "lab-node"
    ec2: Any = boto3.Session().client("ec2", region_name="eu-central-1")
    ec2.describe_route_tables()
    ec2.close()
    (call,) = aws.calls("DescribeRouteTables")
    node = aws.account.instance("node1")
    assert call.principal == f"arn:aws:sts::123456789012:assumed-role/lab-node/{node.instance_id}"


def test_no_role(aws: RunningAws) -> None:
    """An instance without a role has no `iam`."""
    aws.imds._who = lambda caller: "consumer-a"  # the loopback caller is node1 otherwise
    consumer = Metadata(aws.imds_url)
    assert consumer.ask("meta-data/iam/security-credentials/").status_code == 404
    assert consumer.text("local-ipv4") == "10.0.1.101"
    consumer.session.close()


def test_foreign_token(aws: RunningAws, metadata: Metadata) -> None:
    """Another instance's token is worth nothing."""
    aws.imds._who = lambda caller: "node2"
    assert metadata.ask("meta-data/instance-id").status_code == 401


@pytest.mark.parametrize("whose", ["node1", EVERY_INSTANCE])
def test_disabled(aws: RunningAws, ec2: EC2Client, metadata: Metadata, whose: str) -> None:
    """With the metadata endpoint off, of one instance or of all, everything is 403; DescribeInstances says so."""
    aws.account.imds_disabled.add(whose)
    assert metadata.put(TTL).status_code == 403
    assert metadata.ask("meta-data/instance-id").status_code == 403
    off = [
        one.name
        for one in aws.account.instances()
        for reservation in ec2.describe_instances(InstanceIds=[one.instance_id])["Reservations"]
        if reservation["Instances"][0]["MetadataOptions"]["HttpEndpoint"] == "disabled"
    ]
    assert off == (["node1"] if whose == "node1" else [one.name for one in aws.account.instances()])
    aws.account.imds_disabled.clear()
    assert metadata.ask("meta-data/instance-id").status_code == 200


def test_another_instance_is_disabled(aws: RunningAws, metadata: Metadata) -> None:
    """An instance whose endpoint is off does not concern the others."""
    aws.account.imds_disabled.add("node2")
    assert metadata.ask("meta-data/instance-id").status_code == 200


def test_hop_limit(aws: RunningAws, metadata: Metadata) -> None:
    """A hop limit of 1, as a container meets it: the answer to the token request never arrives."""
    aws.faults.add(Fault("hang", service="imds", action="/latest/api/token"))
    with pytest.raises(requests.Timeout):
        metadata.session.put(aws.imds_url + "/latest/api/token", headers=TTL, timeout=0.3)
    assert metadata.ask("meta-data/instance-id").status_code == 200


def test_faults(aws: RunningAws, metadata: Metadata) -> None:
    """503, an empty answer, a hang and a reset can be had for a path, and the log knows."""
    path = "/latest/meta-data/mac"
    aws.faults.add(Fault("error", service="imds", action=path, status=503, times=1))
    assert metadata.ask("meta-data/mac").status_code == 503
    assert metadata.ask("meta-data/mac").status_code == 200
    aws.faults.add(Fault("empty", service="imds", action=path, times=1))
    assert metadata.ask("meta-data/mac").text == ""
    aws.faults.add(Fault("hang", service="imds", action="/latest/meta-data/*", times=1))
    with pytest.raises(requests.Timeout):
        metadata.ask("meta-data/mac", timeout=0.3)
    aws.faults.add(Fault("reset", service="imds", times=1))
    with pytest.raises(requests.ConnectionError):
        metadata.ask("meta-data/mac")
    assert [call.outcome for call in aws.calls(path)] == [
        "fault:error",
        "ok",
        "fault:empty",
        "fault:hang",
        "fault:reset",
    ]
    aws.imds.overrides[path] = None
    assert metadata.ask("meta-data/mac").status_code == 404


def test_ec2_faults_spare_imds(aws: RunningAws, metadata: Metadata) -> None:
    """A fault of EC2 is not one of IMDS."""
    aws.faults.add(Fault("error", service="ec2"))
    assert metadata.ask("meta-data/mac").status_code == 200


def test_new_interface_lags(aws: RunningAws, ec2: EC2Client, metadata: Metadata) -> None:
    """A newly attached ENI shows after the lag only, although EC2 already calls it attached."""
    node = aws.account.instance("node1")
    made = ec2.create_network_interface(SubnetId=node.subnet.subnet_id)["NetworkInterface"]
    aws.account.timing = Timing(imds_interface_lag=3600)
    ec2.attach_network_interface(
        DeviceIndex=1, InstanceId=node.instance_id, NetworkInterfaceId=made["NetworkInterfaceId"]
    )
    assert metadata.text("network/interfaces/macs/") == node.mac + "/"
    aws.account.timing = Timing()
    base = f"network/interfaces/macs/{made['MacAddress']}/"
    assert metadata.text(base + "interface-id") == made["NetworkInterfaceId"]
    assert metadata.text(base + "device-number") == "1"
