"""Which agents of a configuration a lab cannot run, and what is put in their places, by the same names."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from vpc_lab.errors import LabError
from vpc_lab.rehearsal.model import PACEMAKER_S, Configuration, Primitive
from vpc_lab.settings import FENCE_AGENTS, SYSTEM_BUS

PROGRAMS = Path(__file__).with_name("programs")
OCF = Path("/usr/lib/ocf/resource.d")
FENCING = Path("/usr/lib/stonith/plugins/external")
INIT_SCRIPTS = Path("/etc/init.d")
# What is no agent itself, but belongs to stand-ins: Pacemaker takes no directory of that name for a provider.
_OWN = Path(SYSTEM_BUS).parent
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
    "newer": "is the machine's own, run without the parameters that it does not know",
    "unit": "a unit of a small systemd on each node: active or not",
    "script": "an init script: its service runs or does not",
}
# Fence agents that look at what no lab has; see programs/fence_agent.py.
_FENCES_NOBODY = {
    "fence_kdump": "says that no node is dumping its memory",
    "fence_heuristics_ping": "says that every host answers",
}
# What fence agents are written in, and share (fence-agents).
_FENCING_LIBRARY = Path("/usr/share/fence/fencing.py")
_CLASSES = {"systemd": "unit", "lsb": "script", "service": "script"}


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
        return _FENCES_NOBODY.get(self.name.partition(":")[2], _BEHAVIOUR[self.kind])

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
    made = []
    for name, found in users.items():
        newer = _newer(found, root)
        if newer:
            why = f"its version here does not know {', '.join(newer)}"
            made.append(StandIn(name, "newer", newer, False, tuple(one.id for one in found), why))
        elif not _is_real(found[0], root):
            made.append(_stand_in(configuration, name, found, root))
    return tuple(made)


def _newer(users: Sequence[Primitive], root: Path) -> Tuple[str, ...]:
    """Parameters of fence_aws that the one of this machine does not have."""
    if users[0].agent != "stonith:fence_aws" or not _is_installed(users[0], root):
        return ()
    files = [root / str(path).lstrip("/") for path in (_place(users[0].agent), _FENCING_LIBRARY)]
    text = "".join(path.read_text(encoding="utf-8", errors="replace") for path in files if path.is_file())
    used = dict.fromkeys(word for one in users for word in one.parameters if not _pacemaker_s(one, word))
    return tuple(word for word in used if not re.search(rf"\b{re.escape(word)}\b", text))


def _is_real(one: Primitive, root: Path) -> bool:
    if one.standard == "stonith":
        return one.type == "fence_aws"
    if one.standard != "ocf":
        return False
    if one.provider in ("heartbeat", "pacemaker") and one.agent not in _REAL:
        return False
    return _is_installed(one, root)


def _place(name: str) -> Path:
    """Where a system has the agent of that name."""
    standard, _, rest = name.partition(":")
    if standard == "ocf":
        return OCF / Path(*rest.split(":"))
    if standard == "stonith":
        return FENCING / rest.partition("/")[2] if rest.startswith("external/") else Path(FENCE_AGENTS, rest)
    return INIT_SCRIPTS / rest


def _is_installed(one: Primitive, root: Path) -> bool:
    return one.standard != "systemd" and (root / str(_place(one.agent)).lstrip("/")).exists()


def _stand_in(configuration: Configuration, name: str, users: Sequence[Primitive], root: Path) -> StandIn:
    first = users[0]
    where = f"line {first.line}: {first.id}"
    if first.standard == "stonith":
        if not first.type.startswith(("external/", "fence_")):
            raise LabError(
                f"{where} fences by {first.type}, which cannot reach an instance of EC2: fence_aws and external/ec2 can"
            )
        if first.type.startswith("fence_") and not _is_installed(first, root):
            raise LabError(
                f"{where} fences by {first.type}, which this machine does not have, so that no stand-in can take its"
                " place: fence_aws can take it for the rehearsal"
            )
    elif first.standard != "ocf" and first.standard not in _CLASSES:
        raise LabError(
            f"{where} is of class '{first.standard}', which no lab can run or stand in for; an OCF agent such as"
            " ocf:heartbeat:Dummy can take its place for the rehearsal"
        )
    parameters = tuple(dict.fromkeys(word for one in users for word in one.parameters if not _pacemaker_s(one, word)))
    promotable = any(_promotable(configuration, one) for one in users)
    kind = _CLASSES.get(first.standard) or _KINDS.get(first.type, "promotable" if promotable else "plain")
    kind = "fencing" if first.standard == "stonith" else kind
    why = "its software is not in the lab" if _is_installed(first, root) else "it is not installed here"
    ids = tuple(one.id for one in users)
    named = dict.fromkeys(op.name for one in users for op in one.operations if op.name not in _EVERY_AGENT_S)
    return StandIn(name, kind, parameters, promotable or kind == "hana", ids, why, tuple(named))


def _pacemaker_s(one: Primitive, word: str) -> bool:
    return one.standard == "stonith" and word.startswith(PACEMAKER_S)


def _promotable(configuration: Configuration, one: Primitive) -> bool:
    wrapper = configuration.wrapper_of(one.id)
    return wrapper is not None and wrapper.promotable


def write(found: Sequence[StandIn], directory: Path, *, first: str, region: str, root: Path = Path("/")) -> Path:
    """Write the stand-ins as `Settings.agents` has them: laid out as a system. `first`: the node with the primary."""
    units = {_unit(one.name): one.resources[0] for one in found if one.kind == "unit"}
    if units:
        _write("system_bus.py", directory, Path(SYSTEM_BUS), {"units": units})
    for one in found:
        place = _place(one.name)
        about: Dict[str, object] = {"name": place.name, "parameters": one.parameters}
        if one.kind == "newer":
            _write("newer_fence_agent.py", directory, place, {"newer": one.parameters}, _OWN)
            own = directory / str(_OWN / place.name).lstrip("/")
            shutil.copy(root / str(place).lstrip("/"), own)
            own.chmod(0o755)
        elif one.kind == "fencing":
            external = one.name.startswith("stonith:external/")
            about["region"] = region
            program = "fencing_plugin.py" if external else "fence_agent.py"
            _write(program, directory, place, about, None if external else _OWN)
        elif one.kind == "script":
            _write("init_script.py", directory, place, {"resource": one.resources[0]})
        elif one.kind != "unit":
            about.update(kind=one.kind, promotable=one.promotable, operations=one.operations)
            about.update(first=first, metadata=one.metadata)
            _write("resource_agent.py", directory, place, about)
    return directory


def _unit(name: str) -> str:
    """What systemd calls the unit of a resource, without the suffix that Pacemaker adds."""
    unit = name.partition(":")[2]
    return unit[: -len(".service")] if unit.endswith(".service") else unit


def _write(
    program: str, directory: Path, place: Path, about: Mapping[str, object], beside: Optional[Path] = None
) -> None:
    """Put a program in its place, and what it has to know as `.NAME.json` into the same directory, or `beside`."""
    target = directory / str(place).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    text = (PROGRAMS / program).read_text(encoding="utf-8")
    target.write_text(f"#!/usr/bin/python3 -I\n{text}", encoding="utf-8")
    target.chmod(0o755)
    known = directory / str(beside or place.parent).lstrip("/")
    known.mkdir(parents=True, exist_ok=True)
    (known / f".{target.name}.json").write_text(json.dumps(about), encoding="utf-8")
