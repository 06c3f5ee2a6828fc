"""EC2's API: the only module that imports boto3 and botocore, and the one place where their errors become ours.

Facts: Amazon EC2 API Reference, "Error codes" and each operation's page; "Request throttling for the Amazon EC2 API".
"""

from __future__ import annotations

import logging
import os
import random
import re
import time
import warnings
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple, Type, Union
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore import exceptions as sdk
from botocore.config import Config
from botocore.parsers import ResponseParserError

from aws_ipfailover import authorities
from aws_ipfailover.deadline import Deadline, Progress
from aws_ipfailover.errors import (
    DeniedError,
    DetachedError,
    Error,
    IndexTakenError,
    InUseError,
    NodeError,
    NoRouteError,
    NoTableError,
    RouteExistsError,
    ThrottledError,
    UnknownError,
)
from aws_ipfailover.imds import Credentials
from aws_ipfailover.imds import endpoint as imds_endpoint
from aws_ipfailover.pacing import Pace
from aws_ipfailover.service_models import TrimmedLoader

log = logging.getLogger(__name__)

Address = Union[IPv4Address, IPv6Address]
Cidr = Union[IPv4Network, IPv6Network]

THROTTLED = frozenset(
    {
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "TooManyRequestsException",
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "SlowDown",
        "PriorRequestNotComplete",
    }
)
TRANSIENT = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "ServerInternal",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "Unavailable",
        "RequestTimeout",
        "RequestTimeoutException",
    }
)
DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthFailure",
        "Blocked",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "MissingAuthenticationToken",
        "NotAuthorized",
        "OptInRequired",
        "PendingVerification",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)
# Well formed, but not to be had on this instance.
_WRONG_HERE = frozenset(
    {
        "AttachmentLimitExceeded",
        "NetworkInterfaceLimitExceeded",
        "PrivateIpAddressLimitExceeded",
    }
)
_BY_CODE: Dict[str, Type[Error]] = {
    "InvalidNetworkInterface.InUse": InUseError,
    "InvalidAttachmentID.NotFound": DetachedError,
}
_INDEX_TAKEN = re.compile(r"already has an interface attached at device index", re.IGNORECASE)
_IN_USE = re.compile(r"\beni-[0-9a-f]+\b.* is currently in use", re.IGNORECASE)
_PAGE = 100  # tables that one DescribeRouteTables returns at most
# Pauses between tries, seconds: the first is short, as one refused call among hundreds is the usual case.
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 3.0


class Route(NamedTuple):
    """One route of a table, as EC2 reads it; `network_interface_id` is empty where it goes to anything but an ENI."""

    destination: Cidr
    network_interface_id: str
    active: bool
    local: bool


class RouteTable(NamedTuple):
    """One route table."""

    route_table_id: str
    vpc_id: str
    routes: Tuple[Route, ...]


class Attachment(NamedTuple):
    """Where an ENI is attached; `status` is attaching, attached or detaching."""

    attachment_id: str
    instance_id: str
    device_index: Optional[int]  # None: not told
    status: str


class NetworkInterface(NamedTuple):
    """An ENI; `addresses` are its IPv4 addresses, the primary one first, then its IPv6 addresses."""

    network_interface_id: str
    vpc_id: str
    source_dest_check: bool
    subnet_id: str
    availability_zone: str
    mac: str
    addresses: Tuple[Address, ...]
    attachment: Optional[Attachment]


class Instance(NamedTuple):
    """An instance: its state (running, stopped, ...) and the device indexes that are taken."""

    instance_id: str
    state: str
    availability_zone: str
    device_indexes: Tuple[int, ...]


class Account(NamedTuple):
    """How to reach EC2: all optional but the region."""

    region: str
    profile: Optional[str] = None
    endpoint_url: Optional[str] = None
    role: Optional[str] = None


def configured_region(profile: Optional[str]) -> Optional[str]:
    """The region by AWS_REGION, AWS_DEFAULT_REGION or the profile, without asking IMDS.

    Raises:
        NodeError: this node has no such profile.
    """
    try:
        found = os.environ.get("AWS_REGION")
        if not found:
            _unused[profile] = _session(profile)
            found = _unused[profile].get_config_variable("region")
    except Exception as error:  # noqa: BLE001  translated
        raise translate("AWS configuration", error) from None
    return str(found) if found else None


