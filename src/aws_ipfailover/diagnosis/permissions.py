"""Checks of permissions, one for each call that the mode needs: the reads are made, the writes asked for by DryRun.

EC2 answers a dry run with whether the call is permitted, and changes nothing. It has no dry run for the calls that
assign and unassign private addresses.

Facts: Amazon EC2 API Reference, DryRun; Service Authorization Reference, "Actions, resources, and condition keys for
Amazon EC2": the Describe actions that the agent uses know no resources, so that a statement with an ARN never allows
one. The policies in SUSE's guides have a table's ARN for DescribeRouteTables all the same.
"""

from __future__ import annotations

import json
from contextlib import suppress
from functools import partial
from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from aws_ipfailover.address import Cidr
from aws_ipfailover.deadline import Task
from aws_ipfailover.diagnosis.finding import (
    ALL_MODES,
    PERMISSIONS,
    Check,
    Command,
    Finding,
    Needs,
    NotAskedError,
    failed,
    passed,
    unknown,
    untold,
    warned,
)
from aws_ipfailover.diagnosis.surroundings import Surroundings
from aws_ipfailover.errors import DeniedError, Error, InUseError, NodeError, NoRouteError
from aws_ipfailover.holdings.route_writes import few

_EXPLICIT = "with an explicit deny"
_SERVICE_CONTROL = "service control policy"


class Asked(NamedTuple):
    """What came of the same question about several resources: the refusals, by the resources' ids; all that were asked.

    `others`: what could not be found out, by the ids.
    """

    resources: Tuple[str, ...]
    denied: Mapping[str, DeniedError]
    others: Mapping[str, Error]


def statement(action: str, arns: Sequence[str]) -> str:
    """A statement of a policy that allows an action, as JSON on one line."""
    resource: object = arns[0] if len(arns) == 1 else list(arns)
    return json.dumps({"Effect": "Allow", "Action": action, "Resource": resource})


def why(action: str, asked: Asked, arns: Mapping[str, str]) -> str:
    """Which statement of a policy explains these refusals, and what to change: sentences. Pure.

    `arns`: the ARN of each resource, as EC2 compares it with the policy.
    """
    text = " ".join(map(str, asked.denied.values()))
    if _EXPLICIT in text:
        where = "The organization's service control policy" if _SERVICE_CONTROL in text else "A statement with Deny"
        return f"{where} forbids it: no Allow helps. Remove it, or make an exception."
    if _SERVICE_CONTROL in text:
        return "The organization's service control policy does not allow it: it has to, beside the role's policy."
    if ":Describe" in action:
        return (
            f"If a statement allows {action} on an ARN, as SUSE's guides show it, that is the cause: only"
            ' "Resource": "*" matches a Describe action.'
        )
    wanted = [arns[one] for one in asked.denied if one in arns]
    allow = f"Allow {statement(action, wanted)}" if wanted else f"Allow {action}"
    if len(asked.denied) < len(asked.resources):
        allowed = [one for one in asked.resources if one not in asked.denied and one not in asked.others]
        if allowed:
            return f"The statement that allows it for {few(allowed)} leaves out {few(list(asked.denied))}. {allow}."
    return (
        "No statement matches. Compare region, account and partition (aws, aws-cn, aws-us-gov) of its ARN, and its"
        f" conditions on tags, with this: {allow}."
    )


def _judge(surroundings: Surroundings, action: str, asked: Asked, arns: Mapping[str, str], *, needed: bool) -> Finding:
    """The finding for a question; without `needed` the agent works without the permission."""
    if asked.denied:
        first = next(iter(asked.denied.values()))
        resources = f" on {few(list(asked.denied))}" if any(asked.denied) else ""
        text = f"{action}{resources} is denied: {first}"
        make = failed if needed else warned
        return make(text, why(action, asked, arns), *_simulation(surroundings, action, asked.denied, arns))
    if asked.others:
        first_error = next(iter(asked.others.values()))
        if all(isinstance(one, NotAskedError) for one in asked.others.values()):
            raise first_error
        return unknown(f"{action}: {first_error}")
    known = [one for one in asked.resources if one]
    return passed(f"{action} is allowed" + (f" on {few(known)}" if known else ""))


