"""A running AWS in this process, for tests without root and for the lab."""

from __future__ import annotations

import os
import ssl
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, Optional, Sequence, Tuple

from vpc_lab.ec2.account import Account
from vpc_lab.ec2.call_log import CallLog
from vpc_lab.ec2.dispatch import Api
from vpc_lab.ec2.faults import Faults
from vpc_lab.ec2.http import HttpServer
from vpc_lab.ec2.iam.identity import Credentials
from vpc_lab.ec2.imds import Imds
from vpc_lab.ec2.server import api_server, imds_server
from vpc_lab.ec2.throttle import Throttle
from vpc_lab.topology import Topology, topology_for


@dataclass(frozen=True)
class RunningAws:
    """The account, its API and its metadata service, and where they listen."""

    account: Account
    api: Api
    imds: Imds
    api_listener: HttpServer
    imds_listener: HttpServer
    scheme: str

    @property
    def faults(self) -> Faults:
        """The faults of EC2, STS and IMDS."""
        return self.api.faults

    @property
    def calls(self) -> CallLog:
        """All calls to EC2, STS and IMDS."""
        return self.api.calls

    @property
    def throttle(self) -> Throttle:
        """The token buckets, as EC2 documents them with `throttle.limit(Limit())`; without a limit there are none."""
        return self.api.throttle

    @property
    def ec2_url(self) -> str:
        """The endpoint of EC2 and STS."""
        return f"{self.scheme}://{_join(self.api_listener.addresses[0])}"

    @property
    def imds_url(self) -> str:
        """The endpoint of the metadata service."""
        return f"http://{_join(self.imds_listener.addresses[0])}"

    def environment(self) -> Dict[str, str]:
        """Environment variables that lead the AWS SDKs here, and away from the user's own configuration."""
        return environment(self.ec2_url, self.imds_url)

    def close(self) -> None:
        """Stop everything."""
        self.api_listener.close()
        self.imds_listener.close()
        self.account.close()


def environment(ec2_url: str, imds_url: str) -> Dict[str, str]:
    """Environment variables for an SDK; credentials and Region come from the metadata service."""
    return {
        "AWS_ENDPOINT_URL": ec2_url,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds_url,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def key_environment(credentials: Credentials) -> Dict[str, str]:
    """Environment variables for an access key."""
    found = {
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
    }
    if credentials.session_token is not None:
        found["AWS_SESSION_TOKEN"] = credentials.session_token
    return found


def start_aws(
    account: Account,
    *,
    api_addresses: Sequence[Tuple[str, int]] = (("127.0.0.1", 0),),
    imds_addresses: Sequence[Tuple[str, int]] = (("127.0.0.1", 0),),
    tls: Optional[ssl.SSLContext] = None,
    who: Optional[Callable[[str], Optional[str]]] = None,
) -> RunningAws:
    """Serve an account. `who` tells the name of the instance at an address; by default the topology does."""

    def planned(caller: str) -> Optional[str]:
        found = account.instance_at(caller)
        return None if found is None else found.name

    api = Api(account)
    imds = Imds(account, who or planned, faults=api.faults, calls=api.calls)
    api_listener = api_server(api, api_addresses, tls=tls)
    try:
        imds_listener = imds_server(imds, imds_addresses)
    except OSError:
        api_listener.close()
        raise
    return RunningAws(account, api, imds, api_listener, imds_listener, "http" if tls is None else "https")


@contextmanager
def running_aws(
    topology: Optional[Topology] = None,
    *,
    imds_instance: str = "node1",
    tls: Optional[ssl.SSLContext] = None,
    **options: Any,
) -> Iterator[RunningAws]:
    """An AWS on free ports of 127.0.0.1, gone afterwards; two nodes for overlay-ip by default.

    Loopback callers are `imds_instance` to the metadata service. `options` are those of `Account`.
    """
    account = Account(topology or topology_for(), **options)

    def who(caller: str) -> Optional[str]:
        found = account.instance_at(caller)
        if found is not None:
            return found.name
        return imds_instance if caller.startswith("127.") or caller == "::1" else None

    try:
        aws = start_aws(account, tls=tls, who=who)
    except OSError:
        account.close()
        raise
    try:
        yield aws
    finally:
        aws.close()


def _join(address: Tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
