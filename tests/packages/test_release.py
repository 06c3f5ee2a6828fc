"""What `make release` refuses: a sentence each, and nothing is built."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import List

import pytest

import release

CHANGELOG = "# Changelog\n\n## 0.3.0 (2026-12-01)\n\n- A change.\n\n## 0.3.0rc1 (2026-11-01)\n\n- Another one.\n"


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sources of version 0.3.0, committed, that can be released."""
    (tmp_path / "src" / "aws_ipfailover").mkdir(parents=True)
    (tmp_path / "src" / "aws_ipfailover" / "__init__.py").write_text('__version__ = "0.3.0"\n', encoding="utf-8")
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG, encoding="utf-8")
    monkeypatch.setattr(release, "ROOT", tmp_path)
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def git(place: Path, *arguments: str) -> None:
    """Run git there, as somebody."""
    somebody = ["-c", "user.name=x", "-c", "user.email=x@localhost", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(place), *somebody, *arguments], check=True, capture_output=True)


def commit(place: Path) -> None:
    """Commit everything."""
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "--allow-empty", "--message", "x")


def test_what_can_be_released(sources: Path) -> None:
    """The version of the sources, with a dated entry in the changelog and everything committed; tagged or not."""
    assert list(release.in_the_way("0.3.0")) == []
    git(sources, "tag", "v0.3.0")
    assert list(release.in_the_way("0.3.0")) == []


@pytest.mark.parametrize("words", [[], ["1"], ["v0.3.0"], ["0.3"], ["latest"], ["0.3.0", "0.4.0"], ["0.3.0; reboot"]])
def test_what_is_no_version(
    words: List[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused, with an example of what would be one."""
    monkeypatch.setattr("sys.argv", ["release.py", *words])
    assert release.main() == 2
    assert capsys.readouterr().err.endswith("such as VERSION=0.2.0\n")


def test_another_version(sources: Path) -> None:
    """The sources say another number, and the changelog has no entry: both are told."""
    assert list(release.in_the_way("0.4.0")) == [
        "src/aws_ipfailover/__init__.py says 0.3.0, not 0.4.0: change it",
        "CHANGELOG.md has no entry '## 0.4.0': write it",
    ]


def test_not_dated_yet(sources: Path) -> None:
    """The entry is called unreleased; that of the release candidate is another one."""
    path = sources / "CHANGELOG.md"
    path.write_text(CHANGELOG.replace("0.3.0 (2026-12-01)", "0.3.0 (unreleased)"), encoding="utf-8")
    commit(sources)
    assert list(release.in_the_way("0.3.0")) == ["CHANGELOG.md calls 0.3.0 unreleased: give it its date"]
    path.write_text(CHANGELOG.replace("## 0.3.0 (2026-12-01)", "## 0.2.0"), encoding="utf-8")
    commit(sources)
    assert list(release.in_the_way("0.3.0")) == ["CHANGELOG.md has no entry '## 0.3.0': write it"]


def test_not_committed(sources: Path) -> None:
    """A file that no commit has."""
    (sources / "new").touch()
    assert list(release.in_the_way("0.3.0")) == ["not committed: new; commit or remove it"]


def test_released_before(sources: Path) -> None:
    """The version's tag is on another commit."""
    git(sources, "tag", "v0.3.0")
    commit(sources)
    (problem,) = release.in_the_way("0.3.0")
    assert problem.startswith("the tag v0.3.0 is on ")
    assert problem.endswith(", another commit: that version was released; take the next one")


def test_no_repository(sources: Path) -> None:
    """Sources without git, as from an archive: what was changed is not known."""
    (sources / ".git").rename(sources / "git")
    (problem,) = release.in_the_way("0.3.0")
    assert problem.startswith("git does not tell what was changed: ")


def test_a_build_that_fails(sources: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """It says why, and the release that it is not prepared."""
    place = sources.parent / "programs"
    place.mkdir()
    (place / "build_packages.py").write_text("import sys\nsys.exit('not built: no wheels')\n", encoding="utf-8")
    monkeypatch.setattr(release, "HERE", place)
    monkeypatch.setattr("sys.argv", ["release.py", "0.3.0"])
    assert release.main() == 1
    assert capfd.readouterr().err == "not built: no wheels\nnot prepared: build_packages.py ended with 1\n"
