"""The AWS account of a lab, as the supervisor uses it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Dict, List

from .network import Attachment, Instance, InstanceState, Interface, Network, Route, RouteTable, Subnet
from .plan import Plan
from .rundir import RunDir


class Cloud:
    def __init__(
        self, plan: Plan, on_network: Callable[[Network], None], on_power: Callable[[str, InstanceState], None]
    ) -> None:
        self._network = hand_made(plan)
        self._on_network, self._on_power = on_network, on_power

    def network(self) -> Network:
        return self._network

    def serve(self, rundir: RunDir) -> None:
        pass

    def ca_certificate(self) -> str:
        return ""

    def power_off(self, instance_id: str) -> None:
        self._on_power(instance_id, "stopped")

    def power_on(self, instance_id: str) -> None:
        self._on_power(instance_id, "running")

    def mode(self) -> Any:
        return None

    def fail(self, **mode: Any) -> Any:
        return None

    def calls(self, since: float) -> List[Dict[str, Any]]:
        return []


def hand_made(plan: Plan) -> Network:
    from ipaddress import ip_network

    tables = tuple(
        RouteTable(
            f"rtb-{s.name}",
            (
                Route(plan.cidr, "local", "active"),
                Route(plan.ipv6_cidr, "local", "active"),
                Route(plan.on_premises.cidr, "tgw-1", "active"),
                Route(plan.on_premises.ipv6_cidr, "tgw-1", "active"),
                Route(ip_network(plan.overlay), "eni-node1", "active"),
                Route(ip_network(plan.overlay_ipv6), "eni-node1", "active"),
            ),
        )
        for s in plan.subnets
    )
    subnets = tuple(
        Subnet(f"subnet-{s.name}", s.availability_zone, (s.cidr, s.ipv6_cidr), f"rtb-{s.name}") for s in plan.subnets
    )
    enis = tuple(
        Interface(
            f"eni-{i.name}",
            f"02:00:00:00:00:{i.host:02x}",
            f"subnet-{i.subnet}",
            (plan.address(i), plan.ipv6_address(i)),
            i.role != "node",
            Attachment(f"i-{i.name}", 0, "attached"),
        )
        for i in plan.instances
    )
    instances = tuple(Instance(f"i-{i.name}", i.name, "running") for i in plan.instances)
    return Network((plan.cidr, plan.ipv6_cidr), subnets, tables, enis, instances)
