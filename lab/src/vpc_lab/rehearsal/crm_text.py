"""Reads what `crm configure load` takes: as far as a lab has to know it. crm itself reads all of it, later.

Grammar: crmsh(8), "cib, configure"; a backslash at the end of a line continues it, `#` begins a comment line.
"""

from __future__ import annotations

import re
import shlex
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from vpc_lab.errors import LabError
from vpc_lab.rehearsal.model import Colocation, Configuration, Operation, Primitive, Wrapper
from vpc_lab.rehearsal.words import Statement, pair, role, standard_name

# The commands of `crm configure` that describe a configuration, and that are read here or only by crm.
_READ = frozenset(
    (
        *("node", "primitive", "rsc_template", "group", "clone", "ms", "master", "colocation", "collocation"),
        *("property", "location"),
    )
)
_LEFT_TO_CRM = frozenset(
    (
        *("order", "rsc_defaults", "op_defaults", "monitor", "rsc_ticket", "tag"),
        *("fencing_topology", "fencing-topology", "role", "user", "acl_target", "acl_group", "xml", "bundle", "alert"),
    )
)
_SECTIONS = frozenset(("params", "meta", "op", "operations", "utilization", "attributes", "op_params", "op_meta"))


def statements(text: str) -> List[Statement]:
    """The statements of a file, each with the number of its first line."""
    found: List[Statement] = []
    lines: List[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not lines and (not line.strip() or line.lstrip().startswith("#")):
            continue
        if lines and line.lstrip().startswith("#"):
            continue
        first = first if lines else number
        stripped = line.rstrip()
        lines.append(stripped[:-1] if stripped.endswith("\\") else stripped)
        if not stripped.endswith("\\"):
            found.append(_statement(first, " ".join(lines)))
            lines = []
    if lines:
        found.append(_statement(first, " ".join(lines)))
    return [one for one in found if one.words]


def _statement(line: int, text: str) -> Statement:
    if re.match(r"\s*xml\s*<", text):
        return Statement(line, ("xml", text))
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise LabError(
            f"line {line}: a quotation mark is missing ({str(error).lower()}): {text.strip()[:60]}"
        ) from None
    return Statement(line, words)


def for_load(text: str) -> str:
    """The text as `crm configure load` takes it: commands of a shell, `crm configure ...`, without these words."""
    return re.sub(r"^(\s*)(?:sudo\s+)?(?:crm\s+(?:-F\s+)?)?configure\s+(?=[a-z])", r"\1", text, flags=re.MULTILINE)


def read(text: str) -> Configuration:
    """What the file says. LabError names the line of what is no configuration of crm's."""
    nodes: Dict[str, Optional[int]] = {}
    # Nodes that only a constraint names.
    named: Dict[str, Optional[int]] = {}
    templates: Dict[str, Primitive] = {}
    primitives: List[Primitive] = []
    groups: Dict[str, Tuple[str, ...]] = {}
    wrappers: List[Wrapper] = []
    colocations: List[Colocation] = []
    properties: Dict[str, str] = {}
    before: Optional[Statement] = None
    for one in statements(for_load(text)):
        word, rest = one.words[0], list(one.words[1:])
        if word not in _READ and word not in _LEFT_TO_CRM:
            raise LabError(_unknown(one, before))
        before = one
        if word == "node":
            name, number = _node(one.line, rest)
            nodes[name] = number
        elif word == "rsc_template":
            template = _primitive(one.line, rest)
            templates[template.id] = template
        elif word == "primitive":
            primitives.append(_made_of(_primitive(one.line, rest), templates))
        elif word == "location":
            named.update(dict.fromkeys(_located(rest)))
        elif word == "group" and rest:
            groups[rest[0]] = tuple(_until_section(rest[1:]))
        elif word in ("clone", "ms", "master") and len(rest) > 1:
            meta = dict(filter(None, map(pair, rest[2:])))
            promotable = word != "clone" or meta.get("promotable", "").lower() in ("true", "yes", "1")
            wrappers.append(Wrapper(rest[0], rest[1], promotable, meta))
        elif word in ("colocation", "collocation"):
            colocations += _colocation(rest)
        elif word == "property":
            properties.update(filter(None, map(pair, rest)))
    return Configuration(
        "crm",
        tuple((nodes or named).items()),
        tuple(primitives),
        groups,
        tuple(wrappers),
        tuple(colocations),
        properties,
    )


def _unknown(one: Statement, before: Optional[Statement]) -> str:
    found = f"line {one.line}: '{one.words[0][:60]}' is no command of crm configure"
    if "=" in one.words[0] and before is not None:
        found += f"; does line {one.line - 1} lack its backslash at the end? (--mend puts it there)"
    return found


def _node(line: int, words: Sequence[str]) -> Tuple[str, Optional[int]]:
    """`node [$id=ID] NAME`, or `node ID: NAME`."""
    number: Optional[int] = None
    for word in words:
        known = pair(word)
        if known is not None and known[0] in ("$id", "id"):
            number = int(known[1]) if known[1].isdigit() else None
        elif word.endswith(":") and word[:-1].isdigit():
            number = int(word[:-1])
        elif known is None:
            return word.partition(":")[0], number
    raise LabError(f"line {line}: a node has a name: node NAME, or node ID: NAME")


def _located(words: Sequence[str]) -> List[str]:
    """The nodes of `location ID RSC SCORE: NODE`, and of rules that compare #uname."""
    found = [words[-1]] if len(words) >= 4 and words[-2].endswith(":") else []
    found += [value for name, test, value in zip(words, words[1:], words[2:]) if (name, test) == ("#uname", "eq")]
    return found


def _made_of(one: Primitive, templates: Mapping[str, Primitive]) -> Primitive:
    """A primitive with what its template (`@NAME` in the place of the agent) gives it."""
    name = one.agent.rpartition(":")[2]
    template = templates.get(name[1:]) if name.startswith("@") else None
    if template is None:
        return one
    return Primitive(
        one.id,
        template.agent,
        {**template.parameters, **one.parameters},
        (*template.operations, *one.operations),
        {**template.meta, **one.meta},
        one.line,
    )


def _until_section(words: Sequence[str]) -> List[str]:
    found: List[str] = []
    for word in words:
        if word in _SECTIONS or pair(word) is not None:
            break
        found.append(word)
    return found


def _primitive(line: int, words: Sequence[str]) -> Primitive:
    """`primitive ID AGENT [params ...] [meta ...] [op NAME ...]...`; parameters may come without `params`."""
    words = [word for word in words if not word.startswith("$id=")]
    if len(words) < 2:
        raise LabError(f"line {line}: a primitive has an id and an agent: primitive ID [CLASS:[PROVIDER:]]TYPE")
    parameters: Dict[str, str] = {}
    meta: Dict[str, str] = {}
    operations: List[Operation] = []
    section = "params"
    about: Dict[str, str] = {}
    pending = False
    for word in words[2:]:
        if word in _SECTIONS:
            section, pending = word, word == "op"
            continue
        if pending:
            about = {}
            operations.append(Operation(word, about))
            pending = False
            continue
        known = pair(word)
        if known is None or known[0] in ("$id", "$id-ref"):
            continue
        if section == "params":
            parameters[known[0]] = known[1]
        elif section == "meta":
            meta[known[0]] = known[1]
        elif section == "op":
            about[known[0]] = known[1]
    return Primitive(words[0], standard_name(words[1]), parameters, tuple(operations), meta, line)


def _colocation(words: Sequence[str]) -> List[Colocation]:
    """`colocation ID SCORE: RSC[:ROLE] WITH[:ROLE] ...`; sets in brackets are left to crm."""
    named = [word for word in words[1:] if pair(word) is None]
    score = "INFINITY"
    if named and named[0].endswith(":"):
        score = named.pop(0)[:-1]
    if len(named) != 2 or any(set(one) & set("()[]") for one in named):
        return []
    (what, _, _), (with_what, _, with_role) = (one.partition(":") for one in named)
    return [Colocation(what, with_what, role(with_role), {"inf": "INFINITY"}.get(score, score))]
