"""The AWS account of a lab, as its supervisor uses it: serves the API, and says what an administrator would do."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from vpc_lab.ec2 import Account, RunningAws, start_aws
from vpc_lab.ec2.account import Power, Timing
from vpc_lab.ec2.tls import Certificates, make_certificates
from vpc_lab.errors import LabError
from vpc_lab.topology import METADATA_ADDRESS, Topology
from vpc_lab.vpc import Address, ElasticIp, InstanceState
from vpc_lab.world import World


class Cloud:
    """One account with its API and metadata service, listening where the topology says."""

    def __init__(
        self,
        topology: Topology,
        on_network: Callable[[World], None],
        on_power: Callable[[str, Power], None],
        *,
        timing: Optional[Timing] = None,
    ) -> None:
        self._topology = topology
        self.account = Account(
            topology,
            on_network=on_network,
            on_power=on_power,
            timing=timing or Timing(),
        )
        self._aws: Optional[RunningAws] = None

    def serve(self, directory: Path) -> Certificates:
        """Start listening; certificates are made in `directory`. The addresses have to exist."""
        certificates = make_certificates(directory, [*self._topology.api_host_names(), str(self._topology.api_address)])
        self._aws = start_aws(
            self.account,
            api_addresses=((str(self._topology.api_address), 443),),
            imds_addresses=((str(METADATA_ADDRESS), 80),),
            tls=certificates.server_context(),
        )
        return certificates

    @property
    def aws(self) -> RunningAws:
        """The services."""
        if self._aws is None:
            raise LabError("the API does not listen yet")
        return self._aws

    def state(self, instance_id: str) -> InstanceState:
        """What EC2 says of an instance."""
        return self.account.world.instances[instance_id].state

    def start(self, instance_id: str, within: float = 45.0) -> None:
        """StartInstances, by an administrator; returns when EC2 says `running`.

        One that is stopping is waited for, and stopped without its system's shutdown when the time is over. Raises
        TimeoutError if EC2 does not get there even so.
        """
        try:
            self._ends(instance_id, within)
        except TimeoutError:
            self.aws.api.administer("StopInstances", InstanceId=instance_id, Force="true", SkipOsShutdown="true")
            self._ends(instance_id, 20.0)
        if self.state(instance_id) == "stopped":
            self._become(instance_id, "pending")
            self.account.power(
                instance_id,
                (("on", self.account.timing.start),),
                lambda world: world.with_instance(replace(world.instances[instance_id], state="running")),
            )
        self.account.wait_for(lambda world: world.instances[instance_id].state == "running", within)

    def _ends(self, instance_id: str, within: float) -> None:
        """Wait until an instance is neither stopping nor about to run."""
        self.account.wait_for(lambda world: world.instances[instance_id].state in ("stopped", "running"), within)

    def _become(self, instance_id: str, state: InstanceState) -> None:
        self.account.change(
            lambda world: world.with_instance(
                replace(world.instances[instance_id], state=state, launch_time=time.time())
            )
        )

    def allocate_elastic_ip(self) -> ElasticIp:
        """AllocateAddress by an administrator: an Elastic IP that is associated with nothing."""
        before = set(self.account.world.elastic_ips)
        self.aws.api.administer("AllocateAddress")
        (made,) = set(self.account.world.elastic_ips) - before
        return self.account.world.elastic_ips[made]

    def give_elastic_ip(self, address: IPv4Address) -> IPv4Address:
        """AllocateAddress and AssociateAddress by an administrator: the Elastic IP of a private address.

        It is the same again for an address that has one. LabError while no ENI has the private address.
        """
        known = self.account.public_ip_of(address)
        if known is not None:
            return known
        world = self.account.world
        eni = next((one.network_interface_id for one in world.interfaces.values() if address in one.ipv4), None)
        if eni is None:
            raise LabError(f"no network interface has {address} yet: start the resource that assigns it first")
        made = self.allocate_elastic_ip()
        self.aws.api.administer(
            "AssociateAddress",
            AllocationId=made.allocation_id,
            NetworkInterfaceId=eni,
            PrivateIpAddress=str(address),
        )
        self.account.settle()
        return made.public_ip

    def calls(self, since: float, *, metadata: bool = False) -> List[Dict[str, Any]]:
        """The calls to EC2 and STS, and with `metadata` also to IMDS, since that moment; `caller` is a name."""
        found = []
        for call in self.aws.calls():
            if call.time >= since and (metadata or call.service != "imds"):
                instance = self.account.instance_at(call.caller)
                found.append(
                    {
                        "kind": "api",
                        **asdict(call),
                        "caller": call.caller if instance is None else instance.name,
                        # Who it was is told by the caller; keys have no business in a log.
                        "access_key_id": None,
                    }
                )
        return found

    def routes(self, address: Address) -> Dict[str, Optional[str]]:
        """Where each route table leads an address: an instance's name, another target's id, None for no route."""
        names = {one.network_interface_id: one.name for one in self.account.instances()}
        tables = self.account.world.route_tables
        found = {one: tables[one].route_for(address) for one in self.account.route_table_ids}
        return {one: names.get(route.target, route.target) if route else None for one, route in found.items()}
