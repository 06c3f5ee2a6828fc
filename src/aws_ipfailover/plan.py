"""What a start on this node would do, call by call, and whether EC2 permits each of the calls. Changes nothing.

The steps are those of the holdings that a start takes, in the order in which it takes them. Permissions are asked for
with EC2's DryRun, all at the same time.
"""

from __future__ import annotations

import enum
import os
from collections import deque
from typing import Deque, Dict, Hashable, List, Mapping, NamedTuple, Optional, Tuple

from aws_ipfailover.aws.writes import Write
from aws_ipfailover.configured import LastConfigured
from aws_ipfailover.context import Context, connect
from aws_ipfailover.deadline import Deadline, Task
from aws_ipfailover.errors import (
    ChangingError,
    DeniedError,
    DetachedError,
    Error,
    IndexTakenError,
    InUseError,
    NoRouteError,
    RouteExistsError,
)
from aws_ipfailover.holdings.local_address import FoundAddresses
from aws_ipfailover.kernel.command import ip_path
from aws_ipfailover.kernel.kernel import Kernel
from aws_ipfailover.modes import local_parts, mode_named
from aws_ipfailover.parameters import Held, Values, held, parse
from aws_ipfailover.redaction import keep_secret
from aws_ipfailover.steps import Step
from aws_ipfailover.validation import Effect, effect_of

# Errors about the state of what a call is for, which other steps change: they do not tell whether it is permitted.
_AS_THINGS_ARE = (ChangingError, DetachedError, IndexTakenError, InUseError, NoRouteError, RouteExistsError)
# Questions that are asked at the same time, at most.
_MOST_PARALLEL = 32
_NO_DRY_RUN = "EC2 has no dry run for it"
_NO_ANSWER = "no answer in time"
# Seconds by which EC2's answers are given up before the deadline, so that what is missing can still be told.
_TO_TELL = 0.5


class Answer(enum.Enum):
    """Whether a call is permitted."""

    PERMITTED = "permitted"
    DENIED = "denied"
    REFUSED = "refused"  # for another reason than a missing permission, such as an id that EC2 does not know
    UNKNOWN = "could not find out"
    NOT_ASKED = "cannot be asked"  # there is no dry run for it, or none as things are now


class Verdict(NamedTuple):
    """The answer to a dry run; `why` explains every other one than PERMITTED."""

    answer: Answer
    why: str = ""


class Planned(NamedTuple):
    """A step; `verdict` of a call that a start makes, `None` of every other step."""

    step: Step
    verdict: Optional[Verdict] = None


class Plan(NamedTuple):
    """What a start does, in order.

    `end`: the error with which it ends behind these steps, or by which the rest is not known (`is_open`); `None` if it
    goes through.
    """

    steps: Tuple[Planned, ...]
    end: Optional[Error] = None

    @property
    def is_open(self) -> bool:
        """Whether what comes behind the steps could not be found out."""
        return self.end is not None and effect_of(self.end) is Effect.UNKNOWN


def plan_for(given: Mapping[str, str], deadline: Deadline, resource_id: str = "") -> Plan:
    """The plan for a resource's parameters, as Pacemaker would give them, without prefix; raises nothing of EC2's.

    Raises:
        ParameterError: one of them is wrong on every node.
    """
    keep_secret(given.get("external_id"))
    values = parse(given)
    try:
        ip_path()
        deadline = deadline.earlier(_TO_TELL)
        kernel = Kernel(deadline)
        context = connect(values, kernel, deadline, resource_id)
    except Error as error:
        return Plan((), error)
    found = plan(context, values)
    if found.end is not None:
        return found
    try:
        given_up = _given_up(kernel, held(given), resource_id)
    except Error as error:
        return found._replace(end=error)
    return found._replace(steps=(*found.steps, *map(Planned, given_up)))


def _given_up(kernel: Kernel, what: Held, resource_id: str) -> List[Step]:
    """The removal of the addresses that the resource had here at an earlier start, and has no longer in `ip`.

    eni: the steps of its interface have it.
    """
    before = LastConfigured(os.environ, resource_id, what).read()
    earlier = [one for one in before.addresses if one not in what.addresses] if before is not None else []
    if not earlier or what.network_interface_id is not None:
        return []
    parts = local_parts(kernel, what._replace(addresses=tuple(earlier), others=()))
    return [step for part in parts if isinstance(part, FoundAddresses) for step in part.plan_release()]


def plan(context: Context, values: Values) -> Plan:
    """What a start with these parameters does on this node, as things are now."""
    steps: List[Step] = []
    end: Optional[Error] = None
    try:
        for holding in mode_named(values.mode).holdings(context, values):
            steps += holding.plan()
    except Error as error:
        end = error
    verdicts = _ask([step.write for step in steps if step.write is not None and step.made is not False], context)
    planned = [
        Planned(step, verdicts.get(_key(step.write)) if step.write and step.made is not False else None)
        for step in steps
    ]
    return Plan(tuple(planned), end)


def _key(write: Write) -> Hashable:
    """What a permission is for: EC2 knows none for a single destination of a route table."""
    if write.operation in ("ReplaceRoute", "CreateRoute"):
        return write.operation, write.arguments["RouteTableId"]
    return write.operation, repr(sorted(write.arguments.items()))


def _ask(writes: List[Write], context: Context) -> Dict[Hashable, Verdict]:
    """The verdicts on calls, by their keys."""
    found: Dict[Hashable, Verdict] = {}
    waiting: Deque[Write] = deque({_key(write): write for write in reversed(writes)}.values())
    # An answer has to arrive before the caller has none any more.
    deadline = context.deadline

    def work() -> None:
        while True:
            try:
                write = waiting.popleft()
            except IndexError:
                return
            found[_key(write)] = _verdict(write)

    workers = [Task(work) for _ in range(min(_MOST_PARALLEL, len(waiting)))]
    for worker in workers:
        worker.ends(deadline)
    told = dict(found)
    return {_key(write): told.get(_key(write), Verdict(Answer.UNKNOWN, _NO_ANSWER)) for write in writes}


def _verdict(write: Write) -> Verdict:
    if write.dry_run is None:
        return Verdict(Answer.NOT_ASKED, _NO_DRY_RUN)
    try:
        write.dry_run()
    except _AS_THINGS_ARE as error:
        return Verdict(Answer.NOT_ASKED, str(error))
    except Error as error:
        if effect_of(error) is Effect.UNKNOWN:
            return Verdict(Answer.UNKNOWN, str(error))
        return Verdict(Answer.DENIED if isinstance(error, DeniedError) else Answer.REFUSED, str(error))
    return Verdict(Answer.PERMITTED)
