"""`aws-ipfailover lab …`: a VPC in a box with a real cluster. The lab's own modules are imported when a verb runs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional, Tuple

import click

from vpc_lab.cli import faults, scenarios
from vpc_lab.cli.rehearse import rehearse_verb
from vpc_lab.cli.up import up_verb
from vpc_lab.cli.verb import FILE, MODES, USAGE, WRONG, Group, argument, layout_option, mode_option

if TYPE_CHECKING:
    from vpc_lab.cluster import ResourceState
    from vpc_lab.lab import Lab
    from vpc_lab.topology import Layout, Mode


# How the help of `lab` lists the verbs: several on a line, so that it fits a terminal.
_LISTED = (
    ("up, down", "bring a lab up and leave it running; end it"),
    ("status", "show instances, links, routes and the cluster"),
    ("exec, shell", "run a command, or a shell, in an instance"),
    ("load", "load a configuration of crm or pcs"),
    ("fault, faults, heal", "let something go wrong; list that; undo it"),
    ("power-off, power-on", "take an instance's power away; start it"),
    ("administer", "call an operation of EC2 as an administrator"),
    ("elastic-ip", "associate an Elastic IP with the service"),
    ("events, logs", "show what happened when; copy the instances' logs"),
    ("scenarios, soak", "play scenarios of the catalogue; fault after fault"),
    ("demo, rehearse", "see the address fail over; or your own configuration"),
)


class _Verbs(Group):
    """The verbs of the lab."""

    def list_commands(self, ctx: click.Context) -> List[str]:
        """Their names, in the order in which the help has them."""
        return [name for names, _ in _LISTED for name in names.split(", ")]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Verbs that belong together are on one line."""
        with formatter.section("Verbs"):
            formatter.write_dl(_LISTED)


@click.group(
    "lab",
    cls=_Verbs,
    subcommand_metavar="VERB [ARGS]...",
    short_help="A VPC in a box: a real cluster on an EC2 of its own.",
)
def command() -> None:
    """A VPC in a box: cluster nodes in availability zones of their own, consumers, and EC2's API, in namespaces of this
    machine. Takes root; needs no Internet.

    \b
    Example:
      aws-ipfailover lab up && aws-ipfailover lab status
    """


command.add_command(up_verb)
command.add_command(faults.fault_verb)
command.add_command(faults.heal_verb)
command.add_command(faults.faults_verb)
command.add_command(scenarios.scenarios_verb)
command.add_command(scenarios.soak_verb)
command.add_command(rehearse_verb)

_node = argument("node", "the instance, by name, as `lab status` has it", metavar="NODE")


@command.command("status")
@click.option("--json", "as_json", is_flag=True, help="as JSON")
def _status(lab: Lab, as_json: bool) -> int:
    """Show instances, links, routes and the cluster.

    \b
    Example:
      aws-ipfailover lab status --json
    """
    status = lab.status()
    cluster = lab.cluster_status()
    if as_json:
        online = list(cluster.online) if cluster else []
        resources = {one.resource_id: list(one.nodes) for one in cluster.resources} if cluster else {}
        found = {**status.to_json(), "online": online, "resources": resources}
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return 0
    rows = [["INSTANCE", "ROLE", "ADDRESS", "EC2 STATE", "POWER", "INSTANCE ID"]]
    for one in status.instances:
        power = "frozen" if one.frozen else "on" if one.powered else "off"
        rows.append([one.name, one.role, one.address, one.state, power, one.instance_id or "-"])
    _table(rows)
    for address, routes in status.routes.items():
        if status.mode != MODES[0] and not any(routes.values()):
            continue  # the topology's overlay addresses, which this mode does not use
        targets = ", ".join(f"{table} -> {target or 'no route'}" for table, target in routes.items())
        sys.stdout.write(f"{address}: {targets}\n")
    service = status.service
    if service.addresses:
        what = service.network_interface_id or service.allocation_id or "private address"
        where = f"{service.attachment or 'on'} {service.holder}" if service.holder else "nowhere"
        sys.stdout.write(f"{what} ({', '.join(service.addresses)}): {where}\n")
        for private, public in service.elastic_ips.items():
            sys.stdout.write(f"{public}: the Elastic IP of {private}\n")
    for source, destination in status.routes_under_way:
        sys.stdout.write(f"{destination}: the newest route is not effective yet for {source}\n")
    for held in status.faults:
        sys.stdout.write(f"fault {held.number}: {held.fault}\n")
    if cluster is None:
        sys.stdout.write("the cluster does not answer\n")
    else:
        sys.stdout.write(f"cluster: online {', '.join(cluster.online) or 'nobody'}; DC {cluster.dc or 'none'}\n")
        for resource in cluster.resources:
            _say_resource(resource)
        for failure in cluster.failures:
            sys.stdout.write(f"{failure.operation} on {failure.node}: {failure.exit_code} {failure.exit_reason}\n")
    return 0


def _say_resource(resource: ResourceState) -> None:
    where = ", ".join(resource.nodes) or "nowhere"
    sys.stdout.write(f"{resource.resource_id} ({resource.agent}): {resource.role} on {where}\n")


