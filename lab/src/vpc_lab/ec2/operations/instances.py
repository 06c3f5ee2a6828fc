"""Instances: their states, attributes, and how EC2 shows them."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from vpc_lab.ec2.errors import ApiError, invalid_value, not_found
from vpc_lab.ec2.operations.interfaces import (
    LIMITS,
    NETWORK_CARDS,
    addresses,
    association,
    group_set,
    prefixes,
    timestamp,
)
from vpc_lab.ec2.operations.routes import paged
from vpc_lab.ec2.wire import Query, Structure, matches, tag_attributes, tag_set
from vpc_lab.vpc import Instance, InstanceState, Interface, SecondaryInterface, identifier
from vpc_lab.world import World

CODE: Dict[InstanceState, int] = {
    "pending": 0,
    "running": 16,
    "shutting-down": 32,
    "terminated": 48,
    "stopping": 64,
    "stopped": 80,
}


def instance(world: World, instance_id: str) -> Instance:
    """An instance; otherwise InvalidInstanceID.NotFound or .Malformed."""
    if not instance_id.startswith("i-"):
        raise ApiError("InvalidInstanceID.Malformed", f'Invalid id: "{instance_id}"')
    found = world.instances.get(instance_id)
    if found is None:
        raise not_found("InvalidInstanceID.NotFound", "instance", instance_id)
    return found


def named(world: World, query: Query) -> List[Instance]:
    """The instances a call names."""
    wanted = list(dict.fromkeys(query.members("InstanceId")))
    if not wanted:
        raise ApiError("MissingParameter", "The request must contain the parameter InstanceId")
    return [instance(world, instance_id) for instance_id in wanted]


def state(name: InstanceState) -> Structure:
    """An instance's state as EC2 shows it."""
    return {"code": CODE[name], "name": name}


def changes(pairs: Sequence[Tuple[Instance, InstanceState]]) -> Structure:
    """The answer of StopInstances, StartInstances and TerminateInstances."""
    return {
        "instancesSet": [
            {"instanceId": one.instance_id, "currentState": state(now), "previousState": state(one.state)}
            for one, now in pairs
        ]
    }


def terminated(world: World, instance_id: str) -> World:
    """What termination leaves: ENIs that go with the instance are gone, the others are free."""
    for one in world.interfaces_of(instance_id):
        if one.attachment is not None and one.attachment.delete_on_termination:
            world = world.without_interface(one.network_interface_id)
        else:
            world = world.with_interface(replace(one, attachment=None))
    return world.with_instance(replace(world.instances[instance_id], state="terminated"))


def _primary(world: World, one: Instance) -> Tuple[Interface, ...]:
    return tuple(
        held
        for held in world.interfaces_of(one.instance_id)
        if held.attachment is not None and held.attachment.slot == (0, 0)
    )


def _names(primary: Optional[Interface], one: Instance) -> List[str]:
    """An instance's private host name: by its address, or by its id in an IPv6-only subnet; none without an ENI."""
    if primary is None:
        return []
    return [
        f"ip-{str(primary.ipv4[0]).replace('.', '-')}.ec2.internal"
        if primary.ipv4
        else f"{one.instance_id}.ec2.internal"
    ]


def _public(world: World, primary: Optional[Interface]) -> Optional[str]:
    """The public address of an instance: of its primary private address."""
    found = association(world, primary, primary.ipv4[0]) if primary is not None and primary.ipv4 else None
    return None if found is None else str(found["publicIp"])


def _describe_interface(world: World, held: Interface) -> Structure:
    attachment = held.attachment
    return {
        "networkInterfaceId": held.network_interface_id,
        "subnetId": held.subnet_id,
        "vpcId": world.vpc.vpc_id,
        "description": held.description,
        "ownerId": held.owner_id,
        "status": "in-use",
        "macAddress": held.mac,
        "privateIpAddress": str(held.ipv4[0]) if held.ipv4 else None,
        "sourceDestCheck": held.source_dest_check,
        "groupSet": group_set(world, held),
        "association": association(world, held, held.ipv4[0]) if held.ipv4 else None,
        "attachment": None
        if attachment is None
        else {
            "attachmentId": attachment.attachment_id,
            "deviceIndex": attachment.device_index,
            "networkCardIndex": attachment.network_card_index,
            "status": attachment.status,
            "attachTime": timestamp(attachment.attach_time),
            "deleteOnTermination": attachment.delete_on_termination,
        },
        "privateIpAddressesSet": addresses(world, held),
        "ipv6AddressesSet": [{"ipv6Address": str(address)} for address in held.ipv6],
        **prefixes(held),
        "interfaceType": "interface",
    }


