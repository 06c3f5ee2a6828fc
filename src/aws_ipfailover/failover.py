"""Decides what a resource takes and releases, in which order, and what the answers of kernel and EC2 mean.

Pure: the kernel and EC2 are reached only through the holdings that the caller passes in.
"""

from __future__ import annotations

import enum
import logging
from typing import TYPE_CHECKING, List, NamedTuple, Optional, Sequence, Tuple, Union, cast

from aws_ipfailover.errors import Error, UnknownError

if TYPE_CHECKING:
    from aws_ipfailover.interfaces import CloudHolding, Holding, LocalPart, Manager

log = logging.getLogger(__name__)


class Where(enum.Enum):
    """Where a holding is. "Could not find out" is no member: it is raised as `UnknownError`."""

    HERE = "here"
    ELSEWHERE = "elsewhere"  # also: nowhere, or here but unusable (a blackhole route)


class Look(NamedTuple):
    """The result of `look`: `why` explains ELSEWHERE in half a sentence, and is empty for HERE.

    `is_nodes_own`: ELSEWHERE, because what is here belongs to the node and not to the service. `in_part`: ELSEWHERE,
    because only some of several addresses are here. `restart_helps`: `False` where a start does not mend what is
    wrong: it was refused it the last time, or writes other things.
    """

    where: Where
    why: str = ""
    is_nodes_own: bool = False
    in_part: bool = False
    restart_helps: bool = True


HERE = Look(Where.HERE)


class Repair(NamedTuple):
    """The result of `repair`.

    `mended`: what was repaired, in half a sentence. `failed`: what was not, and why; empty if everything was.
    `leads_here`: whether the address works for at least one consumer now, `None` if that is not known.
    `replaced_local`: the caller has to take the kernel's holdings again.
    """

    mended: str
    failed: str = ""
    leads_here: Optional[bool] = True
    replaced_local: bool = False


class OnDrift(enum.Enum):
    """What a monitor does when EC2 no longer sends the address's traffic here (parameter `on_drift`)."""

    REPAIR = "repair"
    RESTART = "restart"
    REPORT = "report"


class Verdict(enum.Enum):
    """The result of a monitor."""

    RUNNING = "running"
    NOT_RUNNING = "not running"
    PARTLY_RUNNING = "some of several addresses are here"
    DEGRADED = "running, but the cloud side is incomplete, or could not be checked"
    FAILED = "the address is here but its traffic goes elsewhere"


# Exit reasons begin with the conclusion: Pacemaker shows only some 110 characters.
_NOT_CHECKED = "Address up, nothing moved"
_NOT_ALL_CHECKED = "Address up, and not all of it was checked"
_PARTLY = "Served in part"
_CHANGED = (
    "; something other than the cluster changed it"
    " (nm-cloud-setup, cloud-netconfig, amazon-ec2-net-utils and systemd-networkd are known to)"
)
_UNCONFIRMED = "Repair not confirmed"
_NO_RESTART = "A restart would not mend this"

Evidence = Union[Where, UnknownError]


