"""Addresses that EC2 says have moved, and that network and instance metadata still have where they were."""

from __future__ import annotations

from typing import Any

import pytest

from vpc_lab.ec2 import RunningAws, Timing
from vpc_lab.waiting import eventually

from .conftest import EC2Client
from .test_imds import TTL, Metadata

ADDRESS = "10.0.1.50"
LONG = 3600.0


class Places:
    """Who has the address: by EC2, in the network, and by the metadata of node1."""

    def __init__(self, aws: RunningAws, ec2: EC2Client) -> None:
        self.aws = aws
        self.ec2 = ec2
        self.enis = [aws.account.instance(name).network_interface_id for name in ("node1", "consumer-a")]
        self.metadata = Metadata(aws.imds_url)

    def assign(self, name: str, address: str = ADDRESS) -> None:
        eni = self.aws.account.instance(name).network_interface_id
        self.ec2.assign_private_ip_addresses(
            NetworkInterfaceId=eni, PrivateIpAddresses=[address], AllowReassignment=True
        )

    def _names(self, enis: list[str]) -> list[str]:
        return [one.name for one in self.aws.account.instances() if one.network_interface_id in enis]

    def by_ec2(self) -> list[str]:
        filters: Any = [{"Name": "addresses.private-ip-address", "Values": [ADDRESS]}]
        found = self.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        return self._names([one["NetworkInterfaceId"] for one in found])

    def in_network(self) -> list[str]:
        interfaces = self.aws.account.world.interfaces_in_network()
        return self._names([one.network_interface_id for one in interfaces if ADDRESS in map(str, one.addresses)])

    def by_metadata(self) -> list[str]:
        """The instances whose own metadata lists the address."""
        found = []
        for one in (self.aws.account.instance("node1"), self.aws.account.instance("consumer-a")):
            name = one.name
            self.aws.imds._who = lambda caller, name=name: name  # type: ignore[misc]
            self.metadata.token = self.metadata.put(TTL).text
            listed = self.metadata.text(f"network/interfaces/macs/{one.mac}/local-ipv4s").split("\n")
            found += [name] if ADDRESS in listed else []
        return found

    def change(self, timing: Timing) -> None:
        self.aws.account.timing = timing


@pytest.fixture
def places(aws: RunningAws, ec2: EC2Client) -> Any:
    """The address on node1, by everyone's account."""
    made = Places(aws, ec2)
    made.assign("node1")
    yield made
    made.metadata.session.close()


def test_at_once_by_default(places: Places) -> None:
    """Without further ado an address that moves has moved everywhere."""
    places.assign("consumer-a")
    assert places.by_ec2() == places.in_network() == places.by_metadata() == ["consumer-a"]


def test_remap_takes_time(places: Places) -> None:
    """EC2 tells of the new ENI at once; packets and the metadata have the old one for as long as the remap takes."""
    places.change(Timing(remap=LONG))
    places.assign("consumer-a")
    assert places.by_ec2() == ["consumer-a"]
    assert places.in_network() == places.by_metadata() == ["node1"]


def test_remap_ends(places: Places) -> None:
    """After the remap packets and metadata find the new ENI."""
    places.change(Timing(remap=0.2))
    places.assign("consumer-a")
    assert places.in_network() == ["node1"]
    places.aws.account.wait_for(lambda world: not world.remaps)
    assert places.in_network() == places.by_metadata() == ["consumer-a"]


def test_metadata_lags_further(places: Places) -> None:
    """The metadata can have the old ENI longer than the network has."""
    places.change(Timing(remap=0.1, imds_address_lag=LONG))
    places.assign("consumer-a")
    eventually("the new place in the network", lambda: places.in_network() == ["consumer-a"])
    assert places.by_metadata() == ["node1"]


def test_new_address_in_metadata(places: Places) -> None:
    """An address that was nobody's is in the network at once; the metadata lags for it too, also for IPv6."""
    node = places.aws.account.instance("node1")
    base = f"network/interfaces/macs/{node.mac}/"
    places.change(Timing(remap=LONG, imds_address_lag=LONG))
    places.assign("node1", "10.0.1.51")
    places.ec2.assign_ipv6_addresses(
        NetworkInterfaceId=node.network_interface_id, Ipv6Addresses=["2001:db8:1000:1::51"]
    )
    (eni,) = [
        one
        for one in places.aws.account.world.interfaces_in_network()
        if one.network_interface_id == node.network_interface_id
    ]
    assert [str(address) for address in eni.addresses] == [
        "10.0.1.11",
        ADDRESS,
        "10.0.1.51",
        "2001:db8:1000:1::b",
        "2001:db8:1000:1::51",
    ]
    assert places.metadata.text(base + "local-ipv4s") == f"10.0.1.11\n{ADDRESS}"
    assert places.metadata.text(base + "ipv6s") == "2001:db8:1000:1::b"


def test_back_again(places: Places) -> None:
    """An address that goes back before its remap has ended never left, and the first remap's end changes nothing."""
    places.change(Timing(remap=0.2))
    places.assign("consumer-a")
    places.change(Timing(remap=LONG))
    places.assign("node1")
    number = max(remap.number for remap in places.aws.account.world.remaps.values())
    places.aws.account.later(0.3, lambda: places.aws.account.put_route("192.168.10.10/32", "node1"))
    places.aws.account.wait_for(lambda world: None not in places.aws.account.routes_to("192.168.10.10/32").values())
    assert [remap.number for remap in places.aws.account.world.remaps.values()] == [number]
    assert places.by_ec2() == places.in_network() == places.by_metadata() == ["node1"]


def test_unassigned_meanwhile(places: Places) -> None:
    """An address that is unassigned while it is remapped is nobody's at once."""
    places.change(Timing(remap=LONG))
    places.assign("consumer-a")
    places.ec2.unassign_private_ip_addresses(NetworkInterfaceId=places.enis[1], PrivateIpAddresses=[ADDRESS])
    assert places.by_ec2() == places.in_network() == places.by_metadata() == []
