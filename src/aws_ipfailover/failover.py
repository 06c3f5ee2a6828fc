"""Decisions: what to hold, in which order, and what the evidence means. Pure; the edges come in from outside."""

from __future__ import annotations

import enum
import logging
from typing import NamedTuple, Optional, Protocol, Sequence, Tuple, Union, cast

from aws_ipfailover.errors import Error, UnknownError

log = logging.getLogger(__name__)


class Where(enum.Enum):
    """Where a thing is. "Could not find out" is no place: it is an `UnknownError`."""

    HERE = "here"
    ELSEWHERE = "elsewhere"  # also: nowhere, or here but of no use (a blackhole)


class Look(NamedTuple):
    """What a look found: `why` explains an ELSEWHERE in half a sentence, and is empty for HERE."""

    where: Where
    why: str = ""


HERE = Look(Where.HERE)


class LocalPart(Protocol):
    """A thing in the kernel of this node. Every method is idempotent and needs neither IMDS nor EC2."""

    def look(self) -> Look:
        """Whether it is here; raises `UnknownError` when that cannot be found out."""

    def release(self) -> None:
        """Remove it; returns only when it is proven gone."""


class Holding(Protocol):
    """One thing that has to be here for the address to work: an address in the kernel, routes in the cloud.

    Every method is idempotent, reaches its goal from any half-way state, and raises `errors.Error`.
    """

    @property
    def local(self) -> bool:
        """Whether this is the kernel's own state, which can be read and removed without the cloud."""

    def take(self) -> None:
        """Make it be here; returns only when it is proven to be, for most consumers at least."""

    def release(self) -> None:
        """Make it not be here; returns only when it is proven gone, as far as that can be without the cloud."""

    def look(self) -> Look:
        """Where it is; raises `UnknownError` when that cannot be found out."""


class Repair(NamedTuple):
    """What came of putting right what `look` found ELSEWHERE.

    `mended`: what was put right, in half a sentence. `failed`: what was not, and why; empty where all of it was.
    `leads_here`: whether the address works for any consumer now, `None` where that is not known. `replaced_local`: what
    is in the kernel has to be taken again.
    """

    mended: str
    failed: str = ""
    leads_here: Optional[bool] = True
    replaced_local: bool = False


class CloudHolding(Holding, Protocol):
    """A holding in the cloud."""

    def repair(self) -> Repair:
        """Put right, in place, what the last `look` found ELSEWHERE."""


class OnDrift(enum.Enum):
    """What a monitor does about a cloud side that no longer leads here (parameter `on_drift`)."""

    REPAIR = "repair"
    RESTART = "restart"
    REPORT = "report"


class Manager(Protocol):
    """What decides over the resource: Pacemaker."""

    def manages(self) -> bool:
        """Whether Pacemaker manages the resource now; raises `UnknownError` when it does not tell."""


class Verdict(enum.Enum):
    """What a monitor says of the resource."""

    RUNNING = "running"
    NOT_RUNNING = "not running"
    DEGRADED = "running, but the cloud side is incomplete, or could not be checked"
    FAILED = "the address is here but its traffic goes elsewhere"


# Exit reasons begin with what they mean: Pacemaker shows some 110 characters.
_NOT_CHECKED = "Address up, nothing moved"
_PARTLY = "Served in part"
_UNCONFIRMED = "Repair not confirmed"

Evidence = Union[Where, UnknownError]


def verdict(local: Where, cloud: Optional[Evidence]) -> Verdict:
    """What kernel and cloud say together; `cloud` is `None` where it was not asked.

    Local evidence comes first: without the address the cloud has nothing to add. An unknown is never a "no".
    """
    if local is Where.ELSEWHERE:
        return Verdict.NOT_RUNNING
    if cloud is None or cloud is Where.HERE:
        return Verdict.RUNNING
    return Verdict.FAILED if cloud is Where.ELSEWHERE else Verdict.DEGRADED


class Finding(NamedTuple):
    """A verdict, and the half sentence that explains it."""

    verdict: Verdict
    reason: str = ""


