"""The contract, second edition, for mode=private-ip: asynchronous remaps, drift, link, announcements, migrations."""

from __future__ import annotations

import math
import socket
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, Callable, Dict, Iterator, List, Optional, Set

import pytest

from aws_ipfailover.kernel.announcements import gratuitous_arp, neighbour_advertisement
from sandbox import Node, Ran, answers_on, crm_resource_stub, ip
from vpc_lab.ec2 import Fault, Timing
from vpc_lab.topology import InstanceSpec
from vpc_lab.waiting import eventually

NOT_RUNNING = 7
DEGRADED = 190
IPV4 = "10.0.1.50"
IPV6 = "2001:db8:1000:1::50"
ETH_P_ALL = 3


@pytest.fixture(params=[IPV4, IPV6], ids=["ipv4", "ipv6"])
def standby(make_node: Callable[..., Node], request: pytest.FixtureRequest) -> Callable[..., Node]:
    """Make the standby of an address that another instance of its subnet has; arguments are those of `running_aws`."""

    def make(**options: Any) -> Node:
        node = make_node(**options)
        node.agent.parameters = {"mode": "private-ip", "ip": request.param}
        give(node, other(node))
        return node

    return make


@pytest.fixture
def node(standby: Callable[..., Node]) -> Node:
    """Such a standby."""
    return standby()


def other(node: Node) -> InstanceSpec:
    """Another instance of the subnet."""
    return node.aws.account.instance("consumer-a")


def holders(node: Node) -> List[str]:
    """The ENIs that have the address."""
    found = node.aws.account.world.interfaces.values()
    return [one.network_interface_id for one in found if node.address in map(str, (*one.ipv4, *one.ipv6))]


def give(node: Node, to: Optional[InstanceSpec]) -> None:
    """Give an instance the address, or nobody, as an administrator does."""
    kind, field = ("Ipv6Addresses", "Ipv6Addresses.1") if ":" in node.address else ("Private", "PrivateIpAddress.1")
    names = {"Private": ("AssignPrivateIpAddresses", "UnassignPrivateIpAddresses")}
    assign, unassign = names.get(kind, ("AssignIpv6Addresses", "UnassignIpv6Addresses"))
    for holder in holders(node):
        node.aws.api.administer(unassign, NetworkInterfaceId=holder, **{field: node.address})
    if to is not None:
        node.aws.api.administer(assign, NetworkInterfaceId=to.network_interface_id, **{field: node.address})


# -- asynchronous remap -----------------------------------------------------------------------------------------------


def in_metadata(node: Node) -> bool:
    """Whether IMDS lists the address for this node's ENI."""
    world = node.aws.account.world
    return node.address in map(str, world.addresses_in_metadata(world.interfaces[node.me.network_interface_id]))


def test_success_means_that_imds_lists_it(standby: Callable[..., Node]) -> None:
    """private-ip: success means that IMDS lists the address too (AWS remaps asynchronously)."""
    node = standby(timing=Timing(remap=0.5, imds_address_lag=0.7))
    with node.agent.begin("start") as running:
        eventually("EC2 has assigned it", lambda: holders(node) == [node.me.network_interface_id])
        assert not in_metadata(node)
        ran = running.end()
    assert ran.code == 0, ran
    assert in_metadata(node)
    assert "WARNING" not in ran.stderr
    assert len([path for path in ran.imds if path.endswith(("local-ipv4s", "ipv6s"))]) >= 2


@pytest.mark.parametrize("timeout", [18.0])
def test_a_remap_that_imds_never_shows(standby: Callable[..., Node], timeout: float) -> None:
    """Or the deadline's third has passed and a warning is logged: 0, with the address here."""
    node = standby(timing=Timing(imds_address_lag=math.inf))
    ran = node.agent.run("start", timeout=timeout)
    assert ran.code == 0, ran
    assert ran.elapsed < timeout
    assert answers_on(node.address)
    assert (
        f"WARNING: {node.address} is assigned to {node.me.network_interface_id},"
        " but instance metadata does not list it yet" in ran.stderr
    )


def test_a_remap_that_imds_cannot_tell(node: Node) -> None:
    """IMDS fails at that very question: 0 with a warning; what EC2 has assigned is assigned."""
    for path in ("*/local-ipv4s", "*/ipv6s"):
        node.aws.faults.add(Fault("error", service="imds", action=path, status=500))
    ran = node.agent.run("start", timeout=9)
    assert ran.code == 0, ran
    assert "WARNING" in ran.stderr
    assert holders(node) == [node.me.network_interface_id]
    assert answers_on(node.address)


def test_incorrect_state(node: Node) -> None:
    """IncorrectState while something changes is waited for."""
    fault = Fault("error", action="Assign*", code="IncorrectState", message="Changing.", status=400, times=2)
    node.aws.faults.add(fault)
    ran = node.started()
    assert holders(node) == [node.me.network_interface_id]
    assert len([one for one in ran.ec2 if one.startswith("Assign")]) == 3


