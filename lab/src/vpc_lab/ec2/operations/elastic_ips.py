"""Elastic IP addresses: a public address of the account, and the private address of an ENI that it stands for.

Sources: the EC2 API reference of the operations below, and of AssignPrivateIpAddresses (an Elastic IP goes with the
private address that it is associated with); the user guide's "Elastic network interfaces" (it stays with an ENI that
is detached and attached).
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Dict, List, Optional, Tuple

from vpc_lab.ec2.errors import ApiError, invalid_value, missing, not_found
from vpc_lab.ec2.operations.interfaces import interface
from vpc_lab.ec2.wire import Query, Structure, matches, specified_tags, tag_attributes, tag_set
from vpc_lab.topology import PUBLIC
from vpc_lab.vpc import ElasticIp, Interface, identifier
from vpc_lab.world import World

# Elastic IPs of an account in a Region, unless it asks for more.
QUOTA = 5


def allocate(world: World, query: Query) -> Tuple[World, Structure]:
    """AllocateAddress: the next free one of the lab's public addresses."""
    if len(world.elastic_ips) >= QUOTA:
        raise ApiError("AddressLimitExceeded", "The maximum number of addresses has been reached.")
    used = {one.public_ip for one in world.elastic_ips.values()}
    public = next(IPv4Address(host) for host in PUBLIC.hosts() if host not in used)
    made = ElasticIp(identifier("eipalloc", str(public)), public)
    world = world.with_elastic_ip(made)
    world = world.with_tags(made.allocation_id, specified_tags(query))
    return world, {"publicIp": str(public), "allocationId": made.allocation_id, "domain": "vpc"}


def release(world: World, query: Query) -> World:
    """ReleaseAddress; refused while it is associated."""
    one = allocation(world, query.require("AllocationId"))
    if one.association_id is not None:
        raise ApiError("InvalidIPAddress.InUse", f"Address {one.public_ip} is in use.")
    return world.without_elastic_ip(one.allocation_id)


def associate(world: World, query: Query) -> Tuple[World, Structure]:
    """AssociateAddress, with a private address of an ENI: the primary one unless told.

    Without AllowReassociation an Elastic IP that is associated elsewhere is refused. A private address has one Elastic
    IP at most: the new one takes the place of the old one.
    """
    one = allocation(world, query.require("AllocationId"))
    eni = _target(world, query)
    if not eni.ipv4:
        raise invalid_value(f"The network interface {eni.network_interface_id} has no private IPv4 address")
    private = eni.ipv4[0]
    wanted = query.get("PrivateIpAddress")
    if wanted is not None:
        found = next((address for address in eni.ipv4 if str(address) == wanted), None)
        if found is None:
            raise invalid_value(f"You must specify a private IP address of {eni.network_interface_id}: {wanted}")
        private = found
    same = (one.network_interface_id, one.private_ip) == (eni.network_interface_id, private)
    if one.association_id is not None and not same and not query.flag("AllowReassociation"):
        raise ApiError(
            "Resource.AlreadyAssociated",
            f"resource {one.allocation_id} is already associated with associate-id {one.association_id}",
        )
    for other in world.elastic_ips.values():
        if other is not one and other.private_ip == private:
            world = world.with_elastic_ip(ElasticIp(other.allocation_id, other.public_ip))
    association = identifier("eipassoc", one.allocation_id, eni.network_interface_id, str(private))
    made = replace(one, association_id=association, network_interface_id=eni.network_interface_id, private_ip=private)
    return world.with_elastic_ip(made), {"associationId": association, "return": True}


def disassociate(world: World, query: Query) -> World:
    """DisassociateAddress."""
    wanted = query.require("AssociationId")
    for one in world.elastic_ips.values():
        if one.association_id == wanted:
            return world.with_elastic_ip(ElasticIp(one.allocation_id, one.public_ip))
    raise not_found("InvalidAssociationID.NotFound", "association", wanted)


def describe_addresses(world: World, query: Query) -> Structure:
    """DescribeAddresses: by allocation ids, public addresses and filters."""
    chosen = [allocation(world, wanted) for wanted in query.members("AllocationId")]
    for text in query.members("PublicIp"):
        by_address = next((one for one in world.elastic_ips.values() if str(one.public_ip) == text), None)
        if by_address is None:
            raise ApiError("InvalidAddress.NotFound", f"Address '{text}' not found.")
        chosen.append(by_address)
    filters = query.filters()
    return {
        "addressesSet": [
            _describe(world, one)
            for one in (chosen or world.elastic_ips.values())
            if not filters or matches(filters, _attributes(world, one))
        ]
    }


def allocation(world: World, allocation_id: str) -> ElasticIp:
    """An Elastic IP; otherwise InvalidAllocationID.NotFound."""
    found = world.elastic_ips.get(allocation_id)
    if found is None:
        raise not_found("InvalidAllocationID.NotFound", "allocation", allocation_id)
    return found


def _target(world: World, query: Query) -> Interface:
    eni, instance = query.get("NetworkInterfaceId"), query.get("InstanceId")
    if eni is not None:
        return interface(world, eni)
    if instance is None:
        raise missing("networkInterfaceId")
    if instance not in world.instances or world.instances[instance].state == "terminated":
        raise not_found("InvalidInstanceID.NotFound", "instance", instance)
    return world.interfaces_of(instance)[0]


def _holder(world: World, one: ElasticIp) -> Optional[Interface]:
    return None if one.network_interface_id is None else world.interfaces.get(one.network_interface_id)


def _describe(world: World, one: ElasticIp) -> Structure:
    eni = _holder(world, one)
    held = None if eni is None else eni.attachment
    return {
        "publicIp": str(one.public_ip),
        "allocationId": one.allocation_id,
        "domain": "vpc",
        "associationId": one.association_id,
        "networkInterfaceId": one.network_interface_id,
        "networkInterfaceOwnerId": None if eni is None else eni.owner_id,
        "privateIpAddress": None if one.private_ip is None else str(one.private_ip),
        "instanceId": None if held is None else held.instance_id,
        "tagSet": tag_set(world.tags.get(one.allocation_id, {})),
    }


def _attributes(world: World, one: ElasticIp) -> Dict[str, List[str]]:
    eni = _holder(world, one)
    held = None if eni is None else eni.attachment
    result = tag_attributes(world.tags.get(one.allocation_id, {}))
    result.update(
        {
            "allocation-id": [one.allocation_id],
            "public-ip": [str(one.public_ip)],
            "domain": ["vpc"],
            "association-id": [one.association_id] if one.association_id else [],
            "network-interface-id": [one.network_interface_id] if one.network_interface_id else [],
            "private-ip-address": [str(one.private_ip)] if one.private_ip else [],
            "instance-id": [held.instance_id] if held else [],
        }
    )
    return result
