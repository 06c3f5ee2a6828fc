"""From other agents to this one on a running cluster: the commands, as text, by which no address is interrupted. Pure.

The order keeps every address, and was seen with Pacemaker 2.1.5 (tests/lab/test_migrate.py). In maintenance mode
Pacemaker starts and stops nothing. The agent of a primitive is changed in place, so that its id stays, and with it
every constraint and group. Its history is of the other agent, and Pacemaker would restart it for that ("type changed",
in pcmk__rsc_agent_changed): so the history is deleted, and a probe by this agent finds what the other one has started.
Then `crm_simulate` tells what the end of maintenance mode would do, which has to be nothing. A history is deleted only
when nothing is under way: a cleanup during a start can end pacemaker-controld (seen with 2.1.5).
"""

from __future__ import annotations

import shlex
from ipaddress import ip_address
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple
from xml.sax.saxutils import quoteattr

from aws_ipfailover.errors import ParameterError, UnknownError
from aws_ipfailover.ocf import AGENT
from aws_ipfailover.ocf.cib import AgentName, Cib, Primitive, operation_named
from aws_ipfailover.ocf.constraints import Colocation, Location, Order
from aws_ipfailover.ocf.durations import timeout_seconds
from aws_ipfailover.output import printable
from aws_ipfailover.parameters import PARAMETERS, parse

_OURS = AgentName("heartbeat", AGENT)
_MOVE_IP, _VIP, _EIP, _IPADDR = "aws-vpc-move-ip", "awsvip", "awseip", "IPaddr2"
_WITHOUT_EFFECT = tuple(one.name for one in PARAMETERS if one.deprecated and not one.replaced_with)
_ADVISED = 60.0  # seconds of start and stop below which a timeout is raised
_TIMEOUT = "180s"
# What crm_simulate's summary calls a change of what runs, and the end of the script where there is one.
_CHANGED = "(Start|Stop|Restart|Recover|Move|Migrate|Promote|Demote|Reload|Fence|Shutdown)"
_UNLESS_NOTHING = (
    f'if grep -E "^ +[*] {_CHANGED} " "$after/summary"; then'
    ' echo "the cluster stays in maintenance mode: see above what would happen" >&2; exit 1; fi'
)

# By tool: how the cluster's property is set. All else is by Pacemaker's own programs: neither crmsh nor pcs can change
# the agent of a resource.
_MAINTENANCE: Mapping[str, str] = {
    "pacemaker": "crm_attribute --name maintenance-mode --update {}",
    "crm": "crm configure property maintenance-mode={}",
    "pcs": "pcs property set maintenance-mode={}",
}
TOOLS = tuple(_MAINTENANCE)


class Step(NamedTuple):
    """Commands of a POSIX shell, one on a line, and what they are for."""

    text: str
    commands: Tuple[str, ...]


class Moved(NamedTuple):
    """A primitive that gets this agent; `absorbs`: the ids of primitives that it makes superfluous."""

    resource_id: str
    before: AgentName
    absorbs: Tuple[str, ...]


class Migration(NamedTuple):
    """What to do, and what to know.

    `left`: sentences about resources that stay as they are although they are of such an agent. `refused`: sentences
    about why nothing can be done; there are no steps then.
    """

    moved: Tuple[Moved, ...]
    steps: Tuple[Step, ...]
    differences: Tuple[str, ...]
    unchanged: Tuple[str, ...]
    left: Tuple[str, ...]
    refused: Tuple[str, ...]


class _Change(NamedTuple):
    """One primitive's way: `set_`: parameters to add. `removed`: primitives that it makes superfluous."""

    primitive: Primitive
    set_: Mapping[str, str]
    removed: Tuple[Primitive, ...]


