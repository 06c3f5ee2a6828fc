"""Elastic network interfaces: attach, detach, addresses, source/destination check, and how EC2 shows them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import chain, count
from typing import Dict, Iterable, Iterator, List, Optional, Tuple

from vpc_lab.ec2.errors import ApiError, invalid_value, missing, not_found
from vpc_lab.ec2.operations.routes import paged
from vpc_lab.ec2.wire import Query, Structure, matches, specified_tags, tag_attributes, tag_set
from vpc_lab.vpc import Address, Attachment, Cidr, ElasticIp, Instance, Interface, Subnet, identifier, mac_of
from vpc_lab.world import World

# ENIs that an instance type can hold, and addresses of each ENI; from the EC2 user guide's table.
LIMITS: Dict[str, Tuple[int, int]] = {
    "t3.micro": (2, 2),
    "t3.medium": (3, 6),
    "m5.large": (3, 10),
    "m5.xlarge": (4, 15),
    "p4d.24xlarge": (60, 50),
}
# Network cards of the instance types that have several: the same guide, "Network cards".
NETWORK_CARDS: Dict[str, int] = {"p4d.24xlarge": 4}


def timestamp(seconds: float) -> str:
    """A time as EC2 writes it."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def interface(world: World, network_interface_id: str) -> Interface:
    """An ENI; otherwise InvalidNetworkInterfaceID.NotFound or .Malformed."""
    if not network_interface_id.startswith("eni-"):
        raise ApiError(
            "InvalidNetworkInterfaceId.Malformed", f'Invalid id: "{network_interface_id}" (expecting "eni-...")'
        )
    found = world.interfaces.get(network_interface_id)
    if found is None:
        raise not_found("InvalidNetworkInterfaceID.NotFound", "networkInterface", network_interface_id)
    return found


def by_attachment(world: World, attachment_id: str) -> Tuple[Interface, Attachment]:
    """The ENI with this attachment; otherwise InvalidAttachmentID.NotFound."""
    for one in world.interfaces.values():
        if one.attachment is not None and one.attachment.attachment_id == attachment_id:
            return one, one.attachment
    raise ApiError("InvalidAttachmentID.NotFound", f"The interface attachment '{attachment_id}' does not exist.")


def network_cards(instance: Instance) -> int:
    """The number of network cards that an instance has."""
    return NETWORK_CARDS.get(instance.instance_type, 1)


def attach(world: World, query: Query, now: float) -> Tuple[World, Attachment]:
    """AttachNetworkInterface: the ENI is `attaching` afterwards, at a device index that is free on its network card.

    AWS documents no error for a network card that the instance type does not have: its words are the lab's own.
    Where the instance has a dead slot there (`World.dead_slots`), EC2 says the same and no NIC appears.
    """
    index = query.number("DeviceIndex")
    if index is None:
        raise missing("deviceIndex")
    one = interface(world, query.require("NetworkInterfaceId"))
    instance_id = query.require("InstanceId")
    instance = world.instances.get(instance_id)
    if instance is None or instance.state == "terminated":
        raise not_found("InvalidInstanceID.NotFound", "instance", instance_id)
    if one.attachment is not None:
        raise ApiError("InvalidNetworkInterface.InUse", f"Interface: [{one.network_interface_id}] in use.")
    if one.vpc_id is not None:
        raise ApiError("UnsupportedOperation", "The lab's EC2 attaches no network interface across VPCs.")
    if one.availability_zone != instance.availability_zone:
        raise ApiError(
            "InvalidParameterCombination",
            "You may not attach a network interface to an instance if they are not in the same availability zone",
        )
    if instance.state not in ("running", "stopped"):
        raise ApiError("IncorrectState", f"Instance '{instance_id}' is not 'running' or 'stopped'.")
    held = world.interfaces_of(instance_id)
    slot = (query.number("NetworkCardIndex") or 0, index)
    cards = network_cards(instance)
    if slot[0] not in range(cards):
        raise invalid_value(
            f"Value ({slot[0]}) for parameter networkCardIndex is invalid. {instance.instance_type} has {cards} network"
            f" card{'s' if cards > 1 else ''}."
        )
    taken = {other.attachment.slot for other in held if other.attachment is not None}
    if slot in taken.union(one.slot for one in instance.secondary_interfaces):
        raise invalid_value(f"Instance '{instance_id}' already has an interface attached at device index '{index}'.")
    most = LIMITS.get(instance.instance_type, (8, 30))[0]
    if len(held) >= most:
        raise ApiError(
            "AttachmentLimitExceeded",
            f"Interface count {len(held) + 1} exceeds the limit for {instance.instance_type}",
        )
    made = Attachment(
        identifier("eni-attach", one.network_interface_id, instance_id, str(now)),
        instance_id,
        index,
        "attaching",
        False,
        now,
        slot[0],
        slot not in world.dead_slots.get(instance_id, frozenset()),
    )
    return world.with_interface(replace(one, attachment=made)), made


