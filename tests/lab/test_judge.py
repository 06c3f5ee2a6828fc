"""The judge of a real cluster: content with moves and power failures, and not with a world that is broken by hand."""

from __future__ import annotations

import os
import re
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, cast

import pytest

from vpc_lab import examples
from vpc_lab.faults import Crash, GracefulStop, RouteChanged
from vpc_lab.judge import verdict
from vpc_lab.judge.audits import Auditor
from vpc_lab.judge.expectations import Allowance, Expectations
from vpc_lab.judge.record import Asked, Record
from vpc_lab.judge.recording import Recording, find_resources
from vpc_lab.judge.verdict import Judge, Verdict
from vpc_lab.lab import Lab
from vpc_lab.topology import topology_for
from vpc_lab.traffic.recorder import PORT
from vpc_lab.waiting import eventually

pytestmark = pytest.mark.root

OVERLAY = str(topology_for().overlay)
# Consumers count from the beginning of the record, and their processes may take seconds to start.
CALM = Expectations(silence=1.0, recovered_within=10.0)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A cluster with the first example."""
    with Lab.running(f"test-{os.getpid()}-judge") as lab:
        lab.load((cast("Path", examples.directory()) / "overlay-ip.crm").read_text(encoding="utf-8"))
        lab.settle()
        yield lab


@dataclass
class Trial:
    """A run under judgement."""

    lab: Lab
    recording: Recording
    judge: Judge
    ended: List[Verdict]

    @property
    def holder(self) -> str:
        """Where Pacemaker has the address."""
        status = self.lab.wait_cluster("the address started", lambda now: now.where("ip_service") is not None)
        return cast("str", status.where("ip_service"))

    @property
    def standby(self) -> str:
        """The other node."""
        return next(node for node in self.lab.nodes() if node != self.holder)

    def steady(self, node: str) -> None:
        """Wait until this node has answered everybody for a while."""
        assert self.recording.measurement.wait_steady(node, time.time(), 60.0)

    def found(self) -> bool:
        """Whether the judge has found anything by now."""
        self.judge.feed(*self.recording.advance())
        return self.judge.found > 0

    @property
    def verdict(self) -> Verdict:
        """After the end."""
        return self.ended[0]

    def rules(self) -> List[str]:
        """The rules that were broken."""
        return sorted(self.verdict.broken)


@contextmanager
def judged(lab: Lab, directory: Path, expectations: Expectations = CALM) -> Iterator[Trial]:
    """Everybody asks for the length of a `with` block; then there is a verdict, and the record gives the same one."""
    with Recording.running(lab, directory, find_resources(lab, [OVERLAY])) as recording:
        trial = Trial(lab, recording, Judge(recording.header, expectations), [])
        trial.steady(trial.holder)
        yield trial
    trial.judge.feed(*recording.rest())
    trial.ended.append(trial.judge.finish())
    recording.pack()
    assert verdict.run(Record(directory), expectations).broken == trial.verdict.broken


def test_a_planned_move_is_in_order(lab: Lab, tmp_path: Path) -> None:
    """No wrong answer, no connection that hangs: it was reset, and goes on to the new node."""
    with judged(lab, tmp_path) as trial:
        old, new = trial.holder, trial.standby
        trial.recording.note("move", within=20.0)
        lab.exec(old, ["crm", "resource", "move", "ip_service", new])
        lab.settle()
        trial.steady(new)
        lab.exec(new, ["crm", "resource", "clear", "ip_service"])
    assert trial.verdict.sentences() == []
    assert trial.verdict.moves == 1
    questions = [item.question for item in Record(tmp_path).items() if isinstance(item, Asked)]
    connections = {one.node: one.connection for one in questions if one.protocol == "stream" and one.node is not None}
    assert connections[old] == 0
    assert cast("int", connections[new]) > 0


def test_a_power_failure_is_in_order_where_it_is_allowed(lab: Lab, tmp_path: Path) -> None:
    """The silence has its reason; without that it is a violation. The audit finds everything in its place."""
    auditor = Auditor(lab, [OVERLAY], find_resources(lab, [OVERLAY]))
    allowed = Expectations(allowances=(Allowance("*", 60.0),), recovered_within=10.0)
    with judged(lab, tmp_path, allowed) as trial:
        old, new = trial.holder, trial.standby
        lost = lab.inject(Crash(old))
        trial.steady(new)
        lab.wait_fenced(old)
        lost.heal()
        lab.wait_online()
        trial.steady(new)
    assert trial.verdict.sentences() == []
    assert trial.verdict.moves == 1
    assert verdict.run(Record(tmp_path), CALM).broken["silence"] > 0
    expected = Expectations(may_be_fenced=(old,), must_be_fenced=(old,))
    assert auditor.complaints(expected) == []
    assert auditor.complaints(Expectations()) == [f"{old} was fenced"]


def test_two_holders_for_a_moment_are_noticed(lab: Lab, tmp_path: Path) -> None:
    """The standby has the address for 300 ms, and one table leads there: whoever asks by that one is answered by it."""
    with judged(lab, tmp_path) as trial:
        holder, standby = trial.holder, trial.standby
        table = lab.status().route_tables[0]
        lab.exec(standby, ["ip", "address", "add", f"{OVERLAY}/32", "dev", "lo"])
        begun = time.monotonic()
        moved = lab.inject(RouteChanged(f"{OVERLAY}/32", standby, table))
        eventually("300 ms", lambda: time.monotonic() > begun + 0.3, 5, every=0.01)
        moved.heal()
        lab.exec(standby, ["ip", "address", "delete", f"{OVERLAY}/32", "dev", "lo"])
        # Long before the run is over.
        eventually("a violation", trial.found, 20)
        trial.steady(holder)
    # The second, where an earlier test had the service on the standby.
    shown = [one for one in trial.verdict.violations if one.rule in ("not started", "after stop")]
    assert shown, trial.rules()
    assert all(one.sentence.startswith(f"{standby} answered ") for one in shown)
    assert max(one.time for one in shown) - min(one.time for one in shown) < 2


def test_an_answer_in_the_name_of_a_stopped_instance_is_noticed(lab: Lab, tmp_path: Path) -> None:
    """Somebody else has the address and says that it is a node that EC2 calls stopped."""
    with judged(lab, tmp_path) as trial:
        holder, standby = trial.holder, trial.standby
        lab.inject(GracefulStop(standby, skip_os_shutdown=True))

        def stopped() -> bool:
            return [one.state for one in lab.status().instances if one.name == standby] == ["stopped"]

        eventually("the stop", stopped, 30)
        liar = ["python3", "-c", LIAR, standby, str(PORT)]
        lab.exec("consumer-b", ["ip", "address", "add", f"{OVERLAY}/32", "dev", "lo"])
        with lab.spawn("consumer-b", liar, stdin=subprocess.DEVNULL) as process:
            eventually("a violation", trial.found, 20)
            process.kill()
        lab.exec("consumer-b", ["ip", "address", "delete", f"{OVERLAY}/32", "dev", "lo"])
        # Else the cluster, which has lost the node, stops it once more when it is up.
        lab.wait_fenced(standby)
        lab.power_on(standby)
        lab.wait_online()
        trial.steady(holder)
    assert "stopped instance" in trial.rules()
    assert {one.consumer for one in trial.verdict.violations if one.rule == "stopped instance"} == {"consumer-b"}


# Answers datagrams in another's name.
LIAR = """
import socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
    here.bind(("", int(sys.argv[2])))
    while True:
        question, sender = here.recvfrom(512)
        here.sendto(b"%s %.6f %s" % (sys.argv[1].encode(), time.time(), question), sender)
