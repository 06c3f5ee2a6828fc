"""What a cluster configuration says that a lab needs to know before the cluster exists. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Optional, Tuple

# Attributes of primitives that Pacemaker reads itself, of every fence device (pacemaker-fenced(7)).
PACEMAKER_S = ("pcmk_", "priority", "stonith-timeout", "provides")


@dataclass(frozen=True)
class Operation:
    """An operation of a primitive: `start`, `monitor`, ...; `about` are its attributes, as they are written."""

    name: str
    about: Mapping[str, str]


@dataclass(frozen=True)
class Primitive:
    """A resource. `agent` is CLASS:PROVIDER:TYPE for OCF, else CLASS:TYPE; `line` is that of the file, from 1."""

    id: str
    agent: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    operations: Tuple[Operation, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict)
    line: int = 0

    @property
    def standard(self) -> str:
        """`ocf`, `stonith`, `systemd`, ..."""
        return self.agent.split(":")[0]

    @property
    def provider(self) -> str:
        """The provider of an OCF agent; empty for others."""
        return self.agent.split(":")[1] if self.standard == "ocf" else ""

    @property
    def type(self) -> str:
        """The agent's own name; of an external fencing plugin with `external/`."""
        return self.agent.split(":")[-1]


@dataclass(frozen=True)
class Wrapper:
    """A clone or a promotable clone, by its id, of a primitive or group."""

    id: str
    of: str
    promotable: bool
    meta: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Colocation:
    """`what` runs with `with_what`, there in the role `with_role` (`Promoted`, `Unpromoted` or none)."""

    what: str
    with_what: str
    with_role: str = ""
    score: str = "INFINITY"


@dataclass(frozen=True)
class Configuration:
    """A configuration. `nodes`: names, with an id where the file gives one, in its order.

    `groups`: members by the group's id. `properties`: cluster options. `skipped`: lines that set up machines and not
    the cluster's configuration, which no lab runs, with their numbers.
    """

    tool: str
    nodes: Tuple[Tuple[str, Optional[int]], ...] = ()
    primitives: Tuple[Primitive, ...] = ()
    groups: Mapping[str, Tuple[str, ...]] = field(default_factory=dict)
    wrappers: Tuple[Wrapper, ...] = ()
    colocations: Tuple[Colocation, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    skipped: Tuple[Tuple[int, str], ...] = ()
    # Nodes that a constraint keeps something from.
    avoided: Tuple[str, ...] = ()

    def primitive(self, resource_id: str) -> Optional[Primitive]:
        """The primitive of that id."""
        return next((one for one in self.primitives if one.id == resource_id), None)

    def group_of(self, resource_id: str) -> Optional[str]:
        """The group that a primitive is in."""
        return next((name for name, members in self.groups.items() if resource_id in members), None)

    def wrapper_of(self, resource_id: str) -> Optional[Wrapper]:
        """The clone around a primitive, or around its group."""
        names = (resource_id, self.group_of(resource_id))
        return next((one for one in self.wrappers if one.of in names), None)

    @property
    def fence_devices(self) -> Tuple[Primitive, ...]:
        """The primitives that fence."""
        return tuple(one for one in self.primitives if one.standard == "stonith")

    @property
    def fencing(self) -> bool:
        """Whether Pacemaker fences: `stonith-enabled` is true by default (Pacemaker Explained, cluster options)."""
        return is_on(self.properties.get("stonith-enabled", "true"))


def is_on(value: str) -> bool:
    """What Pacemaker takes for true (crm_str_to_boolean)."""
    return value.lower() in ("true", "on", "yes", "y", "1")
