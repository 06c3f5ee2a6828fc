"""The verbs of `aws-ipfailover lab` about faults, all of them made from the one list of faults."""

from __future__ import annotations

import shlex
import sys
import time
from inspect import cleandoc
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple, Type

import click

from vpc_lab.cli.verb import USAGE, WRONG, Argument, Group, Verb, argument, name_option
from vpc_lab.faults import FAULTS, Fault, Parameter

if TYPE_CHECKING:
    from vpc_lab.lab import Lab

_FAULT_HELP = """Let something go wrong. Faults add up; `lab heal NUMBER` undoes one of them.

\b
Examples:
  aws-ipfailover lab fault partition node1 node2 --one-way
  aws-ipfailover lab fault slow 2 --action 'Describe*' --for 30
"""
# What an example has for each argument of a fault.
_EXAMPLES = {
    "node": "node1",
    "one": "node1",
    "other": "node2",
    "zone": "eu-central-1a",
    "seconds": "2",
    "code": "RequestLimitExceeded",
    "action": "*Route",
    "policy": "policy.json",
    "how": "silent",
    "destination": "192.168.10.10/32",
    "target": "node2",
    "table": "a",
    "address": "192.168.10.10",
}


class Faults(Group):
    """The verb `fault`: one command for each fault of the list."""

    def list_commands(self, ctx: click.Context) -> List[str]:
        """The faults' names, in the order of the list."""
        return list(FAULTS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        """The command that injects one fault; None if there is no such fault."""
        fault = FAULTS.get(cmd_name)
        return None if fault is None else _injecting(fault)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The names only, by what they are about: with its sentence each, they would fill two terminals."""
        kinds: Dict[str, List[str]] = {}
        for fault in FAULTS.values():
            kinds.setdefault(fault.kind, []).append(fault.name)
        with formatter.section("Faults, which `lab fault NAME --help` explains"):
            for kind, names in kinds.items():
                # Not formatter.write_text, which breaks lines at the hyphens of names.
                for line in wrap(
                    f"{kind}: {', '.join(names)}", formatter.width - formatter.current_indent, break_on_hyphens=False
                ):
                    formatter.write(" " * formatter.current_indent + line + "\n")


def _whole(fault: Type[Fault]) -> str:
    words = [_EXAMPLES[one.name] for one in fault.parameters() if one.required]
    example = shlex.join(["aws-ipfailover", "lab", "fault", fault.name, *words])
    return f"{cleandoc(fault.__doc__ or fault.summary)}\n\n\b\nExample:\n  {example}"


def _injecting(fault: Type[Fault]) -> Verb:
    def inject(lab: Lab, lasting: Optional[float], **given: Any) -> int:
        return _inject(lab, fault, given, lasting)

    lasting = click.Option(
        ["--for", "lasting"], type=float, metavar="SECONDS", help="how long; it is healed by itself then"
    )
    params = [*map(_parameter, fault.parameters()), lasting]
    return Verb(fault.name, params=params, callback=inject, help=_whole(fault), short_help=fault.summary)


def _parameter(parameter: Parameter) -> click.Parameter:
    if parameter.kind is bool:
        # A flag for what is not so by default.
        option = f"--no-{parameter.option}" if parameter.default else f"--{parameter.option}"
        without = "not so: " if parameter.default else ""
        return click.Option([option, parameter.name], is_flag=True, help=without + parameter.help)
    kind = click.Choice(parameter.choices) if parameter.choices else parameter.kind
    if parameter.required:
        metavar = f"{{{'|'.join(parameter.choices)}}}" if parameter.choices else parameter.option.upper()
        return Argument([parameter.name], parameter.help, type=kind, metavar=metavar)
    notes = [", ".join(parameter.choices)] if parameter.choices else []
    if parameter.default is not None:
        notes.append(f"default: {parameter.default}")
    return click.Option(
        [f"--{parameter.option}", parameter.name],
        type=kind,
        metavar=parameter.option.upper(),
        default=parameter.default,
        help=parameter.help + (f" ({'; '.join(notes)})" if notes else ""),
    )


def _inject(lab: Lab, fault: Type[Fault], given: Dict[str, Any], lasting: Optional[float]) -> int:
    # The flag of a parameter that is true by default says that it is not.
    values: Dict[str, Any] = {
        one.name: not given[one.name] if one.kind is bool and one.default else given[one.name]
        for one in fault.parameters()
    }
    if "policy" in values:
        try:
            values["policy"] = Path(values["policy"]).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            sys.stderr.write(f"cannot read {values['policy']}: {error}\n")
            return WRONG
    injected = lab.inject(fault(**values), lasting)
    sys.stdout.write(f"fault {injected.number}: {injected.fault}\n")
    return 0


fault_verb = Faults("fault", params=[name_option()], help=_FAULT_HELP, subcommand_metavar="NAME [ARGS]...")


@click.command("heal", cls=Verb)
@argument("numbers", "of the faults, as `lab faults` shows them", nargs=-1, type=int, metavar="[NUMBER]...")
@click.option("--all", "every", is_flag=True, help="every fault")
def heal_verb(lab: Lab, numbers: Tuple[int, ...], every: bool) -> int:
    """Undo faults, by the numbers that `lab faults` shows, or all.

    \b
    Example:
      aws-ipfailover lab heal --all
    """
    if bool(numbers) is every:
        sys.stderr.write("say which faults to heal: their numbers, which `lab faults` shows, or --all\n")
        return USAGE
    if every:
        lab.heal()
    for number in numbers:
        lab.heal(number)
    return 0


@click.command("faults", cls=Verb)
def faults_verb(lab: Lab) -> int:
    """Show the faults in force.

    \b
    Example:
      aws-ipfailover lab faults
    """
    now = time.time()
    for one in lab.faults():
        left = "" if one.until is None else f", for {max(one.until - now, 0):.0f} s more"
        sys.stdout.write(f"{one.number:4}  {one.fault}  (since {now - one.since:.0f} s{left})\n")
    return 0
