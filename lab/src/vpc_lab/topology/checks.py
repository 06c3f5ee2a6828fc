"""What EC2 or the fabric could not have: a sentence for each thing that is wrong with a topology. Pure."""

from __future__ import annotations

import re
from collections import Counter
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Iterator, Sequence, Tuple

from vpc_lab.vpc import Address

if TYPE_CHECKING:
    from vpc_lab.topology.specs import SubnetSpec, Topology

# The digits of EC2's ids, the long ones and those of before 2018. The fabric names devices after them.
_DIGITS = r"-[0-9a-f]{8}(?:[0-9a-f]{9})?"
# A host name, which the lab also uses as the name of a directory.
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def is_host_name(name: str) -> bool:
    """Whether an instance can be called so."""
    return _NAME.fullmatch(name) is not None


def complaints(topology: Topology) -> Iterator[str]:
    """A sentence for each thing that cannot be, the plainest first."""
    if not topology.nodes and not topology.empty:
        yield "a lab has at least one node"
    yield from _wrong_names(topology)
    yield from _wrong_ids(topology)
    yield from _wrong_places(topology)
    yield from _wrong_addresses(topology)


def _placed(topology: Topology) -> Tuple[Tuple[str, SubnetSpec, Tuple[Address, ...]], ...]:
    """Who is in which subnet, with which addresses."""
    return (
        *((one.name, one.subnet, (one.address, one.ipv6_address)) for one in topology.instances),
        *((one.name, one.subnet, one.addresses) for one in topology.interfaces),
    )


def _wrong_names(topology: Topology) -> Iterator[str]:
    """Each is a place of its own for whoever cuts links: instances, zones, and what is outside."""
    names = [one.name for one in topology.instances]
    for name in names:
        if not is_host_name(name):
            yield f"'{name}' cannot be the host name of an instance: it takes letters, digits and hyphens, at most 63"
    places = [*names, *(one.name for one in topology.outside), "api", "imds"]
    places += {one.availability_zone for one in topology.subnets}
    yield from (f"two places of the lab are called '{name}'" for name in _twice(places))
    yield from (f"two subnets are called '{name}'" for name in _twice([one.name for one in topology.subnets]))


def _wrong_ids(topology: Topology) -> Iterator[str]:
    ids = {
        "i": [one.instance_id for one in topology.instances],
        "eni": [
            *(one.network_interface_id for one in topology.instances),
            *(one.network_interface_id for one in topology.interfaces),
        ],
        "subnet": [one.subnet_id for one in topology.subnets],
        # Several subnets may share a route table.
        "rtb": [*dict.fromkeys(one.route_table_id for one in topology.subnets), *topology.extra_route_tables],
    }
    for prefix, found in ids.items():
        for given in found:
            if not re.fullmatch(prefix + _DIGITS, given):
                yield f"'{given}' is no id of EC2's: it takes {prefix}- and 17 (or 8) hexadecimal digits"
        yield from (f"two things of the lab have the id {given}" for given in _twice(found))
    yield from (f"two instances have the MAC address {mac}" for mac in _twice([one.mac for one in topology.instances]))


def _wrong_places(topology: Topology) -> Iterator[str]:
    for subnet in topology.subnets:
        if not subnet.availability_zone.startswith(topology.region):
            yield f"availability zone {subnet.availability_zone} is not one of region {topology.region}"
        if not (subnet.cidr.subnet_of(topology.cidr) and subnet.ipv6_cidr.subnet_of(topology.ipv6_cidr)):
            yield f"subnet {subnet.name} is not within the VPC's {topology.cidr} and {topology.ipv6_cidr}"
    for name, home, _ in _placed(topology):
        if home not in topology.subnets:
            yield f"{name} is in subnet {home.name}, which is none of the lab's"


def _wrong_addresses(topology: Topology) -> Iterator[str]:
    placed = _placed(topology)
    for name, subnet, addresses in placed:
        for address in addresses:
            if address not in (subnet.cidr if isinstance(address, IPv4Address) else subnet.ipv6_cidr):
                yield f"{address} of {name} is not within its subnet {subnet.name}"
    yield from (f"two interfaces have the address {one}" for one in _twice([one for *_, own in placed for one in own]))
    for overlay in topology.overlays:
        if overlay in (topology.cidr if isinstance(overlay, IPv4Address) else topology.ipv6_cidr):
            yield f"overlay address {overlay} is within the VPC, where no route can lead it to an instance"


def _twice(found: Sequence[object]) -> Tuple[object, ...]:
    return tuple(one for one, times in Counter(found).items() if times > 1)
