"""What the faults in force cause together, where several of them can cause the same. Pure.

Computed from the whole set each time one comes or goes, so that none can take back what another one still causes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from typing import FrozenSet, Iterable, List, Mapping, Tuple

from vpc_lab import faults
from vpc_lab.ec2 import Consistency, Limit, Policy, Statement
from vpc_lab.errors import LabError
from vpc_lab.faults import Fault

Pairs = FrozenSet[Tuple[str, str]]


@dataclass(frozen=True)
class Places:
    """What can be cut off from each other: EC2's instances, the availability zones, who is outside the VPC."""

    instances: Tuple[str, ...]
    zones: Tuple[str, ...]
    outside: Tuple[str, ...]


@dataclass(frozen=True)
class Lags:
    """Seconds that a lab was brought up with: faults add nothing to them, the longer one counts."""

    routes: float = 0.0
    remap: float = 0.0
    imds: float = 0.0


@dataclass(frozen=True)
class Conditions:
    """What holds in a lab. `cuts`: from where to where nothing passes. `frozen`: instances, and whether with kernel."""

    cuts: Pairs
    lags: Lags
    consistency: Consistency
    limits: Tuple[Limit, ...]
    policies: Tuple[Policy, ...]
    renewing: bool
    imds_off: FrozenSet[str]
    frozen: Mapping[str, bool]
    full: FrozenSet[Tuple[str, str]]
    shut_down_first: FrozenSet[str]
    stuck_detach: bool
    dead_indexes: bool


def combined(
    in_force: Iterable[Fault], places: Places, base: Lags = Lags(), *, dead_indexes: bool = False
) -> Conditions:
    """What these faults cause; `base` and `dead_indexes`: what the lab was brought up with.

    LabError for a policy that the lab does not understand.
    """
    found = tuple(in_force)
    stale = [one for one in found if isinstance(one, faults.StaleReads)]
    frozen = [one for one in found if isinstance(one, faults.Freeze)]
    remaps = [one for one in found if isinstance(one, faults.RemapLag)]
    return Conditions(
        cuts=frozenset(pair for one in found for pair in _cut(one, places)),
        lags=Lags(
            max([base.routes, *(one.seconds for one in found if isinstance(one, faults.RouteLag))]),
            max([base.remap, *(one.seconds for one in remaps)]),
            max([base.imds, *(one.imds for one in remaps)]),
        ),
        # A read that is always stale sees less than one that is stale every second time.
        consistency=Consistency(max([0.0, *(one.seconds for one in stale)]), all(one.alternating for one in stale)),
        limits=tuple(
            Limit(one.action, one.capacity, one.refill, one.load) for one in found if isinstance(one, faults.Throttled)
        ),
        policies=tuple(policy for one in found for policy in _policies(one)),
        renewing=all(one.renew for one in found if isinstance(one, faults.ExpiredCredentials)),
        imds_off=frozenset(one.node for one in found if isinstance(one, faults.Imds) and one.how == "off"),
        frozen={one.node: any(other.kernel for other in frozen if other.node == one.node) for one in frozen},
        full=frozenset((one.node, one.where) for one in found if isinstance(one, faults.DiskFull)),
        shut_down_first=frozenset(one.node for one in found if isinstance(one, faults.GracefulStop)),
        stuck_detach=any(isinstance(one, faults.StuckDetach) for one in found),
        dead_indexes=dead_indexes or any(isinstance(one, faults.DeadIndexes) for one in found),
    )


def _cut(fault: Fault, places: Places) -> Iterable[Tuple[str, str]]:
    if isinstance(fault, faults.Partition):
        return _between([fault.one], [fault.other], one_way=fault.one_way)
    if isinstance(fault, faults.ZoneCut):
        return _between([fault.zone], [*(one for one in places.zones if one != fault.zone), *places.outside, "api"])
    if isinstance(fault, faults.Unreachable):
        return _between(places.instances if fault.caller is None else [fault.caller], ["api"])
    if isinstance(fault, faults.Imds) and fault.how == "silent":
        return _between([fault.node], ["imds"])
    return ()


def _between(some: Iterable[str], others: Iterable[str], *, one_way: bool = False) -> List[Tuple[str, str]]:
    there = list(product(some, others))
    return there if one_way else there + [(other, one) for one, other in there]


def _policies(fault: Fault) -> Tuple[Policy, ...]:
    if isinstance(fault, faults.AccessDenied):
        # As ARNs end with it; of an operation without resources it is `*`, which only `*` is like.
        resource = fault.resource if fault.resource == faults.EVERY else f"*/{fault.resource}"
        deny = Statement((f"ec2:{fault.action}",), (resource,), "Deny")
        return (Policy((Statement((faults.EVERY,)), deny)),)
    if isinstance(fault, faults.RolePolicy):
        try:
            return (Policy.from_document(json.loads(fault.policy)),)
        except KeyError as error:
            raise LabError(f"the lab does not understand this policy: it has no {error}") from None
        except (ValueError, TypeError, AttributeError) as error:
            raise LabError(f"the lab does not understand this policy: {error}") from None
    return ()
