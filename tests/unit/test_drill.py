"""The drill's decisions: when it may begin, what it judges, and that everything is as before whatever ends it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Type, cast

import pytest

from aws_ipfailover import cli
from aws_ipfailover.cli import drill as command
from aws_ipfailover.cli.main import main
from aws_ipfailover.cli.screen import console
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.drill import conduct, doctor
from aws_ipfailover.drill import page as drill_page
from aws_ipfailover.drill.cluster import Cluster
from aws_ipfailover.drill.conduct import Conducted, Drill, Plan, interruptible
from aws_ipfailover.drill.consumers import BY_SSH, HERE, Consumers, Place, hosts_in, places
from aws_ipfailover.drill.judgement import Seen, Series, Step, seen
from aws_ipfailover.drill.placement import Moved, moved, placement_refusals, placements
from aws_ipfailover.drill.readiness import fencing_refusals, refusals, restarts, standby_of
from aws_ipfailover.drill.report import Report, Verdict, document
from aws_ipfailover.errors import Error, ParameterError, UnknownError
from aws_ipfailover.ocf.cib import Cib
from aws_ipfailover.ocf.cluster_view import ClusterView, view_of
from aws_ipfailover.report.page import page as render
from aws_ipfailover.watch.asking import Asking, Port
from aws_ipfailover.watch.question import Failure, Question

jsonschema: Any = pytest.importorskip("jsonschema")  # it comes with moto, as the lab does
SCHEMA = json.loads((Path(cli.__file__).parent / "schemas" / "drill.json").read_text(encoding="utf-8"))

NODE = '<node name="{name}" online="true" standby="false" maintenance="false" pending="false" unclean="false"/>'
NODES = {name: NODE.format(name=name) for name in ("node1", "node2")}
STARTED = (
    '<resource id="ip" role="Started" active="true" blocked="false" managed="true" maintenance="false"'
    ' failed="false"><node name="node1"/></resource>'
)
FENCE = STARTED.replace('id="ip"', 'id="fence"')


def printed(
    *,
    dc: str = '<current_dc present="true" name="node1" with_quorum="true"/>',
    options: str = 'maintenance-mode="false" stop-all-resources="false"',
    node1: str = NODES["node1"],
    node2: str = NODES["node2"],
    resources: str = STARTED + FENCE,
    failures: str = "",
) -> str:
    """What crm_mon prints of a healthy cluster, but for what is given."""
    return (
        f"<pacemaker-result><summary>{dc}<cluster_options {options}/></summary><nodes>{node1}{node2}</nodes>"
        f"<resources>{resources}</resources><failures>{failures}</failures></pacemaker-result>"
    )


def view(**given: str) -> ClusterView:
    """The same, read."""
    return view_of(printed(**given))


PRIMITIVE = (
    '<primitive id="ip" class="ocf" provider="heartbeat" type="aws-ipfailover">'
    '<instance_attributes id="ip-i"><nvpair id="ip-i-ip" name="ip" value="192.168.10.10"/></instance_attributes>'
    '</primitive>'
)  # fmt: skip
DEVICE = '<primitive id="fence" class="stonith" type="fence_aws"/>'


def cib(*, resources: str = PRIMITIVE + DEVICE, constraints: str = "", **properties: str) -> Cib:
    """A configuration with the resource and a fence device."""
    pairs = "".join(
        f'<nvpair id="p-{name}" name="{name.replace("_", "-")}" value="{value}"/>' for name, value in properties.items()
    )
    return Cib(
        "<cib><configuration><crm_config>"
        f'<cluster_property_set id="cib-bootstrap-options">{pairs}</cluster_property_set></crm_config>'
        f"<nodes/><resources>{resources}</resources><constraints>{constraints}</constraints></configuration></cib>"
    )


IP = Moved("ip")


def prefers(node: str) -> str:
    """The constraint of `crm_resource --move`."""
    return f'<rsc_location id="cli-prefer-ip" rsc="ip" role="Started" node="{node}" score="INFINITY"/>'


# -- may it begin? -----------------------------------------------------------------------------------------------


def test_a_healthy_cluster_is_ready() -> None:
    """Nothing speaks against it."""
    assert refusals(view(), cib(), "ip", IP) == []
    assert fencing_refusals(cib(), view(), "ip", "node2") == []
    assert standby_of(view(), "node1") == ("node2",)


FAILURE = '<failure op_key="ip_start_0" task="start" node="node2" exitcode="1" exitreason="no"/>'


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (view(dc='<current_dc present="false"/>'), "no controller"),
        (view(dc='<current_dc present="true" name="node1" with_quorum="false"/>'), "no quorum"),
        (view(dc='<current_dc present="true" name="node1"/>'), "whether the cluster has quorum is not told"),
        (view(options='maintenance-mode="true"'), "the cluster is in maintenance mode"),
        (view(options=""), "it is not told whether the cluster is in maintenance mode"),
        (view(options='maintenance-mode="false" stop-all-resources="true"'), "stop-all-resources"),
        (view(node2=NODES["node2"].replace('online="true"', 'online="false"')), "node2 is offline"),
        (view(node2=NODES["node2"].replace('online="true"', "")), "whether node2 is online is not told"),
        (view(node2=NODES["node2"].replace('unclean="false"', 'unclean="true"')), "node2 is unclean"),
        (view(node2=NODES["node2"].replace('pending="false"', 'pending="true"')), "node2 is still joining"),
        (view(node2=NODES["node2"].replace('standby="false"', 'standby="true"')), "node2 is in standby"),
        (view(node2=NODES["node2"].replace('maintenance="false"', 'maintenance="true"')), "node2 is in maintenance"),
        (view(node2=""), "no second node"),
        (view(resources=""), "the cluster has no resource ip"),
        (view(resources=STARTED.replace("Started", "Stopped")), "not started on exactly one node: Stopped on node1"),
        (view(resources=STARTED.replace("<node ", '<node name="node2"/><node ')), "Started on node2 and node1"),
        (view(resources=STARTED.replace('managed="true"', 'managed="false"')), "ip is unmanaged"),
        (view(resources=STARTED.replace('managed="true"', "")), "it is not told whether ip is unmanaged"),
        (view(resources=STARTED.replace('maintenance="false"', 'maintenance="true"')), "ip is in maintenance mode"),
        (view(resources=STARTED + FENCE.replace('failed="false"', 'failed="true"')), "fence has failed"),
        (view(resources=STARTED + FENCE.replace('blocked="false"', 'blocked="true"')), "fence is blocked"),
        (view(failures=FAILURE), "start of ip on node2"),
    ],
)
def test_what_is_wrong_with_a_cluster_is_a_reason(broken: ClusterView, reason: str) -> None:
    """And so is what has to be known and is not."""
    found = refusals(broken, cib(), "ip", IP)
    assert any(reason in one for one in found), found
    assert len(found) == 1, found


def test_a_constraint_of_an_earlier_move_is_a_reason() -> None:
    """The cleanup would remove what somebody else has wanted; a constraint of the administrator's own is none."""
    (reason,) = refusals(view(), cib(constraints=prefers("node2")), "ip", IP)
    assert "cli-prefer-ip" in reason
    assert "crm_resource --clear --resource ip" in reason
    own = '<rsc_location id="ip-on-node1" rsc="ip" node="node1" score="50"/>'
    assert refusals(view(), cib(constraints=own), "ip", IP) == []


