"""Which scenarios a rehearsal plays, with what limits, and why not the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, Set

import pytest

from vpc_lab.rehearsal import software
from vpc_lab.rehearsal.derivation import derive
from vpc_lab.rehearsal.plan import OF_THEIR_OWN, ORDER, Plan, plan
from vpc_lab.rehearsal.reading import read
from vpc_lab.rehearsal.stand_ins import stand_ins
from vpc_lab.scenarios.catalogue import CATALOGUE
from vpc_lab.topology import MODES, Mode

DATA = Path(__file__).parents[2] / "lab" / "data" / "rehearsals"
TABLES = "rtb-0123456789abcdef0,rtb-0123456789abcdef1"
MONITORS = "op monitor interval=10s op monitor interval=30s OCF_CHECK_LEVEL=10"
OVERLAY = f"primitive ip ocf:heartbeat:aws-ipfailover params ip=192.168.1.1 routing_table={TABLES} {MONITORS}"
ENI = f"primitive ip aws-ipfailover params mode=eni network_interface_id=eni-0123456789abcdef0 {MONITORS}"
PRIVATE = f"primitive ip aws-ipfailover params mode=private-ip ip=10.0.1.60 {MONITORS}"
BY_MODE = dict(zip(MODES, (OVERLAY, ENI, PRIVATE)))
FENCING = "\nprimitive f stonith:fence_aws params pcmk_host_map={} pcmk_delay_max=5"


def planned(text: str, *wanted: str, cib: str = "") -> Plan:
    """The plan of a configuration, as if the cluster had loaded it so."""
    configuration = read(text).configuration
    return plan(configuration, derive(configuration), stand_ins(configuration), wanted, cib=cib)


def fenced(text: str, *names: str) -> str:
    """With a fence device for nodes of these names."""
    return text + FENCING.format('"' + ";".join(f"{name}:i-000000000000000{name}" for name in names) + '"')


def played(text: str) -> Set[str]:
    """The names of what is played."""
    return {one.name for one in planned(text).scenarios}


def why_not(text: str) -> Dict[str, str]:
    """What is left out, and why."""
    return dict(planned(text).left_out)


def test_the_whole_catalogue_is_played_or_has_a_reason_why_it_never_is() -> None:
    """A scenario that is added to the lab's is one for rehearsals, too, or somebody has decided that it is not."""
    assert set(CATALOGUE.known) <= {*ORDER, *OF_THEIR_OWN}
    assert not set(ORDER) & set(OF_THEIR_OWN)
    assert set(OF_THEIR_OWN.items()) <= set(planned(OVERLAY).left_out)


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_is_put_through_what_can_befall_it(mode: Mode) -> None:
    """With fencing, two nodes and a monitor that looks at EC2."""
    found = played(fenced(BY_MODE[mode], "a", "b"))
    everywhere = {
        *("planned-move", "crash-of-the-active-node", "crash-of-a-standby", "graceful-stop-of-the-active-node"),
        *("freeze-of-the-active-node", "hang-of-the-active-node", "split-brain", "one-way-partition"),
        *("outage-of-ec2-while-healthy", "outage-of-instance-metadata-while-healthy", "answers-lost-after-the-write"),
        *("move-away-from-a-node-without-ec2", "killed-during-a-start", "outage-of-ec2-during-a-failover"),
        *("outage-of-ec2-during-a-planned-move", "hang-of-ec2-during-a-failover", "local-address-removed"),
        *("stop-during-an-outage-of-ec2", "refusals-of-ec2-while-healthy", "rolling-restart"),
    }
    of_routes = {
        *("route-changed", "route-deleted", "route-table-deleted", "source-destination-check-switched-on"),
        *("denied-on-one-table", "maintenance-mode-with-a-route-moved-by-hand"),
    }
    of_an_eni = {"detachment-that-sticks", "routing-rules-removed", "eni-detached"}
    more = {"overlay-ip": of_routes, "eni": of_an_eni, "private-ip": {"address-taken"}}
    assert found == everywhere | more[mode]


