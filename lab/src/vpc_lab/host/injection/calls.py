"""Faults of calls to EC2, STS and instance metadata, in the language of the API. Pure."""

from __future__ import annotations

from typing import Callable, Dict, Optional, Type

from vpc_lab import faults
from vpc_lab.ec2 import Fault as OfApi
from vpc_lab.ec2.faults import Kind
from vpc_lab.faults import Fault

_KINDS: Dict[Type[Fault], Kind] = {
    faults.Hang: "hang",
    faults.Reset: "reset",
    faults.Closed: "close",
    faults.EmptyReads: "empty_set",
    faults.Html: "html",
    faults.Truncated: "truncate",
    faults.Empty: "empty",
}
# What EC2 calls its own errors (EC2 API reference, "Error codes").
_SERVER_ERRORS = {500: "InternalError", 503: "Unavailable"}


def of_api(fault: Fault, address_of: Callable[[str], str]) -> Optional[OfApi]:
    """What the API is told of a fault; None for one that is not of calls. `address_of`: an instance's, by its name."""
    if isinstance(fault, faults.Imds):
        if not fault.how.isdigit():
            return None
        return OfApi("error", service="imds", caller=address_of(fault.node), status=int(fault.how))
    if isinstance(fault, faults.ClockStepped):
        return OfApi("clock", service="api", caller=address_of(fault.node), seconds=fault.seconds)
    caller = getattr(fault, "caller", None)
    address = None if caller is None else address_of(caller)
    if isinstance(fault, faults.Refused):
        return OfApi("refuse", service="api", caller=address, times=fault.times)
    if isinstance(fault, faults.Slow):
        return OfApi("latency", fault.action, "api", address, times=fault.times, seconds=fault.seconds)
    if isinstance(fault, faults.ApiError):
        return OfApi("error", fault.action, "api", address, fault.resource, fault.times, fault.code)
    if isinstance(fault, faults.ServerError):
        code = _SERVER_ERRORS.get(fault.status, "InternalError")
        return OfApi("error", fault.action, "api", address, fault.resource, fault.times, code, status=fault.status)
    if isinstance(fault, faults.AnswersLost):
        return OfApi("close", fault.action, "api", address, fault.resource, fault.times, after=True)
    if isinstance(fault, faults.OfCalls):
        return OfApi(_KINDS[type(fault)], fault.action, "api", address, fault.resource, fault.times)
    return None
