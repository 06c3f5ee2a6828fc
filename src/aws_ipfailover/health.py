"""The health agent: whether a start of the cluster's addresses would succeed on this node, as the node's colour.

It changes nothing: neither in EC2 nor in the kernel. What follows from the colour is the business of the cluster's
`node-health-strategy`. So that an outage of EC2 moves nothing, only an answer makes a node red.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Sequence, Tuple

from aws_ipfailover.colour import Colour, Health, health_of
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import Error, MissingError, ParameterError, defect
from aws_ipfailover.memory import Memory
from aws_ipfailover.ocf import AGENT, HEALTH_AGENT, OCF_ROOT
from aws_ipfailover.ocf.action import Terminated, carry_out, ended_by_signal, print_out, usage
from aws_ipfailover.ocf.environment import Action, Environment
from aws_ipfailover.ocf.exit_codes import Exit, exit_of
from aws_ipfailover.ocf.metadata import Description, render
from aws_ipfailover.ocf.name import name_of
from aws_ipfailover.ocf.node_attribute import NodeAttribute
from aws_ipfailover.ocf.scheduler import Scheduler
from aws_ipfailover.parameters import Parameter
from aws_ipfailover.programs import find
from aws_ipfailover.prospects import problems_here
from aws_ipfailover.validation import Effect, Problem

log = logging.getLogger(__name__)

ATTRIBUTE = "#health-aws-ipfailover"
# Seconds that one look takes at most, or half of the operation's timeout if that is less: a start is part of a
# transition, and while that lasts Pacemaker answers no failure.
_LONGEST_LOOK = 10.0
# Characters of a reason by which it is known again; the log has less.
_LONGEST_REASON = 2000
_PROGRAMS = ("attrd_updater", "cibadmin", "crm_simulate")

ACTIONS: Tuple[Action, ...] = (
    Action("start", 30),
    Action("stop", 20),
    Action("monitor", 30, interval=60),
    Action("reload-agent", 20),
    Action("validate-all", 20),
    Action("meta-data", 5),
)


def _resources(text: str) -> Tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if not all(re.fullmatch(r"[^\W\d][\w.-]*", name) for name in names):
        raise ValueError("ids of resources, separated by commas")
    return names


def _dampen(text: str) -> str:
    if not re.fullmatch(r"[0-9]+(us|usec|ms|msec|s|sec|m|min|h|hr)?", text, re.ASCII):
        raise ValueError("a time such as 30s")
    return text


PARAMETERS: Tuple[Parameter, ...] = (
    Parameter(
        "resources",
        _resources,
        "Resources to look at",
        f"Ids of resources, separated by commas, of which a start is looked at; that of a group, a clone or a template"
        f" means all that is in it. By default every resource of ocf:heartbeat:{AGENT} in the configuration, also"
        f" under other names that 'aws-ipfailover install --as' has given the agent on this node.",
        reloadable=True,
    ),
    Parameter(
        "dampen",
        _dampen,
        "How long to wait for further changes",
        "How long Pacemaker waits for further changes of the colour, from any node, before it acts on one.",
        content="time",
        default="30s",
        reloadable=True,
    ),
)
_SHORTDESC = "Whether the addresses of aws-ipfailover could start on a node"
_LONGDESC = f"""
Looks, at each monitor, at what a start of the cluster's ocf:heartbeat:{AGENT} resources would meet on this node,
and sets the node attribute {ATTRIBUTE}. Use it as a clone, so that it runs on the standby too. It asks EC2
for permissions by DryRun, reads what validate-all reads at OCF_CHECK_LEVEL=10, and changes nothing.

green: a start here would succeed. yellow: that cannot be found out (EC2 does not answer, calls are throttled), or a
part of the service would be missing (one of several route tables). red: a start here would certainly fail, by an answer
of EC2 or of this node: permission denied for every route table, no such table, a network interface in another
availability zone, a missing package.

What follows is up to the cluster option node-health-strategy: see "Health of nodes" in docs/operations.md. In an outage
of EC2 every node turns yellow: with only-green Pacemaker then stops everything. Set allow-unhealthy-nodes=true on the
clone: else it stops on a node that is not healthy, and does not see when that is over.
"""


class Run:
    """One invocation of the agent called `name`; `age`: seconds since Pacemaker started the process."""

    def __init__(self, action: str, environ: Mapping[str, str], age: float, name: str) -> None:
        self.action = action
        self.name = name
        self.environ = environ
        self.environment = Environment(environ)
        timeout = self.environment.timeout(action, ACTIONS)
        self.deadline = Deadline(timeout - min(2.0, 0.15 * timeout) - age)
        self.look_deadline = self.deadline.within(max(0.0, min(_LONGEST_LOOK, timeout / 2) - age))
        # That it is started, and what it has told last. A reboot ends both.
        self.state = Memory(environ, f"health-{self._instance()}")

    def perform(self) -> Tuple[Exit, str]:
        """Perform the action; returns its exit code and its exit reason, which can be empty."""
        try:
            return _HANDLERS[self.action](self)
        except Error as error:
            return (Exit.GENERIC if self.action in ("stop", "monitor") else exit_of(error)), str(error)
        except Terminated:
            return ended_by_signal(self.action)
        except Exception as error:
            log.debug("unexpected", exc_info=True)
            return Exit.GENERIC, f"{self.action}: {defect(error)}"

    def value(self, name: str) -> Any:
        """A parameter, checked; `None` where it is not given and has no default.

        Raises:
            ParameterError: it is wrong.
        """
        parameter = next(one for one in PARAMETERS if one.name == name)
        text = self.environment.parameters().get(name, "").strip() or parameter.default
        if text is None:
            return None
        try:
            return parameter.check(text)
        except ValueError as right:
            raise ParameterError(f"parameter {name}: {text[:200]!r} is wrong, expected {right}") from None

    def attribute(self) -> NodeAttribute:
        """The node's health attribute of this agent."""
        return NodeAttribute(ATTRIBUTE, self.deadline)

    def _instance(self) -> str:
        """The resource's id; of the instances of a clone that are all alike, the clone's."""
        name = self.environment.resource_id()
        unique = self.environ.get("OCF_RESKEY_CRM_meta_globally_unique", "").strip().lower() in ("true", "1", "yes")
        return name if unique else name.partition(":")[0]


