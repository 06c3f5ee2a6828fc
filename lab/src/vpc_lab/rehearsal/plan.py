"""Which scenarios a configuration can play, with what, and why not the others. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from vpc_lab.errors import LabError
from vpc_lab.judge.expectations import AFTER_STOP
from vpc_lab.rehearsal import software
from vpc_lab.rehearsal.catalogue import CATALOGUE as OWN
from vpc_lab.rehearsal.derivation import AddressResource, Derived
from vpc_lab.rehearsal.model import Configuration, Primitive
from vpc_lab.rehearsal.policy import Policy, policy
from vpc_lab.rehearsal.stand_ins import StandIn, is_ours
from vpc_lab.scenarios import configuration as scenario_configuration
from vpc_lab.scenarios.catalogue import CATALOGUE
from vpc_lab.scenarios.scenario import Scenario
from vpc_lab.scenarios.stage import Mover, Service, Stage
from vpc_lab.topology import Mode

# Seconds that a node of the lab takes longer than in the scenarios' own configuration, for what stands in.
_STAND_INS = 10.0
# The lab's own token, for which the scenarios' limits are made; a lost node is declared lost after the token and the
# consensus, which is 1.2 times as long (corosync.conf(5)).
_TOKEN_MS = 1000
_CONSENSUS = 1.2
_OUTAGES = (60.0, 300.0)
# A stop of IPaddr2 ends with the removal of the address, while a question may be being answered.
_UNDER_WAY = 0.05
# How much longer than its drain a move that makes before it breaks may take until the old node answers nobody.
_AFTER_DRAIN = 1.0
# Beyond these seconds between monitors that look at EC2 four refusals of it are not waited for.
_OFTEN = 60.0
# In the order in which they are played: what leaves least behind comes first.
ORDER = (
    "planned-move",
    "crash-of-the-active-node",
    "crash-of-each-primary-in-turn",
    "crash-of-a-standby",
    "crash-of-the-dc",
    "graceful-stop-of-the-active-node",
    "failure-of-the-application",
    "failure-of-each-primary-in-turn",
    "failure-of-the-secondary",
    "takeover-with-automatic-registration",
    "freeze-of-the-active-node",
    "hang-of-the-active-node",
    "freeze-and-thaw-without-fencing",
    "split-brain",
    "one-way-partition",
    "outage-of-ec2-while-healthy",
    "outage-of-instance-metadata-while-healthy",
    "move-away-from-a-node-without-ec2",
    "answers-lost-after-the-write",
    "killed-during-a-start",
    "detachment-that-sticks",
    "outage-of-ec2-during-a-planned-move",
    "outage-of-ec2-during-a-failover",
    "hang-of-ec2-during-a-failover",
    "stop-during-an-outage-of-ec2",
    "refusals-of-ec2-while-healthy",
    "route-changed",
    "route-deleted",
    "route-table-deleted",
    "source-destination-check-switched-on",
    "local-address-removed",
    "routing-rules-removed",
    "address-taken",
    "eni-detached",
    "denied-on-one-table",
    "maintenance-mode-with-a-route-moved-by-hand",
    "rolling-restart",
)
# What of the lab's catalogue is about a configuration or a network of its own, and why that is not played.
OF_THEIR_OWN = {
    "demonstration": "it is a planned move and a crash, which are played",
    "make-before-break": "with allow-migrate=true each planned move is one, and is judged as one",
    "ten-addresses-under-throttling": "it brings ten addresses, and this configuration has its own",
    "twenty-route-tables": "it brings twenty route tables, and this configuration has its own",
    "ipv6": "it brings an IPv6 address, and this configuration has its own",
    "shared-vpc": "it brings route tables of another account; with routing_table_role all that is played has them",
    "killed-at-every-step-of-a-start": "of its steps the one that moves the address is played: killed-during-a-start",
}
# What a short rehearsal plays.
SHORT = ("planned-move", "crash-of-the-active-node", "crash-of-each-primary-in-turn")
# Played where a monitor of the address, or of what is behind it, has to notice something first.
_FOUND_LOCALLY = ("local-address-removed", "routing-rules-removed", "eni-detached")
_MONITORED = (*_FOUND_LOCALLY, "denied-on-one-table", "maintenance-mode-with-a-route-moved-by-hand")
_OF_SOFTWARE = tuple(name for name in OWN.known if name != "killed-during-a-start")
# The agent under test is watched at work in these. awsvip, where that moves the address, is a stand-in.
_OF_THE_AGENT = (
    *("move-away-from-a-node-without-ec2", "answers-lost-after-the-write", "killed-during-a-start"),
    *("outage-of-ec2-during-a-planned-move", "hang-of-ec2-during-a-failover"),
)
# The agent mends in these what somebody else has changed, unless its parameter on_drift has it do something else.
_OF_REPAIR = (
    *("route-changed", "route-deleted", "route-table-deleted", "source-destination-check-switched-on"),
    *("denied-on-one-table", "maintenance-mode-with-a-route-moved-by-hand", "address-taken"),
)
# A node that is lost does not let go in order: nobody answers beside its successor.
_IN_NO_ORDER = ("crash-", "freeze-", "takeover-")
_OF_SEVERAL_TABLES = ("denied-on-one-table", "route-table-deleted")
_ABOUT: Mapping[Tuple[Mode, ...], str] = {
    ("overlay-ip",): "it is about routes to an overlay address",
    ("eni",): "it is about an ENI that moves",
    ("private-ip",): "it is about a private address that moves",
}
# Most nodes that the scenarios distinguish: what is played with three is played with more.
_MOST_NODES = 3


@dataclass(frozen=True)
class Plan:
    """What is played, and how.

    `left_out`: scenarios and a sentence why; `notes`: sentences about what a rehearsal cannot show for sure.
    """

    service: Service
    configuration: scenario_configuration.Configuration
    scenarios: Tuple[Scenario, ...]
    left_out: Tuple[Tuple[str, str], ...]
    leading: AddressResource
    promoted: Optional[str]
    notes: Tuple[str, ...] = ()


def refuse_unknown(names: Sequence[str]) -> None:
    """LabError for the name of a scenario that there is not."""
    known = {**CATALOGUE.known, **OWN.known}
    for name in names:
        if name not in known:
            raise LabError(f"there is no scenario '{name}' to rehearse; there are {', '.join(ORDER)}")


def seconds(text: str) -> float:
    """A time as Pacemaker writes it: 10, 10s, 2min, 500ms."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text.lower())
    if found is None:
        return 0.0
    units = {"ms": 0.001, "msec": 0.001, "us": 1e-6, "": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hr": 3600}
    return float(found[1]) * units.get(found[2], 1)


def plan(
    live: Configuration,
    derived: Derived,
    stood_in: Sequence[StandIn],
    wanted: Sequence[str] = (),
    *,
    whole: bool = True,
    cib: str = "",
) -> Plan:
    """The plan for what a cluster has loaded. `wanted`: names of scenarios; by default those of `ORDER` that fit.

    `cib`: the same as XML, for what it says of failures and places; without it nothing is known of that.
    """
    leading = _leading(live, derived.resources)
    chain = _chain(live, leading)
    promoted = _promoted(live, chain)
    behind = _behind(live, leading, promoted, stood_in)
    primitive = live.primitive(leading.id)
    deep = primitive is not None and _looks_at_ec2(primitive)
    fences = live.fencing and bool(live.fence_devices)
    hana = next((one for one in stood_in if one.kind == "hana" and behind in one.resources), None)
    token = derived.settings.token_ms
    patience = (token - _TOKEN_MS) / 1000 * (1 + _CONSENSUS) + _STAND_INS + _delay(live)
    interval = _interval(primitive)
    behind_interval = _interval(live.primitive(behind))
    said = policy(cib, leading.id, behind, seconds) if cib else Policy()
    service = Service(
        leading.id,
        leading.addresses,
        {one.id: one.addresses for one in derived.resources if one.id != leading.id},
        _mover(live, chain, promoted),
        patience,
        tuple(one.id for one in live.fence_devices),
        behind,
        min(max(_OUTAGES[0], 2 * interval + 15), _OUTAGES[1]),
        _UNDER_WAY if leading.by else AFTER_STOP,
        _care(live, behind, promoted, hana, _with_the_secondary(live, derived, promoted)),
        interval,
        said.start_timeout,
        deep,
        said.stays,
        said.in_place,
        said.behind_in_place,
        behind_interval,
        _favoured(live, derived) if fences else "",
    )
    facts = scenario_configuration.Configuration(
        mode=leading.mode,
        nodes=len(derived.topology.nodes),
        fencing=fences,
        make_before_break=primitive is not None and primitive.meta.get("allow-migrate") == "true",
        monitor=int(interval) or 1,
    )
    known: Dict[str, Scenario] = {**CATALOGUE.known, **OWN.known}
    names = list(wanted) or list(ORDER if whole else SHORT)
    case = _Case(
        facts,
        leading,
        behind,
        hana is not None,
        deep,
        interval,
        behind_interval,
        _tables(derived),
        said,
        "repair" if primitive is None else primitive.parameters.get("on_drift", "repair"),
    )
    grace = _grace(primitive) if leading.mode == "overlay-ip" else 0.0
    chosen: List[Scenario] = []
    left_out: List[Tuple[str, str]] = []
    for name in names:
        one = known[name]
        why = _why_not(one, case)
        if why:
            left_out.append((name, why))
        else:
            one = _patient(one, patience, interval, behind_interval)
            in_order = not one.fences and not one.name.startswith(_IN_NO_ORDER)
            chosen.append(replace(one, grace=max(one.grace, grace if in_order else 0.0)))
    if whole and not wanted:
        left_out += OF_THEIR_OWN.items()
    notes = _notes(live, derived, fences=fences)
    return Plan(service, facts, tuple(chosen), tuple(left_out), leading, promoted, notes)


@dataclass(frozen=True)
class _Case:
    """A configuration, as far as it decides which scenarios fit. `tables`: how many route tables the subnets have."""

    facts: scenario_configuration.Configuration
    leading: AddressResource
    behind: str
    hana: bool
    deep: bool
    interval: float
    behind_interval: float
    tables: int
    policy: Policy
    on_drift: str


def _why_not(one: Scenario, case: _Case) -> str:
    """Why a scenario does not fit, in half a sentence; empty if it does."""
    if one.name in OF_THEIR_OWN:
        return OF_THEIR_OWN[one.name]
    return _of_the_software(one, case) or _of_the_cluster(one, case) or _of_the_address(one, case)


def _of_the_software(one: Scenario, case: _Case) -> str:
    if one.name == "failure-of-the-application":
        if not case.behind:
            return "no stand-in is behind the address"
        if case.hana:
            return "played as the failures of the primary and of the secondary"
        if not case.behind_interval:
            return f"{case.behind} has no monitor"
        if case.policy.behind_on_fail != "restart":
            return f"a failed monitor of {case.behind} has on-fail={case.policy.behind_on_fail}"
    elif one.name in _OF_SOFTWARE and not case.hana:
        return "there is no pair of databases that SAPHana manages"
    if one.name == "crash-of-the-active-node" and case.hana:
        return "played as crash-of-each-primary-in-turn"
    return ""


def _of_the_cluster(one: Scenario, case: _Case) -> str:
    fencing, nodes = case.facts.fencing, case.facts.nodes
    if one.fences and not fencing:
        return "the configuration fences nobody"
    if one.name == "freeze-and-thaw-without-fencing" and fencing:
        return "the configuration fences: played as freeze-of-the-active-node"
    if one.name == "crash-of-the-dc" and nodes < _MOST_NODES:
        return "of two nodes the DC is the active one or the standby, whose crashes are played"
    return ""


def _of_the_address(one: Scenario, case: _Case) -> str:
    leading, facts = case.leading, case.facts
    if facts.mode not in one.modes and one.modes in _ABOUT:
        return _ABOUT[one.modes]
    if leading.by and one.looks:
        return "no monitor looks at EC2: only aws-ipfailover has one"
    if leading.by and one.name in _OF_THE_AGENT:
        return f"{leading.by} is played by a stand-in, which cannot tell what awsvip does when EC2 fails it"
    if one.looks and not case.deep:
        return "no monitor of the address looks at EC2: it has neither OCF_CHECK_LEVEL=10 nor monapi=true"
    if case.deep and one.name in _OF_REPAIR and case.on_drift != "repair":
        return f"{leading.id} has on_drift={case.on_drift}, and nothing is repaired in place"
    if one.name == "refusals-of-ec2-while-healthy" and case.interval > _OFTEN:
        return f"a monitor that looks at EC2 comes every {case.interval:.0f} s, and four refusals wait for one each"
    if one.name in _FOUND_LOCALLY and case.policy.on_fail != "restart":
        return f"a failed monitor of {leading.id} has on-fail={case.policy.on_fail}"
    if one.name in _FOUND_LOCALLY and not case.interval:
        return f"{leading.id} has no monitor"
    if one.name in _OF_SEVERAL_TABLES and case.tables < 2 and facts.mode == "overlay-ip":
        return "the nodes' subnets share one route table"
    if not one.fits(facts.agent, facts.mode, min(facts.nodes, _MOST_NODES)):
        return f"it is not for {facts.mode} with {facts.nodes} nodes"
    return ""


def _tables(derived: Derived) -> int:
    return len({one.route_table_id for one in derived.topology.subnets})


def _grace(primitive: Optional[Primitive]) -> float:
    """For how long both nodes may answer: where the configuration has moves make before they break."""
    if primitive is None or primitive.meta.get("allow-migrate") != "true":
        return 0.0
    drain = primitive.parameters.get("drain", "1")
    return (float(drain) if drain.isdigit() else 1.0) + _AFTER_DRAIN


def _notes(live: Configuration, derived: Derived, *, fences: bool) -> Tuple[str, ...]:
    """What a rehearsal cannot show for sure, and an administrator has to know."""
    if not fences or len(derived.topology.nodes) != 2 or _delay(live):
        return ()
    sentence = (
        "fencing has no delay: when two nodes lose sight of each other, each may stop the other's instance before its"
        " own is off, which takes EC2 its time; pcmk_delay_base on one node's fencing, pcmk_delay_max or"
        " priority-fencing-delay leaves one of them"
    )
    return (sentence,)


def _patient(one: Scenario, patience: float, interval: float, behind: float) -> Scenario:
    more = patience
    if one.name in _MONITORED:
        more += interval
    if one.name in _OF_SOFTWARE:
        more += behind
    if one.looks:
        more += interval
    return replace(
        one,
        allowances=tuple(
            replace(each, seconds=each.seconds + more, healed=None if each.healed is None else each.healed + more)
            for each in one.allowances
        ),
    )


def _leading(live: Configuration, found: Sequence[AddressResource]) -> AddressResource:
    """The address that scenarios are about: with a promoted instance, else the first one."""
    for one in found:
        if _promoted(live, _chain(live, one)):
            return one
    return found[0]


def _chain(live: Configuration, one: AddressResource) -> Tuple[str, ...]:
    """The address, its group, and what these run with, one after the other."""
    found = [one.id]
    group = live.group_of(one.id)
    if group is not None:
        found.append(group)
    for name in found:
        for each in live.colocations:
            positive = not each.score.startswith("-") and each.score not in ("0", "")
            if each.what == name and positive and each.with_role != "Unpromoted" and each.with_what not in found:
                found.append(each.with_what)
    return tuple(found)


def _promoted(live: Configuration, chain: Sequence[str]) -> Optional[str]:
    """The promotable clone with whose promoted instance something of the chain runs."""
    for name in chain:
        for each in live.colocations:
            if each.what == name and each.with_role == "Promoted" and not each.score.startswith("-"):
                wrapper = next((one for one in live.wrappers if each.with_what in (one.id, one.of)), None)
                if wrapper is not None:
                    return wrapper.id
    return None


def _mover(live: Configuration, chain: Sequence[str], promoted: Optional[str]) -> Mover:
    if promoted is not None:
        return Mover(promoted, promoted=True)
    clones = {one.id for one in live.wrappers}
    return Mover(next((name for name in reversed(chain) if name not in clones), chain[0]))


def _behind(live: Configuration, leading: AddressResource, promoted: Optional[str], stood_in: Sequence[StandIn]) -> str:
    """The resource that the address is for: the promoted one, or the last stand-in of its group."""
    played = {name for one in stood_in if one.kind not in ("fencing", "awsvip", "ping") for name in one.resources}
    if promoted is not None:
        wrapper = next(one for one in live.wrappers if one.id == promoted)
        members = live.groups.get(wrapper.of, (wrapper.of,))
        return next((one for one in members if one in played), "")
    group = live.group_of(leading.id)
    members = live.groups.get(group or "", ())
    return next((one for one in reversed(members) if one in played), "")


def _looks_at_ec2(one: Primitive) -> bool:
    if not is_ours(one):
        return False
    levels = [op.about.get("OCF_CHECK_LEVEL", "0") for op in one.operations if op.name == "monitor"]
    monapi = one.parameters.get("monapi", "false").lower() in ("true", "yes", "on", "1")
    return "10" in levels or (monapi and bool(levels))


def _interval(one: Optional[Primitive]) -> float:
    """Seconds between monitors, the longest."""
    found = [seconds(op.about.get("interval", "0")) for op in (one.operations if one else ()) if op.name == "monitor"]
    return max(found, default=0.0)


def _delay(live: Configuration) -> float:
    """For how long fencing may be held back on purpose."""
    found = [seconds(live.properties.get("priority-fencing-delay", "0"))]
    for one in live.fence_devices:
        for name in ("pcmk_delay_max", "pcmk_delay_base"):
            found += [seconds(part.rpartition(":")[2]) for part in one.parameters.get(name, "").split(";") if part]
    return max(found)


def _favoured(live: Configuration, derived: Derived) -> str:
    """The one of two nodes whose fencing waits (pcmk_delay_base, pacemaker-fenced(7)), while nothing else does."""
    delays: Dict[str, float] = {}
    for one in live.fence_devices:
        if seconds(one.parameters.get("pcmk_delay_max", "0")):
            return ""
        entries = re.split(r"[;\s]+", one.parameters.get("pcmk_host_map", ""))
        hosts = [entry.partition(":")[0] for entry in entries if entry]
        hosts += [name for name in re.split(r"[,;\s]+", one.parameters.get("pcmk_host_list", "")) if name]
        for part in one.parameters.get("pcmk_delay_base", "").split(";"):
            name, colon, value = part.strip().rpartition(":")
            for host in [name] if colon else hosts:
                delays[host] = max(delays.get(host, 0.0), seconds(value))
    waiting = [name for name, delay in delays.items() if delay > 0]
    if len(derived.topology.nodes) != 2 or len(waiting) != 1 or "priority-fencing-delay" in live.properties:
        return ""
    return waiting[0]


def _with_the_secondary(live: Configuration, derived: Derived, promoted: Optional[str]) -> Tuple[str, ...]:
    """The addresses that run with an instance that is not promoted, as that of a database for reading."""
    names = {promoted, *(one.of for one in live.wrappers if one.id == promoted)}
    return tuple(
        one.id
        for one in derived.resources
        for each in live.colocations
        if (each.what, each.with_role) == (one.id, "Unpromoted") and each.with_what in names
        if not each.score.startswith("-")
    )


def _care(
    live: Configuration,
    behind: str,
    promoted: Optional[str],
    hana: Optional[StandIn],
    with_the_secondary: Sequence[str],
) -> Callable[[Stage], None]:
    """What an administrator does when something was lost: look again at fence devices, register databases.

    Then an address that runs with the secondary is where that is.
    """
    devices = tuple(one.id for one in live.fence_devices)
    sid = ""
    primitive = live.primitive(behind)
    if hana is not None and primitive is not None:
        sid = primitive.parameters.get("SID", "")

    def care(stage: Stage) -> None:
        for name in devices:
            stage.command(["crm_resource", "--cleanup", "--resource", name], check=False)
        if hana is not None and promoted is not None:
            software.whole_again(stage, behind, promoted, sid)
            for name in with_the_secondary:
                stage.wait(
                    f"{name} with the secondary",
                    lambda name=name: (
                        stage.cluster().where(name)  # type: ignore[misc]
                        not in (None, software.promoted_on(stage.lab, behind))
                    ),
                )

    return care
