"""How `aws-ipfailover doctor` shows what it has found: lines for people, JSON for programs."""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from aws_ipfailover.cli import screen
from aws_ipfailover.diagnosis.examination import AREAS, CHECKS
from aws_ipfailover.diagnosis.finding import ALL_MODES, Check, Finding, Outcome, worst
from aws_ipfailover.output import line

# Each outcome: a word, which is enough by itself, with a sign before it, and a colour where there are colours.
_SHOWN: Mapping[Outcome, Tuple[str, str]] = {
    Outcome.PASS: ("+ pass", "green"),
    Outcome.WARN: ("! warn", "yellow"),
    Outcome.FAIL: ("x FAIL", "bold red"),
    Outcome.UNKNOWN: ("? unknown", "magenta"),
}
_WORDS = {
    Outcome.PASS: "pass",
    Outcome.WARN: "warn",
    Outcome.FAIL: "fail",
    Outcome.UNKNOWN: "could not be found out",
}
_LONGEST = 800  # characters of a text


class Report(NamedTuple):
    """What was found about one thing.

    `subject`: "node", a resource's id, "parameters" where these were typed, or "cluster". `title`: for people; empty
    for the node.
    """

    subject: str
    title: str
    findings: List[Finding]


class Fixed(NamedTuple):
    """What became of a fix: `error` is empty where it was done."""

    resource: str
    check: str
    does: str
    error: str


def print_reports(reports: Sequence[Report]) -> None:
    """Every finding, in areas; what to do below each that does not pass."""
    console = screen.console()
    for report in reports:
        if report.title:
            console.print(Text(f"\n{line(report.title)}", style="bold underline"))
        for area in AREAS:
            findings = [one for one in report.findings if one.area == area.key]
            if findings:
                console.print(Text(f"\n{area.title}", style="bold"))
            for one in findings:
                _print_finding(console, one)


def _print_finding(console: Console, finding: Finding) -> None:
    word, style = _SHOWN[finding.outcome]
    row = Table.grid(padding=(0, 1))
    row.add_column(width=9)
    row.add_column(width=17)
    row.add_column(overflow="fold")
    row.add_row(Text(word, style=style), Text(finding.check), Text(line(finding.text, _LONGEST)))
    console.print(row)
    if finding.outcome is Outcome.PASS:
        return
    if finding.remedy:
        hint = Table.grid()
        hint.add_column(width=10)
        hint.add_column(overflow="fold")
        hint.add_row("", Text(line(finding.remedy, _LONGEST)))
        console.print(hint)
    for command in finding.commands:
        # Not wrapped, and with no blanks of its own at the end: it is there to be pasted.
        console.print(Text(f"          {screen.command_line(command)}", style="cyan"), soft_wrap=True)


def print_fixed(fixed: Fixed, finding: Finding) -> None:
    """What became of a fix, and what its check finds now."""
    console = screen.console()
    done = f"Not done: {fixed.does}: {fixed.error}" if fixed.error else f"Done: {fixed.does}"
    console.print(Text(line(done, _LONGEST)))
    _print_finding(console, finding)


def print_summary(findings: Sequence[Finding]) -> None:
    """How many checks came out how."""
    counts = Counter(one.outcome for one in findings if one.counts)
    parts = [f"{counts[outcome]} {word}" for outcome, word in _WORDS.items() if counts[outcome]]
    without = sum(not one.counts for one in findings)
    if without:
        parts.append(f"{without} that nobody can tell in advance")
    screen.console().print(Text(f"\n{len(findings)} checks: {', '.join(parts)}", style=_SHOWN[worst(findings)][1]))


def write_reports(reports: Sequence[Report], fixed: Sequence[Fixed]) -> None:
    """Everything, as JSON."""
    findings = [one for report in reports for one in report.findings]
    document: Dict[str, Any] = {
        "outcome": worst(findings).value,
        "reports": [
            {
                "subject": report.subject,
                "findings": [_as_json(one) for one in report.findings],
            }
            for report in reports
        ],
        "fixes": [{**one._asdict(), "done": not one.error} for one in fixed],
    }
    screen.write_json("doctor", document)


def _as_json(finding: Finding) -> Mapping[str, Any]:
    return {
        "check": finding.check,
        "title": finding.title,
        "area": finding.area,
        "outcome": finding.outcome.value,
        "text": line(finding.text, 10_000),
        "remedy": line(finding.remedy, 10_000),
        "commands": [list(command) for command in finding.commands],
        "counts": finding.counts,
        "fix": finding.fix.does if finding.fix is not None else None,
    }


def write_list(*, as_json: bool) -> None:
    """Every check there is: what it asks, of which modes, and whom."""
    if as_json:
        checks = [
            {
                "check": one.name,
                "title": one.title,
                "area": one.area.key,
                "asks": one.asks,
                "needs": one.needs.name.lower(),
                "modes": list(one.modes),
            }
            for one in CHECKS
        ]
        screen.write_json("doctor-list", {"checks": checks})
        return
    console = screen.console()
    for area in AREAS:
        checks_of_area = [one for one in CHECKS if one.area == area]
        if checks_of_area:
            console.print(Text(f"\n{area.title}", style="bold"))
        for one in checks_of_area:
            row = Table.grid(padding=(0, 1))
            row.add_column(width=17)
            row.add_column()
            row.add_row(Text(one.name), Text(f"{one.asks} ({_modes(one)}; asks {one.needs.value})"))
            console.print(row)


def _modes(check: Check) -> str:
    return "every mode" if set(check.modes) == set(ALL_MODES) else ", ".join(check.modes)