@pytest.mark.parametrize(
    ("configured", "shown", "local", "reason"),
    [
        (cib(stonith_enabled="false"), view(), "node2", "fences nobody"),
        (cib(resources=PRIMITIVE), view(), "node2", "no fence device"),
        (cib(), view(resources=STARTED), "node2", "no fence device is started: fence"),
        (cib(), view(), "node1", "this is node1, the node that would be fenced"),
    ],
)
def test_fencing_has_reasons_of_its_own(configured: Cib, shown: ClusterView, local: str, reason: str) -> None:
    """Nothing runs on a node that is fenced, this program included."""
    (found,) = fencing_refusals(configured, shown, "ip", local)
    assert reason in found


def test_a_node_is_fenced_as_the_cluster_does_it() -> None:
    """`stonith-action` says whether it comes back."""
    assert restarts(cib()) is True
    assert restarts(cib(stonith_action="reboot")) is True
    assert restarts(cib(stonith_action="off")) is False


# -- what consumers saw ------------------------------------------------------------------------------------------

T = 1_000_000.0
STEP = Step("move", "node1", "node2", T, T + 10, T + 15, T + 20)
NAMES = ("node1", "node2")


def series(*phases: Tuple[float, float, Optional[str]], ahead: float = 0.0) -> Series:
    """A question every half second; phases (begin, end, who answers); `None` is nobody, "" somebody without a name."""
    questions: List[Question] = []
    for begin, end, who in phases:
        for step in range(round((end - begin) * 2)):
            sent = T + ahead + begin + step / 2
            answered = None if who is None else sent + 0.01
            error: Optional[Failure] = "timeout" if who is None else None
            questions.append(Question("tcp", len(questions), sent, answered, who or None, error))
    return Series("app1", "tcp 22", "tcp", 0.9, questions, ahead)


def test_a_move_in_order() -> None:
    """The old one before, a silence, the new one after."""
    found = seen(series((0, 12, "node1"), (12, 14, None), (14, 20, "node2")), STEP, NAMES)
    assert (found.before, found.after, found.wrong) == (("node1",), ("node2",), 0)
    assert found.silence is not None
    assert found.silence.seconds == pytest.approx(2.5)
    assert (found.asked, found.lost) == (20, 4)
    assert found.problems(None) == []
    assert found.problems(2.5) == []
    (text,) = found.problems(2.0)
    assert text == "move: app1 over tcp 22 had no answer for 2.50 s, and 2 s are allowed"


def test_clocks_of_consumers_may_differ() -> None:
    """Steps are told by the clock here."""
    near = seen(series((0, 12, "node1"), (12, 14, None), (14, 20, "node2")), STEP, NAMES)
    far = seen(series((0, 12, "node1"), (12, 14, None), (14, 20, "node2"), ahead=-512.0), STEP, NAMES)
    assert (far.before, far.after, far.lost, far.wrong) == (near.before, near.after, near.lost, near.wrong)