def _simulation(
    surroundings: Surroundings, action: str, resources: Iterable[str], arns: Mapping[str, str]
) -> List[Command]:
    """The command by which an administrator sees which statement decides; needs iam:SimulatePrincipalPolicy."""
    caller = surroundings.access.known_caller()
    if caller is None or surroundings.access.values().routing_table_role is not None:
        return []
    wanted = [arns[one] for one in resources if one in arns]
    on = ("--resource-arns", *wanted) if wanted else ()
    return [
        (
            *("aws", "iam", "simulate-principal-policy", "--policy-source-arn", caller.principal),
            *("--action-names", action, *on),
        )
    ]


class _Arns:
    """The ARNs of this account's resources, and of another one's route tables."""

    def __init__(self, surroundings: Surroundings) -> None:
        caller = surroundings.access.known_caller()
        self._partition = caller.partition if caller is not None else "aws"
        self._account = caller.account_id if caller is not None else "ACCOUNT"
        self._region = surroundings.access.account().region

    def of(self, kind: str, identifier: str, owner: str = "") -> str:
        """The ARN of one resource, of this account unless it has another owner."""
        return f"arn:{self._partition}:ec2:{self._region}:{owner or self._account}:{kind}/{identifier}"


def _is_about(error: Error, action: str) -> bool:
    """Whether EC2 has answered so to this action, and not to another one that the question needed."""
    return str(error).startswith(f"{action.partition(':')[2]}: ")


def _ask(action: str, questions: Mapping[str, Callable[[], None]], surroundings: Surroundings) -> Asked:
    """Ask all of them side by side."""
    tasks = {name: Task(question) for name, question in questions.items()}
    denied: Dict[str, DeniedError] = {}
    others: Dict[str, Error] = {}
    for name, task in tasks.items():
        try:
            task.result(surroundings.deadline, name)
        except DeniedError as error:
            if _is_about(error, action):
                denied[name] = error
            else:
                others[name] = error
        except Error as error:
            others[name] = error
    return Asked(tuple(questions), denied, others)


# -- what is only read ------------------------------------------------------------------------------------------------


def _reads(action: str, read: Callable[[Surroundings], object], *, needed: bool) -> Callable[[Surroundings], Finding]:
    def look(surroundings: Surroundings) -> Finding:
        asked = _ask(f"ec2:{action}", {"": lambda: _discard(read(surroundings))}, surroundings)
        other = asked.others.get("")
        if isinstance(other, NodeError) and _is_about(other, f"ec2:{action}"):
            asked = asked._replace(others={})  # EC2 has looked, and does not know it: the matter of another check
        return _judge(surroundings, f"ec2:{action}", asked, {}, needed=needed)

    return look


def _discard(_: object) -> None:
    """What is read is another check's matter."""


# -- overlay-ip -------------------------------------------------------------------------------------------------------


def _replace_route(surroundings: Surroundings) -> Finding:
    ec2, own = surroundings.role_ec2(), surroundings.own_id()

    def ask(table: str, cidr: Cidr) -> None:
        with suppress(NoRouteError):  # permitted, and there is nothing to replace: the matter of routes
            ec2.may_replace_route(table, cidr, own)

    return _on_tables(surroundings, "ec2:ReplaceRoute", ask, needed=True)


def _create_route(surroundings: Surroundings) -> Finding:
    ec2, own = surroundings.role_ec2(), surroundings.own_id()

    def ask(table: str, cidr: Cidr) -> None:
        ec2.may_create_route(table, cidr, own)

    return _on_tables(surroundings, "ec2:CreateRoute", ask, needed=False)


