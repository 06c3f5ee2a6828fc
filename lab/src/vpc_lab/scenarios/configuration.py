"""The cluster configurations that scenarios play with: one address service and its fencing, for crm and for pcs.

They are those of crm-examples/ with intervals and timeouts that fit a test: monitors come often, a failure is forgotten
after `failure_timeout` seconds and not after a quarter of an hour. The same for the peer, `aws-vpc-move-ip`: its
primitive in the same place.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import List, Literal, Mapping, Tuple

from vpc_lab.cluster import FENCE_DEVICE
from vpc_lab.settings import Settings
from vpc_lab.topology import Mode

Tool = Literal["crm", "pcs"]
Agent = Literal["aws-ipfailover", "aws-vpc-move-ip"]
OURS: Agent = "aws-ipfailover"
PEER: Agent = "aws-vpc-move-ip"
AGENTS: Tuple[Agent, ...] = (OURS, PEER)
TOOLS: Tuple[Tool, ...] = ("crm", "pcs")
# The id of the resource that holds the address.
RESOURCE = "ip_service"


@dataclass(frozen=True)
class Configuration:
    """One address service in a cluster of so many nodes. Times are in seconds.

    `addresses`: those of the service, as placeholders or as they are; by default the mode's IPv4 address, and in mode
    `eni` those of the lab's ENI. `parameters`:
    further ones of the agent. `requires`: what Pacemaker wants before it starts the service (Pacemaker's own word).
    """

    agent: Agent = OURS
    tool: Tool = "crm"
    mode: Mode = "overlay-ip"
    nodes: int = 2
    addresses: Tuple[str, ...] = ()
    parameters: Tuple[Tuple[str, str], ...] = ()
    fencing: bool = True
    make_before_break: bool = False
    monitor: int = 5
    deep_monitor: int = 7
    start_timeout: int = 60
    failure_timeout: int = 30
    # Where the peer finds the AWS CLI, on the nodes.
    aws_cli: str = "aws"

    @property
    def agent_parameters(self) -> Mapping[str, str]:
        """The parameters of the resource, in the order in which an administrator writes them."""
        if self.mode == "eni":
            held = {"mode": "eni", "network_interface_id": "@SERVICE_ENI@"}
        elif self.mode == "private-ip":
            held = {"mode": "private-ip", "ip": ",".join(self.addresses or ("@PRIVATE_IP@",))}
        else:
            held = {"ip": ",".join(self.addresses or ("@OVERLAY_IP@",)), "routing_table": "@ROUTE_TABLES@"}
        if self.agent == PEER:
            # `profile`: it has no other way to its region; see `peer`.
            theirs = {"interface": "eth0", "lookup_type": "NetworkInterfaceId", "awscli": self.aws_cli}
            return {**held, **theirs, "profile": "default", "region": "@REGION@", **dict(self.parameters)}
        return {**held, "region": "@REGION@", **dict(self.parameters)}

    @property
    def _operations(self) -> List[Tuple[str, str]]:
        start = f"interval=0s timeout={self.start_timeout}s"
        found = [("start", start), ("stop", start)]
        if self.make_before_break:
            found += [("migrate_to", start), ("migrate_from", start)]
        found.append(("monitor", f"interval={self.monitor}s timeout=20s"))
        if self.agent == OURS:
            found.append(("monitor", f"interval={self.deep_monitor}s timeout=20s OCF_CHECK_LEVEL=10"))
        return found

    @property
    def _host_map(self) -> str:
        return ";".join(f"@NODE{number}@:@INSTANCE{number}@" for number in range(1, self.nodes + 1))

    @property
    def text(self) -> str:
        """What `Lab.load` takes, with placeholders."""
        return self._pcs() if self.tool == "pcs" else self._crm()

    def _crm(self) -> str:
        lines: List[str] = []
        if self.fencing:
            lines += [
                f"primitive {FENCE_DEVICE} stonith:fence_aws \\",
                f'    params region=@REGION@ pcmk_host_map="{self._host_map}" pcmk_delay_base="@NODE1@:2s" \\',
                "    op start interval=0 timeout=60s op stop interval=0 timeout=60s \\",
                "    op monitor interval=60s timeout=60s",
            ]
        given = " ".join(f'{name}="{value}"' for name, value in self.agent_parameters.items())
        lines += [f"primitive {RESOURCE} ocf:heartbeat:{self.agent} \\", f"    params {given} \\"]
        lines.append(" \\\n".join(f"    op {name} {about}" for name, about in self._operations))
        if self.make_before_break:
            lines[-1] += " \\\n    meta allow-migrate=true"
        lines.append(f"location {RESOURCE}_starts_on {RESOURCE} 50: @NODE1@")
        lines.append(f"property stonith-enabled={str(self.fencing).lower()} stonith-action=off stonith-timeout=120s")
        lines.append(
            f"rsc_defaults resource-stickiness=1000 migration-threshold=3 failure-timeout={self.failure_timeout}s"
        )
        return "\n".join(lines) + "\n"

    def _pcs(self) -> str:
        meta = f"resource-stickiness=1000 migration-threshold=3 failure-timeout={self.failure_timeout}s"
        lines = [
            f"pcs property set stonith-enabled={str(self.fencing).lower()} stonith-action=off stonith-timeout=120s",
        ]
        if self.fencing:
            lines.append(
                f'pcs stonith create {FENCE_DEVICE} fence_aws region=@REGION@ pcmk_host_map="{self._host_map}"'
                ' pcmk_delay_base="@NODE1@:2s" op start interval=0s timeout=60s op stop interval=0s timeout=60s'
                f" op monitor interval=60s timeout=60s meta failure-timeout={self.failure_timeout}s"
            )
        given = " ".join(f"{name}={shlex.quote(value)}" for name, value in self.agent_parameters.items())
        operations = " ".join(f"op {name} {about}" for name, about in self._operations)
        if self.make_before_break:
            meta += " allow-migrate=true"
        lines += [
            f"pcs resource create {RESOURCE} ocf:heartbeat:{self.agent} {given} {operations} meta {meta} --disabled",
            f"pcs constraint location {RESOURCE} prefers @NODE1@=50",
            f"pcs resource enable {RESOURCE}",
        ]
        return "\n".join(lines) + "\n"


def settings_for(configuration: Configuration, *, seed: int = 0) -> Settings:
    """The lab for a configuration, which brings its own fencing.

    EC2 takes its time to move an ENI, here a little of it: what takes none, nobody can fail to wait for.
    """
    settings = Settings(fencing=False, mode=configuration.mode, nodes=configuration.nodes, seed=seed)
    if configuration.mode != "eni":
        return settings
    return replace(settings, attach_seconds=0.3, detach_seconds=2.0, forced_detach_seconds=0.3, nic_seconds=0.2)
