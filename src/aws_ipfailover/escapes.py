"""A text as it reads without the escapes of URLs, JSON, Python and XML, and where each character of that came from."""

from __future__ import annotations

import re
from typing import List, NamedTuple, Optional, Tuple

# What every escape begins with, to be looked for first: to compile the pattern takes a millisecond.
_BEGINNINGS = "%\\&"
_ESCAPE = (
    r"(?s)%(?P<percent>[0-9A-Fa-f]{2})"
    r"|\\(?:x(?P<x>[0-9A-Fa-f]{2})|u(?P<u>[0-9A-Fa-f]{4})|U(?P<U>[0-9A-Fa-f]{8})|(?P<octal>[0-7]{3})|(?P<one>.))"
    r"|&(?:#(?P<decimal>[0-9]{1,7})|#[xX](?P<hexadecimal>[0-9A-Fa-f]{1,6})|(?P<name>amp|lt|gt|quot|apos|nbsp));?"
)
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'", "nbsp": " "}


class View(NamedTuple):
    """A text as it reads when something is taken out of an original; `places`: where in that each character was.

    A place is a pair of indexes: of the first character that it was written with, and behind the last one.
    """

    text: str
    places: List[Tuple[int, int]]

    def place(self, begin: int, end: int) -> Tuple[int, int]:
        """The place of the characters from index `begin` to before `end`, which is greater."""
        return self.places[begin][0], self.places[end - 1][1]

    def squeezed(self) -> View:
        """Without blanks, line ends, and what cannot be seen."""
        if _is_squeezed(self.text):
            return self
        kept = [at for at, one in enumerate(self.text) if _is_seen(one)]
        return View("".join(self.text[at] for at in kept), [self.places[at] for at in kept])

    def decoded(self) -> Optional[View]:
        """With the character that each escape means; `None` where there are no escapes."""
        pieces: List[str] = []
        places: List[Tuple[int, int]] = []
        end = 0
        if not _may_have_escapes(self.text):
            return None
        for match in re.finditer(_ESCAPE, self.text):
            begin, after = match.span()
            pieces += [self.text[end:begin], _meaning(match)]
            places += self.places[end:begin] + [self.place(begin, after)] * len(pieces[-1])
            end = after
        if not end:
            return None
        return View("".join([*pieces, self.text[end:]]), places + self.places[end:])


def view(text: str) -> View:
    """`text` as it is."""
    return View(text, [(at, at + 1) for at in range(len(text))])


def squeeze(text: str) -> str:
    """`text` without blanks, line ends, and what cannot be seen."""
    return text if _is_squeezed(text) else "".join(filter(_is_seen, text))


def decode(text: str, times: int = 1) -> str:
    """`text` with the character that each escape means, `times` in a row: escapes can be escaped."""
    for _ in range(times if _may_have_escapes(text) else 0):
        text = re.sub(_ESCAPE, _meaning, text)
    return text


def _is_squeezed(text: str) -> bool:
    return text.isprintable() and " " not in text


def _may_have_escapes(text: str) -> bool:
    return any(one in text for one in _BEGINNINGS)


def _is_seen(one: str) -> bool:
    return one != " " and one.isprintable()


def _meaning(match: re.Match[str]) -> str:
    kind = match.lastgroup or ""
    value = match[kind]
    if kind == "name":
        return _NAMED[value]
    if kind == "one":
        return " " if value in "nrtfvb" else value
    code = int(value, {"octal": 8, "decimal": 10}.get(kind, 16))
    return chr(code) if code <= 0x10FFFF else match.group()
