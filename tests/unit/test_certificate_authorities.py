"""aws/certificate_authorities.py: which are trusted, and that they are read once."""

from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import pytest
from requests.certs import where  # type: ignore[attr-defined]

from aws_ipfailover.aws import certificate_authorities
from aws_ipfailover.aws.certificate_authorities import Authorities, authorities, context, preload
from aws_ipfailover.aws.client import Ec2
from aws_ipfailover.aws.imds import Imds
from aws_ipfailover.aws.models import NetworkInterface
from aws_ipfailover.aws.session import Account, ec2_calls
from aws_ipfailover.deadline import Deadline, Progress
from aws_ipfailover.errors import Error, NodeError
from vpc_lab.ec2.running import RunningAws, running_aws
from vpc_lab.ec2.tls import make_certificates


@pytest.fixture(autouse=True)
def nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests loaded is loaded anew."""
    monkeypatch.setattr(certificate_authorities, "_contexts", {})


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
    region = aws.account.topology.region
    client = Ec2(
        ec2_calls(Account(region), Deadline(seconds), Imds(aws.imds_url, Deadline(seconds)), Progress(""), times),
        region,
    )
    eni = aws.account.instance("node1").network_interface_id
    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(client.network_interface, [eni] * times))


def test_many_connections_read_them_once(aws: RunningAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many connections there are, and whether they were preloaded or not."""
    read: List[str] = []
    plain = ssl.SSLContext.load_verify_locations

    def note(self: ssl.SSLContext, cafile: Any = None, capath: Any = None, cadata: Any = None) -> None:
        read.append(cafile)
        plain(self, cafile, capath, cadata)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", note)
    preload({"AWS_CA_BUNDLE": ""})
    assert len(ask(aws, 8)) == 8
    assert len(ask(aws, 8)) == 8
    assert len(read) == 2  # the usual ones, which were preloaded in vain, and those of the setting


def test_a_server_that_nobody_vouches_for(aws: RunningAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is refused: by an authority of the same name, and by all that the SDK knows."""
    another = make_certificates(tmp_path / "another", ["127.0.0.1"]).authority
    monkeypatch.setenv("AWS_CA_BUNDLE", str(another))
    with pytest.raises(Error, match="SSL"):
        ask(aws, 1, 2)
    monkeypatch.delenv("AWS_CA_BUNDLE")
    with pytest.raises(Error, match="SSL"):
        ask(aws, 1, 2)


@pytest.mark.parametrize(
    ("environ", "profile", "expected"),
    [
        ({"AWS_CA_BUNDLE": "/a", "REQUESTS_CA_BUNDLE": "/b"}, "/c", ("/a", "AWS_CA_BUNDLE")),
        ({"AWS_CA_BUNDLE": " ", "REQUESTS_CA_BUNDLE": "/b"}, "/c", ("/c", "ca_bundle of the AWS profile")),
        ({"REQUESTS_CA_BUNDLE": " /b "}, "", ("/b", "REQUESTS_CA_BUNDLE")),
        ({"AWS_CA_BUNDLE": "", "REQUESTS_CA_BUNDLE": ""}, " ", (where(), "the Python package requests")),
        ({}, None, (where(), "the Python package requests")),
    ],
)
def test_the_first_setting_that_is_not_blank_decides(
    environ: Dict[str, str], profile: Optional[str], expected: Any
) -> None:
    """AWS_CA_BUNDLE, then the profile's, then REQUESTS_CA_BUNDLE; else those that the SDK trusts."""
    assert authorities(environ, profile) == Authorities(*expected)


def test_a_context_verifies(tmp_path: Path) -> None:
    """A context demands a certificate, and TLS 1.2 at least."""
    made = context(authorities({}, None), Deadline(10))
    assert made.verify_mode is ssl.CERT_REQUIRED
    assert made.minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("name", ["missing", "empty", "garbage", "unreadable/inside"])
def test_a_file_that_cannot_be_used(tmp_path: Path, name: str) -> None:
    """The error names the setting and the file, and says what to do."""
    (tmp_path / "empty").write_text("")
    (tmp_path / "garbage").write_text("-----BEGIN CERTIFICATE-----\nZZ\n-----END CERTIFICATE-----\n")
    (tmp_path / "unreadable").write_text("a file, no directory")
    with pytest.raises(NodeError, match=f"AWS_CA_BUNDLE: no certificate authorities can be read from .*{name}"):
        context(Authorities(str(tmp_path / name), "AWS_CA_BUNDLE"), Deadline(10))
