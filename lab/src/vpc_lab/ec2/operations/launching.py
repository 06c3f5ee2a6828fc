"""RunInstances: an instance with its primary network interface, `pending` until it has power.

What a real instance has beside that, volumes, an image, a key pair and user data, is accepted and has no effect: the
lab's instances all boot from this machine's programs.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Callable, Dict, List, Optional, Tuple

from vpc_lab.ec2.errors import ApiError, invalid_value, missing, not_found
from vpc_lab.ec2.operations.building import fresh
from vpc_lab.ec2.operations.filters import group
from vpc_lab.ec2.operations.interfaces import LIMITS, free_addresses, subnet_address
from vpc_lab.ec2.operations.vpcs import KIND
from vpc_lab.ec2.wire import Query
from vpc_lab.topology import PUBLIC
from vpc_lab.vpc import Attachment, Instance, Interface, identifier, mac_of
from vpc_lab.world import World

IMAGE = Instance.image_id


@dataclass(frozen=True)
class _Asked:
    """What the call says of the primary network interface, by itself or in `NetworkInterface.1`."""

    subnet_id: str
    address: Optional[str]
    groups: Tuple[str, ...]
    public: bool


def run(
    world: World,
    query: Query,
    owner_id: str,
    now: float,
    role_of: Callable[[str], Optional[str]],
) -> Tuple[World, Tuple[str, ...]]:
    """RunInstances: the new world, and the ids of the instances, all `pending`.

    `role_of`: the name of the role in an instance profile, None where there is no such profile.
    """
    kind = query.get("InstanceType") or "m5.large"
    if kind not in LIMITS:
        raise invalid_value(f"Invalid value '{kind}' for InstanceType.")
    image = query.require("ImageId")
    if not image.startswith(("ami-", "resolve:ssm:")):
        raise ApiError("InvalidAMIID.Malformed", f'Invalid id: "{image}" (expecting "ami-...")')
    least, most = query.number("MinCount"), query.number("MaxCount")
    if least is None or most is None:
        raise missing("minCount" if least is None else "maxCount")
    asked = _asked(world, query)
    if asked.address is not None and most > 1:
        raise ApiError("InvalidParameterCombination", "A private IP address can be specified for one instance only.")
    profile = _profile(query)
    role = None if profile is None else role_of(profile)
    if profile is not None and role is None:
        raise invalid_value(
            f"Value ({profile}) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
        )
    made: List[str] = []
    for _ in range(most):
        instance_id = fresh(world.instances, "i", query)
        subnet = world.subnets[asked.subnet_id]
        image_id = image if image.startswith("ami-") else IMAGE
        world = world.with_instance(
            Instance(
                instance_id,
                kind,
                subnet.subnet_id,
                subnet.availability_zone,
                "pending",
                now,
                role,
                image_id,
                profile=profile,
            )
        )
        world = world.with_interface(_interface(world, instance_id, asked, owner_id, now))
        for resource_id in (instance_id, identifier("eni", instance_id)):
            world = world.with_tags(resource_id, _tags(query, resource_id))
        made.append(instance_id)
    return world, tuple(made)


def _asked(world: World, query: Query) -> _Asked:
    nics = query.structures("NetworkInterface")
    if len(nics) > 1:
        raise ApiError("UnsupportedOperation", "The lab's EC2 launches instances with one network interface.")
    of = Query(nics[0]) if nics else query
    if of.get("NetworkInterfaceId") is not None:
        raise ApiError("UnsupportedOperation", "The lab's EC2 makes the primary network interface itself.")
    subnet_id = of.get("SubnetId")
    if subnet_id is None:
        raise ApiError("MissingInput", "No subnets found for the default VPC. Please specify a subnet.")
    if subnet_id not in world.subnets:
        raise not_found("InvalidSubnetID.NotFound", "subnet", subnet_id)
    listed = of.structures("PrivateIpAddresses")
    address = of.get("PrivateIpAddress") or (listed[0].get("PrivateIpAddress") if listed else None)
    groups = tuple(group(world, one).group_id for one in of.members("SecurityGroupId")) or (world.group_id,)
    return _Asked(subnet_id, address, groups, of.flag("AssociatePublicIpAddress"))


def _profile(query: Query) -> Optional[str]:
    arn = query.get("IamInstanceProfile.Arn")
    return query.get("IamInstanceProfile.Name") if arn is None else arn.rpartition("/")[2]


def _interface(world: World, instance_id: str, asked: _Asked, owner_id: str, now: float) -> Interface:
    eni = identifier("eni", instance_id)
    if asked.address is None:
        address = next(free_addresses(world, asked.subnet_id), None)
        if address is None:
            raise ApiError("InsufficientFreeAddressesInSubnet", f"Insufficient free addresses in {asked.subnet_id}.")
    else:
        address = subnet_address(world, asked.subnet_id, asked.address)
        if any(address in one.ipv4 for one in world.interfaces.values()):
            raise ApiError("InvalidIPAddress.InUse", f"Address {address} is in use.")
    return Interface(
        eni,
        mac_of(eni),
        asked.subnet_id,
        world.subnets[asked.subnet_id].availability_zone,
        owner_id,
        (address,),
        groups=asked.groups,
        attachment=Attachment(identifier("eni-attach", eni), instance_id, 0, "attached", True, now),
        public_ip=_public(world) if asked.public else None,
    )


def _public(world: World) -> IPv4Address:
    used = {one.public_ip for one in world.elastic_ips.values()}
    used |= {one.public_ip for one in world.interfaces.values() if one.public_ip is not None}
    # From the end: Elastic IPs are allocated from the beginning.
    return next(host for host in reversed(list(PUBLIC.hosts())) if host not in used)


def _tags(query: Query, resource_id: str) -> Dict[str, str]:
    """The tags that the call specifies for this type of resource."""
    kind = KIND[resource_id.partition("-")[0]]
    return {
        entry["Key"]: entry.get("Value", "")
        for specification in query.structures("TagSpecification")
        if specification.get("ResourceType") == kind
        for entry in Query(specification).structures("Tag")
    }