def _on_tables(surroundings: Surroundings, action: str, ask: Callable[[str, Cidr], None], *, needed: bool) -> Finding:
    """A question about each table; permissions are for a table, so that one destination stands for all."""
    tables, cidr, arns = surroundings.usable_tables(), surroundings.destinations().cidrs[0], _Arns(surroundings)
    questions = {one.route_table_id: partial(ask, one.route_table_id, cidr) for one in tables}
    asked = _ask(action, questions, surroundings)
    by_id = {one.route_table_id: arns.of("route-table", one.route_table_id, one.owner_id) for one in tables}
    return _judge(surroundings, action, asked, by_id, needed=needed)


def _modify_eni(surroundings: Surroundings) -> Finding:
    ec2, own = surroundings.ec2(), surroundings.own_id()
    action = "ec2:ModifyNetworkInterfaceAttribute"
    asked = _ask(action, {own: lambda: ec2.may_switch_off_source_dest_check(own)}, surroundings)
    arns = {own: _Arns(surroundings).of("network-interface", own)}
    return _judge(surroundings, action, asked, arns, needed=False)


# -- eni --------------------------------------------------------------------------------------------------------------


def _attach(surroundings: Surroundings) -> Finding:
    eni, me = surroundings.moving(), surroundings.instance_id()
    attachment, arns = surroundings.attachment(), _eni_arns(surroundings, me)
    try:
        attachment.may_attach()
    except InUseError:
        return untold(
            f"EC2 does not tell whether {eni.network_interface_id} may be attached here, while it is attached",
            "Ask when it is available, or look at the policy.",
            *_simulation(surroundings, "ec2:AttachNetworkInterface", arns, arns),
        )
    except DeniedError as error:
        return _refused(surroundings, "ec2:AttachNetworkInterface", error, arns)
    return passed(f"ec2:AttachNetworkInterface is allowed on {eni.network_interface_id} and this instance")


def _detach(surroundings: Surroundings) -> Finding:
    eni, ec2 = surroundings.moving(), surroundings.ec2()
    if eni.attachment is None:
        arns = _eni_arns(surroundings, surroundings.instance_id())
        return untold(
            f"EC2 does not tell whether {eni.network_interface_id} may be detached, while it is attached to nothing",
            "Ask while it is attached, or look at the policy.",
            *_simulation(surroundings, "ec2:DetachNetworkInterface", arns, arns),
        )
    arns = _eni_arns(surroundings, eni.attachment.instance_id)
    try:
        ec2.may_detach(eni.attachment.attachment_id)
    except DeniedError as error:
        return _refused(surroundings, "ec2:DetachNetworkInterface", error, arns)
    return passed(
        f"ec2:DetachNetworkInterface is allowed on {eni.network_interface_id} and {eni.attachment.instance_id}"
    )


def _eni_arns(surroundings: Surroundings, instance_id: str) -> Dict[str, str]:
    """The ENI and an instance: EC2 asks for both."""
    arns, eni = _Arns(surroundings), surroundings.values().required_network_interface_id
    return {eni: arns.of("network-interface", eni), instance_id: arns.of("instance", instance_id)}


def _refused(surroundings: Surroundings, action: str, error: DeniedError, arns: Mapping[str, str]) -> Finding:
    """One refusal of a call that EC2 asks the permissions of several resources for.

    Raises:
        DeniedError: it is of another call.
    """
    if not _is_about(error, action):
        raise error
    resources = tuple(arns) or ("",)
    asked = Asked(resources, dict.fromkeys(resources, error), {})
    return _judge(surroundings, action, asked, arns, needed=True)


# -- private-ip -------------------------------------------------------------------------------------------------------


def _assign(*operations: str) -> Callable[[Surroundings], Finding]:
    def look(surroundings: Surroundings) -> Finding:
        own = surroundings.own_id()
        arns = {own: _Arns(surroundings).of("network-interface", own)}
        commands = [command for one in operations for command in _simulation(surroundings, f"ec2:{one}", arns, arns)]
        named = " and ".join(operations)
        return untold(f"EC2 has no dry run for {named}", "Look at the policy of the role on every node.", *commands)

    return look


