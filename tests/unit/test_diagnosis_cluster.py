"""The doctor's checks of the cluster that no test on a cluster breaks, and what they read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from aws_ipfailover.diagnosis import cluster
from aws_ipfailover.diagnosis.cluster_reads import Totem, totem_in
from aws_ipfailover.diagnosis.finding import Finding, Outcome
from aws_ipfailover.errors import UnknownError
from aws_ipfailover.ocf.attributes import NONE
from aws_ipfailover.ocf.cib import Cib, ClusterNode

PRINTED = """
runtime.config.totem.consensus (u32) = 1200
runtime.config.totem.token (u32) = 1000
runtime.config.totem.token_retransmit (u32) = 238
"""
CIB = """
<cib><configuration>
<crm_config><cluster_property_set id="options">{options}</cluster_property_set></crm_config>
<nodes/>
<resources>
<primitive id="fence" class="stonith" type="{agent}">
<instance_attributes id="a">{parameters}</instance_attributes>
</primitive>
<group id="g">
<primitive id="ip" class="ocf" provider="heartbeat" type="aws-ipfailover"/>
<primitive id="behind" class="ocf" provider="pacemaker" type="Dummy"/>
</group>
<primitive id="with" class="ocf" provider="pacemaker" type="Dummy"/>
<primitive id="after" class="ocf" provider="pacemaker" type="Dummy"/>
<primitive id="away" class="ocf" provider="pacemaker" type="Dummy"/>
</resources>
<constraints>
<rsc_colocation id="c1" rsc="with" with-rsc="g" score="INFINITY"/>
<rsc_colocation id="c2" rsc="away" with-rsc="g" score="-INFINITY"/>
<rsc_order id="o1" first="g" then="after"/>
<rsc_order id="o2" first="g" then="away" kind="Optional"/>
</constraints>
</configuration><status/></cib>
"""


def nvpairs(**values: str) -> str:
    """Values of a set of attributes."""
    return "".join(f'<nvpair id="n-{name}" name="{name}" value="{value}"/>' for name, value in values.items())


def cib(agent: str = "fence_aws", options: str = "", **parameters: str) -> Cib:
    """A configuration with a fence device of this agent with these parameters."""
    return Cib(CIB.format(agent=agent, options=options, parameters=nvpairs(**parameters)))


def around(**reads: Any) -> Any:
    """What a check looks at, of which each read has its answer."""
    return SimpleNamespace(cluster=SimpleNamespace(**{name: lambda one=one: one for name, one in reads.items()}))


def test_corosyncs_timeouts_are_those_in_force() -> None:
    """Of all that corosync-cmapctl prints; without them nothing is guessed."""
    assert totem_in(PRINTED.splitlines()) == Totem(1000, 1200)
    with pytest.raises(UnknownError, match="does not tell the token"):
        totem_in(["runtime.config.totem.hold (u32) = 180"])


@pytest.mark.parametrize(
    ("totem", "outcome", "said"),
    [
        (Totem(1000, 1200), Outcome.WARN, "a pause of the virtual machine"),
        (Totem(5000, 5000), Outcome.WARN, "less than 1.2 times"),
        (Totem(30000, 36000), Outcome.PASS, "token is 30 s"),
    ],
)
def test_a_token_that_a_pause_of_the_machine_outlasts_is_told(totem: Totem, outcome: Outcome, said: str) -> None:
    """And a consensus that Corosync would not take beside it."""
    found = cluster._token(around(totem=totem))
    assert (found.outcome, said in found.text) == (outcome, True), found


def fencing_time(found: Cib) -> Finding:
    """What the check of the time that fencing takes says."""
    return cluster._fencing_time(around(known_cib=found))


def test_how_long_fencing_takes() -> None:
    """A device that lets the system shut down is told; more so where fencing is given up before."""
    assert fencing_time(cib(skip_os_shutdown="true")).outcome is Outcome.PASS
    assert fencing_time(cib("fence_sbd")).outcome is Outcome.PASS
    short = fencing_time(cib())
    assert short.outcome is Outcome.WARN
    assert "given up after 60 s" in short.text
    assert short.commands == (("crm_attribute", "--name", "stonith-timeout", "--update", "600s"),)
    long = fencing_time(cib(options=nvpairs(**{"stonith-timeout": "600s"})))
    assert long.outcome is Outcome.WARN
    assert "given up" not in long.text
    assert long.commands[0][-2:] == ("--parameter-value", "true")


def test_a_device_without_a_map_can_know_its_nodes_otherwise() -> None:
    """By pcmk_host_list, or by asking EC2: that a node is in no map then proves nothing."""
    found = cib()
    found.__dict__["nodes"] = (ClusterNode("1", "node1", "member", NONE),)
    told = cluster._fencing_targets(around(known_cib=found, node_name="node1"))
    assert told.outcome is Outcome.UNKNOWN
    mapped = cib(pcmk_host_map="node2:i-2")
    mapped.__dict__["nodes"] = found.nodes
    assert cluster._fencing_targets(around(known_cib=mapped, node_name="node1")).outcome is Outcome.FAIL


def test_what_a_restart_restarts_as_well() -> None:
    """What stands behind it in its group, and what mandatory orders and positive colocations bind to the group."""
    assert cluster.dependents_of(cib(), "ip") == {"behind", "with", "after"}
