"""aws/models.py: what EC2's answers become."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any, Callable, Dict, List, Optional

import pytest

from aws_ipfailover.aws.models import Route, instance, network_interface, route_table, subnet
from aws_ipfailover.errors import UnknownError
from aws_ipfailover.holdings.destinations import Destinations

OVERLAY = ip_network("192.168.10.10/32")


def routes(*described: Dict[str, Any]) -> List[Route]:
    """The routes of a table."""
    return list(route_table({"RouteTableId": "rtb-a", "VpcId": "vpc-1", "Routes": list(described)}).routes)


@pytest.mark.parametrize(
    ("origin", "static"),
    [
        ("CreateRoute", True),
        ("CreateRouteTable", True),
        ("EnableVgwRoutePropagation", False),
        ("Advertisement", False),
        ("SomethingNew", False),
    ],
)
def test_where_a_route_comes_from(origin: str, static: bool) -> None:
    """Static is what somebody made; a gateway propagates, a route server advertises (`Origin=Advertisement`)."""
    (route,) = routes({"DestinationCidrBlock": str(OVERLAY), "NetworkInterfaceId": "eni-1", "Origin": origin})
    assert route.static is static


@pytest.mark.parametrize("state", ["active", "blackhole", "filtered", "something-new"])
def test_a_state_is_what_ec2_calls_it(state: str) -> None:
    """None is taken for another."""
    (route,) = routes({"DestinationCidrBlock": str(OVERLAY), "NetworkInterfaceId": "eni-1", "State": state})
    assert route.state == state


def test_a_route_to_anything_but_an_eni() -> None:
    """A gateway, a peering, a transit gateway: no ENI; `local` is the VPC's own; a prefix list is no destination."""
    found = routes(
        {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "Origin": "CreateRouteTable"},
        {"DestinationCidrBlock": str(OVERLAY), "TransitGatewayId": "tgw-1"},
        {"DestinationPrefixListId": "pl-1", "GatewayId": "vpce-1"},
        {"DestinationIpv6CidrBlock": "fd00:10::10/128", "NetworkInterfaceId": "eni-1"},
    )
    assert [(str(route.destination), route.network_interface_id, route.local) for route in found] == [
        ("10.0.0.0/16", "", True),
        (str(OVERLAY), "", False),
        ("fd00:10::10/128", "eni-1", False),
    ]


def test_the_route_that_ec2_uses() -> None:
    """The static one of several for exactly this destination, whatever the order; a propagated one if it is alone."""
    static = {"DestinationCidrBlock": str(OVERLAY), "NetworkInterfaceId": "eni-1", "Origin": "CreateRoute"}
    propagated = {**static, "NetworkInterfaceId": "eni-2", "Origin": "EnableVgwRoutePropagation"}
    wider = {**static, "DestinationCidrBlock": "192.168.0.0/16", "NetworkInterfaceId": "eni-3"}
    for described, target in (
        ([static, propagated, wider], "eni-1"),
        ([propagated, wider, static], "eni-1"),
        ([wider, propagated], "eni-2"),
    ):
        used = Destinations([], [OVERLAY]).routes_in(route_table({"Routes": described})).get(OVERLAY)
        assert used is not None
        assert used.network_interface_id == target
    assert Destinations([], [OVERLAY]).routes_in(route_table({"Routes": [wider]})) == {}


def test_device_indexes_of_secondary_interfaces() -> None:
    """ "Instances can have `SecondaryInterfaces` with device indexes of their own": they are taken too."""
    described = {
        "InstanceId": "i-1",
        "NetworkInterfaces": [
            {"Attachment": {"DeviceIndex": 0, "NetworkCardIndex": 0}},
            {"Attachment": {"DeviceIndex": 1, "NetworkCardIndex": 1}},
        ],
        "SecondaryInterfaces": [{"Attachment": {"DeviceIndex": 2}}],
    }
    found = instance(described)
    assert [found.device_indexes(card) for card in (0, 1, 2)] == [{0, 2}, {1}, set()]
    assert found.uses_several_cards
    assert not instance({"SecondaryInterfaces": described["SecondaryInterfaces"]}).uses_several_cards


@pytest.mark.parametrize("told", [True, False, None])
def test_the_source_destination_check(told: Optional[bool]) -> None:
    """On, off, or not told: that is neither."""
    described = {} if told is None else {"SourceDestCheck": told}
    assert network_interface(described).source_dest_check is told


@pytest.mark.parametrize(("described", "attached"), [({}, False), ({"Status": "detached"}, False), ({}, True)])
def test_an_attachment(described: Dict[str, Any], attached: bool) -> None:
    """None where there is no instance in it, or where it has ended; a device index that is not told is no 0."""
    more = {"InstanceId": "i-1", "AttachmentId": "eni-attach-1"} if attached or described else {}
    found = network_interface({"NetworkInterfaceId": "eni-1", "Attachment": {**more, **described}})
    assert (found.attachment is not None) is attached
    if found.attachment is not None:
        assert found.attachment.device_index is None


@pytest.mark.parametrize(
    "read",
    [
        lambda text: routes({"DestinationCidrBlock": text}),
        lambda text: network_interface({"PrivateIpAddresses": [{"PrivateIpAddress": text}]}),
        lambda text: network_interface({"Ipv6Prefixes": [{"Ipv6Prefix": text}]}),
        lambda text: instance({"NetworkInterfaces": [{"Ipv6Addresses": [{"Ipv6Address": text}]}]}),
        lambda text: subnet({"CidrBlock": text}),
    ],
    ids=["route", "address", "prefix", "instance", "subnet"],
)
def test_what_is_no_address_is_unknown(read: Callable[[str], object]) -> None:
    """An answer that cannot be read is none: UnknownError, which quotes a little of it, and no defect of the agent."""
    with pytest.raises(UnknownError, match=r"an answer of EC2 has '10\.0\.0\.0/8x+…' instead of a"):
        read("10.0.0.0/8" + "x" * 1000)
