"""aws/session.py: where credentials come from, and what goes through a proxy."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Callable, Iterator, List, Optional

import pytest

from aws_ipfailover.aws.client import Ec2
from aws_ipfailover.aws.imds import Imds
from aws_ipfailover.aws.session import Account, ec2_calls
from aws_ipfailover.deadline import Deadline, Progress
from aws_ipfailover.errors import Error, UnknownError
from aws_ipfailover.output import line
from sandbox import proxy, serving
from vpc_lab.ec2 import Fault, Role, RunningAws, running_aws


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[RunningAws]:
    """An AWS that this process's SDK is led to; credentials are the instance's own."""
    with running_aws() as aws:
        for name in [name for name in os.environ if name.startswith("AWS_") or name.lower() == "no_proxy"]:
            monkeypatch.delenv(name)
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("HA_RSCTMP", str(tmp_path))
        # What the library sets for the process ends with the test.
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)
        yield aws


def connect(aws: RunningAws, imds: Optional[Imds] = None, seconds: float = 20.0, profile: Optional[str] = None) -> Ec2:
    """Our client of EC2 on node1."""
    region, deadline = aws.account.topology.region, Deadline(seconds)
    metadata = imds or Imds(aws.imds_url, deadline)
    return Ec2(ec2_calls(Account(region, profile), deadline, metadata, Progress("")), region)


def ask(aws: RunningAws, ec2: Ec2) -> None:
    """Ask EC2 something."""
    eni = aws.account.instance("node1").network_interface_id
    assert ec2.network_interface(eni).network_interface_id == eni


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_no_proxy_for_any_host_stays_so(aws: RunningAws, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """`NO_PROXY=*` goes on meaning all hosts: IMDS is not appended to it, and nothing goes through the proxy."""
    with proxy() as (url, through):
        monkeypatch.setenv("HTTP_PROXY", url)
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.setenv(name, "*")
        ask(aws, connect(aws))
        assert os.environ[name] == "*"
        assert through == []


def test_imds_never_goes_through_a_proxy(aws: RunningAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in NO_PROXY stays, IMDS is added to it for the SDK's own requests, and EC2 is asked through the proxy."""
    monkeypatch.setenv("NO_PROXY", "example.com")
    with proxy() as (url, through):
        monkeypatch.setenv("http_proxy", url)
        with pytest.raises(UnknownError):
            ask(aws, connect(aws, seconds=1.0))
        assert {target.split("/")[2] for target in through} == {aws.ec2_url.split("/")[2]}
    assert os.environ["NO_PROXY"] == f"example.com,{aws.imds_url.split('/')[2]}"


def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


