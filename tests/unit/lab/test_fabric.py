"""What the kernel should hold for a VPC with an ENI that moves; pure, so without a kernel."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from typing import Dict, Optional

import pytest

from vpc_lab.ec2.account import Account
from vpc_lab.fabric.desired import KernelState, desired, tables_of
from vpc_lab.fabric.devices import Name, device_of, link_local, named, plugged
from vpc_lab.fabric.difference import difference
from vpc_lab.fabric.tables import table_number
from vpc_lab.topology import Layout, Topology, topology_for
from vpc_lab.vpc import Attachment, AttachmentStatus, Interface, Route
from vpc_lab.world import World

LOCAL = 99


class Vpc:
    """A VPC with an ENI that moves, and three instances with power."""

    def __init__(self, layout: Layout) -> None:
        self.topology: Topology = topology_for("eni", layout)
        account = Account(self.topology)
        self.world = account.world
        self.eni_id = account.interface_id("service")
        self.ids = {one.name: one.instance_id for one in account.instances()}
        account.close()
        self.hosts: Dict[str, int] = {self.ids["node1"]: 1001, self.ids["node2"]: 1002, self.ids["consumer-a"]: 1003}
        self.device = device_of(self.eni_id)

    def with_attachment(self, name: Optional[str], status: AttachmentStatus = "attached", index: int = 1) -> World:
        """The world with the ENI on that instance."""
        held = None if name is None else Attachment("eni-attach-1", self.ids[name], index, status, False, 0.0)
        return self.world.with_interface(replace(self.eni(), attachment=held))

    def eni(self) -> Interface:
        """The ENI."""
        return self.world.interfaces[self.eni_id]

    def state(self, name: Optional[str], status: AttachmentStatus = "attached") -> KernelState:
        """The kernel's objects."""
        return desired(self.with_attachment(name, status), self.topology, self.hosts)


@pytest.fixture(params=["service-subnet", "same-subnet"])
def vpc(request: pytest.FixtureRequest) -> Vpc:
    """Both layouts."""
    return Vpc(request.param)


def test_an_attached_eni_is_a_bare_link(vpc: Vpc) -> None:
    """It has the ENI's MAC and nothing else: addresses and routes are the agent's business."""
    link = vpc.state("node1").links[vpc.device]
    assert (link.pid, link.mac, link.addresses, link.gateways) == (1001, vpc.eni().mac, (), ())
    assert vpc.state("node2").links[vpc.device].pid == 1002


@pytest.mark.parametrize(("status", "there"), [("attaching", False), ("attached", True), ("detaching", True)])
def test_the_link_is_there_from_attached_to_the_end_of_detaching(
    vpc: Vpc, status: AttachmentStatus, there: bool
) -> None:
    """An instance that does not let go keeps its NIC."""
    assert (vpc.device in vpc.state("node1", status).links) is there


def test_a_free_eni_has_no_link(vpc: Vpc) -> None:
    """Nor does one of an instance without power."""
    assert vpc.device not in vpc.state(None).links
    world = vpc.with_attachment("node1")
    assert vpc.device not in desired(world, vpc.topology, {vpc.ids["node2"]: 1002}).links


def test_a_hidden_device_is_not_there_yet(vpc: Vpc) -> None:
    """EC2 says attached before the instance has the NIC: no link, and nothing leads to it."""
    world = vpc.with_attachment("node1")
    state = desired(world, vpc.topology, vpc.hosts, hidden=frozenset([vpc.device]))
    assert vpc.device not in state.links
    assert state.routes[4, LOCAL, f"{vpc.eni().addresses[0]}/32"] == "dev lo scope link"


def test_every_address_of_the_eni_is_delivered_to_it(vpc: Vpc) -> None:
    """With a permanent neighbour for each, so that nobody asks for it."""
    state = vpc.state("node1")
    eni = vpc.eni()
    assert len(eni.addresses) == 3
    for address in eni.addresses:
        block = f"{address}/{address.max_prefixlen}"
        assert state.routes[address.version, LOCAL, block] == f"dev {vpc.device} scope link"
        assert state.neighbours[address.version, vpc.device, str(address)] == eni.mac
    assert state.neighbours[6, vpc.device, str(link_local(eni.mac))] == eni.mac


def test_an_address_without_a_device_is_dropped_and_still_resolved(vpc: Vpc) -> None:
    """IPv4 by a route that answers ARP and leads nowhere; IPv6 by the proxy entries, which do not depend on it."""
    free, held = vpc.state(None), vpc.state("node1")
    for address in vpc.eni().addresses:
        if address.version == 4:
            assert free.routes[4, LOCAL, f"{address}/32"] == "dev lo scope link"
    assert 'oifname "lo" drop' in free.ruleset
    service6 = next(str(address) for address in vpc.eni().addresses if address.version == 6)
    beside = {device for device, address in free.proxies if address == service6}
    same = {device for device, one in plugged(vpc.world, vpc.hosts).items() if one.subnet_id == vpc.eni().subnet_id}
    assert beside == same
    assert (vpc.device, service6) not in held.proxies


def test_what_leaves_the_eni_follows_its_own_subnet_s_table(vpc: Vpc) -> None:
    """Not that of the instance's primary ENI, nor that of another ENI whose view of the table is older."""
    world = vpc.with_attachment("node1")
    own = world.route_table_of(vpc.eni().subnet_id)
    block = IPv4Network("192.168.10.10/32")
    tables = tables_of(world, vpc.hosts)
    assert tables[vpc.device] == own
    tables[vpc.device] = replace(own, routes=(Route(block, vpc.eni_id),))
    state = desired(world, vpc.topology, vpc.hosts, tables=tables)
    for family in (4, 6):
        assert (family, f"pref 100 iif {vpc.device} lookup {table_number(vpc.device)}") in state.rules
    found = {table for family, table, destination in state.routes if destination == str(block)}
    assert found == {table_number(vpc.device)}


