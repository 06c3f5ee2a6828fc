"""What the operations of `survey` return, as typed records: one function for each shape of an answer.

Facts: Amazon EC2 API Reference, the data types of the same names; AWS STS API Reference, GetCallerIdentity.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from aws_ipfailover.address import Cidr

_ANY_PROTOCOL = "-1"


class Caller(NamedTuple):
    """Whose credentials these are: the ARN of a role's session or of a user, and the account's id."""

    arn: str
    account_id: str

    @property
    def partition(self) -> str:
        """The partition of AWS: aws, aws-cn, aws-us-gov, ..."""
        return self.arn.split(":")[1] if self.arn.count(":") >= 5 else "aws"

    @property
    def principal(self) -> str:
        """The ARN of the role or user that policies are attached to; a role's path is not in the ARN of a session."""
        kind, _, rest = self.arn.rpartition(":")[2].partition("/")
        if kind != "assumed-role":
            return self.arn
        return f"arn:{self.partition}:iam::{self.account_id}:role/{rest.partition('/')[0]}"


class GroupRule(NamedTuple):
    """A rule of a security group: what it allows (`what`, such as `tcp 443`), and for whom.

    `cidrs`, `group_ids` and `prefix_list_ids`: the sources of an inbound rule, the destinations of an outbound one.
    """

    what: str
    cidrs: Tuple[Cidr, ...]
    group_ids: Tuple[str, ...]
    prefix_list_ids: Tuple[str, ...] = ()


class SecurityGroup(NamedTuple):
    """A security group."""

    group_id: str
    name: str
    inbound: Tuple[GroupRule, ...]
    outbound: Tuple[GroupRule, ...]


class AclEntry(NamedTuple):
    """A rule of a network ACL; `everything`: it is about all protocols and ports."""

    number: int
    allows: bool
    outbound: bool
    cidr: Cidr
    everything: bool


class NetworkAcl(NamedTuple):
    """A network ACL, and the subnets that it filters."""

    network_acl_id: str
    subnet_ids: Tuple[str, ...]
    entries: Tuple[AclEntry, ...]


class Peering(NamedTuple):
    """An active VPC peering connection, seen from one of its VPCs: the other VPC, and its CIDRs as far as told."""

    peering_id: str
    vpc_id: str
    cidrs: Tuple[Cidr, ...]


class TransitAttachment(NamedTuple):
    """The attachment of a VPC to a transit gateway; `owner_id`: the account that the transit gateway belongs to."""

    attachment_id: str
    gateway_id: str
    owner_id: str
    subnet_ids: Tuple[str, ...]


class TransitTable(NamedTuple):
    """A route table of a transit gateway."""

    table_id: str
    gateway_id: str


class TransitRoute(NamedTuple):
    """A route of a transit gateway's route table; `active` and not a blackhole. `attachment_ids`: where it leads to."""

    destination: Cidr
    active: bool
    attachment_ids: Tuple[str, ...]


class InterfaceLimits(NamedTuple):
    """How many ENIs an instance type takes on each network card, and how many private addresses each of these."""

    of_cards: Tuple[int, ...]
    ipv4_addresses: int
    ipv6_addresses: int


def caller(described: Mapping[str, Any]) -> Caller:
    """The caller from the answer to GetCallerIdentity."""
    return Caller(described.get("Arn", ""), described.get("Account", ""))


def security_group(described: Mapping[str, Any]) -> SecurityGroup:
    """A security group from the element `SecurityGroup` of an answer."""
    return SecurityGroup(
        described.get("GroupId", ""),
        described.get("GroupName", ""),
        tuple(_rule(one) for one in described.get("IpPermissions", ())),
        tuple(_rule(one) for one in described.get("IpPermissionsEgress", ())),
    )


def _rule(described: Mapping[str, Any]) -> GroupRule:
    texts = [one.get("CidrIp") for one in described.get("IpRanges", ())]
    texts += [one.get("CidrIpv6") for one in described.get("Ipv6Ranges", ())]
    return GroupRule(
        _what(described),
        _cidrs(texts),
        tuple(one["GroupId"] for one in described.get("UserIdGroupPairs", ()) if one.get("GroupId")),
        tuple(one["PrefixListId"] for one in described.get("PrefixListIds", ()) if one.get("PrefixListId")),
    )


