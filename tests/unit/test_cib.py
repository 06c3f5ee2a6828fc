"""The cluster's configuration and status as records: of clusters that crm and pcs have made, and made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from aws_ipfailover.errors import UnknownError
from aws_ipfailover.ocf.cib import AgentName, Cib, Colocation, host_map, operation_named
from aws_ipfailover.ocf.durations import INFINITY

DATA = Path(__file__).parent / "data"


def recorded(name: str) -> Cib:
    """What `cibadmin --query` of Pacemaker 2.1.5 printed."""
    return Cib((DATA / name).read_text(encoding="utf-8"))


def made(resources: str = "", *, before: str = "", after: str = "", status: str = "") -> Cib:
    """A CIB with these resources, and other parts of its configuration before and after them."""
    inner = f"{before}<resources>{resources}</resources>{after}"
    return Cib(f'<cib epoch="3"><configuration>{inner}</configuration><status>{status}</status></cib>')


# -- real clusters --------------------------------------------------------------------------------------------------


def test_a_cluster_that_pcs_made() -> None:
    """Nodes with their attributes, properties, the resource with its operations and meta attributes."""
    cib = recorded("cib-pcs.xml")
    assert [(one.node_id, one.uname, one.type) for one in cib.nodes] == [
        ("1", "node1", "member"),
        ("2", "node2", "member"),
    ]
    assert [one.attributes.get("site") for one in cib.nodes] == [None, "b"]
    assert cib.properties.get("stonith-timeout") == "600s"
    service = cib.primitives["ip_service"]
    assert (service.agent, service.containers) == (AgentName("heartbeat", "aws-ipfailover"), ())
    assert cib.parameters_of(service).get("ip") == "192.168.10.10"
    assert cib.meta_of(service).get("resource-stickiness") == "1000"  # and not 100 of the defaults
    assert cib.meta_of(cib.primitives["fence_aws"]).get("resource-stickiness") == "100"
    assert [(one.interval, one.check_level) for one in service.operations if one.name == "monitor"] == [
        (20.0, 0),
        (120.0, 10),
    ]
    assert cib.timeout_of(service, "start") == 180.0
    assert cib.timeout_of(service, "monitor", 120.0) == 60.0


def test_a_ban_with_a_lifetime() -> None:
    """`pcs resource ban ... lifetime=PT5M` is a rule, of which node and end are read; a preference has neither."""
    (preferred, banned) = recorded("cib-pcs.xml").locations
    assert (preferred.resources, preferred.node, preferred.score) == (("ip_service",), "node1", 50)
    assert not preferred.is_cli_ban
    assert not preferred.has_rule
    assert banned.is_cli_ban
    assert banned.has_rule
    assert (banned.node, banned.score, banned.until) == ("node2", -INFINITY, "2026-11-29 09:54:36Z")


def test_fencing() -> None:
    """Switches, devices, what they call the nodes, and the topology."""
    fencing = recorded("cib-pcs.xml").fencing
    assert (fencing.enabled, fencing.have_watchdog) == (True, False)
    assert [device.type for device in fencing.devices] == ["fence_aws"]
    assert fencing.targets() == {"node1": "i-0169909a2b1760efc", "node2": "i-0fcf3d2b3b71fd547"}
    (level,) = fencing.levels
    assert (level.level_index, level.devices, level.target) == (1, ("fence_aws",), "node1")


def test_a_history() -> None:
    """Each node's operations in the order of their calls, with failures, times and reasons."""
    cib = recorded("cib-pcs.xml")
    history = cib.history_of("ip_service")
    assert set(history) == {"node1", "node2"}
    assert [(one.call_id, one.operation) for one in history["node1"]] == [
        (15, "asyncmon"),
        (18, "start"),
        (19, "monitor"),
        (20, "monitor"),
    ]
    failed, started, _, deep = history["node1"]
    assert (failed.rc_code, failed.exit_reason, failed.last_rc_change) == (1, "Simulated failure", 1795945771)
    assert (started.exec_ms, started.op_status, started.interval) == (256, 0, 0.0)
    assert (deep.interval, deep.queue_ms) == (120.0, 61)
    assert cib.fail_counts_of("ip_service") == {"node1": 2}
    assert cib.fail_counts_of("fence_aws") == {}
    state = cib.node_state("node1")
    assert state is not None
    assert (state.online, state.join, state.is_remote) == (True, "member", False)
    assert [(one.operation, one.interval, one.failures) for one in state.fail_counts] == [("asyncmon", 0.0, 2)]


