"""`aws-ipfailover install`: the file, its interpreter, and what it warns of."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from aws_ipfailover.cli import install
from aws_ipfailover.cli.main import main


def test_the_agent_runs_with_the_interpreter_that_installed_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first line names it; the rest is the agent as it is; running it twice is fine."""
    for _ in range(2):
        assert main(["install", "--root", str(tmp_path)]) == 0
    (agent,) = (tmp_path / "usr/lib/ocf/resource.d/heartbeat").iterdir()
    first, rest = agent.read_text(encoding="utf-8").split("\n", 1)
    assert first == f"#!{sys.executable} -I"
    assert rest == install.agent_file().read_text(encoding="utf-8").split("\n", 1)[1]
    assert agent.stat().st_mode & 0o777 == 0o755
    assert str(agent) in capsys.readouterr().out


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence and exit code 1, no traceback."""
    (tmp_path / "usr").write_text("")
    assert main(["install", "--root", str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err


def test_directories_that_others_may_not_enter_are_found(tmp_path: Path) -> None:
    """Pacemaker runs meta-data as hacluster, which has to reach interpreter and package, also behind a link."""
    tmp_path.chmod(0o755)
    closed = tmp_path / "closed"
    (closed / "bin").mkdir(parents=True)
    (closed / "bin" / "python3").write_text("")
    (tmp_path / "python3").symlink_to(closed / "bin" / "python3")
    assert closed not in install.closed_directories(tmp_path / "python3")
    closed.chmod(0o700)
    assert closed in install.closed_directories(tmp_path / "python3")
    assert closed in install.closed_directories(closed / "bin" / "python3")