def _describe_secondary(held: SecondaryInterface, account_id: str) -> Structure:
    """An interface in a secondary network; the shape of its ids is the lab's own."""
    return {
        "secondaryInterfaceId": held.secondary_interface_id,
        "secondaryNetworkId": identifier("secondary-network", "lab"),
        "secondarySubnetId": identifier("secondary-subnet", "lab"),
        "interfaceType": "secondary",
        "ownerId": account_id,
        "status": "in-use",
        "macAddress": held.mac,
        "sourceDestCheck": True,
        "privateIpAddressSet": [{"privateIpAddress": str(held.address)}],
        "attachment": {
            "attachmentId": identifier("secondary-attach", held.secondary_interface_id),
            "deviceIndex": held.device_index,
            "networkCardIndex": held.network_card_index,
            "status": "attached",
            "attachTime": timestamp(held.attach_time),
            "deleteOnTermination": True,
        },
    }


def describe(world: World, one: Instance, account_id: str, *, metadata: bool = True) -> Structure:
    """One instance as DescribeInstances shows it."""
    primary = next(iter(_primary(world, one)), None)
    gone = one.state == "terminated"
    return {
        "instanceId": one.instance_id,
        "imageId": one.image_id,
        "instanceState": state(one.state),
        "privateDnsName": "".join(_names(primary, one)),
        "dnsName": "",
        "reason": "",
        "amiLaunchIndex": 0,
        "productCodes": [],
        "instanceType": one.instance_type,
        "launchTime": timestamp(one.launch_time),
        "placement": {"availabilityZone": one.availability_zone, "groupName": "", "tenancy": "default"},
        "monitoring": {"state": "disabled"},
        "subnetId": None if gone else one.subnet_id,
        "vpcId": None if gone else world.vpc.vpc_id,
        "privateIpAddress": str(primary.ipv4[0]) if primary is not None and primary.ipv4 else None,
        "ipAddress": _public(world, primary),
        "sourceDestCheck": None if primary is None else primary.source_dest_check,
        "groupSet": [] if primary is None else group_set(world, primary),
        "architecture": "x86_64",
        "rootDeviceType": "ebs",
        "rootDeviceName": "/dev/xvda",
        "blockDeviceMapping": [],
        "virtualizationType": "hvm",
        "hypervisor": "xen",
        "ebsOptimized": False,
        "enaSupport": True,
        "tagSet": tag_set(world.tags.get(one.instance_id, {})),
        "secondaryInterfaceSet": [_describe_secondary(held, account_id) for held in one.secondary_interfaces],
        "networkInterfaceSet": [_describe_interface(world, held) for held in world.interfaces_of(one.instance_id)],
        "iamInstanceProfile": None
        if one.profile_name is None
        else {
            "arn": f"arn:aws:iam::{account_id}:instance-profile/{one.profile_name}",
            "id": identifier("AIPA", one.profile_name).replace("-", "").upper(),
        },
        "metadataOptions": {
            "state": "applied",
            "httpTokens": "required",
            "httpPutResponseHopLimit": 2,
            "httpEndpoint": "enabled" if metadata else "disabled",
        },
    }


def _profile_arns(one: Instance, account_id: str) -> List[str]:
    return [] if one.profile_name is None else [f"arn:aws:iam::{account_id}:instance-profile/{one.profile_name}"]


def _attributes(world: World, one: Instance, account_id: str) -> Dict[str, List[str]]:
    held = world.interfaces_of(one.instance_id)
    attachments = [eni.attachment for eni in held if eni.attachment is not None]
    primary = _primary(world, one)
    result = tag_attributes(world.tags.get(one.instance_id, {}))
    result.update(
        {
            "instance-id": [one.instance_id],
            "instance-state-name": [one.state],
            "instance-state-code": [str(CODE[one.state])],
            "instance-type": [one.instance_type],
            "image-id": [one.image_id],
            "availability-zone": [one.availability_zone],
            "subnet-id": [one.subnet_id],
            "vpc-id": [world.vpc.vpc_id],
            "private-ip-address": [str(eni.ipv4[0]) for eni in primary if eni.ipv4],
            "owner-id": [account_id],
            "reservation-id": [identifier("r", one.instance_id)],
            "iam-instance-profile.arn": _profile_arns(one, account_id),
            "source-dest-check": [str(eni.source_dest_check).lower() for eni in primary],
            "group-id": [group for eni in primary for group in eni.groups],
            "instance.group-id": [group for eni in primary for group in eni.groups],
            "network-interface.mac-address": [eni.mac for eni in held],
            "network-interface.subnet-id": [eni.subnet_id for eni in held],
            "network-interface.vpc-id": [world.vpc.vpc_id for eni in held],
            "network-interface.description": [eni.description for eni in held],
            "network-interface.status": ["in-use" for eni in held],
            "network-interface.source-dest-check": [str(eni.source_dest_check).lower() for eni in held],
            "network-interface.group-id": [group for eni in held for group in eni.groups],
            "network-interface.attachment.attachment-id": [one.attachment_id for one in attachments],
            "network-interface.attachment.instance-id": [one.instance_id for one in attachments],
            "network-interface.attachment.device-index": [str(one.device_index) for one in attachments],
            "network-interface.attachment.status": [one.status for one in attachments],
            "network-interface.network-interface-id": [one.network_interface_id for one in held],
            "network-interface.addresses.private-ip-address": [str(address) for one in held for address in one.ipv4],
            "network-interface.ipv6-addresses.ipv6-address": [str(address) for one in held for address in one.ipv6],
            "private-dns-name": [name for eni in primary for name in _names(eni, one)],
        }
    )
    return result


