"""aws/errors.py: every error of the SDK becomes one of ours, with operation and code, and without secrets."""

from __future__ import annotations

import inspect
import time
from email.utils import formatdate
from typing import Any, Dict, Type

import pytest
from botocore import exceptions as sdk
from botocore.parsers import ResponseParserError

from aws_ipfailover.aws.errors import translate
from aws_ipfailover.errors import (
    ChangingError,
    DeniedError,
    DetachedError,
    Error,
    ExpiredError,
    IndexTakenError,
    InUseError,
    NetworkCardError,
    NoCredentialsError,
    NodeError,
    NoRouteError,
    NoTableError,
    RouteExistsError,
    ThrottledError,
    UnknownError,
    WouldSucceedError,
)
from aws_ipfailover.failover import not_checked
from aws_ipfailover.redaction import keep_secret


def answer(code: str, message: str = "Because.", status: int = 400, date: str = "") -> sdk.ClientError:
    """An error that EC2 answers with; `date` is the answer's own, none where it is empty."""
    about = {"HTTPStatusCode": status, "HTTPHeaders": {"date": date} if date else {}}
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": about}
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
        (answer("ExpiredToken", status=403), ExpiredError),
        (answer("ExpiredTokenException"), ExpiredError),
        (answer("RequestExpired"), ExpiredError),
        (answer("RequestTimeTooSkewed", status=403), ExpiredError),
        (answer("TokenRefreshRequired"), ExpiredError),
        (answer("DryRunOperation", status=412), WouldSucceedError),
        (answer("IncorrectState"), UnknownError),
        (answer("IncorrectInstanceState"), UnknownError),
        (
            answer("InvalidParameterValue", "route table rtb-1 and interface eni-1 belong to different networks"),
            NodeError,
        ),
        (sdk.EndpointConnectionError(endpoint_url="https://ec2"), UnknownError),
        (sdk.ConnectTimeoutError(endpoint_url="https://ec2"), UnknownError),
        (sdk.ReadTimeoutError(endpoint_url="https://ec2"), UnknownError),
        (sdk.ConnectionClosedError(endpoint_url="https://ec2"), UnknownError),
        (sdk.SSLError(endpoint_url="https://ec2", error=OSError("certificate verify failed")), UnknownError),
        (ResponseParserError("invalid XML"), UnknownError),
        (sdk.NoCredentialsError(), NoCredentialsError),
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


def test_a_profile_can_be_chosen_by_a_variable() -> None:
    """Whoever has set it looks in vain for a parameter of that name."""
    text = str(translate("ReplaceRoute", sdk.ProfileNotFound(profile="cluster")))
    assert text.startswith("parameter profile, or else the variable AWS_PROFILE: ")


