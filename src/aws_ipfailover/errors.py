"""What can go wrong, and what it means for the one who asked. Imports nothing and knows no exit code.

    Error                     it failed, and trying again later may help
    |-- ParameterError        provably wrong in the parameter's own text
    |-- NodeError             well formed, but wrong on this node: no such interface, network interface not found
    |   `-- NoTableError      no such route table
    |-- DeniedError           not root, or AWS says these credentials may not do this
    |   `-- ExpiredError      the credentials are too old, or this node's clock is off
    |-- MissingError          software this node needs is not installed
    |-- NoRouteError          a route table has no route to replace
    |-- RouteExistsError      a route table has the route that was to be created
    |-- InUseError            a network interface that was to be attached is attached
    |-- IndexTakenError       its device index is taken
    |-- ChangingError         EC2 is still changing what was to be changed
    |-- WouldSucceedError     the answer of EC2 to a dry run that is permitted
    |-- DetachedError         a network interface that was to be detached is not attached any more
    `-- UnknownError          could not find out: no answer, a server's own fault, out of time
        `-- ThrottledError    too many calls at once

An `UnknownError` is never evidence of anything: neither that the address is here nor that it is not.
"""


class Error(Exception):
    """Base of all; its text is one sentence for an administrator and never holds a secret."""


class ParameterError(Error):
    """A parameter is wrong in its own text; the sentence names parameter, value and what would be right."""


class NodeError(Error):
    """The parameters are well formed but do not fit this node or this VPC."""


class DeniedError(Error):
    """Root is missing, or AWS refused the credentials for this operation."""


class ExpiredError(DeniedError):
    """AWS calls the credentials, or the request's time, too old; credentials fetched anew can be accepted."""


class MissingError(Error):
    """A program or Python package is not installed for the interpreter that runs this."""


class NoTableError(NodeError):
    """EC2 has no such route table."""


class NoRouteError(Error):
    """ReplaceRoute: the table has no route for this destination."""


class RouteExistsError(Error):
    """CreateRoute: the table has a route for this destination."""


class InUseError(Error):
    """AttachNetworkInterface: the network interface is attached."""


class IndexTakenError(Error):
    """AttachNetworkInterface: another network interface has this device index."""


class DetachedError(Error):
    """DetachNetworkInterface: there is no such attachment any more."""


class ChangingError(Error):
    """Attach or detach: the network interface or its instance is in the middle of a change."""


class WouldSucceedError(Error):
    """EC2 answered a dry run: the call is permitted."""


class UnknownError(Error):
    """Could not find out: there was no answer in time, or none that can be believed. A retry may succeed."""


class ThrottledError(UnknownError):
    """AWS refused a call because there are too many; the same call is answered when it comes later."""
