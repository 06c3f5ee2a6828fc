"""EC2's and STS's answers that are not yes: code, message and HTTP status, worded as the real services word them."""

from __future__ import annotations

from typing import Dict, Optional

# HTTP statuses that differ from 400: the EC2 API reference's "Error codes", and answers seen in public bug reports.
STATUS: Dict[str, int] = {
    "AuthFailure": 401,
    "SignatureDoesNotMatch": 403,
    "UnauthorizedOperation": 403,
    "AccessDenied": 403,
    "ExpiredToken": 403,
    "InvalidClientTokenId": 403,
    "OptInRequired": 401,
    "DryRunOperation": 412,
    "RequestLimitExceeded": 503,
    "Throttling": 400,
    "InternalError": 500,
    "InternalFailure": 500,
    "InsufficientInstanceCapacity": 500,
    "ServiceUnavailable": 503,
    "Unavailable": 503,
}

MESSAGE: Dict[str, str] = {
    "AuthFailure": "AWS was not able to validate the provided access credentials",
    "UnauthorizedOperation": "You are not authorized to perform this operation.",
    "RequestExpired": "Request has expired.",
    "IncorrectState": "The resource is in an incorrect state for the request.",
    "ExpiredToken": "The security token included in the request is expired",
    "InvalidClientTokenId": "The security token included in the request is invalid.",
    "DryRunOperation": "Request would have succeeded, but DryRun flag is set.",
    "RequestLimitExceeded": "Request limit exceeded.",
    "InternalError": "An internal error has occurred",
    "ServiceUnavailable": "The service is unavailable. Please try again shortly.",
    "Unavailable": "The service is unavailable. Please try again shortly.",
}


class ApiError(Exception):
    """What the service answers instead of doing what was asked."""

    def __init__(self, code: str, message: Optional[str] = None, status: Optional[int] = None) -> None:
        self.code = code
        self.message = MESSAGE.get(code, f"{code} (injected)") if message is None else message
        self.status = STATUS.get(code, 400) if status is None else status
        super().__init__(f"{self.code}: {self.message}")


def not_found(code: str, kind: str, identifier: str) -> ApiError:
    """`Invalid….NotFound` for one id, e.g. `InvalidRouteTableID.NotFound` for the kind `routeTable`."""
    return ApiError(code, f"The {kind} ID '{identifier}' does not exist")


def invalid_value(message: str) -> ApiError:
    """`InvalidParameterValue` with this message."""
    return ApiError("InvalidParameterValue", message)


def missing(parameter: str) -> ApiError:
    """`MissingParameter` for one parameter of the Query API."""
    return ApiError("MissingParameter", f"The request must contain the parameter {parameter}")
