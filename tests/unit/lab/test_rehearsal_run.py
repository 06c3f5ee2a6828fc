"""What a rehearsal makes of its verdicts: kept after each, and played again where nobody could tell."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pytest

from vpc_lab.judge.availability import UNASKED
from vpc_lab.judge.verdict import Verdict
from vpc_lab.rehearsal import rehearsal
from vpc_lab.rehearsal.rehearsal import OUTCOME, Outcome, could_not_tell, prepare, rehearse
from vpc_lab.scenarios.narrator import PlainNarrator
from vpc_lab.scenarios.runner import Played
from vpc_lab.scenarios.scenario import Scenario

FILE = (
    "primitive ip ocf:heartbeat:aws-ipfailover params ip=192.168.1.1"
    " routing_table=rtb-0123456789abcdef0,rtb-0123456789abcdef1 op monitor interval=10s"
)
GOOD = Verdict()
UNSEEN = Verdict(broken={UNASKED: 12})
WRONG = Verdict(broken={UNASKED: 12, "silence": 1})


def test_where_consumers_could_not_ask_nobody_can_tell() -> None:
    """Anything else that is wrong is wrong."""
    assert could_not_tell(UNSEEN)
    assert not any(could_not_tell(one) for one in (GOOD, WRONG, Verdict(broken={UNASKED: 1}, audit=("wrong",))))


class _Lab:
    """A lab that can keep no logs."""

    def save_logs(self, _place: Path) -> None:
        """There are none."""


class _Theatre:
    """Plays scenarios: each with the verdicts that it has left, the last one for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, verdicts: Dict[str, List[Verdict]]) -> None:
        self.labs = 0
        self.verdicts = verdicts
        monkeypatch.setattr(rehearsal, "lab_of", self._lab_of)
        monkeypatch.setattr(rehearsal, "load", lambda *_: [])
        monkeypatch.setattr(rehearsal, "live", self._live)
        monkeypatch.setattr(rehearsal, "_started", lambda *_: None)
        monkeypatch.setattr(rehearsal, "_play", self._play)
        monkeypatch.setattr(rehearsal, "with_page", lambda played, _voice: played)

    @contextlib.contextmanager
    def _lab_of(self, *_: Any) -> Iterator[Any]:
        self.labs += 1
        yield _Lab()

    @staticmethod
    def _live(*_: Any) -> Tuple[Any, str]:
        return prepare(FILE).source.configuration, ""

    def _play(self, _lab: Any, scenario: Scenario, found: Any, directory: Path, _voice: Any) -> Played:
        left = self.verdicts[scenario.name]
        verdict = left.pop(0) if len(left) > 1 else left[0]
        return Played(scenario, found.configuration, verdict, directory, 1.0)


def run(directory: Path, said: Optional[io.StringIO] = None) -> Outcome:
    """Rehearse two scenarios."""
    voice = PlainNarrator(said or io.StringIO())
    return rehearse("none", prepare(FILE), directory, voice, wanted=("planned-move", "local-address-removed"))


def test_an_outcome_that_cannot_be_kept_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a full disk; the rehearsal goes on."""
    _Theatre(monkeypatch, {"planned-move": [GOOD], "local-address-removed": [GOOD]})
    (tmp_path / OUTCOME).mkdir()
    said = io.StringIO()
    assert run(tmp_path, said).passed
    assert f"Cannot write {tmp_path / OUTCOME}" in said.getvalue()


def test_what_nobody_could_tell_is_played_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same lab; the outcome says so, and the verdict is the last one's."""
    theatre = _Theatre(monkeypatch, {"planned-move": [UNSEEN, GOOD], "local-address-removed": [GOOD]})
    outcome = run(tmp_path)
    assert outcome.passed
    assert [one.scenario.name for one in outcome.played] == ["planned-move", "local-address-removed"]
    assert theatre.labs == 1
    assert any("played again: planned-move" in note for note in outcome.to_json()["notes"])


def test_a_machine_that_stays_too_busy_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the third time it has failed, with what the judge says."""
    _Theatre(monkeypatch, {"planned-move": [UNSEEN], "local-address-removed": [GOOD]})
    outcome = run(tmp_path)
    assert not outcome.passed
    assert [one.verdict.passed for one in outcome.played] == [False, True]


def test_what_is_wrong_is_played_once_and_the_next_one_gets_a_new_lab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outcome is in the directory after each, with what was to be played."""
    theatre = _Theatre(monkeypatch, {"planned-move": [WRONG, GOOD], "local-address-removed": [GOOD]})
    outcome = run(tmp_path)
    assert not outcome.passed
    assert theatre.labs == 2
    kept = json.loads((tmp_path / OUTCOME).read_text(encoding="utf-8"))
    assert kept["planned"] == ["planned-move", "local-address-removed"]
    assert [one["passed"] for one in kept["scenarios"]] == [False, True]
