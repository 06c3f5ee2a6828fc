"""The record of a run: written, read in the order of time, and judged to the same verdict at once or bit by bit."""

from __future__ import annotations

import itertools
import json
import os
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, cast

import pytest

from recorded_run import ADDRESS, PATIENT, Run, T
from vpc_lab.errors import LabError
from vpc_lab.judge import record as record_module
from vpc_lab.judge import recording as recording_module
from vpc_lab.judge import verdict
from vpc_lab.judge.operations import Log
from vpc_lab.judge.record import TIMED_OUT, Asked, Event, Header, Item, Operation, Record, Writer
from vpc_lab.judge.recording import Recording
from vpc_lab.lab import Lab
from vpc_lab.traffic.question import Question

FILES = ("questions/a.jsonl", "questions/b.jsonl", "events.jsonl", "operations.jsonl")


def written(directory: Path, run: Run) -> Writer:
    """A record of the run as it comes to be: questions in the order in which their outcomes become known."""
    writer = Writer(directory, run.header)
    for item in run.in_order():
        if not isinstance(item, Asked):
            writer.add(item)
    questions = [item for item in run.items if isinstance(item, Asked)]
    lines = dict.fromkeys(run.header.consumers, "")
    for item in sorted(questions, key=lambda one: one.question.answered or one.question.sent + 0.9):
        lines[item.consumer] += item.question.to_json() + "\n"
    for consumer, text in lines.items():
        (directory / "questions" / f"{consumer}.jsonl").write_text(text, encoding="utf-8")
    return writer


def eventful() -> Run:
    """A move with a fault, and a wrong answer."""
    run = Run(["a", "b"]).operation("start", "node1", -10, -9).answers("node1", 0, 3).answers(None, 3, 5)
    run.fault("crash", 3, 4, node="node1").operation("stop", "node1", 3, 3.2).operation("start", "node2", 4, 4.5)
    return run.answers("node2", 5, 14).answer("node1", 7, consumer="b", stamped=7.01)


def times(items: List[Item]) -> List[float]:
    """When each of them was; JSON has microseconds."""
    return [round(item.time, 6) for item in items]


def others(items: List[Item]) -> List[Item]:
    """Those that are no questions."""
    return sorted((item for item in items if not isinstance(item, Asked)), key=repr)


