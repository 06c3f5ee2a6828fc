"""Sessions of the AWS SDK: configuration, credentials and endpoints. The only module that makes clients of boto3.

Facts: AWS SDKs and Tools Reference Guide, "Settings reference"; botocore's documentation of `Config`.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import stat
import threading
import warnings
from hashlib import sha256
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Protocol, Tuple
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore import exceptions as sdk
from botocore import xform_name
from botocore.config import Config
from botocore.parsers import ResponseParserError

from aws_ipfailover.aws.certificate_authorities import authorities, context
from aws_ipfailover.aws.errors import UnusableAnswer, clock_skew, translate
from aws_ipfailover.aws.imds import Imds
from aws_ipfailover.aws.imds_endpoint import endpoint as imds_endpoint
from aws_ipfailover.aws.retry import Calls
from aws_ipfailover.aws.service_models import TrimmedLoader
from aws_ipfailover.aws.transport import Transport
from aws_ipfailover.consistency import WriteMemory
from aws_ipfailover.deadline import Deadline, Progress
from aws_ipfailover.errors import DeniedError, Error, ExpiredError, NoCredentialsError, ParameterError, UnknownError
from aws_ipfailover.parameters import PLAIN_HTTP, is_insecure
from aws_ipfailover.redaction import keep_secret, keep_secrets_of

log = logging.getLogger(__name__)


class Account(NamedTuple):
    """How to reach EC2: all optional but the region. `insecure`: an endpoint may be plain http beyond this node.

    `external_id`: what the trust policy of `role` asks for, a secret between two accounts. `resource`: the id of the
    resource that the session of `role` is for; by default the one that Pacemaker has started this process for.
    """

    region: str
    profile: Optional[str] = None
    endpoint_url: Optional[str] = None
    role: Optional[str] = None
    insecure: bool = False
    external_id: Optional[str] = None
    resource: str = ""


def configured_region(profile: Optional[str]) -> Optional[str]:
    """The region from AWS_REGION, AWS_DEFAULT_REGION or the profile, or `None`; IMDS is not asked.

    Raises:
        NodeError: this node has no such profile.
    """
    try:
        found = os.environ.get("AWS_REGION")
        if not found:
            session = _unused[profile] = _session(profile)
            found = session.get_config_variable("region")
    except Exception as error:  # noqa: BLE001  translated
        raise translate("AWS configuration", error) from None
    return str(found) if found else None


# Sessions that `configured_region` created, by profile, to be used again: creating one takes 10 ms.
_unused: Dict[Optional[str], botocore.session.Session] = {}


def ec2_calls(
    account: Account,
    deadline: Deadline,
    imds: Imds,
    progress: Progress,
    connections: int = 10,
) -> Calls:
    """Calls of EC2 with the credentials of the SDK's chain, which ends with the instance's role, or of `account.role`.

    `connections`: the highest number of parallel calls.

    Raises:
        NodeError: no such profile.  Error: no credentials, or the role cannot be assumed.  UnknownError: no answer.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # boto3 warns users of old Pythons on standard error
            for imds_url in imds_endpoint(os.environ, account.profile).urls:
                _bypass_proxy(imds_url)
            source = _Credentials(_Sessions(account, deadline, connections), imds, progress)
            url = account.endpoint_url or _configured_endpoint("EC2")
            client = ServiceClient(source, "ec2", account.region, url)
            _check_endpoint(account, "EC2", client.endpoint_url)
            return Calls(client, deadline, progress)
    except Exception as error:  # noqa: BLE001  translated; nothing of the SDK leaves this package
        raise translate("AWS configuration", error) from None


