"""The contract's sentence on IMDS that is off: eni and private-ip by the MAC addresses that EC2 knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Callable, Union

import pytest

from sandbox import (
    EniNode,
    Node,
    answers_on,
    attach,
    create_eni,
    crm_resource_stub,
    ip,
    make_interface,
    silent_address,
    with_profile,
)
from vpc_lab.ec2 import Fault, RunningAws
from vpc_lab.topology import InstanceSpec

PRIVATE = {"ipv4": "10.0.1.50", "ipv6": "2001:db8:1000:1::50"}
Any = Union[Node, EniNode]


@pytest.fixture
def eni(make_eni_node: Callable[..., EniNode], tmp_path: Path) -> EniNode:
    """mode=eni with a profile, and IMDS switched off for this instance."""
    node = make_eni_node("10.0.1.60", "2001:db8:1000:1::60")
    with_profile(node, tmp_path)
    node.aws.account.imds_disabled.add("node1")
    return node


@pytest.fixture(params=PRIVATE)
def private(make_node: Callable[..., Node], tmp_path: Path, request: pytest.FixtureRequest) -> Node:
    """mode=private-ip with a profile, and IMDS switched off for this instance."""
    node = make_node()
    node.agent.parameters = {"mode": "private-ip", "ip": PRIVATE[request.param]}
    with_profile(node, tmp_path)
    node.aws.account.imds_disabled.add("node1")
    return node


def holders(aws: RunningAws, address: str) -> list[str]:
    """The ENIs that have an address."""
    found = aws.account.world.interfaces.values()
    return [one.network_interface_id for one in found if address in map(str, (*one.ipv4, *one.ipv6))]


def other(node: Any) -> InstanceSpec:
    """Another instance of the subnet."""
    return node.aws.account.instance("consumer-a")


# -- eni --------------------------------------------------------------------------------------------------------------


def test_eni_start(eni: EniNode) -> None:
    """IMDS switched off (403): with `region` and credentials from a profile, start finds the node through EC2."""
    eni.attach(eni.other)
    ip("link", "set", "dev", "eth0", "mtu", "9001")
    ran = eni.started()
    assert eni.holder() == eni.me.instance_id
    assert ip("link", "show", "dev", eni.nic)[0]["mtu"] == 9001
    assert "looking for this node's network interfaces by their MAC addresses in EC2" in ran.stderr


def test_eni_everything_else(eni: EniNode) -> None:
    """IMDS switched off: validate-all, both monitors, a second start and stop answer 0 as well."""
    assert eni.agent.run("validate-all", level=10).code == 0
    eni.started()
    for level in (0, 10):
        assert eni.agent.run("monitor", level=level, interval=10).code == 0
    eni.started()
    ran = eni.agent.run("stop")
    assert ran.code == 0, ran
    assert eni.quiesced()
    assert eni.holder() is None


def test_eni_by_a_silent_imds(eni: EniNode) -> None:
    """IMDS silent: the same, within the operation's timeout."""
    with silent_address() as (host, port):
        environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{host}:{port}"}
        ran = eni.agent.run("start", environ=environ, timeout=40)
        assert ran.code == 0, ran
        assert ran.elapsed < 40
        assert eni.served()
        ran = eni.agent.run("monitor", environ=environ, level=10, interval=10, timeout=40)
        assert ran.code == 0, ran
        ran = eni.agent.run("stop", environ=environ, timeout=40)
    assert ran.code == 0, ran
    assert eni.quiesced()


def test_eni_without_a_profile(eni: EniNode) -> None:
    """Without credentials of its own it is no success: 1 and not 2, so that no node is banned for it."""
    for name in ("profile", "region"):
        del eni.agent.parameters[name]
    eni.agent.environ["AWS_SHARED_CREDENTIALS_FILE"] = "/dev/null"
    ran = eni.agent.run("start", timeout=6)
    assert ran.code == 1, ran
    assert eni.status() == "available"


def test_eni_of_a_node_with_several(eni: EniNode) -> None:
    """The primary NIC, whose MTU the ENI's gets, is the one at device index 0, in whatever order EC2 lists them."""
    more = create_eni(eni.aws, eni.me.subnet.subnet_id, "10.0.1.70")
    attach(eni.aws, more, eni.me, 1)
    eni.aws.account.settle()
    eni.aws.account.change(lambda world: replace(world, interfaces=dict(reversed([*world.interfaces.items()]))))
    ip("link", "set", "dev", "eth0", "mtu", "9001")
    eni.started()
    assert ip("link", "show", "dev", eni.nic)[0]["mtu"] == 9001
    attachment = eni.interface().attachment
    assert attachment is not None
    assert attachment.device_index == 2