def test_a_clone_that_crm_made() -> None:
    """A promotable clone, defaults of operations, colocations with roles, and orders."""
    cib = recorded("cib-crm-hana.xml")
    (clone,) = cib.primitives["hana"].containers
    assert (clone.container_id, clone.kind, clone.members, clone.promotable) == ("hana_clone", "clone", ("hana",), True)
    assert cib.primitives_of("hana_clone") == ["hana"]
    assert cib.meta_of(cib.primitives["hana"]).get("interleave") == "true"
    assert cib.operation_defaults.get("timeout") == "600s"
    assert cib.timeout_of(cib.primitives["ip_primary"], "migrate_to") == 600.0
    first = cib.colocations[0]
    assert (first.resource, first.with_resource, first.score) == ("ip_primary", "hana_clone", INFINITY)
    assert (first.role, first.with_role) == ("Started", "Promoted")
    (order,) = cib.orders
    assert (order.first, order.first_action, order.then, order.then_action) == (
        "hana_clone",
        "promote",
        "ip_primary",
        "start",
    )
    assert order.kind == "Optional"


def test_groups_that_crm_made() -> None:
    """Their members in order, and what members have from them."""
    cib = recorded("cib-crm-sap-ascs.xml")
    group = cib.containers["grp_ascs"]
    assert (group.kind, group.members) == ("group", ("fs_ascs", "sap_ascs"))
    assert cib.meta_of(cib.primitives["fs_ascs"]).get("resource-stickiness") == "3000"
    assert cib.meta_of(cib.primitives["sap_ascs"]).get("resource-stickiness") == "5000"
    (one,) = [order for order in cib.orders if order.symmetrical is False]
    assert (one.first, one.then, one.then_action) == ("grp_ascs", "grp_ers", "stop")


# -- values in force ------------------------------------------------------------------------------------------------

OF_TEMPLATE = """<template id="t" class="ocf" provider="heartbeat" type="aws-ipfailover">
<meta_attributes id="t-m"><nvpair id="t1" name="a" value="template"/><nvpair id="t2" name="b" value="template"/>
</meta_attributes>
<operations><op id="t-s" name="start" interval="0" timeout="100s"/><op id="t-m10" name="monitor" interval="10"
 timeout="11s"/></operations></template>"""


def test_a_template() -> None:
    """The primitive's own values and operations come before the template's; the agent is the template's."""
    cib = made(
        OF_TEMPLATE
        + """<primitive id="p" template="t"><meta_attributes id="p-m"><nvpair id="p1" name="a" value="own"/>
</meta_attributes><operations><op id="p-s" name="start" interval="0s" timeout="200s"/></operations></primitive>"""
    )
    one = cib.primitives["p"]
    assert (str(one.agent), one.template) == ("ocf:heartbeat:aws-ipfailover", "t")
    assert one.meta.plain == {"a": "own", "b": "template"}
    assert {(op.name, op.timeout) for op in one.operations} == {("start", "200s"), ("monitor", "11s")}


def test_the_set_with_the_higher_score_counts() -> None:
    """Of equal scores the later set, in a set the first value, as Pacemaker 2.1.5 does."""
    sets = """<meta_attributes id="m1" score="5"><nvpair id="a" name="x" value="1"/></meta_attributes>
<meta_attributes id="m2" score="10"><nvpair id="b" name="x" value="2"/><nvpair id="c" name="x" value="3"/>
</meta_attributes><meta_attributes id="m3" score="10"><nvpair id="d" name="y" value="4"/></meta_attributes>
<meta_attributes id="m4" score="10"><nvpair id="e" name="y" value="5"/><nvpair id="f" name="z" value="#default"/>
</meta_attributes>"""
    meta = made(f'<primitive id="p" class="ocf" provider="h" type="D">{sets}</primitive>').primitives["p"].meta
    assert (meta.get("x"), meta.get("y"), meta.get("z")) == ("2", "5", None)


def test_the_first_set_of_properties() -> None:
    """Pacemaker's own set of cluster properties comes before all others, whatever their scores."""
    config = """<crm_config><cluster_property_set id="other" score="100"><nvpair id="a" name="stonith-enabled"
 value="false"/></cluster_property_set><cluster_property_set id="cib-bootstrap-options"><nvpair id="b"
 name="stonith-enabled" value="true"/></cluster_property_set></crm_config>"""
    assert made(before=config).fencing.enabled is True


