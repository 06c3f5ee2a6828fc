"""The overlay address's routes: one destination, in every route table, to this node's ENI."""

from __future__ import annotations

import logging
import random
import time
from ipaddress import ip_network
from typing import TYPE_CHECKING, Callable, Dict, List, Optional, Sequence, Set

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
from aws_ipfailover.failover import Where
from aws_ipfailover.last_write import LastWrite
from aws_ipfailover.parameters import Address

if TYPE_CHECKING:
    from aws_ipfailover.ec2 import Ec2, RouteTable

log = logging.getLogger(__name__)

# How long a read that contradicts this node's own write is taken for an old one.
SETTLE_SECONDS = 60.0
# A single contradicting read is not believed; the second comes about this much later.
_SECOND_READ_AFTER = 1.0


class OverlayRoutes:
    """`address` routed to the ENI that `network_interface_id` names, in each of `route_table_ids`.

    `connect` makes the API client; it and the ENI are asked for once, and only when the cloud is needed.
    """

    local = False

    def __init__(
        self,
        address: Address,
        route_table_ids: Sequence[str],
        network_interface_id: Callable[[], str],
        connect: Callable[[], Ec2],
        last_write: LastWrite,
        deadline: Deadline,
        progress: Progress,
    ) -> None:
        self._destination = ip_network(address)
        self._route_table_ids = tuple(route_table_ids)
        self._network_interface_id = network_interface_id
        self._connect = connect
        self._last_write = last_write
        self._deadline = deadline
        self._progress = progress
        self._ec2: Optional[Ec2] = None
        self._explanation = ""

    def prepare(self) -> None:
        """Find the ENI and connect to EC2."""
        if self._ec2 is None:
            self._network_interface_id()
            self._ec2 = Task(self._connect).result(self._deadline, self._progress)

    def take(self) -> None:
        """Write every table at once; all are tried, whatever becomes of one.

        Raises:
            DeniedError, NodeError, UnknownError, Error: names every table that failed, with AWS's error code.
        """
        self.prepare()
        tasks = {table: Task(lambda table=table: self._write(table)) for table in self._route_table_ids}  # type: ignore[misc]
        failures: Dict[str, Error] = {}
        for table, task in tasks.items():
            try:
                task.result(self._deadline, self._progress)
            except Error as error:
                failures[table] = error
        if failures:
            raise _summary(failures)
        self._last_write.remember(self._network_interface_id())
        log.info(
            "%s is routed to %s in %s",
            self._destination,
            self._network_interface_id(),
            ", ".join(self._route_table_ids),
        )

    def release(self) -> None:
        """Nothing: without the address this node does not answer, and the next active node rewrites the routes."""

    def where(self) -> Where:
        """Where the routes point, as far as EC2's reads can be believed.

        HERE: every table has an active route to this ENI. ELSEWHERE: two reads in a row say that one does not.

        Raises:
            UnknownError: not asked, or the only contradiction can be an old read.
        """
        self.prepare()
        first = self._contradictions()
        if not first:
            return Where.HERE
        age = self._last_write.age(self._network_interface_id())
        if age is not None and age < SETTLE_SECONDS:
            raise UnknownError(
                f"DescribeRouteTables contradicts what this node wrote {age:.0f} s ago, and reads can lag"
                f" {SETTLE_SECONDS:.0f} s: {self._explanation}"
            )
        pause = random.uniform(1.0, 1.5) * _SECOND_READ_AFTER  # noqa: S311  jitter, no secret
        if self._deadline.remaining() <= pause:
            raise UnknownError(f"DescribeRouteTables: no time left to read a second time: {self._explanation}")
        time.sleep(pause)
        second = self._contradictions()
        if second and not first & second:
            raise UnknownError(f"DescribeRouteTables: two reads contradict each other: {self._explanation}")
        return Where.ELSEWHERE if second else Where.HERE

    def explain(self) -> str:
        """Which tables have no active route to this ENI, and what they have instead."""
        return self._explanation

    def _client(self) -> Ec2:
        if self._ec2 is None:
            raise UnknownError("not connected to EC2")
        return self._ec2

    def _write(self, table: str) -> None:
        ec2, eni = self._client(), self._network_interface_id()
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
            f"aws ec2 create-route --region {self._client().region} --route-table-id {table}"
            f" {option} {self._destination} --network-interface-id {self._network_interface_id()}"
        )

    def _contradictions(self) -> Set[str]:
        """The tables that do not lead here, by one read; what they have instead is the explanation."""
        try:
            tables = Task(lambda: self._client().route_tables(self._route_table_ids)).result(
                self._deadline, self._progress
            )
        except NoTableError as error:  # a table that does not exist has no route to this node
            self._explanation = str(error)
            return {"missing"}
        found = self._compare(tables)
        self._explanation = "; ".join(found.values())
        return set(found)

    def _compare(self, tables: Sequence[RouteTable]) -> Dict[str, str]:
        eni, found = self._network_interface_id(), {}
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
