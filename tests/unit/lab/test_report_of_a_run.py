"""The page of a run of the lab: what of record and verdict its document has, and that the agent's program reads it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List

import pytest

from aws_ipfailover.report import document as read
from recorded_run import ADDRESS, RESOURCE, Run, T
from vpc_lab.errors import LabError
from vpc_lab.judge.expectations import Expectations
from vpc_lab.judge.record import QUESTIONS, Asked, Event, Operation, Writer
from vpc_lab.judge.verdict import Verdict
from vpc_lab.report import document as written
from vpc_lab.report.document import About, Recorded
from vpc_lab.report.page import write

ABOUT = About("crash: aws-ipfailover", "Another node takes over.", notes={"Repeat": ("lab soak --seed 7",), "None": ()})


def crash() -> Run:
    """Node 1 loses its power, and node 2 takes over three seconds later."""
    run = Run(consumers=("a", "onprem"))
    run.header = replace(run.header, settings={"seed": 7, "addresses": []}, versions={"Pacemaker": "2.1.5"})
    run.operation("start", "node1", -2.0, -1.0)
    run.answers("node1", 0.0, 2.0)
    run.fault("crash", 2.0, 9.0, node="node1")
    run.event("power-off", 2.0, instance="node1", why="failed")
    for protocol in run.header.protocols:
        run.answers(None, 2.0, 5.0, protocol=protocol)
    run.event("fencing", 3.0, node="node2", action="off", target="node1", by="node2", outcome="OK")
    run.event("fencing", 3.1, node="node1", action="off", target="node1", by="node2", outcome="OK")
    run.event("move", 3.5, to="node2", within=60.0)
    run.operation("start", "node2", 4.0, 4.9)
    parameters = {"RouteTableId": "rtb-1", "DestinationCidrBlock": f"{ADDRESS}/32", "ExternalId": "sesame"}
    call = {"service": "ec2", "caller": "node2", "parameters": parameters, "duration": 0.012}
    run.event("api", 4.5, action="ReplaceRoute", outcome="ok", **call)
    run.event("api", 4.6, action="DescribeInstances", outcome="RequestLimitExceeded", **call)
    run.event("api", 4.7, action="DescribeInstances", outcome="ok", **call)
    return run.answers("node2", 5.0, 10.0)


def recorded(run: Run) -> Recorded:
    """Its record, without the questions."""
    events = [one for one in run.in_order() if isinstance(one, Event)]
    return Recorded(run.header, events, [one for one in run.in_order() if isinstance(one, Operation)])


def of(run: Run, verdict: Verdict) -> Dict[str, Any]:
    """Its document, as JSON has it."""
    found: Dict[str, Any] = json.loads(json.dumps(written.document(ABOUT, verdict, recorded(run))))
    return found


def in_row(found: Dict[str, Any], row: str, kind: str = "marks") -> List[str]:
    """The names of what is in a row."""
    return [one["name"] for one in found[kind] if one["row"] == row]


def test_the_agents_program_reads_what_the_lab_writes() -> None:
    """Every field that the lab sets arrives; neither package imports the other."""
    run = crash()
    found = of(run, run.verdict())
    document = read.parse(json.dumps(found))
    assert written.SCHEMA == read.SCHEMA
    assert (document.title, document.verdict, document.begins) == (ABOUT.title, "passed", T)
    for name in ("consumers", "spans", "marks", "judged", "problems", "notes"):
        assert len(getattr(document, name)) == len(found[name])
        for one in found[name]:
            assert set(one) <= set(vars(getattr(document, name)[0]))
    assert set(found) - {"schema"} <= set(vars(document))
    assert document.guided == "faults"


def test_faults_and_operations_are_spans() -> None:
    """A fault as it is typed; an operation with its exit code; one that its node's power ended."""
    run = crash().operation("monitor", "node2", 6.0, 6.1, 7).operation("stop", "node2", 8.0, 8.5, 1)
    run.operation("start", "node1", 1.5)
    found = of(run, run.verdict())
    assert [(one["begins"] - T, one["ends"] - T, one["name"]) for one in found["spans"] if one["row"] == "faults"] == [
        (2.0, 9.0, "crash node1")
    ]
    assert in_row(found, "node2", "spans") == [f"start of {RESOURCE}: exit code 0", f"stop of {RESOURCE}: exit code 1"]
    assert [one["wrong"] for one in found["spans"] if one["row"] == "node2"] == [False, True]
    assert in_row(found, "node1", "spans") == [f"start of {RESOURCE}, ended with the power"]
    assert f"monitor of {RESOURCE}: does not run (7)" in in_row(found, "node2")