def test_with_credentials_imds_is_dispensable(aws: RunningAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """What IMDS tells, EC2 can tell too, once there are credentials: by the instance's role, or of the node's own."""
    imds = Imds(aws.imds_url, Deadline(20))
    assert not imds.is_dispensable
    connect(aws, imds)
    assert imds.is_dispensable
    asked = len(aws.calls())
    keys(monkeypatch)
    imds = Imds(aws.imds_url, Deadline(20))
    connect(aws, imds)
    assert imds.is_dispensable
    assert len(aws.calls()) == asked


def test_expired_credentials_of_the_instance_are_fetched_anew(aws: RunningAws) -> None:
    """ "Credentials that expired are fetched anew once", from IMDS; EC2 accepts the new ones."""
    ec2 = connect(aws)
    ask(aws, ec2)
    aws.imds.expire_tokens()
    aws.faults.add(Fault("error", action="DescribeNetworkInterfaces", code="RequestExpired", times=1))
    ask(aws, ec2)
    path = "/latest/meta-data/iam/security-credentials/lab-node"
    assert len(aws.calls(path)) == 2


def test_expired_credentials_without_imds_say_so(aws: RunningAws) -> None:
    """Where they cannot be fetched anew it is IMDS that is named."""
    ec2 = connect(aws, seconds=4.0)
    aws.imds.disabled.add("node1")
    aws.faults.add(Fault("error", action="DescribeNetworkInterfaces", code="RequestExpired"))
    with pytest.raises(Error, match="switched off"):
        ask(aws, ec2)


def test_no_credentials_at_all(aws: RunningAws) -> None:
    """Error, naming where they were looked for; nothing is asked of EC2."""
    aws.imds.overrides["/latest/meta-data/iam/security-credentials"] = None
    with pytest.raises(Error, match="no AWS credentials found"):
        connect(aws)
    ec2: List[str] = [call.action for call in aws.calls() if not call.action.startswith("/")]
    assert ec2 == []


def answering(body: str, status: int = 400) -> Callable[[socket.socket], None]:
    """A server that answers every request so."""
    lines = [f"HTTP/1.1 {status} Answer", f"Content-Length: {len(body)}", "Connection: close", "", ""]

    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(("\r\n".join(lines) + body).encode())

    return answer


@pytest.mark.parametrize(
    "body",
    [
        "<Response><Errors><Error/></Errors></Response>",
        "<Response><Errors></Errors></Response>",
        "<Response/>",
        "<html><body>Who are you?</body></html>",
    ],
)
@pytest.mark.parametrize("status", [200, 400])
def test_a_document_of_another_shape_is_no_answer(
    aws: RunningAws, monkeypatch: pytest.MonkeyPatch, body: str, status: int
) -> None:
    """botocore's parser ends some of them with a KeyError or the like: no defect of this package is reported."""
    with serving(answering(body, status)) as (host, port):
        monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", f"http://{host}:{port}")
        with pytest.raises(Error, match="DescribeNetworkInterfaces: ") as caught:
            ask(aws, connect(aws, seconds=4))
    assert "internal error" not in str(caught.value)


@pytest.mark.parametrize("result", ["", "<AssumeRoleResult/>", "<AssumeRoleResult><Credentials/></AssumeRoleResult>"])
def test_a_role_without_credentials_is_an_unknown(
    aws: RunningAws, monkeypatch: pytest.MonkeyPatch, result: str
) -> None:
    """STS's answer has none: UnknownError that names AssumeRole."""
    page = f"<AssumeRoleResponse>{result}</AssumeRoleResponse>"
    account = Account(aws.account.topology.region, role="arn:aws:iam::123456789012:role/tables")
    deadline = Deadline(1.0)
    with serving(answering(page, 200)) as (host, port):
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://{host}:{port}")
        with pytest.raises(UnknownError, match="AssumeRole: "):
            ec2_calls(account, deadline, Imds(aws.imds_url, deadline), Progress(""))


def test_keys_are_secret_before_they_are_used(aws: RunningAws) -> None:
    """Keys that were found are kept from all output before a request is signed with them: of the instance."""
    connect(aws)
    of_instance = aws.account.identities.of_instance(aws.account.instance("node1").instance_id)
    for text in (of_instance.access_key_id, of_instance.secret_access_key, of_instance.session_token or ""):
        assert line(text) == "***"


def test_keys_of_a_profile_are_secret_before_they_are_used(aws: RunningAws, tmp_path: Path) -> None:
    """Keys that were found are kept from all output before a request is signed with them: of a process."""
    answer = {"Version": 1, "AccessKeyId": "canaryOfAProcess01", "SecretAccessKey": "process-canary-5d07a9"}
    (tmp_path / "answer").write_text(json.dumps(answer))
    (tmp_path / "config").write_text(f"[profile cluster]\ncredential_process = /bin/cat {tmp_path / 'answer'}\n")
    connect(aws, profile="cluster")
    assert line("canaryOfAProcess01 process-canary-5d07a9") == "*** ***"


def test_keys_of_a_role_are_secret_before_they_are_used(aws: RunningAws) -> None:
    """Keys that were found are kept from all output before a request is signed with them: of a role."""
    arn = "arn:aws:iam::123456789012:role/canary"
    identities, region = aws.account.identities, aws.account.topology.region
    identities.put_role(Role(arn, None, frozenset({aws.account.topology.account_id})))
    before = set(identities._credentials)
    deadline = Deadline(20)
    ec2_calls(Account(region, role=arn), deadline, Imds(aws.imds_url, deadline), Progress(""))
    made = [key for name, key in identities._credentials.items() if name not in before and key.identity.role_arn == arn]
    assert made
    for key in made:
        assert line(f"{key.access_key_id} {key.secret_access_key} {key.session_token}") == "*** *** ***"
