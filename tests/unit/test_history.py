"""The record of an action, from the agent's log to `aws-ipfailover history`."""

from __future__ import annotations

import gzip
import io
import json
import logging
import os
import re
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping

import pytest
from rich.console import Console

from aws_ipfailover.aws import service_models
from aws_ipfailover.changes import WRITES, Changes
from aws_ipfailover.cli import group
from aws_ipfailover.cli import history as shown_by
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import ParameterError, UnknownError
from aws_ipfailover.ocf.log import LONGEST_LINE, set_up_logging
from aws_ipfailover.ocf.record import Outcome, parse_record, write_record
from aws_ipfailover.state.history import Event, Write, event_of, of_resource, read, since_of

SCHEMA = Path(shown_by.__file__).parent / "schemas" / "history.json"
ENVIRON = {"OCF_RESOURCE_INSTANCE": "ip_service", "OCF_RESKEY_CRM_meta_on_node": "node1"}


def moved(tables: int = 2) -> Changes:
    """The changes of a start that wrote so many tables, one of them in vain."""
    changes = Changes()
    for number in range(tables):
        write = changes.begin(
            "ReplaceRoute",
            {
                "RouteTableId": f"rtb-{number:017x}",
                "DestinationCidrBlock": "192.0.2.1/32",
                "NetworkInterfaceId": "eni-1",
            },
        )
        assert write is not None
        if number:
            write.done()
        else:
            write.failed("ReplaceRoute: UnauthorizedOperation: not permitted")
    changes.address_added("192.0.2.1", "eth0")
    changes.came_from("eni-2")
    return changes


@pytest.fixture
def logged(tmp_path: Path) -> Any:
    """Write a record into a log file as the agent does; the file."""

    def write(changes: Changes, code: int = 0, reason: str = "", environ: Mapping[str, str] = ENVIRON) -> Path:
        path = tmp_path / "pacemaker.log"
        logger = logging.getLogger("aws_ipfailover")
        before = logger.handlers, logger.propagate, logger.level
        try:
            set_up_logging({**environ, "HA_LOGFILE": str(path)}, "aws-ipfailover")
            write_record("start", environ, Outcome(code, reason, 0.3126), "overlay-ip", ["192.0.2.1"], changes)
        finally:
            logger.handlers, logger.propagate = before[0], before[1]
            logger.setLevel(before[2])
        return path

    return write


# -- changes --------------------------------------------------------------------------------------------------------


def test_every_operation_that_writes_is_known() -> None:
    """Those of the trimmed model that are no reads; STS writes nothing."""
    (path,) = (service_models.MODELS / "ec2").glob("*/service-2.json")
    operations = json.loads(path.read_text(encoding="utf-8"))["operations"]
    assert {name for name in operations if not name.startswith(("Describe", "Search"))} == WRITES


@pytest.mark.parametrize(
    ("operation", "arguments", "expected"),
    [
        (
            "AttachNetworkInterface",
            {"NetworkInterfaceId": "eni-1", "InstanceId": "i-1", "DeviceIndex": 1},
            (("eni-1",), "i-1", ""),
        ),
        ("DetachNetworkInterface", {"AttachmentId": "eni-attach-1", "Force": True}, (("eni-attach-1",), "", "")),
        (
            "AssignPrivateIpAddresses",
            {"NetworkInterfaceId": "eni-1", "PrivateIpAddresses": ["10.0.0.1", "10.0.0.2"]},
            (("10.0.0.1", "10.0.0.2"), "eni-1", ""),
        ),
        (
            "AssociateAddress",
            {"AllocationId": "eipalloc-1", "NetworkInterfaceId": "eni-1", "PrivateIpAddress": "10.0.0.1"},
            (("eipalloc-1",), "eni-1", "10.0.0.1"),
        ),
        (
            "ModifyNetworkInterfaceAttribute",
            {"NetworkInterfaceId": "eni-1", "SourceDestCheck": {"Value": False}},
            (("eni-1",), "", ""),
        ),
        (
            "CreateRoute",
            {"RouteTableId": "rtb-1", "DestinationIpv6CidrBlock": "2001:db8::1/128", "NetworkInterfaceId": "eni-1"},
            (("rtb-1",), "eni-1", "2001:db8::1/128"),
        ),
    ],
)
def test_what_a_call_writes(operation: str, arguments: Dict[str, Any], expected: Any) -> None:
    """What is written, where it leads, and the destination; without an answer until there is one."""
    write = Changes().begin(operation, arguments)
    assert write is not None
    assert (write.of, write.to, write.destination) == expected
    assert write.result == "no answer"


