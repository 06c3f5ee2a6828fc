"""Every audit complains when there is something to complain about."""

from __future__ import annotations

import re
from dataclasses import replace
from subprocess import DEVNULL
from typing import Any, Dict, List

import pytest

from vpc_lab.judge import audits
from vpc_lab.judge.audits import (
    BAD_NEWS,
    STRICT,
    Auditor,
    Holding,
    Process,
    Snapshot,
    complaints,
    leads_to,
    orphan_processes,
)
from vpc_lab.judge.expectations import Excuse, Expectations
from vpc_lab.lab import Lab
from vpc_lab.status import ServiceStatus, Status
from vpc_lab.waiting import eventually

OVERLAY = "192.168.10.10"


STARTED = Holding(frozenset(("node1",)), "node1", known=True, leads_to={"rtb-a": "node1", "rtb-b": "node1"})


def in_order_but(**about: Any) -> Snapshot:
    """The overlay address as it should be, but for this."""
    return Snapshot(holdings={OVERLAY: replace(STARTED, **about)})


def test_a_clean_lab_has_no_complaints() -> None:
    """One holder that everybody agrees about, no orphans, ordinary log lines: nothing to say."""
    seen = Snapshot(
        holdings={OVERLAY: STARTED, "10.0.1.60": Holding(frozenset(("node2",)))},
        orphans={"node1": (), "node2": ()},
        log={"node1": ()},
        processes=(Process(24, 6), Process(30, 8)),
    )
    assert complaints(seen) == []
    # Nor a stopped service, wherever the routes still lead.
    stopped = Holding(frozenset(), None, known=True, leads_to={"rtb-a": "node1"})
    assert complaints(Snapshot(holdings={OVERLAY: stopped})) == []


@pytest.mark.parametrize(
    ("seen", "sentence"),
    [
        (in_order_but(devices=frozenset(("node1", "node2"))), f"{OVERLAY} is on node1 and node2 at the same time"),
        (in_order_but(devices=frozenset()), f"{OVERLAY} is on no node, and Pacemaker has it started on node1"),
        (in_order_but(devices=frozenset(("node2",))), f"{OVERLAY} is on node2, and Pacemaker has it started on node1"),
        (in_order_but(started=None), f"{OVERLAY} is on node1, and Pacemaker has it started nowhere"),
        (
            in_order_but(leads_to={"rtb-a": "node1", "rtb-b": "node2"}),
            f"rtb-b leads {OVERLAY} to node2, and Pacemaker has it started on node1",
        ),
        (
            in_order_but(leads_to={"the Elastic IP": "node2"}),
            f"the Elastic IP leads {OVERLAY} to node2, and Pacemaker has it started on node1",
        ),
        (in_order_but(leads_to={}), f"nothing in EC2 leads {OVERLAY} to node1"),
        (
            Snapshot(holdings={OVERLAY: replace(STARTED, unrouted=("rtb-c",))}),
            f"rtb-c has no route for {OVERLAY} any more, and Pacemaker has it started on node1",
        ),
        (Snapshot(leftovers={"node2": ("the rule 9 to table 5",)}), "node2 has what nothing on it needs: the rule 9"),
        (Snapshot(orphans={"node2": ("41 aws-ipfailover",)}), "node2 has an orphan process: 41 aws-ipfailover"),
        (Snapshot(temporary={"node1": ("/run/x",)}), "node1 has a temporary file that nobody removed: /run/x"),
        (Snapshot(records={"node1": 7, "node2": 6}), "node1 has 7 records in /run/resource-agents, and 1 services"),
        (Snapshot(fail_counts={("ip", "node1"): "1"}), "ip has a fail count of 1 on node1, and may have 0"),
        (Snapshot(fail_counts={("ip", "node1"): "INFINITY"}), "ip has a fail count of INFINITY on node1"),
        (Snapshot(cluster_known=False), "no node can tell how the cluster is"),
        (Snapshot(fenced=("node1",)), "node1 was fenced"),
        (Snapshot(errors=("OSError: no",)), "the lab itself failed: OSError: no"),
        (Snapshot(log={"node1": ("crit: disk full",)}), "node1 logged bad news: crit: disk full"),
        (Snapshot(processes=(Process(24, 6), Process(90, 6))), "the supervisor has 90 open files, and had 24"),
        (Snapshot(processes=(Process(24, 6), Process(24, 40))), "the supervisor has 40 threads, and had 6"),
    ],
)
def test_each_audit_complains(seen: Snapshot, sentence: str) -> None:
    """Whatever is wrong gets its sentence, and one alone."""
    found = complaints(seen)
    assert len(found) == 1
    assert found[0].startswith(sentence)


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        ("Nov 22 22:52:51.250 node1 pacemakerd [196] (main) notice: Starting Pacemaker 2.1.5", False),
        ("crit: disk full", True),
        ("pacemaker-controld[99] exited unexpectedly", True),
        ("Traceback (most recent call last):", True),
    ],
)
def test_bad_news_are_known_by_their_words(line: str, bad: bool) -> None:
    """What every start writes is none."""
    assert bool(BAD_NEWS.search(line)) == bad


