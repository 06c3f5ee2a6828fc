"""output: the form in which every line leaves the process, without what is secret here in any form."""

from __future__ import annotations

import base64
import html
import json
import re
import time
from typing import Callable, Dict
from urllib.parse import quote, quote_plus

import pytest

from aws_ipfailover import redaction
from aws_ipfailover.output import line, printable
from aws_ipfailover.redaction import keep_secret, keep_secrets_of

# With everything that an encoding changes, a letter beyond ASCII and one beyond its first plane included.
SECRET = "wJalrXUtnFEMI/K7MDENG+bPx=Rf'iCY\"<&>%41\\n\\é\tz ü!"
PLAIN = "FwoGZXIvYXdzEBYaDExampleSessionToken0123456789"
SHORT = 8


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is secret yet."""
    monkeypatch.setattr(redaction, "_known", redaction._Known())


def lower_hex(text: str) -> str:
    """A text with `%2F` as `%2f`."""
    return "%".join([part if not at else part[:2].lower() + part[2:] for at, part in enumerate(text.split("%"))])


def base64_of(text: str, before: str = "") -> str:
    """In base64, with something before it."""
    return base64.b64encode((before + text).encode()).decode()


FORMS: Dict[str, Callable[[str], str]] = {
    "raw": str,
    "URL, quote": lambda text: quote(text, safe=""),
    "URL, quote with slashes": quote,
    "URL, quote, small letters": lambda text: lower_hex(quote(text, safe="")),
    "URL, quote_plus": quote_plus,
    "URL, quote_plus, small letters": lambda text: lower_hex(quote_plus(text)),
    "URL, twice": lambda text: quote(quote(text, safe=""), safe=""),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON, not in ASCII": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "Python": lambda text: repr(text)[1:-1],
    "Python, bytes": lambda text: repr(text.encode())[2:-1],
    "Python, in ASCII": lambda text: ascii(text)[1:-1],
    "XML": html.escape,
    "XML, without quotes": lambda text: html.escape(text, quote=False),
    "XML, numbers": lambda text: "".join(f"&#{ord(one)};" for one in text),
    "XML, hexadecimal numbers": lambda text: "".join(f"&#x{ord(one):x};" for one in text),
    "XML in a URL": lambda text: quote_plus(html.escape(text)),
    "XML in JSON": lambda text: json.dumps(html.escape(text)),
    "base64": base64_of,
    "base64, of a user as well": lambda text: base64_of(text, "user:"),
    "base64, one byte before": lambda text: base64_of(text, "x"),
    "base64, two bytes before": lambda text: base64_of(text, "xy"),
    "base64, for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64, in lines": lambda text: "\n".join(re.findall(".{1,10}", base64_of(text))),
    "base64 in a URL": lambda text: quote(base64_of(text), safe=""),
    "a blank after each": " ".join,
    "a line end after each": "\r\n".join,
    "a line end in its middle": lambda text: text[:11] + "\n" + text[11:],
    "an escaped line end": lambda text: text[:11] + "\\n" + text[11:],
    "a zero-width character in it": lambda text: text[:6] + "\u200b" + text[6:12] + "\u2028" + text[12:],
    "cut": lambda text: text[:20],
    "cut after eight": lambda text: text[:SHORT],
    "its end": lambda text: text[-20:],
    "base64, cut": lambda text: base64_of(text)[:SHORT],
}


def assert_hidden(secret: str, form: str) -> None:
    """No eight characters of a form of `secret` in a row are left of it, nor eight from the beginning of the secret."""
    for before, after in (("", ""), ("EC2 said: ", " is wrong"), ("'", "'"), ("<Token>", "</Token>")):
        found = line(before + form + after)
        assert "***" in found
        shown = "".join(form.split())
        rest = "".join(found.split())
        for at in range(len(shown) - SHORT + 1):
            assert shown[at : at + SHORT] not in rest, (found, form)
        assert secret[:SHORT] not in found


@pytest.mark.parametrize("secret", [SECRET, PLAIN, f"{PLAIN[:20]}\n{PLAIN[20:]}"], ids=["odd", "plain", "two lines"])
@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_hidden_in_every_form(form: str, secret: str) -> None:
    """A secret is not repeated, however the text that quotes it writes it."""
    text = FORMS[form](secret)
    keep_secret(secret)
    assert_hidden(secret, text)


def test_what_is_not_known_is_told() -> None:
    """The forms above are shown as they are, if they are no secret: the test above can fail."""
    assert line(base64_of(PLAIN)) == base64_of(PLAIN)
    keep_secret(SECRET)
    assert line(f"EC2 said: {PLAIN} is wrong") == f"EC2 said: {PLAIN} is wrong"


def test_a_secret_that_reads_as_an_escape() -> None:
    """A secret can look escaped itself; it is found as it is, and once more escaped."""
    keep_secret("abc%41def%2Fghi&amp;j\\u0041")
    assert line("is abc%41def%2Fghi&amp;j\\u0041 wrong") == "is *** wrong"
    assert line("is " + quote("abc%41def%2Fghi&amp;j\\u0041") + " wrong") == "is *** wrong"


@pytest.mark.parametrize("before", range(440, 520))
def test_no_cut_leaves_the_beginning_of_a_secret(before: int) -> None:
    """The secrets first, then the cut: not even four characters of one are left at the end of a line."""
    keep_secret(PLAIN)
    assert PLAIN[:4] not in line("." * before + PLAIN + "." * 200)
    assert base64_of(PLAIN)[:4] not in line("." * before + base64_of(PLAIN) + "." * 200)


def test_a_line_of_500_characters() -> None:
    """At most 500 characters a line, an ellipsis at the cut; the conclusion stands first and stays."""
    assert line("a" * 500) == "a" * 500
    assert line("a" * 501) == "a" * 499 + "…"
    assert len(line("\x1b" * 500)) == 500


def test_two_secrets_are_two() -> None:
    """Each has its own asterisks, and the words around them stay."""
    keep_secret("wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY")
    text = "AKIAIOSFODNN7EXAMPLE wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY\nhttp://user:pass@proxy:3128/ rtb-0123456789abcdef0"
    assert line(text) == "*** *** http://***@proxy:3128/ rtb-0123456789abcdef0"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("AKIAIOSFODNN7EXAMPLE is wrong", "*** is wrong"),
        ("ASIAIOSFODNN7EXAMPLE, cut: ASIAIOSF", "***, cut: ***"),
        ("keyASIAIOSFODNN7EXAMPLE", "key***"),
        ("ASIAIOSF\nODNN7EXAMPLE UnauthorizedOperation", "*** UnauthorizedOperation"),
        ("%41SIAIOSFODNN7EXAMPLE", "***"),
        ("EURASIA is no key", "EURASIA is no key"),
    ],
)
def test_ids_of_access_keys(text: str, told: str) -> None:
    """An id of an access key is told by nobody, whoever's it is."""
    assert line(text) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http://user:p@ss/w:rd@proxy:3128/x", "http://***@proxy:3128/x"),
        ("https%3A%2F%2Fuser%3Apass%40proxy%3A3128", "https%3A%2F%2F***%40proxy%3A3128"),
        ("//user:pass@proxy and user@host", "//***@proxy and user@host"),
        ("https://host/a?b=c", "https://host/a?b=c"),
    ],
)
def test_users_and_passwords_of_unknown_urls(text: str, told: str) -> None:
    """What stands before the last @ of a URL is left out, whoever's URL it is."""
    assert line(text) == told


