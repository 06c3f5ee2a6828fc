"""Silences, recovery and kept connections, judged from records made by hand."""

from __future__ import annotations

from typing import Any, List

import pytest

from recorded_run import PATIENT, STEP, Run, T
from vpc_lab.judge.availability import LONGEST
from vpc_lab.judge.disturbances import Disturbances
from vpc_lab.judge.expectations import Allowance, Expectations
from vpc_lab.judge.record import Event
from vpc_lab.judge.verdict import Judge, Verdict
from vpc_lab.traffic.question import PROTOCOLS, Failure

CRASH = Allowance("crash", 5.0)
CUT = Allowance("cut*", 2.0, throughout=True)


def expected(*allowances: Allowance, recovered_within: float = 1e6, **more: Any) -> Expectations:
    """Silences of up to a second need no reason."""
    return Expectations(allowances=allowances, recovered_within=recovered_within, **more)


def started(*arguments: Any) -> Run:
    """A run in which node1 may answer from the start."""
    return Run(*arguments).operation("start", "node1", -10, -9)


def rules(verdict: Verdict) -> List[str]:
    """The rules that were broken."""
    return sorted(verdict.broken)


# -- silences ---------------------------------------------------------------------------------------------------


def silent(begin: float, end: float) -> Run:
    """node1 answers for ten seconds, but not in this time."""
    return started().answers("node1", 0, begin).answers(None, begin, end).answers("node1", end, 10)


def test_a_short_silence_needs_no_reason() -> None:
    """It is in the table, with what it is about."""
    verdict = silent(2, 2.5).verdict(expected())
    assert verdict.passed
    longest = verdict.silences[0]
    assert (longest.consumer, longest.lost, longest.before, longest.after) == ("a", 10, "node1", "node1")
    assert longest.seconds == pytest.approx(0.5 + STEP, abs=1e-6)
    assert {silence.protocol for silence in verdict.silences} == {"tcp", "udp", "icmp"}


def test_a_long_silence_without_a_reason_is_a_violation() -> None:
    """One for each consumer and protocol, however many questions were lost in it."""
    verdict = silent(2, 4).verdict(expected())
    assert verdict.broken == {"silence": 3}
    assert "a got no answer" in verdict.violations[0].sentence
    assert verdict.violations[0].time == pytest.approx(T + 1.952)


def test_a_silence_that_never_ends_is_told_while_it_lasts() -> None:
    """Nobody has to wait for the end of the run."""
    run = started().answers("node1", 0, 2).answers(None, 2, 8, protocol="tcp")
    judge = Judge(run.header, expected())
    judge.feed(*run.in_order())
    assert [violation.protocol for violation in judge.violations] == ["tcp"]
    assert run.verdict(PATIENT).passed


def test_a_silence_is_judged_when_it_ends() -> None:
    """Where the consumer asked only at its beginning: nobody asked when it became too long."""
    run = started().answers("node1", 0, 2).answers(None, 2, 2.1).answers("node1", 5, 8)
    assert run.verdict(expected(unasked=10)).broken == {"silence": 3}


@pytest.mark.parametrize(
    ("allowance", "begin", "end", "explained"),
    [
        (CRASH, 1.9, None, True),  # five seconds from the crash
        (CRASH, 0.0, 2.5, True),  # and five from its healing
        (Allowance("crash", 1.0), 1.9, None, False),  # not all of the three seconds
        (Allowance("freeze", 9.0), 1.9, None, False),  # another fault
        (Allowance("crash", 0.0, throughout=True), 1.9, 5.0, True),
        (Allowance("crash", 0.0, throughout=True), 1.9, 2.5, False),
        (CRASH, 6.0, None, False),  # after the silence
    ],
)
def test_a_fault_explains_what_its_allowance_says(
    allowance: Allowance, begin: float, end: float, explained: bool
) -> None:
    """From its injection and from its healing on, and all the time only where that is said."""
    run = silent(2, 5).fault("crash", begin, end, node="node1")
    assert run.verdict(expected(allowance)).passed == explained


