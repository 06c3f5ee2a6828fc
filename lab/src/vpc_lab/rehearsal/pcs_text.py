"""Reads a file of pcs commands: as far as a lab has to know them. pcs itself runs them, later.

Grammar: pcs(8). As people keep such commands: with prompts and `sudo` in front, and between others that set machines
up, which a lab does by itself.
"""

from __future__ import annotations

import re
import shlex
from typing import Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

from vpc_lab.errors import LabError
from vpc_lab.rehearsal.model import Colocation, Configuration, Operation, Primitive, Wrapper
from vpc_lab.rehearsal.words import MACHINE_S, Statement, pair, role, standard_name

_PROMPT = re.compile(r"^\s*(?:\[[^\]]*\][#$]|\S*@\S*[#$]|[$])\s+")
_PLAIN = re.compile(r"\s*(?:sudo\s+)?(?:\S*/)?pcs\s")
_PCS_AT_A_PROMPT = re.compile(r"^\s*#\s*(?=(?:sudo\s+)?pcs\s)")
# Commands of pcs that make the cluster itself or only show something; None: whatever follows.
_NOT_RUN: Mapping[str, Optional[FrozenSet[str]]] = {
    "host": None,
    "status": None,
    "config": None,
    "quorum": None,
    "qdevice": None,
    "pcsd": None,
    "booth": None,
    "client": None,
    "dr": None,
    "node": frozenset(("standby", "unstandby", "maintenance", "unmaintenance")),
    "cluster": frozenset(
        (
            *("setup", "auth", "start", "stop", "enable", "disable", "destroy", "status", "verify", "sync", "kill"),
            *("config", "node", "pcsd-status", "reload", "authkey", "link", "corosync", "report"),
        )
    ),
    # What moves or looks again is what a scenario does.
    "resource": frozenset(
        (
            *("config", "show", "status", "describe", "list", "agents", "standards", "providers", "move", "clear"),
            *("ban", "cleanup", "refresh", "relocate", "failcount", "restart", "relations", "move-with-constraint"),
            *("debug-start", "debug-stop", "debug-monitor", "debug-promote", "debug-demote", "get-agent-metadata"),
        )
    ),
    "stonith": frozenset(
        ("config", "show", "status", "describe", "list", "history", "fence", "confirm", "cleanup", "refresh", "sbd")
    ),
    "constraint": frozenset(("config", "list", "show", "--full")),
    "property": frozenset(("config", "list", "show", "describe", "defaults")),
}
_OPTIONS_WITH_VALUE = frozenset(("-f", "-u", "-p", "--group", "--before", "--after", "--name", "--wait", "--token"))
_SECTIONS = ("op", "meta", "clone", "promotable", "master", "bundle", "group", "before", "after")


def commands(text: str) -> Tuple[List[Statement], List[Tuple[int, str]]]:
    """The pcs commands of a file that are run, and the lines that are not. LabError for a line of another kind."""
    run: List[Statement] = []
    skipped: List[Tuple[int, str]] = []
    for number, line in _logical_lines(text):
        if not line.strip() or line.lstrip().startswith(("#", "//")):
            continue
        try:
            every = shlex.split(line, comments=True)
        except ValueError as error:
            raise LabError(
                f"line {number}: a quotation mark is missing ({str(error).lower()}): {line.strip()[:60]}"
            ) from None
        for words in _chained(every):
            if words[0] != "pcs":
                if words[0].rpartition("/")[2] in MACHINE_S:
                    skipped.append((number, " ".join(words)))
                    continue
                raise LabError(_unknown(number, words[0]))
            if not _is_run(words[1:]):
                skipped.append((number, shlex.join(words)))
                continue
            run.append(Statement(number, tuple(words)))
    return run, skipped


def _unknown(number: int, word: str) -> str:
    found = f"line {number}: '{word[:60]}' is no pcs command, nor one that a lab does without"
    if word in ("op", "params", "meta") or "=" in word or word.startswith("--"):
        found += f"; does line {number - 1} lack its backslash at the end? (--mend puts it there)"
    return found


def _chained(words: Sequence[str]) -> List[List[str]]:
    """The commands of a line: between `;` and `&&`, of a pipe the first; without `sudo` and what is redirected.

    What is run only where another one fails (`||`) is left out.
    """
    found: List[List[str]] = [[]]
    pipe = redirected = False
    for word, following in zip(words, (*words[1:], "pcs")):
        ends = word.endswith(";") and ("=" not in word or following in ("pcs", "sudo"))
        if word in (";", "&&", "||", "&", "|"):
            found.append([])
            pipe = word in ("|", "||")
        elif redirected:
            redirected = False
        elif re.fullmatch(r"[0-9&]?>{1,2}|<", word):
            redirected = True
        elif not pipe and not re.match(r"[0-9&]?>{1,2}\S", word):
            found[-1].append(word[:-1] if ends else word)
            if ends:
                found.append([])
    named: List[List[str]] = []
    for one in found:
        command = one[1:] if one[:1] == ["sudo"] else one
        while one[:1] == ["sudo"] and command[:1] and command[0].startswith("-"):
            command = command[1:]
        if command and command[0].endswith("/pcs"):
            command = ["pcs", *command[1:]]
        if command:
            named.append(command)
    return named