def _start(run: Run) -> Tuple[Exit, str]:
    _check_parameters(run)
    if not run.state.read() and not (run.state.remember({"colour": "", "reason": ""}) and run.state.read()):
        raise Error("cannot record in HA_RSCTMP that it is started: the directory has to be root's alone")
    _report(run)
    return Exit.SUCCESS, ""


def _stop(run: Run) -> Tuple[Exit, str]:
    """Nobody looks any more: a colour that stays would keep resources away, or call them, for ever."""
    if run.state.read():
        try:
            run.attribute().delete()
        except Error as error:
            log.warning("%s; delete it by hand: attrd_updater --name '%s' --delete", error, ATTRIBUTE)
        run.state.forget()
    return Exit.SUCCESS, ""


def _monitor(run: Run) -> Tuple[Exit, str]:
    """Also a probe of what is started tells the colour, as that of `ocf:pacemaker:HealthCPU` does."""
    if not run.state.read():
        return Exit.NOT_RUNNING, ""
    _report(run)
    return Exit.SUCCESS, ""


def _reload(run: Run) -> Tuple[Exit, str]:
    _check_parameters(run)
    try:
        run.attribute().set_dampen(run.value("dampen"))
    except Error as error:
        log.warning("%s", error)
    return Exit.SUCCESS, ""


def _validate(run: Run) -> Tuple[Exit, str]:
    _check_parameters(run)
    missing = [one for one in _PROGRAMS if find(one) is None] if run.environment.check_level() >= 10 else []
    if missing:
        raise MissingError(f"programs of Pacemaker are not in PATH: {', '.join(missing)}")
    return Exit.SUCCESS, ""


def _check_parameters(run: Run) -> None:
    for parameter in PARAMETERS:
        run.value(parameter.name)


def _report(run: Run) -> None:
    """Look, set the colour, and log it where it, or its reason, is another one than before. Raises nothing."""
    health = _look(run)
    now = {"colour": health.colour.value, "reason": health.reason[:_LONGEST_REASON]}
    if run.state.read() != now:
        level = logging.INFO if health.colour is Colour.GREEN else logging.WARNING
        log.log(level, "this node is %s%s", health.colour.value, f": {health.reason}" if health.reason else "")
        run.state.remember(now)
    try:
        run.attribute().set(health.colour.value, run.value("dampen"))
    except Error as error:
        log.error("%s", error)  # noqa: TRY400  one line, as every failure


def _look(run: Run) -> Health:
    _log_warnings_alone()
    deadline, root = run.look_deadline, Path(run.environ.get("OCF_ROOT") or OCF_ROOT)
    try:
        return health_of(problems_here(Scheduler(run.environ, deadline), run.value("resources") or (), root, deadline))
    except Error as error:
        return health_of({"": [Problem(error, Effect.UNKNOWN)]})


def _log_warnings_alone() -> None:
    """Keep out of the log what the checks read and leave out: the same each minute. Not where debug logs are on."""
    library = logging.getLogger("aws_ipfailover")
    if library.level > logging.DEBUG:
        library.setLevel(logging.WARNING)
        log.setLevel(logging.INFO)


def _metadata(run: Run) -> Tuple[Exit, str]:
    print_out(render(run.name, Description(_SHORTDESC, _LONGDESC, PARAMETERS, ACTIONS)))
    return Exit.SUCCESS, ""


def _usage(run: Run) -> Tuple[Exit, str]:
    print_out(usage(run.name, _HANDLERS))
    return Exit.SUCCESS, ""


_HANDLERS: Dict[str, Callable[[Run], Tuple[Exit, str]]] = {
    "start": _start,
    "stop": _stop,
    "monitor": _monitor,
    "reload-agent": _reload,
    "validate-all": _validate,
    "meta-data": _metadata,
    "usage": _usage,
    "help": _usage,
}


def main(argv: Sequence[str], environ: Mapping[str, str], age: float = 0.0) -> int:
    """Perform `argv[1]`, in a process that was started `age` seconds ago; returns its OCF exit code.

    `argv[0]` is the path by which the agent's file was started.
    """
    name = name_of(argv[0] if argv else "", HEALTH_AGENT)
    return carry_out(argv, name, environ, _HANDLERS, lambda action: Run(action, environ, age, name).perform())
