"""Who holds the addresses of a resource, by EC2, by the kernel of this node, and by Pacemaker; and whether they agree.

Each of the three is asked by itself, so that one that does not answer does not hide the others. Changes nothing.
"""

from __future__ import annotations

import enum
import threading
from functools import partial
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, TypeVar, Union

from aws_ipfailover.context import connect
from aws_ipfailover.deadline import Deadline, Task
from aws_ipfailover.errors import Error, ParameterError, UnknownError
from aws_ipfailover.failover import Finding, Verdict, find_locally
from aws_ipfailover.kernel.kernel import Kernel
from aws_ipfailover.modes import local_parts
from aws_ipfailover.ocf.cib import Cib
from aws_ipfailover.ocf.cluster_view import ClusterView, Failure
from aws_ipfailover.ocf.corosync import CONFIGURATION
from aws_ipfailover.ocf.scheduler import Scheduler
from aws_ipfailover.parameters import Values, held, parse
from aws_ipfailover.redaction import keep_secret
from aws_ipfailover.state.cloud_answers import Answers, Wanted, ask
from aws_ipfailover.state.cloud_state import CloudState, Holder, state_of
from aws_ipfailover.state.node_names import node_names

T = TypeVar("T")

# Seconds by which EC2 is given up before the whole look is, so that what the others say is still told.
_TO_TELL = 0.5
# The most seconds for EC2: connections that are refused are tried again for as long.
_CLOUD_SECONDS = 10.0
# What `cibsecret` leaves in the configuration of a value that it keeps in a file.
_KEPT_ELSEWHERE = "lrm://"


class Agreement(enum.Enum):
    """Whether EC2, the kernel and Pacemaker say the same."""

    AGREE = "agree"
    DISAGREE = "disagree"
    UNKNOWN = "unknown"


class Judgement(NamedTuple):
    """The verdict; `sentences`: why, or who holds the addresses where all agree."""

    agreement: Agreement
    sentences: Tuple[str, ...]


class ClusterState(NamedTuple):
    """What Pacemaker says of one resource.

    `role`: Started, Stopped and others; empty where it does not know the resource. `nodes`: where it is active.
    `managed`: also not in maintenance mode. `intended`: whether it is to run, as far as the configuration says.
    `fail_counts`: by node, 1000000 is INFINITY. `failures`: the last ones on record, each in a sentence.
    """

    role: str
    nodes: Tuple[str, ...]
    managed: bool
    failed: bool
    blocked: bool
    intended: bool
    fail_counts: Mapping[str, int]
    failures: Tuple[str, ...]


class Own(NamedTuple):
    """This node: the id of its instance and its name in the cluster; empty where not known, and `why`."""

    instance_id: str = ""
    node: str = ""
    why: str = ""


class Status(NamedTuple):
    """One resource. An error stands where the one that was asked could not tell.

    `mode`, `addresses`, `network_interface_id` (of mode eni): by its parameters. `cluster`: `None` where parameters
    were typed, and no resource is meant.
    """

    resource_id: str
    mode: str
    addresses: Tuple[str, ...]
    own: Own
    cloud: Union[CloudState, Error]
    kernel: Union[Finding, Error]
    cluster: Union[ClusterState, Error, None]
    network_interface_id: str = ""

    @property
    def judgement(self) -> Judgement:
        """Whether the three agree."""
        return judge(self)


class Resource(NamedTuple):
    """A resource, or parameters without one: then `resource_id` is empty."""

    resource_id: str
    given: Mapping[str, str]


# -- asking ---------------------------------------------------------------------------------------------------------


