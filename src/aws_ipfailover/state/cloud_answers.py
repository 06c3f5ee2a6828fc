"""Asks EC2 where the addresses of some resources of one account lead. Changes nothing.

What several resources need is asked for once; three steps, in each of which everything is asked at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, TypeVar, Union

from aws_ipfailover.address import Cidr
from aws_ipfailover.context import Context
from aws_ipfailover.deadline import Task
from aws_ipfailover.errors import Error
from aws_ipfailover.modes import chosen_tables, destinations_of
from aws_ipfailover.parameters import Values

if TYPE_CHECKING:
    from aws_ipfailover.aws.models import ElasticIp, Instance, NetworkInterface, Route, RouteTable, Subnet

T = TypeVar("T")


class Wanted(NamedTuple):
    """One resource: its id, or another key, and its parameters."""

    key: str
    values: Values


class Tables(NamedTuple):
    """The route tables of one resource; `missing`: ids that EC2 does not know. `unmatched`: names that no table has."""

    found: Tuple[RouteTable, ...]
    missing: Tuple[str, ...] = ()
    unmatched: Tuple[str, ...] = ()


@dataclass
class Answers:
    """What EC2 has answered, or the error instead: what one call fails to tell does not hide what another one tells.

    `own_instance`: the id of the instance that this node is. `tables`: by the resource's key. `nearby`: the ENIs of
    this node's subnet, where a mode needs them. `interfaces`, `instances`: by id, those that EC2 knows, as far as
    `interfaces_error` and `instances_error` have not kept it from telling. `subnets`, `vpc_tables`: by VPC.
    """

    own_instance: Union[str, Error] = ""
    tables: Dict[str, Union[Tables, Error]] = field(default_factory=dict)
    elastic_ips: Dict[str, Union[ElasticIp, Error]] = field(default_factory=dict)
    nearby: Union[List[NetworkInterface], Error] = field(default_factory=list)
    interfaces: Dict[str, NetworkInterface] = field(default_factory=dict)
    interfaces_error: Optional[Error] = None
    instances: Dict[str, Instance] = field(default_factory=dict)
    instances_error: Optional[Error] = None
    subnets: Dict[str, Union[List[Subnet], Error]] = field(default_factory=dict)
    vpc_tables: Dict[str, Union[Tuple[RouteTable, ...], Error]] = field(default_factory=dict)


class RouteFound(NamedTuple):
    """A route that decides where an address goes; `route` is `None` where the table has none."""

    table: RouteTable
    destination: Cidr
    route: Optional[Route]


def routes_found(values: Values, tables: Sequence[RouteTable]) -> Iterator[RouteFound]:
    """For each table and destination of a resource the route in use, and narrower ones that take addresses away."""
    destinations = destinations_of(values)
    for table in tables:
        there = destinations.routes_in(table)
        for cidr in destinations.cidrs:
            yield RouteFound(table, cidr, there.get(cidr))
        for route in dict.fromkeys(destinations.narrower_routes_in(table).values()):
            yield RouteFound(table, route.destination, route)


def ask(context: Context, wanted: Sequence[Wanted]) -> Answers:
    """Ask EC2 about these resources, which have one account, and until the deadline of `context`. Never raises."""
    answers = Answers()
    _first(context, wanted, answers)
    _second(context, wanted, answers)
    _third(context, answers)
    return answers


def _result(context: Context, task: Task[T], what: str) -> Union[T, Error]:
    try:
        return task.result(context.deadline, what)
    except Error as error:
        return error


def _first(context: Context, wanted: Sequence[Wanted], answers: Answers) -> None:
    """Route tables, Elastic IPs, the ENIs of this node's subnet, and which instance this node is."""
    overlay = [one for one in wanted if one.values.mode == "overlay-ip"]
    # Tables that are named by id are read for all resources by one call; each lookup is a call of its own.
    by_id = [one for one in overlay if not one.values.routing_table.need_lookup]
    ids = list(dict.fromkeys(table for one in by_id for table in one.values.routing_table.ids))
    allocations = sorted({one.values.allocation_id for one in wanted if one.values.allocation_id})
    private = any(one.values.mode == "private-ip" for one in wanted)

    own = Task(context.node.instance_id)
    named = Task(partial(context.role_ec2.route_tables, ids)) if ids else None
    lookups = {
        one.key: Task(chosen_tables(context, one.values).described)
        for one in overlay
        if one.values.routing_table.need_lookup
    }
    elastic = {one: Task(partial(context.ec2.elastic_ip, one)) for one in allocations}
    nearby = Task(partial(_nearby, context)) if private else None

    if named is not None:
        found = _result(context, named, "DescribeRouteTables")
        for one in by_id:
            mine = one.values.routing_table.ids
            answers.tables[one.key] = (
                found
                if isinstance(found, Error)
                else Tables(
                    tuple(table for table in found.found if table.route_table_id in mine),
                    tuple(table for table in found.missing if table in mine),
                )
            )
    for key, lookup in lookups.items():
        described = _result(context, lookup, "DescribeRouteTables")
        answers.tables[key] = (
            described
            if isinstance(described, Error)
            else Tables(described[0].found, described[0].missing, described[1])
        )
    for allocation, asked in elastic.items():
        elastic_ip = _result(context, asked, "DescribeAddresses")
        answers.elastic_ips[allocation] = elastic_ip
    if nearby is not None:
        answers.nearby = _result(context, nearby, "DescribeNetworkInterfaces")
    answers.own_instance = _result(context, own, "the id of this node's instance")


