"""Decisions: what to hold, in which order, and what the evidence means. Pure; the edges come in from outside."""

from __future__ import annotations

import enum
import logging
from typing import Optional, Protocol, Tuple, Union

from aws_ipfailover.errors import Error, UnknownError

log = logging.getLogger(__name__)


class Where(enum.Enum):
    """Where a thing is. "Could not find out" is no place: it is an `UnknownError`."""

    HERE = "here"
    ELSEWHERE = "elsewhere"  # also: nowhere, or here but of no use (a blackhole)


class Holding(Protocol):
    """One thing that has to be here for the address to work: an address in the kernel, routes in the cloud.

    Every method is idempotent, reaches its goal from any half-way state, and raises `errors.Error`.
    """

    @property
    def local(self) -> bool:
        """Whether this is the kernel's own state, which can be read and removed without the cloud."""

    def prepare(self) -> None:
        """Find out everything that `take` needs. Changes nothing."""

    def take(self) -> None:
        """Make it be here; returns only when it is proven to be."""

    def release(self) -> None:
        """Make it not be here; returns only when it is proven gone, as far as that can be without the cloud."""

    def where(self) -> Where:
        """Look; raises `UnknownError` when that cannot be found out."""

    def explain(self) -> str:
        """Why the last `where` was ELSEWHERE: half a sentence, or empty."""


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


class Finding:
    """A verdict, and the half sentence that explains it."""

    def __init__(self, verdict: Verdict, reason: str = "") -> None:
        self.verdict = verdict
        self.reason = reason


class Failover:
    """The holdings of one resource, in start order; stop walks them backwards."""

    def __init__(self, holdings: Tuple[Holding, ...]) -> None:
        self.holdings = holdings

    def start(self) -> None:
        """Take everything, whatever was held before. On failure nothing local stays behind.

        Raises:
            Error: the first one; everything has been resolved before the first change.
        """
        try:
            for holding in self.holdings:
                holding.prepare()
            for holding in self.holdings:
                holding.take()
        except BaseException:
            self._release_local()
            raise

    def stop(self) -> None:
        """Release everything, last taken first. Only what is local can make it fail.

        Raises:
            Error: the address is still here, or that cannot be found out.
        """
        for holding in reversed(self.holdings):
            holding.release()

    def monitor(self, *, ask_cloud: bool) -> Finding:
        """Look at the kernel, then at the cloud if asked to.

        Raises:
            UnknownError: the kernel's own state cannot be read.
        """
        for holding in self.holdings:
            if holding.local and holding.where() is Where.ELSEWHERE:
                return Finding(verdict(Where.ELSEWHERE, None), holding.explain())
        if not ask_cloud:
            return Finding(verdict(Where.HERE, None))
        for holding in self.holdings:
            if not holding.local:
                finding = self._ask(holding)
                if finding.verdict is not Verdict.RUNNING:
                    return finding
        return Finding(verdict(Where.HERE, Where.HERE))

    @staticmethod
    def _ask(holding: Holding) -> Finding:
        try:
            where = holding.where()
        except Error as error:
            # Whatever kept it from asking (no answer, no permission, no software), it did not find out.
            return Finding(verdict(Where.HERE, UnknownError(str(error))), str(error))
        except Exception as error:
            reason = f"internal error, please report it: {type(error).__name__}: {error}"
            log.debug("unexpected", exc_info=True)
            return Finding(verdict(Where.HERE, UnknownError(reason)), reason)
        return Finding(verdict(Where.HERE, where), holding.explain() if where is Where.ELSEWHERE else "")

    def _release_local(self) -> None:
        for holding in reversed(self.holdings):
            if holding.local:
                try:
                    holding.release()
                except Error as error:
                    log.warning("after a failed start: %s", error)
