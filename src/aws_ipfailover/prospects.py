"""What a start of each address in the cluster's configuration would meet on this node. Changes nothing."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from aws_ipfailover.context import connect
from aws_ipfailover.deadline import Deadline, Task
from aws_ipfailover.errors import Error, MissingError, ParameterError, UnknownError, defect
from aws_ipfailover.kernel.command import ip_path
from aws_ipfailover.kernel.kernel import Kernel
from aws_ipfailover.ocf import AGENT
from aws_ipfailover.ocf.cib import AgentName
from aws_ipfailover.ocf.installed import is_ours
from aws_ipfailover.ocf.scheduler import Configuration, Scheduler
from aws_ipfailover.parameters import parse
from aws_ipfailover.redaction import keep_secret
from aws_ipfailover.validation import Checks, Effect, Problem, effect_of

_OWN = AgentName("heartbeat", AGENT)
# What `cibsecret` leaves in the configuration of a value that it keeps in a file.
_KEPT_ELSEWHERE = "lrm://"
# Seconds by which a look ends before its caller gives it up, so that what it was waiting for is told.
_TO_TELL = 0.3

Problems = Dict[str, List[Problem]]


class Chosen(NamedTuple):
    """Which primitives to look at, and what is known of others without a look, by their ids."""

    primitives: Tuple[str, ...]
    problems: Problems


def problems_here(scheduler: Scheduler, names: Sequence[str], root: Path, deadline: Deadline) -> Problems:
    """The problems of each resource, by its id; all are looked at side by side.

    `names`: which resources; all of this package's agent if there are none. `root`: the directory of OCF's agents.

    Raises:
        UnknownError: the cluster's configuration cannot be read.
    """
    parameters, problems = resources_here(scheduler, names, root)
    looks = {one: _Look(one, given, deadline) for one, given in parameters.items()}
    return {**problems, **{one: look.problems() for one, look in looks.items()}}


class Resources(NamedTuple):
    """The parameters of resources on this node, by their ids, and the problems of those that cannot be looked at."""

    parameters: Dict[str, Mapping[str, str]]
    problems: Problems


def resources_here(scheduler: Scheduler, names: Sequence[str], root: Path) -> Resources:
    """The resources that `names` mean, with the parameters that they would have on this node; as `problems_here`."""
    configuration = scheduler.configuration()
    primitives, problems = choose(configuration, names, lambda agent: installed(agent, root))
    if not primitives:
        return Resources({}, problems)
    given = scheduler.parameters(configuration, scheduler.node())
    for one in primitives:
        if one not in given:
            problems[one] = [_unknown("crm_simulate does not tell the parameters that it has on this node")]
    return Resources({one: given[one] for one in primitives if one in given}, problems)


def choose(
    configuration: Configuration, names: Sequence[str], installed: Callable[[AgentName], Optional[bool]]
) -> Chosen:
    """The primitives of this package's agent that `names` mean: all of them if there are no names. Pure.

    `installed`: whether an agent's file on this node is this package's; `None` where it has no such file.
    """
    primitives: Dict[str, None] = {}
    problems: Problems = {}
    for name in names:
        if not configuration.primitives_of(name):
            problems[name] = [
                _misnamed(f"the cluster's configuration has no resource {name!r}", configuration, installed)
            ]
    meant = [one for name in names for one in configuration.primitives_of(name)] if names else configuration.agents
    for one in meant:
        agent = configuration.agents[one]
        ours = installed(agent)
        if ours:
            primitives[one] = None
        elif ours is None and (one in names or agent == _OWN):
            error = MissingError(f"{agent} is not installed on this node, run: aws-ipfailover install")
            problems[one] = [Problem(error, Effect.FAILS)]
        elif one in names:
            text = f"resource {one!r} is of {configuration.cib.primitives[one].agent_text}, and not of this agent"
            problems[one] = [_misnamed(text, configuration, installed)]
    for name in names:
        inside = configuration.primitives_of(name)
        if inside and name not in problems and not any(one in primitives or one in problems for one in inside):
            problems[name] = [_misnamed(f"no resource in {name!r} is of this agent", configuration, installed)]
    return Chosen(tuple(primitives), problems)


def _misnamed(text: str, configuration: Configuration, installed: Callable[[AgentName], Optional[bool]]) -> Problem:
    """The problem of a name that means no resource of this agent, with those that do."""
    own = [one for one, agent in configuration.agents.items() if agent == _OWN or installed(agent)]
    return Problem(ParameterError(f"{text}; of this agent it has {', '.join(own) or 'none'}"), Effect.UNKNOWN)


def installed(agent: AgentName, root: Path) -> Optional[bool]:
    """Whether an agent's file below `root` is this package's; `None` where there is no such file.

    Raises:
        UnknownError: that cannot be found out.
    """
    if not agent.provider:
        return False
    path = root / "resource.d" / agent.provider / agent.name
    try:
        return is_ours(path) if path.exists() else None
    except OSError as error:
        raise UnknownError(f"{path} cannot be read: {error.strerror}") from None


class _Look:
    """A look at what a start with these parameters would meet, on a thread of its own."""

    # The SDK's sessions are made one by one: botocore does not promise that they can be made side by side.
    _connecting = threading.Lock()

    def __init__(self, resource_id: str, given: Mapping[str, str], deadline: Deadline) -> None:
        self._resource_id = resource_id
        self._given = given
        self._deadline = deadline
        self._found: List[Problem] = []
        keep_secret(given.get("external_id"))
        self._task = Task(self._look)

    def problems(self) -> List[Problem]:
        """What has been found at the deadline, or as soon as all is known."""
        if self._task.ends(self._deadline):
            return list(self._found)
        return [*self._found, _unknown("no answer in time")]

    def _look(self) -> None:
        try:
            self._check()
        except Error as error:
            self._found.append(Problem(error, effect_of(error)))
        except Exception as error:  # noqa: BLE001  a defect here must not look like an answer
            self._found.append(_unknown(defect(error)))

    def _check(self) -> None:
        if _KEPT_ELSEWHERE in self._given.values():
            raise UnknownError("a parameter is kept by cibsecret and not known here")
        values = parse(self._given)
        ip_path()
        deadline = self._deadline.earlier(_TO_TELL)
        with self._connecting:
            # Trust policies of roles can ask for the resource: in its name, and not in the health agent's.
            context = connect(values, Kernel(deadline), deadline, self._resource_id)
        for problem in Checks(context, values).problems():
            self._found.append(problem)


def _unknown(text: str) -> Problem:
    return Problem(UnknownError(text), Effect.UNKNOWN)