def detach(world: World, query: Query, *, dead: bool = False) -> Tuple[World, str]:
    """DetachNetworkInterface: the ENI is `detaching` afterwards. Returns its id as well.

    `dead`: by force it leaves a dead slot on an instance that has not stopped: "you might not be able to attach a
    different network interface to the same index on the instance without first stopping and starting the instance"
    (EC2 API reference).
    """
    one, attachment = by_attachment(world, query.require("AttachmentId"))
    if attachment.slot == (0, 0):
        raise ApiError(
            "OperationNotPermitted",
            "The network interface at device index 0 and networkCard index 0 cannot be detached.",
        )
    if dead and query.flag("Force") and world.instances[attachment.instance_id].state != "stopped":
        world = world.with_dead_slot(attachment.instance_id, attachment.slot)
    detaching = replace(one, attachment=replace(attachment, status="detaching"))
    return world.with_interface(detaching), one.network_interface_id


def settle(world: World, network_interface_id: str, attachment_id: str, status: str) -> World:
    """The end of `attaching` or `detaching`; nothing if the attachment has meanwhile gone another way."""
    one = world.interfaces.get(network_interface_id)
    if one is None or one.attachment is None or one.attachment.attachment_id != attachment_id:
        return world
    if one.attachment.status != status:
        return world
    if status == "attaching":
        return world.with_interface(replace(one, attachment=replace(one.attachment, status="attached")))
    return world.with_interface(replace(one, attachment=None))


def create(world: World, query: Query, owner_id: str) -> Tuple[World, Structure]:
    """CreateNetworkInterface."""
    subnet_id = query.require("SubnetId")
    subnet = world.subnets.get(subnet_id)
    if subnet is None:
        raise not_found("InvalidSubnetID.NotFound", "subnet", subnet_id)
    listed = query.structures("PrivateIpAddresses")
    ipv4 = [entry["PrivateIpAddress"] for entry in sorted(listed, key=lambda entry: entry.get("Primary") != "true")]
    single = query.get("PrivateIpAddress")
    if single is not None and single not in ipv4:
        ipv4.insert(0, single)
    ipv6 = [entry["Ipv6Address"] for entry in query.structures("Ipv6Addresses")]
    texts = [entry["Ipv4Prefix"] for entry in query.structures("Ipv4Prefix")]
    texts += [entry["Ipv6Prefix"] for entry in query.structures("Ipv6Prefix")]
    addresses4 = tuple(subnet_address(world, subnet_id, text) for text in ipv4)
    addresses6 = tuple(IPv6Address(text) for text in ipv6)
    if any(cidr.version == 4 for cidr in subnet.cidrs):
        addresses4 = addresses4 or (next(free_addresses(world, subnet_id)),)
    else:
        addresses6 = addresses6 or (_free6(world, subnet),)
    named: Tuple[Address, ...] = (*addresses4, *addresses6)
    number = sum(key.startswith("eni-") for key in world.tags) + len(world.interfaces)
    network_interface_id = identifier("eni", f"created {number}", str(named[0]))
    made = Interface(
        network_interface_id,
        mac_of(network_interface_id),
        subnet_id,
        subnet.availability_zone,
        owner_id,
        addresses4,
        addresses6,
        description=query.get("Description") or "",
        groups=tuple(query.members("SecurityGroupId")) or (world.group_id,),
    )
    for address in named:
        _outside_prefixes(world, address)
    world = _delegated(world.with_interface(made), made, query, texts)
    made = world.interfaces[network_interface_id]
    world = world.with_tags(network_interface_id, specified_tags(query))
    return world, {"networkInterface": describe(world, made)}