ENI = ServiceStatus((OVERLAY,), "node1", network_interface_id="eni-1")


@pytest.mark.parametrize(
    ("service", "found"),
    [
        (ServiceStatus(), {"rtb-a": "node1"}),
        (ENI, {"rtb-a": "node1", "the attachment of the ENI": "node1"}),
        (replace(ENI, holder=None), {"rtb-a": "node1"}),
        (replace(ENI, addresses=("10.0.1.60",)), {"rtb-a": "node1"}),
        (ServiceStatus((OVERLAY,), "node2", allocation_id="eipalloc-1"), {"rtb-a": "node1", "the Elastic IP": "node2"}),
        (ServiceStatus((OVERLAY,), "node2"), {"rtb-a": "node1", "the private address": "node2"}),
    ],
)
def test_who_has_an_address_is_told_by_all_that_can_lead_there(service: ServiceStatus, found: Dict[str, str]) -> None:
    """Route tables that have a route to it, and what moves in the lab's mode, each by its name."""
    names = dict.fromkeys(("name", "region", "mode", "layout", "overlay", "overlay_ipv6"), "")
    several = (
        "instances",
        "route_tables",
        "every_route_table",
        "routes_under_way",
        "cuts",
        "places",
        "zones",
        "faults",
        "errors",
    )
    nothing: Any = {**names, **dict.fromkeys(several, ()), "network_interfaces": {}, "route_lag": 0.0}
    routes = {OVERLAY: {"rtb-a": "node1", "rtb-b": None}}
    assert leads_to(Status(**nothing, routes=routes, service=service), OVERLAY) == found


def test_a_further_private_address_leads_to_who_has_it() -> None:
    """One that the lab was not made for, such as a second one of a configuration of somebody's."""
    empty: Any = dict.fromkeys(Status.__dataclass_fields__, ())
    status = replace(Status(**empty), routes={}, service=ServiceStatus(), secondary_addresses={"10.0.1.77": "node2"})
    assert leads_to(status, "10.0.1.77") == {"the private address": "node2"}
    assert leads_to(status, "10.0.1.78") == {}


def test_what_is_expected_is_no_complaint() -> None:
    """A scenario says who may be fenced, and how often a resource may fail; no other node, and no more often."""
    seen = Snapshot(fenced=("node1", "node2"), fail_counts={("ip", "node1"): "2"})
    expected = Expectations(may_be_fenced=("node1",), fail_counts={"ip": 2})
    assert complaints(seen, expected) == ["node2 was fenced"]
    assert complaints(seen, replace(expected, fail_counts={"ip": 1}, may_be_fenced=("node1", "node2"))) == [
        "ip has a fail count of 2 on node1, and may have 1"
    ]
    assert complaints(seen, Expectations(may_be_fenced=("node1", "node2"), fail_counts=None)) == []


def test_a_fencing_that_was_missing_is_a_complaint() -> None:
    """Once the run is over."""
    expected = Expectations(may_be_fenced=("node1",), must_be_fenced=("node1",))
    assert complaints(Snapshot(), expected) == ["node1 was not fenced"]
    assert complaints(Snapshot(), expected, over=False) == []
    assert complaints(Snapshot(fenced=("node1",)), expected) == []