def test_a_fault_that_names_consumers_explains_nothing_to_others() -> None:
    """consumer-a is cut off: what consumer b does not get has another reason."""
    run = started(["a", "b"]).answers("node1", 0, 2).answers(None, 2, 5).answers("node1", 5, 8)
    verdict = run.fault("cut", 1.9, 5.0, one="a", other="node1").verdict(expected(CUT))
    assert {violation.consumer for violation in verdict.violations} == {"b"}


def test_a_move_explains_a_silence_up_to_its_bound() -> None:
    """From its trigger on; what is beyond is counted."""
    assert silent(2, 5).event("move", 1.9, within=4.0).verdict(expected()).passed
    assert rules(silent(2, 5).event("move", 1.9, within=1.0).verdict(expected())) == ["silence"]


def test_a_move_explains_nothing_once_the_service_is_started_on_its_target() -> None:
    """However long it might have taken; a start elsewhere, or one that a fault may have impaired, does not end it."""

    def late(node: str) -> Run:
        run = (
            started().answers("node1", 0, 2).event("move", 1.9, to="node2", within=60).operation("start", node, 2.2, 3)
        )
        return run.answers(node, 3, 5).answers(None, 5, 8).answers(node, 8, 9)

    assert rules(late("node2").verdict(expected())) == ["silence"]
    assert late("node1").verdict(expected()).passed
    assert late("node2").fault("throttled", 2.1, 2.5).verdict(expected()).passed
    assert rules(late("node2").fault("crash", 2.1, 2.5, node="node1").verdict(expected())) == ["silence"]


def test_a_fault_may_explain_less_when_it_is_healed() -> None:
    """Nothing has to happen when a node is back."""
    back = silent(2, 5).fault("crash", 0.0, 2.0, node="node1")
    assert back.verdict(expected(Allowance("crash", 5.0))).passed
    assert rules(back.verdict(expected(Allowance("crash", 4.0, healed=0.0)))) == ["silence"]


def test_what_the_cluster_has_recovered_from_explains_nothing_more() -> None:
    """A step of a soak is over when everybody is served again: the next one's silences have their own reasons."""

    def later() -> Run:
        run = started().answers("node1", 0, 20).answers(None, 20, 24).answers("node1", 24, 31)
        run.fault("crash", 2.0, 6.0, node="node1").event("move", 3.0, within=60.0)
        return run.fault("freeze", 8.0, 30.0, node="node2")

    explained = expected(Allowance("crash", 60.0, throughout=True), Allowance("freeze", 60.0, throughout=True))
    assert later().event("whole", 10.0).verdict(explained).passed  # the second fault is in force still
    explained = expected(Allowance("crash", 60.0, throughout=True))
    assert later().verdict(explained).passed
    assert rules(later().event("whole", 10.0).verdict(explained)) == ["silence"]


def test_overlapping_faults_are_not_counted_twice() -> None:
    """Two faults that explain the same second explain one second."""
    run = silent(2, 5).fault("crash", 1.9, 3.4).fault("crash", 1.9, 3.4)
    assert rules(run.verdict(expected(Allowance("crash", 0.0, throughout=True)))) == ["silence"]
    inside = silent(2, 5).fault("crash", 1.9, 4.9).fault("crash", 2.1, 2.3)
    assert inside.verdict(expected(Allowance("crash", 0.0, throughout=True))).passed


def test_a_consumer_that_asks_nothing_proves_nothing() -> None:
    """In the middle, at the end, or from the start: that is no silence of the service, and no success."""
    middle = started().answers("node1", 0, 2).answers("node1", 9, 12)
    assert rules(middle.verdict(expected())) == ["nothing asked"]
    end = started(["a", "b"]).answers("node1", 0, 2).answers("node1", 2, 12, consumer="a")
    verdict = end.verdict(expected())
    assert {violation.consumer for violation in verdict.violations} == {"b"}
    never = started(["a", "b"]).answers("node1", 0, 12, consumer="a").verdict(expected())
    assert never.broken == {"nothing asked": 3}
    assert started().answers("node1", 0, 2).answers("node1", 4, 12).verdict(expected()).passed


