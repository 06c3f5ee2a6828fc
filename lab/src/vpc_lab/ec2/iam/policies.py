"""IAM policies: statements that allow or deny, on resources, by their tags and by what a request is about.

Source: "IAM JSON policy elements reference" and "Policy evaluation logic", IAM user guide: an explicit deny wins over
every allow, and what no statement allows is denied.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, List, Literal, Mapping, Tuple

Decision = Literal["allowed", "explicit deny", "implicit deny"]
Effect = Literal["Allow", "Deny"]
# What conditions are compared with: a request's context, by keys in lower case, those of tags as `of_tags` has them.
Context = Mapping[str, str]
EMPTY: Context = {}
OPERATORS = ("StringEquals", "StringNotEquals", "StringLike", "StringNotLike")
ARN_OPERATORS = ("ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike")  # Equals is Like: both know wildcards
TAG_KEYS = ("aws:ResourceTag/", "ec2:ResourceTag/")
ATTRIBUTE_KEY = "ec2:Attribute/"
VPC_KEY = "ec2:Vpc"
KNOWN = (
    f"{', '.join(OPERATORS)} on {' and '.join(TAG_KEYS)}KEY, on {ATTRIBUTE_KEY}NAME and on {VPC_KEY}, "
    f"and {', '.join(ARN_OPERATORS)} on {VPC_KEY}"
)


def of_tags(tags: Mapping[str, str]) -> Context:
    """The context of a resource's tags. Keys of tags compare without case."""
    return {_key(TAG_KEYS[0] + key): value for key, value in tags.items()}


def _key(key: str) -> str:
    """A condition key as a context has it: either name of a tag's key is the same."""
    lower = key.lower()
    for prefix in TAG_KEYS:
        if lower.startswith(prefix.lower()):
            return TAG_KEYS[0].lower() + lower[len(prefix) :]
    return lower


def matches(text: str, pattern: str) -> bool:
    """Whether `pattern` covers `text`; `*` and `?` are the only wildcards, as in IAM."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))


@dataclass(frozen=True)
class Condition:
    """A condition: an operator of OPERATORS or ARN_OPERATORS, the key in lower case, and the values for it."""

    operator: str
    key: str
    values: Tuple[str, ...]

    def holds(self, context: Context) -> bool:
        """Whether a request with this context fulfils it. Keys compare without case, values with it.

        A key that is missing equals nothing and is like nothing: only the negated operators hold.
        """
        found = context.get(self.key)
        negated = "Not" in self.operator
        if found is None:
            return negated
        if self.operator.endswith("Like") or self.operator in ARN_OPERATORS:
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

    def applies(self, action: str, resource: str, context: Context = EMPTY) -> bool:
        """Whether it is about `action` on `resource`; actions compare without case, as IAM's do."""
        return (
            any(matches(action.lower(), pattern.lower()) for pattern in self.actions)
            and any(matches(resource, pattern) for pattern in self.resources)
            and all(condition.holds(context) for condition in self.conditions)
        )


@dataclass(frozen=True)
class Policy:
    """A policy: of a role, or a service control policy of the account."""

    statements: Tuple[Statement, ...]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Policy:
        """From an IAM policy document, as an administrator would attach it.

        Known are Effect, Action, Resource, and Condition with what KNOWN says; ValueError for anything else: a policy
        is never half understood.
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

    def decide(self, action: str, resource: str, context: Context = EMPTY) -> Decision:
        """What it says of an action on a resource, in this context."""
        effects = {one.effect for one in self.statements if one.applies(action, resource, context)}
        if "Deny" in effects:
            return "explicit deny"
        return "allowed" if effects else "implicit deny"


def _conditions(block: Mapping[str, Mapping[str, Any]]) -> Tuple[Condition, ...]:
    found: List[Condition] = []
    for operator, tests in block.items():
        for key, value in tests.items():
            of_text = key.lower().startswith(tuple(one.lower() for one in (*TAG_KEYS, ATTRIBUTE_KEY)))
            of_arn = key.lower() == VPC_KEY.lower()
            if not ((operator in OPERATORS and (of_text or of_arn)) or (operator in ARN_OPERATORS and of_arn)):
                raise ValueError(f"the lab's IAM knows a Condition with {KNOWN}, not {operator} on {key}")
            found.append(Condition(operator, _key(key), _texts(value)))
    return tuple(found)


def _texts(value: Any) -> Tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