TAKEN = "Instance 'i-0123456789abcdef0' already has an interface attached at device index '1'."
CARD = "Value (1) for parameter networkCardIndex is invalid."
NO_SUCH_CARD = "The instance type has no network card with index 1."
OTHER_ZONE = "You may not attach it to an instance if they are not in the same availability zone"
IN_USE = "Network interface 'eni-0123456789abcdef0' is currently in use."
DIFFERENT = "route table rtb-0a and interface eni-0a belong to different networks"
# Operation, code, message -> what it means from this operation, and from one that it says nothing special about.
NO_PERMISSION = "You do not have permission to access the specified resource."
BY_OPERATION = [
    ("ReplaceRoute", "InvalidParameterValue", "There is no route defined for '192.0.2.1/32'.", NoRouteError, Error),
    ("ReplaceRoute", "InvalidRoute.NotFound", "no route", NoRouteError, NodeError),
    ("ReplaceRoute", "InvalidParameterValue", DIFFERENT, NodeError, Error),
    ("CreateRoute", "InvalidParameterValue", DIFFERENT, NodeError, Error),
    ("AttachNetworkInterface", "IncorrectState", "Instance is not 'running'.", ChangingError, UnknownError),
    ("AttachNetworkInterface", "IncorrectInstanceState", "not in a valid state", ChangingError, UnknownError),
    ("DetachNetworkInterface", "IncorrectState", "Attachment is in 'attaching' state.", ChangingError, UnknownError),
    ("CreateRoute", "RouteAlreadyExists", "The route identified by 192.0.2.1/32 exists.", RouteExistsError, Error),
    ("AttachNetworkInterface", "InvalidNetworkInterface.InUse", "Interface: [eni-1] in use.", InUseError, Error),
    ("AttachNetworkInterface", "InvalidParameterValue", IN_USE, InUseError, Error),
    ("AttachNetworkInterface", "InvalidParameterValue", "Interface: [eni-1] in use.", InUseError, Error),
    ("AttachNetworkInterface", "InvalidParameterCombination", OTHER_ZONE, NodeError, Error),
    ("AttachNetworkInterface", "InvalidParameterValue", OTHER_ZONE, NodeError, Error),
    ("AttachNetworkInterface", "InvalidParameterValue", TAKEN, IndexTakenError, Error),
    ("AttachNetworkInterface", "InvalidParameterValue", CARD, NetworkCardError, Error),
    ("AttachNetworkInterface", "UnsupportedOperation", NO_SUCH_CARD, NetworkCardError, Error),
    ("AttachNetworkInterface", "UnknownParameter", CARD, NetworkCardError, Error),
    ("AttachNetworkInterface", "OperationNotPermitted", "You do not have permission.", NodeError, Error),
    ("DetachNetworkInterface", "OperationNotPermitted", "You do not have permission.", NodeError, Error),
    ("DetachNetworkInterface", "InvalidAttachmentID.NotFound", "does not exist", DetachedError, NodeError),
    ("AssociateAddress", "AuthFailure", "The address 'eipalloc-1' does not belong to you.", NodeError, DeniedError),
    ("AssociateAddress", "AuthFailure", NO_PERMISSION, NodeError, DeniedError),
    ("AssociateAddress", "AuthFailure", "AWS was not able to validate the credentials", DeniedError, DeniedError),
    ("DescribeAddresses", "AuthFailure", "The address 'eipalloc-1' does not belong to you.", NodeError, DeniedError),
    ("AssociateAddress", "Gateway.NotAttached", "vpc-1 is not attached to any internet gateway", NodeError, Error),
    ("AssociateAddress", "InvalidAllocationID.NotFound", "'eipalloc-1' does not exist", NodeError, NodeError),
    ("AssociateAddress", "InvalidNetworkInterfaceID.NotFound", "'eni-1' does not exist", NodeError, NodeError),
    ("AssociateAddress", "IncorrectInstanceState", "is not in a valid state", UnknownError, UnknownError),
    ("AssociateAddress", "Resource.AlreadyAssociated", "is already associated", Error, Error),
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


SECRET_AS_A_CODE = "AQAEAExampleTokenOfImds"
NO_CODES = {
    "a known secret": SECRET_AS_A_CODE,
    "a part of one": SECRET_AS_A_CODE[:9],
    "longer than 80 characters": "A" * 81,
    "a megabyte": "A" * 1_000_000,
    "a number": "503",
    "a sentence": "Unauthorized Operation",
    "a line end behind it": "UnauthorizedOperation\n",
    "an escape sequence": "Unauthorized\x1b[2J",
    "text turned round": "Unauthorized\u202e",
    "letters of another script": "Unauthоrized",  # noqa: RUF001  a Cyrillic o
    "nothing": "",
}


@pytest.mark.parametrize("code", NO_CODES.values(), ids=NO_CODES)
def test_what_is_no_code_is_not_told_as_one(code: str) -> None:
    """An error code is accepted only as a code: letters, digits and dots, 80 at most, and no secret. Else it is told
    that there is none, with the status of HTTP, and the code means nothing."""
    keep_secret(SECRET_AS_A_CODE)
    found = translate("ReplaceRoute", answer(code, "no"))
    assert str(found) == "ReplaceRoute: an error without a usable code (HTTP status 400): no"
    assert type(found) is Error
    assert type(translate("ReplaceRoute", answer(code, "no", status=502))) is UnknownError


@pytest.mark.parametrize("status", [302, 400, 403, 404, 407])
def test_a_page_that_is_no_answer_of_aws(status: int) -> None:
    """A proxy's page has neither code nor message: it says nothing about the call, which is made again until the
    deadline, as after a server error."""
    found = translate("ReplaceRoute", answer("", "", status=status))
    assert type(found) is UnknownError
    assert str(found) == f"ReplaceRoute: an error without a usable code (HTTP status {status}): check the way to AWS"
    assert type(translate("ReplaceRoute", answer("", "", status=429))) is ThrottledError


def test_a_code_of_80_characters_is_one() -> None:
    """Letters, digits and dots."""
    code = "Aa1." * 20
    assert str(translate("ReplaceRoute", answer(code, ""))) == f"ReplaceRoute: {code}"


@pytest.mark.parametrize("code", ["InvalidParameterValue", "IncorrectState", "UnauthorizedOperation"])
def test_a_message_is_bounded_and_on_one_line(code: str) -> None:
    """AWS's message is a stranger's text: it is cut, and what a terminal obeys is shown escaped, at once."""
    message = "with an explicit deny in\n\x1b[2J\u202e a policy " + " " * 1_000_000 + "A" * 1_000_000
    began = time.process_time()
    found = str(translate("ReplaceRoute", answer(code, message)))
    assert time.process_time() - began < 1
    assert found.isprintable()
    assert r"\x1b[2J\u202e" in found
    assert len(found) < 400


def test_a_cut_message_ends_with_no_part_of_a_secret() -> None:
    """A secret that stands where a message is cut is left out before the cut."""
    keep_secret("wJalrXUtnFEMIK7MDENGbPxRfiCY")
    for before in range(150, 200):
        message = "." * before + "wJalrXUtnFEMIK7MDENGbPxRfiCY" + "." * 100
        assert "wJal" not in str(translate("ReplaceRoute", answer("InvalidParameterValue", message)))


@pytest.mark.parametrize("message", ["", None])
def test_an_error_without_a_message_is_told_by_its_code(message: Any) -> None:
    """Nothing follows the code."""
    assert str(translate("ReplaceRoute", answer("NoSuchThing", message))) == "ReplaceRoute: NoSuchThing"


def test_a_proxys_password_is_not_repeated() -> None:
    """Connection errors quote the proxy's URL; ours do not."""
    error = sdk.ProxyConnectionError(proxy_url="http://user:hunter2@proxy:3128")
    assert "hunter2" not in str(translate("ReplaceRoute", error))


def test_a_refusals_encoded_message_is_left_out() -> None:
    """It is a thousand characters that say nothing on a status page."""
    error = answer(
        "UnauthorizedOperation", "You are not authorized. Encoded authorization failure message: " + "x" * 900
    )
    assert str(translate("CreateRoute", error)) == (
        "CreateRoute: UnauthorizedOperation: allow it in this node's IAM policy"
    )


USER = "User: arn:aws:sts::123456789012:assumed-role/lab-node/i-0a is not authorized to perform: ec2:ReplaceRoute"
TABLE = "arn:aws:ec2:eu-central-1:123456789012:route-table/rtb-0a"
ENCODED = ". Encoded authorization failure message: " + "x" * 900


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        (
            (
                f"You are not authorized to do this. {USER} on resource: {TABLE} because no identity-based"
                f" policy allows the ec2:ReplaceRoute action{ENCODED}"
            ),
            "no identity-based policy allows the ec2:ReplaceRoute action",
        ),
        (
            (
                f"You are not authorized to do this. {USER} on resource: {TABLE} with an explicit deny in a"
                f" service control policy{ENCODED}"
            ),
            "with an explicit deny in a service control policy",
        ),
        (
            f"{USER} because no permissions boundary allows the ec2:ReplaceRoute action",
            "no permissions boundary allows the ec2:ReplaceRoute action",
        ),
    ],
)
def test_a_denial_keeps_awss_own_words(message: str, kept: str) -> None:
    """ "The exit reason keeps AWS's own text of a denial (which kind of policy)", without the encoded message."""
    said = str(translate("ReplaceRoute", answer("UnauthorizedOperation", message, status=403)))
    assert said == f"ReplaceRoute: UnauthorizedOperation: allow it in this node's IAM policy; AWS: {kept}"


