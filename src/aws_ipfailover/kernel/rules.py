"""Routes in the agent's own routing tables, and the rules that lead into these tables."""

from __future__ import annotations

import os
from ipaddress import ip_address
from typing import List, NamedTuple, Optional

from aws_ipfailover.address import Address
from aws_ipfailover.errors import Error
from aws_ipfailover.kernel.command import Ip

# systemd-networkd never removes rules and routes with this protocol as foreign: networkd.conf(5),
# ManageForeignRoutingPolicyRules= and ManageForeignRoutes=, both on by default.
_NOT_FOREIGN = ("protocol", "kernel")


class Rule(NamedTuple):
    """A routing rule that sends packets with the source address `source` to `table`."""

    source: Address
    table: int
    priority: int


class Rules:
    """The routing rules and tables of this network namespace."""

    def __init__(self, ip: Ip) -> None:
        self._ip = ip

    def add_route(self, destination: str, device: str, table: int, *, via: Optional[str], version: int) -> None:
        """Make or replace a route in `table`; `via` is the gateway, `version` 4 or 6."""
        gateway = ["via", via, "onlink"] if via else []
        where = ["dev", device, "table", str(table), *_NOT_FOREIGN]
        self._ip.run(f"-{version}", "route", "replace", destination, *gateway, *where)

    def has_default_route(self, device: str, table: int, version: int) -> bool:
        """Whether `table` has its default route through `device`."""
        try:
            routes = self._ip.json(f"-{version}", "route", "show", "table", str(table), "default")
        except Error as error:
            if "table does not exist" in str(error):
                return False
            raise
        return any(route.get("dev") == device for route in routes)

    def into(self, table: int) -> List[Rule]:
        """The rules into a table, IPv4 and IPv6."""
        found = []
        # A kernel that was started without IPv6 (ipv6.disable=1) refuses even to list its rules.
        for family in ("-4", "-6") if os.path.exists("/proc/net/if_inet6") else ("-4",):
            for rule in self._ip.json(family, "rule", "show"):
                try:
                    if int(rule.get("table", 0)) == table:
                        found.append(Rule(ip_address(rule["src"]), table, int(rule["priority"])))
                except (KeyError, ValueError):
                    continue  # another program's rule: its table has a name, or it has no source
        return found

    def add(self, rule: Rule) -> None:
        """Make a rule."""
        family = f"-{rule.source.version}"
        where = ["table", str(rule.table), "priority", str(rule.priority), *_NOT_FOREIGN]
        self._ip.run(family, "rule", "add", "from", str(rule.source), *where)

    def remove(self, rule: Rule) -> None:
        """Remove a rule."""
        family = f"-{rule.source.version}"
        where = ["table", str(rule.table), "priority", str(rule.priority)]
        self._ip.run(family, "rule", "del", "from", str(rule.source), *where)