def test_what_writes_nothing() -> None:
    """Reads, dry runs, and other services."""
    changes = Changes()
    assert changes.begin("DescribeRouteTables", {}) is None
    assert changes.begin("ReplaceRoute", {"DryRun": True, "RouteTableId": "rtb-1"}) is None
    assert changes.begin("AssumeRole", {"RoleArn": "x"}) is None
    assert not changes


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("ReplaceRoute: InvalidRouteTableID.NotFound: x", "InvalidRouteTableID.NotFound"),
        ("ReplaceRoute: no answer before the operation's timeout", "no answer"),
        ("ReplaceRoute", "no answer"),
    ],
)
def test_results(text: str, result: str) -> None:
    """EC2's error code; without one there was no answer."""
    write = Changes().begin("ReplaceRoute", {"RouteTableId": "rtb-1"})
    assert write is not None
    write.failed(text)
    assert write.result == result


# -- the line -------------------------------------------------------------------------------------------------------


def test_a_record_comes_back(logged: Any) -> None:
    """Through the agent's log file; writes with the same result are one entry."""
    path = logged(moved(3), 1, "it did not work")
    (event,) = read({}, 0.0, Deadline(60), [str(path)]).events
    assert abs(event.at - time.time()) < 60
    assert event._replace(at=0) == Event(
        0,
        "start",
        "ip_service",
        "node1",
        "overlay-ip",
        ("192.0.2.1",),
        1,
        0.313,
        "it did not work",
        ("eni-2",),
        (
            Write("ReplaceRoute", "UnauthorizedOperation", (f"rtb-{0:017x}",), "eni-1", "192.0.2.1/32"),
            Write("ReplaceRoute", "ok", (f"rtb-{1:017x}", f"rtb-{2:017x}"), "eni-1", "192.0.2.1/32"),
        ),
        ("192.0.2.1 eth0",),
        (),
    )


@pytest.mark.parametrize("tables", [12, 30, 500, 5000])
def test_a_record_of_many_tables(logged: Any, tables: int) -> None:
    """It stays short enough for syslog, and JSON; how many are left out is told."""
    path = logged(moved(tables))
    said = path.read_text(encoding="utf-8").partition("]: ")[2].strip()
    assert len(said) <= LONGEST_LINE
    (event,) = read({}, 0.0, Deadline(60), [str(path)]).events
    of = event.wrote[1].of
    assert len(of) > 2
    assert of[-1] == f"{tables - len(of)} more"


def test_many_kinds_of_writes(logged: Any) -> None:
    """As with one destination for each of many addresses: lists get shorter until the line fits."""
    changes = Changes()
    for table in range(40):
        for host in range(40):
            arguments = {"RouteTableId": f"rtb-{table:017x}", "DestinationCidrBlock": f"192.0.2.{host}/32"}
            changes.begin("ReplaceRoute", {**arguments, "NetworkInterfaceId": "eni-0123456789abcdef0"})
    said = logged(changes, 1, "x" * 300).read_text(encoding="utf-8").partition("]: ")[2].strip()
    assert len(said) <= LONGEST_LINE
    record = parse_record(said)
    assert record is not None
    assert record["wrote"][-1]["call"].endswith(" more")


def test_what_names_and_reasons_can_hold(logged: Any) -> None:
    """Control characters, quotes and brackets leave the line JSON, on one line."""
    path = logged(moved(), 1, 'a "quote"\n\x1b[31m {brace} \u202e ü', {**ENVIRON, "OCF_RESOURCE_INSTANCE": "ip:0"})
    assert len(path.read_text(encoding="utf-8").splitlines()) == 1
    (event,) = read({}, 0.0, Deadline(60), [str(path)]).events
    assert event.resource_id == "ip:0"
    assert "quote" in event.reason


def test_secrets_are_hidden(logged: Any) -> None:
    """As in every line of the log."""
    secret = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
    path = logged(moved(), 1, f"it said {secret}", {**ENVIRON, "AWS_SECRET_ACCESS_KEY": secret})
    text = path.read_text(encoding="utf-8")
    assert "wJalrXUt" not in text
    assert parse_record(text) is not None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "INFO: record: ",
        "INFO: record: {",
        'INFO: record: {"v":2}',
        "INFO: record: [1]",
        'WARNING: record: {"v":1}',
    ],
)
def test_what_is_no_record(line: str) -> None:
    """Other lines, and records of other versions."""
    assert parse_record(line) is None


