"""`aws-ipfailover status`: who holds each address, by EC2, by the kernel of this node, and by Pacemaker."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from aws_ipfailover.aws.models import Subnet
from aws_ipfailover.cli import group
from aws_ipfailover.cli.numbers import Seconds
from aws_ipfailover.cli.screen import console, json_option, write_json, write_json_line
from aws_ipfailover.cli.streams import is_unread
from aws_ipfailover.cli.subject import subject_argument, subjects_or_advice, typed
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import Error, ParameterError, UnknownError
from aws_ipfailover.failover import Finding, Verdict
from aws_ipfailover.output import printable
from aws_ipfailover.parameters import parse
from aws_ipfailover.prospects import Problems
from aws_ipfailover.state.cloud_state import CloudState, Holder
from aws_ipfailover.state.status import Agreement, ClusterState, Resource, Status, statuses
from aws_ipfailover.validation import Effect, Problem

# Seconds for one look: Pacemaker and the kernel answer in one; EC2's answer can take longer.
_PATIENCE = 20.0
_COLOURS = {Agreement.AGREE: "green", Agreement.DISAGREE: "red", Agreement.UNKNOWN: "yellow"}
_CODES = {Agreement.AGREE: group.OK, Agreement.DISAGREE: group.WRONG, Agreement.UNKNOWN: group.UNKNOWN}
_KERNEL = {Verdict.RUNNING: "here", Verdict.NOT_RUNNING: "not here", Verdict.PARTLY_RUNNING: "partly here"}
_NOTHING = "the cluster's configuration has no resource of this agent"


class Shown(NamedTuple):
    """One look: all resources, and those that cannot be looked at; `at`: seconds of the epoch."""

    at: float
    found: Tuple[Status, ...]
    problems: Problems


@click.command(
    "status",
    short_help="Who holds each address: EC2, the kernel and Pacemaker side by side.",
    epilog="Example: aws-ipfailover status ip_service --watch",
)
@subject_argument
@click.option("--watch", is_flag=True, help="Look again and again, until Ctrl-C.")
@click.option(
    "--interval",
    type=Seconds(1.0, 3600.0),
    default=5.0,
    show_default=True,
    metavar="S",
    help="Seconds between two looks.",
)
@json_option
def command(what: Sequence[str], watch: bool, interval: float, as_json: bool) -> int:
    """Show who holds each address: by EC2, by this node's kernel, and by Pacemaker, and whether these agree. Changes
    nothing.

    By default every resource of this agent in the cluster. Without a cluster give its parameters, such as
    ip=192.168.10.10 routing_table=rtb-0123456789abcdef0.

    Exit codes: 0 they agree, 1 they do not, 3 something could not be found out.
    """
    given = typed(what)
    if given:
        parse(given)  # a parameter that is wrong is a wrong command line
    if watch:
        return _watch(what, interval, as_json=as_json)
    shown = look(what)
    if as_json:
        write_json("status", document(shown))
    else:
        to = console()
        to.print(rendered(shown) if to.is_terminal else lines(shown))
    return code_of(shown)


def look(what: Sequence[str]) -> Shown:
    """Look once.

    Raises:
        ParameterError, UnknownError: as `subjects`.
    """
    deadline = Deadline(_PATIENCE)
    about = subjects_or_advice(what, deadline)
    resources = [Resource(one.resource_id, one.given) for one in about.found]
    return Shown(time.time(), tuple(statuses(resources, os.environ, deadline)), about.problems)


def code_of(shown: Shown) -> int:
    """The exit code: of the worst that there is."""
    codes = [_CODES[one.judgement.agreement] for one in shown.found]
    for some in shown.problems.values():
        codes += [group.UNKNOWN if one.effect is Effect.UNKNOWN else group.WRONG for one in some]
    return next((code for code in (group.WRONG, group.UNKNOWN) if code in codes), group.OK)


# -- again and again ------------------------------------------------------------------------------------------------


def _watch(what: Sequence[str], interval: float, *, as_json: bool) -> int:
    to = console()
    try:
        if to.is_terminal and not as_json:
            with Live(console=to, auto_refresh=False) as live:
                for shown in _looks(what, interval):
                    live.update(rendered(shown), refresh=True)
        else:
            before: Optional[Dict[str, Any]] = None
            for shown in _looks(what, interval):
                now = document(shown)
                if before is None or {**now, "at": None} != {**before, "at": None}:
                    if as_json:
                        write_json_line("status", now)
                    else:
                        to.print(lines(shown))
                    to.file.flush()
                if is_unread():
                    break
                before = now
    except KeyboardInterrupt:
        return group.OK
    return group.OK


def _looks(what: Sequence[str], interval: float) -> Iterator[Shown]:
    """One look after the other; where the cluster does not tell its configuration, that is what there is to see.

    Raises:
        ParameterError: at the first look the cluster has no such resource. It may be removed later, which is shown.
    """
    first = True
    while True:
        begun = Deadline(interval)
        try:
            yield look(what)
        except (ParameterError, UnknownError) as error:
            if first and isinstance(error, ParameterError):
                raise
            yield Shown(time.time(), (), {"": [Problem(error, Effect.UNKNOWN)]})
        first = False
        rest = begun.remaining()
        Deadline(rest + 1).pause(rest)


# -- for people -----------------------------------------------------------------------------------------------------


def lines(shown: Shown) -> Text:
    """Plain lines, each of which says by itself what it is about."""
    text: List[str] = []
    for one in shown.found:
        text.append(f"{_name(one)}: {one.mode} {_what(one)}")
        rows = [("EC2", _cloud_summary(one)), *(("EC2", " ".join(row)) for row in _cloud_rows(one))]
        rows += [("kernel", _kernel_summary(one)), ("Pacemaker", _cluster_summary(one))]
        rows += [("note", note) for note in _notes(one)]
        rows += [(one.judgement.agreement.value, sentence) for sentence in one.judgement.sentences]
        text += [f"  {label + ':':<10} {printable(said)}" for label, said in rows]
    text += [printable(one) for one in _problems(shown)]
    return Text("\n".join(text or [_NOTHING]))


def rendered(shown: Shown) -> RenderableType:
    """Tables for a terminal: the three answers side by side, and below them what EC2 says in detail."""
    parts: List[RenderableType] = []
    for one in shown.found:
        parts.append(Text.assemble((_name(one), "bold"), f"  {one.mode}  {_what(one)}"))
        three = Table(expand=True, show_edge=False, pad_edge=False)
        for title in ("EC2", f"kernel of {one.own.node or 'this node'}", "Pacemaker"):
            three.add_column(printable(title), overflow="fold", ratio=1)
        three.add_row(*map(_text, (_cloud_summary(one), _kernel_summary(one), _cluster_summary(one))))
        parts.append(three)
        for first, second in _cloud_rows(one):
            parts.append(_text(first, "dim"))
            if second:
                parts.append(Padding(_text(second, "dim"), (0, 0, 0, 4)))
        parts += [_text(note, "dim") for note in _notes(one)]
        colour = _COLOURS[one.judgement.agreement]
        parts += [_text(f"{one.judgement.agreement.value}: {sentence}", colour) for sentence in one.judgement.sentences]
        parts.append(Text(""))
    parts += [_text(problem, "yellow") for problem in _problems(shown)]
    if not parts:
        parts.append(Text(_NOTHING))
    parts.append(_text(time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(shown.at)), "dim"))
    return Group(*parts)


def _text(said: str, style: str = "") -> Text:
    return Text(printable(said), style=style, overflow="fold")


def _name(one: Status) -> str:
    return printable(one.resource_id or "parameters")


def _what(one: Status) -> str:
    """What moves, by the parameters."""
    return ", ".join(filter(None, (one.network_interface_id, *one.addresses)))


def _problems(shown: Shown) -> List[str]:
    return [f"{name or 'cluster'}: {one.error}" for name, some in shown.problems.items() for one in some]


def _cloud_summary(one: Status) -> str:
    cloud = one.cloud
    if isinstance(cloud, Error):
        return f"not known: {cloud}"
    if cloud.unknown and not cloud.holders:
        return f"not known: {'; '.join(cloud.unknown)}"
    leading = " and ".join(str(holder) for holder in cloud.holders) or "no instance"
    if cloud.routes:
        active = sum(1 for route in cloud.routes if route.state == "active" and route.holder is not None)
        return f"{leading}, by {active} of {len(cloud.routes)} routes"
    return leading


def _cloud_rows(one: Status) -> List[Tuple[str, str]]:
    """What EC2 says of each route, attachment and address: what it is and where it leads, and by what."""
    if isinstance(one.cloud, Error):
        return []
    cloud = one.cloud
    rows = [
        (
            _joined(route.route_table_id, route.destination, route.state, f"-> {route.holder}" * bool(route.holder)),
            _joined(route.network_interface_id, _of_subnets(route.main, route.subnets)),
        )
        for route in cloud.routes
    ]
    if cloud.attachment is not None:
        attachment = cloud.attachment
        index = "" if attachment.device_index is None else f"device index {attachment.device_index}"
        rows.append(
            (
                _joined(attachment.network_interface_id, attachment.status, _with_state(attachment.holder)),
                _joined(index, attachment.availability_zone, ", ".join(map(str, attachment.addresses))),
            )
        )
    for address in cloud.addresses:
        where = address.network_interface_id or "on no network interface"
        rows.append((_joined(str(address.address), _with_state(address.holder)), where))
    if cloud.elastic_ip is not None:
        elastic = cloud.elastic_ip
        private = "" if elastic.private_address is None else str(elastic.private_address)
        where = elastic.network_interface_id or "associated with nothing"
        holder = f"-> {elastic.holder}" if elastic.holder is not None else ""
        rows.append((_joined("Elastic IP", elastic.public_ip, elastic.allocation_id, holder), _joined(where, private)))
    return rows


def _joined(*parts: str) -> str:
    return " ".join(filter(None, parts))


def _with_state(holder: Optional[Holder]) -> str:
    if holder is None:
        return ""
    return f"-> {holder}, {holder.state}" if holder.state else f"-> {holder}"


def _of_subnets(main: bool, subnets: Optional[Sequence[Subnet]]) -> str:
    used = ", ".join(f"{one.subnet_id} {one.availability_zone}" for one in subnets or ())
    if not used:
        used = "" if subnets is None else "no subnet"
    return f"({'main: ' if main else ''}{used})" if used else ""


def _kernel_summary(one: Status) -> str:
    if not isinstance(one.kernel, Finding):
        return f"not known: {one.kernel}"
    state = _KERNEL[one.kernel.verdict]
    where = f" ({one.own.node})" if one.own.node else ""
    why = f": {one.kernel.reason}" if one.kernel.reason else ""
    return f"{state}{where}{why}"


def _cluster_summary(one: Status) -> str:
    cluster = one.cluster
    if cluster is None:
        return "not asked, because parameters were typed"
    if isinstance(cluster, Error):
        return f"not known: {cluster}"
    parts = [f"{cluster.role}{' on ' if cluster.nodes else ''}{', '.join(cluster.nodes)}"]
    parts += ["failed"] * cluster.failed + ["blocked"] * cluster.blocked + ["not managed"] * (not cluster.managed)
    parts += [
        f"{'INFINITY' if count >= 1_000_000 else count} failure{'s' * (count != 1)} on {node}"
        for node, count in cluster.fail_counts.items()
    ]
    return ", ".join([*parts, *cluster.failures])


def _notes(one: Status) -> Sequence[str]:
    return one.cloud.notes if isinstance(one.cloud, CloudState) else ()


# -- for programs ---------------------------------------------------------------------------------------------------


def document(shown: Shown) -> Dict[str, Any]:
    """What schemas/status.json describes."""
    codes = {group.OK: "agree", group.WRONG: "disagree", group.UNKNOWN: "unknown"}
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(shown.at)),
        "verdict": codes[code_of(shown)],
        "resources": [_resource(one) for one in shown.found],
        "problems": [
            {"resource": name or None, "error": str(one.error), "unknown": one.effect is Effect.UNKNOWN}
            for name, some in shown.problems.items()
            for one in some
        ],
    }


def _resource(one: Status) -> Dict[str, Any]:
    judgement = one.judgement
    return {
        "resource": one.resource_id or None,
        "mode": one.mode,
        "addresses": list(one.addresses),
        "network_interface_id": one.network_interface_id or None,
        "verdict": judgement.agreement.value,
        "sentences": list(judgement.sentences),
        "this_node": {"name": one.own.node or None, "instance_id": one.own.instance_id or None},
        "ec2": _ec2(one),
        "kernel": _kernel(one),
        "pacemaker": _pacemaker(one),
    }


def _subnet(one: Subnet) -> Dict[str, str]:
    return {"subnet_id": one.subnet_id, "availability_zone": one.availability_zone}


def _ec2(one: Status) -> Dict[str, Any]:
    if isinstance(one.cloud, Error):
        return {"error": str(one.cloud)}
    cloud = one.cloud
    attachment, elastic = cloud.attachment, cloud.elastic_ip
    return {
        "error": None,
        "holders": [_holder(holder) for holder in cloud.holders],
        "routes": [
            {
                "route_table_id": route.route_table_id,
                "main": route.main,
                "destination": route.destination,
                "network_interface_id": route.network_interface_id or None,
                "state": route.state,
                "instance": _holder(route.holder),
                "subnets": None if route.subnets is None else [_subnet(one) for one in route.subnets],
            }
            for route in cloud.routes
        ],
        "attachment": None
        if attachment is None
        else {
            "network_interface_id": attachment.network_interface_id,
            "status": attachment.status,
            "instance": _holder(attachment.holder),
            "device_index": attachment.device_index,
            "availability_zone": attachment.availability_zone,
            "addresses": list(map(str, attachment.addresses)),
        },
        "addresses": [
            {
                "address": str(address.address),
                "network_interface_id": address.network_interface_id or None,
                "instance": _holder(address.holder),
            }
            for address in cloud.addresses
        ],
        "elastic_ip": None
        if elastic is None
        else {
            "allocation_id": elastic.allocation_id,
            "public_ip": elastic.public_ip,
            "network_interface_id": elastic.network_interface_id or None,
            "private_address": None if elastic.private_address is None else str(elastic.private_address),
            "instance": _holder(elastic.holder),
        },
        "wrong": list(cloud.wrong),
        "unknown": list(cloud.unknown),
        "notes": list(cloud.notes),
    }


def _holder(holder: Optional[Holder]) -> Optional[Dict[str, Any]]:
    if holder is None:
        return None
    found = {"node": holder.node, "name": holder.name, "state": holder.state}
    return {"instance_id": holder.instance_id, **{key: value or None for key, value in found.items()}}


def _kernel(one: Status) -> Dict[str, Any]:
    if not isinstance(one.kernel, Finding):
        return {"state": "unknown", "reason": str(one.kernel)}
    return {"state": _KERNEL[one.kernel.verdict], "reason": one.kernel.reason or None}


def _pacemaker(one: Status) -> Optional[Dict[str, Any]]:
    cluster = one.cluster
    if cluster is None:
        return None
    if not isinstance(cluster, ClusterState):
        return {"error": str(cluster)}
    return {
        "error": None,
        "role": cluster.role,
        "nodes": list(cluster.nodes),
        "managed": cluster.managed,
        "failed": cluster.failed,
        "blocked": cluster.blocked,
        "intended": cluster.intended,
        "fail_counts": dict(cluster.fail_counts),
        "failures": list(cluster.failures),
    }