def statuses(resources: Sequence[Resource], environ: Mapping[str, str], deadline: Deadline) -> List[Status]:
    """The status of each resource; all are looked at side by side, until the deadline. Raises no `Error`."""
    for one in resources:
        keep_secret(one.given.get("external_id"))
    cluster = Task(partial(_ask_cluster, environ, deadline, view=any(one.resource_id for one in resources)))
    kernels = [Task(partial(_kernel_state, one, deadline)) for one in resources]
    clouds = _ask_clouds(resources, deadline.earlier(_TO_TELL).within(_CLOUD_SECONDS))
    answer = _result(cluster, deadline, "Pacemaker")
    told = _Cluster(None, "", answer) if isinstance(answer, Error) else answer
    names = node_names(told.cib, _corosync())
    found: List[Status] = []
    for one, kernel, (wanted, cloud) in zip(resources, kernels, clouds):
        own = _own(cloud, told.node)
        state: Union[CloudState, Error]
        if isinstance(cloud, Answers) and wanted is not None:
            state = state_of(wanted, cloud, names.and_own(own.instance_id, own.node))
        else:
            state = cloud if isinstance(cloud, Error) else UnknownError("not asked")
        what, here = held(one.given), _result(kernel, deadline, "the kernel")
        found.append(
            Status(
                one.resource_id,
                what.mode,
                tuple(map(str, (*what.addresses, *what.others))),
                own,
                state,
                here,
                cluster_state(told.view, one.resource_id) if one.resource_id else None,
                what.network_interface_id or "",
            )
        )
    return found


class _Cluster(NamedTuple):
    """What the cluster tells: its configuration, this node's name, and its view of all resources."""

    cib: Optional[Cib]
    node: str
    view: Union[ClusterView, Error]


def _ask_cluster(environ: Mapping[str, str], deadline: Deadline, *, view: bool) -> _Cluster:
    """Ask Pacemaker's programs at the same time; `view`: whether its view of resources is needed."""
    scheduler = Scheduler(environ, deadline)
    viewing = Task(scheduler.view) if view else None
    configuring, naming = Task(scheduler.configuration), Task(scheduler.node)
    configuration = _result(configuring, deadline, "cibadmin")
    name = _result(naming, deadline, "crm_node")
    seen: Union[ClusterView, Error] = UnknownError("not asked")
    if viewing is not None:
        seen = _result(viewing, deadline, "crm_mon")
    return _Cluster(
        None if isinstance(configuration, Error) else configuration.cib, name if isinstance(name, str) else "", seen
    )


def _corosync() -> str:
    try:
        with open(CONFIGURATION, encoding="utf-8", errors="replace") as file:
            return file.read(1_000_000)
    except OSError:
        return ""  # no cluster on this node, or a remote node


_Asked = Tuple[Optional[Wanted], Union[Answers, Error]]


def _ask_clouds(resources: Sequence[Resource], deadline: Deadline) -> List[_Asked]:
    """What EC2 answers about each resource; one connection for all that share account and role."""
    found: Dict[int, _Asked] = {}
    groups: Dict[object, List[Wanted]] = {}
    for number, one in enumerate(resources):
        try:
            if any(value.startswith(_KEPT_ELSEWHERE) for value in one.given.values()):
                raise UnknownError("a parameter is kept by cibsecret and not known here")
            values = parse(one.given)
        except Error as error:
            found[number] = (None, error)
        else:
            groups.setdefault(_account(values), []).append(Wanted(str(number), values))
    tasks = [
        (some, Task(partial(_answers, some, resources[int(some[0].key)].resource_id, deadline)))
        for some in groups.values()
    ]
    for some, task in tasks:
        answers = _result(task, deadline, "EC2")
        found.update({int(one.key): (one, answers) for one in some})
    return [found[number] for number in range(len(resources))]


def _account(values: Values) -> object:
    """What two resources have to share so that one connection serves both."""
    role = (values.routing_table_role, values.external_id) if values.mode == "overlay-ip" else (None, None)
    return (values.region, values.profile, values.endpoint_url, values.insecure_endpoint, values.interface, *role)


# The SDK's sessions are made one by one: botocore does not promise that they can be made side by side.
_connecting = threading.Lock()


def _answers(wanted: Sequence[Wanted], resource_id: str, deadline: Deadline) -> Answers:
    # The role of the route tables is that of every resource in overlay-ip here: see `_account`.
    first = next((one for one in wanted if one.values.mode == "overlay-ip"), wanted[0])
    with _connecting:
        context = connect(first.values, Kernel(deadline), deadline.earlier(_TO_TELL), resource_id)
    return ask(context, wanted)


