"""Reads what `pcs config` prints, and writes the pcs commands that make the same. Text in, text out.

Each command is in the line where pcs prints the resource or the constraint, so that what is said of it names that line.
Source: pcs/cli/resource/output.py and pcs/config.py of pcs 0.9 to 0.11, whose forms differ.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple

_SHOWN = re.compile(r"^\s*Resource: \S+ \(class=\w+", re.MULTILINE)
_RESOURCE = re.compile(r"Resource: (\S+) \(class=(\w+)(?: provider=(\S+?))? type=(\S+?)\)")
_HOLDER = re.compile(r"(Group|Clone|Master): (\S+)")
_PAIR = re.compile(r"([\w.-]+)=")
# An id that pcs has made, in brackets at the end.
_ID = re.compile(r"\s*\((?:id:)?[\w.:-]+\)\s*$")
_OPERATION = re.compile(r"^(?:Operations:\s*)?([a-z_-]+):?\s*(.*)$")
_TOPICS = (
    "Cluster Name",
    "Corosync Nodes",
    "Pacemaker Nodes",
    "Resources",
    "Stonith Devices",
    "Fencing Levels",
    "Location Constraints",
    "Ordering Constraints",
    "Order Constraints",
    "Colocation Constraints",
    "Ticket Constraints",
    "Alerts",
    "Resources Defaults",
    "Operations Defaults",
    "Cluster Properties",
    "Tags",
    "Quorum",
    "Node Attributes",
)
# Cluster properties that a cluster writes by itself.
_STATUS = ("cluster-infrastructure", "cluster-name", "dc-version", "have-watchdog", "last-lrm-refresh")


@dataclass
class _Resource:
    """A resource as it is printed: `sections` have the words of attributes, meta attributes and operations."""

    id: str
    agent: str
    line: int
    group: str = ""
    wrapper: str = ""
    attributes: List[str] = field(default_factory=list)
    meta: List[str] = field(default_factory=list)
    operations: List[List[str]] = field(default_factory=list)


@dataclass
class _Holder:
    """A group or a clone, and its meta attributes."""

    kind: str
    id: str
    indent: int
    line: int
    meta: List[str] = field(default_factory=list)


def is_shown(text: str) -> bool:
    """Whether a text is what `pcs config` prints."""
    return _SHOWN.search(text) is not None


def commands(text: str) -> Tuple[str, List[str]]:
    """pcs commands that make what is printed, each in its line; sentences, also about what is not taken over."""
    reader = _Reader(text.splitlines())
    reader.read()
    return reader.text(), reader.told


class _Reader:
    """Goes through the lines."""

    def __init__(self, lines: List[str]) -> None:
        self._lines = lines
        self._found: Dict[int, str] = {}
        self._resources: List[_Resource] = []
        self._holders: List[_Holder] = []
        self._open: List[_Holder] = []
        self._section = ""
        self.told = ["it is what `pcs config` prints: the lab is given the commands that make the same"]

    def text(self) -> str:
        """The commands."""
        return "\n".join(self._found.get(number, "") for number in range(1, len(self._lines) + 1)) + "\n"

    def _say(self, line: int, command: str) -> None:
        while line in self._found:
            line += 1
        while len(self._lines) < line:
            self._lines.append("")
        self._found[line] = command

    def read(self) -> None:
        """All of it."""
        topic = ""
        constraints: List[Tuple[str, int, str]] = []
        for number, line in enumerate(list(self._lines), 1):
            bare = line.strip()
            if not bare or bare.startswith("```"):
                continue
            named = next((one for one in _TOPICS if re.match(rf"{one}:", line)), None)
            if named is not None:
                topic = named
                if topic == "Cluster Name":
                    continue
                bare = bare.partition(":")[2].strip()
                if not bare:
                    continue
            if topic in ("Resources", "Stonith Devices"):
                self._resource_line(number, line)
            elif topic in ("Corosync Nodes", "Pacemaker Nodes") and topic == "Corosync Nodes":
                self._say(number, f"pcs cluster setup shown {bare}")
            elif topic.endswith((" Constraints", "Levels")):
                constraints.append((topic, number, line))
            elif topic == "Cluster Properties":
                name, _, value = bare.partition(": ") if ": " in bare else bare.partition("=")
                if name not in _STATUS and value and " " not in name:
                    self._say(number, shlex.join(["pcs", "property", "set", f"{name}={value}", "--force"]))
            elif topic in ("Resources Defaults", "Operations Defaults") and re.match(r"[\w-]+[=:]\s*\S", bare):
                self._default(number, topic, bare)
        self._write_resources()
        self._constraints(constraints)

    def _default(self, number: int, topic: str, bare: str) -> None:
        if bare.startswith("Meta Attrs:"):
            return
        name, value = re.split(r"[=:]\s*", bare, maxsplit=1)
        what = ["resource", "defaults"] if topic.startswith("Resources") else ["resource", "op", "defaults"]
        self._say(number, shlex.join(["pcs", *what, "update", f"{name}={value}"]))

    # -- resources ----------------------------------------------------------------------------------------------------

    def _resource_line(self, number: int, line: str) -> None:
        indent = len(line) - len(line.lstrip())
        bare = line.strip()
        holder, resource = _HOLDER.match(bare), _RESOURCE.match(bare)
        if holder is not None or resource is not None:
            self._open = [one for one in self._open if one.indent < indent]
            self._section = ""
        if holder is not None:
            kind = {"Master": "promotable"}.get(holder[1], holder[1].lower())
            found = _Holder(kind, holder[2], indent, number)
            self._holders.append(found)
            self._open.append(found)
            return
        if resource is not None:
            standard, provider, kind = resource[2], resource[3], resource[4]
            agent = ":".join(filter(None, (standard if standard != "stonith" else "", provider, kind)))
            group = next((one.id for one in self._open if one.kind == "group"), "")
            wrapper = next((one.id for one in self._open if one.kind != "group"), "")
            made = _Resource(resource[1], agent, number, group, wrapper)
            self._resources.append(made)
            return
        named = re.match(r"(Attributes|Meta Attrs|Meta Attributes|Operations|Utilization):\s*(.*)$", bare)
        if named is not None:
            self._section = named[1]
            rest = named[2]
        else:
            rest = bare
        self._detail(rest, named is not None)

    def _detail(self, rest: str, begins: bool) -> None:
        resource = self._resources[-1] if self._resources else None
        holder = self._open[-1] if self._open else None
        # Of a holder as long as no resource of it has come.
        of_holder = holder is not None and (resource is None or resource.line < holder.line)
        if self._section == "Operations" and resource is not None:
            self._operation(resource, rest)
            return
        # The name of the set of attributes, which pcs 0.11 prints first.
        words = [] if begins and "=" not in rest else _pairs(rest)
        if self._section.startswith("Meta"):
            (holder.meta if of_holder and holder is not None else resource.meta if resource else []).extend(words)
        elif self._section == "Attributes" and resource is not None and not of_holder:
            resource.attributes.extend(words)

    @staticmethod
    def _operation(resource: _Resource, rest: str) -> None:
        rest = _ID.sub("", rest)
        if not rest:
            return
        if re.match(r"[\w.-]+=", rest):
            if resource.operations:
                resource.operations[-1].extend(_pairs(rest))
            return
        named = _OPERATION.match(rest)
        if named is not None:
            resource.operations.append([named[1], *_pairs(_ID.sub("", named[2]))])

    def _write_resources(self) -> None:
        holders = {one.id: one for one in self._holders}
        for one in self._resources:
            fences = any(one.agent.startswith(sign) for sign in ("fence_", "external/"))
            words = ["pcs", "stonith" if fences else "resource", "create", one.id, one.agent, *one.attributes]
            for operation in one.operations:
                words += ["op", *operation]
            if one.meta:
                words += ["meta", *one.meta]
            if one.group:
                words += ["--group", one.group]
            self._say(one.line, shlex.join([*words, "--force"]))
            group = holders.get(one.group)
            last = max((each.line for each in self._resources if each.group == one.group), default=0)
            if group is not None and group.meta and one.line == last:
                self._say(one.line, shlex.join(["pcs", "resource", "meta", group.id, *group.meta]))
            wrapper = holders.get(one.wrapper)
            if wrapper is not None and (not one.group or one.line == last):
                self._wrap(wrapper, one.group or one.id, one.line)

    def _wrap(self, wrapper: _Holder, of: str, line: int) -> None:
        promotable = wrapper.kind == "promotable" or "promotable=true" in wrapper.meta
        meta = [one for one in wrapper.meta if not one.startswith("promotable=")]
        kind = "promotable" if promotable else "clone"
        self._say(line, shlex.join(["pcs", "resource", kind, of, wrapper.id, *meta]))

    # -- constraints --------------------------------------------------------------------------------------------------

    def _constraints(self, found: List[Tuple[str, int, str]]) -> None:
        of = ""
        for topic, number, bare in _joined(found):
            named = re.match(r"(?:Resource|Target): (\S+)$", bare)
            if named is not None:
                of = named[1]
                continue
            if bare in ("Enabled on:", "Disabled on:") or re.match(r"Constraint: \S+$", bare):
                continue
            words: Optional[List[str]] = None
            if topic == "Location Constraints":
                words = _location(of, bare)
            elif topic in ("Ordering Constraints", "Order Constraints"):
                words = _order(bare)
            elif topic == "Colocation Constraints":
                words = _colocation(bare)
            elif topic == "Fencing Levels":
                level = re.match(r"Level (\d+) - (\S+)$", bare)
                if level is not None:
                    self._say(number, shlex.join(["pcs", "stonith", "level", "add", level[1], of, level[2]]))
                    continue
            if words is not None:
                self._say(number, shlex.join(["pcs", "constraint", *words]))
            else:
                self.told.append(f"line {number}: not taken over: {' '.join(bare.split()[:4])} ...")


def _joined(found: List[Tuple[str, int, str]]) -> List[Tuple[str, int, str]]:
    """Constraints without the blanks before them, those whose options are in the next line in one."""
    joined: List[Tuple[str, int, str]] = []
    for topic, number, line in found:
        bare = line.strip()
        if re.match(r"[a-z][\w-]*=\S", bare) and joined:
            joined[-1] = (joined[-1][0], joined[-1][1], f"{joined[-1][2]} {bare}")
        else:
            joined.append((topic, number, bare))
    return joined


def _location(of: str, bare: str) -> Optional[List[str]]:
    """`Enabled on: NODE (score:S)`, `Node: NODE (score:S)`, `resource 'R' prefers node 'N' with score S`."""
    enabled = re.match(r"(?:(?:Enabled|Disabled) on: )?(?:Node: )?(\S+) \(score:(\S+?)\)", bare)
    if enabled is not None:
        return ["location", of, "prefers", f"{enabled[1]}={enabled[2]}"]
    preferred = re.match(r"resource '(\S+)' (prefers|avoids) node '(\S+)' with score (\S+?)(?:\s|$)", bare)
    if preferred is not None:
        return ["location", preferred[1], preferred[2], f"{preferred[3]}={preferred[4]}"]
    return None


def _pairs(text: str) -> List[str]:
    """NAME=VALUE, of which a value may have blanks in it."""
    places = [found.start() for found in _PAIR.finditer(text) if found.start() == 0 or text[found.start() - 1] == " "]
    return [
        re.sub(r'^([\w.-]+)="(.*)"$', r"\1=\2", text[start:end].strip())
        for start, end in zip(places, [*places[1:], len(text)])
    ]


def _order(bare: str) -> Optional[List[str]]:
    """`start A then stop B (kind:Optional) (non-symmetrical) (id:...)`."""
    named = re.match(r"(?:(\w+) )?(?:resource )?'?([\w.-]+)'? then (?:(\w+) )?(?:resource )?'?([\w.-]+)'?", bare)
    if named is None:
        return None
    words = ["order", *filter(None, (named[1], named[2], "then", named[3], named[4]))]
    kind = re.search(r"kind[:=](\w+)", bare)
    if kind is not None:
        words.append(f"kind={kind[1]}")
    score = re.search(r"score[:=](\S+?)[)\s]", bare)
    if score is not None:
        words.append(f"score={score[1]}")
    if "non-symmetrical" in bare or "symmetrical=0" in bare or "symmetrical=false" in bare:
        words.append("symmetrical=false")
    return words


def _colocation(bare: str) -> Optional[List[str]]:
    """`A with B (score:S) (rsc-role:Started) (with-rsc-role:Master)`, or `Promoted resource 'A' with ...`."""
    named = re.match(
        r"(?:(Started|Promoted|Unpromoted|Master|Slave) )?(?:resource )?'?([\w.-]+)'? with"
        r" (?:(Started|Promoted|Unpromoted|Master|Slave) )?(?:resource )?'?([\w.-]+)'?",
        bare,
    )
    if named is None:
        return None
    score = re.search(r"score[:=](\S+?)(?:[)\s]|$)", bare)
    found = {what: re.search(rf"\({what}:(\w+)\)", bare) for what in ("rsc-role", "with-rsc-role")}
    of, other = (named[1], named[3])
    if found["rsc-role"] is not None:
        of = found["rsc-role"][1]
    if found["with-rsc-role"] is not None:
        other = found["with-rsc-role"][1]
    words = ["colocation", "add", *filter(None, (of, named[2], "with", other, named[4]))]
    return [*words, score[1]] if score is not None else words
