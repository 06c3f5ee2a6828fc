"""corosync.conf as the lab writes it."""

from __future__ import annotations

import pytest

from sandbox import need_commands
from vpc_lab.host.cluster_files import corosync_conf, seeded_cib


@pytest.mark.parametrize("count", [2, 3])
def test_two_nodes_alone_need_no_majority(count: int) -> None:
    """One of two nodes keeps quorum (two_node, votequorum(5)); of three it takes two. Every node is listed once."""
    conf = corosync_conf({f"node{number}": f"10.0.0.{number}" for number in range(1, count + 1)}, token_ms=1000)
    assert ("two_node: 1" in conf) is (count == 2)
    assert [line.split()[-1] for line in conf.splitlines() if "nodeid:" in line] == ["1", "2", "3"][:count]


def test_nodes_have_the_ids_that_a_configuration_gives_them() -> None:
    """Those that corosync 2 made of addresses need a transport without knet's limit."""
    nodes = {"hacert01": "10.0.1.11", "hacert02": "10.0.2.12"}
    small = corosync_conf(nodes, token_ms=1000, node_ids=(7, 9))
    assert [line.split()[-1] for line in small.splitlines() if "nodeid:" in line] == ["7", "9"]
    assert "transport: knet" in small
    large = corosync_conf(nodes, token_ms=1000, node_ids=(1084753931, 1084753932))
    assert "transport: udpu" in large
    assert "crypto" not in large


def test_so_does_the_cib() -> None:
    """The CIB that a node boots with has the same ids."""
    need_commands("cibadmin")  # writes the empty one
    nodes = {"hacert01": "10.0.1.11", "hacert02": "10.0.2.12"}
    assert '<node id="1084753932" uname="hacert02" />' in seeded_cib(
        nodes, region="x", node_ids=(1084753931, 1084753932)
    )
