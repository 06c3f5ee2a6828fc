"""Faults: each kind, whom it meets, how often, and what is logged."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.parsers import ResponseParserError

from aws_ipfailover.lab.aws import Fault, RunningAws

from .conftest import OVERLAY, EC2Client, refused


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("RequestLimitExceeded", 503),
        ("InternalError", 500),
        ("ServiceUnavailable", 503),
        ("UnauthorizedOperation", 403),
        ("AuthFailure", 401),
        ("RequestExpired", 400),
    ],
)
def test_error(aws: RunningAws, ec2: EC2Client, code: str, status: int) -> None:
    """An injected error has the real service's HTTP status and is logged with its code."""
    aws.faults.add(Fault("error", code=code))
    with pytest.raises(ClientError) as caught:
        ec2.describe_route_tables()
    answer = caught.value.response
    assert answer["Error"]["Code"] == code
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == status
    assert [(call.outcome, call.status) for call in aws.calls()] == [(code, status)]


def test_first_calls_only(aws: RunningAws, ec2: EC2Client) -> None:
    """A fault for the first N calls is used up after them, and other actions do not use it up."""
    aws.faults.add(Fault("error", action="DescribeRouteTables", times=2))
    for _ in range(2):
        ec2.describe_vpcs()
        with refused("InternalError"):
            ec2.describe_route_tables()
    ec2.describe_route_tables()
    assert aws.faults.current() == {}


def test_pattern_resource_caller(aws: RunningAws, ec2: EC2Client) -> None:
    """Faults can be meant for a pattern of actions, one resource, one caller."""
    first, second = aws.account.route_table_ids[:2]
    aws.faults.add(Fault("error", action="*Route", resource=second, code="UnauthorizedOperation"))
    aws.faults.add(Fault("error", caller="10.0.1.11"))
    target = aws.account.instance("node1").network_interface_id
    ec2.create_route(RouteTableId=first, DestinationCidrBlock=OVERLAY, NetworkInterfaceId=target)
    with refused("UnauthorizedOperation"):
        ec2.create_route(RouteTableId=second, DestinationCidrBlock=OVERLAY, NetworkInterfaceId=target)
    assert aws.account.routes_to(OVERLAY)[second] is None


@pytest.mark.parametrize(
    ("kind", "errors"),
    [
        ("hang", (ReadTimeoutError,)),
        ("reset", (ConnectionClosedError, HTTPClientError)),
        ("close", (ConnectionClosedError,)),
        ("refuse", (ConnectionClosedError, EndpointConnectionError, HTTPClientError)),
        ("html", (ClientError, ResponseParserError)),
        ("truncate", (IncompleteReadError, ResponseParserError, ResponseStreamingError, HTTPClientError)),
        ("empty", (ResponseParserError, KeyError)),
    ],
)
def test_broken_answers(
    aws: RunningAws, connect: Callable[..., Any], kind: Any, errors: tuple[type[Exception], ...]
) -> None:
    """Each way not to answer reaches the client as what it is, and ends with the fault."""
    ec2 = connect(read_timeout=0.5)
    number = aws.faults.add(Fault(kind))
    with pytest.raises(errors):
        ec2.describe_route_tables()["RouteTables"]
    aws.faults.remove(number)
    assert len(ec2.describe_route_tables()["RouteTables"]) == 5


@pytest.mark.parametrize("kind", ["reset", "refuse"])
def test_reset_is_one(aws: RunningAws, kind: Any) -> None:
    """A reset connection ends with RST and not with FIN."""
    aws.faults.add(Fault(kind))

    def ask() -> bytes:
        with socket.create_connection(aws.api_listener.addresses[0], 5) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: ec2.example\r\nContent-Length: 0\r\n\r\n")
            return connection.recv(1)

    with pytest.raises(ConnectionResetError):
        ask()


def test_effect_without_answer(aws: RunningAws, ec2: EC2Client) -> None:
    """A call can take effect although its answer is lost."""
    aws.faults.add(Fault("close", action="CreateRoute", after=True, times=1))
    with pytest.raises(ConnectionClosedError):
        ec2.create_route(
            RouteTableId=aws.account.route_table_ids[0],
            DestinationCidrBlock=OVERLAY,
            NetworkInterfaceId=aws.account.instance("node1").network_interface_id,
        )
    assert list(aws.account.routes_to(OVERLAY).values()).count(None) == 3
    assert [call.outcome for call in aws.calls("CreateRoute")] == ["fault:close"]


def test_latency(aws: RunningAws, ec2: EC2Client) -> None:
    """Latency delays the answer and nothing else."""
    aws.faults.add(Fault("latency", seconds=0.2))
    assert len(ec2.describe_route_tables()["RouteTables"]) == 5
    (call,) = aws.calls()
    assert call.outcome == "ok"
    assert call.duration is not None
    assert call.duration >= 0.2


def test_throttle(aws: RunningAws, ec2: EC2Client) -> None:
    """With the token buckets on, calls beyond an action's capacity are RequestLimitExceeded; other actions are not."""
    aws.throttle.enabled = True
    aws.throttle.override("DescribeRouteTables", capacity=2, refill=0)
    ec2.describe_route_tables()
    ec2.describe_route_tables()
    with refused("RequestLimitExceeded"):
        ec2.describe_route_tables()
    ec2.describe_vpcs()
    # DescribeInstances has a smaller bucket for calls with neither filter nor pagination.
    for _ in range(50):
        ec2.describe_instances()
    with refused("RequestLimitExceeded"):
        for _ in range(50):
            ec2.describe_instances()
    ec2.describe_instances(MaxResults=5)


def test_log(aws: RunningAws, ec2: EC2Client) -> None:
    """A call is logged with time, caller, key, Region, parameters and outcome, and without any secret."""
    ec2.describe_route_tables(RouteTableIds=[aws.account.route_table_ids[0]])
    (call,) = aws.calls("DescribeRouteTables")
    assert (call.service, call.caller, call.access_key_id, call.region) == (
        "ec2",
        "127.0.0.1",
        "AKIDEXAMPLE",
        "eu-central-1",
    )
    assert call.parameters["RouteTableId.1"] == aws.account.route_table_ids[0]
    assert (call.outcome, call.status) == ("ok", 200)
    assert "secret" not in str(call)
    assert aws.calls("DescribeRouteTables", caller="10.0.1.11") == ()
    aws.calls.clear()
    assert aws.calls() == ()
