"""What users run today: `ocf:heartbeat:aws-vpc-move-ip` of Debian's resource-agents, with the AWS CLI from PyPI."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from vpc_lab.errors import LabError
from vpc_lab.lab import Lab

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


def prepare(lab: Lab, region: str) -> None:
    """Give every node the profile `default` with the region alone, as the peer's users have one.

    The credentials come from the instance's role, as ours do.
    """
    for node in lab.nodes():
        write = f'mkdir -p ~/.aws && printf "[default]\\nregion = {region}\\n" > ~/.aws/config'
        lab.exec(node, ["sh", "-c", write])
