"""Addresses inside a prefix that is delegated to an ENI: mode=private-ip refuses them, mode=eni serves them."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, List

import pytest

from sandbox import EniNode, Node, addresses, create_eni, with_profile
from vpc_lab.ec2 import Fault

MakeNode = Callable[..., Node]
IPV4, PREFIX4 = "10.0.1.200", "10.0.1.192/28"
IPV6, PREFIX6 = "2001:db8:1000:1:9::5", "2001:db8:1000:1:9::/80"
PREFIXES = {IPV4: PREFIX4, IPV6: PREFIX6}


def delegate(node: Node | EniNode, eni: str, prefix: str) -> None:
    """Delegate a prefix to an ENI."""
    if ":" in prefix:
        node.aws.api.administer("AssignIpv6Addresses", NetworkInterfaceId=eni, **{"Ipv6Prefix.1": prefix})
    else:
        node.aws.api.administer("AssignPrivateIpAddresses", NetworkInterfaceId=eni, **{"Ipv4Prefix.1": prefix})


@pytest.fixture(params=[IPV4, IPV6], ids=["ipv4", "ipv6"])
def node(make_node: MakeNode, request: pytest.FixtureRequest) -> Node:
    """A node in a box, whose service address may be inside a prefix."""
    node = make_node()
    node.agent.parameters = {"mode": "private-ip", "ip": request.param}
    return node


def writes(node: Node) -> List[str]:
    """What the agent wrote in EC2, with success."""
    calls = [call for call in node.aws.calls() if call.service == "ec2" and call.caller != "administrator"]
    return [call.action for call in calls if not call.action.startswith("Describe") and call.outcome == "ok"]


def says(node: Node, eni: str) -> str:
    """How the sentence begins."""
    prefix = PREFIXES[node.address]
    return (
        f"parameter ip: {node.address} is inside {prefix}, which is delegated to {eni}: EC2 assigns no single address"
    )


@pytest.mark.parametrize("action", ["start", "validate-all"])
def test_a_prefix_of_this_node(node: Node, action: str) -> None:
    """2 with address, prefix and ENI, by IMDS and one read that agrees; nothing is tried and nothing has changed."""
    delegate(node, node.me.network_interface_id, PREFIXES[node.address])
    before = addresses()
    ran = node.agent.run(action, level=10)
    assert ran.code == 2, ran
    assert ran.reason.startswith(says(node, node.me.network_interface_id))
    assert "expected an address outside delegated prefixes" in ran.reason
    assert ran.ec2 == ["DescribeNetworkInterfaces"]
    assert addresses() == before


@pytest.mark.parametrize("action", ["start", "validate-all"])
def test_a_prefix_of_another_eni(node: Node, action: str) -> None:
    """2 with address, prefix and that ENI, attached or not; start tells EC2's refusal too; nothing has changed."""
    eni = create_eni(node.aws, node.me.subnet.subnet_id, "10.0.1.77")
    delegate(node, eni, PREFIXES[node.address])
    before = addresses()
    ran = node.agent.run(action, level=10)
    assert ran.code == 2, ran
    assert ran.reason.startswith(says(node, eni))
    assert ("InvalidParameterValue" in ran.reason) is (action == "start")
    assert writes(node) == []
    assert addresses() == before


def test_ec2_is_asked_only_after_its_refusal(make_node: MakeNode) -> None:
    """IPv4: a start costs one call of EC2, and one read more where that is refused."""
    node = make_node()
    node.agent.parameters = {"mode": "private-ip", "ip": "10.0.1.50"}
    delegate(node, node.me.network_interface_id, "10.0.1.208/28")
    delegate(node, node.aws.account.instance("consumer-a").network_interface_id, PREFIX4)
    assert node.started().ec2 == ["AssignPrivateIpAddresses"]
    ran = node.agent.run("start", {"ip": IPV4})
    assert ran.code == 2, ran
    assert ran.ec2 == ["AssignPrivateIpAddresses", "DescribeNetworkInterfaces"]