def _own(cloud: Union[Answers, Error], node: str) -> Own:
    if isinstance(cloud, Error):
        return Own("", node, str(cloud))
    if isinstance(cloud.own_instance, Error):
        return Own("", node, str(cloud.own_instance))
    return Own(cloud.own_instance, node)


def _kernel_state(one: Resource, deadline: Deadline) -> Finding:
    """What a probe of the agent finds. That it is not here needs no cause: most nodes are standbys."""
    what = held(one.given)
    return find_locally(local_parts(Kernel(deadline), what), "; ".join(what.complaints), cause="")


def _result(task: Task[T], deadline: Deadline, what: str) -> Union[T, Error]:
    try:
        return task.result(deadline, what)
    except Error as error:
        return error


# -- judging: pure ---------------------------------------------------------------------------------------------------


def cluster_state(view: Union[ClusterView, Error], resource_id: str) -> Union[ClusterState, Error]:
    """What Pacemaker's view says of one resource; an error where it does not know the resource."""
    if isinstance(view, Error):
        return view
    found = view.of(resource_id)
    if not found:
        return UnknownError(f"crm_mon does not show {resource_id}")
    active = [one for one in found if one.nodes]
    roles = list(dict.fromkeys(one.role for one in (active or found)))
    counts: Dict[str, int] = {}
    for one in view.fail_counts:
        if one.resource_id == resource_id:
            counts[one.node] = one.failures
    maintained = {node.name for node in view.nodes if node.maintenance}
    nodes = tuple(dict.fromkeys(node for one in found for node in one.nodes))
    unmanaged = any(one.managed is False or one.maintenance for one in found) or bool(maintained.intersection(nodes))
    return ClusterState(
        "/".join(roles),
        nodes,
        not unmanaged and not view.maintenance_mode,
        any(one.failed for one in found),
        any(one.blocked for one in found),
        not view.stop_all_resources and not any(one.target_role.lower() == "stopped" for one in found),
        counts,
        tuple(_sentence(one) for one in view.failures if one.resource_id == resource_id),
    )


def _sentence(failure: Failure) -> str:
    return f"{failure.operation} on {failure.node} ended with {failure.exit_code}{_because(failure.exit_reason)}"


def judge(status: Status) -> Judgement:
    """Compare what the three say. A disagreement counts more than something that could not be found out."""
    wrong: List[str] = []
    unknown: List[str] = []
    _judge_cloud(status, wrong, unknown)
    _judge_kernel(status, wrong, unknown)
    _judge_cluster(status, wrong, unknown)
    _compare(status, wrong, unknown)
    if wrong:
        return Judgement(Agreement.DISAGREE, (*_once(wrong), *_once(unknown)))
    if unknown:
        return Judgement(Agreement.UNKNOWN, _once(unknown))
    return Judgement(Agreement.AGREE, (_agreed(status),))


def _is_idle(status: Status) -> bool:
    """Whether nobody is to serve the addresses: what EC2 still says of them is then of no consequence."""
    cluster = status.cluster
    return isinstance(cluster, ClusterState) and not cluster.nodes and not cluster.intended


def _judge_cloud(status: Status, wrong: List[str], unknown: List[str]) -> None:
    cloud = status.cloud
    if isinstance(cloud, ParameterError):
        wrong.append(str(cloud))
    elif isinstance(cloud, Error):
        unknown.append(f"what EC2 says is not known: {cloud}")
    else:
        if not _is_idle(status):
            wrong += cloud.wrong
            if len(cloud.holders) > 1:
                wrong.append(f"EC2 leads to {_listed([str(one) for one in cloud.holders])} at once")
        unknown += [f"not known from EC2: {text}" for text in cloud.unknown]


def _judge_kernel(status: Status, wrong: List[str], unknown: List[str]) -> None:
    kernel = status.kernel
    if isinstance(kernel, Error):
        unknown.append(f"whether this node has the addresses is not known: {kernel}")
    elif kernel.verdict is Verdict.PARTLY_RUNNING:
        wrong.append(f"only a part is on this node: {kernel.reason}")


