"""Reads a configuration file of any kind: crm's, pcs commands, or a CIB. Text in, values out."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, List, Tuple

from vpc_lab.errors import LabError
from vpc_lab.rehearsal import cib_text, crm_text, pcs_text, placeholders, shell_text, shown_text
from vpc_lab.rehearsal.model import Configuration, is_on

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
# A statement of crm, or a command of its.
_CRM = re.compile(r"^\s*(?:primitive|rsc_template)\s+\S+\s|\bcrm\s+configure\s", re.MULTILINE)
# In commands of `pcs resource create`: what is replaced is the first group.
_OLD_WORDS = (
    (re.compile(r"\s(--clone)\b"), "clone", "--clone"),
    (re.compile(r"\s(--master)\b"), "promotable", "--master"),
    (re.compile(r"\s(master)(?=(?:\s+meta)?\s+[a-z-]+=)"), "promotable", "master"),
)
# A command that pages have, and pcs does not.
_GROUP_META = re.compile(r"\b(pcs\s+resource\s+)group\s+meta(?=\s)")
# What people also keep of a cluster.
_OTHERS = (
    (
        re.compile(r"^(?:Cluster name:|Cluster Summary:|Stack: corosync|Full [Ll]ist of [Rr]esources)", re.MULTILINE),
        "a status",
    ),
    (re.compile(r"\A\s*(?:---\s*\n|- (?:name|hosts):)", re.MULTILINE), "YAML, such as Ansible reads"),
    (re.compile(r"\A\s*[{\[]\s*[\"{]"), "JSON"),
    (re.compile(r"^\s*(?:totem|nodelist|quorum)\s*\{", re.MULTILINE), "a corosync.conf (--corosync FILE takes it)"),
)
# What a script that sets up a cluster may also write.
_MAY_BE_WITHIN = tuple(sign for sign, _ in _OTHERS if "Cluster" in sign.pattern or "totem" in sign.pattern)
# A word, blanks in angles included.
_WORD = r"(?:[^\s<>]|<[^<>]*>)+"
# What no command begins with: a line that does continues the one before.
_CONTINUES = re.compile(r"^\s*(?:[A-Za-z_][\w.-]*=|(?:op|params|meta|operations)\s|--[a-z])")


# What print makes of two hyphens, and of a blank that must not break.
_DASHES = re.compile(r"(?<=\s)[\u2013\u2014](?=[a-z])")
_BLANK = "\u00a0"
# A quotation mark that ends nothing, before the backslash of a line.
_STRAY_QUOTE = re.compile(r"\s\"\s*\\$")
# A cluster option and its value, as crm and pcs write it, and as a CIB does.
_OPTION = r"((?<![\w-]){}\s*=\s*[\"']?)([^\s\"']+)"
_NVPAIR = r"(<nvpair\b[^>]*\bname=[\"']{}[\"'][^>]*\bvalue=[\"'])([^\"']*)"


@dataclass(frozen=True)
class Source:
    """A file as it was read: `text` is what a tool can load.

    `mended`: a sentence for each thing that print had broken and that was put right, and for what else is not as in the
    file.
    """

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
    """`cib`, `pcs` or `crm`, or `shown` for what `pcs config` prints.

    Raises:
        LabError: it is something else that is about clusters; the sentence says what to give instead.
    """
    if text.lstrip().startswith("<"):
        return "cib"
    if _PCS.search(text):
        return "shown" if shown_text.is_shown(text) else "pcs"
    if shown_text.is_shown(text):
        return "shown"
    for sign, what in _OTHERS:
        if sign.search(text) and not (sign in _MAY_BE_WITHIN and _CRM.search(text)):
            raise LabError(
                f"line {text.count(chr(10), 0, sign.search(text).start()) + 1}: this is {what}, and no configuration"  # type: ignore[union-attr]
                " that crm, pcs or cibadmin could load: give what `cibadmin --query` prints on a node of the cluster"
            )
    return "crm"


def read(text: str, *, mend: bool = False) -> Source:
    """What a text says. With `mend`, what print has broken is put right first.

    Raises:
        LabError: it is no configuration; the sentence names the line.
    """
    kind = kind_of(text)
    told: List[str] = []
    skipped: Tuple[Tuple[int, str], ...] = ()
    if kind == "shown":
        text, more = shown_text.commands(text)
        told += more
        kind = "pcs"
    if kind != "cib":
        if mend:
            text, mended = mended_text(text)
            told += mended
            if kind == "pcs":
                text, mended = with_new_words(text)
                told += mended
        if shell_text.is_script(text):
            text, skipped = shell_text.unfolded(text)
        if not mend:
            _refuse_typographic(text)
        text, opened = placeholders.plain_words(text)
        told += opened
    reader = {"cib": cib_text.read, "pcs": pcs_text.read, "crm": crm_text.read}[kind]
    configuration = reader(text)
    if not configuration.primitives:
        raise LabError("there is no resource in it: neither a primitive of crm, nor `pcs resource create`, nor a CIB's")
    text, changed = _as_a_lab_can(text, kind, configuration)
    if changed:
        told += changed
        configuration = reader(text)
    configuration = replace(configuration, skipped=tuple(sorted({*configuration.skipped, *skipped})))
    return Source(text, configuration, tuple(told))


def _as_a_lab_can(text: str, kind: str, configuration: Configuration) -> Tuple[str, List[str]]:
    """Without what would keep the cluster from running in a lab, whatever its resources do."""
    told: List[str] = []
    known = configuration.properties
    if known.get("stonith-watchdog-timeout", "0") not in ("", "0", "0s"):
        text = _with_option(text, kind, "stonith-watchdog-timeout", "0")
        told.append(
            "stonith-watchdog-timeout is 0: a lab has neither a watchdog nor sbd, without which Pacemaker would stop"
        )
    metas = [*(one.meta for one in configuration.primitives), *(one.meta for one in configuration.wrappers)]
    if any(is_on(meta.get("maintenance", "")) for meta in metas):
        text = _with_option(text, kind, "maintenance", "false")
        told.append("the resources that are in maintenance are not: Pacemaker would not start them")
    if is_on(known.get("maintenance-mode", "")):
        text = _with_option(text, kind, "maintenance-mode", "false")
        told.append("maintenance-mode is false: it is left on, as while a cluster is set up, and nothing would start")
    return text, told


def _with_option(text: str, kind: str, name: str, value: str) -> str:
    pattern = re.compile((_NVPAIR if kind == "cib" else _OPTION).format(re.escape(name)))
    return pattern.sub(lambda found: found[1] + value, text)


def _refuse_typographic(text: str) -> None:
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        if _BLANK in line or _DASHES.search(line):
            raise LabError(
                f"line {number}: it has blanks or dashes of print, which crm and pcs take for a part of a word;"
                " write those of the keyboard, or let --mend do it"
            )
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
        if line.lstrip().startswith("#") and "pcs" not in line and "crm" not in line:
            continue
        plain = "".join(_TYPOGRAPHIC.get(one, one) for one in line)
        if plain != line:
            told.append(f"line {number}: typographic quotation marks are plain ones now")
        dashed = _DASHES.sub("--", plain).replace(_BLANK, " ")
        if dashed != plain:
            told.append(f"line {number}: dashes and blanks of print are those of a keyboard now")
        whole = _STRAY_QUOTE.sub(r" \\", dashed) if dashed.count('"') % 2 else dashed
        if whole != dashed:
            told.append(f"line {number}: the quotation mark before its backslash ended nothing, and is gone")
        lines[number - 1] = whole
    for place in range(1, len(lines)):
        before = lines[place - 1].rstrip()
        if not before and place > 1 and lines[place - 2].rstrip().endswith("\\") and _CONTINUES.match(lines[place]):
            lines[place - 1] = "\\"
            told.append(f"line {place}: it is empty between two lines of one statement, and is taken for a part of it")
            continue
        assigned = re.match(r"\s*([A-Za-z_]\w*)=", lines[place])
        if assigned is not None and re.search(rf"\$\{{?{assigned[1]}\b", text):
            continue
        rest = re.match(rf"\s*({_WORD})\s*(.*)", lines[place])
        if rest is not None and re.search(rf"={_WORD},$", before) and not rest[1].startswith("#"):
            lines[place - 1] = before + rest[1] + " \\"
            lines[place] = rest[2]
            told.append(f"line {place}: its last value goes on in line {place + 1}, and is whole now")
            continue
        if (
            (_CONTINUES.match(lines[place]) or re.search(r"\s-?(?:inf|INFINITY|\d+):$", before))
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
    for found in _GROUP_META.finditer(text):
        told.append(f"line {text.count(chr(10), 0, found.start()) + 1}: 'resource group meta' is 'resource meta'")
    text = _GROUP_META.sub(r"\1meta", text)
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
