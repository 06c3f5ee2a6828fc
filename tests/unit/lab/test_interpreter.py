"""What has to be seen of a Python for it to run."""

from __future__ import annotations

from pathlib import Path
from typing import List

from vpc_lab.host.interpreter import places, python_paths


def places_below(top: Path, *paths: Path) -> List[Path]:
    """Only those below `top`: pytest's own directories may be reached over links, too."""
    return [found for found in places(paths) if top in found.parents]


def test_every_symbolic_link_is_followed(tmp_path: Path) -> None:
    """A virtual environment may lead to its interpreter over several links, also in the middle of a path."""
    tmp_path = tmp_path.resolve()
    real = tmp_path / "versions" / "3.11" / "bin" / "python3.11"
    real.parent.mkdir(parents=True)
    real.touch()
    (tmp_path / "versions" / "default").symlink_to("3.11")
    (tmp_path / "venv").mkdir()
    python = tmp_path / "venv" / "python"
    python.symlink_to(tmp_path / "versions" / "default" / "bin" / "python3.11")
    assert places_below(tmp_path, python) == sorted([python, real, tmp_path / "versions" / "default"])


def test_a_directory_comes_before_what_is_in_it(tmp_path: Path) -> None:
    """Whatever the order in which they are asked for."""
    tmp_path = tmp_path.resolve()
    (tmp_path / "prefix" / "lib").mkdir(parents=True)
    asked = [tmp_path / "prefix" / "lib", tmp_path / "prefix"]
    assert places_below(tmp_path, *asked) == [tmp_path / "prefix", tmp_path / "prefix" / "lib"]


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    """Broken installations exist."""
    (tmp_path / "one").symlink_to(tmp_path / "other")
    (tmp_path / "other").symlink_to(tmp_path / "one")
    assert [path.name for path in places_below(tmp_path.resolve(), tmp_path / "one")] == ["one", "other"]


def test_what_is_missing_is_nothing(tmp_path: Path) -> None:
    """sys.path may name what is not there, such as the zip file of the standard library."""
    assert places_below(tmp_path.resolve(), tmp_path / "lib" / "python311.zip") == []


def test_the_root_is_never_shown() -> None:
    """`python -m` puts the directory it is called in on sys.path, and a lab's supervisor is called in /."""
    assert places([Path("/"), Path("/usr/..")]) == ()


def test_this_interpreter_is_among_the_paths() -> None:
    """Its binary, its prefix and where this package comes from."""
    paths = python_paths()
    assert all(isinstance(path, Path) for path in paths)
    assert any((path / "aws_ipfailover").is_dir() for path in paths)
