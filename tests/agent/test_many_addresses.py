"""Several addresses in one resource, and destinations that hold them (contract: parameters `ip` and `destination`)."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any, Dict, List, Optional

import pytest

from sandbox import Node, Ran, addresses, crm_resource_stub, ip
from vpc_lab.ec2 import Fault

FOUR = ("192.168.10.10", "192.168.10.11", "192.168.10.12", "192.168.10.13")
SIX = ("fd00:10::10", "fd00:10::11")
OWNED = "192.168.10.0/24"
DEGRADED = 190


def here() -> List[str]:
    """The service addresses on this node, with prefix length."""
    return [one.address for one in addresses() if one.address.startswith(("192.168.", "fd00:10:"))]


def routed(node: Node, *destinations: str) -> Dict[str, List[Optional[str]]]:
    """Where the tables lead each destination."""
    return {
        destination: [node.aws.account.routes_to(destination).get(table) for table in node.tables]
        for destination in destinations
    }


def host(address: str) -> str:
    """An address as a destination."""
    return str(ip_network(address))


def writes(ran: Ran) -> List[str]:
    """The operations that a run asked of EC2 and that change something."""
    return [action for action in ran.ec2 if not action.startswith("Describe")]


@pytest.fixture
def many(node: Node) -> Node:
    """Six addresses of both IP versions; their routes, of two tables, lead to the other node."""
    node.agent.parameters["ip"] = ", ".join((*FOUR, *SIX))
    node.agent.environ["OCF_RESOURCE_INSTANCE"] = "the-vip"
    for address in (*FOUR, *SIX):
        for table in node.tables:
            node.aws.account.put_route(host(address), "node2", table)
    return node


def test_start_moves_all_of_them(many: Node) -> None:
    """ "Several, separated by commas, move together as one resource": N ReplaceRoute for each destination."""
    ran = many.agent.run("start")
    assert ran.code == 0, ran
    assert here() == sorted(host(address) for address in (*FOUR, *SIX))
    for to in routed(many, *map(host, (*FOUR, *SIX))).values():
        assert set(to) == {many.me.network_interface_id}
    assert sorted(ran.ec2) == ["DescribeNetworkInterfaces", *["ReplaceRoute"] * 12]
    assert many.agent.run("monitor").code == 0
    assert many.agent.run("monitor", level=10, interval=10).code == 0


def test_one_route_for_a_destination(many: Node) -> None:
    """`destination`: one route per table and CIDR instead of one per address; made where it is missing."""
    many.agent.parameters["destination"] = f"{OWNED}, fd00:10::/64"
    ran = many.agent.run("start")
    assert ran.code == 0, ran
    assert sorted(ran.ec2) == [*["CreateRoute"] * 4, "DescribeNetworkInterfaces", *["ReplaceRoute"] * 4]
    assert set(routed(many, OWNED)[OWNED]) == {many.me.network_interface_id}
    assert here() == sorted(host(address) for address in (*FOUR, *SIX))
    again = many.agent.run("start")
    assert sorted(again.ec2) == ["DescribeNetworkInterfaces", *["ReplaceRoute"] * 4]


def test_stop_removes_all_of_them(many: Node) -> None:
    """Afterwards this node answers on none, without a call."""
    many.started()
    ran = many.agent.run("stop")
    assert ran.code == 0, ran
    assert here() == []
    assert ran.calls == ()


@pytest.mark.parametrize("lost", [FOUR[1:2], SIX[:1], (*FOUR[:2], SIX[1])])
def test_a_monitor_misses_one(many: Node, lost: List[str]) -> None:
    """All or nothing: a monitor that misses some answers 7 and names them; a probe 1, so that the rest is stopped."""
    many.started()
    for address in lost:
        ip("address", "del", host(address), "dev", "eth0")
    ran = many.agent.run("monitor", interval=10)
    assert ran.code == 7, ran
    assert all(address in ran.reason for address in lost)
    assert not any(address in ran.reason for address in (*FOUR, *SIX) if address not in lost)
    probe = many.agent.run("monitor")
    assert probe.code == 1, probe
    assert all(address in probe.reason for address in lost)
    assert many.agent.run("stop").code == 0
    assert here() == []
    assert many.agent.run("monitor").code == 7


def test_a_start_completes_what_is_half_there(many: Node) -> None:
    """start: idempotent, from any state; what is right stays."""
    ip("address", "add", f"{FOUR[0]}/32", "dev", "eth0")
    ip("address", "add", f"{FOUR[1]}/24", "dev", "lo")
    ran = many.agent.run("start")
    assert ran.code == 0, ran
    assert here() == sorted(host(address) for address in (*FOUR, *SIX))
    assert f"added {FOUR[0]}" not in ran.stderr


def test_a_failed_start_leaves_none(many: Node) -> None:
    """No route was written: all local addresses are taken away again."""
    many.aws.faults.add(Fault("error", action="ReplaceRoute", code="UnauthorizedOperation"))
    ran = many.agent.run("start")
    assert ran.code == 4, ran
    assert here() == []
    assert many.tables[0] in ran.reason


def test_one_route_that_cannot_be_written(many: Node) -> None:
    """ "It succeeds when at least one table leads here"; the error names the table and the destination."""
    many.aws.faults.add(
        Fault("error", action="ReplaceRoute", resource=host(FOUR[2]), code="InvalidParameterValue", message="no")
    )
    ran = many.agent.run("start")
    assert ran.code == 0, ran
    (told,) = [line for line in ran.stderr.splitlines() if line.startswith("ERROR:")]
    assert f"{many.tables[0]} for {host(FOUR[2])}" in told
    assert "1 more" in told


def test_the_nodes_own_address_among_them(many: Node) -> None:
    """It is refused with its reason, and nothing is changed."""
    ip("route", "add", "default", "via", "10.0.1.1", "dev", "eth0")
    ran = many.agent.run("start", {"ip": f"{FOUR[0]},{many.me.address}"})
    assert ran.code == 2, ran
    assert str(many.me.address) in ran.reason
    assert here() == []


def test_drift_of_one_is_repaired_alone(many: Node) -> None:
    """A monitor at level 10 writes the one route that somebody led elsewhere."""
    crm_resource_stub(many, "managed")
    many.started()
    many.forget_writes()
    many.aws.account.put_route(host(FOUR[3]), "node2", many.tables[1])
    ran = many.agent.run("monitor", level=10, interval=10)
    assert ran.code == 0, ran
    assert [
        (call.parameters["RouteTableId"], call.parameters["DestinationCidrBlock"])
        for call in ran.calls
        if call.action == "ReplaceRoute"
    ] == [(many.tables[1], host(FOUR[3]))]
    assert many.agent.run("monitor", level=10, interval=10).code == 0


def test_a_narrower_route_wins_over_a_destination(many: Node) -> None:
    """EC2 uses the most specific route: one that leads an address elsewhere is drift, and is led here again."""
    crm_resource_stub(many, "managed")
    many.agent.parameters["ip"] = ",".join(FOUR)
    many.agent.parameters["destination"] = OWNED
    many.started()
    many.forget_writes()
    # Of the forty routes of before: those of this address were not led here by the start.
    ran = many.agent.run("monitor", level=10, interval=10)
    assert ran.code == 0, ran
    for address in FOUR:
        assert set(routed(many, host(address))[host(address)]) == {many.me.network_interface_id}
    assert many.agent.run("monitor", level=10, interval=10).stderr == ""


def test_a_narrower_route_for_others_too_is_left_to_them(many: Node) -> None:
    """Of a part of the destination that leads elsewhere, the service's own address alone is taken."""
    crm_resource_stub(many, "managed")
    many.agent.parameters.update(ip="192.168.20.5", destination="192.168.20.0/24")
    many.started()
    many.forget_writes()
    many.aws.account.put_route("192.168.20.0/28", "node2", many.tables[0])
    ran = many.agent.run("monitor", level=10, interval=10)
    assert ran.code == 0, ran
    other = many.aws.account.instance("node2").network_interface_id
    assert routed(many, "192.168.20.0/28")["192.168.20.0/28"][0] == other
    assert routed(many, "192.168.20.5/32")["192.168.20.5/32"][0] == many.me.network_interface_id
    validated = many.agent.run("validate-all", level=10)
    assert validated.code == 0, validated
    assert f"{many.tables[0]} has a route to 192.168.20.5/32, which goes before 192.168.20.0/24" in validated.stderr


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"ip": f"{FOUR[0]},"}, "parameter ip: '192.168.10.10,' is wrong"),
        ({"ip": f"{FOUR[0]},10.0.0.1/32"}, "not '10.0.0.1/32'"),
        ({"ip": f"{FOUR[0]} {FOUR[1]}"}, "expected an IPv4 or IPv6 address"),
        ({"address": ",".join(FOUR[:2])}, "parameters ip and address differ"),
        ({"destination": "192.168.10.0/28,10.1.0.0/24"}, "does not hold"),
        ({"destination": "192.168.10.0/24"}, "does not hold fd00:10::10"),
        ({"destination": "192.168.10.0/24,fd00:10::/64,10.1.0.0/24"}, "'10.1.0.0/24' holds no address of ip"),
        ({"destination": "192.168.10.1/24,fd00:10::/64"}, "expected the network itself, 192.168.10.0/24"),
        ({"destination": "0.0.0.0/0,::/0"}, "and not the default route"),
        ({"destination": "192.168.10.0/33"}, "expected an IPv4 or IPv6 CIDR"),
        ({"destination": "here"}, "parameter destination: 'here' is wrong"),
    ],
)
def test_a_bad_combination(many: Node, given: Dict[str, Any], says: str) -> None:
    """6 and a sentence that names parameter, value and what would be right; nothing changed."""
    for action in ("start", "validate-all"):
        ran = many.agent.run(action, given)
        assert ran.code == 6, ran
        assert says in ran.reason
        assert ran.calls == ()
    assert here() == []


