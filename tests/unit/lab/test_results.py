"""What the agent told Pacemaker, judged from records made by hand: each rule with a run that keeps it and one not."""

from __future__ import annotations

from typing import Any, List

import pytest

from recorded_run import RESOURCE, Run, T
from vpc_lab.judge.expectations import Allowance, Expectations
from vpc_lab.judge.record import TIMED_OUT, Operation
from vpc_lab.judge.verdict import Verdict

# Whatever silence there is has its reason: only what the agent said is judged.
EXPECTED = Expectations(silence=1e6, recovered_within=1e6, unasked=1e6)
ALLOWED = Expectations(silence=1e6, recovered_within=1e6, unasked=1e6, allowances=(Allowance("crash", 5.0),))


def rules(run: Run, expectations: Expectations = EXPECTED) -> List[str]:
    """The rules that a run breaks."""
    return sorted(run.verdict(expectations).broken)


def running(**operation: float) -> Run:
    """A run in which node1 has the address from the start."""
    return Run().operation("start", "node1", -10, -9, **operation)  # type: ignore[arg-type]


def result(run: Run, action: str, node: str, when: float, code: int) -> Run:
    """A monitor or probe, of which only the end is known."""
    run.items.append(Operation(T + when, node, RESOURCE, action, 9, code))
    return run


# -- starts -----------------------------------------------------------------------------------------------------


def moved(served: float, ended: float = 3.0) -> Run:
    """A move to node2, whose start ends well, and which answers from `served` on."""
    run = running().answers("node1", 0, 2).event("move", 1.9, within=60)
    run.operation("stop", "node1", 2, 2.1).operation("start", "node2", 2.2, ended)
    return run.answers(None, 2, served).answers("node2", served, 8)


@pytest.mark.parametrize("served", [2.5, 3.0, 3.3])
def test_a_start_that_has_ended_well_serves_everybody(served: float) -> None:
    """From its end on, or before; questions of the next moments may still be lost: a busy lab takes its time."""
    assert rules(moved(served)) == []


def test_a_start_that_serves_later_is_a_violation() -> None:
    """The first monitor may have mended it: a second later, far within what the move explains."""
    verdict = moved(4.0).verdict(EXPECTED)
    assert verdict.broken == {"not served": 3}
    assert "no answer from 192.168.10.10 over TCP" in verdict.violations[0].sentence
    assert "after the start on node2 had ended well" in verdict.violations[0].sentence
    assert moved(4.0).verdict(Expectations(silence=1e6, recovered_within=1e6, served_within=1.1)).passed


def test_one_consumer_that_is_not_served_is_one_too_many() -> None:
    """A start that leaves a route table out."""
    run = Run(["a", "b"]).operation("start", "node1", -10, -9).answers("node1", 0, 2).event("move", 1.9, within=60)
    run.operation("stop", "node1", 2, 2.1).operation("start", "node2", 2.2, 3)
    run.answers("node2", 3, 8, consumer="a").answers(None, 3, 8, consumer="b")
    verdict = run.verdict(EXPECTED)
    assert verdict.broken == {"not served": 3}
    assert {violation.consumer for violation in verdict.violations} == {"b"}


@pytest.mark.parametrize(
    ("about", "excused"),
    [
        ({"name": "access-denied", "action": "*Route"}, True),
        ({"name": "api-error", "caller": "node2"}, True),
        ({"name": "crash", "node": "node1"}, False),
        ({"name": "api-error", "caller": "node1"}, False),
        ({"name": "cpu-hogged", "node": "node1"}, True),
        ({"name": "route-changed", "target": "node1"}, True),
    ],
)
def test_a_fault_excuses_a_start_unless_it_happens_to_another_node(about: Any, excused: bool) -> None:
    """The crash that made another node take over is no reason for that one to leave out a table."""
    assert (rules(moved(4.0).fault(begin=1.0, **about)) == []) == excused


def test_a_start_is_not_judged_when_something_follows_it() -> None:
    """A stop, another start, a loss of power: what comes then has its own reason."""
    assert rules(moved(8.0, ended=7.0).operation("stop", "node2", 7.05, 7.2)) == []
    assert rules(moved(8.0, ended=7.0).event("power-off", 7.05, instance="node2")) == []
    assert rules(moved(8.0, ended=7.0).event("power-off", 6.95, instance="node2")) == []
    back = moved(8.0, ended=7.0).event("power-off", 1.0, instance="node2").event("power-on", 1.5, instance="node2")
    assert rules(back) == ["not served"]


