"""Where an address is: on this node, or whom EC2 leads it to. Changes nothing."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from aws_ipfailover.context import Context, connect
from aws_ipfailover.deadline import Deadline, Task
from aws_ipfailover.errors import Error, UnknownError
from aws_ipfailover.failover import Where
from aws_ipfailover.holdings.elastic_ip import ElasticIpAssociation
from aws_ipfailover.kernel.kernel import Kernel
from aws_ipfailover.modes import local_parts, mode_named
from aws_ipfailover.parameters import Values, held, parse
from aws_ipfailover.redaction import keep_secret
from aws_ipfailover.steps import Need

if TYPE_CHECKING:
    from aws_ipfailover.interfaces import PlannedHolding

log = logging.getLogger(__name__)

# Seconds by which EC2's answers are given up before the deadline, so that what is missing can still be told.
_TO_TELL = 0.5


class Holder(NamedTuple):
    """Whom EC2 leads an address to; what is not known of it is empty.

    `name`: the instance's tag Name. `here`: whether it is this node.
    """

    network_interface_id: str
    instance_id: str
    name: str
    here: bool


class Location(NamedTuple):
    """Where an address is.

    `where`: HERE if the kernel has it and EC2 leads it here; `None` if that cannot be found out. `reason`: half a
    sentence, empty for HERE. `local`: whether this node's kernel has it, `None` if that is not known. `holders`: whom
    EC2 leads it to, several if its route tables, or its addresses, differ.
    """

    where: Optional[Where]
    reason: str
    local: Optional[bool]
    holders: Tuple[Holder, ...] = ()


def locate(given: Mapping[str, str], deadline: Deadline, resource_id: str = "") -> Location:
    """Where the address of a resource with these parameters is, as Pacemaker would give them, without prefix.

    Raises:
        ParameterError: one of them is wrong on every node.
    """
    keep_secret(given.get("external_id"))
    values, deadline = parse(given), deadline.earlier(_TO_TELL)
    kernel = Kernel(deadline)
    local: Optional[bool] = None
    try:
        looks = [part.look() for part in local_parts(kernel, held(given))]
        local = all(look.where is Where.HERE for look in looks)
        absent = "; ".join(look.why for look in looks if look.where is Where.ELSEWHERE)
        context = connect(values, kernel, deadline, resource_id)
        return _by_ec2(context, values, absent)
    except Error as error:
        here = {True: "this node has it, and ", False: "this node does not have it, and ", None: ""}[local]
        return Location(None, f"{here}where EC2 leads it could not be found out: {error}", local)


def _by_ec2(context: Context, values: Values, absent: str) -> Location:
    """The location of an address of which this node's kernel lacks what `absent` says, empty if it lacks nothing."""
    holdings = [one for one in mode_named(values.mode).holdings(context, values) if not one.local]
    service = [one for one in holdings if not isinstance(one, ElasticIpAssociation)]
    if not absent:
        looks = [one.look() for one in service]
        wrong = "; ".join(look.why for look in looks if look.where is Where.ELSEWHERE)
        _warn_of_elastic_ip([one for one in holdings if one not in service])
        if not wrong:
            return Location(Where.HERE, "", local=True, holders=_holders(context, values, service))
        return Location(
            Where.ELSEWHERE, f"this node has it, but {wrong}", local=True, holders=_holders(context, values, service)
        )
    holders = _holders(context, values, service)
    return Location(
        Where.ELSEWHERE, absent if holders else f"{absent}; and EC2 leads it to nobody", local=False, holders=holders
    )


def _warn_of_elastic_ip(associations: Sequence[PlannedHolding]) -> None:
    """The service is here also without its Elastic IP."""
    for one in associations:
        try:
            look = one.look()
        except Error as error:
            log.warning("%s", error)
        else:
            if look.where is Where.ELSEWHERE:
                log.warning("%s", look.why)


def _holders(context: Context, values: Values, service: Sequence[PlannedHolding]) -> Tuple[Holder, ...]:
    """Whom the calls of a start would take the address from, which is this node where they change nothing.

    Raises:
        UnknownError: that is not known.
    """
    if values.mode == "eni":
        held = context.ec2.network_interface(values.required_network_interface_id).attachment
        return (_holder(context, values, held.instance_id),) if held is not None else ()
    ids: Dict[str, None] = {}
    for step in (step for one in service for step in one.plan()):
        if step.need is Need.UNKNOWN and step.made is not None:
            raise UnknownError(step.note or f"what {step.text} changes is not known")
        ids.update({one: None for one in step.before.split(", ") if one.startswith("eni-")})
    return tuple(_holder(context, values, one) for one in ids)


def _holder(context: Context, values: Values, holder_id: str) -> Holder:
    eni = holder_id if holder_id.startswith("eni-") else values.required_network_interface_id
    found: List[str] = ["" if eni == holder_id else holder_id]
    name, me = "", ""

    def describe() -> None:
        if eni == holder_id:
            attachment = context.ec2.network_interface(eni).attachment
            found.append(attachment.instance_id if attachment is not None else "")

    try:
        me = context.node.instance_id()
        Task(describe).result(context.deadline, "DescribeNetworkInterfaces")
        if found[-1]:
            name = Task(lambda: context.ec2.instance(found[-1])).result(context.deadline, "DescribeInstances").name
    except Error as error:
        log.info("%s", error)  # who that is remains unknown
    return Holder(eni, found[-1], name, here=bool(me) and found[-1] == me)
