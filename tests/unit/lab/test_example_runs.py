"""What a failover of an example is judged by: each thing that can be wrong with it is told."""

from __future__ import annotations

from typing import List, Tuple

from lab.example_runs import AGENT, RUNS, Run, run_of, wrong_after, wrong_before
from vpc_lab.cluster import ClusterStatus, NodeState, ResourceState
from vpc_lab.topology import node_names

NODES = node_names(2)


def cluster(*resources: Tuple[str, str, str]) -> ClusterStatus:
    """A cluster with these: id, role, node (none where it is empty). What is called ip_... is an address."""
    states: List[ResourceState] = []
    for resource, role, node in resources:
        agent = AGENT if resource.startswith("ip_") else "ocf:heartbeat:Dummy"
        states.append(ResourceState(resource, agent, role, bool(node), False, False, (node,) if node else ()))
    nodes = tuple(NodeState(name, True, False, False, name == "node1") for name in NODES)
    return ClusterStatus("node1", True, nodes, tuple(states), (), {})


COST = run_of("hana-cost.crm")
TOPOLOGY = (("hana_topology", "Started", "node1"), ("hana_topology", "Started", "node2"))
HANA = (("hana", "Promoted", "node1"), ("hana", "Unpromoted", "node2"), *TOPOLOGY)


def test_a_cluster_as_it_should_be() -> None:
    """Nothing is told of it, before and after."""
    assert (
        wrong_before(cluster(*HANA, ("ip_primary", "Started", "node1"), ("qas", "Started", "node2")), COST, NODES) == []
    )
    left = cluster(
        ("hana", "Promoted", "node2"), TOPOLOGY[1], ("ip_primary", "Started", "node2"), ("qas", "Stopped", "")
    )
    assert wrong_after(left, COST, NODES[1:]) == []


def test_an_address_without_its_database() -> None:
    """The address is not where the promoted instance is, or there is none."""
    found = wrong_before(cluster(*HANA, ("ip_primary", "Started", "node2"), ("qas", "Started", "node1")), COST, NODES)
    assert found == ["hana is promoted on ['node1']: {'ip_primary': 'node2'}"]
    left = cluster(("hana", "Unpromoted", "node2"), TOPOLOGY[1], ("ip_primary", "Started", "node2"))
    assert wrong_after(left, COST, NODES[1:]) == ["hana is promoted on []: {'ip_primary': 'node2'}"]


def test_an_address_that_is_nowhere_or_on_the_node_that_was_lost() -> None:
    """Both are told, with the nodes that are left."""
    run = Run("overlay-ip")
    assert wrong_after(cluster(("ip_service", "Stopped", "")), run, NODES[1:]) == [
        "ip_service is on (), and ('node2',) are left"
    ]
    assert wrong_after(cluster(("ip_service", "Started", "node1")), run, NODES[1:]) == [
        "ip_service is on ('node1',), and ('node2',) are left"
    ]


def test_what_belongs_together_and_apart() -> None:
    """A group that is torn, two instances on one node, and a second system that did not give way."""
    ascs = run_of("sap-ascs.crm")
    torn = [("fs_ascs", "Started", "node2"), ("sap_ascs", "Started", "node1"), ("sap_ers", "Started", "node1")]
    found = wrong_before(cluster(("ip_ascs", "Started", "node1"), *torn), ascs, NODES)
    assert [one.partition(":")[0] for one in found] == ["not together", "not on nodes of their own"]
    here = [(one, "Started", "node2") for one in ("ip_ascs", "fs_ascs", "sap_ascs")]
    assert wrong_after(cluster(*here), ascs, NODES[1:]) == ["sap_ers runs nowhere"]
    left = [("hana", "Promoted", "node2"), TOPOLOGY[1], ("ip_primary", "Started", "node2"), ("qas", "Started", "node2")]
    assert wrong_after(cluster(*left), COST, NODES[1:]) == ["qas has not given way: node2"]


def test_a_clone_that_is_not_everywhere() -> None:
    """The nodes on which it is active are told."""
    status = cluster(("ip_service", "Started", "node1"), ("nginx", "Started", "node1"))
    assert wrong_before(status, run_of("stateless.crm"), NODES) == ["nginx is active on ['node1']"]


def test_each_row_is_of_one_example() -> None:
    """Two would be one too many."""
    assert len({run.stem for run in RUNS}) == len(RUNS)
