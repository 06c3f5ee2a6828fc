"""The scenarios' parts that need no lab: configurations, the catalogue, the table of a run."""

from __future__ import annotations

import io
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, List, Optional, Sequence, Set, Tuple

import pytest

from vpc_lab import examples
from vpc_lab.cluster import NOTHING_FOUND, ClusterStatus, NodeState
from vpc_lab.errors import LabError
from vpc_lab.faults import FAULTS
from vpc_lab.judge.audits import Snapshot, complaints
from vpc_lab.judge.verdict import Verdict
from vpc_lab.judge.violations import Violation
from vpc_lab.lab import Completed, Lab
from vpc_lab.scenarios import runner
from vpc_lab.scenarios.catalogue import CATALOGUE
from vpc_lab.scenarios.configuration import AGENTS, OURS, PEER, RESOURCE, TOOLS, Agent, Configuration, Tool
from vpc_lab.scenarios.narrator import PlainNarrator
from vpc_lab.scenarios.page import outcomes_of, page, table
from vpc_lab.scenarios.runner import Company, Played, expectations_of, fitting
from vpc_lab.scenarios.scenario import Scenario
from vpc_lab.scenarios.stage import Service, Stage, operations
from vpc_lab.topology import MODES, Mode, node_names, topology_for

PLAIN = Configuration()


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("nodes", [2, 3])
def test_a_configuration_has_every_value_of_its_lab(tool: Tool, agent: Agent, nodes: int) -> None:
    """Nothing is left to fill in, each node is fenced by its instance, and there is one resource of the agent."""
    topology = topology_for(nodes=node_names(nodes))
    values = examples.values_of(topology, [one.route_table_id for one in topology.subnets])
    text = examples.render(Configuration(agent=agent, tool=tool, nodes=nodes).text, values)
    assert text.count(f"ocf:heartbeat:{agent}") == 1
    (host_map,) = re.findall(r'pcmk_host_map="([^"]*)"', text)
    assert host_map.split(";") == [f"{node.name}:{node.instance_id}" for node in topology.nodes]
    if tool == "pcs":
        assert all(command[0] == "pcs" for command in examples.pcs_commands(text))


def test_crm_and_pcs_ask_for_the_same() -> None:
    """Parameters and operations are those of one configuration."""

    def words(tool: Tool) -> Set[str]:
        text = Configuration(tool=tool, parameters=(("drain", "2"),)).text.replace("\\\n", " ")
        (line,) = [line for line in text.splitlines() if "ocf:heartbeat:" in line]
        wanted = ("ip=", "routing_table=", "region=", "drain=", "timeout=", "OCF_CHECK_LEVEL=")
        return {word for word in shlex.split(line) if word.startswith(wanted)}

    assert words("crm") == words("pcs")
    assert "OCF_CHECK_LEVEL=10" in words("crm")


def test_the_peer_gets_no_parameter_of_ours() -> None:
    """It has no monitor at level 10 of its own either, and needs the AWS CLI and a profile."""
    peer = replace(PLAIN, agent=PEER, aws_cli="/opt/aws")
    assert peer.agent_parameters["awscli"] == "/opt/aws"
    assert "OCF_CHECK_LEVEL" not in peer.text
    assert "profile" not in PLAIN.agent_parameters


def test_each_mode_has_its_parameters() -> None:
    """An ENI by its id, a private address without route tables."""
    assert replace(PLAIN, mode="eni").agent_parameters["network_interface_id"] == "@SERVICE_ENI@"
    private = replace(PLAIN, mode="private-ip").agent_parameters
    assert (private["ip"], "routing_table" in private) == ("@PRIVATE_IP@", False)


@pytest.mark.parametrize("one", CATALOGUE.known.values(), ids=lambda one: one.name)
def test_a_scenario_says_what_it_is(one: Scenario) -> None:
    """In a sentence; what it allows are faults that there are."""
    assert one.summary.endswith((".", "?"))
    for allowance in one.allowances:
        pattern = allowance.fault.replace("*", "")
        assert any(name == allowance.fault or (pattern and name.startswith(pattern)) for name in FAULTS)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_has_scenarios(mode: Mode) -> None:
    """Moves, crashes and outages in each, routes in the one that has them."""
    found = {one.name for one in fitting(list(CATALOGUE.known.values()), replace(PLAIN, mode=mode))}
    assert {"planned-move", "crash-of-the-active-node", "outage-of-ec2-while-healthy", "split-brain"} <= found
    assert ("route-deleted" in found) == (mode == "overlay-ip")


