"""Sets of attributes in the cluster's configuration, and which of several values is in force.

Pacemaker takes the value of the set with the highest score; of equal scores that of the set that stands last, so that
a primitive's own set comes before its template's. Within one set the first value counts. Seen with `crm_resource
--get-parameter` of Pacemaker 2.1.5; "Pacemaker Explained", chapter "Rules", says when a set with a rule counts.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from aws_ipfailover.errors import UnknownError
from aws_ipfailover.ocf.durations import score_of

# What in a set makes its values depend on time, node or operation.
_RULE = "rule"
# A value of a meta attribute that means: as if it were not there.
_AS_DEFAULT = "#default"


class AttributeSet(NamedTuple):
    """One set; `has_rule`: it counts only where and when its rule says so. `values`: by the attributes' names."""

    set_id: str
    score: int
    has_rule: bool
    values: Mapping[str, str]


class Attributes(NamedTuple):
    """Sets of attributes in the order in which they count: the first one that has a name gives its value."""

    sets: Tuple[AttributeSet, ...] = ()

    def get(self, name: str) -> Optional[str]:
        """The value in force; `None` if no set has the name.

        Raises:
            UnknownError: a set with a rule would give it, and what the rule says is not known here.
        """
        for one in self.sets:
            if name not in one.values:
                continue
            if one.has_rule:
                raise UnknownError(f"{name} depends on a rule of {one.set_id}, which only Pacemaker evaluates")
            return one.values[name]
        return None

    @property
    def plain(self) -> Dict[str, str]:
        """The values that sets without rules give; those of sets with rules, which may outrank them, are left out."""
        found: Dict[str, str] = {}
        for one in self.sets:
            if not one.has_rule:
                found = {**one.values, **found}
        return found

    @property
    def conditional(self) -> Tuple[AttributeSet, ...]:
        """The sets with rules."""
        return tuple(one for one in self.sets if one.has_rule)

    def or_else(self, *others: Attributes) -> Attributes:
        """These, and for names that these do not have those of `others`, in their order."""
        return Attributes((*self.sets, *(one for other in others for one in other.sets)))


NONE = Attributes()


class References:
    """Elements of a configuration by their ids, for what refers to another set with `id-ref`."""

    def __init__(self, root: ET.Element) -> None:
        self._root = root
        self._by_id: Optional[Dict[str, ET.Element]] = None

    def resolved(self, element: ET.Element) -> ET.Element:
        """What an element with `id-ref` refers to; the element itself if it has none, or there is nothing."""
        reference = element.get("id-ref")
        if not reference:
            return element
        if self._by_id is None:
            self._by_id = {one.get("id", ""): one for one in self._root.iter() if one.get("id")}
        return self._by_id.get(reference, element)


def attributes_in(parents: Iterable[ET.Element], tag: str, references: References, first: str = "") -> Attributes:
    """The sets `tag`, such as `meta_attributes`, below each of `parents`; later ones outrank earlier ones.

    `first`: the id of a set that comes before all others, whatever their scores.
    """
    found: List[AttributeSet] = []
    for parent in parents:
        for child in parent.findall(tag):
            one = references.resolved(child)
            found.append(
                AttributeSet(
                    one.get("id", ""),
                    score_of(one.get("score", "0")),
                    one.find(_RULE) is not None,
                    _values(one, references),
                )
            )
    found.reverse()
    return Attributes(tuple(sorted(found, key=lambda one: (one.set_id != first or not first, -one.score))))


def _values(one: ET.Element, references: References) -> Dict[str, str]:
    found: Dict[str, str] = {}
    for pair in one.findall("nvpair"):
        target = references.resolved(pair)
        # A reference can give the value another name.
        name, value = pair.get("name") or target.get("name", ""), target.get("value")
        if name and value is not None and value != _AS_DEFAULT:
            found.setdefault(name, value)
    return found
