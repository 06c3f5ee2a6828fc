"""The page of rehearsals, and the mapping of SUSE's test cases."""

from __future__ import annotations

from typing import Any, Dict

from vpc_lab.rehearsal.cases import CASES
from vpc_lab.rehearsal.page import merged, missing, page
from vpc_lab.rehearsal.plan import refuse_unknown


def outcome(**changed: Any) -> Dict[str, Any]:
    """What `lab rehearse --json` prints, as far as the page has it."""
    found: Dict[str, Any] = {
        "passed": True,
        "tool": "crm",
        "nodes": [{"name": "one", "id": 1}, {"name": "two", "id": 2}],
        "addresses": [{"resource": "ip", "addresses": ["192.168.10.10"]}],
        "agent_under_test": ["suse:aws-vpc-move-ip"],
        "mended": ["line 3: mended"],
        "notes": [],
        "wrong": [],
        "planned": ["failure-of-the-secondary", "crash-of-a-standby"],
        "stand_ins": [{"agent": "ocf:suse:SAPHana", "resources": ["hana"], "behaviour": "replicates"}],
        "scenarios": [
            {"scenario": "failure-of-the-secondary", "passed": True, "longest_silence": 0.0, "problems": []},
            {"scenario": "crash-of-a-standby", "passed": False, "longest_silence": 4.2, "problems": ["a|b"]},
        ],
        "left_out": [
            {"scenario": "route-changed", "why": "nobody looks"},
            {"scenario": "split-brain", "why": "nobody fences"},
            {"scenario": "route-deleted", "why": "nobody looks"},
        ],
    }
    return {**found, **changed}


def test_the_page_has_every_verdict_and_every_reason() -> None:
    """A failure with its first problem; SUSE's cases with what came of them."""
    text = page({"a.crm": outcome(), "b.crm": outcome(stand_ins=[])})
    assert "## a.crm\n\nPassed. Read as crm; nodes one (1), two (2); ip: 192.168.10.10." in text
    assert "| crash-of-a-standby | 4.2 s | FAILED: a/b |" in text
    assert "- not played: route-changed, route-deleted: nobody looks\n" in text
    assert "- ipv6: it brings an IPv6 address" in text
    assert "| 7 | STOP_SECONDARY_DB_SITE_B | the database is restarted where it was" in text
    assert "| stays | failure-of-the-secondary | the stand-in ends, and its monitor finds that" in text
    assert text.count("| a.crm |") == 1
    row = next(line for line in text.splitlines() if line.startswith("| 9 |"))
    assert row.endswith("| FAILED, 4.2 s |")
    row = next(line for line in text.splitlines() if line.startswith("| 1 |"))
    assert row.endswith("| not run |")
    assert "not run yet" not in text


def test_a_rehearsal_that_was_interrupted_goes_on_with_what_is_missing() -> None:
    """The page says what was not run yet; a scenario that is played again takes the place of what it was before."""
    before = outcome(planned=["planned-move", "crash-of-a-standby", "failure-of-the-secondary"])
    assert missing(before) == ["planned-move"]
    text = page({"a.crm": before})
    assert "- not run yet: planned-move\n" in text
    assert "\nPassed as far as it was run. Read as crm" in text
    again = {"scenario": "crash-of-a-standby", "passed": True, "longest_silence": 0.1, "problems": []}
    moved = {**again, "scenario": "planned-move"}
    now = outcome(planned=["planned-move", "crash-of-a-standby"], scenarios=[moved, again], left_out=[])
    found = merged(before, now)
    assert [(one["scenario"], one["passed"]) for one in found["scenarios"]] == [
        ("planned-move", True),
        ("crash-of-a-standby", True),
        ("failure-of-the-secondary", True),
    ]
    assert found["passed"]
    assert missing(found) == []
    assert found["left_out"] == before["left_out"]
    assert not merged(now, before)["passed"]


def test_every_case_is_played_or_has_a_reason() -> None:
    """Each of the twelve, by a scenario that there is."""
    assert [one.number for one in CASES] == list(range(1, 13))
    refuse_unknown([one.scenario for one in CASES if one.scenario])
    assert all(one.remark for one in CASES)
