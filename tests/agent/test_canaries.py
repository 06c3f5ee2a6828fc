"""No secret in any output, at any log level: every source of credentials, every place that echoes, every log.

Each secret is looked for in every form in which a server could quote it, eight characters in a row at a time. The
servers here quote whatever they get and, knowing this node's secrets, what they do not get as well.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
import socket
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence
from urllib.parse import quote, quote_plus

import botocore
import pytest

from sandbox import Node, Ran, addresses, secrets_of, without_packages
from vpc_lab.ec2 import Fault, Role, key_environment

LONGEST_LINE = 500
FRAGMENT = 8
PASSWORD = "canary/Pass+word=of_a_Proxy"
EXTERNAL_ID = "canary-External-Id-7f3a9c"
WEB_TOKEN = "eyJhbGciOiJSUzI1NiJ9.Y2FuYXJ5LXdlYi1pZGVudGl0eQ.c2lnbmF0dXJlLWNhbmFyeQ"
CONTAINER_TOKEN = "Bearer canary-Container-Token-51be"
ROLE = "arn:aws:iam::123456789012:role/canary"
# Older SDKs send a profile's role to AWS itself, wherever AWS_ENDPOINT_URL leads.
asks_sts_here = pytest.mark.skipif(
    tuple(map(int, botocore.__version__.split(".")[:2])) < (1, 31),
    reason="this SDK does not know AWS_ENDPOINT_URL, so that no server of ours can answer it",
)

FORMS: Dict[str, Callable[[str], str]] = {
    "raw": str,
    "URL": lambda text: quote(text, safe=""),
    "URL, small letters": lambda text: re.sub("%..", lambda one: one.group().lower(), quote_plus(text)),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 with a user": lambda text: base64.b64encode(b"user:" + text.encode()).decode(),
    "JSON": lambda text: json.dumps(text).replace("/", "\\/"),
    "Python": repr,
    "XML": html.escape,
    "lines": lambda text: "\r\n".join(re.findall("(?s).{1,5}", text)),
    "cut": lambda text: text[:FRAGMENT],
}


def quoted(secrets: Sequence[str]) -> str:
    """What a server says that quotes every secret in every form."""
    return "canaries: " + " ".join(form(secret) for secret in secrets for form in FORMS.values())


def leaked(output: str, secrets: Sequence[str]) -> List[str]:
    """Every form of a secret of which eight characters in a row are in an output, also across lines of it."""
    squeezed = "".join(output.split())
    found = []
    for secret in secrets:
        for name, form in FORMS.items():
            text = "".join(form(secret).split())
            inner = text[7:] if name == "base64 with a user" else text.strip("'\"")
            if any(inner[at : at + FRAGMENT] in squeezed for at in range(len(inner) - FRAGMENT + 1)):
                found.append(f"{name}: {secret}")
    return found


# -- where the agent writes -------------------------------------------------------------------------------------------


class Outputs(NamedTuple):
    """A run, and all that it wrote."""

    ran: Ran
    log: str
    syslog: List[str]

    @property
    def everything(self) -> str:
        return "\n".join([self.ran.stdout, self.ran.stderr, self.log, *self.syslog])

    @property
    def lines(self) -> List[str]:
        """Each line without what its place puts before it."""
        places = [*self.log.splitlines(), *self.syslog]
        return [*self.ran.stderr.splitlines(), *(re.sub(r"^.*?\[\d+\]: ", "", line) for line in places)]


def run(node: Node, directory: Path, action: str, place: str, **options: Any) -> Outputs:
    """Run an action at debug level; its log is in `place`: standard error, or both HA_LOGFILE and syslog ("files")."""
    environ = {"HA_debug": "1", "AWS_MAX_ATTEMPTS": "1", **options.pop("environ", {})}
    if place == "standard error":
        return Outputs(node.agent.run(action, environ=environ, **options), "", [])
    file = directory / "ha.log"
    with syslog(directory) as (command, lines):
        environ = {"HA_LOGFILE": str(file), "HA_LOGFACILITY": "local3", **environ}
        ran = node.agent.begin(action, command=command, environ=environ, **options).end()
    return Outputs(ran, file.read_text() if file.is_file() else "", lines)


@contextmanager
def syslog(directory: Path, *, read: bool = True) -> Iterator[tuple[List[str], List[str]]]:
    """A command prefix that gives an action a /dev of its own with syslog's socket; what it has sent there at the end.

    Without `read` nobody takes anything from the socket.
    """
    path, devices = directory / "log", directory / "dev"
    devices.mkdir()
    (devices / "null").touch()
    arrange = (
        'mount --bind /dev/null "$1/null" && mount --bind /dev/urandom /dev/urandom && ln -s "$2" "$1/log"'
        ' && mount --bind "$1" /dev && shift 2 && exec "$@"'
    )
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", arrange, "sh", str(devices), str(path)]
    lines: List[str] = []

    def take() -> None:
        while True:
            line = log.recv(65536).decode()
            if not line:
                return
            lines.append(line)

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(path))
        reader = threading.Thread(target=take, daemon=True)
        if read:
            reader.start()
        yield command, lines
        if read:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
                end.sendto(b"", str(path))
            reader.join()


def check(outputs: Outputs, secrets: Sequence[str], *expected: str) -> None:
    """No secret in any output; no line that is long or that a terminal obeys; what was expected is told."""
    assert leaked(outputs.everything, secrets) == [], outputs
    assert "Traceback" not in outputs.everything
    for line in outputs.lines:
        assert len(line) <= LONGEST_LINE, line
        assert line.isprintable(), line
    for text in expected:
        assert text in outputs.everything, outputs.everything


# -- servers that quote -----------------------------------------------------------------------------------------------


@contextmanager
def answering(answer: Callable[[BaseHTTPRequestHandler], tuple[int, str]]) -> Iterator[str]:
    """An HTTP server that answers everything with a status and a page; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, text = answer(self)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PUT = _reply  # noqa: N815  http.server's names

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ec2_error(code: str, message: str) -> str:
    """EC2's page of an error."""
    error = f"<Code>{html.escape(code)}</Code><Message>{html.escape(message)}</Message>"
    return f"<Response><Errors><Error>{error}</Error></Errors><RequestID>1</RequestID></Response>"


