"""The server itself: keep-alive, many at once, TLS under the real names, a process of its own."""

from __future__ import annotations

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import requests

from aws_ipfailover.lab.aws import Consistency, ControlError, Fault, RunningAws, aws_process, running_aws
from aws_ipfailover.lab.aws.account import Account
from aws_ipfailover.lab.aws.running import start_aws
from aws_ipfailover.lab.aws.tls import make_certificates
from aws_ipfailover.lab.plan import Plan

from .conftest import OVERLAY, client, eventually, refused

DESCRIBE = "Action=DescribeRouteTables&Version=2016-11-15"
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Host": "ec2.eu-central-1.amazonaws.com"}


def test_keep_alive(aws: RunningAws) -> None:
    """One connection serves many calls; without a credential scope the host name tells the service."""
    host, port = aws.api_listener.addresses[0]
    connection = HTTPConnection(host, port, timeout=5)
    connection.connect()
    socket = connection.sock
    for _ in range(3):
        connection.request("POST", "/", DESCRIBE, FORM)
        answer = connection.getresponse()
        assert answer.status == 200
        assert b"<routeTableSet>" in answer.read()
    assert connection.sock is socket
    connection.close()


def test_garbage_request(aws: RunningAws) -> None:
    """What is not HTTP, and services there are not, do no harm."""
    host, port = aws.api_listener.addresses[0]
    connection = HTTPConnection(host, port, timeout=5)
    connection.connect()
    connection.sock.sendall(b"what?\r\n\r\n")
    assert connection.sock.recv(100) == b""
    connection.close()
    answer = requests.post(aws.ec2_url, DESCRIBE, headers={**FORM, "Host": "s3.amazonaws.com"}, timeout=5)
    assert answer.status_code == 404


def test_many_at_once() -> None:
    """250 concurrent ReplaceRoute calls all succeed."""
    with running_aws(extra_route_tables=248) as aws:
        aws.account.put_route(OVERLAY, "node1")
        target = aws.account.instance("node2").network_interface_id
        ec2 = client(aws, max_pool_connections=250)

        def replace(table: str) -> Any:
            return ec2.replace_route(RouteTableId=table, DestinationCidrBlock=OVERLAY, NetworkInterfaceId=target)

        with ThreadPoolExecutor(250) as pool:
            list(pool.map(replace, aws.account.route_table_ids))
        assert set(aws.account.routes_to(OVERLAY).values()) == {target}
        assert len(aws.calls("ReplaceRoute")) == 250
        ec2.close()


def test_nobody_waits_for_others(aws: RunningAws) -> None:
    """250 calls that are never answered are all taken, and one more is answered meanwhile."""
    aws.faults.add(Fault("hang", times=250))
    with ExitStack() as stack:
        for _ in range(250):
            connection = stack.enter_context(closing(HTTPConnection(*aws.api_listener.addresses[0], timeout=5)))
            connection.request("POST", "/", DESCRIBE, FORM)
        eventually(lambda: len(aws.calls("DescribeRouteTables")) == 250)
        assert requests.post(aws.ec2_url, DESCRIBE, headers=FORM, timeout=5).status_code == 200


def test_tls(tmp_path: Path) -> None:
    """With the lab's own authority the API is served under its real names; the key is its owner's alone."""
    certificates = make_certificates(tmp_path / "tls", [*Plan().api_host_names(), "127.0.0.1"])
    assert stat.S_IMODE(certificates.key.stat().st_mode) == 0o600
    with running_aws(tls=certificates.server_context()) as aws:
        assert aws.ec2_url.startswith("https://127.0.0.1:")
        answer = requests.post(aws.ec2_url, DESCRIBE, headers=FORM, verify=str(certificates.authority), timeout=5)
        assert answer.status_code == 200
        with pytest.raises(requests.exceptions.SSLError):
            requests.post(aws.ec2_url, DESCRIBE, headers=FORM, timeout=5)
        port = aws.api_listener.addresses[0][1]
        name = "ec2.eu-central-1.amazonaws.com"
        with pytest.raises(requests.exceptions.SSLError):
            requests.post(
                f"https://localhost:{port}", DESCRIBE, headers=FORM, verify=str(certificates.authority), timeout=5
            )
        from urllib3 import HTTPSConnectionPool

        with HTTPSConnectionPool(
            "127.0.0.1", port, server_hostname=name, assert_hostname=name, ca_certs=str(certificates.authority)
        ) as pool:
            assert pool.request("POST", "/", body=DESCRIBE, headers=FORM).status == 200


def test_address_in_use() -> None:
    """An address that is taken is an error at once, and nothing is left listening."""
    account = Account(Plan())
    first = start_aws(account)
    try:
        taken = first.imds_listener.addresses[0]
        with pytest.raises(OSError, match="in use"):
            start_aws(account, imds_addresses=[taken])
    finally:
        first.close()


