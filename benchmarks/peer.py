"""What users run today: `ocf:heartbeat:aws-vpc-move-ip` of Debian's resource-agents, with the AWS CLI from PyPI."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterable

from vpc_lab.scenarios.peer import AGENT

# Where `make bench` installs it.
VENV = Path(__file__).parents[1] / ".venv" / "peer"
CLI = VENV / "bin" / "aws"


def require() -> None:
    """End with a sentence where the peer is not installed."""
    for path, what in ((AGENT, "resource-agents"), (CLI, "the AWS CLI")):
        if not path.exists():
            sys.exit(f"{path} is missing: `make bench` installs {what}")


def cli_version() -> str:
    """As `aws --version` begins: aws-cli/1.44.5."""
    done = subprocess.run([str(CLI), "--version"], capture_output=True, text=True, check=True)
    return (done.stdout or done.stderr).split()[0]


def write_profile(directory: Path, region: str) -> Dict[str, str]:
    """A profile `default` with the region alone, as its users have one; the environment that leads the CLI to it.

    The credentials come from the instance's role, as ours do.
    """
    config = directory / "peer-config"
    config.write_text(f"[default]\nregion = {region}\n", encoding="utf-8")
    return {"AWS_CONFIG_FILE": str(config)}


def parameters(ip: str, route_table_ids: Iterable[str], interface: str = "eth0") -> Dict[str, str]:
    """Its parameters, without OCF_RESKEY_ in front."""
    return {
        "ip": ip,
        "routing_table": ",".join(route_table_ids),
        "interface": interface,
        "lookup_type": "NetworkInterfaceId",
        "awscli": str(CLI),
        "profile": "default",
    }
