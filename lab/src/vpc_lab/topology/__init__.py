"""What a lab consists of: the account, the VPC, who lives where. Values only; every other module reads them here.

`topology_for` has the presets. A topology can as well be made by hand, for the names, ids and addresses of somebody's
own cluster: the lab's EC2 then has exactly these.
"""

from __future__ import annotations

from vpc_lab.topology.checks import is_host_name
from vpc_lab.topology.plain import from_plain, to_plain
from vpc_lab.topology.presets import (
    LAYOUTS,
    MODES,
    NODE_COUNTS,
    SERVICE_HOSTS,
    SERVICE_IPV6_HOSTS,
    Layout,
    Mode,
    empty_account,
    node_names,
    topology_for,
)
from vpc_lab.topology.specs import (
    INTERNET,
    METADATA_ADDRESS,
    ON_PREMISES,
    PUBLIC,
    WORKSTATION,
    Consumer,
    InstanceSpec,
    InterfaceSpec,
    Launched,
    Node,
    Outside,
    Role,
    SubnetSpec,
    Topology,
)

__all__ = [
    "INTERNET",
    "LAYOUTS",
    "METADATA_ADDRESS",
    "MODES",
    "NODE_COUNTS",
    "ON_PREMISES",
    "PUBLIC",
    "SERVICE_HOSTS",
    "SERVICE_IPV6_HOSTS",
    "WORKSTATION",
    "Consumer",
    "InstanceSpec",
    "InterfaceSpec",
    "Launched",
    "Layout",
    "Mode",
    "Node",
    "Outside",
    "Role",
    "SubnetSpec",
    "Topology",
    "empty_account",
    "from_plain",
    "is_host_name",
    "node_names",
    "to_plain",
    "topology_for",
]
