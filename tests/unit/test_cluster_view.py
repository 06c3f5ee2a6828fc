"""What `crm_mon` of real clusters printed, as records; and which node an instance is."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from aws_ipfailover.errors import UnknownError
from aws_ipfailover.ocf.cib import Cib
from aws_ipfailover.ocf.cluster_view import ClusterView, FailCount, view_of
from aws_ipfailover.ocf.corosync import node_addresses
from aws_ipfailover.state.node_names import NodeNames, node_names

DATA = Path(__file__).parent / "data"


def recorded(name: str) -> ClusterView:
    """What `crm_mon --output-as=xml` of Pacemaker 2.1.5 printed."""
    return view_of((DATA / name).read_text(encoding="utf-8"))


def test_a_cluster_with_a_failure() -> None:
    """Nodes, the resource with its marks, the failure on record and the fail count."""
    view = recorded("crm-mon-pcs.xml")
    assert (view.dc, view.quorum, view.maintenance_mode, view.stop_all_resources) == ("node1", True, False, False)
    assert [(one.name, one.online, one.standby, one.maintenance) for one in view.nodes] == [
        ("node1", True, False, False),
        ("node2", True, False, False),
    ]
    (service,) = view.of("ip_service")
    assert (service.role, service.nodes, service.managed, service.failed) == ("Started", ("node1",), True, False)
    (failure,) = view.failures
    assert (failure.resource_id, failure.operation, failure.node, failure.exit_code, failure.exit_reason) == (
        "ip_service",
        "asyncmon",
        "node1",
        1,
        "Simulated failure",
    )
    assert view.fail_counts == (FailCount("ip_service", "node1", 2),)


def test_instances_of_a_clone() -> None:
    """They are found by the clone's primitive; a resource that is not there is not."""
    view = recorded("crm-mon-hana.xml")
    assert sorted(one.role for one in view.of("hana")) == ["Promoted", "Unpromoted"]
    assert view.of("nobody") == ()


def test_an_exit_reason_is_as_the_agent_said_it() -> None:
    """Pacemaker escapes it, and then its XML library does so once more."""
    view = view_of(
        "<pacemaker-result><summary/><failures><failure op_key='ip_start_0' task='start' node='node1' exitcode='2'"
        " exitreason='EC2&amp;apos;s answer: a &amp;lt; b'/></failures></pacemaker-result>"
    )
    assert [one.exit_reason for one in view.failures] == ["EC2's answer: a < b"]


@pytest.mark.parametrize("text", ["", "Error: cluster is not available on this node", "<pacemaker-result/>"])
def test_what_is_no_view(text: str) -> None:
    """It is no evidence of anything."""
    with pytest.raises(UnknownError):
        view_of(text)


COROSYNC = """
totem {
    version: 2
    cluster_name: lab
    interface {
        linknumber: 0
    }
}
nodelist {
    node {
        # name: other
        ring0_addr: 10.0.1.10
        ring1_addr: 2001:db8::10
        name: node1
        nodeid: 1
    }
    node {
        ring0_addr: host-b.example.com
        name: node2
    }
    node {
        ring0_addr: 10.0.1.12
    }
}
"""


def test_addresses_of_corosync() -> None:
    """IP addresses by the nodes' names; host names, and nodes without a name, tell nothing."""
    assert node_addresses(COROSYNC) == {"node1": (ip_address("10.0.1.10"), ip_address("2001:db8::10")), "node2": ()}
    assert node_addresses("") == node_addresses("}\n}") == {}


def test_which_node_an_instance_is() -> None:
    """By the fence device's map, else by an address of corosync, else not known."""
    cib = Cib((DATA / "cib-pcs.xml").read_text(encoding="utf-8"))
    names = node_names(cib, COROSYNC.replace("node1", "node3"))
    assert names.node_of("i-0169909a2b1760efc") == "node1"
    assert names.node_of("i-0000", [ip_address("10.0.9.9"), ip_address("10.0.1.10")]) == "node3"
    assert names.node_of("i-0000", [ip_address("10.0.9.9")]) == ""
    assert node_names(None, "").node_of("i-0169909a2b1760efc") == ""
    assert names.and_own("i-0000", "here").node_of("i-0000") == "here"
    assert NodeNames().and_own("", "here").node_of("") == ""
