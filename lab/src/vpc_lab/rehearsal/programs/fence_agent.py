"""A fence agent that stands in for another one, in the place of `fence_NAME`: it stops instances through EC2's API.

`.NAME.json` among the OCF agents has its parameters: beside it there is only what the machine has. The instance is the
one that the parameter `plug` (or `port`) names by its id or by its tag `Name`; an agent without such a parameter fences
the node that Pacemaker names by `nodename`.

What an agent is asked, on standard input as NAME=VALUE or as options: Fence Agent API of ClusterLabs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence
from xml.sax.saxutils import quoteattr

ACTIONS = ("off", "on", "reboot", "status", "monitor", "list", "metadata", "validate-all")
# Agents that fence nobody by themselves: what they look at is not in the lab.
NEVER, ALWAYS = ("fence_kdump",), ("fence_heuristics_ping",)
PATIENCE = {"Delay": 1, "MaxAttempts": 500}
SUCCESS, GENERIC, OFF = 0, 1, 2


def asked(argv: Sequence[str], stream: Sequence[str]) -> Dict[str, str]:
    """What is asked for, by the names of parameters."""
    found: Dict[str, str] = {}
    words = list(argv)
    short = {"-o": "action", "-n": "plug", "-H": "plug"}
    while words:
        word = words.pop(0)
        if word in short and words:
            found[short[word]] = words.pop(0)
        elif word.startswith("--"):
            name, _, value = word[2:].partition("=")
            found[name] = value
    for line in [] if argv else stream:
        name, equals, value = line.strip().partition("=")
        if equals:
            found[name.strip()] = value
    return {"action": "reboot", **found}


def perform(action: str, about: Dict[str, Any], given: Dict[str, str]) -> int:
    """What is asked for; the exit code."""
    if about["name"] in NEVER:
        return SUCCESS if action in ("monitor", "status", "validate-all") else GENERIC
    if about["name"] in ALWAYS or action == "validate-all":
        return SUCCESS
    import boto3  # noqa: PLC0415 - what only describes the agent needs no SDK

    ec2 = boto3.client("ec2", region_name=about["region"])
    states: Dict[str, str] = {}
    names: Dict[str, str] = {}
    for reservation in ec2.describe_instances()["Reservations"]:
        for instance in reservation["Instances"]:
            states[instance["InstanceId"]] = instance["State"]["Name"]
            names.update({tag["Value"]: instance["InstanceId"] for tag in instance["Tags"] if tag["Key"] == "Name"})
    if action == "monitor":
        return SUCCESS
    if action == "list":
        sys.stdout.write("".join(f"{name},\n" for name in names))
        return SUCCESS
    target = given.get("plug") or given.get("port") or ""
    instance_id = target if target in states else names.get(target) or names[given.get("nodename", "")]
    if action == "status":
        return SUCCESS if states[instance_id] == "running" else OFF
    if action in ("off", "reboot"):
        ec2.stop_instances(InstanceIds=[instance_id], Force=True)
        ec2.get_waiter("instance_stopped").wait(InstanceIds=[instance_id], WaiterConfig=PATIENCE)
    if action in ("on", "reboot"):
        ec2.start_instances(InstanceIds=[instance_id])
        ec2.get_waiter("instance_running").wait(InstanceIds=[instance_id], WaiterConfig=PATIENCE)
    return SUCCESS


def metadata(about: Dict[str, Any]) -> str:
    """What Pacemaker, crm and pcs ask for."""
    lines = [
        '<?xml version="1.0" ?>',
        f'<resource-agent name={quoteattr(about["name"])} shortdesc="Stand-in for {about["name"]}">',
        "<longdesc>A stand-in of the lab: it stops instances through EC2's API.</longdesc>",
        "<vendor-url>https://github.com/ClusterLabs/fence-agents</vendor-url>",
        "<parameters>",
    ]
    own = ("action", *(() if about["name"] in (*NEVER, *ALWAYS) else ("plug",)))
    for name in dict.fromkeys((*own, *about["parameters"])):
        lines += [
            f'<parameter name={quoteattr(name)} unique="0" required="0">',
            f'<getopt mixed={quoteattr("--" + name + "=")}/><content type="string"/>',
            f'<shortdesc lang="en">As that of {about["name"]}</shortdesc></parameter>',
        ]
    lines += ["</parameters>", "<actions>"]
    lines += [f'<action name="{name}"/>' for name in ACTIONS if name != "on"]
    lines += ['<action name="on" automatic="0"/>', "</actions>", "</resource-agent>"]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Do what Pacemaker asks."""
    path = Path(sys.argv[0])
    known = path.parents[2] / "usr/lib/ocf/resource.d/.lab" / f".{path.name}.json"
    about = json.loads(known.read_text(encoding="utf-8"))
    stream: List[str] = [] if len(sys.argv) > 1 else sys.stdin.readlines()
    given = asked(sys.argv[1:], stream)
    action = given["action"]
    if action in ("metadata", "manpage"):
        sys.stdout.write(metadata(about))
        return SUCCESS
    if action not in ACTIONS:
        sys.stderr.write(f"{about['name']} (stand-in): there is no action '{action}'\n")
        return GENERIC
    try:
        return perform(action, about, given)
    except Exception as error:  # noqa: BLE001 - the fencer's log gets a sentence
        sys.stderr.write(f"{about['name']} (stand-in): {action}: {error!r}\n")
        return GENERIC


if __name__ == "__main__":
    sys.exit(main())
