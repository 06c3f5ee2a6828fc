"""aws/imds_endpoint.py: where IMDS is, as the SDK would have it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, Optional

import botocore.session
import pytest

from aws_ipfailover.aws.imds_endpoint import Endpoint, endpoint

IPV4, IPV6, OWN = "http://169.254.169.254", "http://[fd00:ec2::254]", "http://127.0.0.1:1"
URL, MODE = "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"
CONFIG = f"""
[default]
region = eu-central-1
[profile own]
ec2_metadata_service_endpoint = {OWN}/
[profile six]
ec2_metadata_service_endpoint_mode = IPv6
[profile "with blank"]
ec2_metadata_service_endpoint_mode = IPv6
[profile four]
ec2_metadata_service_endpoint_mode = ipv4
[profile former]
imds_use_ipv6 = true
[profile both]
imds_use_ipv6 = true
ec2_metadata_service_endpoint_mode = ipv4
"""
CREDENTIALS = """
[shared]
ec2_metadata_service_endpoint_mode = ipv6
"""


@pytest.fixture
def files(tmp_path: Path) -> Dict[str, str]:
    """The variables for the files with the profiles."""
    (tmp_path / "config").write_text(CONFIG)
    (tmp_path / "credentials").write_text(CREDENTIALS)
    return {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}


def by_botocore(monkeypatch: pytest.MonkeyPatch, environ: Dict[str, str], profile: Optional[str]) -> str:
    """The endpoint of the SDK itself."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    resolver = botocore.session.Session(profile=profile).get_component("credential_provider")
    return str(resolver.get_provider("iam-role")._role_fetcher.get_base_url()).rstrip("/")


@pytest.mark.parametrize(
    ("environ", "profile", "expected"),
    [
        ({URL: OWN + "/"}, None, OWN),
        ({MODE: "IPv6"}, None, IPV6),
        ({MODE: "ipv4"}, None, IPV4),
        ({MODE: "ipv6", URL: OWN}, None, OWN),
        ({MODE: "ipv6", URL: OWN}, "four", OWN),
        ({"AWS_IMDS_USE_IPV6": "True"}, None, IPV6),
        ({"AWS_IMDS_USE_IPV6": "false"}, None, IPV4),
        ({}, "own", OWN),
        ({MODE: "ipv6"}, "own", OWN),
        ({}, "six", IPV6),
        ({}, "with blank", IPV6),
        ({}, "four", IPV4),
        ({MODE: "ipv4"}, "six", IPV4),
        ({}, "former", IPV6),
        ({"AWS_IMDS_USE_IPV6": "false"}, "former", IPV4),
        ({}, "both", IPV4),
        ({}, "shared", IPV6),
        ({"AWS_PROFILE": "six"}, None, IPV6),
        ({"AWS_PROFILE": "four", "AWS_DEFAULT_PROFILE": "six"}, None, IPV6),
        ({"AWS_PROFILE": "six"}, "four", IPV4),
    ],
)
def test_what_is_chosen(
    files: Dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    environ: Dict[str, str],
    profile: Optional[str],
    expected: str,
) -> None:
    """By the SDK's own variables and settings, in its order; what is chosen is not left for another one."""
    assert endpoint({**files, **environ}, profile) == Endpoint(expected)
    assert by_botocore(monkeypatch, {**files, **environ}, profile) == expected


@pytest.mark.parametrize("environ", [{}, {URL: " "}, {MODE: ""}, {"AWS_CONFIG_FILE": "/dev/null"}], ids=str)
def test_what_nobody_has_chosen(files: Dict[str, str], environ: Dict[str, str]) -> None:
    """The IPv4 endpoint, and the IPv6 one for a node without a route to it; a blank value counts as unset."""
    assert endpoint({**files, **environ}) == Endpoint(IPV4, IPV6)
    assert Endpoint(IPV4, IPV6).urls == [IPV4, IPV6]
    assert Endpoint(IPV4).urls == [IPV4]


@pytest.mark.parametrize("text", ["no section", "[profile 'six]\nx = 1", "[six]\nx", "\udcff\x00"])
def test_a_broken_file(tmp_path: Path, text: str) -> None:
    """It chooses nothing: whoever uses it for more says what is wrong."""
    broken = tmp_path / "broken"
    broken.write_bytes(text.encode("utf-8", "surrogateescape"))
    environ = {"AWS_CONFIG_FILE": str(broken), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path)}
    assert endpoint(environ, "six") == Endpoint(IPV4, IPV6)


def test_a_pipe(tmp_path: Path) -> None:
    """It is not read: that could take for ever."""
    os.mkfifo(tmp_path / "pipe")
    assert endpoint({"AWS_CONFIG_FILE": str(tmp_path / "pipe")}, "six") == Endpoint(IPV4, IPV6)
