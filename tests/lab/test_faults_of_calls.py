"""Faults of EC2, STS and instance metadata, as an instance meets them; and that healing one undoes that one."""

from __future__ import annotations

from typing import Any, Iterator, Set

import pytest

from vpc_lab.faults import (
    AccessDenied,
    AnswersLost,
    ApiError,
    ClockStepped,
    Closed,
    Empty,
    EmptyReads,
    ExpiredCredentials,
    Fault,
    Hang,
    Html,
    Imds,
    Refused,
    Reset,
    RolePolicy,
    ServerError,
    Slow,
    StaleReads,
    Throttled,
    Truncated,
    Unreachable,
)
from vpc_lab.lab import Lab
from vpc_lab.waiting import eventually

from .calls import asked, outcome
from .conftest import delete_route
from .test_fabric import METADATA_TOKEN, OVERLAY, api_answers, metadata_answers

pytestmark = pytest.mark.root

DESTINATION = f"{OVERLAY}/32"
DENY = (
    '{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"},'
    ' {"Effect": "Deny", "Action": "ec2:Describe*", "Resource": "*"}]}'
)


@pytest.fixture
def lab(network_lab: Lab) -> Iterator[Lab]:
    """A lab in which everything is well, again afterwards."""
    yield network_lab
    network_lab.heal()
    delete_route(network_lab, DESTINATION)


@pytest.mark.parametrize(
    ("fault", "met"),
    [
        (Unreachable("node1"), {"ConnectTimeoutError"}),
        (Hang(caller="node1"), {"ReadTimeoutError"}),
        (Reset(caller="node1"), {"ConnectionClosedError", "HTTPClientError"}),
        (Closed(caller="node1"), {"ConnectionClosedError"}),
        (Refused("node1"), {"ConnectionClosedError", "EndpointConnectionError", "HTTPClientError", "SSLError"}),
        (ServerError(caller="node1", status=503), {"Unavailable"}),
        (Slow(3, caller="node1"), {"ReadTimeoutError"}),
        (ApiError("RequestLimitExceeded", caller="node1"), {"RequestLimitExceeded"}),
        (Html(caller="node1"), {"502", "ResponseParserError"}),
        (Truncated(caller="node1"), {"IncompleteReadError", "ResponseStreamingError", "ResponseParserError"}),
        (Empty(caller="node1"), {"ResponseParserError"}),
        (ClockStepped("node1"), {"AuthFailure"}),
    ],
    # A set is written in another order by each process.
    ids=lambda value: str(value) if isinstance(value, Fault) else "",
)
def test_what_one_instance_meets(lab: Lab, fault: Fault, met: Set[str]) -> None:
    """That one only; healed, its calls succeed again."""
    injected = lab.inject(fault)
    assert outcome(lab, "node1") in met
    assert outcome(lab, "node2") == "ok"
    injected.heal()
    assert outcome(lab, "node1") == "ok"


@pytest.mark.parametrize(
    ("fault", "met"),
    [
        (AccessDenied("DescribeRouteTables"), "UnauthorizedOperation"),
        (RolePolicy(DENY), "UnauthorizedOperation"),
        (Throttled("DescribeRouteTables", capacity=0), "RequestLimitExceeded"),
        # The SDK sees by their time that they are expired, gets the same ones again, and does not even call.
        (ExpiredCredentials(renew=False), "RuntimeError"),
    ],
    ids=["access-denied", "role-policy", "throttled", "expired-credentials"],
)
def test_what_every_instance_meets(lab: Lab, fault: Fault, met: str) -> None:
    """Whoever calls; healed, calls succeed again."""
    with lab.inject(fault):
        assert {outcome(lab, node) for node in ("node1", "node2")} == {met}
    assert outcome(lab, "node1") == "ok"


def test_credentials_that_expire_are_replaced_at_once(lab: Lab) -> None:
    """Metadata has new ones, and who asks anew notices nothing."""
    with lab.inject(ExpiredCredentials()):
        assert outcome(lab, "node1") == "ok"


def test_a_denial_on_one_table_leaves_the_others(lab: Lab) -> None:
    """The table is named by its subnet; EC2's own error comes from its own IAM."""
    first, second = lab.status().route_tables[:2]
    eni = lab.status().network_interfaces["node1"]

    def create(table: str) -> str:
        about = {"RouteTableId": table, "DestinationCidrBlock": DESTINATION, "NetworkInterfaceId": eni}
        return outcome(lab, "node1", "create_route", **about)

    with lab.inject(AccessDenied("CreateRoute", "a")):
        assert [create(first), create(second)] == ["UnauthorizedOperation", "ok"]
    assert create(first) == "ok"