def test_what_was_before_a_record_is_in_its_order_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nodes' logs tell of now when the lab first tells of all that ever was: of a node that was switched on, say.

    Read late, that would be news of a node on which the agent has been started since.
    """
    long_ago: List[Dict[str, Any]] = [
        {"time": T - 1000 + second, "kind": "power-on", "instance": "node1"} for second in range(500)
    ]
    logged = [Event(T + second, "membership", {"node": "node2", "of": "node1", "state": "lost"}) for second in (1, 30)]

    class OfALab:
        def disk(self, _: str) -> Path:
            return tmp_path

        def events(self, since: float) -> List[Dict[str, Any]]:
            return [one for one in long_ago if one["time"] >= since]

    monkeypatch.setattr(record_module, "_CHUNK", 300)
    monkeypatch.setattr(recording_module, "time", SimpleNamespace(time=lambda: T + 30))
    monkeypatch.setattr(Log, "read", lambda _: logged)
    run = Run(["a"])
    recording = Recording(cast("Lab", OfALab()), Writer(tmp_path / "record", run.header), run.header, cast("Any", None))
    found = times(recording.advance() + list(recording.rest()))
    assert len(found) >= 502
    assert found == sorted(found)


@pytest.mark.parametrize("packed", [False, True])
def test_a_record_is_read_in_the_order_of_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    """Whatever the order of the lines in its files, in pieces of any size, and also where questions are compressed."""
    monkeypatch.setattr(record_module, "_CHUNK", 300)
    run = eventful()
    writer = written(tmp_path, run)
    if packed:
        writer.pack()
        assert sorted(path.name for path in (tmp_path / "questions").iterdir()) == ["a.jsonl.gz", "b.jsonl.gz"]
    record = Record(tmp_path)
    assert record.header == run.header
    items = list(record.items())
    assert times(items) == sorted(times(run.items))
    assert others(items) == others(run.items)
    assert list(record.items()) == []


def known(line: str) -> float:
    """When a line is written."""
    value = json.loads(line)
    if "protocol" not in value:
        return float(value["time"])
    return float(value.get("answered") or value["sent"] + 0.9)


def test_a_record_that_grows_is_read_bit_by_bit(tmp_path: Path) -> None:
    """Each item once, up to the time that was asked for, and not one of them late."""
    run = eventful()
    whole = list(Record(written(tmp_path / "whole", run).directory).items())
    written(tmp_path / "part", Run(["a", "b"]))
    lines = {name: (tmp_path / "whole" / name).read_text(encoding="utf-8").splitlines(keepends=True) for name in FILES}
    reader = Record(tmp_path / "part")
    found: List[Item] = []
    for second in range(21):
        for name in FILES:
            count = sum(known(line) <= T + second for line in lines[name])
            # The beginning of the next line, too: the rest of it comes with a later second.
            text = "".join(lines[name][:count]) + "".join(lines[name][count : count + 1])[:-7]
            (tmp_path / "part" / name).write_text(text, encoding="utf-8")
        more = list(reader.until(T + second - 5))
        assert all(item.time <= T + second - 5 for item in more)
        found += more
    assert times(found) == sorted(times(found))
    assert sorted(found, key=repr) == sorted(whole, key=repr)


def test_the_verdict_on_a_record_is_that_of_the_run(tmp_path: Path) -> None:
    """Judged from the disk, it is what a judge found who was fed while it went on; and it is plain values."""
    run = eventful()
    found = verdict.run(Record(written(tmp_path, run).directory), PATIENT)
    live = verdict.Judge(run.header, PATIENT)
    for item in run.in_order():
        live.feed(item)
    assert live.found == 1
    assert live.violations == live.finish().violations
    assert not found.passed
    assert found.broken == run.verdict().broken == {"after stop": 1}
    assert (found.faults, found.moves, found.in_force) == (1, 1, ())
    assert found.counts["tcp"] == {"asked": 561, "answered": 481, "timeout": 80}
    assert "node1 answered b" in found.sentences()[0]
    assert json.loads(json.dumps(found.to_json()))["violations"][0]["rule"] == "after stop"


def test_an_audit_after_the_run_is_part_of_the_verdict() -> None:
    """Its sentences follow the violations, and one of them is enough to fail."""
    judge = verdict.Judge(Run().header, PATIENT)
    found = judge.finish(["node1 has an orphan process: 5 sleep"])
    assert not found.passed
    assert found.sentences() == ["node1 has an orphan process: 5 sleep"]


def test_of_many_violations_the_first_are_kept_and_all_are_counted() -> None:
    """A run that goes wrong for an hour has no list of an hour."""
    found = Run().answers("node1", 0, 60).verdict()
    assert found.broken == {"not started": 3600}
    assert len(found.violations) == 50
    assert found.violations[0].time < T + 1
    assert "not started: 3600 in all" in found.sentences()


def test_memory_does_not_grow_with_the_run(tmp_path: Path) -> None:
    """Four times as long a record takes no more of it."""

    def peak(seconds: int) -> int:
        run = Run().operation("start", "node1", -10, -9)
        writer = Writer(tmp_path / str(seconds), run.header)
        with (writer.directory / "questions" / "a.jsonl").open("w", encoding="utf-8") as file:
            for n in range(seconds * 20):
                sent = T + n * 0.05
                file.write(Question("udp", n, sent, sent + 0.001, "node1", None, sent, ADDRESS).to_json() + "\n")
        record = Record(writer.directory)
        tracemalloc.start()
        try:
            verdict.run(record, PATIENT)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    short = peak(200)
    assert peak(800) < short * 1.5


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"begun": 5}'])
def test_what_is_no_record_is_a_sentence(tmp_path: Path, text: str) -> None:
    """And a directory without a header is none."""
    with pytest.raises(LabError, match="is no record of a run"):
        Record(tmp_path)
    (tmp_path / "header.json").write_text(text, encoding="utf-8")
    with pytest.raises(LabError, match="is no record of a run"):
        Record(tmp_path)


def test_a_record_is_not_written_over(tmp_path: Path) -> None:
    """The one that is there may be evidence."""
    Writer(tmp_path, Run().header)
    with pytest.raises(LabError, match="cannot write a record"):
        Writer(tmp_path, Run().header)


def test_a_header_survives_its_file() -> None:
    """JSON and back is the same."""
    header = Run(["a", "b"]).header
    assert Header.from_json(header.to_json()) == header


PACE = """\
Nov 22 23:02:51.000 node2 pacemaker-fenced    [164] (finalize_op) \tnotice: Operation 'off' targeting node1 by node2 for pacemaker-controld.168@node2: OK (complete)
Nov 22 23:02:51.534 node2 pacemaker-execd     [165] (log_execute) \tinfo: executing - rsc:ip_service action:start call_id:18
Nov 22 23:02:51 aws-ipfailover(ip_service)[219]: INFO: added 192.168.10.10 to eth0
Nov 22 23:02:51.950 node2 pacemaker-execd     [165] (log_finished) \tinfo: ip_service start (call 18, PID 219) exited with status 0 (execution time 416ms)
Nov 22 23:02:53.050 node2 pacemaker-execd     [165] (log_finished) \tinfo: ip_service stop (call 20, PID 230) exited with status 1 (execution time 12ms, after being queued 3s)
"""  # noqa: E501 - as they are written


def test_operations_are_read_from_pacemaker_s_log_while_it_grows(tmp_path: Path) -> None:
    """Each line once, half a line later, with the times of the wall clock whatever the zone of the log."""
    path = tmp_path / "pacemaker.log"
    log = Log(path, "node2")
    assert log.read() == []
    first, second, agent, third, fourth = PACE.splitlines(keepends=True)
    found = []
    for text in itertools.accumulate([first + second + agent[:40], agent[40:] + third + fourth[:30], fourth[30:]]):
        path.write_text(text, encoding="utf-8")
        found.append(log.read())
    assert [len(part) for part in found] == [2, 1, 1]
    both = [one for part in found for one in part]
    operations = [one for one in both if isinstance(one, Operation)]
    assert [(one.action, one.exit_code, one.call) for one in operations] == [
        ("start", None, 18),
        ("start", 0, 18),
        ("stop", 1, 20),
    ]
    assert {(one.node, one.resource) for one in operations} == {("node2", "ip_service")}
    (event,) = [one for one in both if isinstance(one, Event)]
    assert event.about == {"node": "node2", "action": "off", "target": "node1", "by": "node2", "outcome": "OK"}
    # The lines are as old as the file says, but for half of the quarter of an hour that zones may differ by.
    assert abs(both[1].time - path.stat().st_mtime) < 460
    assert both[-1].time - both[0].time == pytest.approx(2.05)


def test_the_end_of_a_fence_device_s_operation_is_read(tmp_path: Path) -> None:
    """It is no process of the daemon's own, and has no PID."""
    says = "Nov 22 23:02:51.950 node2 pacemaker-execd     [165] (log_finished) \tinfo: fence_aws start "
    (tmp_path / "pacemaker.log").write_text(f"{says}(call 11) exited with status 1 (execution time 1.697s)\n")
    (found,) = Log(tmp_path / "pacemaker.log", "node2").read()
    assert isinstance(found, Operation)
    assert (found.resource, found.action, found.call, found.exit_code) == ("fence_aws", "start", 11, 1)


