"""Reads a configuration file of any kind: crm's, pcs commands, or a CIB. Text in, values out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Tuple

from vpc_lab.errors import LabError
from vpc_lab.rehearsal import cib_text, crm_text, pcs_text
from vpc_lab.rehearsal.model import Configuration

# What typesetting makes of quotation marks, and the plain ones.
_TYPOGRAPHIC = {
    **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"'),
    **dict.fromkeys("\u2018\u2019\u201a", "'"),
}
# A command of pcs, with the prompt that it was typed at.
_PCS = re.compile(
    r"^\s*(?:\[[^\]\n]*\][#$]\s*|[#$]\s*|\S+@\S+[#$]\s*)?(?:sudo\s+)?(?:\S*/)?pcs\s+(?:-\S+\s+\S+\s+)?[a-z]",
    re.MULTILINE,
)
# In commands of `pcs resource create`: what is replaced is the first group.
_OLD_WORDS = (
    (re.compile(r"\s(--clone)\b"), "clone", "--clone"),
    (re.compile(r"\s(--master)\b"), "promotable", "--master"),
    (re.compile(r"\s(master)(?=(?:\s+meta)?\s+[a-z-]+=)"), "promotable", "master"),
)
# What no command begins with: a line that does continues the one before.
_CONTINUES = re.compile(r"^\s*(?:[A-Za-z_][\w.-]*=|(?:op|params|meta|operations)\s|--[a-z])")


@dataclass(frozen=True)
class Source:
    """A file as it was read. `mended`: a sentence for each thing that print had broken and that was put right."""

    text: str
    configuration: Configuration
    mended: Tuple[str, ...] = ()


def text_of(file: Path) -> str:
    """The text of a file; LabError with a sentence where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise LabError(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise LabError(f"{file} is no text: byte {error.start} is not UTF-8") from None


def kind_of(text: str) -> str:
    """`cib`, `pcs` or `crm`."""
    stripped = text.lstrip()
    if stripped.startswith("<"):
        return "cib"
    return "pcs" if _PCS.search(text) else "crm"


def read(text: str, *, mend: bool = False) -> Source:
    """What a text says. With `mend`, what print has broken is put right first.

    Raises:
        LabError: it is no configuration; the sentence names the line.
    """
    kind = kind_of(text)
    mended: Tuple[str, ...] = ()
    if kind != "cib":
        if mend:
            text, mended = mended_text(text)
            if kind == "pcs":
                text, more = with_new_words(text)
                mended = (*mended, *more)
        else:
            _refuse_typographic(text)
    reader = {"cib": cib_text.read, "pcs": pcs_text.read, "crm": crm_text.read}[kind]
    configuration = reader(text)
    if not configuration.primitives:
        raise LabError("there is no resource in it: neither a primitive of crm, nor `pcs resource create`, nor a CIB's")
    return Source(text, configuration, mended)


def _refuse_typographic(text: str) -> None:
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        for mark in _TYPOGRAPHIC:
            if mark in line:
                raise LabError(
                    f"line {number}: {mark} is no quotation mark to crm and pcs, which take it for a part of the value;"
                    " write plain ones, or let --mend do it"
                )


def mended_text(text: str) -> Tuple[str, Tuple[str, ...]]:
    """The text with plain quotation marks, and with the backslashes that continued lines lack; what was put right.

    A line that begins with NAME=VALUE, `op`, `params` or an option is no command: the line before continues there.
    """
    lines = text.splitlines()
    told: List[str] = []
    for number, line in enumerate(lines, 1):
        plain = "".join(_TYPOGRAPHIC.get(one, one) for one in line)
        if plain != line and not line.lstrip().startswith("#"):
            lines[number - 1] = plain
            told.append(f"line {number}: typographic quotation marks are plain ones now")
    for place in range(1, len(lines)):
        before = lines[place - 1].rstrip()
        if (
            _CONTINUES.match(lines[place])
            and before
            and not before.endswith("\\")
            and not before.lstrip().startswith("#")
        ):
            lines[place - 1] = before + " \\"
            told.append(f"line {place}: it has a backslash at its end now, since line {place + 1} continues it")
    return "\n".join(lines) + "\n", tuple(sorted(told, key=_number))


def with_new_words(text: str) -> Tuple[str, Tuple[str, ...]]:
    """pcs commands with the words of pcs 0.10 and later for those of RHEL 7; what was changed.

    Source: pcs(8), "CHANGES IN PCS-0.10": master is promotable, a promotable clone is called ID-clone.
    """
    told: List[str] = []
    for old, new, what in _OLD_WORDS:
        for found in old.finditer(text):
            number = text.count("\n", 0, found.start(1)) + 1
            told.append(f"line {number}: '{what}' is pcs 0.9's: it says '{new.strip()}' now")
        text = old.sub(lambda found, new=new: found[0].replace(found[1], new), text)  # type: ignore[misc]
    for name in sorted(set(re.findall(r"(?<![\w.-])([\w.-]+)-master(?![\w-])", text))):
        if re.search(rf"resource create {re.escape(name)}\s", text):
            text = substituted(text, {f"{name}-master": f"{name}-clone"})
            told.append(f"line 1: {name}-master is called {name}-clone by pcs 0.10 and later")
    return text, tuple(told)


def _number(sentence: str) -> int:
    return int(sentence.partition(":")[0].split()[1])


def substituted(text: str, values: Dict[str, str]) -> str:
    """The text with each name in `values` replaced where it stands by itself: not within a longer word."""
    if not values:
        return text
    names = "|".join(map(re.escape, sorted(values, key=len, reverse=True)))
    return re.sub(rf"(?<![\w.-])(?:{names})(?![\w-])", lambda found: values[found[0]], text)
