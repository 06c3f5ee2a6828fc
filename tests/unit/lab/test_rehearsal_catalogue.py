"""What scenarios of a rehearsal, and those that they share with the lab, do beside moving and crashing."""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, List, Sequence, Tuple

import pytest

from vpc_lab.cluster import ClusterStatus, Failure
from vpc_lab.errors import LabError
from vpc_lab.rehearsal import software
from vpc_lab.rehearsal.catalogue import failure_of_the_application
from vpc_lab.scenarios.catalogue import denied_on_one_table, kill_agents
from vpc_lab.scenarios.stage import Service

SERVICE = Service("ip", ("192.168.10.10",), behind="app", tolerated=("fence",))


def stage_with(failures: Sequence[Failure], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stage on which the application has failed and has been recovered, and crm_mon still shows these failures."""
    counts = itertools.count()
    nothing = SimpleNamespace(note=lambda *_, **__: None, say=lambda _: None)
    monkeypatch.setattr(software, "kill", lambda *_: None)
    return SimpleNamespace(
        service=SERVICE,
        recording=nothing,
        voice=nothing,
        lab=SimpleNamespace(settle=lambda _: None, forget_failures=lambda **_: None),
        active=lambda: "node1",
        served=lambda: "node1",
        care=lambda: None,
        wait=lambda _what, condition, _within: condition(),
        cluster=lambda: ClusterStatus(None, True, (), (), tuple(failures), {("app", "node1"): str(next(counts))}),
    )


def test_a_failed_action_that_is_left_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after an administrator has cleaned up; those of fence devices come with the faults themselves."""
    of_a_device = Failure("fence_monitor_60000", "node1", 1, "")
    failure_of_the_application(stage_with([of_a_device], monkeypatch))
    of_the_application = Failure("app_monitor_10000", "node1", 7, "")
    with pytest.raises(LabError, match=r"crm_mon still shows failed actions: app_monitor_10000$"):
        failure_of_the_application(stage_with([of_a_device, of_the_application], monkeypatch))


def test_who_was_refused_the_same_table_is_started_again() -> None:
    """Where no monitor looks at EC2: the service, and of the other resources those whose tables do not agree."""
    restarted: List[str] = []
    nothing = SimpleNamespace(note=lambda *_, **__: None)
    status = SimpleNamespace(torn=lambda addresses: addresses == ("192.168.10.11",))
    others = {"torn": ("192.168.10.11",), "whole": ("192.168.10.12",)}
    stage: Any = SimpleNamespace(
        service=replace(SERVICE, others=others, looks=False),
        resource="ip",
        recording=nothing,
        lab=SimpleNamespace(settle=lambda _: None, status=lambda: status),
        active=lambda: "node1",
        standbys=lambda: ["node2"],
        tables=lambda: ["rtb-1", "rtb-2"],
        fault=lambda _: nullcontext(),
        ask_to_move=lambda _: None,
        taken_over=lambda _: "node2",
        take_back=lambda: None,
        restart=restarted.append,
        served=lambda: "node2",
    )
    denied_on_one_table(stage)
    assert restarted == ["ip", "torn"]


def test_only_the_agent_of_the_service_is_killed() -> None:
    """On the same node other resources can have the same agent, and other programs its name in their arguments."""
    processes = {
        "11": ("/bin/sh /usr/lib/ocf/resource.d/heartbeat/aws-ipfailover start", "OCF_RESOURCE_INSTANCE=ip"),
        "12": ("/bin/sh /usr/lib/ocf/resource.d/heartbeat/aws-ipfailover monitor", "OCF_RESOURCE_INSTANCE=ip_2"),
        "13": ("pacemakerd", "OCF_RESOURCE_INSTANCE=ip"),
    }
    killed: List[str] = []

    def execute(_node: str, argv: Sequence[str], **_: Any) -> Any:
        if argv[0] == "ps":
            return SimpleNamespace(stdout="".join(f"  {pid} {said[0]}\n" for pid, said in processes.items()))
        if argv[0] == "kill":
            killed.append(argv[-1])
            return SimpleNamespace(stdout="")
        environment: Tuple[str, str] = ("PATH=/usr/bin", processes[argv[1].split("/")[2]][1])
        return SimpleNamespace(stdout="\0".join(environment))

    stage: Any = SimpleNamespace(resource="ip", lab=SimpleNamespace(exec=execute))
    kill_agents(stage, "node1")
    assert killed == ["11"]
