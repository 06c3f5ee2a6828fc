"""agent.py: in which order a monitor asks the kernel and the cloud, and who has the last word."""

from __future__ import annotations

import signal
from typing import Dict, List

import pytest

from aws_ipfailover import agent
from aws_ipfailover.agent import Run
from aws_ipfailover.deadline import Deadline
from aws_ipfailover.errors import Error, UnknownError
from aws_ipfailover.failover import Finding, Verdict
from aws_ipfailover.ocf import action
from aws_ipfailover.ocf.exit_codes import Exit

HERE, GONE = Finding(Verdict.RUNNING), Finding(Verdict.NOT_RUNNING, "192.168.10.10 is on no network interface")
CLOUD: Dict[Verdict, Exit] = {
    Verdict.RUNNING: Exit.SUCCESS,
    Verdict.DEGRADED: Exit.DEGRADED,
    Verdict.FAILED: Exit.GENERIC,
}


class Asked:
    """The order in which a monitor asks; the kernel answers what it is given, in turn."""

    def __init__(self, cloud: Finding, *kernel: Finding) -> None:
        self.cloud = cloud
        self.kernel = list(kernel)
        self.order: List[str] = []

    def look_locally(self, run: Run) -> Finding:
        self.order.append("kernel")
        return self.kernel.pop(0)

    def look_at_cloud(self, run: Run, values: object) -> Finding:
        self.order.append("cloud")
        return self.cloud


def monitor(monkeypatch: pytest.MonkeyPatch, asked: Asked, **more: str) -> Run:
    """A recurring monitor at level 10."""
    monkeypatch.setattr(agent, "_look_locally", asked.look_locally)
    monkeypatch.setattr(agent, "_look_at_cloud", asked.look_at_cloud)
    environ = {
        "OCF_RESKEY_ip": "192.168.10.10",
        "OCF_RESKEY_routing_table": "rtb-0123456789abcdef0",
        "OCF_RESKEY_CRM_meta_interval": "60000",
        "OCF_CHECK_LEVEL": "10",
        **more,
    }
    return Run("monitor", environ)


@pytest.mark.parametrize("verdict", CLOUD)
def test_the_cloud_is_asked_between_two_looks_at_the_kernel(monkeypatch: pytest.MonkeyPatch, verdict: Verdict) -> None:
    """Level 10: "local, then cloud, then local again before it answers"; what the cloud says counts if both agree."""
    asked = Asked(Finding(verdict, "the cloud"), HERE, HERE)
    code, _ = monitor(monkeypatch, asked).perform()
    assert (code, asked.order) == (CLOUD[verdict], ["kernel", "cloud", "kernel"])


@pytest.mark.parametrize("verdict", CLOUD)
def test_the_kernel_has_the_last_word(monkeypatch: pytest.MonkeyPatch, verdict: Verdict) -> None:
    """An address that went while the cloud was asked is not running, whatever the cloud says."""
    asked = Asked(Finding(verdict, "the cloud"), HERE, GONE)
    code, reason = monitor(monkeypatch, asked).perform()
    assert code is Exit.NOT_RUNNING
    assert reason.startswith(GONE.reason)
    assert "the cloud" not in reason


def test_a_kernel_that_cannot_be_read_again_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look that fails: 1, cannot tell; evidence of before is not given out as that of now."""
    asked = Asked(Finding(Verdict.RUNNING), HERE)

    def look(run: Run) -> Finding:
        if not asked.kernel:
            raise UnknownError("ip address show: not finished before the operation's timeout")
        return asked.look_locally(run)

    run = monitor(monkeypatch, asked)
    monkeypatch.setattr(agent, "_look_locally", look)
    code, reason = run.perform()
    assert code is Exit.GENERIC
    assert "ip address show" in reason


@pytest.mark.parametrize(
    "more", [{"OCF_CHECK_LEVEL": "0"}, {"OCF_RESKEY_CRM_meta_interval": "0", "OCF_RESKEY_monapi": "true"}]
)
def test_level_0_and_a_probe_ask_the_kernel_once(monkeypatch: pytest.MonkeyPatch, more: Dict[str, str]) -> None:
    """Monitor at level 0 and a probe: local state only, also with `monapi`."""
    asked = Asked(Finding(Verdict.FAILED), HERE)
    assert monitor(monkeypatch, asked, **more).perform()[0] is Exit.SUCCESS
    assert asked.order == ["kernel"]


def test_monapi_asks_the_cloud_at_level_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """`monapi`: "every recurring monitor also checks the cloud side"."""
    asked = Asked(Finding(Verdict.FAILED, "elsewhere"), HERE, HERE)
    run = monitor(monkeypatch, asked, OCF_CHECK_LEVEL="0", OCF_RESKEY_monapi="true")
    assert run.perform() == (Exit.GENERIC, "elsewhere")


@pytest.mark.parametrize("timeout", [3000, 12000, 24000, 60000])
def test_the_cloud_has_8_seconds_or_a_third(monkeypatch: pytest.MonkeyPatch, timeout: int) -> None:
    """Level 10: "the cloud has 8 s at most, or a third of the timeout where that is less"."""
    given: List[float] = []

    def failover(self: Run, values: object, deadline: Deadline) -> object:
        given.append(deadline.remaining())
        raise Error("no SDK here")

    monkeypatch.setattr(Run, "failover", failover)
    monkeypatch.setattr(agent, "_look_locally", lambda _: HERE)
    environ = {
        "OCF_RESKEY_ip": "192.168.10.10",
        "OCF_RESKEY_routing_table": "rtb-0123456789abcdef0",
        "OCF_RESKEY_CRM_meta_interval": "60000",
        "OCF_CHECK_LEVEL": "10",
        "OCF_RESKEY_CRM_meta_timeout": str(timeout),
    }
    assert Run("monitor", environ).perform() == (Exit.DEGRADED, "Address up, nothing moved: no SDK here")
    (seconds,) = given
    assert 0 < seconds <= min(8.0, timeout / 3000)


def main(monkeypatch: pytest.MonkeyPatch, run: Run) -> int:
    """The agent as its file calls it, in this process: its signals and its log stay the test's."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(action, "set_up_logging", lambda *_: None)
    return agent.main(["agent", run.action], run.environ)


@pytest.mark.parametrize(("verdict", "level"), [(Verdict.FAILED, "ERROR"), (Verdict.DEGRADED, "WARNING")])
def test_failures_are_logged_at_error(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    verdict: Verdict,
    level: str,
) -> None:
    """Failures are logged at ERROR, what is degraded at WARNING; both have an exit reason, and only one."""
    main(monkeypatch, monitor(monkeypatch, Asked(Finding(verdict, "routed elsewhere"), HERE, HERE)))
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [(level, "monitor: routed elsewhere")]
    assert capsys.readouterr().err == "ocf-exit-reason:routed elsewhere\n"


def test_a_repair_that_lost_the_address_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The kernel answers 7; why the address could not be brought back stands in the log, at ERROR."""
    lost = Asked(Finding(Verdict.FAILED, "no interface has appeared"), HERE, GONE)
    assert main(monkeypatch, monitor(monkeypatch, lost)) == Exit.NOT_RUNNING
    assert next(one.getMessage() for one in caplog.records if one.levelname == "ERROR") == "no interface has appeared"


def test_a_repair_is_logged_at_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """A repair answers "0 with a warning in the log", and no exit reason."""
    mended = Asked(Finding(Verdict.RUNNING, "routed here again"), HERE, HERE)
    assert main(monkeypatch, monitor(monkeypatch, mended)) == 0
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [("WARNING", "routed here again")]
    assert capsys.readouterr().err == ""