@pytest.mark.parametrize(
    ("phases", "wrong"),
    [
        # It never moved.
        ([(0, 20, "node1")], 20),
        # It flaps: two answers of the old one after the new one had answered.
        ([(0, 12, "node1"), (12, 16, "node2"), (16, 17, "node1"), (17, 20, "node2")], 2),
        # A third one.
        ([(0, 12, "node1"), (12, 18, "node2"), (18, 19, "node3"), (19, 20, "node2")], None),
        # Servers that do not say the nodes' names, and differ.
        ([(0, 12, "SSH-a"), (12, 20, "SSH-b")], 0),
        ([(0, 12, "SSH-a"), (12, 17, "SSH-b"), (17, 18, "SSH-a"), (18, 20, "SSH-b")], 2),
        # They do not differ, or say nothing at all: that is not known.
        ([(0, 20, "ttl-63")], None),
        ([(0, 20, "")], None),
        # Only the new one says its name.
        ([(0, 12, ""), (12, 20, "node2")], 0),
    ],
)
def test_a_wrong_node_is_told_where_answers_tell_the_nodes_apart(
    phases: Sequence[Tuple[float, float, str]], wrong: Optional[int]
) -> None:
    """Where they do not, it is neither a yes nor a no."""
    names = (*NAMES, "node3") if wrong is None and any("node3" in phase for phase in phases) else NAMES
    found = seen(series(*phases), STEP, names)
    assert found.wrong == (2 if names != NAMES else wrong)
    assert bool(found.problems(None)) == bool(found.wrong)


def test_an_address_that_is_not_answered_any_more() -> None:
    """Answers until Pacemaker was done do not help."""
    found = seen(series((0, 12, "node1"), (12, 20, None)), STEP, NAMES)
    assert found.problems(None) == ["move: app1 over tcp 22 was not answered any more"]


def test_a_consumer_that_asked_nothing_proves_nothing() -> None:
    """It is a problem, and not a step without losses."""
    assert seen(series((0, 9, "node1")), STEP, NAMES).problems(None) == ["move: app1 over tcp 22 asked nothing"]


# -- what is moved -----------------------------------------------------------------------------------------------

HANA = (
    '<master id="msl"><primitive id="hana" class="ocf" provider="suse" type="SAPHana">'
    '<instance_attributes id="h-i"><nvpair id="h-i-a" name="AUTOMATED_REGISTER" value="{register}"/>'
    "</instance_attributes></primitive></master>"
)
OTHERS = (
    '<primitive id="app" class="ocf" provider="heartbeat" type="Dummy"/>'
    '<clone id="mounts"><primitive id="mount" class="ocf" provider="heartbeat" type="Dummy"/></clone>'
    '<group id="g_ip">' + PRIMITIVE.replace('"ip"', '"ip2"') + "</group>"
)


def placed(constraint: str, register: str = "true") -> Cib:
    """A cluster with a database, an application, mounts and a second address in a group, and a constraint."""
    return cib(resources=PRIMITIVE + DEVICE + HANA.format(register=register) + OTHERS, constraints=constraint)


def colocation(resource: str, with_resource: str, score: str, role: str = "", name: str = "c") -> str:
    """A colocation."""
    with_role = f' with-rsc-role="{role}"' if role else ""
    return f'<rsc_colocation id="{name}" rsc="{resource}" with-rsc="{with_resource}" score="{score}"{with_role}/>'


SETS = (
    '<rsc_colocation id="c" score="INFINITY"><resource_set id="s1"><resource_ref id="ip"/></resource_set>'
    '<resource_set id="s2" role="Promoted"><resource_ref id="msl"/></resource_set></rsc_colocation>'
)


@pytest.mark.parametrize(
    ("resource", "constraint", "sentences"),
    [
        ("ip", colocation("ip", "msl", "2000", "Master"), ["the promoted instance of msl (constraint c)"]),
        ("ip", colocation("ip", "msl", "INFINITY", "Promoted"), ["--move msl"]),
        ("ip2", colocation("g_ip", "msl", "INFINITY", "Promoted"), ["ip2 is placed with the promoted instance"]),
        ("ip", SETS, ["the promoted instance of msl (constraint c)"]),
        ("ip", colocation("ip", "app", "100"), ["app (constraint c) by a score of 100", "--move app"]),
        (
            *("ip", colocation("ip", "app", "INFINITY") + colocation("app", "msl", "10", "Promoted", name="d")),
            ["the promoted instance of msl (constraint d)"],
        ),
    ],
)
def test_an_address_is_not_moved_away_from_what_it_is_placed_with(
    resource: str, constraint: str, sentences: List[str]
) -> None:
    """Nor is a database failed over by the way: both have to be asked for."""
    (reason,) = placement_refusals(placed(constraint), resource, Moved(resource))
    for sentence in sentences:
        assert sentence in reason
    assert reason in refusals(view(), placed(constraint), resource, Moved(resource))


@pytest.mark.parametrize(
    "constraint",
    [
        colocation("ip", "app", "INFINITY"),
        colocation("ip", "mounts", "INFINITY"),
        colocation("ip", "msl", "-100", "Promoted"),
        colocation("app", "ip", "100"),
        colocation("ip2", "msl", "2000", "Promoted"),
    ],
)
def test_what_moves_along_is_no_reason(constraint: str) -> None:
    """What has to be on the same node, runs everywhere, is to be elsewhere, or follows the address itself."""
    assert placement_refusals(placed(constraint), "ip", Moved("ip")) == []