def test_a_text_of_a_few_characters_is_no_secret() -> None:
    """It would be found inside of harmless words."""
    keep_secret("the", "", None)
    assert line("IMDS: the session token") == "IMDS: the session token"


VARIABLES = {
    "AWS_ACCESS_KEY_ID": "NOTLIKEAKEYID0123",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIK7MDENGbPxRfiCY",
    "AWS_SESSION_TOKEN": PLAIN,
    "AWS_SECURITY_TOKEN": "FwoGZXIvYXdzOldName0123",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN": "Bearer container-canary",
    "OCF_RESKEY_external_id": "external-canary-42",
    "aws_secret_access_key": "of-a-configuration-file",
}


@pytest.mark.parametrize("name", VARIABLES)
def test_secrets_of_variables_and_settings(name: str) -> None:
    """A variable, or a setting in a configuration file, that has a secret's name."""
    keep_secrets_of(VARIABLES)
    assert line(f"is {VARIABLES[name]} wrong") == "is *** wrong"


def test_other_variables_are_no_secrets() -> None:
    """Where something is, how long it takes, a profile: what is told has to name it."""
    others = {
        "AWS_SHARED_CREDENTIALS_FILE": "/etc/aws/credentials",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
        "AWS_PROFILE": "production",
        "AWS_ENDPOINT_URL": "https://vpce-1.example.com",
        "MAILTO": "administrator@example.com",
    }
    keep_secrets_of(others)
    for value in others.values():
        assert line(f"is {value} wrong") == f"is {value} wrong"


