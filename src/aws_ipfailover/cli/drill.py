"""`aws-ipfailover drill`: a failover on purpose, watched and judged, and everything as before afterwards."""

from __future__ import annotations

import re
import shlex
import sys
import time
from ipaddress import ip_address
from pathlib import Path
from typing import Any, List, Optional, Sequence, Tuple

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from aws_ipfailover.cli.asking import asking_of, asking_options
from aws_ipfailover.cli.files import check_directory
from aws_ipfailover.cli.group import INTERRUPTED, OK, UNKNOWN, WRONG
from aws_ipfailover.cli.numbers import Seconds
from aws_ipfailover.cli.screen import console, hanging, json_option, write_json
from aws_ipfailover.drill import doctor, page
from aws_ipfailover.drill.cluster import Cluster
from aws_ipfailover.drill.conduct import Drill, Plan, interruptible
from aws_ipfailover.drill.consumers import BY_SSH, Consumers, hosts_in, places, program_on
from aws_ipfailover.drill.judgement import Series, seen
from aws_ipfailover.drill.placement import Moved, moved
from aws_ipfailover.drill.readiness import fencing_refusals, refusals, restarts, standby_of
from aws_ipfailover.drill.report import Report, Verdict, document
from aws_ipfailover.errors import ParameterError, UnknownError
from aws_ipfailover.ocf import AGENT
from aws_ipfailover.ocf.cib import AgentName, Cib
from aws_ipfailover.ocf.cluster_view import ClusterView
from aws_ipfailover.report.document import Document
from aws_ipfailover.report.files import write
from aws_ipfailover.report.page import page as render
from aws_ipfailover.watch.addresses import Address
from aws_ipfailover.watch.changes import clock
from aws_ipfailover.watch.clock import steady

_CODES = {Verdict.IN_ORDER: OK, Verdict.WRONG: WRONG, Verdict.UNKNOWN: UNKNOWN}
# What `--report` is given for no page.
_NONE = "none"
_OWN = AgentName("heartbeat", AGENT)


