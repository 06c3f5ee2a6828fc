"""The cluster's configuration, and what the scheduler's graph says of it."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import UnknownError
from aws_ipfailover.ocf.cib import AgentName
from aws_ipfailover.ocf.scheduler import Configuration, Scheduler, parameters_in

OURS = AgentName("heartbeat", "aws-ipfailover")
CIB = """
<cib validate-with="pacemaker-3.9" epoch="7">
  <configuration>
    <crm_config>
      <cluster_property_set id="p"><nvpair id="m" name="maintenance-mode" value="true"/></cluster_property_set>
    </crm_config>
    <nodes>
      <node id="1" uname="node1"/>
      <node id="2" uname="node2" type="member"><instance_attributes id="n"><nvpair id="z" name="zone" value="b"/>
      </instance_attributes></node>
    </nodes>
    <resources>
      <template id="base" class="ocf" provider="heartbeat" type="aws-ipfailover"/>
      <primitive id="a" template="base"/>
      <group id="g">
        <primitive id="b" template="base"/><primitive id="fs" class="ocf" provider="heartbeat" type="Filesystem"/>
      </group>
      <clone id="c">
        <group id="inner"><primitive id="d" class="ocf" provider="suse" type="aws-vpc-move-ip"/></group>
      </clone>
      <primitive id="fence" class="stonith" type="fence_aws"/>
      <primitive id="far" class="ocf" provider="pacemaker" type="remote"/>
    </resources>
    <constraints><rsc_location id="l" rsc="a" node="node2" score="-INFINITY"/></constraints>
  </configuration>
  <status>
    <node_state id="2" uname="node2" crmd="offline"><lrm id="2"/><transient_attributes id="2"/></node_state>
  </status>
</cib>
"""


def test_agents() -> None:
    """Each primitive with its agent, by its template; one that is no OCF agent has no provider."""
    peer = AgentName("suse", "aws-vpc-move-ip")
    assert Configuration(CIB).agents == {
        "a": OURS,
        "b": OURS,
        "fs": AgentName("heartbeat", "Filesystem"),
        "d": peer,
        "fence": AgentName("", "fence_aws"),
        "far": AgentName("pacemaker", "remote"),
    }
    assert str(peer) == "ocf:suse:aws-vpc-move-ip"


@pytest.mark.parametrize(
    ("name", "primitives"),
    [("a", ["a"]), ("g", ["b", "fs"]), ("c", ["d"]), ("inner", ["d"]), ("base", ["a", "b"]), ("x", []), ("p", [])],
)
def test_primitives(name: str, primitives: list[str]) -> None:
    """An id means a primitive, all in a group or clone, or all that are made from a template."""
    assert Configuration(CIB).primitives_of(name) == primitives


def test_a_node_alone() -> None:
    """One node, online, with its attributes; no options, constraints and history that would keep probes away."""
    cib = ET.fromstring(Configuration(CIB).alone("node2"))
    assert cib.get("validate-with") == "pacemaker-3.9"
    assert [node.attrib for node in cib.iter("node")] == [{"id": "2", "uname": "node2"}]
    assert [pair.get("value") for pair in cib.findall("configuration/nodes/node//nvpair")] == ["b"]
    assert "maintenance-mode" not in [pair.get("name") for pair in cib.iter("nvpair")]
    assert list(cib.iter("rsc_location")) == list(cib.iter("lrm")) == []
    (state,) = cib.iter("node_state")
    assert (state.get("uname"), state.get("crmd"), state[0].tag) == ("node2", "online", "transient_attributes")


def test_a_remote_node_alone() -> None:
    """A remote node is planned for as any other: without the connection that would have to run elsewhere."""
    cib = ET.fromstring(Configuration(CIB).alone("far"))
    assert [node.get("uname") for node in cib.iter("node")] == ["far"]
    assert [one for one in cib.iter("primitive") if one.get("id") == "far"] == []
    assert len(list(cib.iter("primitive"))) == 5


GRAPH = """
<transition_graph>
  <rsc_op operation="monitor" operation_key="a_monitor_0" on_node="node1"><primitive id="a"/>
    <attributes CRM_meta_timeout="20000" crm_feature_set="3.16.1" ip="192.168.10.10"/></rsc_op>
  <rsc_op operation="start" operation_key="a_start_0" on_node="node1"><primitive id="a"/>
    <attributes ip="start"/></rsc_op>
  <rsc_op operation="monitor" operation_key="a_monitor_10000" on_node="node1"><primitive id="a"/>
    <attributes ip="recurring"/></rsc_op>
  <rsc_op operation="monitor" operation_key="b:0_monitor_0" on_node="node1"><primitive id="b:0"/>
    <attributes/></rsc_op>
  <rsc_op operation="monitor" operation_key="c_monitor_0" on_node="node2"><primitive id="c"/>
    <attributes/></rsc_op>
  <trigger><rsc_op operation="monitor" operation_key="d_monitor_0" on_node="node1"/></trigger>
</transition_graph>
"""


def test_parameters() -> None:
    """What a probe on this node is planned with, without Pacemaker's own; instances of a clone by the clone's name."""
    assert parameters_in(GRAPH, "node1") == {"a": {"ip": "192.168.10.10"}, "b": {}}


@pytest.mark.parametrize("text", ["", "nonsense", "<a>"])
def test_what_is_no_xml(text: str) -> None:
    """It is no evidence of anything."""
    for read in (Configuration, lambda text: parameters_in(text, "node1")):
        with pytest.raises(UnknownError):
            read(text)


def test_a_program_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """UnknownError with its name."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UnknownError, match="cibadmin of Pacemaker is not in PATH"):
        Scheduler({}, Deadline(1)).configuration()
