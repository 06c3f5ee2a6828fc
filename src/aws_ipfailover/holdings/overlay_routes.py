"""The overlay addresses' routes: each destination, in every route table, to this node's ENI.

While an ENI's source/destination check is on, EC2 drops packets for addresses that are not the ENI's own. So this
holding also switches the check off. Facts: Amazon VPC User Guide, "Route table concepts", "Route priority"; Amazon EC2
API Reference, ReplaceRoute, ModifyNetworkInterfaceAttribute.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

from aws_ipfailover.address import Cidr
from aws_ipfailover.changes import changes
from aws_ipfailover.consistency import Contradictions, WriteMemory, confirmed
from aws_ipfailover.deadline import Deadline, Progress, Task
from aws_ipfailover.errors import (
    DeniedError,
    Error,
    NodeError,
    NoRouteError,
    RouteExistsError,
    UnknownError,
    is_refusal,
)
from aws_ipfailover.failover import HERE, Look, Repair, Where
from aws_ipfailover.holdings.chosen_tables import ChosenTables, Found
from aws_ipfailover.holdings.destinations import Destinations
from aws_ipfailover.holdings.route_writes import DESTINATION, TABLE, RouteId, RouteWrites, named, sentences, summary
from aws_ipfailover.steps import Need, Step, of_call

if TYPE_CHECKING:
    from aws_ipfailover.aws.client import Ec2
    from aws_ipfailover.aws.models import Route, RouteTable, RouteTables

log = logging.getLogger(__name__)

# The part of the time that is left for which a start whose routes are written still waits for the answer about the
# source/destination check, and one that has written the tables with an id for the lookup of the others.
_PATIENCE = 1 / 3
# Seconds that a start waits for that lookup where it knows the tables that led to the address before: they are written
# then.
_LOOKUP_PATIENCE = 3.0
# The key of a contradiction that is about the ENI instead of a route table.
_CHECK = "source/destination check"

CHECK_UNTOLD = "DescribeNetworkInterfaces: the answer does not tell the source/destination check"
"""Why it is not known whether the check is on. EC2 always tells it; a stand-in for EC2 may not."""


class OverlayRoutes:
    """`destinations` routed to `network_interface_id` in each of `tables`.

    `ec2` may read and change the ENI, `tables_ec2` the tables, which can be another account's.
    """

    local = False

    def __init__(
        self,
        destinations: Destinations,
        tables: ChosenTables,
        network_interface_id: str,
        ec2: Ec2,
        tables_ec2: Ec2,
        memory: WriteMemory,
        deadline: Deadline,
        progress: Progress,
    ) -> None:
        self._destinations = destinations
        self._tables = tables
        self._eni = network_interface_id
        self._ec2 = ec2
        self._tables_ec2 = tables_ec2
        self._memory = memory
        self._deadline = deadline
        self._progress = progress
        self._check_is_on = False
        self._check_is_written = False
        # Of the last read: what to write for each contradiction, tables that do not exist, the others, the routes that
        # decide about the addresses, the names in routing_table that no table has, why the check is not known, and why
        # the tables are not.
        self._wrong: Dict[str, List[RouteId]] = {}
        self._missing: Tuple[str, ...] = ()
        self._looked_at: Tuple[str, ...] = ()
        self._used: Set[RouteId] = set()
        self._unmatched: Tuple[str, ...] = ()
        self._check_untold: Optional[Error] = None
        self._tables_untold: Optional[Error] = None
        self._drift: Contradictions = {}

    def take(self) -> None:
        """Write all tables in parallel, and switch the ENI's source/destination check off if it is on.

        Succeeds if at least one route was written: a service for some consumers is better than none.

        Raises:
            NodeError: no table exists, or the check is on and cannot be switched off.
            DeniedError, UnknownError, Error: no route was written; names the tables, with AWS's error code.
        """
        check = Task(self._switch_check_off)
        looking = Task(self._tables.look_up) if self._tables.need_lookup else None
        writes = RouteWrites(self._write)
        writes.add(self._routes_of(self._tables.ids))
        if looking is not None:
            writes.add(self._routes_of(self._looked_up(looking)))
        failures = writes.failures(self._deadline, self._progress)
        written = [route for route in writes.routes if route not in failures]
        if not written:
            raise summary(failures, self._size)
        refused = [route for route, error in failures.items() if is_refusal(error)]
        self._memory.remember(self._eni, _keys(written), refused=_keys(refused))
        self._await_check(check)
        if self._check_is_written:
            self._memory.remember_also(self._eni, [_CHECK])
        for text in sentences(failures, self._size):
            log.error("%s", text)
        leading = list(dict.fromkeys(table for table, _ in written))
        self._tables.remember(leading)
        log.info("%s routed to %s in %s", self._destinations, self._eni, ", ".join(leading))

    def release(self) -> None:
        """Nothing: without the address this node does not answer, and the next active node rewrites the routes."""

    def look(self) -> Look:
        """Where the routes point, as far as EC2's reads can be believed.

        HERE: every table has an active route to this ENI, whose source/destination check is off. ELSEWHERE: two reads
        in a row say that one does not, or that the check is on.

        Raises:
            UnknownError: EC2 did not answer, or the only contradiction can be a stale read.
            NodeError: no table has a tag of `routing_table`, or a route for `auto`; all others are in order.
        """
        self._check_untold = None
        self._drift = confirmed(self._contradictions, self._memory, self._eni, self._deadline)
        self._memory.accept(self._eni, but=self._drift)
        if self._drift:
            # A start writes the routes to the destinations alone: narrower ones would be here after it as before.
            refused = frozenset(self._memory.refused(self._eni))
            narrower = {key for key, routes in self._wrong.items() if all(not self._is_written(one) for one in routes)}
            curable = any(thing not in refused and thing not in narrower for thing in self._drift)
            return Look(Where.ELSEWHERE, "; ".join(self._drift.values()), restart_helps=curable)
        if self._unmatched:
            raise self._tables.none_found(self._unmatched)
        self._tables.remember(self._looked_at)
        return HERE

    def plan(self) -> List[Step]:
        """What `take` would do; raises as it does where no table is known.

        Reads that `take` does without may fail: then a step is one that is needed as far as is known.
        """
        check = Task(self._plan_check)
        tables = list(self._tables.ids)
        if self._tables.need_lookup:
            tables += self._looked_up(Task(self._tables.look_up))
        steps: List[Step] = []
        try:
            described = self._tables_ec2.route_tables(tables)
        except Error as error:
            for route in self._routes_of(tables):
                steps.append(
                    self._plan_replacement(route, None, note=f"where there is none, CreateRoute follows ({error})")
                )
        else:
            by_id = {table.route_table_id: self._destinations.routes_in(table) for table in described.found}
            for table, cidr in self._routes_of(tables):
                steps += self._plan_route((table, cidr), by_id.get(table))
        return [*check.result(self._deadline, self._progress), *steps]

    def _plan_check(self) -> List[Step]:
        write, text = self._ec2.planned(self._without_check), f"source/destination check of {self._eni} off"
        try:
            on = self._ec2.network_interface(self._eni).source_dest_check
        except Error as error:
            return [of_call(write, text, None, "off", made=None, note=str(error))]
        if on is None:
            return [of_call(write, text, None, "off", made=None, note=CHECK_UNTOLD)]
        return [of_call(write, text, "on" if on else "off", "off", made=on)]

    def _plan_route(self, route: RouteId, routes: Optional[Mapping[Cidr, Route]]) -> List[Step]:
        """The calls that `_write` would make for a route, in a table with these routes; `None`: there is no table."""
        if routes is None:
            return [self._plan_replacement(route, "", note=_gone(route[0]))._replace(need=Need.REFUSED)]
        found = routes.get(route[1])
        if found is None:
            tried = self._plan_replacement(route, "", note="the table has no such route: CreateRoute follows")
            return [tried._replace(need=Need.REFUSED), self._plan_creation(route)]
        step = self._plan_replacement(route, found.network_interface_id)
        if found.network_interface_id == self._eni and found.state != "active":
            return [step._replace(need=Need.NEEDED, note=f"the route is in state {found.state}")]
        if not found.static:
            return [step._replace(note="the route is a propagated one: where EC2 has no other, CreateRoute follows")]
        return [step]

    def _plan_replacement(self, route: RouteId, before: Optional[str], note: str = "") -> Step:
        table, cidr = route
        write = self._tables_ec2.planned(lambda ec2: ec2.replace_route(table, cidr, self._eni))
        return of_call(write, f"route {cidr} in {table} to {self._eni}", before, self._eni, note=note)

    def _plan_creation(self, route: RouteId) -> Step:
        table, cidr = route
        write = self._tables_ec2.planned(lambda ec2: ec2.create_route(table, cidr, self._eni))
        return of_call(write, f"route {cidr} made in {table}, to {self._eni}", "", self._eni)

    def _looked_up(self, looking: Task[Found]) -> Sequence[str]:
        """The ids that a lookup finds; if it fails, those of the tables that led to the address before.

        Raises:
            Error: it failed, and there are neither such tables nor others by id.
        """
        remembered = [one for one in self._tables.remembered() if one not in self._tables.ids]
        enough, patience = bool(remembered or self._tables.ids), self._deadline
        if enough:
            patience = patience.within(_LOOKUP_PATIENCE if remembered else patience.remaining() * _PATIENCE)
        try:
            found = looking.result(patience, "DescribeRouteTables")
        except Error as error:
            if not enough:
                raise
            failure = error
        else:
            return self._named_ids(found)
        instead = f"the tables that led here before: {', '.join(remembered)}" if remembered else "only the ones by id"
        log.error("the route tables cannot be looked up, writing %s (%s)", instead, failure)
        return remembered

    def _named_ids(self, found: Found) -> Sequence[str]:
        """The ids of what a lookup found, without those that are named by id anyway.

        Raises:
            NodeError: it found nothing, and no table is named by id.
        """
        if found.unmatched and not found.tables and not self._tables.ids:
            raise self._tables.none_found(found.unmatched)
        if found.unmatched:
            log.error("%s", self._tables.none_found(found.unmatched))
        return [one for one in found.ids if one not in self._tables.ids]

    def _routes_of(self, tables: Iterable[str]) -> List[RouteId]:
        return [(table, cidr) for cidr in self._destinations.cidrs for table in tables]

    def _is_written(self, route: RouteId) -> bool:
        """Whether a start writes it."""
        return route[1] in self._destinations.cidrs

    @property
    def _size(self) -> int:
        return len(self._destinations.cidrs)

    def _await_check(self, check: Task[None]) -> None:
        """Wait until the source/destination check is off, at most `_PATIENCE` unless it is known to be on.

        Raises:
            NodeError: it is on and cannot be switched off.
        """
        seconds = self._deadline.remaining() * _PATIENCE
        if not check.ends(self._deadline.within(seconds)) and not self._check_is_on:
            self._warn_of_check(f"DescribeNetworkInterfaces: no usable answer in {seconds:.0f} s")
            return
        try:
            check.result(self._deadline, "ModifyNetworkInterfaceAttribute")
        except UnknownError as error:
            if self._check_is_on:
                raise NodeError(check_is_on(self._ec2.region, self._eni, str(error))) from None
            self._warn_of_check(error)

    def repair(self) -> Repair:
        """Write the routes that the last `look` found wrong, and switch the check off if that was on.

        Raises:
            Error: the check is on and cannot be switched off, so that nothing leads here.
        """
        check = Task(self._write_check_off) if _CHECK in self._drift else None
        writes = RouteWrites(self._write)
        writes.add(route for key in self._drift for route in self._wrong.get(key, ()))
        failures = writes.failures(self._deadline, self._progress)
        if check is not None:
            check.result(self._deadline, self._progress)
        mended = [route for route in writes.routes if route not in failures]
        if mended or check is not None:
            self._memory.remember_also(self._eni, (*_keys(mended), *([_CHECK] if check is not None else ())))
        # Without a try: two reads agree that they do not exist.
        gone = [table for table in self._missing if table in self._drift]
        failed = [*sentences(failures, self._size), *map(_gone, gone)]
        if self._unmatched:
            failed.append(str(self._tables.none_found(self._unmatched)))
        for text in failed:
            log.error("%s", text)
        if self._check_untold is not None:
            failed.append(f"it is not known whether the source/destination check is off ({self._check_untold})")
        if self._tables_untold is not None:
            failed.append(f"where the routes lead is not known ({self._tables_untold})")
        switched = [f"source/destination check of {self._eni} switched off"] if check is not None else []
        where = ", ".join(named(mended, self._size))
        routed = [f"{self._destinations} routed to {self._eni} again in {where}"] if mended else []
        return Repair("; ".join([*switched, *routed]), "; ".join(failed), leads_here=self._leads_here(failures, gone))

    def _leads_here(self, failures: Mapping[RouteId, Error], gone: Sequence[str]) -> Optional[bool]:
        """Whether any route leads here; `None` where that is not known: EC2 can have done what it did not confirm."""
        if not self._looked_at and not self._missing:
            return None
        if len(gone) < len(self._missing) or any(route not in failures for route in self._used):
            return True
        return None if any(isinstance(error, UnknownError) for error in failures.values()) else False

    def _write(self, route: RouteId) -> None:
        (table, cidr), ec2, eni = route, self._tables_ec2, self._eni
        try:
            ec2.replace_route(table, cidr, eni)
        except NoRouteError:
            log.info("%s has no route for %s: creating it", table, cidr)
            try:
                ec2.create_route(table, cidr, eni)
            except RouteExistsError:  # somebody made it meanwhile
                ec2.replace_route(table, cidr, eni)
            except DeniedError as error:
                command = self._create_command(cidr.version)
                raise DeniedError(f"no route there yet, create it once: {command} ({error})") from None

    def _create_command(self, version: int) -> str:
        option = "--destination-cidr-block" if version == 4 else "--destination-ipv6-cidr-block"
        return (
            f"aws ec2 create-route --region {self._tables_ec2.region} --route-table-id {TABLE}"
            f" {option} {DESTINATION} --network-interface-id {self._eni}"
        )

    def _switch_check_off(self) -> None:
        """Switch the ENI's source/destination check off if it is on.

        Raises:
            NodeError: it cannot be switched off; names the command for it.  UnknownError: its state cannot be read.
        """
        try:
            on = self._ec2.network_interface(self._eni).source_dest_check
        except Error as error:
            raise UnknownError(str(error)) from None
        if on is None:
            raise UnknownError(CHECK_UNTOLD)
        if not on:
            return
        self._check_is_on = True
        self._write_check_off()

    def _without_check(self, ec2: Ec2) -> None:
        ec2.switch_off_source_dest_check(self._eni)

    def _write_check_off(self) -> None:
        """Switch the ENI's source/destination check off, without reading it first.

        Raises:
            NodeError: it cannot be switched off; names the command for it.
        """
        try:
            self._without_check(self._ec2)
        except Error as error:
            raise NodeError(check_is_on(self._ec2.region, self._eni, str(error))) from None
        self._check_is_written = True
        log.warning("the source/destination check of %s was on, switched off", self._eni)

    def _contradictions(self) -> Contradictions:
        """What is wrong, by one read of the tables and a parallel read of the ENI."""
        check, reading = Task(self._check_contradiction), Task(self._tables.described)
        self._tables_untold = None
        # A check that is on is drift of everything: time is left to mend it also where the tables are never told.
        early = self._deadline.within(self._deadline.remaining() / 4)
        try:
            if not reading.ends(early) and self._is_on(check, early):
                raise UnknownError("DescribeRouteTables: no answer yet")
            tables, self._unmatched = reading.result(self._deadline, self._progress)
        except Error as error:
            if not self._is_on(check, self._deadline):
                raise
            self._missing = self._looked_at = self._unmatched = ()
            self._wrong, self._used, self._tables_untold = {}, set(), error
            return {_CHECK: check_is_on(self._ec2.region, self._eni)}
        found = self._compare(tables)
        # What is wrong with the routes is wrong whatever the check is: time is left to mend it.
        patience = self._deadline.within(self._deadline.remaining() / 4) if found else self._deadline
        try:
            text = check.result(patience, self._progress)
        except Error as error:
            if not found:
                raise
            self._check_untold = error
            return found
        if not text:
            self._check_untold = None  # whatever the read before this one did not tell
        return {_CHECK: text, **found} if text else found

    def _is_on(self, check: Task[Optional[str]], deadline: Deadline) -> bool:
        """Whether the check is known to be on before the deadline."""
        try:
            return bool(check.result(deadline, self._progress))
        except Error:
            return False

    def _check_contradiction(self) -> Optional[str]:
        try:
            on = self._ec2.network_interface(self._eni).source_dest_check
        except DeniedError as error:
            self._warn_of_check(error)
            return None
        if on is None:
            self._warn_of_check(CHECK_UNTOLD)
        return check_is_on(self._ec2.region, self._eni) if on else None

    def _warn_of_check(self, why: object) -> None:
        log.warning("cannot find out whether the source/destination check of %s is off: %s", self._eni, why)

    def _compare(self, tables: RouteTables) -> Contradictions:
        self._missing = tables.missing
        self._looked_at = tuple(table.route_table_id for table in tables.found)
        self._wrong = {}
        self._used = {(table.route_table_id, to) for table in tables.found for to in self._destinations.used_in(table)}
        found = {table: _gone(table) for table in tables.missing}
        for table in tables.found:
            for cidr, text in self._wrong_with(table).items():
                key = f"{table.route_table_id} {cidr}"
                self._wrong[key] = [(table.route_table_id, cidr)]
                found[key] = f"{table.route_table_id} {text}"
        return found

    def _wrong_with(self, table: RouteTable) -> Dict[Cidr, str]:
        """What is wrong with a table's routes, by the destination of the route to write."""
        routes = self._destinations.routes_in(table)
        wrong = {cidr: self._wrong_route(cidr, routes.get(cidr)) for cidr in self._destinations.cidrs}
        # Of a narrower route, which may be somebody else's, only the address is taken: by a host route.
        for host, route in self._destinations.narrower_routes_in(table).items():
            wrong[host] = self._wrong_route(route.destination, route)
        return {cidr: text for cidr, text in wrong.items() if text}

    def _wrong_route(self, destination: Cidr, route: Optional[Route]) -> str:
        if route is None:
            return f"has no route for {destination}"
        if route.network_interface_id != self._eni:
            target = route.network_interface_id or "another target"
            changes.came_from(route.network_interface_id)
            return f"routes {destination} to {target} instead of {self._eni}"
        return "" if route.state == "active" else f"has a {route.state} route for {destination}"


def _keys(routes: Iterable[RouteId]) -> List[str]:
    """The keys of all contradictions that are about these routes."""
    return [key for table, cidr in routes for key in (table, f"{table} {cidr}")]


def check_is_on(region: str, network_interface_id: str, refusal: str = "") -> str:
    """A sentence for an ENI whose source/destination check is on, with the command that switches it off."""
    return (
        f"source/destination check of {network_interface_id} is on, so EC2 drops all packets: switch it off: aws ec2"
        f" modify-network-interface-attribute --region {region} --network-interface-id {network_interface_id}"
        " --no-source-dest-check" + (f" ({refusal})" if refusal else "")
    )


def _gone(table: str) -> str:
    return f"{table} does not exist: remove it from routing_table (DescribeRouteTables: InvalidRouteTableID.NotFound)"