def migration(cib: Cib, is_ours: Callable[[AgentName], Optional[bool]], tool: str = "pacemaker") -> Migration:
    """The way to this agent for every resource of aws-vpc-move-ip, of awsvip with IPaddr2, and of awseip.

    `is_ours`: whether an agent of that name is this one already, under another name; `None` where that is not known.
    `tool`: one of `TOOLS`.
    """
    left: List[str] = []
    refused: List[str] = []
    changes: List[_Change] = []
    for one in cib.primitives.values():
        agent = one.agent
        if agent.name in (_MOVE_IP, _VIP) and agent.provider and is_ours(agent):
            left.append(f"{one.resource_id}: {agent} is this agent already, under another name")
        elif agent.name in (_MOVE_IP, _VIP) and agent.provider:
            try:
                changes.append(_change(cib, one))
            except (ParameterError, UnknownError) as error:
                refused.append(f"{one.resource_id}: {error}")
    changes = _with_elastic_ips(cib, changes, left, refused)
    for change in changes:
        refused += _in_the_way(cib, change)
    if refused or not changes:
        return Migration((), (), (), (), tuple(left), tuple(refused))
    return Migration(
        tuple(_moved(change) for change in changes),
        tuple(_steps(cib, changes, tool)),
        tuple(_differences(changes)),
        tuple(_unchanged(cib, changes)),
        tuple(left),
        (),
    )


def _moved(change: _Change) -> Moved:
    absorbs = tuple(one.resource_id for one in change.removed)
    return Moved(change.primitive.resource_id, change.primitive.agent, absorbs)


def _change(cib: Cib, one: Primitive) -> _Change:
    """How a primitive gets this agent.

    Raises:
        ParameterError: this agent refuses its parameters.  UnknownError: they depend on a rule.
    """
    given = _plain(cib, one)
    added: Dict[str, str] = {}
    removed: Tuple[Primitive, ...] = ()
    if one.type == _VIP:
        added["mode"] = "private-ip"
        removed = tuple(_local_addresses(cib, given.get("secondary_private_ip", "")))
        for other in removed:
            label = _plain(cib, other).get("iflabel")
            if label:
                added["iflabel"] = label
    parse({**given, **added})
    return _Change(one, added, removed)


def _plain(cib: Cib, one: Primitive) -> Dict[str, str]:
    """A primitive's parameters.

    Raises:
        UnknownError: a rule decides about one.
    """
    attributes = cib.parameters_of(one)
    for some in attributes.conditional:
        raise UnknownError(f"its parameters depend on a rule of {some.set_id}, which only Pacemaker evaluates")
    return attributes.plain


def _same(one: str, other: str) -> bool:
    try:
        return ip_address(one.strip()) == ip_address(other.strip())
    except ValueError:
        return False


def _local_addresses(cib: Cib, address: str) -> List[Primitive]:
    """The primitives of IPaddr2 that have this address on the node, which awsvip leaves to them."""
    found = [one for one in cib.primitives.values() if one.type == _IPADDR]
    return [one for one in found if _same(_plain(cib, one).get("ip", ""), address)]


def _with_elastic_ips(cib: Cib, changes: Sequence[_Change], left: List[str], refused: List[str]) -> List[_Change]:
    """The same, each with the Elastic IP that is to follow it."""
    found = list(changes)
    for one in cib.primitives.values():
        if one.type != _EIP or not one.agent.provider:
            continue
        try:
            given = _plain(cib, one)
        except UnknownError as error:
            refused.append(f"{one.resource_id}: {error}")
            continue
        allocation = given.get("allocation_id", "").strip()
        public = shlex.quote(given.get("elastic_ip", "ADDRESS"))
        served = [
            number
            for number, change in enumerate(found)
            if _serves(cib, change, given.get("private_ip_address", ""), one)
        ]
        if not allocation:
            left.append(
                f"{one.resource_id} stays with {one.agent}: this agent takes an Elastic IP by its allocation_id, which"
                f" aws ec2 describe-addresses --public-ips {public} tells"
            )
        elif len(served) != 1 or "allocation_id" in found[served[0]].set_:
            left.append(
                f"{one.resource_id} stays with {one.agent}: it is in no group with one address of these, to which this"
                " agent would bind it (allocation_id)"
            )
        else:
            change = found[served[0]]
            found[served[0]] = change._replace(
                set_={**change.set_, "allocation_id": allocation}, removed=(*change.removed, one)
            )
    return found


