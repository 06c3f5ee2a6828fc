"""When a written route becomes effective: later, and for each source of traffic at a moment of its own.

EC2 answers ReplaceRoute when it has noted the route; the hosts of the instances learn of it at their own pace, and AWS
publishes no figure. Here every (route table, source, destination) draws a delay each time its target changes. A source
is whatever sends into the VPC: an ENI, or a gateway. Pure: the caller brings the time.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Dict, List, Mapping, Optional, Tuple

from vpc_lab.vpc import Cidr, Route, RouteTable

# Due time, and what holds from then on; None for no route.
Change = Tuple[float, Optional[Route]]


class Propagation:
    """What each source's route table is in effect. Times are seconds of any monotonic clock."""

    def __init__(self, lag: float = 0.0, seed: int = 0) -> None:
        """`lag`: the longest delay in seconds; each is drawn uniformly from 0 to that. One `seed`, the same delays."""
        self.lag = lag
        self._seed = seed
        self._draws: Dict[Tuple[str, str, Cidr], int] = {}
        self._written: Dict[str, RouteTable] = {}
        self._effective: Dict[str, Dict[Cidr, Route]] = {}
        self._pending: Dict[Tuple[str, Cidr], List[Change]] = {}

    def write(self, now: float, tables: Mapping[str, RouteTable]) -> None:
        """Every source's table as EC2 has it now. A source that is new starts with all of it."""
        for source in self._effective.keys() - tables.keys():
            del self._effective[source]
            self._pending = {key: changes for key, changes in self._pending.items() if key[0] != source}
        for source, table in tables.items():
            new = _by_destination(table)
            if source in self._effective:
                old = _by_destination(self._written[source])
                for destination in {**old, **new}:
                    if _target(old.get(destination)) != _target(new.get(destination)):
                        due = now + self._delay(table.route_table_id, source, destination)
                        self._change(source, destination, (due, new.get(destination)))
            else:
                self._effective[source] = new
        self._written = dict(tables)
        self.advance(now)

    def advance(self, now: float) -> None:
        """Let everything be effective that is due."""
        for (source, destination), changes in list(self._pending.items()):
            while changes and (changes[0][0] <= now or self.lag <= 0):
                route = changes.pop(0)[1]
                if route is None:
                    self._effective[source].pop(destination, None)
                else:
                    self._effective[source][destination] = route
            if not changes:
                del self._pending[source, destination]

    def effective(self) -> Dict[str, RouteTable]:
        """By source, the routes that its traffic takes."""
        found: Dict[str, RouteTable] = {}
        for source, routes in self._effective.items():
            written = _by_destination(self._written[source])
            # Only targets travel: whether one is a black hole does not depend on who asks.
            found[source] = replace(
                self._written[source],
                routes=tuple(
                    written[destination]
                    if _target(written.get(destination)) == route.target
                    else replace(route, state="active")
                    for destination, route in routes.items()
                ),
            )
        return found

    def under_way(self) -> Tuple[Tuple[str, Cidr], ...]:
        """The sources and destinations whose newest route is not effective yet."""
        return tuple(self._pending)

    def due(self) -> Optional[float]:
        """When the next change becomes effective; None when nothing is under way."""
        return min((changes[0][0] for changes in self._pending.values()), default=None)

    def _delay(self, route_table_id: str, source: str, destination: Cidr) -> float:
        if self.lag <= 0:
            return 0.0
        key = (route_table_id, source, destination)
        number = self._draws[key] = self._draws.get(key, 0) + 1
        return Random(f"{self._seed} {route_table_id} {source} {destination} {number}").uniform(0.0, self.lag)  # noqa: S311 - not a secret

    def _change(self, source: str, destination: Cidr, change: Change) -> None:
        changes = self._pending.setdefault((source, destination), [])
        # A later write never loses against an earlier one that took longer.
        changes[:] = [one for one in changes if one[0] < change[0]]
        changes.append(change)


def _by_destination(table: RouteTable) -> Dict[Cidr, Route]:
    return {route.destination: route for route in table.routes_in_use()}


def _target(route: Optional[Route]) -> Optional[str]:
    return None if route is None else route.target
