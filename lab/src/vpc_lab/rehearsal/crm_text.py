"""Reads what `crm configure load` takes: as far as a lab has to know it. crm itself reads all of it, later.

Grammar: crmsh(8), "cib, configure"; a backslash at the end of a line continues it, `#` begins a comment line.
"""

from __future__ import annotations

import re
import shlex
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from vpc_lab.errors import LabError
from vpc_lab.rehearsal.model import Colocation, Configuration, Operation, Primitive, Wrapper
from vpc_lab.rehearsal.words import MACHINE_S, Statement, pair, role, standard_name

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
# Those of which each has an id that nothing else has.
_NAMED = frozenset(
    ("primitive", "rsc_template", "group", "clone", "ms", "master", "colocation", "collocation", "location", "order")
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


# crm's own prompt, a shell's, and root's where nothing is without it.
_PROMPT = re.compile(r"^\s*(?:crm\([^)]*\)\S*[#>]\s*|\[[^\]\n]*\][#$]\s*|[\w.@-]+:(?:\S*\s*[#>$]|~)\s+)")
_AT_ROOT_S_PROMPT = re.compile(r"^\s*#\s*(?=(?:sudo\s+)?crm\s)")
_CRM = re.compile(r"(?:sudo\s+(?:-\S+\s+)*)?(?:\S*/)?crm\s+(?:-\S+\s+)*(.*)", re.DOTALL)
_CONFIGURE = ("configure", "config", "conf", "cfg")
# Commands of `crm configure` that change no configuration by themselves, or not the one that a lab has.
_NOT_LOADED = frozenset(
    (
        *("load", "show", "edit", "verify", "erase", "delete", "save", "commit", "refresh", "ptest", "simulate"),
        *("validate-all", "help", "filter", "graph", "schema", "upgrade", "template", "rename", "modgroup"),
    )
)
_NAVIGATION = frozenset(("commit", "exit", "quit", "bye", "end", "up", "back", "verify", "show", "edit", "configure"))


def cleaned(text: str) -> Tuple[str, Tuple[Tuple[int, str], ...]]:
    """The text as `crm configure load` takes it, each line in its place; and the lines that are no configuration.

    Commands of a shell, `crm configure ...`, lose these words; prompts go; `crm maintenance off` is the property.
    """
    lines = text.splitlines()
    as_root = not any(_CRM.match(line.lstrip()) or _begins(line) for line in lines)
    skipped: List[Tuple[int, str]] = []
    continuing = dropping = False
    for place, line in enumerate(lines):
        if not continuing:
            plain = _PROMPT.sub("", line)
            if as_root:
                plain = _AT_ROOT_S_PROMPT.sub("", plain)
            kept = _configuration_in(plain)
            dropping = kept is None
            if dropping:
                skipped.append((place + 1, plain.strip()))
            lines[place] = kept or ""
        elif dropping:
            lines[place] = ""
        if continuing or not line.lstrip().startswith("#") or as_root:
            continuing = line.rstrip().endswith("\\")
    return _with_one_set_each("\n".join(lines) + "\n"), tuple(skipped)


# Sets of options that there is one of: what each is called where the statement does not say.
_SETS = {"property": "cib-bootstrap-options", "rsc_defaults": "rsc-options", "op_defaults": "op-options"}


def _with_one_set_each(text: str) -> str:
    """What several commands set, one after the other, in one statement: crm refuses a second one within a load."""
    lines = text.splitlines()
    found: Dict[str, List[Statement]] = {}
    for one in statements(text):
        if one.words[0] in _SETS and _set_of(one) == _SETS[one.words[0]]:
            found.setdefault(one.words[0], []).append(one)
    for word, every in found.items():
        if len(every) < 2:
            continue
        values: Dict[str, str] = {}
        for one in every:
            values.update(
                item for item in map(pair, one.words[1:]) if item is not None and item[0] not in ("$id", "id")
            )
            place = one.line - 1
            while lines[place].rstrip().endswith("\\"):
                lines[place] = ""
                place += 1
            lines[place] = ""
        pairs = " ".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
        lines[every[0].line - 1] = f"{word} {pairs}"
    return "\n".join(lines) + "\n"


def _set_of(one: Statement) -> str:
    """The id of the set that a statement is about."""
    for word in one.words[1:]:
        known = pair(word)
        if known is not None and known[0] in ("$id", "id"):
            return _SETS[one.words[0]]
        if word.endswith(":"):
            return word[:-1]
    return _SETS[one.words[0]]


def for_load(text: str) -> str:
    """The text as `crm configure load` takes it."""
    return cleaned(text)[0]


def _begins(line: str) -> bool:
    word = line.split(None, 1)[0] if line.split() else ""
    return word in _READ or word in _LEFT_TO_CRM


def _configuration_in(line: str) -> Optional[str]:
    """The statement of a line; None where it has none."""
    bare = line.strip()
    if not bare or bare.startswith("#"):
        # crm makes an XML comment of a comment, and fails on two hyphens in it.
        return ""
    words = bare.split(None, 1)
    typed = _CRM.match(bare)
    if typed is not None:
        words = typed[1].split(None, 1)
        if words and words[0] == "maintenance" and words[-1] in ("on", "off"):
            return f"property maintenance-mode={'true' if words[1] == 'on' else 'false'}"
        if len(words) < 2 or words[0] not in _CONFIGURE:
            return None
    elif words[0].rpartition("/")[2] in MACHINE_S or (words[0] in _NAVIGATION and len(words) == 1):
        return None
    elif words[0] not in _CONFIGURE or len(words) < 2:
        return line
    return None if words[1].split()[0] in _NOT_LOADED else words[1]


def read(text: str) -> Configuration:
    """What the file says. LabError names the line of what is no configuration of crm's."""
    nodes: Dict[str, Optional[int]] = {}
    # Nodes that only a constraint names.
    named: Dict[str, Optional[int]] = {}
    avoided: List[str] = []
    seen: Dict[str, int] = {}
    templates: Dict[str, Primitive] = {}
    primitives: List[Primitive] = []
    groups: Dict[str, Tuple[str, ...]] = {}
    wrappers: List[Wrapper] = []
    colocations: List[Colocation] = []
    properties: Dict[str, str] = {}
    before: Optional[Statement] = None
    text, skipped = cleaned(text)
    for one in statements(text):
        word, rest = one.words[0], list(one.words[1:])
        if word not in _READ and word not in _LEFT_TO_CRM:
            raise LabError(_unknown(one, before))
        before = one
        if word in _NAMED and rest:
            first = seen.setdefault(rest[0], one.line)
            if first != one.line:
                raise LabError(
                    f"line {one.line}: '{rest[0]}' is there twice, first in line {first}: crm would refuse the second;"
                    " where a page shows alternatives, leave one"
                )
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
            if len(rest) >= 4 and rest[-2].startswith("-"):
                avoided.append(rest[-1])
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
        skipped,
        tuple(avoided),
    )


def _unknown(one: Statement, before: Optional[Statement]) -> str:
    found = f"line {one.line}: '{one.words[0][:60]}' is no command of crm configure"
    if ("=" in one.words[0] or one.words[0] in _SECTIONS) and before is not None:
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
