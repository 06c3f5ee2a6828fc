"""The constraints of the cluster's configuration: where resources may run, with whom, and in which order.

Facts: "Pacemaker Explained", chapter "Resource Constraints"; Pacemaker's sources for the ids that `crm_resource` gives.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import List, NamedTuple, Optional, Tuple, Union

from aws_ipfailover.ocf.durations import score_of, truth_of

# What `crm_resource --move` and `--ban`, and the shells' commands that call it, begin their constraints' ids with.
_PREFER, _BAN = "cli-prefer-", "cli-ban-"


class ResourceSet(NamedTuple):
    """Resources of one constraint that count together; `None` where the set does not say."""

    resources: Tuple[str, ...]
    sequential: Optional[bool] = None
    require_all: Optional[bool] = None
    role: str = ""
    action: str = ""


class Location(NamedTuple):
    """Where a resource prefers to run, or may not.

    `resources`: their ids; empty where `pattern`, a regular expression for ids, says which. `node`: empty where a rule
    says which nodes; `score`: INFINITY and -INFINITY are 1000000 and its negative, `None` where it is an attribute of
    the node. `has_rule`: it counts only where and when a rule says so. `until`: the time, as its text, at which one
    that `crm_resource --lifetime` made ends; empty for all others.
    """

    constraint_id: str
    resources: Tuple[str, ...]
    pattern: str
    node: str
    score: Optional[int]
    role: str
    has_rule: bool
    until: str

    @property
    def is_cli_prefer(self) -> bool:
        """Whether an administrator's move has left it behind: it holds the resource on its node."""
        return self.constraint_id.startswith(_PREFER)

    @property
    def is_cli_ban(self) -> bool:
        """Whether an administrator's ban, or a move without a node, has left it behind."""
        return self.constraint_id.startswith(_BAN)


class Colocation(NamedTuple):
    """`resource` runs where `with_resource` does; both are empty where `sets` says it of several. `score`: a number."""

    constraint_id: str
    resource: str
    with_resource: str
    score: int
    role: str
    with_role: str
    sets: Tuple[ResourceSet, ...] = ()


class Order(NamedTuple):
    """`first` before `then`; both are empty where `sets` says it of several.

    `kind`: Mandatory, Optional or Serialize. `symmetrical`: `None` where it is not given, which means true, and false
    for Serialize.
    """

    constraint_id: str
    first: str
    then: str
    first_action: str
    then_action: str
    kind: str
    symmetrical: Optional[bool]
    sets: Tuple[ResourceSet, ...] = ()


Constraint = Union[Location, Colocation, Order]


def constraints_in(parent: Optional[ET.Element]) -> Tuple[Constraint, ...]:
    """The constraints below the element `constraints`; tickets are left out."""
    found: List[Constraint] = []
    for one in parent if parent is not None else ():
        if one.tag == "rsc_location":
            found.append(_location(one))
        elif one.tag == "rsc_colocation":
            found.append(_colocation(one))
        elif one.tag == "rsc_order":
            found.append(_order(one))
    return tuple(found)


def _location(one: ET.Element) -> Location:
    rule = one.find("rule")
    named = one.get("rsc", "")
    in_sets = tuple(resource for found in _sets(one) for resource in found.resources)
    score: Optional[int] = score_of(one.get("score", "0"))
    node, until = one.get("node", ""), ""
    if rule is not None:
        score = score_of(rule.get("score", "0")) if rule.get("score-attribute") is None else None
        node, until = _of_command(one.get("id", ""), rule)
    return Location(
        one.get("id", ""),
        (named,) if named else in_sets,
        one.get("rsc-pattern", ""),
        node,
        score,
        one.get("role", "") or (rule.get("role", "") if rule is not None else ""),
        rule is not None,
        until,
    )


def _of_command(constraint_id: str, rule: ET.Element) -> Tuple[str, str]:
    """The node, and the end, of a rule that `crm_resource --lifetime` has made."""
    names = [one.get("value", "") for one in rule.findall("expression") if one.get("attribute") == "#uname"]
    ends = [one.get("end", "") for one in rule.findall("date_expression") if one.get("operation") == "lt"]
    if not constraint_id.startswith((_PREFER, _BAN)) or len(names) != 1:
        return "", ""
    return names[0], ends[0] if len(ends) == 1 else ""


def _colocation(one: ET.Element) -> Colocation:
    # Without a score Pacemaker takes INFINITY.
    score = score_of(one.get("score", "INFINITY"))
    roles = one.get("rsc-role", ""), one.get("with-rsc-role", "")
    return Colocation(one.get("id", ""), one.get("rsc", ""), one.get("with-rsc", ""), score, *roles, _sets(one))


def _order(one: ET.Element) -> Order:
    kind = one.get("kind", "")
    if not kind:
        # Before `kind` there was a score: 0 made it optional.
        kind = "Optional" if one.get("score") is not None and score_of(one.get("score", "")) == 0 else "Mandatory"
    first_action = one.get("first-action", "start")
    return Order(
        one.get("id", ""),
        one.get("first", ""),
        one.get("then", ""),
        first_action,
        one.get("then-action", first_action),
        kind,
        truth_of(one.get("symmetrical")),
        _sets(one),
    )


def _sets(one: ET.Element) -> Tuple[ResourceSet, ...]:
    return tuple(
        ResourceSet(
            tuple(reference.get("id", "") for reference in found.findall("resource_ref")),
            truth_of(found.get("sequential")),
            truth_of(found.get("require-all")),
            found.get("role", ""),
            found.get("action", ""),
        )
        for found in one.findall("resource_set")
    )