def chosen(world: World, query: Query, account_id: str) -> List[Instance]:
    """The instances that a Describe call asks for, by ids and filters."""
    found = named(world, query) if query.members("InstanceId") else list(world.instances.values())
    filters = query.filters()
    return [one for one in found if not filters or matches(filters, _attributes(world, one, account_id))]


def describe_instances(
    world: World, query: Query, account_id: str, metadata_is_on: Callable[[str], bool] = lambda instance_id: True
) -> Structure:
    """DescribeInstances: one reservation for each instance."""
    reservations: List[Structure] = [
        {
            "reservationId": identifier("r", one.instance_id),
            "ownerId": account_id,
            "groupSet": [],
            "instancesSet": [describe(world, one, account_id, metadata=metadata_is_on(one.instance_id))],
        }
        for one in chosen(world, query, account_id)
    ]
    return paged(query, "reservationSet", reservations, 1000)


def describe_status(world: World, query: Query, account_id: str) -> Structure:
    """DescribeInstanceStatus: running instances only, unless IncludeAllInstances."""
    found = [
        one for one in chosen(world, query, account_id) if one.state == "running" or query.flag("IncludeAllInstances")
    ]
    checks = {"status": "ok", "details": [{"name": "reachability", "status": "passed"}]}
    statuses: List[Structure] = [
        {
            "instanceId": one.instance_id,
            "availabilityZone": one.availability_zone,
            "instanceState": state(one.state),
            "systemStatus": checks if one.state == "running" else {"status": "not-applicable"},
            "instanceStatus": checks if one.state == "running" else {"status": "not-applicable"},
        }
        for one in found
    ]
    return paged(query, "instanceStatusSet", statuses, 1000)


def modify(world: World, query: Query) -> World:
    """ModifyInstanceAttribute: the source/destination check of an instance with one ENI."""
    one = instance(world, query.require("InstanceId"))
    check = query.get("SourceDestCheck.Value")
    if check is None:
        raise ApiError("UnsupportedOperation", "The lab's EC2 changes no other attribute than sourceDestCheck.")
    held = world.interfaces_of(one.instance_id)
    if len(held) != 1:
        raise ApiError(
            "InvalidInstanceID",
            f"There are multiple interfaces attached to instance '{one.instance_id}'. "
            "Please specify an interface ID for the operation instead.",
        )
    return world.with_interface(replace(held[0], source_dest_check=check.lower() == "true"))


def describe_types(query: Query) -> Structure:
    """DescribeInstanceTypes: of the types that the lab knows, what they take of network interfaces and addresses."""
    wanted = query.members("InstanceType") or list(LIMITS)
    for one in wanted:
        if one not in LIMITS:
            raise ApiError("InvalidInstanceType", f"The following supplied instance types do not exist: [{one}]")
    found: List[Structure] = []
    for one in wanted:
        most, of_each = LIMITS[one]
        cards = NETWORK_CARDS.get(one, 1)
        if not matches(query.filters(), {"instance-type": [one]}):
            continue
        found.append(
            {
                "instanceType": one,
                "networkInfo": {
                    "maximumNetworkInterfaces": most,
                    "maximumNetworkCards": cards,
                    "networkCards": [
                        {"networkCardIndex": card, "maximumNetworkInterfaces": most // cards} for card in range(cards)
                    ],
                    "ipv4AddressesPerInterface": of_each,
                    "ipv6AddressesPerInterface": of_each,
                },
            }
        )
    return paged(query, "instanceTypeSet", found, 100)


def describe_attribute(world: World, query: Query) -> Structure:
    """DescribeInstanceAttribute, for the attributes a cluster's set-up looks at."""
    one = instance(world, query.require("InstanceId"))
    attribute = query.require("Attribute")
    primary = _primary(world, one)
    known: Dict[str, Structure] = {
        "sourceDestCheck": {"sourceDestCheck": {"value": primary[0].source_dest_check if primary else True}},
        "instanceType": {"instanceType": {"value": one.instance_type}},
        "disableApiStop": {"disableApiStop": {"value": False}},
        "disableApiTermination": {"disableApiTermination": {"value": False}},
    }
    if attribute not in known:
        raise invalid_value(f"Value ({attribute}) for parameter attribute is invalid. Unknown attribute.")
    return {"instanceId": one.instance_id, **known[attribute]}
