"""Which prefix length a private address gets, by the CIDRs of this node's subnet."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from aws_ipfailover.errors import NodeError, UnknownError
from aws_ipfailover.holdings.secondary_address import subnet_prefix


def prefix(address: str, *cidrs: str) -> int:
    """The prefix length of an address in a subnet."""
    return subnet_prefix([ip_network(cidr) for cidr in cidrs], ip_address(address))


def test_the_subnet_that_the_address_is_in() -> None:
    """Of the address's own family, and of several CIDRs the one it lies in."""
    cidrs = ("10.0.1.0/24", "2001:db8:1::/64", "2001:db8:2::/64")
    assert prefix("10.0.1.9", *cidrs) == 24
    assert prefix("2001:db8:2::9", *cidrs) == 64


def test_another_subnet_is_wrong_here() -> None:
    """Said of the subnet, with the mode that would do."""
    with pytest.raises(NodeError, match=r"10\.0\.2\.9 is outside this node's subnet .*mode=overlay-ip"):
        prefix("10.0.2.9", "10.0.1.0/24")


def test_another_family_is_wrong_here() -> None:
    """A subnet without IPv6 has no place for an IPv6 address."""
    with pytest.raises(NodeError, match="has no IPv6 CIDR"):
        prefix("2001:db8::9", "10.0.1.0/24")


def test_a_subnet_that_nobody_tells_is_unknown() -> None:
    """Every ENI is in a subnet: nothing at all is no answer, and no reason to call the address wrong."""
    with pytest.raises(UnknownError, match="neither IMDS nor EC2"):
        prefix("10.0.1.9")