def _logical_lines(text: str) -> List[Tuple[int, str]]:
    """The lines without prompts, continued ones joined, each with the number of its first line."""
    typed = text.splitlines()
    lines = [_PROMPT.sub("", line) for line in typed]
    # Where no command is without a prompt, that of root is no comment.
    if not any(_PLAIN.match(line) for line in typed):
        lines = [_PCS_AT_A_PROMPT.sub("", line) for line in lines]
    found: List[Tuple[int, str]] = []
    joined = ""
    first = 0
    for number, line in enumerate(lines, 1):
        first = first if joined else number
        stripped = line.rstrip()
        if stripped.endswith("\\") and not stripped.lstrip().startswith("#"):
            joined += stripped[:-1] + " "
            continue
        found.append((first, joined + stripped))
        joined = ""
    if joined:
        found.append((first, joined))
    return found


def _is_run(words: Sequence[str]) -> bool:
    named = bare(words)
    if not named or named[0] not in _NOT_RUN:
        return bool(named)
    verbs = _NOT_RUN[named[0]]
    if verbs is None:
        return False
    # A command with nothing after it only shows something.
    return len(named) > 1 and named[1] not in verbs and "--full" not in words


def bare(words: Sequence[str]) -> List[str]:
    """Words of a command without its options and their values."""
    found: List[str] = []
    after = ""
    for word in words:
        if after:
            after = ""
        elif word in _OPTIONS_WITH_VALUE and word != "--wait":
            after = word
        elif not word.startswith("--") and word != "-f" and not re.fullmatch(r"-(?!inf\b)[a-z]{2,}", word):
            found.append(word)
    return found


def _option(words: Sequence[str], name: str) -> str:
    for word, following in zip(words, (*words[1:], "")):
        if word == name:
            return following
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return ""


def read(text: str) -> Configuration:
    """What the commands say. LabError names the line of what pcs could not mean."""
    run, skipped = commands(text)
    reader = _Reader()
    for _, command in skipped:
        words = shlex.split(command) if command.startswith("pcs ") else []
        if words[:1] == ["pcs"]:
            reader.setup(bare(words[1:]), words)
    for one in run:
        reader.feed(one)
    return reader.configuration(tuple(skipped))


