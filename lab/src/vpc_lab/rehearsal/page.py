"""The page of rehearsals, from their outcomes as `lab rehearse --json` prints them. Pure."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Mapping, Sequence

from vpc_lab.judge.recording import versions
from vpc_lab.rehearsal.cases import CASES
from vpc_lab.rehearsal.plan import OF_THEIR_OWN

Outcome = Mapping[str, Any]

_INTRODUCTION = """\
What `make rehearsals` found, in one run or in several: it runs `aws-ipfailover lab rehearse` for each of these
configurations, in a lab of its own ([how it works](rehearse.md)). Each line tells what befell the cluster, for how long
some consumer was without an answer because of it, at most, and the judge's verdict. What is not listed was not played.
"""
_ABOUT_CASES = """\
SUSE's guide for SAP HANA on AWS has a list of tests. What is played of each, and what came of it with each
configuration that has databases. What the guide expects is checked, beside all that the judge looks at; its first node
is 1. What an administrator does between them, an administrator of the lab does: the former primary is registered, the
fenced instance is started, the failure is forgotten.
"""
_ABOUT_OTHERS = """\
Of the [lab's catalogue](scenarios.md) these are about a configuration or a network that they bring along:
"""


def merged(before: Outcome, now: Outcome) -> Dict[str, Any]:
    """The outcome of two rehearsals of one configuration, where the second one played some scenarios, maybe again."""
    played = {each["scenario"]: each for each in (*before["scenarios"], *now["scenarios"])}
    left_out = {each["scenario"]: each for each in (*before["left_out"], *now["left_out"])}
    planned = list(dict.fromkeys((*before["planned"], *now["planned"])))
    found = {
        **now,
        "notes": list(dict.fromkeys((*before["notes"], *now["notes"]))),
        "planned": planned,
        "scenarios": [played[name] for name in sorted(played, key=planned.index)],
        "left_out": [each for name, each in left_out.items() if name not in played],
    }
    return {**found, "passed": not found["wrong"] and all(each["passed"] for each in found["scenarios"])}


def missing(one: Outcome) -> List[str]:
    """The scenarios that were to be played and were not, as where somebody has interrupted the rehearsal."""
    return [name for name in one.get("planned", ()) if name not in {each["scenario"] for each in one["scenarios"]}]


def page(outcomes: Mapping[str, Outcome]) -> str:
    """The page, of outcomes by the name of their file."""
    lines = ["# Rehearsals", "", _INTRODUCTION]
    for name, one in outcomes.items():
        lines += _section(name, one)
    hana = {name: one for name, one in outcomes.items() if _has_databases(one)}
    if hana:
        lines += ["## SUSE's test cases", "", _ABOUT_CASES, *_cases(hana), ""]
    lines += ["## Scenarios that are in no rehearsal", "", _ABOUT_OTHERS]
    lines += [f"- {name}: {why}" for name, why in OF_THEIR_OWN.items()]
    lines.append("")
    made_with = ", ".join(f"{name} {version}" for name, version in versions().items())
    lines += [f"*{time.strftime('%Y-%m-%d')}, {made_with}.*", ""]
    return "\n".join(lines)


def _has_databases(one: Outcome) -> bool:
    return any("SAPHana" in each["agent"] and "Topology" not in each["agent"] for each in one["stand_ins"])


def _section(name: str, one: Outcome) -> List[str]:
    nodes = ", ".join(f"{each['name']} ({each['id']})" for each in one["nodes"])
    held = "; ".join(f"{each['resource']}: {', '.join(each['addresses'])}" for each in one["addresses"])
    lines = [f"## {name}", ""]
    verdict = "FAILED." if not one["passed"] else "Passed as far as it was run." if missing(one) else "Passed."
    lines.append(f"{verdict} Read as {one['tool']}; nodes {nodes}; {held}.")
    if one["agent_under_test"]:
        names = ", ".join(f"`ocf:{each}`" for each in one["agent_under_test"])
        lines.append(f"{names} is this project's agent, under that name.")
    lines.append("")
    lines += [f"- {sentence}" for sentence in (*one["mended"], *one["notes"], *one["wrong"])]
    if one["stand_ins"]:
        lines += ["", "| stand-in for | resources | what it does |", "|---|---|---|"]
        lines += [
            f"| `{each['agent']}` | {', '.join(each['resources'])} | {each['behaviour']} |" for each in one["stand_ins"]
        ]
    if one["scenarios"]:
        minutes = sum(each.get("seconds", 0.0) for each in one["scenarios"]) / 60
        lines += ["", f"{len(one['scenarios'])} scenarios in {minutes:.0f} minutes:"] if minutes >= 1 else []
        lines += ["", "| scenario | longest silence | verdict |", "|---|---|---|"]
        lines += [
            f"| {each['scenario']} | {each['longest_silence']:.1f} s | {_verdict(each)} |" for each in one["scenarios"]
        ]
    lines.append("")
    if missing(one):
        lines.append(f"- not run yet: {', '.join(missing(one))}")
    reasons: Dict[str, List[str]] = {}
    for each in one["left_out"]:
        if OF_THEIR_OWN.get(each["scenario"]) != each["why"]:
            reasons.setdefault(each["why"], []).append(each["scenario"])
    lines += [f"- not played: {', '.join(names)}: {why}" for why, names in reasons.items()]
    return [*lines, ""]


def _verdict(played: Mapping[str, Any]) -> str:
    if played["passed"]:
        return "passed"
    return f"FAILED: {str(played['problems'][0]).replace('|', '/')}"


def _cases(outcomes: Mapping[str, Outcome]) -> List[str]:
    names = list(outcomes)
    lines = [
        "| no. | case | expected | address | played by | how, or why not | " + " | ".join(names) + " |",
        "|---|---|---|---|---|---|" + "---|" * len(names),
    ]
    for case in CASES:
        told = (str(case.number), case.name, case.expected, case.address, case.scenario or "-", case.remark)
        found = [_came_of(case.scenario, one) for one in outcomes.values()]
        lines.append("| " + " | ".join((*told, *found)) + " |")
    return lines


def _came_of(scenario: str, one: Outcome) -> str:
    if not scenario:
        return "-"
    played: Sequence[Dict[str, Any]] = [each for each in one["scenarios"] if each["scenario"] == scenario]
    if not played:
        return "not played" if scenario in {each["scenario"] for each in one["left_out"]} else "not run"
    last = played[-1]
    return f"{'passed' if last['passed'] else 'FAILED'}, {last['longest_silence']:.1f} s"
