"""Which prefix length a private address gets, by what IMDS says of this node's subnet."""

from __future__ import annotations

from ipaddress import ip_address
from typing import List, cast

import pytest

from aws_ipfailover.errors import NodeError, UnknownError
from aws_ipfailover.node import ThisNode
from aws_ipfailover.private_ip import subnet_prefix


class Subnet:
    """A node whose subnet has these CIDRs by IMDS."""

    def __init__(self, *cidrs: str) -> None:
        self._cidrs = list(cidrs)

    def subnet_cidrs(self) -> List[str]:
        """As `ThisNode` answers."""
        return self._cidrs


def prefix(address: str, *cidrs: str) -> int:
    """The prefix length of an address in a subnet."""
    return subnet_prefix(cast("ThisNode", Subnet(*cidrs)), ip_address(address))


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


def test_a_subnet_that_imds_does_not_tell_is_unknown() -> None:
    """Every ENI is in a subnet: nothing at all is no answer, and no reason to call the address wrong."""
    with pytest.raises(UnknownError, match="does not say"):
        prefix("10.0.1.9")
