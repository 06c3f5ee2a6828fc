"""How the root of an instance is put together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from vpc_lab.host import disk
from vpc_lab.host.interpreter import places, python_paths

# In namespaces of its own, as process 1 of an instance is.
BUILD = """
import json, os, sys
from pathlib import Path
from vpc_lab.host.boot import Boot
from vpc_lab.host.disk import mount_disk
top, shown = Path(sys.argv[1]), sys.argv[2:]
os.umask(0o022)
mount_disk(Boot(hostname="node1", root=str(top / "root"), etc=str(top / "etc"), shown=tuple(shown), directories={},
                files={}, memory={"/tmp": 0o1777}))
closed = [str(path) for path in (top / "closed", *sorted((top / "closed").rglob("*")))]
os.setresuid(65534, 65534, 65534)
seen = {path: Path(path).read_text() if Path(path).is_file() else sorted(os.listdir(path)) for path in closed}
sys.stdout.write(json.dumps(seen))
"""


@pytest.mark.root
def test_what_is_shown_of_a_closed_directory_can_be_reached_by_everybody(tmp_path: Path) -> None:
    """A Python that lies in a directory of mode 0700 on the host runs as hacluster too."""
    place = tmp_path.resolve()
    python = place / "closed" / "lib"
    python.mkdir(parents=True)
    (python / "module.py").write_text("pass\n", encoding="ascii")
    (place / "closed" / "link").symlink_to("lib")
    python.chmod(0o755)
    (place / "closed").chmod(0o700)
    (place / "root").mkdir()
    (place / "etc").mkdir()
    shown = places([*map(Path, disk.SYSTEM), *python_paths(), place / "closed"])
    unshare = ["unshare", "--mount", "--net", "--pid", "--fork", "--propagation", "private"]
    done = subprocess.run(
        [*unshare, sys.executable, "-c", BUILD, str(place), *map(str, shown)],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert json.loads(done.stdout) == {
        str(place / "closed"): ["lib", "link"],
        str(python): ["module.py"],
        str(python / "module.py"): "pass\n",
        str(place / "closed" / "link"): ["module.py"],
    }
    assert (place / "closed").stat().st_mode & 0o777 == 0o700


def test_the_copy_of_etc_has_what_everybody_may_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links stay links, a closed directory is empty and stays closed, and what the instances bring is empty."""
    etc, copy = tmp_path / "etc", tmp_path / "copy"
    for name, mode in (("passwd", 0o644), ("shadow", 0o640), ("open/file", 0o644), ("closed/file", 0o644)):
        (etc / name).parent.mkdir(parents=True, exist_ok=True)
        (etc / name).write_text(name, encoding="ascii")
        (etc / name).chmod(mode)
    (etc / "closed").chmod(0o710)
    (etc / "resolv.conf").symlink_to("/run/resolv.conf")
    (etc / "link").symlink_to("open/file")
    monkeypatch.setattr(disk, "ETC", etc)
    disk.copy_etc(copy, [etc / "resolv.conf", etc / "hosts", etc / "missing" / "bundle"])
    found = {str(path.relative_to(copy)) for path in copy.rglob("*")}
    assert found == {"passwd", "open", "open/file", "closed", "link", "resolv.conf", "hosts"}
    assert (copy / "closed").stat().st_mode & 0o777 == 0o710
    assert (copy / "link").is_symlink()
    assert (copy / "link").read_text(encoding="ascii") == "open/file"
    assert not (copy / "resolv.conf").is_symlink()
    assert (copy / "resolv.conf").read_bytes() == b""
