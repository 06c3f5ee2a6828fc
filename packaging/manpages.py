"""The manual pages: those of the agents from their metadata, that of the command from what it says of itself."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Dict, Iterator, List
from xml.etree import ElementTree

import commands_page
from aws_ipfailover.cli.group import command
from locked import ROOT

AGENTS = ("aws-ipfailover", "aws-ipfailover-health")


def pages(version: str, date: str) -> Dict[str, str]:
    """Each page in roff, by the name of its file. date: as 2026-11-29."""
    found = {f"ocf_heartbeat_{name}.7": agent_page(name, metadata_of(name), version, date) for name in AGENTS}
    return {**found, "aws-ipfailover.8": command_page(version, date)}


def metadata_of(name: str) -> str:
    """What an agent prints of itself."""
    command = [sys.executable, str(ROOT / "heartbeat" / name), "meta-data"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def agent_page(name: str, metadata: str, version: str, date: str) -> str:
    """The page of an agent; `metadata`: its XML, as OCF describes it."""
    tree = ElementTree.fromstring(metadata)
    lines = [
        *head(f"OCF_HEARTBEAT_{name.upper()}", "7", version, date, "OCF resource agents"),
        *(".SH NAME", f"ocf_heartbeat_{escape(name)} \\- {escape(text_of(tree, 'shortdesc'))}"),
        *(
            ".SH SYNOPSIS",
            f".B crm configure primitive \\fIID\\fP ocf:heartbeat:{escape(name)} params \\fINAME=VALUE\\fP ...",
        ),
        ".br",
        f".B pcs resource create \\fIID\\fP ocf:heartbeat:{escape(name)} \\fINAME=VALUE\\fP ...",
        *(".SH DESCRIPTION", *paragraphs(text_of(tree, "longdesc"))),
        ".SH SUPPORTED PARAMETERS",
    ]
    for parameter in tree.iter("parameter"):
        content = parameter.find("content")
        assert content is not None, parameter.get("name")
        lines += [".TP", f"\\fB{escape(parameter.get('name', ''))}\\fP"]
        lines += [escape(", ".join(facts(parameter, content)) + ".")]
        lines += [".br", *paragraphs(text_of(parameter, "longdesc"), ".sp")]
    lines += [".SH SUPPORTED ACTIONS"]
    for action in tree.iter("action"):
        told = [f"{key} {action.get(key)}" for key in ("timeout", "interval", "depth") if action.get(key)]
        lines += [".TP", f"\\fB{escape(action.get('name', ''))}\\fP", escape(", ".join(told)) + "."]
    lines += [".SH SEE ALSO", ".BR aws\\-ipfailover (8),", ".BR crm (8),", ".BR pcs (8)"]
    return "\n".join(lines) + "\n"


def facts(parameter: ElementTree.Element, content: ElementTree.Element) -> Iterator[str]:
    """What a parameter's attributes say, in words."""
    kind = content.get("type", "string")
    values = [option.get("value", "") for option in content.iter("option")]
    yield f"One of {', '.join(values)}" if values else kind.capitalize()
    if parameter.get("required") == "1":
        yield "required"
    if content.get("default") is not None:
        yield f"default {content.get('default')}"
    if parameter.find("deprecated") is not None:
        yield "deprecated"


def command_page(version: str, date: str) -> str:
    """The page of the command and all of its commands."""
    group = command
    lines = [
        *head("AWS-IPFAILOVER", "8", version, date, "System administration"),
        *(".SH NAME", "aws\\-ipfailover \\- " + escape((group.help or "").strip().rstrip("."))),
        *(
            ".SH SYNOPSIS",
            ".B aws\\-ipfailover \\fICOMMAND\\fP [\\fIOPTIONS\\fP] [\\fIRESOURCE\\fP...|\\fINAME=VALUE\\fP...]",
        ),
        ".SH DESCRIPTION",
        "What an administrator types; the agent that Pacemaker runs never needs it. Resources are named by their ids",
        "in the cluster; before there is a cluster, the agent's parameters are typed as \\fINAME=VALUE\\fP.",
        ".SH COMMANDS",
    ]
    for name, text in commands_page.helps():
        lines += [f".SS {escape(name)}", ".nf", *map(escape, text.splitlines()), ".fi"]
    lines += [".SH EXIT STATUS"]
    for code, meaning in EXIT_STATUS.items():
        lines += [".TP", f"\\fB{code}\\fP", escape(meaning) + "."]
    lines += [".SH FILES"]
    lines += [".TP", ".I /usr/lib/aws\\-ipfailover/current", "Leads to the version that runs."]
    lines += [
        ".SH SEE ALSO",
        ".BR ocf_heartbeat_aws\\-ipfailover (7),",
        ".BR ocf_heartbeat_aws\\-ipfailover\\-health (7),",
    ]
    return "\n".join([*lines, ".BR pacemaker (7)"]) + "\n"


EXIT_STATUS = {
    "0": "What was asked for was done, or everything is in order",
    "1": "Something is wrong: a check failed, a call was refused, an answer was lost",
    "2": "The command line is wrong",
    "3": "Could not find out",
    "130": "Interrupted",
}


def completions() -> Dict[str, str]:
    """The completion script of each shell, by its name."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - by the name of a shell only

    found: Dict[str, str] = {}
    for shell in ("bash", "zsh", "fish"):
        of_shell = get_completion_class(shell)
        assert of_shell is not None, shell
        made = of_shell(command, {}, "aws-ipfailover", "_AWS_IPFAILOVER_COMPLETE")
        # Not source(): for bash that asks the bash of this machine for its version.
        found[shell] = of_shell.source_template % made.source_vars()
    return found


def head(title: str, section: str, version: str, date: str, manual: str) -> List[str]:
    """The first line of a page."""
    return [f'.TH "{escape(title)}" "{section}" "{date}" "aws\\-ipfailover {version}" "{manual}"']


def text_of(element: ElementTree.Element, name: str) -> str:
    """The text of a child, without the lines around it."""
    return (element.findtext(name) or "").strip()


def paragraphs(text: str, between: str = ".PP") -> Iterator[str]:
    """A text, with a request where it has an empty line."""
    for number, one in enumerate(re.split(r"\n\s*\n", text)):
        if number:
            yield between
        yield from map(escape, one.splitlines())


def escape(text: str) -> str:
    """A line of text as roff reads it."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return f"\\&{text}" if text.startswith((".", "'")) else text
