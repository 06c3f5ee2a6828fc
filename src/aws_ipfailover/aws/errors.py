"""What an error of the SDK or of EC2 means here: the only place where their errors become `aws_ipfailover.errors`.

Facts: Amazon EC2 API Reference, "Error codes" and each operation's page.
"""

from __future__ import annotations

import re
from typing import Optional, Pattern, Set, Tuple, Type

import boto3.exceptions
from botocore import exceptions as sdk
from botocore.parsers import ResponseParserError

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
# What a code means from one operation where its message matches: (operation, code, message, meaning). EC2 tells apart
# by the message alone what it answers with the same code.
_BY_OPERATION: Tuple[Tuple[str, str, Optional[Pattern[str]], Type[Error]], ...] = (
    ("ReplaceRoute", "InvalidParameterValue", re.compile("no route defined", re.IGNORECASE), NoRouteError),
    ("ReplaceRoute", "InvalidRoute.NotFound", None, NoRouteError),
    ("CreateRoute", "RouteAlreadyExists", None, RouteExistsError),
    ("AttachNetworkInterface", "InvalidNetworkInterface.InUse", None, InUseError),
    (
        *("AttachNetworkInterface", "InvalidParameterValue"),
        *(re.compile("already has an interface attached at device index", re.IGNORECASE), IndexTakenError),
    ),
    (
        *("AttachNetworkInterface", "InvalidParameterValue"),
        *(re.compile(r"\beni-[0-9a-f]+\b.* is currently in use", re.IGNORECASE), InUseError),
    ),
    # A service's own interface, or an instance's primary one.
    ("AttachNetworkInterface", "OperationNotPermitted", None, NodeError),
    ("DetachNetworkInterface", "OperationNotPermitted", None, NodeError),
    ("DetachNetworkInterface", "InvalidAttachmentID.NotFound", None, DetachedError),
)


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
    kind = _meaning(operation, code, message, status)
    if issubclass(kind, (UnknownError, DeniedError)):
        # A refusal's message holds an encoded policy of a thousand characters.
        return kind(f"{operation}: {code}")
    return kind(f"{operation}: {code}: {_short(message)}")


def _meaning(operation: str, code: str, message: str, status: int) -> Type[Error]:
    if code in THROTTLED or status == 429:
        return ThrottledError
    if code in TRANSIENT or status >= 500:
        return UnknownError
    if code in DENIED:
        return DeniedError
    for of_operation, of_code, pattern, meaning in _BY_OPERATION:
        if (operation, code) == (of_operation, of_code) and (pattern is None or pattern.search(message)):
            return meaning
    if code.lower() == "invalidroutetableid.notfound":
        return NoTableError
    if code in _WRONG_HERE or code.endswith((".NotFound", ".Malformed", "NotFoundException")):
        return NodeError
    return Error


# What must never be repeated, should an answer quote it.
_secrets: Set[str] = set()


def keep_secret(*texts: Optional[str]) -> None:
    """Never repeat these texts, should an answer quote them."""
    _secrets.update(text for text in texts if text)


def _short(message: str) -> str:
    text = re.sub(r"\s+", " ", message).strip()
    for secret in _secrets:
        text = text.replace(secret, "***")
    return text if len(text) <= 200 else text[:199] + "…"