# What was made to look up the region, by profile: making one takes 10 ms.
_unused: Dict[Optional[str], botocore.session.Session] = {}


def _session(profile: Optional[str]) -> botocore.session.Session:
    if not os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "-").strip():
        del os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"]  # blank: none, here as in imds
    authorities.load_once()
    session = botocore.session.Session(profile=profile)
    # The regional endpoint of STS: private subnets often reach no other, and old SDKs default to the global one.
    session.set_config_variable("sts_regional_endpoints", "regional")
    # For profiles whose credential_source is the instance: the SDK's own defaults are one try of one second.
    session.set_config_variable("metadata_service_timeout", 2)
    session.set_config_variable("metadata_service_num_attempts", 3)
    return session


class Ec2:
    """EC2 in one region, with one set of credentials; safe to call from many threads.

    Throttled calls queue and go out one by one; server faults and broken connections are tried again, with jitter;
    both until the deadline. Everything raised is an `errors.Error` that starts with the operation and carries AWS's
    error code.
    """

    def __init__(
        self,
        account: Account,
        deadline: Deadline,
        instance_credentials: Callable[[], Optional[Credentials]],
        progress: Progress,
        connections: int = 10,
    ) -> None:
        self._deadline = deadline
        self._progress = progress
        self._pace = Pace()
        self.region = account.region
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # boto3 tells users of old Pythons on standard error
                self._client = _client(account, deadline, instance_credentials, progress, connections)
        except Exception as error:  # noqa: BLE001  translated; nothing of the SDK leaves this module
            raise translate("AWS configuration", error) from None

    def replace_route(self, route_table_id: str, destination: Cidr, network_interface_id: str) -> None:
        """Point an existing route to an ENI; when this returns, EC2 has done it.

        Raises:
            NoRouteError: there is none to replace.
        """
        answer = self._call("ReplaceRoute", **_route(route_table_id, destination, network_interface_id))
        if answer.get("Return", True) is False:
            raise Error("ReplaceRoute: EC2 answered false")

    def create_route(self, route_table_id: str, destination: Cidr, network_interface_id: str) -> None:
        """Make a route to an ENI.

        Raises:
            RouteExistsError: there is one for this destination.
        """
        answer = self._call("CreateRoute", **_route(route_table_id, destination, network_interface_id))
        if answer.get("Return", True) is False:
            raise Error("CreateRoute: EC2 answered false")

    def route_tables(self, route_table_ids: Sequence[str]) -> List[RouteTable]:
        """These tables as EC2 reads them now, which can be older than the last write; one call per 100.

        Raises:
            NoTableError: EC2 does not know one of them.  UnknownError: its answer leaves one out.
        """
        found: List[RouteTable] = []
        for first in range(0, len(route_table_ids), _PAGE):
            some = list(route_table_ids[first : first + _PAGE])
            for page in self._pages("DescribeRouteTables", RouteTableIds=some):
                found += [_route_table(table) for table in page.get("RouteTables", ())]
        missing = sorted(set(route_table_ids) - {table.route_table_id for table in found})
        if missing:
            # For a table that is not there EC2 answers InvalidRouteTableID.NotFound; this is no answer at all.
            raise UnknownError(f"DescribeRouteTables: the answer leaves out {', '.join(missing)}")
        return found

    def network_interface(self, network_interface_id: str) -> NetworkInterface:
        """An ENI.

        Raises:
            NodeError: EC2 does not know it.
        """
        # A filter and not an id: EC2 allows filtered calls twice the rate.
        answer = self._call(
            "DescribeNetworkInterfaces",
            Filters=[{"Name": "network-interface-id", "Values": [network_interface_id]}],
        )
        for found in answer.get("NetworkInterfaces", ()):
            if found.get("NetworkInterfaceId") == network_interface_id:
                return _network_interface(found)
        raise NodeError(f"DescribeNetworkInterfaces: EC2 does not know {network_interface_id} in this region")

    def holder_of(self, address: IPv6Address, subnet_id: str) -> Optional[str]:
        """The ENI of a subnet that has an IPv6 address, or `None`."""
        # Not by the filter ipv6-addresses.ipv6-address: endpoints that only speak EC2's language do not all know it.
        for page in self._pages("DescribeNetworkInterfaces", Filters=[{"Name": "subnet-id", "Values": [subnet_id]}]):
            for found in page.get("NetworkInterfaces", ()):
                if address in _network_interface(found).addresses:
                    return str(found["NetworkInterfaceId"])
        return None

    def assign_address(self, network_interface_id: str, address: Address) -> None:
        """Give an ENI a secondary private address; an IPv4 address is taken away from the ENI that had it."""
        if address.version == 4:
            self._call(
                "AssignPrivateIpAddresses",
                NetworkInterfaceId=network_interface_id,
                PrivateIpAddresses=[str(address)],
                AllowReassignment=True,
            )
        else:
            self._call("AssignIpv6Addresses", NetworkInterfaceId=network_interface_id, Ipv6Addresses=[str(address)])

    def unassign_ipv6_address(self, network_interface_id: str, address: IPv6Address) -> None:
        """Take an IPv6 address away from an ENI: EC2 has no reassignment for them."""
        self._call("UnassignIpv6Addresses", NetworkInterfaceId=network_interface_id, Ipv6Addresses=[str(address)])

    def instance(self, instance_id: str) -> Instance:
        """An instance.

        Raises:
            NodeError: EC2 does not know it.
        """
        answer = self._call("DescribeInstances", Filters=[{"Name": "instance-id", "Values": [instance_id]}])
        for reservation in answer.get("Reservations", ()):
            for found in reservation.get("Instances", ()):
                if found.get("InstanceId") == instance_id:
                    indexes = tuple(
                        int(one.get("Attachment", {}).get("DeviceIndex", 0))
                        for one in found.get("NetworkInterfaces", ())
                    )
                    zone = found.get("Placement", {}).get("AvailabilityZone", "")
                    return Instance(instance_id, found.get("State", {}).get("Name", ""), zone, indexes)
        raise NodeError(f"DescribeInstances: EC2 does not know {instance_id} in this region")

    def subnet_cidrs(self, subnet_id: str) -> List[Cidr]:
        """Every CIDR of a subnet, IPv4 first."""
        answer = self._call("DescribeSubnets", SubnetIds=[subnet_id])
        texts = []
        for subnet in answer.get("Subnets", ()):
            texts.append(subnet.get("CidrBlock"))
            texts += [
                one.get("Ipv6CidrBlock")
                for one in subnet.get("Ipv6CidrBlockAssociationSet", ())
                if one.get("Ipv6CidrBlockState", {}).get("State", "associated") in ("associating", "associated")
            ]
        return [ip_network(text) for text in texts if text]

    def attach(self, network_interface_id: str, instance_id: str, device_index: int) -> None:
        """Begin to attach an ENI.

        Raises:
            IndexTakenError: another interface has this device index.  InUseError: the ENI is attached.
            NodeError: other availability zone, too many interfaces.
        """
        self._call(
            "AttachNetworkInterface",
            NetworkInterfaceId=network_interface_id,
            InstanceId=instance_id,
            DeviceIndex=device_index,
        )

    def detach(self, attachment_id: str, *, force: bool) -> None:
        """Begin to detach an ENI; `force` where the instance cannot take part in it.

        Raises:
            DetachedError: it is not attached so any more.  NodeError: EC2 lets nobody detach it.
        """
        self._call("DetachNetworkInterface", AttachmentId=attachment_id, Force=force)

    def vpc_cidrs(self, vpc_id: str) -> List[Cidr]:
        """Every CIDR that is associated with a VPC."""
        answer = self._call("DescribeVpcs", VpcIds=[vpc_id])
        texts = []
        for vpc in answer.get("Vpcs", ()):
            texts.append(vpc.get("CidrBlock"))
            for associations, block, state in (
                ("CidrBlockAssociationSet", "CidrBlock", "CidrBlockState"),
                ("Ipv6CidrBlockAssociationSet", "Ipv6CidrBlock", "Ipv6CidrBlockState"),
            ):
                texts += [
                    one.get(block)
                    for one in vpc.get(associations, ())
                    if one.get(state, {}).get("State", "associated") in ("associating", "associated")
                ]
        if not texts:
            raise UnknownError(f"DescribeVpcs: the answer leaves out {vpc_id}")
        return list(dict.fromkeys(ip_network(text) for text in texts if text))

    def _pages(self, operation: str, **arguments: Any) -> Iterator[Mapping[str, Any]]:
        token: Dict[str, str] = {}
        while True:
            answer = self._call(operation, **arguments, **token)
            yield answer
            if not answer.get("NextToken"):
                return
            token = {"NextToken": answer["NextToken"]}

    def _call(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        method = getattr(self._client, _METHODS[operation])
        return _ask(self._deadline, self._progress, self._pace, operation, method, arguments)


def _ask(
    deadline: Deadline,
    progress: Progress,
    pace: Pace,
    operation: str,
    method: Callable[..., Mapping[str, Any]],
    arguments: Mapping[str, Any],
) -> Mapping[str, Any]:
    attempt, queued = 0, False
    progress.text = operation
    while True:
        try:
            answer = method(**arguments)
        except Exception as error:  # noqa: BLE001  translated; nothing of the SDK leaves this module
            failure = translate(operation, error)
        else:
            if queued:
                pace.accepted()
            return answer
        if not isinstance(failure, UnknownError):
            raise failure
        progress.text = f"{failure}, tried again"
        log.debug("%s; trying again", failure)
        if isinstance(failure, ThrottledError):
            if queued:
                pace.refused()
            queued = pace.turn(deadline)
            if not queued:
                raise failure
            continue
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt)
        pause = random.uniform(longest / 4, longest)  # noqa: S311  jitter, no secret
        if deadline.remaining() <= pause:
            raise failure
        attempt += 1
        time.sleep(pause)


