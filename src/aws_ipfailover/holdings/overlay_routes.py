"""The overlay address's routes: one destination, in every route table, to this node's ENI."""

from __future__ import annotations

import logging
from ipaddress import ip_network
from typing import TYPE_CHECKING, Dict, List, Sequence

from aws_ipfailover.consistency import Contradictions, WriteMemory, confirmed
from aws_ipfailover.deadline import Deadline, Progress, Task
from aws_ipfailover.errors import (
    DeniedError,
    Error,
    NodeError,
    NoRouteError,
    NoTableError,
    RouteExistsError,
    UnknownError,
)
from aws_ipfailover.failover import HERE, Look, Where
from aws_ipfailover.parameters import Address

if TYPE_CHECKING:
    from aws_ipfailover.aws.client import Ec2
    from aws_ipfailover.aws.models import RouteTable

log = logging.getLogger(__name__)


class OverlayRoutes:
    """`address` routed to `network_interface_id` in each of `route_table_ids`."""

    local = False

    def __init__(
        self,
        address: Address,
        route_table_ids: Sequence[str],
        network_interface_id: str,
        ec2: Ec2,
        memory: WriteMemory,
        deadline: Deadline,
        progress: Progress,
    ) -> None:
        self._destination = ip_network(address)
        self._route_table_ids = tuple(route_table_ids)
        self._eni = network_interface_id
        self._ec2 = ec2
        self._memory = memory
        self._deadline = deadline
        self._progress = progress

    def take(self) -> None:
        """Write every table at once; all are tried, whatever becomes of one.

        Raises:
            DeniedError, NodeError, UnknownError, Error: names every table that failed, with AWS's error code.
        """
        tasks = {table: Task(lambda table=table: self._write(table)) for table in self._route_table_ids}  # type: ignore[misc]
        failures: Dict[str, Error] = {}
        for table, task in tasks.items():
            try:
                task.result(self._deadline, self._progress)
            except Error as error:
                failures[table] = error
        if failures:
            raise _summary(failures)
        self._memory.remember(self._eni)
        log.info("%s is routed to %s in %s", self._destination, self._eni, ", ".join(self._route_table_ids))

    def release(self) -> None:
        """Nothing: without the address this node does not answer, and the next active node rewrites the routes."""

    def look(self) -> Look:
        """Where the routes point, as far as EC2's reads can be believed.

        HERE: every table has an active route to this ENI. ELSEWHERE: two reads in a row say that one does not.

        Raises:
            UnknownError: not asked, or the only contradiction can be an old read.
        """
        found = confirmed(self._contradictions, self._memory, self._eni, self._deadline)
        return Look(Where.ELSEWHERE, "; ".join(found.values())) if found else HERE

    def _write(self, table: str) -> None:
        ec2, eni = self._ec2, self._eni
        try:
            ec2.replace_route(table, self._destination, eni)
        except NoRouteError:
            log.info("%s has no route for %s: creating it", table, self._destination)
            try:
                ec2.create_route(table, self._destination, eni)
            except RouteExistsError:  # somebody made it meanwhile
                ec2.replace_route(table, self._destination, eni)
            except DeniedError as error:
                raise DeniedError(f"{error}; create the route once: {self._create_command(table)}") from None

    def _create_command(self, table: str) -> str:
        option = "--destination-cidr-block" if self._destination.version == 4 else "--destination-ipv6-cidr-block"
        return (
            f"aws ec2 create-route --region {self._ec2.region} --route-table-id {table}"
            f" {option} {self._destination} --network-interface-id {self._eni}"
        )

    def _contradictions(self) -> Contradictions:
        try:
            return self._compare(self._ec2.route_tables(self._route_table_ids))
        except NoTableError as error:  # a table that does not exist has no route to this node
            return {"missing": str(error)}

    def _compare(self, tables: Sequence[RouteTable]) -> Contradictions:
        eni, found = self._eni, {}
        for table in tables:
            routes = [route for route in table.routes if route.destination == self._destination]
            if not routes:
                found[table.route_table_id] = f"{table.route_table_id} has no route for {self._destination}"
            for route in routes:
                if route.network_interface_id != eni:
                    target = route.network_interface_id or "another target"
                    found[table.route_table_id] = (
                        f"{table.route_table_id} routes {self._destination} to {target} instead of {eni}"
                    )
                elif not route.active:
                    found[table.route_table_id] = (
                        f"{table.route_table_id} has a blackhole route for {self._destination}"
                    )
        return found


def _summary(failures: Dict[str, Error]) -> Error:
    """One error for all tables that failed, tables with the same failure together."""
    tables: Dict[str, List[str]] = {}
    for table, error in failures.items():
        # A command to run names its table; all others are the same for every table.
        tables.setdefault(str(error), []).append(table)
    text = "; ".join(f"{', '.join(ids)}: {error}" for error, ids in tables.items())
    for kind in (DeniedError, NodeError):
        if any(isinstance(error, kind) for error in failures.values()):
            return kind(text)
    if all(isinstance(error, UnknownError) for error in failures.values()):
        return UnknownError(text)
    return Error(text)
