"""What an error of the SDK or of EC2 means here: the only place where their errors become `aws_ipfailover.errors`.

Facts: Amazon EC2 API Reference, "Error codes" and each operation's page.
"""

from __future__ import annotations

import re
import time
from typing import Any, Mapping, Optional, Tuple, Type

import boto3.exceptions
from botocore import exceptions as sdk
from botocore.parsers import ResponseParserError

from aws_ipfailover.errors import (
    ChangingError,
    DeniedError,
    DetachedError,
    Error,
    ExpiredError,
    IndexTakenError,
    InUseError,
    LimitError,
    NetworkCardError,
    NoCredentialsError,
    NodeError,
    NoRouteError,
    NoTableError,
    RouteExistsError,
    ThrottledError,
    UnknownError,
    WouldSucceedError,
    defect,
)
from aws_ipfailover.output import line
from aws_ipfailover.redaction import without_secrets

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
        # Something that this call depends on is still being changed.
        "IncorrectState",
        "IncorrectInstanceState",
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
# Denials by a policy: AWS accepts the identity.
_POLICY = frozenset({"AccessDenied", "AccessDeniedException", "NotAuthorized", "UnauthorizedOperation"})
# Codes of `TRANSIENT` whose message says which resource is still changing.
_TOLD_WITH_MESSAGE = frozenset({"IncorrectState", "IncorrectInstanceState"})
# What an error code of AWS looks like; EC2's longest has some fifty characters. Anybody in between can send others.
_CODE = "[A-Za-z][A-Za-z0-9.]{0,79}"
_TOO_MANY = 429  # "Too Many Requests", of HTTP
_LONGEST_MESSAGE = 200  # characters of a message that are told
# Seconds; a larger skew is reported as the cause. AWS refuses requests whose time is five minutes off.
_LARGEST_SKEW = 240
# What to do where nothing answers, or something other than AWS: a proxy, an endpoint, a firewall.
_WAY = "check the way to AWS"
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
# The credentials have expired, or the time in the request is too old because this node's clock is wrong.
EXPIRED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "TokenRefreshRequired",
    }
)
# Valid requests that a limit prevents on this instance.
_WRONG_HERE = frozenset(
    {
        "AttachmentLimitExceeded",
        "NetworkInterfaceLimitExceeded",
        "PrivateIpAddressLimitExceeded",
    }
)
# What a code means for one operation: (operation, code, part of the message in lower case, meaning). EC2 uses one code
# for several errors that only the message tells apart.
_BY_OPERATION: Tuple[Tuple[str, str, str, Type[Error]], ...] = (
    ("ReplaceRoute", "InvalidParameterValue", "no route defined", NoRouteError),
    ("ReplaceRoute", "InvalidRoute.NotFound", "", NoRouteError),
    ("ReplaceRoute", "InvalidParameterValue", "belong to different networks", NodeError),
    ("CreateRoute", "InvalidParameterValue", "belong to different networks", NodeError),
    ("CreateRoute", "RouteAlreadyExists", "", RouteExistsError),
    ("AttachNetworkInterface", "InvalidNetworkInterface.InUse", "", InUseError),
    ("AttachNetworkInterface", "AttachmentLimitExceeded", "", LimitError),
    (
        "AttachNetworkInterface",
        "InvalidParameterValue",
        "already has an interface attached at device index",
        IndexTakenError,
    ),
    ("AttachNetworkInterface", "InvalidParameterValue", "in use", InUseError),
    *(
        ("AttachNetworkInterface", code, "availability zone", NodeError)
        for code in ("InvalidParameterCombination", "InvalidParameterValue")
    ),
    # AWS documents no code of its own for a wrong NetworkCardIndex: the message names network card or parameter.
    *(
        ("AttachNetworkInterface", code, part, NetworkCardError)
        for code in (
            *("InvalidParameterValue", "InvalidParameterCombination", "InvalidParameter", "UnknownParameter"),
            *("UnsupportedOperation", "Unsupported"),
        )
        for part in ("network card", "networkcard")
    ),
    ("AttachNetworkInterface", "IncorrectState", "", ChangingError),
    ("AttachNetworkInterface", "IncorrectInstanceState", "", ChangingError),
    ("DetachNetworkInterface", "IncorrectState", "", ChangingError),
    # An ENI that belongs to an AWS service, or an instance's primary ENI.
    ("AttachNetworkInterface", "OperationNotPermitted", "", NodeError),
    ("DetachNetworkInterface", "OperationNotPermitted", "", NodeError),
    ("DetachNetworkInterface", "InvalidAttachmentID.NotFound", "", DetachedError),
    # Another account's Elastic IP, or one that an AWS service has; without these words EC2 means the credentials.
    ("AssociateAddress", "AuthFailure", "does not belong to you", NodeError),
    ("AssociateAddress", "AuthFailure", "permission to access the specified resource", NodeError),
    ("DescribeAddresses", "AuthFailure", "does not belong to you", NodeError),
    ("AssociateAddress", "Gateway.NotAttached", "", NodeError),
)


class UnusableAnswer(Exception):  # noqa: N818  no `errors.Error` yet: the operation is not known
    """An answer of a server that is not passed on to the SDK; its text is half a sentence."""


