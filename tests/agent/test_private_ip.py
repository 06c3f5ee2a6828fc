"""The contract's rows for mode=private-ip: a secondary private address that moves between the nodes' own ENIs."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from sandbox import (
    Held,
    Node,
    addresses,
    answers_on,
    attach,
    create_eni,
    crm_resource_stub,
    ip,
    make_interface,
    without_packages,
)
from vpc_lab.ec2 import Consistency, Fault
from vpc_lab.topology import InstanceSpec
from vpc_lab.waiting import eventually

NOT_RUNNING = 7
DEGRADED = 190
IPV4 = "10.0.1.50"
IPV6 = "2001:db8:1000:1::50"


@pytest.fixture(params=[IPV4, IPV6], ids=["ipv4", "ipv6"])
def node(make_node: Callable[..., Node], request: pytest.FixtureRequest) -> Node:
    """A node in a box; another instance of its subnet has the address."""
    return on_the_other(make_node(), request.param)


@pytest.fixture
def node4(make_node: Callable[..., Node]) -> Node:
    """The same, IPv4 only."""
    return on_the_other(make_node(), IPV4)


def on_the_other(node: Node, address: str) -> Node:
    """Make it the standby of a resource that another instance of its subnet has."""
    node.agent.parameters = {"mode": "private-ip", "ip": address}
    assign(node, other(node).network_interface_id)
    return node


def other(node: Node) -> InstanceSpec:
    """Another instance of the subnet."""
    return node.aws.account.instance("consumer-a")


def assign(node: Node, eni: str) -> None:
    """Give an ENI the address, as an administrator."""
    holder = next(iter(holders(node)), None)
    if ":" not in node.address:
        parameters = {"PrivateIpAddress.1": node.address, "AllowReassignment": "true"}
        node.aws.api.administer("AssignPrivateIpAddresses", NetworkInterfaceId=eni, **parameters)
        return
    if holder is not None:
        node.aws.api.administer("UnassignIpv6Addresses", NetworkInterfaceId=holder, **{"Ipv6Addresses.1": node.address})
    node.aws.api.administer("AssignIpv6Addresses", NetworkInterfaceId=eni, **{"Ipv6Addresses.1": node.address})


def holders(node: Node) -> List[str]:
    """The ENIs that have the address."""
    found = node.aws.account.world.interfaces.values()
    return [one.network_interface_id for one in found if node.address in map(str, (*one.ipv4, *one.ipv6))]


# -- start ------------------------------------------------------------------------------------------------------------


def test_start(node: Node) -> None:
    """start takes the address away from the other node, and has it with the subnet's prefix length."""
    ran = node.started()
    assert holders(node) == [node.me.network_interface_id]
    prefix = 64 if ":" in node.address else 24
    assert [(one.device, one.address) for one in node.held()] == [("eth0", f"{node.address}/{prefix}")]
    assert answers_on(node.address)
    if ":" not in node.address:
        assert ran.ec2 == ["AssignPrivateIpAddresses"]


def test_start_twice(node: Node) -> None:
    """A second start asserts the cloud side again, and changes nothing here."""
    node.started()
    before = addresses()
    ran = node.started()
    assert ran.ec2
    assert addresses() == before
    assert holders(node) == [node.me.network_interface_id]


def test_start_where_nobody_has_it(make_node: Callable[..., Node]) -> None:
    """An address that no ENI has is assigned."""
    node = make_node()
    for address in (IPV4, IPV6):
        node.agent.parameters = {"mode": "private-ip", "ip": address}
        node.started()
        assert holders(node) == [node.me.network_interface_id]


def test_the_nodes_own_address_stays_first(node: Node) -> None:
    """What the node sends of its own accord keeps its own source address; its routes stay as they are."""
    family = "-6" if ":" in node.address else "-4"
    before = ip(family, "route", "show")
    node.started()
    assert ip(family, "route", "show") == before
    neighbour = str(other(node).ipv6_address if ":" in node.address else other(node).address)
    assert ip("route", "get", neighbour)[0]["prefsrc"] == str(
        node.me.ipv6_address if ":" in node.address else node.me.address
    )


