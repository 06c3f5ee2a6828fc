"""Agents that the configurations of crm-examples/ name and whose software is not in a lab: the lab's stand-in for each.

What they are called and which parameters they have is theirs: the metadata is that of the real agent where this machine
has it, so that crm and pcs check a configuration against it; of those that no Debian package brings it is written here.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Mapping, NamedTuple, Sequence, Tuple

from vpc_lab.rehearsal.stand_ins import OCF, StandIn, write

from .configurations import TOPOLOGY

# By their names, of what is in resource-agents.
INSTALLED: Tuple[str, ...] = ("Filesystem", "SAPInstance", "exportfs", "nfsserver", "nginx", "pgsql")
PROMOTABLE = ("SAPHana", "pgsql", "drbd")


class Absent(NamedTuple):
    """An agent that this machine does not have: parameters, the required ones with a `!`, and timeouts in seconds."""

    parameters: Sequence[str]
    actions: Mapping[str, int]


_TOPOLOGY = Absent(("SID!", "InstanceNumber!"), {"start": 180, "stop": 60, "monitor": 60})
_HANA = Absent(
    ("SID!", "InstanceNumber!", "PREFER_SITE_TAKEOVER", "DUPLICATE_PRIMARY_TIMEOUT", "AUTOMATED_REGISTER"),
    {"start": 3600, "stop": 3600, "promote": 3600, "demote": 320, "monitor": 700},
)
# Their man pages and metadata: ocf_suse_SAPHana(7), ocf_suse_SAPHanaTopology(7), drbd-utils' ocf:linbit:drbd.
ABSENT: Mapping[Tuple[str, str], Absent] = {
    ("suse", "SAPHana"): _HANA,
    ("suse", "SAPHanaTopology"): _TOPOLOGY,
    ("heartbeat", "SAPHana"): _HANA,
    ("heartbeat", "SAPHanaTopology"): _TOPOLOGY,
    ("linbit", "drbd"): Absent(
        ("drbd_resource!", "drbdconf"),
        {"start": 240, "stop": 100, "promote": 90, "demote": 90, "notify": 90, "monitor": 20},
    ),
}


def stand_ins(directory: Path) -> Path:
    """Make all of them in `directory`, laid out as a system for `Settings.agents`; the directory."""
    found = [_stand_in("heartbeat", name, _metadata_of(OCF / "heartbeat" / name)) for name in INSTALLED]
    found += [_stand_in(provider, name, _metadata(name, absent)) for (provider, name), absent in ABSENT.items()]
    return write(found, directory, first=TOPOLOGY.nodes[0].name, region=TOPOLOGY.region)


def _stand_in(provider: str, name: str, metadata: str) -> StandIn:
    promotable = name in PROMOTABLE
    kind = "promotable" if promotable else "plain"
    return StandIn(f"ocf:{provider}:{name}", kind, (), promotable, (), "its software is not in the lab", (), metadata)


def _metadata_of(agent: Path) -> str:
    environment = {"OCF_ROOT": "/usr/lib/ocf", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run([str(agent), "meta-data"], env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def _metadata(name: str, absent: Absent) -> str:
    parameters = "".join(
        f'<parameter name="{one.rstrip("!")}" required="{int(one.endswith("!"))}"><longdesc lang="en">-</longdesc>'
        '<shortdesc lang="en">-</shortdesc><content type="string"/></parameter>\n'
        for one in absent.parameters
    )
    actions = "".join(
        f'<action name="{action}" timeout="{seconds}s"{_more(action)}/>\n' for action, seconds in absent.actions.items()
    )
    return (
        f'<?xml version="1.0"?>\n<resource-agent name="{name}" version="1"><version>1.0</version>\n'
        f'<longdesc lang="en">Stands in for {name}.</longdesc><shortdesc lang="en">Stands in for {name}</shortdesc>\n'
        f'<parameters>\n{parameters}</parameters>\n<actions>\n{actions}<action name="meta-data" timeout="5s"/>\n'
        "</actions></resource-agent>\n"
    )


def _more(action: str) -> str:
    return ' interval="10s" depth="0"' if action == "monitor" else ""
