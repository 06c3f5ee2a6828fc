"""The server itself: keep-alive, many at once, TLS under the real names."""

from __future__ import annotations

import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox import ip, need_root, network_namespace
from vpc_lab.ec2 import Fault, RunningAws, http, running_aws
from vpc_lab.ec2.account import Account
from vpc_lab.ec2.http import HttpServer
from vpc_lab.ec2.reply import Reply, Transport
from vpc_lab.ec2.running import start_aws
from vpc_lab.ec2.tls import make_certificates
from vpc_lab.topology import topology_for
from vpc_lab.waiting import eventually

from .conftest import OVERLAY, client, refused

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


@pytest.mark.parametrize("transport", ["send", "hang"])
def test_a_caller_that_loses_its_power(monkeypatch: pytest.MonkeyPatch, transport: Transport) -> None:
    """Its connections end, and their threads, although it never says so: also one that is not answered on purpose."""
    need_root()
    monkeypatch.setattr(http, "_GONE", 2)
    reply = Reply(200, b"here", transport=transport)
    with network_namespace():
        ip("link", "set", "dev", "lo", "up")
        with closing(HttpServer(lambda _: reply, [("127.0.0.1", 0)])) as server:
            connection = HTTPConnection(*server.addresses[0], timeout=5)
            connection.request("GET", "/")
            if transport == "send":
                assert connection.getresponse().read() == b"here"
            eventually("a thread for it", serving)
            ip("link", "set", "dev", "lo", "down")
            eventually("no thread for it", lambda: not serving(), 20)
            connection.close()


def serving() -> bool:
    """Whether a connection is open."""
    return any(thread.name == "aws-connection" for thread in threading.enumerate())


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
    with running_aws(topology_for(extra_route_tables=248)) as aws:
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
        eventually("all the calls", lambda: len(aws.calls("DescribeRouteTables")) == 250)
        assert requests.post(aws.ec2_url, DESCRIBE, headers=FORM, timeout=5).status_code == 200


def test_tls(tmp_path: Path) -> None:
    """With the lab's own authority the API is served under its real names; the key is its owner's alone."""
    certificates = make_certificates(tmp_path / "tls", [*topology_for().api_host_names(), "127.0.0.1"])
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
    account = Account(topology_for())
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
        eventually("the call", lambda: bool(aws.calls("DescribeRouteTables")))
        aws.close()
        with pytest.raises(requests.ConnectionError):
            hanging.result(timeout=10)


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