def test_incorrect_state_to_the_end(node: Node) -> None:
    """IncorrectState until the deadline: 1, with AWS's words for what is being waited for; nothing is left here."""
    node.aws.faults.add(Fault("error", action="Assign*", code="IncorrectState", message="It moves.", status=400))
    ran = node.agent.run("start", timeout=8)
    assert ran.code == 1, ran
    assert "IncorrectState: It moves." in ran.reason
    assert not answers_on(node.address)


def test_an_empty_answer(standby: Callable[..., Node]) -> None:
    """An empty answer to a filtered read is UNKNOWN until a second read agrees: start gets there, with 0."""
    node = standby()
    node.aws.faults.add(Fault("empty_set", times=1))
    node.started()
    assert holders(node) == [node.me.network_interface_id]


# -- drift ------------------------------------------------------------------------------------------------------------


def monitor(node: Node, level: int = 10, **parameters: str) -> Ran:
    """A recurring monitor."""
    return node.agent.run("monitor", parameters, level=level, interval=10, timeout=60)


LOSSES: Dict[str, Callable[[Node], Optional[InstanceSpec]]] = {"to another": other, "to nobody": lambda _: None}


@pytest.mark.parametrize("to", LOSSES)
def test_repaired_in_place(node: Node, to: str) -> None:
    """ELSEWHERE, once a second read confirms it: `repair` assigns it here again, with 0 and a warning in the log."""
    node.started()
    node.forget_writes()
    before = node.held()
    asked = crm_resource_stub(node, "managed")
    give(node, LOSSES[to](node))
    ran = monitor(node)
    assert ran.code == 0, ran
    assert ran.reasons == []
    assert holders(node) == [node.me.network_interface_id]
    assert node.held() == before
    assert f"WARNING: {node.address} assigned to {node.me.network_interface_id} again" in ran.stderr
    assert ran.ec2[:2] == ["DescribeNetworkInterfaces"] * 2
    assert len(asked()) == 1
    ran = monitor(node)
    assert (ran.code, ran.ec2) == (0, ["DescribeNetworkInterfaces"])


def test_drift_by_monapi(node: Node) -> None:
    """monapi=true: every recurring monitor does the same."""
    node.started()
    node.forget_writes()
    crm_resource_stub(node, "managed")
    give(node, other(node))
    ran = monitor(node, level=0, monapi="true")
    assert ran.code == 0, ran
    assert holders(node) == [node.me.network_interface_id]


@pytest.mark.parametrize(("on_drift", "code"), [("restart", 1), ("report", DEGRADED)])
def test_not_repaired(node: Node, on_drift: str, code: int) -> None:
    """on_drift: `restart` answers 1, `report` answers 190; nothing is written, and Pacemaker is not asked."""
    node.started()
    node.forget_writes()
    asked = crm_resource_stub(node, "managed")
    give(node, other(node))
    ran = monitor(node, on_drift=on_drift)
    assert ran.code == code, ran
    assert f"{node.address} is not assigned to {node.me.network_interface_id}" in ran.reason
    assert ran.ec2 == ["DescribeNetworkInterfaces"] * 2
    assert holders(node) == [other(node).network_interface_id]
    assert answers_on(node.address)
    assert asked() == []


@pytest.mark.parametrize("says", ["unmanaged", "maintenance", "hanging", "failing", "absent"])
def test_never_a_write_while_it_is_not_managed(node: Node, says: str) -> None:
    """Never a write while Pacemaker does not manage the resource; `crm_resource` does not answer: 190."""
    node.started()
    node.forget_writes()
    crm_resource_stub(node, says)
    give(node, other(node))
    ran = monitor(node)
    assert ran.code == DEGRADED, ran
    assert "nothing changed" in ran.reason[:110]
    assert holders(node) == [other(node).network_interface_id]
    assert set(ran.ec2) == {"DescribeNetworkInterfaces"}


def test_a_repair_that_fails(node: Node) -> None:
    """1 when nothing leads here after the repair, with what could not be written; the address stays for the stop."""
    node.started()
    node.forget_writes()
    crm_resource_stub(node, "managed")
    give(node, other(node))
    node.aws.faults.add(Fault("error", action="Assign*", code="UnauthorizedOperation", status=403))
    ran = monitor(node)
    assert ran.code == 1, ran
    assert "UnauthorizedOperation" in ran.reason[:110]


def test_a_repair_that_is_not_answered(node: Node) -> None:
    """190 where EC2 does not say whether the repair was done: an unknown is no reason for a restart."""
    node.started()
    node.forget_writes()
    crm_resource_stub(node, "managed")
    give(node, other(node))
    node.aws.faults.add(Fault("error", action="Assign*", code="InternalError", status=500))
    ran = monitor(node)
    assert ran.code == DEGRADED, ran
    assert "Repair not confirmed: Assign" in ran.reason[:110]
    assert "InternalError" in ran.reason[:110]


# -- the link ---------------------------------------------------------------------------------------------------------


