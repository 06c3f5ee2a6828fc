"""A running AWS and real clients for it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Callable, Iterator

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from vpc_lab.ec2 import Credentials, RunningAws, running_aws
from vpc_lab.topology import topology_for

# boto3-stubs is installed without EC2's own types.
EC2Client = Any

OVERLAY = "192.168.10.10/32"
OVERLAY6 = "fd00:10::10/128"


# One session, so that EC2's large model is parsed once.
SESSION = boto3.Session()


def client(aws: RunningAws, service: str = "ec2", credentials: Credentials | None = None, **config: Any) -> Any:
    """A boto3 client without retries."""
    settings: dict[str, Any] = {"retries": {"total_max_attempts": 1}, "connect_timeout": 5, "read_timeout": 10}
    return SESSION.client(
        service,  # type: ignore[call-overload]
        region_name=aws.account.topology.region,
        endpoint_url=aws.ec2_url,
        aws_access_key_id="AKIDEXAMPLE" if credentials is None else credentials.access_key_id,
        aws_secret_access_key="secret" if credentials is None else credentials.secret_access_key,
        aws_session_token=None if credentials is None else credentials.session_token,
        config=Config(**{**settings, **config}),
    )


@contextmanager
def refused(code: str, message: str = "") -> Iterator[None]:
    """The block's call is answered with this error code, and this text in the message."""
    with pytest.raises(ClientError) as caught:
        yield
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    assert message in error["Message"]


@pytest.fixture
def aws() -> Iterator[RunningAws]:
    """An AWS with one table for each subnet and two more."""
    with running_aws(topology_for(extra_route_tables=2)) as running:
        yield running


@pytest.fixture
def ec2(aws: RunningAws) -> Iterator[EC2Client]:
    """An EC2 client."""
    made = client(aws)
    yield made
    made.close()


@pytest.fixture
def connect(aws: RunningAws) -> Iterator[Callable[..., Any]]:
    """Make further clients."""
    made: list[Any] = []

    def connect(service: str = "ec2", credentials: Credentials | None = None, **config: Any) -> Any:
        made.append(client(aws, service, credentials, **config))
        return made[-1]

    yield connect
    for one in made:
        one.close()