def _has(version: int) -> Callable[[Surroundings], bool]:
    def applies(surroundings: Surroundings) -> bool:
        values = surroundings.known_values()
        return values is None or any(address.version == version for address in values.ip)

    return applies


# -- an Elastic IP ----------------------------------------------------------------------------------------------------


def _associate(surroundings: Surroundings) -> Finding:
    values, arns = surroundings.values(), _Arns(surroundings)
    association = surroundings.elastic_ip()
    if association is None:
        return passed("no Elastic IP follows")
    allocation, me = str(values.allocation_id), surroundings.instance_id()
    eni = values.network_interface_id or surroundings.own_id()
    needed = {
        allocation: arns.of("elastic-ip", allocation),
        eni: arns.of("network-interface", eni),
        me: arns.of("instance", me),
    }
    try:
        association.check()
    except DeniedError as error:
        action = "ec2:DescribeAddresses" if "DescribeAddresses" in str(error) else "ec2:AssociateAddress"
        return _refused(surroundings, action, error, needed if action == "ec2:AssociateAddress" else {})
    except NodeError as error:
        return failed(str(error), "Correct parameter allocation_id.")
    return passed(f"ec2:AssociateAddress is allowed on {allocation}, {eni} and this instance")


def _has_elastic_ip(surroundings: Surroundings) -> bool:
    values = surroundings.known_values()
    return values is not None and values.allocation_id is not None


def _check(
    name: str,
    operation: str,
    look: Callable[[Surroundings], Finding],
    modes: Sequence[str],
    applies: Optional[Callable[[Surroundings], bool]] = None,
) -> Check:
    asks = f"May this node call {operation}?"
    made = Check(name, operation, asks, PERMISSIONS, Needs.EC2, look, modes)
    return made if applies is None else made._replace(applies=applies)


CHECKS = (
    _check(
        *("read-tables", "DescribeRouteTables"),
        _reads("DescribeRouteTables", Surroundings.tables, needed=True),
        ("overlay-ip",),
    ),
    _check("replace-route", "ReplaceRoute", _replace_route, ("overlay-ip",)),
    _check("create-route", "CreateRoute", _create_route, ("overlay-ip",)),
    _check(
        *("read-enis", "DescribeNetworkInterfaces"),
        _reads("DescribeNetworkInterfaces", Surroundings.own, needed=False),
        ("overlay-ip",),
    ),
    _check("modify-eni", "ModifyNetworkInterfaceAttribute", _modify_eni, ("overlay-ip",)),
    _check(
        *("read-moving-eni", "DescribeNetworkInterfaces"),
        _reads("DescribeNetworkInterfaces", Surroundings.moving, needed=True),
        ("eni",),
    ),
    _check(
        *("read-instances", "DescribeInstances"),
        _reads("DescribeInstances", Surroundings.instance, needed=True),
        ("eni",),
    ),
    _check(
        *("read-subnets", "DescribeSubnets"),
        _reads("DescribeSubnets", Surroundings.moving_subnet_cidrs, needed=True),
        ("eni",),
    ),
    _check("attach", "AttachNetworkInterface", _attach, ("eni",)),
    _check("detach", "DetachNetworkInterface", _detach, ("eni",)),
    _check(
        *("read-own-eni", "DescribeNetworkInterfaces"),
        _reads("DescribeNetworkInterfaces", Surroundings.own, needed=True),
        ("private-ip",),
    ),
    _check("assign-ipv4", "AssignPrivateIpAddresses", _assign("AssignPrivateIpAddresses"), ("private-ip",), _has(4)),
    _check(
        *("assign-ipv6", "AssignIpv6Addresses and UnassignIpv6Addresses"),
        _assign("AssignIpv6Addresses", "UnassignIpv6Addresses"),
        *(("private-ip",), _has(6)),
    ),
    _check("associate", "AssociateAddress", _associate, ALL_MODES, _has_elastic_ip),
)