def test_another_prefix_length(node: Node) -> None:
    """An address that is there with another prefix length gets the subnet's."""
    ip(
        "address",
        "add",
        f"{node.address}/{node.destination.split('/')[1]}",
        "dev",
        "eth0",
        *(["nodad"] if ":" in node.address else []),
    )
    node.started()
    assert [one.address.split("/")[1] for one in node.held()] == ["64" if ":" in node.address else "24"]


@pytest.mark.parametrize("address", ["10.0.2.50", "192.168.10.10", "2001:db8:1000:2::50"])
@pytest.mark.parametrize("action", ["start", "validate-all"])
def test_outside_the_subnet(node4: Node, action: str, address: str) -> None:
    """2: an address outside the node's subnet, with a sentence that names overlay-ip; EC2 is not asked."""
    ran = node4.agent.run(action, {"ip": address}, level=10)
    assert ran.code == 2, ran
    assert "mode=overlay-ip" in ran.reason
    assert "10.0.1.0/24" in ran.reason
    assert ran.ec2 == []
    assert not answers_on(address)


@pytest.mark.parametrize("status", [404, 500])
def test_a_subnet_that_imds_does_not_know(node: Node, status: int) -> None:
    """EC2 is asked instead, and only then; the same checks hold."""
    node.started()
    node.agent.run("stop")
    assert "DescribeSubnets" not in node.agent.run("start").ec2
    node.agent.run("stop")
    node.aws.faults.add(Fault("error", service="imds", action="*/subnet-*", status=status))
    ran = node.agent.run("start", timeout=8)
    assert ran.code == 0, ran
    assert "DescribeSubnets" in ran.ec2
    assert [one.address.split("/")[1] for one in node.held()] == ["64" if ":" in node.address else "24"]
    outside = "2001:db8:1000:2::50" if ":" in node.address else "10.0.2.50"
    ran = node.agent.run("start", {"ip": outside}, timeout=8)
    assert ran.code == 2, ran
    assert "mode=overlay-ip" in ran.reason


@pytest.mark.parametrize("key", ["subnet-ipv4-cidr-block", "subnet-ipv6-cidr-blocks"])
def test_a_subnet_that_imds_knows_in_part(node: Node, key: str) -> None:
    """404 for the CIDR of the address's own version proves nothing: EC2 is asked, and the start succeeds."""
    node.aws.faults.add(Fault("error", service="imds", action=f"*/{key}", status=404))
    node.started()
    assert [one.address.split("/")[1] for one in node.held()] == ["64" if ":" in node.address else "24"]


def test_too_many_addresses(node4: Node) -> None:
    """2: PrivateIpAddressLimitExceeded; the address is not here."""
    for number in range(9):
        node4.aws.api.administer(
            "AssignPrivateIpAddresses",
            NetworkInterfaceId=node4.me.network_interface_id,
            **{"PrivateIpAddress.1": f"10.0.1.{200 + number}"},
        )
    ran = node4.agent.run("start")
    assert ran.code == 2, ran
    assert "AssignPrivateIpAddresses: PrivateIpAddressLimitExceeded" in ran.reason
    assert node4.held() == []


@pytest.mark.parametrize("operation", ["Assign*", "Unassign*", "Describe*"])
def test_denied(node: Node, operation: str) -> None:
    """4: AWS does not allow an operation that start needs; the address is not here."""
    node.aws.faults.add(Fault("error", service="ec2", action=operation, code="UnauthorizedOperation", status=403))
    ran = node.agent.run("start")
    needed = operation == "Assign*" or ":" in node.address
    assert ran.code == (4 if needed else 0), ran
    if needed:
        assert "UnauthorizedOperation" in ran.reason
        assert node.held() == []


FAILURES = [
    Fault("error", service="ec2", code="InternalError", status=500),
    Fault("error", service="ec2", code="InvalidParameterValue", status=400),
    Fault("hang", service="ec2"),
    Fault("reset", service="ec2"),
    Fault("hang", service="imds"),
]


