"""Reads a script of the shell as far as it configures a cluster: variables, here-documents, conditions.

Text in, text out, line by line: what is left are commands of pcs or crm, or statements of crm out of here-documents,
each in its own line of the file, so that whoever reads them names the right one. Nothing is run. Grammar: POSIX shell,
and bash's `$'...'`, `[[ ]]`, `local`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, FrozenSet, List, Mapping, Optional, Tuple

from vpc_lab.errors import LabError

_ASSIGNMENT = re.compile(r"^\s*(?:(?:export|local|readonly|declare(?:\s+-\w+)*)\s+)?([A-Za-z_]\w*)=(.*)$", re.DOTALL)
_HERE = re.compile(r"<<(-?)\s*(['\"]?)([A-Za-z_]\w*)\2")
# A name, braces around one with what may follow it, or a command that is substituted.
_REFERENCE = re.compile(
    r"\$(?:\{(\w+)((?:\[[^]]*\])?[^}]*)\}|([A-Za-z_]\w*)|\(([^()]*(?:\([^()]*\)[^()]*)*)\))|`([^`]*)`"
)
# A command in the place of whole words, of which nobody knows what they would be.
_ALONE = re.compile(r"(?<=\s)(?:\$\([^()]*\)|`[^`]*`)(?=\s|$)")
# crmsh's own: `$id=NAME`, `$id-ref=NAME`, `$role=NAME`.
_CRM_S = re.compile(r"\$(?:id|id-ref|role|lifetime|type)(?=\s*=)")
# What a here-document that crm reads begins with.
_STATEMENT = re.compile(
    r"^\s*(?:configure\s+)?(?:primitive|rsc_template|group|clone|ms|master|colocation|order|location|property"
    r"|rsc_defaults|op_defaults|node(?!\s*\{)|fencing_topology|configure)\b"
)
_CONFIGURES = re.compile(
    r"\bpcs\s.*\b(?:create|set|update|add|order|location|colocation|group|clone|promotable|defaults|level)\b"
    r"|\bcrm\s.*\bconfigure\s+(?!load|show|edit|verify|save)\w"
)
_COMMAND = re.compile(r"(?:^|[;&|({]|\bsudo(?:\s+-\S+)*\s)\s*(?:\S*/)?(?:pcs|crm)\s")
# What continues a command whose line lacks its backslash: whoever reads the commands says so.
_CONTINUES = re.compile(r"\s*(?:op|params|meta|operations)\s|\s*--[a-z]")
_OPENS = ("if", "for", "while", "until", "case", "select")
_CLOSES = {"fi": "if", "done": "do", "esac": "case"}
_BRACES = re.compile(r"^\s*(?:(?:function\s+)?[\w.:-]+\s*\(\s*\)\s*\{?|function\s+[\w.:-]+\s*\{?|[{}])\s*;?\s*$")


@dataclass
class _Block:
    """A compound command that is open: its word, its line, and of each branch whether it configures a cluster."""

    word: str
    line: int
    branches: List[bool] = field(default_factory=lambda: [False])

    @property
    def undecided(self) -> bool:
        """Whether somebody has to say which of its commands were run."""
        return any(self.branches) if self.word != "if" else self.branches.count(True) > 1


@dataclass
class _Script:
    text: str
    lines: List[str]
    variables: Dict[str, str] = field(default_factory=dict)
    blocks: List[_Block] = field(default_factory=list)
    skipped: List[Tuple[int, str]] = field(default_factory=list)
    # What stands for a command that is substituted: its own words, so that the same command means the same.
    commands: Dict[str, str] = field(default_factory=dict)
    # What is assigned anywhere: functions are called after they are written.
    anywhere: Mapping[str, str] = field(default_factory=dict)

    def expanded(self, line: str) -> str:
        """A line with what is known of its variables."""
        return expanded(line, {**self.anywhere, **self.variables}, self.commands, self.words)

    @property
    def words(self) -> FrozenSet[str]:
        """The words of the text that are no references."""
        return frozenset(re.findall(r"(?<![\w${.-])[A-Za-z_]\w*(?![\w-])", self.text))


def is_script(text: str) -> bool:
    """Whether a text is more than commands one below the other."""
    if text.startswith("#!") or _HERE.search(text):
        return True
    names = {found[1] for found in map(_ASSIGNMENT.match, text.splitlines()) if found}
    return any(f"${name}" in text or f"${{{name}" in text for name in names) or any(
        re.match(r"\s*(?:if|for|while|case)\s.*", line) for line in text.splitlines()
    )


def unfolded(text: str) -> Tuple[str, Tuple[Tuple[int, str], ...]]:
    """The commands of a script in their own lines, its variables replaced; and the lines that are left out.

    A variable without a value, and a command that is substituted, become words: `$NODE1` is then `NODE1`.

    Raises:
        LabError: commands that configure a cluster are in a loop or in branches, which nobody can choose from here.
    """
    first = _gone_through(_Script(text, text.splitlines()))
    script = _gone_through(_Script(text, text.splitlines(), anywhere=first.variables))
    return "\n".join(script.lines) + "\n", tuple(script.skipped)


def _gone_through(script: _Script) -> _Script:
    place = 0
    while place < len(script.lines):
        place = _line(script, place)
    if script.blocks:
        block = script.blocks[0]
        raise LabError(f"line {block.line}: '{block.word}' of the shell has no end")
    return script


def _line(script: _Script, place: int) -> int:
    """Deal with one logical line; the place of the next."""
    end = place
    while script.lines[end].rstrip().endswith("\\") and end + 1 < len(script.lines):
        end += 1
    whole = " ".join(line.rstrip().rstrip("\\") for line in script.lines[place : end + 1])
    bare = whole.strip()
    if not bare or bare.startswith("#"):
        return end + 1
    here = _HERE.search(whole)
    if here is not None:
        return _document(script, place, end, here)
    known = _ASSIGNMENT.match(whole)
    declared = known is not None and (bare.startswith(("export ", "local ", "readonly ", "declare ")) or "$(" in whole)
    if known is not None and (declared or _is_used(script, known[1])) and _is_one_word(known[2]):
        script.variables[known[1]] = expanded(
            _unquoted(known[2].strip().rstrip(";")), script.variables, script.commands
        )
        _leave_out(script, place, end)
        return end + 1
    if _BRACES.match(whole) or _compound(script, place, bare):
        _leave_out(script, place, end)
        return end + 1
    in_loop = any(block.word not in ("if", "case") for block in script.blocks)
    if (not _COMMAND.search(whole) and not _CONTINUES.match(whole)) or (in_loop and not _CONFIGURES.search(whole)):
        _leave_out(script, place, end)
        return end + 1
    if _CONFIGURES.search(whole) and script.blocks:
        for block in script.blocks:
            block.branches[-1] = True
    for number in range(place, end + 1):
        for alone in _ALONE.findall(script.lines[number]):
            script.skipped.append((number + 1, alone.split()[0]))
        script.lines[number] = script.expanded(_ALONE.sub("", script.lines[number]))
    return end + 1


def _compound(script: _Script, place: int, bare: str) -> bool:
    """Whether a line is the shell's own; keeps account of what is open. One with a command in it is not."""
    word = re.split(r"[\s;]", bare, maxsplit=1)[0]
    if word in _OPENS:
        closed = re.search(r";\s*(?:fi|done|esac)\s*;?$", bare)
        if closed is not None:
            if _CONFIGURES.search(bare):
                raise LabError(_undecided(place + 1, word))
            return True
        script.blocks.append(_Block(word, place + 1))
        return True
    if word in ("else", "elif"):
        if script.blocks:
            script.blocks[-1].branches.append(False)
        return True
    if word in ("then", "do"):
        return bare in (word, f"{word};")
    if word in _CLOSES:
        if not script.blocks:
            raise LabError(f"line {place + 1}: '{word}' of the shell ends what has not begun")
        block = script.blocks.pop()
        if block.undecided:
            raise LabError(_undecided(block.line, block.word))
        return True
    return word in (";;", "return", "exit", "break", "continue") or (bare.endswith(")") and _in_case(script))


