"""Parameter interface with the NIC of a secondary ENI, which is in another subnet than the primary one."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Callable, List

import pytest

from sandbox import Node, addresses, answers_on, attach, create_eni, crm_resource_stub, ip, make_interface, with_profile
from vpc_lab.topology import InstanceSpec, SubnetSpec, topology_for

DEGRADED = 190
SUBNET = SubnetSpec("service", "eu-central-1a", IPv4Network("10.0.3.0/24"), IPv6Network("2001:db8:1000:3::/64"))
IPV4, IPV6 = "10.0.3.50", "2001:db8:1000:3::50"


@pytest.fixture
def node(make_node: Callable[..., Node]) -> Node:
    """A node whose second ENI, in the service subnet, is eth1; the source/destination check of both is on."""
    topology = topology_for()
    node = make_node(topology=replace(topology, subnets=(*topology.subnets, SUBNET), source_dest_check=True))
    eni = service_eni(node, node.me, "10.0.3.11", "2001:db8:1000:3::11")
    make_interface("eth1", node.aws.account.world.interfaces[eni].mac)
    ip("link", "property", "add", "dev", "eth1", "altname", "enp0s6")
    ip("address", "add", "10.0.3.11/24", "dev", "eth1")
    ip("-6", "address", "add", "2001:db8:1000:3::11/64", "dev", "eth1", "nodad")
    node.agent.parameters["interface"] = "eth1"
    return node


def service_eni(node: Node, to: InstanceSpec, *texts: str) -> str:
    """Attach an ENI of the service subnet to an instance; its id."""
    eni = create_eni(node.aws, SUBNET.subnet_id, *texts)
    attach(node.aws, eni, to, 1)
    return eni


def mine(node: Node) -> str:
    """The ENI of eth1."""
    held = node.aws.account.world.interfaces_of(node.me.instance_id)
    return next(one.network_interface_id for one in held if one.network_interface_id != node.me.network_interface_id)


def check_is_on(node: Node, eni: str) -> bool:
    """Whether an ENI's source/destination check is on."""
    return node.aws.account.world.interfaces[eni].source_dest_check


def devices(node: Node, address: str) -> List[str]:
    """The interfaces that have an address."""
    return [one.device for one in addresses() if one.address.split("/")[0] == address]


# -- overlay-ip -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["eth1", "enp0s6"])
@pytest.mark.parametrize("address", ["192.168.10.10", "fd00:10::10"])
def test_overlay_ip(node: Node, name: str, address: str) -> None:
    """The address goes on it, every route to its ENI, whose check alone is switched off; then all actions are 0."""
    node.agent.parameters.update(ip=address, interface=name)
    node.point_routes_at("node2")
    node.started()
    assert devices(node, address) == ["eth1"]
    assert set(node.routes().values()) == {mine(node)}
    assert not check_is_on(node, mine(node))
    assert check_is_on(node, node.me.network_interface_id)
    node.forget_writes()
    for action, level in (("monitor", 0), ("monitor", 10), ("validate-all", 10), ("start", 0)):
        ran = node.agent.run(action, level=level, interval=10)
        assert ran.code == 0, ran
    ran = node.agent.run("stop")
    assert ran.code == 0, ran
    assert devices(node, address) == []


def test_the_check_of_its_eni_is_named(node: Node) -> None:
    """validate-all at level 10: 2 with that ENI, not the primary one."""
    ran = node.agent.run("validate-all", level=10)
    assert ran.code == 2, ran
    assert f"source/destination check of {mine(node)} is on" in ran.reason


def test_a_route_to_the_primary_eni(node: Node) -> None:
    """It leads elsewhere, although to the same instance: a monitor at level 10 repairs it, or reports it with 190."""
    node.started()
    node.forget_writes()
    for table in node.tables:
        node.aws.account.put_route(node.destination, "node1", table)
    ran = node.agent.run("monitor", {"on_drift": "report"}, level=10, interval=10)
    assert ran.code == DEGRADED, ran
    assert f"to {node.me.network_interface_id} instead of {mine(node)}" in ran.reason
    crm_resource_stub(node, "managed")
    ran = node.agent.run("monitor", level=10, interval=10)
    assert ran.code == 0, ran
    assert set(node.routes().values()) == {mine(node)}


# -- private-ip -------------------------------------------------------------------------------------------------------


@pytest.fixture(params=[IPV4, IPV6], ids=["ipv4", "ipv6"])
def private(node: Node, request: pytest.FixtureRequest) -> Node:
    """mode=private-ip with an address of the service subnet, which another instance has."""
    node.agent.parameters = {"mode": "private-ip", "ip": request.param, "interface": "eth1"}
    other = service_eni(node, node.aws.account.instance("consumer-a"), "10.0.3.101")
    assign(node, other)
    return node


