"""Faults of instances and of the network between them, seen from inside; and that healing one undoes that one."""

from __future__ import annotations

from typing import Iterator

import pytest

from vpc_lab.errors import LabError
from vpc_lab.faults import (
    CpuHogged,
    Crash,
    DiskFull,
    Fault,
    Freeze,
    GracefulStop,
    Partition,
    Reboot,
    RouteChanged,
    RouteLag,
    ZoneCut,
)
from vpc_lab.lab import Lab
from vpc_lab.waiting import eventually

from .test_fabric import OVERLAY, answers, api_answers, metadata_answers, silent

pytestmark = pytest.mark.root

NODE1, NODE2 = "10.0.1.11", "10.0.2.12"
OFF = [Crash("node1"), GracefulStop("node1"), GracefulStop("node1", skip_os_shutdown=True)]


@pytest.fixture
def lab(network_lab: Lab) -> Iterator[Lab]:
    """A lab in which everything is well, again afterwards."""
    yield network_lab
    network_lab.heal()


def state(lab: Lab) -> str:
    """What EC2 says of node1, and whether it has power."""
    found = lab.status().instance("node1")
    return f"{found.state}, {'on' if found.powered else 'off'}"


@pytest.mark.parametrize("fault", OFF, ids=str)
def test_an_instance_that_is_off(lab: Lab, fault: Fault) -> None:
    """EC2 notices a stop and no crash; healed, it is up again with the disk that it had."""
    lab.exec("node1", ["touch", "/var/log/before"])
    injected = lab.inject(fault)
    expected = "running, off" if isinstance(fault, Crash) else "stopped, off"
    eventually(f"node1 to be {expected}", lambda: state(lab) == expected, 20)
    assert silent(lab, "consumer-b", NODE1)
    injected.heal()
    assert state(lab) == "running, on"
    assert answers(lab, "consumer-b", NODE1)
    lab.exec("node1", ["rm", "/var/log/before"])
    injected.heal()  # once more is fine
    assert state(lab) == "running, on"


def test_a_graceful_stop_asks_the_system_first(lab: Lab) -> None:
    """In any lab, and not with SkipOsShutdown: process 1 says so on the console."""

    def told() -> int:
        return (lab.disk("node1") / "console.log").read_text(encoding="utf-8").count("powered down")

    before = told()
    with lab.inject(GracefulStop("node1")):
        eventually("node1 to be stopped", lambda: state(lab) == "stopped, off", 20)
    assert told() == before + 1
    with lab.inject(GracefulStop("node1", skip_os_shutdown=True)):
        eventually("node1 to be stopped", lambda: state(lab) == "stopped, off", 20)
    assert told() == before + 1


def test_an_administrator_may_be_quicker_than_the_healing(lab: Lab) -> None:
    """Power that somebody else has given back is left alone."""
    crash = lab.inject(Crash("node1"))
    lab.power_on("node1")
    booted = lab.status().instance("node1").pid
    crash.heal()
    assert lab.status().instance("node1").pid == booted


def test_a_reboot_ends_by_itself(lab: Lab) -> None:
    """EC2 calls it running all the time; /run is empty again, /var/log is not."""
    lab.exec("node1", ["touch", "/var/log/before", "/run/before"])
    injected = lab.inject(Reboot("node1"))
    eventually("the reboot to be over", lambda: not lab.faults(), 20)
    lab.exec("node1", ["rm", "/var/log/before"])
    assert lab.exec("node1", ["ls", "/run/before"], check=False).returncode == 2
    assert state(lab) == "running, on"
    assert answers(lab, "consumer-b", NODE1)
    kinds = [one["kind"] for one in lab.events() if one.get("number") == injected.number]
    assert kinds == ["fault", "healed"]


def test_two_that_freeze_the_same_instance(lab: Lab) -> None:
    """It stands still as long as either is there, with its kernel as long as the one with the kernel is."""
    still, hung = lab.inject(Freeze("node1")), lab.inject(Freeze("node1", kernel=False))
    assert silent(lab, "consumer-b", NODE1)
    still.heal()
    assert answers(lab, "consumer-b", NODE1)
    assert lab.status().instance("node1").frozen
    hung.heal()
    lab.exec("node1", ["true"])