def delete(world: World, query: Query) -> World:
    """DeleteNetworkInterface; refused while it is attached."""
    one = interface(world, query.require("NetworkInterfaceId"))
    if one.attachment is not None:
        raise invalid_value(f"Network interface '{one.network_interface_id}' is currently in use.")
    return world.without_interface(one.network_interface_id)


def _cidrs(world: World, subnet_id: str) -> Tuple[Cidr, ...]:
    """A subnet's blocks; none of one in another VPC."""
    subnet = world.subnets.get(subnet_id)
    return () if subnet is None else subnet.cidrs


def subnet_address(world: World, subnet_id: str, text: str) -> IPv4Address:
    """An address of a subnet, from its text; otherwise InvalidParameterValue."""
    try:
        address = ip_address(text)
    except ValueError as error:
        raise invalid_value(f"Invalid value '{text}' for PrivateIpAddress. Invalid IP address") from error
    if not isinstance(address, IPv4Address) or not any(address in cidr for cidr in _cidrs(world, subnet_id)):
        raise invalid_value(f"Address {text} does not fall within the subnet's address range")
    return address


def _address6(world: World, subnet_id: str, text: str) -> IPv6Address:
    try:
        address = ip_address(text)
    except ValueError as error:
        raise invalid_value(f"Invalid value '{text}' for Ipv6Address. Invalid IPv6 address") from error
    if not isinstance(address, IPv6Address) or not any(address in cidr for cidr in _cidrs(world, subnet_id)):
        raise invalid_value(f"Address {text} does not fall within the subnet's address range")
    return address


def _outside_prefixes(world: World, address: Address) -> None:
    """EC2 assigns no address of a prefix that is delegated; AWS documents no error for it, the words are the lab's."""
    for one in world.interfaces.values():
        if any(address.version == prefix.version and address in prefix for prefix in one.prefixes):
            raise invalid_value(f"[{address}] is already assigned to another interface")


def _delegated(world: World, one: Interface, query: Query, texts: List[str]) -> World:
    """This world with further prefixes delegated to an ENI.

    "The IPv4 prefix that you can specify is /28. The IPv6 prefix that you can specify is /80. The prefix is in the
    subnet CIDR of the network interface, and it does not overlap with other prefixes or IP addresses assigned to
    existing resources in the subnet." (EC2 user guide)
    """
    if query.number("Ipv4PrefixCount") or query.number("Ipv6PrefixCount"):
        raise ApiError("UnsupportedOperation", "The lab's EC2 chooses no prefixes: name them.")
    for text in texts:
        prefix = _prefix(text)
        if not any(prefix.version == cidr.version and _within(prefix, cidr) for cidr in _cidrs(world, one.subnet_id)):
            raise invalid_value(f"Prefix {text} does not fall within the subnet's address range")
        for other in world.interfaces.values():
            used = any(address in prefix for address in (*other.ipv4, *other.ipv6) if address.version == prefix.version)
            if used or any(held.version == prefix.version and held.overlaps(prefix) for held in other.prefixes):
                raise invalid_value(f"Prefix {text} overlaps with what {other.network_interface_id} has")
        kept = (*world.interfaces[one.network_interface_id].prefixes, prefix)
        one = replace(one, prefixes=tuple(sorted(kept, key=lambda held: held.version)))
        world = world.with_interface(one)
    return world


def _prefix(text: str) -> Cidr:
    try:
        prefix = ip_network(text)
    except ValueError as error:
        raise invalid_value(f"Value ({text}) for parameter prefix is invalid. This is not a valid CIDR.") from error
    if prefix.prefixlen != (28 if prefix.version == 4 else 80):
        raise invalid_value(
            f"Value ({text}) for parameter prefix is invalid. The prefix has to be a /28, or an IPv6 /80."
        )
    return prefix


