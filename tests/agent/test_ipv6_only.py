"""An IPv6-only subnet: neither the instance nor an ENI has an IPv4 address, and IMDS tells none (404)."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Callable, Dict, Iterator, Optional, Union

import pytest

from sandbox import EniNode, Node, addresses, answers_on, ip, proxy, with_profile
from vpc_lab.ec2 import Fault
from vpc_lab.ec2.server import imds_server
from vpc_lab.topology import topology_for

MakeNode = Callable[..., Node]
MakeEniNode = Callable[..., EniNode]
IPV6_ONLY = topology_for().with_subnets(lambda one: replace(one, ipv6_only=True))
OVERLAY, PRIVATE, ENI = "fd00:10::10", "2001:db8:1000:1::50", "2001:db8:1000:1::60"
AnyNode = Union[Node, EniNode]


@pytest.fixture
def node(make_node: MakeNode) -> Node:
    """A node of an IPv6-only subnet, without any IPv4 address but loopback's."""
    node = make_node(topology=IPV6_ONLY)
    assert not [one for one in addresses() if "." in one.address and one.device != "lo"]
    return node


@pytest.fixture
def overlay(node: Node) -> Node:
    """mode=overlay-ip; the routes lead to the other node."""
    node.agent.parameters["ip"] = OVERLAY
    node.point_routes_at("node2")
    return node


@pytest.fixture
def private(node: Node) -> Node:
    """mode=private-ip; another instance has the address."""
    node.agent.parameters = {"mode": "private-ip", "ip": PRIVATE}
    other = node.aws.account.instance("consumer-a").network_interface_id
    node.aws.api.administer("AssignIpv6Addresses", NetworkInterfaceId=other, **{"Ipv6Addresses.1": PRIVATE})
    return node


@pytest.fixture
def eni(make_eni_node: MakeEniNode) -> EniNode:
    """mode=eni; another instance has the ENI."""
    node = make_eni_node(ENI, topology=IPV6_ONLY)
    assert node.interface().ipv4 == ()
    node.attach(node.other)
    return node


def address_of(node: AnyNode) -> str:
    """The address that moves."""
    return node.agent.parameters.get("ip") or ENI


def live(node: AnyNode, environ: Optional[Dict[str, Optional[str]]] = None) -> None:
    """The whole life of a resource: each action answers what it has to."""
    address = address_of(node)
    assert node.agent.run("monitor", environ=environ).code == 7
    for action in ("validate-all", "start", "start"):
        ran = node.agent.run(action, environ=environ, level=10)
        assert ran.code == 0, ran
    assert answers_on(address)
    for interval, level in ((0, 0), (10, 0), (10, 10)):
        ran = node.agent.run("monitor", environ=environ, interval=interval, level=level)
        assert ran.code == 0, ran
    node.forget_writes()
    ran = node.agent.run("monitor", environ=environ, interval=10, level=10)
    assert ran.code == 0, ran
    ran = node.agent.run("stop", environ=environ)
    assert ran.code == 0, ran
    assert not answers_on(address)
    assert node.agent.run("monitor", environ=environ).code == 7


def test_overlay_ip(overlay: Node) -> None:
    """overlay-ip with an IPv6 address: the routes lead here."""
    live(overlay)
    assert set(overlay.routes().values()) == {overlay.me.network_interface_id}


def test_private_ip(private: Node) -> None:
    """private-ip with an IPv6 address: it is taken from the other ENI."""
    live(private)
    found = [one for one in private.aws.account.world.interfaces.values() if PRIVATE in map(str, one.ipv6)]
    assert [one.network_interface_id for one in found] == [private.me.network_interface_id]


def test_eni(eni: EniNode) -> None:
    """eni: the ENI comes, with rule and default route of IPv6 alone, and goes."""
    ran = eni.agent.run("start")
    assert ran.code == 0, ran
    assert eni.rules() == [ENI]
    assert eni.routes(6)["default"] == (eni.nic, "fe80:ec2::1")
    assert eni.on_nic()[0].split("/")[0] == ENI
    assert eni.agent.run("stop").code == 0
    assert eni.rules() == []
    eni.aws.account.settle()
    live(eni)


@pytest.mark.parametrize("mode", ["overlay", "private", "eni"])
def test_without_the_package(request: pytest.FixtureRequest, mode: str) -> None:
    """A probe and stop by the agent's file alone."""
    node: AnyNode = request.getfixturevalue(mode)
    ran = node.agent.run("start")
    assert ran.code == 0, ran
    node.agent.interpreter = (sys.executable, "-I", "-S")
    assert node.agent.run("monitor").code == 0
    ran = node.agent.run("stop")
    assert ran.code == 0, ran
    assert "performed with `ip` alone" in ran.stderr
    assert not answers_on(address_of(node))
    assert node.agent.run("monitor").code == 7


@pytest.mark.parametrize("mode", ["private", "eni"])
def test_imds_switched_off(request: pytest.FixtureRequest, tmp_path: Path, mode: str) -> None:
    """IMDS switched off (403): the node finds itself through EC2, which tells no IPv4 address either."""
    node: AnyNode = request.getfixturevalue(mode)
    with_profile(node, tmp_path)
    node.aws.account.imds_disabled.add("node1")
    live(node)


