"""Faults: each kind, whom it meets, how often, and what is logged."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
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

from vpc_lab.ec2 import Fault, Limit, Policy, RunningAws
from vpc_lab.waiting import eventually

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


def test_empty_set(aws: RunningAws, ec2: EC2Client) -> None:
    """The next N filtered Describes of a kind find nothing; calls without a filter and other kinds are spared."""
    table, vpc = aws.account.route_table_ids[0], aws.account.vpc_id
    filters: Any = [{"Name": "vpc-id", "Values": [vpc]}]
    aws.faults.add(Fault("empty_set", action="DescribeRouteTables", times=2))

    def found() -> int:
        return len(ec2.describe_route_tables(Filters=filters)["RouteTables"])

    assert len(ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]) == 1
    assert len(ec2.describe_route_tables()["RouteTables"]) == 5
    assert len(ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]) > 0
    assert [found(), found(), found()] == [0, 0, 5]
    outcomes = [(call.outcome, call.status) for call in aws.calls("DescribeRouteTables")]
    assert outcomes == [("ok", 200)] * 2 + [("fault:empty_set", 200)] * 2 + [("ok", 200)]


def test_empty_set_is_no_excuse(aws: RunningAws, connect: Callable[..., Any]) -> None:
    """A filtered Describe that is not permitted is refused, not answered with an empty set."""
    aws.faults.add(Fault("empty_set"))
    aws.account.identities.restrict_instances(Policy(()))
    with refused("UnauthorizedOperation"):
        connect("ec2", aws.account.identities.of_instance("i-1")).describe_instances(
            Filters=[{"Name": "vpc-id", "Values": [aws.account.vpc_id]}]
        )


def test_lasting(aws: RunningAws, ec2: EC2Client) -> None:
    """A fault that lasts so many seconds is over by itself, however often it was met: IncorrectState for a while."""
    aws.faults.add(Fault("error", action="DescribeVpcs", lasting=3600))
    aws.faults.add(Fault("error", action="Assign*", code="IncorrectState", lasting=0.3))
    eni = aws.account.instance("node1").network_interface_id
    with refused("IncorrectState", "incorrect state"):
        ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=["10.0.1.50"])
    eventually("the end of one fault", lambda: len(aws.faults.current()) == 1)
    ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=["10.0.1.50"])
    with refused("InternalError"):
        ec2.describe_vpcs()


@pytest.mark.parametrize("ahead", [-3600.0, 3600.0])
def test_clock(aws: RunningAws, connect: Callable[..., Any], ahead: float) -> None:
    """For a caller whose clock is off EC2 answers AuthFailure, STS SignatureDoesNotMatch; `Date` has their time."""
    aws.faults.add(Fault("clock", seconds=ahead))
    with pytest.raises(ClientError) as caught:
        connect().describe_route_tables()
    assert caught.value.response["Error"]["Code"] == "AuthFailure"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 401
    date = parsedate_to_datetime(caught.value.response["ResponseMetadata"]["HTTPHeaders"]["date"])
    assert abs(date.timestamp() - time.time() - ahead) < 60
    with refused("SignatureDoesNotMatch", "not yet current" if ahead < 0 else "Signature expired"):
        connect("sts").get_caller_identity()
    assert [call.outcome for call in aws.calls()] == ["AuthFailure", "SignatureDoesNotMatch"]


def test_clock_of_one_caller(aws: RunningAws, ec2: EC2Client) -> None:
    """A clock can be off for one caller only, by an error code of choice; some seconds do not matter."""
    aws.faults.add(Fault("clock", seconds=3600, caller="10.0.1.11"))
    aws.faults.add(Fault("clock", seconds=3600, action="DescribeVpcs", code="RequestExpired"))
    aws.faults.add(Fault("clock", seconds=30, action="DescribeSubnets"))
    ec2.describe_route_tables()
    ec2.describe_subnets()
    with refused("RequestExpired"):
        ec2.describe_vpcs()


def test_date(aws: RunningAws, ec2: EC2Client) -> None:
    """Every answer has a `Date`, the right one without a fault."""
    headers = ec2.describe_vpcs()["ResponseMetadata"]["HTTPHeaders"]
    assert abs(parsedate_to_datetime(headers["date"]).timestamp() - time.time()) < 60


def test_throttle(aws: RunningAws, ec2: EC2Client) -> None:
    """With the token buckets on, calls beyond an action's capacity are RequestLimitExceeded; other actions are not."""
    aws.throttle.limit(Limit(), Limit("DescribeRouteTables", capacity=2, refill=0))
    ec2.describe_route_tables()
    ec2.describe_route_tables()
    with refused("RequestLimitExceeded"):
        ec2.describe_route_tables()
    ec2.describe_vpcs()
    # DescribeInstances has a smaller bucket for calls with neither filter nor pagination. Without refill, because a
    # machine under load may take as long for fifty calls as EC2 for fifty tokens.
    aws.throttle.limit(Limit(refill=0))
    for _ in range(50):
        ec2.describe_instances()
    with refused("RequestLimitExceeded"):
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