@pytest.mark.parametrize(("code", "how"), [(1, "ended with 1"), (TIMED_OUT, "timed out")])
def test_a_start_that_fails_while_nothing_is_wrong_is_a_violation(code: int, how: str) -> None:
    """Nor was anything lately; where a fault is or was, or the scenario expects failures, it may fail."""

    def failed() -> Run:
        run = running().answers("node1", 0, 2).operation("stop", "node1", 2, 2.1)
        return run.operation("start", "node2", 2.2, 3, code=code).answers(None, 2, 8)

    verdict = failed().verdict(EXPECTED)
    assert verdict.broken == {"failed start": 1}
    assert verdict.violations[0].sentence == f"The start of ip_service on node2 {how}, and nothing was wrong."
    assert rules(failed().fault("throttled", 0.5, 1.0)) == []
    expects = Expectations(silence=1e6, recovered_within=1e6, unasked=1e6, fail_counts={RESOURCE: 1})
    assert rules(failed(), expects) == []


def test_a_start_from_before_the_run_is_not_judged() -> None:
    """Nobody asked then."""
    assert rules(running().answers(None, 0, 2)) == []


# -- stops ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "how"), [(1, "ended with 1"), (TIMED_OUT, "timed out")])
def test_a_stop_that_fails_is_a_violation(code: int, how: str) -> None:
    """EC2 is out of reach, which explains every silence: the node is fenced for nothing."""
    run = running().answers("node1", 0, 2).fault("unreachable", 0.5).operation("stop", "node1", 2, 8, code=code)
    allowed = Expectations(silence=1e6, recovered_within=1e6, allowances=(Allowance("*", 60.0, throughout=True),))
    verdict = run.verdict(allowed)
    assert verdict.broken == {"failed stop": 1}
    assert verdict.violations[0].sentence == f"The stop of ip_service on node1 {how}."


def test_a_stop_in_a_system_that_stood_still_may_fail() -> None:
    """Where another node stood still it may not. Too little processor time may delay it to its timeout, on any node."""

    def stopped(node: str, fault: str = "freeze", code: int = 1) -> List[str]:
        run = running().answers("node1", 0, 2).fault(fault, 1.0, 8.0, node=node)
        return rules(run.operation("stop", "node1", 2, 9, code=code))

    assert stopped("node1") == []
    assert stopped("node2") == ["failed stop"]
    assert stopped("node2", "cpu-hogged", TIMED_OUT) == []
    assert stopped("node1", "cpu-hogged") == ["failed stop"]
    assert stopped("node1", "disk-full") == ["failed stop"]


# -- how long ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["start", "stop"])
def test_an_operation_that_waits_for_nothing_is_a_violation(action: str) -> None:
    """Longer than anything takes that no fault holds up; with a fault in force it may."""

    def waiting(seconds: float) -> Run:
        return running().answers("node1", 0, 2).operation(action, "node1", 2, 2 + seconds)

    assert rules(waiting(9.0)) == []
    verdict = waiting(20.0).verdict(EXPECTED)
    assert verdict.broken == {"slow operation": 1}
    assert verdict.violations[0].sentence == (
        f"The {action} of ip_service on node1 took 20.0 s, and nothing held it up."
    )
    assert rules(waiting(20.0).fault("crash", 5, 6, node="node2")) == ["slow operation"]


def test_a_stop_does_not_wait_for_what_is_out_of_reach() -> None:
    """It may ask EC2, and goes on without an answer; a start has to have one."""

    def during(fault: str, action: str, seconds: float) -> Run:
        return running().answers("node1", 0, 2).fault(fault, 1, 60).operation(action, "node1", 2, 2 + seconds)

    assert rules(during("unreachable", "stop", 12.0)) == []
    verdict = during("unreachable", "stop", 16.0).verdict(EXPECTED)
    assert verdict.broken == {"slow operation": 1}
    assert verdict.violations[0].sentence.endswith("took 16.0 s, and a stop does not wait for what is out of reach.")
    assert rules(during("unreachable", "start", 50.0)) == []
    assert rules(during("freeze", "stop", 50.0)) == []


# -- monitors and probes ----------------------------------------------------------------------------------------


def monitored(code: int, answers: float = 9.0, action: str = "monitor") -> Run:
    """At second 4 a monitor of node1 has a result; the node answers until `answers`, and is stopped at 4.5."""
    run = result(running(), action, "node1", 4, code).answers("node1", 0, answers)
    return run.answers(None, answers, 9).operation("stop", "node1", 4.5, 4.6)


@pytest.mark.parametrize("action", ["monitor", "probe"])
@pytest.mark.parametrize("code", [1, 7, TIMED_OUT])
def test_a_failed_monitor_of_what_everybody_reaches_is_a_violation(code: int, action: str) -> None:
    """It moves a service that nothing is wrong with; a fault that interrupts nobody is no reason."""
    run = monitored(code, answers=4.6, action=action).fault("throttled", 2, 9)
    verdict = run.verdict(ALLOWED)
    assert verdict.broken == {"false alarm": 1}
    assert f"The {action} of ip_service on node1" in verdict.violations[0].sentence
    assert verdict.violations[0].sentence.endswith("although that node went on answering everybody.")


