"""The configuration of a cluster for one address: what `crm-examples/` has, for parameters and nodes that are given.

Pure. A configuration is data first (`plan`), and text of crmsh or of pcs last. Sources: Pacemaker Explained
(operations, `failure-timeout`, node health), pacemaker-fenced(7) (`pcmk_host_map`, `pcmk_delay_base` by node),
fence_aws's metadata.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from aws_ipfailover.errors import ParameterError
from aws_ipfailover.parameters import PARAMETERS, parse

Pairs = Tuple[Tuple[str, str], ...]

_FENCING_ID, _HEALTH_ID = "fence_aws", "health"
_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_INSTANCE = re.compile(r"i-[0-9a-f]{8}([0-9a-f]{9})?")
_ID = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*")
_REPLACED = {one.name: one.replaced_with for one in PARAMETERS if one.replaced_with}
# Parameters that are accepted for other agents' configurations, and left out here.
WITHOUT_EFFECT = {one.name for one in PARAMETERS if one.deprecated and not one.replaced_with}
_WIDTH = 118


class Node(NamedTuple):
    """A node by its name in the cluster (`crm_node -n`), and its instance's id."""

    name: str
    instance_id: str


class Wanted(NamedTuple):
    """What to configure. `given`: the agent's parameters by their names, as texts.

    `skip_os_shutdown`: whether the installed fence_aws has this parameter, `None` where that is not known.
    """

    given: Mapping[str, str]
    nodes: Tuple[Node, ...]
    resource_id: str = "ip_service"
    fencing: bool = True
    health: bool = False
    region: Optional[str] = None
    skip_os_shutdown: Optional[bool] = None


class Operation(NamedTuple):
    """An operation of a resource; `options` are its interval, its timeout and so on."""

    name: str
    options: Pairs


class Primitive(NamedTuple):
    """A resource or a fence device; `comment` is what to know of it."""

    resource_id: str
    agent: str
    parameters: Pairs
    operations: Tuple[Operation, ...]
    comment: str


class Plan(NamedTuple):
    """A whole configuration; `clone` is the id of the clone of `health`."""

    title: str
    address: Primitive
    prefers: str
    fencing: Optional[Primitive]
    health: Optional[Primitive]
    clone: str
    properties: Pairs
    defaults: Pairs


_TITLES = {
    "overlay-ip": "One overlay IP: each route table has a route for it to the active node.",
    "eni": "One network interface (ENI) that is attached to the active node, with its addresses, MAC and Elastic IP.",
    "private-ip": "One secondary private address that is assigned to the active node.",
}
_LOOKS = {
    "overlay-ip": (
        "Every 20 s: is the address on the node? No API call. Every 2 minutes: do the routes still lead here?"
    ),
    "eni": (
        "Start waits until another node has let go of the interface, which can last minutes. Every 20 s: are interface,"
        " addresses and rules here? No API call. Every 2 minutes: does EC2 still have the interface attached here?"
    ),
    "private-ip": (
        "Every 20 s: is the address on the node? No API call. Every 2 minutes: does EC2 still list it on this node's"
        " interface?"
    ),
}
_OF_FENCING = (
    'Fencing is the instances\' own API. "off" and not "reboot": a node that was fenced comes back when somebody has'
    " looked at it."
)
_OF_DELAY = " When two nodes lose sight of each other both want to fence: the delay gives {node} a head start."
_OF_SHUTDOWN = " Where fence_aws knows the parameter, add skip_os_shutdown=true: a crashed system is slow to shut down."
_OF_HEALTH = (
    "On every node, once a minute: would the address start here? Reads and dry runs alone. It goes on where a node is"
    " not healthy, to see when that is over (Pacemaker 2.1.3; crmsh before 4.5 warns that it does not know"
    " allow-unhealthy-nodes)."
)
_OF_PREFERENCE = "Where it starts when all nodes are there. Less than the stickiness: what moved away stays away."
_OF_FAILURES = (
    "A start that failed bans the node until failure-timeout ends, which is longer than every action here: while one is"
    " under way Pacemaker answers no other failure, and drops one that expires meanwhile."
)
_OF_COLOURS = (
    "A red node has a score of 0, every other one 500: a red node is chosen last. The difference is less than the"
    " stickiness, so that no colour moves what runs."
)


