"""The addresses of the cluster's nodes, as corosync's own configuration file lists them. Pure.

Facts: corosync.conf(5), `nodelist`: each `node` has `name`, and `ring0_addr` and others, an IP address or a host name.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Dict, List, Tuple

from aws_ipfailover.address import Address

CONFIGURATION = "/etc/corosync/corosync.conf"

_LINK = re.compile(r"ring\d+_addr")


def node_addresses(text: str) -> Dict[str, Tuple[Address, ...]]:
    """The IP addresses of each node, by its name; host names are left out, and nodes without a name."""
    found: Dict[str, Tuple[Address, ...]] = {}
    sections: List[str] = []
    name = ""
    addresses: List[Address] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.endswith("{"):
            sections.append(stripped[:-1].strip())
            name, addresses = "", []
        elif stripped == "}":
            if sections[-2:] == ["nodelist", "node"] and name:
                found[name] = tuple(addresses)
            del sections[-1:]
        elif sections[-2:] == ["nodelist", "node"] and not stripped.startswith("#"):
            key, _, value = (part.strip() for part in stripped.partition(":"))
            if key == "name":
                name = value
            elif _LINK.fullmatch(key):
                try:
                    addresses.append(ip_address(value))
                except ValueError:
                    continue  # a host name
    return found
