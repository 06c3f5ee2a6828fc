"""EC2's token buckets: capacity and refill for each action, shared by everything in the account.

Source: "Request throttling for the Amazon EC2 API".
"""

from __future__ import annotations

import time
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


class Throttle:
    """The buckets; off until `enabled` is set. `override` sets other figures for an action."""

    def __init__(self) -> None:
        self.enabled = False
        self._lock = Lock()
        self._override: Dict[str, Bucket] = {}
        self._levels: Dict[str, Tuple[float, float]] = {}

    def override(self, action: str, capacity: float, refill: float) -> None:
        """Other figures for one action, from a full bucket."""
        with self._lock:
            self._override[action] = (capacity, refill)
            self._levels.clear()

    def reset(self) -> None:
        """Fill all buckets."""
        with self._lock:
            self._levels.clear()

    def take(self, query: Query, now: Optional[float] = None) -> None:
        """Take one token for this call; RequestLimitExceeded where the bucket is empty."""
        if not self.enabled:
            return
        moment = time.monotonic() if now is None else now
        name, (capacity, refill) = self._bucket(query)
        with self._lock:
            level, since = self._levels.get(name, (capacity, moment))
            level = min(capacity, level + (moment - since) * refill)
            admitted = level >= 1
            self._levels[name] = (level - 1 if admitted else level, moment)
        if not admitted:
            raise ApiError("RequestLimitExceeded")

    def _bucket(self, query: Query) -> Tuple[str, Bucket]:
        action = query.action
        if action in self._override:
            return action, self._override[action]
        if action in UNFILTERED and not query.filters() and query.get("MaxResults") is None:
            return action + " unfiltered", UNFILTERED[action]
        return action, BUCKETS.get(action, READ if action.startswith("Describe") else WRITE)
