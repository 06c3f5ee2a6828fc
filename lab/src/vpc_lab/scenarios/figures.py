"""The figures of one failover: what each consumer saw of it, and what happened when."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from vpc_lab.judge.timeline import COROSYNC, Moment, of_answers, of_events, of_log, pacemaker_patterns, timeline
from vpc_lab.lab import Lab
from vpc_lab.scenarios.narrator import Narrator
from vpc_lab.scenarios.stage import Stage
from vpc_lab.traffic.analysis import Row, Switch, overlap_ms, rows

LEAD = 1.0  # seconds before the trigger that a failover's figures look back to
LOGS = (("/var/log/corosync/corosync.log", COROSYNC),)


@dataclass(frozen=True)
class Failover:
    """One failover of the demonstration, as it was seen."""

    name: str
    switch: Switch
    rows: Tuple[Row, ...]
    overlap_ms: float
    timeline: Tuple[Moment, ...]
    problems: Tuple[str, ...]

    def to_json(self) -> Dict[str, Any]:
        """Plain values; times in ms relative to the trigger, beside the wall time of the trigger itself."""
        return {
            "name": self.name,
            "old": self.switch.old,
            "new": self.switch.new,
            "triggered": self.switch.triggered,
            "rows": [
                {
                    **row.to_json(),
                    "last_old_ms": self.ms(row.last_old),
                    "first_new_ms": self.ms(row.first_new),
                    "problems": row.problems(),
                }
                for row in self.rows
            ],
            "both_answered_ms": self.overlap_ms,
            "timeline": [
                {"ms": self.ms(moment.time), "where": moment.where, "what": moment.what} for moment in self.timeline
            ],
            "problems": self.problems,
        }

    def ms(self, when: Optional[float]) -> Optional[float]:
        """A wall time relative to the trigger."""
        return None if when is None else round((when - self.switch.triggered) * 1000, 1)


def figures(stage: Stage, name: str, switch: Switch) -> Failover:
    """Those of a failover that is over, from the record, the lab's events and the nodes' logs."""
    measured = stage.recording.measurement.histories(since=switch.triggered - LEAD)
    firsts = stage.recording.measurement.first_answers(switch.new, switch.triggered)
    found = [
        Moment(switch.triggered, switch.old, f"{name}: this is the moment from which times count"),
        *moments(stage.lab, stage.resource, switch.triggered),
        *of_answers(firsts, switch.new),
    ]
    last = max(firsts.values(), default=time.time()) + 1.0
    table = tuple(rows(measured, switch))
    problems = [f"{name}: {problem}" for row in table for problem in row.problems()]
    told = tuple(timeline(found, switch.triggered, last))
    return Failover(name, switch, table, overlap_ms(measured, switch), told, tuple(problems))


def moments(lab: Lab, resource: str, since: float) -> List[Moment]:
    """What the lab, and the nodes that are awake, tell of the time from `since` on."""
    found = list(of_events(lab.events(since)))
    for node in lab.awake_nodes():
        for path, patterns in (*LOGS, ("/var/log/pacemaker/pacemaker.log", pacemaker_patterns(resource))):
            found += of_log(lab.exec(node, ["cat", path]).stdout, node, patterns, time.time())
    return found


def show(failover: Failover, voice: Narrator) -> None:
    """The table of a failover and its timeline."""

    def ms(value: Optional[float]) -> str:
        return "-" if value is None else f"{value:.0f}"

    switch = failover.switch
    voice.table(
        f"What the consumers saw: {failover.name}, {switch.old} to {switch.new}, in ms after the trigger",
        (
            ("consumer", False),
            ("protocol", False),
            ("last from old", True),
            ("first from new", True),
            ("gap ms", True),
            ("from a wrong node", True),
            ("lost / asked", True),
        ),
        [
            (
                row.consumer,
                row.protocol.upper(),
                ms(failover.ms(row.last_old)),
                ms(failover.ms(row.first_new)),
                ms(row.gap_ms),
                str(row.wrong),
                f"{row.lost} / {row.asked}",
            )
            for row in failover.rows
        ],
    )
    voice.table(
        f"What happened when: {failover.name}",
        (("ms", True), ("where", False), ("what", False)),
        [(ms(failover.ms(moment.time)), moment.where, moment.what) for moment in failover.timeline],
    )