def test_close_ends_hanging_calls() -> None:
    """Closing ends calls that hang on purpose."""
    with running_aws() as aws, ThreadPoolExecutor(1) as pool:
        aws.faults.add(Fault("hang"))
        hanging = pool.submit(requests.post, aws.ec2_url, DESCRIBE, headers=FORM, timeout=30)
        eventually(lambda: bool(aws.calls("DescribeRouteTables")))
        aws.close()
        with pytest.raises(requests.ConnectionError):
            hanging.result(timeout=10)


def test_process() -> None:
    """An AWS in its own process is steered over its control socket."""
    with aws_process(extra_route_tables=1, macs={"node1": "02:00:5E:00:53:01"}) as aws:
        assert aws.instance("node1").mac == "02:00:5e:00:53:01"
        aws.put_route(OVERLAY, "node1")
        assert set(aws.routes_to(OVERLAY).values()) == {aws.instance("node1").network_interface_id}
        assert len(aws.route_table_ids) == 3
        aws.add_fault(Fault("error", code="RequestLimitExceeded", times=1))
        answer = requests.post(aws.ec2_url, DESCRIBE, headers=FORM, timeout=5)
        assert answer.status_code == 503
        assert [call.outcome for call in aws.calls("DescribeRouteTables")] == ["RequestLimitExceeded"]
        aws.set_consistency(Consistency(lag=3600))
        assert OVERLAY.encode() not in requests.post(aws.ec2_url, DESCRIBE, headers=FORM, timeout=5).content
        aws.set_source_dest_check("node1", True)
        aws.administer("StopInstances", InstanceId=aws.instance("node1").instance_id)
        with pytest.raises(ControlError, match="NotFound"):
            aws.administer("StopInstances", InstanceId="i-0123456789abcdef0")
        token = requests.put(
            aws.imds_url + "/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"}, timeout=5
        )
        assert token.status_code == 200


def test_process_is_steered() -> None:
    """An AWS in another process takes routes of any origin, deleted tables, policies, expiry and IMDS off as well."""
    with aws_process() as aws:
        first, second = aws.route_table_ids
        aws.put_route(OVERLAY, "node1", first)
        aws.put_route(OVERLAY, "node2", first, origin="Advertisement")
        aws.delete_route(OVERLAY, first, origin="CreateRoute")
        assert aws.routes_to(OVERLAY)[first] == aws.instance("node2").network_interface_id
        aws.put_route(OVERLAY, "node2", first, origin="Advertisement", state="filtered")
        assert aws.routes_to(OVERLAY)[first] is None
        aws.delete_route_table(first)
        assert aws.route_table_ids == (second,)
        url, headers = aws.imds_url + "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}

        def asked() -> requests.Response:
            """The role's credentials, from IMDS."""
            token = requests.put(url, headers=headers, timeout=5).text
            path = aws.imds_url + "/latest/meta-data/iam/security-credentials/lab-node"
            return requests.get(path, headers={"X-aws-ec2-metadata-token": token}, timeout=5)

        known = asked().json()["AccessKeyId"]
        aws.expire_credentials(renew=False)
        assert asked().json()["AccessKeyId"] == known
        aws.renew_credentials()
        keys = asked().json()
        assert keys["AccessKeyId"] != known
        aws.restrict_account({"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}})
        scope = f"Credential={keys['AccessKeyId']}/20260101/eu-central-1/ec2/aws4_request, SignedHeaders=host"
        signed = {**FORM, "Authorization": f"AWS4-HMAC-SHA256 {scope}", "X-Amz-Security-Token": keys["Token"]}
        answer = requests.post(aws.ec2_url, DESCRIBE, headers=signed, timeout=5)
        assert b"explicit deny in a service control policy" in answer.content
        aws.disable_metadata("*")
        assert requests.put(url, headers=headers, timeout=5).status_code == 403


def test_process_ends_with_its_parent(tmp_path: Path) -> None:
    """The process ends when its standard input does, as it does when the parent is killed."""
    command = [sys.executable, "-m", "aws_ipfailover.lab.aws", "--control", str(tmp_path / "control")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert b"ec2_url" in process.stdout.readline()
        process.stdin.close()
        assert process.wait(timeout=20) == 0


def test_process_that_cannot_start() -> None:
    """A process that cannot listen where it should is an error, not a wait."""
    with running_aws() as running:
        host, port = running.api_listener.addresses[0]
        with pytest.raises(ControlError), aws_process(api=[f"{host}:{port}"]):
            pass


def test_administrator(aws: RunningAws) -> None:
    """An administrator's call goes past faults and policies, and is logged as one."""
    aws.faults.add(Fault("error"))
    aws.api.administer("StopInstances", InstanceId=aws.account.instance("node1").instance_id)
    (call,) = aws.calls("StopInstances")
    assert (call.caller, call.outcome) == ("administrator", "ok")


def test_clients_errors_stay_outside(aws: RunningAws) -> None:
    """The whole error path holds for a call without parameters."""
    ec2 = client(aws)
    with refused("MissingParameter"):
        ec2._make_api_call("StopInstances", {"InstanceIds": []})
    ec2.close()
