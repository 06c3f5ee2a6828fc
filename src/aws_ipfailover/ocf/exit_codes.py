"""OCF exit codes."""

from __future__ import annotations

import enum


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