def test_what_is_moved_instead_fails_no_database_over_by_the_way() -> None:
    """An application that the address is placed with, and that is itself placed with the database."""
    chain = placed(colocation("ip", "app", "9") + colocation("app", "msl", "10", "Promoted", name="d"))
    (reason,) = placement_refusals(chain, "ip", Moved("app"))
    assert "app is placed with the promoted instance of msl (constraint d)" in reason
    assert placement_refusals(chain, "ip", Moved("msl", promoted=True)) == []


def test_what_an_address_is_placed_with_can_be_moved_instead() -> None:
    """By its promoted role, where that is what the address follows."""
    with_database = placed(colocation("ip", "msl", "2000", "Promoted"))
    assert [one.resource_id for one in placements(with_database, "ip")] == ["msl"]
    assert moved(with_database, "ip", "msl") == Moved("msl", promoted=True)
    assert placement_refusals(with_database, "ip", Moved("msl", promoted=True)) == []
    assert moved(placed(colocation("ip", "app", "9")), "ip", "app") == Moved("app")
    assert moved(placed(""), "ip2", "g_ip") == Moved("g_ip")
    with pytest.raises(ParameterError, match="it is placed with msl"):
        moved(with_database, "ip", "app")
    with pytest.raises(ParameterError, match="it is placed with nothing"):
        moved(placed(""), "ip", "msl")


@pytest.mark.parametrize("register", ["false", ""])
def test_a_database_whose_old_primary_stays_down_is_not_failed_over(register: str) -> None:
    """There would be no way back; the default of AUTOMATED_REGISTER is false."""
    found = placed(colocation("ip", "msl", "2000", "Promoted"), register)
    (reason,) = placement_refusals(found, "ip", Moved("msl", promoted=True))
    assert "--set-parameter AUTOMATED_REGISTER --parameter-value true" in reason


def test_a_constraint_of_an_earlier_move_of_what_is_moved_is_a_reason() -> None:
    """The cleanup would remove that one too."""
    left = prefers("node2").replace('rsc="ip"', 'rsc="msl"').replace("prefer-ip", "prefer-msl")
    (reason,) = refusals(view(), placed(left), "ip", Moved("msl", promoted=True))
    assert "crm_resource --clear --resource msl" in reason


# -- conducting --------------------------------------------------------------------------------------------------

PLAN = Plan("ip", Moved("ip"), "node1", "node2", moves=True, fence=False, restart=True, seconds=30)


class FakeCluster(Cluster):
    """Two nodes and a resource that follows the constraint of a move; `calls` is what was ordered.

    `stop_at`: the call, counted from 0, at which `error` is raised, before or after it has worked.
    """

    def __init__(self, stop_at: int = -1, error: Type[BaseException] = KeyboardInterrupt, late: bool = False) -> None:
        super().__init__()
        self.where, self.preferred, self.offline = "node1", "", ""
        self.calls: List[str] = []
        self._stop_at, self._error, self._late = stop_at, error, late

    def _called(self, name: str) -> bool:
        """Whether the call goes on; raises where it is to be interrupted before it works."""
        self.calls.append(name)
        ends = len(self.calls) - 1 == self._stop_at
        if ends and not self._late:
            raise self._error(name)
        return ends

    def _end(self, ends: bool) -> None:
        if ends:
            raise self._error("late")

    def configuration(self) -> Cib:
        ends = self._called("configuration")
        self._end(ends)
        return cib(constraints=prefers(self.preferred) if self.preferred else "")

    def view(self) -> ClusterView:
        self._end(self._called("view"))
        nodes = {
            name: text.replace('online="true"', 'online="false"') if name == self.offline else text
            for name, text in NODES.items()
        }
        return view(**nodes, resources=STARTED.replace("node1", self.where) + FENCE)

    def settle(self, seconds: float) -> None:
        ends = self._called("settle")
        self.where = self.preferred if self.preferred not in ("", self.offline) else self.where
        self._end(ends)

    def move(self, what: Moved, node: str) -> None:
        ends = self._called(f"move to {node}")
        if self.preferred == node:
            raise Error("crm_resource --move fails (108): Requested item already exists")
        self.preferred = node
        self._end(ends)

    def clear(self, resource_id: str) -> None:
        ends = self._called("clear")
        self.preferred = ""
        self._end(ends)

    def fence(self, node: str, *, restart: bool, seconds: float) -> None:
        ends = self._called(f"fence {node}")
        self.where = "node2" if node == "node1" else "node1"
        self.offline = "" if restart else node
        self._end(ends)


class Answered(Consumers):
    """Consumers that are always answered, unless `fails` says when they are not any more."""

    def __init__(self, fails: int = -1) -> None:
        super().__init__([], Asking(), lambda _: None)
        self._left = fails

    def wait_answered(self, since: float, long: float, deadline: Deadline) -> bool:
        self._left -= 1
        return self._left != -1

    def unanswered(self, since: float) -> List[str]:
        return ["app1 over icmp"]


def conducted(cluster: FakeCluster, plan: Plan = PLAN, fails: int = -1) -> Tuple[Conducted, List[str]]:
    """What came of a drill, whatever ended it; and what it said."""
    said: List[str] = []
    drill = Drill(cluster, Answered(fails), plan, 0.9, said.append)
    try:
        drill.run()
    except KeyboardInterrupt:
        said.append("interrupted")
    return drill.conducted, said


