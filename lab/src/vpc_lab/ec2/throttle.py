"""EC2's token buckets: capacity and refill for each action, shared by everything in the account.

Source: "Request throttling for the Amazon EC2 API".
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from fnmatch import fnmatchcase
from threading import Lock
from typing import Dict, Optional, Tuple

from vpc_lab.ec2.errors import ApiError
from vpc_lab.ec2.wire import Query

Bucket = Tuple[float, float]  # capacity, refill per second

BUCKETS: Dict[str, Bucket] = {
    "AssignPrivateIpAddresses": (100, 5),
    "UnassignPrivateIpAddresses": (100, 5),
    "AssignIpv6Addresses": (100, 5),
    "UnassignIpv6Addresses": (100, 5),
    "ModifyNetworkInterfaceAttribute": (100, 5),
    "CreateNetworkInterface": (100, 5),
    "DeleteNetworkInterface": (100, 5),
    "StartInstances": (5, 2),
}
# These two have a small bucket for calls with neither filter nor pagination, and the ordinary one for the others.
UNFILTERED: Dict[str, Bucket] = {"DescribeInstances": (50, 10), "DescribeNetworkInterfaces": (50, 10)}
READ: Bucket = (100, 20)
WRITE: Bucket = (50, 5)


@dataclass(frozen=True)
class Limit:
    """A limit on the calls of an operation, or of those that fit a pattern: EC2's documented buckets, or other figures.

    `load`: how many tokens a second somebody else in the account takes out of each bucket.
    """

    action: str = "*"
    capacity: Optional[float] = None
    refill: Optional[float] = None
    load: float = 0.0


class Throttle:
    """The buckets; without a limit nothing is throttled. Safe to change while calls are served."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._limits: Tuple[Limit, ...] = ()
        self._levels: Dict[str, Tuple[float, float]] = {}

    def limit(self, *limits: Limit) -> None:
        """Let these limits hold, and no others; where there was none before, all buckets are full.

        Of several for one operation the smallest capacity and the slowest refill count, and all the load.
        """
        with self._lock:
            if not self._limits:
                self._levels.clear()
            self._limits = limits

    def take(self, query: Query, now: Optional[float] = None) -> None:
        """Take one token for this call; RequestLimitExceeded where the bucket is empty."""
        moment = time.monotonic() if now is None else now
        with self._lock:
            limits = [one for one in self._limits if fnmatchcase(query.action, one.action)]
            if not limits:
                return
            name, documented = _documented(query)
            capacity = min(documented[0] if one.capacity is None else one.capacity for one in limits)
            refill = min(documented[1] if one.refill is None else one.refill for one in limits)
            refill -= sum(one.load for one in limits)
            level, since = self._levels.get(name, (capacity, moment))
            level = max(0.0, min(capacity, level + (moment - since) * refill))
            admitted = level >= 1
            self._levels[name] = (level - 1 if admitted else level, moment)
        if not admitted:
            raise ApiError("RequestLimitExceeded")


def _documented(query: Query) -> Tuple[str, Bucket]:
    """The bucket that a call takes from, by name, and EC2's figures for it."""
    action = query.action
    if action in UNFILTERED and not query.filters() and query.get("MaxResults") is None:
        return action + " unfiltered", UNFILTERED[action]
    return action, BUCKETS.get(action, READ if action.startswith("Describe") else WRITE)