def sts_error(code: str, message: str) -> str:
    """STS' page of an error."""
    error = f"<Type>Sender</Type><Code>{html.escape(code)}</Code><Message>{html.escape(message)}</Message>"
    return f"<ErrorResponse><Error>{error}</Error><RequestId>1</RequestId></ErrorResponse>"


# -- every source of credentials --------------------------------------------------------------------------------------


def of_the_environment(node: Node, _: Path) -> List[str]:
    """AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN."""
    node.agent.environ.update(key_environment(node.aws.account.identities.of_instance(node.me.instance_id)))
    return []


def profiles(node: Node, directory: Path, variable: str, text: str) -> None:
    """A configuration file, which `variable` names, with the profile of the resource."""
    file = directory / variable
    file.write_text(text)
    file.chmod(0o600)
    node.agent.environ[variable] = str(file)
    node.agent.parameters.update(profile="cluster", region="eu-central-1")


def keys(node: Node) -> str:
    """The lines of a profile with keys."""
    found = key_environment(node.aws.account.identities.of_instance(node.me.instance_id))
    return "".join(f"{name.lower()} = {value}\n" for name, value in found.items())


def of_the_credentials_file(node: Node, directory: Path) -> List[str]:
    """The shared credentials file, in which another profile has keys as well."""
    others = "canaryKeyOfAnotherProfile0123456789abcdef"
    text = f"[cluster]\n{keys(node)}[other]\naws_access_key_id = canary0123\naws_secret_access_key = {others}\n"
    profiles(node, directory, "AWS_SHARED_CREDENTIALS_FILE", text)
    return [others]


def of_the_configuration_file(node: Node, directory: Path) -> List[str]:
    """The configuration file."""
    profiles(node, directory, "AWS_CONFIG_FILE", f"[profile cluster]\n{keys(node)}")
    return []


