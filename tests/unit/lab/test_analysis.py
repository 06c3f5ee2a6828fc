"""The figures of a failover, from histories written by hand."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

import pytest

from vpc_lab.traffic.analysis import Switch, overlap_ms, row, rows
from vpc_lab.traffic.question import Failure, Protocol, Question

T = 1_000_000.0  # the trigger
SWITCH = Switch("node1", "node2", T)
Answer = Tuple[float, Optional[str]]


def asked(
    sent: float,
    node: Optional[str],
    after: float = 0.001,
    error: Failure = "timeout",
    protocol: Protocol = "tcp",
) -> Question:
    """A question sent `sent` seconds after the trigger; answered by `node`, `after` seconds later, or lost."""
    if node is None:
        return Question(protocol, 0, T + sent, None, None, error)
    return Question(protocol, 0, T + sent, T + sent + after, node, None)


def every_50_ms(*phases: Tuple[float, float, Optional[str]]) -> List[Question]:
    """Phases (begin, end, who answers), asked every 50 ms."""
    return [
        asked(begin + 0.05 * step, node) for begin, end, node in phases for step in range(round((end - begin) / 0.05))
    ]


GOOD = every_50_ms((-1, 0.1, "node1"), (0.1, 2, None), (2, 5, "node2"))


def test_a_clean_failover() -> None:
    """Last of the old, first of the new, the gap between, and the questions lost in it."""
    result = row("consumer-a", "tcp", GOOD, SWITCH)
    assert result.last_old == pytest.approx(T + 0.051)
    assert result.first_new == pytest.approx(T + 2.001)
    assert result.gap_ms == pytest.approx(1950)
    assert (result.asked, result.answered, result.lost) == (120, 82, 38)
    assert result.errors == {"timeout": 38}
    assert (result.wrong, result.strangers, result.lost_for_good) == (0, (), False)
    assert result.problems() == ()


def test_the_order_of_lines_does_not_matter() -> None:
    """Outcomes are written as they become known, a timeout long after a later answer."""
    assert row("a", "tcp", reversed(GOOD), SWITCH) == row("a", "tcp", GOOD, SWITCH)


def test_other_protocols_are_not_counted() -> None:
    """One history holds three protocols; each row counts its own."""
    history = [*GOOD, asked(3, "node1", protocol="udp")]
    assert row("a", "tcp", history, SWITCH) == row("a", "tcp", GOOD, SWITCH)
    assert row("a", "udp", history, SWITCH).asked == 1


def test_an_uninterrupted_move_has_a_gap_of_one_interval() -> None:
    """The gap is an upper bound: it holds the wait for the next question."""
    result = row("a", "tcp", every_50_ms((-1, 1, "node1"), (1, 3, "node2")), SWITCH)
    assert result.gap_ms == pytest.approx(50)
    assert result.problems() == ()


def test_an_answer_of_the_old_node_after_the_new_one_is_wrong() -> None:
    """The old node still answers a question that was sent once the new one had answered."""
    history = [*GOOD, asked(2.5, "node1")]
    result = row("a", "tcp", history, SWITCH)
    assert result.wrong == 1
    assert result.gap_ms == pytest.approx(1950)
    assert any("wrong node" in problem for problem in result.problems())


def test_a_question_overtaken_on_the_way_is_not_wrong() -> None:
    """The old node's answer arrives after the new one's first, but the question was under way before that."""
    history = [*GOOD, asked(1.9, "node1", after=0.3)]
    result = row("a", "tcp", history, SWITCH)
    assert result.wrong == 0
    assert result.last_old == pytest.approx(T + 0.051)
    assert result.gap_ms == pytest.approx(1950)


def test_flapping_counts_each_return_of_the_old_node() -> None:
    """old, new, old, new, old, new: all answers of the old node after the first of the new one are wrong."""
    history = every_50_ms(
        (-1, 0, "node1"), (0, 0.5, "node2"), (0.5, 1, "node1"), (1, 1.5, "node2"), (1.5, 2, "node1"), (2, 4, "node2")
    )
    result = row("a", "tcp", history, SWITCH)
    assert result.wrong == 20
    assert not result.lost_for_good


def test_an_answer_of_the_new_node_before_the_trigger_is_wrong() -> None:
    """Two nodes held the address before anybody asked for a move; it is not taken for the first of the new, either."""
    result = row("a", "tcp", [asked(-0.5, "node2"), *GOOD], SWITCH)
    assert result.wrong == 1
    assert result.first_new == pytest.approx(T + 2.001)


@pytest.mark.parametrize("when", [-0.5, 0.5, 3.0])
def test_a_stranger_is_wrong_at_any_time(when: float) -> None:
    """An answer of a node that is neither of the two counts, and the stranger is named."""
    result = row("a", "icmp", [asked(when, "ttl-64", protocol="icmp")], SWITCH)
    assert (result.wrong, result.strangers) == (1, ("ttl-64",))
    assert "ttl-64" in " ".join(result.problems())


def test_no_answer_of_the_new_node_is_lost_for_good() -> None:
    """The old node stops, nobody follows."""
    result = row("a", "tcp", every_50_ms((-1, 0, "node1"), (0, 5, None)), SWITCH)
    assert result.lost_for_good
    assert (result.first_new, result.gap_ms) == (None, None)
    assert result.last_old == pytest.approx(T - 0.049)
    assert result.problems() == ("a over TCP: the new node never answered.",)


def test_a_final_second_without_answer_is_lost_for_good() -> None:
    """The new node answers for a while, and then no more."""
    result = row("a", "tcp", every_50_ms((-1, 0, "node1"), (0, 3, "node2"), (3, 4.2, None)), SWITCH)
    assert result.lost_for_good
    assert result.first_new == pytest.approx(T + 0.001)
    assert len(result.problems()) == 1


def test_one_answer_in_the_final_second_is_enough() -> None:
    """A lost question near the end is a lost question, not a lost service."""
    result = row("a", "tcp", every_50_ms((-1, 0, "node1"), (0, 3.5, "node2"), (3.5, 4.3, None)), SWITCH)
    assert not result.lost_for_good


def test_traffic_that_falls_back_to_the_old_node_is_lost_for_good() -> None:
    """Answers in the final second are from the old node: the address never stayed where it was sent."""
    result = row("a", "tcp", every_50_ms((-1, 0, "node1"), (0, 1, "node2"), (1, 3, "node1")), SWITCH)
    assert result.lost_for_good
    assert result.wrong == 40


def test_a_service_that_never_moved_is_lost_for_good() -> None:
    """The old node answers to the end: nothing wrong about its answers, but there was no failover."""
    result = row("a", "tcp", every_50_ms((-1, 3, "node1")), SWITCH)
    assert result.lost_for_good
    assert result.wrong == 0


def test_an_old_node_that_never_answered_is_a_problem() -> None:
    """Without an answer before, a gap cannot be measured, and the experiment proves nothing."""
    result = row("a", "tcp", every_50_ms((-1, 1, None), (1, 3, "node2")), SWITCH)
    assert result.gap_ms is None
    assert not result.lost_for_good
    assert "the old node never answered" in " ".join(result.problems())


def test_an_empty_history_is_a_problem() -> None:
    """A consumer that died asked nothing: silence is never taken for success."""
    (result,) = rows({"onprem": []}, SWITCH, ["udp"])
    assert result.lost_for_good
    assert result.problems() == ("onprem over UDP: not one question was asked.",)


def test_there_is_a_row_for_each_consumer_and_protocol() -> None:
    """Three protocols each, in the consumers' order."""
    result = rows({"b": GOOD, "a": []}, SWITCH)
    assert [(r.consumer, r.protocol) for r in result] == [(c, p) for c in ("b", "a") for p in ("tcp", "udp", "icmp")]