def _what(described: Mapping[str, Any]) -> str:
    protocol = str(described.get("IpProtocol", _ANY_PROTOCOL))
    if protocol == _ANY_PROTOCOL:
        return "everything"
    first, last = described.get("FromPort"), described.get("ToPort")
    if first in (None, -1) or last is None:
        return protocol
    return f"{protocol} {first}" if first == last else f"{protocol} {first}-{last}"


def network_acl(described: Mapping[str, Any]) -> NetworkAcl:
    """A network ACL from the element `NetworkAcl` of an answer; its entries in the order in which EC2 goes by them."""
    entries: List[AclEntry] = []
    for one in described.get("Entries", ()):
        for cidr in _cidrs([one.get("CidrBlock"), one.get("Ipv6CidrBlock")]):
            allows, everything = one.get("RuleAction") == "allow", str(one.get("Protocol")) == _ANY_PROTOCOL
            number, outbound = int(one.get("RuleNumber", 0)), bool(one.get("Egress"))
            entries.append(AclEntry(number, allows, outbound, cidr, everything))
    return NetworkAcl(
        described.get("NetworkAclId", ""),
        tuple(one["SubnetId"] for one in described.get("Associations", ()) if one.get("SubnetId")),
        tuple(sorted(entries, key=lambda one: one.number)),
    )


def peering(described: Mapping[str, Any], vpc_id: str) -> Optional[Peering]:
    """A connection of a VPC from the element `VpcPeeringConnection` of an answer; `None` if it is not active."""
    sides = [described.get("RequesterVpcInfo", {}), described.get("AccepterVpcInfo", {})]
    other = next((one for one in sides if one.get("VpcId") != vpc_id), None)
    if described.get("Status", {}).get("Code") != "active" or other is None:
        return None
    texts = [one.get("CidrBlock") for one in (other, *other.get("CidrBlockSet", ()))]
    texts += [one.get("Ipv6CidrBlock") for one in other.get("Ipv6CidrBlockSet", ())]
    return Peering(described.get("VpcPeeringConnectionId", ""), other.get("VpcId", ""), _cidrs(texts))


def transit_attachment(described: Mapping[str, Any]) -> TransitAttachment:
    """An attachment from the element `TransitGatewayVpcAttachment` of an answer, without its gateway's owner."""
    return TransitAttachment(
        described.get("TransitGatewayAttachmentId", ""),
        described.get("TransitGatewayId", ""),
        "",
        tuple(described.get("SubnetIds", ())),
    )


def transit_table(described: Mapping[str, Any]) -> TransitTable:
    """A table from the element `TransitGatewayRouteTable` of an answer."""
    return TransitTable(described.get("TransitGatewayRouteTableId", ""), described.get("TransitGatewayId", ""))


def transit_route(described: Mapping[str, Any]) -> Optional[TransitRoute]:
    """A route from the element `TransitGatewayRoute` of an answer; `None` if it is for a prefix list."""
    found = _cidrs([described.get("DestinationCidrBlock")])
    attachments = described.get("TransitGatewayAttachments", ())
    ids = tuple(one.get("TransitGatewayAttachmentId", "") for one in attachments)
    return TransitRoute(found[0], described.get("State") == "active", ids) if found else None


def interface_limits(described: Mapping[str, Any]) -> InterfaceLimits:
    """The limits from the element `InstanceTypeInfo` of an answer."""
    network = described.get("NetworkInfo", {})
    cards = sorted(network.get("NetworkCards", ()), key=lambda one: int(one.get("NetworkCardIndex", 0)))
    of_cards = tuple(int(one.get("MaximumNetworkInterfaces", 0)) for one in cards)
    return InterfaceLimits(
        of_cards or (int(network.get("MaximumNetworkInterfaces", 0)),),
        int(network.get("Ipv4AddressesPerInterface", 0)),
        int(network.get("Ipv6AddressesPerInterface", 0)),
    )


def _cidrs(texts: Iterable[Optional[str]]) -> Tuple[Cidr, ...]:
    return tuple(dict.fromkeys(ip_network(text, strict=False) for text in texts if text))