def played(agent: Agent, *violations: Violation) -> Played:
    """A scenario that was played."""
    broken = {violation.rule: 1 for violation in violations}
    verdict = Verdict(violations, broken)
    one = CATALOGUE.known["planned-move"]
    return Played(one, Configuration(agent=agent), verdict, Path("record"), 61.0)


def test_the_table_has_both_agents_beside_each_other() -> None:
    """The first thing that was wrong stands for all of them."""
    wrong: Tuple[Violation, ...] = (Violation(0.0, "two holders", "node1 | answered"), Violation(1.0, "silence", "no"))
    lines = table([played(OURS).to_json(), played(PEER, *wrong).to_json()]).splitlines()
    assert lines[0].count("longest silence") == 2
    assert lines[2] == "| planned-move | 0.0 s | passed | 0.0 s | FAILED: 00:00:00.000 node1 / answered (and 1 more) |"


def test_the_page_tells_what_was_played() -> None:
    """The table, a sentence for each scenario, and the versions."""
    text = page([played(OURS).to_json()])
    assert table([played(OURS).to_json()]) in text
    assert f"- **planned-move**: {CATALOGUE.known['planned-move'].summary}" in text
    assert "aws-ipfailover 0" in text


def test_a_run_as_json() -> None:
    """Plain values, with what was wrong."""
    found = played(PEER, Violation(0.0, "silence", "no answer")).to_json()
    assert (found["scenario"], found["agent"], found["passed"]) == ("planned-move", PEER, False)
    assert found["problems"] == ["00:00:00.000 no answer"]
    assert RESOURCE not in found


def test_the_fence_device_may_fail_and_nothing_else() -> None:
    """EC2 refuses it as well, and that is no failure of the service; the service's own fail count is the scenario's."""
    expected = expectations_of(CATALOGUE.known["refusals-of-ec2-while-healthy"], RESOURCE)

    def told(resource: str, count: str) -> bool:
        return bool(complaints(Snapshot(fail_counts={(resource, "node1"): count}), expected))

    assert not told("fence_aws", "1000000")
    assert told(RESOURCE, "1")
    assert told("another", "1")


class Closing(Company):
    """Plays nothing, in labs that are only counted."""

    def __init__(self, directory: Path, *, every_page: bool = False) -> None:
        self.said = io.StringIO()
        super().__init__("none", directory, PlainNarrator(self.said), every_page=every_page)
        self.labs = 0
        self.closed = False

    def _lab_for(self, _scenario: Scenario, _configuration: Configuration) -> Lab:
        self.labs += self.closed or not self.labs
        self.closed = False
        return Lab("none")

    def close(self) -> None:
        """There is none any more."""
        self.closed = True


