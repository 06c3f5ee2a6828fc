"""A soak: one fault after another and several at once, drawn from a seed, for as long as one likes.

It stops at the first thing that is wrong, says which step of which seed it was and what repeats it, and keeps record
and logs.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from vpc_lab.errors import LabError
from vpc_lab.faults import FAULTS
from vpc_lab.judge.audits import Auditor
from vpc_lab.judge.expectations import Allowance, Expectations
from vpc_lab.judge.recording import Recording
from vpc_lab.judge.verdict import Judge, Verdict
from vpc_lab.lab import Injected, Lab
from vpc_lab.report.document import About
from vpc_lab.report.page import NAME, write
from vpc_lab.scenarios import loading
from vpc_lab.scenarios.configuration import RESOURCE, Configuration
from vpc_lab.scenarios.draw import HARMLESS, Step, View, draw, may_be_fenced
from vpc_lab.scenarios.narrator import Narrator
from vpc_lab.scenarios.runner import tidy
from vpc_lab.scenarios.stage import Service, Stage
from vpc_lab.settings import Settings

# After a step has been healed, within which every consumer is answered again, by one node. The agent does not believe a
# read of EC2's that contradicts its own write for a minute; a start that failed is tried again after failure_timeout.
RECOVERED_WITHIN = 150.0
INTERVAL = 0.1
# A soak of so many steps is long enough to tell whether something grows: the last third of it against the first one.
_TELLING = 12
_LONGER, _LARGER = 2.0, 1.6
# A silence is dated by the last answer before it: by less than this before the fault that it follows.
_BEFORE = 1.0


@dataclass(frozen=True)
class Options:
    """What a soak is asked for. `steps`: at most so many; `first`: the number of the first one."""

    seed: int
    minutes: float
    first: int = 1
    steps: Optional[int] = None

    def more(self, number: int, began: float) -> bool:
        """Whether there is time for the step of that number; there always is for the first one."""
        if number == self.first:
            return True
        if self.steps is not None and number >= self.first + self.steps:
            return False
        return self.steps is not None or time.monotonic() - began < self.minutes * 60


@dataclass(frozen=True)
class Soaked:
    """What came of a soak.

    `durations`: seconds of each step; `memory`: what the supervisor and this process had resident after each, in kB;
    `failed`: the step in which something was wrong.
    """

    verdict: Verdict
    durations: Tuple[float, ...]
    memory: Tuple[int, ...]
    failed: Optional[Step]
    record: Path


def expectations() -> Expectations:
    """Of all steps: what is no fault of the service's path interrupts nobody."""
    disturbing = [name for name in FAULTS if name not in HARMLESS]
    return Expectations(
        recovered_within=RECOVERED_WITHIN,
        silence=2.0,
        allowances=tuple(Allowance(name, RECOVERED_WITHIN, throughout=True) for name in disturbing),
        fail_counts=None,
    )


def soak(
    name: str, settings: Settings, configuration: Configuration, options: Options, directory: Path, voice: Narrator
) -> Soaked:
    """Bring a lab up, load the configuration, and go on until the time is over or something is wrong."""
    with Lab.running(name, settings, say=voice.say) as lab:
        with voice.step("Loading the configuration"):
            loading.load(lab, configuration)
        return _in(lab, configuration, options, directory, voice)


def _in(lab: Lab, configuration: Configuration, options: Options, directory: Path, voice: Narrator) -> Soaked:
    addresses = loading.addresses_of(configuration, lab.status())
    expected = expectations()
    durations: List[float] = []
    memory: List[int] = []
    wrong: List[str] = []
    began = time.monotonic()
    number = options.first
    played = {"seed": options.seed, "first_step": options.first, **asdict(configuration)}
    begun: List[Tuple[float, Step]] = []
    with Recording.running(
        lab, directory / "record", {RESOURCE: addresses}, interval=INTERVAL, settings=played
    ) as recording:
        judge = Judge(recording.header, expected)
        stage = Stage(lab, recording, judge, configuration, Service(RESOURCE, tuple(addresses)), voice)
        stage.serves(stage.active(), time.time(), RECOVERED_WITHIN)
        # One for all steps: what each of them leaves behind adds up.
        auditor = Auditor(lab, addresses, {RESOURCE: addresses})
        while options.more(number, began) and not wrong and not judge.found:
            step_began = time.monotonic()
            step = Step(number, ())
            try:
                step = draw(options.seed, number, view_of(stage))
                voice.say(f"Step {number}: {step}")
                begun.append((time.time(), step))
                perform(stage, step)
                stage.restore(RECOVERED_WITHIN)
                stage.served(RECOVERED_WITHIN)  # also where a node was fenced late, after all had been served
                # Nor does anything of it explain what happens in the steps to come.
                recording.note("whole")
                audited = replace(expected, may_be_fenced=may_be_fenced(step, stage.nodes))
                wrong += [f"after step {number}: {one}" for one in auditor.complaints(audited, over=False)]
                auditor.restart()
                if not wrong:
                    tidy(lab)
            except LabError as error:
                wrong.append(f"step {number}: {error}")
                begun.append((time.time(), step))
            judge.feed(*recording.advance())
            durations.append(time.monotonic() - step_began)
            memory.append(resident(lab.supervisor_pid()) + resident(os.getpid()))
            number += 1
        if wrong or judge.found:
            with contextlib.suppress(LabError, OSError):
                lab.save_logs(directory / "logs")
    judge.feed(*recording.rest())
    verdict = judge.finish([*wrong, *growth(durations, memory)])
    failed = None if verdict.passed else step_of(verdict, begun, wrong)
    return Soaked(verdict, tuple(durations), tuple(memory), failed, directory / "record")