def test_one_of_several(make_node: MakeNode) -> None:
    """Several addresses move together or not at all: one inside a prefix, and no ENI loses another one."""
    node = make_node()
    ips = ["10.0.1.50", IPV4, "2001:db8:1000:1::50", IPV6]
    other = node.aws.account.instance("consumer-a")
    given = {"NetworkInterfaceId": other.network_interface_id}
    node.aws.api.administer("AssignIpv6Addresses", **given, **{"Ipv6Addresses.1": "2001:db8:1000:1::50"})
    for prefix in PREFIXES.values():
        delegate(node, create_eni(node.aws, node.me.subnet.subnet_id), prefix)
    node.agent.parameters = {"mode": "private-ip", "ip": ",".join(ips)}
    before = addresses()
    ran = node.agent.run("start")
    assert ran.code == 2, ran
    assert writes(node) == []
    assert addresses() == before


def test_instance_metadata_that_lags(node: Node) -> None:
    """IMDS still tells a prefix that EC2 has taken back: EC2 decides, and the address is assigned."""
    version = "6" if ":" in node.address else "4"
    path = f"/latest/meta-data/network/interfaces/macs/{node.me.mac}/ipv{version}-prefix"
    node.aws.imds.overrides[path] = PREFIXES[node.address]
    ran = node.started()
    assert "Assign" in ran.ec2[-1]


def test_an_unreadable_reason(make_node: MakeNode) -> None:
    """A refusal that the node may not explain, as it may not read network interfaces, is told in EC2's words: 1."""
    node = make_node()
    node.agent.parameters = {"mode": "private-ip", "ip": IPV4}
    delegate(node, node.aws.account.instance("consumer-a").network_interface_id, PREFIX4)
    node.aws.faults.add(Fault("error", action="Describe*", code="UnauthorizedOperation", status=403))
    ran = node.agent.run("start", timeout=10)
    assert ran.code == 1, ran
    assert "AssignPrivateIpAddresses: InvalidParameterValue" in ran.reason


def test_without_imds(make_node: MakeNode, tmp_path: Path) -> None:
    """IMDS switched off: EC2 refuses the address, and its prefixes explain it."""
    node = make_node()
    node.agent.parameters = {"mode": "private-ip", "ip": IPV4}
    with_profile(node, tmp_path)
    node.aws.account.imds_disabled.add("node1")
    delegate(node, node.me.network_interface_id, PREFIX4)
    ran = node.agent.run("start")
    assert ran.code == 2, ran
    assert ran.reason.startswith(says(node, node.me.network_interface_id))


def test_a_monitor_next_to_a_prefix(node: Node) -> None:
    """A prefix of this node that the address is not inside disturbs nothing."""
    address = "2001:db8:1000:1::50" if ":" in node.address else "10.0.1.50"
    delegate(node, node.me.network_interface_id, PREFIXES[node.address])
    node.agent.parameters["ip"] = address
    node.started()
    node.forget_writes()
    assert node.agent.run("monitor", level=10, interval=10).code == 0
    assert node.agent.run("validate-all", level=10).code == 0
    assert node.agent.run("stop").code == 0


# -- eni --------------------------------------------------------------------------------------------------------------


def test_an_address_of_the_enis_own_prefix(eni_node: EniNode) -> None:
    """mode=eni: an extra `ip` inside the ENI's own prefix is served, as EC2 delivers the whole prefix to it."""
    delegate(eni_node, eni_node.eni, PREFIX4)
    eni_node.agent.parameters["ip"] = IPV4
    assert eni_node.agent.run("validate-all", level=10).code == 0
    eni_node.started()
    for level in (0, 10):
        assert eni_node.agent.run("monitor", level=level, interval=10).code == 0
    ran = eni_node.agent.run("stop")
    assert ran.code == 0, ran
    assert eni_node.quiesced()