def _within(prefix: Cidr, cidr: Cidr) -> bool:
    return prefix.network_address in cidr and prefix.prefixlen >= cidr.prefixlen


def _withdrawn(one: Interface, texts: List[str]) -> Interface:
    """An ENI without some of its prefixes."""
    gone = [_prefix(text) for text in texts]
    if any(prefix not in one.prefixes for prefix in gone):
        raise invalid_value(f"Some of the specified prefixes are not assigned to interface {one.network_interface_id}")
    return replace(one, prefixes=tuple(kept for kept in one.prefixes if kept not in gone))


def free_addresses(world: World, subnet_id: str) -> Iterator[IPv4Address]:
    """The addresses of a subnet that nothing has."""
    used = set(chain.from_iterable(one.ipv4 for one in world.interfaces.values()))
    delegated = [prefix for one in world.interfaces.values() for prefix in one.prefixes if prefix.version == 4]
    hosts = chain.from_iterable(cidr.hosts() for cidr in _cidrs(world, subnet_id) if cidr.version == 4)
    # The first three host addresses of a subnet are AWS's own.
    return (
        host
        for host in list(hosts)[3:]
        if isinstance(host, IPv4Address) and host not in used and not any(host in prefix for prefix in delegated)
    )


def _free6(world: World, subnet: Subnet) -> IPv6Address:
    """An address of a subnet that no ENI has: what EC2 assigns to an ENI of an IPv6-only subnet by itself."""
    cidr = next(cidr for cidr in subnet.cidrs if isinstance(cidr, IPv6Network))
    used = set(chain.from_iterable(one.ipv6 for one in world.interfaces.values()))
    return next(address for address in map(cidr.network_address.__add__, count(0x1000)) if address not in used)


def _room(world: World, one: Interface, more: int) -> None:
    if one.attachment is not None:
        kind = world.instances[one.attachment.instance_id].instance_type
        held = len(one.ipv4) + sum(prefix.version == 4 for prefix in one.prefixes)  # a prefix counts as one address
        if held + more > LIMITS.get(kind, (8, 30))[1]:
            raise ApiError(
                "PrivateIpAddressLimitExceeded",
                "Number of private addresses will exceed limit.",
            )


def assign_ipv4(world: World, query: Query) -> Tuple[World, Structure]:
    """AssignPrivateIpAddresses; with AllowReassignment the address leaves the other ENI of the same subnet.

    Prefixes are delegated by the same call, never together with addresses.
    """
    one = interface(world, query.require("NetworkInterfaceId"))
    wanted = [subnet_address(world, one.subnet_id, text) for text in query.members("PrivateIpAddress")]
    number = query.number("SecondaryPrivateIpAddressCount")
    texts = query.members("Ipv4Prefix")
    if texts:
        if wanted or number is not None:
            raise ApiError("InvalidParameterCombination", "Addresses and prefixes cannot be assigned by one call.")
        _room(world, one, len(texts))
        return _delegated(world, one, query, texts), {
            "networkInterfaceId": one.network_interface_id,
            "assignedIpv4PrefixSet": [{"ipv4Prefix": text} for text in texts],
            "return": True,
        }
    if not wanted and number is None:
        raise missing("privateIpAddresses")
    for address in wanted:
        _outside_prefixes(world, address)
    if number is not None:
        if not any(cidr.version == 4 for cidr in _cidrs(world, one.subnet_id)):
            raise invalid_value(f"The subnet '{one.subnet_id}' has no IPv4 CIDR block")
        free = free_addresses(world, one.subnet_id)
        wanted.extend(next(free) for _ in range(number))
    new = [address for address in wanted if address not in one.ipv4]
    for other in list(world.interfaces.values()):
        if other is one:
            continue
        taken = [address for address in new if address in other.ipv4]
        if not taken:
            continue
        if other.ipv4[0] in taken or not query.flag("AllowReassignment") or other.subnet_id != one.subnet_id:
            listed = ", ".join(map(str, taken))
            raise invalid_value(f"[{listed}] is already assigned to another interface")
        world = world.with_interface(replace(other, ipv4=tuple(a for a in other.ipv4 if a not in taken)))
        for address in taken:
            elastic = world.elastic_ip_of(address)
            if elastic is not None:  # it goes with its private address
                world = world.with_elastic_ip(replace(elastic, network_interface_id=one.network_interface_id))
    _room(world, one, len(new))
    world = world.with_interface(replace(one, ipv4=(*one.ipv4, *new)))
    return world, {
        "networkInterfaceId": one.network_interface_id,
        "assignedPrivateIpAddressesSet": [{"privateIpAddress": str(address)} for address in wanted],
        "return": True,
    }


