"""The destinations of a service's routes: by default each address, or the CIDRs that hold them."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Dict, Sequence, Set

from aws_ipfailover.address import Address, Cidr, is_inside

if TYPE_CHECKING:
    from aws_ipfailover.aws.models import Route, RouteTable


class Destinations:
    """`cidrs`, each a route of every table, and the `addresses` that they hold."""

    def __init__(self, addresses: Sequence[Address], cidrs: Sequence[Cidr]) -> None:
        self.cidrs = tuple(cidrs)
        self._known = frozenset(cidrs)
        self._addresses = tuple(addresses)
        self._wide = [cidr for cidr in cidrs if cidr.prefixlen < cidr.max_prefixlen]

    def __str__(self) -> str:
        """The CIDRs, separated by commas."""
        return ", ".join(map(str, self.cidrs))

    def routes_in(self, table: RouteTable) -> Dict[Cidr, Route]:
        """The route that EC2 uses for each destination, by destination: a static one before a propagated one.

        Fact: "Route table concepts", route priority.
        """
        found: Dict[Cidr, Route] = {}
        for route in table.routes:
            if route.destination in self._known and _comes_first(route, found.get(route.destination)):
                found[route.destination] = route
        return found

    def narrower_routes_in(self, table: RouteTable) -> Dict[Cidr, Route]:
        """The routes that EC2 prefers to a wide destination's, by the address, as a host route, that they are used for.

        EC2 uses the most specific route for an address.
        """
        found: Dict[Cidr, Route] = {}
        for route in table.routes:
            if not any(is_inside(route.destination, cidr) for cidr in self._wide):
                continue
            for host in (ip_network(address) for address in self._addresses if address in route.destination):
                best = found.get(host)
                narrower = best is None or route.destination.prefixlen > best.destination.prefixlen
                if narrower or (best and route.destination == best.destination and _comes_first(route, best)):
                    found[host] = route
        return {host: route for host, route in found.items() if route.destination not in self._known}

    def used_in(self, table: RouteTable) -> Set[Cidr]:
        """The routes that decide where the addresses' traffic goes, or would if they were written, by destination.

        For each address the most specific one that the table has, and the most specific one that it is to have.
        """
        narrower, there = self.narrower_routes_in(table), self.routes_in(table)
        found: Set[Cidr] = set()
        for address in self._addresses:
            host = ip_network(address)
            holding = sorted((cidr for cidr in self.cidrs if address in cidr), key=lambda cidr: cidr.prefixlen)
            existing = [cidr for cidr in holding if cidr in there]
            found.update([host] if host in narrower else [*existing[-1:], holding[-1]])
        return found


def _comes_first(route: Route, other: Route | None) -> bool:
    return other is None or (route.static and not other.static)