def _nearby(context: Context) -> List[NetworkInterface]:
    return context.ec2.network_interfaces_in(context.node.subnet_id())


def _second(context: Context, wanted: Sequence[Wanted], answers: Answers) -> None:
    """The ENIs to which all of these lead."""
    if not isinstance(answers.nearby, Error):
        answers.interfaces.update({one.network_interface_id: one for one in answers.nearby})
    ids = {one.values.network_interface_id or "" for one in wanted if one.values.mode == "eni"}
    for one in wanted:
        tables = answers.tables.get(one.key)
        if isinstance(tables, Tables):
            found = routes_found(one.values, tables.found)
            ids |= {each.route.network_interface_id for each in found if each.route is not None}
    ids |= {one.network_interface_id for one in answers.elastic_ips.values() if not isinstance(one, Error)}
    unknown = sorted(one for one in ids if one and one not in answers.interfaces)
    if not unknown:
        return
    described = _result(context, Task(partial(context.ec2.network_interfaces, unknown)), "DescribeNetworkInterfaces")
    if isinstance(described, Error):
        answers.interfaces_error = described
    else:
        answers.interfaces.update(described)


def _third(context: Context, answers: Answers) -> None:
    """The instances that have these ENIs, and the subnets that use these tables."""
    ids = sorted({one.attachment.instance_id for one in answers.interfaces.values() if one.attachment is not None})
    tables = [table for one in answers.tables.values() if isinstance(one, Tables) for table in one.found]
    vpcs = sorted({table.vpc_id for table in tables})
    # The main table is that of the subnets that are associated with no other one: all of the VPC have to be read.
    with_main = sorted({table.vpc_id for table in tables if table.main})

    instances = Task(partial(context.ec2.instances, ids)) if ids else None
    subnets = {vpc: Task(partial(context.role_ec2.subnets_of, vpc)) for vpc in vpcs}
    all_tables = {vpc: Task(partial(context.role_ec2.route_tables_of, vpc)) for vpc in with_main}

    for vpc, asked in subnets.items():
        of_vpc = _result(context, asked, "DescribeSubnets")
        answers.subnets[vpc] = of_vpc
    for vpc, read in all_tables.items():
        every_table = _result(context, read, "DescribeRouteTables")
        answers.vpc_tables[vpc] = every_table
    if instances is not None:
        found = _result(context, instances, "DescribeInstances")
        if isinstance(found, Error):
            answers.instances_error = found
        else:
            answers.instances.update(found)