def sts_calls(account: Account, deadline: Deadline, imds: Imds, progress: Progress) -> Calls:
    """Calls of STS with this node's own credentials, whatever `account.role` is.

    Raises:
        as `ec2_calls`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            account = account._replace(role=None)
            source = _Credentials(_Sessions(account, deadline, 1), imds, progress)
            client = ServiceClient(source, "sts", account.region, _configured_endpoint("STS"))
            _check_endpoint(account, "STS", client.endpoint_url)
            return Calls(client, deadline, progress)
    except Exception as error:  # noqa: BLE001  translated; nothing of the SDK leaves this package
        raise translate("AWS configuration", error) from None


class Reached(NamedTuple):
    """The answer of an endpoint to a request that nobody signed.

    `url`: the endpoint's. `proxy`: host and port of the proxy on the way, empty without one. `clock_skew`: seconds by
    which this node's clock is ahead of the server's; `None` where the answer does not tell its time.
    """

    url: str
    proxy: str
    clock_skew: Optional[float]


class Endpoint:
    """The endpoint of a service (ec2, sts) that the clients of an account use; needs no credentials.

    Raises:
        NodeError: no such profile.  ParameterError: it is plain http, which the parameters do not accept.
        Error: the configuration is wrong.
    """

    def __init__(self, account: Account, service: str, deadline: Deadline) -> None:
        self._name = f"the {service.upper()} endpoint"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                sessions = _Sessions(account, deadline, 1)
                session = sessions.new()
                if not session.get_config_variable("data_path"):
                    session.register_component("data_loader", TrimmedLoader())
                chosen = account.endpoint_url if service == "ec2" else None
                client: Any = boto3.Session(botocore_session=session, region_name=account.region).client(
                    service,  # type: ignore[call-overload]
                    endpoint_url=chosen or _configured_endpoint(service.upper()),
                    config=_config(),
                    # No request is signed with these; without any the SDK would look for others.
                    aws_access_key_id="none",
                    aws_secret_access_key="none",  # noqa: S106  no secret
                )
            self.url = str(client.meta.endpoint_url)
            _check_endpoint(account, service.upper(), self.url)
            self.proxy = sessions.proxy_for(self.url)
            self._sessions = sessions
        except Exception as error:  # noqa: BLE001  translated; nothing of the SDK leaves this package
            raise translate("AWS configuration", error) from None

    def reach(self) -> Reached:
        """Send a request without a signature; whatever HTTP answer comes back counts.

        Raises:
            UnknownError: there is none; the text names the kind of failure.
        """
        try:
            date = self._sessions.date_of(self.url)
        except Exception as error:  # noqa: BLE001  translated; nothing of the SDK leaves this package
            raise translate(self._name, error) from None
        return Reached(self.url, self.proxy, clock_skew(date))


def _check_endpoint(account: Account, service: str, url: str) -> None:
    """Refuse an endpoint that is plain http, unless the parameters accept it: then warn."""
    if not is_insecure(url):
        return
    if not account.insecure:
        raise ParameterError(f"the {service} endpoint {url} {PLAIN_HTTP}")
    if url != account.endpoint_url:  # else the warning about the parameter says so
        log.warning("the %s endpoint %s is plain http: whoever is on the way reads its credentials", service, url)


def _config() -> Config:
    # One try: `Calls` retries itself, until the deadline.
    return Config(retries={"total_max_attempts": 1, "mode": "standard"})


def _session(profile: Optional[str]) -> botocore.session.Session:
    for name in (
        *("AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"),
        *("AWS_PROFILE", "AWS_DEFAULT_PROFILE"),  # the SDK would look for a profile without a name
    ):
        if not os.environ.get(name, "-").strip():
            del os.environ[name]  # a blank value counts as unset, as in imds_endpoint
    session = botocore.session.Session(profile=profile)
    # Also the keys that the SDK uses by itself, to assume the role of a profile.
    session.register("before-sign", _keep_signing_keys)
    # The regional endpoint of STS: private subnets often reach no other, and old SDKs default to the global one.
    session.set_config_variable("sts_regional_endpoints", "regional")
    # For profiles whose credential_source is the instance: the SDK's own defaults are one try of one second.
    session.set_config_variable("metadata_service_timeout", 2)
    session.set_config_variable("metadata_service_num_attempts", 3)
    return session


class _Sessions:
    """Makes sessions for an account; the clients of all of them send their requests by one transport."""

    def __init__(self, account: Account, deadline: Deadline, connections: int) -> None:
        self.account = account
        self.deadline = deadline
        first = _unused.pop(account.profile, None) or _session(account.profile)
        self._first: Optional[botocore.session.Session] = first
        self._authorities = authorities(os.environ, first.get_scoped_config().get("ca_bundle"))
        trusted = context(self._authorities, deadline)
        self._transport = Transport(trusted, deadline, connections, insecure=account.insecure)

    def parsed(self) -> None:
        """Tell the transport that this thread's answer has been parsed, or never will be."""
        self._transport.parsed()

    def proxy_for(self, url: str) -> str:
        """Host and port of the proxy for requests to `url`; empty without one."""
        return self._transport.proxy_for(url)

    def date_of(self, url: str) -> str:
        """The `Date` of whatever a server answers to a request without a signature; empty where it tells none."""
        return self._transport.date_of(url)

    def new(self) -> botocore.session.Session:
        """A session, without credentials."""
        session, self._first = self._first or _session(self.account.profile), None
        session.set_config_variable("region", self.account.region)
        # The transport verifies certificates. This is for requests that the SDK may send without a client, and keeps a
        # blank setting from switching their verification off.
        session.set_config_variable("ca_bundle", self._authorities.path)
        self._transport.serve(session)
        return session