@pytest.mark.parametrize(("first", "labs"), [("planned-move", 1), ("demonstration", 2)])
def test_a_scenario_that_leaves_a_node_without_power_leaves_its_lab_to_nobody(
    first: str, labs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one needs every node; others follow in the same lab."""
    monkeypatch.setattr(runner, "play", lambda *_, **__: played(OURS))
    monkeypatch.setattr(runner, "tidy", lambda _: None)
    company = Closing(tmp_path)
    for name in (first, "crash-of-a-standby"):
        company.play(CATALOGUE.known[name], PLAIN)
    assert company.labs == labs


def test_a_lab_that_does_not_come_up_fails_its_scenario_alone(tmp_path: Path) -> None:
    """Verdict and page say why, the table is told all the same, and the next scenario gets a lab of its own."""

    class Down(Closing):
        def _lab_for(self, _scenario: Scenario, _configuration: Configuration) -> Lab:
            raise LabError("node2 does not boot")

    company = Down(tmp_path)
    one = company.play(CATALOGUE.known["planned-move"], PLAIN)
    assert one.verdict.sentences() == ["the lab or its cluster failed the scenario: node2 does not boot"]
    assert not one.verdict.passed
    assert company.closed
    assert "FAILED: the lab or its cluster failed the scenario: node2 does not boot" in table([one.to_json()])
    assert one.page is not None
    assert "node2 does not boot" in one.page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("every_page", "wrong", "there"), [(False, False, False), (False, True, True), (True, False, True)]
)
def test_one_that_fails_has_a_page_and_others_where_that_is_asked_for(
    every_page: bool, wrong: bool, there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is beside the record."""
    found = played(OURS, *([Violation(0.0, "silence", "no answer")] if wrong else []))
    monkeypatch.setattr(runner, "play", lambda *_, **__: replace(found, record=tmp_path))
    monkeypatch.setattr(runner, "tidy", lambda _: None)
    page = Closing(tmp_path, every_page=every_page).play(CATALOGUE.known["planned-move"], PLAIN).page
    assert page == (tmp_path / "report.html" if there else None)
    assert page is None or page.is_file()


def test_a_page_that_cannot_be_written_is_said_and_changes_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory is in its place."""
    (tmp_path / "report.html").mkdir()
    monkeypatch.setattr(runner, "play", lambda *_, **__: replace(played(OURS), record=tmp_path))
    monkeypatch.setattr(runner, "tidy", lambda _: None)
    company = Closing(tmp_path, every_page=True)
    one = company.play(CATALOGUE.known["planned-move"], PLAIN)
    assert (one.page, one.verdict.passed) == (None, True)
    assert "There is no page of planned-move: cannot write" in company.said.getvalue()


def test_an_earlier_run_is_read_again(tmp_path: Path) -> None:
    """Its columns stand beside those of this one; what is no outcome is refused with the file's name."""
    file = tmp_path / "earlier.json"
    file.write_text(json.dumps([played(PEER).to_json()]))
    assert outcomes_of(file) == [played(PEER).to_json()]
    assert "not played" in table([*outcomes_of(file), {**played(OURS).to_json(), "scenario": "another"}])
    for text in ("", "{}", '[{"scenario": "planned-move"}]', "[1]"):
        file.write_text(text)
        with pytest.raises(LabError, match=r"earlier\.json"):
            outcomes_of(file)


class Answering(Lab):
    """A lab whose nodes, if one is awake, answer every command alike."""

    def __init__(self, awake: List[str], code: int = 0) -> None:
        super().__init__("answering")
        self.awake, self.code = awake, code

    def nodes(self) -> List[str]:
        """Two of them."""
        return ["node1", "node2"]

    def awake_nodes(self) -> List[str]:
        """Those that it was made with."""
        return self.awake

    def exec(
        self, name: str, argv: Sequence[str], *, stdin: str = "", timeout: float = 60.0, check: bool = True
    ) -> Completed:
        """The same answer always."""
        del stdin, timeout, check
        return Completed(tuple(argv), self.code, "", f"{name} says no")


def on(lab: Lab) -> Stage:
    """A stage whose history can be asked for, and nothing else."""
    nothing: Any = None
    return Stage(lab, nothing, nothing, PLAIN, Service(RESOURCE, ()), PlainNarrator(io.StringIO()))


def test_what_the_cluster_does_not_tell_is_no_empty_history() -> None:
    """Only the answer that there is no such entry means that nothing was done to the service."""
    assert on(Answering(["node1"], NOTHING_FOUND)).history() == []
    with pytest.raises(LabError, match="node1 does not tell what was done to ip_service: node1 says no"):
        on(Answering(["node1"], 102)).history()


class Fencing(Answering):
    """A lab in which node2 is a member again although its fencing is decided, and which then carries that out."""

    def __init__(self) -> None:
        super().__init__(["node1", "node2"])
        self.off: List[str] = []
        self.decided = True

    def powered_nodes(self) -> List[str]:
        """All that have not been fenced."""
        return [one for one in self.nodes() if one not in self.off]

    def power_on(self, name: str) -> None:
        """It has power again."""
        self.off.remove(name)

    def wait_online(self, *names: str, within: float = 60.0) -> ClusterStatus:
        """They are, unless one has no power."""
        if self.off:
            raise LabError(f"{self.off} of {names} not online within {within}")
        return ClusterStatus("node1", True, (), (), (), {}, ("node2",) if self.decided else ())

    def wait_cluster(
        self, what: str, condition: Callable[[ClusterStatus], bool], within: float = 30.0
    ) -> ClusterStatus:
        """The fencing is carried out meanwhile."""
        self.off, self.decided = ["node2"], False
        now = ClusterStatus("node1", True, (), (), (), {})
        assert condition(now), (what, within)
        return now

    def cluster_status(self, name: Optional[str] = None) -> Optional[ClusterStatus]:
        """node2 is known to be off."""
        del name
        nodes = (NodeState("node2", online=False, unclean=False, standby=False, is_dc=False),)
        return ClusterStatus("node1", True, nodes, (), (), {})


def test_a_fencing_that_is_decided_is_waited_for() -> None:
    """All are online only when it has been carried out, and its node has power again."""
    lab = Fencing()
    on(lab).all_online(5.0)
    assert (lab.decided, lab.powered_nodes()) == (False, ["node1", "node2"])


class Alone(Fencing):
    """A lab whose node2 was fenced and is off, and whose node1, which fenced it, was booted anew and knows nothing."""

    def __init__(self, dc: Optional[str], *, quorum: bool) -> None:
        super().__init__()
        self.off, self.decided = ["node2"], False
        self.dc, self.quorum = dc, quorum

    def cluster_status(self, name: Optional[str] = None) -> Optional[ClusterStatus]:
        """node2 may still run, as far as node1 knows."""
        del name
        nodes = (NodeState("node2", online=False, unclean=True, standby=False, is_dc=False),)
        return ClusterStatus(self.dc, self.quorum, nodes, (), (), {})


def test_a_node_without_quorum_is_not_asked_whether_another_one_is_off() -> None:
    """It never knows, as it fences nobody: the other one gets its power all the same."""
    lab = Alone("node1", quorum=False)
    on(lab).power_on_all(0.2)
    assert lab.powered_nodes() == ["node1", "node2"]


def test_a_node_without_quorum_does_not_know_that_another_one_is_off() -> None:
    """That nobody will fence it does not mean that it is safely gone."""
    nothing: Any = None
    stage = Stage(
        Alone("node1", quorum=False),
        nothing,
        nothing,
        replace(PLAIN, fencing=False),
        Service(RESOURCE, ()),
        PlainNarrator(io.StringIO()),
    )
    assert not stage.is_safely_gone("node2", 0.0)


@pytest.mark.parametrize(("dc", "quorum"), [("node1", True), (None, False)])
def test_a_node_that_may_be_fenced_gets_no_power(dc: Optional[str], quorum: bool) -> None:
    """With quorum the others will fence it; before they have a DC nobody knows."""
    lab = Alone(dc, quorum=quorum)
    with pytest.raises(LabError, match="the others to know that node2 is off"):
        on(lab).power_on_all(0.2)


def test_a_command_needs_a_node_that_is_awake() -> None:
    """Where all are without power, or frozen, the lab says so."""
    with pytest.raises(LabError, match="no node of lab 'answering' is awake"):
        on(Answering([])).command(["crm_mon"])


def test_what_happens_to_a_node_that_is_back_is_allowed_nothing() -> None:
    """A node that has its power again looks and does nothing: a probe that disturbs the others is found."""
    for one in CATALOGUE.known.values():
        for allowance in one.allowances:
            if one.restores and allowance.fault in ("crash", "freeze", "reboot") and one.name not in WAKES_UP:
                assert allowance.healed == 0, one.name


# There a node goes on with an address that is elsewhere; and EC2 is back at about the same time as the node.
WAKES_UP = ("freeze-and-thaw-without-fencing", "outage-of-ec2-during-a-failover")


CIB = """<xpath-query>
<lrm_rsc_op id="ip_last_0" operation="stop" crm-debug-origin="{origin}" call-id="9" rc-code="0" on_node="node1"/>
<lrm_rsc_op id="ip_last_0" operation="start" crm-debug-origin="{origin}" call-id="{call}" rc-code="0" on_node="node2"/>
</xpath-query>"""


def test_an_operation_is_known_by_its_call() -> None:
    """A new DC writes the same one down in other words; another call is another operation."""
    before = operations(CIB.format(origin="do_update_resource", call=12))
    assert before == ["node1 stop 9 0", "node2 start 12 0"]
    assert operations(CIB.format(origin="build_active_RAs", call=12)) == before
    assert operations(CIB.format(origin="build_active_RAs", call=13)) != before
