"""The overlay address's routes: one destination, in every route table, to this node's ENI.

While an ENI's source/destination check is on, EC2 drops packets for addresses that are not the ENI's own. So this
holding also switches the check off. Facts: Amazon VPC User Guide, "Route table concepts", "Route priority"; Amazon EC2
API Reference, ReplaceRoute, ModifyNetworkInterfaceAttribute.
"""

from __future__ import annotations

import logging
from ipaddress import ip_network
from typing import TYPE_CHECKING, Dict, List, Optional, Sequence

from aws_ipfailover.address import Address
from aws_ipfailover.consistency import Contradictions, WriteMemory, confirmed
from aws_ipfailover.deadline import Deadline, Progress, Task
from aws_ipfailover.errors import (
    DeniedError,
    Error,
    NodeError,
    NoRouteError,
    RouteExistsError,
    UnknownError,
)
from aws_ipfailover.failover import HERE, Look, Repair, Where

if TYPE_CHECKING:
    from aws_ipfailover.aws.client import Ec2
    from aws_ipfailover.aws.models import RouteTable, RouteTables

log = logging.getLogger(__name__)

# Seconds that a start whose routes are written still waits for the answer about the source/destination check.
_CHECK_PATIENCE = 3.0
# Stands in the text of a failure for the table, so that the same failure of many tables has one text.
_TABLE = "{table}"
# The key of a contradiction that is about the ENI instead of a route table.
_CHECK = "source/destination check"


class OverlayRoutes:
    """`address` routed to `network_interface_id` in each of `route_table_ids`.

    `ec2` may read and change the ENI, `tables_ec2` the tables, which can be another account's.
    """

    local = False

    def __init__(
        self,
        address: Address,
        route_table_ids: Sequence[str],
        network_interface_id: str,
        ec2: Ec2,
        tables_ec2: Ec2,
        memory: WriteMemory,
        deadline: Deadline,
        progress: Progress,
    ) -> None:
        self._destination = ip_network(address)
        self._route_table_ids = tuple(route_table_ids)
        self._eni = network_interface_id
        self._ec2 = ec2
        self._tables_ec2 = tables_ec2
        self._memory = memory
        self._deadline = deadline
        self._progress = progress
        self._drift: Contradictions = {}
        self._check_is_on = False

    def take(self) -> None:
        """Write all tables in parallel, and switch the ENI's source/destination check off if it is on.

        Succeeds if at least one table was written: a service for some consumers is better than none.

        Raises:
            NodeError: no table exists, or the check is on and cannot be switched off.
            DeniedError, UnknownError, Error: no table was written; names them, with AWS's error code.
        """
        check = Task(self._switch_check_off)
        failures = self._write_all(self._route_table_ids)
        written = [table for table in self._route_table_ids if table not in failures]
        if not written:
            raise _summary(failures)
        self._memory.remember(self._eni, without=list(failures))
        self._await_check(check)
        for text in _by_failure(failures):
            log.error("%s", text)
        log.info("%s is routed to %s in %s", self._destination, self._eni, ", ".join(written))

    def release(self) -> None:
        """Nothing: without the address this node does not answer, and the next active node rewrites the routes."""

    def look(self) -> Look:
        """Where the routes point, as far as EC2's reads can be believed.

        HERE: every table has an active route to this ENI, whose source/destination check is off. ELSEWHERE: two reads
        in a row say that one does not, or that the check is on.

        Raises:
            UnknownError: EC2 did not answer, or the only contradiction can be a stale read.
        """
        self._drift = confirmed(self._contradictions, self._memory, self._eni, self._deadline)
        return Look(Where.ELSEWHERE, "; ".join(self._drift.values())) if self._drift else HERE

    def _await_check(self, check: Task[None]) -> None:
        """Wait until the source/destination check is off, at most `_CHECK_PATIENCE` unless it is known to be on.

        Raises:
            NodeError: it is on and cannot be switched off.
        """
        try:
            check.result(self._deadline.within(_CHECK_PATIENCE), f"DescribeNetworkInterfaces for {self._eni}")
        except UnknownError as error:
            if not self._check_is_on:
                log.warning("cannot find out whether the source/destination check of %s is off: %s", self._eni, error)
                return
            try:
                check.result(self._deadline, "ModifyNetworkInterfaceAttribute")
            except UnknownError as late:
                raise NodeError(check_is_on(self._ec2.region, self._eni, str(late))) from None

    def repair(self) -> Repair:
        """Write the tables that the last `look` found wrong, and switch the check off if that was on.

        Raises:
            Error: the check is on and cannot be switched off, so that nothing leads here.
        """
        drifted = [table for table in self._route_table_ids if table in self._drift]
        check = Task(self._write_check_off) if _CHECK in self._drift else None
        failures = self._write_all(drifted)
        if check is not None:
            check.result(self._deadline, self._progress)
        mended = [table for table in drifted if table not in failures]
        if mended or check is not None:
            self._memory.remember(self._eni, without=list(failures))
        for text in _by_failure(failures):
            log.error("%s", text)
        switched = [f"source/destination check of {self._eni} switched off"] if check is not None else []
        routed = [f"{self._destination} routed to {self._eni} again in {', '.join(mended)}"] if mended else []
        return Repair(
            "; ".join([*switched, *routed]),
            "; ".join(_by_failure(failures)),
            leads_here=_leads_here(failures, len(self._route_table_ids)),
        )

    def _write_all(self, tables: Sequence[str]) -> Dict[str, Error]:
        """Write tables in parallel; returns the failures by table."""
        tasks = {table: Task(lambda table=table: self._write(table)) for table in tables}  # type: ignore[misc]
        failures: Dict[str, Error] = {}
        for table, task in tasks.items():
            try:
                task.result(self._deadline, self._progress)
            except Error as error:
                failures[table] = error
        return failures

    def _write(self, table: str) -> None:
        ec2, eni = self._tables_ec2, self._eni
        try:
            ec2.replace_route(table, self._destination, eni)
        except NoRouteError:
            log.info("%s has no route for %s: creating it", table, self._destination)
            try:
                ec2.create_route(table, self._destination, eni)
            except RouteExistsError:  # somebody made it meanwhile
                ec2.replace_route(table, self._destination, eni)
            except DeniedError as error:
                raise DeniedError(f"no route there yet, create it once: {self._create_command()} ({error})") from None

    def _create_command(self) -> str:
        option = "--destination-cidr-block" if self._destination.version == 4 else "--destination-ipv6-cidr-block"
        return (
            f"aws ec2 create-route --region {self._tables_ec2.region} --route-table-id {_TABLE}"
            f" {option} {self._destination} --network-interface-id {self._eni}"
        )

    def _switch_check_off(self) -> None:
        """Switch the ENI's source/destination check off if it is on.

        Raises:
            NodeError: it cannot be switched off; names the command for it.  UnknownError: its state cannot be read.
        """
        try:
            if not self._ec2.network_interface(self._eni).source_dest_check:
                return
        except Error as error:
            raise UnknownError(str(error)) from None
        self._check_is_on = True
        self._write_check_off()

    def _write_check_off(self) -> None:
        """Switch the ENI's source/destination check off, without reading it first.

        Raises:
            NodeError: it cannot be switched off; names the command for it.
        """
        try:
            self._ec2.switch_off_source_dest_check(self._eni)
        except Error as error:
            raise NodeError(check_is_on(self._ec2.region, self._eni, str(error))) from None
        log.warning("the source/destination check of %s was on, switched off", self._eni)

    def _contradictions(self) -> Contradictions:
        """What is wrong, by one read of the tables and a parallel read of the ENI."""
        check = Task(self._check_contradiction)
        found = self._compare(self._tables_ec2.route_tables(self._route_table_ids))
        text = check.result(self._deadline, self._progress)
        return {_CHECK: text, **found} if text else found

    def _check_contradiction(self) -> Optional[str]:
        try:
            on = self._ec2.network_interface(self._eni).source_dest_check
        except DeniedError as error:
            log.warning("cannot find out whether the source/destination check of %s is off: %s", self._eni, error)
            return None
        return check_is_on(self._ec2.region, self._eni) if on else None

    def _compare(self, tables: RouteTables) -> Contradictions:
        found = {table: _gone(table) for table in tables.missing}
        for table in tables.found:
            text = self._wrong_with(table)
            if text:
                found[table.route_table_id] = f"{table.route_table_id} {text}"
        return found

    def _wrong_with(self, table: RouteTable) -> str:
        route = table.in_use(self._destination)
        if route is None:
            return f"has no route for {self._destination}"
        if route.network_interface_id != self._eni:
            target = route.network_interface_id or "another target"
            return f"routes {self._destination} to {target} instead of {self._eni}"
        return "" if route.state == "active" else f"has a {route.state} route for {self._destination}"


