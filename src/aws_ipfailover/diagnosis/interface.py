"""Checks of the ENI that moves, and of private addresses: zone, limits, deletion with an instance, subnet.

Facts: Amazon EC2 User Guide, "Elastic network interfaces" and "Maximum IP addresses per network interface"; Amazon EC2
API Reference, `NetworkInterfaceAttachmentChanges`.
"""

from __future__ import annotations

from typing import Callable, List, Sequence

from aws_ipfailover.diagnosis.aws_cli import ec2_command
from aws_ipfailover.diagnosis.finding import INTERFACE, Check, Finding, Fix, Needs, failed, passed
from aws_ipfailover.diagnosis.surroundings import Surroundings
from aws_ipfailover.errors import NodeError
from aws_ipfailover.holdings.delegated_prefixes import delegations


def _eni(surroundings: Surroundings) -> Finding:
    try:
        eni = surroundings.moving()
    except NodeError as error:
        return failed(str(error), "Correct parameter network_interface_id.")
    held = eni.attachment
    if held is not None and held.is_primary:
        return failed(
            f"{eni.network_interface_id} is the primary network interface of {held.instance_id}, which never moves",
            "Create one of its own for the service, and set network_interface_id.",
            ec2_command(surroundings, "create-network-interface", "--subnet-id", eni.subnet_id),
        )
    where = f"{held.status} at {held.instance_id}" if held is not None else "available"
    return passed(f"{eni.network_interface_id} is {where}")


def _zone(surroundings: Surroundings) -> Finding:
    eni, me = surroundings.moving(), surroundings.instance()
    if eni.availability_zone == me.availability_zone:
        return passed(f"both in {eni.availability_zone}")
    return failed(
        f"{eni.network_interface_id} is in {eni.availability_zone}, and this instance in {me.availability_zone}",
        "A network interface cannot leave its zone: keep this node from the resource, or use mode=overlay-ip.",
    )


def _attachment_limit(surroundings: Surroundings) -> Finding:
    eni, me, limits = surroundings.moving(), surroundings.instance(), surroundings.interface_limits()
    card = surroundings.values().network_card_index
    if card >= len(limits.of_cards):
        return failed(
            f"{me.instance_type} has {len(limits.of_cards)} network card(s), and network_card_index is {card}",
            "Correct network_card_index, which counts from 0.",
        )
    taken, most = len(me.device_indexes(card)), limits.of_cards[card]
    if eni.attachment is not None and eni.attachment.instance_id == me.instance_id:
        return passed(f"{eni.network_interface_id} is attached here; {taken} of {most} network interfaces")
    if taken < most:
        return passed(f"{taken} of {most} network interfaces that a {me.instance_type} takes")
    return failed(
        f"this instance has {taken} network interfaces, and a {me.instance_type} takes {most}",
        "Detach one that is not needed, or take a larger instance type.",
    )


def _termination(surroundings: Surroundings) -> Finding:
    eni = surroundings.moving()
    held = eni.attachment
    if held is None:
        return passed(f"{eni.network_interface_id} is attached to nothing: the agent attaches it without that flag")
    if not held.delete_on_termination:
        return passed(f"{eni.network_interface_id} stays when {held.instance_id} is terminated")
    change = f"AttachmentId={held.attachment_id},DeleteOnTermination=false"
    command = ec2_command(
        surroundings,
        *("modify-network-interface-attribute", "--network-interface-id", eni.network_interface_id),
        *("--attachment", change),
    )
    survey = surroundings.access.clients().survey
    return failed(
        f"EC2 deletes {eni.network_interface_id} together with {held.instance_id}: the address would be gone",
        "Switch DeleteOnTermination off.",
        command,
        fix=Fix(
            f"switch off DeleteOnTermination of {eni.network_interface_id}",
            lambda: survey.keep_on_termination(eni.network_interface_id, held.attachment_id),
        ),
    )


def _subnet(surroundings: Surroundings) -> Finding:
    cidrs = surroundings.subnet_cidrs()
    outside = [one for one in surroundings.values().ip if not any(one in cidr for cidr in cidrs)]
    listed = ", ".join(map(str, cidrs))
    if outside:
        return failed(
            f"{', '.join(map(str, outside))} is outside {listed}, this node's subnet",
            "Choose an address of the subnet that all nodes are in, or use mode=overlay-ip.",
        )
    return passed(f"inside {listed}")


def _free(surroundings: Surroundings) -> Finding:
    """An address that is the primary one of an ENI, or inside a delegated prefix, is never assigned to another."""
    values, eni, others = surroundings.values(), surroundings.own(), surroundings.neighbours()
    known = {one.network_interface_id: one for one in (eni, *others)}
    primary = [(one.addresses[0], one) for one in known.values() if one.addresses and one.addresses[0].version == 4]
    wrong = [
        f"{address} is the primary private address of {one.network_interface_id}, which never moves"
        for address, one in primary
        if address in values.ip
    ]
    wrong += [str(one.refused()) for one in delegations(values.ip, list(known.values()))]
    if wrong:
        return failed("; ".join(wrong), "Choose another address of the subnet.")
    holders = [
        f"{address} is assigned to {one.network_interface_id}"
        for address in values.ip
        for one in known.values()
        if address in one.addresses
    ]
    return passed("; ".join(holders) or "assigned to nothing yet")


def _address_limit(surroundings: Surroundings) -> Finding:
    values, eni, limits = surroundings.values(), surroundings.own(), surroundings.interface_limits()
    kind, wrong = surroundings.instance().instance_type, []
    texts: List[str] = []
    for version, most in ((4, limits.ipv4_addresses), (6, limits.ipv6_addresses)):
        wanted = [one for one in values.ip if one.version == version]
        held = [one for one in eni.addresses if one.version == version]
        prefixes = [one for one in eni.prefixes if one.version == version]  # each counts as one address
        more = [one for one in wanted if one not in held]
        count = len(held) + len(prefixes) + len(more)
        if not wanted:
            continue
        texts.append(f"{count} of {most} IPv{version} addresses")
        if count > most:
            wrong.append(
                f"with the service's, {eni.network_interface_id} has {count} IPv{version} addresses, and each network"
                f" interface of a {kind} takes {most}"
            )
    if wrong:
        return failed("; ".join(wrong), "Unassign addresses that are not needed, or take a larger instance type.")
    return passed(", ".join(texts))


def _check(name: str, title: str, asks: str, look: Callable[[Surroundings], Finding], modes: Sequence[str]) -> Check:
    return Check(name, title, asks, INTERFACE, Needs.EC2, look, modes)


_ENI = ("eni",)
_PRIVATE = ("private-ip",)
CHECKS = (
    _check("eni", "Network interface", "Does the ENI exist, and can it move at all?", _eni, _ENI),
    _check("eni-zone", "Availability zone", "Are the ENI and this instance in the same zone?", _zone, _ENI),
    _check("eni-limit", "Interfaces", "Does this instance take one more ENI?", _attachment_limit, _ENI),
    _check(
        *("eni-termination", "Deletion", "Does the ENI stay when its instance is terminated?"), *(_termination, _ENI)
    ),
    _check("address-subnet", "Subnet", "Is the address inside this node's subnet?", _subnet, _PRIVATE),
    _check("address-free", "Address", "Can the address be assigned to this node's ENI?", _free, _PRIVATE),
    _check("address-limit", "Addresses", "Does this node's ENI take one more address?", _address_limit, _PRIVATE),
)
