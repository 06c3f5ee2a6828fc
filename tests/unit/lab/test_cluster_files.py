"""corosync.conf as the lab writes it."""

from __future__ import annotations

import pytest

from vpc_lab.host.cluster_files import corosync_conf


@pytest.mark.parametrize("count", [2, 3])
def test_two_nodes_alone_need_no_majority(count: int) -> None:
    """One of two nodes keeps quorum (two_node, votequorum(5)); of three it takes two. Every node is listed once."""
    conf = corosync_conf({f"node{number}": f"10.0.0.{number}" for number in range(1, count + 1)}, token_ms=1000)
    assert ("two_node: 1" in conf) is (count == 2)
    assert [line.split()[-1] for line in conf.splitlines() if "nodeid:" in line] == ["1", "2", "3"][:count]
