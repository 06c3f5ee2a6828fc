"""tests/lab_workers.py and tests/lab/conftest.py: pytest-xdist, as it is here, keeps together what shares a lab."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

import pytest

from lab_workers import shared

TESTS = Path(__file__).parents[1]
TEST = """
import os, pathlib, pytest

@pytest.mark.parametrize("name", {names})
def test_it(name):
    with pathlib.Path(__file__).with_suffix(".said").open("a") as said:
        print(name, os.environ["PYTEST_XDIST_WORKER"], file=said)
"""


def ran(directory: Path, where: str, names: Dict[str, List[str]]) -> Dict[str, List[List[str]]]:
    """Run tests in files of another project that has the lab's conftest.py; their names and workers, by file."""
    place = directory / where
    place.mkdir(parents=True)
    for needed in ("__init__.py", "conftest.py", "calls.py"):
        shutil.copy(TESTS / "lab" / needed, place)
    for file, wanted in names.items():
        (place / f"test_{file}.py").write_text(TEST.format(names=wanted), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "-n", "3", where]
    environ = {**{k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}, "PYTHONPATH": str(TESTS)}
    done = subprocess.run(command, cwd=directory, env=environ, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    said = {file: (place / f"test_{file}.said").read_text(encoding="utf-8") for file in names}
    return {file: [line.split() for line in text.splitlines()] for file, text in said.items()}


def test_a_file_is_run_by_one_worker(tmp_path: Path) -> None:
    """However many workers there are; and the files by several."""
    names = [f"case{number}" for number in range(8)]
    found = ran(tmp_path, "tests/lab", {"one": names, "two": names, "three": names})
    workers = {file: {line[1] for line in lines} for file, lines in found.items()}
    assert {file: len(those) for file, those in workers.items()} == {"one": 1, "two": 1, "three": 1}
    assert len(set().union(*workers.values())) > 1
    assert {file: [line[0] for line in lines] for file, lines in found.items()} == dict.fromkeys(found, names)


def test_groups_of_a_file_are_each_run_by_one_worker(tmp_path: Path) -> None:
    """A group is what the test's parameters name after an @."""
    names = [f"case{number}@{group}" for group in ("eni", "overlay") for number in range(4)]
    lines = ran(tmp_path, "tests/lab", {"one": names})["one"]
    by_group = {group: {line[1] for line in lines if line[0].endswith(group)} for group in ("eni", "overlay")}
    assert [len(workers) for workers in by_group.values()] == [1, 1]
    assert by_group["eni"] != by_group["overlay"]


@pytest.mark.parametrize("file", ["tests/unit/test_x.py", "tests/agent/test_x.py"])
def test_others_share_nothing(file: str) -> None:
    """A test outside of tests/lab is its own."""
    assert shared(f"{file}::test_it[a@b]") == f"{file}::test_it[a@b]"
