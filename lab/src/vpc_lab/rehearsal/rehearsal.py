"""Runs a rehearsal: the lab of a configuration, the configuration loaded in it as it stands, scenarios and verdicts."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from vpc_lab import examples
from vpc_lab.cluster import FENCE_DEVICE
from vpc_lab.errors import LabError
from vpc_lab.judge.availability import UNASKED
from vpc_lab.judge.verdict import Verdict
from vpc_lab.lab import Lab
from vpc_lab.rehearsal import cib_text, crm_text, pcs_text, reading
from vpc_lab.rehearsal.derivation import NOTHING_KNOWN, CorosyncFacts, Derived, derive
from vpc_lab.rehearsal.model import Configuration, is_on
from vpc_lab.rehearsal.plan import Plan, plan
from vpc_lab.rehearsal.stand_ins import StandIn, aliases, stand_ins, write
from vpc_lab.scenarios.narrator import Narrator
from vpc_lab.scenarios.runner import Played, play, with_page
from vpc_lab.scenarios.scenario import Scenario
from vpc_lab.topology import topology_for

OUTCOME = "outcome.json"
_STARTED_WITHIN = 180.0
# Seconds between two questions of a consumer: half as many as in the lab's own scenarios are enough to tell seconds
# apart, and several rehearsals fit on one machine.
_INTERVAL = 0.1
# How often a scenario is played again where nobody could tell how it was.
_AGAIN = 2
_HOME = "/run/home"
# What crmsh before 4.5 says of meta-attributes that Pacemaker has since 2.1, and of names that it calls deprecated.
_HARMLESS = ("unknown attribute 'critical'", "unknown attribute 'allow-unhealthy-nodes'")


@dataclass(frozen=True)
class Prepared:
    """A configuration, and the lab for it, before anything of that exists. `text` is what is loaded."""

    text: str
    source: reading.Source
    derived: Derived
    stand_ins: Tuple[StandIn, ...]
    aliases: Tuple[str, ...]
    told: Tuple[str, ...]


@dataclass
class Outcome:
    """What came of a rehearsal. `said`: what the tools had to say of the file; `wrong`: what was no scenario."""

    prepared: Prepared
    said: Tuple[str, ...] = ()
    started: Mapping[str, Tuple[str, ...]] = field(default_factory=dict)
    plan: Optional[Plan] = None
    played: List[Played] = field(default_factory=list)
    wrong: List[str] = field(default_factory=list)
    # The names of all that is to be played, as the first lab's plan has it.
    planned: Tuple[str, ...] = ()
    # The names of what was played again, since nobody could tell how it was.
    again: List[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong, and anything was played."""
        return not self.wrong and bool(self.played) and all(one.verdict.passed for one in self.played)

    def _repeated(self) -> List[str]:
        if not self.again:
            return []
        names = ", ".join(dict.fromkeys(self.again))
        return [f"the machine was too busy to let the consumers ask, and these were played again: {names}"]

    def to_json(self) -> Dict[str, Any]:
        """Plain values."""
        derived = self.prepared.derived
        topology = derived.topology
        return {
            "tool": self.prepared.source.configuration.tool,
            "mended": list(self.prepared.source.mended),
            "notes": [*self.prepared.told, *derived.told, *(self.plan.notes if self.plan else ()), *self._repeated()],
            "placeholders": dict(derived.values),
            "region": topology.region,
            "nodes": [
                {
                    "name": one.name,
                    "id": derived.settings.node_ids[place] if derived.settings.node_ids else place + 1,
                    "address": str(one.address),
                    "subnet": one.subnet.name,
                    "instance_id": one.instance_id,
                }
                for place, one in enumerate(topology.nodes)
            ],
            "subnets": [
                {
                    "name": one.name,
                    "availability_zone": one.availability_zone,
                    "cidr": str(one.cidr),
                    "route_table_id": one.route_table_id,
                }
                for one in topology.subnets
            ],
            "token_ms": derived.settings.token_ms,
            "addresses": [
                {"resource": one.id, "mode": one.mode, "addresses": list(one.addresses)} for one in derived.resources
            ],
            "agent_under_test": list(self.prepared.aliases),
            "stand_ins": [one.to_json() for one in self.prepared.stand_ins],
            "said": list(self.said),
            "started": {name: list(nodes) for name, nodes in self.started.items()},
            "leading": None if self.plan is None else self.plan.leading.id,
            "moved": None if self.plan is None or self.plan.service.mover is None else self.plan.service.mover.resource,
            "planned": list(self.planned),
            "scenarios": [one.to_json() for one in self.played],
            "left_out": [] if self.plan is None else [{"scenario": one, "why": why} for one, why in self.plan.left_out],
            "wrong": list(self.wrong),
            "passed": self.passed,
        }


