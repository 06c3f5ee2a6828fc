"""An address that is the node's own is no service address: start refuses it, stop leaves it, no probe finds it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Sequence

import pytest

from sandbox import Agent, EniNode, Node, addresses, ip, make_interface, network_namespace, without_packages

LEASE = ("valid_lft", "3600", "preferred_lft", "3600")


class Case(NamedTuple):
    """An address on a node: the mode and the address that a resource names, and the commands that put it there."""

    mode: str
    ip: str
    commands: Sequence[Sequence[str]]


def on_eth0(address: str, *options: str) -> Sequence[str]:
    """The command that adds an address."""
    return ("address", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []), *options)


def gateway(address: str) -> Sequence[str]:
    """The command for a default route."""
    return ("route", "add", "default", "via", address, "dev", "eth0")


OWN = {
    "overlay-ip: by DHCP": Case("overlay-ip", "10.0.1.11", [on_eth0("10.0.1.11/24", *LEASE)]),
    "overlay-ip: by DHCP, as a host address": Case("overlay-ip", "10.0.1.11", [on_eth0("10.0.1.11/32", *LEASE)]),
    "overlay-ip: by DHCPv6": Case("overlay-ip", "2001:db8::11", [on_eth0("2001:db8::11/128", *LEASE)]),
    "overlay-ip: static": Case("overlay-ip", "10.0.1.11", [on_eth0("10.0.1.11/24"), gateway("10.0.1.1")]),
    "overlay-ip: static, the gateway in another table": Case(
        "overlay-ip",
        "10.0.1.11",
        [on_eth0("10.0.1.11/24"), (*gateway("10.0.1.1"), "table", "77")],
    ),
    "overlay-ip: static, one of several gateways": Case(
        "overlay-ip",
        "10.0.1.11",
        [
            on_eth0("10.0.1.11/24"),
            ("route", "add", "default", "nexthop", "via", "10.0.1.1", "dev", "eth0", "nexthop", "via", "10.0.1.2"),
        ],
    ),
    "overlay-ip: static IPv6": Case(
        "overlay-ip", "2001:db8::11", [on_eth0("2001:db8::11/64"), ("-6", *gateway("2001:db8::1"))]
    ),
    "private-ip: by DHCP": Case("private-ip", "10.0.1.11", [on_eth0("10.0.1.11/24", *LEASE)]),
}
# What a start, the peer's or an administrator may have added.
NOT_OWN = {
    "overlay-ip": Case("overlay-ip", "192.168.10.10", [on_eth0("192.168.10.10/32")]),
    "overlay-ip: with a prefix, beside the node's own": Case(
        "overlay-ip",
        "192.168.10.10",
        [on_eth0("10.0.1.11/24"), gateway("10.0.1.1"), on_eth0("192.168.10.10/24")],
    ),
    "overlay-ip: with the node's prefix on lo": Case(
        "overlay-ip",
        "10.0.1.50",
        [on_eth0("10.0.1.11/24"), gateway("10.0.1.1"), ("address", "add", "10.0.1.50/24", "dev", "lo")],
    ),
    "overlay-ip: as a secondary address of the subnet": Case(
        "overlay-ip", "10.0.1.50", [on_eth0("10.0.1.11/24"), gateway("10.0.1.1"), on_eth0("10.0.1.50/24")]
    ),
    "overlay-ip: with a label": Case(
        "overlay-ip",
        "192.168.10.10",
        [on_eth0("10.0.1.11/24"), gateway("10.0.1.1"), on_eth0("192.168.10.10/24", "label", "eth0:vip")],
    ),
    "overlay-ip: with a prefix that has the node's subnet in it": Case(
        "overlay-ip", "10.99.0.10", [on_eth0("10.0.1.11/24"), gateway("10.0.1.1"), on_eth0("10.99.0.10/8")]
    ),
    "overlay-ip: point to point": Case(
        "overlay-ip",
        "192.168.10.10",
        [("address", "add", "192.168.10.10", "peer", "10.0.1.0/24", "dev", "eth0"), gateway("10.0.1.1")],
    ),
    "overlay-ip: IPv6 with a prefix": Case("overlay-ip", "fd00:10::10", [on_eth0("fd00:10::10/64")]),
    "private-ip: with the subnet's prefix": Case(
        "private-ip", "10.0.1.50", [on_eth0("10.0.1.50/24"), gateway("10.0.1.1")]
    ),
    "private-ip: by DHCPv6": Case("private-ip", "2001:db8::11", [on_eth0("2001:db8::11/128", *LEASE)]),
    "eni: by DHCP": Case("eni", "10.0.1.60", [on_eth0("10.0.1.60/24", *LEASE), gateway("10.0.1.1")]),
    "no such mode": Case("overlay", "10.0.1.60", [on_eth0("10.0.1.60/24", *LEASE)]),
}


@pytest.fixture
def namespace() -> Iterator[None]:
    """A node with eth0, without any address."""
    with network_namespace():
        ip("link", "set", "dev", "lo", "up")
        make_interface("eth0")
        yield


@pytest.fixture(params=["the package", "no package"])
def agent(namespace: None, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Case], Agent]:
    """The agent on that node, with the package and where it does not load, for a case that is set up."""

    def made(case: Case) -> Agent:
        for command in case.commands:
            ip(*command)
        missing = without_packages(tmp_path / "missing", "aws_ipfailover") if request.param == "no package" else {}
        parameters = {"mode": case.mode, "ip": case.ip}
        if case.mode == "overlay-ip":
            parameters["routing_table"] = "rtb-0123456789abcdef0"
        if case.mode == "eni":
            parameters["network_interface_id"] = "eni-0123456789abcdef0"
        return Agent(parameters, {**missing, "HA_RSCTMP": str(tmp_path)}, interpreter=(sys.executable,))

    return made


def held(case: Case) -> List[str]:
    """The case's address, with prefix, wherever it is."""
    return [one.address for one in addresses() if one.address.split("/")[0] == case.ip]