@pytest.mark.parametrize("fault", FAILURES, ids=lambda fault: f"{fault.service}-{fault.kind}-{fault.status}")
def test_a_start_that_fails(node: Node, fault: Fault) -> None:
    """1 within the deadline, one reason, and no local address."""
    node.aws.faults.add(fault)
    ran = node.agent.run("start", timeout=5)
    assert ran.code == 1, ran
    assert ran.elapsed < 5
    assert ran.reason
    assert node.held() == []
    assert not answers_on(node.address)


def test_a_primary_address(node4: Node) -> None:
    """The primary address of another ENI cannot be taken away: 2 with EC2's words, nothing is here."""
    ran = node4.agent.run("start", {"ip": str(other(node4).address)})
    assert ran.code == 2, ran
    assert "AssignPrivateIpAddresses" in ran.reason
    assert "is the primary address of" in ran.reason
    assert not answers_on(str(other(node4).address))
    ran = node4.agent.run("validate-all", {"ip": str(other(node4).address)}, level=10)
    assert ran.code == 2, ran


def test_one_throttled_call(node: Node) -> None:
    """Each operation is throttled once: start gets through."""
    for operation in ("Describe*", "Unassign*", "Assign*"):
        node.aws.faults.add(Fault("error", action=operation, times=1, code="RequestLimitExceeded", status=503))
    node.started()
    assert holders(node) == [node.me.network_interface_id]


def test_taken_away_meanwhile(make_node: Callable[..., Node]) -> None:
    """IPv6: the other node has let go of it between the read and the write: start gets it all the same."""
    node = on_the_other(make_node(), IPV6)
    node.aws.faults.add(Fault("reset", action="UnassignIpv6Addresses", after=True, times=1))
    node.started()
    assert holders(node) == [node.me.network_interface_id]


def test_an_old_read_says_here(make_node: Callable[..., Node]) -> None:
    """IPv6: a read shows it here although the other node has taken it meanwhile: only the assignment is believed."""
    node = on_the_other(make_node(), IPV6)
    node.started()
    node.aws.account.consistency = Consistency(lag=3.0)
    mine = node.me.network_interface_id
    eventually("reads show it here", lambda: node.address in map(str, node.aws.account.view().interfaces[mine].ipv6))
    assign(node, other(node).network_interface_id)
    node.started()
    assert holders(node) == [node.me.network_interface_id]


def test_a_read_that_stays_wrong(make_node: Callable[..., Node]) -> None:
    """IPv6: reads never show who has it: 1 with EC2's words, never a success; a short while of trying."""
    node = on_the_other(make_node(), IPV6)
    node.aws.account.consistency = Consistency(lag=math.inf)
    ran = node.agent.run("start", timeout=8)
    assert ran.code == 1, ran
    assert "AssignIpv6Addresses: InvalidParameterValue" in ran.reason
    assert ran.elapsed < 8
    assert node.held() == []
    assert holders(node) == [other(node).network_interface_id]


def test_what_is_here_cannot_be_assigned_again(make_node: Callable[..., Node]) -> None:
    """IPv6: should EC2 refuse to assign an address to the ENI that has it, start gets its proof all the same."""
    node = on_the_other(make_node(), IPV6)
    node.started()
    refusal = Fault("error", action="AssignIpv6Addresses", times=1, code="InvalidParameterValue", status=400)
    node.aws.faults.add(refusal)
    ran = node.started()
    assert [call for call in ran.ec2 if not call.startswith("Describe")] == [
        "AssignIpv6Addresses",
        "UnassignIpv6Addresses",
        "AssignIpv6Addresses",
    ]
    assert holders(node) == [node.me.network_interface_id]


def test_another_interface(node4: Node) -> None:
    """`interface`: the ENI is the one with its MAC address."""
    eni = create_eni(node4.aws, node4.me.subnet.subnet_id, "10.0.1.70")
    attach(node4.aws, eni, node4.me, 1)
    make_interface("eth1", node4.aws.account.world.interfaces[eni].mac)
    ran = node4.agent.run("start", {"interface": "eth1", "iflabel": "vip"})
    assert ran.code == 0, ran
    assert holders(node4) == [eni]
    assert node4.held() == [Held("eth1", f"{IPV4}/24", "eth1:vip")]