def translate(operation: str, error: BaseException) -> Error:
    """What an error of the SDK means here: one sentence with operation and AWS's error code, and never a secret.

    The text of connection errors is left out: it can quote a proxy's URL with its password.
    """
    if isinstance(error, Error):
        return error
    if isinstance(error, UnusableAnswer):
        return UnknownError(f"{operation}: no usable answer: {error}")
    if isinstance(error, sdk.ClientError):
        return _answered(operation, error)
    if isinstance(error, sdk.ProfileNotFound):
        return NodeError(f"parameter profile, or else the variable AWS_PROFILE: {_short(str(error))}")
    if isinstance(error, sdk.NoCredentialsError):
        return NoCredentialsError(
            f"{operation}: no AWS credentials found (no profile, no environment, no role of the instance)"
        )
    if isinstance(error, sdk.SSLError):
        return UnknownError(
            f"{operation}: TLS failed (SSLError): is the endpoint's certificate authority trusted here?"
        )
    if isinstance(error, (sdk.HTTPClientError, sdk.ConnectionError, ResponseParserError, sdk.IncompleteReadError)):
        return UnknownError(f"{operation}: no usable answer ({type(error).__name__}): {_WAY}")
    if isinstance(error, (sdk.CredentialRetrievalError, sdk.MetadataRetrievalError)):
        return UnknownError(f"{operation}: AWS credentials could not be fetched ({type(error).__name__})")
    if isinstance(error, (sdk.BotoCoreError, boto3.exceptions.Boto3Error, ValueError)):
        return Error(f"{operation}: {type(error).__name__}: {_short(str(error))}")
    if isinstance(error, (LookupError, AttributeError, TypeError, AssertionError)):
        return Error(f"{operation}: {defect(error, _short(str(error)))}")
    return UnknownError(f"{operation}: {type(error).__name__}")


def _answered(operation: str, error: sdk.ClientError) -> Error:
    said = error.response.get("Error", {})
    code, message = _usable(str(said.get("Code") or "")), str(said.get("Message") or "")
    about = error.response.get("ResponseMetadata", {})
    status = int(about.get("HTTPStatusCode", 0) or 0)
    # Neither code nor message: a page of whatever is between here and AWS, and no answer of AWS.
    is_answer = bool(said.get("Code") or message)
    kind = _meaning(operation, code, message, status) if is_answer or status == _TOO_MANY else UnknownError
    shown = code or "an error without a usable code" + (f" (HTTP status {status})" if status else "")
    if issubclass(kind, DeniedError):
        return kind(f"{operation}: {shown}: {_remedy(operation, code, about)}{_reason_of_denial(message)}")
    if kind is NoTableError:
        return kind(f"does not exist: remove it from routing_table ({operation}: {shown})")
    if issubclass(kind, UnknownError) and code not in _TOLD_WITH_MESSAGE:
        return kind(f"{operation}: {shown}{_of_trouble(code, kind)}")
    return kind(f"{operation}: {shown}: {_short(message)}".rstrip(": "))


def _of_trouble(code: str, kind: Type[Error]) -> str:
    """What an error code means that says nothing of the request, and what to do."""
    if issubclass(kind, ThrottledError):
        return ": AWS limits this account's calls, retry later"
    if not code:
        return f": {_WAY}"
    return ": trouble on AWS's side, retry later" if code in TRANSIENT else ""


def _usable(code: str) -> str:
    """`code` where it looks like one and repeats no secret; else an empty text."""
    return code if re.fullmatch(_CODE, code) and without_secrets(code) == code else ""


def _meaning(operation: str, code: str, message: str, status: int) -> Type[Error]:
    if code == "DryRunOperation":
        return WouldSucceedError
    if code in EXPIRED:
        return ExpiredError
    for of_operation, of_code, part, meaning in _BY_OPERATION:
        if (operation, code) == (of_operation, of_code) and part in message.lower():
            return meaning
    if code in THROTTLED or status == _TOO_MANY:
        return ThrottledError
    if code in TRANSIENT or status >= 500:
        return UnknownError
    if code in DENIED:
        return DeniedError
    if code.lower() == "invalidroutetableid.notfound":
        return NoTableError
    if code in _WRONG_HERE or code.endswith((".NotFound", ".Malformed", "NotFoundException")):
        return NodeError
    return Error


def _remedy(operation: str, code: str, about: Mapping[str, Any]) -> str:
    """What to do about a denial."""
    skew = clock_skew(str(about.get("HTTPHeaders", {}).get("date", "")))
    if code not in _POLICY:
        if skew is not None and abs(skew) > _LARGEST_SKEW:
            return f"this node's clock is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}: set it (chronyd)"
        return "AWS does not accept this node's credentials: renew them, or check its role and clock"
    if operation == "AssumeRole":
        return "let the role trust this node's role, and allow sts:AssumeRole in this node's IAM policy"
    if operation.startswith("Describe"):
        # SUSE's guides show policies for a table's ARN, which never matches a Describe operation.
        return 'allow it on Resource "*", not on an ARN, in this node\'s IAM policy'
    return "allow it in this node's IAM policy"


def clock_skew(date: str) -> Optional[float]:
    """Seconds by which this node's clock is ahead of the server's `Date`; `None` where there is none."""
    from email.utils import parsedate_to_datetime  # here, because a call that is not refused does not need it

    try:
        return time.time() - parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _reason_of_denial(message: str) -> str:
    """AWS's own words on which kind of policy denies, without the encoded message of a thousand characters."""
    # On one line and short first: a page of a million blanks would keep the search busy for minutes.
    text = line(message, 1000).partition("Encoded authorization failure message")[0]
    match = re.search(r"\bbecause (.*)|\b(with an explicit deny .*)", text)
    return f"; AWS: {(match.group(1) or match.group(2)).rstrip('. ')}" if match else ""


def _short(message: str) -> str:
    return line(message, _LONGEST_MESSAGE)