def routes_here() -> List[Dict[str, Any]]:
    """All routes, without how long those of a lease still live."""
    listed = ip("route", "show", "table", "all")
    return [{key: value for key, value in one.items() if key != "expires"} for one in listed]


@pytest.mark.parametrize("name", OWN)
def test_the_nodes_own_address_stays(agent: Callable[[Case], Agent], name: str) -> None:
    """stop answers 0 and leaves it with its routes, and a probe says not here: nobody can have started it."""
    case = OWN[name]
    resource = agent(case)
    before, routes = held(case), routes_here()
    ran = resource.run("monitor")
    assert ran.code == 7, ran
    ran = resource.run("stop")
    assert ran.code == 0, ran
    assert held(case) == before
    assert before
    # The kernel may still add some of its own, for a link that has just come up.
    assert [one for one in routes if one not in routes_here()] == []


@pytest.mark.parametrize("name", NOT_OWN)
def test_every_other_address_is_removed(agent: Callable[[Case], Agent], name: str) -> None:
    """stop removes the address with whatever prefix, label or device it is found on; a probe finds it."""
    case = NOT_OWN[name]
    resource = agent(case)
    if case.mode in ("overlay-ip", "private-ip"):
        ran = resource.run("monitor")
        assert ran.code == 0, ran
    ran = resource.run("stop")
    assert ran.code == 0, ran
    assert held(case) == [], ran


def test_a_copy_beside_the_nodes_own(agent: Callable[[Case], Agent]) -> None:
    """A copy that a start added beside the node's own address is removed, the node's own one stays."""
    case = OWN["overlay-ip: static"]
    resource = agent(case)
    ip("address", "add", f"{case.ip}/32", "dev", "lo")
    assert resource.run("monitor").code == 0
    ran = resource.run("stop")
    assert ran.code == 0, ran
    assert held(case) == [f"{case.ip}/24"]