def test_there_and_back_leaves_everything_as_it_was() -> None:
    """Two steps, and no constraint."""
    cluster = FakeCluster()
    found, said = conducted(cluster)
    assert [(one.name, one.old, one.new) for one in found.steps] == [
        ("move", "node1", "node2"),
        ("move back", "node2", "node1"),
    ]
    assert (found.problems, found.as_before, cluster.preferred) == ([], True, "")
    assert said[-2:] == ["no constraint of a move is left", "ip is on node1, as before"]


def test_a_disk_that_is_full_ends_no_drill() -> None:
    """Where nothing can be said any more, all is done all the same, and everything is as before."""

    def full(_: str) -> None:
        raise OSError(28, "No space left on device")

    cluster = FakeCluster()
    drill = Drill(cluster, Answered(), PLAN, 0.9, full)
    drill.run()
    assert (len(drill.conducted.steps), drill.conducted.as_before) == (2, True)
    assert (cluster.where, cluster.preferred) == ("node1", "")


COUNT = len([call for cluster in [FakeCluster()] for call in (conducted(cluster), cluster.calls)[1]])


@pytest.mark.parametrize("late", [False, True], ids=["before it works", "after it worked"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, UnknownError, Error])
@pytest.mark.parametrize("stop_at", range(COUNT))
def test_whatever_ends_it_everything_is_as_before(stop_at: int, error: Type[BaseException], late: bool) -> None:
    """Ctrl-C, or a tool that fails, at each call: no constraint is left, and the resource is where it was.

    But for a cleanup that fails itself: then it says what to run. Ctrl-C does not reach the cleanup.
    """
    complete = FakeCluster()
    conducted(complete)
    in_cleanup = stop_at >= len(complete.calls) - CLEANUP
    if in_cleanup and error is KeyboardInterrupt:
        return
    cluster = FakeCluster(stop_at, error, late)
    found, said = conducted(cluster)
    assert (cluster.where, cluster.preferred) == ("node1", "")
    assert found.as_before is not False
    if not in_cleanup:
        assert found.as_before is True
        assert ("interrupted" in said) == (error is KeyboardInterrupt)
        assert bool(found.problems) == (error is not KeyboardInterrupt)
    elif found.as_before is None:
        assert any(one.startswith("the cleanup: ") for one in found.restored)


# settle and view to bring it back, clear, settle and configuration, view and configuration to see.
CLEANUP = 7


def test_nothing_is_changed_where_the_address_is_not_answered() -> None:
    """There would be nothing to judge."""
    cluster = FakeCluster()
    with pytest.raises(UnknownError, match="app1 over icmp; nothing was changed"):
        Drill(cluster, Answered(fails=0), PLAN, 0.9, lambda _: None).run()
    assert cluster.calls == []


def test_a_move_after_which_nobody_answers_is_not_followed_by_another() -> None:
    """It goes back at once, as its cleanup."""
    cluster = FakeCluster()
    found, _ = conducted(cluster, fails=1)
    assert [one.name for one in found.steps] == ["move"]
    assert found.problems == ["move: not answered all the time afterwards: app1 over icmp"]
    assert (cluster.where, cluster.preferred, found.as_before) == ("node1", "", True)


def test_a_fenced_node_that_comes_back_gets_the_resource_back() -> None:
    """And its step is judged like the others."""
    cluster = FakeCluster()
    plan = Plan("ip", Moved("ip"), "node1", "node2", moves=False, fence=True, restart=True, seconds=30)
    found, _ = conducted(cluster, plan)
    assert [(one.name, one.new) for one in found.steps] == [
        ("fencing", "node2"),
        ("move back after fencing", "node1"),
    ]
    assert (found.problems, found.as_before, cluster.preferred) == ([], True, "")


def test_a_fenced_node_that_stays_off_is_told() -> None:
    """The resource stays where it is: there is nowhere else."""
    cluster = FakeCluster()
    plan = Plan("ip", Moved("ip"), "node1", "node2", moves=False, fence=True, restart=False, seconds=0.05)
    found, _ = conducted(cluster, plan)
    assert found.problems == ["node1 did not come back within 0.05 s"]
    assert found.as_before is False
    assert "not online: node1; start it, and see to it that it joins the cluster" in found.restored


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_interrupt_it_too(number: signal.Signals) -> None:
    """A terminal that is closed must not leave a constraint behind."""
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), number)
    before = signal.getsignal(signal.SIGINT)
    with conduct.uninterrupted():
        for one in (signal.SIGINT, number):
            os.kill(os.getpid(), one)
    assert signal.getsignal(signal.SIGINT) is before


# -- the cluster's tools -----------------------------------------------------------------------------------------


def test_tools_run_where_the_cluster_is() -> None:
    """By a prefix; nothing that a shell would change is handed over."""
    cluster = Cluster(["ssh", "node1"])
    assert cluster.command("crm_node", "--name") == ("ssh", "node1", "crm_node", "--name")
    with pytest.raises(Error, match="cannot be handed to another machine"):
        cluster.command("crm_resource", "--resource", "$(reboot)")