@pytest.mark.parametrize("record", [{}, {"at": "now"}, {"at": "2026-11-29T10:00:00Z", "action": "start", "code": "x"}])
def test_a_record_of_another_shape(record: Dict[str, Any]) -> None:
    """It is left out; the others are read."""
    assert event_of(record) is None


# -- logs -----------------------------------------------------------------------------------------------------------


def test_rotated_files_and_duplicates(logged: Any, tmp_path: Path) -> None:
    """Older parts of a log are read too, also compressed ones; a line that is in two logs counts once."""
    path = logged(moved())
    first = path.read_bytes()
    (tmp_path / "pacemaker.log.1").write_bytes(first)
    older = first.replace(b'"action":"start"', b'"action":"stop"')
    with gzip.open(tmp_path / "pacemaker.log-20261128.gz", "wb") as file:
        file.write(older)
    (tmp_path / "pacemaker.logs").write_bytes(first.replace(b'"action":"start"', b'"action":"monitor"'))
    found = read({"HA_LOGFILE": str(path)}, 0.0, Deadline(60), [str(path)])
    assert sorted(event.action for event in found.events) == ["start", "stop"]
    assert len(of_resource(found, "ip_service").events) == 2
    assert of_resource(found, "other").events == ()


def test_only_what_is_newer(logged: Any) -> None:
    """What was before `--since` is left out."""
    path = logged(moved())
    assert read({}, time.time() + 60, Deadline(60), [str(path)]).events == ()


def test_a_file_that_cannot_be_read(logged: Any, tmp_path: Path) -> None:
    """It is named; the others are read all the same."""
    path = logged(moved())
    (tmp_path / "messages").mkdir()
    found = read({}, 0.0, Deadline(60), [str(path), str(tmp_path / "messages")])
    assert len(found.events) == 1
    assert [(Path(one.name).name, one.error) for one in found.sources if one.name != "journalctl"] == [
        ("pacemaker.log", ""),
        ("messages", "Is a directory"),
    ]


def journalctl(directory: Path, script: str) -> Dict[str, str]:
    """A `journalctl` first in PATH."""
    directory.mkdir()
    program = directory / "journalctl"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    return {"PATH": f"{directory}:{os.environ['PATH']}"}