def prepare(
    text: str,
    *,
    mend: bool = False,
    values: Mapping[str, str] = {},
    corosync: CorosyncFacts = NOTHING_KNOWN,
    names: Sequence[str] = (),
    token_ms: Optional[int] = None,
) -> Prepared:
    """Read a configuration and derive its lab. Nothing is made. LabError, with a sentence, for what cannot be."""
    told: List[str] = []
    for name in values:
        if reading.substituted(text, {name: "\0"}) == text:
            raise LabError(f"--set {name}=...: the file has no word '{name}'")
    text = reading.substituted(text, dict(values))
    if examples.placeholders(text):
        topology = topology_for(examples.mode_of(text))
        known = examples.values_of(topology, [one.route_table_id for one in topology.subnets])
        try:
            text = examples.render(text, known)
        except ValueError as error:
            raise LabError(f"{error}: give it with --set") from None
        told.append("its placeholders in @...@ are those of this project's examples, and have their values")
    source = reading.read(text, mend=mend)
    derived = derive(source.configuration, corosync=corosync, names=names, token_ms=token_ms)
    filled = reading.substituted(source.text, dict(derived.values))
    found, names_of_ours = stand_ins(source.configuration), aliases(source.configuration)
    if len(names_of_ours) > 1:
        raise LabError(
            f"it has the same agent as {' and as '.join(f'ocf:{one}' for one in names_of_ours)}: a lab installs it"
            " under one of these names, so give all of its resources the same"
        )
    return Prepared(filled, source, derived, found, names_of_ours, tuple(told))


@contextlib.contextmanager
def lab_of(name: str, prepared: Prepared, voice: Narrator) -> Iterator[Lab]:
    """The lab, with stand-ins, profiles and tags, and nothing loaded. It is gone after the `with` block."""
    derived = prepared.derived
    first = derived.topology.nodes[0].name
    with contextlib.ExitStack() as stack:
        # The nodes have copies of what is in the directory, which is not needed once they have booted.
        with tempfile.TemporaryDirectory(prefix="vpc-lab-stand-ins-") as directory:
            place = write(prepared.stand_ins, Path(directory), first=first, region=derived.topology.region)
            settings = replace(
                derived.settings,
                agents=str(place) if prepared.stand_ins else None,
                alias=prepared.aliases[0] if prepared.aliases else None,
            )
            lab = stack.enter_context(Lab.running(name, settings, say=voice.say))
        _set_up(lab, derived)
        yield lab