def test_results_of_monitors_and_operations_that_timed_out_are_read(tmp_path: Path) -> None:
    """Pacemaker tells of them in other words: of a monitor only what is new, of a probe always."""
    begins = "Nov 22 23:02:51.{} node2 pacemaker-controld  [168] (log_executor_event) \tnotice: Result of "
    ends = " | CIB update 18, graph action unconfirmed; call={} key=ip_service_{}"
    lines = (
        ("monitor operation for ip_service on node2: not running (10.0.0.1 is (nowhere)", 7, "monitor_7000 rc=7"),
        ("probe operation for ip_service on node2: ok", 8, "monitor_0 rc=0"),
        ("stop operation for ip_service on node2: Timed Out after 20s (no answer)", 9, "stop_0"),
        ("start operation for ip_service on node2: ok", 10, "start_0 rc=0"),
        ("monitor operation for ip_service on node2: Cancelled", 11, "monitor_5000"),
    )
    text = "".join(begins.format(100 + call) + what + ends.format(call, key) + "\n" for what, call, key in lines)
    path = tmp_path / "pacemaker.log"
    path.write_text(text, encoding="utf-8")
    found = [one for one in Log(path, "node2").read() if isinstance(one, Operation)]
    assert [(one.action, one.call, one.exit_code) for one in found] == [
        ("monitor", 7, 7),
        ("probe", 8, 0),
        ("stop", 9, TIMED_OUT),
    ]