def test_a_describe_that_is_denied_names_the_statement_that_is_wrong() -> None:
    """SUSE's samples grant DescribeRouteTables on a table's ARN, which never matches: say which statement is wrong.

    Within the first 110 characters of the exit reason of a monitor, which Pacemaker shows.
    """
    said = str(translate("DescribeRouteTables", answer("UnauthorizedOperation", status=403)))
    assert said.startswith('DescribeRouteTables: UnauthorizedOperation: allow it on Resource "*", not on an ARN')
    assert 'allow it on Resource "*", not on an ARN' in not_checked(DeniedError(said)).reason[:110]


def test_a_role_that_may_not_be_assumed_names_both_policies() -> None:
    """AssumeRole is denied by the role's trust or by this node's own policy; which one, STS does not say."""
    said = str(translate("AssumeRole", answer("AccessDenied", status=403)))
    assert "let the role trust this node's role" in said
    assert "sts:AssumeRole" in said


REFUSED_FOR_TIME = ["AuthFailure", "RequestExpired", "SignatureDoesNotMatch", "ExpiredToken", "RequestTimeTooSkewed"]


@pytest.mark.parametrize("code", REFUSED_FOR_TIME)
@pytest.mark.parametrize(("seconds", "direction"), [(600, "ahead"), (-600, "behind"), (7200, "ahead")])
def test_a_clock_that_is_off_is_named(monkeypatch: pytest.MonkeyPatch, code: str, seconds: int, direction: str) -> None:
    """ "AuthFailure with a clock that is off says so": by how many seconds, in which direction, and what to do."""
    now = 1_700_000_000
    monkeypatch.setattr(time, "time", lambda: now + seconds)
    said = translate("DescribeRouteTables", answer(code, status=401, date=formatdate(now, usegmt=True)))
    assert isinstance(said, DeniedError)
    expected = f"this node's clock is {abs(seconds)} s {direction}: set it (chronyd)"
    assert str(said) == f"DescribeRouteTables: {code}: {expected}"


