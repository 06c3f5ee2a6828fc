"""A fencing plugin of libstonith (`external/NAME`) that stands in for another one: it stops instances through EC2.

`.NAME.json` beside it has its parameters. With the parameter `tag`, as external/ec2 has it, an instance is found by
that tag, whose value is the node's name; else by its tag `Name`. `profile` is one of the AWS configuration.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Dict
from xml.sax.saxutils import quoteattr


def perform(action: str, host: str) -> int:
    """What is asked for, through EC2; the exit code."""
    import boto3  # noqa: PLC0415 - what only describes the plugin needs no SDK

    profile = os.environ.get("profile") or None  # noqa: SIM112 - parameters keep their names
    ec2 = boto3.Session(profile_name=profile if profile != "default" else None).client("ec2", region_name=region())
    tag = os.environ.get("tag") or "Name"  # noqa: SIM112 - as above
    found: Dict[str, str] = {}
    for reservation in ec2.describe_instances(Filters=[{"Name": "tag-key", "Values": [tag]}])["Reservations"]:
        for instance in reservation["Instances"]:
            names = [one["Value"] for one in instance["Tags"] if one["Key"] == tag]
            found[names[0]] = instance["InstanceId"]
    if action == "gethosts":
        sys.stdout.write("".join(f"{name}\n" for name in found))
        return 0
    if action == "status":
        return 0 if found else 1
    instance = host if host.startswith("i-") else found[host]
    patience = {"Delay": 1, "MaxAttempts": 500}
    if action in ("off", "reset"):
        ec2.stop_instances(InstanceIds=[instance], Force=True)
        ec2.get_waiter("instance_stopped").wait(InstanceIds=[instance], WaiterConfig=patience)
    if action in ("on", "reset"):
        ec2.start_instances(InstanceIds=[instance])
        ec2.get_waiter("instance_running").wait(InstanceIds=[instance], WaiterConfig=patience)
    return 0


def region() -> str:
    """The lab's Region."""
    return str(json.loads(beside().read_text(encoding="utf-8"))["region"])


def beside() -> Path:
    """The description of this plugin."""
    path = Path(sys.argv[0])
    return path.parent / f".{path.name}.json"


def about(action: str) -> str:
    """What libstonith asks about the plugin."""
    known = json.loads(beside().read_text(encoding="utf-8"))
    if action == "getconfignames":
        return "\n".join(known["parameters"])
    if action == "getinfo-xml":
        lines = ["<parameters>"]
        for one in known["parameters"]:
            lines += [
                f'<parameter name={quoteattr(one)} unique="0" required="0"><content type="string"/>',
                f'<shortdesc lang="en">{one}</shortdesc>',
                f'<longdesc lang="en">As that of external/{known["name"]}</longdesc>',
                "</parameter>",
            ]
        return "\n".join([*lines, "</parameters>"])
    return {
        "getinfo-devid": f"external/{known['name']}",
        "getinfo-devname": f"external/{known['name']}",
        "getinfo-devdescr": f"Stand-in for external/{known['name']}",
        "getinfo-devurl": "https://github.com/ClusterLabs/cluster-glue",
    }[action]


def main() -> int:
    """Do what libstonith asks."""
    action = sys.argv[1] if len(sys.argv) > 1 else ""
    if action.startswith("get") and action != "gethosts":
        sys.stdout.write(about(action) + "\n")
        return 0
    if action not in ("gethosts", "status", "on", "off", "reset"):
        return 1
    try:
        return perform(action, sys.argv[2] if len(sys.argv) > 2 else "")
    except Exception as error:  # noqa: BLE001 - the fencer's log gets a sentence
        sys.stderr.write(f"external/{Path(sys.argv[0]).name} (stand-in): {action}: {error!r}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