def plan(wanted: Wanted) -> Plan:
    """The configuration, checked.

    Raises:
        ParameterError: a parameter, a node, an id or the region is wrong or missing.
    """
    values = parse(wanted.given)
    _check(wanted)
    region = wanted.region or values.region
    if wanted.fencing and region is None:
        raise ParameterError("fence_aws needs the region: give --region, or region=NAME")
    first = wanted.nodes[0].name
    properties: Pairs = ()
    if wanted.fencing:
        properties += (("stonith-enabled", "true"), ("stonith-action", "off"), ("stonith-timeout", "600s"))
    if wanted.health:
        properties += (("node-health-strategy", "progressive"), ("node-health-base", "500"))
        properties += (("node-health-yellow", "0"), ("node-health-red", "-500"))
    start = "300s" if values.mode == "eni" else "180s"
    address = Primitive(
        wanted.resource_id,
        "ocf:heartbeat:aws-ipfailover",
        _own_parameters(wanted.given, region),
        (
            _operation("start", "0", start),
            _operation("stop", "0", "180s"),
            _operation("monitor", "20s", "40s"),
            _operation("monitor", "120s", "60s", ("OCF_CHECK_LEVEL", "10")),
        ),
        _LOOKS[values.mode],
    )
    return Plan(
        _TITLES[values.mode],
        address,
        first,
        _fencing(wanted, region or "") if wanted.fencing else None,
        _health() if wanted.health else None,
        f"{_HEALTH_ID}_clone",
        properties,
        (("resource-stickiness", "1000"), ("migration-threshold", "3"), ("failure-timeout", "900s")),
    )


def _check(wanted: Wanted) -> None:
    if not wanted.nodes:
        raise ParameterError("which nodes? Give --node NAME=INSTANCE-ID for each")
    for node in wanted.nodes:
        if not _NODE.fullmatch(node.name):
            raise ParameterError(f"node {node.name!r} is wrong, expected letters, digits and characters of ._-")
        if not _INSTANCE.fullmatch(node.instance_id):
            raise ParameterError(f"node {node.name}: {node.instance_id!r} is wrong, expected an instance's id: i-...")
    for what in ("name", "instance_id"):
        named = [getattr(node, what) for node in wanted.nodes]
        if len(set(named)) < len(named):
            raise ParameterError(f"two nodes have the same {what.replace('_', ' ')}: {', '.join(named)}")
    reserved = [_FENCING_ID] * wanted.fencing + [_HEALTH_ID, f"{_HEALTH_ID}_clone"] * wanted.health
    if not _ID.fullmatch(wanted.resource_id) or wanted.resource_id in reserved:
        raise ParameterError(f"id {wanted.resource_id!r} is wrong, expected letters, digits and characters of ._-")


def _operation(name: str, interval: str, timeout: str, *more: Tuple[str, str]) -> Operation:
    return Operation(name, (("interval", interval), ("timeout", timeout), *more))


def _own_parameters(given: Mapping[str, str], region: Optional[str]) -> Pairs:
    """The agent's parameters by their present names, those without an effect left out.

    Raises:
        ParameterError: one has a character that crmsh or pcs changes.
    """
    found: Dict[str, str] = {}
    for name, text in given.items():
        stripped = text.strip()
        if not stripped or name in WITHOUT_EFFECT:
            continue
        if not stripped.isascii() or not stripped.isprintable():
            # crmsh (4.4, parse.parse) makes a character reference of what is not ASCII, and a line of a line break.
            raise ParameterError(
                f"parameter {name}: {stripped!r} has characters that crm and pcs do not keep as they are"
            )
        found[_REPLACED.get(name) or name] = stripped
    if region is not None:
        found.setdefault("region", region)
    return tuple(found.items())


def _fencing(wanted: Wanted, region: str) -> Primitive:
    pairs = [("region", region), ("pcmk_host_map", ";".join(f"{one.name}:{one.instance_id}" for one in wanted.nodes))]
    comment = _OF_FENCING
    if len(wanted.nodes) == 2:
        pairs.append(("pcmk_delay_base", f"{wanted.nodes[0].name}:5s"))
        comment += _OF_DELAY.format(node=wanted.nodes[0].name)
    pairs += [("pcmk_off_timeout", "600"), ("pcmk_off_retries", "4")]
    if wanted.skip_os_shutdown:
        pairs.append(("skip_os_shutdown", "true"))
    else:
        comment += _OF_SHUTDOWN
    operations = (
        _operation("start", "0", "180s"),
        _operation("stop", "0", "180s"),
        _operation("monitor", "300s", "60s"),
    )
    return Primitive(_FENCING_ID, "stonith:fence_aws", tuple(pairs), operations, comment)