def not_checked(error: Error) -> Finding:
    """What a monitor says of an address that is here, where EC2 could not be asked."""
    again = "; asked again at the next monitor" if isinstance(error, UnknownError) else ""
    return Finding(verdict(Where.HERE, UnknownError(str(error))), f"{_NOT_CHECKED}: {error}{again}")


def look_locally(parts: Sequence[LocalPart]) -> Finding:
    """Whether all of the parts are in the kernel: RUNNING or NOT_RUNNING.

    Raises:
        UnknownError: the kernel's own state cannot be read.
    """
    for part in parts:
        found = part.look()
        if found.where is Where.ELSEWHERE:
            return Finding(verdict(found.where, None), found.why)
    return Finding(verdict(Where.HERE, None))


def release_all(parts: Sequence[LocalPart]) -> None:
    """Remove every part, last one first, and try all of them whatever becomes of one.

    Raises:
        Error: one is still here, or that cannot be found out.
    """
    failure: Optional[Error] = None
    for part in reversed(parts):
        try:
            part.release()
        except Error as error:
            failure = error
    if failure is not None:
        raise failure


class Failover:
    """The holdings of one resource, in start order; stop walks them backwards."""

    def __init__(self, holdings: Tuple[Holding, ...]) -> None:
        self.holdings = holdings

    def start(self) -> None:
        """Take everything, whatever was held before. On failure nothing local stays behind.

        Raises:
            Error: the first one.
        """
        try:
            for holding in self.holdings:
                holding.take()
        except BaseException:
            self._release_local()
            raise

    def look_at_cloud(self, on_drift: OnDrift, manager: Manager) -> Finding:
        """What the cloud's side says, of an address that is on this node, after `on_drift` was done about it.

        RUNNING has a reason where something was put right. Nothing is written while `manager` does not manage the
        resource.
        """
        mended = []
        for holding in self.holdings:
            if not holding.local:
                finding = self._look_at(holding, on_drift, manager)
                if finding.verdict is not Verdict.RUNNING:
                    return finding
                mended += [finding.reason] if finding.reason else []
        return Finding(Verdict.RUNNING, "; ".join(mended))

    def release_in_cloud(self) -> None:
        """Let go of what is in the cloud, last taken first.

        Raises:
            Error: it could not be done, or not be found out.
        """
        for holding in reversed(self.holdings):
            if not holding.local:
                holding.release()

    def _look_at(self, holding: Holding, on_drift: OnDrift, manager: Manager) -> Finding:
        try:
            found = holding.look()
        except Error as error:
            # Whatever kept it from asking (no answer, no permission, no software), it did not find out.
            return not_checked(error)
        if found.where is Where.HERE or on_drift is OnDrift.RESTART:
            return Finding(verdict(Where.HERE, found.where), found.why)
        if on_drift is OnDrift.REPORT:
            return Finding(Verdict.DEGRADED, f"on_drift=report, nothing changed: {found.why}")
        return self._repair(holding, found, manager)

    def _repair(self, holding: Holding, found: Look, manager: Manager) -> Finding:
        try:
            if not manager.manages():
                return Finding(Verdict.DEGRADED, f"not managed by Pacemaker, so nothing changed: {found.why}")
        except UnknownError as error:
            return Finding(Verdict.DEGRADED, f"nothing changed: {found.why} ({error})")
        log.warning("%s: repairing it in place", found.why)
        try:
            outcome = cast("CloudHolding", holding).repair()
            if outcome.replaced_local:
                self._take_local()
        except Error as error:
            return Finding(Verdict.FAILED, f"{error}; {found.why}")
        if not outcome.failed:
            return Finding(Verdict.RUNNING, outcome.mended)
        if outcome.leads_here is None:
            return Finding(Verdict.DEGRADED, f"{_UNCONFIRMED}: {outcome.failed}; {found.why}")
        if outcome.leads_here:
            return Finding(Verdict.DEGRADED, f"{_PARTLY}: {outcome.failed}")
        return Finding(Verdict.FAILED, f"{outcome.failed}; {found.why}")

    def _take_local(self) -> None:
        for holding in self.holdings:
            if holding.local:
                holding.take()

    def _release_local(self) -> None:
        for holding in reversed(self.holdings):
            if holding.local:
                try:
                    holding.release()
                except Error as error:
                    log.warning("after a failed start: %s", error)
