"""aws/client.py: what an empty answer to a filtered read is worth, and what is asked with which filter."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_network
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Union

import pytest

from aws_ipfailover.aws.client import Ec2
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import (
    DeniedError,
    Error,
    InUseError,
    NodeError,
    NoTableError,
    UnknownError,
    WouldSucceedError,
)

ENI, ME = "eni-0123456789abcdef0", "i-0123456789abcdef0"
FOUND: Dict[str, Dict[str, Any]] = {
    "DescribeNetworkInterfaces": {
        "NetworkInterfaces": [{"NetworkInterfaceId": ENI, "MacAddress": "06:00:00:00:00:01"}]
    },
    "DescribeInstances": {"Reservations": [{"Instances": [{"InstanceId": ME}]}]},
}
EMPTY: Dict[str, Dict[str, Any]] = {
    "DescribeNetworkInterfaces": {"NetworkInterfaces": []},
    "DescribeInstances": {"Reservations": []},
}
READS: Dict[str, Callable[[Ec2], object]] = {
    "DescribeNetworkInterfaces": lambda ec2: ec2.network_interface(ENI),
    "DescribeInstances": lambda ec2: ec2.instance(ME),
}


class Calls:
    """Answers with what it is given, one after the other; the clock moves only where a deadline waits."""

    def __init__(self, *answers: Union[Mapping[str, Any], Error], seconds: float = 20.0) -> None:
        self.answers = list(answers)
        self.asked: List[Tuple[str, Mapping[str, Any]]] = []
        self.now = 0.0
        self.times: List[float] = []
        self.deadline = Deadline(seconds, lambda: self.now, self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        self.asked.append((operation, arguments))
        self.times.append(self.now)
        answer = self.answers.pop(0)
        if isinstance(answer, Error):
            raise answer
        return answer


def ec2_of(calls: Calls) -> Ec2:
    """EC2 that answers so."""
    return Ec2(calls, "eu-central-1")


@pytest.mark.parametrize("operation", READS)
def test_one_read_that_finds_it_is_enough(operation: str) -> None:
    """One call, by a filter: EC2 allows filtered calls twice the rate."""
    calls = Calls(FOUND[operation])
    assert READS[operation](ec2_of(calls))
    ((asked, arguments),) = calls.asked
    assert asked == operation
    assert list(arguments) == ["Filters"]


@pytest.mark.parametrize("operation", READS)
def test_an_empty_page_is_no_empty_answer(operation: str) -> None:
    """A page can be empty and have a NextToken: what is asked for can be on the next one, which is asked at once."""
    calls = Calls({**EMPTY[operation], "NextToken": "more"}, FOUND[operation])
    assert READS[operation](ec2_of(calls))
    assert [arguments.get("NextToken") for _, arguments in calls.asked] == [None, "more"]
    assert calls.times == [0.0, 0.0]


@pytest.mark.parametrize("operation", READS)
def test_an_empty_answer_is_not_believed_alone(operation: str) -> None:
    """ "An empty answer to a filtered read is UNKNOWN until a second read agrees", about a second later."""
    calls = Calls(EMPTY[operation], FOUND[operation])
    assert READS[operation](ec2_of(calls))
    assert calls.times[1] > 0.9


@pytest.mark.parametrize("operation", READS)
def test_two_empty_answers_are_believed(operation: str) -> None:
    """NodeError: wrong on this node, or in this region."""
    calls = Calls(EMPTY[operation], EMPTY[operation])
    with pytest.raises(NodeError, match=f"{operation}: EC2 does not know"):
        READS[operation](ec2_of(calls))
    assert len(calls.asked) == 2


@pytest.mark.parametrize("operation", READS)
def test_without_time_for_a_second_read_it_is_unknown(operation: str) -> None:
    """UnknownError: one empty answer is no evidence."""
    calls = Calls(EMPTY[operation], seconds=0.0)
    with pytest.raises(UnknownError, match="no time is left to ask again"):
        READS[operation](ec2_of(calls))


@pytest.mark.parametrize("operation", READS)
def test_a_second_read_that_fails_is_what_it_is(operation: str) -> None:
    """One empty answer and one silence are no evidence."""
    with pytest.raises(UnknownError, match="RequestLimitExceeded"):
        READS[operation](ec2_of(Calls(EMPTY[operation], UnknownError("RequestLimitExceeded"))))


def tables(*ids: str) -> Dict[str, Any]:
    """An answer of DescribeRouteTables."""
    return {"RouteTables": [{"RouteTableId": one, "VpcId": "vpc-1", "Routes": []} for one in ids]}


NO_TABLE = NoTableError("does not exist (DescribeRouteTables: InvalidRouteTableID.NotFound)")


def test_tables_that_are_all_there() -> None:
    """One call by their ids."""
    calls = Calls(tables("rtb-a", "rtb-b"))
    found = ec2_of(calls).route_tables(["rtb-a", "rtb-b"])
    assert [table.route_table_id for table in found.found] == ["rtb-a", "rtb-b"]
    assert found.missing == ()
    assert calls.asked == [("DescribeRouteTables", {"RouteTableIds": ["rtb-a", "rtb-b"]})]


def test_a_table_that_does_not_exist_hides_no_other() -> None:
    """EC2 says nothing about the others then: they are asked for by a filter, and the one that is gone is named."""
    calls = Calls(NO_TABLE, tables("rtb-a"))
    found = ec2_of(calls).route_tables(["rtb-a", "rtb-b"])
    assert [table.route_table_id for table in found.found] == ["rtb-a"]
    assert found.missing == ("rtb-b",)
    assert calls.asked[1] == (
        "DescribeRouteTables",
        {"Filters": [{"Name": "route-table-id", "Values": ["rtb-a", "rtb-b"]}]},
    )


def test_a_filtered_read_that_finds_no_table_at_all_is_not_believed_alone() -> None:
    """EC2 named one id that it does not know; that the others are gone too is UNKNOWN until a second read agrees."""
    ids = ["rtb-a", "rtb-b"]
    calls = Calls(NO_TABLE, tables(), tables("rtb-a"))
    assert ec2_of(calls).route_tables(ids).missing == ("rtb-b",)
    assert calls.times[2] > 0.9
    assert ec2_of(Calls(NO_TABLE, tables(), tables())).route_tables(ids).missing == ("rtb-a", "rtb-b")
    with pytest.raises(UnknownError, match="no time is left to ask again"):
        ec2_of(Calls(NO_TABLE, tables(), seconds=0.0)).route_tables(ids)


def test_a_table_that_is_left_out_without_a_word_is_unknown() -> None:
    """EC2 names an id that it does not know; a broken answer is no evidence."""
    with pytest.raises(UnknownError, match="the answer leaves out rtb-b"):
        ec2_of(Calls(tables("rtb-a"))).route_tables(["rtb-a", "rtb-b"])


@pytest.mark.parametrize(("number", "calls_made"), [(100, 1), (101, 2), (250, 3)])
def test_one_call_per_100_tables(number: int, calls_made: int) -> None:
    """ "1 per 100 tables"."""
    ids = [f"rtb-{one:08x}" for one in range(number)]
    calls = Calls(*(tables(*ids[first : first + 100]) for first in range(0, number, 100)))
    assert len(ec2_of(calls).route_tables(ids).found) == number
    assert len(calls.asked) == calls_made


def test_enis_by_their_mac_addresses() -> None:
    """Those that are attached to an instance, by EC2's filter; another one's MAC address is no match."""
    attached = {"InstanceId": ME, "AttachmentId": "eni-attach-1", "DeviceIndex": 0, "Status": "attached"}
    calls = Calls(
        {
            "NetworkInterfaces": [
                {"NetworkInterfaceId": "eni-1", "MacAddress": "06:00:00:00:00:01", "Attachment": attached},
                {"NetworkInterfaceId": "eni-2", "MacAddress": "06:00:00:00:00:02"},
                {"NetworkInterfaceId": "eni-3", "MacAddress": "06:00:00:00:00:03", "Attachment": attached},
            ]
        }
    )
    found = ec2_of(calls).network_interfaces_with(["06:00:00:00:00:01", "06:00:00:00:00:02"])
    assert [one.network_interface_id for one in found] == ["eni-1"]
    ((_, arguments),) = calls.asked
    assert arguments["Filters"] == [{"Name": "mac-address", "Values": ["06:00:00:00:00:01", "06:00:00:00:00:02"]}]


OVERLAY = ip_network("192.168.10.10/32")
DRY_RUNS: Dict[str, Callable[[Ec2], None]] = {
    "ReplaceRoute": lambda ec2: ec2.may_replace_route("rtb-a", OVERLAY, ENI),
    "CreateRoute": lambda ec2: ec2.may_create_route("rtb-a", OVERLAY, ENI),
    "AttachNetworkInterface": lambda ec2: ec2.may_attach(ENI, ME, 1, 2),
    "DetachNetworkInterface": lambda ec2: ec2.may_detach("eni-attach-1"),
    "AssociateAddress": lambda ec2: ec2.may_associate_address("eipalloc-1", ENI, None),
}


@pytest.mark.parametrize("operation", DRY_RUNS)
def test_a_permission_is_asked_for_by_a_dry_run(operation: str) -> None:
    """Each permission "by EC2's DryRun", which changes nothing; every refusal is told as it is."""
    calls = Calls(WouldSucceedError(f"{operation}: DryRunOperation"))
    DRY_RUNS[operation](ec2_of(calls))
    ((asked, arguments),) = calls.asked
    assert asked == operation
    assert arguments["DryRun"] is True
    for refusal in (DeniedError(operation), InUseError(operation), UnknownError(operation)):
        with pytest.raises(type(refusal)):
            DRY_RUNS[operation](ec2_of(Calls(refusal)))


@pytest.mark.parametrize(("card", "told"), [(None, {}), (0, {"NetworkCardIndex": 0}), (3, {"NetworkCardIndex": 3})])
def test_a_network_card(card: Optional[int], told: Dict[str, int]) -> None:
    """`None` is left to EC2, as older endpoints do not know the parameter; in the dry run too."""
    place = {"NetworkInterfaceId": ENI, "InstanceId": ME, "DeviceIndex": 1, **told}
    calls = Calls({}, WouldSucceedError("AttachNetworkInterface: DryRunOperation"))
    ec2_of(calls).attach(ENI, ME, 1, card)
    ec2_of(calls).may_attach(ENI, ME, 1, card)
    assert [arguments for _, arguments in calls.asked] == [place, {**place, "DryRun": True}]


def test_enis_of_a_subnet() -> None:
    """All pages, with their prefixes; one that has no IPv4 address too."""
    first = {"NetworkInterfaceId": "eni-1", "Ipv4Prefixes": [{"Ipv4Prefix": "10.0.1.16/28"}]}
    second = {"NetworkInterfaceId": "eni-2", "Ipv6Prefixes": [{"Ipv6Prefix": "2001:db8:1::/80"}]}
    second["Ipv6Addresses"] = [{"Ipv6Address": "2001:db8:1:0:1::5"}]
    calls = Calls({"NetworkInterfaces": [first], "NextToken": "more"}, {"NetworkInterfaces": [second]})
    found = ec2_of(calls).network_interfaces_in("subnet-1")
    assert [
        (one.network_interface_id, list(map(str, one.addresses)), list(map(str, one.prefixes))) for one in found
    ] == [
        ("eni-1", [], ["10.0.1.16/28"]),
        ("eni-2", ["2001:db8:1:0:1::5"], ["2001:db8:1::/80"]),
    ]
    filters = [{"Name": "subnet-id", "Values": ["subnet-1"]}]
    assert calls.asked == [
        ("DescribeNetworkInterfaces", {"Filters": filters}),
        ("DescribeNetworkInterfaces", {"Filters": filters, "NextToken": "more"}),
    ]


def test_the_check_is_switched_off() -> None:
    """ModifyNetworkInterfaceAttribute, with nothing else in it."""
    calls = Calls({})
    ec2_of(calls).switch_off_source_dest_check(ENI)
    expected = {"NetworkInterfaceId": ENI, "SourceDestCheck": {"Value": False}}
    assert calls.asked == [("ModifyNetworkInterfaceAttribute", expected)]


@pytest.mark.parametrize("private", [None, "10.0.1.50"])
def test_an_elastic_ip_is_taken_from_whoever_has_it(private: Optional[str]) -> None:
    """Reassociation is permitted, and EC2 chooses the ENI's primary private address where none is named."""
    calls = Calls({"AssociationId": "eipassoc-1"})
    ec2_of(calls).associate_address("eipalloc-1", ENI, None if private is None else IPv4Address(private))
    expected: Dict[str, object] = {"AllocationId": "eipalloc-1", "NetworkInterfaceId": ENI, "AllowReassociation": True}
    expected.update({} if private is None else {"PrivateIpAddress": private})
    assert calls.asked == [("AssociateAddress", expected)]


def test_an_answer_without_the_elastic_ip() -> None:
    """An answer that leaves out the Elastic IP asked for is no evidence: unknown, and not "associated with nothing"."""
    for addresses in ([], [{"AllocationId": "eipalloc-2", "NetworkInterfaceId": ENI}]):
        with pytest.raises(UnknownError, match="eipalloc-1"):
            ec2_of(Calls({"Addresses": addresses})).elastic_ip("eipalloc-1")