def test_a_value_that_a_rule_decides() -> None:
    """It is not known, unless a set without a rule outranks it; other names are known all the same."""
    sets = """<meta_attributes id="m1" score="5"><rule id="r" score="0"><date_expression id="d" operation="gt"
 start="2020-01-01"/></rule><nvpair id="a" name="x" value="1"/></meta_attributes>
<meta_attributes id="m2"><nvpair id="b" name="x" value="2"/><nvpair id="c" name="y" value="3"/></meta_attributes>
<meta_attributes id="m3" score="9"><nvpair id="e" name="z" value="4"/></meta_attributes>"""
    meta = made(f'<primitive id="p" class="ocf" provider="h" type="D">{sets}</primitive>').primitives["p"].meta
    with pytest.raises(UnknownError, match="x depends on a rule of m1"):
        meta.get("x")
    assert (meta.get("y"), meta.get("z")) == ("3", "4")
    assert [one.set_id for one in meta.conditional] == ["m1"]
    assert meta.plain == {"x": "2", "y": "3", "z": "4"}


def test_timeouts_in_force() -> None:
    """An operation's own, else the default of all, else 20 s; a probe has the most frequent monitor's."""
    operations = """<operations><op id="a" name="start" interval="0" timeout="PT1M"/><op id="b" name="monitor"
 interval="30s" timeout="31s"/><op id="c" name="monitor" interval="PT10S" timeout="11s"/></operations>"""
    resources = f'<primitive id="p" class="ocf" provider="h" type="D">{operations}</primitive>'
    cib = made(resources)
    one = cib.primitives["p"]
    assert cib.timeout_of(one, "start") == 20.0  # ISO 8601 is no timeout
    assert cib.timeout_of(one, "stop") == 20.0
    assert cib.timeout_of(one, "monitor") == 11.0
    assert operation_named(one, "monitor", 10.0) is not None
    pair = '<nvpair id="n" name="timeout" value="90s"/>'
    plain = f'<op_defaults><meta_attributes id="o">{pair}</meta_attributes></op_defaults>'
    assert made(resources, after=plain).timeout_of(one, "stop") == 90.0
    rule = '<rule id="r"><op_expression id="e" name="monitor"/></rule>'
    conditional = made(resources, after=plain.replace("<nvpair", f"{rule}<nvpair"))
    with pytest.raises(UnknownError):
        conditional.timeout_of(one, "stop")
    assert conditional.timeout_of(one, "monitor", 30.0) == 31.0


def test_references() -> None:
    """A set, or a value, that refers to another one's id is that one."""
    cib = made(
        """<primitive id="p" class="ocf" provider="h" type="D"><meta_attributes id="m"><nvpair id="n" name="x"
 value="1"/></meta_attributes><operations id="ops"><op id="o" name="stop" interval="0" timeout="7s"/></operations>
</primitive>
<primitive id="q" class="ocf" provider="h" type="D"><meta_attributes id-ref="m"/><operations id-ref="ops"/></primitive>
<primitive id="r" class="ocf" provider="h" type="D"><meta_attributes id="m2"><nvpair id-ref="n"/></meta_attributes>
</primitive>"""
    )
    assert [one.meta.get("x") for one in cib.primitives.values()] == ["1", "1", "1"]
    assert cib.timeout_of(cib.primitives["q"], "stop") == 7.0


def test_what_contains_a_primitive() -> None:
    """The innermost first; a master is a promotable clone, and whether a rule's clone is one is not known."""
    cib = made(
        """<clone id="c"><meta_attributes id="m"><rule id="r"/><nvpair id="n" name="promotable" value="true"/>
</meta_attributes><group id="g"><primitive id="p" class="ocf" provider="h" type="D"/></group></clone>
<master id="ms"><primitive id="q" class="ocf" provider="h" type="D"/></master>
<bundle id="b"><podman image="i"/><primitive id="s" class="ocf" provider="h" type="D"/></bundle>"""
    )
    assert [(one.container_id, one.kind, one.promotable) for one in cib.primitives["p"].containers] == [
        ("g", "group", False),
        ("c", "clone", None),
    ]
    assert [(one.kind, one.promotable) for one in cib.primitives["q"].containers] == [("clone", True)]
    assert cib.primitives["s"].containers[0].kind == "bundle"