def _judge_cluster(status: Status, wrong: List[str], unknown: List[str]) -> None:
    cluster = status.cluster
    if isinstance(cluster, Error):
        unknown.append(f"what Pacemaker says is not known: {cluster}")
        return
    if cluster is None:
        return
    if len(cluster.nodes) > 1:
        wrong.append(f"Pacemaker has it started on {_listed(cluster.nodes)} at once")
    why = _because("; ".join(cluster.failures))
    if cluster.failed or cluster.blocked:
        wrong.append(f"for Pacemaker it is {'blocked' if cluster.blocked else 'failed'}{why}")
    elif not cluster.nodes and cluster.intended:
        wrong.append(f"Pacemaker runs it nowhere, although it is to run{why}")


def _compare(status: Status, wrong: List[str], unknown: List[str]) -> None:
    cloud, kernel, cluster, own = status.cloud, status.kernel, status.cluster, status.own
    here = kernel.verdict in (Verdict.RUNNING, Verdict.PARTLY_RUNNING) if isinstance(kernel, Finding) else None
    holders: Tuple[Holder, ...] = () if isinstance(cloud, Error) else cloud.holders
    started = cluster.nodes if isinstance(cluster, ClusterState) else ()
    me = own.node or "this node"
    # Pacemaker and the kernel.
    if isinstance(cluster, ClusterState) and here is not None:
        if not own.node:
            unknown.append("which of the cluster's nodes this one is is not known: crm_node does not tell")
        elif own.node in started and not here:
            reason = kernel.reason if isinstance(kernel, Finding) else ""
            wrong.append(f"Pacemaker has it started on {me}, and the kernel of {me} has it not{_because(reason)}")
        elif own.node not in started and here:
            where = _listed(started) if started else "nowhere"
            wrong.append(f"Pacemaker has it started {'on ' * bool(started)}{where}, and the kernel of {me} has it")
    # EC2 and the kernel; where Pacemaker stopped it, routes and ENIs stay as they were.
    leads_here = _leads_here(holders, own)
    if holders and leads_here is None and here is not None:
        unknown.append(f"whether EC2 leads to this node is not known: {own.why or 'its instance is not known'}")
    if leads_here is True and here is False and (cluster is None or isinstance(cluster, Error)):
        wrong.append(f"EC2 leads to this node ({own.instance_id}), and its kernel does not have it")
    if leads_here is False and here:
        wrong.append(f"the kernel of {me} has it, and EC2 leads to {_listed([str(one) for one in holders])}")
    # EC2 and Pacemaker.
    for holder in holders if started else ():
        node = holder.node or (own.node if holder.instance_id == own.instance_id else "")
        if node and node not in started:
            wrong.append(f"Pacemaker has it started on {_listed(started)}, and EC2 leads to {holder}")
        elif not node and own.node in started and own.instance_id and own.instance_id != holder.instance_id:
            wrong.append(f"Pacemaker has it started on {me} ({own.instance_id}), and EC2 leads to {holder}")
        elif not node:
            unknown.append(f"which node of the cluster {holder} is is not known")


def _leads_here(holders: Sequence[Holder], own: Own) -> Optional[bool]:
    """Whether one of the instances is this node; `None` if that is not known."""
    if not holders:
        return None
    if own.instance_id:
        return any(one.instance_id == own.instance_id for one in holders)
    if own.node and all(one.node for one in holders):
        return any(one.node == own.node for one in holders)
    return None


def _agreed(status: Status) -> str:
    holders = () if isinstance(status.cloud, Error) else status.cloud.holders
    leading = _listed([str(one) for one in holders])
    if isinstance(status.cluster, ClusterState) and not status.cluster.nodes:
        return f"stopped, nobody holds it{f'; EC2 still leads to {leading}' if leading else ''}"
    return f"{leading} holds it" if leading else "nobody holds it"


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _once(texts: Sequence[str]) -> Tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
