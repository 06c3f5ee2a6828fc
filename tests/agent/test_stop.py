"""The contract's row for `stop`, overlay-ip: afterwards this node does not answer on the address."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List

import pytest

from sandbox import Node, answers_on, ip, make_interface, network_namespace, silent_address, without_packages
from vpc_lab.ec2 import Fault


def hold(node: Node, prefix: int = 32, device: str = "eth0", *more: str) -> None:
    """Put the address on this node as somebody might have."""
    ip("address", "add", f"{node.address}/{prefix}", "dev", device, *more)


def gone(node: Node) -> bool:
    """The proof of a stop: no device has the address, and the kernel does not take it for its own."""
    return not node.held() and not answers_on(node.address)


def test_stop_after_start(node: Node) -> None:
    """stop: 0, and afterwards this node does not answer on the address."""
    node.started()
    assert answers_on(node.address)
    ran = node.agent.run("stop")
    assert ran.code == 0, ran
    assert gone(node)


def test_stop_is_idempotent(node: Node) -> None:
    """stop: 0 where there is nothing to stop."""
    assert node.agent.run("stop").code == 0
    assert node.agent.run("stop").code == 0


def test_stop_is_local(node: Node) -> None:
    """stop: local only, no IMDS, no EC2: nothing at all is asked, and the routes stay for the next node to take."""
    node.hold()
    before = node.routes()
    ran = node.agent.run("stop")
    assert ran.code == 0, ran
    assert ran.calls == ()
    assert node.routes() == before


@pytest.mark.parametrize("kind", ["hang", "reset", "close", "refuse", "html", "error"])
def test_stop_whatever_the_cloud_does(node: Node, kind: str) -> None:
    """stop: an API or IMDS that hangs, resets or fails is never noticed."""
    node.hold()
    node.aws.faults.add(Fault(kind, service="*"))  # type: ignore[arg-type]
    ran = node.agent.run("stop")
    assert ran.code == 0, ran
    assert gone(node)
    assert ran.calls == ()


def test_stop_with_a_black_holed_imds(node: Node) -> None:
    """stop: IMDS whose packets are dropped is never asked."""
    node.hold()
    with silent_address() as (host, port):
        ran = node.agent.run("stop", environ={"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{host}:{port}"}, timeout=3)
    assert ran.code == 0, ran
    assert gone(node)


@pytest.mark.parametrize("prefix", [32, 24, 16, 8, 31, 1])
def test_whatever_prefix(node: Node, prefix: int) -> None:
    """stop: removes the address with whatever prefix it is found on."""
    hold(node, prefix)
    ran = node.agent.run("stop")
    assert ran.code == 0, ran
    assert gone(node)


@pytest.mark.parametrize("label", ["eth0:1", "eth0:overlay", "eth0:a_b-c.d"])
def test_whatever_label(node: Node, label: str) -> None:
    """stop: removes the address with whatever label it is found."""
    hold(node, 32, "eth0", "label", label)
    ran = node.agent.run("stop")
    assert ran.code == 0, ran
    assert gone(node)


@pytest.mark.parametrize("device", ["lo", "eth1", "dev", "label", "secondary", "up"])
def test_whatever_device(node: Node, device: str) -> None:
    """stop: removes the address from whatever device it is found on, also one with the name of a keyword of ip."""
    if device != "lo":
        make_interface(device)
    hold(node, 32, device)
    ran = node.agent.run("stop")
    assert ran.code == 0, ran
    assert gone(node)


def test_several_places_at_once(node: Node) -> None:
    """stop: removes every copy: two prefixes on one device, and further devices."""
    make_interface("eth1")
    hold(node, 32)
    hold(node, 24)
    hold(node, 32, "eth1")
    hold(node, 32, "lo")
    ran = node.agent.run("stop")
    assert ran.code == 0, ran
    assert gone(node)


def test_addresses_of_others_stay(node: Node) -> None:
    """stop: takes nothing but the address: neither one that starts with its text, nor its secondaries."""
    for other in ("192.168.10.1/32", "192.168.10.100/32", "192.168.10.101/24", "19.168.10.10/32"):
        ip("address", "add", other, "dev", "eth0")
    node.hold()
    before = node_addresses()
    ran = node.agent.run("stop")
    assert ran.code == 0, ran
    assert node_addresses() == before - {"192.168.10.10/32"}


def node_addresses() -> set[str]:
    """Every address in the namespace but the kernel's link-local ones, which it adds when it gets round to it."""
    return {
        f"{info['local']}/{info['prefixlen']}"
        for link in ip("address", "show")
        for info in link.get("addr_info", ())
        if info["scope"] != "link"
    }