@pytest.mark.parametrize(
    ("code", "told", "wrong", "minor"),
    [
        (0, "runs (0)", False, True),
        (8, "runs, promoted (8)", False, True),
        (190, "runs, degraded (190)", False, False),
        (191, "runs, promoted, degraded (191)", False, False),
        (7, "does not run (7)", True, False),
        (1, "fails (1)", True, False),
        (9, "fails (9)", True, False),
    ],
)
def test_what_a_monitor_found_is_told(code: int, told: str, wrong: bool, minor: bool) -> None:
    """What runs as it should is no failure, as the promoted instance of a database is none."""
    run = crash().operation("monitor", "node2", 6.0, 6.1, code)
    found = of(run, run.verdict())
    (mark,) = (one for one in found["marks"] if one["name"].startswith("monitor"))
    assert (mark["name"], mark["wrong"], mark["minor"]) == (f"monitor of {RESOURCE}: {told}", wrong, minor)


def test_an_operation_that_the_power_ended_ends_there_although_its_number_comes_again() -> None:
    """A node that was booted anew counts its operations from the beginning."""
    run = crash().operation("start", "node1", 1.5).operation("start", "node1", 8.0, 8.5)
    spans = [one for one in of(run, run.verdict())["spans"] if one["row"] == "node1"]
    assert [(one["begins"] - T, one["ends"] - T, one["name"]) for one in spans] == [
        (1.5, 2.0, f"start of {RESOURCE}, ended with the power"),
        (8.0, 8.5, f"start of {RESOURCE}: exit code 0"),
    ]


def test_a_fence_device_that_is_not_seen_to_end_is_left_out() -> None:
    """Also where its number comes again; one that ends is shown."""
    run = crash()
    for begin, code in ((6.0, None), (7.0, None), (7.5, 0)):
        run.items.append(Operation(T + begin, "node2", "fence_aws", "start", 11, code))
    spans = [one for one in of(run, run.verdict())["spans"] if "fence_aws" in one["name"]]
    assert [(one["begins"] - T, one["ends"] - T, one["name"]) for one in spans] == [
        (7.0, 7.5, "start of fence_aws: exit code 0")
    ]


def test_a_fault_that_goes_on_and_one_from_before() -> None:
    """From the beginning of the run on; one that was healed before is not there."""
    run = crash().fault("route-lag", -5.0, seconds=2.0).fault("slow", -9.0, -1.0, seconds=1.0)
    faults = [one for one in of(run, run.verdict())["spans"] if one["row"] == "faults"]
    assert [(one["name"], one["begins"] - T, one["ends"]) for one in faults if one["name"] != "crash node1"] == [
        ("route-lag 2", 0.0, None)
    ]


def test_a_fault_of_another_release_is_told_in_plain_words() -> None:
    """A record outlives the lab that made it."""
    run = crash().fault("meteor", 6.0, 7.0, size=3)
    assert "meteor size=3" in in_row(of(run, run.verdict()), "faults", "spans")


def test_calls_are_marks_and_those_that_change_nothing_are_minor() -> None:
    """A call that failed is wrong. Only ids and addresses are shown: another parameter could be a secret."""
    run = crash()
    found = of(run, run.verdict())
    calls = [(one["name"], one["wrong"], one["minor"]) for one in found["marks"] if one["row"] == "EC2"]
    where = f"rtb-1 {ADDRESS}/32 by node2"
    assert calls == [
        (f"ReplaceRoute {where}: ok in 12 ms", False, False),
        (f"DescribeInstances {where}: RequestLimitExceeded in 12 ms", True, False),
        (f"DescribeInstances {where}: ok in 12 ms", False, True),
    ]
    assert "sesame" not in json.dumps(found)


