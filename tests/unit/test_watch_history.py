"""What outcomes come to: silences, phases, what changes, and whether anything was lost."""

from __future__ import annotations

from itertools import permutations
from typing import List, Optional, Sequence, Tuple
from xml.etree import ElementTree

import pytest

from aws_ipfailover.watch.changes import Changes
from aws_ipfailover.watch.history import History
from aws_ipfailover.watch.picture import Row, svg
from aws_ipfailover.watch.question import Failure, Protocol, Question
from aws_ipfailover.watch.summary import Outcome, figures, outcome_of, reasons

T = 1_000_000.0
LOST = "lost"


def asked(*who: Optional[str], protocol: Protocol = "tcp", error: Failure = "timeout") -> List[Question]:
    """A question each second, answered after 10 ms by this one; `LOST` for no answer."""
    return [
        Question(protocol, n, T + n, None, None, error)
        if name == LOST
        else Question(protocol, n, T + n, T + n + 0.01, name, None)
        for n, name in enumerate(who)
    ]


def history(questions: Sequence[Question], protocol: Protocol = "tcp") -> History:
    """The history of these outcomes, in this order."""
    found = History(protocol, 0.9)
    for question in questions:
        found.add(question)
    found.finish()
    return found


def test_a_silence_lasts_from_the_last_answer_to_the_next() -> None:
    """An upper bound: the wait for the next question is in it."""
    found = history(asked("a", "a", LOST, LOST, "b", "b"))
    (silence,) = found.silences
    assert (silence.begins, silence.ends) == (T + 1.01, T + 4.01)
    assert (silence.before, silence.after, silence.lost, silence.ended) == ("a", "b", 2, True)
    assert found.longest is silence
    assert [(one.who, one.answers) for one in found.phases] == [("a", 2), ("b", 2)]
    assert (found.asked, found.answered, found.lost, found.errors) == (6, 4, 2, {"timeout": 2})


def test_nothing_lost_is_no_silence() -> None:
    """However far answers lie apart: what was not asked is not lost, and is told by itself."""
    found = history([one for one in asked(*"aaaaaaaa") if one.sequence not in (3, 4, 5)])
    assert found.silences == []
    assert found.longest is None
    assert found.not_asked == 3
    assert found.who == {"a": 5}


def test_outcomes_count_in_the_order_of_their_questions() -> None:
    """A loss is known a timeout later than the answers after it."""
    questions = asked("a", LOST, "a", "b")
    expected = figures(history(questions))
    assert expected["longest_silence"] == 2.0
    for order in permutations(questions):
        assert figures(history(order)) == expected


def test_a_long_watch_counts_what_can_no_more_change() -> None:
    """It keeps the outcomes of some seconds, not of hours."""
    found = History("tcp", 0.9)
    for question in asked(*["a"] * 100):
        found.add(question)
    assert found.asked >= 90
    assert found.known == 100


def test_an_address_that_never_answers_is_silent_from_the_first_question_on() -> None:
    """Nothing is said about a time before."""
    found = history(asked(LOST, LOST, LOST))
    (silence,) = found.silences
    assert (silence.never_before, silence.ended, silence.seconds) == (True, False, 2.0)
    assert found.phases == []


def test_another_that_answers_without_a_silence_begins_a_phase() -> None:
    """Make before break: nothing is lost, and who answers changes."""
    found = history(asked("a", "a", "b"))
    assert [one.who for one in found.phases] == ["a", "b"]
    assert found.silences == []


def test_connections_are_counted() -> None:
    """Those that were opened; slots at which a kept connection waits are no gaps."""
    questions = [
        Question("stream", 0, T, T + 0.1, "a", None, connection=0),
        Question("stream", 5, T + 5, None, None, "reset", connection=0),
        Question("stream", 6, T + 6, T + 6.1, "b", None, connection=1),
    ]
    found = history(questions, "stream")
    assert (found.connections, found.not_asked, found.errors) == (2, 0, {"reset": 1})