@pytest.mark.parametrize(
    "name", ["HTTPS_PROXY", "http_proxy", "ALL_PROXY", "AWS_ENDPOINT_URL", "OCF_RESKEY_endpoint_url"]
)
@pytest.mark.parametrize("password", ["hunter2", "correct horse", "p@ss/w:rd%21é"])
def test_passwords_of_urls(name: str, password: str) -> None:
    """The password of a URL in the environment: in it, alone, decoded, and as a proxy is given it."""
    info = f"admin:{password}"
    keep_secrets_of({name: f"http://{info}@proxy:3128/"})
    decoded = password.replace("%21", "!")
    for text in (password, decoded, quote(decoded, safe="")):
        assert line(f"is '{text}' wrong") == "is '***' wrong"
    for text in (info, f"admin:{decoded}"):
        assert base64_of(text)[:-4] not in line(f"Proxy-Authorization: Basic {base64_of(text)}")
    assert line(f"http://{info}@proxy:3128/").endswith("***@proxy:3128/")
    assert line("admin of proxy:3128 is no part of proxyadmins") == "admin of proxy:3128 is no part of proxyadmins"


def test_a_proxy_without_a_scheme() -> None:
    """A proxy can be named without http://; a mail's address is no proxy."""
    keep_secrets_of({"https_proxy": "user:correct-horse@proxy:3128"})
    assert line("is correct-horse wrong") == "is *** wrong"


def test_a_password_of_a_few_characters_is_a_word() -> None:
    """A short password is left out where it stands alone, not within words."""
    keep_secrets_of({"HTTPS_PROXY": "http://user:root@proxy"})
    assert line("root is needed, chroot is not") == "*** is needed, chroot is not"


SHOWN = {
    "escape sequences": ("a\x1b[2Jb", r"a\x1b[2Jb"),
    "C0": ("a\x00\x07\x7fb", r"a\x00\x07\x7fb"),
    "C1": ("c\x9bd", r"c\x9bd"),
    "text turned round": ("a\u202eb\u2066c\u200fd\u061ce", r"a\u202eb\u2066c\u200fd\u061ce"),
    "zero width": ("a\u200bb\u200dc\ufeffd\u2060e\u00adf", r"a\u200bb\u200dc\ufeffd\u2060e\xadf"),
    "letters that show nothing": ("a\u3164b\u115fc\uffa0d\u034fe\ufe0ff\U000e0041", None),
    "surrogates": ("d\udcffe", r"d\udcffe"),
    "private use and unassigned": ("a\ue000b\U0010fffe", r"a\ue000b\U0010fffe"),
    "line and paragraph ends": ("a\u2028b\u2029c\x85d\x0be\x1cf\r\ng\th", "a b c d e f g h"),
    "letters of any script": ("é 字 ж ب 😀", "é 字 ж ب 😀"),
}


@pytest.mark.parametrize("kind", SHOWN)
def test_what_a_terminal_obeys_is_shown_escaped(kind: str) -> None:
    """One line, on which everything is seen; letters of any script stay."""
    text, shown = SHOWN[kind]
    expected = text.encode("unicode_escape").decode() if shown is None else shown
    assert line(text) == printable(text) == expected
    assert len(line(text).splitlines()) == 1


@pytest.mark.parametrize("text", ["A" * 1_000_000, "%41" * 500_000, "//" * 500_000 + "@", "\\\\&amp;" * 200_000])
def test_a_long_text_takes_no_longer(text: str) -> None:
    """A text of any length is told in less than a second of a processor, also where a secret repeats itself."""
    keep_secret("A" * 4000, PLAIN)
    began = time.process_time()
    assert len(line(text)) <= 500
    assert time.process_time() - began < 1