def test_an_answer_is_lost_after_the_effect(lab: Lab) -> None:
    """The route is there though nobody was told; the second call is answered."""
    table, eni = lab.status().route_tables[0], lab.status().network_interfaces["node1"]
    about = {"RouteTableId": table, "DestinationCidrBlock": DESTINATION, "NetworkInterfaceId": eni}
    lab.inject(AnswersLost("CreateRoute", times=1))
    assert outcome(lab, "node1", "create_route", **about) == "ConnectionClosedError"
    assert lab.status().routes[OVERLAY][table] == "node1"
    assert outcome(lab, "node1", "create_route", **about) == "RouteAlreadyExists"


def test_a_stale_read_does_not_see_what_was_written(lab: Lab) -> None:
    """As long as it is in force; EC2 itself knows all the time."""
    table, eni = lab.status().route_tables[0], lab.status().network_interfaces["node1"]

    def seen() -> bool:
        found = asked(lab, "node2", "describe_route_tables", RouteTableIds=[table])
        return DESTINATION in {one.get("DestinationCidrBlock") for one in found["RouteTables"][0]["Routes"]}

    with lab.inject(StaleReads(3600)):
        lab.administer("CreateRoute", RouteTableId=table, DestinationCidrBlock=DESTINATION, NetworkInterfaceId=eni)
        assert not seen()
    assert seen()


def test_a_filtered_read_comes_back_empty(lab: Lab) -> None:
    """Only one with a filter, for as many times as it says."""
    tag = [{"Name": "tag:Name", "Values": ["node1"]}]

    def found(**how: Any) -> int:
        return len(asked(lab, "node1", "describe_instances", **how)["Reservations"])

    lab.inject(EmptyReads("DescribeInstances", times=1))
    assert found() == 4
    assert [found(Filters=tag), found(Filters=tag)] == [0, 1]


@pytest.mark.parametrize(("how", "code"), [("401", "401"), ("503", "503"), ("off", "403"), ("silent", "000")])
def test_metadata_fails_in_each_way(lab: Lab, how: str, code: str) -> None:
    """For that instance alone, and EC2 goes on answering it."""

    def answer(node: str) -> str:
        argv = ["curl", "-s", "-m1", "-o/dev/null", "-w%{http_code}", "-XPUT", METADATA_TOKEN]
        return lab.exec(node, [*argv, "-HX-aws-ec2-metadata-token-ttl-seconds: 60"], check=False).stdout

    with lab.inject(Imds("node1", how)):
        assert [answer("node1"), answer("node2")] == [code, "200"]
        assert api_answers(lab, "node1")
    assert answer("node1") == "200"


def test_healing_one_leaves_the_other(lab: Lab) -> None:
    """Two that cut the same instance off from EC2, one that takes its metadata too: each ends with itself."""
    every, one, imds = lab.inject(Unreachable()), lab.inject(Unreachable("node1")), lab.inject(Imds("node1", "silent"))
    assert not api_answers(lab, "node2")
    every.heal()
    assert api_answers(lab, "node2")
    assert not api_answers(lab, "node1")
    one.heal()
    assert api_answers(lab, "node1")
    assert not metadata_answers(lab, "node1")
    imds.heal()
    assert metadata_answers(lab, "node1")


def test_two_denials_and_a_slow_answer(lab: Lab) -> None:
    """All three are met at once; without the first denial the second still holds."""
    first, second = lab.inject(AccessDenied("Describe*")), lab.inject(AccessDenied("DescribeVpcs"))
    with lab.inject(Slow(0.1)):
        assert [outcome(lab, "node1"), outcome(lab, "node1", "describe_vpcs")] == ["UnauthorizedOperation"] * 2
        first.heal()
        assert [outcome(lab, "node1"), outcome(lab, "node1", "describe_vpcs")] == ["ok", "UnauthorizedOperation"]
    second.heal()
    assert outcome(lab, "node1", "describe_vpcs") == "ok"


def test_a_fault_with_a_time_heals_itself(lab: Lab) -> None:
    """Nobody has to be there; the events tell of both, with what it was, and healing it again is fine."""
    injected = lab.inject(ApiError("InternalError"), lasting=4.0)
    (held,) = lab.faults()
    assert (held.number, held.fault) == (injected.number, injected.fault)
    assert held.until is not None
    assert outcome(lab, "node1") == "InternalError"
    eventually("the fault to be over", lambda: not lab.faults(), 30)
    assert outcome(lab, "node1") == "ok"
    injected.heal()
    told = [event for event in lab.events(held.since - 1) if event.get("number") == injected.number]
    assert [(event["kind"], event["name"], event["parameters"]["code"]) for event in told] == [
        ("fault", "api-error", "InternalError"),
        ("healed", "api-error", "InternalError"),
    ]
    assert told[1]["time"] - told[0]["time"] >= 4.0