def _in_case(script: _Script) -> bool:
    return bool(script.blocks) and script.blocks[-1].word == "case"


def _undecided(line: int, word: str) -> str:
    return (
        f"line {line}: '{word}' of the shell decides which commands are run, and from here nobody can tell which were:"
        " leave only these in the file, or give what `cibadmin --query` prints"
    )


def _document(script: _Script, place: int, end: int, here: re.Match[str]) -> int:
    """A here-document: statements of crm stay in their lines, anything else is left out."""
    last = end + 1
    while last < len(script.lines) and script.lines[last].strip() != here[3]:
        last += 1
    if last == len(script.lines):
        raise LabError(f"line {place + 1}: the here-document has no end: no line '{here[3]}' follows")
    body = range(end + 1, last)
    crm = any(_STATEMENT.match(script.lines[one]) for one in body)
    if crm:
        for block in script.blocks:
            block.branches[-1] = True
        if not here[2]:
            for one in body:
                script.lines[one] = script.expanded(script.lines[one]).replace("\\$", "$")
    else:
        for one in body:
            script.lines[one] = ""
    _leave_out(script, place, end)
    script.lines[last] = ""
    return last + 1


def _leave_out(script: _Script, place: int, end: int) -> None:
    # What is assigned, and what a command is given, may be a password.
    script.skipped.append((place + 1, re.split(r"[=\s]", script.lines[place].strip(), maxsplit=1)[0]))
    for number in range(place, end + 1):
        script.lines[number] = ""


