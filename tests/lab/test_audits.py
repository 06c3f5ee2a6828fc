"""Every audit complains when there is something to complain about."""

from __future__ import annotations

import re
from subprocess import DEVNULL
from typing import Any, List

import pytest

from vpc_lab.judge.audits import Auditor, Snapshot, complaints, orphan_processes
from vpc_lab.lab import Lab
from vpc_lab.waiting import eventually

OVERLAY = "192.168.10.10"


def test_a_clean_lab_has_no_complaints() -> None:
    """One holder, no orphans, ordinary log lines: nothing to say."""
    seen = Snapshot(
        addresses={"node1": frozenset((OVERLAY,)), "node2": frozenset()},
        orphans={"node1": (), "node2": ()},
        log={"node1": ("Nov 22 22:52:51.250 node1 pacemakerd [196] (main) notice: Starting Pacemaker 2.1.5",)},
    )
    assert complaints(seen) == []


@pytest.mark.parametrize(
    ("seen", "sentence"),
    [
        (
            Snapshot(addresses={"node1": frozenset((OVERLAY,)), "node2": frozenset((OVERLAY,))}),
            "192.168.10.10 is on node1 and node2 at the same time",
        ),
        (Snapshot(orphans={"node2": ("41 aws-ipfailover",)}), "node2 has an orphan process: 41 aws-ipfailover"),
        (Snapshot(fenced=("node1",)), "node1 was fenced"),
        (Snapshot(errors=("OSError: no",)), "the lab itself failed: OSError: no"),
        (Snapshot(log={"node1": ("crit: disk full",)}), "node1 logged bad news: crit: disk full"),
        (
            Snapshot(log={"node1": ("pacemaker-controld[99] exited unexpectedly",)}),
            "node1 logged bad news: pacemaker-controld[99] exited unexpectedly",
        ),
        (Snapshot(log={"node1": ("Traceback (most recent call last):",)}), "node1 logged bad news: Traceback"),
    ],
)
def test_each_audit_complains(seen: Snapshot, sentence: str) -> None:
    """Two holders, orphans, fencing, errors of the lab, bad news in a log: each gets its sentence."""
    found = complaints(seen)
    assert len(found) == 1
    assert found[0].startswith(sentence)


def test_expected_fencing_is_no_complaint() -> None:
    """A test that fails a node says so, and only that node may be fenced."""
    seen = Snapshot(fenced=("node1", "node2"))
    assert complaints(seen, may_be_fenced=["node1"]) == ["node2 was fenced"]


@pytest.mark.root
def test_the_auditor_sees_two_holders(network_lab: Lab) -> None:
    """With the address on both nodes of a real lab, the auditor finds both."""
    auditor = Auditor(network_lab, [OVERLAY])
    for node in network_lab.nodes():
        network_lab.exec(node, ["ip", "address", "add", f"{OVERLAY}/32", "dev", "lo"])
    try:
        assert auditor.complaints(within=0) == [f"{OVERLAY} is on node1 and node2 at the same time"]
    finally:
        for node in network_lab.nodes():
            network_lab.exec(node, ["ip", "address", "delete", f"{OVERLAY}/32", "dev", "lo"])
    assert auditor.complaints() == []


@pytest.mark.root
def test_the_auditor_sees_an_orphan(network_lab: Lab) -> None:
    """A process whose parent has ended is found, and not forgiven."""
    auditor = Auditor(network_lab, [OVERLAY])
    nowhere: Any = {"stdin": DEVNULL, "stdout": DEVNULL, "stderr": DEVNULL}
    network_lab.spawn("node1", ["setsid", "--fork", "sleep", "300"], **nowhere).wait()

    def sleeping() -> List[str]:  # a moment before, it is still called setsid
        return [one for one in orphan_processes(network_lab, "node1") if re.fullmatch(r"\d+ sleep", one)]

    found = eventually("the orphan", sleeping, 5)
    assert auditor.complaints(within=0) == [f"node1 has an orphan process: {found[0]}"]
    network_lab.exec("node1", ["kill", found[0].split(maxsplit=1)[0]])
    assert auditor.complaints() == []


@pytest.mark.root
def test_the_auditor_reads_what_was_logged_since(network_lab: Lab) -> None:
    """Bad news from before the audit began are forgotten; those from after are found."""
    log = "/var/log/pacemaker/pacemaker.log"
    network_lab.exec("node1", ["tee", "-a", log], stdin="crit: old news\n")
    auditor = Auditor(network_lab, [OVERLAY])
    network_lab.exec("node1", ["tee", "-a", log], stdin="crit: new news\n")
    assert auditor.complaints(within=0) == ["node1 logged bad news: crit: new news"]
    auditor.restart()
    assert auditor.complaints() == []


@pytest.mark.root
def test_the_auditor_sees_fencing(network_lab: Lab) -> None:
    """An instance that somebody stops through EC2's API was fenced, whoever it was."""
    auditor = Auditor(network_lab, [OVERLAY])
    network_lab.exec(
        "node2", ["fence_aws", "-o", "off", "-r", "eu-central-1", "-n", network_lab.instance_ids()["node1"]]
    )
    try:
        assert auditor.complaints(within=0) == ["node1 was fenced"]
        assert auditor.complaints(may_be_fenced=["node1"]) == []
    finally:
        network_lab.power_on("node1")
