"""What a holder may choose about a lab: how it behaves, and which preset of a topology it has."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from ipaddress import ip_address
from typing import Any, Dict, Optional, Tuple

from vpc_lab.errors import LabError
from vpc_lab.topology import Layout, Mode, Topology, empty_account, from_plain, node_names, to_plain, topology_for

# Of a system as `Settings.agents` has it: where fence agents are, among all else of the system, so that one of the
# machine's can have another in its place; and a node's system bus, with which resources of class systemd can run.
FENCE_AGENTS = "/usr/sbin"
SYSTEM_BUS = "/usr/lib/ocf/resource.d/.lab/system_bus"


@dataclass(frozen=True)
class Settings:
    """What a holder may choose about a lab, and a preset of its topology."""

    # Corosync's token timeout, milliseconds: how long a silent node is waited for.
    token_ms: int = 1000
    fencing: bool = True
    boot_cluster: bool = True
    # Of the cluster: two or three.
    nodes: int = 2
    # Route tables that no subnet uses: a real VPC has many, and the agent moves the address in all it is told of.
    extra_route_tables: int = 0
    # The account that owns the route tables, where the VPC is one that another account shares.
    shared_vpc_owner: Optional[str] = None
    # What the lab is laid out for, and where a moving ENI lives.
    mode: Mode = "overlay-ip"
    layout: Layout = "service-subnet"
    # Seconds that EC2 takes to attach and detach an ENI, also by force; that the NIC is later than EC2 says; that IMDS
    # knows of it later.
    attach_seconds: float = 0.0
    detach_seconds: float = 0.0
    forced_detach_seconds: float = 0.0
    nic_seconds: float = 0.0
    imds_lag_seconds: float = 0.0
    # StopInstances, also with Force, first lets the system shut down: everything runs on for `shutdown_seconds`, as
    # while other units stop, then Pacemaker and corosync are stopped. After the limit the power goes anyhow.
    graceful_stop: bool = False
    shutdown_seconds: float = 0.0
    shutdown_limit_seconds: float = 300.0
    # From StartInstances, as when fencing reboots a node, to the beginning of its boot; `lab power-on` does not wait.
    boot_seconds: float = 0.0
    # Until a written route is effective, at most: each source of traffic in each table draws its own delay.
    route_lag_seconds: float = 0.0
    # From the appearance of a NIC, as eth1, to its renaming, as udev does: half as long to half as long again.
    rename_seconds: float = 0.0
    # Instances of one subnet know each other by MAC, and a moved address is sent to its old ENI until it is announced.
    stale_neighbours: bool = False
    # Until packets find a private address that moved, and how much later IMDS lists it.
    remap_seconds: float = 0.0
    imds_address_lag_seconds: float = 0.0
    # After a detachment by force no NIC appears at that device index until the instance has been stopped.
    dead_indexes: bool = False
    # overlay-ip: an internet gateway with a consumer behind it, and an Elastic IP to be associated with the nodes.
    internet: bool = False
    # Of everything that is drawn.
    seed: int = 0
    # Further overlay addresses that on-premises has routes for.
    overlays: Tuple[str, ...] = ()
    # A directory of further agents and fencing plugins for the nodes, laid out as a system; and another name,
    # PROVIDER:NAME, under which the agent is installed as well.
    agents: Optional[str] = None
    alias: Optional[str] = None
    # The nodes run the agent that this machine has in /usr, as a package put it there; else that of the lab's own
    # interpreter.
    installed: bool = False
    # The nodes' ids in corosync, in the order of the nodes; 1, 2, ... where there are none.
    node_ids: Tuple[int, ...] = ()
    # A further name of each instance's primary NIC, such as `ens5` on Nitro; it is eth0 as well.
    nic: str = ""
    # An account without a VPC instead of all that; the cluster is whoever's who makes one.
    empty: bool = False
    # A topology made by hand, which takes the place of the preset and of all that chooses one; `mode` says what it is
    # for.
    described: Optional[Topology] = None

    @property
    def boots_cluster(self) -> bool:
        """Whether the lab comes up with a cluster."""
        return self.boot_cluster and not self.empty

    def topology(self) -> Topology:
        """`described`, or else the preset for these settings. LabError for one that cannot be."""
        if self.described is not None:
            return self.described
        if self.empty:
            return empty_account()
        try:
            more_overlays = tuple(map(ip_address, self.overlays))
        except ValueError as error:
            raise LabError(f"an overlay address is an IPv4 or IPv6 address: {error}") from error
        return topology_for(
            self.mode,
            self.layout,
            nodes=node_names(self.nodes),
            internet=self.internet,
            extra_route_tables=self.extra_route_tables,
            shared_vpc_owner=self.shared_vpc_owner,
            more_overlays=more_overlays,
        )

    def chosen(self) -> Dict[str, Any]:
        """Those that are not as by default, by their names."""
        found = {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) != one.default}
        return {**found, "described": "a topology of its own"} if "described" in found else found

    def to_json(self) -> str:
        """For the launcher's command line."""
        described = None if self.described is None else to_plain(self.described)
        return json.dumps({**asdict(replace(self, described=None)), "described": described})

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """The inverse of `to_json`."""
        values = json.loads(text)
        overlays, described = tuple(values.pop("overlays")), values.pop("described")
        node_ids = tuple(values.pop("node_ids"))
        return cls(
            **values,
            overlays=overlays,
            node_ids=node_ids,
            described=None if described is None else from_plain(described),
        )
