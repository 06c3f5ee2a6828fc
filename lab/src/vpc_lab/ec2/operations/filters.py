"""Security groups and network ACLs, as EC2 tells of them and lets them be changed.

The fabric filters nothing by them: what these operations are for is what reads them.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Dict, List, Optional, Tuple

from vpc_lab.ec2.errors import ApiError, invalid_value, missing, not_found
from vpc_lab.ec2.operations.routes import paged
from vpc_lab.ec2.wire import Query, Structure, matches, specified_tags, tag_attributes, tag_set
from vpc_lab.vpc import AclEntry, Cidr, GroupRule, NetworkAcl, SecurityGroup, identifier
from vpc_lab.world import World

EVERYTHING = "-1"
_ANYWHERE = GroupRule(EVERYTHING, cidr=ip_network("0.0.0.0/0"))


def group(world: World, group_id: str) -> SecurityGroup:
    """A security group; otherwise InvalidGroup.NotFound or InvalidGroupId.Malformed."""
    if not group_id.startswith("sg-"):
        raise ApiError("InvalidGroupId.Malformed", f'Invalid id: "{group_id}" (expecting "sg-...")')
    found = world.security_groups.get(group_id)
    if found is None:
        raise ApiError("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")
    return found


def describe_groups(world: World, query: Query, account_id: str) -> Structure:
    """DescribeSecurityGroups: by ids, names, filters and pages."""
    wanted = query.members("GroupId")
    found = [group(world, one) for one in wanted] if wanted else list(world.security_groups.values())
    names = query.members("GroupName")
    for name in names:
        if name not in [one.name for one in world.security_groups.values()]:
            raise ApiError("InvalidGroup.NotFound", f"The security group '{name}' does not exist in default VPC")
    chosen: List[Structure] = []
    for one in found:
        attributes = tag_attributes(world.tags.get(one.group_id, {}))
        attributes.update(
            {
                "group-id": [one.group_id],
                "group-name": [one.name],
                "description": [one.description],
                "vpc-id": [world.vpc.vpc_id],
                "owner-id": [account_id],
            }
        )
        if (not names or one.name in names) and matches(query.filters(), attributes):
            chosen.append(_describe_group(world, one, account_id))
    return paged(query, "securityGroupInfo", chosen, 1000)


def _describe_group(world: World, one: SecurityGroup, account_id: str) -> Structure:
    return {
        "groupId": one.group_id,
        "groupName": one.name,
        "groupDescription": one.description,
        "vpcId": world.vpc.vpc_id,
        "ownerId": account_id,
        "ipPermissions": [_permission(rule, account_id) for rule in one.inbound],
        "ipPermissionsEgress": [_permission(rule, account_id) for rule in one.outbound],
        "tagSet": tag_set(world.tags.get(one.group_id, {})),
    }


def _permission(rule: GroupRule, account_id: str) -> Structure:
    version = None if rule.cidr is None else rule.cidr.version
    return {
        "ipProtocol": rule.protocol,
        "fromPort": None if rule.ports is None else rule.ports[0],
        "toPort": None if rule.ports is None else rule.ports[1],
        "groups": [] if rule.group_id is None else [{"groupId": rule.group_id, "userId": account_id}],
        "ipRanges": [{"cidrIp": str(rule.cidr)}] if version == 4 else [],
        "ipv6Ranges": [{"cidrIpv6": str(rule.cidr)}] if version == 6 else [],
        "prefixListIds": [],
    }


def create_group(world: World, query: Query) -> Tuple[World, Structure]:
    """CreateSecurityGroup: it lets nothing in, and everything out."""
    name, description = query.require("GroupName"), query.require("GroupDescription")
    vpc_id = query.get("VpcId") or world.vpc.vpc_id
    if vpc_id != world.vpc.vpc_id:
        raise not_found("InvalidVpcID.NotFound", "vpc", vpc_id)
    if name in [one.name for one in world.security_groups.values()]:
        raise ApiError(
            "InvalidGroup.Duplicate", f"The security group '{name}' already exists for VPC '{world.vpc.vpc_id}'"
        )
    made = SecurityGroup(identifier("sg", "created", name), name, description, outbound=(_ANYWHERE,))
    world = world.with_security_group(made).with_tags(made.group_id, specified_tags(query))
    return world, {"groupId": made.group_id, "return": True}


def delete_group(world: World, query: Query) -> World:
    """DeleteSecurityGroup; refused while an ENI has it."""
    one = group(world, query.require("GroupId"))
    if any(one.group_id in interface.groups for interface in world.interfaces.values()):
        raise ApiError("DependencyViolation", f"resource {one.group_id} has a dependent object")
    kept = {key: value for key, value in world.security_groups.items() if key != one.group_id}
    return replace(world, security_groups=kept)


def authorize(world: World, query: Query, *, outbound: bool) -> World:
    """AuthorizeSecurityGroupIngress and ...Egress, by IpPermissions."""
    one, rules = group(world, query.require("GroupId")), _rules(query)
    held = one.outbound if outbound else one.inbound
    for rule in rules:
        if rule in held:
            raise ApiError("InvalidPermission.Duplicate", "the specified rule already exists")
    return _with_rules(world, one, (*held, *rules), outbound=outbound)


def revoke(world: World, query: Query, *, outbound: bool) -> World:
    """RevokeSecurityGroupIngress and ...Egress, by IpPermissions."""
    one, rules = group(world, query.require("GroupId")), _rules(query)
    held = one.outbound if outbound else one.inbound
    if any(rule not in held for rule in rules):
        raise ApiError("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
    return _with_rules(world, one, tuple(rule for rule in held if rule not in rules), outbound=outbound)


def _with_rules(world: World, one: SecurityGroup, rules: Tuple[GroupRule, ...], *, outbound: bool) -> World:
    changed = replace(one, outbound=rules) if outbound else replace(one, inbound=rules)
    return world.with_security_group(changed)


def _rules(query: Query) -> List[GroupRule]:
    given = query.structures("IpPermissions")
    if not given:
        raise missing("ipPermissions")
    found: List[GroupRule] = []
    for structure in given:
        one = Query(structure)
        protocol, first, last = one.require("IpProtocol"), one.number("FromPort"), one.number("ToPort")
        ports = None if first is None or last is None or protocol == EVERYTHING else (first, last)
        texts = [entry["CidrIp"] for entry in one.structures("IpRanges")]
        texts += [entry["CidrIpv6"] for entry in one.structures("Ipv6Ranges")]
        found += [GroupRule(protocol, ports, cidr=_cidr(text)) for text in texts]
        found += [GroupRule(protocol, ports, group_id=entry["GroupId"]) for entry in one.structures("Groups")]
    return found


def _cidr(text: str) -> Cidr:
    try:
        return ip_network(text)
    except ValueError as error:
        raise invalid_value(f"CIDR block {text} is malformed") from error


def _acl(world: World, network_acl_id: str) -> NetworkAcl:
    found = world.network_acls.get(network_acl_id)
    if found is None:
        raise not_found("InvalidNetworkAclID.NotFound", "networkAcl", network_acl_id)
    return found


def describe_acls(world: World, query: Query, account_id: str) -> Structure:
    """DescribeNetworkAcls: by ids, filters and pages."""
    wanted = query.members("NetworkAclId")
    found = [_acl(world, one) for one in wanted] if wanted else list(world.network_acls.values())
    chosen: List[Structure] = []
    for one in found:
        attributes: Dict[str, List[str]] = dict(tag_attributes(world.tags.get(one.network_acl_id, {})))
        attributes.update(
            {
                "network-acl-id": [one.network_acl_id],
                "vpc-id": [world.vpc.vpc_id],
                "owner-id": [account_id],
                "default": [str(one.default).lower()],
                "association.subnet-id": list(one.subnet_ids),
                "association.network-acl-id": [one.network_acl_id],
            }
        )
        if matches(query.filters(), attributes):
            chosen.append(_describe_acl(world, one, account_id))
    return paged(query, "networkAclSet", chosen, 1000)


def _describe_acl(world: World, one: NetworkAcl, account_id: str) -> Structure:
    return {
        "networkAclId": one.network_acl_id,
        "vpcId": world.vpc.vpc_id,
        "ownerId": account_id,
        "default": one.default,
        "entrySet": [
            {
                "ruleNumber": entry.number,
                "protocol": entry.protocol,
                "ruleAction": "allow" if entry.allows else "deny",
                "egress": entry.outbound,
                "cidrBlock" if entry.cidr.version == 4 else "ipv6CidrBlock": str(entry.cidr),
            }
            for entry in one.entries
        ],
        "associationSet": [
            {
                "networkAclAssociationId": identifier("aclassoc", one.network_acl_id, subnet),
                "networkAclId": one.network_acl_id,
                "subnetId": subnet,
            }
            for subnet in one.subnet_ids
        ],
        "tagSet": tag_set(world.tags.get(one.network_acl_id, {})),
    }


def create_entry(world: World, query: Query) -> World:
    """CreateNetworkAclEntry, for all ports of a protocol."""
    one, number, outbound = _acl(world, query.require("NetworkAclId")), _number(query), query.flag("Egress")
    text = query.get("CidrBlock") or query.get("Ipv6CidrBlock")
    if text is None:
        raise missing("cidrBlock")
    if any((entry.number, entry.outbound) == (number, outbound) for entry in one.entries):
        raise ApiError("NetworkAclEntryAlreadyExists", f"The network acl entry identified by {number} already exists.")
    made = AclEntry(number, query.require("RuleAction") == "allow", outbound, _cidr(text), query.require("Protocol"))
    return world.with_network_acl(replace(one, entries=(*one.entries, made)))


def delete_entry(world: World, query: Query) -> World:
    """DeleteNetworkAclEntry."""
    one, number, outbound = _acl(world, query.require("NetworkAclId")), _number(query), query.flag("Egress")
    kept = tuple(entry for entry in one.entries if (entry.number, entry.outbound) != (number, outbound))
    if len(kept) == len(one.entries):
        raise ApiError(
            "InvalidNetworkAclEntry.NotFound",
            f"The network acl entry identified by {number} does not exist in {one.network_acl_id}",
        )
    return world.with_network_acl(replace(one, entries=kept))


def _number(query: Query) -> int:
    number: Optional[int] = query.number("RuleNumber")
    if number is None:
        raise missing("ruleNumber")
    if not 1 <= number <= 32766:
        raise invalid_value(f"Value ({number}) for parameter ruleNumber is invalid. Must be in the range 1-32766.")
    return number