def test_more_than_two_nodes_have_a_dc_of_their_own() -> None:
    """What is played with three is played with four and five."""
    four = fenced(OVERLAY, *"abcd")
    assert {"crash-of-the-dc", "planned-move", "split-brain"} <= played(four)
    assert why_not(fenced(OVERLAY, "a", "b"))["crash-of-the-dc"].startswith("of two nodes the DC is the active one")


def test_a_cluster_that_fences_nobody_is_put_through_what_it_can_bear() -> None:
    """A crash is taken over without fencing; a node that freezes may wake up again; in a split brain nobody wins."""
    text = f"{OVERLAY}\nproperty stonith-enabled=false"
    assert {"crash-of-the-active-node", "crash-of-a-standby", "freeze-and-thaw-without-fencing"} <= played(text)
    why = why_not(text)
    assert why["split-brain"] == why["freeze-of-the-active-node"] == "the configuration fences nobody"
    assert "freeze-and-thaw-without-fencing" in why_not(fenced(OVERLAY, "a", "b"))


def test_without_a_monitor_that_looks_at_ec2_the_administrator_mends() -> None:
    """A denial and a maintenance mode are played all the same; changes that nobody notices are not."""
    shallow = fenced(OVERLAY.replace(" OCF_CHECK_LEVEL=10", ""), "a", "b")
    found = planned(shallow)
    names = {one.name for one in found.scenarios}
    assert {"denied-on-one-table", "maintenance-mode-with-a-route-moved-by-hand"} <= names
    assert not found.service.looks
    assert "neither OCF_CHECK_LEVEL=10 nor monapi=true" in dict(found.left_out)["route-changed"]
    assert planned(OVERLAY).service.looks


def test_what_a_monitor_would_not_see_is_not_waited_for() -> None:
    """No monitor, one that comes once in two minutes, a drift that is only reported, a single table."""
    why = why_not(OVERLAY.replace(MONITORS, ""))
    assert why["local-address-removed"] == "ip has no monitor"
    why = why_not(OVERLAY.replace("interval=30s", "interval=120s"))
    assert "comes every 120 s" in why["refusals-of-ec2-while-healthy"]
    why = why_not(OVERLAY.replace("params", "params on_drift=report"))
    assert why["route-deleted"] == "ip has on_drift=report, and nothing is repaired in place"
    why = why_not(OVERLAY.replace(TABLES, "rtb-0123456789abcdef0"))
    assert why["denied-on-one-table"] == why["route-table-deleted"] == "the nodes' subnets share one route table"


def test_a_stand_in_is_not_asked_what_only_the_agent_can_tell() -> None:
    """awsvip asks EC2 in ways of its own."""
    why = why_not((DATA / "private-ip-pcs.txt").read_text(encoding="utf-8"))
    assert why["move-away-from-a-node-without-ec2"].startswith("privip is played by a stand-in")


def test_the_limits_follow_the_file_s_own_timings() -> None:
    """Intervals of monitors, the timeout of a start, what the cluster does after one failure, and where it stays."""
    cib = (
        "<cib><configuration><resources>"
        '<primitive id="ip" class="ocf" provider="heartbeat" type="aws-ipfailover"><operations>'
        '<op id="s" name="start" interval="0" timeout="180s"/><op id="m" name="monitor" interval="10s"/>'
        "</operations></primitive></resources></configuration></cib>"
    )
    service = planned(OVERLAY, cib=cib).service
    assert (service.interval, service.start_timeout, service.in_place, service.stays) == (30.0, 180.0, True, False)
    removed = {one.name: one for one in planned(OVERLAY).scenarios}["local-address-removed"]
    ordinary = CATALOGUE.known["local-address-removed"].allowances[0].seconds
    assert removed.allowances[0].seconds == ordinary + 30.0 + 10.0


