"""The verbs of `aws-ipfailover lab` that only send a running lab one order about its VPC."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Tuple

if TYPE_CHECKING:
    from vpc_lab.lab import Lab

    Verb = Callable[[Lab, argparse.Namespace], int]
    Add = Callable[[str, Verb, str], argparse.ArgumentParser]

# Copies from vpc_lab.ec2, which is imported only when a verb runs.
ORIGINS = ("CreateRoute", "CreateRouteTable", "EnableVgwRoutePropagation", "Advertisement")
STATES = ("active", "blackhole", "filtered")


def register(add: Add) -> None:
    """Add the verbs; `add` takes a verb, what runs it, and its help."""
    put = add("put-route", _order(_put_route), "write a route behind the cluster's back")
    put.add_argument("destination", metavar="CIDR", help="such as 192.168.10.10/32")
    put.add_argument("target", metavar="TARGET", help="an instance's name, or the id of an ENI or a gateway")
    put.add_argument("--table", metavar="TABLE", help="id, or the name of its subnet (default: every table)")
    put.add_argument(
        "--origin", choices=ORIGINS, default=ORIGINS[0], help="how it came: the last two are propagated routes"
    )
    put.add_argument("--state", choices=STATES, help="what EC2 says of it (default: what follows from its target)")
    delete = add("delete-route", _order(_delete_route), "delete a route behind the cluster's back")
    delete.add_argument("destination", metavar="CIDR")
    delete.add_argument("--table", metavar="TABLE", help="id, or the name of its subnet (default: every table)")
    delete.add_argument("--origin", choices=ORIGINS, help="only the route that came so (default: every one)")
    table = add("delete-route-table", _order(_delete_table), "delete a route table; its subnet uses the main one then")
    table.add_argument("table", metavar="TABLE", help="id, or the name of its subnet")
    check = add("source-dest-check", _order(_check), "switch the source/destination check of an instance's primary ENI")
    check.add_argument("instance", metavar="NODE")
    check.add_argument("state", choices=["on", "off"])
    tag = add("tag", _order(_tag), "set a tag of a resource of EC2")
    tag.add_argument("resource", metavar="RESOURCE", help="an instance's name, or the id of anything")
    tag.add_argument("tag", metavar="KEY=VALUE", help="KEY alone removes the tag")
    imds = add("imds", _order(_imds), "switch an instance's metadata service on, or off: it answers 403 then")
    imds.add_argument("instance", metavar="NODE")
    imds.add_argument("state", choices=["on", "off"])
    lag = add("route-lag", _order(_route_lag), "let routes written from now on become effective later")
    lag.add_argument("seconds", type=float, metavar="S", help="at most; 0: at once, also those that are under way")
    remap = add("remap-lag", _order(_remap), "let private addresses that move from now on arrive later than EC2 says")
    remap.add_argument("seconds", type=float, metavar="S", help="until packets find the new ENI")
    remap.add_argument("--imds", type=float, default=0.0, metavar="S", help="how much later IMDS lists the address")
    dead = add(
        "dead-indexes", _order(_dead), "let no NIC appear at a device index after a detachment by force, until a stop"
    )
    dead.add_argument("state", choices=["on", "off"])
    policy = add("policy", _order(_policy), "give the nodes' role an IAM policy, or every permission again")
    policy.add_argument(
        "file", metavar="FILE", help="a policy document (Allow, Deny, Condition on tags), or 'none' for all"
    )
    expire = add("expire-credentials", _order(_expire), "let EC2 call every node's present credentials expired")
    expire.add_argument("--for-good", action="store_true", help="IMDS hands out the expired ones, too")


def _order(about: Callable[[argparse.Namespace], Tuple[str, Dict[str, Any]]]) -> Verb:
    def run(lab: Lab, arguments: argparse.Namespace) -> int:
        verb, values = about(arguments)
        lab.order(verb, **values)
        return 0

    return run


def _put_route(given: argparse.Namespace) -> Tuple[str, Dict[str, Any]]:
    return "put-route", {
        "destination": given.destination,
        "target": given.target,
        "route_table_id": given.table,
        "origin": given.origin,
        "state": given.state,
    }


def _delete_route(given: argparse.Namespace) -> Tuple[str, Dict[str, Any]]:
    return "delete-route", {
        "destination": given.destination,
        "route_table_id": given.table,
        "origin": given.origin,
    }


def _delete_table(given: argparse.Namespace) -> Tuple[str, Dict[str, Any]]:
    return "delete-route-table", {"route_table_id": given.table}


def _check(given: argparse.Namespace) -> Tuple[str, Dict[str, Any]]:
    return "source-dest-check", {"name": given.instance, "checked": given.state == "on"}


def _tag(given: argparse.Namespace) -> Tuple[str, Dict[str, Any]]:
    key, found, value = given.tag.partition("=")
    return "tag", {"resource": given.resource, "key": key, "value": value if found else None}


def _imds(given: argparse.Namespace) -> Tuple[str, Dict[str, Any]]:
    return "imds", {"name": given.instance, "on": given.state == "on"}


def _route_lag(given: argparse.Namespace) -> Tuple[str, Dict[str, Any]]:
    return "route-lag", {"seconds": given.seconds}


def _remap(given: argparse.Namespace) -> Tuple[str, Dict[str, Any]]:
    return "remap-lag", {"seconds": given.seconds, "imds": given.imds}


def _policy(given: argparse.Namespace) -> Tuple[str, Dict[str, Any]]:
    if given.file == "none":
        return "restrict", {"policy": None}
    from vpc_lab.errors import LabError  # noqa: PLC0415 - only when a verb runs

    try:
        return "restrict", {"policy": json.loads(Path(given.file).read_text(encoding="utf-8"))}
    except (OSError, ValueError) as error:
        raise LabError(f"{given.file} is no policy document in JSON: {error}") from None


def _expire(given: argparse.Namespace) -> Tuple[str, Dict[str, Any]]:
    return "expire-credentials", {"renew": not given.for_good}


def _dead(given: argparse.Namespace) -> Tuple[str, Dict[str, Any]]:
    return "dead-indexes", {"dead": given.state == "on"}
