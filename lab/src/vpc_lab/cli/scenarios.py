"""The verbs of `aws-ipfailover lab` that put a cluster through scenarios: `scenarios` and `soak`."""

from __future__ import annotations

import json
import math
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Tuple, TypeVar

import click

from vpc_lab.cli.verb import FILE, NODES, Verb, mode_option
from vpc_lab.errors import LabError

if TYPE_CHECKING:
    from vpc_lab.lab import Lab
    from vpc_lab.scenarios.configuration import Configuration, Tool
    from vpc_lab.settings import Settings
    from vpc_lab.topology import Mode

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

# A copy from vpc_lab.scenarios.configuration, which is imported only when a verb runs.
AGENTS = ("aws-ipfailover", "aws-vpc-move-ip")
TOOLS = ("crm", "pcs")
INTERRUPTED = 130


def _minutes(ctx: click.Context, param: click.Parameter, found: float) -> float:
    if not 0 < found < math.inf:
        raise click.BadParameter(f"a number of minutes, more than 0, not {found:g}")
    return found


def _count(ctx: click.Context, param: click.Parameter, found: Optional[int]) -> Optional[int]:
    if found is not None and found < 1:
        raise click.BadParameter(f"a whole number, 1 or more, not {found}")
    return found


def _cluster_options(decorated: Decorated) -> Decorated:
    """What both verbs have: the cluster, and where its records go."""
    options = (
        mode_option,
        click.option(
            "--nodes", type=click.Choice(NODES), default=NODES[0], help=f"of the cluster (default: {NODES[0]})"
        ),
        click.option("--tool", type=click.Choice(TOOLS), default=TOOLS[0], help="that loads the configuration"),
        click.option("--installed", is_flag=True, help="nodes run the agent that this machine's package has"),
        click.option(
            "--directory", type=FILE, metavar="DIR", help="where records and logs go (default: a new one in /tmp)"
        ),
    )
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


def place_for(directory: Optional[Path]) -> Path:
    """The directory for records and logs; LabError where it cannot be made, or has a record already."""
    if directory is None:
        return Path(tempfile.mkdtemp(prefix="vpc-lab-"))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise LabError(f"{directory} is not empty: records go into a directory of their own")
    except OSError as error:
        raise LabError(f"cannot write to {directory}: {error.strerror}") from error
    return directory


def _base_settings(configuration: Configuration, *, installed: bool, seed: int = 0) -> Settings:
    """The lab for a configuration; LabError where its nodes are to run a package that is not installed here."""
    from vpc_lab.lab import Lab  # noqa: PLC0415 - a verb runs
    from vpc_lab.scenarios.configuration import settings_for  # noqa: PLC0415 - as above

    settings = replace(settings_for(configuration, seed=seed), installed=installed)
    Lab.possible(settings)
    return settings


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LabError(f"cannot write {path}: {error.strerror}") from error


def _configuration(agent: str, tool: Tool, mode: Mode, nodes: str) -> Configuration:
    from vpc_lab.scenarios import peer  # noqa: PLC0415 - a verb runs
    from vpc_lab.scenarios.configuration import PEER, Configuration  # noqa: PLC0415 - as above

    return Configuration(
        agent=agent,  # type: ignore[arg-type]
        tool=tool,
        mode=mode,
        nodes=int(nodes),
        aws_cli=peer.aws_cli() if agent == PEER else "aws",
    )