@pytest.mark.parametrize(("where", "place"), [("log", "/var/log"), ("run", "/run")])
def test_a_full_disk(lab: Lab, where: str, place: str) -> None:
    """No room there, for that instance alone; what was there can be read; healed, there is room again."""

    def written(node: str, directory: str) -> bool:
        script = f"head -c 65536 /dev/zero >{directory}/fill; code=$?; rm -f {directory}/fill; exit $code"
        return lab.exec(node, ["sh", "-c", script], check=False).returncode == 0

    lab.exec("node1", ["sh", "-c", f"echo kept >{place}/kept"])
    first, second = lab.inject(DiskFull("node1", where)), lab.inject(DiskFull("node1", where))
    assert not written("node1", place)
    assert written("node1", "/tmp")
    assert written("node2", place)
    assert lab.exec("node1", ["cat", f"{place}/kept"]).stdout == "kept\n"
    first.heal()
    assert not written("node1", place)
    second.heal()
    assert written("node1", place)


def test_full_logs_stay_full_over_a_power_failure_and_a_full_run_does_not(lab: Lab) -> None:
    """/var/log is a disk, /run is made at each boot: that fault is over, and says why."""
    logs, run = lab.inject(DiskFull("node1")), lab.inject(DiskFull("node1", "run"))
    lab.inject(Crash("node1")).heal()
    assert [one.number for one in lab.faults()] == [logs.number]
    assert lab.exec("node1", ["sh", "-c", "head -c 65536 /dev/zero >/run/fill"], check=False).returncode == 0
    assert lab.exec("node1", ["sh", "-c", "head -c 65536 /dev/zero >/var/log/fill"], check=False).returncode == 1
    (end,) = [one for one in lab.events() if one["kind"] == "healed" and one["number"] == run.number]
    assert end["why"] == "its instance has lost its power"
    logs.heal()
    lab.exec("node1", ["rm", "/var/log/fill"])


def test_a_processor_is_busy(lab: Lab) -> None:
    """With a process of that instance, which goes when it is healed, or with the power."""

    def busy() -> int:
        return lab.exec("node1", ["ps", "-e", "-o", "args="]).stdout.count("while :; do :; done")

    one, two = lab.inject(CpuHogged("node1")), lab.inject(CpuHogged("node1"))
    eventually("two busy processes", lambda: busy() == 2, 10)
    one.heal()
    eventually("one busy process", lambda: busy() == 1, 10)
    lab.inject(Crash("node1")).heal()
    assert busy() == 0
    assert lab.faults() == ()
    two.heal()


def test_a_partition_of_one_direction(lab: Lab) -> None:
    """What node1 sends does not arrive; what node2 sends does."""

    def received(node: str) -> int:
        lines = lab.exec(node, ["cat", "/proc/net/snmp"]).stdout.splitlines()
        names, values = (line.split() for line in lines if line.startswith("Icmp:"))
        return int(values[names.index("InEchos")])

    with lab.inject(Partition("node1", "node2", one_way=True)):
        before = received("node1"), received("node2")
        assert silent(lab, "node1", NODE2)
        assert silent(lab, "node2", NODE1)
        assert (received("node1") - before[0], received("node2") - before[1]) == (1, 0)
    assert answers(lab, "node1", NODE2)


@pytest.mark.parametrize("one_way", [("node1", "api"), ("api", "node1")])
def test_a_partition_of_one_direction_from_the_api(lab: Lab, one_way: tuple[str, str]) -> None:
    """Calls do not arrive, or their answers do not; either way there is none."""
    with lab.inject(Partition(*one_way, one_way=True)):
        assert not api_answers(lab, "node1")
        assert api_answers(lab, "node2")
    assert api_answers(lab, "node1")