def _serves(cib: Cib, change: _Change, address: str, elastic_ip: Primitive) -> bool:
    """Whether an Elastic IP belongs to an address: it is of that private address, or in the same group."""
    given = _plain(cib, change.primitive)
    if address:
        return _same(address, given.get("secondary_private_ip", ""))
    groups = {one.container_id for one in change.primitive.containers if one.kind == "group"}
    return any(one.container_id in groups for one in elastic_ip.containers)


def _in_the_way(cib: Cib, change: _Change) -> List[str]:
    """Why a primitive that becomes superfluous cannot be taken out of the configuration by a command."""
    found = []
    for one in change.removed:
        name = one.resource_id
        groups = [container for container in one.containers if container.kind == "group"]
        if len(one.containers) > len(groups):
            found.append(f"{name}, which would be removed, is in a clone or bundle: change it by hand")
        stays = change.primitive.resource_id
        for group in groups:
            if not set(group.members) - ({other.resource_id for other in change.removed}):
                found.append(f"{name}, which would be removed, is all that is in group {group.container_id}")
        for constraint in cib.constraints:
            sets = getattr(constraint, "sets", ())
            if any(name in some.resources for some in sets):
                found.append(f"{constraint.constraint_id} names {name} in a resource set: put {stays} there")
            elif isinstance(constraint, Location) and len(constraint.resources) > 1 and name in constraint.resources:
                found.append(f"{constraint.constraint_id} names {name} among others: put {stays} there")
    return found


# -- the steps --------------------------------------------------------------------------------------------------------


def _steps(cib: Cib, changes: Sequence[_Change], tool: str) -> List[Step]:
    ids = [change.primitive.resource_id for change in changes]
    gone = [one.resource_id for change in changes for one in change.removed]
    steps = [
        Step(
            "This agent is installed, here and on every other node.",
            (f"crm_resource --show-metadata {_OURS} >/dev/null",),
        ),
        Step("Nothing is under way.", ("crm_resource --wait",)),
    ]
    on = (cib.properties.plain.get("maintenance-mode") or "").lower() in ("true", "on", "yes", "y", "1")
    if not on:
        steps.append(
            Step(
                "Pacemaker starts and stops nothing from here on.",
                (_MAINTENANCE[tool].format("true"), "crm_resource --wait"),
            )
        )
    for change in changes:
        steps.append(Step(f"{change.primitive.resource_id}: the agent, in place.", tuple(_replaced(change))))
    for change in changes:
        for one in change.removed:
            commands = (
                *_rewritten(cib, one.resource_id, change.primitive.resource_id),
                _deleted("resources", "primitive", one.resource_id),
            )
            steps.append(Step(f"{one.resource_id}: {change.primitive.resource_id} does its work now.", commands))
    forget = [f"crm_resource --refresh --resource {shlex.quote(name)} --force" for name in (*ids, *gone)]
    steps.append(
        Step("Forget what the other agents did; a probe by this one finds what runs.", (*forget, "crm_resource --wait"))
    )
    steps.append(
        Step(
            "What would happen at the end of maintenance mode? It has to be nothing.",
            (
                "after=$(mktemp -d)",
                "trap 'rm -r \"$after\"' EXIT",
                'cibadmin --query > "$after/cib.xml"',
                'CIB_file="$after/cib.xml" crm_attribute --name maintenance-mode --update false',
                'crm_simulate --simulate --xml-file "$after/cib.xml" > "$after/summary"',
                _UNLESS_NOTHING,
            ),
        )
    )
    if not on:
        steps.append(Step("Back to work: monitors begin.", (_MAINTENANCE[tool].format("false"), "crm_resource --wait")))
    return steps