def verdict(local: Where, cloud: Optional[Evidence]) -> Verdict:
    """The verdict from the kernel's answer and EC2's; `cloud` is `None` if EC2 was not asked.

    Without the address in the kernel, EC2's answer makes no difference. If EC2's state is unknown, the verdict is
    DEGRADED and never FAILED.
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


def not_checked(error: Error, *, repaired: bool = False) -> Finding:
    """The finding for an address that is here, when `error` prevented the check of EC2.

    `repaired`: something else has been repaired before.
    """
    again = "; asked again at the next monitor" if isinstance(error, UnknownError) else ""
    conclusion = _NOT_ALL_CHECKED if repaired else _NOT_CHECKED
    return Finding(verdict(Where.HERE, UnknownError(str(error))), f"{conclusion}: {error}{again}")


def look_locally(parts: Sequence[LocalPart], cause: str = _CHANGED) -> Finding:
    """Whether all of the parts are in the kernel: RUNNING, NOT_RUNNING, or PARTLY_RUNNING.

    `cause`: what follows the reason where something is missing that was here.

    Raises:
        UnknownError: the kernel's own state cannot be read.
    """
    for part in parts:
        found = part.look()
        if found.where is Where.ELSEWHERE:
            why = found.why if found.is_nodes_own or not found.why else found.why + cause
            return Finding(Verdict.PARTLY_RUNNING if found.in_part else verdict(found.where, None), why)
    return Finding(verdict(Where.HERE, None))


def find_locally(parts: Sequence[LocalPart], complaint: str = "", cause: str = _CHANGED) -> Finding:
    """What is here of parts each of which can be here without the others: RUNNING if one is here entirely.

    `complaint`: the reason of NOT_RUNNING where there is no part. `cause`: as in `look_locally`.

    Raises:
        UnknownError: as `look_locally`.
    """
    here = Finding(Verdict.NOT_RUNNING, complaint)
    for part in parts:
        found = look_locally([part], cause)
        if found.verdict is Verdict.RUNNING:
            return found
        if here.verdict is not Verdict.PARTLY_RUNNING:  # else 7 to a probe would hide the addresses that are here
            here = found
    return here


def release_all(parts: Sequence[LocalPart]) -> None:
    """Remove every part, last one first; after a failure the others are removed all the same.

    Raises:
        Error: the last failure: a part is still here, or that cannot be found out.
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
        """Take every holding, from any state. After a failure those in the kernel are released again.

        Raises:
            Error: the first failure.
        """
        try:
            for holding in self.holdings:
                holding.take()
        except BaseException:
            self._release_local()
            raise

    def take_more(self) -> bool:
        """Take every holding that is not here yet, of a resource that runs; returns whether EC2 did all of it.

        What is in the cloud may fail: it is logged.

        Raises:
            Error: a holding in the kernel could not be taken; what was here is still here.
        """
        complete = True
        for holding in self.holdings:
            try:
                holding.take()
            except Error as error:
                if holding.local:
                    raise
                log.error("%s", error)  # noqa: TRY400  one line, as every failure
                complete = False
        return complete

    def look_at_cloud(self, on_drift: OnDrift, manager: Manager) -> Finding:
        """Check the holdings in the cloud of an address that is on this node, and treat drift as `on_drift` says.

        RUNNING has a reason if something was repaired. Nothing is written while `manager` does not manage the resource.
        """
        findings: List[Finding] = []
        for holding in self.holdings:
            if not holding.local:
                repaired = any(one.verdict is Verdict.RUNNING and one.reason for one in findings)
                finding = self._look_at(holding, on_drift, manager, repaired=repaired)
                if finding.verdict is Verdict.FAILED:
                    return finding
                findings.append(finding)
        # One that stays incomplete, as after a route table was deleted, must not keep the others from being repaired.
        worst = Verdict.DEGRADED if any(one.verdict is Verdict.DEGRADED for one in findings) else Verdict.RUNNING
        of_worst = [one.reason for one in findings if one.verdict is worst and one.reason]
        for finding in findings:
            if finding.verdict is not worst and finding.reason:
                log.warning("%s", finding.reason)
        return Finding(worst, "; ".join(of_worst))

    def release_in_cloud(self) -> None:
        """Release the holdings in the cloud, last taken first.

        Raises:
            Error: a release failed, or its result is unknown.
        """
        for holding in reversed(self.holdings):
            if not holding.local:
                holding.release()

    def release_locally(self) -> None:
        """Release the holdings in the kernel, last taken first.

        Raises:
            Error: one is still here, or that cannot be found out.
        """
        release_all([holding for holding in self.holdings if holding.local])

    def _look_at(self, holding: Holding, on_drift: OnDrift, manager: Manager, *, repaired: bool) -> Finding:
        try:
            found = holding.look()
        except Error as error:
            # No answer, no permission, no software: in each case the state in EC2 is unknown.
            return not_checked(error, repaired=repaired)
        if found.where is Where.HERE:
            return Finding(Verdict.RUNNING)
        if on_drift is OnDrift.RESTART:
            if found.restart_helps:
                return Finding(Verdict.FAILED, found.why)
            # Every restart would end here again, until Pacemaker bans the node.
            return Finding(Verdict.DEGRADED, f"{_NO_RESTART}: {found.why}")
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
        except UnknownError as error:
            # A write without an answer may have succeeded.
            return Finding(Verdict.DEGRADED, f"{_UNCONFIRMED}: {error}; {found.why}")
        except Error as error:
            return Finding(Verdict.FAILED, f"{error}; {found.why}")
        try:
            if outcome.replaced_local:
                self._take_local()
        except Error as error:
            return Finding(Verdict.FAILED, f"{error}; {found.why}")
        if not outcome.failed:
            return Finding(Verdict.RUNNING, outcome.mended)
        if outcome.leads_here is None:
            return Finding(Verdict.DEGRADED, f"{_UNCONFIRMED}: {outcome.failed}; {outcome.mended or found.why}")
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