# -- stop -------------------------------------------------------------------------------------------------------------


def test_stop(node: Node, tmp_path: Path) -> None:
    """stop: local, with no call to EC2 or IMDS, and without their SDKs; the other addresses stay."""
    before = addresses()
    node.started()
    missing = without_packages(tmp_path / "shim", "boto3", "botocore", "requests")
    ran = node.agent.run("stop", environ=missing)
    assert ran.code == 0, ran
    assert ran.calls == ()
    assert not answers_on(node.address)
    assert addresses() == before
    assert holders(node) == [node.me.network_interface_id]
    ran = node.agent.run("stop")
    assert ran.code == 0, ran


def test_there_and_back(node: Node) -> None:
    """The other node takes it over after stop, and this one gets it back."""
    node.started()
    assert node.agent.run("stop").code == 0
    assign(node, other(node).network_interface_id)
    node.started()
    assert holders(node) == [node.me.network_interface_id]


# -- probe and monitor ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interval", [0, 10])
def test_local_only(node: Node, interval: int) -> None:
    """probe and monitor level 0: 7 without the address, 0 with it; no call, neither boto3 nor requests imported."""
    node.agent.interpreter = (sys.executable, "-X", "importtime")
    for code in (NOT_RUNNING, 0):
        if code == 0:
            node.started()
        ran = node.agent.run("monitor", interval=interval)
        assert ran.code == code, ran
        assert ran.calls == ()
        assert "aws_ipfailover" in ran.stderr
        assert not [
            name for name in ("boto3", "botocore", "requests") if f"| {name}" in ran.stderr.replace("|   ", "| ")
        ]


def test_monitor_here(node: Node) -> None:
    """Level 10, HERE: 0, by one call to EC2."""
    node.started()
    ran = node.agent.run("monitor", level=10, interval=10)
    assert ran.code == 0, ran
    assert ran.ec2 == ["DescribeNetworkInterfaces"]


def test_monitor_after_its_own_write(node: Node) -> None:
    """Level 10: for 60 s after this node's own successful write a read that contradicts it is UNKNOWN: 190."""
    node.started()
    asked = crm_resource_stub(node, "managed")
    assign(node, other(node).network_interface_id)
    ran = node.agent.run("monitor", level=10, interval=10)
    assert ran.code == DEGRADED, ran
    assert holders(node) == [other(node).network_interface_id]
    assert asked() == []


UNKNOWNS: List[Dict[str, Any]] = [
    {"kind": "error", "service": "ec2", "code": "RequestLimitExceeded", "status": 503},
    {"kind": "error", "service": "ec2", "code": "UnauthorizedOperation", "status": 403},
    {"kind": "hang", "service": "ec2"},
    {"kind": "hang", "service": "imds"},
]


@pytest.mark.parametrize("options", UNKNOWNS, ids=lambda options: "-".join(map(str, options.values())))
def test_monitor_unknown(node: Node, options: Dict[str, Any]) -> None:
    """Level 10, UNKNOWN: 190; the address stays."""
    node.started()
    node.aws.faults.add(Fault(**options))
    ran = node.agent.run("monitor", level=10, interval=10, timeout=5)
    assert ran.code == DEGRADED, ran
    assert ran.reason
    assert answers_on(node.address)


# -- the other actions ------------------------------------------------------------------------------------------------


def test_validate(node: Node) -> None:
    """validate-all: level 0 asks nothing, level 10 is 0 and changes nothing."""
    ran = node.agent.run("validate-all")
    assert ran.code == 0, ran
    assert ran.calls == ()
    ran = node.agent.run("validate-all", level=10)
    assert ran.code == 0, ran
    assert holders(node) == [other(node).network_interface_id]


@pytest.mark.parametrize("action", ["start", "validate-all"])
def test_without_an_address(node4: Node, action: str) -> None:
    """6: ip is missing."""
    ran = node4.agent.run(action, {"ip": None})
    assert ran.code == 6, ran
    assert "parameter ip is missing" in ran.reason