def step_of(verdict: Verdict, begun: Sequence[Tuple[float, Step]], wrong: Sequence[str]) -> Step:
    """The step in which something was wrong first: what consumers got is known only some seconds later."""
    times = [violation.time for violation in verdict.violations]
    if not times or wrong:
        return begun[-1][1]
    return next((step for when, step in reversed(begun) if when <= min(times) + _BEFORE), begun[0][1])


def growth(durations: Sequence[float], memory: Sequence[int]) -> List[str]:
    """A sentence for what grows with the length of a soak: by the medians of its first and of its last third."""
    if len(durations) < _TELLING:
        return []
    third = len(durations) // 3
    found = []
    first, last = median(durations[:third]), median(durations[-third:])
    if last > _LONGER * first:
        found.append(f"steps take longer and longer: {first:.1f} s in the first third, {last:.1f} s in the last one")
    small, large = median(memory[:third]) / 1024, median(memory[-third:]) / 1024
    if large > _LARGER * small:
        found.append(f"memory grows: {small:.0f} MB in the first third of the steps, {large:.0f} MB in the last one")
    return found


def resident(pid: int) -> int:
    """What a process has in memory, in kB (proc(5), VmRSS)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")), 0)


def view_of(stage: Stage) -> View:
    """What a step can choose from."""
    active = stage.active()
    return View(
        stage.configuration.mode,
        active,
        tuple(node for node in stage.nodes if node != active),
        stage.addresses,
        stage.tables(),
        stage.lab.status().zones,
    )


def perform(stage: Stage, step: Step) -> None:
    """Do what the step says, at its times; all of it has been healed when this returns."""
    actions: List[Tuple[float, Callable[[], object]]] = []
    in_force: Dict[int, Injected] = {}

    def begin(number: int) -> None:
        fault = step.timed[number].fault
        try:
            in_force[number] = stage.lab.inject(fault)
        except LabError as error:
            # What one fault has taken away another one cannot have: a node that is off cannot be frozen.
            stage.voice.say(f"{fault} is not in force: {error}")

    def end(number: int) -> None:
        if number in in_force:
            in_force.pop(number).heal()

    def move(target: str) -> None:
        stage.recording.note("move", to=target, within=RECOVERED_WITHIN)
        try:
            stage.command(["crm_resource", "--move", "--resource", stage.resource, "--node", target])
        except LabError as error:
            # The faults of the step may have taken the node, or the cluster. What is promised then is judged anyway.
            stage.voice.say(f"{stage.resource} is not moved to {target}: {error}")

    for number, one in enumerate(step.timed):
        actions.append((one.at, lambda number=number: begin(number)))  # type: ignore[misc]
        actions.append((one.at + one.lasting, lambda number=number: end(number)))  # type: ignore[misc]
    if step.move is not None:
        when, target = step.move
        actions.append((when, lambda: move(target)))
    began = time.monotonic()
    for when, do in sorted(actions, key=lambda action: action[0]):
        stage.watch(max(0.0, began + when - time.monotonic()))
        do()


def about(soaked: Soaked, options: Options, again: str) -> About:
    """What the page of a soak says of it. `again`: the command that repeats the step that failed."""
    notes = {}
    if soaked.failed is not None:
        step = f"Seed {options.seed}, step {soaked.failed.number}: {soaked.failed}"
        notes["The step that failed"] = (step, f"This repeats it: {again}")
    return About(
        f"soak with seed {options.seed}",
        "One fault after another and several at once, drawn from a seed; every consumer's answers are judged.",
        notes=notes,
        figures={"steps": str(len(soaked.durations))},
    )


def report(soaked: Soaked, options: Options, configuration: Configuration, settings: Settings, voice: Narrator) -> int:
    """Say what came of it; the exit code."""
    verdict, durations, memory = soaked.verdict, soaked.durations, soaked.memory
    asked = {protocol: counts.get("asked", 0) for protocol, counts in verdict.counts.items()}
    voice.say(
        f"{len(durations)} steps in {sum(durations) / 60:.0f} minutes, {verdict.faults} faults, {verdict.moves} moves;"
        f" questions: {', '.join(f'{count} over {protocol.upper()}' for protocol, count in asked.items())}"
    )
    third = max(1, len(durations) // 3)
    voice.say(
        f"A step took {sum(durations[:third]) / third:.1f} s in the first third, and"
        f" {sum(durations[-third:]) / third:.1f} s in the last one; supervisor and soak had {memory[0] / 1024:.0f} MB"
        f" after the first step, and {memory[-1] / 1024:.0f} MB after the last one."
    )
    for sentence in verdict.sentences():
        voice.verdict(sentence, good=False)
    again = ""
    if soaked.failed is not None:
        again = f"aws-ipfailover lab soak --mode {configuration.mode} --nodes {settings.nodes} --seed {options.seed}"
        again += f" --tool {configuration.tool} --first-step {soaked.failed.number} --steps 1"
        again += " --installed" if settings.installed else ""
    try:
        target = soaked.record.parent / NAME
        voice.say(f"The page of it: {write(target, soaked.record, verdict, about(soaked, options, again))}")
    except LabError as error:
        voice.say(f"There is no page of it: {error}")
    if soaked.failed is not None:
        voice.say(f"Seed {options.seed}, step {soaked.failed.number}: {soaked.failed}")
        voice.say(f"The record and the logs are kept in {soaked.record.parent}. This repeats the step: {again}")
        return 1
    voice.verdict(
        "Nothing was wrong: no answer came from a wrong node, and every consumer was served again.", good=True
    )
    return 0
