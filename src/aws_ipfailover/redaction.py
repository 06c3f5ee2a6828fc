"""Secrets that this process got to know, so that no text that leaves it repeats one, however the text writes it.

Nothing is compiled or computed before there is a text to tell, because a probe has none.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from threading import Lock
from typing import FrozenSet, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from aws_ipfailover.escapes import View, decode, squeeze, view

_STARS = "***"
# Characters of a secret in a row that no text may repeat; what is shorter would be found inside of harmless words.
_FRAGMENT = 8
# Characters; a password this long, and shorter than a fragment, is looked for as a whole word.
_SHORTEST_PASSWORD = 4
# Characters of a text that are read; the rest is left out. An answer of EC2 can have millions.
_LONGEST_TEXT = 8192
# Escapes of escapes that are undone: a URL in JSON in XML has three.
_LAYERS = 3

# What ids of access keys begin with: AWS IAM User Guide, "IAM identifiers", unique ids.
_KEY_IDS = ("AKIA", "ASIA", "ABIA", "ACCA")
_KEY_ID = f"(?:{'|'.join(_KEY_IDS)})[A-Z0-9]"
# Parts of the names, of variables and of settings in AWS's configuration files, that have a secret as their value.
_OF_SECRETS = ("secret", "token", "passw", "credential", "access_key", "external_id", "authorization")
# Ends of names that have none.
_OF_OTHERS = ("_file", "_uri", "_expiration", "_endpoint", "_duration", "_timeout")


class _Forms(NamedTuple):
    """Every way in which `secrets` are looked for: `lines` has one a line, and `beginnings` the beginning of each."""

    secrets: FrozenSet[str]
    lines: str
    beginnings: FrozenSet[str]


class _Known:
    """The secrets of this process; any thread can add some."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._secrets: FrozenSet[str] = frozenset()
        self._forms = _Forms(frozenset(), "", frozenset())
        self.passwords: FrozenSet[str] = frozenset()

    def add(self, *texts: Optional[str]) -> None:
        new = {text.strip() for text in texts if text and len(text.strip()) >= _FRAGMENT}
        if not new <= self._secrets:
            with self._lock:
                self._secrets |= new

    def add_password(self, password: str) -> None:
        self.add(password)
        if len(password) >= _SHORTEST_PASSWORD:
            with self._lock:
                self.passwords |= {password, decode(password)}

    def forms(self) -> _Forms:
        secrets = self._secrets
        if self._forms.secrets != secrets:
            texts = {squeeze(text) for secret in secrets for text in _written(secret)}
            texts = {text for text in texts if len(text) >= _FRAGMENT}
            self._forms = _Forms(secrets, "\n".join(texts), frozenset(text[:_FRAGMENT] for text in texts))
        return self._forms


_known = _Known()


def keep_secret(*texts: Optional[str]) -> None:
    """Never repeat these texts, should an answer quote them; what has fewer than 8 characters is no secret of AWS."""
    _known.add(*texts)


def keep_secrets_of(settings: Mapping[str, object]) -> None:
    """Never repeat the variables or settings whose names are those of secrets, nor users and passwords in URLs."""
    for name, value in settings.items():
        if not isinstance(value, str):
            continue
        if "@" in value:
            _keep_user_info(name, value)
        lower = name.lower()
        if any(part in lower for part in _OF_SECRETS) and not lower.endswith(_OF_OTHERS):
            _known.add(value)


def _keep_user_info(name: str, value: str) -> None:
    scheme, found, rest = value.partition("://")
    if not found:
        if not name.lower().endswith("_proxy"):
            return
        rest = scheme  # a proxy can be named without it
    # Up to the last @, because a password can contain slashes and further @.
    info = rest.rpartition("@")[0]
    user, _, password = info.partition(":")
    if password:
        _known.add_password(password)
    else:
        _known.add(user)  # a token can stand there
    # As "Proxy-Authorization: Basic" has it.
    _known.add(*(_base64(_bytes(text)) for text in (info, decode(info))))