@click.command("scenarios", cls=Verb)
@click.argument("names", nargs=-1, metavar="[SCENARIO]...")
@click.option("--list", "listed", is_flag=True, help="only say which there are")
@click.option(
    "--agent",
    "agents",
    type=click.Choice(AGENTS),
    multiple=True,
    metavar="AGENT",
    help=f"{AGENTS[0]} (default) or {AGENTS[1]}; repeatable",
)
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="write the outcome as JSON, too")
@click.option("--page", "page_file", type=FILE, metavar="FILE", help="write the table in Markdown, too")
@click.option("--reports", is_flag=True, help="a page (HTML) of each; else only of those that fail")
@click.option(
    "--beside",
    type=FILE,
    metavar="FILE",
    multiple=True,
    help="the JSON of an earlier run, whose columns come first in the table; can be repeated",
)
@_cluster_options
def scenarios_verb(
    lab: Lab,
    names: Tuple[str, ...],
    listed: bool,
    agents: Tuple[str, ...],
    json_file: Optional[Path],
    page_file: Optional[Path],
    reports: bool,
    beside: Tuple[Path, ...],
    mode: Mode,
    nodes: str,
    tool: Tool,
    installed: bool,
    directory: Optional[Path],
) -> int:
    """Play scenarios of the catalogue, by default every one that fits, each judged from the consumers' side.

    \b
    Example:
      aws-ipfailover lab scenarios planned-move split-brain --nodes 3
    """
    from vpc_lab.scenarios.catalogue import CATALOGUE  # noqa: PLC0415 - a verb runs
    from vpc_lab.scenarios.narrator import narrator  # noqa: PLC0415 - as above
    from vpc_lab.scenarios.page import outcomes_of, page, table  # noqa: PLC0415 - as above
    from vpc_lab.scenarios.runner import Company, Played, fitting  # noqa: PLC0415 - as above

    known = CATALOGUE.known
    for name in names:
        if name not in known:
            raise LabError(f"there is no scenario '{name}'; `lab scenarios --list` shows which there are")
    wanted = [known[name] for name in names] or list(known.values())
    if listed:
        for one in wanted:
            sys.stdout.write(f"{one.name}\n    {one.summary}\n")
        return 0
    earlier = [one for file in beside for one in outcomes_of(file)]
    voice, place = narrator(), place_for(directory)
    played: List[Played] = []
    interrupted = False
    try:
        for agent in agents or AGENTS[:1]:
            configuration = _configuration(agent, tool, mode, nodes)
            settings = _base_settings(configuration, installed=installed)
            with Company(lab.rundir.name, place, voice, settings, every_page=reports) as company:
                for scenario in fitting(wanted, configuration):
                    found = company.play(scenario, configuration)
                    played.append(found)
                    for sentence in found.verdict.sentences():
                        voice.verdict(sentence, good=False)
                    word = "passed" if found.verdict.passed else "FAILED"
                    voice.verdict(
                        f"{scenario.name}: {word}; longest silence {found.longest_silence:.1f} s", found.verdict.passed
                    )
                    if found.page is not None:
                        voice.say(f"The page of it: {found.page}")
    except KeyboardInterrupt:
        voice.say("Interrupted: the lab is gone, and everything in it.")
        interrupted = True
    outcomes = [one.to_json() for one in played]
    # Also what an interrupted run has played, which can be most of an hour's work; a page is of whole runs.
    if json_file is not None and (played or not interrupted):
        _write(json_file, json.dumps(outcomes, indent=1) + "\n")
    if interrupted:
        return INTERRUPTED
    if page_file is not None:
        _write(page_file, page([*earlier, *outcomes]))
    sys.stdout.write(f"\n{table([*earlier, *outcomes])}\nThe records are in {place}.\n")
    return 0 if all(one.verdict.passed for one in played) else 1


@click.command("soak", cls=Verb)
@click.option("--minutes", type=float, default=30.0, callback=_minutes, metavar="M", help="how long (default: 30.0)")
@click.option("--seed", type=int, default=1, metavar="N", help="of everything that is drawn (default: 1)")
@click.option(
    "--first-step", type=int, default=1, callback=_count, metavar="N", help="begin with this step of the seed's"
)
@click.option("--steps", type=int, callback=_count, metavar="N", help="so many steps, however long they take")
@_cluster_options
def soak_verb(
    lab: Lab,
    minutes: float,
    seed: int,
    first_step: int,
    steps: Optional[int],
    mode: Mode,
    nodes: str,
    tool: Tool,
    installed: bool,
    directory: Optional[Path],
) -> int:
    """Let one fault follow another, and several at once, drawn from a seed, judged throughout.

    \b
    Example:
      aws-ipfailover lab soak --mode eni --minutes 10 --seed 7
    """
    from vpc_lab.scenarios.narrator import narrator  # noqa: PLC0415 - a verb runs
    from vpc_lab.scenarios.soak import Options, report, soak  # noqa: PLC0415 - as above

    voice, place = narrator(), place_for(directory)
    configuration = _configuration(AGENTS[0], tool, mode, nodes)
    settings = _base_settings(configuration, installed=installed, seed=seed)
    options = Options(seed, minutes, first_step, steps)
    voice.heading(f"A soak of mode {mode} with {nodes} nodes and seed {seed}")
    try:
        soaked = soak(lab.rundir.name, settings, configuration, options, place, voice)
    except KeyboardInterrupt:
        voice.say(f"Interrupted: the lab is gone, and everything in it. The record is in {place}.")
        return INTERRUPTED
    return report(soaked, options, configuration, settings, voice)
