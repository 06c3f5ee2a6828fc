"""What `failover` expects of the things that it decides about. Only type checkers import this module.

Making a `Protocol` costs Python a millisecond, which a probe does not have to pay.
"""

from __future__ import annotations

from typing import List, Protocol

from aws_ipfailover.failover import Look, Repair
from aws_ipfailover.steps import Step


class LocalPart(Protocol):
    """State in this node's kernel, such as an address. Every method is idempotent and needs neither IMDS nor EC2."""

    def look(self) -> Look:
        """Whether it is here; raises `UnknownError` when that cannot be found out."""

    def release(self) -> None:
        """Remove it; returns only after the kernel shows that it is gone."""


class Holding(Protocol):
    """One thing that has to be here for the address to work: an address in the kernel, routes in the cloud.

    Every method is idempotent, reaches its goal from any half-way state, and raises `errors.Error`.
    """

    @property
    def local(self) -> bool:
        """Whether this is state of the kernel, which can be read and removed without EC2."""

    def take(self) -> None:
        """Bring it here; returns only after the kernel or EC2 has confirmed it (routes: one table is enough)."""

    def release(self) -> None:
        """Give it up; in the kernel, returns only after it is gone. A change in EC2 is requested, not waited for."""

    def look(self) -> Look:
        """Where it is; raises `UnknownError` when that cannot be found out."""


class PlannedHolding(Holding, Protocol):
    """A holding that can tell beforehand what it does."""

    def plan(self) -> List[Step]:
        """What `take` would do as things are now, in order; changes nothing.

        Raises:
            Error: `take` would raise this, or that cannot be found out (`UnknownError`).
        """


class CloudHolding(PlannedHolding, Protocol):
    """A holding in the cloud."""

    def repair(self) -> Repair:
        """Repair what the last `look` found ELSEWHERE, without a move of the resource.

        Raises:
            UnknownError: EC2 did not say whether it was done.  Error: it was not done, and nothing leads here.
        """


class Manager(Protocol):
    """The cluster manager: Pacemaker."""

    def manages(self) -> bool:
        """Whether Pacemaker manages the resource now; raises `UnknownError` if it does not answer."""