_METHODS = {
    "ReplaceRoute": "replace_route",
    "CreateRoute": "create_route",
    "DescribeRouteTables": "describe_route_tables",
    "DescribeNetworkInterfaces": "describe_network_interfaces",
    "DescribeVpcs": "describe_vpcs",
    "DescribeSubnets": "describe_subnets",
    "DescribeInstances": "describe_instances",
    "AssignPrivateIpAddresses": "assign_private_ip_addresses",
    "AssignIpv6Addresses": "assign_ipv6_addresses",
    "UnassignIpv6Addresses": "unassign_ipv6_addresses",
    "AttachNetworkInterface": "attach_network_interface",
    "DetachNetworkInterface": "detach_network_interface",
}


def _client(
    account: Account,
    deadline: Deadline,
    instance_credentials: Callable[[], Optional[Credentials]],
    progress: Progress,
    connections: int,
) -> Any:
    session = _unused.pop(account.profile, None) or _session(account.profile)
    session.set_config_variable("region", account.region)
    _bypass_proxy(imds_endpoint(os.environ))
    left = deadline.remaining()
    config = Config(
        connect_timeout=max(0.5, min(3.0, left / 4)),
        read_timeout=max(0.5, min(15.0, left / 3)),
        # One try: `_ask` tries again itself, for as long as the operation may take.
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=max(1, connections),
    )
    _set_credentials(session, instance_credentials)
    if account.role:
        sts = _service(session, "sts", account.region, _configured_endpoint("STS"), config)
        arguments = {"RoleArn": account.role, "RoleSessionName": "aws-ipfailover", "DurationSeconds": 900}
        assumed = _ask(deadline, progress, Pace(), "AssumeRole", sts.assume_role, arguments)["Credentials"]
        session.set_credentials(assumed["AccessKeyId"], assumed["SecretAccessKey"], assumed["SessionToken"])
        _keep_secret(assumed["SecretAccessKey"], assumed["SessionToken"])
    return _service(session, "ec2", account.region, account.endpoint_url or _configured_endpoint("EC2"), config)


