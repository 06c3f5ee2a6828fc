"""Certificates are verified always: with every SDK, and whatever the settings of certificate authorities say."""

from __future__ import annotations

import socket
import ssl
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sandbox import Node, ip, serving
from vpc_lab.ec2.server import api_server
from vpc_lab.ec2.tls import make_certificates
from vpc_lab.waiting import eventually

DEGRADED = 190
SETTINGS = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "ca_bundle")
TIMEOUT = 5.0  # seconds


class Server(NamedTuple):
    """A server: how often a client refused it in the handshake, and what clients sent it after one."""

    url: str
    refused: List[str]
    received: List[bytes]


class Servers:
    """TLS servers that nobody may send a request to, and the authority that vouches for some of their certificates."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.authority = directory / "authority.pem"

    @contextmanager
    def serve(self, kind: str) -> Iterator[Server]:
        """A server with a wrong certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*getattr(self, kind.replace(" ", "_"))())
        refused: List[str] = []
        received: List[bytes] = []

        def answer(connection: socket.socket) -> None:
            try:
                # With TLS 1.3 the client's refusal comes after the server's part of the handshake.
                with context.wrap_socket(connection, server_side=True) as secured:
                    request = secured.recv(65536)
            except OSError as error:
                refused.append(str(error))
                return
            if request:
                received.append(request)
            else:
                refused.append("closed")

        with serving(answer) as (host, port):
            yield Server(f"https://{host}:{port}", refused, received)

    def self_signed(self) -> Tuple[Path, Path]:
        """A certificate for the right host that it vouches for itself; so does no authority."""
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        files = self._directory / "self-signed.pem", self._directory / "self-signed.key"
        files[0].write_bytes(certificate.public_bytes(pem))
        files[1].write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        # The authority that is trusted is another one.
        self.authority.write_bytes(make_certificates(self._directory / "another", ["127.0.0.1"]).authority.read_bytes())
        return files

    def wrong_host(self) -> Tuple[Path, Path]:
        """A certificate that the authority vouches for, for another host."""
        return self._issued("ec2.eu-central-1.amazonaws.com", None)

    def expired(self) -> Tuple[Path, Path]:
        """A certificate for the right host that was valid a month ago."""
        return self._issued("127.0.0.1", datetime.now(timezone.utc) - timedelta(days=30))

    def _issued(self, name: str, now: Optional[datetime]) -> Tuple[Path, Path]:
        made = make_certificates(self._directory / "issued", [name], now)
        self.authority.write_bytes(made.authority.read_bytes())
        return made.certificate, made.key


@pytest.fixture
def servers(tmp_path: Path) -> Servers:
    """Servers with wrong certificates."""
    return Servers(tmp_path)


def setting(name: str, value: str, directory: Path) -> Dict[str, Optional[str]]:
    """The environment with a setting of certificate authorities; the profile's is in a file."""
    if name != "ca_bundle":
        return {name: value}
    config = directory / f"config-{len(list(directory.iterdir()))}"
    config.write_text(f"[default]\nca_bundle = {value}\n")
    return {"AWS_CONFIG_FILE": str(config)}


@pytest.mark.parametrize("kind", ["self signed", "wrong host", "expired"])
def test_no_request_reaches_a_server_with_a_wrong_certificate(
    node: Node, servers: Servers, tmp_path: Path, kind: str
) -> None:
    """Whether a setting is unset, blank, of blanks, or names the right authority: the server is refused in the
    handshake, and nothing is sent to it. Where it names a missing file, or no certificate, no server is even asked.

    Each setting with one kind: which authorities are used does not depend on what is wrong with a certificate.
    """
    cases: Dict[str, Dict[str, Optional[str]]] = {"unset": {}}
    names = SETTINGS if kind == "self signed" else SETTINGS[:1]
    for name in names:
        for what, value in (("blank", ""), ("of blanks", "  "), ("right", str(servers.authority))):
            cases[f"{name} {what}"] = setting(name, value, tmp_path)
    for case, environ in cases.items():
        with servers.serve(kind) as server:
            with node.agent.begin("start", environ={"AWS_ENDPOINT_URL": server.url, **environ}) as running:
                eventually(f"{case}: the server is asked", lambda: server.refused or server.received)
                running.process.kill()  # it would go on asking until its deadline
                running.end()
            assert server.received == [], case
            assert node.agent.run("stop").code == 0
    with servers.serve(kind) as server:
        for name in names:
            for value in (str(tmp_path / "missing.pem"), "/etc/hostname", "0"):
                ran = node.agent.run(
                    "start", environ={"AWS_ENDPOINT_URL": server.url, **setting(name, value, tmp_path)}
                )
                assert ran.code == 2, ran
        assert (server.refused, server.received) == ([], [])
    assert node.held() == []


def test_a_server_that_is_refused_is_told_of(node: Node, servers: Servers) -> None:
    """A start that no server with a right certificate answers fails in time, and names TLS as the cause."""
    with servers.serve("self signed") as server:
        ran = node.agent.run("start", environ={"AWS_ENDPOINT_URL": server.url}, timeout=TIMEOUT)
    assert ran.code == 1, ran
    assert ran.elapsed < TIMEOUT
    assert "SSLError" in ran.reason


