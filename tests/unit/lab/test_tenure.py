"""Who may answer when, judged from records made by hand: each rule with a run that keeps it and one that breaks it."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import List

import pytest

from recorded_run import ADDRESS, PATIENT, Run, T
from vpc_lab.judge.verdict import Judge, Verdict

GRACE = replace(PATIENT, grace=1.0)


def moved(stops: float = 1.0, answers: float = 2.0) -> Run:
    """node1 is stopped, node2 started, and answers from then on."""
    run = Run(["a", "b"]).operation("start", "node1", -10, -9).answers("node1", 0, stops)
    run.operation("stop", "node1", stops, stops + 0.1).answers(None, stops, answers)
    return run.operation("start", "node2", stops + 0.2, answers + 0.1).answers("node2", answers, answers + 3)


def rules(verdict: Verdict) -> List[str]:
    """The rules that were broken."""
    return sorted(verdict.broken)


def test_a_move_that_stops_before_it_starts_is_in_order() -> None:
    """One tenant after the other, and a silence between."""
    verdict = moved().verdict()
    assert verdict.passed
    assert verdict.moves == 1


@pytest.mark.parametrize("protocol", ["tcp", "udp", "icmp"])
def test_one_answer_of_the_old_node_is_a_violation(protocol: str) -> None:
    """A single one, to one consumer, over any protocol, whatever all others saw."""
    run = moved().answer("node1", 2.5, consumer="b", protocol=protocol)  # type: ignore[arg-type]
    run.items = [item for item in run.items if getattr(item, "action", None) != "stop"]
    verdict = run.verdict()
    (violation,) = verdict.violations
    assert violation.rule == "two holders"
    assert (violation.consumer, violation.protocol, violation.address) == ("b", protocol, ADDRESS)
    assert violation.sent == T + 2.5
    assert violation.stamped == (None if protocol == "icmp" else T + 2.501)
    assert "node1 answered b" in violation.sentence
    assert "after the first answer of node2" in violation.sentence


def test_stamps_decide_and_not_arrival() -> None:
    """An answer that node1 gave before node2's first, and that arrives long after it, is in order."""
    run = moved().answer("node1", 0.9, stamped=0.95, answered=2.7)
    assert run.verdict().passed
    late = moved().answer("node1", 0.9, stamped=2.7, answered=2.7)
    assert rules(late.verdict()) == ["after stop"]
    # Nor is an answer that is fed late: here the stop is told before what came before it.
    run = Run().operation("start", "node1", -10, -9).operation("stop", "node1", 1, 1.2)
    judge = Judge(run.header, PATIENT)
    judge.feed(*run.in_order(), *Run().answer("node1", 1.1, answered=2.0).items)
    assert judge.found == 0


def test_an_icmp_answer_counts_from_where_it_can_have_been_given() -> None:
    """The kernel does not stamp: what node1 answers between a ping to node2 and its reply is no violation."""
    run = Run().operation("start", "node1", -10, -9).operation("start", "node2", 0.5, 1)
    run.answer("node1", 0.1).answer("node2", 1.0, answered=1.4, protocol="icmp")
    assert run.answer("node1", 1.3).verdict().passed
    assert rules(run.answer("node1", 1.5).verdict()) == ["two holders"]


def test_make_before_break_may_overlap_for_its_grace() -> None:
    """For a second after node2's first answer both may answer, and not longer."""
    run = Run().operation("start", "node1", -10, -9).operation("migrate_from", "node2", 0.5, 1)
    run.answers("node1", 0, 2).answers("node2", 1.5, 4)
    assert run.verdict(GRACE).passed
    assert rules(run.verdict()) == ["two holders"]
    verdict = run.answer("node1", 2.6).verdict(GRACE)
    assert verdict.broken == {"two holders": 1}
    assert "may for 1000 ms" in verdict.violations[0].sentence


def test_a_node_that_is_started_again_takes_over_again() -> None:
    """There and back: each start gives a node a new tenancy."""
    run = moved().operation("stop", "node2", 5.0, 5.1).operation("start", "node1", 5.2, 5.4).answers("node1", 5.5, 8)
    verdict = run.verdict()
    assert verdict.passed
    assert verdict.moves == 2
    assert rules(run.answer("node2", 6).verdict()) == ["after stop"]


def test_a_node_answers_from_the_beginning_of_its_start() -> None:
    """The address is there before the agent is done with the rest; but not before it began."""
    run = Run().operation("start", "node1", 1.0, 5.0)
    assert run.answers("node1", 1.1, 2).verdict().passed
    assert rules(Run().operation("start", "node1", 1.0, 5.0).answer("node1", 0.5).verdict()) == ["not started"]


def test_a_node_that_never_started_the_agent_answers_nobody() -> None:
    """Whoever put the address there: it was not the cluster. Such an answer makes nobody the tenant."""
    run = Run().operation("start", "node1", -10, -9).answers("node1", 0, 4).answer("node2", 2.0, protocol="udp")
    verdict = run.verdict()
    assert [violation.rule for violation in verdict.violations] == ["not started"]
    assert verdict.moves == 0


def test_after_a_stop_that_went_well_nobody_answers() -> None:
    """Also where no other node has taken over. A stop that failed has promised nothing, and is wrong by itself."""
    run = Run().operation("start", "node1", -10, -9).answers("node1", 0, 1)
    assert rules(run.operation("stop", "node1", 1, 1.2).answer("node1", 1.3).verdict()) == ["after stop"]
    failed = Run().operation("start", "node1", -10, -9).operation("stop", "node1", 1, 1.2, code=1).answer("node1", 1.3)
    assert rules(failed.verdict()) == ["failed stop"]


