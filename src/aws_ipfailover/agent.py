"""The agent's actions, and the only place where an error becomes an exit code."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from aws_ipfailover.address import Address, is_inside
from aws_ipfailover.changes import changes
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import DeniedError, Error, ParameterError, defect
from aws_ipfailover.failover import Failover, Finding, Verdict, find_locally, look_locally, not_checked, release_all
from aws_ipfailover.kernel.command import ip_path
from aws_ipfailover.kernel.kernel import Kernel
from aws_ipfailover.modes import MODES, Mode, local_parts, mode_named
from aws_ipfailover.ocf import AGENT
from aws_ipfailover.ocf.action import Terminated, carry_out, ended_by_signal, print_out, usage
from aws_ipfailover.ocf.environment import Environment
from aws_ipfailover.ocf.exit_codes import Exit, exit_of
from aws_ipfailover.ocf.name import name_of
from aws_ipfailover.parameters import Held, Values, held, is_insecure, is_true, parse, without_effect

if TYPE_CHECKING:
    from aws_ipfailover.configured import Configured, LastConfigured
    from aws_ipfailover.consistency import WriteMemory
    from aws_ipfailover.context import Context

log = logging.getLogger(__name__)

_VERDICTS = {
    Verdict.RUNNING: Exit.SUCCESS,
    Verdict.NOT_RUNNING: Exit.NOT_RUNNING,
    Verdict.PARTLY_RUNNING: Exit.NOT_RUNNING,
    Verdict.DEGRADED: Exit.DEGRADED,
    Verdict.FAILED: Exit.GENERIC,
}


class Run:
    """One invocation of the agent called `name`; `age`: seconds since Pacemaker started the process."""

    def __init__(self, action: str, environ: Mapping[str, str], age: float = 0.0, name: str = AGENT) -> None:
        self.action = action
        self.name = name
        self.environ = environ
        self.environment = Environment(environ)
        self.timeout = timeout = self.environment.timeout(action)
        # The deadline leaves time for a slow machine to end Python; the cloud's deadline also leaves time to clean up
        # the kernel after calls of EC2 were given up.
        self.deadline = Deadline(timeout - min(2.0, 0.15 * timeout) - age)
        self.cloud_deadline = self.deadline.earlier(min(1.0, 0.15 * timeout))
        self.kernel = Kernel(self.deadline)

    def perform(self) -> Tuple[Exit, str]:
        """Perform the action; returns its exit code and its exit reason, which can be empty."""
        try:
            return _HANDLERS[self.action](self)
        except Error as error:
            return self.code_of(error), str(error)
        except Terminated:
            return ended_by_signal(self.action)
        except Exception as error:
            if self.action == "stop" or (self.action == "monitor" and self.environment.is_probe()):
                # The agent's file then performs it, so that a defect here fences no node, and no probe calls active
                # what is not here. It knows fewer secrets than this package.
                from aws_ipfailover.output import line

                raise RuntimeError(line(defect(error))) from None
            log.debug("unexpected", exc_info=True)
            return Exit.GENERIC, f"{self.action}: {defect(error)}"

    def code_of(self, error: Error) -> Exit:
        """The exit code for an error; for stop and monitor always 1."""
        if self.action in ("stop", "monitor"):
            return Exit.GENERIC
        return exit_of(error)

    def values(self) -> Values:
        """All parameters, checked.

        Raises:
            ParameterError: as `parse`.
        """
        given = self.environment.parameters()
        values = parse(given)
        for sentence in without_effect(given):
            log.warning("%s", sentence)
        if values.endpoint_url is not None and is_insecure(values.endpoint_url):
            log.warning("endpoint_url is plain http: whoever is on the way reads this node's credentials")
        return values

    def last_configured(self) -> LastConfigured:
        """The record of what this resource was last started or reloaded with."""
        from aws_ipfailover.configured import LastConfigured  # a probe needs it only where `ip` is refused

        return LastConfigured(self.environ, self.environment.resource_id(), held(self.environment.parameters()))

    def failover(self, values: Values, deadline: Optional[Deadline] = None) -> Failover:
        """The resource with its holdings in kernel and cloud; raises as `connect`."""
        context = self.connect(values, deadline or self.cloud_deadline)
        return Failover(mode_named(values.mode).holdings(context, values))

    def connect(self, values: Values, deadline: Deadline) -> Context:
        """What the holdings need; loads the SDKs, and raises as `context.connect`."""
        from aws_ipfailover.context import connect

        return connect(values, self.kernel, deadline)


def _start(run: Run) -> Tuple[Exit, str]:
    from aws_ipfailover.configured import configured

    values = run.values()
    if os.geteuid() != 0:
        raise DeniedError(f"{run.action}: root is needed to change addresses")
    ip_path()
    _handover(run).forget()
    what, last, now = held(run.environment.parameters()), run.last_configured(), configured(values)
    earlier = tuple(one for one in _recorded(last) if one not in now.addresses)
    # Before the first address is added, because a start can be killed at any time.
    last.remember(now._replace(addresses=(*now.addresses, *earlier)))
    try:
        run.failover(values).start()
        _give_up(run, what, earlier)
    except BaseException:
        # Once more, where a signal ended the clean-up of a start that had failed by itself.
        _release_quietly(run, what.and_also(earlier), last)
        raise
    if earlier:
        last.remember(now)
    return Exit.SUCCESS, ""


def _give_up(run: Run, what: Held, addresses: Tuple[Address, ...]) -> None:
    """Remove addresses that this resource had, and that its parameters do not name any more.

    eni: its interface gives them up when it is taken, which knows the ENI's own addresses: those stay.
    """
    if addresses and what.network_interface_id is None:
        release_all(local_parts(run.kernel, what._replace(addresses=addresses, others=())))


def _release_quietly(run: Run, what: Held, last: LastConfigured) -> None:
    """Release the local state after a failed start; a failure is only logged."""
    try:
        release_all(local_parts(run.kernel, what))
        last.forget()
    except Error as error:
        log.warning("after a failed start: %s", error)


# The most seconds that stop spends on the request of a detachment; the next active node waits for its end.
_PATIENCE_OF_STOP = 10.0


def _stop(run: Run) -> Tuple[Exit, str]:
    given = run.environment.parameters()
    what = held(given)
    for complaint in what.complaints:
        log.warning("%s", complaint)
    _drain(run)
    last = run.last_configured()
    what = _with_recorded_eni(what.and_also(_recorded(last)), last)
    if what.network_interface_id is None:
        release_all(local_parts(run.kernel, what))
        last.forget()
        return Exit.SUCCESS, ""
    from aws_ipfailover.context import MetadataLookup

    release_all(local_parts(run.kernel, what, MetadataLookup(run.cloud_deadline, given.get("profile"))))
    last.forget()
    failover: Optional[Failover] = None
    try:
        values = parse(given)
        if mode_named(values.mode).released_in_cloud:
            failover = run.failover(values, run.cloud_deadline.within(_PATIENCE_OF_STOP))
            failover.release_in_cloud()
    except Error as error:
        log.warning("%s; the network interface stays attached, quiesced", error)
    if failover is not None:
        # Again: an interface that carries no mark, and that IMDS did not tell, is known by what EC2 has said.
        failover.release_locally()
    return Exit.SUCCESS, ""


def _monitor(run: Run) -> Tuple[Exit, str]:
    finding = _look(run)
    if finding.verdict is Verdict.PARTLY_RUNNING and run.environment.is_probe():
        # After 7 to a probe Pacemaker would not stop what is here, and start the resource on any node.
        return Exit.GENERIC, f"incomplete, to be stopped: {finding.reason}"
    code = _VERDICTS[finding.verdict]
    if code is Exit.SUCCESS and finding.reason:
        log.warning("%s", finding.reason)
    if code is Exit.SUCCESS or (code is Exit.NOT_RUNNING and run.environment.is_probe()):
        return code, ""  # 7 is the expected answer of a standby to a probe
    return code, finding.reason


# Seconds that a monitor gives EC2, or a third of its timeout if that is less: another monitor may be waiting for it.
_CLOUD_SECONDS = 8.0


def _look(run: Run) -> Finding:
    here = _look_locally(run)
    if run.environment.is_probe() or here.verdict is not Verdict.RUNNING:
        return here
    try:
        values = run.values()
    except ParameterError as error:
        # The address is here, but a wrong parameter prevents the check of EC2.
        deep = run.environment.check_level() >= 10 or is_true(run.environment.parameters().get("monapi", ""))
        return Finding(Verdict.DEGRADED, str(error)) if deep else here
    if not values.monapi and run.environment.check_level() < 10:
        return here
    finding = _look_at_cloud(run, values)
    # The address may have been removed during the calls of EC2: what the kernel says now decides.
    now = _look_locally(run)
    if now.verdict is Verdict.RUNNING:
        return finding
    if finding.verdict is Verdict.FAILED:
        log.error("%s", finding.reason)  # of a repair that removed the address and failed to add it again
    return now


def _look_locally(run: Run) -> Finding:
    what = held(run.environment.parameters())
    names_no_address = not what.addresses and not what.others
    if what.network_interface_id is None and (names_no_address or what.mode == "eni"):
        # A refused parameter names nothing. With 7 to a probe, what is here would be stopped by nobody.
        last = run.last_configured()
        what = _with_recorded_eni(what.and_also(_recorded(last)) if names_no_address else what, last)
    return find_locally(local_parts(run.kernel, what), "; ".join(what.complaints))


def _look_at_cloud(run: Run, values: Values) -> Finding:
    from aws_ipfailover.ocf.pacemaker import Pacemaker

    deadline = run.cloud_deadline.within(min(_CLOUD_SECONDS, run.timeout / 3))
    manager = Pacemaker(run.environment.resource_id(), deadline)
    try:
        return run.failover(values, deadline).look_at_cloud(values.on_drift, manager)
    except Error as error:
        # No answer, no permission, no software: in each case the state in EC2 is unknown.
        return not_checked(error)


def _validate(run: Run) -> Tuple[Exit, str]:
    values = run.values()
    ip_path()
    if run.environment.check_level() >= 10:
        if os.geteuid() != 0:
            raise DeniedError("validate-all: root is needed at this level")
        from aws_ipfailover.validation import validate

        validate(run.connect(values, run.cloud_deadline), values)
    return Exit.SUCCESS, ""


_NO_RECORD = (
    "nothing of this resource is here, and HA_RSCTMP has no record of the addresses that it had before: one that is"
    " still on this node has to be removed by hand"
)


def _reload(run: Run) -> Tuple[Exit, str]:
    """Take what the new parameters add and give up what they leave out; nothing that stays is touched.

    What EC2 refuses, or does not answer, is logged, and mended by the next monitor at level 10: a failed reload would
    make Pacemaker stop the resource.
    """
    from aws_ipfailover.configured import configured

    values = run.values()
    what, last = held(run.environment.parameters()), run.last_configured()
    before, now = last.read(), configured(values)
    dropped = tuple(one for one in _recorded(last) if one not in now.addresses)
    is_eni = what.network_interface_id is not None
    # An ENI that runs without a new address of `ip` is here, so that it is looked for without them.
    any_of = what._replace(addresses=(), others=()) if is_eni else what.and_also(dropped)
    if all(found is Verdict.NOT_RUNNING for found in _each_locally(run, any_of)):
        if before is None:  # Pacemaker reloads what runs
            log.warning("%s", _NO_RECORD)
        return Exit.SUCCESS, ""
    _warn_of_what_goes_before(before, now)
    if before == now or (before is None and all(found is Verdict.RUNNING for found in _each_locally(run, what))):
        return Exit.SUCCESS, ""  # without a record it cannot be told whether the cloud side changes
    last.remember(now._replace(addresses=(*now.addresses, *dropped), cloud=()))  # until all of it is done
    complete = taken = False
    try:
        complete = run.failover(values).take_more()
        taken = True
    except Error as error:
        if any(found is not Verdict.RUNNING for found in _each_locally(run, what)):
            return Exit.GENERIC, f"the new addresses cannot be added: {error}"
        log.error("%s", error)  # noqa: TRY400  one line, as every failure
    if is_eni and not taken:
        return Exit.SUCCESS, ""  # which of the dropped ones are the ENI's own is not known: they stay until a stop
    _give_up(run, what, dropped)
    last.remember(now if complete else now._replace(cloud=()))
    return Exit.SUCCESS, ""


def _warn_of_what_goes_before(before: Optional[Configured], now: Configured) -> None:
    """Tell the routes that this resource had, that stay in the tables, and that EC2 prefers to those of `destination`.

    The next node's start writes the destinations alone.
    """
    for cidr in before.destinations if before is not None else ():
        for wide in now.destinations:
            if cidr not in now.destinations and is_inside(cidr, wide):
                log.warning("the routes to %s stay, and go before those to %s: delete them", cidr, wide)


def _each_locally(run: Run, what: Held) -> List[Verdict]:
    return [look_locally([part]).verdict for part in local_parts(run.kernel, what)]


def _with_recorded_eni(what: Held, last: LastConfigured) -> Held:
    """The same; eni: with the ENI that is on record where the parameter is missing or refused."""
    if what.mode != "eni" or what.network_interface_id is not None:
        return what
    before = last.read()
    return what._replace(network_interface_id=before.network_interface_id or None) if before is not None else what


def _recorded(last: LastConfigured) -> Tuple[Address, ...]:
    before = last.read()
    return before.addresses if before is not None else ()


def _migrate_to(run: Run) -> Tuple[Exit, str]:
    """On the source: it keeps serving until the target has taken over and Pacemaker stops it."""
    mode = _mode_of(run)
    if mode.makes_before_breaks:
        run.values()
        _handover(run).remember(_HANDOVER)
    return Exit.SUCCESS, ""


def _migrate_from(run: Run) -> Tuple[Exit, str]:
    """On the target: start, while the source still answers; in a mode with a single holder, take it from the source."""
    if _mode_of(run).makes_before_breaks:
        return _start(run)
    try:
        return _start(run)
    except Error as error:
        # Any other code would ban this node, although the move was only planned.
        return Exit.GENERIC, str(error)


def _mode_of(run: Run) -> Mode:
    """The mode that is named, without a check of other parameters; the default if there is no such mode."""
    named = run.environment.parameters().get("mode", "").strip()
    return next((mode for mode in MODES if mode.name == named), MODES[0])


# What the source of a make-before-break move records.
_HANDOVER = "handover"
# Seconds for which the record is valid: the longest that the target may take.
_HANDOVER_SECONDS = 600.0


def _handover(run: Run) -> WriteMemory:
    """The record of a make-before-break move away from this node."""
    from aws_ipfailover.consistency import WriteMemory

    addresses = held(run.environment.parameters()).addresses
    return WriteMemory(run.environ, f"handover-{run.environment.resource_id() or '-'.join(map(str, addresses))}")


def _drain(run: Run) -> None:
    """After a make-before-break move, go on answering for a while, because written routes take effect with a delay."""
    memory = _handover(run)
    age = memory.age(_HANDOVER)
    if age is None:
        return
    memory.forget()
    if age > _HANDOVER_SECONDS:
        return
    try:
        seconds = min(float(run.values().drain), run.deadline.remaining() / 2)
    except ParameterError:
        return
    if seconds > 0:
        log.info("answering for %.0f s more, until every route leads to the next node", seconds)
        run.deadline.pause(seconds)


def _metadata(run: Run) -> Tuple[Exit, str]:
    from aws_ipfailover.ocf.metadata import metadata

    print_out(metadata(run.name))
    return Exit.SUCCESS, ""


def _usage(run: Run) -> Tuple[Exit, str]:
    print_out(usage(run.name, _HANDLERS))
    return Exit.SUCCESS, ""


_HANDLERS: Dict[str, Callable[[Run], Tuple[Exit, str]]] = {
    "start": _start,
    "stop": _stop,
    "monitor": _monitor,
    "validate-all": _validate,
    "reload-agent": _reload,
    "migrate_to": _migrate_to,
    "migrate_from": _migrate_from,
    "meta-data": _metadata,
    "usage": _usage,
    "help": _usage,
}


# Every run of these has a record.
_RECORDED = ("start", "stop", "reload-agent", "migrate_to", "migrate_from")


def _is_recorded(action: str, environment: Environment, code: Exit) -> bool:
    """Whether this run of an action has a record: a monitor if it changed something or found it not in order."""
    if action == "monitor":
        return not environment.is_probe() and (code is not Exit.SUCCESS or bool(changes))
    return action in _RECORDED


def main(argv: Sequence[str], environ: Mapping[str, str], age: float = 0.0) -> int:
    """Perform `argv[1]`, in a process that was started `age` seconds ago; returns its OCF exit code.

    `argv[0]` is the path by which the agent's file was started: its last part is the agent's name in all that it tells.
    It raises only for a defect of this package during stop.
    """
    name = name_of(argv[0] if argv else "")
    begun = time.monotonic() - age

    def record(action: str, code: Exit, reason: str) -> None:
        environment = Environment(environ)
        if _is_recorded(action, environment, code):
            from aws_ipfailover.ocf.record import Outcome, write_record

            what = held(environment.parameters())
            outcome = Outcome(code, reason, time.monotonic() - begun)
            write_record(action, environ, outcome, what.mode, (*what.addresses, *what.others), changes)

    return carry_out(argv, name, environ, _HANDLERS, lambda action: Run(action, environ, age, name).perform(), record)