def _leads_here(failures: Dict[str, Error], tables: int) -> Optional[bool]:
    """Whether any of so many tables leads here; `None` where EC2 may have done what it did not confirm."""
    if len(failures) < tables:
        return True
    return None if any(isinstance(error, UnknownError) for error in failures.values()) else False


def check_is_on(region: str, network_interface_id: str, refusal: str = "") -> str:
    """A sentence for an ENI whose source/destination check is on, with the command that switches it off."""
    return (
        f"source/destination check of {network_interface_id} is on, so EC2 drops all packets: switch it off: aws ec2"
        f" modify-network-interface-attribute --region {region} --network-interface-id {network_interface_id}"
        " --no-source-dest-check" + (f" ({refusal})" if refusal else "")
    )


def _gone(table: str) -> str:
    return f"{table} does not exist: remove it from routing_table (DescribeRouteTables: InvalidRouteTableID.NotFound)"


def _by_failure(failures: Dict[str, Error]) -> List[str]:
    """One sentence for each different failure, with all tables that have it."""
    tables: Dict[str, List[str]] = {}
    for table, error in failures.items():
        tables.setdefault(str(error), []).append(table)
    return [_told(ids, error) for error, ids in tables.items()]


def _told(ids: Sequence[str], error: str) -> str:
    """The sentence for tables with one failure: first table and cause come first, as crm_mon cuts long texts."""
    first, *others = ids
    error = error.replace(_TABLE, first)
    if not others:
        return f"{first}: {error}"
    return f"{first} and {len(others)} more: {error} ({', '.join(others)})"


def _summary(failures: Dict[str, Error]) -> Error:
    """One error for tables that all failed: of the kind that they have in common, else an `Error`."""
    text = "; ".join(_by_failure(failures))
    for kind in (DeniedError, NodeError, UnknownError):
        if all(isinstance(error, kind) for error in failures.values()):
            return kind(text)
    return Error(text)