def test_errors_are_counted_by_kind() -> None:
    """A refused connection is told from one that timed out."""
    history = [asked(0, None, error="refused"), asked(0.1, None, error="refused"), asked(0.2, None, error="reset")]
    assert row("a", "tcp", history, SWITCH).errors == {"refused": 2, "reset": 1}


def test_overlap_is_seen_across_consumers() -> None:
    """One consumer has the new node while another still gets the old one: two nodes hold the address."""
    histories: Dict[str, List[Question]] = {
        "a": every_50_ms((-1, 0, "node1"), (0, 3, "node2")),
        "b": every_50_ms((-1, 0.5, "node1"), (0.5, 3, "node2")),
    }
    assert all(r.wrong == 0 for r in rows(histories, SWITCH, ["tcp"]))
    assert overlap_ms(histories, SWITCH) == pytest.approx(449)


def test_there_is_no_overlap_in_a_clean_failover() -> None:
    """Nor where a node is missing from the answers."""
    assert overlap_ms({"a": GOOD}, SWITCH) == 0
    assert overlap_ms({"a": every_50_ms((-1, 3, "node1"))}, SWITCH) == 0
    assert overlap_ms({"a": every_50_ms((0, 3, "node2"))}, SWITCH) == 0


def test_a_row_is_plain_values_as_json() -> None:
    """What the demo writes to its file."""
    written = row("a", "tcp", GOOD, SWITCH).to_json()
    assert written["consumer"] == "a"
    assert written["errors"] == {"timeout": 38}


WHOLE = Question("stream", 7, T, T + 0.25, "node1", None, T + 0.125, "fd00:10::10", 3)


@pytest.mark.parametrize("question", [asked(1, "node1"), asked(1, None, error="reset"), WHOLE])
def test_a_question_survives_its_line(question: Question) -> None:
    """JSON and back is the same question."""
    assert Question.from_json(question.to_json()) == question


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"protocol": "smtp"}', '{"protocol": "tcp", "seq'])
def test_a_line_that_is_no_question_is_an_error(line: str) -> None:
    """Half a line, of a consumer that was killed, is never half a question."""
    with pytest.raises((ValueError, KeyError)):
        Question.from_json(line)
