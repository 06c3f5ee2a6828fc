"""aws/certificate_authorities.py: they are read once, and decide as they did."""

from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Iterator, List

import botocore.httpsession
import pytest

from aws_ipfailover.aws import certificate_authorities
from aws_ipfailover.aws.client import Ec2
from aws_ipfailover.aws.imds import Imds
from aws_ipfailover.aws.models import NetworkInterface
from aws_ipfailover.aws.session import Account, ec2_calls
from aws_ipfailover.deadline import Deadline, Progress
from aws_ipfailover.errors import Error
from aws_ipfailover.lab.aws.running import RunningAws, running_aws
from aws_ipfailover.lab.aws.tls import make_certificates


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[RunningAws]:
    """An AWS behind TLS, whose authority is in the SDK's bundle."""
    certificates = make_certificates(tmp_path / "tls", ["127.0.0.1", "localhost"])
    with running_aws(tls=certificates.server_context()) as aws:
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates.authority))
        yield aws


def ask(aws: RunningAws, times: int, seconds: float = 60) -> List[NetworkInterface]:
    """Ask EC2 that often at once, each through a connection of its own."""
    region = aws.account.plan.region
    client = Ec2(
        ec2_calls(Account(region), Deadline(seconds), Imds(aws.imds_url, Deadline(seconds)), Progress(""), times),
        region,
    )
    eni = aws.account.instance("node1").network_interface_id
    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(client.network_interface, [eni] * times))


def test_many_connections_read_them_once(aws: RunningAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are; without our contexts each connection reads them."""
    read: List[str] = []
    plain = ssl.SSLContext.load_verify_locations

    def note(self: ssl.SSLContext, cafile: Any = None, capath: Any = None, cadata: Any = None) -> None:
        read.append(cafile)
        plain(self, cafile, capath, cadata)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", note)
    assert len(ask(aws, 8)) == 8
    assert len(read) == 1
    monkeypatch.setattr(botocore.httpsession, "SSLContext", ssl.SSLContext)
    monkeypatch.setattr(certificate_authorities, "load_once", lambda: None)
    read.clear()
    assert len(ask(aws, 8)) == 8
    assert len(read) > 1


def test_a_server_that_nobody_vouches_for(aws: RunningAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is refused: by an authority of the same name, and by all that the SDK knows."""
    another = make_certificates(tmp_path / "another", ["127.0.0.1"]).authority
    monkeypatch.setenv("AWS_CA_BUNDLE", str(another))
    with pytest.raises(Error, match="SSL"):
        ask(aws, 1, 2)
    monkeypatch.delenv("AWS_CA_BUNDLE")
    with pytest.raises(Error, match="SSL"):
        ask(aws, 1, 2)


def test_an_sdk_that_makes_them_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left as it is."""
    monkeypatch.delattr(botocore.httpsession, "SSLContext")
    certificate_authorities.load_once()
    assert not hasattr(botocore.httpsession, "SSLContext")
