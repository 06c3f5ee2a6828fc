"""OCF exit codes, and which one an error of this library becomes."""

from __future__ import annotations

import enum
from typing import Tuple, Type

from aws_ipfailover.errors import DeniedError, Error, MissingError, NodeError, ParameterError


class Exit(enum.IntEnum):
    """OCF exit codes."""

    SUCCESS = 0
    GENERIC = 1
    ARGS = 2
    UNIMPLEMENTED = 3
    PERM = 4
    INSTALLED = 5
    CONFIGURED = 6
    NOT_RUNNING = 7
    DEGRADED = 190


_EXITS: Tuple[Tuple[Type[Error], Exit], ...] = (
    (ParameterError, Exit.CONFIGURED),
    (NodeError, Exit.ARGS),
    (DeniedError, Exit.PERM),
    (MissingError, Exit.INSTALLED),
    (Error, Exit.GENERIC),
)


def exit_of(error: Error) -> Exit:
    """The exit code for an error, in actions whose codes Pacemaker tells apart."""
    return next(code for kind, code in _EXITS if isinstance(error, kind))
