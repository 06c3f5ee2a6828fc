"""Plays scenarios: a lab and a cluster as they need them, everything under the judge's eyes, a verdict for each."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

from vpc_lab.cluster import FENCE_DEVICE
from vpc_lab.errors import LabError
from vpc_lab.judge.audits import Auditor
from vpc_lab.judge.expectations import Expectations
from vpc_lab.judge.recording import Recording
from vpc_lab.judge.verdict import Judge, Verdict
from vpc_lab.lab import Lab
from vpc_lab.report.document import About
from vpc_lab.report.page import NAME, write
from vpc_lab.scenarios import loading
from vpc_lab.scenarios.configuration import RESOURCE, Configuration
from vpc_lab.scenarios.narrator import Narrator
from vpc_lab.scenarios.scenario import INFINITY, Scenario
from vpc_lab.scenarios.stage import Seen, Service, Stage, unseen
from vpc_lab.settings import Settings
from vpc_lab.traffic.recorder import INTERVAL

DEFAULTS = Settings()
# After the last fault or move, within which every consumer has to be answered again, by one node.
RECOVERED_WITHIN = 120.0


@dataclass(frozen=True)
class Played:
    """What came of a scenario. `record` is the directory of its record; `page` its page, where there is one."""

    scenario: Scenario
    configuration: Configuration
    verdict: Verdict
    record: Path
    seconds: float
    page: Optional[Path] = None

    @property
    def about(self) -> About:
        """What its page says of it."""
        title = f"{self.scenario.name}: {self.configuration.agent}, {self.configuration.mode}"
        return About(f"{title}, {self.configuration.nodes} nodes", self.scenario.summary)

    @property
    def longest_silence(self) -> float:
        """Seconds for which some consumer had no answer, at most."""
        return max((silence.seconds for silence in self.verdict.silences), default=0.0)

    def to_json(self) -> Dict[str, Any]:
        """Plain values."""
        return {
            "scenario": self.scenario.name,
            "summary": self.scenario.summary,
            "agent": self.configuration.agent,
            "tool": self.configuration.tool,
            "mode": self.configuration.mode,
            "nodes": self.configuration.nodes,
            "passed": self.verdict.passed,
            "longest_silence": round(self.longest_silence, 3),
            "problems": self.verdict.sentences(),
            "seconds": round(self.seconds, 1),
        }


def expectations_of(scenario: Scenario, resource: str, tolerated: Sequence[str] = ()) -> Expectations:
    """What may happen in a scenario whose service is `resource`; failures of `tolerated` are not judged.

    The fence device asks EC2 each minute, and may fail where EC2 does: whom it has to fence is judged by itself.
    """
    return Expectations(
        grace=scenario.grace,
        recovered_within=RECOVERED_WITHIN,
        allowances=scenario.allowances,
        fail_counts={**dict.fromkeys((FENCE_DEVICE, *tolerated), INFINITY), resource: scenario.fail_counts},
        excuses=scenario.excuses,
    )


def play(
    lab: Lab,
    scenario: Scenario,
    configuration: Configuration,
    directory: Path,
    voice: Narrator,
    *,
    interval: float = INTERVAL,
    service: Optional[Service] = None,
    seen: Seen = unseen,
    settings: Settings = DEFAULTS,
) -> Played:
    """Play one scenario in a lab whose cluster has its configuration loaded. Its record is in `directory` then.

    `service`: where it is not the one of `configuration`. `seen` is told of each failover when it is over. `settings`:
    those of the lab, for the record.
    """
    began = time.monotonic()
    if service is None:
        service = Service(RESOURCE, loading.addresses_of(configuration, lab.status()))
    resource, addresses = service.resource, service.addresses
    expectations = replace(expectations_of(scenario, resource, service.tolerated), after_stop=service.after_stop)
    held = {resource: addresses, **service.others}
    auditor = Auditor(lab, [address for some in held.values() for address in some], held)
    wrong: List[str] = []
    about = {"scenario": scenario.name, **asdict(configuration), **settings.chosen(), "seed": settings.seed}
    with Recording.running(lab, directory, {resource: addresses}, interval=interval, settings=about) as recording:
        judge = Judge(recording.header, expectations)
        stage = Stage(lab, recording, judge, configuration, service, voice, seen)
        try:
            stage.serves(stage.active(), time.time(), RECOVERED_WITHIN)
            scenario.play(stage)
        except LabError as error:
            wrong.append(f"the scenario did not get to its end: {error}")
        try:
            if scenario.restores:
                stage.restore()
            stage.watch(2.0)
        except LabError as error:
            wrong.append(f"the cluster did not become whole again: {error}")
        expected = replace(
            expectations,
            may_be_fenced=(*stage.fenced, *stage.may_be_fenced),
            must_be_fenced=tuple(stage.fenced),
        )
        wrong += auditor.complaints(expected)
    judge.feed(*recording.rest())
    verdict = judge.finish(wrong)
    recording.pack()
    return Played(scenario, configuration, verdict, directory, time.monotonic() - began)


def with_page(played: Played, voice: Narrator) -> Played:
    """The same, with its page written beside its record."""
    try:
        played.record.mkdir(parents=True, exist_ok=True)
        page = write(played.record / NAME, played.record, played.verdict, played.about)
    except (LabError, OSError) as error:
        # The verdict is what matters, and is told all the same.
        voice.say(f"There is no page of {played.scenario.name}: {error}")
        return played
    return replace(played, page=page)


@dataclass
class Company:
    """Plays one scenario after another, in a lab that is kept for as long as its settings and configuration fit."""

    name: str
    directory: Path
    voice: Narrator
    settings: Settings = field(default_factory=Settings)
    interval: float = INTERVAL
    # A page for each scenario, also for one that has passed.
    every_page: bool = False
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _lab: Optional[Lab] = None
    _there: Optional[Settings] = None
    _empty: str = ""
    _loaded: Optional[Configuration] = None
    _number: int = 0

    def __enter__(self) -> Company:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the lab."""
        self._lab = self._there = self._loaded = None
        self._stack.close()

    def play(self, scenario: Scenario, configuration: Configuration) -> Played:
        """Play one, in a lab of its own if need be. It has failed where that lab or its cluster does not come up."""
        configuration = scenario.configure(configuration)
        self._number += 1
        place = self.directory / f"{self._number:02}-{scenario.name}-{configuration.agent}"
        self.voice.heading(f"{scenario.name}: {scenario.summary}")
        began = time.monotonic()
        try:
            played = self._in_lab(scenario, configuration, place)
        except LabError as error:
            # The others are played all the same, and what was seen of those before is kept.
            verdict = Verdict(audit=(f"the lab or its cluster failed the scenario: {error}",))
            played = Played(scenario, configuration, verdict, place, time.monotonic() - began)
        if not played.verdict.passed:
            if self._lab is not None:
                with contextlib.suppress(LabError, OSError):
                    self._lab.save_logs(place / "logs")
            # What went wrong may go on: the next one gets a lab of its own.
            self.close()
        return with_page(played, self.voice) if self.every_page or not played.verdict.passed else played

    def _in_lab(self, scenario: Scenario, configuration: Configuration, place: Path) -> Played:
        lab = self._lab_for(scenario, configuration)
        there = self._there or self.settings
        played = play(lab, scenario, configuration, place, self.voice, interval=self.interval, settings=there)
        if played.verdict.passed and scenario.restores:
            with self.voice.step("Forgetting failures and constraints"):
                tidy(lab)
        elif not scenario.restores:
            self.close()
        return played

    def _lab_for(self, scenario: Scenario, configuration: Configuration) -> Lab:
        wanted = scenario.settings(self.settings)
        if self._lab is None or self._there != wanted:
            self.close()
            self._stack = contextlib.ExitStack()
            self._lab = self._stack.enter_context(Lab.running(self.name, wanted, say=self.voice.say))
            self._there = wanted
            self._empty = loading.configuration_of(self._lab)
        lab = self._lab
        if self._loaded != configuration:
            with self.voice.step(f"Loading the configuration of {configuration.agent} by {configuration.tool}"):
                if self._loaded is not None:
                    loading.empty(lab, self._empty)
                self._loaded = None
                scenario.prepare(lab)
                loading.load(lab, configuration)
                self._loaded = configuration
        return lab


def tidy(lab: Lab) -> None:
    """Forget failures and constraints, as an administrator does who has seen them; the service is where it prefers."""
    lab.exec(lab.awake_node(), ["crm_resource", "--clear", "--resource", RESOURCE], check=False)
    lab.forget_failures()


def fitting(scenarios: Sequence[Scenario], configuration: Configuration) -> Iterator[Scenario]:
    """Those of the scenarios that can be played with this agent, mode and number of nodes."""
    for scenario in scenarios:
        if scenario.fits(configuration.agent, configuration.mode, configuration.nodes):
            yield scenario