def _table(rows: List[List[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() + "\n")


def _run_inside(lab: Lab, name: str, argv: List[str]) -> int:
    command, environment = lab.enter(name, argv, with_parent=False)
    sys.stdout.flush()
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - an argument list, without a shell
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error.strerror}\n")
    return WRONG


@command.command("shell")
@_node
def _shell(lab: Lab, node: str) -> int:
    """Open a shell in an instance.

    \b
    Example:
      aws-ipfailover lab shell node1
    """
    return _run_inside(lab, node, ["bash", "--norc", "-i"])


# What follows the node is the command's: none of it is an option of this one.
@command.command("exec", context_settings={"allow_interspersed_args": False})
@_node
@argument("argv", "the command and its arguments", nargs=-1, type=click.UNPROCESSED, metavar="-- CMD [ARGS]...")
def _exec(lab: Lab, node: str, argv: Tuple[str, ...]) -> int:
    """Run a command in an instance.

    \b
    Example:
      aws-ipfailover lab exec onprem -- ping -c 3 192.168.10.10
    """
    words = list(argv[1:] if argv[:1] == ("--",) else argv)
    if not words:
        sys.stderr.write("there is no command to run; usage: aws-ipfailover lab exec NODE -- CMD\n")
        return USAGE
    return _run_inside(lab, node, words)


@command.command("elastic-ip")
def _elastic_ip(lab: Lab) -> int:
    """Associate an Elastic IP with the service's private address, and print it.

    \b
    Example:
      aws-ipfailover lab elastic-ip
    """
    sys.stdout.write(f"{lab.order('elastic-ip')}\n")
    return 0


@command.command("power-off")
@_node
def _power_off(lab: Lab, node: str) -> int:
    """Take an instance's power away, and leave it off.

    \b
    Example:
      aws-ipfailover lab power-off node1
    """
    lab.power_off(node)
    return 0


@command.command("power-on")
@_node
def _power_on(lab: Lab, node: str) -> int:
    """Start an instance that failed or was stopped.

    \b
    Example:
      aws-ipfailover lab power-on node1
    """
    lab.power_on(node)
    return 0


@command.command("administer")
@argument("action", "such as ReplaceRoute or CreateTags", metavar="OPERATION")
@argument("parameters", "as EC2's Query API has them, such as InstanceId=i-0123", nargs=-1, metavar="[NAME=VALUE]...")
def _administer(lab: Lab, action: str, parameters: Tuple[str, ...]) -> int:
    """Call an operation of EC2 as an administrator, whatever faults there are.

    \b
    Example:
      aws-ipfailover lab administer StopInstances InstanceId=i-0123 Force=true
    """
    pairs = [one.partition("=") for one in parameters]
    if not all(found for _, found, _ in pairs):
        sys.stderr.write("a parameter is NAME=VALUE, such as InstanceId=i-0123\n")
        return USAGE
    lab.administer(action, **{name: value for name, _, value in pairs})
    return 0


@command.command("load")
@argument("file", "a .crm file, or a .pcs file", type=FILE, metavar="FILE")
def _load(lab: Lab, file: Path) -> int:
    """Load a configuration of crm or pcs, with this lab's values for its @PLACEHOLDERS@.

    \b
    Example:
      aws-ipfailover lab load crm-examples/overlay-ip.crm
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"cannot read {file}: {error}\n")
        return WRONG
    sys.stdout.write(lab.load(text, pcs=file.suffix == ".pcs"))
    lab.settle()
    sys.stdout.write(f"loaded {file}\n")
    cluster = lab.cluster_status()
    for resource in cluster.resources if cluster else ():
        _say_resource(resource)
    return 0


@command.command("events")
@click.option("--json", "as_json", is_flag=True, help="as JSON")
def _events(lab: Lab, as_json: bool) -> int:
    """Show what happened when.

    \b
    Example:
      aws-ipfailover lab events --json
    """
    events = lab.events()
    if as_json:
        sys.stdout.write(json.dumps(events, indent=2) + "\n")
        return 0
    begin = events[0]["time"] if events else 0.0
    for event in events:
        about = " ".join(
            f"{key}={value}"
            for key, value in event.items()
            if key in ("instance", "why", "number", "name", "parameters", "action", "caller", "outcome")
        )
        sys.stdout.write(f"{event['time'] - begin:10.3f} s  {event['kind']:10} {about}\n")
    return 0


@command.command("logs")
@argument("directory", "where they go", type=FILE, metavar="DIRECTORY")
def _logs(lab: Lab, directory: Path) -> int:
    """Copy every instance's logs to a directory.

    \b
    Example:
      aws-ipfailover lab logs /tmp/logs
    """
    sys.stdout.write(f"{lab.save_logs(directory)}\n")
    return 0


@command.command("down")
def _down(lab: Lab) -> int:
    """End the lab and remove every trace of it.

    \b
    Example:
      aws-ipfailover lab down
    """
    if lab.down():
        sys.stdout.write(f"lab '{lab.rundir.name}' is down\n")
    else:
        sys.stdout.write(f"lab '{lab.rundir.name}' was not up\n")
    return 0


@command.command("demo")
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="where the figures go (default: demo.json)")
@click.option("--report", type=FILE, metavar="FILE", help="where the page goes (default: demo.html)")
@mode_option
@layout_option
@click.option("--ipv6", is_flag=True, help="move an IPv6 address (default: IPv4)")
@click.option(
    "--nodes-config",
    "configuration",
    type=FILE,
    metavar="FILE",
    help="the .crm or .pcs file to load, with @PLACEHOLDERS@ (default: one of the examples)",
)
@click.option("--interval", type=float, default=0.05, metavar="SECONDS", help="between two questions (default: 0.05)")
def _demo(
    lab: Lab,
    json_file: Optional[Path],
    report: Optional[Path],
    mode: Mode,
    layout: Layout,
    ipv6: bool,
    configuration: Optional[Path],
    interval: float,
) -> int:
    """Bring a lab up, move the address, fail its node, and measure what consumers saw.

    \b
    Example:
      aws-ipfailover lab demo --mode eni --json figures.json
    """
    from vpc_lab.scenarios import demo  # noqa: PLC0415 - a verb runs

    return demo.run(
        lab.rundir.name,
        json_file=json_file,
        page_file=report,
        ipv6=ipv6,
        configuration=configuration,
        interval=interval,
        mode=mode,
        layout=layout,
    )
