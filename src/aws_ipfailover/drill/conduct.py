"""Conducts a drill: one step after the other, and at the end everything as it was before.

Whatever ends a drill, `restore` runs once something has been changed: it is not interrupted, and says what it did.
"""

from __future__ import annotations

import contextlib
import signal
from dataclasses import dataclass, field
from typing import Callable, Iterator, List, Optional, Sequence, TypeVar

from aws_ipfailover.deadline import Deadline
from aws_ipfailover.drill.cluster import Cluster
from aws_ipfailover.drill.consumers import Consumers
from aws_ipfailover.drill.judgement import Step
from aws_ipfailover.drill.placement import Moved
from aws_ipfailover.errors import Error, UnknownError
from aws_ipfailover.ocf.cib import Cib
from aws_ipfailover.watch.clock import steady

Say = Callable[[str], None]
T = TypeVar("T")

# Seconds in which every consumer is to be answered before anything is changed.
_ANSWERED_WITHIN = 20.0
# Seconds, beyond the timeout, for which everybody is to be answered before a step is over.
_STEADY = 1.5
# Seconds that `restore` waits for the cluster, each time.
_RESTORED_WITHIN = 120.0


@dataclass(frozen=True)
class Plan:
    """What to do. `moves`: there and back; `fence`: fence the active node, and with `restart` it comes back by itself.

    `what` is moved, so that the resource moves. `seconds`: for each step, and for a fenced node to come back.
    """

    resource_id: str
    what: Moved
    origin: str
    target: str
    moves: bool
    fence: bool
    restart: bool
    seconds: float

    @property
    def moved(self) -> str:
        """What is moved, as words."""
        role = "the promoted role of " if self.what.promoted else ""
        along = "" if self.what.resource_id == self.resource_id else f", and {self.resource_id} with it,"
        return f"{role}{self.what.resource_id}{along}"

    def sentences(self) -> List[str]:
        """The steps, in order, before they are done."""
        found: List[str] = []
        if self.moves:
            found.append(f"move {self.moved} from {self.origin} to {self.target}, and back")
        if self.fence:
            found.append(f"fence {self.origin}, and wait {self.seconds:g} s for it to come back")
        return found


@dataclass
class Conducted:
    """What has been done: `steps` that came to their end, `problems` that were met, `restored` what was undone.

    `as_before`: whether everything is as before; `None` while that is not known.
    """

    steps: List[Step] = field(default_factory=list)
    problems: List[str] = field(default_factory=list)
    restored: List[str] = field(default_factory=list)
    as_before: Optional[bool] = None


