"""What there is in a lab and how it is, at one moment. Values only; the supervisor makes them, everybody reads them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Dict, Iterable, Mapping, Optional, Tuple

from vpc_lab.errors import LabError
from vpc_lab.faults import InForce


@dataclass(frozen=True)
class InstanceStatus:
    """An instance. `state` is what EC2 says; `pid` that of its process 1 as the supervisor sees it, None without power.

    `role`: `node`, `consumer` or `outside`. `instance_id` is None outside the VPC, where EC2 does not know it.
    `environment`: of everything that runs in it.
    """

    name: str
    role: str
    instance_id: Optional[str]
    state: str
    address: str
    pid: Optional[int]
    frozen: bool
    environment: Mapping[str, str]

    @property
    def powered(self) -> bool:
        """Whether it has power."""
        return self.pid is not None

    @property
    def awake(self) -> bool:
        """Whether it has power and is not frozen."""
        return self.powered and not self.frozen


@dataclass(frozen=True)
class ServiceStatus:
    """What moves, and who has it.

    In the modes `eni` and `private-ip`, the address that moves; in `overlay-ip` the Elastic IP that the agent
    associates, if the lab has one, else nothing: no `addresses` then. `network_interface_id`, `mac` and `attachment`
    (what EC2 calls its state) are an ENI's; empty, or None, without one, as `allocation_id` is. `elastic_ips` leads
    from private to public addresses.
    """

    addresses: Tuple[str, ...] = ()
    holder: Optional[str] = None
    elastic_ips: Mapping[str, str] = field(default_factory=dict)
    network_interface_id: str = ""
    mac: str = ""
    attachment: Optional[str] = None
    allocation_id: str = ""


@dataclass(frozen=True)
class Status:
    """A lab.

    `route_tables`: the subnets' in the plan's order, then the extra ones; `every_route_table`: also the main one and
    those that were made since. `network_interfaces`: primary ENIs by the instance's name. `routes`: by address, where
    each of `route_tables` leads it: an instance's name, another target's id, None for no route. `routes_under_way`: who
    does not follow the newest route to which destination yet. `cuts`: from which of `places` to which nothing passes;
    `zones` are those of them that are availability zones.
    `errors`: what went wrong in the lab itself. `secondary_addresses`: which instance has each private address that is
    not the primary one of its ENI.
    """

    name: str
    region: str
    mode: str
    layout: str
    instances: Tuple[InstanceStatus, ...]
    route_tables: Tuple[str, ...]
    every_route_table: Tuple[str, ...]
    network_interfaces: Mapping[str, str]
    overlay: str
    overlay_ipv6: str
    routes: Mapping[str, Mapping[str, Optional[str]]]
    route_lag: float
    routes_under_way: Tuple[Tuple[str, str], ...]
    service: ServiceStatus
    cuts: Tuple[Tuple[str, str], ...]
    places: Tuple[str, ...]
    zones: Tuple[str, ...]
    faults: Tuple[InForce, ...]
    errors: Tuple[str, ...]
    secondary_addresses: Mapping[str, str] = field(default_factory=dict)

    def instance(self, name: str) -> InstanceStatus:
        """The instance of that name; LabError if there is none."""
        found = next((one for one in self.instances if one.name == name), None)
        if found is None:
            known = ", ".join(one.name for one in self.instances)
            raise LabError(f"there is no instance '{name}' in lab '{self.name}'; there are {known}")
        return found

    def torn(self, addresses: Iterable[str]) -> bool:
        """Whether route tables lead to different instances, or one nowhere, for one of these addresses."""
        return any(len(set(self.routes.get(address, {}).values())) > 1 for address in addresses)

    def to_json(self) -> Dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "faults": [one.to_json() for one in self.faults]}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Status:
        """The inverse of `to_json`."""
        given = dict(raw)
        service = dict(given["service"])
        service["addresses"] = tuple(service["addresses"])
        given["service"] = ServiceStatus(**service)
        given["instances"] = tuple(InstanceStatus(**one) for one in given["instances"])
        given["faults"] = tuple(InForce.from_json(one) for one in given["faults"])
        for name in ("route_tables", "every_route_table", "places", "zones", "errors"):
            given[name] = tuple(given[name])
        for name in ("routes_under_way", "cuts"):
            given[name] = tuple((one, other) for one, other in given[name])
        return cls(**given)
