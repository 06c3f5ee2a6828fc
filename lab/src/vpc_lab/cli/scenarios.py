"""The verbs of `aws-ipfailover lab` that put a cluster through scenarios: `scenarios` and `soak`."""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Callable, List

from vpc_lab.errors import LabError

if TYPE_CHECKING:
    from vpc_lab.lab import Lab
    from vpc_lab.scenarios.configuration import Configuration

    Verb = Callable[[Lab, argparse.Namespace], int]
    Add = Callable[[str, Verb, str], argparse.ArgumentParser]

# Copies from vpc_lab.topology and vpc_lab.scenarios.configuration, which are imported only when a verb runs.
MODES = ("overlay-ip", "eni", "private-ip")
AGENTS = ("aws-ipfailover", "aws-vpc-move-ip")
INTERRUPTED = 130


def register(add: Add) -> None:
    """Add the verbs; `add` takes a verb, what runs it, and its help."""
    scenarios = add("scenarios", _scenarios, "play scenarios of the catalogue, each judged from the consumers' side")
    scenarios.add_argument("names", nargs="*", metavar="SCENARIO", help="which ones (default: every one that fits)")
    scenarios.add_argument("--list", action="store_true", help="only say which there are")
    scenarios.add_argument(
        "--agent",
        dest="agents",
        choices=AGENTS,
        action="append",
        help="whose agent; can be repeated (default: aws-ipfailover)",
    )
    scenarios.add_argument("--json", type=Path, metavar="FILE", help="write the outcome as JSON, too")
    scenarios.add_argument("--page", type=Path, metavar="FILE", help="write the table as a page in Markdown, too")
    scenarios.add_argument(
        "--beside",
        type=Path,
        metavar="FILE",
        action="append",
        default=[],
        help="the JSON of an earlier run, whose columns come first in the table; can be repeated",
    )
    _common(scenarios)
    soak = add("soak", _soak, "one fault after another and several at once, drawn from a seed, judged throughout")
    soak.add_argument("--minutes", type=_minutes, default=30.0, help="how long (default: %(default)s)")
    soak.add_argument("--seed", type=int, default=1, help="of everything that is drawn (default: %(default)s)")
    soak.add_argument("--first-step", type=_count, default=1, metavar="N", help="begin with this step of the seed's")
    soak.add_argument("--steps", type=_count, metavar="N", help="so many steps, however long they take")
    _common(soak)


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mode", choices=MODES, default=MODES[0], help="of the agent (default: %(default)s)")
    parser.add_argument("--nodes", type=int, choices=(2, 3), default=2, help="of the cluster (default: %(default)s)")
    parser.add_argument("--tool", choices=("crm", "pcs"), default="crm", help="that loads the configuration")
    parser.add_argument(
        "--directory", type=Path, metavar="DIR", help="where records and logs go (default: a new one in /tmp)"
    )


def _minutes(text: str) -> float:
    found = float(text)
    if not 0 < found < math.inf:
        raise argparse.ArgumentTypeError(f"a number of minutes, more than 0, not {text}")
    return found


def _count(text: str) -> int:
    found = int(text)
    if found < 1:
        raise argparse.ArgumentTypeError(f"a whole number, 1 or more, not {text}")
    return found


def _place(arguments: argparse.Namespace) -> Path:
    """The directory for records and logs; LabError where it cannot be made, or has a record already."""
    if arguments.directory is None:
        return Path(tempfile.mkdtemp(prefix="vpc-lab-"))
    found: Path = arguments.directory
    try:
        found.mkdir(parents=True, exist_ok=True)
        if any(found.iterdir()):
            raise LabError(f"{found} is not empty: records go into a directory of their own")
    except OSError as error:
        raise LabError(f"cannot write to {found}: {error.strerror}") from error
    return found


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LabError(f"cannot write {path}: {error.strerror}") from error


def _configuration(arguments: argparse.Namespace, agent: str) -> Configuration:
    from vpc_lab.scenarios import peer  # noqa: PLC0415 - a verb runs
    from vpc_lab.scenarios.configuration import PEER, Configuration  # noqa: PLC0415 - as above

    return Configuration(
        agent=agent,  # type: ignore[arg-type]
        tool=arguments.tool,
        mode=arguments.mode,
        nodes=arguments.nodes,
        aws_cli=peer.aws_cli() if agent == PEER else "aws",
    )


def _scenarios(lab: Lab, arguments: argparse.Namespace) -> int:
    from vpc_lab.scenarios.catalogue import CATALOGUE  # noqa: PLC0415 - a verb runs
    from vpc_lab.scenarios.configuration import settings_for  # noqa: PLC0415 - as above
    from vpc_lab.scenarios.narrator import narrator  # noqa: PLC0415 - as above
    from vpc_lab.scenarios.page import outcomes_of, page, table  # noqa: PLC0415 - as above
    from vpc_lab.scenarios.runner import Company, Played, fitting  # noqa: PLC0415 - as above

    known = CATALOGUE.known
    for name in arguments.names:
        if name not in known:
            raise LabError(f"there is no scenario '{name}'; `lab scenarios --list` shows which there are")
    wanted = [known[name] for name in arguments.names] or list(known.values())
    if arguments.list:
        for one in wanted:
            sys.stdout.write(f"{one.name}\n    {one.summary}\n")
        return 0
    earlier = [one for file in arguments.beside for one in outcomes_of(file)]
    voice, directory = narrator(), _place(arguments)
    played: List[Played] = []
    try:
        for agent in arguments.agents or AGENTS[:1]:
            configuration = _configuration(arguments, agent)
            with Company(lab.rundir.name, directory, voice, settings_for(configuration)) as company:
                for scenario in fitting(wanted, configuration):
                    found = company.play(scenario, configuration)
                    played.append(found)
                    for sentence in found.verdict.sentences():
                        voice.verdict(sentence, good=False)
                    word = "passed" if found.verdict.passed else "FAILED"
                    voice.verdict(
                        f"{scenario.name}: {word}; longest silence {found.longest_silence:.1f} s", found.verdict.passed
                    )
    except KeyboardInterrupt:
        voice.say("Interrupted: the lab is gone, and everything in it.")
        return INTERRUPTED
    outcomes = [one.to_json() for one in played]
    if arguments.json is not None:
        _write(arguments.json, json.dumps(outcomes, indent=1) + "\n")
    if arguments.page is not None:
        _write(arguments.page, page([*earlier, *outcomes]))
    sys.stdout.write(f"\n{table([*earlier, *outcomes])}\nThe records are in {directory}.\n")
    return 0 if all(one.verdict.passed for one in played) else 1


def _soak(lab: Lab, arguments: argparse.Namespace) -> int:
    from vpc_lab.scenarios.configuration import settings_for  # noqa: PLC0415 - a verb runs
    from vpc_lab.scenarios.narrator import narrator  # noqa: PLC0415 - as above
    from vpc_lab.scenarios.soak import Options, report, soak  # noqa: PLC0415 - as above

    voice, directory = narrator(), _place(arguments)
    configuration = _configuration(arguments, AGENTS[0])
    settings = settings_for(configuration, seed=arguments.seed)
    options = Options(arguments.seed, arguments.minutes, arguments.first_step, arguments.steps)
    voice.heading(f"A soak of mode {arguments.mode} with {arguments.nodes} nodes and seed {arguments.seed}")
    try:
        soaked = soak(lab.rundir.name, settings, configuration, options, directory, voice)
    except KeyboardInterrupt:
        voice.say(f"Interrupted: the lab is gone, and everything in it. The record is in {directory}.")
        return INTERRUPTED
    return report(soaked, options, configuration, settings, voice)