def of_a_process(node: Node, directory: Path) -> List[str]:
    """credential_process."""
    of_instance = node.aws.account.identities.of_instance(node.me.instance_id)
    answer = {
        "Version": 1,
        "AccessKeyId": of_instance.access_key_id,
        "SecretAccessKey": of_instance.secret_access_key,
        "SessionToken": of_instance.session_token,
    }
    (directory / "answer").write_text(json.dumps(answer))
    profiles(
        node, directory, "AWS_CONFIG_FILE", f"[profile cluster]\ncredential_process = /bin/cat {directory / 'answer'}\n"
    )
    return []


def of_a_container(node: Node, directory: Path) -> List[str]:
    """AWS_CONTAINER_CREDENTIALS_FULL_URI, with a token of the environment, and another one in a file."""
    file = directory / "token"
    file.write_text("canary-Token-Of-A-File-8d21")
    node.agent.environ.update(
        AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{node.agent.environ['CONTAINER']}/credentials",
        AWS_CONTAINER_AUTHORIZATION_TOKEN=CONTAINER_TOKEN,
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(file),
    )
    return [CONTAINER_TOKEN, file.read_text().strip()]


def of_the_instance(node: Node, _: Path) -> List[str]:
    """The instance's role, by IMDS, with a token of IMDS."""
    del node
    return []


def of_a_role(node: Node, _: Path) -> List[str]:
    """The role of a parameter, assumed with the instance's."""
    node.aws.account.identities.put_role(Role(ROLE, None, frozenset({node.aws.account.topology.account_id})))
    node.agent.parameters["routing_table_role"] = ROLE
    return []


def of_a_role_with_an_external_id(node: Node, _: Path) -> List[str]:
    """The role of a parameter, whose trust policy asks for the external id of another one."""
    account = node.aws.account.topology.account_id
    node.aws.account.identities.put_role(Role(ROLE, None, frozenset({account}), external_id=EXTERNAL_ID))
    node.agent.parameters.update(routing_table_role=ROLE, external_id=EXTERNAL_ID)
    return [EXTERNAL_ID]


def of_the_role_of_a_profile(node: Node, directory: Path) -> List[str]:
    """The role of a profile, which the SDK itself assumes with another profile's keys and an external id."""
    node.aws.account.identities.put_role(Role(ROLE, None, frozenset({node.aws.account.topology.account_id})))
    text = f"[profile cluster]\nrole_arn = {ROLE}\nsource_profile = base\nexternal_id = {EXTERNAL_ID}\n"
    profiles(node, directory, "AWS_CONFIG_FILE", f"{text}[profile base]\n{keys(node)}")
    return [EXTERNAL_ID]


Source = Callable[[Node, Path], List[str]]
SOURCES: List[Any] = [
    *(of_the_environment, of_the_credentials_file, of_the_configuration_file, of_a_process, of_a_container),
    *(of_the_instance, of_a_role, of_a_role_with_an_external_id),
    pytest.param(of_the_role_of_a_profile, marks=asks_sts_here),
]


@pytest.fixture
def container(node: Node) -> Iterator[Node]:
    """The node, beside a server that gives a container's credentials away."""
    found = node.aws.account.identities.of_instance(node.me.instance_id)
    answer = {
        "AccessKeyId": found.access_key_id,
        "SecretAccessKey": found.secret_access_key,
        "Token": found.session_token,
        "Expiration": "2099-01-01T00:00:00Z",
    }
    with answering(lambda _: (200, json.dumps(answer))) as url:
        node.agent.environ["CONTAINER"] = url
        yield node


def finally_refused(answers: List[str], text: str, answer: tuple[int, str]) -> tuple[int, str]:
    """The first answers are tried again, which the log tells at debug level; then one that is final."""
    answers.append(text)
    return answer if len(answers) <= 4 else (400, ec2_error("InvalidParameterValue", text))


class Place(NamedTuple):
    """Where EC2 quotes: the status and the page of its answer, and what is then told of it."""

    answer: Callable[[str], tuple[int, str]]
    expected: str


