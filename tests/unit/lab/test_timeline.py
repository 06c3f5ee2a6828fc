"""What happened when, from lines that Corosync 3.1 and Pacemaker 2.1 write."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List

import pytest

from vpc_lab.judge.timeline import COROSYNC, Moment, of_answers, of_events, of_log, pacemaker_patterns, timeline

CORO = """\
Nov 22 23:02:42.394 [2] node2 corosync info    [KNET  ] link: host: 1 link: 0 is down
Nov 22 23:02:42.890 [2] node2 corosync notice  [TOTEM ] Token has not been received in 750 ms
Nov 22 23:02:43.142 [2] node2 corosync notice  [TOTEM ] A processor failed, forming new configuration: token timed out
Nov 22 23:02:44.342 [2] node2 corosync notice  [TOTEM ] A new membership (2.d) was formed. Members left: 1
"""
PACE = """\
Nov 22 23:02:44.342 node2 pacemaker-controld  [168] (peer_update_callback) 	info: Cluster node node1 is now lost (was member)
Nov 22 23:02:45.590 node2 pacemaker-fenced    [164] (initiate_remote_stonith_op) 	notice: Requesting peer fencing (off) targeting node1 | id=6b319631
Nov 22 23:02:45.590 node2 pacemaker-fenced    [164] (schedule_stonith_command) 	notice: Delaying 'off' action targeting node1 using fence_aws for 5s | timeout=600s
Nov 22 23:02:51.490 node2 pacemaker-fenced    [164] (finalize_op) 	notice: Operation 'off' targeting node1 by node2 for pacemaker-controld.168@node2: OK (complete)
Nov 22 23:02:51.534 node2 pacemaker-execd     [165] (log_execute) 	info: executing - rsc:ip_service action:start call_id:18
Nov 22 23:02:51 aws-ipfailover(ip_service)[219]: INFO: added 192.168.10.10 to eth0
Nov 22 23:02:51.940 node2 pacemaker-execd     [165] (log_execute) 	info: executing - rsc:other_ip_service action:start call_id:19
Nov 22 23:02:51.950 node2 pacemaker-execd     [165] (log_finished) 	info: ip_service start (call 18, PID 219) exited with status 0 (execution time 416ms)
Nov 22 23:02:52.950 node2 pacemaker-execd     [165] (log_finished) 	info: other_ip_service start (call 19, PID 220) exited with status 0 (execution time 1416ms)
"""  # noqa: E501 - as they are written
LAST = datetime(2026, 11, 22, 23, 2, 44, 342000, tzinfo=timezone.utc)


def said(moments: List[Moment]) -> List[str]:
    """The words alone."""
    return [moment.what for moment in moments]


def test_corosync_s_log_tells_of_the_membership() -> None:
    """Token, giving up, new membership; other lines are left out."""
    assert said(of_log(CORO, "node2", COROSYNC, LAST.timestamp())) == [
        "corosync misses the token (750 ms)",
        "corosync gives a member up",
        "corosync forms a new membership, node left: 1",
    ]


def test_pacemaker_s_log_tells_of_fencing_and_of_one_resource() -> None:
    """Another resource whose name ends the same is another one; the agent's own lines have no milliseconds."""
    assert said(of_log(PACE, "node2", pacemaker_patterns("ip_service"), LAST.timestamp())) == [
        "Pacemaker sees that node1 is lost",
        "Pacemaker wants node1 fenced (off)",
        "fence_aws waits 5s before it fences node1, as configured",
        "fencing of node1 (off): OK",
        "agent's start begins",
        "agent's start is done: exit code 0, 416 ms",
    ]


@pytest.mark.parametrize("offset", [-720, -210, 0, 60, 345, 765, 840])
@pytest.mark.parametrize("year", [2024, 2025, 2028])
@pytest.mark.parametrize("age", [0.0, 3.0, 300.0])
def test_local_time_is_found_whatever_the_zone(offset: int, year: int, age: float) -> None:
    """The logs carry neither year nor zone; the lab's clock is known, and the last line is recent."""
    zone = timezone(timedelta(minutes=offset))
    when = datetime(year, 2, 28, 23, 59, 59, 750000, tzinfo=zone)
    line = when.strftime(
        "%b %d %H:%M:%S.750 [2] node2 corosync notice  [TOTEM ] A processor failed, forming new configuration"
    )
    (moment,) = of_log(line, "node2", COROSYNC, when.timestamp() + age)
    assert moment.time == pytest.approx(when.timestamp())


