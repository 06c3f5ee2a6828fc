"""The route tables that `routing_table` names: by id, by a tag, or by `auto`, each that has a route for the address.

EC2 is asked for them at each start and at each monitor of the cloud, because a table that is added to the VPC together
with a subnet is otherwise unreachable at the next failover.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Callable, NamedTuple, Sequence, Tuple

from aws_ipfailover.consistency import SECOND_READ_AFTER
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import NodeError, UnknownError
from aws_ipfailover.holdings.destinations import Destinations
from aws_ipfailover.memory import Memory

if TYPE_CHECKING:
    from aws_ipfailover.aws.client import Ec2
    from aws_ipfailover.aws.models import RouteTable, RouteTables
    from aws_ipfailover.parameters import TableNames

log = logging.getLogger(__name__)


class Found(NamedTuple):
    """What a lookup found: the tables, and the names in `routing_table` that no table has."""

    tables: Tuple[RouteTable, ...]
    unmatched: Tuple[str, ...] = ()

    @property
    def ids(self) -> Tuple[str, ...]:
        """The ids of the tables."""
        return tuple(table.route_table_id for table in self.tables)


class ChosenTables:
    """The tables that `names` names, of the VPC with the id that `vpc_id` returns.

    `destinations` decide which tables `auto` is about. `memory` has the last tables that this node saw lead to the
    address.
    """

    def __init__(
        self,
        names: TableNames,
        destinations: Destinations,
        ec2: Ec2,
        vpc_id: Callable[[], str],
        memory: Memory,
        deadline: Deadline,
    ) -> None:
        self.ids = names.ids
        self.need_lookup = names.need_lookup
        self._names = names
        self._destinations = destinations
        self._ec2 = ec2
        self._vpc_id = vpc_id
        self._memory = memory
        self._deadline = deadline
        self._vpc = ""

    def look_up(self) -> Found:
        """The tables with one of the tags, and those that `auto` means; without those that are named by id.

        Raises:
            Error: EC2 did not answer, or denies these credentials the lookup.
        """
        found = self._read()
        if not found.unmatched:
            return found
        # A filtered read can leave out what exists.
        pause = min(SECOND_READ_AFTER, self._deadline.remaining() / 3)
        if not self._deadline.poll(first=pause, longest=pause).wait():
            names = ", ".join(found.unmatched)
            raise UnknownError(
                f"DescribeRouteTables: the answer has no table for {names}, and no time is left for another"
            )
        return self._read()

    def described(self) -> Tuple[RouteTables, Tuple[str, ...]]:
        """Every table as EC2 reads it now, and the names that no table has; by one call per 100 tables.

        Raises:
            Error: as `look_up`.
        """
        found = self.look_up() if self.need_lookup else Found(())
        named = self._ec2.route_tables([one for one in self.ids if one not in found.ids])
        return named._replace(found=(*found.tables, *named.found)), found.unmatched

    def remember(self, route_table_ids: Sequence[str]) -> None:
        """Record that these tables lead to the address."""
        if self.need_lookup and sorted(self.remembered()) != sorted(route_table_ids):
            self._memory.remember({"tables": list(route_table_ids)})

    def remembered(self) -> Tuple[str, ...]:
        """The last tables that this node saw lead to the address; empty if none are recorded."""
        tables = self._memory.read().get("tables")
        return tuple(one for one in tables if isinstance(one, str)) if isinstance(tables, list) else ()

    def none_found(self, unmatched: Sequence[str]) -> NodeError:
        """The error for names that no table has; raises `Error` if the VPC has not been found out."""
        self._vpc = self._vpc or self._vpc_id()
        text = "; ".join(self._sought(name) for name in unmatched)
        return NodeError(f"parameter routing_table: {text} (DescribeRouteTables)")

    def _sought(self, name: str) -> str:
        if name == "auto":
            return f"auto finds no table of {self._vpc} with a route for {self._destinations}: create that route once"
        return f"no table has the tag {name[len('tag:') :]}, tag the tables of {self._vpc} or correct it"

    def _read(self) -> Found:
        self._vpc = self._vpc or self._vpc_id()
        tags = self._names.tags
        only = tags[0] if len(tags) == 1 and not self._names.auto else None
        tables = self._ec2.route_tables_of(self._vpc, only)
        chosen = [table for table in tables if any(tag in table.tags for tag in tags)]
        unmatched = [f"tag:{key}={value}" for key, value in tags if not any((key, value) in one.tags for one in chosen)]
        if self._names.auto:
            to = self._destinations
            leading = [one for one in tables if to.routes_in(one) or to.narrower_routes_in(one)]
            if leading:
                # One that led to the address and has lost its route since is still meant.
                before = self.remembered()
                leading += [one for one in tables if one.route_table_id in before and one not in leading]
            else:
                unmatched.append("auto")
            chosen += [table for table in leading if table not in chosen]
        return Found(tuple(chosen), tuple(unmatched))
