"""The AWS account of a lab, as its supervisor uses it: serves the API, and says what an administrator would do."""

from __future__ import annotations

import re
import time
from dataclasses import asdict, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from vpc_lab.ec2 import Account, Consistency, Fault, RunningAws, start_aws
from vpc_lab.ec2.account import Power, Timing
from vpc_lab.ec2.tls import Certificates, make_certificates
from vpc_lab.errors import LabError
from vpc_lab.topology import METADATA_ADDRESS, Topology
from vpc_lab.vpc import Address, ElasticIp, InstanceState
from vpc_lab.world import World

# What `lab api MODE` takes besides an EC2 error code.
KINDS = ("hang", "reset", "close", "refuse", "html", "truncate", "empty", "empty_set", "latency", "clock")
ERROR_CODES = ("RequestLimitExceeded", "UnauthorizedOperation", "InternalError", "Unavailable", "AuthFailure")
# Several capitalised words, with or without a point; those of one word are these (EC2 API reference, "Error codes").
_ERROR_CODE = re.compile(r"([A-Z][A-Za-z0-9]*[a-z0-9]){2,}(\.[A-Z][A-Za-z0-9]*)*|[A-Z][A-Za-z0-9]+\.[A-Z][A-Za-z0-9.]*")
_ONE_WORD = ("Blocked", "Throttling", "Unavailable", "Unsupported")


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

    def start(self, instance_id: str, within: float = 30.0) -> None:
        """StartInstances, by an administrator; returns when EC2 says `running`."""
        self.account.wait_for(lambda world: world.instances[instance_id].state in ("stopped", "running"), within)
        if self.state(instance_id) == "stopped":
            self._become(instance_id, "pending")
            self.account.power(
                instance_id,
                (("on", self.account.timing.start),),
                lambda world: world.with_instance(replace(world.instances[instance_id], state="running")),
            )
        self.account.wait_for(lambda world: world.instances[instance_id].state == "running", within)

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

    def fail(
        self,
        mode: str,
        *,
        action: str = "*",
        caller: Optional[str] = None,
        seconds: float = 0.0,
        times: Optional[int] = None,
        lasting: Optional[float] = None,
    ) -> None:
        """Let the API fail: one of KINDS, `stale` (reads lag by `seconds`), `throttle`, or an EC2 error code.

        `throttle`: EC2's documented token buckets, full to begin with. The rest: see `Fault`.
        """
        if mode == "throttle":
            self.aws.throttle.reset()
            self.aws.throttle.enabled = True
            return
        if mode == "stale":
            self.account.consistency = Consistency(lag=seconds)
            return
        if mode not in KINDS and mode not in _ONE_WORD and not _ERROR_CODE.fullmatch(mode):
            raise LabError(
                f"'{mode}' is no way for the API to fail: use ok, unreachable, stale, throttle, {', '.join(KINDS)},"
                f" or an EC2 error code such as {', '.join(ERROR_CODES)} or InvalidRouteTableID.NotFound"
            )
        for service in ("ec2", "sts"):
            self.aws.faults.add(
                Fault(
                    mode if mode in KINDS else "error",  # type: ignore[arg-type]
                    action=action,
                    service=service,
                    caller=None if caller is None else str(self.account.instance(caller).address),
                    times=times,
                    lasting=lasting,
                    code=mode,
                    seconds=seconds,
                )
            )

    def recover(self) -> None:
        """Take every fault back."""
        self.aws.faults.clear()
        self.aws.throttle.enabled = False
        self.account.consistency = Consistency()

    def faults(self) -> List[Dict[str, Any]]:
        """The faults in force."""
        return [asdict(fault) for fault in self.aws.faults.current().values()]

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