@pytest.mark.parametrize("other", ["192.168.10.99", "192.168.10.98,192.168.10.99"])
def test_a_probe_of_two_names_that_differ(many: Node, other: str) -> None:
    """Some of `ip` are here, and none of what `address` gives: 1, so that they are stopped, and not 7."""
    ip("address", "add", host(FOUR[0]), "dev", "eth0")
    probe = many.agent.run("monitor", {"address": other})
    assert probe.code == 1, probe
    assert FOUR[1] in probe.reason
    assert many.agent.run("monitor", {"address": other}, interval=10).code == 7
    assert many.agent.run("stop", {"address": other}).code == 0
    assert many.agent.run("monitor", {"address": other}).code == 7


def test_a_wrong_one_among_good_ones_keeps_stop_from_nothing(many: Node) -> None:
    """stop: what is refused names nothing, the others are removed."""
    many.started()
    ran = many.agent.run("stop", {"ip": f"{many.agent.parameters['ip']},garbage"})
    assert ran.code == 0, ran
    assert here() == []


def test_validate_names_the_one_inside_the_vpc(many: Node) -> None:
    """validate-all at level 10: each address outside every CIDR of the VPC."""
    ran = many.agent.run("validate-all", {"ip": f"{FOUR[0]},10.0.1.200"}, level=10)
    assert ran.code == 2, ran
    assert "10.0.1.200 lies inside the VPC's CIDR" in ran.reason