@click.command("drill", short_help="Fail over on purpose, watch it, and put everything back.")
@click.argument("resource", required=False)
@click.option("--watch-from", metavar="HOST,...", help="Ask from there, by ssh; else from here.")
@click.option("--address", metavar="IP", help="What to ask; else the resource's own address.")
@asking_options(brief=True)
@click.option("--move", "instead", metavar="ID", help="Move this, which RESOURCE is placed with.")
@click.option("--fence", is_flag=True, help="Fence the active node, instead of moves.")
@click.option("--there-and-back", is_flag=True, help="With --fence: the moves first.")
@click.option("--allowed", type=Seconds(0), metavar="S", help="A longer silence is wrong.")
@click.option("--wait", type=Seconds(10, 7200), default=300.0, metavar="S", help="For each step (300).")
@click.option("--report", "page_file", metavar="FILE", help="Its page (drill-RESOURCE-TIME.html), or: none.")
@click.option("--unexamined", is_flag=True, help="Begin also if the doctor cannot be asked.")
@click.option("--watch-command", default=BY_SSH, hidden=True, help="What runs aws-ipfailover on {host}.")
@click.option("--cluster-command", default="", hidden=True, help="What runs a command on a node of the cluster.")
@click.option("--yes", is_flag=True, help="Do not ask before anything is moved.")
@json_option
def command(
    resource: Optional[str],
    watch_from: Optional[str],
    address: Optional[str],
    instead: Optional[str],
    fence: bool,
    there_and_back: bool,
    allowed: Optional[float],
    wait: float,
    page_file: Optional[str],
    watch_command: str,
    cluster_command: str,
    unexamined: bool,
    yes: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """\b
    Move RESOURCE to another node and back; watch who answers meanwhile.
    Example: aws-ipfailover drill ip_hana --watch-from app1,app2 --tcp 22
    """
    if there_and_back and not fence:
        there_and_back = False  # that is what is done without --fence
    if as_json and not yes:
        raise click.UsageError("the drill asks before it begins, for which JSON leaves no place: add --yes")
    asking = asking_of(options)
    hosts = hosts_in(watch_from or "")
    if address is not None:
        _typed_address(address)
    if page_file and page_file != _NONE:
        check_directory("--report", page_file)
    screen = console(stderr=as_json)
    prefix = _words("--cluster-command", cluster_command)
    cluster = Cluster(prefix)
    view, cib = cluster.view(), cluster.configuration()
    resource_id = _resource(resource, cib)
    what = _moved(cib, resource_id, instead)
    against = refusals(view, cib, resource_id, what)
    if fence:
        against += fencing_refusals(cib, view, resource_id, cluster.local_node())
    target = _address(address, cib, resource_id)
    if against:
        return _refuse(screen, against)
    plan = _plan(view, cib, resource_id, what, moves=there_and_back or not fence, fence=fence, seconds=wait)
    # On the node that takes over, where that can be; a node of a cluster need not have a way to the others.
    program = program_on(plan.target, watch_command) if prefix else [sys.executable, "-m", "aws_ipfailover.cli.main"]
    screen.print(Text(f"asking the doctor {'on ' + plan.target if prefix else 'here'}"))
    try:
        found = doctor.findings(program, resource_id)
    except UnknownError as error:
        if not unexamined:
            return _refuse(screen, [f"{error}; --unexamined begins all the same"], UNKNOWN)
        found = [doctor.Finding(doctor.UNKNOWN, str(error))]
    for one in found:
        hanging(screen, Text(f"  {one.outcome}: {one}"), 4)
    if any(one.outcome == doctor.FAIL for one in found):
        return _refuse(screen, [str(one) for one in found if one.outcome == doctor.FAIL])
    where = places(hosts, watch_command, target, asking)
    drawn = _page_file(screen, page_file, resource_id)
    screen.print(Text(f"{target} is asked from {', '.join(place.name for place in where)}"))
    for sentence in plan.sentences():
        screen.print(Text(f"about to {sentence}"))
    if not yes and not click.confirm("Go on?"):
        return _refuse(screen, ["not confirmed"])
    told: List[Tuple[float, str]] = []

    def say(text: str) -> None:
        told.append((steady(), text))
        screen.print(Text(f"{clock(told[-1][0])} {text}"))

    interrupted = False
    with interruptible(), Consumers(where, asking, say) as consumers:
        drill = Drill(cluster, consumers, plan, asking.timeout, say)
        try:
            drill.run()
        except KeyboardInterrupt:
            interrupted = True
            if not drill.changed:
                say("interrupted; nothing was changed")
                return INTERRUPTED
        consumers.finish()
        series, failures = consumers.series(), dict(consumers.failures)
    names = [node.name for node in view.nodes]
    conducted = drill.conducted
    shown = [seen(one, step, names) for step in conducted.steps for one in series]
    report = Report(plan, str(target), found, conducted, shown, failures, allowed, interrupted)
    if drawn is not None:
        settings = {
            "asked from": ", ".join(place.name for place in where),
            "over": ", ".join(map(str, asking.ports)),
            "allowed silence": "any" if allowed is None else f"{allowed:g} s",
            "time for each step": f"{wait:g} s",
        }
        _write_page(screen, drawn, page.document(report, series, told, settings, asking.interval), series)
    if as_json:
        write_json("drill", document(report))
    else:
        _print(screen, report)
    return INTERRUPTED if interrupted else _CODES[report.verdict]


def _page_file(screen: Console, given: Optional[str], resource_id: str) -> Optional[Path]:
    """Where the page goes; None where there is to be none, or where nobody has named a place and this one is none."""
    if given:
        return None if given == _NONE else Path(given)
    target = page.name_of(resource_id, time.time())
    try:
        check_directory("--report", target)
    except click.BadParameter:
        screen.print(
            Text(f"there will be no page: {Path.cwd()} cannot be written to, and --report names no other place")
        )
        return None
    return Path(target)


def _write_page(screen: Console, target: Path, document: Document, series: Sequence[Series]) -> None:
    """Write the page. What keeps it from being written changes nothing about the verdict."""
    try:
        write(target, render(document, page.lanes_of(document.settings["address"], series)))
    except OSError as error:
        screen.print(Text(f"the page {target} cannot be written: {error.strerror}"))
    else:
        screen.print(Text(f"the page of the drill: {target}"))


def _words(option: str, text: str) -> List[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint=option) from None


def _resource(given: Optional[str], cib: Cib) -> str:
    """The resource to move: what was typed, or the only one of this agent."""
    if given is not None:
        if given not in cib.primitives:
            raise click.UsageError(f"the cluster has no primitive {given!r}; it has {', '.join(cib.primitives)}")
        return given
    own = [one.resource_id for one in cib.primitives.values() if one.agent == _OWN]
    if len(own) != 1:
        raise click.UsageError(f"which resource? There are: {', '.join(own)}" if own else f"no resource uses {_OWN}")
    return own[0]


def _address(given: Optional[str], cib: Cib, resource_id: str) -> Address:
    """What to ask: what was typed, or the first address of the resource."""
    if given is not None:
        return _typed_address(given)
    try:
        text = cib.parameters_of(cib.primitives[resource_id]).get("ip")
    except UnknownError as error:
        raise click.UsageError(f"{error}: give --address") from None
    words = re.split(r"[\s,]+", text.strip()) if text else []
    if not words:
        raise click.UsageError(f"{resource_id} has no parameter ip: give --address")
    try:
        return ip_address(words[0])
    except ValueError:
        raise click.UsageError(f"{words[0]!r} is no address: give --address") from None


def _typed_address(given: str) -> Address:
    try:
        return ip_address(given.strip())
    except ValueError:
        raise click.BadParameter(f"{given!r} is no IP address", param_hint="--address") from None


def _moved(cib: Cib, resource_id: str, instead: Optional[str]) -> Moved:
    try:
        return moved(cib, resource_id, instead)
    except ParameterError as error:
        raise click.UsageError(str(error)) from None


def _plan(
    view: ClusterView, cib: Cib, resource_id: str, what: Moved, *, moves: bool, fence: bool, seconds: float
) -> Plan:
    origin = view.where(resource_id) or ""
    targets = standby_of(view, origin)
    # A rule that decides how a node is fenced: as by default, it comes back.
    restart = restarts(cib) is not False
    return Plan(resource_id, what, origin, targets[0], moves, fence, restart, seconds)


def _refuse(screen: Console, against: Sequence[str], code: int = WRONG) -> int:
    for one in against:
        screen.print(Text(one))
    screen.print(Text("nothing was changed"))
    return code


def _print(screen: Console, report: Report) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("step", "asked from", "over", "lost", "longest silence", "answered before", "after", "wrong"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "step")
    for one in report.seen:
        table.add_row(
            Text(f"{one.step.name} to {one.step.new}"),
            Text(one.consumer),
            one.over,
            f"{one.lost} of {one.asked}",
            "-" if one.silence is None else f"{one.silence.seconds:.2f} s",
            Text(", ".join(one.before) or "?"),
            Text(", ".join(one.after) or ("?" if one.answered_after else "nobody")),
            "not known" if one.wrong is None else str(one.wrong),
        )
    screen.print(table)
    if report.not_told_apart:
        screen.print(
            Text("wrong: the answers do not tell the nodes apart; ask a server that says its name (--tcp, --ask)")
        )
    for text in (*report.problems, *report.unknown):
        screen.print(Text(text))
    screen.print(Text(f"the drill of {report.plan.resource_id}: {report.verdict.value}"))