def _service(session: botocore.session.Session, name: str, region: str, url: Optional[str], config: Config) -> Any:
    def create(by: botocore.session.Session) -> Any:
        return boto3.Session(botocore_session=by, region_name=region).client(
            name,  # type: ignore[call-overload]
            endpoint_url=url,
            config=config,
        )

    if not session.get_config_variable("data_path"):  # models of the user's own come first
        session.register_component("data_loader", TrimmedLoader())
    try:
        client = create(session)
    except Exception as error:  # noqa: BLE001  an SDK that works otherwise, or else wrong configuration: it says so again
        log.debug("without trimmed models: %s", type(error).__name__)
        plain, known = _session(session.profile), session.get_credentials()
        if known is not None:
            plain.set_credentials(known.access_key, known.secret_key, known.token)
        client = create(plain)
    client.meta.events.register(f"after-call.{name}", _check_answer)
    return client


def _check_answer(http_response: Any, parsed: Dict[str, Any], model: Any, **_: object) -> None:
    """Refuse an answer that is none: botocore takes any well-formed page with status 200 for an empty answer.

    ReplaceRoute's answer has no shape in the SDK, so its confirmation is read here.
    """
    if http_response.status_code >= 300:
        return
    body = http_response.content
    if not re.search(rb"<(\w+:)?" + model.name.encode() + rb"Response[\s>/]", body):
        raise ResponseParserError(f"no {model.name}Response")
    if re.search(rb"<return>\s*false\s*</return>", body):
        parsed["Return"] = False


