"""Checks of the way to AWS: instance metadata, region, endpoints, clock, credentials, and the role to assume.

Facts: Amazon EC2 User Guide, "Configure the instance metadata options" (endpoint, hop limit); AWS General Reference,
"Signing AWS API requests" (five minutes).
"""

from __future__ import annotations

import os
import socket
from typing import List, Optional
from urllib.parse import urlsplit

from aws_ipfailover.deadline import Task
from aws_ipfailover.diagnosis.connections import LARGEST_SKEW
from aws_ipfailover.diagnosis.finding import (
    ACCESS,
    Check,
    Command,
    Finding,
    Needs,
    NotAskedError,
    failed,
    passed,
    unknown,
    warned,
)
from aws_ipfailover.diagnosis.surroundings import Surroundings
from aws_ipfailover.errors import DeniedError, Error, NodeError, UnknownError

# Seconds of a skew that is told before AWS refuses requests for it.
_NOTABLE_SKEW = 60.0


def _metadata(surroundings: Surroundings) -> Finding:
    try:
        instance_id = surroundings.access.metadata().instance_id()
    except UnknownError as error:
        if isinstance(error, NotAskedError):
            raise
        return unknown(
            str(error),
            "Is there a firewall for 169.254.169.254, or a network namespace or container in between? Then the answer"
            " needs a hop limit of 2 or more.",
            _options("--http-put-response-hop-limit", "2"),
        )
    except Error as error:
        values = surroundings.values()
        remedy = "Switch it on; by an administrator, as the instance's id is not known here."
        command = _options("--http-endpoint", "enabled")
        if values.region and values.profile:
            return warned(f"{error}; region and profile are given, so that the agent asks EC2", remedy, command)
        return failed(str(error), remedy, command)
    return passed(f"IMDSv2 answers {instance_id}")


def _options(*changed: str) -> Command:
    return ("aws", "ec2", "modify-instance-metadata-options", "--instance-id", "INSTANCE-ID", *changed)


def _region(surroundings: Surroundings) -> Finding:
    remedy = "Set parameter region."
    try:
        found = surroundings.access.region()
    except UnknownError:
        raise
    except NodeError as error:
        return failed(str(error), "Correct parameter profile, or add that profile to root's AWS configuration.")
    except Error as error:
        # What instance metadata does not tell is the matter of imds.
        return unknown(str(error), remedy)
    try:
        own = surroundings.access.metadata().region()
    except Error:
        return passed(f"{found.name}, {found.source}")
    if own != found.name:
        return failed(
            f"the region is {found.name}, {found.source}, and this instance is in {own}",
            f"Set region to {own}, or remove it.",
        )
    return passed(f"{found.name}, {found.source}")


def _ec2_endpoint(surroundings: Surroundings) -> Finding:
    return _endpoint(surroundings, "ec2", needed=True)


def _sts_endpoint(surroundings: Surroundings) -> Finding:
    values = surroundings.known_values()
    needed = values is not None and values.mode == "overlay-ip" and values.routing_table_role is not None
    return _endpoint(surroundings, "sts", needed=needed)


def _endpoint(surroundings: Surroundings, service: str, *, needed: bool) -> Finding:
    region = surroundings.access.account().region
    try:
        answer = surroundings.access.reached(service)
    except UnknownError as error:
        if isinstance(error, NotAskedError):
            raise
        name = service.upper()
        remedy = (
            "Make a way to it: the Internet by a NAT gateway, a proxy (HTTPS_PROXY in Pacemaker's environment), or a"
            f" VPC endpoint for com.amazonaws.{region}.{service}."
        )
        if not needed:
            return warned(f"{error}; without {name} the agent works, as it assumes no role", remedy)
        # A server that refuses, or is no TLS server of a known authority, is an answer; silence is none.
        certain = any(word in str(error) for word in ("EndpointConnectionError", "ProxyConnectionError", "SSLError"))
        return (failed if certain else unknown)(str(error), remedy)
    by = f" by the proxy {answer.proxy}" if answer.proxy else f" at {_addresses(surroundings, answer.url)}"
    return passed(f"{answer.url}{by} answers")


def _addresses(surroundings: Surroundings, url: str) -> str:
    """What the name of an endpoint resolves to, as far as it is told at once: a VPC endpoint has private addresses."""
    host = urlsplit(url).hostname or ""

    def resolve() -> List[str]:
        return sorted({str(one[4][0]) for one in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)})

    try:
        found = Task(resolve).result(surroundings.deadline.within(1.0), host)
    except (UnknownError, OSError):
        return host
    return ", ".join(found[:2]) or host


