"""Decisions: what to hold, in which order, and what the evidence means. Pure; the edges come in from outside."""

from __future__ import annotations

import enum
import logging
from typing import NamedTuple, Optional, Protocol, Sequence, Tuple, Union

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
        """Make it be here; returns only when it is proven to be."""

    def release(self) -> None:
        """Make it not be here; returns only when it is proven gone, as far as that can be without the cloud."""

    def look(self) -> Look:
        """Where it is; raises `UnknownError` when that cannot be found out."""


class Verdict(enum.Enum):
    """What a monitor says of the resource."""

    RUNNING = "running"
    NOT_RUNNING = "not running"
    DEGRADED = "running, but the cloud side could not be checked"
    FAILED = "the address is here but its traffic goes elsewhere"


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

    def look_at_cloud(self) -> Finding:
        """What the cloud's side says, of an address that is on this node."""
        for holding in self.holdings:
            if not holding.local:
                finding = self._ask(holding)
                if finding.verdict is not Verdict.RUNNING:
                    return finding
        return Finding(verdict(Where.HERE, Where.HERE))

    def release_in_cloud(self) -> None:
        """Let go of what is in the cloud, last taken first.

        Raises:
            Error: it could not be done, or not be found out.
        """
        for holding in reversed(self.holdings):
            if not holding.local:
                holding.release()

    @staticmethod
    def _ask(holding: Holding) -> Finding:
        try:
            found = holding.look()
        except Error as error:
            # Whatever kept it from asking (no answer, no permission, no software), it did not find out.
            return Finding(verdict(Where.HERE, UnknownError(str(error))), str(error))
        except Exception as error:
            reason = f"internal error, please report it: {type(error).__name__}: {error}"
            log.debug("unexpected", exc_info=True)
            return Finding(verdict(Where.HERE, UnknownError(reason)), reason)
        return Finding(verdict(Where.HERE, found.where), found.why)

    def _release_local(self) -> None:
        for holding in reversed(self.holdings):
            if holding.local:
                try:
                    holding.release()
                except Error as error:
                    log.warning("after a failed start: %s", error)
