"""`aws-ipfailover doctor`: what can keep a resource from working on this node, and what to do about it."""

from __future__ import annotations

from functools import partial
from typing import Dict, List, NamedTuple, Sequence, Tuple

import click

from aws_ipfailover.cli import doctor_screen, screen
from aws_ipfailover.cli.doctor_screen import Fixed, Report
from aws_ipfailover.cli.numbers import Seconds
from aws_ipfailover.cli.subject import Subject, Subjects, agents_root, subject_argument, subjects
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.diagnosis.examination import CHECKS, Examination
from aws_ipfailover.diagnosis.finding import NODE, Finding, Outcome, failed, unknown, worst
from aws_ipfailover.diagnosis.mending import mend
from aws_ipfailover.diagnosis.surroundings import Surroundings, side_by_side
from aws_ipfailover.errors import UnknownError
from aws_ipfailover.validation import Effect, Problem

_SECONDS = 10.0
_CODES = {Outcome.PASS: 0, Outcome.WARN: 0, Outcome.FAIL: 1, Outcome.UNKNOWN: 3}
_BY_NAME = {one.name: one for one in CHECKS}


@click.command("doctor", context_settings={"max_content_width": 80})
@subject_argument
@click.option("--timeout", type=Seconds(1, 120), default=_SECONDS, metavar="SECONDS", help="For all answers (10).")
@click.option("--fix", is_flag=True, help="Offer to mend what can be mended safely.")
@click.option("--yes", is_flag=True, help="With --fix: do not ask.")
@click.option("--list", "listed", is_flag=True, help="List the checks, and ask nothing.")
@screen.json_option
def command(what: Sequence[str], timeout: float, *, fix: bool, yes: bool, listed: bool, as_json: bool) -> int:
    """Check what a resource needs on this node, and say what to do.

    RESOURCE is one of the running cluster; by default all that use the agent.
    Parameters can be typed instead. Nothing is changed without --fix.

    \b
    Examples:
      aws-ipfailover doctor ip_hana
      aws-ipfailover doctor ip=192.168.10.10 routing_table=auto
    Exit code: 0 all passes or warns, 1 something fails, 3 nothing fails, and
    something could not be found out; not what nobody can tell in advance.
    """
    if yes and not fix:
        raise click.UsageError("--yes is for --fix")
    if fix and as_json and not yes:
        raise click.UsageError("--fix asks before each change, for which JSON leaves no place: add --yes")
    if listed:
        doctor_screen.write_list(as_json=as_json)
        return 0
    found, problem = _subjects(what, timeout)
    reports = [*_examined(found, timeout), *_refused(found, problem)]
    if not as_json:
        doctor_screen.print_reports(reports)
    fixed = _fix(reports, found.found, timeout, yes=yes, quiet=as_json) if fix else []
    findings = [one for report in reports for one in report.findings]
    if as_json:
        doctor_screen.write_reports(reports, fixed)
    else:
        doctor_screen.print_summary(findings)
    return _CODES[worst(findings)]


def _subjects(what: Sequence[str], timeout: float) -> Tuple[Subjects, str]:
    """What to look at, and why the cluster does not tell its resources: the node is looked at all the same."""
    try:
        return subjects(what, Deadline(timeout)), ""
    except UnknownError as error:
        return Subjects((), {}), str(error)


def _examined(found: Subjects, timeout: float) -> List[Report]:
    """The reports about the node and about each resource; all are looked at side by side."""
    deadline = Deadline(timeout)
    node = Examination(Surroundings("", {}, deadline, agents_root()), of_node=True)
    around = side_by_side([(one.resource_id, one.given) for one in found.found], deadline, agents_root())
    begun = [(one, Examination(each, of_node=False)) for one, each in zip(found.found, around)]
    reports = [Report("node", "", node.findings())]
    for one, examination in begun:
        reports.append(Report(_name(one), one.resource_id or "The parameters given", examination.findings()))
    return reports


def _anew(one: Subject, timeout: float) -> Surroundings:
    return Surroundings(one.resource_id, one.given, Deadline(timeout), agents_root())


def _name(one: Subject) -> str:
    return one.resource_id or "parameters"


def _refused(found: Subjects, problem: str) -> List[Report]:
    """The reports about resources that cannot be looked at."""
    reports = [Report(one, one, [_refusal(each) for each in problems]) for one, problems in found.problems.items()]
    if problem:
        finding = unknown(problem, "Start Pacemaker on this node, or give the parameters as NAME=VALUE.")
        reports.append(Report("cluster", "The cluster's resources", [_about_resource(finding)]))
    return reports


def _refusal(problem: Problem) -> Finding:
    make = unknown if problem.effect is Effect.UNKNOWN else failed
    return _about_resource(make(str(problem.error)))


def _about_resource(finding: Finding) -> Finding:
    return finding._replace(check="resource", title="Resource", area=NODE.key)


class _Place(NamedTuple):
    """Where a finding is: of which resource, in which report and which line of it."""

    subject: Subject
    report: int
    number: int


def _fix(reports: List[Report], found: Sequence[Subject], timeout: float, *, yes: bool, quiet: bool) -> List[Fixed]:
    """Mend what can be, each if it is wanted; `reports` then have what the checks find afterwards."""
    by_name: Dict[str, Subject] = {_name(one): one for one in found}
    places = [
        _Place(by_name[report.subject], number, line)
        for number, report in enumerate(reports)
        for line, finding in enumerate(report.findings)
        if finding.fix is not None
    ]
    done: List[Fixed] = []
    for place in places:
        finding = reports[place.report].findings[place.number]
        does = finding.fix.does if finding.fix is not None else ""
        if not yes and not click.confirm(f"{does[0].upper()}{does[1:]}?"):
            continue
        subject = place.subject
        mended = mend(_BY_NAME[finding.check], does, partial(_anew, subject, timeout))
        fixed = Fixed(subject.resource_id, finding.check, does, mended.error)
        done.append(fixed)
        reports[place.report].findings[place.number] = mended.finding
        if not quiet:
            doctor_screen.print_fixed(fixed, mended.finding)
    if not quiet and not places:
        click.echo("There is nothing that --fix can mend.")
    return done
