"""The verbs of `aws-ipfailover lab` about faults, all of them made from the one list of faults."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Type

from vpc_lab.faults import FAULTS, Fault, Parameter

if TYPE_CHECKING:
    from vpc_lab.lab import Lab

    Verb = Callable[[Lab, argparse.Namespace], int]
    Add = Callable[[str, Verb, str], argparse.ArgumentParser]

EXAMPLES = """\
Faults add up, and `lab heal NUMBER` undoes one of them. The first writes of routes by node2 are throttled:

  aws-ipfailover lab fault api-error RequestLimitExceeded --action ReplaceRoute --caller node2 --times 3

Every read takes two seconds; reads with a filter find nothing for half a minute; node1's clock is ten minutes behind:

  aws-ipfailover lab fault slow 2 --action 'Describe*'
  aws-ipfailover lab fault empty-reads --action DescribeNetworkInterfaces --for 30
  aws-ipfailover lab fault clock-stepped node1 --seconds 600

node1 hears node2, which does not hear it; the disk under node2's logs is full:

  aws-ipfailover lab fault partition node1 node2 --one-way
  aws-ipfailover lab fault disk-full node2 --where log
"""


def register(add: Add, guarded: Callable[[Verb], Callable[[argparse.Namespace], int]]) -> None:
    """Add the verbs; `add` takes a verb, what runs it, and its help; `guarded` turns errors into exit codes."""
    parser = add(
        "fault", _inject, "let something go wrong: `fault --help` lists what, `fault NAME --help` tells of one"
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    names = parser.add_subparsers(dest="fault", required=True, metavar="NAME")
    # Of a lab's name before the fault's, which a parser for a fault would overwrite.
    for fault in FAULTS.values():
        one = names.add_parser(fault.name, help=_escaped(fault.summary), description=_escaped(_whole(fault)))
        one.formatter_class = argparse.RawDescriptionHelpFormatter
        one.add_argument("--name", default=argparse.SUPPRESS, help="which lab, if there are several")
        for parameter in fault.parameters():
            _add(one, parameter)
        one.add_argument(
            "--for", dest="lasting", type=float, metavar="SECONDS", help="how long; it is healed by itself then"
        )
        one.set_defaults(fault=fault, run=guarded(_inject))
    heal = add("heal", _heal, "undo faults, by the numbers that `lab faults` shows, or all")
    heal.add_argument("numbers", nargs="*", type=int, metavar="NUMBER")
    heal.add_argument("--all", action="store_true", help="every fault")
    add("faults", _list, "show the faults in force")


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _whole(fault: Type[Fault]) -> str:
    lines = (fault.__doc__ or "").strip().splitlines()
    return "\n".join(line.strip() for line in lines)


def _add(parser: argparse.ArgumentParser, parameter: Parameter) -> None:
    help_ = _escaped(parameter.help)
    if parameter.kind is bool:
        # A flag for what is not so by default.
        action = "store_false" if parameter.default else "store_true"
        name = f"--no-{parameter.option}" if parameter.default else f"--{parameter.option}"
        without = "not so: " if parameter.default else ""
        parser.add_argument(name, dest=parameter.name, action=action, help=without + help_)
        return
    options: Dict[str, Any] = {"type": parameter.kind, "help": help_}
    if parameter.choices:
        options["choices"] = parameter.choices
    else:
        options["metavar"] = parameter.option.upper()
    if parameter.required:
        parser.add_argument(parameter.name, **options)
    else:
        if parameter.default is not None:
            options["help"] += " (default: %(default)s)"
        parser.add_argument(f"--{parameter.option}", dest=parameter.name, default=parameter.default, **options)


def _inject(lab: Lab, arguments: argparse.Namespace) -> int:
    made: Type[Fault] = arguments.fault
    values = {one.name: getattr(arguments, one.name) for one in made.parameters()}
    if "policy" in values:
        try:
            values["policy"] = Path(values["policy"]).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            sys.stderr.write(f"cannot read {values['policy']}: {error}\n")
            return 1
    injected = lab.inject(made(**values), arguments.lasting)
    sys.stdout.write(f"fault {injected.number}: {injected.fault}\n")
    return 0


def _heal(lab: Lab, arguments: argparse.Namespace) -> int:
    if bool(arguments.numbers) is arguments.all:
        sys.stderr.write("say which faults to heal: their numbers, which `lab faults` shows, or --all\n")
        return 2
    if arguments.all:
        lab.heal()
    for number in arguments.numbers:
        lab.heal(number)
    return 0


def _list(lab: Lab, _: argparse.Namespace) -> int:
    now = time.time()
    for one in lab.faults():
        left = "" if one.until is None else f", for {max(one.until - now, 0):.0f} s more"
        sys.stdout.write(f"{one.number:4}  {one.fault}  (since {now - one.since:.0f} s{left})\n")
    return 0