# -- private-ip -------------------------------------------------------------------------------------------------------


def test_private_start(private: Node) -> None:
    """IMDS switched off (403): with `region` and credentials from a profile, start finds the node's ENI by MAC."""
    ran = private.started()
    assert holders(private.aws, private.address) == [private.me.network_interface_id]
    assert [one.device for one in private.held()] == ["eth0"]
    assert [one.address.split("/")[1] for one in private.held()] == ["64" if ":" in private.address else "24"]
    assert "by their MAC addresses in EC2" in ran.stderr
    # Whether AWS has remapped it is not known then, and that is said.
    assert "WARNING" in ran.stderr


def test_private_everything_else(private: Node) -> None:
    """IMDS switched off: validate-all, both monitors, a repair and stop answer 0 as well."""
    assert private.agent.run("validate-all", level=10).code == 0
    private.started()
    for level in (0, 10):
        assert private.agent.run("monitor", level=level, interval=10).code == 0
    private.forget_writes()
    crm_resource_stub(private, "managed")
    unassign = "UnassignIpv6Addresses" if ":" in private.address else "UnassignPrivateIpAddresses"
    field = "Ipv6Addresses.1" if ":" in private.address else "PrivateIpAddress.1"
    mine = private.me.network_interface_id
    private.aws.api.administer(unassign, NetworkInterfaceId=mine, **{field: private.address})
    ran = private.agent.run("monitor", level=10, interval=10, timeout=60)
    assert ran.code == 0, ran
    assert holders(private.aws, private.address) == [mine]
    assert private.agent.run("stop").code == 0
    assert not answers_on(private.address)


def test_private_by_a_silent_imds(private: Node) -> None:
    """IMDS silent: the same, within the operation's timeout."""
    with silent_address() as (host, port):
        environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{host}:{port}"}
        ran = private.agent.run("start", environ=environ, timeout=40)
    assert ran.code == 0, ran
    assert ran.elapsed < 40
    assert answers_on(private.address)


def test_private_on_another_interface(private: Node) -> None:
    """`interface`: its ENI is the one with its MAC address, by EC2 too."""
    eni = create_eni(private.aws, private.me.subnet.subnet_id, "10.0.1.70", "2001:db8:1000:1::70")
    attach(private.aws, eni, private.me, 1)
    make_interface("eth1", private.aws.account.world.interfaces[eni].mac)
    ran = private.agent.run("start", {"interface": "eth1"})
    assert ran.code == 0, ran
    assert holders(private.aws, private.address) == [eni]
    assert [one.device for one in private.held()] == ["eth1"]


@pytest.mark.parametrize("mode", ["eni", "private-ip"])
def test_an_empty_answer(make_eni_node: Callable[..., EniNode], tmp_path: Path, mode: str) -> None:
    """An empty answer to the search by MAC addresses is UNKNOWN until a second read agrees: start gets there."""
    node = make_eni_node()
    if mode == "private-ip":
        node.agent.parameters = {"mode": mode, "ip": PRIVATE["ipv4"]}
    with_profile(node, tmp_path)
    node.aws.account.imds_disabled.add("node1")
    node.aws.faults.add(Fault("empty_set", action="DescribeNetworkInterfaces", times=1))
    ran = node.agent.run("start")
    assert ran.code == 0, ran


@pytest.mark.parametrize("path", ["*/interface-id", "*/subnet-ipv4-cidr-block", "*/ipv4-prefix"])
def test_one_path_hangs(make_node: Callable[..., Node], path: str) -> None:
    """IMDS gave the role's credentials and is silent on one thing: EC2 tells it, within the operation's timeout."""
    node = make_node()
    node.agent.parameters = {"mode": "private-ip", "ip": PRIVATE["ipv4"]}
    node.aws.faults.add(Fault("hang", service="imds", action=path))
    ran = node.agent.run("start", timeout=12)
    assert ran.code == 0, ran
    assert holders(node.aws, PRIVATE["ipv4"]) == [node.me.network_interface_id]
