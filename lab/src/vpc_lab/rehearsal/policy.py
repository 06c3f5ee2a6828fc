"""What a cluster's configuration says of failures and of where a resource likes to be, as Pacemaker reads it. Pure.

Source: Pacemaker Explained, "Resource Meta-Attributes", "Resource Operations", "Groups": a member of a group or clone
has the meta-attributes of that where it has none of its own, and of the defaults where neither has any; the stickiness
of a group is that of all its members together.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Callable, Dict, Iterator, List, Optional, Set

from vpc_lab.rehearsal.cib_text import configuration_element

INFINITY = 1_000_000
# What Pacemaker gives an operation for which nothing else is said, in seconds (PCMK_DEFAULT_ACTION_TIMEOUT_MS).
DEFAULT_TIMEOUT = 20.0


@dataclass(frozen=True)
class Policy:
    """What a configuration says of the address, and of the software that it is for.

    `stays`: the service stays where it is when a node comes back. `in_place`, `behind_in_place`: after one failure the
    resource is restarted on its node (True) or moved away from it (False); None where that is open. `on_fail`,
    `behind_on_fail`: what Pacemaker does after a failed monitor. `start_timeout`: of the address, in seconds.
    """

    stays: bool = True
    in_place: Optional[bool] = None
    behind_in_place: Optional[bool] = None
    on_fail: str = "restart"
    behind_on_fail: str = "restart"
    start_timeout: float = DEFAULT_TIMEOUT


def policy(cib: str, address: str, behind: str, seconds: Callable[[str], float]) -> Policy:
    """The policy of a CIB for the resource `address`, and for `behind` where that is not empty.

    `seconds`: reads a time as Pacemaker writes it. LabError for what is no CIB.
    """
    cluster = _Cluster(configuration_element(cib), seconds)
    return Policy(
        cluster.stays(address),
        cluster.in_place(address),
        cluster.in_place(behind) if behind else None,
        cluster.on_fail(address),
        cluster.on_fail(behind) if behind else "restart",
        cluster.timeout(address, "start"),
    )


class _Cluster:
    def __init__(self, top: ET.Element, seconds: Callable[[str], float]) -> None:
        self._top = top
        self._seconds = seconds
        self._parents = {child: parent for parent in top.iter() for child in parent}
        self._templates = {one.get("id", ""): one for one in top.iter("template")}

    # -- what is said of a resource -----------------------------------------------------------------------------------

    def _primitive(self, resource: str) -> Optional[ET.Element]:
        return next((one for one in self._top.iter("primitive") if one.get("id") == resource), None)

    def _layers(self, primitive: ET.Element) -> Iterator[ET.Element]:
        """The primitive, its template, its group, its clone."""
        yield primitive
        template = self._templates.get(primitive.get("template", ""))
        if template is not None:
            yield template
        parent = self._parents.get(primitive)
        while parent is not None and parent.tag in ("group", "clone", "master", "bundle"):
            yield parent
            parent = self._parents.get(parent)

    def _meta(self, primitive: ET.Element, name: str) -> str:
        for layer in self._layers(primitive):
            if name in (found := _pairs(layer, "meta_attributes")):
                return found[name]
        return _pairs(self._top, "rsc_defaults/meta_attributes").get(name, "")

    def _operations(self, primitive: ET.Element, name: str) -> List[Dict[str, str]]:
        found = []
        for layer in self._layers(primitive):
            if layer.tag in ("primitive", "template"):
                for op in layer.iterfind("./operations/op"):
                    if op.get("name") == name:
                        found.append({**dict(op.items()), **_pairs(op, "meta_attributes")})
        return found

    def _default(self, name: str) -> str:
        return _pairs(self._top, "op_defaults/meta_attributes").get(name, "")

    # -- what follows from it -----------------------------------------------------------------------------------------

    def on_fail(self, resource: str) -> str:
        """The first thing that is not a restart and that some monitor of it has, or else `restart`."""
        primitive = self._primitive(resource)
        monitors = [] if primitive is None else self._operations(primitive, "monitor")
        said = [one.get("on-fail") or self._default("on-fail") or "restart" for one in monitors]
        return next((one for one in said if one != "restart"), "restart")

    def timeout(self, resource: str, action: str) -> float:
        """Seconds that Pacemaker gives it for an action."""
        primitive = self._primitive(resource)
        for one in [] if primitive is None else self._operations(primitive, action):
            if one.get("timeout"):
                return self._seconds(one["timeout"]) or DEFAULT_TIMEOUT
        return self._seconds(self._default("timeout")) or DEFAULT_TIMEOUT

    def in_place(self, resource: str) -> Optional[bool]:
        """Whether one failure has it restarted where it is: by its migration-threshold, 0 and none being endless.

        Each monitor can find the same failure, so that it may be counted as often as there are monitors. Where a clone
        is, whom Pacemaker promotes is for its agent to say.
        """
        primitive = self._primitive(resource)
        if primitive is None or any(layer.tag in ("clone", "master", "bundle") for layer in self._layers(primitive)):
            return None
        if self.on_fail(resource) != "restart":
            return None
        threshold = _number(self._meta(primitive, "migration-threshold")) or INFINITY
        if threshold == 1:
            return False
        return True if threshold > len(self._operations(primitive, "monitor")) else None

    def stays(self, resource: str) -> bool:
        """Whether its stickiness exceeds what anything else could give to another node.

        Of a rule nobody knows here whether it holds: its score counts.
        """
        primitive = self._primitive(resource)
        if primitive is None:
            return True
        layers = list(self._layers(primitive))
        if self._follows_a_promotion(layers):
            return True
        group = next((layer for layer in layers if layer.tag == "group"), None)
        members = [primitive] if group is None else list(group.iterfind("primitive"))
        sticks = sum(_number(self._meta(one, "resource-stickiness")) for one in members)
        names = {layer.get("id", "") for layer in (*layers, *members)}
        return sticks > 0 and sticks > max(self._preferences(names), default=0)

    def _follows_a_promotion(self, layers: List[ET.Element]) -> bool:
        """It runs with a promoted instance, which has its own score where it is."""
        names = {layer.get("id") for layer in layers}
        return any(
            one.get("rsc") in names
            and one.get("with-rsc-role", "") in ("Master", "Promoted")
            and _number(one.get("score", "0")) > 0
            for one in self._top.iter("rsc_colocation")
        )

    def _preferences(self, names: Set[str]) -> Iterator[int]:
        for one in self._top.iter("rsc_location"):
            if one.get("rsc") in names or one.get("rsc-pattern"):
                yield _number(one.get("score", "0"))
                for rule in one.iter("rule"):
                    yield _number(rule.get("score", "0")) if rule.get("score") else INFINITY


def _pairs(element: ET.Element, path: str) -> Dict[str, str]:
    """Names and values in sets of attributes; those with a rule, of which nobody knows here whether it holds, aside."""
    return {
        pair.get("name", ""): pair.get("value", "")
        for attributes in element.iterfind(f"./{path}")
        if attributes.find("rule") is None
        for pair in attributes.iterfind("nvpair")
    }


def _number(score: str) -> int:
    """A score as Pacemaker reads it; 0 where it is none."""
    word = score.strip().lstrip("+")
    if word.upper() in ("INFINITY", "-INFINITY"):
        return -INFINITY if word.startswith("-") else INFINITY
    return int(word) if word.lstrip("-").isdigit() else 0