def test_only_the_longest_silences_are_kept() -> None:
    """The table is as long after an hour as after a minute."""
    run = started()
    for second in range(40):
        run.answers("node1", second, second + 0.5).answers(None, second + 0.5, second + 0.6 + second / 100)
    silences = run.answers("node1", 41, 42).verdict(PATIENT).silences
    assert len(silences) == LONGEST
    assert list(silences) == sorted(silences, reverse=True)


# -- recovery ---------------------------------------------------------------------------------------------------

RECOVERY = expected(Allowance("*", 1000.0, throughout=True), recovered_within=5.0)


def test_after_the_last_fault_everybody_is_answered_again() -> None:
    """Within five seconds of the healing, over every protocol."""
    run = started().answers("node1", 0, 2).fault("crash", 2, 4).answers(None, 2, 6)
    assert run.answers("node1", 6, 12).verdict(RECOVERY).passed
    one = (
        started()
        .answers("node1", 0, 2)
        .fault("crash", 2, 4)
        .answers(None, 2, 6)
        .answers("node1", 6, 12, protocol="tcp")
    )
    verdict = one.answers(None, 6, 12, protocol="udp").answers("node1", 6, 12, protocol="icmp").verdict(RECOVERY)
    assert verdict.broken == {"not recovered": 1}
    assert verdict.violations[0].protocol == "udp"


def test_a_run_without_a_fault_is_to_be_answered_too() -> None:
    """Five seconds after its beginning."""
    assert rules(started().answers(None, 0, 12).verdict(RECOVERY)) == ["not recovered", "silence"]


def test_recovery_is_due_after_the_bound_of_a_move() -> None:
    """Not after its trigger: until then it may still be moving."""
    run = started().answers("node1", 0, 2).event("move", 2, within=10).answers(None, 2, 9).answers("node1", 9, 20)
    assert run.verdict(RECOVERY).passed
    slow = started().answers("node1", 0, 2).event("move", 2, within=1).answers(None, 2, 9).answers("node1", 9, 20)
    assert "not recovered" in rules(slow.verdict(RECOVERY))


def test_what_is_long_over_explains_nothing_and_is_forgotten() -> None:
    """A soak has any number of faults."""
    disturbances = Disturbances(Run().header, [CRASH])
    for hour in range(100):
        for kind in ("fault", "healed"):
            disturbances.feed(Event(T + hour * 3600, kind, {"number": hour, "name": "crash"}))
    assert disturbances.explained("a", T + 99 * 3600, T + 100 * 3600) == 5.0
    assert disturbances.explained("a", T, T + 90 * 3600) == 0.0


def test_nothing_is_asked_of_a_lab_with_a_fault_in_force() -> None:
    """Nor before the time is over; the verdict says which faults were left."""
    verdict = started().answers("node1", 0, 4).fault("crash", 4).answers(None, 4, 30).verdict(RECOVERY)
    assert verdict.passed
    assert verdict.in_force == ("crash",)
    assert started().answers("node1", 0, 4).fault("crash", 4, 8).answers(None, 4, 12).verdict(RECOVERY).passed


def test_after_the_last_fault_one_node_answers_everybody() -> None:
    """Not one node this consumer, and the other that one."""
    run = started(["a", "b"]).operation("start", "node2", -10, -9).answers("node1", 0, 12, consumer="a")
    run.answers("node2", 0, 12, consumer="b")
    verdict = run.verdict(expected(recovered_within=5.0, grace=1e6))
    assert rules(verdict) == ["several nodes"]
    assert "node1 answers a over TCP" in verdict.violations[0].sentence


# -- streams ----------------------------------------------------------------------------------------------------


def streaming() -> Run:
    """One consumer with a connection, and questions over TCP beside it, to node1."""
    return started(["a"], ("tcp", "stream")).answers("node1", 0, 12, protocol="tcp")


def stream(run: Run, *parts: Any) -> Run:
    """Parts (begin, end, node, connection) of a stream; without a node its questions are lost."""
    for begin, end, node, connection in parts:
        run.answers(node, begin, end, protocol="stream", connection=connection)
    return run


def test_a_connection_that_is_kept_is_in_order() -> None:
    """As long as the node stays."""
    assert stream(streaming(), (0, 12, "node1", 0)).verdict(expected()).passed