def test_old_lines_stay_old() -> None:
    """A line hours before the last one is not mistaken for a recent one."""
    old = CORO.replace(" 23:02", " 21:02").splitlines()[1]
    moments = of_log(old + "\n" + CORO, "node2", COROSYNC, LAST.timestamp() + 1)
    assert [moment.time - LAST.timestamp() for moment in moments] == pytest.approx([-7201.452, -1.452, -1.2, 0])


@pytest.mark.parametrize("text", ["", "\n", "no time here", "Foo 22 23:02:42.394 x A processor failed, forming new"])
def test_a_log_without_stamps_says_nothing(text: str) -> None:
    """An empty log, or one that is none."""
    assert of_log(text, "node2", COROSYNC, 0.0) == []


def test_events_are_power_faults_and_the_calls_that_change_something() -> None:
    """Reads are left out."""
    replaced: Dict[str, Any] = {"RouteTableId": "rtb-1", "NetworkInterfaceId": "eni-1"}
    events: List[Dict[str, Any]] = [
        {"time": 1.0, "kind": "power-off", "instance": "node1", "why": "failed"},
        {"time": 2.0, "kind": "api", "action": "DescribeInstances", "caller": "node2", "outcome": "ok"},
        {
            "time": 3.0,
            "kind": "api",
            "action": "StopInstances",
            "caller": "node2",
            "outcome": "ok",
            "parameters": {"InstanceId.1": "i-1"},
            "duration": 0.004,
        },
        {
            "time": 4.0,
            "kind": "api",
            "action": "ReplaceRoute",
            "caller": "node2",
            "outcome": "RequestLimitExceeded",
            "parameters": replaced,
            "duration": None,
        },
        {"time": 5.0, "kind": "fault", "number": 1, "name": "partition", "parameters": {"one": "a", "other": "b"}},
        {"time": 6.0, "kind": "healed", "number": 1, "name": "partition", "parameters": {"one": "a", "other": "b"}},
    ]
    assert of_events(events) == [
        Moment(1.0, "node1", "power is off (failed)"),
        Moment(3.0, "EC2", "StopInstances i-1 by node2: ok in 4 ms"),
        Moment(4.0, "EC2", "ReplaceRoute rtb-1 by node2: RequestLimitExceeded"),
        Moment(5.0, "lab", "fault 1: partition"),
        Moment(6.0, "lab", "fault 1: partition, healed"),
    ]


def test_each_consumer_has_one_first_answer() -> None:
    """The protocol that was first, and no other."""
    firsts = {("a", "tcp"): 3.0, ("a", "udp"): 2.0, ("b", "icmp"): 4.0}
    assert of_answers(firsts, "node2") == [
        Moment(2.0, "a", "first answer from node2 (UDP)"),
        Moment(4.0, "b", "first answer from node2 (ICMP)"),
    ]


def test_a_timeline_is_in_order_and_within_its_bounds() -> None:
    """What lies outside is left out; what happened at once stays in the order in which it was given."""
    moments = [
        Moment(3.0, "", "c"),
        Moment(1.0, "", "a"),
        Moment(2.0, "", "b1"),
        Moment(2.0, "", "b2"),
        Moment(9, "", ""),
    ]
    assert said(timeline(moments, 2.0, 3.0)) == ["b1", "b2", "c"]
    assert said(timeline(moments, 3.0)) == ["c", ""]


def test_a_detachment_by_force_says_so() -> None:
    """With the attachment's id, which is all that the call has."""
    event: Dict[str, Any] = {
        "kind": "api",
        "time": 1.0,
        "action": "DetachNetworkInterface",
        "caller": "node1",
        "outcome": "ok",
        "parameters": {"AttachmentId": "eni-attach-1", "Force": "true"},
    }
    assert said(of_events([event])) == ["DetachNetworkInterface eni-attach-1 by node1, by force: ok"]
    event["parameters"] = {"AttachmentId": "eni-attach-1"}
    assert said(of_events([event])) == ["DetachNetworkInterface eni-attach-1 by node1: ok"]


@pytest.mark.parametrize(
    ("written", "told"), [("416ms", "416 ms"), ("4.106s", "4.106 s"), ("52ms after being queued 3ms", "52 ms")]
)
def test_operations_are_told_of_however_their_time_is_written(written: str, told: str) -> None:
    """From a second on Pacemaker writes another unit, and it adds how long an operation was queued, if it was."""
    log = PACE.replace("(execution time 416ms)", f"(execution time {written})")
    moments = said(of_log(log, "node2", pacemaker_patterns("ip_service"), LAST.timestamp()))
    assert f"agent's start is done: exit code 0, {told}" in moments