"""


def test_a_connection_that_hangs_is_noticed(lab: Lab, tmp_path: Path) -> None:
    """The packets of one connection get lost, and those of all others do not."""
    with judged(lab, tmp_path) as trial:
        holder = trial.holder
        listed = lab.exec("onprem", ["ss", "-Htn", "state", "established", "dst", OVERLAY]).stdout
        port = listed.split()[2].rpartition(":")[2]
        rules = (
            "add table ip hole\n"
            "add chain ip hole out { type filter hook output priority 0; }\n"
            f"add rule ip hole out tcp sport {port} drop\n"
        )
        lab.exec("onprem", ["nft", "-f", "-"], stdin=rules)
        try:
            eventually("a violation", trial.found, 20)
        finally:
            lab.exec("onprem", ["nft", "delete", "table", "ip", "hole"])
        trial.steady(holder)
    assert trial.verdict.broken == {"stream ended": 1}
    (violation,) = trial.verdict.violations
    assert violation.sentence == (f"The connection of onprem to {OVERLAY} hung, although {holder} kept the address.")


def test_the_audit_sees_who_disagrees_with_pacemaker(lab: Lab) -> None:
    """One table that leads to the standby; a resource that has failed: until somebody has looked at it."""
    resources = find_resources(lab, [OVERLAY])
    auditor = Auditor(lab, [OVERLAY], resources)
    status = lab.wait_cluster("the address started", lambda now: now.where("ip_service") is not None)
    holder = cast("str", status.where("ip_service"))
    standby = next(node for node in lab.nodes() if node != holder)
    assert auditor.complaints() == []
    table = lab.status().route_tables[1]
    moved = lab.inject(RouteChanged(f"{OVERLAY}/32", standby, table))
    try:
        assert auditor.complaints() == [
            f"{table} leads {OVERLAY} to {standby}, and Pacemaker has it started on {holder}"
        ]
    finally:
        moved.heal()
    lab.exec(holder, ["crm_resource", "--fail", "--resource", "ip_service", "--node", holder])
    lab.settle()
    # Pacemaker counts this one once or twice: it gets to the DC as two changes of the CIB.
    (sentence,) = auditor.complaints(Expectations())
    assert re.fullmatch(rf"ip_service has a fail count of [12] on {holder}, and may have 0", sentence)
    assert auditor.complaints(Expectations(fail_counts={"ip_service": 2})) == []
    lab.forget_failures("ip_service")
    assert auditor.complaints(Expectations()) == []
