"""Checks of what filters packets: security groups and network ACLs.

The service's port is not known: a filter fails only if it lets nothing through at all.

Facts: Amazon VPC User Guide, "Security group rules" (a rule that references a group matches the private addresses of
the ENIs that have the group, so never an overlay address; a group without inbound rules lets nothing in; answers are
let through) and "Network ACL rules" (by number, the first that matches decides; answers need rules of their own;
nothing is filtered within a subnet).
"""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from aws_ipfailover.address import Cidr
from aws_ipfailover.aws.models import Subnet
from aws_ipfailover.aws.survey_models import NetworkAcl, SecurityGroup
from aws_ipfailover.diagnosis.aws_cli import ec2_command
from aws_ipfailover.diagnosis.finding import FILTERS, Check, Command, Finding, Needs, failed, passed, unknown, warned
from aws_ipfailover.diagnosis.surroundings import Surroundings
from aws_ipfailover.holdings.route_writes import few


class Inbound(NamedTuple):
    """What the security groups of an ENI let in, of the IP versions of the service: from which CIDRs, by which rules.

    `by_group`: whether a rule references a group. `by_list`: whether one references a prefix list.
    """

    cidrs: Tuple[Cidr, ...]
    rules: Tuple[str, ...]
    by_group: bool
    by_list: bool


def inbound(groups: Sequence[SecurityGroup], versions: Sequence[int]) -> Inbound:
    """What these groups together let in. Pure."""
    rules = [rule for group in groups for rule in group.inbound]
    cidrs = [cidr for rule in rules for cidr in rule.cidrs if cidr.version in versions]
    texts = [f"{rule.what} from {cidr}" for rule in rules for cidr in rule.cidrs if cidr.version in versions]
    by_group, by_list = any(rule.group_ids for rule in rules), any(rule.prefix_list_ids for rule in rules)
    return Inbound(tuple(cidrs), tuple(dict.fromkeys(texts)), by_group, by_list)


def unmatched_senders(groups: Sequence[SecurityGroup], ours: Sequence[str], cidrs: Sequence[Cidr]) -> List[str]:
    """The groups whose outbound rules are for our groups, and none for an overlay address. Pure.

    Who has such a group reaches the nodes' own addresses, and sends nothing to the overlay address.
    """
    return [
        group.group_id
        for group in groups
        if any(set(rule.group_ids) & set(ours) for rule in group.outbound)
        and not any(_covers(one, cidr) for rule in group.outbound for one in rule.cidrs for cidr in cidrs)
    ]


def _security_groups(surroundings: Surroundings) -> Finding:
    eni, groups = surroundings.serving(), surroundings.security_groups()
    ours = [one for one in groups if one.group_id in eni.group_ids]
    ids = list(eni.group_ids)
    if len(ours) < len(ids):
        return unknown(f"EC2 does not tell all of {few(ids)}, the security groups of {eni.network_interface_id}")
    cidrs = surroundings.destinations().cidrs
    found = inbound(ours, sorted({one.version for one in cidrs} or {4}))
    first = ids[0] if ids else "GROUP-ID"
    authorize = ec2_command(
        surroundings,
        *("authorize-security-group-ingress", "--group-id", first, "--protocol", "tcp", "--port", "PORT"),
        *("--cidr", "CIDR-OF-THE-CONSUMERS"),
    )
    if not (found.cidrs or found.by_group or found.by_list):
        return failed(f"{few(ids)} lets nothing in", "Add a rule for the service's port.", authorize)
    senders = unmatched_senders(groups, ids, cidrs) if surroundings.mode == "overlay-ip" else []
    if senders:
        commands = [_authorize_egress(surroundings, group, cidr) for group in senders for cidr in cidrs]
        return warned(
            f"whoever has {few(senders)} sends nothing to the address: its outbound rules reference {few(ids)}, which"
            " matches the nodes' own addresses, and no overlay address",
            "Add an outbound rule for the address's CIDR.",
            *commands,
        )
    if surroundings.mode == "overlay-ip" and not (found.cidrs or found.by_list):
        return warned(
            f"{few(ids)} lets in only what comes from members of groups: packets from networks outside the VPC, and"
            " from an overlay address, match no such rule",
            "Add a rule with the CIDR of consumers that are outside.",
            authorize,
        )
    return passed(f"{few(ids)}: {few(found.rules) if found.rules else 'by groups and prefix lists'}")


def _authorize_egress(surroundings: Surroundings, group: str, cidr: Cidr) -> Command:
    ranges = f"IpRanges=[{{CidrIp={cidr}}}]" if cidr.version == 4 else f"Ipv6Ranges=[{{CidrIpv6={cidr}}}]"
    return ec2_command(
        surroundings,
        *("authorize-security-group-egress", "--group-id", group),
        *("--ip-permissions", f"IpProtocol=-1,{ranges}"),
    )


