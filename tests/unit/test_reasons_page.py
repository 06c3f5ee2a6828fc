"""docs/reasons.md explains every exit reason of the agent: they are taken from its code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Set

import aws_ipfailover
from documentation import reasons

PAGE = Path(__file__).parents[2] / "docs" / "reasons.md"
PACKAGE = Path(aws_ipfailover.__file__).parent
# Texts in the agent's code that nobody reads in an exit reason, by what they are.
NO_REASONS: Set[str] = {
    # parts of messages of EC2, of iproute2 and of IAM that the code looks for
    *("Encoded authorization failure message", r"\bbecause (.*)|\b(with an explicit deny .*)", "no route defined"),
    *("already has an interface attached at device index", "belong to different networks"),
    *("does not belong to you", "permission to access the specified resource", "address not found"),
    *(
        "ipv6 is disabled",
        "cannot assign requested address",
        "cannot find device",
        "does not exist",
        "table does not exist",
    ),
    # what is being done, in front of "no answer before the operation's timeout"
    *("AWS credentials (profile, environment, or by IMDS the instance's role)",),
    *("certificate authorities in …", "connecting to EC2", "the region, from instance metadata (IMDS)"),
    # what is put into a gap of another text
    *("… at …:…", "ca_bundle of the AWS profile", "no certificate in PEM format", "the Python package requests"),
    *("the … endpoint", "the network interfaces of this node", "of network card …", "…: …: ……", "…: …; …", "… in …"),
    # records, marks and bytes
    *("aws-ipfailover …, addresses:", "… without …", "0001 0800 06 04", "… is not a MAC address of six octets"),
    # metadata and usage
    *("Accepted for configurations written for …, where it …. It has no effect here.", "No effect (…)", "usage: … {…}"),
}


def explained() -> Set[str]:
    """What the page has in the first column of its tables."""
    rows = re.findall(r"^\| `(.+?)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == len(set(rows)), [one for one in rows if rows.count(one) > 1]
    return set(rows)


def test_every_reason_is_explained() -> None:
    """A text that the code can put into an exit reason has a row; a new one has to get one."""
    found = reasons.texts(PACKAGE)
    missing = {text: sorted(modules) for text, modules in found.items() if text not in NO_REASONS | explained()}
    assert missing == {}


def test_nothing_else_is_explained() -> None:
    """A row, or an exception above, for a text that the code does not have any more has to go."""
    assert (explained() | NO_REASONS) - set(reasons.texts(PACKAGE)) == set()
    assert explained() & NO_REASONS == set()


def test_a_reason_without_a_row_is_seen(tmp_path: Path) -> None:
    """Errors, findings and what a helper returns are found; docstrings, the log and other commands are not."""
    (tmp_path / "agent.py").write_text(
        '"""What this module is for."""\n'
        "from aws_ipfailover import part\n"
        "def start(name: str) -> None:\n"
        '    """What this function is for."""\n'
        '    log.error("what is only logged: %s", name)\n'
        '    raise Error(f"the thing {name} is broken")\n'
    )
    (tmp_path / "part.py").write_text('def why() -> str:\n    return "some words of it"\n')
    (tmp_path / "other.py").write_text('TEXT = "not of the agent"\n')
    assert set(reasons.texts(tmp_path)) == {"the thing … is broken", "some words of it"}


def test_a_cause_has_what_to_do() -> None:
    """Under the headings of exit codes each row says more than the reason, or stands below one that does."""
    page = PAGE.read_text(encoding="utf-8")
    explanations = re.findall(r"^\| `.+?` \| (.*?) ?\|$", page, re.MULTILINE)
    assert sum(bool(text) for text in explanations) > 0.8 * len(explanations)