@pytest.mark.parametrize(("failure", "word"), [("reset", "was reset"), ("closed", "was closed"), ("timeout", "hung")])
def test_a_connection_that_ends_where_the_node_stayed_is_a_violation(failure: Failure, word: str) -> None:
    """The service was not interrupted for anybody else."""
    run = stream(streaming(), (0, 4, "node1", 0), (4.05, 12, "node1", 1))
    verdict = run.answer(None, 4, protocol="stream", connection=0, error=failure).verdict(expected())
    (violation,) = verdict.violations
    assert violation.rule == "stream ended"
    assert word in violation.sentence


def test_a_stream_waits_for_an_answer_that_was_lost_before_it_connects_again() -> None:
    """Its silence may be longer than that of others by the timeout, and no more."""
    expectations = expected(Allowance("cut", 0.1))
    short = stream(started(["a"], ("stream",)), (0, 2, "node1", 0), (2, 3.8, None, 0), (3.85, 12, "node1", 1))
    assert short.fault("cut", 2.0).verdict(expectations).passed
    long = stream(started(["a"], ("stream",)), (0, 2, "node1", 0), (2, 4.2, None, 0), (4.25, 12, "node1", 1))
    assert rules(long.fault("cut", 2.0).verdict(expectations)) == ["silence"]


def test_a_connection_that_ends_between_two_questions_is_a_violation() -> None:
    """Its next question is asked on another one."""
    verdict = stream(streaming(), (0, 4, "node1", 0), (4, 12, "node1", 1)).verdict(expected())
    assert rules(verdict) == ["stream ended"]


def test_a_connection_ends_with_a_stop_or_a_fault() -> None:
    """The agent was stopped there and started again; or a fault in force explains it to this consumer."""
    run = stream(streaming(), (0, 4, "node1", 0), (4.05, 12, "node1", 1))
    run.answer(None, 4, protocol="stream", connection=0, error="reset")
    assert not run.verdict(expected()).passed
    assert run.fault("cut", 3.9, 4.5, one="a", other="node1").verdict(expected(CUT)).passed
    stopped = stream(streaming(), (0, 4, "node1", 0), (4.05, 12, "node1", 1))
    stopped.items = [item for item in stopped.items if not T + 3.98 < item.time < T + 4.2]
    stopped.operation("stop", "node1", 3.99, 4.0).operation("start", "node1", 4.1, 4.2)
    assert stopped.verdict(expected()).passed


def test_a_connection_is_reset_where_the_address_moved() -> None:
    """node2 knows nothing of it; the next one is to node2."""
    run = started(["a"], PROTOCOLS).answers("node1", 0, 4, connection=0).operation("stop", "node1", 4, 4.1)
    run.operation("start", "node2", 4.2, 5).event("move", 4, within=3)
    run.answers(None, 4, 5, connection=0).answers("node2", 5, 12, connection=1)
    assert run.verdict(expected()).passed


def test_a_stream_that_waits_while_others_are_answered_is_a_violation() -> None:
    """A client that keeps its connection may wait for its timeout, and then it is to reach the new node."""
    moved = started(["a"], ("tcp", "stream")).operation("stop", "node1", 4, 4.1).event("move", 4, within=100)
    moved.operation("start", "node2", 4.2, 5).answers("node1", 0, 4, connection=0)
    moved.answers(None, 4, 5, connection=0).answers("node2", 5, 12, protocol="tcp")
    short = stream(Run(), (5, 5.8, None, 0), (5.9, 12, "node2", 1)).items
    long = stream(Run(), (5, 9, None, 0), (9, 12, "node2", 1)).items
    before = list(moved.items)
    moved.items = before + short
    assert moved.verdict(expected()).passed
    moved.items = before + long
    assert moved.verdict(expected()).broken == {"stream hung": 1}
    # Nor does one hang that waits while nobody is answered: here the others were only for a moment.
    flickers = [Run().answer("node2", 5, protocol="tcp"), *(Run().answer(None, t, protocol="tcp") for t in (5.1, 8.9))]
    moved.items = [item for item in before if not T + 5 <= item.time < T + 8.95]
    moved.items += [item for run in flickers for item in run.items] + long
    assert moved.verdict(expected()).passed
