"""The cluster's configuration and status (CIB) as typed records, from what `cibadmin --query` prints. Pure.

Values that depend on rules are kept apart: only Pacemaker evaluates rules, and asking for such a value raises
`UnknownError`. Facts: "Pacemaker Explained"; what is in force of several values was seen with `crm_resource` of 2.1.5.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from functools import cached_property
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from aws_ipfailover.errors import UnknownError
from aws_ipfailover.ocf.attributes import Attributes, References, attributes_in
from aws_ipfailover.ocf.constraints import Colocation, Constraint, Location, Order, constraints_in
from aws_ipfailover.ocf.durations import INFINITY, interval_seconds, timeout_seconds, truth_of
from aws_ipfailover.ocf.node_states import NodeState, Ran, node_states_in

DEFAULT_TIMEOUT = 20.0
"""Seconds of an operation without a timeout: PCMK_DEFAULT_ACTION_TIMEOUT_MS of Pacemaker."""

_META, _INSTANCE = "meta_attributes", "instance_attributes"
# The set of cluster properties that comes before all others, whatever their scores.
_BOOTSTRAP = "cib-bootstrap-options"
# Containers that are in each other: Pacemaker has two at most, a group in a clone.
_DEEPEST = 8
_KINDS = {"group": "group", "clone": "clone", "master": "clone", "bundle": "bundle"}


class AgentName(NamedTuple):
    """An agent as a configuration names it, `ocf:PROVIDER:NAME`; `provider` is empty in other classes than ocf."""

    provider: str
    name: str

    def __str__(self) -> str:
        return f"ocf:{self.provider}:{self.name}"


class ClusterNode(NamedTuple):
    """A node of the configuration; `type`: member, or remote. `attributes`: those that outlast its membership."""

    node_id: str
    uname: str
    type: str
    attributes: Attributes


class Operation(NamedTuple):
    """An operation that a resource is configured with.

    `interval`: seconds, 0 for one that does not recur. `timeout`: the text of its own; empty if it has none: see
    `Cib.timeout_of` for the one in force. `on_fail`, `role`: empty if not given. `check_level`: of OCF_CHECK_LEVEL, 0
    if not given. `meta`: its own sets of meta attributes.
    """

    operation_id: str
    name: str
    interval: float
    timeout: str
    on_fail: str
    enabled: bool
    role: str
    check_level: int
    meta: Attributes
    parameters: Attributes


class Container(NamedTuple):
    """A group, clone or bundle; `members`: the ids of its children in their order, primitives or a group.

    `promotable`: whether it is a clone whose instances can be promoted, `None` where a rule decides that.
    """

    container_id: str
    kind: str
    members: Tuple[str, ...]
    promotable: Optional[bool]
    parameters: Attributes
    meta: Attributes


class Primitive(NamedTuple):
    """A primitive, with what it has from its template.

    `type`: the agent's name. `parameters`, `meta`: its own and its template's; see `Cib.parameters_of` and
    `Cib.meta_of` for what is in force. `containers`: what it is in, the innermost first.
    """

    resource_id: str
    agent_class: str
    provider: str
    type: str
    template: str
    parameters: Attributes
    meta: Attributes
    operations: Tuple[Operation, ...]
    containers: Tuple[Container, ...]

    @property
    def agent(self) -> AgentName:
        """Its agent."""
        return AgentName(self.provider if self.agent_class == "ocf" else "", self.type)

    @property
    def agent_text(self) -> str:
        """Its agent as the tools write it: `ocf:heartbeat:IPaddr2`, `stonith:fence_aws`, `systemd:chronyd`."""
        return ":".join(filter(None, (self.agent_class, self.provider, self.type)))


class Level(NamedTuple):
    """A level of a fencing topology: `devices` that fence together, tried in the order of `level_index`.

    One of `target` (a node's name), `pattern` (a regular expression for names) and `attribute` (name and value of a
    node's attribute) says of which nodes.
    """

    level_id: str
    level_index: int
    devices: Tuple[str, ...]
    target: str = ""
    pattern: str = ""
    attribute: Tuple[str, str] = ("", "")


class Fencing(NamedTuple):
    """How nodes are fenced; `enabled`, `have_watchdog`: `None` where the configuration does not say, or by a rule.

    Without `stonith-enabled` Pacemaker takes it as true. `devices`: the primitives of class stonith.
    """

    enabled: Optional[bool]
    have_watchdog: Optional[bool]
    devices: Tuple[Primitive, ...]
    levels: Tuple[Level, ...]

    def targets(self) -> Dict[str, str]:
        """What the devices call each node, such as its instance's id: the parameter `pcmk_host_map`, by nodes' names.

        A device whose map depends on a rule is left out, and so is a node of which two devices say different things.
        """
        found: Dict[str, List[str]] = {}
        for device in self.devices:
            try:
                text = device.parameters.get("pcmk_host_map") or ""
            except UnknownError:
                continue
            for node, target in host_map(text).items():
                found.setdefault(node, []).append(target)
        return {node: targets[0] for node, targets in found.items() if len(set(targets)) == 1}


class Cib:
    """A CIB; its parts are read when they are first asked for. `source`: what errors call `text`.

    Raises:
        UnknownError: `text` is no CIB.
    """

    def __init__(self, text: str, source: str = "the answer of cibadmin") -> None:
        try:
            root = ET.fromstring(text)  # noqa: S314  what the installed Pacemaker prints
        except ET.ParseError:
            raise UnknownError(f"{source} is no XML") from None
        if root.tag != "cib":
            raise UnknownError(f"{source} is no CIB: its outermost element is {root.tag[:40]!r}")
        self.root = root
        self._references = References(root)

    # -- configuration -------------------------------------------------------------------------------------------

    @property
    def version(self) -> Tuple[int, int, int]:
        """`admin_epoch`, `epoch` and `num_updates`: the greater one is the newer CIB."""
        first, second, third = (int(self.root.get(name) or 0) for name in ("admin_epoch", "epoch", "num_updates"))
        return first, second, third

    @cached_property
    def nodes(self) -> Tuple[ClusterNode, ...]:
        """The nodes of the configuration."""
        return tuple(
            ClusterNode(
                one.get("id", ""),
                one.get("uname", ""),
                one.get("type", "member"),
                attributes_in([one], _INSTANCE, self._references),
            )
            for one in self.root.iterfind("configuration/nodes/node")
        )

    @cached_property
    def properties(self) -> Attributes:
        """The cluster's properties, such as `stonith-enabled`."""
        parents = self.root.findall("configuration/crm_config")
        return attributes_in(parents, "cluster_property_set", self._references, first=_BOOTSTRAP)

    @cached_property
    def resource_defaults(self) -> Attributes:
        """The meta attributes of every resource that has none of its own (rsc_defaults)."""
        return attributes_in(self.root.findall("configuration/rsc_defaults"), _META, self._references)

    @cached_property
    def operation_defaults(self) -> Attributes:
        """The options of every operation that has none of its own (op_defaults)."""
        return attributes_in(self.root.findall("configuration/op_defaults"), _META, self._references)

    @cached_property
    def primitives(self) -> Mapping[str, Primitive]:
        """Every primitive by its id, in the order of the configuration.

        Raises:
            UnknownError: they are in each other as Pacemaker does not have it.
        """
        found: Dict[str, Primitive] = {}
        for child in self._resources:
            self._collect(child, (), found)
        return found

    @cached_property
    def containers(self) -> Mapping[str, Container]:
        """Every group, clone and bundle by its id."""
        return {one.container_id: one for primitive in self.primitives.values() for one in primitive.containers}

    def primitives_of(self, resource_id: str) -> Sequence[str]:
        """The primitives that an id means: its own, those in a group, clone or bundle, those of a template."""
        inside = [
            one.resource_id
            for one in self.primitives.values()
            if resource_id in (one.resource_id, *(container.container_id for container in one.containers))
        ]
        return inside or [one.resource_id for one in self.primitives.values() if one.template == resource_id]

    def parameters_of(self, primitive: Primitive) -> Attributes:
        """Its instance attributes in force: its own, its template's, and those of what it is in."""
        return primitive.parameters.or_else(*(one.parameters for one in primitive.containers))

    def meta_of(self, primitive: Primitive) -> Attributes:
        """Its meta attributes in force: its own, its template's, those of what it is in, and the defaults."""
        return primitive.meta.or_else(*(one.meta for one in primitive.containers), self.resource_defaults)

    def timeout_of(self, primitive: Primitive, name: str, interval: float = 0.0) -> float:
        """Seconds that Pacemaker gives an operation: its own timeout, else the default of all, else 20.

        A probe (`monitor` with interval 0) that is not configured has that of the recurring monitor with the shortest
        interval. A timeout that Pacemaker cannot read counts as 20 s.

        Raises:
            UnknownError: a rule decides.
        """
        operation = operation_named(primitive, name, interval)
        text = operation.timeout if operation is not None else ""
        if not text and operation is not None:
            text = operation.meta.get("timeout") or ""
        if not text and name == "monitor" and interval == 0:
            monitors = [one for one in primitive.operations if one.name == name and one.interval > 0 and one.enabled]
            text = min(monitors, key=lambda one: one.interval).timeout if monitors else ""
        if not text:
            text = self.operation_defaults.get("timeout") or ""
        return timeout_seconds(text) or DEFAULT_TIMEOUT

    @cached_property
    def constraints(self) -> Tuple[Constraint, ...]:
        """All constraints but tickets."""
        return constraints_in(self.root.find("configuration/constraints"))

    @property
    def locations(self) -> Tuple[Location, ...]:
        """The constraints that say where."""
        return tuple(one for one in self.constraints if isinstance(one, Location))

    @property
    def colocations(self) -> Tuple[Colocation, ...]:
        """The constraints that say with whom."""
        return tuple(one for one in self.constraints if isinstance(one, Colocation))

    @property
    def orders(self) -> Tuple[Order, ...]:
        """The constraints that say in which order."""
        return tuple(one for one in self.constraints if isinstance(one, Order))

    @cached_property
    def fencing(self) -> Fencing:
        """How nodes are fenced."""
        levels = self.root.iterfind("configuration/fencing-topology/fencing-level")
        return Fencing(
            self._property("stonith-enabled"),
            self._property("have-watchdog"),
            tuple(one for one in self.primitives.values() if one.agent_class == "stonith"),
            tuple(sorted((_level(one) for one in levels), key=lambda one: one.level_index)),
        )

    # -- status --------------------------------------------------------------------------------------------------

    @cached_property
    def node_states(self) -> Tuple[NodeState, ...]:
        """What the CIB knows of each node's state; empty where the text has no status."""
        return node_states_in(self.root.find("status"), self._references)

    def node_state(self, uname: str) -> Optional[NodeState]:
        """The state of one node; `None` where the CIB has none."""
        return next((one for one in self.node_states if one.uname == uname), None)

    def history_of(self, resource_id: str) -> Mapping[str, Tuple[Ran, ...]]:
        """The operations of a primitive by node, of a clone's all instances there, in the order of the calls."""
        found: Dict[str, Tuple[Ran, ...]] = {}
        for state in self.node_states:
            entries = [
                ran for name, some in state.history.items() if name.partition(":")[0] == resource_id for ran in some
            ]
            if entries:
                found[state.uname] = tuple(entries)
        return found

    def fail_counts_of(self, resource_id: str) -> Mapping[str, int]:
        """The fail counts of a primitive by node, of all operations together; nodes without failures are left out."""
        found: Dict[str, int] = {}
        for state in self.node_states:
            counts = [one.failures for one in state.fail_counts if one.resource_id == resource_id]
            if any(counts):
                found[state.uname] = min(INFINITY, sum(counts))
        return found

    # -- reading -------------------------------------------------------------------------------------------------

    @cached_property
    def _resources(self) -> ET.Element:
        found = self.root.find("configuration/resources")
        return found if found is not None else ET.Element("resources")

    @cached_property
    def _templates(self) -> Mapping[str, ET.Element]:
        return {one.get("id", ""): one for one in self._resources.iter("template")}

    def _property(self, name: str) -> Optional[bool]:
        try:
            return truth_of(self.properties.get(name))
        except UnknownError:
            return None

    def _collect(self, one: ET.Element, within: Tuple[Container, ...], found: Dict[str, Primitive]) -> None:
        if one.tag == "primitive":
            primitive = self._primitive(one, within)
            found[primitive.resource_id] = primitive
        elif isinstance(one.tag, str) and one.tag in _KINDS:
            if len(within) >= _DEEPEST:
                raise UnknownError(f"{one.get('id', '')!r} is in {len(within)} groups and clones, one in the other")
            outer = (self._container(one), *within)
            for child in one:
                self._collect(child, outer, found)

    def _container(self, one: ET.Element) -> Container:
        meta = attributes_in([one], _META, self._references)
        promotable: Optional[bool] = one.tag == "master"
        if one.tag == "clone":
            try:
                promotable = truth_of(meta.get("promotable")) or False
            except UnknownError:
                promotable = None
        members = tuple(child.get("id", "") for child in one if child.tag in ("primitive", "group"))
        parameters = attributes_in([one], _INSTANCE, self._references)
        return Container(one.get("id", ""), _KINDS[one.tag], members, promotable, parameters, meta)

    def _primitive(self, one: ET.Element, within: Tuple[Container, ...]) -> Primitive:
        template = self._templates.get(one.get("template", ""))
        sources = [one] if template is None else [template, one]
        source = sources[0]
        operations: Dict[Tuple[str, float], Operation] = {}
        for parent in reversed(sources):
            for operation in self._operations(parent):
                operations.setdefault((operation.name, operation.interval), operation)
        return Primitive(
            one.get("id", ""),
            source.get("class", ""),
            source.get("provider", ""),
            source.get("type", ""),
            one.get("template", ""),
            attributes_in(sources, _INSTANCE, self._references),
            attributes_in(sources, _META, self._references),
            tuple(operations.values()),
            within,
        )

    def _operations(self, parent: ET.Element) -> List[Operation]:
        return [
            self._operation(one)
            for operations in parent.findall("operations")
            for one in self._references.resolved(operations).findall("op")
        ]

    def _operation(self, one: ET.Element) -> Operation:
        parameters = attributes_in([one], _INSTANCE, self._references)
        meta = attributes_in([one], _META, self._references)
        level = parameters.plain.get("OCF_CHECK_LEVEL") or one.get("OCF_CHECK_LEVEL") or ""
        return Operation(
            one.get("id", ""),
            one.get("name", ""),
            interval_seconds(one.get("interval", "0")),
            one.get("timeout", ""),
            one.get("on-fail", "") or meta.plain.get("on-fail", ""),
            truth_of(one.get("enabled") or meta.plain.get("enabled")) is not False,
            one.get("role", ""),
            int(level) if re.fullmatch(r"[0-9]{1,9}", level) else 0,
            meta,
            parameters,
        )


def operation_named(primitive: Primitive, name: str, interval: float = 0.0) -> Optional[Operation]:
    """The configured operation with this name and interval, in seconds; `None` if there is none."""
    return next((one for one in primitive.operations if (one.name, one.interval) == (name, interval)), None)


def host_map(text: str) -> Dict[str, str]:
    """A `pcmk_host_map`, as `node1:i-0123;node2:i-4567`: what a fence device calls each node.

    Pairs are separated by semicolons or blanks, names from values by a colon or an equals sign: Pacemaker,
    `build_port_aliases`.
    """
    found: Dict[str, str] = {}
    for pair in re.split(r"[;\s]+", text):
        name, separator, value = re.sub("=", ":", pair, count=1).partition(":")
        if separator and name and value:
            found[name] = value
    return found


def _level(one: ET.Element) -> Level:
    index = one.get("index", "")
    return Level(
        one.get("id", ""),
        int(index) if index.isascii() and index.isdigit() else 0,
        tuple(name.strip() for name in one.get("devices", "").split(",") if name.strip()),
        one.get("target", ""),
        one.get("target-pattern", ""),
        (one.get("target-attribute", ""), one.get("target-value", "")),
    )


__all__ = [
    "DEFAULT_TIMEOUT",
    "AgentName",
    "Attributes",
    "Cib",
    "ClusterNode",
    "Colocation",
    "Constraint",
    "Container",
    "Fencing",
    "Level",
    "Location",
    "NodeState",
    "Operation",
    "Order",
    "Primitive",
    "Ran",
    "host_map",
    "operation_named",
]
