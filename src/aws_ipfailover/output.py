"""The one form in which text leaves this process: exit reason, standard error, syslog, log file."""

from __future__ import annotations

import re

from aws_ipfailover.redaction import without_secrets

# Letters, marks and a blank that Unicode counts as printable and that show nothing (its Default_Ignorable_Code_Point,
# and the empty cell of Braille); the rest of that list is not printable.
_INVISIBLE = "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"


def line(text: str, longest: int = 500) -> str:
    """`text` on one line that can be written anywhere: no secrets, nothing that a terminal obeys or does not show.

    An ellipsis ends a text of more than `longest` characters.
    """
    # First the secrets, so that neither an escape nor the cut leaves a part of one that is not recognised.
    text = printable(without_secrets(text))
    return text if len(text) <= longest else text[: longest - 1] + "…"


def printable(text: str) -> str:
    """`text` on one line, with what cannot be seen shown escaped: control characters, marks that turn text round.

    Any bytes can be in the environment, and any characters in an answer.
    """
    text = " ".join(text.split())
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(one) if not one.isprintable() or re.match(_INVISIBLE, one) else one for one in text)


def _escaped(one: str) -> str:
    return one.encode("unicode_escape").decode()