def test_link_down(node: Node) -> None:
    """An address on a link that is administratively down is not here: 7; start sets the link up; stop removes it."""
    node.started()
    ip("link", "set", "dev", "eth0", "down")
    if not node.held():  # the kernel takes IPv6 addresses away with the link
        keep = ["nodad"]
        ip("address", "add", f"{node.address}/64", "dev", "eth0", *keep)
    for interval, level in ((0, 0), (10, 0), (10, 10)):
        ran = node.agent.run("monitor", level=level, interval=interval)
        assert ran.code == NOT_RUNNING, ran
        assert ran.ec2 == []
    assert node.held()
    ran = node.started()
    assert "UP" in ip("link", "show", "dev", "eth0")[0]["flags"]
    assert "eth0 was down: set up" in ran.stderr
    assert node.agent.run("monitor", interval=10).code == 0


def test_stop_on_a_link_that_is_down(node: Node) -> None:
    """stop removes it all the same where the link is down."""
    node.started()
    ip("link", "set", "dev", "eth0", "down")
    if not node.held():
        ip("address", "add", f"{node.address}/64", "dev", "eth0", "nodad")
    assert node.agent.run("stop").code == 0
    assert node.held() == []


# -- announced --------------------------------------------------------------------------------------------------------


@contextmanager
def frames() -> Iterator[Callable[[], Set[bytes]]]:
    """What arrives at the far end of eth0 from now on."""
    seen: Set[bytes] = set()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as tap:
        tap.bind(("peer-eth0", ETH_P_ALL))
        tap.setblocking(False)

        def so_far() -> Set[bytes]:
            while True:
                try:
                    frame, (_, _, kind, *_) = tap.recvfrom(2048)
                except BlockingIOError:
                    return seen
                if kind != socket.PACKET_OUTGOING:
                    seen.add(frame)

        yield so_far


def announcements(node: Node) -> Set[bytes]:
    """The frames by which neighbours learn that the address is at this node."""
    address = ip_address(node.address)
    if address.version == 6:
        return {neighbour_advertisement(node.me.mac, address)}
    return {gratuitous_arp(node.me.mac, address), gratuitous_arp(node.me.mac, address, reply=True)}


def test_announced(node: Node) -> None:
    """private-ip announces the address (gratuitous ARP, unsolicited neighbour advertisement) at each start."""
    for _ in range(2):
        with frames() as seen:
            node.started()
            eventually("the address is announced", lambda: announcements(node) <= seen())


def test_announced_when_it_is_remapped(standby: Callable[..., Node]) -> None:
    """It is announced once EC2 delivers here, not while the other node still gets the packets."""
    node = standby(timing=Timing(remap=0.4, imds_address_lag=0.4))
    with frames() as seen, node.agent.begin("start") as running:
        eventually("EC2 has assigned it", lambda: holders(node) == [node.me.network_interface_id])
        assert not in_metadata(node)
        assert not announcements(node) & seen()
        ran = running.end()
        assert ran.code == 0, ran
        eventually("the address is announced", lambda: announcements(node) <= seen())


def test_not_announced_by_a_start_that_fails(node: Node) -> None:
    """A start that EC2 refuses announces nothing: the neighbours stay with the node that has it."""
    node.aws.faults.add(Fault("error", action="Assign*", code="UnauthorizedOperation", status=403))
    with frames() as seen:
        assert node.agent.run("start").code == 4
        assert not announcements(node) & seen()


def test_an_announcement_that_fails(node: Node) -> None:
    """What cannot be announced works all the same: start is 0, with a warning."""
    # Root without the right to send raw frames; what `ip` needs is there.
    ran = node.agent.begin("start", command=["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"]).end()
    assert ran.code == 0, ran
    assert f"WARNING: {node.address} is not announced: " in ran.stderr
    assert answers_on(node.address)


# -- planned moves ----------------------------------------------------------------------------------------------------


def test_migrate_to(node: Node) -> None:
    """migrate_to: 0, without a call to EC2; the source serves on until it is stopped, without delay."""
    node.started()
    ran = node.agent.run("migrate_to")
    assert (ran.code, ran.calls) == (0, ()), ran
    assert answers_on(node.address)
    assert not list(node.directory.glob("*handover*"))


def test_migrate_from(node: Node) -> None:
    """migrate_from: the target's start takes it over."""
    ran = node.agent.run("migrate_from")
    assert ran.code == 0, ran
    assert holders(node) == [node.me.network_interface_id]
    assert answers_on(node.address)


FAILING: List[Dict[str, str]] = [{"ip": "10.0.2.50"}, {"ip": "nonsense"}, {"interface": "eth7"}, {"profile": "missing"}]


@pytest.mark.parametrize("parameters", [{}, *FAILING], ids=str)
@pytest.mark.parametrize("action", ["migrate_to", "migrate_from"])
def test_a_migration_that_fails(node: Node, action: str, parameters: Dict[str, str]) -> None:
    """migrate_to, migrate_from: never an exit code that bans a node, whatever a start here would answer."""
    if not parameters:
        node.aws.faults.add(Fault("error", service="ec2", code="UnauthorizedOperation", status=403))
    assert node.agent.run("start", parameters).code in (2, 4, 6)
    ran = node.agent.run(action, parameters)
    assert ran.code == (0 if action == "migrate_to" else 1), ran
    assert not answers_on(node.address)
