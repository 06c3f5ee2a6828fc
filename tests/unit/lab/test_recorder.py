"""A measurement on this machine: processes that end and come back, and what is read of their files."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Dict, List, Sequence

import pytest

from vpc_lab.errors import LabError
from vpc_lab.traffic import recorder
from vpc_lab.traffic.journal import Journal
from vpc_lab.traffic.question import Question
from vpc_lab.traffic.recorder import Measurement
from vpc_lab.waiting import eventually

HERE = "127.0.0.1"


class OneMachine:
    """Every instance is this machine, whose packets nobody signs; `off` names those without power."""

    def __init__(self) -> None:
        self.off: List[str] = []
        self.processes: Dict[str, subprocess.Popen[Any]] = {}

    def spawn(self, name: str, argv: Sequence[str], **popen: Any) -> subprocess.Popen[Any]:
        """A process of this machine."""
        if name in self.off:
            raise LabError(f"{name} has no power")
        self.processes[name] = subprocess.Popen([*argv[: argv.index("--ttl")]], **popen)
        return self.processes[name]

    def power_off(self, name: str) -> None:
        """Everything there ends, and nothing starts."""
        self.off.append(name)
        self.processes[name].kill()


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> OneMachine:
    """A machine with a port that nothing listens on."""
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::", 0))
        monkeypatch.setattr(recorder, "PORT", probe.getsockname()[1])
    return OneMachine()


def test_a_measurement_survives_the_end_of_a_node(lab: OneMachine) -> None:
    """The consumer goes on asking while a node is off, and the node is served again once it is back."""
    with Measurement.running(lab, ["node1"], {"a": HERE}, protocols=["tcp"]) as measurement:
        assert measurement.wait_steady("node1", 0.0, 20.0)
        lab.power_off("node1")
        off = time.time()
        lost = eventually("a lost question", lambda: [q for q in measurement.histories(off)["a"] if q.error], 10)
        # The one that was on its way when the responder ended is reset.
        assert {question.error for question in lost} <= {"refused", "reset"}
        assert not measurement.wait_steady("node1", time.time(), 0.5)
        lab.off.clear()
        back = time.time()
        assert measurement.wait_steady("node1", back, 20.0)
        assert measurement.first_answers("node1", back)["a", "tcp"] > back


def test_a_consumer_that_ended_asks_again(lab: OneMachine) -> None:
    """An instance with a consumer may lose its power, too; what it had seen before is kept."""
    with Measurement.running(lab, ["node1"], {"a": [HERE, "::1"]}, protocols=["udp"]) as measurement:
        assert measurement.wait_steady("node1", 0.0, 20.0)
        lab.power_off("a")
        lab.processes["a"].wait()
        before = len(measurement.journal("a").read())
        lab.off.clear()
        assert measurement.wait_steady("node1", time.time(), 20.0)
        assert len(measurement.journal("a").read()) > before
        assert {question.address for question in measurement.journal("a").read()} == {HERE, "::1"}


def test_what_was_seen_is_kept_where_it_is_wanted(lab: OneMachine, tmp_path: Path) -> None:
    """By default nothing is left; in a directory that is given there is a file for each consumer."""
    with Measurement.running(lab, ["node1"], {"a": HERE}, protocols=["tcp"], directory=tmp_path) as measurement:
        assert measurement.wait_steady("node1", 0.0, 20.0)
    assert os.listdir(tmp_path) == ["a.jsonl"]
    with Measurement.running(lab, ["node1"], {"a": HERE}, protocols=["tcp"]) as measurement:
        place = measurement.directory
        assert place.is_dir()
    assert not place.exists()


def test_a_taken_port_is_an_error(lab: OneMachine) -> None:
    """A responder that does not come up at the start is told at once."""
    taken = socket.create_server(("::", recorder.PORT), family=socket.AF_INET6)
    said = pytest.raises(LabError, match="the responder on node1 does not come up: responder: ")
    with taken, said, Measurement.running(lab, ["node1"], {}):
        pass


def written(path: Path, count: int) -> List[Question]:
    """A file of questions asked every 50 ms from 1000 on, each fifth line a timeout that comes late."""
    sent = [round(1000 + n * 0.05, 6) for n in range(count)]
    questions = [Question("tcp", n, when, round(when + 0.001, 6), "node1", None) for n, when in enumerate(sent)]
    lost = [Question("udp", n, 1000 + n * 0.25, None, None, "timeout") for n in range(count // 5)]
    lines = sorted([*questions, *lost], key=lambda q: q.answered or q.sent + 0.9)
    path.write_text("".join(line.to_json() + "\n" for line in lines), encoding="utf-8")
    return lines


@pytest.mark.parametrize("moment", [0.0, 1000.0, 1321.7, 1499.9, 5000.0])
def test_a_journal_is_read_from_a_moment_on(tmp_path: Path, moment: float) -> None:
    """Halving finds every line about that moment and later, and not the whole file before it."""
    lines = written(tmp_path / "a.jsonl", 10_000)
    journal = Journal(tmp_path / "a.jsonl", Question.from_json)
    journal.seek(moment - 2, lambda question: question.sent)
    found = journal.read()
    assert {q for q in found if q.sent >= moment} == {q for q in lines if q.sent >= moment}
    assert len(found) <= sum(q.sent >= moment - 2 for q in lines) + 800


def test_a_journal_goes_on_where_it_was(tmp_path: Path) -> None:
    """Half a line is left for later, a line that is none is left out, and a file that is not there is empty."""
    path = tmp_path / "a.jsonl"
    journal = Journal(path, Question.from_json)
    journal.seek(5.0, lambda question: question.sent)
    assert journal.read() == []
    first, second = written(path, 2)
    text = path.read_text(encoding="utf-8")
    path.write_text(text[:-20], encoding="utf-8")
    assert journal.read() == [first]
    path.write_text(text + "nonsense\n{}\n" + first.to_json() + "\n", encoding="utf-8")
    assert journal.read(1) == [second]
    assert journal.read() == [first]
    assert journal.read() == []
