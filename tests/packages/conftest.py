"""The packages, built once for all tests here, and the page that `make packages-matrix` writes of what came of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Callable, Dict, Iterator

import pytest

from box import Box, box
from packages_page import Row, write
from sandbox import cannot_run, need_commands, need_root

ROOT = Path(__file__).parents[2]
# The tests that take long are those of `make packages-matrix`.
collect_ignore = [] if os.environ.get("PACKAGES_MATRIX") else ["matrix"]


def build(directory: Path, *options: str) -> Path:
    """Build packages into a directory."""
    command = [sys.executable, str(ROOT / "packaging" / "build_packages.py"), str(directory), *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with everything that `make packages` builds: built now, or PACKAGES_DIST."""
    need_commands("dpkg-deb", "rpmbuild")
    return (
        Path(os.environ["PACKAGES_DIST"]) if "PACKAGES_DIST" in os.environ else build(tmp_path_factory.mktemp("dist"))
    )


@pytest.fixture(scope="session")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same packages again, as the next release of the same version, or PACKAGES_NEWER: what to upgrade to."""
    need_commands("dpkg-deb", "rpmbuild")
    if "PACKAGES_NEWER" in os.environ:
        return Path(os.environ["PACKAGES_NEWER"])
    return build(tmp_path_factory.mktemp("newer"), "--release", "2", "--only", "deb", "--only", "rpm")


def deb_of(directory: Path) -> str:
    """The path of the .deb in a directory."""
    (path,) = directory.glob("*.deb")
    return str(path)


def rpm_of(directory: Path) -> str:
    """The path of the .rpm in a directory."""
    (path,) = directory.glob("*.rpm")
    return str(path)


@pytest.fixture
def open_box() -> Iterator[Box]:
    """A box around this machine's system."""
    need_root()
    need_commands("unshare", "nsenter")
    with box() as opened:
        yield opened


@pytest.fixture(scope="module")
def installed(packages: Path) -> Iterator[Box]:
    """A box in which the .deb is installed, for tests that leave it as it is."""
    need_root()
    need_commands("unshare", "nsenter", "dpkg")
    try:
        with box() as opened:
            opened.run("dpkg", "--install", deb_of(packages))
            yield opened
    except RuntimeError as error:
        cannot_run(str(error))


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Say something that stands beside the test's result in the page."""
    return lambda text: request.node.user_properties.append((NOTE, text))


# -- the page ---------------------------------------------------------------------------------------------------------

NOTE, SENTENCE = "note", "sentence"
_results: Dict[str, Row] = {}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Keep what the page calls the test: its report is all that one process tells another one."""
    case = f" ({item.callspec.id})" if hasattr(item, "callspec") else ""
    sentence = (getattr(item, "obj", None).__doc__ or item.name).strip().splitlines()[0]
    item.user_properties.append((SENTENCE, sentence + case))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write the page that PACKAGES_PAGE names, with what came of the tests so far: a run may be cut short."""
    page = os.environ.get("PACKAGES_PAGE")
    if not page or "PYTEST_XDIST_WORKER" in os.environ or not (report.when == "call" or report.outcome != "passed"):
        return
    notes = "; ".join(str(text) for name, text in report.user_properties if name == NOTE)
    sentence = next((str(text) for name, text in report.user_properties if name == SENTENCE), report.nodeid)
    if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
        notes = report.longrepr[2].replace("Skipped: ", "", 1)
    _results[report.nodeid] = Row(report.nodeid, sentence, report.outcome, notes)
    write(Path(page), list(_results.values()), os.environ.get("PACKAGES_RESULTS"))
