"""`aws-ipfailover lab …`: a VPC in a box with a real cluster. The lab's own modules are imported when a verb runs."""

from __future__ import annotations

import argparse
import json
import os
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Callable, List

from vpc_lab.cli import faults, scenarios

if TYPE_CHECKING:
    from vpc_lab.cluster import ResourceState
    from vpc_lab.lab import Lab

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
    Verb = Callable[[Lab, argparse.Namespace], int]


# Copies from vpc_lab.topology, which is imported only when a verb runs.
MODES = ("overlay-ip", "eni", "private-ip")
LAYOUTS = ("service-subnet", "same-subnet")
NODES = (2, 3)
LAYOUT_HELP = "where the ENI of mode eni lives: in a subnet of its own or in the nodes' (default: %(default)s)"


def register(commands: Commands) -> None:
    """Add `lab` and its verbs to the command line."""
    parser = commands.add_parser(
        "lab",
        help="a VPC in a box: a real cluster on an EC2 of its own, on this machine",
        description="A VPC in a box: two or three cluster nodes, each in an availability zone of its own, consumers "
        "there and on premises, and EC2's API, in namespaces of this machine. Takes root; needs no Internet; leaves "
        "nothing behind.",
    )
    name = argparse.ArgumentParser(add_help=False)
    name.add_argument("--name", default="default", help="which lab, if there are several (default: %(default)s)")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def add(verb: str, run: Verb, text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(verb, help=text, description=text[0].upper() + text[1:] + ".", parents=[name])
        added.set_defaults(run=_guarded(run))
        return added

    up = add("up", _up, "bring a lab up and leave it running")
    up.add_argument(
        "--nodes",
        type=int,
        choices=NODES,
        default=NODES[0],
        help="how many nodes the cluster has (default: %(default)s)",
    )
    up.add_argument("--token", type=int, default=1000, metavar="MS", help="corosync's token timeout (default: 1000 ms)")
    up.add_argument("--extra-route-tables", type=int, default=0, metavar="N", help="route tables that no subnet uses")
    up.add_argument("--without-fencing", action="store_true", help="leave fence_aws out of the cluster")
    up.add_argument("--mode", choices=MODES, default=MODES[0], help="what to lay it out for (default: %(default)s)")
    up.add_argument("--layout", choices=LAYOUTS, default=LAYOUTS[0], help=LAYOUT_HELP)
    up.add_argument("--attach", type=float, default=0.0, metavar="S", help="seconds that EC2 takes to attach an ENI")
    up.add_argument("--detach", type=float, default=0.0, metavar="S", help="seconds that EC2 takes to detach an ENI")
    up.add_argument("--nic", type=float, default=0.0, metavar="S", help="seconds from `attached` to the NIC")
    up.add_argument("--imds-lag", type=float, default=0.0, metavar="S", help="seconds until IMDS knows an ENI")
    up.add_argument(
        "--graceful-stop",
        action="store_true",
        help="let StopInstances, which fencing uses, shut the system down before the power goes",
    )
    up.add_argument(
        "--shutdown", type=float, default=0.0, metavar="S", help="seconds that its services run on meanwhile"
    )
    up.add_argument(
        "--shutdown-limit",
        type=float,
        default=300.0,
        metavar="S",
        help="seconds until the power goes anyhow (default: %(default)s)",
    )
    up.add_argument(
        "--route-lag",
        type=float,
        default=0.0,
        metavar="S",
        help="seconds until a written route is effective, at most: drawn for each source of traffic",
    )
    up.add_argument(
        "--rename", type=float, default=0.0, metavar="S", help="seconds until udev renames a NIC that came, about"
    )
    up.add_argument(
        "--stale-neighbours",
        action="store_true",
        help="let the instances of a subnet send to the old ENI of an address that moved, until it is announced",
    )
    up.add_argument(
        "--remap", type=float, default=0.0, metavar="S", help="seconds until packets find a private address that moved"
    )
    up.add_argument(
        "--imds-address-lag", type=float, default=0.0, metavar="S", help="how much later IMDS lists such an address"
    )
    up.add_argument(
        "--dead-indexes", action="store_true", help="no NIC appears at a device index after a detachment by force"
    )
    up.add_argument(
        "--internet",
        action="store_true",
        help="overlay-ip: an internet gateway with a consumer behind it, and an Elastic IP for allocation_id",
    )
    up.add_argument("--seed", type=int, default=0, metavar="N", help="of everything that is drawn (default: 0)")
    up.add_argument(
        "--overlay",
        dest="overlays",
        type=ip_address,
        action="append",
        default=[],
        metavar="ADDRESS",
        help="a further overlay address that on-premises has a route for; can be repeated",
    )
    up.add_argument(
        "--agents",
        type=Path,
        metavar="DIR",
        help="further agents for the nodes: DIR/usr/lib/ocf/resource.d, DIR/usr/lib/stonith/plugins/external",
    )
    up.add_argument(
        "--as",
        dest="alias",
        metavar="PROVIDER:NAME",
        help="install the agent under this name as well, such as suse:aws-vpc-move-ip",
    )
    status = add("status", _status, "show instances, links, routes and the cluster")
    status.add_argument("--json", action="store_true", help="as JSON")
    shell = add("shell", _shell, "open a shell in an instance")
    shell.add_argument("instance", metavar="NODE")
    add("elastic-ip", _elastic_ip, "associate an Elastic IP with the service's private address, and print it")
    execute = add("exec", _exec, "run a command in an instance")
    execute.add_argument("instance", metavar="NODE")
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- CMD", help="the command and its arguments")
    off = add("power-off", _power_off, "take an instance's power away, and leave it off")
    off.add_argument("instance", metavar="NODE")
    on = add("power-on", _power_on, "start an instance that failed or was stopped")
    on.add_argument("instance", metavar="NODE")
    faults.register(add, _guarded)
    administer = add(
        "administer", _administer, "call an operation of EC2 as an administrator, whatever faults there are"
    )
    administer.add_argument("action", metavar="OPERATION", help="such as ReplaceRoute or CreateTags")
    administer.add_argument(
        "parameters", nargs="*", metavar="NAME=VALUE", help="as EC2's Query API has them, such as InstanceId=i-0123"
    )
    load = add("load", _load, "load a configuration of crm or pcs, with this lab's values for its @PLACEHOLDERS@")
    load.add_argument("file", type=Path)
    events = add("events", _events, "show what happened when")
    events.add_argument("--json", action="store_true", help="as JSON")
    logs = add("logs", _logs, "copy every instance's logs to a directory")
    logs.add_argument("directory", type=Path)
    add("down", _down, "end the lab and remove every trace of it")
    scenarios.register(add)
    _register_demo(verbs, name)


def _register_demo(verbs: Commands, name: argparse.ArgumentParser) -> None:
    text = "bring a lab up, move the address, fail its node, and measure what consumers saw"
    demo = verbs.add_parser("demo", help=text, description=text[0].upper() + text[1:] + ".", parents=[name])
    demo.add_argument("--json", type=Path, metavar="FILE", help="where the figures go as JSON (default: demo.json)")
    demo.add_argument(
        "--mode", choices=MODES, default=MODES[0], help="which mode of the agent to show (default: %(default)s)"
    )
    demo.add_argument("--layout", choices=LAYOUTS, default=LAYOUTS[0], help=LAYOUT_HELP)
    demo.add_argument("--ipv6", action="store_true", help="move an IPv6 address (default: IPv4)")
    demo.add_argument(
        "--nodes-config",
        type=Path,
        metavar="FILE",
        help="the .crm or .pcs file to load, with @PLACEHOLDERS@ (default: one of crm-examples/)",
    )
    demo.add_argument(
        "--interval", type=float, default=0.05, metavar="SECONDS", help="between two questions (default: %(default)s)"
    )
    demo.set_defaults(run=_guarded(_demo))


def _guarded(run: Verb) -> Callable[[argparse.Namespace], int]:
    """Turn a `LabError` of a verb into a sentence on standard error and exit code 1."""

    def guarded(arguments: argparse.Namespace) -> int:
        from vpc_lab.errors import LabError  # noqa: PLC0415 - a verb runs
        from vpc_lab.lab import Lab  # noqa: PLC0415 - as above

        try:
            return run(Lab(arguments.name), arguments)
        except LabError as error:
            sys.stderr.write(f"{error}\n")
            return 1

    return guarded


def _say(text: str) -> None:
    sys.stdout.write(f"{text} ...\n")
    sys.stdout.flush()


def _up(lab: Lab, arguments: argparse.Namespace) -> int:
    from vpc_lab.settings import Settings  # noqa: PLC0415 - see _guarded

    settings = Settings(
        token_ms=arguments.token,
        fencing=not arguments.without_fencing,
        nodes=arguments.nodes,
        extra_route_tables=arguments.extra_route_tables,
        mode=arguments.mode,
        layout=arguments.layout,
        attach_seconds=arguments.attach,
        detach_seconds=arguments.detach,
        nic_seconds=arguments.nic,
        imds_lag_seconds=arguments.imds_lag,
        graceful_stop=arguments.graceful_stop,
        shutdown_seconds=arguments.shutdown,
        shutdown_limit_seconds=arguments.shutdown_limit,
        route_lag_seconds=arguments.route_lag,
        rename_seconds=arguments.rename,
        stale_neighbours=arguments.stale_neighbours,
        remap_seconds=arguments.remap,
        imds_address_lag_seconds=arguments.imds_address_lag,
        dead_indexes=arguments.dead_indexes,
        internet=arguments.internet,
        seed=arguments.seed,
        overlays=tuple(map(str, arguments.overlays)),
        agents=None if arguments.agents is None else str(arguments.agents.absolute()),
        alias=arguments.alias,
    )
    lab = lab.up(arguments.name, settings, say=_say)
    sys.stdout.write(f"lab '{arguments.name}' is up\n")
    return 0


def _status(lab: Lab, arguments: argparse.Namespace) -> int:
    status = lab.status()
    cluster = lab.cluster_status()
    if arguments.json:
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
    return 1


def _shell(lab: Lab, arguments: argparse.Namespace) -> int:
    return _run_inside(lab, arguments.instance, ["bash", "--norc", "-i"])


def _exec(lab: Lab, arguments: argparse.Namespace) -> int:
    argv = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    if not argv:
        sys.stderr.write("there is no command to run; usage: aws-ipfailover lab exec NODE -- CMD\n")
        return 2
    return _run_inside(lab, arguments.instance, argv)


def _elastic_ip(lab: Lab, arguments: argparse.Namespace) -> int:
    sys.stdout.write(f"{lab.order('elastic-ip')}\n")
    return 0


def _power_off(lab: Lab, arguments: argparse.Namespace) -> int:
    lab.power_off(arguments.instance)
    return 0


def _power_on(lab: Lab, arguments: argparse.Namespace) -> int:
    lab.power_on(arguments.instance)
    return 0


def _administer(lab: Lab, arguments: argparse.Namespace) -> int:
    pairs = [one.partition("=") for one in arguments.parameters]
    if not all(found for _, found, _ in pairs):
        sys.stderr.write("a parameter is NAME=VALUE, such as InstanceId=i-0123\n")
        return 2
    lab.administer(arguments.action, **{name: value for name, _, value in pairs})
    return 0


def _load(lab: Lab, arguments: argparse.Namespace) -> int:
    try:
        text = arguments.file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"cannot read {arguments.file}: {error}\n")
        return 1
    sys.stdout.write(lab.load(text, pcs=arguments.file.suffix == ".pcs"))
    lab.settle()
    sys.stdout.write(f"loaded {arguments.file}\n")
    cluster = lab.cluster_status()
    for resource in cluster.resources if cluster else ():
        _say_resource(resource)
    return 0


def _events(lab: Lab, arguments: argparse.Namespace) -> int:
    events = lab.events()
    if arguments.json:
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


def _logs(lab: Lab, arguments: argparse.Namespace) -> int:
    sys.stdout.write(f"{lab.save_logs(arguments.directory)}\n")
    return 0


def _down(lab: Lab, arguments: argparse.Namespace) -> int:
    if lab.down():
        sys.stdout.write(f"lab '{arguments.name}' is down\n")
    else:
        sys.stdout.write(f"lab '{arguments.name}' was not up\n")
    return 0


def _demo(lab: Lab, arguments: argparse.Namespace) -> int:
    from vpc_lab.scenarios import demo  # noqa: PLC0415 - see _guarded

    return demo.run(
        lab.rundir.name,
        json_file=arguments.json,
        ipv6=arguments.ipv6,
        configuration=arguments.nodes_config,
        interval=arguments.interval,
        mode=arguments.mode,
        layout=arguments.layout,
    )
