"""What can go wrong in a lab, for whoever uses it."""

from __future__ import annotations


class LabError(Exception):
    """Something a user of the lab can understand and act on; the message is the whole sentence."""


class LabTimeoutError(LabError):
    """A condition did not come true in time."""
