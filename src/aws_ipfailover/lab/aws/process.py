"""An AWS in a process of its own, for another network namespace: start it, steer it, end it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket
from tempfile import TemporaryDirectory
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from aws_ipfailover.lab.aws.account import Consistency, LabInstance, Timing
from aws_ipfailover.lab.aws.calls import Call
from aws_ipfailover.lab.aws.faults import Fault
from aws_ipfailover.lab.aws.running import environment
from aws_ipfailover.lab.aws.world import RouteOrigin, RouteState


class ControlError(Exception):
    """The other process refused a control call, or could not be started."""


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket(AF_UNIX, SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass(frozen=True)
class AwsProcess:
    """An AWS that runs elsewhere. Its URLs hold in the network namespace it was started in."""

    control: Path
    ec2_url: str
    imds_url: str

    def environment(self) -> Dict[str, str]:
        """Environment variables that lead the AWS SDKs there."""
        return environment(self.ec2_url, self.imds_url)

    def add_fault(self, fault: Fault) -> int:
        """Put a fault in force; the number returned removes it."""
        return int(self._call("add_fault", **asdict(fault)))

    def remove_fault(self, number: int) -> None:
        """Take a fault back."""
        self._call("remove_fault", number=number)

    def clear_faults(self) -> None:
        """Take all faults back."""
        self._call("clear_faults")

    def calls(self, action: Optional[str] = None) -> Tuple[Call, ...]:
        """All calls to EC2, STS and IMDS, or those of one action."""
        return tuple(Call(**entry) for entry in self._call("calls", action=action))

    def clear_calls(self) -> None:
        """Forget all calls."""
        self._call("clear_calls")

    def routes_to(self, destination: str) -> Dict[str, Optional[str]]:
        """Where each table leads this destination."""
        found: Dict[str, Optional[str]] = self._call("routes_to", destination=destination)
        return found

    def put_route(
        self,
        destination: str,
        target: str,
        route_table_id: Optional[str] = None,
        *,
        origin: RouteOrigin = "CreateRoute",
        state: Optional[RouteState] = None,
    ) -> None:
        """Set a route behind the cluster's back, in one table or in all; see `Account.put_route`."""
        self._call(
            "put_route",
            destination=destination,
            target=target,
            route_table_id=route_table_id,
            origin=origin,
            state=state,
        )

    def delete_route(
        self, destination: str, route_table_id: Optional[str] = None, *, origin: Optional[RouteOrigin] = None
    ) -> None:
        """Take a route away behind the cluster's back, from one table or from all; see `Account.delete_route`."""
        self._call("delete_route", destination=destination, route_table_id=route_table_id, origin=origin)

    def delete_route_table(self, route_table_id: str) -> None:
        """Delete a route table behind the cluster's back, together with its associations."""
        self._call("delete_route_table", route_table_id=route_table_id)

    def set_source_dest_check(self, name: str, checked: bool) -> None:
        """Switch an instance's source/destination check."""
        self._call("set_source_dest_check", name=name, checked=checked)

    def administer(self, action: str, **parameters: str) -> None:
        """One EC2 call by an administrator who may do everything."""
        self._call("administer", action=action, **parameters)

    def set_timing(self, timing: Timing) -> None:
        """How long EC2 takes."""
        self._call("set_timing", **asdict(timing))

    def set_consistency(self, consistency: Consistency) -> None:
        """How stale the reads are."""
        self._call("set_consistency", **asdict(consistency))

    def set_throttle(self, enabled: bool) -> None:
        """Switch the token buckets; they are full then."""
        self._call("set_throttle", enabled=enabled)

    def set_enforcement(self, enabled: bool) -> None:
        """Whether unknown access keys are refused."""
        self._call("set_enforcement", enabled=enabled)

    def restrict_instances(self, document: Optional[Mapping[str, Any]]) -> None:
        """What the instances' role may do: an IAM policy document; None for everything."""
        self._call("restrict_instances", document=document)

    def restrict_account(self, document: Optional[Mapping[str, Any]]) -> None:
        """What the account's roles may do at most: a service control policy's document; None for everything."""
        self._call("restrict_account", document=document)

    def put_role(self, arn: str, trusted_accounts: Sequence[str], document: Optional[Mapping[str, Any]] = None) -> None:
        """A role that these accounts may assume."""
        self._call("put_role", arn=arn, trusted_accounts=list(trusted_accounts), document=document)

    def expire_credentials(self, *, renew: bool = True) -> None:
        """All temporary credentials are expired from now on; without `renew` IMDS goes on to hand out expired ones."""
        self._call("expire_credentials", renew=renew)

    def renew_credentials(self) -> None:
        """IMDS hands out new credentials again."""
        self._call("renew_credentials")

    def expire_imds_tokens(self) -> None:
        """All IMDS session tokens are forgotten: their users get 401."""
        self._call("expire_imds_tokens")

    def set_metadata(self, path: str, text: Optional[str]) -> None:
        """Another answer for an IMDS path like `/latest/meta-data/mac`; None for 404."""
        self._call("set_metadata", path=path, text=text)

    def disable_metadata(self, name: str, disabled: bool = True) -> None:
        """Switch the metadata endpoint of an instance, or of all (`*`), off or on."""
        self._call("disable_metadata", name=name, disabled=disabled)

    @property
    def route_table_ids(self) -> Tuple[str, ...]:
        """The subnets' tables in the plan's order, then the extra ones."""
        return tuple(self._call("account")["route_table_ids"])

    def instance(self, name: str) -> LabInstance:
        """A planned instance by its Name tag."""
        found = dict(self._call("account")["instances"][name])
        found["address"] = IPv4Address(found["address"])
        found["ipv6_address"] = IPv6Address(found["ipv6_address"])
        return LabInstance(**found)

    def _call(self, method: str, **arguments: Any) -> Any:
        connection = _UnixConnection(self.control)
        try:
            connection.request("POST", f"/{method}", json.dumps(arguments))
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if "error" in answer:
            raise ControlError(answer["error"])
        return answer["result"]


