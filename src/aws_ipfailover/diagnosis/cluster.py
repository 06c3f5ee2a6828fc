"""Checks of the cluster around a resource: fencing, membership, and how Pacemaker treats the resource.

They read what Pacemaker and Corosync have on this node, and ask EC2 for nothing. Facts: "Pacemaker Explained",
corosync.conf(5), and the metadata of fence_aws.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from aws_ipfailover import programs
from aws_ipfailover.context import imds
from aws_ipfailover.diagnosis.cluster_reads import may_run
from aws_ipfailover.diagnosis.finding import CLUSTER, Check, Command, Finding, Needs, failed, passed, unknown, warned
from aws_ipfailover.diagnosis.surroundings import Surroundings
from aws_ipfailover.errors import Error
from aws_ipfailover.failover import OnDrift
from aws_ipfailover.ocf.cib import Cib, Operation, Primitive, Ran, host_map
from aws_ipfailover.ocf.durations import timeout_seconds, truth_of

# Seconds without which operations are cut off although nothing is wrong. An instance that hangs gives its ENI up only
# after a detachment by force, which is asked for when a plain one has had its time; see docs/operations.md.
_LEAST: Dict[str, Dict[str, float]] = {
    "overlay-ip": {"start": 60.0, "stop": 20.0, "monitor": 20.0},
    "private-ip": {"start": 60.0, "stop": 20.0, "monitor": 20.0},
    "eni": {"start": 180.0, "stop": 60.0, "monitor": 20.0},
}
# The longest recurring monitor's interval, in seconds, that is no surprise.
_LONGEST_INTERVAL = 300.0
# Corosync's default since 3.1, in milliseconds. Below it a pause of the virtual machine counts as a death.
_DEFAULT_TOKEN = 3000
# Fence agents that switch instances off by EC2, and how each is told which instance a node is.
_BY_INSTANCE_ID = ("fence_aws",)
_BY_EC2 = ("fence_aws", "external/ec2")
# Seconds that Pacemaker gives fencing without `stonith-timeout`, and that a shutdown of a Linux can take on EC2.
_DEFAULT_FENCING_TIMEOUT = 60.0
_LONG_SHUTDOWN = 300.0
# Seconds by which instance metadata is given up before the check that asks it, so that the check can say why.
_TO_TELL = 0.5
# Exit codes of agents by which Pacemaker bans a node for ever; "Pacemaker Explained", "OCF Return Codes".
_HARD = frozenset((2, 3, 4, 5, 6))


def _cib(surroundings: Surroundings) -> Cib:
    return surroundings.cluster.known_cib()


def _primitive(surroundings: Surroundings) -> Primitive:
    return _cib(surroundings).primitives[surroundings.resource_id]


# -- the cluster itself ------------------------------------------------------------------------------------------------


def _cluster(surroundings: Surroundings) -> Finding:
    cib = surroundings.cluster.cib()
    if truth_of(cib.properties.get("maintenance-mode")):
        return warned(
            "maintenance-mode=true: Pacemaker moves nothing, whatever fails",
            "End it when the work is done.",
            ("crm_attribute", "--name", "maintenance-mode", "--update", "false"),
        )
    name = surroundings.cluster.node_name()
    idle = _idle(cib, name)
    if idle is not None:
        return idle
    states = {one.uname: one.online for one in cib.node_states}
    away = [one.uname for one in cib.nodes if one.type == "member" and states.get(one.uname) is False]
    if away:
        return warned(f"{', '.join(away)} is not online: nothing can move there", "Start the cluster there.")
    names = ", ".join(one.uname for one in cib.nodes)
    return passed(f"this node is {name} of {names}")


# Attributes of a node that keep Pacemaker from starting anything there, and what each does besides.
_OF_IDLE_NODES = {"standby": "nothing starts here", "maintenance": "Pacemaker starts and stops nothing here"}


def _idle(cib: Cib, name: str) -> Optional[Finding]:
    """The warning about a node that is told to do nothing; `None` if it is told no such thing."""
    lasting = [one.attributes for one in cib.nodes if one.uname == name]
    passing = [one.transient for one in cib.node_states if one.uname == name]
    for lifetime, found in (("forever", lasting), ("reboot", passing)):
        for what, means in _OF_IDLE_NODES.items():
            if any(truth_of(one.get(what)) for one in found):
                return warned(
                    f"this node, {name}, has the attribute {what}: {means}",
                    "Delete it when the work is done.",
                    ("crm_attribute", "--node", name, "--name", what, "--lifetime", lifetime, "--delete"),
                )
    return None


def _fencing(surroundings: Surroundings) -> Finding:
    cib = _cib(surroundings)
    fencing = cib.fencing
    if fencing.enabled is False:
        return failed(
            "stonith-enabled=false: a node that hangs or is cut off keeps the address while another one takes it",
            "Configure a fence device for every node, and switch fencing on.",
            ("crm_attribute", "--name", "stonith-enabled", "--update", "true"),
        )
    if not fencing.devices:
        if fencing.have_watchdog:
            return passed("a watchdog (SBD), without a fence device")
        return failed(
            "no fence device is configured: Pacemaker starts nothing while a node is lost",
            "Configure one, as crm-examples/overlay-ip.crm does with fence_aws.",
        )
    stopped = [one.resource_id for one in fencing.devices if cib.meta_of(one).get("target-role") == "Stopped"]
    if len(stopped) == len(fencing.devices):
        return failed(
            f"{', '.join(stopped)} has target-role=Stopped: Pacemaker does not use the device",
            "Enable it.",
            ("crm_resource", "--resource", stopped[0], "--meta", "--delete-parameter", "target-role"),
        )
    return passed(", ".join(f"{one.resource_id} ({one.type})" for one in fencing.devices))


def _fencing_targets(surroundings: Surroundings) -> Finding:
    cib = _cib(surroundings)
    devices = [one for one in cib.fencing.devices if one.type in _BY_INSTANCE_ID]
    maps = {one.resource_id: host_map(cib.parameters_of(one).get("pcmk_host_map") or "") for one in devices}
    members = [one.uname for one in cib.nodes if one.type == "member"]
    unmapped = [name for name in members if not any(name in found for found in maps.values())]
    if unmapped and not all(maps.values()):
        # Pacemaker then asks the device which nodes it knows, or goes by pcmk_host_list.
        return unknown(f"which instance {', '.join(unmapped)} is to fencing is not told by a pcmk_host_map")
    if unmapped:
        return failed(
            f"no pcmk_host_map of {', '.join(maps)} names {', '.join(unmapped)}: that node cannot be fenced",
            "Name each node's instance in the map.",
            _set_map(devices[0], {**maps[devices[0].resource_id], **dict.fromkeys(unmapped, "INSTANCE_ID")}),
        )
    # Whoever examines the node itself has no parameters, and so no profile that says where metadata is.
    name, me = surroundings.cluster.node_name(), imds(surroundings.deadline.earlier(_TO_TELL)).instance_id()
    for device in devices:
        known = maps[device.resource_id]
        if known.get(name, me) != me:
            return failed(
                f"pcmk_host_map of {device.resource_id} says that {name} is {known[name]}, and it is {me}: to fence"
                " this node, another instance would be switched off",
                "Correct the map.",
                _set_map(device, {**known, name: me}),
            )
    return passed(f"every node has an instance, and {name} is {me}")


def _set_map(device: Primitive, known: Mapping[str, str]) -> Command:
    text = ";".join(f"{name}:{value}" for name, value in known.items())
    return (
        *("crm_resource", "--resource", device.resource_id),
        *("--set-parameter", "pcmk_host_map", "--parameter-value", text),
    )


def _fencing_time(surroundings: Surroundings) -> Finding:
    cib = _cib(surroundings)
    seconds = timeout_seconds(cib.properties.get("stonith-timeout") or "") or _DEFAULT_FENCING_TIMEOUT
    slow = [
        one
        for one in cib.fencing.devices
        if one.type in _BY_EC2 and not truth_of(cib.parameters_of(one).get("skip_os_shutdown"))
    ]
    if not slow:
        return passed(f"instances are switched off at once; stonith-timeout is {seconds:g} s")
    names = ", ".join(one.resource_id for one in slow)
    text = f"{names} lets a node's system shut down first, which on a node that hangs takes EC2 minutes"
    own = [timeout_seconds(cib.parameters_of(one).get("pcmk_off_timeout") or "") or seconds for one in slow]
    if min(own) < _LONG_SHUTDOWN:
        return warned(
            f"{text}; fencing is given up after {min(own):g} s, and nothing starts meanwhile",
            "Set skip_os_shutdown=true where the fence agent has it, else give fencing ten minutes.",
            ("crm_attribute", "--name", "stonith-timeout", "--update", "600s"),
        )
    return warned(
        f"{text}; stonith-timeout is {seconds:g} s",
        "Set skip_os_shutdown=true where the installed fence agent has the parameter.",
        *_skip_shutdown(slow),
    )


def _skip_shutdown(devices: Sequence[Primitive]) -> List[Command]:
    return [
        (
            *("crm_resource", "--resource", one.resource_id),
            *("--set-parameter", "skip_os_shutdown", "--parameter-value", "true"),
        )
        for one in devices
        if one.type in _BY_INSTANCE_ID
    ]


def _token(surroundings: Surroundings) -> Finding:
    totem = surroundings.cluster.totem()
    told = f"Corosync's token is {totem.token / 1000:g} s: a dead node is noticed after about that time"
    if totem.consensus < 1.2 * totem.token:
        return warned(
            f"Corosync's consensus of {totem.consensus} ms is less than 1.2 times the token of {totem.token} ms",
            "Leave consensus out of corosync.conf, or raise it.",
        )
    if totem.token < _DEFAULT_TOKEN:
        return warned(
            f"{told}, and a pause of the virtual machine that is longer gets it fenced",
            "Raise totem.token in /etc/corosync/corosync.conf on every node, and load it.",
            ("corosync-cfgtool", "-R"),
        )
    return passed(told)


# -- one resource ------------------------------------------------------------------------------------------------------


def _operations(surroundings: Surroundings) -> Finding:
    cib, primitive = _cib(surroundings), _primitive(surroundings)
    least = dict(_LEAST[surroundings.mode])
    values = surroundings.known_values()
    if values is not None and values.mode == "overlay-ip":
        # Stop answers for `drain` after a move that makes before it breaks, and for half of its time at most.
        least["stop"] = max(least["stop"], 2.0 * values.drain)
    given = {"start": cib.timeout_of(primitive, "start"), "stop": cib.timeout_of(primitive, "stop")}
    recurring = {f"monitor every {one.interval:g} s": _timeout(cib, primitive, one) for one in _monitors(primitive)}
    short = [
        f"{name} has {seconds:g} s, and needs {least[name.split()[0]]:g} s"
        for name, seconds in {**given, **recurring}.items()
        if seconds < least[name.split()[0]]
    ]
    if short:
        return warned(
            "; ".join(short),
            "Give it more: Pacemaker ends an operation at its timeout, and counts it as failed.",
            _edit(surroundings.resource_id),
        )
    return passed(", ".join(f"{name} {seconds:g} s" for name, seconds in {**given, **recurring}.items()))


def _timeout(cib: Cib, primitive: Primitive, operation: Operation) -> float:
    return cib.timeout_of(primitive, operation.name, operation.interval)


def _monitors(primitive: Primitive) -> List[Operation]:
    return [one for one in primitive.operations if one.name == "monitor" and one.interval > 0 and one.enabled]


def _edit(resource_id: str) -> Command:
    if programs.find("crm") is None and programs.find("pcs") is not None:
        return ("pcs", "resource", "config", resource_id)
    return ("crm", "configure", "edit", resource_id)


def _recurring_monitors(surroundings: Surroundings) -> Finding:
    monitors = _monitors(_primitive(surroundings))
    if not monitors:
        return failed(
            "no monitor recurs: Pacemaker does not notice that the address is gone",
            "Add one of the node's kernel every 20 s, and one of EC2 (OCF_CHECK_LEVEL=10) every 120 s.",
            *_add_monitor(surroundings.resource_id, "20s", "40s", level=0),
        )
    values = surroundings.known_values()
    deep = [one for one in monitors if one.check_level >= 10 or (values is not None and values.monapi)]
    if not deep:
        return warned(
            "no monitor asks EC2: a route, or an attachment, that somebody changes is not noticed",
            "Add a monitor with OCF_CHECK_LEVEL=10.",
            *_add_monitor(surroundings.resource_id, "120s", "60s", level=10),
        )
    longest = min(one.interval for one in deep)
    told = f"the kernel every {min(one.interval for one in monitors):g} s, EC2 every {longest:g} s"
    if longest > _LONGEST_INTERVAL:
        return warned(f"{told}: what somebody changes in EC2 stays that long", "Shorten the interval.")
    return passed(told)


def _add_monitor(resource_id: str, interval: str, timeout: str, level: int) -> Tuple[Command, ...]:
    deep = (f"OCF_CHECK_LEVEL={level}",) if level else ()
    if programs.find("crm") is None and programs.find("pcs") is not None:
        options = (f"interval={interval}", f"timeout={timeout}", *deep)
        return (("pcs", "resource", "op", "add", resource_id, "monitor", *options),)
    if not level:
        return (("crm", "configure", "monitor", resource_id, f"{interval}:{timeout}"),)
    return (_edit(resource_id),)


def _requires(surroundings: Surroundings) -> Finding:
    requires = _cib(surroundings).meta_of(_primitive(surroundings)).get("requires") or "fencing"
    if requires in ("fencing", "unfencing"):
        return passed(f"requires={requires}: it starts after a lost node has been fenced")
    if requires == "quorum" and surroundings.mode == "overlay-ip":
        return warned(
            "requires=quorum: it starts before a lost node has been fenced. Routes lead to one node at a time, but a"
            " node that lives on serves whom it still reaches; safe for services without state alone",
            "Delete it unless that is meant.",
            _delete_meta(surroundings, "requires"),
        )
    return failed(
        f"requires={requires}: it starts before a lost node has been fenced, and both could serve",
        "Delete it.",
        _delete_meta(surroundings, "requires"),
    )


def _delete_meta(surroundings: Surroundings, name: str) -> Command:
    return ("crm_resource", "--resource", surroundings.resource_id, "--meta", "--delete-parameter", name)


def _dependents(surroundings: Surroundings) -> Finding:
    cib, own = _cib(surroundings), surroundings.resource_id
    found = sorted(dependents_of(cib, own))
    if not found:
        return passed("nothing in the cluster depends on it")
    told = f"a restart of {own} restarts {', '.join(found)} as well"
    values = surroundings.known_values()
    if values is not None and values.on_drift is OnDrift.RESTART:
        return warned(
            f"on_drift=restart, and {told}: a route that somebody deletes interrupts them",
            "Let the monitor repair it in place instead.",
            ("crm_resource", "--resource", own, "--set-parameter", "on_drift", "--parameter-value", "repair"),
        )
    return passed(f"{told}; what EC2 lacks is repaired in place")


def dependents_of(cib: Cib, resource_id: str) -> Set[str]:
    """The primitives that Pacemaker stops when it stops this one: by its group, and by constraints.

    Orders that are optional, and colocations with a negative score, do not count.
    """
    primitive = cib.primitives[resource_id]
    named = {resource_id, *(one.container_id for one in primitive.containers)}
    found: Set[str] = set()
    for container in primitive.containers:
        if container.kind == "group" and resource_id in container.members:
            members = container.members
            found.update(members[members.index(resource_id) + 1 :])
    for order in cib.orders:
        if order.kind == "Mandatory" and order.symmetrical is not False and order.first in named:
            found.update(cib.primitives_of(order.then))
    for colocation in cib.colocations:
        if colocation.score > 0 and colocation.with_resource in named:
            found.update(cib.primitives_of(colocation.resource))
    return found - {resource_id}


def _failures(surroundings: Surroundings) -> Finding:
    cib, own = _cib(surroundings), surroundings.resource_id
    wrong = {node: last_failure(ran) for node, ran in cib.history_of(own).items()}
    told = [
        f"{node}: {one.operation} ended with {one.rc_code}{f' ({one.exit_reason})' if one.exit_reason else ''}"
        for node, one in wrong.items()
        if one is not None
    ]
    counts = [f"{node}: fail count {count}" for node, count in cib.fail_counts_of(own).items()]
    if not told and not counts:
        return passed("no failure is on record")
    hard = [one for one in wrong.values() if one is not None and one.rc_code in _HARD]
    make = failed if hard else warned
    return make(
        "; ".join([*told, *counts]),
        "Mend the cause, then clean up while nothing starts or stops.",
        ("crm_resource", "--cleanup", "--resource", own),
    )


def last_failure(ran: Sequence[Ran]) -> Optional[Ran]:
    """The last operation of a history that has failed; a probe that finds nothing has not."""
    good = {"monitor": (0, 7, 8, 9, 190)}
    failures = [
        one
        for one in ran
        if one.rc_code is not None and not one.is_pending and one.rc_code not in good.get(one.operation, (0,))
    ]
    return failures[-1] if failures else None


# -- the list ----------------------------------------------------------------------------------------------------------


def _in_cluster(_: Surroundings) -> bool:
    return may_run()


def _is_resource(surroundings: Surroundings) -> bool:
    return bool(surroundings.resource_id) and may_run()


def _fences_by_instance_id(surroundings: Surroundings) -> bool:
    if not may_run():
        return False
    try:
        devices = surroundings.cluster.cib().fencing.devices
    except Error:
        return False
    return any(one.type in _BY_INSTANCE_ID for one in devices)


def _of_cluster(
    name: str,
    title: str,
    asks: str,
    look: Callable[[Surroundings], Finding],
    needs: Needs = Needs.NOTHING,
    applies: Callable[[Surroundings], bool] = _in_cluster,
) -> Check:
    return Check(name, title, asks, CLUSTER, needs, look, of_node=True, applies=applies)


def _of_resource(name: str, title: str, asks: str, look: Callable[[Surroundings], Finding]) -> Check:
    return Check(name, title, asks, CLUSTER, Needs.NOTHING, look, applies=_is_resource)


CHECKS = (
    _of_cluster("cluster", "Cluster", "Is the cluster whole, and does Pacemaker manage it?", _cluster),
    _of_cluster("fencing", "Fencing", "Is a lost node fenced?", _fencing),
    _of_cluster(
        *("fencing-targets", "Fencing targets", "Does the fence device know which instance each node is?"),
        _fencing_targets,
        Needs.METADATA,
        _fences_by_instance_id,
    ),
    _of_cluster("fencing-time", "Fencing time", "Is an instance switched off without a shutdown?", _fencing_time),
    _of_cluster("token", "Corosync's token", "How long until a dead node is noticed?", _token),
    _of_resource("operations", "Timeouts", "Do the operations have the time that they need?", _operations),
    _of_resource("monitors", "Monitors", "Do monitors look at the kernel, and at EC2?", _recurring_monitors),
    _of_resource("requires", "Requires", "Does a start wait until a lost node has been fenced?", _requires),
    _of_resource("dependents", "Dependents", "What does a restart of the address restart as well?", _dependents),
    _of_resource("failures", "Failures", "Has no operation of the resource failed?", _failures),
)