def test_a_log_that_others_write_to_keeps_its_zone(tmp_path: Path) -> None:
    """The agent's own lines have no milliseconds: after many of them a line of Pacemaker's is older than the file."""
    path = tmp_path / "pacemaker.log"
    path.write_text(PACE, encoding="utf-8")
    log = Log(path, "node2")
    last = log.read()[-1].time
    path.write_text(PACE + PACE.splitlines(keepends=True)[-1], encoding="utf-8")
    os.utime(path, (last + 3600, last + 3600))
    assert [one.time for one in log.read()] == [last]


def test_a_link_in_the_place_of_a_log_is_not_followed(tmp_path: Path) -> None:
    """It would lead to a file of the machine's."""
    (tmp_path / "elsewhere").write_text(PACE, encoding="utf-8")
    (tmp_path / "pacemaker.log").symlink_to(tmp_path / "elsewhere")
    assert Log(tmp_path / "pacemaker.log", "node2").read() == []


def test_what_a_node_sees_of_the_others_is_read(tmp_path: Path) -> None:
    """From the controller alone, where every daemon of Pacemaker says the same."""
    begins = "Nov 22 23:02:51.{} node2 pacemaker-{}  [168] (x) \tnotice: {}\n"
    lines = (
        ("controld", "Node node1 state is now lost | nodeid=1 previous=member source=pcmk__reap_unseen_nodes"),
        ("attrd", "Node node1 state is now lost | nodeid=1 previous=member source=crm_update_peer_proc"),
        ("fenced", "Requesting peer fencing (off) targeting node1 | id=9fee241a state=querying base_timeout=120"),
        ("controld", "Quorum lost | membership=13 members=1"),
        ("controld", "Quorum retained | membership=13 members=1"),
    )
    text = "".join(begins.format(100 + number, who, what) for number, (who, what) in enumerate(lines))
    path = tmp_path / "pacemaker.log"
    path.write_text(text, encoding="utf-8")
    assert [(one.kind, one.about) for one in Log(path, "node2").read() if isinstance(one, Event)] == [
        ("membership", {"node": "node2", "of": "node1", "state": "lost"}),
        ("fencing-wanted", {"node": "node2", "action": "off", "target": "node1"}),
        ("quorum", {"node": "node2", "state": "lost"}),
    ]


def test_a_record_that_is_over_tells_what_was_no_question(tmp_path: Path) -> None:
    """Whatever has been read of it; and where the questions are, packed or not."""
    run = Run(["a"]).answers("node1", 0.0, 1.0).operation("stop", "node1", 0.2, 0.4).event("power-off", 0.5)
    writer = written(tmp_path, run)
    record = Record(tmp_path)
    list(record.items())
    assert [one.exit_code for one in record.operations()] == [None, 0]
    assert [one.kind for one in record.events()] == ["power-off"]
    assert record.questions("a").name == "a.jsonl"
    writer.pack()
    assert record.questions("a").name == "a.jsonl.gz"
    assert record_module.has_record(tmp_path)
    assert not record_module.has_record(tmp_path / "questions")
