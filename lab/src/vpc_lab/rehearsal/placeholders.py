"""What a published configuration leaves open in words: `<SID>`, `{{ sid }}`, `{sid}`, `@@SID@@`. Text in, text out.

They become plain words, `rsc_ip_<SID>_HDB<nr>` is `rsc_ip_SID_HDBnr`: what such a word has to stand for is then found
out where it matters (see `derivation`), and elsewhere any word will do.
"""

from __future__ import annotations

import re
from typing import Dict, Tuple

_OPEN = (
    re.compile(r"<([A-Za-z0-9][^<>\n\"'=]{0,80})>"),
    re.compile(r"\{\{\s*([A-Za-z_][^{}\n]{0,80}?)\s*\}\}"),
    re.compile(r"(?<![${])\{([A-Za-z_][\w.-]*)\}(?!\})"),
    re.compile(r"@@([A-Za-z_]\w*)@@"),
)
# What may be left out, such as `<table>[,<second table>]`.
_OPTIONAL = re.compile(r"\[,[^\]\n]*\]")
_XML = re.compile(r"^\s*xml\b|</|/>|<\?")


def plain_words(text: str) -> Tuple[str, Tuple[str, ...]]:
    """The text with plain words in the place of what it leaves open, and a sentence about these."""
    known: Dict[str, str] = {}
    rest = text
    for pattern in _OPEN:
        rest = pattern.sub("|", rest)
    words = frozenset(re.findall(r"[A-Za-z][A-Za-z0-9-]*", rest))

    def plain(found: re.Match[str]) -> str:
        # An address, an id or a Region in angles is an example, and stays what it is.
        word = re.sub(r"[^A-Za-z0-9.:-]+", "-", found[1]).strip("-.:")
        # One that is there already, as `ip` in `ip=<ip>`, would be replaced there too.
        known.setdefault(found[0], f"{word}-value" if word in words else word)
        return known[found[0]]

    def opened(line: str) -> str:
        if _XML.search(line) or (line.lstrip().startswith("#") and "pcs" not in line and "crm" not in line):
            return line
        if any(pattern.search(line) for pattern in _OPEN):
            line = _OPTIONAL.sub("", line)
        for pattern in _OPEN:
            line = pattern.sub(plain, line)
        return line

    lines = text.splitlines(keepends=True)
    xml = False
    for place, line in enumerate(lines):
        # An XML statement of crm goes on as long as its lines end with a backslash.
        xml = (xml and lines[place - 1].rstrip().endswith("\\")) or bool(re.match(r"\s*xml\b", line))
        lines[place] = line if xml else opened(line)
    text = "".join(lines)
    if not known:
        return text, ()
    told = "what it leaves open is a plain word now: " + ", ".join(f"{old} is {new}" for old, new in known.items())
    return text, (told,)