def test_the_journal(logged: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for the agents' identifiers alone; what a file has as well counts once."""
    path = logged(moved())
    message = path.read_text(encoding="utf-8").partition("]: ")[2].strip()
    answer = tmp_path / "answer"
    answer.write_text(
        json.dumps({"MESSAGE": message, "SYSLOG_IDENTIFIER": "aws-ipfailover(ip_service)"})
        + '\n{"MESSAGE":[1,2]}\n{"MESSAGE":"record: no"}\nnonsense record: \n',
        encoding="utf-8",
    )
    asked = tmp_path / "asked"
    script = f"""case "$*" in *--field*) printf 'kernel\\naws-ipfailover(ip_service)\\ncrond\\n';;
*) echo "$@" > {asked}; cat {answer};; esac"""
    monkeypatch.setenv("PATH", journalctl(tmp_path / "bin", script)["PATH"])
    found = read({}, 1000.0, Deadline(60), [str(path)])
    assert len(found.events) == 1
    assert found.sources[0] == ("journalctl", "")
    arguments: List[str] = asked.read_text(encoding="utf-8").split()
    assert arguments[-2:] == ["--identifier", "aws-ipfailover(ip_service)"]
    assert "--since=@1000" in arguments


def test_a_directory_that_only_root_may_look_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pacemaker's, for anybody else: a log that cannot be looked for is not one that is not there."""
    monkeypatch.setenv("PATH", str(tmp_path))  # without journalctl
    log = tmp_path / "pacemaker.log"

    def refused(path: str) -> os.stat_result:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "stat", refused)
    with pytest.raises(UnknownError, match="Permission denied"):
        read({}, 0.0, Deadline(60), [str(log)])


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        ("Hint: You are currently not seeing messages from other users and the system.", "nothing of the system: run"),
        ("No journal files were found.", "there are no journal files"),
    ],
)
def test_a_journal_that_shows_nothing_of_the_system(
    hint: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """journalctl succeeds, with this user's own messages alone or with none: whether there is a record is not known."""
    monkeypatch.setenv("PATH", journalctl(tmp_path / "bin", f"echo '{hint}' >&2; echo bash")["PATH"])
    with pytest.raises(UnknownError, match=f"journalctl: .*{said}"):
        read({}, 0.0, Deadline(60), [])


def test_without_any_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That nothing happened is then not known."""
    monkeypatch.setenv("PATH", journalctl(tmp_path / "bin", "echo broken >&2; exit 1")["PATH"])
    with pytest.raises(UnknownError, match=r"journalctl: fails \(1\): broken"):
        read({}, 0.0, Deadline(60), [str(tmp_path / "nothing")])


@pytest.mark.parametrize(
    ("text", "since"),
    [("2h", 92_800.0), ("30min", 98_200.0), ("1d", 13_600.0), ("60", 99_940.0), ("1970-01-02T00:00:00Z", 86_400.0)],
)
def test_times(text: str, since: float) -> None:
    """A time before now, or a date."""
    assert since_of(text, 100_000.0) == since


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "d", "\u00b2d", "0001-01-01", "1e9d", "-1d"])
def test_times_that_are_wrong(text: str) -> None:
    """A sentence with examples."""
    with pytest.raises(ParameterError, match="expected 2h"):
        since_of(text, 0.0)


# -- how it is shown ------------------------------------------------------------------------------------------------


def test_the_json_fits_its_schema(logged: Any) -> None:
    """With every member in it."""
    jsonschema: Any = pytest.importorskip("jsonschema")
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    found = read({}, 0.0, Deadline(60), [str(logged(moved(), 1, "x"))])
    document = {"schema": "aws-ipfailover/history/1", **shown_by.document(found)}
    jsonschema.Draft202012Validator(schema).validate(document)
    (event,) = document["events"]
    assert (event["from"], event["to"]) == (["eni-2"], None)  # a start that failed leads nowhere


def test_from_and_to(logged: Any) -> None:
    """A start brings it here, a stop takes it away from here."""
    (event,) = read({}, 0.0, Deadline(60), [str(logged(moved()))]).events
    assert (shown_by.came_from(event), shown_by.went_to(event)) == ("eni-2", "node1")
    stopped = event._replace(action="stop", came_from=())
    assert (shown_by.came_from(stopped), shown_by.went_to(stopped)) == ("node1", "")


@pytest.mark.parametrize("width", [120, 140])
def test_a_wide_terminal(logged: Any, width: int) -> None:
    """A table in which nothing is lost."""
    found = read({}, 0.0, Deadline(60), [str(logged(moved()))])
    file = io.StringIO()
    Console(file=file, force_terminal=True, width=width, color_system=None).print(shown_by.table(found))
    assert max(map(len, file.getvalue().splitlines())) <= width
    assert "…" not in file.getvalue()


@pytest.mark.parametrize("width", [20, 80, 119])
def test_a_narrow_terminal(logged: Any, width: int) -> None:
    """Lines that fit and lose nothing: what was done and what came of it, then from where, then what was written."""
    found = read({}, 0.0, Deadline(60), [str(logged(moved(), 1, "x" * 90))])
    told = [text.plain for text in shown_by.lines(found, width)]
    assert max(map(len, told)) <= width
    together = "".join("".join(told).split())
    for cell in shown_by._cells(found.events[0])[:-1]:
        assert "".join(cell.split()) in together or cell == "-"
    assert all(line.startswith(" " * 4) for line in told[1:])


def test_a_narrow_terminal_is_read_from_the_left(logged: Any) -> None:
    """At 80 columns, an event that went well."""
    found = read({}, 0.0, Deadline(60), [str(logged(moved()))])
    first, second, *written = (text.plain for text in shown_by.lines(found, 80))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  start of ip_service in 0\.31 s: exit code 0", first)
    assert second == "    from eni-2 to node1"
    assert "    added 192.0.2.1 eth0" in written
    assert any(line.startswith("    ReplaceRoute ") for line in written)


def test_the_command(
    logged: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A line for each action; a wrong time is a wrong command line."""
    path = logged(moved())
    monkeypatch.setenv("HA_LOGFILE", str(path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert group.run(["history", "ip_service", "--since", "1h"]) == 0
    said = capsys.readouterr().out
    assert " start ip_service eni-2 node1 0.31 s 0 ReplaceRoute " in said
    assert "-> eni-1 UnauthorizedOperation" in said
    assert "added 192.0.2.1 eth0" in said
    assert group.run(["history", "--since", "soon"]) == group.USAGE


def test_the_help_fits_a_small_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """80 by 24, with an example."""
    assert group.run(["history", "--help"]) == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 24
    assert max(map(len, text.splitlines())) <= 80
    assert "Example: aws-ipfailover history" in text