DENIAL = "a denial's message"
ECHOES = {
    "the error's code": Place(lambda text: (400, ec2_error(text, "no")), "without a usable code (HTTP status 400): no"),
    "the error's message": Place(
        lambda text: (400, ec2_error("IncorrectState", text)), "IncorrectState: canaries: ***"
    ),
    DENIAL: Place(
        lambda text: (403, ec2_error("UnauthorizedOperation", f"no, because {text}")), "; AWS: canaries: ***"
    ),
    "a page instead of an answer": Place(lambda text: (200, f"<html>{html.escape(text)}</html>"), "no usable answer"),
    "a page of an error": Place(lambda text: (407, text), "no usable answer"),
}


def no_output_repeats_them(container: Node, tmp_path: Path, source: Source, echo: str, place: str) -> None:
    """Start with the credentials of this source, all of which EC2 quotes: no output repeats any of them."""
    node, others = container, source(container, tmp_path)
    answers: List[str] = []

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, str]:
        # The secrets that there are by now: a token of IMDS, the keys of a role.
        sent = [text for name, text in request.headers.items() if name.lower() == "x-amz-security-token"]
        text = quoted([*sorted(secrets_of(node.aws)), *others, *sent])
        return finally_refused(answers, text, ECHOES[echo].answer(text))

    with answering(answer) as url:
        environ = {"AWS_ENDPOINT_URL_EC2": url, "AWS_ENDPOINT_URL_STS": node.aws.ec2_url}
        outputs = run(node, tmp_path, "start", place, environ=environ, timeout=20)
    assert outputs.ran.code in (1, 4), outputs
    check(outputs, [*secrets_of(node.aws), *others], ECHOES[echo].expected)


# What is kept secret is known by its source, and hidden where a line is written: not every pair says something new.
@pytest.mark.parametrize("source", SOURCES)
def test_ec2_quotes_credentials(container: Node, tmp_path: Path, source: Source) -> None:
    """Wherever credentials come from."""
    no_output_repeats_them(container, tmp_path, source, "the error's message", "standard error")


# The lines of files are those of standard error, made by the same function: one way of quoting is enough to see that.
@pytest.mark.parametrize(("echo", "place"), [*((one, "standard error") for one in ECHOES), (DENIAL, "files")])
@pytest.mark.parametrize("source", [of_the_credentials_file, of_a_role_with_an_external_id])
def test_ec2_quotes_credentials_anywhere(
    container: Node, tmp_path: Path, source: Source, echo: str, place: str
) -> None:
    """In whatever part of its answers, and wherever the agent writes."""
    no_output_repeats_them(container, tmp_path, source, echo, place)


@pytest.mark.parametrize("part", ["secret_access_key", "session_token", "access_key_id", "IMDS"])
def test_a_secret_that_looks_like_a_code(node: Node, tmp_path: Path, part: str) -> None:
    """EC2's error code is a secret and nothing else, letters and digits where a secret has other characters."""

    def answer(_: object) -> tuple[int, str]:
        found = node.aws.account.identities.of_instance(node.me.instance_id)
        secret = max(node.aws.imds._tokens) if part == "IMDS" else getattr(found, part)
        longest = max(re.findall("[A-Za-z][A-Za-z0-9]*", secret), key=len)
        return 400, ec2_error(longest, "no")

    with answering(answer) as url:
        outputs = run(node, tmp_path, "start", "standard error", environ={"AWS_ENDPOINT_URL_EC2": url}, timeout=20)
    found = "".join(re.findall(r"ReplaceRoute: (\S+)", outputs.ran.reason))
    assert outputs.ran.code == 1, outputs
    # What is left of a secret has fewer than eight characters.
    assert len(found) < FRAGMENT or found not in "".join(secrets_of(node.aws)), outputs
    check(outputs, [*secrets_of(node.aws)])