@pytest.mark.parametrize(
    ("series", "allowed", "expected"),
    [
        (["aaa"], None, Outcome.ANSWERED),
        (["aa", "a-a"], None, Outcome.LOST),
        (["a-a"], 2.0, Outcome.ANSWERED),
        (["a--a"], 2.5, Outcome.LOST),
        (["---"], None, Outcome.NEVER_ANSWERED),
        (["---"], 100.0, Outcome.NEVER_ANSWERED),
        (["---", "aaa"], 100.0, Outcome.LOST),
        ([""], None, Outcome.NEVER_ANSWERED),
    ],
)
def test_there_are_three_outcomes(series: List[str], allowed: Optional[float], expected: Outcome) -> None:
    """Of an address that never answered it is not known whether anything was lost."""
    histories = [history(asked(*(LOST if one == "-" else one for one in each))) for each in series]
    assert outcome_of(histories, allowed) is expected


def test_reasons_are_told_most_frequent_first() -> None:
    """As people want to know them."""
    assert reasons({"refused": 1, "timeout": 12, "closed": 1}) == "timeout 12, closed 1, refused 1"


def told(questions: Sequence[Question]) -> List[str]:
    """The sentences without the time of day."""
    changes = Changes("tcp 22")
    return [line.split(" ", 1)[1] for line in map(changes.tell, questions) if line is not None]


@pytest.mark.parametrize(
    ("who", "sentences"),
    [
        (("a", "a"), ["tcp 22: answered by a"]),
        ((None, None), ["tcp 22: answered"]),
        (("a", LOST, LOST, "a"), [
            "tcp 22: answered by a", "tcp 22: no answer (timeout)", "tcp 22: answered again by a after 3.00 s",
        ]),
        (("a", LOST, "b"), [
            "tcp 22: answered by a",
            "tcp 22: no answer (timeout)",
            "tcp 22: answered again by b after 2.00 s (before: a)",
        ]),
        (("a", "b"), ["tcp 22: answered by a", "tcp 22: answered by b (before: a)"]),
        (("a", None, "a"), ["tcp 22: answered by a"]),
        ((LOST, LOST), ["tcp 22: no answer (timeout)"]),
    ],
)  # fmt: skip
def test_each_change_is_one_sentence(who: Tuple[Optional[str], ...], sentences: List[str]) -> None:
    """And an outcome like those before is none; a server that says nothing this time is still the same."""
    assert told(asked(*who)) == sentences


def test_a_loss_that_later_answers_have_overtaken_is_no_silence() -> None:
    """It is known after them, and counts in the summary."""
    first, lost, last = asked("a", LOST, "a")
    assert told([first, last, lost]) == ["tcp 22: answered by a"]
    changes = Changes("tcp 22")
    for question in (first, last, lost):
        changes.tell(question)
    assert (changes.asked, changes.lost, changes.silent_since) == (3, 1, None)


def texts(picture: str) -> List[str]:
    """All text of a picture, which has to be XML."""
    return [element.text or "" for element in ElementTree.fromstring(picture).iter() if element.text]


def test_the_picture_names_who_answers_and_how_long_nobody_does() -> None:
    """In words, beside colours."""
    row = Row("from onprem", history(asked("node1", "node1", LOST, "node2")))
    found = texts(svg("192.168.10.10", [row]))
    assert {"192.168.10.10", "from onprem", "node1", "node2", "no answer", "2.00 s"} <= set(found)


@pytest.mark.parametrize("questions", [[], asked("a"), asked(LOST), asked("<&\x1b\ud800\"'>")])
def test_every_picture_is_xml(questions: List[Question]) -> None:
    """Also of nothing, and of a banner that was made to break it."""
    assert "\x1b" not in svg("<title>", [Row("<row>", history(questions))])
    assert {"<title>", "<row>"} <= set(texts(svg("<title>", [Row("<row>", history(questions))])))


def test_a_long_name_leaves_the_bars_free() -> None:
    """As that of a host in somebody's DNS."""
    name = "application-server-1.service.example.com, tcp 7777"
    (shown,) = [one for one in texts(svg("t", [Row(name, history(asked("a")))])) if one.startswith("application")]
    assert len(shown) < 30
    assert shown.endswith("…")