def test_a_zone_is_cut_off(lab: Lab) -> None:
    """From the other zone, from on premises, and from EC2's API; inside it everything goes on, metadata too."""
    with lab.inject(ZoneCut("eu-central-1a")):
        assert silent(lab, "consumer-b", NODE1)
        assert silent(lab, "onprem", NODE1)
        assert not api_answers(lab, "node1")
        assert answers(lab, "consumer-a", NODE1)
        assert metadata_answers(lab, "node1")
        assert answers(lab, "consumer-b", NODE2)
        assert answers(lab, "onprem", NODE2)
    assert answers(lab, "onprem", NODE1)


def test_a_link_that_two_faults_cut(lab: Lab) -> None:
    """It is mended with the second; a third one that cuts another link is not touched."""
    zone, link = lab.inject(ZoneCut("eu-central-1a")), lab.inject(Partition("node1", "node2"))
    other = lab.inject(Partition("onprem", "node2"))
    zone.heal()
    assert silent(lab, "node2", NODE1)
    assert answers(lab, "consumer-b", NODE1)
    link.heal()
    assert answers(lab, "node2", NODE1)
    assert silent(lab, "onprem", NODE2)
    other.heal()
    assert answers(lab, "onprem", NODE2)
    assert lab.status().cuts == ()


def test_a_lag_of_routes_ends_with_the_longest(lab: Lab) -> None:
    """The shorter one of two does not shorten it; without any, what was under way is in effect at once."""
    long, short = lab.inject(RouteLag(3600)), lab.inject(RouteLag(0.001))
    route = lab.inject(RouteChanged(f"{OVERLAY}/32", "node2"))
    short.heal()
    assert lab.status().route_lag == 3600
    assert lab.status().routes_under_way
    long.heal()
    assert lab.status().route_lag == 0
    assert not lab.status().routes_under_way
    route.heal()


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Crash("node9"), "there is no instance 'node9'; there are node1, node2"),
        (Crash("onprem"), "onprem is not an instance of the VPC"),
        (Partition("moon", "node1"), "there is no place 'moon'; there are api, imds, onprem"),
        (ZoneCut("eu-central-1z"), "there is no availability zone 'eu-central-1z'; there are eu-central-1a"),
    ],
    ids=str,
)
def test_a_fault_that_this_lab_cannot_have(lab: Lab, fault: Fault, sentence: str) -> None:
    """A sentence, and nothing has changed."""
    before = lab.status()
    with pytest.raises(LabError, match=sentence):
        lab.inject(fault)
    assert lab.status() == before
    with pytest.raises(LabError, match="there never was a fault 99999 in this lab"):
        lab.heal(99999)


@pytest.mark.parametrize("fault", [Crash("node2"), Freeze("node2"), CpuHogged("node2"), DiskFull("node2", "run")])
def test_an_instance_without_power_has_no_running_system(lab: Lab, fault: Fault) -> None:
    """What is of the running system cannot befall it."""
    lab.power_off("node2")
    with pytest.raises(LabError, match="node2 has no power"):
        lab.inject(fault)
    assert lab.faults() == ()
    lab.power_on("node2")


def test_everything_at_once_heals_to_what_was_before(lab: Lab) -> None:
    """Faults of every kind, healed together: the lab is as it was, and answers."""
    before = lab.status()
    for fault in (
        ZoneCut("eu-central-1b"),
        DiskFull("node2"),
        CpuHogged("node2"),
        Freeze("node1"),
        Partition("node1", "api"),
        RouteLag(5),
        RouteChanged(f"{OVERLAY}/32", "consumer-a"),
        Crash("node2"),
    ):
        lab.inject(fault)
    lab.heal()
    after = lab.status()
    assert after.faults == ()
    assert (after.cuts, after.routes, after.route_lag) == (before.cuts, before.routes, before.route_lag)
    assert [(one.name, one.state, one.powered, one.frozen) for one in after.instances] == [
        (one.name, one.state, one.powered, one.frozen) for one in before.instances
    ]
    assert answers(lab, "node2", NODE1)