# -- STS --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["standard error", "files"])
@pytest.mark.parametrize("echo", ["code", "message"])
@pytest.mark.parametrize(
    "source",
    [of_a_role, of_a_role_with_an_external_id, pytest.param(of_the_role_of_a_profile, marks=asks_sts_here)],
)
def test_sts_quotes_credentials(node: Node, tmp_path: Path, source: Source, echo: str, place: str) -> None:
    """AssumeRole's error quotes the keys that signed it, and what it was asked with."""
    others = source(node, tmp_path)

    def answer(_: object) -> tuple[int, str]:
        text = quoted([*sorted(secrets_of(node.aws)), *others])
        return 400, sts_error(text, "no") if echo == "code" else sts_error("ValidationError", text)

    with answering(answer) as url:
        outputs = run(node, tmp_path, "start", place, environ={"AWS_ENDPOINT_URL_STS": url}, timeout=20)
    assert outputs.ran.code == 1, outputs
    expected = "without a usable code (HTTP status 400)" if echo == "code" else "ValidationError: canaries: ***"
    check(outputs, [*secrets_of(node.aws), *others], expected)


@asks_sts_here
@pytest.mark.parametrize("echo", ["code", "message"])
def test_sts_quotes_keys_that_the_sdk_found_by_itself(node: Node, tmp_path: Path, echo: str) -> None:
    """A profile's role is assumed by the SDK itself, with keys of the instance that it asked IMDS for by itself."""
    text = f"[profile cluster]\nrole_arn = {ROLE}\ncredential_source = Ec2InstanceMetadata\n"
    profiles(node, tmp_path, "AWS_CONFIG_FILE", text)
    found = node.aws.account.identities.of_instance(node.me.instance_id)
    secrets = [found.access_key_id, found.secret_access_key, found.session_token or ""]

    def answer(_: object) -> tuple[int, str]:
        said = quoted(secrets)
        return 400, sts_error(said, "no") if echo == "code" else sts_error("ValidationError", said)

    with answering(answer) as url:
        environ = {"AWS_ENDPOINT_URL_STS": url}
        outputs = run(node, tmp_path, "start", "standard error", environ=environ, timeout=20)
    assert outputs.ran.code == 1, outputs
    expected = "without a usable code (HTTP status 400)" if echo == "code" else "ValidationError: canaries: ***"
    check(outputs, secrets, expected)


@asks_sts_here
@pytest.mark.parametrize("where", ["environment", "profile"])
def test_sts_quotes_the_token_of_a_web_identity(node: Node, tmp_path: Path, where: str) -> None:
    """AssumeRoleWithWebIdentity's error quotes the token, which is in a file only."""
    file = tmp_path / "web"
    file.write_text(WEB_TOKEN)
    if where == "environment":
        node.agent.environ.update(AWS_WEB_IDENTITY_TOKEN_FILE=str(file), AWS_ROLE_ARN=ROLE)
    else:
        text = f"[profile cluster]\nrole_arn = {ROLE}\nweb_identity_token_file = {file}\n"
        profiles(node, tmp_path, "AWS_CONFIG_FILE", text)
    with answering(lambda _: (400, sts_error("InvalidIdentityToken", quoted([WEB_TOKEN])))) as url:
        outputs = run(node, tmp_path, "start", "standard error", environ={"AWS_ENDPOINT_URL_STS": url}, timeout=20)
    assert outputs.ran.code == 1, outputs
    check(outputs, [WEB_TOKEN], "InvalidIdentityToken", "canaries: ***")


@pytest.mark.parametrize("action", ["start", "monitor", "validate-all", "stop"])
@pytest.mark.parametrize("trusted", [True, False])
def test_an_external_id(node: Node, tmp_path: Path, action: str, trusted: bool) -> None:
    """The external id of a role is in no output and in no file, whether STS accepts it or not."""
    of_a_role_with_an_external_id(node, tmp_path)
    if not trusted:
        node.agent.parameters["routing_table_role"] += "-of-nobody"
    node.hold()
    outputs = run(node, tmp_path, action, "files", level=10, interval=10)
    check(outputs, [EXTERNAL_ID])
    for path in node.directory.iterdir():
        assert leaked(path.read_text(), [EXTERNAL_ID]) == []


# -- IMDS -------------------------------------------------------------------------------------------------------------


