"""Tells what was derived and what came of it, to whoever sits in front of a terminal."""

from __future__ import annotations

from typing import List, Sequence

from vpc_lab.rehearsal.rehearsal import Outcome, Prepared
from vpc_lab.scenarios.narrator import Narrator

# From so many lines on, those that are not run are only counted.
_MANY = 8


def tell_derived(prepared: Prepared, voice: Narrator) -> None:
    """The topology, what stands for placeholders, and the stand-ins."""
    derived = prepared.derived
    topology, ids = derived.topology, derived.settings.node_ids
    voice.table(
        f"The lab: region {topology.region}, VPC {topology.cidr}, corosync's token {derived.settings.token_ms} ms",
        (
            ("node", False),
            ("id", True),
            ("address", False),
            ("zone", False),
            ("route table", False),
            ("instance", False),
        ),
        [
            (
                one.name,
                str(ids[place] if ids else place + 1),
                str(one.address),
                one.subnet.availability_zone,
                one.subnet.route_table_id,
                one.instance_id,
            )
            for place, one in enumerate(topology.nodes)
        ],
    )
    for one in derived.resources:
        voice.say(f"{one.id} moves {', '.join(one.addresses)} (mode {one.mode})")
    for alias in prepared.aliases:
        voice.say(f"ocf:{alias} is played by ocf:heartbeat:aws-ipfailover, installed under that name")
    if prepared.stand_ins:
        voice.table(
            "Stand-ins: the same names, parameters and timings",
            (("agent", False), ("resources", False), ("what it does", False), ("because", False)),
            [(one.name, ", ".join(one.resources), one.behaviour, one.why) for one in prepared.stand_ins],
        )
    for sentence in (*prepared.source.mended, *prepared.told, *derived.told):
        voice.say(f"Note: {sentence}")
    skipped = prepared.source.configuration.skipped
    if len(skipped) > _MANY:
        voice.say(f"Not run, since it sets up machines or looks at them: lines {ranges([one for one, _ in skipped])}")
    for number, line in skipped if len(skipped) <= _MANY else ():
        # What follows may be a password.
        voice.say(f"Not run, line {number}: {' '.join(line.split()[:3])} ...")


def ranges(numbers: Sequence[int]) -> str:
    """Numbers in order, those that follow each other as FIRST-LAST."""
    found: List[List[int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][-1] + 1:
            found[-1][-1:] = [found[-1][-1], number] if len(found[-1]) == 1 else [number]
        else:
            found.append([number])
    return ", ".join("-".join(map(str, one)) for one in found)


def tell_outcome(outcome: Outcome, voice: Narrator) -> None:
    """The verdicts."""
    for line in outcome.said:
        voice.say(f"The tools said: {line}")
    if outcome.played:
        voice.table(
            "Verdicts, from the consumers' side",
            (("scenario", False), ("longest silence", True), ("verdict", False)),
            [
                (
                    one.scenario.name,
                    f"{one.longest_silence:.1f} s",
                    "passed" if one.verdict.passed else f"FAILED: {one.verdict.sentences()[0]}",
                )
                for one in outcome.played
            ],
        )
    for sentence in outcome.plan.notes if outcome.plan is not None else ():
        voice.say(f"Note: {sentence}")
    if outcome.plan is not None and outcome.plan.left_out:
        voice.table("Not played", (("scenario", False), ("because", False)), list(outcome.plan.left_out))
    for sentence in outcome.wrong:
        voice.verdict(sentence, good=False)
    if outcome.passed:
        voice.verdict("The configuration passed.", good=True)