class _Reader:
    """Gathers what one command after another says."""

    def __init__(self) -> None:
        self.nodes: Dict[str, Optional[int]] = {}
        # Nodes that only a constraint names.
        self.located: Dict[str, Optional[int]] = {}
        self.avoided: List[str] = []
        # Nodes that are only made known to each other.
        self.known: Dict[str, Optional[int]] = {}
        self.primitives: Dict[str, Primitive] = {}
        self.groups: Dict[str, Tuple[str, ...]] = {}
        self.wrappers: List[Wrapper] = []
        self.colocations: List[Colocation] = []
        self.properties: Dict[str, str] = {}

    def configuration(self, skipped: Tuple[Tuple[int, str], ...]) -> Configuration:
        """All of it."""
        return Configuration(
            "pcs",
            tuple((self.nodes or self.known or self.located).items()),
            tuple(self.primitives.values()),
            self.groups,
            tuple(self.wrappers),
            tuple(self.colocations),
            self.properties,
            skipped,
            tuple(self.avoided),
        )

    def setup(self, named: Sequence[str], words: Sequence[str]) -> None:
        """What a command that makes the cluster says of its nodes."""
        if named[:2] == ["cluster", "setup"]:
            # Before pcs 0.10 the cluster's name was an option.
            self._nodes(self.nodes, named[2:] if _option(words, "--name") else named[3:])
        elif named[:2] in (["host", "auth"], ["cluster", "auth"]):
            self._nodes(self.known, named[2:])

    @staticmethod
    def _nodes(known: Dict[str, Optional[int]], names: Sequence[str]) -> None:
        for name in names:
            if name in ("transport", "totem", "quorum"):
                break
            if pair(name) is None:
                known.setdefault(name, None)

    def feed(self, one: Statement) -> None:
        """One command."""
        words = list(one.words[1:])
        named = bare(words)
        if named[:2] in (["resource", "create"], ["stonith", "create"]):
            self._create(one.line, named[0] == "stonith", named[2:], words)
        elif named[:3] == ["resource", "group", "add"] and len(named) > 4:
            members = self.groups.get(named[3], ())
            self.groups[named[3]] = (*members, *(name for name in named[4:] if name not in members))
        elif named[:1] == ["resource"] and named[1:2] and named[1] in ("clone", "promotable", "master"):
            self._wrap(named[1], named[2:])
        elif named[:2] in (["resource", "delete"], ["resource", "remove"], ["stonith", "delete"]) and named[2:3]:
            self.primitives.pop(named[2], None)
        elif named[:3] == ["resource", "group", "meta"]:
            raise LabError(
                f"line {one.line}: pcs has no 'resource group meta': 'resource meta GROUP' is meant (--mend writes it)"
            )
        elif named[:3] == ["constraint", "colocation", "add"]:
            self._colocate(named[3:])
        elif named[:2] == ["constraint", "location"] and named[3:4] and named[3] in ("prefers", "avoids"):
            for name in named[4:]:
                self.located.setdefault(name.partition("=")[0], None)
                if named[3] == "avoids":
                    self.avoided.append(name.partition("=")[0])
        elif named[:2] == ["constraint", "location"]:
            for name, test, value in zip(named, named[1:], named[2:]):
                if (name, test) == ("#uname", "eq"):
                    self.located.setdefault(value, None)
        elif named[:2] == ["property", "set"]:
            self.properties.update(filter(None, map(pair, named[2:])))
        elif named[:2] in (["resource", "update"], ["stonith", "update"]) and named[2:3]:
            self._update(named[2], named[3:])

    def _create(self, line: int, fencing: bool, named: List[str], words: Sequence[str]) -> None:
        if len(named) < 2:
            what = "stonith" if fencing else "resource"
            raise LabError(f"line {line}: pcs {what} create takes an id and an agent")
        resource_id, agent = named[:2]
        if resource_id in self.primitives:
            raise LabError(
                f"line {line}: '{resource_id}' is there twice, first in line {self.primitives[resource_id].line}:"
                " pcs would refuse the second; where a page shows alternatives, leave one"
            )
        parameters: Dict[str, str] = {}
        meta: Dict[str, str] = {}
        operations: List[Operation] = []
        section, about, pending = "params", meta, ""
        wrapper: Optional[Tuple[str, str, Dict[str, str]]] = None
        for word in named[2:]:
            known = pair(word)
            if known is None and word in _SECTIONS:
                if word in ("clone", "promotable", "master"):
                    wrapper = (word, "", {})
                # `meta` after a clone is the clone's.
                section = f"{word} of clone" if word == "meta" and wrapper else word
                pending = word if word in ("group", "bundle", "before", "after") else ""
                continue
            if known is None:
                if section == "op":
                    about = {}
                    operations.append(Operation(word, about))
                elif pending == "group":
                    self.groups[word] = (*self.groups.get(word, ()), resource_id)
                elif wrapper is not None:
                    wrapper = (wrapper[0], word, wrapper[2])
                continue
            if section == "params":
                parameters[known[0]] = known[1]
            elif section == "op":
                about[known[0]] = known[1]
            elif wrapper is not None:
                wrapper[2][known[0]] = known[1]
            elif section == "meta":
                meta[known[0]] = known[1]
        name = f"stonith:{agent}" if fencing and not agent.startswith("stonith:") else standard_name(agent)
        self.primitives[resource_id] = Primitive(resource_id, name, parameters, tuple(operations), meta, line)
        group = _option(words, "--group")
        if group:
            self.groups[group] = (*self.groups.get(group, ()), resource_id)
        for old in ("clone", "master"):
            if f"--{old}" in words:
                wrapper = (old, "", {})
        if wrapper is not None:
            self._add_wrapper(wrapper[0], resource_id, wrapper[1], wrapper[2])

    def _wrap(self, kind: str, named: List[str]) -> None:
        words = [word for word in named if word != "meta"]
        ids = [word for word in words if pair(word) is None]
        if kind == "master" and len(ids) > 1:
            ids = ids[::-1]  # pcs resource master CLONE RESOURCE, before pcs 0.10
        if ids:
            meta = dict(filter(None, map(pair, words)))
            self._add_wrapper(kind, ids[0], ids[1] if len(ids) > 1 else "", meta)

    def _add_wrapper(self, kind: str, of: str, name: str, meta: Dict[str, str]) -> None:
        promotable = kind != "clone" or meta.get("promotable", "").lower() in ("true", "yes", "1")
        default = f"{of}-master" if kind == "master" else f"{of}-clone"
        self.wrappers.append(Wrapper(name or default, of, promotable, meta))

    def _colocate(self, named: List[str]) -> None:
        """`[ROLE] RSC with [ROLE] RSC [SCORE]`."""
        if "with" not in named:
            return
        place = named.index("with")
        what, rest = named[place - 1], named[place + 1 :]
        with_role = role(rest[0]) if rest else ""
        rest = rest[1:] if with_role else rest
        options = dict(filter(None, map(pair, rest)))
        scores = [word for word in rest[1:] if pair(word) is None]
        if rest:
            score = scores[0] if scores else options.get("score", "INFINITY")
            self.colocations.append(
                Colocation(what, rest[0], with_role or role(options.get("with-rsc-role", "")), score)
            )

    def _update(self, resource_id: str, named: Sequence[str]) -> None:
        known = self.primitives.get(resource_id)
        if known is None:
            return
        parameters = dict(known.parameters)
        for word in named:
            found = pair(word)
            if found is None:
                break
            parameters[found[0]] = found[1]
        self.primitives[resource_id] = Primitive(
            known.id, known.agent, parameters, known.operations, known.meta, known.line
        )