def unassign_ipv4(world: World, query: Query) -> World:
    """UnassignPrivateIpAddresses, also of prefixes; never the primary address."""
    one = _withdrawn(interface(world, query.require("NetworkInterfaceId")), query.members("Ipv4Prefix"))
    for text in query.members("PrivateIpAddress"):
        address = subnet_address(world, one.subnet_id, text)
        if address not in one.ipv4:
            raise invalid_value(
                f"Some of the specified addresses are not assigned to interface {one.network_interface_id}"
            )
        if address == one.ipv4[0]:
            raise invalid_value("The primary IP address of an interface cannot be unassigned")
        one = replace(one, ipv4=tuple(kept for kept in one.ipv4 if kept != address))
        world = world.without_remap(address)
        elastic = world.elastic_ip_of(address)
        if elastic is not None:
            world = world.with_elastic_ip(ElasticIp(elastic.allocation_id, elastic.public_ip))
    return world.with_interface(one)


def assign_ipv6(world: World, query: Query) -> Tuple[World, Structure]:
    """AssignIpv6Addresses. EC2 has no reassignment here: an address in use elsewhere is refused."""
    one = interface(world, query.require("NetworkInterfaceId"))
    wanted = [_address6(world, one.subnet_id, text) for text in query.members("Ipv6Addresses")]
    texts = query.members("Ipv6Prefix")
    if not wanted and not texts:
        raise missing("ipv6Addresses")
    for address in wanted:
        _outside_prefixes(world, address)
    for other in world.interfaces.values():
        for address in wanted:
            if other is not one and address in other.ipv6:
                raise invalid_value(f"{address} is already assigned to another interface")
    new = tuple(address for address in wanted if address not in one.ipv6)
    one = replace(one, ipv6=(*one.ipv6, *new))
    world = _delegated(world.with_interface(one), one, query, texts)
    return world, {
        "networkInterfaceId": one.network_interface_id,
        "assignedIpv6Addresses": [str(address) for address in wanted],
        "assignedIpv6PrefixSet": texts,
    }


def unassign_ipv6(world: World, query: Query) -> Tuple[World, Structure]:
    """UnassignIpv6Addresses, also of prefixes."""
    withdrawn = query.members("Ipv6Prefix")
    one = _withdrawn(interface(world, query.require("NetworkInterfaceId")), withdrawn)
    gone = [_address6(world, one.subnet_id, text) for text in query.members("Ipv6Addresses")]
    if any(address not in one.ipv6 for address in gone):
        raise invalid_value(f"Some of the specified addresses are not assigned to interface {one.network_interface_id}")
    for address in gone:
        world = world.without_remap(address)
    world = world.with_interface(replace(one, ipv6=tuple(kept for kept in one.ipv6 if kept not in gone)))
    return world, {
        "networkInterfaceId": one.network_interface_id,
        "unassignedIpv6Addresses": [str(address) for address in gone],
        "unassignedIpv6PrefixSet": withdrawn,
    }