class Dropped(NamedTuple):
    """What a network ACL drops of all that is to be passed: `outbound` to, or else inbound from, a CIDR."""

    network_acl_id: str
    outbound: bool
    cidr: Cidr

    def __str__(self) -> str:
        return f"{self.network_acl_id} drops everything {'to' if self.outbound else 'from'} {self.cidr}"


def drops(acl: NetworkAcl, cidr: Cidr, *, outbound: bool) -> bool:
    """Whether an ACL lets nothing through to, or from, any part of a CIDR. Pure.

    A rule for a part of the CIDR, or for some ports, lets something through if it allows, and decides nothing if it
    denies.
    """
    for entry in acl.entries:
        if entry.outbound is not outbound or entry.cidr.version != cidr.version or not entry.cidr.overlaps(cidr):
            continue
        if entry.allows:
            return False
        if entry.everything and _covers(entry.cidr, cidr):
            return True
    return True


def dropped(
    acls: Sequence[NetworkAcl], subnets: Sequence[Subnet], own: str, address: Sequence[Cidr]
) -> Tuple[List[Dropped], List[Dropped]]:
    """What ACLs drop at the node's subnet, and at the subnets of consumers. Pure.

    `own`: the id of the node's subnet. `address`: the overlay address, which an ACL sees as the other end at the
    consumers' subnets; there the ACL of the node's subnet sees the consumers' own addresses.
    """
    of_subnet: Dict[str, NetworkAcl] = {subnet: acl for acl in acls for subnet in acl.subnet_ids}
    here: List[Dropped] = []
    there: List[Dropped] = []
    for subnet in subnets:
        if subnet.subnet_id == own:
            continue
        for cidr in subnet.cidrs:
            if any(cidr.version == one.version for one in address):
                here += _at(of_subnet.get(own), cidr)
        for one in address:
            there += _at(of_subnet.get(subnet.subnet_id), one)
    return list(dict.fromkeys(here)), list(dict.fromkeys(there))


def _at(acl: Optional[NetworkAcl], cidr: Cidr) -> List[Dropped]:
    if acl is None:
        return []
    return [Dropped(acl.network_acl_id, out, cidr) for out in (False, True) if drops(acl, cidr, outbound=out)]


def _network_acls(surroundings: Surroundings) -> Finding:
    eni, acls, subnets = surroundings.serving(), surroundings.network_acls(), surroundings.subnets()
    others = [one for one in subnets if one.subnet_id != eni.subnet_id]
    if surroundings.mode == "overlay-ip":
        address: Sequence[Cidr] = surroundings.destinations().cidrs
    else:
        versions = {one.version for one in surroundings.values().ip} or {4}
        mine = next((one for one in subnets if one.subnet_id == eni.subnet_id), None)
        address = [cidr for cidr in (mine.cidrs if mine is not None else ()) if cidr.version in versions]
    here, there = dropped(acls, subnets, eni.subnet_id, address)
    commands = [_acl_entry(surroundings, one) for one in (*here, *there)]
    remedy = "Add a rule before the one that denies: network ACLs need one for each direction."
    everybody = {cidr for one in others for cidr in one.cidrs if cidr.version in {each.version for each in address}}
    if here and {one.cidr for one in here} == everybody:  # else it can be meant
        return failed(few(list(map(str, here))), remedy, *commands)
    if here or there:
        return warned(few(list(map(str, [*here, *there]))), remedy, *commands)
    return passed(f"{len(acls)} network ACLs let something through to and from the address")


def _acl_entry(surroundings: Surroundings, one: Dropped) -> Command:
    option = "--cidr-block" if one.cidr.version == 4 else "--ipv6-cidr-block"
    return ec2_command(
        surroundings,
        *("create-network-acl-entry", "--network-acl-id", one.network_acl_id),
        *("--egress" if one.outbound else "--ingress", "--rule-number", "50", "--protocol", "-1"),
        *("--rule-action", "allow", option, str(one.cidr)),
    )


def _covers(cidr: Cidr, other: Cidr) -> bool:
    return cidr.version == other.version and other.prefixlen >= cidr.prefixlen and other.network_address in cidr


def _check(name: str, title: str, asks: str, look: Callable[[Surroundings], Finding]) -> Check:
    return Check(name, title, asks, FILTERS, Needs.EC2, look)


CHECKS = (
    _check(
        *("security-groups", "Security groups", "Do the security groups let consumers in, and send to the address?"),
        _security_groups,
    ),
    _check("network-acls", "Network ACLs", "Does no network ACL drop everything for the address?", _network_acls),
)