def test_an_excuse_excuses_its_lines_and_no_others() -> None:
    """And where there was none of them, it is one too many: the scenario says what does not happen."""
    excuses = Expectations(excuses=(Excuse("the disk is full", "No space left"),))
    full, other = "crit: No space left on device", "crit: something else"
    assert complaints(Snapshot(log={"node1": (full,)}), excuses) == []
    assert complaints(Snapshot(log={"node1": (full, other)}), excuses) == [f"node1 logged bad news: {other}"]
    unused = ["nothing was logged that 'the disk is full' would have excused"]
    assert complaints(Snapshot(), excuses) == unused
    assert complaints(Snapshot(), excuses, over=False) == []


class Looks(Auditor):
    """Sees what it is told to, look by look."""

    def __init__(self, *seen: Snapshot) -> None:
        self._seen = list(seen)

    def snapshot(self) -> Snapshot:
        """The next one."""
        return self._seen.pop(0)


def test_what_is_wrong_at_two_looks_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what was only changing, at either of them; and where nothing is wrong there is no second look."""
    monkeypatch.setattr(audits, "PAUSE", 0.0)
    first = Snapshot(orphans={"node1": ("5 sleep", "6 sleep")})
    second = Snapshot(orphans={"node1": ("6 sleep", "7 sleep")})
    assert Looks(first, second).complaints() == ["node1 has an orphan process: 6 sleep"]
    assert Looks(Snapshot()).complaints() == []


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        (
            Snapshot(processes=(Process(24, 6), Process(90, 6))),
            Snapshot(processes=(Process(24, 6), Process(91, 6))),
            "the supervisor has 91 open files, and had 24",
        ),
        (
            Snapshot(processes=(Process(24, 6), Process(24, 40))),
            Snapshot(processes=(Process(24, 6), Process(24, 41))),
            "the supervisor has 41 threads, and had 6",
        ),
        (
            Snapshot(records={"node1": 20}),
            Snapshot(records={"node1": 21}),
            "node1 has 21 records in /run/resource-agents, and 1 services to have them",
        ),
        (
            Snapshot(fail_counts={("ip", "node1"): "2"}),
            Snapshot(fail_counts={("ip", "node1"): "3"}),
            "ip has a fail count of 3 on node1, and may have 0",
        ),
    ],
)
def test_what_grows_between_two_looks_is_wrong(
    monkeypatch: pytest.MonkeyPatch, first: Snapshot, second: Snapshot, sentence: str
) -> None:
    """Whatever its number is at the second one."""
    monkeypatch.setattr(audits, "PAUSE", 0.0)
    assert Looks(first, second).complaints(STRICT) == [sentence]


@pytest.mark.root
def test_the_auditor_sees_two_holders(network_lab: Lab) -> None:
    """With the address on both nodes of a real lab, the auditor finds both."""
    auditor = Auditor(network_lab, [OVERLAY])
    for node in network_lab.nodes():
        network_lab.exec(node, ["ip", "address", "add", f"{OVERLAY}/32", "dev", "lo"])
    try:
        assert auditor.complaints() == [f"{OVERLAY} is on node1 and node2 at the same time"]
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
    assert auditor.complaints() == [f"node1 has an orphan process: {found[0]}"]
    network_lab.exec("node1", ["kill", found[0].split(maxsplit=1)[0]])
    assert auditor.complaints() == []


@pytest.mark.root
def test_the_auditor_reads_what_was_logged_since(network_lab: Lab) -> None:
    """Bad news from before the audit began are forgotten; those from after are found."""
    log = "/var/log/pacemaker/pacemaker.log"
    network_lab.exec("node1", ["tee", "-a", log], stdin="crit: old news\n")
    auditor = Auditor(network_lab, [OVERLAY])
    network_lab.exec("node1", ["tee", "-a", log], stdin="crit: new news\n")
    assert auditor.complaints() == ["node1 logged bad news: crit: new news"]
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
        assert auditor.complaints() == ["node1 was fenced"]
        assert auditor.complaints(may_be_fenced=["node1"]) == []
    finally:
        network_lab.power_on("node1")


def leave_behind(lab: Lab, make: List[str], remove: List[str], sentence: str) -> None:
    """Something is left on node1, found, and gone."""
    auditor = Auditor(lab, [OVERLAY])
    lab.exec("node1", make)
    try:
        found = auditor.complaints()
    finally:
        lab.exec("node1", remove)
    assert found == [f"node1 {sentence}"]
    assert auditor.complaints() == []


@pytest.mark.root
@pytest.mark.parametrize(
    ("thing", "said"),
    [
        ("address {} 10.9.9.9/32 dev lo", "the address 10.9.9.9"),
        ("rule {} from 10.9.9.9 table 9 priority 900", "the rule 900 to table 9"),
        ("route {} 10.9.9.0/24 dev lo table 9", "the route to 10.9.9.0/24 in table 9"),
        ("-6 rule {} from fd00:9::9 table 9 priority 900", "the rule 900 to table 9"),
    ],
)
def test_the_auditor_sees_what_is_left_in_the_kernel(network_lab: Lab, thing: str, said: str) -> None:
    """An address, a rule, a route in a table of its own, on a node that holds nothing."""
    add, delete = (["ip", *thing.format(verb).split()] for verb in ("add", "delete"))
    leave_behind(network_lab, add, delete, f"has what nothing on it needs: {said}")


@pytest.mark.root
def test_the_auditor_lets_a_holder_have_its_rules(network_lab: Lab) -> None:
    """With an ENI that moves comes a table of its own."""
    auditor = Auditor(network_lab, [OVERLAY])
    rule = ["from", OVERLAY, "table", "9", "priority", "900"]
    network_lab.exec("node1", ["ip", "rule", "add", *rule])
    network_lab.exec("node1", ["ip", "address", "add", f"{OVERLAY}/32", "dev", "lo"])
    try:
        assert auditor.complaints() == []
    finally:
        network_lab.exec("node1", ["ip", "address", "delete", f"{OVERLAY}/32", "dev", "lo"])
        network_lab.exec("node1", ["ip", "rule", "delete", *rule])


@pytest.mark.root
def test_the_auditor_sees_a_temporary_file(network_lab: Lab) -> None:
    """Half a record of a run that was killed; the record itself is meant to stay."""
    place = "/run/resource-agents/aws-ipfailover-tables-1.json"
    network_lab.exec("node1", ["touch", place])
    half = f"{place}.0123456789abcdef"
    said = f"has a temporary file that nobody removed: {half}"
    leave_behind(network_lab, ["touch", half], ["rm", half, place], said)


@pytest.mark.root
@pytest.mark.parametrize("place", ["/tmp/tmp8zkq", "/var/tmp/tmp8zkq"])
def test_the_auditor_sees_a_temporary_file_elsewhere(network_lab: Lab, place: str) -> None:
    """What mkstemp(3) has made and nobody removed; not what was there before."""
    network_lab.exec("node1", ["touch", f"{place}-of-somebody-else"])
    leave_behind(network_lab, ["touch", place], ["rm", place], f"has a temporary file that nobody removed: {place}")


@pytest.mark.root
def test_the_auditor_counts_records(network_lab: Lab) -> None:
    """A file that looks like a record, and another one with each monitor."""
    places = [f"/run/resource-agents/aws-ipfailover-{number}.json" for number in range(7)]
    said = "has 7 records in /run/resource-agents, and 1 services to have them"
    leave_behind(network_lab, ["touch", *places], ["rm", *places], said)


@pytest.mark.root
def test_what_is_gone_at_the_second_look_was_only_changing(network_lab: Lab) -> None:
    """A process that is about to end is no orphan: it is looked at again before it is one."""
    auditor = Auditor(network_lab, [OVERLAY])
    nowhere: Any = {"stdin": DEVNULL, "stdout": DEVNULL, "stderr": DEVNULL}
    network_lab.spawn("node1", ["setsid", "--fork", "sleep", "1"], **nowhere).wait()
    eventually("the orphan", lambda: orphan_processes(network_lab, "node1"), 5, every=0.02)
    assert auditor.complaints() == []