def _cibadmin(action: str, scope: str, xml: str) -> str:
    return f"cibadmin --{action} --scope {scope} --xml-text {shlex.quote(xml)}"


def _deleted(scope: str, tag: str, name: str) -> str:
    return _cibadmin("delete", scope, f"<{tag} id={quoteattr(name)}/>")


def _replaced(change: _Change) -> List[str]:
    """The commands that give a primitive this agent, its parameters, and the monitor that asks EC2."""
    one = change.primitive
    about = f'class="ocf" provider="{_OURS.provider}" type="{_OURS.name}"'
    operations = _operations(one)
    commands = []
    if one.template:
        commands.append(_cibadmin("modify", "resources", f"<template id={quoteattr(one.template)} {about}/>"))
        about = ""
    if about or operations:
        inside = f"<operations>{operations}</operations>" if operations else ""
        xml = f"<primitive id={quoteattr(one.resource_id)} {about}>{inside}</primitive>"
        commands.append(_cibadmin("modify", "resources", xml))
    for name, value in change.set_.items():
        commands.append(
            f"crm_resource --resource {shlex.quote(one.resource_id)} --set-parameter {name}"
            f" --parameter-value {shlex.quote(value)}"
        )
    return commands


def _operations(one: Primitive) -> str:
    """Operations to add or to change: enough time for start and stop, and a monitor that asks EC2."""
    found = []
    name = one.resource_id
    for action in ("start", "stop"):
        operation = operation_named(one, action)
        if operation is None:
            about = f'name="{action}" interval="0s" timeout="{_TIMEOUT}"'
            found.append(f"<op id={quoteattr(f'{name}-{action}-0s')} {about}/>")
        elif not one.template and (timeout_seconds(operation.timeout or "20s") or 0.0) < _ADVISED:
            found.append(f'<op id={quoteattr(operation.operation_id)} timeout="{_TIMEOUT}"/>')
    monitors = [operation for operation in one.operations if operation.name == "monitor"]
    if not any(operation.check_level >= 10 for operation in monitors):
        intervals = {operation.interval for operation in monitors}
        interval = next(seconds for seconds in range(120, 200) if float(seconds) not in intervals)
        deep = f"{name}-monitor-{interval}s"
        level = f'<nvpair id={quoteattr(f"{deep}-level")} name="OCF_CHECK_LEVEL" value="10"/>'
        inside = f"<instance_attributes id={quoteattr(f'{deep}-attributes')}>{level}</instance_attributes>"
        about = f'name="monitor" interval="{interval}s" timeout="60s"'
        found.append(f"<op id={quoteattr(deep)} {about}>{inside}</op>")
    return "".join(found)


def _rewritten(cib: Cib, gone: str, instead: str) -> List[str]:
    """The commands that let constraints name `instead` where they name `gone`; those between the two go."""
    commands = []
    for one in cib.constraints:
        name = one.constraint_id
        if isinstance(one, Location) and one.resources == (gone,):
            commands.append(_pointed("rsc_location", name, rsc=instead))
        elif isinstance(one, Colocation) and gone in (one.resource, one.with_resource):
            pair = {"rsc": one.resource, "with-rsc": one.with_resource}
            commands.append(_repointed("rsc_colocation", name, pair, gone, instead))
        elif isinstance(one, Order) and gone in (one.first, one.then):
            pair = {"first": one.first, "then": one.then}
            commands.append(_repointed("rsc_order", name, pair, gone, instead))
    return commands


def _repointed(tag: str, name: str, pair: Mapping[str, str], gone: str, instead: str) -> str:
    becomes = {key: instead if value == gone else value for key, value in pair.items()}
    if len(set(becomes.values())) == 1:
        return _deleted("constraints", tag, name)
    return _pointed(tag, name, **{key: value for key, value in becomes.items() if pair[key] == gone})


def _pointed(tag: str, name: str, **attributes: str) -> str:
    about = " ".join(f"{key}={quoteattr(value)}" for key, value in attributes.items())
    return _cibadmin("modify", "constraints", f"<{tag} id={quoteattr(name)} {about}/>")