def assign(node: Node, eni: str) -> None:
    """Give an ENI the address, as an administrator."""
    if ":" in node.address:
        for holder in holders(node):
            given = {"Ipv6Addresses.1": node.address}
            node.aws.api.administer("UnassignIpv6Addresses", NetworkInterfaceId=holder, **given)
        node.aws.api.administer("AssignIpv6Addresses", NetworkInterfaceId=eni, **{"Ipv6Addresses.1": node.address})
    else:
        given = {"PrivateIpAddress.1": node.address, "AllowReassignment": "true"}
        node.aws.api.administer("AssignPrivateIpAddresses", NetworkInterfaceId=eni, **given)


def holders(node: Node) -> List[str]:
    """The ENIs that have the address."""
    found = node.aws.account.world.interfaces.values()
    return [one.network_interface_id for one in found if node.address in map(str, (*one.ipv4, *one.ipv6))]


def test_private_ip(private: Node) -> None:
    """The address of that ENI's subnet is assigned to it, and goes on it with the subnet's prefix length."""
    assert private.agent.run("validate-all", level=10).code == 0
    private.started()
    assert holders(private) == [mine(private)]
    prefix = 64 if ":" in private.address else 24
    assert [(one.device, one.address) for one in private.held()] == [("eth1", f"{private.address}/{prefix}")]
    private.forget_writes()
    for level in (0, 10):
        ran = private.agent.run("monitor", level=level, interval=10)
        assert ran.code == 0, ran
    ran = private.agent.run("stop")
    assert ran.code == 0, ran
    assert not answers_on(private.address)


def test_a_private_address_elsewhere(private: Node) -> None:
    """A monitor at level 10 takes it from the other ENI to that of `interface`."""
    private.started()
    private.forget_writes()
    other = private.aws.account.world.interfaces_of(private.aws.account.instance("consumer-a").instance_id)[1]
    assign(private, other.network_interface_id)
    crm_resource_stub(private, "managed")
    ran = private.agent.run("monitor", level=10, interval=10)
    assert ran.code == 0, ran
    assert holders(private) == [mine(private)]


@pytest.mark.parametrize("action", ["start", "validate-all"])
def test_an_address_of_the_primary_enis_subnet(private: Node, action: str) -> None:
    """2: it is outside that ENI's subnet, although inside the instance's other one."""
    ran = private.agent.run(action, {"ip": "10.0.1.50"}, level=10)
    assert ran.code == 2, ran
    assert "10.0.1.50 is outside this node's subnet (10.0.3.0/24" in ran.reason
    assert ran.ec2 == []


def test_a_prefix_of_its_eni(private: Node) -> None:
    """A prefix that is delegated to that ENI is looked at, not the primary one's."""
    if ":" in private.address:
        private.agent.parameters["ip"] = "2001:db8:1000:3:9::5"
        given = {"Ipv6Prefix.1": "2001:db8:1000:3:9::/80"}
        private.aws.api.administer("AssignIpv6Addresses", NetworkInterfaceId=mine(private), **given)
    else:
        private.agent.parameters["ip"] = "10.0.3.200"
        given = {"Ipv4Prefix.1": "10.0.3.192/28"}
        private.aws.api.administer("AssignPrivateIpAddresses", NetworkInterfaceId=mine(private), **given)
    ran = private.agent.run("start")
    assert ran.code == 2, ran
    assert f"is delegated to {mine(private)}" in ran.reason
    assert ran.ec2 == ["DescribeNetworkInterfaces"]


def test_without_imds(private: Node, tmp_path: Path) -> None:
    """IMDS switched off: the ENI of `interface`, and its subnet, by EC2."""
    with_profile(private, tmp_path)
    private.aws.account.imds_disabled.add("node1")
    private.started()
    assert holders(private) == [mine(private)]
    assert [one.device for one in private.held()] == ["eth1"]


# -- an Elastic IP ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["overlay-ip", "private-ip"])
def test_an_elastic_ip(node: Node, mode: str) -> None:
    """It is associated with that ENI: with its primary address in overlay-ip, with the service's in private-ip."""
    if mode == "private-ip":
        node.agent.parameters = {"mode": mode, "ip": IPV4, "interface": "eth1"}
    node.aws.api.administer("AllocateAddress", Domain="vpc")
    (allocation_id,) = node.aws.account.world.elastic_ips
    node.agent.parameters["allocation_id"] = allocation_id
    node.started()
    found = node.aws.account.world.elastic_ips[allocation_id]
    expected = IPV4 if mode == "private-ip" else "10.0.3.11"
    assert (found.network_interface_id, str(found.private_ip)) == (mine(node), expected)