@pytest.mark.parametrize("date", ["now", "", "nonsense"])
def test_a_clock_that_is_right_is_not_blamed(date: str) -> None:
    """Within AWS's tolerance, or where the answer has no date, the credentials are what is not accepted."""
    right = formatdate(time.time() - 100, usegmt=True) if date == "now" else date
    said = str(translate("DescribeRouteTables", answer("AuthFailure", status=401, date=right)))
    assert "renew" in said
    assert " s ahead" not in said


def test_a_policys_denial_does_not_blame_the_clock() -> None:
    """AWS has accepted the signature by then, whatever the clock says."""
    old = formatdate(time.time() - 3600, usegmt=True)
    assert "clock" not in str(translate("ReplaceRoute", answer("UnauthorizedOperation", status=403, date=old)))


def test_what_is_waited_for_is_told() -> None:
    """IncorrectState keeps EC2's message, which alone says what is still being changed; others say what they mean."""
    said = translate("ReplaceRoute", answer("IncorrectState", "Instance i-0a is not 'running'."))
    assert str(said) == "ReplaceRoute: IncorrectState: Instance i-0a is not 'running'."
    told = str(translate("ReplaceRoute", answer("InternalError", status=500)))
    assert told == "ReplaceRoute: InternalError: trouble on AWS's side, retry later"
    told = str(translate("ReplaceRoute", answer("RequestLimitExceeded", status=503)))
    assert told == "ReplaceRoute: RequestLimitExceeded: AWS limits this account's calls, retry later"
    assert str(translate("ReplaceRoute", answer("NoSuchCode", status=502))) == "ReplaceRoute: NoSuchCode"


def test_a_table_that_does_not_exist_says_what_to_do() -> None:
    """The table's id stands before it, as whoever wrote to it knows: "rtb-0a: does not exist: remove it ..."."""
    said = str(translate("ReplaceRoute", answer("InvalidRouteTableID.NotFound")))
    assert said == "does not exist: remove it from routing_table (ReplaceRoute: InvalidRouteTableID.NotFound)"
