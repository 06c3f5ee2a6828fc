"""What a start on this node would meet: the node, its ENI, the VPC, and every permission.

`validate-all` raises the first problem; the health agent takes all, and what each means for a start. Permissions are
checked with EC2's DryRun, which changes nothing, so that a permission that the standby's role lacks is found before a
failover. EC2 has no DryRun for AssignPrivateIpAddresses and AssignIpv6Addresses.
"""

from __future__ import annotations

import enum
import logging
from typing import TYPE_CHECKING, Collection, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from aws_ipfailover.address import Cidr
from aws_ipfailover.coexistence import warnings
from aws_ipfailover.context import Context
from aws_ipfailover.deadline import Task
from aws_ipfailover.errors import (
    DeniedError,
    Error,
    ExpiredError,
    InUseError,
    MissingError,
    NoCredentialsError,
    NodeError,
    NoRouteError,
    NoTableError,
    ParameterError,
    UnknownError,
)
from aws_ipfailover.holdings.delegated_prefixes import delegations
from aws_ipfailover.holdings.eni_attachment import EniAttachment
from aws_ipfailover.holdings.overlay_routes import CHECK_UNTOLD, check_is_on
from aws_ipfailover.holdings.route_writes import RouteId, RouteWrites, few, sentences, summary
from aws_ipfailover.holdings.secondary_address import primary_addresses
from aws_ipfailover.modes import chosen_tables, destinations_of, elastic_ip, mode_named
from aws_ipfailover.parameters import Values

if TYPE_CHECKING:
    from aws_ipfailover.aws.models import NetworkInterface, RouteTable

log = logging.getLogger(__name__)


class Effect(enum.Enum):
    """What a problem means for a start on this node, as things are now."""

    MENDED = "the start mends it"
    UNKNOWN = "whether the start succeeds cannot be found out"
    PARTLY = "the start succeeds, and a part of the service is missing"
    FAILS = "the start fails, or nobody reaches what it has started"


class Problem(NamedTuple):
    """Something that is wrong, or that cannot be found out."""

    error: Error
    effect: Effect


def effect_of(error: Error, if_certain: Effect = Effect.FAILS) -> Effect:
    """`if_certain` where `error` is an answer: AWS's or this node's; else UNKNOWN.

    Credentials that have expired are no answer: the next ones can be accepted. Nor is an error without a kind of its
    own: what EC2 means by it is not known.
    """
    answers = (ParameterError, NodeError, DeniedError, MissingError, NoCredentialsError)
    return if_certain if isinstance(error, answers) and not isinstance(error, ExpiredError) else Effect.UNKNOWN


def validate(context: Context, values: Values) -> None:
    """Check the parameters against this node and the VPC. Changes nothing.

    Raises:
        NodeError, DeniedError, MissingError, UnknownError: the first thing that is wrong or cannot be found out.
    """
    checks = Checks(context, values)

    def check() -> None:
        for problem in checks.problems():
            raise problem.error
        checks.warn_of_narrower_routes()
        checks.warn_of_uncovered_subnets()

    Task(check).result(context.deadline, context.progress)
    for warning in warnings(mode_named(values.mode), checks.mac):
        log.warning("%s", warning)


