"""What a scenario is: something that is done to a lab, and what may come of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Mapping, Tuple

from vpc_lab.judge.expectations import Allowance, Excuse
from vpc_lab.lab import Lab
from vpc_lab.scenarios.configuration import AGENTS, Agent, Configuration
from vpc_lab.scenarios.stage import Stage
from vpc_lab.settings import Settings
from vpc_lab.topology import MODES, Mode

Play = Callable[[Stage], None]
# The fail count after which Pacemaker tries no more.
INFINITY = 1_000_000


def _as_it_is(configuration: Configuration) -> Configuration:
    return configuration


def _as_they_are(settings: Settings) -> Settings:
    return settings


def _nothing(_: Lab) -> None:
    pass


@dataclass(frozen=True)
class Scenario:
    """One of the catalogue. `summary` is the first sentence of what plays it.

    `allowances`: how long consumers may be without an answer for which fault; a planned move is its own. `modes`,
    `nodes` and `agents`: where it makes sense. `configure`, `settings` and `prepare`: what it needs beside the ordinary
    configuration and lab. `grace`: seconds for which the old node may go on answering beside the new one.
    `fail_counts`: the highest fail count that the service may have in the end. `restores`: afterwards everything is
    healed and every node switched on. `looks`: it is about what a monitor sees that looks at EC2 (OCF_CHECK_LEVEL=10).
    `fences`: a node is fenced in it.
    """

    name: str
    summary: str
    play: Play
    allowances: Tuple[Allowance, ...] = ()
    modes: Tuple[Mode, ...] = MODES
    nodes: Tuple[int, ...] = (2, 3)
    agents: Tuple[Agent, ...] = AGENTS
    configure: Callable[[Configuration], Configuration] = _as_it_is
    settings: Callable[[Settings], Settings] = _as_they_are
    prepare: Callable[[Lab], None] = _nothing
    grace: float = 0.0
    excuses: Tuple[Excuse, ...] = ()
    fail_counts: int = 0
    restores: bool = True
    looks: bool = False
    fences: bool = False

    def fits(self, agent: Agent, mode: Mode, nodes: int) -> bool:
        """Whether it can be played so."""
        return agent in self.agents and mode in self.modes and nodes in self.nodes


class Catalogue:
    """The scenarios that were declared, by name."""

    def __init__(self) -> None:
        self._known: Dict[str, Scenario] = {}

    def scenario(self, **about: object) -> Callable[[Play], Play]:
        """Declare the function below as a scenario: its name with hyphens, its docstring the summary."""

        def declare(play: Play) -> Play:
            name = play.__name__.replace("_", "-")
            summary = " ".join((play.__doc__ or "").split("\n\n")[0].split())
            self._known[name] = Scenario(name, summary, play, **about)  # type: ignore[arg-type]
            return play

        return declare

    @property
    def known(self) -> Mapping[str, Scenario]:
        """Every scenario, in the order in which they were declared."""
        return dict(self._known)