@pytest.mark.parametrize("name", SETTINGS)
def test_authorities_that_cannot_be_read_are_named(node: Node, tmp_path: Path, name: str) -> None:
    """A setting that names a missing file is told of, with the file and what to do; a monitor says 190."""
    missing = tmp_path / "missing.pem"
    ran = node.agent.run("start", environ=setting(name, str(missing), tmp_path))
    assert ran.code == 2, ran
    assert name in ran.reason
    assert str(missing) in ran.reason
    assert "unset it" in ran.reason
    assert node.held() == []
    node.hold()
    ran = node.agent.run("monitor", environ=setting(name, str(missing), tmp_path), level=10, interval=10)
    assert ran.code == DEGRADED, ran


@pytest.mark.parametrize("name", SETTINGS)
def test_the_authorities_of_a_setting_are_trusted(node: Node, tmp_path: Path, name: str) -> None:
    """A server whose certificate the authority of a setting vouches for is used, also where the settings that come
    before it are blank."""
    made = make_certificates(tmp_path / "tls", ["127.0.0.1"])
    server = api_server(node.aws.api, [("127.0.0.1", 8443)], tls=made.server_context())
    before = {one: "" for one in SETTINGS[:2] if one != name}
    try:
        environ = {
            **before,
            **setting(name, str(made.authority), tmp_path),
            "AWS_ENDPOINT_URL": "https://127.0.0.1:8443",
        }
        ran = node.agent.run("start", environ=environ)
        assert ran.code == 0, ran
        assert "ReplaceRoute" in ran.ec2
    finally:
        server.close()


def test_a_directory_of_authorities(node: Node, tmp_path: Path) -> None:
    """A setting may name a directory of authorities, as `openssl rehash` makes it."""
    made = make_certificates(tmp_path / "tls", ["127.0.0.1"])
    directory = tmp_path / "authorities"
    directory.mkdir()
    (directory / f"{_hash_of(made.authority)}.0").write_bytes(made.authority.read_bytes())
    server = api_server(node.aws.api, [("127.0.0.1", 8443)], tls=made.server_context())
    try:
        environ = {"AWS_CA_BUNDLE": str(directory), "AWS_ENDPOINT_URL": "https://127.0.0.1:8443"}
        ran = node.agent.run("start", environ=environ)
        assert ran.code == 0, ran
    finally:
        server.close()


def _hash_of(certificate: Path) -> str:
    """The name that OpenSSL looks for."""
    import subprocess

    command = ["openssl", "x509", "-subject_hash", "-noout", "-in", str(certificate)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


# -- plain http -------------------------------------------------------------------------------------------------------

PLAIN = "http://10.9.9.9:8080"


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2"])
@pytest.mark.parametrize("url", [PLAIN, "HTTP://10.9.9.9:8080", "http://127.0.0.1:80@10.9.9.9:8080"])
def test_a_plain_http_endpoint_of_the_environment_is_refused(node: Node, name: str, url: str) -> None:
    """insecure_endpoint: an endpoint over plain http beyond loopback is refused with 6 wherever it is set; nothing is
    sent, and nothing changed."""
    with listening("10.9.9.9", 8080) as received:
        ran = node.agent.run("start", environ={name: url})
    assert ran.code == 6, ran
    assert "plain http" in ran.reason
    assert "insecure_endpoint=true" in ran.reason
    assert received == []
    assert node.held() == []


def test_a_plain_http_endpoint_of_sts_is_refused(node: Node) -> None:
    """The endpoint of STS, which gets this node's credentials, may not be plain http either."""
    parameters = {"routing_table_role": "arn:aws:iam::210987654321:role/network"}
    with listening("10.9.9.9", 8080) as received:
        ran = node.agent.run("start", parameters, environ={"AWS_ENDPOINT_URL_STS": PLAIN})
    assert ran.code == 6, ran
    assert "plain http" in ran.reason
    assert received == []


def test_a_plain_http_endpoint_of_the_environment_that_is_accepted(node: Node) -> None:
    """insecure_endpoint=true accepts an endpoint of the environment as well, with a warning."""
    ip("address", "add", "10.9.9.9/32", "dev", "lo")
    server = api_server(node.aws.api, [("10.9.9.9", 8080)])
    try:
        ran = node.agent.run("start", {"insecure_endpoint": "true"}, environ={"AWS_ENDPOINT_URL": PLAIN})
        assert ran.code == 0, ran
        assert f"WARNING: the EC2 endpoint {PLAIN} is plain http" in ran.stderr
    finally:
        server.close()


@contextmanager
def listening(address: str, port: int) -> Iterator[List[bytes]]:
    """A server at an address of this node that is not loopback's: what it received."""
    ip("address", "add", f"{address}/32", "dev", "lo")
    received: List[bytes] = []
    with serving(lambda connection: received.append(connection.recv(65536)), (address, port)):
        yield received
    ip("address", "del", f"{address}/32", "dev", "lo")