def test_constraints_with_sets() -> None:
    """What sets of resources say of several at once; a move's preference is known by its id."""
    cib = made(
        after="""<constraints>
<rsc_colocation id="c"><resource_set id="s" sequential="false"><resource_ref id="a"/><resource_ref id="b"/>
</resource_set></rsc_colocation>
<rsc_location id="cli-prefer-a" rsc="a" role="Started" node="n" score="INFINITY"/>
<rsc_location id="l" rsc-pattern="ip_.*" node="n" score="-5"/><rsc_ticket id="t" rsc="a" ticket="x"/>
<rsc_order id="o" first="a" then="b" score="0"/></constraints>"""
    )
    (colocation,) = cib.colocations
    assert isinstance(colocation, Colocation)
    assert (colocation.score, colocation.sets[0].resources, colocation.sets[0].sequential) == (
        INFINITY,
        ("a", "b"),
        False,
    )
    moved, by_pattern = cib.locations
    assert moved.is_cli_prefer
    assert (by_pattern.resources, by_pattern.pattern, by_pattern.score) == ((), "ip_.*", -5)
    assert [one.kind for one in cib.orders] == ["Optional"]


# -- status ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "online"),
    [
        ('in_ccm="true" crmd="online" join="member"', True),
        ('in_ccm="false" crmd="offline" join="down"', False),
        ('in_ccm="true" crmd="offline" join="member"', False),
        ('in_ccm="1795945771" crmd="1795945772" join="member"', True),
        ('in_ccm="0" crmd="0" join="down"', False),
        ('crmd="online"', None),
        ('remote_node="true" in_ccm="true"', None),
    ],
)
def test_whether_a_node_is_online(attributes: str, online: bool) -> None:
    """By membership, controller and join, in the words of all versions; what is not told is not known."""
    (state,) = made(status=f'<node_state id="1" uname="n" {attributes}/>').node_states
    assert state.online is online


def test_fail_counts_and_health() -> None:
    """Of all operations together, INFINITY at most; names of resources may have most characters."""
    pairs = {
        "fail-count-ip-a#start_0": "INFINITY",
        "fail-count-ip-a#monitor_10000": "3",
        "fail-count-c:0#monitor_10000": "1",
        "fail-count-old": "2",
        "#health-aws-ipfailover": "yellow",
    }
    values = "".join(f'<nvpair id="{i}" name="{name}" value="{pairs[name]}"/>' for i, name in enumerate(pairs))
    text = f'<instance_attributes id="s">{values}</instance_attributes>'
    text = f'<transient_attributes id="1">{text}</transient_attributes>'
    cib = made(status=f'<node_state id="1" uname="n">{text}</node_state>')
    assert [cib.fail_counts_of(name) for name in ("ip-a", "c", "old", "x")] == [
        {"n": INFINITY},
        {"n": 1},
        {"n": 2},
        {},
    ]
    (state,) = cib.node_states
    assert state.health == {"#health-aws-ipfailover": "yellow"}


def test_an_operation_that_is_pending() -> None:
    """It has no call yet, and is the last one."""
    entries = """<lrm_rsc_op id="a" operation="start" operation_key="p_start_0" call-id="-1" rc-code="193"
 op-status="-1" interval="0"/><lrm_rsc_op id="b" operation="monitor" call-id="5" rc-code="7" op-status="0"
 interval="0"/>"""
    lrm = f'<lrm id="1"><lrm_resources><lrm_resource id="p">{entries}</lrm_resource></lrm_resources></lrm>'
    (first, last) = made(status=f'<node_state id="1" uname="n">{lrm}</node_state>').history_of("p")["n"]
    assert (first.is_pending, last.is_pending, last.node) == (False, True, "n")


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("node1:i-1;node2:i-2", {"node1": "i-1", "node2": "i-2"}),
        ("node1=i-1 node2=i-2", {"node1": "i-1", "node2": "i-2"}),
        ("node1", {}),
        ("", {}),
    ],
)
def test_maps_of_fence_devices(text: str, targets: object) -> None:
    """Pairs of node and instance, in both notations."""
    assert host_map(text) == targets


def test_nodes_of_which_two_devices_say_different_things() -> None:
    """Which one is right is not known."""
    devices = "".join(
        f'<primitive id="f{i}" class="stonith" type="fence_aws"><instance_attributes id="i{i}"><nvpair id="n{i}"'
        f' name="pcmk_host_map" value="{text}"/></instance_attributes></primitive>'
        for i, text in enumerate(("a:i-1;b:i-2", "a:i-1;b:i-3"))
    )
    assert made(devices).fencing.targets() == {"a": "i-1"}


def test_what_is_no_cib() -> None:
    """No XML is no evidence of anything; XML without the parts has none of them."""
    with pytest.raises(UnknownError):
        Cib("nonsense")
    cib = Cib("<cib/>")
    assert (cib.nodes, cib.primitives, cib.constraints, cib.node_states, cib.version) == ((), {}, (), (), (0, 0, 0))
    assert cib.fencing.enabled is None
