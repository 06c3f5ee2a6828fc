#!/usr/bin/env python3
"""Write docs/commands.md: what each command of `aws-ipfailover` says of itself, and pictures of what it prints.

The pictures and texts in docs/screens come from `make screens`; a command without one has none in the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, List, Tuple

import click

from aws_ipfailover.cli.group import command as group

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "commands.md"
SCREENS = ROOT / "docs" / "screens"
# Commands of other packages, which have pages of their own.
ELSEWHERE = ("lab",)
# What works without click, and has its help from argparse, which words it by the release of Python.
INSTALL = """Usage: aws-ipfailover install [--root DIR] [--as PROVIDER:NAME]
                              [--remove | --force]

  Install the resource agents for Pacemaker, or remove them.

Options:
  --root DIR          Install below DIR (default: /).
  --as PROVIDER:NAME  The agent alone, as ocf:PROVIDER:NAME.
  --remove            Remove the files, if they are these agents.
  --force             Install also where somebody other than root could change
                      what root runs.

  Example: aws-ipfailover install --as suse:aws-vpc-move-ip"""

HEAD = """# Commands

Made by `scripts/commands_page.py`. `aws-ipfailover` is what an administrator types; the agent that Pacemaker runs never
needs it. It comes with the agent (`make install`, or the package's extra `cli`), and runs on a node unless its text
says otherwise. Resources are named by their ids in the cluster; before there is a cluster, the agent's
parameters are typed as `NAME=VALUE`.

| exit code | meaning |
|---|---|
| 0 | what was asked for was done, or everything is in order |
| 1 | something is wrong: a check failed, a call was refused, an answer was lost |
| 2 | the command line is wrong |
| 3 | could not find out |
| 130 | interrupted (Ctrl-C); nothing is left half done |

On a terminal output has colours and fits its width; elsewhere it is plain lines. `--json` prints a document for
programs; its field `schema` names what `aws-ipfailover schema NAME` prints, as JSON Schema (draft 2020-12). Completion
for bash (`zsh` and `fish` likewise): `eval "$(_AWS_IPFAILOVER_COMPLETE=bash_source aws-ipfailover)"`.
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(_section(name, one) for name, one in _commands())


def helps() -> Iterator[Tuple[str, str]]:
    """Each command's name, and what its --help prints."""
    for name, one in _commands():
        yield name, _help(name, one)


def _commands() -> Iterator[Tuple[str, click.Command]]:
    with click.Context(group, info_name="aws-ipfailover") as context:
        for name in group.list_commands(context):
            one = group.get_command(context, name)
            if one is not None and name not in ELSEWHERE:
                yield name, one


def _section(name: str, one: click.Command) -> str:
    pictures = "".join(_picture(text) for text in sorted(SCREENS.glob("*.txt")) if _is_of(text.stem, name))
    return f"\n## {name}\n\n```\n{_help(name, one)}\n```\n{pictures}"


def _help(name: str, one: click.Command) -> str:
    if name == "install":
        return INSTALL
    names = ["-h", "--help"]
    with click.Context(group, info_name="aws-ipfailover", help_option_names=names) as parent:
        settings = {"help_option_names": names, **one.context_settings, "terminal_width": 80, "max_content_width": 80}
        with click.Context(one, info_name=name, parent=parent, **settings) as context:
            return one.get_help(context).rstrip()


def _is_of(picture: str, name: str) -> bool:
    return picture == name or picture.startswith(f"{name}-")


def _picture(text: Path) -> str:
    """A picture as GitHub and MkDocs show it, light or dark as the reader's system is."""
    lines: List[str] = text.read_text(encoding="utf-8").splitlines()
    alt = lines[0].lstrip("# ").replace('"', "'")
    dark, light = (f"screens/{text.stem}-80-{theme}.svg" for theme in ("dark", "light"))
    return (
        f'\n<picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img alt="{alt}, in a terminal" src="{light}"></picture>\n'
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
