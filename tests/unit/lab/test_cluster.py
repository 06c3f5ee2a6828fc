"""What `crm_mon` prints, as values."""

from __future__ import annotations

from typing import Optional

import pytest

from vpc_lab.cluster import NodeState, actions_left, is_recurring_monitor, parse_status

PRINTED = """<?xml version="1.0"?>
<pacemaker-result api-version="2.25" request="crm_mon --output-as=xml">
  <summary>
    <current_dc present="true" version="2.1.5" name="node1" id="1" with_quorum="true"/>
  </summary>
  <nodes>
    <node name="node1" id="1" online="true" standby="false" pending="false" unclean="false" is_dc="true"/>
    <node name="node2" id="2" online="true" standby="false" pending="true" unclean="false" is_dc="false"/>
  </nodes>
  <resources>
    <resource id="ip" resource_agent="ocf:heartbeat:aws-ipfailover" role="Started" active="true" failed="false"
        blocked="false"><node name="node1" id="1"/></resource>
  </resources>
  <node_history>
    <node name="node1"><resource_history id="ip" migration-threshold="3" fail-count="2"/></node>
  </node_history>
  <failures>
    <failure op_key="ip_monitor_7000" node="node1" exitstatus="degraded" exitcode="190" exitreason="EC2 is away"/>
  </failures>
  <fence_history>
    <fence_event action="off" target="node2" client="pacemaker-controld.35" origin="node1" status="%s"/>
  </fence_history>
</pacemaker-result>
"""


def test_a_status_is_read() -> None:
    """Who decides, who is a member and who is only joining, where a resource is, and what has failed."""
    now = parse_status(PRINTED % "success")
    assert (now.dc, now.quorum, now.online) == ("node1", True, ("node1",))
    assert now.nodes[1] == NodeState("node2", online=False, unclean=False, standby=False, is_dc=False)
    assert (now.where("ip"), now.where("another")) == ("node1", None)
    assert now.fail_counts == {("node1", "ip"): "2"}
    assert [(one.exit_code, one.exit_reason) for one in now.failures] == [(190, "EC2 is away")]


def test_a_fencing_that_has_not_ended_is_told() -> None:
    """Whether it succeeds or fails then: only `pending` ones are under way."""
    assert parse_status(PRINTED % "pending").fencing == ("node2",)
    assert parse_status(PRINTED % "failed").fencing == ()


def test_what_is_no_status_is_refused() -> None:
    """As where the cluster is not running."""
    with pytest.raises(ValueError, match="did not print XML"):
        parse_status("crm_mon: Connection to cluster failed")


GRAPH = """<transition_graph cluster-delay="60s" transition_id="7">
  <synapse id="0">
    <action_set>{}</action_set>
    <inputs><trigger><rsc_op id="3" operation="monitor" operation_key="ip_monitor_0"/></trigger></inputs>
  </synapse>
</transition_graph>
"""


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ('<rsc_op id="9" operation="start" operation_key="ip_start_0" on_node="node1"/>', "ip_start_0 on node1"),
        ('<crm_event id="9" operation="stonith" on_node="node2"/>', "stonith on node2"),
        ('<rsc_op id="9" operation="notify" operation_key="ip_pre_notify_start_0" on_node="node1"/>', None),
        ('<pseudo_event id="9" operation="running" operation_key="grp_running_0"/>', None),
    ],
)
def test_what_a_cluster_has_to_do(action: str, expected: Optional[str]) -> None:
    """A resource's operation or a fencing; no notification, nothing that only orders others, nothing waited for."""
    assert actions_left(GRAPH.format(action)) == ({expected} if expected else set())


@pytest.mark.parametrize(
    ("key", "expected"),
    [("ip_monitor_10000", True), ("ip_monitor_0", False), ("ip_start_0", False), ("my_monitor_5_stop_0", False)],
)
def test_a_recurring_monitor_is_told_from_all_else(key: str, expected: bool) -> None:
    """By its interval: a probe has none, and a resource may have any name."""
    action = f'<rsc_op id="9" operation="any" operation_key="{key}" on_node="node1"/>'
    (left,) = actions_left(GRAPH.format(action))
    assert is_recurring_monitor(left) is expected


def test_an_empty_transition_is_nothing_to_do() -> None:
    """As the scheduler writes it for a cluster that is as it should be."""
    assert not actions_left('<transition_graph cluster-delay="60s" transition_id="0"/>')


def test_a_transition_that_is_cut_off_is_refused() -> None:
    """It is neither something to do nor nothing."""
    with pytest.raises(ValueError, match="crm_simulate did not print XML"):
        actions_left('<transition_graph transition_id="0"')