def test_an_answer_of_an_instance_that_ec2_calls_stopped_is_a_violation() -> None:
    """Before that, and once it runs again, it may answer."""
    run = Run().without_resources().event("instance-state", 1.0, instance="node1", state="stopping")
    run.event("instance-state", 2.0, instance="node1", state="stopped")
    run.event("instance-state", 4.0, instance="node1", state="pending")
    assert run.answer("node1", 1.5).answer("node1", 4.5).verdict().passed
    verdict = run.answer("node1", 3.0).verdict()
    assert rules(verdict) == ["stopped instance"]
    assert "after EC2 began to call it stopped" in verdict.violations[0].sentence


def test_what_ran_before_a_power_failure_was_not_started_after_it() -> None:
    """A node that comes back answers once its cluster has started the agent there, and not before."""
    run = Run().operation("start", "node1", -10, -9).event("power-on", 5, instance="node1", why="recovered")
    assert run.answer("node1", 1).verdict().passed
    assert rules(run.answer("node1", 6).verdict()) == ["not started"]
    again = Run().operation("start", "node1", -10, -9).event("power-on", 5, instance="node1", why="recovered")
    assert again.operation("start", "node1", 7, 8).answer("node1", 7.5).verdict().passed


def test_an_answer_that_was_under_way_may_come_after_a_stop() -> None:
    """For as long as is expected, and no longer; what Pacemaker's log cuts off a millisecond is nobody's fault."""
    run = Run().operation("start", "node1", -10, -9).answers("node1", 0, 1).operation("stop", "node1", 1, 1.2)
    late = run.answer("node1", 1.19, stamped=1.23)
    assert rules(late.verdict()) == ["after stop"]
    assert late.verdict(replace(PATIENT, after_stop=0.05)).passed
    assert rules(late.verdict(replace(PATIENT, after_stop=0.02))) == ["after stop"]


def test_a_node_whose_log_is_full_may_have_been_started() -> None:
    """Its start and stop are written nowhere; but not while the other node holds the address. Later its log counts."""
    run = Run().operation("start", "node1", -10, -9).answers("node1", 0, 2).operation("stop", "node1", 2, 2.1)
    run.fault("disk-full", 1, 5, node="node2", where="log").answers("node2", 3, 4)
    assert run.verdict().passed
    assert rules(run.answer("node1", 3.5).verdict()) == ["after stop"]
    both = Run().operation("start", "node1", -10, -9).answers("node1", 0, 4).answer("node2", 3.5)
    assert rules(both.fault("disk-full", 1, 5, node="node2", where="log").verdict()) == ["not started"]
    healed = Run().operation("start", "node1", -10, -9).fault("disk-full", 1, 5, node="node1", where="log")
    healed.operation("stop", "node1", 6, 6.1).answer("node1", 7)
    assert rules(healed.verdict()) == ["after stop"]


def test_what_is_written_beside_the_log_has_no_part_in_that() -> None:
    """A full /run: starts and stops are logged as ever."""
    run = Run().operation("start", "node1", -10, -9).answers("node1", 0, 2).operation("stop", "node1", 2, 2.1)
    run.fault("disk-full", 1, 5, node="node1", where="run").answers("node1", 3, 4)
    assert rules(run.verdict()) == ["after stop"]


def test_a_node_with_a_full_log_may_take_over_from_one_without_power() -> None:
    """What was fenced holds nothing any more, though its agent was never stopped."""
    run = Run().operation("start", "node1", -10, -9).operation("start", "node2", -20, -19)
    run.operation("stop", "node2", -15, -14).answers("node1", 0, 3)
    run.fault("disk-full", 1, 9, node="node2", where="log").event(
        "power-off", 3.5, instance="node1", why="stopped by EC2"
    )
    assert run.answers("node2", 4, 6).verdict().passed


def test_an_answer_that_no_node_signed_is_a_violation() -> None:
    """Somebody else has the address."""
    assert rules(Run().answer("ttl-64", 1.0, protocol="icmp").verdict()) == ["unknown node"]


def test_without_a_resource_a_node_that_was_succeeded_does_not_come_back() -> None:
    """Nothing is known of starts: any node may take over, once."""
    run = Run().without_resources().answers("node1", 0, 1).answers("node2", 1, 2)
    assert run.verdict().passed
    assert rules(run.answer("node1", 1.5).verdict()) == ["two holders"]


def test_two_nodes_that_both_started_are_found() -> None:
    """A split brain: each has been started, and both answer."""
    run = Run(["a", "b"]).operation("start", "node1", -10, -9).operation("start", "node2", 1, 1.5)
    run.answers("node1", 0, 3, consumer="a").answers("node2", 2, 3, consumer="b")
    assert rules(run.verdict()) == ["two holders"]


@pytest.mark.parametrize("seed", range(20))
def test_one_wrong_answer_is_found_wherever_it_is(seed: int) -> None:
    """Moves there and back at random times: in order without it, and with it exactly one violation."""
    draw = random.Random(seed)
    run, now, holder = Run(["a", "b", "c"]), 0.0, "node1"
    run.operation("start", holder, -10, -9)
    wrong: List[float] = []
    for _ in range(6):
        long = draw.uniform(1, 4)
        run.answers(holder, now, now + long)
        wrong.append(now + draw.uniform(0.3, long - 0.1))
        now += long
        run.operation("stop", holder, now, now + 0.2)
        holder = "node1" if holder == "node2" else "node2"
        run.operation("start", holder, now + 0.3, now + 0.6)
        now += draw.uniform(0.6, 1)
    assert run.verdict().passed
    turn = draw.randrange(1, 6)
    run.answer("node1" if turn % 2 else "node2", wrong[turn], consumer=draw.choice("abc"), protocol="udp")
    verdict = run.verdict()
    assert sum(verdict.broken.values()) == 1
    assert verdict.violations[0].sent == T + wrong[turn]