def test_a_primary_address_with_secondaries(node: Node) -> None:
    """stop: the address is the primary one of a subnet on its NIC; the kernel would take its secondaries with it."""
    hold(node, 24)
    ip("address", "add", "192.168.10.77/24", "dev", "eth0")
    ip("address", "add", "192.168.10.78/24", "dev", "eth0", "label", "eth0:mine")
    before = node_addresses()
    ran = node.agent.run("stop")
    assert ran.code == 0, ran
    assert gone(node)
    assert node_addresses() == before - {"192.168.10.10/24"}


def test_a_leftover_local_route(node: Node) -> None:
    """stop: the kernel answers on an address that only a route of its local table has; that counts as well."""
    node.hold()
    ip("address", "del", node.destination, "dev", "eth0")
    ip("route", "add", "local", node.destination, "dev", "lo", "table", "local")
    assert node.held() == []
    assert answers_on(node.address)
    ran = node.agent.run("stop")
    assert ran.code == 0, ran
    assert gone(node)


def test_a_link_that_is_down(node: Node) -> None:
    """stop: an address on a link that is administratively down is removed all the same; the link stays down."""
    hold(node)
    ip("link", "set", "dev", "eth0", "down")
    assert node.held()
    ran = node.agent.run("stop")
    assert ran.code == 0, ran
    assert gone(node)
    assert "UP" not in ip("link", "show", "dev", "eth0")[0]["flags"]


def test_a_vanished_nic(node: Node) -> None:
    """stop: a vanished NIC: still 0 if the address is not here."""
    node.hold()
    ip("link", "del", "dev", "eth0")
    ran = node.agent.run("stop", {"interface": "eth0"})
    assert ran.code == 0, ran
    assert gone(node)


def test_a_renamed_nic(node: Node) -> None:
    """stop: the address is found on a NIC that has been renamed since."""
    node.started()
    ip("link", "set", "dev", "eth0", "down")
    ip("link", "set", "dev", "eth0", "name", "ens5")
    ip("link", "set", "dev", "ens5", "up")
    if not node.held():
        hold(node, 32, "ens5")
    ran = node.agent.run("stop", {"interface": "eth0"})
    assert ran.code == 0, ran
    assert gone(node)


def test_a_namespace_without_any_address(node: Node) -> None:
    """stop: 0 on a machine that has not a single address, and so no local table."""
    with network_namespace():
        ran = node.agent.run("stop")
    assert ran.code == 0, ran


BAD: List[Dict[str, str | None]] = [
    {"ip": None},
    {"ip": ""},
    {"ip": "10.99.0.500"},
    {"ip": "nonsense"},
    {"ip": "127.0.0.1"},
    {"ip": None, "address": "nonsense"},
]


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_a_bad_address(node: Node, bad: Dict[str, str | None]) -> None:
    """stop: bad or missing parameters: still 0; an address that cannot exist is not here. Nothing is touched."""
    before = node_addresses()
    ran = node.agent.run("stop", bad)
    assert ran.code == 0, ran
    assert node_addresses() == before


OTHERS: List[Dict[str, str | None]] = [
    {"mode": "teleport"},
    {"mode": "eni"},
    {"routing_table": None},
    {"routing_table": "rtb-nonsense"},
    {"routing_table_role": "nonsense"},
    {"interface": "no/such"},
    {"interface": "eth7"},
    {"iflabel": "far-too-long-a-label"},
    {"region": "nowhere"},
    {"profile": "missing"},
    {"endpoint_url": "nonsense"},
    {"monapi": "maybe"},
    {"misspelt": "x"},
]


@pytest.mark.parametrize("bad", OTHERS, ids=str)
def test_bad_parameters_do_not_stand_in_its_way(node: Node, bad: Dict[str, str | None]) -> None:
    """stop: bad or missing parameters beside the address do not keep it from being taken away."""
    hold(node)
    ran = node.agent.run("stop", bad)
    assert ran.code == 0, ran
    assert gone(node)


