"""The configurations of `crm-examples/`: where they are, and how their placeholders are filled in.

A placeholder is `@NAME@`, upper-case letters, digits and underscores: something `sed` replaces as easily as this does.
"""

from __future__ import annotations

import re
import shlex
from importlib import resources
from ipaddress import ip_network
from pathlib import Path
from typing import FrozenSet, List, Mapping, Optional, Sequence, cast

from vpc_lab.topology import Mode, Topology

# The account that owns the route tables where a lab plays a shared VPC, and the role that it lends.
NETWORK_ACCOUNT = "210987654321"
NETWORK_ROLE = "route-tables"
NETWORK_ROLE_ARN = f"arn:aws:iam::{NETWORK_ACCOUNT}:role/{NETWORK_ROLE}"

# What the examples with an application want to know of it. Nothing in a lab looks at it.
APPLICATION: Mapping[str, str] = {
    "SID": "HA1",
    "INSTANCE_NUMBER": "10",
    "QAS_SID": "QAS",
    "QAS_NUMBER": "20",
    "ASCS_NUMBER": "00",
    "ASCS_HOST": "sapha1as",
    "ERS_NUMBER": "10",
    "ERS_HOST": "sapha1er",
    "NFS_SERVER": "fs-0123456789abcdef0.efs.eu-central-1.amazonaws.com",
    "PG_BIN": "/usr/lib/postgresql/15/bin",
    "PG_DATA": "/var/lib/postgresql/15/main",
    "CLIENTS": "10.0.0.0/16",
}

PLACEHOLDER = re.compile(r"(?<!@)@([A-Z][A-Z0-9_]*)@(?!@)")


def directory() -> Optional[Path]:
    """Where the examples lie: in the package when installed from a wheel, else in the checkout; None if nowhere."""
    package = Path(str(resources.files("vpc_lab")))
    places = (package / "crm-examples", package.parents[2] / "crm-examples")
    return next((place for place in places if place.is_dir()), None)


def mode_of(text: str) -> Mode:
    """The mode of the agent that a configuration uses."""
    found = re.search(r"\bmode=(eni|private-ip)\b", _without_comments(text))
    return "overlay-ip" if found is None else cast("Mode", found[1])


def placeholders(text: str) -> FrozenSet[str]:
    """The names of the placeholders in `text`, those in comments left out."""
    return frozenset(PLACEHOLDER.findall(_without_comments(text)))


def render(text: str, values: Mapping[str, str]) -> str:
    """`text` with every placeholder replaced. ValueError names those that `values` lacks.

    A placeholder in a comment that has no value stays as it is. Values are put in as they are, and only once: one that
    looks like a placeholder itself is not replaced again.
    """
    missing = placeholders(text) - values.keys()
    if missing:
        raise ValueError(f"no value for {', '.join(f'@{name}@' for name in sorted(missing))}")
    return PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)


def pcs_commands(text: str) -> List[List[str]]:
    """The commands of a `.pcs` file as argument lists. ValueError for a line that is not a `pcs` command.

    A line that ends in a backslash goes on in the next one, as for a shell.
    """
    whole = _without_comments(text).replace("\\\n", " ")
    commands = [shlex.split(line) for line in whole.splitlines() if line.strip()]
    for command in commands:
        if command[0] != "pcs":
            raise ValueError(f"not a pcs command: {shlex.join(command)}")
    return commands


def values_of(
    topology: Topology, route_table_ids: Sequence[str], *, second_address: str = "192.168.10.11"
) -> Mapping[str, str]:
    """What a lab puts in: its region, its nodes with the ids of their instances (NODE1, INSTANCE1, ...), route tables.

    What the topology does not have, such as a third node or a network interface that moves, has no value.
    """
    values = {
        "REGION": topology.region,
        "ROUTE_TABLES": ",".join(route_table_ids),
        "OVERLAY_IP": str(topology.overlay),
        "OVERLAY_IP2": second_address,
        "OVERLAY_CIDR": str(ip_network(f"{topology.overlay}/24", strict=False)),
        "OVERLAY_IPV6": str(topology.overlay_ipv6),
        "NETWORK_ACCOUNT": NETWORK_ACCOUNT,
        "NETWORK_ROLE": NETWORK_ROLE,
        **APPLICATION,
    }
    for number, node in enumerate(topology.nodes, start=1):
        values.update({f"NODE{number}": node.name, f"INSTANCE{number}": node.instance_id})
    if topology.service_interface is not None:
        values["SERVICE_ENI"] = topology.service_interface.network_interface_id
    if topology.private is not None and topology.private_ipv6 is not None:
        values.update(PRIVATE_IP=str(topology.private), PRIVATE_IPV6=str(topology.private_ipv6))
    return values


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
