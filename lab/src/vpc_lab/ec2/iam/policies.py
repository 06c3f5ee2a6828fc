"""IAM policies: statements that allow or deny, on resources and by their tags.

Source: "IAM JSON policy elements reference" and "Policy evaluation logic", IAM user guide: an explicit deny wins over
every allow, and what no statement allows is denied.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, List, Literal, Mapping, Tuple

Decision = Literal["allowed", "explicit deny", "implicit deny"]
Effect = Literal["Allow", "Deny"]
NO_TAGS: Mapping[str, str] = {}
OPERATORS = ("StringEquals", "StringNotEquals", "StringLike", "StringNotLike")
TAG_KEYS = ("aws:ResourceTag/", "ec2:ResourceTag/")


def matches(text: str, pattern: str) -> bool:
    """Whether `pattern` covers `text`; `*` and `?` are the only wildcards, as in IAM."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))


@dataclass(frozen=True)
class Condition:
    """A condition on one tag of the resource: an operator of OPERATORS, the tag's key, and the values for it."""

    operator: str
    tag: str
    values: Tuple[str, ...]

    def holds(self, tags: Mapping[str, str]) -> bool:
        """Whether a resource with these tags fulfils it. Tag keys compare without case, values with it.

        A tag that is missing equals nothing and is like nothing: only the negated operators hold.
        """
        found = next((value for key, value in tags.items() if key.lower() == self.tag.lower()), None)
        negated = "Not" in self.operator
        if found is None:
            return negated
        if self.operator.endswith("Like"):
            return any(matches(found, value) for value in self.values) is not negated
        return (found in self.values) is not negated


@dataclass(frozen=True)
class Statement:
    """A statement; actions like `ec2:ReplaceRoute` and ARNs, both with `*` and `?`; all conditions have to hold.

    For an operation without resource-level permissions the resource is `*`, which no ARN covers: only a statement with
    the resource `*` applies to it.
    """

    actions: Tuple[str, ...]
    resources: Tuple[str, ...] = ("*",)
    effect: Effect = "Allow"
    conditions: Tuple[Condition, ...] = ()

    def applies(self, action: str, resource: str, tags: Mapping[str, str] = NO_TAGS) -> bool:
        """Whether it is about `action` on `resource`; actions compare without case, as IAM's do."""
        return (
            any(matches(action.lower(), pattern.lower()) for pattern in self.actions)
            and any(matches(resource, pattern) for pattern in self.resources)
            and all(condition.holds(tags) for condition in self.conditions)
        )


@dataclass(frozen=True)
class Policy:
    """A policy: of a role, or a service control policy of the account."""

    statements: Tuple[Statement, ...]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Policy:
        """From an IAM policy document, as an administrator would attach it.

        Known are Effect, Action, Resource, and Condition with OPERATORS on TAG_KEYS; ValueError for anything else: a
        policy is never half understood.
        """
        statements: List[Statement] = []
        listed = document["Statement"]
        for entry in [listed] if isinstance(listed, Mapping) else listed:
            unknown = set(entry) - {"Sid", "Effect", "Action", "Resource", "Condition"}
            if unknown:
                raise ValueError(f"the lab's IAM knows Effect, Action, Resource and Condition, not {sorted(unknown)}")
            if entry["Effect"] not in ("Allow", "Deny"):
                raise ValueError(f"Effect is Allow or Deny, not {entry['Effect']!r}")
            statements.append(
                Statement(
                    _texts(entry["Action"]),
                    _texts(entry["Resource"]),
                    entry["Effect"],
                    _conditions(entry.get("Condition", {})),
                )
            )
        return cls(tuple(statements))

    def decide(self, action: str, resource: str, tags: Mapping[str, str] = NO_TAGS) -> Decision:
        """What it says of an action on a resource with these tags."""
        effects = {one.effect for one in self.statements if one.applies(action, resource, tags)}
        if "Deny" in effects:
            return "explicit deny"
        return "allowed" if effects else "implicit deny"


def _conditions(block: Mapping[str, Mapping[str, Any]]) -> Tuple[Condition, ...]:
    found: List[Condition] = []
    for operator, tests in block.items():
        for key, value in tests.items():
            prefix = next((one for one in TAG_KEYS if key.lower().startswith(one.lower())), None)
            if operator not in OPERATORS or prefix is None:
                raise ValueError(
                    f"the lab's IAM knows a Condition with {', '.join(OPERATORS)} on {' and '.join(TAG_KEYS)}KEY, "
                    f"not {operator} on {key}"
                )
            found.append(Condition(operator, key[len(prefix) :], _texts(value)))
    return tuple(found)


def _texts(value: Any) -> Tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