def modify(world: World, query: Query) -> World:
    """ModifyNetworkInterfaceAttribute: source/destination check, groups, description, deletion on termination.

    "You can specify only one attribute at a time" (EC2 API reference).
    """
    one = interface(world, query.require("NetworkInterfaceId"))
    check = query.get("SourceDestCheck.Value")
    groups = query.members("SecurityGroupId")
    description = query.parameters.get("Description.Value")
    terminate = query.get("Attachment.DeleteOnTermination")
    given = [value for value in (check, groups or None, description, terminate) if value is not None]
    if len(given) != 1:
        raise ApiError(
            "InvalidParameterCombination",
            "Fields for multiple attribute types specified" if given else "No attributes specified.",
        )
    if check is not None:
        one = replace(one, source_dest_check=check.lower() == "true")
    if groups:
        for group in groups:
            if not group.startswith("sg-"):
                raise ApiError("InvalidGroupId.Malformed", f'Invalid id: "{group}" (expecting "sg-...")')
        one = replace(one, groups=tuple(groups))
    if description is not None:
        one = replace(one, description=description)
    if terminate is not None:
        found, attachment = by_attachment(world, query.require("Attachment.AttachmentId"))
        if found is not interface(world, one.network_interface_id):
            raise ApiError("InvalidAttachmentID.NotFound", "The attachment does not belong to the network interface.")
        one = replace(one, attachment=replace(attachment, delete_on_termination=terminate.lower() == "true"))
    return world.with_interface(one)


def describe_attachment(attachment: Attachment, owner_id: str) -> Structure:
    """An ENI's attachment as DescribeNetworkInterfaces shows it."""
    return {
        "attachmentId": attachment.attachment_id,
        "instanceId": attachment.instance_id,
        "instanceOwnerId": owner_id,
        "deviceIndex": attachment.device_index,
        "networkCardIndex": attachment.network_card_index,
        "status": attachment.status,
        "attachTime": timestamp(attachment.attach_time),
        "deleteOnTermination": attachment.delete_on_termination,
    }


def addresses(world: World, one: Interface) -> List[Structure]:
    """An ENI's IPv4 addresses with their Elastic IPs, the primary one marked."""
    return [
        {
            "privateIpAddress": str(address),
            "privateDnsName": f"ip-{str(address).replace('.', '-')}.ec2.internal",
            "primary": position == 0,
            "association": association(world, one, address),
        }
        for position, address in enumerate(one.ipv4)
    ]


def group_set(world: World, one: Interface) -> List[Structure]:
    """The security groups of an ENI."""
    known = world.security_groups
    return [{"groupId": group, "groupName": known[group].name if group in known else ""} for group in one.groups]


def association(world: World, one: Interface, address: IPv4Address) -> Optional[Structure]:
    """The Elastic IP of one of an ENI's addresses, or the public address of the primary one, if it has one."""
    elastic = world.elastic_ip_of(address)
    if elastic is None and one.public_ip is not None and address == one.ipv4[0]:
        return {"publicIp": str(one.public_ip), "ipOwnerId": "amazon"}
    if elastic is None:
        return None
    return {
        "publicIp": str(elastic.public_ip),
        "ipOwnerId": one.owner_id,
        "allocationId": elastic.allocation_id,
        "associationId": elastic.association_id,
    }


def describe(world: World, one: Interface) -> Structure:
    """One ENI as DescribeNetworkInterfaces shows it."""
    return {
        "networkInterfaceId": one.network_interface_id,
        "subnetId": one.subnet_id,
        "vpcId": one.vpc_id or world.vpc.vpc_id,
        "availabilityZone": one.availability_zone,
        "description": one.description,
        "ownerId": one.owner_id,
        "requesterManaged": False,
        "status": "available" if one.attachment is None else "in-use",
        "macAddress": one.mac,
        "privateIpAddress": str(one.ipv4[0]) if one.ipv4 else None,
        "sourceDestCheck": one.source_dest_check,
        "groupSet": group_set(world, one),
        "attachment": None if one.attachment is None else describe_attachment(one.attachment, one.owner_id),
        "tagSet": tag_set(world.tags.get(one.network_interface_id, {})),
        "association": association(world, one, one.ipv4[0]) if one.ipv4 else None,
        "privateIpAddressesSet": addresses(world, one),
        "ipv6AddressesSet": [{"ipv6Address": str(address)} for address in one.ipv6],
        **prefixes(one),
        "interfaceType": "interface",
    }