class Checks:
    """All checks of one resource on this node. Changes nothing.

    `mac`: the MAC address of the ENI that moves, once `problems` has found it out.
    """

    def __init__(self, context: Context, values: Values) -> None:
        self._context = context
        self._values = values
        self._vpc_id = ""
        self._tables: Tuple[RouteTable, ...] = ()
        self.mac: Optional[str] = None

    def problems(self) -> Iterator[Problem]:
        """Each problem as soon as it is found; EC2 is asked for the next one only when the caller wants it."""
        mode = mode_named(self._values.mode)
        checks = {"overlay-ip": self._overlay, "eni": self._eni, "private-ip": self._private}
        try:
            mode.holdings(self._context, self._values)
            yield from checks[mode.name]()
        except Error as error:
            yield Problem(error, effect_of(error))
            return
        yield from self._elastic_ip()

    def warn_of_narrower_routes(self) -> None:
        """overlay-ip: warn of routes that EC2 prefers to those that a start writes, after `problems`.

        A start does not move them: the monitor at level 10 that follows takes the address.
        """
        destinations = destinations_of(self._values)
        for table in self._tables:
            for host, route in destinations.narrower_routes_in(table).items():
                log.warning(
                    "%s has a route to %s, which goes before %s and which a start does not move: %s follows only by a"
                    " monitor at level 10, so delete that route",
                    *(table.route_table_id, route.destination, destinations, host.network_address),
                )

    def warn_of_uncovered_subnets(self) -> None:
        """overlay-ip: warn of the VPC's subnets whose route table is none of the resource's, after `problems`.

        Their consumers do not reach the address.
        """
        if not self._tables:
            return
        ec2, ids = self._context.role_ec2, [table.route_table_id for table in self._tables]
        try:
            tables, subnets = ec2.route_tables_of(self._vpc_id), ec2.subnets_of(self._vpc_id)
        except Error as error:
            log.info("%s: which subnets cannot reach the address is not known", error)
            return
        explicit = {subnet: table.route_table_id for table in tables for subnet in table.subnet_ids}
        main = next((table.route_table_id for table in tables if table.main), "")
        uncovered: Dict[str, List[str]] = {}
        for subnet in subnets:
            table = explicit.get(subnet.subnet_id, main)
            if table not in ids:
                uncovered.setdefault(table, []).append(f"{subnet.subnet_id} in {subnet.availability_zone}")
        for table, some in uncovered.items():
            log.warning(
                "%s is not among the tables of routing_table: consumers in %s do not reach the address",
                table or "the main route table",
                few(some),
            )

    def _elastic_ip(self) -> Iterator[Problem]:
        context, values = self._context, self._values
        eni = values.network_interface_id if values.mode == "eni" else None
        association = elastic_ip(context, values, eni or context.node.network_interface_id())
        if association is None:
            return
        try:
            association.check()
        except Error as error:
            yield Problem(error, effect_of(error, Effect.PARTLY))  # the start goes on without it

    def _private(self) -> Iterator[Problem]:
        log.info("EC2 has no dry run for assigning an address: whether this node may do it is not checked")
        context, ips = self._context, self._values.ip
        own = context.node.network_interface_id()
        try:
            eni = context.ec2.network_interface(own)
            enis = [eni, *context.ec2.network_interfaces_in(eni.subnet_id)]
            found = delegations(ips, enis)
        except Error as error:
            # A start with IPv4 addresses alone asks EC2 for nothing of this.
            needed = any(address.version == 6 for address in ips)
            yield Problem(error, effect_of(error) if needed else Effect.UNKNOWN)
            return
        for one in found:
            yield Problem(one.refused(), Effect.FAILS)
        for refusal in primary_addresses(ips, enis):
            yield Problem(refusal, Effect.FAILS)

    def _eni(self) -> Iterator[Problem]:
        """Check that this node can attach the ENI, and take it from whoever has it."""
        context, values = self._context, self._values
        eni, ec2 = values.required_network_interface_id, context.ec2
        me = context.node.instance_id()
        index, card = values.device_index, values.network_card_index
        attachment = EniAttachment(eni, index, card, me, ec2, context.memory(eni), context.deadline)
        attachment.check()
        found = attachment.described()
        self.mac = found.mac
        held = found.attachment
        # Where it is attached already, a start has nothing to ask for; the next one, after it was elsewhere, has.
        denied = Effect.PARTLY if held is not None and held.instance_id == me else Effect.FAILS
        try:
            attachment.may_attach()
        except InUseError as error:
            if held is None:
                text = f"{eni} is in use by something that EC2 does not show, such as an AWS service: detach it"
                yield Problem(UnknownError(f"{text} ({error})"), Effect.UNKNOWN)
            else:
                log.info("%s: whether this node may attach it cannot be asked while it is attached", error)
        except Error as error:
            yield Problem(error, effect_of(error, denied))
        if held is None:
            log.info("whether this node may detach %s cannot be asked while it is attached to nothing", eni)
            return
        try:
            ec2.may_detach(held.attachment_id)
        except Error as error:
            yield Problem(error, effect_of(error, denied))

    def _overlay(self) -> Iterator[Problem]:
        """Check node, tables, addresses and permissions.

        A start succeeds with one table: what one of several lacks is PARTLY, and a last problem follows if all lack
        something.
        """
        context, values = self._context, self._values
        eni = context.node.network_interface_id()
        chosen = chosen_tables(context, values)
        try:
            described, unmatched = chosen.described()
        except Error as error:
            # A start then writes the tables that it knows without a read.
            ids = tuple(dict.fromkeys((*chosen.ids, *chosen.remembered())))
            yield Problem(error, Effect.UNKNOWN if ids else effect_of(error))
            lost: Set[str] = set()
            yield from self._of_interface(eni, lost)
            yield from self._of_permissions(ids, eni, lost)
            if ids and lost.issuperset(ids):
                yield _no_table(ids)
            return
        self._tables = described.found
        ids = tuple(table.route_table_id for table in described.found)
        lost = set(described.missing)
        if described.missing:
            text = (
                f"{', '.join(described.missing)}: no such route table, remove it from routing_table"
                " (DescribeRouteTables: InvalidRouteTableID.NotFound)"
            )
            yield Problem(NoTableError(text), Effect.PARTLY)
        if unmatched:
            yield Problem(chosen.none_found(unmatched), Effect.PARTLY)
        if chosen.need_lookup:
            log.info("routing_table names %s", ", ".join(ids))
        yield from self._of_interface(eni, lost)
        yield from self._of_permissions([one for one in ids if one not in lost], eni, lost)
        if lost.issuperset(ids):
            yield _no_table((*ids, *described.missing))
        elif not lost and not unmatched:
            # Told to a standby too: where the lookup fails at its first start, it knows these tables.
            chosen.remember(ids)

    def _of_interface(self, network_interface_id: str, lost: Set[str]) -> Iterator[Problem]:
        """What is wrong with the node's ENI, and with tables and addresses in its VPC; adds tables to `lost`."""
        context = self._context
        try:
            interface = context.ec2.network_interface(network_interface_id)
        except Error as error:
            yield Problem(error, Effect.UNKNOWN)  # a start warns, and goes on
            return
        self._vpc_id = interface.vpc_id
        for table in self._tables:
            if table.vpc_id != interface.vpc_id:
                lost.add(table.route_table_id)
                text = (
                    f"parameter routing_table: {table.route_table_id} is of {table.vpc_id},"
                    f" but this node's {network_interface_id} is in {interface.vpc_id}"
                )
                yield Problem(NodeError(text), Effect.PARTLY)
        if interface.source_dest_check is None:
            yield Problem(UnknownError(CHECK_UNTOLD), Effect.UNKNOWN)
        elif interface.source_dest_check:
            yield self._check_is_on(network_interface_id)
        yield from self._addresses_inside(interface)

    def _check_is_on(self, network_interface_id: str) -> Problem:
        ec2, refusal, effect = self._context.ec2, "", Effect.MENDED
        try:
            ec2.may_switch_off_source_dest_check(network_interface_id)
        except Error as error:
            refusal, effect = str(error), effect_of(error)
        return Problem(NodeError(check_is_on(ec2.region, network_interface_id, refusal)), effect)

    def _addresses_inside(self, interface: NetworkInterface) -> Iterator[Problem]:
        """Addresses inside the VPC: EC2 refuses a route for one, but not for the whole CIDR of a subnet."""
        values = self._values
        try:
            cidrs = sorted(_vpc_cidrs(self._context, interface.vpc_id, self._tables), key=str)
        except Error as error:
            yield Problem(error, Effect.UNKNOWN)
            return
        hosts = {one.network_address for one in values.destination if one.prefixlen == one.max_prefixlen}
        inside = [(address, cidr) for address in values.ip for cidr in cidrs if address in cidr]
        refused = {address for address, _ in inside if address in hosts}
        for address, cidr in inside:
            text = f"parameter ip: {address} lies inside the VPC's CIDR {cidr}, expected an address outside every CIDR"
            if address not in refused:
                effect = Effect.UNKNOWN
            else:
                effect = Effect.FAILS if len(refused) == len(values.destination) else Effect.PARTLY
            yield Problem(NodeError(text), effect)

    def _of_permissions(self, ids: Collection[str], network_interface_id: str, lost: Set[str]) -> Iterator[Problem]:
        """Whether a start may write these tables, asked in parallel; adds those that it may not to `lost`.

        Permissions are for a table, so that one of several destinations stands for all.
        """
        context, destinations = self._context, destinations_of(self._values)
        ec2 = context.role_ec2
        present: Mapping[str, Collection[Cidr]] = {
            table.route_table_id: destinations.routes_in(table) for table in self._tables
        }

        def ask(route: RouteId) -> None:
            table, destination = route
            try:
                ec2.may_replace_route(table, destination, network_interface_id)
            except NoRouteError as error:
                log.debug("%s", error)
            # Whether a table has the route is not known where tables could not be read.
            if table in present and destination not in present[table]:
                ec2.may_create_route(table, destination, network_interface_id)

        asked = RouteWrites(ask)
        for table in ids:
            missing = [cidr for cidr in destinations.cidrs if cidr not in present.get(table, destinations.cidrs)]
            asked.add([(table, (missing or destinations.cidrs)[0])])
        failures = asked.failures(context.deadline, context.progress)
        lost.update(table for (table, _), error in failures.items() if effect_of(error) is Effect.FAILS)
        denied = {route: error for route, error in failures.items() if isinstance(error, DeniedError)}
        others = {route: error for route, error in failures.items() if route not in denied}
        if denied:
            certain = any(effect_of(error) is Effect.FAILS for error in denied.values())
            text = "; ".join(sentences(denied, 1))
            yield Problem(DeniedError(text), Effect.PARTLY if certain else Effect.UNKNOWN)
        if others:
            error = summary(others, 1)
            yield Problem(error, effect_of(error, Effect.PARTLY))


def _no_table(ids: Sequence[str]) -> Problem:
    which = f" ({few(ids)})" if ids else ""
    return Problem(NodeError(f"this node can write no route table of routing_table{which}"), Effect.FAILS)


def _vpc_cidrs(context: Context, vpc_id: str, tables: Sequence[RouteTable]) -> Set[Cidr]:
    """Every CIDR of the VPC: from its tables' local routes and IMDS, and from DescribeVpcs if that is permitted."""
    cidrs = {route.destination for table in tables for route in table.routes if route.local}
    cidrs |= set(context.node.vpc_cidrs())
    try:
        cidrs |= set(context.ec2.vpc_cidrs(vpc_id))
    except DeniedError as error:
        log.info("%s; taking the VPC's CIDRs from its route tables", error)
    return cidrs