def _keep_signing_keys(**event: Any) -> None:
    """Keep the keys that sign a request from all output, before the answer can quote them."""
    keys = getattr(event.get("request_signer"), "_credentials", None)  # no public name has them
    keep_secret(*(getattr(keys, name, None) for name in ("access_key", "secret_key", "token")))


def _keep_configured_secrets(session: botocore.session.Session) -> None:
    """Keep from all output what configuration files and environment hold, whether this session uses it or not."""
    keep_secrets_of(os.environ)
    profiles: Mapping[str, Mapping[str, object]] = session.full_config.get("profiles", {})
    for profile in profiles.values():
        keep_secrets_of(profile)
    for settings in (os.environ, *profiles.values()):
        for name in (
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "web_identity_token_file",
        ):
            keep_secret(_text_of(settings.get(name)))


_LONGEST_TOKEN = 65536  # bytes of a file


def _text_of(path: object) -> str:
    """The text of a file with a token; empty where there is none."""
    try:
        # Of a regular file only: to read a pipe can take for ever.
        if isinstance(path, str) and stat.S_ISREG(os.stat(os.path.expanduser(path)).st_mode):
            with open(os.path.expanduser(path), encoding="utf-8", errors="replace") as file:
                return file.read(_LONGEST_TOKEN)
    except (OSError, ValueError):
        pass
    return ""


class SessionSource(Protocol):
    """Where sessions come from."""

    def session(self) -> botocore.session.Session:
        """A session with credentials that are fetched now."""

    def bare(self) -> botocore.session.Session:
        """A session without credentials."""

    def parsed(self) -> None:
        """Tell that this thread's answer has been parsed, or never will be."""