def _is_used(script: _Script, name: str) -> bool:
    return f"${name}" in script.text or f"${{{name}" in script.text


def _is_one_word(value: str) -> bool:
    return (
        re.fullmatch(r"""\s*(?:"[^"]*"|'[^']*'|\$\(.*\)|`[^`]*`|\([^)]*\)|[^\s"']*)\s*;?\s*(?:#.*)?""", value)
        is not None
    )


def _unquoted(value: str) -> str:
    value = re.sub(r"\s+#[^'\"]*$", "", value).strip()
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def expanded(
    line: str,
    variables: Mapping[str, str],
    commands: Optional[Dict[str, str]] = None,
    words: FrozenSet[str] = frozenset(),
) -> str:
    """A line with its variables replaced; between single quotes nothing is.

    One without a value becomes a word that is none of `words`.
    """
    commands = {} if commands is None else commands
    found: List[str] = []
    place, quoted = 0, False
    while place < len(line):
        sign = line[place]
        if sign == "'" and line[:place].count('"') % 2 == 0:
            quoted = not quoted
        elif not quoted and sign in "$`" and line[place - 1 : place] != "\\" and not _CRM_S.match(line, place):
            known = _REFERENCE.match(line, place)
            if known is not None:
                found.append(_value(known, variables, commands, words))
                place = known.end()
                continue
        found.append(sign)
        place += 1
    return "".join(found)


def _value(known: re.Match[str], variables: Mapping[str, str], commands: Dict[str, str], words: FrozenSet[str]) -> str:
    name, more = known[1] or known[3], known[2] or ""
    if name is None:
        return commands.setdefault(known[4] or known[5] or "", f"command-{len(commands) + 1}")
    given = variables.get(name)
    if given is not None and not given.startswith("(") and not more.startswith("["):
        return given
    default = re.match(r":?[-=](.*)", more)
    if default is not None:
        return expanded(default[1].strip("'\""), variables, commands, words)
    index = re.match(r"\[(\w+)\]", more)
    if index is not None and given is not None and given.startswith("(") and index[1].isdigit():
        listed = given.strip("()").split()
        if int(index[1]) < len(listed):
            return listed[int(index[1])].strip("'\"")
    plain = f"{name}-value" if name in words else name
    return plain if index is None else f"{plain}-{index[1]}"
