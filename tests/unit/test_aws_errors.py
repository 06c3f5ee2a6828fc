"""aws/errors.py: every error of the SDK becomes one of ours, with operation and code, and without secrets."""

from __future__ import annotations

import inspect
from typing import Any, Dict, Type

import pytest
from botocore import exceptions as sdk
from botocore.parsers import ResponseParserError

from aws_ipfailover.aws.errors import keep_secret, translate
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


def answer(code: str, message: str = "Because.", status: int = 400) -> sdk.ClientError:
    """An error that EC2 answers with."""
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return sdk.ClientError(response, "ReplaceRoute")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (answer("RequestLimitExceeded", status=503), ThrottledError),
        (answer("Throttling"), ThrottledError),
        (answer("InternalError", status=500), UnknownError),
        (answer("ServiceUnavailable", status=503), UnknownError),
        (answer("SomethingNew", status=502), UnknownError),
        (answer("UnauthorizedOperation", status=403), DeniedError),
        (answer("AuthFailure", status=401), DeniedError),
        (answer("AccessDenied", status=403), DeniedError),
        (answer("InvalidClientTokenId", status=403), DeniedError),
        (answer("InvalidRouteTableID.NotFound"), NoTableError),
        (answer("InvalidNetworkInterfaceID.NotFound"), NodeError),
        (answer("InvalidRouteTableId.Malformed"), NodeError),
        (
            answer("InvalidParameterValue", "There is no route defined for '192.0.2.1/32' in the route table."),
            NoRouteError,
        ),
        (answer("InvalidParameterValue", "Value is invalid."), Error),
        (answer("InvalidParameterValue", "[10.0.1.50] is already assigned to another interface"), Error),
        (answer("AttachmentLimitExceeded"), NodeError),
        (answer("PrivateIpAddressLimitExceeded"), NodeError),
        (answer("OperationNotPermitted"), Error),
        (answer("RouteLimitExceeded"), Error),
        (answer("ExpiredToken"), Error),
        (sdk.EndpointConnectionError(endpoint_url="https://ec2"), UnknownError),
        (sdk.ConnectTimeoutError(endpoint_url="https://ec2"), UnknownError),
        (sdk.ReadTimeoutError(endpoint_url="https://ec2"), UnknownError),
        (sdk.ConnectionClosedError(endpoint_url="https://ec2"), UnknownError),
        (sdk.SSLError(endpoint_url="https://ec2", error=OSError("certificate verify failed")), UnknownError),
        (ResponseParserError("invalid XML"), UnknownError),
        (sdk.NoCredentialsError(), Error),
        (sdk.ProfileNotFound(profile="cluster"), NodeError),
    ],
)
def test_an_error_of_the_sdk_has_one_meaning(error: Exception, kind: Type[Error]) -> None:
    """Unknown, denied, not found or failed: never a guess between them."""
    found = translate("ReplaceRoute", error)
    assert type(found) is kind
    assert "ReplaceRoute" in str(found) or kind is NodeError
    if isinstance(error, sdk.ClientError):
        assert error.response["Error"]["Code"] in str(found)


TAKEN = "Instance 'i-0123456789abcdef0' already has an interface attached at device index '1'."
IN_USE = "Network interface 'eni-0123456789abcdef0' is currently in use."
# Operation, code, message -> what it means from this operation, and from one that it says nothing special about.
BY_OPERATION = [
    ("ReplaceRoute", "InvalidParameterValue", "There is no route defined for '192.0.2.1/32'.", NoRouteError, Error),
    ("ReplaceRoute", "InvalidRoute.NotFound", "no route", NoRouteError, NodeError),
    ("CreateRoute", "RouteAlreadyExists", "The route identified by 192.0.2.1/32 exists.", RouteExistsError, Error),
    ("AttachNetworkInterface", "InvalidNetworkInterface.InUse", "Interface: [eni-1] in use.", InUseError, Error),
    ("AttachNetworkInterface", "InvalidParameterValue", IN_USE, InUseError, Error),
    ("AttachNetworkInterface", "InvalidParameterValue", TAKEN, IndexTakenError, Error),
    ("AttachNetworkInterface", "OperationNotPermitted", "You do not have permission.", NodeError, Error),
    ("DetachNetworkInterface", "OperationNotPermitted", "You do not have permission.", NodeError, Error),
    ("DetachNetworkInterface", "InvalidAttachmentID.NotFound", "does not exist", DetachedError, NodeError),
]


@pytest.mark.parametrize(("operation", "code", "message", "kind", "elsewhere"), BY_OPERATION)
def test_the_same_code_means_what_its_operation_makes_of_it(
    operation: str, code: str, message: str, kind: Type[Error], elsewhere: Type[Error]
) -> None:
    """A code that has a special meaning from one operation has its plain meaning from every other one."""
    assert type(translate(operation, answer(code, message))) is kind
    assert type(translate("DescribeVpcs", answer(code, message))) is elsewhere


def _made(kind: Type[Exception]) -> Exception:
    """An instance with whatever arguments its message wants."""

    class Anything(Dict[str, str]):
        def __missing__(self, key: str) -> str:
            return "something"

    if issubclass(kind, sdk.ClientError):
        return kind({"Error": {"Code": "Odd", "Message": "Odd"}}, "ReplaceRoute")
    error = kind.__new__(kind)
    text = str(getattr(kind, "fmt", "")).format_map(Anything())
    Exception.__init__(error, text)
    return error


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for _, kind in inspect.getmembers(sdk, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__ == sdk.__name__
    ],
)
def test_every_exception_that_botocore_has_is_translated(kind: Type[Exception]) -> None:
    """None of them can reach the agent as it is."""
    found = translate("DescribeRouteTables", _made(kind))
    assert isinstance(found, Error)
    assert str(found)


def test_a_secret_that_ec2_quotes_is_not_repeated() -> None:
    """A session's secrets are known to the translation, and left out of what a message says."""
    keep_secret("wJalrXUtnFEMIbPxRfiCY", None)
    found = str(translate("ReplaceRoute", answer("InvalidParameterValue", "Bad key wJalrXUtnFEMIbPxRfiCY here")))
    assert found == "ReplaceRoute: InvalidParameterValue: Bad key *** here"


def test_a_proxys_password_is_not_repeated() -> None:
    """Connection errors quote the proxy's URL; ours do not."""
    error = sdk.ProxyConnectionError(proxy_url="http://user:hunter2@proxy:3128")
    assert "hunter2" not in str(translate("ReplaceRoute", error))


def test_a_refusals_encoded_message_is_left_out() -> None:
    """It is a thousand characters that say nothing on a status page."""
    error = answer(
        "UnauthorizedOperation", "You are not authorized. Encoded authorization failure message: " + "x" * 900
    )
    assert str(translate("CreateRoute", error)) == "CreateRoute: UnauthorizedOperation"
