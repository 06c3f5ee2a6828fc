"""Which directories keep other users from this Python."""

from __future__ import annotations

from pathlib import Path
from typing import List

from aws_ipfailover.lab.interpreter import closed_directories, python_paths


def closed_below(top: Path, path: Path) -> List[Path]:
    """Only those below `top`: pytest's own directories are closed, too."""
    return [found for found in closed_directories([path]) if top in found.parents]


def test_a_closed_directory_on_the_way_is_found(tmp_path: Path) -> None:
    """The user hacluster cannot pass 0700; 0711 is enough."""
    binary = tmp_path / "home" / "open" / "bin" / "python"
    binary.parent.mkdir(parents=True)
    binary.touch()
    (tmp_path / "home" / "open").chmod(0o711)
    (tmp_path / "home").chmod(0o700)
    assert closed_below(tmp_path, binary) == [tmp_path / "home"]


def test_every_symbolic_link_is_followed(tmp_path: Path) -> None:
    """A virtual environment in an open place may lead to an interpreter in a closed one, over several links."""
    real = tmp_path / "closed" / "python3.11"
    real.parent.mkdir()
    real.touch()
    (tmp_path / "shims").mkdir()
    (tmp_path / "shims" / "python3").symlink_to(Path("..") / "closed" / "python3.11")
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "python").symlink_to(tmp_path / "shims" / "python3")
    (tmp_path / "closed").chmod(0o700)
    assert closed_below(tmp_path, tmp_path / "venv" / "python") == [tmp_path / "closed"]


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    """Broken installations exist."""
    (tmp_path / "one").symlink_to(tmp_path / "other")
    (tmp_path / "other").symlink_to(tmp_path / "one")
    assert closed_below(tmp_path, tmp_path / "one") == []


def test_what_is_missing_is_nothing(tmp_path: Path) -> None:
    """sys.path may name what is not there, such as the zip file of the standard library."""
    assert closed_below(tmp_path, tmp_path / "lib" / "python311.zip") == []


def test_this_interpreter_is_among_the_paths() -> None:
    """Its binary, its prefix and where this package comes from."""
    paths = python_paths()
    assert all(isinstance(path, Path) for path in paths)
    assert any((path / "aws_ipfailover").is_dir() for path in paths)