def _clock(surroundings: Surroundings) -> Finding:
    skew = surroundings.access.clock_skew()
    if skew is None:
        return unknown("EC2's answer does not tell its time")
    side = "ahead" if skew > 0 else "behind"
    text = f"this node's clock is {abs(skew):.0f} s {side} of EC2's"
    commands = (("chronyc", "tracking"), ("chronyc", "makestep"))
    if abs(skew) > LARGEST_SKEW:
        return failed(f"{text}, so that AWS refuses its requests", "Set it, and let chronyd keep it.", *commands)
    if abs(skew) > _NOTABLE_SKEW:
        return warned(f"{text}; AWS refuses requests from 300 s on", "Set it, and let chronyd keep it.", *commands)
    return passed(f"within {max(1.0, abs(skew)):.0f} s of EC2's")


def _credentials(surroundings: Surroundings) -> Finding:
    skew = _known_skew(surroundings)
    if skew is not None and abs(skew) > LARGEST_SKEW:
        raise NotAskedError("clock")
    try:
        caller = surroundings.access.caller()
    except DeniedError as error:
        return failed(
            str(error),
            "Give the instance a role that exists, or correct parameter profile.",
            ("aws", "sts", "get-caller-identity", *_profile(surroundings)),
        )
    except UnknownError as error:
        if isinstance(error, NotAskedError):
            raise
        return unknown(f"whose the credentials are is not known: {error}")
    except Error as error:
        values = surroundings.values()
        if values.profile is None and _metadata_is_silent(surroundings):
            raise NotAskedError("imds") from None
        command = (
            *("aws", "ec2", "associate-iam-instance-profile", "--iam-instance-profile", "Name=PROFILE"),
            *("--instance-id", "INSTANCE-ID"),
        )
        return failed(str(error), "Give the instance a role, or set parameter profile.", command)
    own = [name for name in _OF_THIS_SHELL if os.environ.get(name)]
    if own:
        return warned(
            f"of {caller.arn}, by {', '.join(own)} of this shell, which Pacemaker does not have",
            "Unset it, and ask again. What Pacemaker has is in /etc/sysconfig/pacemaker or /etc/default/pacemaker.",
            ("unset", *own),
        )
    return passed(f"of {caller.arn}")


# Variables by which the SDK finds other credentials than the agent does.
_OF_THIS_SHELL = (
    *("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)


def _known_skew(surroundings: Surroundings) -> Optional[float]:
    try:
        return surroundings.access.clock_skew()
    except Error:
        return None


def _metadata_is_silent(surroundings: Surroundings) -> bool:
    try:
        surroundings.access.metadata().instance_id()
    except Error:
        return True
    return False


def _profile(surroundings: Surroundings) -> Command:
    values = surroundings.known_values()
    return ("--profile", values.profile) if values is not None and values.profile else ()


def _role(surroundings: Surroundings) -> Finding:
    role = str(surroundings.values().routing_table_role)
    try:
        surroundings.access.assume()
    except DeniedError as error:
        caller = surroundings.access.known_caller()
        who = caller.principal if caller is not None else "this node's role"
        return failed(
            str(error),
            f"Two policies have to allow it: the trust policy of {role} for {who}, and the policy of that one"
            f" (sts:AssumeRole on {role}). A condition on sts:ExternalId asks for parameter external_id.",
            ("aws", "sts", "assume-role", "--role-arn", role, "--role-session-name", "test", *_profile(surroundings)),
        )
    return passed(f"{role} can be assumed")


def _has_role(surroundings: Surroundings) -> bool:
    values = surroundings.known_values()
    return values is not None and values.routing_table_role is not None


CHECKS = (
    Check("imds", "Instance metadata", "Does IMDSv2 answer this node?", ACCESS, Needs.METADATA, _metadata),
    Check("region", "Region", "Is the region known, and this instance's own?", ACCESS, Needs.METADATA, _region),
    Check(
        *("ec2-endpoint", "EC2 endpoint", "Does EC2 answer, by name, proxy and TLS?"),
        *(ACCESS, Needs.NETWORK, _ec2_endpoint),
    ),
    Check(
        *("sts-endpoint", "STS endpoint", "Does STS answer, by name, proxy and TLS?"),
        *(ACCESS, Needs.NETWORK, _sts_endpoint),
    ),
    Check("clock", "Clock", "Is this node's clock that of EC2?", ACCESS, Needs.NETWORK, _clock),
    Check(
        *("credentials", "Credentials", "Are there credentials that AWS accepts, and whose are they?"),
        *(ACCESS, Needs.STS, _credentials),
    ),
    Check(
        *("role", "Role for the tables", "Can this node assume routing_table_role?"),
        *(ACCESS, Needs.STS, _role),
        modes=("overlay-ip",),
        applies=_has_role,
    ),
)
