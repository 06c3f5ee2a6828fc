"""What `systemctl` does to the services of an instance that are started by hand."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Iterator, List, Tuple

import pytest

from vpc_lab.host import units
from vpc_lab.host.boot import Boot, Service


class Services:
    """Two units, of which the second needs the first."""

    def __init__(self) -> None:
        self.running: List[str] = []
        self.fails = False

    def units(self) -> Tuple[str, ...]:
        """Both."""
        return ("corosync", "pacemaker")

    def active(self, unit: str) -> bool:
        """Whether it was started."""
        return unit in self.running

    def start_unit(self, unit: str) -> bool:
        """Start it, unless it is to fail."""
        self.running += [] if self.fails else [unit]
        return not self.fails

    def stop_unit(self, unit: str) -> None:
        """Stop it."""
        self.running = [one for one in self.running if one != unit]


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    """Process 1 of an instance, as far as units are concerned."""
    monkeypatch.setattr(units, "SOCKET", str(tmp_path / "units"))
    monkeypatch.setattr(units, "DIRECTORY", str(tmp_path / "system"))
    found, listener = Services(), units.listen()

    def serve() -> None:
        while True:
            try:
                units.answer(listener, found)
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield found
    # A last question, unheard, wakes the thread up.
    listener.shutdown(2)
    thread.join(5)
    listener.close()


def test_what_is_enabled_now_runs_and_starts_at_the_next_boot(services: Services) -> None:
    """`enable --now` does both; `disable --now` takes both back."""
    assert units.main(["enable", "--now", "corosync", "pacemaker.service"]) == 0
    assert services.running == ["corosync", "pacemaker"]
    assert units.enabled("corosync")
    assert units.main(["disable", "--now", "pacemaker"]) == 0
    assert services.running == ["corosync"]
    assert not units.enabled("pacemaker")


def test_exit_codes_are_systemctls(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    """3 for what does not run, 1 for what is not enabled or fails to start."""
    assert units.main(["is-active", "corosync"]) == 3
    assert units.main(["is-enabled", "corosync"]) == 1
    assert capsys.readouterr().out == "inactive\ndisabled\n"
    services.fails = True
    assert units.main(["start", "corosync"]) == 1
    assert "failed" in capsys.readouterr().err


def test_a_unit_that_is_not_there_is_named(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    """As is a verb that the stand-in does not know."""
    assert units.main(["start", "pcsd"]) == 5
    assert "pcsd.service could not be found" in capsys.readouterr().err
    assert units.main(["mask", "corosync"]) == 1
    assert "start" in capsys.readouterr().err


def test_without_process_1_nothing_is_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It could not be found out."""
    monkeypatch.setattr(units, "SOCKET", str(tmp_path / "nobody"))
    assert units.main(["is-active", "corosync"]) == 1
    assert "does not answer" in capsys.readouterr().err


def test_a_unit_survives_the_boot_file() -> None:
    """What process 1 is told is what was meant."""
    service = Service(("corosync", "-f"), ready=("true",), stop=("false",), panic=3, unit="corosync")
    boot = Boot("node1", "/r", "/e", ("/usr",), {}, {}, {}, services=(service,))
    assert Boot.from_json(boot.to_json()) == boot
