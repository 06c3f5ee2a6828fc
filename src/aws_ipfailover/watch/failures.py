"""The kinds of failure by which a question ends without an answer."""

from __future__ import annotations

import errno
from typing import Dict

from aws_ipfailover.watch.question import Failure

FAILURES: Dict[int, Failure] = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EACCES: "unreachable",  # what a "prohibit" route and ICMP "administratively prohibited" become
    errno.ETIMEDOUT: "timeout",
}


def failure_of(error: OSError) -> Failure:
    """The kind of failure that `error` is."""
    return FAILURES.get(error.errno or 0, "error")
