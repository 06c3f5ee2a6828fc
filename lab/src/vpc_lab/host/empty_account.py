"""What instances have in a lab that begins with an empty account: nothing that their administrator has not made.

The workstation has the AWS CLI with an access key that may do everything, and `aws-ipfailover`. An instance that was
launched has the programs of a cluster, and the agent; no service of it is started or enabled: `systemctl` does that.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Dict, Mapping, Tuple

from vpc_lab.host import cluster_files, guest
from vpc_lab.host.boot import Service
from vpc_lab.topology import Topology

Files = Mapping[str, Tuple[str, int, None]]

UNITS = ("corosync", "pacemaker")
SERVICES: Tuple[Service, ...] = tuple(
    replace(service, unit=unit) for service, unit in zip(cluster_files.SERVICES, UNITS)
)
# The lab's EC2 takes any key that it does not know for the account's root.
KEY = "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = the-lab-does-not-look-at-it\n"


def instance_commands() -> Dict[str, str]:
    """The commands that an instance has besides the machine's."""
    asks = f"#!{sys.executable}\nimport sys\nfrom vpc_lab.host.units import main\nsys.exit(main(sys.argv[1:]))\n"
    return {"systemctl": asks, **_ours()}


def workstation(topology: Topology) -> Tuple[Files, Dict[str, str]]:
    """The files and the commands of the workstation."""
    configuration = f"[default]\nregion = {topology.region}\noutput = json\n"
    files: Files = {
        f"{guest.HOME}/.aws/config": (configuration, 0o600, None),
        f"{guest.HOME}/.aws/credentials": (KEY, 0o600, None),
    }
    # Where `make .venv/.peer` puts it; without it the workstation has the one of the machine's PATH, if any.
    cli = Path(sys.prefix, "peer", "bin", "aws")
    return files, {**_ours(), **({"aws": _runs(cli)} if cli.exists() else {})}


def _ours() -> Dict[str, str]:
    return {"aws-ipfailover": _runs(Path(sys.prefix, "bin", "aws-ipfailover"))}


def _runs(program: Path) -> str:
    return f'#!/bin/sh\nexec {program} "$@"\n'