def _set_up(lab: Lab, derived: Derived) -> None:
    """What is there before a cluster is configured: AWS profiles, tags, routes, roles."""
    region = derived.topology.region
    sections = "".join(
        f"[{'' if name == 'default' else 'profile '}{name}]\nregion = {region}\noutput = text\n"
        for name in (derived.profiles or ("default",))
    )
    ids = lab.instance_ids()
    for node in lab.nodes():
        write_it = "umask 077; mkdir -p ~/.aws; cat >~/.aws/config"
        lab.exec(node, ["sh", "-c", write_it], stdin=sections)
        for tag in derived.instance_tags:
            about = {"ResourceId.1": ids[node], "Tag.1.Key": tag, "Tag.1.Value": node}
            lab.administer("CreateTags", **about)
    tables = lab.status().route_tables
    for key, value in derived.table_tags:
        for table in tables:
            lab.administer("CreateTags", **{"ResourceId.1": table, "Tag.1.Key": key, "Tag.1.Value": value})
    eni = lab.status().network_interfaces[lab.nodes()[0]]
    for one in derived.resources:
        if "auto" in one.tables:
            for address in one.addresses:
                kind = "DestinationIpv6CidrBlock" if ":" in address else "DestinationCidrBlock"
                destination = {kind: f"{address}/{128 if ':' in address else 32}"}
                for table in tables:
                    lab.administer("CreateRoute", RouteTableId=table, NetworkInterfaceId=eni, **destination)
    for key, secret in derived.keys:
        lab.order("put-key", access_key_id=key, secret_access_key=secret)
    for role in derived.roles:
        lab.order("put-role", arn=role, trusted_accounts=[derived.topology.account_id])


def load(lab: Lab, prepared: Prepared) -> List[str]:
    """Load the configuration as it stands. What the tools had to say; LabError when they refuse it."""
    node = lab.awake_node()
    tool = prepared.source.configuration.tool
    said: List[str] = []
    if tool == "crm":
        done = lab.exec(
            node,
            ["crm", "configure", "load", "update", "-"],
            stdin=crm_text.for_load(prepared.text),
            timeout=120,
            check=False,
        )
        said += _lines(done.stdout + done.stderr)
        if done.returncode != 0:
            raise LabError("crm refuses it: " + "; ".join(said or [f"exit code {done.returncode}"]))
    elif tool == "pcs":
        run, _ = pcs_text.commands(prepared.text)
        for one in run:
            done = lab.exec(node, ["env", f"--chdir={_HOME}", *one.words], timeout=180, check=False)
            lines = _lines(done.stdout + done.stderr)
            if done.returncode != 0:
                errors = [line for line in lines if line.startswith(("Error:", "Hint:"))] or lines[-3:]
                raise LabError(f"line {one.line}: pcs refuses it: {'; '.join(errors) or done.returncode}")
            said += [f"line {one.line}: {line}" for line in lines if not line.startswith("Adding ")]
    else:
        element = cib_text.configuration_element(prepared.text)
        own = lab.exec(node, ["cibadmin", "--query", "--xpath", f"//primitive[@id='{FENCE_DEVICE}']"], check=False)
        command = ["cibadmin", "--replace", "--scope", "configuration", "--xml-pipe"]
        done = lab.exec(node, command, stdin=cib_text.written(element), check=False)
        if done.returncode != 0:
            raise LabError(f"cibadmin refuses it: {'; '.join(_lines(done.stderr + done.stdout))}")
        if prepared.derived.settings.fencing:
            # The lab's own device, which the configuration has just replaced.
            lab.exec(node, ["cibadmin", "--create", "--scope", "resources", "--xml-pipe"], stdin=own.stdout)
    checked = lab.exec(node, ["crm_verify", "--live-check", "--verbose"], check=False)
    said += _lines(checked.stdout + checked.stderr)
    return said


def _lines(text: str) -> List[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not any(one in line for one in _HARMLESS)]


def live(lab: Lab, tool: str) -> Tuple[Configuration, str]:
    """What the cluster has loaded: read, and as XML."""
    text = lab.exec(lab.awake_node(), ["cibadmin", "--query"]).stdout
    return replace(cib_text.read(text), tool=tool), text