@pytest.mark.parametrize("code", [0, 190])
def test_a_monitor_that_finds_the_service_is_in_order(code: int) -> None:
    """Degraded, too."""
    assert rules(monitored(code, answers=4.6)) == []


def test_a_failed_monitor_of_what_is_gone_is_in_order() -> None:
    """Nobody is answered, or one consumer is not; or a fault lately explains it."""
    assert rules(monitored(7, answers=3.9)) == []
    one = monitored(7, answers=4.6).answer(None, 4.2, protocol="udp")
    assert rules(one) == []
    assert rules(monitored(7, answers=4.6).fault("crash", 1, 2, node="node1"), ALLOWED) == []
    assert rules(monitored(7, answers=4.6).fault("crash", 1, 2, node="node2"), ALLOWED) == ["false alarm"]


def test_who_is_answered_while_it_is_stopped_tells_that_it_was_there() -> None:
    """Pacemaker stops at once what a monitor found failed: before that nobody may have asked."""

    def failed() -> Run:
        run = result(running(), "monitor", "node1", 4, 7).operation("stop", "node1", 4.01, 4.6)
        return run.answers("node1", 0, 3.9).answers(None, 4.3, 9)

    assert rules(failed().answers("node1", 4.05, 4.3)) == ["false alarm"]
    assert rules(failed()) == []
    # Before the stop began it was gone already for one of them.
    assert rules(failed().answers("node1", 4.05, 4.3).answer(None, 4.005)) == []


def test_a_failed_monitor_that_nothing_follows_is_judged_too() -> None:
    """Soon after, or when the run is over; what is lost much later is another matter."""
    later = result(running(), "monitor", "node1", 4, 7).answers("node1", 0, 7).answers(None, 7, 9)
    assert rules(later) == ["false alarm"]
    assert rules(result(running(), "monitor", "node1", 4, 7).answers("node1", 0, 9)) == ["false alarm"]
    assert rules(result(running(), "monitor", "node1", 4, 7).answers("node1", 0, 5)) == ["false alarm"]


def test_a_probe_finds_the_service_where_it_was_started() -> None:
    """Anywhere else it is a violation: after a stop, and after the power was off; of what failed nobody can say."""

    def probed(run: Run, code: int = 0) -> List[str]:
        return rules(result(run, "probe", "node2", 5, code).answers("node1", 0, 6))

    assert probed(running()) == ["false probe"]
    assert probed(running(), code=7) == []
    assert probed(running().operation("start", "node2", -20, -19)) == []
    stopped = running().operation("start", "node2", -20, -19).operation("stop", "node2", -18, -17)
    assert probed(stopped) == ["false probe"]
    assert probed(running().operation("start", "node2", -20, -19, code=1)) == []
    assert probed(running().operation("start", "node2", -20).event("power-on", -5, instance="node2")) == ["false probe"]
    assert probed(running().fault("disk-full", 1, 2, node="node2", where="log")) == []
    assert probed(running().fault("disk-full", 1, 2, node="node2", where="run")) == ["false probe"]


# -- ENIs -------------------------------------------------------------------------------------------------------


def detached(*, force: str = "true", caller: str = "node2", outcome: str = "ok") -> Run:
    """Somebody has an ENI detached."""
    parameters = {"AttachmentId": "eni-attach-1", "Force": force}
    about = {"action": "DetachNetworkInterface", "caller": caller, "outcome": outcome, "parameters": parameters}
    return running().answers("node1", 0, 3).event("api", 2, **about)


def test_an_eni_that_is_taken_by_force_for_nothing_is_a_violation() -> None:
    """Its device index may be dead from then on. Where something is wrong it may be the only way."""
    verdict: Verdict = detached().verdict(EXPECTED)
    assert verdict.broken == {"forced detachment": 1}
    assert verdict.violations[0].sentence == "node2 had eni-attach-1 detached by force, although nothing was wrong."
    assert rules(detached(force="false")) == []
    assert rules(detached(outcome="IncorrectState")) == []
    assert rules(detached(caller="administrator")) == []
    assert rules(detached().fault("stuck-detach", 1)) == []
    assert rules(detached().fault("stuck-detach", 0, 1)) == ["forced detachment"]
    # What was asked for plainly during the fault may have got stuck for good.
    plain = {"action": "DetachNetworkInterface", "caller": "node1", "outcome": "ok"}
    asked = {**plain, "parameters": {"AttachmentId": "eni-attach-1", "Force": "false"}}
    assert rules(detached().fault("stuck-detach", 0, 1).event("api", 0.5, **asked)) == []
    assert rules(detached().fault("stuck-detach", 0, 0.2).event("api", 0.5, **asked)) == ["forced detachment"]
    off = detached(caller="node1").event("instance-state", 1, instance="node2", state="stopped")
    assert rules(off) == []