def test_moves_that_make_before_they_break_are_judged_as_such() -> None:
    """Both nodes may answer while the old one drains; where a node is lost nobody answers beside its successor."""
    text = f"{OVERLAY.replace('params', 'params drain=3')} meta allow-migrate=true"
    graces = {one.name: one.grace for one in planned(fenced(text, "a", "b")).scenarios}
    assert graces["planned-move"] == graces["rolling-restart"] == 4.0
    assert graces["split-brain"] == graces["crash-of-the-active-node"] == 0.0
    assert {one.grace for one in planned(OVERLAY).scenarios} == {0.0}
    assert {one.grace for one in planned(f"{ENI} meta allow-migrate=true").scenarios} == {0.0}


def test_two_nodes_that_fence_at_the_same_moment_are_told_of() -> None:
    """Whether each stops the other is a matter of chance in a lab."""
    at_once = fenced(OVERLAY, "a", "b").replace("pcmk_delay_max=5", "")
    assert [note for note in planned(at_once).notes if note.startswith("fencing has no delay")]
    assert planned(fenced(OVERLAY, "a", "b")).notes == ()
    assert planned(f"{at_once}\nproperty priority-fencing-delay=10s").notes == ()
    assert planned(fenced(OVERLAY, *"abc").replace("pcmk_delay_max=5", "")).notes == ()


TWO = f"{OVERLAY}\nprimitive f stonith:fence_aws params pcmk_host_map=a:i-1;b:i-2 pcmk_delay_base="
EACH = "\nprimitive f{0} stonith:fence_aws params pcmk_host_map={0}:i-{0} pcmk_delay_base={1}"


@pytest.mark.parametrize(
    ("text", "favoured"),
    [
        (f"{TWO}a:5s", "a"),
        (f'{TWO}"a:0;b:5s"', "b"),
        # Both wait alike, or for a time that is drawn: nobody knows who is first.
        (f"{TWO}5s", ""),
        (f"{TWO}a:5s pcmk_delay_max=5s", ""),
        (f"{TWO}a:5s\nproperty priority-fencing-delay=10", ""),
        (f"{OVERLAY}{EACH.format('a', '5s')}{EACH.format('b', '0')}", "a"),
        (OVERLAY, ""),
    ],
)
def test_who_is_fenced_last_is_known_where_one_fencing_waits(text: str, favoured: str) -> None:
    """It survives a split brain."""
    assert planned(text).service.favoured == favoured


class _Cluster:
    """A cluster of databases, as far as an administrator asks it: where an address is."""

    def __init__(self, reading: str) -> None:
        self.reading = reading

    def where(self, _name: str) -> str:
        """On that node."""
        return self.reading


@pytest.mark.parametrize(("reading", "right"), [("two", True), ("one", False)])
def test_an_address_for_reading_belongs_to_the_secondary(
    reading: str, right: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once there is one again; what Pacemaker leaves with the primary is wrong."""
    text = (
        f"{OVERLAY.replace('primitive ip', 'primitive r').replace('192.168.1.1', '192.168.1.2')}\n{OVERLAY}\n"
        "primitive db SAPHana params SID=HA1\nms both db\n"
        "colocation c1 2000: ip:Started both:Master\ncolocation c2 2000: r:Started both:Slave"
    )
    monkeypatch.setattr(software, "whole_again", lambda *_: None)
    monkeypatch.setattr(software, "promoted_on", lambda *_: "one")
    service = planned(text).service
    assert service.resource == "ip"
    assert service.care is not None
    waited: List[bool] = []

    class _Stage:
        lab = None

        def command(self, *_: object, **__: object) -> str:
            return ""

        def cluster(self) -> _Cluster:
            return _Cluster(reading)

        def wait(self, _what: str, condition: Callable[[], bool]) -> None:
            waited.append(condition())

    stage: Any = _Stage()
    service.care(stage)
    assert waited == [right]