class Quoting(Dict[str, Optional[str]]):
    """Answers of IMDS that quote its own token, without blanks, as its client accepts them for a name."""

    def __init__(self, node: Node, path: str) -> None:
        super().__init__()
        self._node = node
        self._path = path

    def __contains__(self, path: object) -> bool:
        return path == self._path

    def __getitem__(self, path: str) -> str:
        return max(self._node.aws.imds._tokens)


ROLES = "/latest/meta-data/iam/security-credentials"
IMDS_ECHOES = {
    "the role's name": ROLES,
    "the MAC address": "/latest/meta-data/mac",
    "the region": "/latest/meta-data/placement/region",
}


@pytest.mark.parametrize("place", ["standard error", "files"])
@pytest.mark.parametrize("echo", IMDS_ECHOES)
def test_imds_quotes_its_token(node: Node, tmp_path: Path, echo: str, place: str) -> None:
    """The body of an answer of IMDS is its token, which then stands in a path that is asked and fails."""
    node.aws.imds.overrides = Quoting(node, IMDS_ECHOES[echo])
    node.aws.faults.add(Fault("error", action=f"{ROLES}/?*", service="imds", status=500, times=1))
    outputs = run(node, tmp_path, "start", place, timeout=8)
    # Without a MAC address of IMDS the node is found by EC2.
    assert outputs.ran.code == (0 if echo == "the MAC address" else 1), outputs
    check(outputs, [*secrets_of(node.aws)], "IMDS")
    if echo == "the role's name":
        assert "IMDS: status 500 for meta-data/iam/security-credentials/***; asking again" in outputs.everything


# -- proxies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["standard error", "files"])
@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
@pytest.mark.parametrize("echo", ["page", "EC2's error"])
def test_a_proxy_quotes_its_password(node: Node, tmp_path: Path, name: str, echo: str, place: str) -> None:
    """A proxy quotes the user and password that it was asked with, and every other secret."""
    info = f"admin:{quote(PASSWORD, safe='')}"
    canaries = [PASSWORD, f"admin:{PASSWORD}"]
    asked: List[str] = []
    answers: List[str] = []

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, str]:
        asked.append(request.headers["Proxy-Authorization"])
        text = f"{quoted([*canaries, *sorted(secrets_of(node.aws))])} {asked[-1]} http://{info}@proxy"
        return finally_refused(
            answers, text, (407, text) if echo == "page" else (400, ec2_error("IncorrectState", text))
        )

    with answering(answer) as url:
        environ = {name: url.replace("//", f"//{info}@"), "AWS_ENDPOINT_URL": "http://ec2.example.com"}
        node.agent.parameters["insecure_endpoint"] = "true"  # else the proxy would only be asked for a connection
        outputs = run(node, tmp_path, "start", place, environ=environ, timeout=20)
    assert outputs.ran.code == 1, outputs
    assert set(asked) == {"Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()}
    # The user's name alone is no secret.
    expected = "no usable answer" if echo == "page" else "IncorrectState: canaries: ***"
    check(outputs, [PASSWORD, asked[0][6:], *secrets_of(node.aws)], expected)


@pytest.mark.parametrize(
    "name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2"]
)
@pytest.mark.parametrize("place", ["standard error", "files"])
def test_a_url_with_a_password_that_leads_nowhere(node: Node, tmp_path: Path, name: str, place: str) -> None:
    """What the SDK says of a URL that it cannot use can quote it."""
    url = f"http://admin:{PASSWORD}@127.0.0.1:9/"
    environ = {"AWS_ENDPOINT_URL": "https://ec2.example.com", name: url}
    outputs = run(node, tmp_path, "start", place, environ=environ, timeout=8)
    # 6: a URL whose password hides where it leads is no https, and not known to be this node's.
    assert outputs.ran.code in (1, 6), outputs
    check(outputs, [PASSWORD, *secrets_of(node.aws)])