def test_it_is_told(namespace: None, tmp_path: Path) -> None:
    """stop warns that it leaves the address, and a recurring monitor says why it is not here."""
    case = OWN["overlay-ip: by DHCP"]
    for command in case.commands:
        ip(*command)
    resource = Agent({"ip": case.ip, "routing_table": "rtb-0123456789abcdef0"}, {"HA_RSCTMP": str(tmp_path)})
    ran = resource.run("stop")
    assert f"WARNING: parameter ip: {case.ip} is this node's own address on eth0" in ran.stderr
    assert "it stays" in ran.stderr
    ran = resource.run("monitor", interval=10)
    assert ran.code == 7, ran
    assert f"{case.ip} is this node's own address on eth0" in ran.reason
    assert "changed it" not in ran.reason


def test_start_refuses_it(node: Node) -> None:
    """start answers 2 and changes nothing: neither the address nor a route."""
    ip("route", "add", "default", "via", "10.0.1.1", "dev", "eth0")
    before, routes = addresses(), node.routes()
    ran = node.agent.run("start", {"ip": node.me.address.compressed})
    assert ran.code == 2, ran
    assert "this node's own address" in ran.reason[:110]
    assert addresses() == before
    assert node.routes() == routes
    assert "ReplaceRoute" not in ran.ec2


@pytest.mark.parametrize("action", ["start", "validate-all"])
def test_a_primary_private_address(node: Node, action: str) -> None:
    """private-ip: the ENI's primary address, which DHCP configured, is refused by a start, and by level 10 also where
    the system configured it otherwise."""
    own = str(node.me.address)
    node.agent.parameters = {"mode": "private-ip", "ip": own}
    if action == "start":
        ip("address", "change", f"{own}/24", "dev", "eth0", *LEASE)
    ran = node.agent.run(action, level=10)
    assert ran.code == 2, ran
    assert ("this node's own" if action == "start" else "is the primary address of") in ran.reason
    assert f"{own}/24" in [one.address for one in addresses()]


@pytest.mark.parametrize("address", ["fd00:ec2::254", "fd00:ec2::253", "fd00:ec2:0:1::1"])
def test_an_address_of_aws(node: Node, address: str) -> None:
    """fd00:ec2::/32 has AWS's own services, IMDS first: it is no service address, and stop touches none."""
    ran = node.agent.run("start", {"ip": address})
    assert ran.code == 6, ran
    assert "fd00:ec2::/32" in ran.reason
    ip("-6", "address", "add", f"{address}/128", "dev", "lo", "nodad")
    assert node.agent.run("monitor", {"ip": address}).code == 7
    assert node.agent.run("stop", {"ip": address}).code == 0
    assert f"{address}/128" in [one.address for one in addresses()]


def test_an_eni_that_dhcp_configured(eni_node: EniNode) -> None:
    """eni: an address of the moving ENI that DHCP has configured is the service's, and goes with a stop."""
    eni_node.started()
    own = eni_node.addresses[0]
    ip("address", "change", f"{own}/24", "dev", eni_node.nic, *LEASE)
    ran = eni_node.agent.run("stop")
    assert ran.code == 0, ran
    assert eni_node.quiesced()


# -- the session of a role --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ip_hana", "-ip_hana"), ("", "-aws-ipfailover"), ("a b\nc:0", "-a-b-c-0"), ("x" * 100, "-" + "x" * 44)],
)
def test_the_session_of_a_role_tells_node_and_resource(node: Node, name: str, expected: str) -> None:
    """AssumeRole's session name has the instance's id and the resource's, so that CloudTrail tells who acted."""
    node.agent.environ["OCF_RESOURCE_INSTANCE"] = name
    ran = node.agent.run("start", {"routing_table_role": "arn:aws:iam::210987654321:role/network"})
    (call,) = {call.parameters["RoleSessionName"] for call in ran.calls if call.action == "AssumeRole"}
    assert call == f"{node.me.instance_id}{expected}"
