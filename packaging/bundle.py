"""What the packages carry: the agent's library and the SDK, as two directories of modules for the Pythons they are for.

The versions are those of requirements/agent.txt, as `make install` installs them: Python 3.9 has the last ones that run
there, and every newer Python has newer ones. All are pure Python, so that a package is for every architecture. Files
that are the same in both directories are there once: the older one has a symbolic link.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

from packaging.markers import Marker
from packaging.utils import canonicalize_name

from locked import PYTHONS, ROOT, Locked, path_of, read

# Directories of modules below lib/, and the Python for which each is resolved; newer Pythons have links to the first.
COMMON, OLDEST = "python3", "python3.9"
FOR = {COMMON: "3.11", OLDEST: "3.9"}
# What of botocore's data stays: what is for all services, and those that the agent and credentials of a profile call.
SERVICES = ("ec2", "sts", "sso", "sso-oidc", "signin")
# Directories and files of the bundled packages that nothing here reads, by their paths below the directory of modules.
UNUSED = ("boto3/data", "boto3/examples", "botocore/cacert.pem")
LEXERS = ("__init__.py", "_mapping.py", "special.py", "python.py")
WHEELS = ROOT / ".venv" / "bundle"


class Bundled(NamedTuple):
    """A package that is bundled: its name and version, and the directories of modules that have it."""

    locked: Locked
    directories: Tuple[str, ...]


def bundled() -> List[Bundled]:
    """The packages, by name and version."""
    found: Dict[Tuple[str, str], Bundled] = {}
    for directory, python in FOR.items():
        for one in wanted(python):
            old = found.get((one.name, one.version), Bundled(one, ()))
            found[one.name, one.version] = Bundled(one, (*old.directories, directory))
    return [found[key] for key in sorted(found)]


def wanted(python: str) -> List[Locked]:
    """What of the lock is for a Python, such as "3.9", on Linux."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "implementation_name": "cpython",
    }
    return [one for one in read("agent") if not one.marker or Marker(one.marker).evaluate(environment)]


def fetch(python: str) -> Path:
    """The directory with the wheels for a Python; they are downloaded once for each state of the lock.

    Raises:
        subprocess.CalledProcessError: pip has said why.
    """
    folder = WHEELS / python
    stamp, lock = folder / "made-from", path_of("agent").read_text(encoding="utf-8")
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == lock:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    requirements = folder / "requirements.txt"
    # Without markers: pip evaluates them for the Python that runs it.
    requirements.write_text(
        "".join(
            f"{one.name}=={one.version} {' '.join(f'--hash=sha256:{each}' for each in one.hashes)}\n"
            for one in wanted(python)
        ),
        encoding="utf-8",
    )
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "--dest",
        str(folder),
    ]
    command += ["--only-binary=:all:", "--platform=any", "--implementation=py", "--abi=none"]
    subprocess.run([*command, f"--python-version={python}", f"--requirement={requirements}"], check=True)
    stamp.write_text(lock, encoding="utf-8")
    return folder


def unpack(lib: Path, itself: Path, patches: Path) -> None:
    """Make the directories of modules below `lib`.

    itself: the wheel of this package.  patches: what replaces files of bundled packages, by their paths.
    """
    for directory, python in FOR.items():
        modules = lib / directory / "site-packages"
        for wheel in [itself, *sorted(fetch(python).glob("*.whl"))]:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(modules, [one for one in archive.namelist() if is_used(one)])
        trim(modules)
        for patch in sorted(path for path in patches.rglob("*.py")):
            shutil.copyfile(patch, modules / patch.relative_to(patches))
    share(lib / COMMON / "site-packages", lib / OLDEST / "site-packages")
    for python in PYTHONS:
        if f"python{python}" != OLDEST:
            (lib / f"python{python}").symlink_to(COMMON)


def is_used(name: str) -> bool:
    """Whether a wheel's file is one that the packages have; `name`: its path in the wheel."""
    parts = name.split("/")
    if parts[0].endswith(".data"):  # headers and scripts of a wheel
        return False
    if parts[0].endswith(".dist-info"):  # but for what names the machine, or the program, that installed it
        return parts[-1] not in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "top_level.txt")
    if parts[:2] == ["botocore", "data"] and len(parts) > 3:
        return parts[2] in SERVICES and not parts[-1].startswith("examples-")
    if parts[:2] == ["pygments", "lexers"]:  # rich colours source code with them, of which nothing is shown
        return parts[-1] in LEXERS
    return not any(name == path or name.startswith(path + "/") for path in UNUSED)


def trim(modules: Path) -> None:
    """Remove old versions of EC2: the SDK takes the newest one unless it is asked for another."""
    for path in sorted((modules / "botocore" / "data" / "ec2").iterdir())[:-1]:
        shutil.rmtree(path)


def remove(path: Path) -> None:
    """Remove a file or a directory, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def share(common: Path, other: Path) -> None:
    """Replace each entry of `other` that is the same in `common` by a link to it."""
    for path in sorted(other.iterdir()):
        twin = common / path.name
        if same(path, twin):
            remove(path)
            path.symlink_to(os.path.relpath(twin, other))


def same(one: Path, other: Path) -> bool:
    """Whether two files, or two directories with all that is in them, have the same contents."""
    if one.is_dir() != other.is_dir() or not other.exists():
        return False
    if not one.is_dir():
        return filecmp.cmp(one, other, shallow=False)
    names = sorted(path.name for path in one.iterdir())
    return names == sorted(path.name for path in other.iterdir()) and all(same(one / n, other / n) for n in names)


def licences(modules: Path, name: str, version: str) -> List[Path]:
    """The files with the licence of a bundled package."""
    (info,) = [one for one in modules.glob("*.dist-info") if is_of(one, name, version)]
    words = ("licen", "copying", "notice", "authors")
    return sorted(path for path in info.rglob("*") if path.is_file() and path.name.lower().startswith(words))


def is_of(info: Path, name: str, version: str) -> bool:
    """Whether a .dist-info directory is that of a package's version."""
    found, _, its = info.name[: -len(".dist-info")].rpartition("-")
    return canonicalize_name(found) == name and its == version