def test_fencing_is_told_once() -> None:
    """Every node's log tells of it."""
    run = crash()
    found = of(run, run.verdict())
    assert in_row(found, "fencing") == ["node1 by node2 (off): OK"]
    assert in_row(found, "moves") == ["asked for: to node2"]
    assert in_row(found, "node1") == ["power is off (failed)"]
    assert found["rows"] == ["faults", "moves", "fencing", "node1", "node2", "EC2"]


def test_what_nodes_see_of_each_other_is_told() -> None:
    """Members that are lost, quorum, and who is to be fenced."""
    run = crash()
    run.event("membership", 2.5, node="node2", of="node1", state="lost")
    run.event("quorum", 2.6, node="node2", state="lost")
    run.event("fencing-wanted", 2.7, node="node2", action="off", target="node1")
    found = of(run, run.verdict())
    assert in_row(found, "cluster") == ["node1 is lost for node2", "node2: quorum lost"]
    assert in_row(found, "fencing")[0] == "node1 is to be fenced (off)"


def test_a_failed_run_has_its_problems_where_they_were_seen() -> None:
    """Those of the audit have no time. What the judge has of silences goes along."""
    run = crash()
    verdict = replace(run.verdict(Expectations(silence=1.0)), audit=("node1 was fenced.",))
    found = of(run, verdict)
    assert found["verdict"] == "failed"
    assert found["problems"][-1] == {"text": "node1 was fenced."}
    first = next(one for one in found["problems"] if "nothing explains" in one["text"])
    assert (first["consumer"], first["address"], first["at"]) == ("a", ADDRESS, pytest.approx(T + 1.952))
    assert len(found["problems"]) == len(verdict.sentences())
    assert {one["consumer"] for one in found["judged"]} == {"a", "onprem"}
    assert written.document(replace(ABOUT, outcome="unknown"), verdict, None)["verdict"] == "unknown"


def test_configuration_seed_and_versions_are_told() -> None:
    """As plain texts."""
    run = crash()
    found = of(run, run.verdict())
    assert found["settings"] == {"seed": "7", "addresses": "none", f"addresses of {RESOURCE}": ADDRESS}
    assert found["versions"] == {"Pacemaker": "2.1.5"}
    assert found["figures"] == {"faults": "1", "moves of the address": "1"}
    assert found["notes"] == [{"heading": "Repeat", "sentences": ["lab soak --seed 7"]}]


def test_a_page_is_made_from_a_record_on_disk(tmp_path: Path) -> None:
    """By the agent's program; packed or not, and with the same content."""
    run, pages = crash(), []
    for packed in (False, True):
        place = tmp_path / str(packed)
        writer = Writer(place, run.header)
        items = run.in_order()
        writer.add(*(one for one in items if not isinstance(one, Asked)))
        for consumer in run.header.consumers:
            lines = [one.question.to_json() for one in items if isinstance(one, Asked) and one.consumer == consumer]
            (place / QUESTIONS / f"{consumer}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        if packed:
            writer.pack()
        assert write(place / "page.html", place, run.verdict(), ABOUT) == place / "page.html"
        pages.append((place / "page.html").read_text(encoding="utf-8"))
    assert pages[0] == pages[1]
    assert "<title>Passed: crash: aws-ipfailover</title>" in pages[0]
    assert '"who":["node1","node2"]' in pages[0]
    assert pages[0].count("node1 → node2") == 6


def test_a_run_without_a_record_has_a_page_with_its_reason(tmp_path: Path) -> None:
    """The lab did not come up."""
    page = write(tmp_path / "page.html", tmp_path, Verdict(audit=("the lab did not come up",)), ABOUT)
    assert "the lab did not come up" in page.read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    """A directory that is not there; a record that is none."""
    with pytest.raises(LabError, match=r"cannot write .*page\.html: No such file or directory"):
        write(tmp_path / "no" / "page.html", tmp_path, Verdict(), ABOUT)
    (tmp_path / "header.json").write_text("{}", encoding="utf-8")
    with pytest.raises(LabError, match="is no record of a run"):
        write(tmp_path / "page.html", tmp_path, Verdict(), ABOUT)
