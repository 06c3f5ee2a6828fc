"""Deadline, last write, OCF environment, redaction."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from aws_ipfailover.last_write import LastWrite

from aws_ipfailover import last_write
from aws_ipfailover.deadline import Deadline, Task
from aws_ipfailover.errors import DeniedError, UnknownError
from aws_ipfailover.ocf import Environment, redact


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_deadline_only_comes_nearer() -> None:
    """Parts of it are never later than the whole."""
    clock = Clock()
    deadline = Deadline(10, clock)
    assert deadline.remaining() == 10
    assert deadline.remaining(at_most=3) == 3
    assert deadline.within(60).remaining() == 10
    assert deadline.earlier(2).remaining() == 8
    clock.now += 11
    assert deadline.expired
    assert deadline.remaining() == 0
    assert deadline.earlier(2).remaining() == 0


def test_a_task_is_waited_for_until_the_deadline_and_no_longer() -> None:
    """A thread that hangs is left behind."""
    never = threading.Event()
    task = Task(lambda: never.wait(30))
    with pytest.raises(UnknownError, match="IMDS: no answer before"):
        task.result(Deadline(0.01), "IMDS")
    never.set()


def test_a_task_hands_over_results_and_errors() -> None:
    """What happened in the thread happens to whoever waits."""

    def refuse() -> None:
        raise DeniedError("no")

    assert Task(lambda: 7).result(Deadline(5), "seven") == 7
    with pytest.raises(DeniedError):
        Task(refuse).result(Deadline(5), "refusal")


def test_the_last_write_is_remembered_for_what_was_written(tmp_path: Path) -> None:
    """Another ENI's write is none of ours; the file is private."""
    memory = LastWrite({"HA_RSCTMP": str(tmp_path)}, "fd00:10::10")
    assert memory.age("eni-1") is None
    memory.remember("eni-1")
    age = memory.age("eni-1")
    assert age is not None
    assert 0 <= age < 60
    assert memory.age("eni-2") is None
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", ["", "{", "[]", '{"what": "eni-1"}', '{"what": "eni-1", "at": "soon"}'])
def test_a_damaged_memory_is_none(tmp_path: Path, content: str) -> None:
    """It is an aid; things are done without it."""
    memory = LastWrite({"HA_RSCTMP": str(tmp_path)}, "10.0.0.1")
    memory.remember("eni-1")
    (file,) = tmp_path.iterdir()
    file.write_text(content)
    assert memory.age("eni-1") is None


def test_a_memory_from_before_a_reboot_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock that counts starts again with the kernel."""
    memory = LastWrite({"HA_RSCTMP": str(tmp_path)}, "10.0.0.1")
    memory.remember("eni-1")
    monkeypatch.setattr(last_write, "_now", lambda: 0.0)
    assert memory.age("eni-1") is None


def test_a_memory_that_cannot_be_kept_is_done_without(tmp_path: Path) -> None:
    """Neither remembering nor asking fails where the directory is a file."""
    (tmp_path / "file").write_text("")
    memory = LastWrite({"HA_RSCTMP": str(tmp_path / "file")}, "10.0.0.1")
    memory.remember("eni-1")
    assert memory.age("eni-1") is None


def test_parameters_are_told_from_pacemakers_own_variables() -> None:
    """CRM_meta_* and crm_feature_set are no parameters."""
    environment = Environment(
        {
            "OCF_RESKEY_ip": "10.0.0.1",
            "OCF_RESKEY_CRM_meta_timeout": "20000",
            "OCF_RESKEY_crm_feature_set": "3.16.2",
            "PATH": "/bin",
        }
    )
    assert environment.parameters() == {"ip": "10.0.0.1"}
    assert environment.timeout("start") == 20


@pytest.mark.parametrize(("interval", "probe"), [(None, True), ("0", True), ("", True), ("10000", False)])
def test_a_monitor_without_interval_is_a_probe(interval: object, probe: bool) -> None:
    """As Pacemaker passes it, and by hand."""
    environ = {} if interval is None else {"OCF_RESKEY_CRM_meta_interval": str(interval)}
    assert Environment(environ).is_probe() is probe


def test_a_timeout_that_is_no_number_is_the_recommended_one() -> None:
    """By hand, anything can be in the environment."""
    assert Environment({"OCF_RESKEY_CRM_meta_timeout": "soon"}).timeout("start") == 180


def test_the_last_net_catches_secrets() -> None:
    """Keys, tokens of the environment, and passwords in URLs; on one line."""
    environ = {"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY"}
    text = redact(
        "AKIAIOSFODNN7EXAMPLE wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY\nhttp://user:pass@proxy:3128/ rtb-0123456789abcdef0",
        environ,
    )
    assert text == "*** *** http://***@proxy:3128/ rtb-0123456789abcdef0"