def prefixes(one: Interface) -> Structure:
    """The prefixes that are delegated to an ENI, as its descriptions have them."""
    return {
        f"ipv{version}PrefixSet": [
            {f"ipv{version}Prefix": str(prefix)} for prefix in one.prefixes if prefix.version == version
        ]
        for version in (4, 6)
    }


def _attributes(world: World, one: Interface) -> Dict[str, List[str]]:
    attachment = one.attachment
    result = tag_attributes(world.tags.get(one.network_interface_id, {}))
    result.update(
        {
            "network-interface-id": [one.network_interface_id],
            "mac-address": [one.mac],
            "subnet-id": [one.subnet_id],
            "vpc-id": [one.vpc_id or world.vpc.vpc_id],
            "availability-zone": [one.availability_zone],
            "description": [one.description],
            "owner-id": [one.owner_id],
            "group-id": list(one.groups),
            "status": ["available" if attachment is None else "in-use"],
            "source-dest-check": [str(one.source_dest_check).lower()],
            "private-ip-address": [str(address) for address in one.ipv4],
            "addresses.private-ip-address": [str(address) for address in one.ipv4],
            "addresses.association.public-ip": _public(world, one.ipv4),
            "association.public-ip": _public(world, one.ipv4),
            "addresses.association.owner-id": [one.owner_id] if _public(world, one.ipv4) else [],
            "association.ip-owner-id": [one.owner_id] if _public(world, one.ipv4) else [],
            "association.allocation-id": _elastic(world, one.ipv4, "allocation_id"),
            "association.association-id": _elastic(world, one.ipv4, "association_id"),
            "addresses.primary": ["true", "false"] if len(one.ipv4) > 1 else ["true"],
            "private-dns-name": [str(address["privateDnsName"]) for address in addresses(world, one)],
            "interface-type": ["interface"],
            "requester-managed": ["false"],
            "ipv6-addresses.ipv6-address": [str(address) for address in one.ipv6],
            "attachment.attachment-id": [] if attachment is None else [attachment.attachment_id],
            "attachment.instance-id": [] if attachment is None else [attachment.instance_id],
            "attachment.instance-owner-id": [] if attachment is None else [one.owner_id],
            "attachment.attach-time": [] if attachment is None else [timestamp(attachment.attach_time)],
            "attachment.device-index": [] if attachment is None else [str(attachment.device_index)],
            "attachment.status": [] if attachment is None else [attachment.status],
            "attachment.delete-on-termination": []
            if attachment is None
            else [str(attachment.delete_on_termination).lower()],
        }
    )
    return result


def _public(world: World, addresses: Iterable[IPv4Address]) -> List[str]:
    return _elastic(world, addresses, "public_ip")


def _elastic(world: World, addresses: Iterable[IPv4Address], field: str) -> List[str]:
    found = (world.elastic_ip_of(address) for address in addresses)
    return [str(getattr(elastic, field)) for elastic in found if elastic is not None]


def describe_network_interfaces(world: World, query: Query) -> Structure:
    """DescribeNetworkInterfaces: by ids, filters and pages."""
    wanted = query.members("NetworkInterfaceId")
    found = [interface(world, one) for one in dict.fromkeys(wanted)] if wanted else list(world.interfaces.values())
    filters = query.filters()
    chosen = [describe(world, one) for one in found if not filters or matches(filters, _attributes(world, one))]
    return paged(query, "networkInterfaceSet", chosen, 1000)


def describe_attribute(world: World, query: Query) -> Structure:
    """DescribeNetworkInterfaceAttribute."""
    one = interface(world, query.require("NetworkInterfaceId"))
    attribute = query.require("Attribute")
    known: Dict[str, Structure] = {
        "sourceDestCheck": {"sourceDestCheck": {"value": one.source_dest_check}},
        "description": {"description": {"value": one.description}},
        "groupSet": {"groupSet": group_set(world, one)},
        "attachment": {
            "attachment": None if one.attachment is None else describe_attachment(one.attachment, one.owner_id)
        },
    }
    if attribute not in known:
        raise invalid_value(f"Value ({attribute}) for parameter attribute is invalid. Unknown attribute.")
    return {"networkInterfaceId": one.network_interface_id, **known[attribute]}