def without_secrets(text: str) -> str:
    """`text` with asterisks for every secret that is known, access key ids, and users and passwords in URLs.

    A secret is found as it is, escaped for a URL, JSON, Python or XML, in base64, with blanks, line ends or invisible
    characters in it, and cut: no eight characters from its beginning stay. No more than 8192 characters are read.
    """
    text = text[:_LONGEST_TEXT]
    found: List[Tuple[int, int]] = []
    seen: Optional[View] = view(text)
    for _ in range(_LAYERS + 1):
        if seen is None:
            break
        found += _in_view(seen)
        seen = seen.decoded()
    parts: List[str] = []
    end = 0
    for begin, after in sorted(found):
        if begin > end or not parts:  # what touches is one: the same secret, found in two ways
            parts += [text[end:begin], _STARS]
        end = max(end, after)
    return "".join([*parts, text[end:]])


def _in_view(seen: View) -> Iterator[Tuple[int, int]]:
    """The places of secrets."""
    if "//" in seen.text and "@" in seen.text:
        for word in re.finditer(r"[^\s'\"]+", seen.text):
            begin, end = word.group().find("//") + 2, word.group().rfind("@")
            if 2 <= begin < end:
                yield seen.place(word.start() + begin, word.start() + end)
    for password in _known.passwords:
        if password in seen.text:
            for match in re.finditer(rf"(?<!\w){re.escape(password)}(?!\w)", seen.text):
                yield seen.place(*match.span())
    squeezed = seen.squeezed()
    if any(beginning in squeezed.text for beginning in _KEY_IDS):
        for match in re.finditer(_KEY_ID + "{4,}", seen.text):
            yield seen.place(*match.span())
        # A line end can be in an id. Sixteen characters follow its first four: what is after them is no part of it.
        for match in re.finditer(_KEY_ID + "{12,16}", squeezed.text):
            yield squeezed.place(*match.span())
    for begin, end in _fragments(squeezed.text, _known.forms()):
        yield squeezed.place(begin, end)


def _fragments(text: str, forms: _Forms) -> Iterator[Tuple[int, int]]:
    """From and to where in a squeezed text eight or more characters of a secret are.

    All are found if one of them is the beginning of a secret, or has eleven characters: to look for each would take a
    hundred microseconds a line.
    """
    last = len(text) - _FRAGMENT
    if not any(text[at : at + _FRAGMENT] in forms.lines for at in range(0, last + 1, 4)) and not any(
        beginning in text for beginning in forms.beginnings
    ):
        return
    at = 0
    while at <= last:
        end = at + _FRAGMENT
        if text[at:end] not in forms.lines:
            at += 1
            continue
        while end < len(text) and text[at : end + 1] in forms.lines:
            end += 1
        yield at, end
        at = end - _FRAGMENT + 1


def _written(secret: str) -> Iterator[str]:
    """`secret` as it reads in a decoded text, and in base64, of itself or of a longer text that it is a part of."""
    for text in {decode(secret, times) for times in range(_LAYERS + 1)}:
        for form in (text, text.replace(" ", "+")):  # as forms of HTML write a blank
            yield form
            yield _bytes(form).decode("latin-1")  # its bytes, each escaped by itself
        data = _bytes(text)
        for before in range(3):  # bytes of something else that it shares the first four characters with
            encoded = _base64(b"\0" * before + data)
            # Without the characters in which bits of something else can be.
            end = len(encoded) - (0 if not encoded.endswith("=") else 3 if encoded.endswith("==") else 2)
            whole = encoded[(0, 2, 3)[before] : end]
            yield whole
            yield whole.replace("+", "-").replace("/", "_")


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()


def _bytes(text: str) -> bytes:
    """The bytes of `text`; what the environment has as bytes that are no UTF-8 is here in the form of surrogates."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