def _set_credentials(
    session: botocore.session.Session, instance_credentials: Callable[[], Optional[Credentials]]
) -> None:
    """Fix this process's credentials: the SDK's chain, whose last link is asked through our own IMDS client.

    So there is one IMDS session for everything, bounded by the deadline and never through a proxy.
    """
    resolver = session.get_component("credential_provider")
    resolver.remove("iam-role")
    found = resolver.load_credentials()
    if found is not None:
        frozen = found.get_frozen_credentials()
        session.set_credentials(frozen.access_key, frozen.secret_key, frozen.token)
        _keep_secret(frozen.secret_key, frozen.token)
        return
    disabled = os.environ.get("AWS_EC2_METADATA_DISABLED", "").strip().lower() == "true"
    of_instance = None if disabled else instance_credentials()
    if of_instance is None:
        raise sdk.NoCredentialsError
    session.set_credentials(of_instance.access_key_id, of_instance.secret_access_key, of_instance.session_token)
    _keep_secret(of_instance.secret_access_key, of_instance.session_token)


# What must never be repeated, should an answer quote it.
_secrets: Set[str] = set()


def _keep_secret(*texts: Optional[str]) -> None:
    _secrets.update(text for text in texts if text)


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
        if host not in hosts.split(","):
            os.environ[name] = ",".join(filter(None, [hosts, host]))


def _route(route_table_id: str, destination: Cidr, network_interface_id: str) -> Dict[str, str]:
    return {
        "RouteTableId": route_table_id,
        "DestinationCidrBlock" if destination.version == 4 else "DestinationIpv6CidrBlock": str(destination),
        "NetworkInterfaceId": network_interface_id,
    }


def _network_interface(found: Mapping[str, Any]) -> NetworkInterface:
    ipv4 = sorted(found.get("PrivateIpAddresses", ()), key=lambda one: not one.get("Primary"))
    texts = [one.get("PrivateIpAddress") for one in ipv4] or [found.get("PrivateIpAddress")]
    texts += [one.get("Ipv6Address") for one in found.get("Ipv6Addresses", ())]
    attached = found.get("Attachment") or {}
    attachment = None
    if attached.get("InstanceId") and attached.get("Status") != "detached":
        attachment = Attachment(
            attached.get("AttachmentId", ""),
            attached["InstanceId"],
            attached.get("DeviceIndex"),
            attached.get("Status", "attached"),
        )
    return NetworkInterface(
        found.get("NetworkInterfaceId", ""),
        found.get("VpcId", ""),
        bool(found.get("SourceDestCheck", True)),
        found.get("SubnetId", ""),
        found.get("AvailabilityZone", ""),
        str(found.get("MacAddress", "")).lower(),
        tuple(ip_address(text) for text in texts if text),
        attachment,
    )