@pytest.mark.parametrize("variable", ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"])
@pytest.mark.parametrize("line", ["aws_secret_access_key {}", "[{}", "aws_secret_access_key = {0}\n{0}\naws_profile"])
def test_a_file_that_cannot_be_read(node: Node, tmp_path: Path, variable: str, line: str) -> None:
    """A configuration file that is damaged where a secret stands: what is wrong with it is told without its text."""
    profiles(node, tmp_path, variable, "[profile cluster]\n[cluster]\n" + line.format(SECRET) + "\n")
    outputs = run(node, tmp_path, "start", "standard error", timeout=20)
    assert outputs.ran.code in (1, 2), outputs
    check(outputs, [SECRET])


# -- parameters and Pacemaker's variables -----------------------------------------------------------------------------


SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYcanary"
PARAMETERS: Dict[str, Mapping[str, str]] = {
    **{name: {name: SECRET} for name in ("ip", "routing_table", "mode", "iflabel", "region", "profile", "interface")},
    "an unknown one": {SECRET: "1"},
    "endpoint_url": {"endpoint_url": f"https://admin:{SECRET}@ec2.example.com"},
    "endpoint_url, a quote in it": {"endpoint_url": f"https://admin:'{SECRET}@ec2.example.com"},
    "routing_table_role": {"routing_table_role": f"arn:aws:iam::123456789012:role/{SECRET} "},
}


@pytest.mark.parametrize("place", ["standard error", "files"])
@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("action", ["start", "monitor", "stop", "validate-all"])
def test_a_parameter_that_is_a_secret(node: Node, tmp_path: Path, action: str, name: str, place: str) -> None:
    """A key that was put where a parameter is expected: what is wrong is told without it."""
    environ = {"AWS_SECRET_ACCESS_KEY": SECRET, "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"}
    parameters = {**node.agent.parameters, **PARAMETERS[name]}
    options: Dict[str, Any] = {"level": 10, "interval": 10} if action == "monitor" else {}
    outputs = run(node, tmp_path, action, place, parameters=parameters, environ=environ, timeout=20, **options)
    check(outputs, [SECRET])


@pytest.mark.parametrize("place", ["standard error", "files"])
@pytest.mark.parametrize("name", ["OCF_RESOURCE_INSTANCE", "OCF_EXIT_REASON_PREFIX", "HA_LOGFACILITY"])
def test_pacemakers_variables(node: Node, tmp_path: Path, name: str, place: str) -> None:
    """Pacemaker's variables hold a secret, and what would forge lines: every line begins as a line of the agent's."""
    forged = f"x)[1]: \nERROR: forged\r\n\x1b[2J\x9b2J\u202e\u2028ERROR: forged {SECRET}" + "y" * 5000
    environ = {"AWS_SECRET_ACCESS_KEY": SECRET, "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"}
    variables = {**environ, name: os.fsencode(forged).decode("utf-8", "surrogateescape")}
    outputs = run(node, tmp_path, "start", place, parameters={"ip": "10.0.0.500"}, environ=variables)
    assert outputs.ran.code == 6, outputs
    check(outputs, [SECRET])
    for line in outputs.everything.splitlines():
        assert not line.startswith("ERROR: forged"), line
    for line in [*outputs.log.splitlines(), *outputs.syslog]:
        assert "(x)[1]" not in line
        assert re.match(r"(<\d+>)?\w+ +\d+ [\d:]+ aws-ipfailover(\([^()]*\))?\[\d+\]: (DEBUG|INFO|ERROR): ", line), line


# -- HA_LOGFILE -------------------------------------------------------------------------------------------------------


def pipe(path: Path) -> None:
    """A pipe that nobody reads."""
    os.mkfifo(path)


def link_of_another_user(path: Path) -> None:
    """A link that the user hacluster could have made, to a file of root's."""
    target = path.parent / "passwd"
    target.write_text("root\n")
    path.symlink_to(target)
    os.chown(path, 12345, 12345, follow_symlinks=False)


def second_name(path: Path) -> None:
    """Another name of a file of root's."""
    target = path.parent / "passwd"
    target.write_text("root\n")
    os.link(target, path)


def link_to_itself(path: Path) -> None:
    """A link that leads nowhere."""
    path.symlink_to(path)


@pytest.mark.parametrize("make", [pipe, link_of_another_user, second_name, link_to_itself, Path.mkdir])
@pytest.mark.parametrize("place", ["standard error", "files"])
def test_a_log_file_that_is_none(node: Node, tmp_path: Path, make: Callable[[Path], object], place: str) -> None:
    """HA_LOGFILE that is no file of its own is not written, does not hold the action up, and is told of elsewhere."""
    path = tmp_path / "odd.log"
    make(path)
    outputs = run(node, tmp_path, "start", place, environ={"HA_LOGFILE": str(path)}, timeout=20)
    assert outputs.ran.code == 0, outputs
    assert outputs.ran.elapsed < 10
    told = "\n".join(outputs.syslog) if place == "files" else outputs.ran.stderr
    assert "WARNING: HA_LOGFILE is not written: " in told
    assert "INFO: added 192.168.10.10 to eth0" in told
    if (tmp_path / "passwd").exists():
        assert (tmp_path / "passwd").read_text() == "root\n"


def test_a_syslog_that_nobody_reads(node: Node, tmp_path: Path) -> None:
    """Where the reader of syslog is stopped and its queue is full, the action goes on, and the log is elsewhere."""
    file = tmp_path / "ha.log"
    with syslog(tmp_path, read=False) as (command, _):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as another:
            another.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    another.sendto(b"full", str(tmp_path / "log"))
        environ = {"HA_LOGFILE": str(file), "HA_LOGFACILITY": "local3"}
        ran = node.agent.begin("start", command=command, environ=environ, timeout=20).end()
    assert ran.code == 0, ran
    assert ran.elapsed < 10
    assert "WARNING: syslog is not written: " in file.read_text()
    assert "INFO: added 192.168.10.10 to eth0" in file.read_text()


@pytest.mark.parametrize("link", [False, True])
def test_the_log_file_of_pacemaker(node: Node, tmp_path: Path, link: bool) -> None:
    """A file of hacluster in a directory of hacluster is appended to, also by a link that root has made."""
    directory = tmp_path / "pacemaker"
    directory.mkdir()
    file = directory / "pacemaker.log"
    file.write_text("before\n")
    for path in (file, directory):
        os.chown(path, 12345, 12345)
    (tmp_path / "pacemaker.log").symlink_to("pacemaker/pacemaker.log")
    place = tmp_path / "pacemaker.log" if link else file
    ran = node.agent.run("start", environ={"HA_LOGFILE": str(place)})
    assert (ran.code, ran.stderr) == (0, ""), ran
    assert file.read_text().startswith("before\n")
    assert "INFO: added 192.168.10.10 to eth0" in file.read_text()
    assert (file.stat().st_uid, file.stat().st_gid) == (12345, 12345)


# -- without the package ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["start", "stop", "monitor"])
def test_without_the_package(node: Node, tmp_path: Path, action: str) -> None:
    """Where the package does not load, the agent's file says so without a secret, on a line of its own."""
    shim = without_packages(tmp_path / "shim", "aws_ipfailover")
    (tmp_path / "shim" / "sitecustomize.py").write_text(
        (tmp_path / "shim" / "sitecustomize.py")
        .read_text()
        .replace(
            "f'No module named {name!r}'", f"'No {SECRET} {SECRET[:17]} {SECRET[17:]} AKIAIOSFODNN7EXAMPLE \\x1b[2J'"
        )
    )
    environ = {
        **shim,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "HTTPS_PROXY": f"http://admin:{PASSWORD}@127.0.0.1:9",
        "OCF_EXIT_REASON_PREFIX": f"ocf-exit-reason:\nforged \u202e{PASSWORD} " + "y" * 2000,
    }
    ran = node.agent.run(action, environ=environ, interval=10 if action == "monitor" else None)
    assert ran.code == (0 if action == "stop" else 5), ran
    (line,) = ran.stderr.splitlines()
    assert "does not load" in line
    assert len(line) <= LONGEST_LINE
    assert line.isprintable()
    assert leaked(line, [SECRET, PASSWORD, "AKIAIOSFODNN7EXAMPLE"]) == []
    assert addresses()
