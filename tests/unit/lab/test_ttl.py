"""Telling nodes apart by the TTL of what they send."""

from __future__ import annotations

from typing import Optional

import pytest

from aws_ipfailover.watch.ttl import node_of
from vpc_lab.traffic.ttl import NODES, initial_ttl

SIGNED = {f"node{index + 1}": initial_ttl(index) for index in range(NODES)}


@pytest.mark.parametrize("hops", [0, 1, 2, 5, 39])
@pytest.mark.parametrize("name", list(SIGNED))
def test_a_node_is_known_over_any_number_of_routers(name: str, hops: int) -> None:
    """Each router takes one off the TTL."""
    assert node_of(SIGNED[name] - hops, SIGNED) == name


@pytest.mark.parametrize("ttl", [255, 254, 241, 64, 63, 60, 1])
def test_the_kernel_s_own_defaults_belong_to_no_node(ttl: int) -> None:
    """A router or an instance that was not signed is never taken for a node."""
    assert node_of(ttl, SIGNED) is None


@pytest.mark.parametrize(("ttl", "node"), [(200, None), (240, "node1"), (201, "node1")])
def test_only_nodes_that_exist_are_named(ttl: int, node: Optional[str]) -> None:
    """With one node, the values of the others are nobody's."""
    assert node_of(ttl, {"node1": 240}) == node


@pytest.mark.parametrize("index", [-1, NODES])
def test_there_are_as_many_signatures_as_nodes(index: int) -> None:
    """A fifth node would be mistaken for an unsigned machine."""
    with pytest.raises(ValueError, match="TTL"):
        initial_ttl(index)
