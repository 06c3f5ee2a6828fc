"""Commands that pages show are commands that there are: names and options, in blocks of code and in the text."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

import click
import pytest

from aws_ipfailover.cli.group import command as group
from documentation import links

ROOT = Path(__file__).parents[2]
PAGES = sorted({*links.PAGES, *(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))})
NAME = "aws-ipfailover"
# What works without click: its options, as its help lists them.
OF_INSTALL = {"--root", "--as", "--remove", "--force"}


def commands(text: str) -> Iterator[str]:
    """The command lines of a page, those of several lines joined."""
    blocks = re.findall(r"^ *```\w*[^\n]*\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    for block in blocks:
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            found = re.match(rf"\s*(?:# |sudo )?({NAME} .*)", line)
            if found:
                yield found.group(1)
    outside = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(rf"`({NAME} [^`]+)`", outside.replace("\n", " "))


def complaint(line: str) -> Optional[str]:
    """What is wrong with a command line: no such command, or no such option; `None` if nothing is."""
    words: List[str] = []
    for word in shlex.split(line, comments=True)[1:]:
        if word in ("--", "|", ">", "&&", ";", "…"):
            break
        words.append(word)
    found: click.Command = group
    # With the settings of a command line: click keeps the option for help that a command has got first.
    with click.Context(group, info_name=NAME, **group.context_settings) as context:
        while isinstance(found, click.Group) and words and not words[0].startswith("-"):
            name = words.pop(0)
            if name.isupper():  # stands for a name
                return None
            if name == "install" and found is group:
                return next((f"install has no {word}" for word in options(words) if word not in OF_INSTALL), None)
            inner = found.get_command(context, name)
            if inner is None:
                return f"{found.name} has no {name}"
            found = inner
        known = {name for param in found.get_params(context) for name in (*param.opts, *param.secondary_opts)}
        return next((f"{found.name} has no {word}" for word in options(words) if word not in known), None)


def options(words: List[str]) -> Iterator[str]:
    """The options among words, without their values."""
    yield from (word.partition("=")[0] for word in words if re.match("--?[a-z]", word))


SHOWN: List[Tuple[str, str]] = [
    (page, line) for page in PAGES for line in dict.fromkeys(commands((ROOT / page).read_text(encoding="utf-8")))
]


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_a_page_exist(page: str) -> None:
    """With the options that it shows."""
    lines = [line for on, line in SHOWN if on == page]
    assert {line: complaint(line) for line in lines if complaint(line)} == {}


def test_commands_are_found() -> None:
    """In blocks, with a prompt, over several lines, and in the text."""
    text = "Type `aws-ipfailover where`.\n\n```\n# aws-ipfailover status\naws-ipfailover plan \\\n    --json\nls\n```\n"
    assert list(commands(text)) == ["aws-ipfailover status", "aws-ipfailover plan --json", "aws-ipfailover where"]
    assert len(SHOWN) > 100


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("aws-ipfailover statsu", "statsu"),
        ("aws-ipfailover status --wach", "--wach"),
        ("aws-ipfailover lab fault crahs node1", "crahs"),
        ("aws-ipfailover lab up --node 3", "--node"),
        ("aws-ipfailover install --az suse:x", "--az"),
    ],
)
def test_a_command_that_does_not_exist_is_seen(line: str, wrong: str) -> None:
    """A name or an option that is misspelled, or gone."""
    assert wrong in str(complaint(line))