@contextmanager
def aws_process(
    *,
    prefix: Sequence[str] = (),
    api: Sequence[str] = ("127.0.0.1:0",),
    imds: Sequence[str] = ("127.0.0.1:0",),
    imds_instance: str = "node1",
    extra_route_tables: int = 0,
    macs: Optional[Mapping[str, str]] = None,
    region: Optional[str] = None,
    shared_vpc_owner: Optional[str] = None,
    start_timeout: float = 30.0,
) -> Iterator[AwsProcess]:
    """An AWS in a process of its own, gone afterwards, also when this process is killed.

    `prefix` is what goes before the command: `("ip", "netns", "exec", NAME)`, or `("nsenter", "--net", "-t", PID)`.
    The other options are those of `Account` and `running_aws`. Raises ControlError where it does not come up.
    """
    with TemporaryDirectory(prefix="aws-") as directory:
        control = Path(directory) / "control"
        command: List[str] = [*prefix, sys.executable, "-m", "aws_ipfailover.lab.aws", "--control", str(control)]
        for address in api:
            command += ["--api", address]
        for address in imds:
            command += ["--imds", address]
        command += ["--imds-instance", imds_instance, "--extra-route-tables", str(extra_route_tables)]
        for name, mac in (macs or {}).items():
            command += ["--mac", f"{name}={mac}"]
        if region is not None:
            command += ["--region", region]
        if shared_vpc_owner is not None:
            command += ["--shared-vpc-owner", shared_vpc_owner]
        # It ends when its standard input does: a kill of this process ends it as well.
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            try:
                ready = json.loads(_line(process, time.monotonic() + start_timeout))
                yield AwsProcess(control, ready["ec2_url"], ready["imds_url"])
            finally:
                process.terminate()
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    process.kill()


def _line(process: subprocess.Popen[bytes], until: float) -> bytes:
    found = b""
    if process.stdout is None:
        raise ControlError("the AWS process has no output")
    while not found.endswith(b"\n"):
        left = until - time.monotonic()
        if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
            raise ControlError("the AWS process did not get ready in time")
        data = os.read(process.stdout.fileno(), 4096)
        if not data:
            raise ControlError(f"the AWS process ended with {process.wait()} before it was ready")
        found += data
    return found
