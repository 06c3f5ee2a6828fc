"""What users run today: `ocf:heartbeat:aws-vpc-move-ip` of Debian's resource-agents, with the AWS CLI from PyPI."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Sequence

from vpc_lab.errors import LabError
from vpc_lab.lab import Lab
from vpc_lab.status import Status

AGENT = Path("/usr/lib/ocf/resource.d/heartbeat/aws-vpc-move-ip")


def aws_cli() -> str:
    """Where the AWS CLI is: beside the lab's own Python, where `make bench` installs it, or on PATH.

    Raises:
        LabError: there is none, or no agent of the peer's.
    """
    if not AGENT.exists():
        raise LabError(f"{AGENT} is missing: it comes with Debian's resource-agents")
    beside = Path(sys.prefix) / "peer" / "bin" / "aws"
    found = str(beside) if beside.exists() else shutil.which("aws")
    if found is None:
        raise LabError("the peer needs the AWS CLI: `make bench` installs it, or put `aws` on PATH")
    return found


def write_profiles(lab: Lab, region: str) -> None:
    """Give every node the AWS CLI's profile `default` with the region alone, as the peer's users have one."""
    write = f'mkdir -p ~/.aws && printf "[default]\\nregion = {region}\\n" > ~/.aws/config'
    for node in lab.nodes():
        lab.exec(node, ["sh", "-c", write])


def prepare(lab: Lab, status: Status, addresses: Sequence[str]) -> None:
    """What the peer's users set up before its first start.

    Every node gets the profile `default` with the region alone; the credentials come from the instance's role, as ours
    do. Every table gets a route for each address, to whichever node: it replaces routes, and makes none.
    """
    write_profiles(lab, status.region)
    first = status.network_interfaces[lab.nodes()[0]]
    for address in addresses:
        for table in status.route_tables:
            if status.routes.get(address, {}).get(table) is None:
                destination = {"DestinationCidrBlock": f"{address}/32"}
                lab.administer("CreateRoute", RouteTableId=table, NetworkInterfaceId=first, **destination)