def test_a_machine_without_pacemaker_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a traceback, and not a cluster that is wrong."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UnknownError, match="crm_mon of Pacemaker is not in PATH"):
        Cluster().view()


@pytest.mark.parametrize(
    ("code", "call", "kind"),
    [
        ("print('nonsense')", "view", UnknownError),
        ("import sys; sys.exit('cannot connect')", "view", UnknownError),
        ("import sys; sys.exit('cannot connect')", "local_node", UnknownError),
        ("import sys; sys.exit('refused')", "clear", Error),
    ],
)
def test_a_tool_that_fails_is_a_sentence(code: str, call: str, kind: Type[Error]) -> None:
    """One that was only asked has not answered; one that was to change something has failed."""
    cluster = Cluster([sys.executable, "-c", code])
    with pytest.raises(kind) as raised:
        getattr(cluster, call)(*(["ip"] if call == "clear" else []))
    assert raised.type is kind


# -- consumers ---------------------------------------------------------------------------------------------------


def test_consumers_are_here_or_on_hosts() -> None:
    """By ssh what a shell there would change is quoted; a command of one's own gets each host's name."""
    from ipaddress import ip_address

    asking = Asking((Port("tcp", 22), Port("stream", 22), Port("icmp")), ask="who is it", interval=0.5)
    address = ip_address("192.168.10.10")
    (here,) = places([], BY_SSH, address, asking)
    assert here.name == HERE
    assert here.command[:3] == (sys.executable, "-m", "aws_ipfailover.watch")
    there, _ = places(["app1", "app2"], BY_SSH, address, asking)
    arguments = ["watch", "192.168.10.10", "--interval", "0.5", "--timeout", "0.9", "--tcp", "22", "--keep", "--icmp"]
    assert there.command == (
        *["ssh", "-o", "BatchMode=yes", "app1", "aws-ipfailover"],
        *arguments,
        "'--ask=who is it'",
        "--record",
        "-",
        "--until-eof",
    )
    (own,) = places(["app1"], "run --in {host} -- /opt/aws-ipfailover", address, asking)
    assert own.command[:5] == ("run", "--in", "app1", "--", "/opt/aws-ipfailover")
    assert "--ask=who is it" in own.command


def test_hosts_are_asked_once_each() -> None:
    """Blanks around a name are none of it, and a name that is given twice is one consumer."""
    assert hosts_in(" app1, app2,app1,,") == ["app1", "app2"]


# What ssh does with a command: a shell on the other side gets its arguments joined by blanks.
SSH = """#!/bin/sh
echo "$@" >>{log}
shift 3
exec sh -c "$*"
"""


def test_a_host_is_asked_from_by_ssh_until_it_is_told_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be sent arrives as it was typed, and the other clock is known from the record's head."""
    from ipaddress import ip_address

    log, ssh = tmp_path / "log", tmp_path / "ssh"
    ssh.write_text(SSH.format(log=log), encoding="utf-8")
    ssh.chmod(0o755)
    programs = f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    monkeypatch.setenv("PATH", programs)

    def answer(connection: socket.socket) -> None:
        question = connection.recv(100)
        connection.sendall(b"you said " + question)

    with answering(answer) as port:
        asking = Asking((Port("tcp", port),), ask="who's there; exit 1", interval=0.1)
        (place,) = places(["app1"], BY_SSH, ip_address("127.0.0.1"), asking)
        with Consumers([place], asking, pytest.fail) as consumers:
            assert consumers.wait_answered(0.0, 1.0, Deadline(30))
            consumers.finish()
            (found,) = consumers.series()
            assert consumers.failures == {}
    assert {one.node for one in found.questions} == {"you said who's there; exit 1"}
    assert abs(found.ahead) < 20
    assert log.read_text(encoding="utf-8").startswith("-o BatchMode=yes app1 aws-ipfailover watch 127.0.0.1 ")


