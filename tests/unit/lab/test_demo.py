"""The demo's parts that need no lab: its options, its voice, its file."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from vpc_lab.errors import LabError
from vpc_lab.judge.timeline import Moment
from vpc_lab.judge.verdict import Verdict
from vpc_lab.scenarios import demo
from vpc_lab.scenarios.catalogue import CATALOGUE
from vpc_lab.scenarios.configuration import Configuration
from vpc_lab.scenarios.demo import script, write
from vpc_lab.scenarios.figures import Failover, show
from vpc_lab.scenarios.narrator import PlainNarrator
from vpc_lab.scenarios.runner import Played
from vpc_lab.traffic.analysis import Switch, rows
from vpc_lab.traffic.question import Question

SWITCH = Switch("node1", "node2", 1000.0)
HISTORY = [
    Question("tcp", 0, 999.9, 999.95, "node1", None),
    Question("tcp", 1, 1000.4, None, None, "timeout"),
    Question("tcp", 2, 1000.5, 1000.51, "node2", None),
]
FAILOVER = Failover(
    "planned move",
    SWITCH,
    tuple(rows({"onprem": HISTORY}, SWITCH, ["tcp"])),
    0.0,
    (Moment(1000.25, "EC2", "ReplaceRoute rtb-1 by node2: ok"),),
    (),
)


def test_the_configuration_follows_the_family() -> None:
    """IPv4 unless asked otherwise; each from crm-examples/."""
    assert script().configuration.name == "overlay-ip.crm"
    assert script().address == "192.168.10.10"
    assert script(ipv6=True).configuration.name == "overlay-ipv6.crm"
    assert script(ipv6=True).address == "fd00:10::10"


def test_the_configuration_and_the_lab_follow_the_mode() -> None:
    """Each mode has its example, its address and its lab; an ENI takes its time."""
    eni = script(mode="eni", layout="same-subnet")
    assert (eni.configuration.name, eni.address) == ("eni.crm", "10.0.1.60")
    assert (eni.settings.mode, eni.settings.layout, eni.settings.fencing) == ("eni", "same-subnet", False)
    assert eni.settings.detach_seconds > 0
    assert script(mode="eni", ipv6=True).address == "2001:db8:1000:3::3c"
    private = script(mode="private-ip")
    assert (private.configuration.name, private.address) == ("private-ip.crm", "10.0.1.60")
    assert private.settings.detach_seconds == 0
    private6 = script(mode="private-ip", ipv6=True)
    assert (private6.configuration.name, private6.address) == ("private-ip-ipv6.crm", "2001:db8:1000:1::3c")


def test_a_configuration_says_what_the_lab_must_be() -> None:
    """Make-before-break lets two nodes answer; a shared VPC has another owner."""
    beside = script().configuration.parent
    assert script(configuration=beside / "make-before-break.crm").two_may_answer
    assert script(configuration=beside / "shared-vpc.crm").shared_vpc
    assert not script().two_may_answer
    assert not script().shared_vpc


def test_bad_options_are_sentences(tmp_path: Path) -> None:
    """Before a lab is built for nothing."""
    with pytest.raises(LabError, match=r"no file .*missing\.crm"):
        script(configuration=tmp_path / "missing.crm")
    with pytest.raises(LabError, match="--interval"):
        script(interval=0)


def test_the_tables_show_milliseconds_after_the_trigger() -> None:
    """Both tables, in plain text."""
    out = io.StringIO()
    show(FAILOVER, PlainNarrator(out))
    cells = [line.split() for line in out.getvalue().splitlines()]
    assert ["onprem", "TCP", "-50", "510", "560", "0", "1", "/", "3"] in cells
    assert ["250", "EC2", "ReplaceRoute", "rtb-1", "by", "node2:", "ok"] in cells


def test_what_was_never_seen_is_a_dash() -> None:
    """A consumer without any answer."""
    out = io.StringIO()
    lost = Failover("x", SWITCH, tuple(rows({"a": HISTORY[1:2]}, SWITCH, ["tcp"])), 0.0, (), ())
    show(lost, PlainNarrator(out))
    assert ["a", "TCP", "-", "-", "-", "0", "1", "/", "1"] in [line.split() for line in out.getvalue().splitlines()]


def test_the_file_is_json_and_whole(tmp_path: Path) -> None:
    """Written at once: a reader never sees half of it, and nothing else is left in the directory."""
    target = tmp_path / "demo.json"
    target.write_text("old", encoding="utf-8")
    write(target, {"failovers": [FAILOVER.to_json()]})
    (failover,) = json.loads(target.read_text(encoding="utf-8"))["failovers"]
    assert failover["rows"][0]["first_new_ms"] == 510
    assert failover["timeline"] == [{"ms": 250, "where": "EC2", "what": "ReplaceRoute rtb-1 by node2: ok"}]
    assert list(tmp_path.iterdir()) == [target]


def test_half_a_file_is_no_file(tmp_path: Path) -> None:
    """What fails on the way leaves nothing behind."""
    with pytest.raises(TypeError):
        write(tmp_path / "demo.json", {"not JSON": object()})
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    """A directory that is not there."""
    with pytest.raises(LabError, match="cannot write"):
        write(tmp_path / "no" / "demo.json", {})


@pytest.mark.parametrize("there", [True, False], ids=["written", "not written"])
def test_figures_and_verdict_are_told_also_where_the_page_cannot_be_written(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sentence comes last, and the demonstration has failed then."""
    played = Played(
        CATALOGUE.known["demonstration"], Configuration(), Verdict(audit=("node1 was fenced",)), tmp_path, 1.0
    )
    monkeypatch.setattr(demo, "perform", lambda *_: ([FAILOVER], played))
    figures, page = tmp_path / "demo.json", (tmp_path if there else tmp_path / "no") / "demo.html"
    if there:
        assert demo.run("none", json_file=figures, page_file=page) == 1
        assert "node1 was fenced" in page.read_text(encoding="utf-8")
    else:
        with pytest.raises(LabError, match="cannot write"):
            demo.run("none", json_file=figures, page_file=page)
    assert json.loads(figures.read_text(encoding="utf-8"))["passed"] is False
    assert "PROBLEM: node1 was fenced" in capsys.readouterr().out