# -- what to know -----------------------------------------------------------------------------------------------------


def _differences(changes: Sequence[_Change]) -> List[str]:
    found = [
        "A monitor looks at the node alone; one with OCF_CHECK_LEVEL=10, which is added, asks EC2.",
        "An EC2 that does not answer never fails the resource: it is then shown as degraded (exit code 190).",
        "Stop removes the address from the node, and asks EC2 for nothing.",
        "What somebody changes in EC2 is mended in place by the monitor at level 10 (on_drift).",
        "The AWS CLI is not used. Permissions differ: aws-ipfailover iam-policy prints them.",
    ]
    types = {change.primitive.type for change in changes}
    if _MOVE_IP in types:
        found.append(
            "Start writes all route tables at once, makes a route that is missing, and switches the source/destination"
            " check off, where the role may do so."
        )
    if _VIP in types:
        found.append("Stop leaves the private address assigned: the next node's start takes it.")
    for change in changes:
        name = change.primitive.resource_id
        if any(one.type == _EIP for one in change.removed):
            found.append(
                f"{name}: the Elastic IP follows the address; one that cannot be associated fails no start, and a stop"
                " leaves it where it is."
            )
            if change.primitive.type == _VIP:
                found.append(
                    f"{name}: the Elastic IP leads to the address that moves; awseip without private_ip_address had"
                    " associated it with the node's own one. The first monitor at level 10 changes that."
                )
        unused = [one for one in _WITHOUT_EFFECT if one in change.primitive.parameters.plain]
        if unused:
            found.append(
                f"{name}: without an effect from now on: {', '.join(unused)}. Remove each when you like:"
                f" crm_resource --resource {shlex.quote(name)} --delete-parameter {unused[0]}"
            )
    return found


def _unchanged(cib: Cib, changes: Sequence[_Change]) -> List[str]:
    """The groups and constraints that name what stays."""
    gone = {one.resource_id for change in changes for one in change.removed}
    found = []
    for change in changes:
        name = change.primitive.resource_id
        for container in change.primitive.containers:
            found.append(f"{container.kind} {container.container_id} has {name} where it has it now")
        of_it = {name, *(container.container_id for container in change.primitive.containers)}
        for constraint in cib.constraints:
            named = _named_by(constraint)
            if of_it & named and not gone & named:
                found.append(f"constraint {constraint.constraint_id} stays as it is")
    return list(dict.fromkeys(found))


def _named_by(constraint: object) -> set[str]:
    if isinstance(constraint, Location):
        return set(constraint.resources)
    if isinstance(constraint, Colocation):
        pair = {constraint.resource, constraint.with_resource}
    elif isinstance(constraint, Order):
        pair = {constraint.first, constraint.then}
    else:
        return set()
    return {*pair, *(name for some in constraint.sets for name in some.resources)} - {""}


def script(found: Migration) -> str:
    """The steps for `sh -e FILE` on one node, what to know of them as comments.

    A name of the configuration can have any characters: in a comment a line end would begin a command.
    """
    lines = [
        "# As root on one node: sh -e FILE. It ends at the first command that fails. Then every address is where it"
    ]
    lines.append("# was, and the cluster stays in maintenance mode if it is there already.")
    for moved in found.moved:
        also = f", and does the work of {', '.join(moved.absorbs)}" if moved.absorbs else ""
        lines.append("#\n# " + printable(f"{moved.resource_id}: {moved.before} becomes {_OURS}{also}."))
    for title, sentences in (("What differs:", found.differences), ("What stays:", (*found.unchanged, *found.left))):
        if sentences:
            lines.append(f"#\n# {title}")
            lines += [f"# - {printable(sentence)}" for sentence in sentences]
    for step in found.steps:
        lines.append(f"\n# {printable(step.text)}")
        lines += step.commands
    return "\n".join(lines) + "\n"