@contextlib.contextmanager
def answering(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server on a port of its own, which serves one connection after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with listener.accept()[0] as connection, contextlib.suppress(OSError):
                        serve(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield cast("int", listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_a_consumer_that_cannot_ask_is_told_with_its_reason() -> None:
    """As ssh that reaches nobody; the others go on."""
    said: List[str] = []
    gone = Place("app1", (sys.executable, "-c", "import sys; sys.exit('ssh: no route to host')"))
    with Consumers([gone], Asking(), said.append) as consumers:
        assert not consumers.wait_answered(0.0, 1.0, Deadline(20))
        assert consumers.asking == []
        assert consumers.unanswered(0.0) == ["app1 over icmp"]
    assert said == ["the watch from app1: ssh: no route to host"]


def test_what_is_no_record_ends_a_consumer() -> None:
    """As the greeting of a shell on the way."""
    said: List[str] = []
    with Consumers([Place("app1", ("/bin/echo", "Welcome!"))], Asking(), said.append) as consumers:
        assert not consumers.wait_answered(0.0, 1.0, Deadline(20))
    assert said == ["the watch from app1: 'Welcome!' is no line of a record"]


# -- the report --------------------------------------------------------------------------------------------------


def report(phases: Sequence[Tuple[float, float, Optional[str]]], **changes: Any) -> Report:
    """Of one step that one consumer has seen."""
    came = Conducted(
        [STEP], list(changes.pop("problems", [])), ["ip is on node1, as before"], changes.pop("before", True)
    )
    rows: List[Seen] = [seen(series(*phases), STEP, NAMES)]
    values: Dict[str, Any] = {
        "plan": PLAN,
        "address": "192.168.10.10",
        "doctor": [],
        "conducted": came,
        "seen": rows,
        "failures": {},
        "allowed": None,
        "interrupted": False,
        **changes,
    }
    return Report(**values)


GOOD = [(0.0, 12.0, "node1"), (12.0, 14.0, None), (14.0, 20.0, "node2")]


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, Verdict.IN_ORDER),
        ({"allowed": 1.0}, Verdict.WRONG),
        ({"before": False}, Verdict.WRONG),
        ({"before": None}, Verdict.UNKNOWN),
        ({"problems": ["fencing failed"], "before": None}, Verdict.WRONG),
        ({"failures": {"app1": "ssh: no route to host"}}, Verdict.UNKNOWN),
        ({"interrupted": True}, Verdict.UNKNOWN),
        ({"doctor": [doctor.Finding("warn", "one route table has no route", "add one")]}, Verdict.IN_ORDER),
    ],
)
def test_there_are_three_verdicts(changes: Dict[str, Any], verdict: Verdict) -> None:
    """And the document fits its schema."""
    found = report(GOOD, **changes)
    assert found.verdict is verdict
    text = json.loads(json.dumps({"schema": "aws-ipfailover/drill/1", **document(found)}))
    jsonschema.validate(text, SCHEMA)
    assert text["verdict"] == verdict.value


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [({}, "Passed"), ({"allowed": 1.0}, "Failed"), ({"interrupted": True}, "Could not find out")],
)
def test_a_drill_has_a_page(changes: Dict[str, Any], verdict: str) -> None:
    """With its verdict, its steps, what it said and when, and what every consumer saw by the clock here."""
    found = report(GOOD, doctor=[doctor.Finding("warn", "one route table has no route", "add one")], **changes)
    near, far = (series(*GOOD, ahead=ahead) for ahead in (0.0, 512.0))
    told = [(T + 10, "move: ip from node1 to node2"), (T + 15, "move: Pacemaker was done after 5.0 s")]
    about = drill_page.document(found, [near, far], told, {"over": "tcp 22"}, 0.5)
    lanes = drill_page.lanes_of(found.address, [near, far])
    text = render(about, lanes)
    assert f"<title>{verdict}: drill of ip</title>" in text
    for said in (
        "move: node1 to node2, 5.00 s",
        "Pacemaker was done",
        "ip is on node1, as before",
        "tcp 22",
        "warn: one",
    ):
        assert said in text
    assert [(one.asked, len(one.silences)) for one in lanes] == [(40, 1)] * 2
    assert lanes[0].silences[0].seconds == pytest.approx(lanes[1].silences[0].seconds)
    assert (about.begins, about.ends) == (T, T + 19.5)


def test_the_page_of_a_drill_has_a_name_of_its_own() -> None:
    """Earlier ones are kept; the id of a resource leads nowhere else."""
    assert drill_page.name_of("ip_hana", 0.0) == "drill-ip_hana-19700101T000000Z.html"
    assert drill_page.name_of("../x y", 60.0) == "drill-___x_y-19700101T000100Z.html"


def test_a_drill_without_an_answer_has_a_page_too() -> None:
    """Nothing was asked, and it says so."""
    text = render(drill_page.document(report([]), [series()], [], {}, 0.5), drill_page.lanes_of("x", [series()]))
    assert "asked nothing" in text


DOCTORS = {
    "reports": [
        {
            "subject": "ip",
            "findings": [
                {"outcome": "pass", "text": "fine", "remedy": ""},
                {"outcome": "fail", "text": "no route", "remedy": "make one"},
                {"outcome": "unknown", "text": "no answer"},
                {"outcome": "unknown", "text": "no answer"},
            ],
        }
    ]
}


def test_the_doctor_s_document_is_read() -> None:
    """What passes is of no interest; what is no document is no answer."""
    assert [str(one) for one in doctor.parse(json.dumps(DOCTORS))] == ["no route: make one", "no answer"]
    for text in ("", "[]", "{}", '{"reports": [{"findings": [1]}]}'):
        with pytest.raises(UnknownError, match="no document of the doctor"):
            doctor.parse(text)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ([sys.executable, "-c", "import sys; sys.exit('no such command')"], "no such command"),
        (["/nowhere/aws-ipfailover"], "/nowhere/aws-ipfailover: No such file"),
        ([sys.executable, "-c", ""], "what it prints is no document of the doctor"),
    ],
)
def test_a_doctor_that_cannot_be_asked_is_no_doctor_that_finds_nothing(program: List[str], said: str) -> None:
    """That nothing is wrong is not known then."""
    with pytest.raises(UnknownError, match=f"^the doctor cannot be asked: .*{said}"):
        doctor.findings(program, "ip")