def test_the_route_in_use_decides_and_leads_where_ec2_says(vpc: Vpc) -> None:
    """Not a filtered one, not a propagated one beside a static one; a blackhole leads nowhere, whoever it names."""
    block = IPv4Network("192.168.10.10/32")
    node1, node2 = (
        next(one for one in vpc.world.interfaces_of(vpc.ids[name]) if one.attachment) for name in ("node1", "node2")
    )

    def leads(*routes: Route) -> str:
        own = vpc.world.route_table_of(vpc.world.interfaces[node1.network_interface_id].subnet_id)
        world = vpc.world.with_route_table(replace(own, routes=(*own.routes, *routes)))
        state = desired(world, vpc.topology, vpc.hosts)
        return state.routes[4, table_number(device_of(node1.network_interface_id)), str(block)]

    static = Route(block, node2.network_interface_id)
    propagated = Route(block, node1.network_interface_id, "EnableVgwRoutePropagation")
    filtered = Route(block, node1.network_interface_id, "Advertisement", "filtered")
    assert device_of(static.target) in leads(static, filtered, propagated)
    assert device_of(propagated.target) in leads(propagated, filtered)
    assert leads(replace(static, state="blackhole"), propagated) == "blackhole"


def test_the_source_destination_check_is_on_and_knows_the_eni_s_addresses(vpc: Vpc) -> None:
    """The ENI, and here the primary ENI as well: a reply by the wrong one is dropped."""
    rules = vpc.state("node1").ruleset
    primary = next(
        device
        for device, one in plugged(vpc.world, vpc.hosts).items()
        if one.attachment is not None and one.attachment.instance_id == vpc.ids["node1"]
    )
    checked = next(line for line in rules.splitlines() if line.startswith(" set checked"))
    assert f'"{vpc.device}"' in checked
    assert f'"{primary}"' in checked
    own = next(line for line in rules.splitlines() if line.startswith(" set own4"))
    assert f'"{vpc.device}" . {vpc.eni().addresses[1]}' in own
    assert f'"{primary}" . {vpc.eni().addresses[1]}' not in own


def test_a_nic_never_comes_back_under_the_name_it_had(vpc: Vpc) -> None:
    """The next number each time; anew after a boot; the primary one is always eth0."""
    names: Dict[str, Name] = {}
    seen = []
    for name in ("node1", None, "node1", "node2", "node1"):
        names = named(names, plugged(vpc.with_attachment(name), vpc.hosts), vpc.hosts)
        if name is not None:
            seen.append(names[vpc.device].inside)
    assert seen == ["eth1", "eth2", "eth1", "eth3"]
    again = named(names, plugged(vpc.with_attachment("node1"), vpc.hosts), vpc.hosts)
    assert again == names
    booted = {**vpc.hosts, vpc.ids["node1"]: 2001}
    names = named(names, plugged(vpc.with_attachment("node1"), booted), booted)
    assert names[vpc.device].inside == "eth1"
    assert {name.inside for name in names.values() if name.pid == 1002 and name.number == 0} == {"eth0"}


def test_the_name_is_the_link_s(vpc: Vpc) -> None:
    """What `named` chose is what the instance gets."""
    world = vpc.with_attachment("node1")
    state = desired(world, vpc.topology, vpc.hosts, names={vpc.device: "eth7"})
    assert state.links[vpc.device].inside == "eth7"


def test_a_private_address_is_delivered_to_the_eni_that_has_it() -> None:
    """AssignPrivateIpAddresses moves the local route, and what the check lets pass."""
    topology = topology_for("private-ip")
    assert topology.private is not None
    account = Account(topology)
    world, ids = account.world, {one.name: one.instance_id for one in account.instances()}
    hosts = {ids["node1"]: 1, ids["node2"]: 2}
    for name in ("node1", "node2"):
        eni = account.instance(name).network_interface_id
        one = world.interfaces[eni]
        moved = world.with_interface(replace(one, ipv4=(*one.ipv4, topology.private)))
        state = desired(moved, topology, hosts)
        assert state.routes[4, LOCAL, f"{topology.private}/32"] == f"dev {device_of(eni)} scope link"
        assert f'"{device_of(eni)}" . {topology.private}' in state.ruleset
    account.close()


def test_an_ipv6_route_that_changes_is_never_missing(vpc: Vpc) -> None:
    """The new next hop is there before the old one goes; the kernel cannot replace an IPv6 route in one step."""
    block = IPv6Network("fd00:10::10/128")

    def led_to(eni: str) -> KernelState:
        tables = {
            device: replace(table, routes=(*table.routes, Route(block, eni)))
            for device, table in tables_of(vpc.world, vpc.hosts).items()
        }
        return desired(vpc.world, vpc.topology, vpc.hosts, tables=tables)

    one, other = sorted(eni.network_interface_id for eni in plugged(vpc.world, vpc.hosts).values())[:2]
    lines = [line for line in difference(led_to(one), led_to(other), 6) if str(block) in line]
    # One for each ENI, and one for the transit gateway.
    assert len(lines) == 2 * (len(vpc.hosts) + 1)
    for new, old in zip(lines[::2], lines[1::2]):
        assert new.startswith(f"route append {block} via ")
        assert f"dev {device_of(other)}" in new
        assert old.startswith(f"route delete {block} via ")
        assert f"dev {device_of(one)}" in old
        assert new.split()[-1] == old.split()[-1]