def _route_table(table: Mapping[str, Any]) -> RouteTable:
    routes = []
    for route in table.get("Routes", ()):
        text = route.get("DestinationCidrBlock") or route.get("DestinationIpv6CidrBlock")
        if text:  # else a prefix list, which is no single destination
            routes.append(
                Route(
                    ip_network(text, strict=False),
                    route.get("NetworkInterfaceId", ""),
                    route.get("State", "active") == "active",
                    route.get("GatewayId") == "local",
                )
            )
    return RouteTable(table.get("RouteTableId", ""), table.get("VpcId", ""), tuple(routes))


def translate(operation: str, error: BaseException) -> Error:
    """What an error of the SDK means here: one sentence with operation and AWS's error code, and never a secret.

    The text of connection errors is left out: it can quote a proxy's URL with its password.
    """
    if isinstance(error, Error):
        return error
    if isinstance(error, sdk.ClientError):
        return _answered(operation, error)
    if isinstance(error, sdk.ProfileNotFound):
        return NodeError(f"parameter profile: {_short(str(error))}")
    if isinstance(error, sdk.NoCredentialsError):
        return Error(f"{operation}: no AWS credentials found (no profile, no environment, no role of the instance)")
    if isinstance(error, sdk.SSLError):
        return UnknownError(
            f"{operation}: TLS failed (SSLError): is the endpoint's certificate authority trusted here?"
        )
    if isinstance(error, (sdk.HTTPClientError, sdk.ConnectionError, ResponseParserError, sdk.IncompleteReadError)):
        return UnknownError(f"{operation}: no usable answer ({type(error).__name__})")
    if isinstance(error, (sdk.CredentialRetrievalError, sdk.MetadataRetrievalError)):
        return UnknownError(f"{operation}: AWS credentials could not be fetched ({type(error).__name__})")
    if isinstance(error, (sdk.BotoCoreError, boto3.exceptions.Boto3Error, ValueError)):
        return Error(f"{operation}: {type(error).__name__}: {_short(str(error))}")
    return UnknownError(f"{operation}: {type(error).__name__}")


def _answered(operation: str, error: sdk.ClientError) -> Error:
    said = error.response.get("Error", {})
    code, message = str(said.get("Code", "")) or "error without code", str(said.get("Message", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) or 0)
    kind = _kind(code, message, status)
    if code == "OperationNotPermitted" and operation.endswith("NetworkInterface"):
        kind = NodeError  # a service's own interface, or an instance's primary one
    if issubclass(kind, (UnknownError, DeniedError)):
        # A refusal's message holds an encoded policy of a thousand characters.
        return kind(f"{operation}: {code}")
    return kind(f"{operation}: {code}: {_short(message)}")


def _kind(code: str, message: str, status: int) -> Type[Error]:
    if code in THROTTLED or status == 429:
        return ThrottledError
    if code in TRANSIENT or status >= 500:
        return UnknownError
    if code in DENIED:
        return DeniedError
    if code in _WRONG_HERE:
        return NodeError
    if code in _BY_CODE:
        return _BY_CODE[code]
    if code == "InvalidParameterValue" and _INDEX_TAKEN.search(message):
        return IndexTakenError
    if code == "InvalidParameterValue" and _IN_USE.search(message):
        return InUseError
    if code == "RouteAlreadyExists":
        return RouteExistsError
    if code == "InvalidRoute.NotFound" or (code == "InvalidParameterValue" and "no route defined" in message.lower()):
        return NoRouteError
    if code.lower() == "invalidroutetableid.notfound":
        return NoTableError
    if code.endswith((".NotFound", ".Malformed", "NotFoundException")):
        return NodeError
    return Error


def _short(message: str) -> str:
    text = re.sub(r"\s+", " ", message).strip()
    for secret in _secrets:
        text = text.replace(secret, "***")
    return text if len(text) <= 200 else text[:199] + "…"
