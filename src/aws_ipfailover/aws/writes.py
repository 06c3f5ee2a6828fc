"""Calls that change something in EC2: planned without being made, and noted when they are made."""

from __future__ import annotations

from typing import Any, Callable, List, Mapping, NamedTuple, Optional, Protocol

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import Error

# EC2's operations that have no parameter DryRun (Amazon EC2 API Reference; tests compare the SDK's model).
_WITHOUT_DRY_RUN = ("AssignIpv6Addresses", "AssignPrivateIpAddresses", "UnassignIpv6Addresses")
_READS = "Describe"  # what the name of an operation begins with that changes nothing


class Calls(Protocol):
    """Makes calls of EC2's API."""

    @property
    def deadline(self) -> Deadline:
        """The deadline of every call."""

    def __call__(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        """The answer to `operation`; raises `errors.Error`."""


class Write(NamedTuple):
    """A call that changes something: the operation, and its parameters by EC2's names.

    `dry_run` asks EC2 whether the call is permitted: it returns, or raises `errors.Error`; `None` where EC2 has no
    DryRun for the operation.
    """

    operation: str
    arguments: Mapping[str, Any]
    dry_run: Optional[Callable[[], None]] = None


class Made(NamedTuple):
    """A call that was made; `error`: why it failed, or may have failed; empty if EC2 has confirmed it."""

    operation: str
    arguments: Mapping[str, Any]
    error: str = ""


class Planning:
    """Makes no call: keeps the one that changes something, with its parameters."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self.kept: List[Write] = []

    def __call__(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        """Keep the call; the answer is empty."""
        self.kept.append(Write(operation, arguments))
        return {}


class Noted:
    """Makes calls by `calls`, and tells `note` of each that changes something, when it has ended."""

    def __init__(self, calls: Calls, note: Callable[[Made], None]) -> None:
        self._calls = calls
        self._note = note

    @property
    def deadline(self) -> Deadline:
        """The deadline of every call."""
        return self._calls.deadline

    def __call__(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        """The answer to `operation`; raises as `calls` does."""
        if operation.startswith(_READS) or arguments.get("DryRun"):
            return self._calls(operation, **arguments)
        try:
            answer = self._calls(operation, **arguments)
        except Error as error:
            self._note(Made(operation, arguments, str(error)))
            raise
        self._note(Made(operation, arguments))
        return answer


def has_dry_run(operation: str) -> bool:
    """Whether EC2 can be asked for permission only."""
    return operation not in _WITHOUT_DRY_RUN