@pytest.mark.parametrize("action", ["start", "validate-all"])
def test_an_ipv4_address(private: Node, action: str) -> None:
    """private-ip: an IPv4 address is refused by IMDS alone, and the sentence names the address: 2."""
    ran = private.agent.run(action, {"ip": "10.0.1.50"}, level=10)
    assert ran.code == 2, ran
    assert "parameter ip: 10.0.1.50 cannot be of this node's subnet, which has no IPv4 CIDR" in ran.reason


# -- IMDS over IPv6 ---------------------------------------------------------------------------------------------------


@contextmanager
def imds_over_ipv6(node: AnyNode) -> Iterator[None]:
    """IMDS at its IPv6 address only; nothing routes to the IPv4 one."""
    ip("-6", "address", "add", "fd00:ec2::254/128", "dev", "lo", "nodad")
    imds = type(node.aws.imds)(node.aws.account, lambda caller: "node1", faults=node.aws.faults, calls=node.aws.calls)
    server = imds_server(imds, [("fd00:ec2::254", 80)])
    try:
        yield
    finally:
        server.close()


MODE = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"


@pytest.mark.parametrize("how", ["variable", "profile", "nothing"])
def test_imds_over_ipv6(eni: EniNode, tmp_path: Path, how: str) -> None:
    """By variable, by the profile's setting, and with nothing configured as there is no route to 169.254.169.254."""
    environ: Dict[str, Optional[str]] = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": None}
    if how == "variable":
        environ[MODE] = "IPv6"
    elif how == "profile":
        (tmp_path / "config").write_text("[profile six]\nec2_metadata_service_endpoint_mode = IPv6\n")
        environ["AWS_CONFIG_FILE"] = str(tmp_path / "config")
        eni.agent.parameters["profile"] = "six"
    if how != "nothing":  # there is a route to it, and nobody answers: that is no reason to ask elsewhere
        ip("address", "add", "169.254.169.254/32", "dev", "lo")
    with imds_over_ipv6(eni):
        live(eni, environ)
        ran = eni.agent.run("start", environ=environ)
    assert ran.code == 0, ran
    assert {call.caller for call in ran.calls if call.service == "imds"} == {"fd00:ec2::254"}


def test_stop_of_an_interface_without_mark(eni: EniNode, tmp_path: Path) -> None:
    """After a start that died early stop finds the interface by IMDS, where the profile says it is."""
    eni.detach()
    eni.attach(eni.me)
    ip("link", "set", "dev", eni.nic, "up")
    ip("-6", "address", "add", ENI, "dev", eni.nic, "nodad")
    (tmp_path / "config").write_text("[profile six]\nec2_metadata_service_endpoint_mode = IPv6\n")
    environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": None, "AWS_CONFIG_FILE": str(tmp_path / "config")}
    ip("address", "add", "169.254.169.254/32", "dev", "lo")
    eni.aws.faults.add(Fault("error", service="ec2", code="UnauthorizedOperation", status=403))  # it stays attached
    with imds_over_ipv6(eni):
        ran = eni.agent.run("stop", {"profile": "six"}, environ=environ)
    assert ran.code == 0, ran
    assert not answers_on(ENI)


def test_a_blank_choice(overlay: Node) -> None:
    """It counts as unset, also to the SDK, which refuses it."""
    ran = overlay.agent.run("start", environ={MODE: ""})
    assert ran.code == 0, ran


def test_a_choice_is_not_left(overlay: Node) -> None:
    """Where IPv4 is chosen it stays IPv4: IMDS does not answer, and the start fails with that."""
    with imds_over_ipv6(overlay):
        environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": None, MODE: "IPv4"}
        ran = overlay.agent.run("start", environ=environ, timeout=6)
    assert ran.code == 1, ran
    assert "no route" in ran.stderr
    assert ran.imds == []


@pytest.mark.parametrize("source", ["agent", "sdk"])
def test_no_proxy_for_imds(overlay: Node, tmp_path: Path, source: str) -> None:
    """IMDS over IPv6 never goes through a proxy, neither the agent's requests nor the SDK's own for a profile."""
    environ: Dict[str, Optional[str]] = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": None, MODE: "IPv6"}
    if source == "sdk":
        (tmp_path / "config").write_text(
            "[profile by-imds]\nrole_arn = arn:aws:iam::123456789012:role/lab-node\n"
            "credential_source = Ec2InstanceMetadata\nregion = eu-central-1\n"
        )
        environ["AWS_CONFIG_FILE"] = str(tmp_path / "config")
        overlay.agent.parameters["profile"] = "by-imds"
    with imds_over_ipv6(overlay), proxy() as (url, asked):
        environ.update(HTTP_PROXY=url, http_proxy=url, NO_PROXY="127.0.0.1")
        ran = overlay.agent.run("start", environ=environ, timeout=20)
    # Without a profile the agent asks for credentials itself, with this one the SDK does.
    assert any("security-credentials" in one for one in ran.imds), ran
    assert not [one for one in asked if "fd00:ec2" in one]
    assert source == "sdk" or ran.code == 0, ran