def _health() -> Primitive:
    operations = (
        _operation("start", "0", "30s"),
        _operation("stop", "0", "20s"),
        _operation("monitor", "60s", "30s"),
    )
    return Primitive(_HEALTH_ID, "ocf:heartbeat:aws-ipfailover-health", (), operations, _OF_HEALTH)


def crm(plan: Plan) -> str:
    """The text for `crm configure load update -`. crmsh splits lines as a POSIX shell does, and expands nothing."""
    parts = [_comment(f"{plan.title} Load it with: crm configure load update FILE")]
    if plan.fencing is not None:
        parts.append(_crm_primitive(plan.fencing))
    parts.append(_crm_primitive(plan.address))
    if plan.health is not None:
        clone = f"clone {plan.clone} {plan.health.resource_id} meta interleave=true allow-unhealthy-nodes=true"
        parts.append(f"{_crm_primitive(plan.health)}\n{clone}")
    name = plan.address.resource_id
    parts.append(f"{_comment(_OF_PREFERENCE)}\nlocation {name}_starts_on {name} 50: {plan.prefers}")
    last = [_comment(_of_cluster(plan))]
    if plan.properties:
        last.append(f"property {_pairs(plan.properties)}")
    last.append(f"rsc_defaults {_pairs(plan.defaults)}")
    return "\n\n".join([*parts, "\n".join(last)]) + "\n"


def _crm_primitive(one: Primitive) -> str:
    lines = [f"primitive {one.resource_id} {one.agent}"]
    if one.parameters:
        lines.append(f"params {_pairs(one.parameters)}")
    lines += [f"op {operation.name} {_pairs(operation.options)}" for operation in one.operations]
    return f"{_comment(one.comment)}\n" + " \\\n    ".join(lines)


def pcs(plan: Plan) -> str:
    """The commands of pcs, one on a line, for `sh FILE` on one node."""
    failures = next(pair for pair in plan.defaults if pair[0] == "failure-timeout")
    parts = [_comment(f"{plan.title} Load it with: sh FILE, on one node. Each line is one command.")]
    if plan.properties:
        parts.append(f"{_comment(_of_cluster(plan))}\npcs property set {_pairs(plan.properties)}")
    if plan.fencing is not None:
        agent = plan.fencing.agent.partition(":")[2]
        created = f"pcs stonith create {plan.fencing.resource_id} {agent} {_pcs_rest(plan.fencing)}"
        parts.append(f"{_comment(plan.fencing.comment)}\n{created} meta {_pairs([failures])}")
    name = plan.address.resource_id
    created = f"pcs resource create {name} {plan.address.agent} {_pcs_rest(plan.address)}"
    parts.append(f"{_comment(plan.address.comment)}\n{created} meta {_pairs(plan.defaults)} --disabled")
    if plan.health is not None:
        created = f"pcs resource create {plan.health.resource_id} {plan.health.agent} {_pcs_rest(plan.health)}"
        clone = f"clone {plan.clone} interleave=true allow-unhealthy-nodes=true"
        parts.append(f"{_comment(plan.health.comment)}\n{created} meta {_pairs([failures])} {clone}")
    preference = f"pcs constraint location {name} prefers {plan.prefers}=50"
    parts.append(f"{_comment(_OF_PREFERENCE)}\n{preference}\npcs resource enable {name}")
    return "\n\n".join(parts) + "\n"


def _pcs_rest(one: Primitive) -> str:
    """Parameters and operations; pcs wants a unit behind each interval."""
    operations = [
        f"op {operation.name} {_pairs([(key, '0s' if value == '0' else value) for key, value in operation.options])}"
        for operation in one.operations
    ]
    return " ".join(filter(None, [_pairs(one.parameters), *operations]))


def _of_cluster(plan: Plan) -> str:
    return f"{_OF_FAILURES} {_OF_COLOURS}" if plan.health is not None else _OF_FAILURES


def _pairs(pairs: Sequence[Tuple[str, str]]) -> str:
    return " ".join(f"{key}={_quoted(value)}" for key, value in pairs)


def _quoted(value: str) -> str:
    """A value for a POSIX shell and crmsh: as it is, in double quotes where that is enough, else in single ones."""
    if re.fullmatch(r"[\w.:/+-]+", value, re.ASCII):
        return value
    return f'"{value}"' if re.fullmatch(r"[\w.:/+,;=@ -]+", value, re.ASCII) else shlex.quote(value)


def _comment(text: str) -> str:
    lines: List[str] = textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"# {line}" for line in lines)