class _Credentials:
    """The credentials of one identity on this node: the SDK's chain, the instance's role, or a role to assume."""

    def __init__(self, sessions: _Sessions, imds: Imds, progress: Progress) -> None:
        self._sessions = sessions
        self._imds = imds
        self._progress = progress
        self.bare = sessions.new
        self.parsed = sessions.parsed

    def session(self) -> botocore.session.Session:
        """A session with credentials that are fetched now."""
        session, role = self._sessions.new(), self._sessions.account.role
        self._progress.text = "AWS credentials (profile, environment, or by IMDS the instance's role)"
        _set_credentials(session, self._imds)
        if role:
            self._assume(session, role)
        return session

    def _assume(self, session: botocore.session.Session, role: str) -> None:
        own = _OwnCredentials(session, self._sessions, self._imds)
        client = ServiceClient(own, "sts", self._sessions.account.region, _configured_endpoint("STS"))
        _check_endpoint(self._sessions.account, "STS", client.endpoint_url)
        sts = Calls(client, self._sessions.deadline, self._progress)
        node, resource = self._who()
        given: Dict[str, Any] = {
            "RoleArn": role,
            "RoleSessionName": _session_name(node, resource),
            "DurationSeconds": 900,
        }
        external_id = self._sessions.account.external_id
        if external_id is not None:
            keep_secret(external_id)
            given["ExternalId"] = external_id
        answer = _assume_tagged(sts, given, _session_tags(node, resource))
        keys = answer.get("Credentials") or {}
        key_id, secret, token = (keys.get(name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken"))
        if not (key_id and secret and token):
            raise UnknownError("AssumeRole: the answer has no credentials")
        keep_secret(key_id, secret, token)
        session.set_credentials(key_id, secret, token)

    def _who(self) -> Tuple[str, str]:
        """Which node and which resource act, for CloudTrail: instance id, or host name, and the resource's id."""
        try:
            node = self._imds.instance_id()
        except Error:
            node = socket.gethostname()
        named = self._sessions.account.resource or os.environ.get("OCF_RESOURCE_INSTANCE", "").strip()
        return node, named or "aws-ipfailover"


def _session_name(node: str, resource: str) -> str:
    # What STS accepts: [\w+=,.@-]{2,64}, ASCII only.
    return re.sub(r"[^\w+=,.@-]", "-", f"{node[:32]}-{resource}", flags=re.ASCII)[:64]


def _session_tags(node: str, resource: str) -> List[Dict[str, str]]:
    """The tags of a role's session: whole ids, where the session's name has them cut."""
    tags = {"aws-ipfailover:instance": node, "aws-ipfailover:resource": resource}
    # What STS accepts: [\p{L}\p{Z}\p{N}_.:/=+\-@]{0,256}; here of ASCII only.
    allowed = {key: re.sub(r"[^\w .:/=+@-]", "-", value, flags=re.ASCII)[:256] for key, value in tags.items()}
    return [{"Key": key, "Value": value} for key, value in allowed.items()]


# Seconds for which a role whose trust policy allows no session tags is assumed without asking again.
_UNTAGGED_SECONDS = 86_400.0


def _assume_tagged(sts: Calls, given: Mapping[str, Any], tags: List[Dict[str, str]]) -> Mapping[str, Any]:
    """Assume a role with session tags, or without them where STS denies that; what was denied second is raised.

    A trust policy without sts:TagSession denies the whole call. That a role takes no tags is remembered for a day, so
    that not each failover pays for two calls. Fact: AWS IAM User Guide, "Pass session tags in AWS STS".

    Raises:
        DeniedError: STS denies it in both ways.  UnknownError, Error: as any call.
    """
    role = given["RoleArn"]
    memory = WriteMemory(os.environ, f"untagged-{sha256(role.encode()).hexdigest()[:16]}")
    age = memory.age(role)
    untagged = age is not None and age < _UNTAGGED_SECONDS
    with_tags = {**given, "Tags": tags}
    try:
        return sts("AssumeRole", **(given if untagged else with_tags))
    except ExpiredError:
        raise
    except DeniedError as error:
        log.info("%s session tags: %s", "without" if untagged else "with", error)
    if untagged:  # the trust policy can have been changed, and ask for them now
        memory.forget()
        return sts("AssumeRole", **with_tags)
    answer = sts("AssumeRole", **given)
    memory.remember(role)
    return answer


class _OwnCredentials:
    """This node's own credentials: first those that `session` has, then newly fetched ones."""

    def __init__(self, session: botocore.session.Session, sessions: _Sessions, imds: Imds) -> None:
        self._session = session
        self._imds = imds
        self._used = False
        self.bare = sessions.new
        self.parsed = sessions.parsed

    def session(self) -> botocore.session.Session:
        """The session, with the credentials that it has or, from the second time on, with new ones."""
        if self._used:
            _set_credentials(self._session, self._imds)
        self._used = True
        return self._session


# Errors that other models do not prevent: the server's answer, or its absence.
_NOT_OF_MODELS = (
    *(Error, UnusableAnswer, sdk.ClientError, sdk.HTTPClientError, sdk.ConnectionError, sdk.NoCredentialsError),
    *(sdk.CredentialRetrievalError, sdk.MetadataRetrievalError, ResponseParserError),
)


class _Request(threading.local):
    """The request of a thread; `sent`: botocore has sent it, so that an error of botocore is about the answer."""

    sent = False


class ServiceClient:
    """A client of one service with credentials of `source`, with the trimmed models if the SDK accepts them.

    `url` is the endpoint, `None` for the SDK's own choice. The SDK's own models replace the trimmed ones
    permanently as soon as it refuses those: when the client is created, or at any call. Safe to use from many threads.
    """

    def __init__(self, source: SessionSource, name: str, region: str, url: Optional[str]) -> None:
        self._source = source
        self._name = name
        self._region = region
        self._url = url
        self._changing = threading.Lock()
        self._thread = _Request()
        self._session = source.session()
        # Models of the user's own come first.
        self._trimmed = not self._session.get_config_variable("data_path")
        self._client = self._create()

    @property
    def endpoint_url(self) -> str:
        """The endpoint that requests are sent to."""
        return str(self._client.meta.endpoint_url)

    def call(self, operation: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer to one request; raises what the SDK raises.

        botocore ends some answers of an unknown shape with a KeyError, TypeError or AttributeError of its own: such a
        one is raised as a `ResponseParserError`.
        """
        try:
            return self._call(operation, arguments)
        except _NOT_OF_MODELS:
            raise
        except Exception as error:
            if self._thread.sent:
                raise ResponseParserError(type(error).__name__) from None
            raise

    def _call(self, operation: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        used = self._client
        try:
            return self._request(used, operation, arguments)
        except _NOT_OF_MODELS:
            raise
        except Exception as error:
            with self._changing:
                if used is self._client:  # else a call on another thread has changed the models meanwhile
                    if not self._trimmed:
                        raise
                    self._use_own_models(error)
                    self._client = self._new()
        return self._request(self._client, operation, arguments)

    def _request(self, client: Any, operation: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        self._thread.sent = False
        try:
            answer: Mapping[str, Any] = getattr(client, xform_name(operation))(**arguments)
        finally:
            self._source.parsed()  # botocore tells the transport so only where no handler refuses the answer
        return answer

    def renew_credentials(self) -> None:
        """Fetch credentials anew; further calls use them."""
        with self._changing:
            self._session = self._source.session()
            self._client = self._create()

    def _create(self) -> Any:
        """The client, with the SDK's own models if it refuses the trimmed ones."""
        if self._trimmed:
            self._session.register_component("data_loader", TrimmedLoader())
            try:
                return self._new()
            except Exception as error:  # noqa: BLE001  raised again below if the SDK's own models do not help
                self._use_own_models(error)
        return self._new()

    def _use_own_models(self, error: Exception) -> None:
        log.debug("without trimmed models: %s", type(error).__name__)
        plain, known = self._source.bare(), self._session.get_credentials()
        if known is not None:
            plain.set_credentials(known.access_key, known.secret_key, known.token)
        self._session, self._trimmed = plain, False

    def _note_sent(self, **_: object) -> None:
        self._thread.sent = True

    def _new(self) -> Any:
        client: Any = boto3.Session(botocore_session=self._session, region_name=self._region).client(
            self._name,  # type: ignore[call-overload]
            endpoint_url=self._url,
            config=_config(),
        )
        client.meta.events.register(f"before-send.{self._name}", self._note_sent)
        client.meta.events.register(f"after-call.{self._name}", _check_answer)
        return client


def _check_answer(http_response: Any, parsed: Dict[str, Any], model: Any, **_: object) -> None:
    """Refuse a page that is no answer to the operation: botocore parses any well-formed page as an empty answer.

    The SDK's model describes no answer of ReplaceRoute, so a `return` of false is added to `parsed` here.
    """
    if http_response.status_code >= 300:
        return
    body = http_response.content
    if not re.search(rb"<(\w+:)?" + model.name.encode() + rb"Response[\s>/]", body):
        raise ResponseParserError(f"no {model.name}Response")
    if re.search(rb"<return>\s*false\s*</return>", body):
        parsed["Return"] = False


def _set_credentials(session: botocore.session.Session, imds: Imds) -> None:
    """Give `session` the credentials of the SDK's chain, or else of the instance's role.

    The role's are read with this package's IMDS client, so that all requests to IMDS keep the deadline, share one
    token and use no proxy.
    """
    _keep_configured_secrets(session)
    resolver = session.get_component("credential_provider")
    resolver.remove("iam-role")
    found = resolver.load_credentials()
    if found is not None:
        imds.is_dispensable = True
        frozen = found.get_frozen_credentials()
        keep_secret(frozen.access_key, frozen.secret_key, frozen.token)
        session.set_credentials(frozen.access_key, frozen.secret_key, frozen.token)
        return
    disabled = os.environ.get("AWS_EC2_METADATA_DISABLED", "").strip().lower() == "true"
    try:
        of_instance = None if disabled else imds.credentials()
    except Error as error:
        kind = UnknownError if isinstance(error, UnknownError) else NoCredentialsError
        raise kind(f"no AWS credentials, set parameter profile or mend IMDS: {error}") from None
    if of_instance is None:
        raise sdk.NoCredentialsError
    imds.is_dispensable = True
    keep_secret(*of_instance)
    session.set_credentials(of_instance.access_key_id, of_instance.secret_access_key, of_instance.session_token)


def _configured_endpoint(service: str) -> Optional[str]:
    # SDKs from 2023 on read these themselves; Debian 12's does not.
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").strip().lower() == "true":
        return None
    return os.environ.get(f"AWS_ENDPOINT_URL_{service}") or os.environ.get("AWS_ENDPOINT_URL") or None


def _bypass_proxy(url: str) -> None:
    """Keep the SDK's own requests to IMDS away from a proxy that is meant for EC2's API."""
    host = urlsplit(url).netloc
    for name in ("NO_PROXY", "no_proxy"):
        hosts = os.environ.get(name) or os.environ.get(name.swapcase()) or ""
        # * means all hosts, but only if it stands alone.
        if hosts.strip() != "*" and host not in hosts.split(","):
            os.environ[name] = ",".join(filter(None, [hosts, host]))