def rehearse(
    name: str,
    prepared: Prepared,
    directory: Path,
    voice: Narrator,
    *,
    wanted: Sequence[str] = (),
    whole: bool = True,
    outcome: Optional[Outcome] = None,
) -> Outcome:
    """Play every scenario that fits, each judged. A lab that one has broken is replaced by a new one.

    After each, `directory` has the outcome so far as outcome.json: also where the rehearsal is interrupted later.
    """
    outcome = Outcome(prepared) if outcome is None else outcome
    waiting: Optional[List[Scenario]] = None
    number = 0
    while waiting is None or waiting:
        with lab_of(name, prepared, voice) as lab:
            try:
                with voice.step("Loading the configuration"):
                    outcome.said = tuple(load(lab, prepared))
                _started(lab, prepared, outcome)
            except LabError as error:
                outcome.wrong.append(str(error))
                with contextlib.suppress(LabError, OSError):
                    lab.save_logs(directory / "logs")
                return outcome
            loaded, cib = live(lab, prepared.source.configuration.tool)
            found = plan(loaded, prepared.derived, prepared.stand_ins, wanted, whole=whole, cib=cib)
            outcome.plan = found
            waiting = list(found.scenarios) if waiting is None else waiting
            outcome.planned = outcome.planned or tuple(one.name for one in waiting)
            while waiting:
                scenario = waiting.pop(0)
                number += 1
                voice.heading(f"{scenario.name}: {scenario.summary}")
                played = _play(lab, scenario, found, directory / f"{number:02}-{scenario.name}", voice)
                if could_not_tell(played.verdict) and outcome.again.count(scenario.name) < _AGAIN:
                    voice.say("This machine was too busy to let the consumers ask: it is played again")
                    outcome.again.append(scenario.name)
                    waiting.insert(0, scenario)
                    continue
                played = with_page(played, voice)
                outcome.played.append(played)
                _keep(outcome, directory / OUTCOME, voice)
                for sentence in played.verdict.sentences():
                    voice.verdict(sentence, good=False)
                word = "passed" if played.verdict.passed else "FAILED"
                voice.verdict(
                    f"{scenario.name}: {word}; longest silence {played.longest_silence:.1f} s", played.verdict.passed
                )
                if not played.verdict.passed:
                    with contextlib.suppress(LabError, OSError):
                        lab.save_logs(played.record / "logs")
                    break
    return outcome


def _keep(outcome: Outcome, file: Path, voice: Narrator) -> None:
    """Write the outcome so far. A full disk does not end the rehearsal, which tells its outcome at the end as well."""
    try:
        file.write_text(json.dumps(outcome.to_json(), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        voice.say(f"Cannot write {file}: {error.strerror}")


def could_not_tell(verdict: Verdict) -> bool:
    """Whether nothing was wrong but that consumers asked nothing for a while, as on a machine that is too busy.

    They have seen nothing then, and what they have not seen was neither right nor wrong.
    """
    return set(verdict.broken) == {UNASKED} and not verdict.audit


def _play(lab: Lab, scenario: Scenario, found: Plan, directory: Path, voice: Narrator) -> Played:
    began = time.monotonic()
    try:
        played = play(lab, scenario, found.configuration, directory, voice, interval=_INTERVAL, service=found.service)
        if played.verdict.passed or could_not_tell(played.verdict):
            lab.forget_failures(within=60.0 + found.service.patience)
    except LabError as error:
        verdict = Verdict(audit=(f"the lab or its cluster failed the scenario: {error}",))
        return Played(scenario, found.configuration, verdict, directory, time.monotonic() - began)
    return played


def _started(lab: Lab, prepared: Prepared, outcome: Outcome) -> None:
    """Wait until every address is started. LabError tells what Pacemaker has against it."""
    wanted = [one.id for one in prepared.derived.resources]
    if is_on(live(lab, "cib")[0].properties.get("maintenance-mode", "")):
        raise LabError("the configuration leaves the cluster in maintenance mode, where Pacemaker starts nothing")
    try:
        lab.wait_cluster(
            "the start of " + ", ".join(wanted), lambda now: all(now.where(one) for one in wanted), _STARTED_WITHIN
        )
        lab.settle(_STARTED_WITHIN)
    except LabError as error:
        now = lab.cluster_status()
        failures = (
            [f"{one.operation} on {one.node}: {one.exit_reason or one.exit_code}" for one in now.failures]
            if now
            else []
        )
        raise LabError("; ".join([str(error), *failures, *outcome.said[:5]])) from None
    now = lab.cluster_status()
    outcome.started = {} if now is None else {one.resource_id: one.nodes for one in now.resources}