def test_the_doctor_loads_nothing_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever can write in the directory in which root runs a drill cannot make root run a module of theirs."""
    package = tmp_path / "aws_ipfailover"
    package.mkdir()
    (package / "__init__.py").write_text(f"open({str(tmp_path / 'loaded')!r}, 'w')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with contextlib.suppress(UnknownError):
        doctor.findings([sys.executable, "-m", "aws_ipfailover.cli.main"], "no-such-resource")
    assert not (tmp_path / "loaded").exists()


# -- the command -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--json"], "add --yes"),
        (["--keep"], "--keep keeps a connection"),
        (["--wait", "1"], "--wait"),
        (["--yes", "--cluster-command", "'"], "No closing quotation"),
        (["--report", "/nowhere/at/all.html"], "there is no directory /nowhere/at"),
        (["--report", "/proc"], "/proc is a directory"),
        (["--address", "ip_service"], "'ip_service' is no IP address"),
        (["--watch-from", " ,"], "' ,' is wrong, expected names of hosts"),
        # ssh would take it for an option, and run what it names here.
        (["--watch-from", "app1, -oProxyCommand=id"], "'-oProxyCommand=id' is wrong, expected names of hosts"),
    ],
)
def test_a_wrong_command_line_is_a_sentence(
    arguments: List[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, before anything is asked."""
    assert main(["drill", *arguments]) == 2
    assert sentence in capsys.readouterr().err


TOOLS = """
import sys
name = sys.argv[1].rpartition("/")[2]
print({"crm_mon": VIEW, "cibadmin": CIB, "crm_node": "node2"}[name])
"""


def tools(tmp_path: Path, shown: str) -> str:
    """A --cluster-command whose cluster has the resource and a fence device, and shows this."""
    configuration = f"<cib><configuration><resources>{PRIMITIVE}{DEVICE}</resources></configuration></cib>"
    tool = tmp_path / "tool.py"
    tool.write_text(TOOLS.replace("VIEW", repr(shown)).replace("CIB", repr(configuration)), encoding="utf-8")
    return f"{sys.executable} {tool}"


def test_without_the_doctor_s_answer_a_drill_needs_to_be_told_to_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else it ends with 3 and has changed nothing; with --unexamined it goes on to ask whether to begin."""
    silent = f"{sys.executable} -c 'import sys; sys.exit(\"no route to host\")' {{host}}"
    arguments = ["drill", "--report", "none", "--watch-command", silent]
    arguments += ["--cluster-command", tools(tmp_path, printed())]
    assert main([*arguments, "--yes"]) == 3
    assert capsys.readouterr().out.splitlines() == [
        "asking the doctor on node2",
        "the doctor cannot be asked: no route to host; --unexamined begins all the same",
        "nothing was changed",
    ]
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert main([*arguments, "--unexamined"]) == 1
    said = capsys.readouterr().out
    assert "  unknown: the doctor cannot be asked: no route to host\n" in said
    assert "about to move ip from node1 to node2, and back\n" in said
    assert said.endswith("not confirmed\nnothing was changed\n")


def test_an_unknown_resource_is_a_wrong_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As for every other command: exit code 2, with what there is."""
    assert main(["drill", "nothing", "--yes", "--cluster-command", tools(tmp_path, printed())]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "the cluster has no primitive 'nothing'; it has ip, fence" in said.err


def test_a_cluster_that_is_not_healthy_is_refused_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every reason, and nothing else; a tool that would change something is not run."""
    sick = (
        '<pacemaker-result><summary><current_dc present="true" name="node1" with_quorum="true"/><cluster_options'
        f' maintenance-mode="true"/></summary><nodes>{NODES["node1"]}</nodes><resources>{STARTED}</resources>'
        "</pacemaker-result>"
    )
    configuration = f"<cib><configuration><resources>{PRIMITIVE}</resources></configuration></cib>"
    tool = tmp_path / "tool.py"
    tool.write_text(TOOLS.replace("VIEW", repr(sick)).replace("CIB", repr(configuration)), encoding="utf-8")
    assert main(["drill", "--yes", "--fence", "--cluster-command", f"{sys.executable} {tool}"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "the cluster is in maintenance mode",
        "the cluster has no second node",
        "the cluster has no fence device",
        "nothing was changed",
    ]


def test_where_no_page_can_be_written_a_drill_says_so_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --report it is in the directory that it was started in; `none` is no page, and nothing is said."""
    monkeypatch.chdir(tmp_path)
    screen = console()
    found = command._page_file(screen, None, "ip")
    assert found is not None
    assert re.fullmatch(r"drill-ip-\d{8}T\d{6}Z\.html", str(found))
    assert command._page_file(screen, "none", "ip") is None
    assert command._page_file(screen, "other.html", "ip") == Path("other.html")
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert command._page_file(screen, None, "ip") is None
    assert capsys.readouterr().out == (
        f"there will be no page: {tmp_path} cannot be written to, and --report names no other place\n"
    )


def test_a_page_that_cannot_be_written_in_the_end_changes_no_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The drill is over by then; where it can be, it is told where it is."""
    about = drill_page.document(report(GOOD), [series(*GOOD)], [], {}, 0.5)
    command._write_page(console(), tmp_path / "no" / "page.html", about, [series(*GOOD)])
    command._write_page(console(), tmp_path / "page.html", about, [series(*GOOD)])
    assert capsys.readouterr().out.splitlines() == [
        f"the page {tmp_path}/no/page.html cannot be written: No such file or directory",
        f"the page of the drill: {tmp_path}/page.html",
    ]
    assert "drill of ip" in (tmp_path / "page.html").read_text(encoding="utf-8")
