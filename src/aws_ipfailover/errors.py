"""The library's errors. Imports nothing; `agent` maps each error to an exit code.

    Error                     the operation failed; a retry later may succeed
    |-- ParameterError        a parameter's value is invalid on every node
    |-- NodeError             a valid value does not fit this node or VPC: no such interface, no such ENI
    |   |-- NoTableError      no such route table
    |   |-- NoIpv6Error       the kernel takes no IPv6 address
    |   |-- LimitError        AttachNetworkInterface: the instance has as many ENIs as it may
    |   `-- NetworkCardError  AttachNetworkInterface: the instance has no such network card
    |-- DeniedError           not root, or AWS denies these credentials the operation
    |   `-- ExpiredError      the credentials have expired, or this node's clock is wrong
    |-- NoCredentialsError    this node has no AWS credentials, and nothing that could tell them is silent
    |-- MissingError          a program or Python package is not installed
    |-- NoRouteError          ReplaceRoute: the table has no such route
    |-- RouteExistsError      CreateRoute: the table already has the route
    |-- InUseError            AttachNetworkInterface: the ENI is already attached
    |-- IndexTakenError       AttachNetworkInterface: the device index is taken
    |-- ChangingError         attach or detach: EC2 is still changing the ENI or the instance
    |-- WouldSucceedError     DryRun: the call is permitted
    |-- DetachedError         DetachNetworkInterface: no such attachment any more
    `-- UnknownError          could not find out: no answer, a server error, or no time left
        `-- ThrottledError    AWS's rate limit refused the call

An `UnknownError` is no evidence: the address may be on this node or not.
"""


class Error(Exception):
    """Base of all; its text is one sentence for an administrator and never holds a secret."""


def is_refusal(error: Error) -> bool:
    """Whether AWS has refused it for good: the same call is refused again until somebody changes something."""
    return isinstance(error, (NodeError, DeniedError)) and not isinstance(error, ExpiredError)


class ParameterError(Error):
    """A parameter's value is invalid; the text names the parameter, the value and what is expected."""


class NodeError(Error):
    """The parameters are well formed but do not fit this node or this VPC."""


class DeniedError(Error):
    """Root is missing, or AWS refused the credentials for this operation."""


class ExpiredError(DeniedError):
    """AWS says that the credentials, or the request's time, are too old; renewed credentials can be accepted."""


class NoCredentialsError(Error):
    """There are no AWS credentials here: no profile, none in the environment, no role, or IMDS is switched off."""


class MissingError(Error):
    """A program is not installed, or a Python package is not installed for the agent's interpreter."""


class NoTableError(NodeError):
    """EC2 has no such route table."""


class NoIpv6Error(NodeError):
    """IPv6 is switched off in this node's kernel, or on the interface."""


class LimitError(NodeError):
    """AttachNetworkInterface: the instance has as many network interfaces as its type allows."""


class NetworkCardError(NodeError):
    """AttachNetworkInterface: the instance has no network card with this index, or it takes no interface."""


class NoRouteError(Error):
    """ReplaceRoute: the table has no route for this destination."""


class RouteExistsError(Error):
    """CreateRoute: the table already has a route for this destination."""


class InUseError(Error):
    """AttachNetworkInterface: the network interface is already attached."""


class IndexTakenError(Error):
    """AttachNetworkInterface: another network interface has this device index."""


class DetachedError(Error):
    """DetachNetworkInterface: there is no such attachment any more."""


class ChangingError(Error):
    """Attach or detach: the network interface or its instance is in the middle of a change."""


class WouldSucceedError(Error):
    """EC2 answered a dry run: the call is permitted."""


class UnknownError(Error):
    """Could not find out: no answer in time, or none that can be believed. A retry may succeed."""


class ThrottledError(UnknownError):
    """AWS's rate limit refused a call; the same call succeeds later."""


def defect(error: BaseException, text: str = "") -> str:
    """Half a sentence about an exception that only a mistake in this package raises, for a report of it.

    It has the exception's class, its text, or `text` instead, and the last line of this package that it passed.
    """
    what = type(error).__name__
    passed = error.__traceback__
    while passed is not None:
        module = passed.tb_frame.f_globals.get("__name__", "")
        if module.partition(".")[0] == "aws_ipfailover":
            what = f"{type(error).__name__} at {module}:{passed.tb_lineno}"
        passed = passed.tb_next
    return f"internal error, please report it: {what}: {text or error}"