REFUSED = [
    *("192.168.10.10/32", "192.168.10.10/24", "192.168.010.10", "3232238090", "::ffff:192.168.10.10"),
    *("192.168.10.10%eth0", "192.168.10.10 192.168.10.11", "eth0:192.168.10.10", "0xc0a80a0a"),
]


@pytest.mark.parametrize("name", ["ip", "address"])
@pytest.mark.parametrize("text", REFUSED)
@pytest.mark.parametrize("mode", ["overlay-ip", "private-ip"])
def test_a_refused_text(node: Node, mode: str, text: str, name: str) -> None:
    """stop: a refused `ip` names nothing: what another resource may have is left alone; 0, and a warning of it."""
    hold(node)
    before = node_addresses()
    ran = node.agent.run("stop", {"ip": None, "mode": mode, name: text})
    assert ran.code == 0, ran
    assert node_addresses() == before
    assert f"WARNING: parameter {name}: " in ran.stderr
    assert ran.reasons == []


@pytest.mark.parametrize("text", REFUSED)
def test_a_probe_with_a_refused_text(node: Node, text: str) -> None:
    """probe: never takes another resource's address for its own where its own text is refused: 7."""
    hold(node)
    ran = node.agent.run("monitor", {"ip": text}, interval=0)
    assert ran.code == 7, ran


def test_blanks_around_the_address(node: Node) -> None:
    """stop: blanks around an address are trimmed, as start does: it is named rightly, and goes."""
    hold(node)
    ran = node.agent.run("stop", {"ip": " 192.168.10.10 "})
    assert ran.code == 0, ran
    assert gone(node)


def test_two_different_addresses(node: Node) -> None:
    """stop: where ip and address differ, which start refuses, neither is here afterwards."""
    hold(node)
    ip("address", "add", "192.168.10.11/32", "dev", "eth0")
    ran = node.agent.run("stop", {"address": "192.168.10.11"})
    assert ran.code == 0, ran
    assert gone(node)
    assert not answers_on("192.168.10.11")


def test_the_former_name_of_ip(node: Node) -> None:
    """stop: the address by its former parameter name, `address`."""
    hold(node)
    ran = node.agent.run("stop", {"ip": None, "address": node.address})
    assert ran.code == 0, ran
    assert gone(node)


@pytest.mark.parametrize("spelling", ["FD00:10::10", "fd00:0010:0:0:0:0:0:10", " fd00:10::10 "])
def test_another_spelling_of_the_address(node: Node, spelling: str) -> None:
    """stop: addresses are compared as values, not as text."""
    ip("-6", "address", "add", "fd00:10::10/64", "dev", "eth0", "nodad")
    ran = node.agent.run("stop", {"ip": spelling})
    assert ran.code == 0, ran
    assert not answers_on("fd00:10::10")


def test_without_boto3_and_requests(node: Node, tmp_path: Path) -> None:
    """stop: no boto3. It works where neither boto3 nor requests can be imported."""
    node.hold()
    ran = node.agent.run("stop", environ=without_packages(tmp_path / "shim", "boto3", "botocore", "requests"))
    assert ran.code == 0, ran
    assert gone(node)


def test_without_iproute2(node: Node, tmp_path: Path) -> None:
    """stop: without the ip command, 0 only where the kernel itself says that the address is not here; else 1."""
    empty = tmp_path / "empty"
    empty.mkdir()
    nothing = {"PATH": str(empty)}
    assert node.agent.run("stop", environ=nothing).code == 0
    hold(node)
    ran = node.agent.run("stop", environ=nothing)
    assert ran.code == 1, ran
    assert "iproute2" in ran.reason
    assert answers_on(node.address)


def test_an_address_that_cannot_be_removed(node: Node) -> None:
    """stop: 1, with the reason, where the address is here and stays."""
    hold(node)
    # In a user namespace of its own the process has no power over this network.
    ran = node.agent.begin("stop", command=["unshare", "--user"]).end()
    assert ran.code == 1, ran
    assert "ip address del" in ran.reason
    assert answers_on(node.address)


def test_without_pacemakers_variables(node: Node) -> None:
    """stop: by hand, with nothing in the environment but the address."""
    hold(node)
    node.agent.environ = {}
    node.agent.parameters = {"ip": node.address}
    ran = node.agent.run("stop")
    assert ran.code == 0, ran
    assert gone(node)