def test_an_alias_of_awsvip(many: Node) -> None:
    """`secondary_private_ip` means `ip`, `api_delay` nothing."""
    given = {"ip": None, "secondary_private_ip": many.agent.parameters["ip"], "api_delay": "3"}
    ran = many.agent.run("start", given)
    assert ran.code == 0, ran
    assert here() == sorted(host(address) for address in (*FOUR, *SIX))
    assert many.agent.run("stop", given).code == 0
    assert here() == []


# -- private-ip -----------------------------------------------------------------------------------------------------

PRIVATE = ("10.0.1.50", "10.0.1.51", "10.0.1.52")
PRIVATE6 = ("2001:db8:1000:1::50", "2001:db8:1000:1::51")


@pytest.fixture
def private(node: Node) -> Node:
    """Five private addresses of the node's subnet, of both IP versions."""
    node.agent.parameters = {"mode": "private-ip", "ip": ",".join((*PRIVATE, *PRIVATE6))}
    node.agent.environ["OCF_RESOURCE_INSTANCE"] = "the-vip"
    return node


def test_private_addresses_by_one_call_for_each_ip_version(private: Node) -> None:
    """One AssignPrivateIpAddresses for all of IPv4, one AssignIpv6Addresses for all of IPv6."""
    ran = private.agent.run("start")
    assert ran.code == 0, ran
    assert writes(ran).count("AssignPrivateIpAddresses") == 1
    assert writes(ran).count("AssignIpv6Addresses") == 1
    assert len(writes(ran)) == 2
    assert {f"{one}/24" for one in PRIVATE} | {f"{one}/64" for one in PRIVATE6} <= {one.address for one in addresses()}
    assert private.agent.run("monitor", level=10, interval=10).code == 0
    assert private.agent.run("stop").code == 0
    assert not {one.address.split("/")[0] for one in addresses()} & {*PRIVATE, *PRIVATE6}


def test_private_addresses_are_taken_from_several_holders(private: Node) -> None:
    """Each holder gives up what it has, by one call for each holder of IPv6 addresses."""
    account = private.aws.account
    other = account.instance("consumer-a").network_interface_id
    private.aws.api.administer(
        "AssignIpv6Addresses",
        NetworkInterfaceId=other,
        **{"Ipv6Addresses.1": PRIVATE6[0], "Ipv6Addresses.2": PRIVATE6[1]},
    )
    private.aws.api.administer(
        "AssignPrivateIpAddresses", NetworkInterfaceId=other, **{"PrivateIpAddress.1": PRIVATE[2]}
    )
    ran = private.agent.run("start")
    assert ran.code == 0, ran
    assert writes(ran).count("UnassignIpv6Addresses") == 1
    mine = account.world.interfaces[private.me.network_interface_id]
    assert {*PRIVATE, *PRIVATE6} <= {str(address) for address in (*mine.ipv4, *mine.ipv6)}
