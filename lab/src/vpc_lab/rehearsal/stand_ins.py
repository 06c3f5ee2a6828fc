"""Which agents of a configuration a lab cannot run, and what is put in their places, by the same names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Sequence, Tuple

from vpc_lab.errors import LabError
from vpc_lab.rehearsal.model import PACEMAKER_S, Configuration, Primitive

PROGRAMS = Path(__file__).with_name("programs")
OCF = Path("/usr/lib/ocf/resource.d")
FENCING = Path("/usr/lib/stonith/plugins/external")
# The agent whose names and parameters ours has taken over.
PEER = "aws-vpc-move-ip"
OURS = ("aws-ipfailover", "aws-ipfailover-health")
# Agents that need nothing but the kernel and Pacemaker: they run as they are where they are installed.
_REAL = frozenset(
    (
        *(f"ocf:heartbeat:{name}" for name in ("IPaddr2", "IPaddr", "IPv6addr", "IPsrcaddr", "Dummy", "Delay")),
        *(f"ocf:heartbeat:{name}" for name in ("Stateful", "SendArp", "ethmonitor", *OURS)),
        *(f"ocf:pacemaker:{name}" for name in ("Dummy", "Stateful", "attribute", "HealthCPU", "SysInfo")),
    )
)
# How a stand-in behaves, by the agent's own name: whoever publishes it (heartbeat, suse) means the same software.
_KINDS = {
    "SAPHana": "hana",
    "SAPHanaController": "hana",
    "SAPInstance": "enqueue",
    "ping": "ping",
    "pingd": "ping",
    "awsvip": "awsvip",
}
# Operations in the metadata of each stand-in.
_EVERY_AGENT_S = ("start", "stop", "monitor", "promote", "demote", "notify", "validate-all", "meta-data")
_BEHAVIOUR = {
    "plain": "runs or does not, and nothing more",
    "promotable": "sets its own promotion score, the highest where it is promoted",
    "hana": "a database of a replicating pair: promotion scores, takeover and registration as SAPHanaSR has them",
    "enqueue": "runs or does not; with IS_ERS=true it sets runs_ers_SID on its node",
    "ping": "sets its attribute as if every host answered",
    "awsvip": "assigns the address to the node's network interface through EC2's API",
    "fencing": "stops the node's instance through EC2's API",
}


@dataclass(frozen=True)
class StandIn:
    """A stand-in for the agent `name` (CLASS:PROVIDER:TYPE), used by `resources`. `why`: what the lab lacks."""

    name: str
    kind: str
    parameters: Tuple[str, ...]
    promotable: bool
    resources: Tuple[str, ...]
    why: str
    # Operations that the file gives attributes to, beside those that every agent has.
    operations: Tuple[str, ...] = ()
    # The agent's own metadata, for one that has to be described as the real one is; by default what the file uses.
    metadata: str = ""

    @property
    def behaviour(self) -> str:
        """What it does."""
        return _BEHAVIOUR[self.kind]

    def to_json(self) -> Dict[str, object]:
        """Plain values."""
        return {
            "agent": self.name,
            "resources": list(self.resources),
            "parameters": list(self.parameters),
            "behaviour": self.behaviour,
            "why": self.why,
        }


def aliases(configuration: Configuration) -> Tuple[str, ...]:
    """The names PROVIDER:TYPE under which a configuration has the agent under test."""
    found = (f"{one.provider}:{one.type}" for one in configuration.primitives if is_ours(one))
    return tuple(dict.fromkeys(name for name in found if name.partition(":")[2] not in OURS))


def is_ours(one: Primitive) -> bool:
    """Whether the agent under test plays this primitive's part."""
    return one.standard == "ocf" and one.type in (PEER, *OURS)


def stand_ins(configuration: Configuration, *, root: Path = Path("/")) -> Tuple[StandIn, ...]:
    """What has to be put in place, in the order of the file.

    Raises:
        LabError: a resource can neither run in the lab nor be stood in for; the sentence names its line.
    """
    users: Dict[str, List[Primitive]] = {}
    for one in configuration.primitives:
        if not is_ours(one):
            users.setdefault(one.agent, []).append(one)
    return tuple(
        _stand_in(configuration, name, found, root) for name, found in users.items() if not _is_real(found[0], root)
    )


def _is_real(one: Primitive, root: Path) -> bool:
    if one.standard == "stonith":
        return one.type == "fence_aws"
    if one.standard != "ocf":
        return False
    if one.provider in ("heartbeat", "pacemaker") and one.agent not in _REAL:
        return False
    return _is_installed(one, root)


def _is_installed(one: Primitive, root: Path) -> bool:
    place = FENCING / one.type.partition("/")[2] if one.standard == "stonith" else OCF / one.provider / one.type
    return (root / str(place).lstrip("/")).exists()


def _stand_in(configuration: Configuration, name: str, users: Sequence[Primitive], root: Path) -> StandIn:
    first = users[0]
    where = f"line {first.line}: {first.id}"
    if first.standard == "stonith":
        if not first.type.startswith("external/"):
            raise LabError(
                f"{where} fences by {first.type}, which cannot reach an instance of EC2: fence_aws and external/ec2 can"
            )
    elif first.standard != "ocf":
        raise LabError(
            f"{where} is of class '{first.standard}', which no lab can run or stand in for: its nodes have neither"
            " systemd nor init scripts; an OCF agent such as ocf:heartbeat:Dummy can take its place for the rehearsal"
        )
    parameters = tuple(dict.fromkeys(word for one in users for word in one.parameters if not _pacemaker_s(one, word)))
    promotable = any(_promotable(configuration, one) for one in users)
    kind = "fencing" if first.standard == "stonith" else _KINDS.get(first.type, "promotable" if promotable else "plain")
    why = "its software is not in the lab" if _is_installed(first, root) else "it is not installed here"
    ids = tuple(one.id for one in users)
    named = dict.fromkeys(op.name for one in users for op in one.operations if op.name not in _EVERY_AGENT_S)
    return StandIn(name, kind, parameters, promotable or kind == "hana", ids, why, tuple(named))


def _pacemaker_s(one: Primitive, word: str) -> bool:
    return one.standard == "stonith" and word.startswith(PACEMAKER_S)


def _promotable(configuration: Configuration, one: Primitive) -> bool:
    wrapper = configuration.wrapper_of(one.id)
    return wrapper is not None and wrapper.promotable


def write(found: Sequence[StandIn], directory: Path, *, first: str, region: str) -> Path:
    """Write the stand-ins as `Settings.agents` has them: laid out as a system. `first`: the node with the primary."""
    for one in found:
        parts = one.name.split(":")
        about: Mapping[str, object]
        if parts[0] == "stonith":
            place = directory / str(FENCING).lstrip("/") / parts[1].partition("/")[2]
            about = {"name": place.name, "parameters": one.parameters, "region": region}
            program = "fencing_plugin.py"
        else:
            place = directory / str(OCF).lstrip("/") / parts[1] / parts[2]
            about = {
                "name": place.name,
                "kind": one.kind,
                "parameters": one.parameters,
                "promotable": one.promotable,
                "operations": one.operations,
                "first": first,
                "metadata": one.metadata,
            }
            program = "resource_agent.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        text = (PROGRAMS / program).read_text(encoding="utf-8")
        place.write_text(f"#!/usr/bin/python3 -I\n{text}", encoding="utf-8")
        place.chmod(0o755)
        (place.parent / f".{place.name}.json").write_text(json.dumps(about), encoding="utf-8")
    return directory