class Drill:
    """One drill; `say` gets a sentence for each thing that is done. `changed`: whether anything has been done yet."""

    def __init__(self, cluster: Cluster, consumers: Consumers, plan: Plan, timeout: float, say: Say) -> None:
        self._cluster = cluster
        self._consumers = consumers
        self._plan = plan
        self._steady = timeout + _STEADY
        self._tell = say
        self._settled = 0.0
        self.changed = False
        self.conducted = Conducted()

    def run(self) -> None:
        """Do all steps, and restore everything; also what KeyboardInterrupt has interrupted.

        Raises:
            UnknownError: the address is not answered as things are; nothing was changed.
            KeyboardInterrupt: after everything was restored.
        """
        began = steady()
        if not self._consumers.wait_answered(began, self._steady, Deadline(_ANSWERED_WITHIN)):
            silent = ", ".join(self._consumers.unanswered(began))
            text = "; ".join(self._consumers.failures.values()) or f"not answered all the time: {silent or 'some'}"
            raise UnknownError(f"{text}; nothing was changed")
        self._settled = began
        try:
            if self._plan.moves:
                there = self._move("move", self._plan.origin, self._plan.target)
                _ = there and self._move("move back", self._plan.target, self._plan.origin)
            if self._plan.fence and not self.conducted.problems:
                self._fence()
        except Error as error:
            self.conducted.problems.append(str(error))
        finally:
            self.restore()

    def _move(self, name: str, old: str, new: str) -> bool:
        plan = self._plan
        self._say(f"{name}: {plan.moved} from {old} to {new}")
        triggered = steady()
        self.changed = True
        self._cluster.move(plan.what, new)
        self._cluster.settle(plan.seconds)
        return self._watched(name, old, new, triggered)

    def _watched(self, name: str, old: str, new: str, triggered: float) -> bool:
        """The cluster has settled: where is the resource, and is everybody answered? Whether the step is in order."""
        settled = steady()
        is_there = self._cluster.view().where(self._plan.resource_id)
        answered = self._consumers.wait_answered(settled, self._steady, Deadline(self._plan.seconds))
        ended = steady()
        self.conducted.steps.append(Step(name, old, new, self._settled, triggered, settled, ended))
        self._settled = settled
        self._say(f"{name}: Pacemaker was done after {settled - triggered:.1f} s")
        if is_there != new:
            self.conducted.problems.append(f"{name}: {self._plan.resource_id} is not on {new}, but on {is_there}")
        elif not answered:
            silent = ", ".join(self._consumers.unanswered(settled)) or "some of what was asked"
            self.conducted.problems.append(f"{name}: not answered all the time afterwards: {silent}")
        else:
            return True
        return False

    def _fence(self) -> None:
        plan, name = self._plan, "fencing"
        self._say(f"{name}: {plan.origin}")
        triggered = steady()
        self.changed = True
        # The constraint of a move back prefers the node above all: the resource would leave its new node once more.
        self._cluster.clear(plan.what.resource_id)
        self._cluster.settle(plan.seconds)
        self._cluster.fence(plan.origin, restart=plan.restart, seconds=plan.seconds)
        new = self._started_elsewhere(Deadline(plan.seconds))
        if new is None:
            self.conducted.problems.append(f"{name}: {plan.resource_id} was not started on another node")
            return
        if self._watched(name, plan.origin, new, triggered) and self._is_back(Deadline(plan.seconds)):
            self._cluster.settle(plan.seconds)
            if self._cluster.view().where(plan.resource_id) != plan.origin:
                self._move("move back after fencing", new, plan.origin)

    def _started_elsewhere(self, deadline: Deadline) -> Optional[str]:
        for _ in deadline.poll(first=0.3, longest=2.0):
            self._consumers.read(0.0)
            with contextlib.suppress(UnknownError):
                where = self._cluster.view().where(self._plan.resource_id)
                if where is not None and where != self._plan.origin:
                    return where
        return None

    def _is_back(self, deadline: Deadline) -> bool:
        """Wait for the fenced node; whether it is online again."""
        self._say(f"waiting for {self._plan.origin} to come back")
        for _ in deadline.poll(first=0.5, longest=3.0):
            self._consumers.read(0.0)
            with contextlib.suppress(UnknownError):
                if self._cluster.view().is_online(self._plan.origin):
                    return True
        self.conducted.problems.append(f"{self._plan.origin} did not come back within {self._plan.seconds:g} s")
        return False

    def _say(self, text: str) -> None:
        """Say what is done. That it cannot be written, to a disk that is full, ends nothing: see `restore`."""
        with contextlib.suppress(OSError):
            self._tell(text)

    # -- everything as before ------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Bring the resource back to where it was, remove the constraint, and see that it is so."""
        if not self.changed:
            return
        with uninterrupted():
            self._bring_back()
            for _ in range(2):  # a move that was ordered just before its program was ended can come in between
                self._attempt(self._clear)
                left = self._attempt(self._left)
                if not left:
                    break
            self._attempt(self._see)

    def _bring_back(self) -> None:
        """The resource goes to where it was, if it is elsewhere and that node is there."""
        plan, cluster = self._plan, self._cluster

        def bring() -> None:
            # A move that was interrupted may still be under way.
            cluster.settle(_RESTORED_WITHIN)
            view = cluster.view()
            if view.where(plan.resource_id) == plan.origin or not view.is_online(plan.origin):
                return
            # crm_resource refuses to move a resource to the node that an earlier move has named.
            cluster.clear(plan.what.resource_id)
            cluster.settle(_RESTORED_WITHIN)
            if cluster.view().where(plan.resource_id) != plan.origin:
                cluster.move(plan.what, plan.origin)
                cluster.settle(_RESTORED_WITHIN)
            self._note(f"moved {plan.moved} back to {plan.origin}")

        self._attempt(bring)

    def _clear(self) -> None:
        self._cluster.clear(self._plan.what.resource_id)
        self._cluster.settle(_RESTORED_WITHIN)

    def _left(self) -> List[str]:
        return moves_left(self._cluster.configuration(), self._plan.what.resource_id)

    def _see(self) -> None:
        """Tell how everything is in the end."""
        plan = self._plan
        view, left = self._cluster.view(), self._left()
        where = view.where(plan.resource_id)
        if left:
            self._note(
                f"the constraint {', '.join(left)} is still there, run: crm_resource --clear --resource"
                f" {plan.what.resource_id}"
            )
        else:
            self._note("no constraint of a move is left")
        offline = [one.name for one in view.nodes if not view.is_online(one.name)]
        if offline:
            self._note(f"not online: {', '.join(offline)}; start it, and see to it that it joins the cluster")
        if where != plan.origin:
            self._note(f"{plan.resource_id} is {'on ' + where if where else 'not started'}, not on {plan.origin}")
        else:
            self._note(f"{plan.resource_id} is on {plan.origin}, as before")
        self.conducted.as_before = where == plan.origin and not left and not offline

    def _attempt(self, work: Callable[[], T]) -> Optional[T]:
        """Do one thing of the cleanup; what keeps it from being done is told, and keeps nothing else from it."""
        try:
            return work()
        except Error as error:
            self._note(f"the cleanup: {error}")
            return None

    def _note(self, text: str) -> None:
        self.conducted.restored.append(text)
        self._say(text)


def moves_left(cib: Cib, resource_id: str) -> List[str]:
    """The ids of the constraints that moves and bans of a resource have left."""
    return [
        one.constraint_id
        for one in cib.locations
        if (one.is_cli_prefer or one.is_cli_ban) and resource_id in one.resources
    ]


@contextlib.contextmanager
def interruptible(signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGHUP)) -> Iterator[None]:
    """Within the block these signals do what Ctrl-C does: without it they would leave everything half done."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    with _handled(signals, interrupt):
        yield


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Within the block Ctrl-C and the like do nothing, neither here nor in the programs that are run."""
    with _handled((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), signal.SIG_IGN):
        yield


@contextlib.contextmanager
def _handled(signals: Sequence[signal.Signals], handler: object) -> Iterator[None]:
    before = {}
    for number in signals:
        if signal.getsignal(number) != signal.SIG_IGN:
            before[number] = signal.signal(number, handler)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
