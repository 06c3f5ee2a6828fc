#!/usr/bin/env python3
"""Build the packages into a directory: .deb, .rpm, wheels, sdist, bill of materials, SHA256SUMS. For `make packages`.

The same sources give the same bytes: every time in a package is SOURCE_DATE_EPOCH, by default that of the last commit,
owners are root's, and the order is that of names.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Sequence

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "scripts")]

import bundle  # noqa: E402 - found by the line above
import manpages  # noqa: E402
import spdx  # noqa: E402
from locked import PYTHONS, ROOT  # noqa: E402

NAME = "aws-ipfailover"
HOME = Path("usr/lib") / NAME
# An interpreter that `configure` may choose, newest first.
CHOICE = [f"python{python}" for python in reversed(PYTHONS)]


class Edition(NamedTuple):
    """What is built. release: of the packages of one version, from 1. epoch: seconds since 1970."""

    version: str
    release: str
    epoch: int

    @property
    def ordered(self) -> str:
        """The version as dpkg and rpm order it: a release candidate comes before its release."""
        return re.sub(r"\.?(a|b|rc|dev)(\d+)$", r"~\1\2", self.version)

    @property
    def time(self) -> datetime:
        """The epoch, in UTC."""
        return datetime.fromtimestamp(self.epoch, timezone.utc)


def main() -> int:
    """Build; exit code 1 if a program that is needed is missing, or something else that a sentence says."""
    parser = argparse.ArgumentParser(description="Build the packages of aws-ipfailover.")
    parser.add_argument("directory", type=Path, help="where they go")
    parser.add_argument("--release", default="1", help="the number behind the version, for one more build of it")
    parser.add_argument("--only", choices=["deb", "rpm", "python"], action="append", help="nothing but this kind")
    arguments = parser.parse_args()
    kinds = arguments.only or ["deb", "rpm", "python"]
    needed = {"deb": "dpkg-deb", "rpm": "rpmbuild"}
    for kind in kinds:
        if kind in needed and shutil.which(needed[kind]) is None:
            sys.stderr.write(f"{needed[kind]} is not installed: apt-get install {'dpkg' if kind == 'deb' else 'rpm'}\n")
            return 1
    edition = Edition(version_of(ROOT), arguments.release, source_date())
    os.umask(0o022)
    try:
        with tempfile.TemporaryDirectory() as work:
            made = build(edition, kinds, Path(work), arguments.directory)
    except (ValueError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"not built: {error}\n")
        return 1
    for path in made:
        print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")
    return 0


def version_of(source: Path) -> str:
    """The version of a source tree."""
    text = (source / "src" / "aws_ipfailover" / "__init__.py").read_text(encoding="utf-8")
    (version,) = re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    return str(version)


def source_date() -> int:
    """SOURCE_DATE_EPOCH, or when the last commit was made; of sources without git, of their newest file."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given.isdigit():
        return int(given)
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    try:
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    except (OSError, subprocess.CalledProcessError, ValueError):
        return int(max(path.stat().st_mtime for path in (ROOT / "src").rglob("*.py")))


def build(edition: Edition, kinds: Sequence[str], work: Path, target: Path) -> List[Path]:
    """Build packages of these kinds; returns their paths, and that of SHA256SUMS.

    Raises:
        ValueError: they would not be right; a sentence.
        subprocess.CalledProcessError: a program failed, and has said why.
    """
    target.mkdir(parents=True, exist_ok=True)
    for old in target.iterdir():
        if old.name == "SHA256SUMS" or old.name.startswith((NAME, NAME.replace("-", "_"))):
            old.unlink()
    os.environ["SOURCE_DATE_EPOCH"] = str(edition.epoch)
    wheels = work / "wheels"
    itself = python_packages(wheels)
    if "python" in kinds:
        for path in sorted(wheels.iterdir()):
            shutil.copyfile(path, target / path.name)
    if set(kinds) != {"python"}:
        tree = Tree(edition, work / "tree", itself)
        tree.make()
        bill = target / f"{NAME}-{edition.version}-{edition.release}.spdx.json"
        bill.write_text(tree.bill, encoding="utf-8")
        # Side by side: most of it is compression, by one processor each.
        with ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(FORMATS[one], edition, tree, work / one, target) for one in kinds if one in FORMATS]
        for job in jobs:
            job.result()
    made = sorted(path for path in target.iterdir() if path.name.startswith((NAME, NAME.replace("-", "_"))))
    sums = target / "SHA256SUMS"
    sums.write_text("".join(f"{sha256(path)}  {path.name}\n" for path in made), encoding="utf-8")
    return [*made, sums]


def python_packages(wheels: Path) -> Path:
    """Build wheel and sdist of this package, and the wheel of the lab, into a directory; the first one's path."""
    hatch = [sys.executable, "-m", "hatchling", "build", "--directory", str(wheels)]
    run([*hatch, "--target", "wheel", "--target", "sdist"], ROOT)
    # Its sdist is that of the agent, which has the lab's sources: the lab has its version from there.
    run([*hatch, "--target", "wheel"], ROOT / "lab")
    (itself,) = wheels.glob("aws_ipfailover-*.whl")
    return itself


class Tree:
    """The files that the packages install, below a directory that stands for `/`. It is the same for all of them."""

    def __init__(self, edition: Edition, root: Path, itself: Path) -> None:
        self.edition = edition
        self.root = root
        self.itself = itself
        self.bundled = bundle.bundled()
        self.name = ""
        self.bill = ""

    def make(self) -> None:
        """Put it together."""
        unnamed = self.root / HOME / "package" / "new"
        self.program(unnamed)
        self.name = f"{self.edition.version}-{self.edition.release}-{contents(unnamed)[:12]}"
        unnamed.rename(unnamed.with_name(self.name))
        self.scripts()
        self.documents(self.root / "usr/share/doc" / NAME)
        for path, text in manpages.pages(self.edition.version, f"{self.edition.time:%Y-%m-%d}").items():
            zipped(self.root / f"usr/share/man/man{path[-1]}" / f"{path}.gz", text)
        places = {
            "bash": f"bash-completion/completions/{NAME}",
            "fish": f"fish/vendor_completions.d/{NAME}.fish",
            "zsh": f"zsh/vendor-completions/_{NAME}",
        }
        for shell, text in manpages.completions().items():
            written(self.root / "usr/share" / places[shell], text)
        settle(self.root, self.edition.epoch)

    def program(self, place: Path) -> None:
        """What runs: modules, links to the Pythons, and what makes a virtual environment of it."""
        bundle.unpack(place / "lib", self.itself, HERE / "bundled")
        modules = place / "lib" / bundle.COMMON / "site-packages"
        for agent in manpages.AGENTS:
            name = f"ocf_{agent.replace('-', '_')}.py"
            shutil.copyfile(ROOT / "heartbeat" / agent, modules / name)
            other = place / "lib" / bundle.OLDEST / "site-packages" / name
            other.symlink_to(os.path.relpath(modules / name, other.parent))
        for path in sorted(place.rglob("*")):
            if path.is_file() and not path.is_symlink():
                path.chmod(0o644)
        (place / "bin").mkdir()
        for python in CHOICE:
            (place / "bin" / python).symlink_to(f"/usr/bin/{python}")
        written(place / "pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\n")
        # `aws-ipfailover install` looks for it, and then makes links to the package's own agents.
        written(place / "packaged", f"{self.edition.version}-{self.edition.release}\n")
        files = sorted(path for path in place.rglob("*") if path.is_file() and not path.is_symlink())
        sums = "".join(f"{sha256(path)}  {path.relative_to(place)}\n" for path in files)
        written(place / "SHA256SUMS", sums)

    def scripts(self) -> None:
        """What starts it, and what the packages' scripts run."""
        agents = self.root / "usr/lib/ocf/resource.d/heartbeat"
        for source, path in (
            ("launchers/agent.sh", agents / NAME),
            ("launchers/health.sh", agents / f"{NAME}-health"),
            ("launchers/command.sh", self.root / "usr/bin" / NAME),
            ("setup.sh", self.root / HOME / "setup"),
        ):
            written(path, self.filled(script(source)))
            path.chmod(0o755)

    def filled(self, text: str) -> str:
        """A template with its names replaced.

        Raises:
            ValueError: one of them is not known.
        """
        edition = self.edition
        values = {
            "PYTHONS": " ".join(CHOICE),
            "FIRST": PYTHONS[0],
            "LAST": PYTHONS[-1],
            "NAME": self.name,
            "DEBIAN_VERSION": f"{edition.ordered}-{edition.release}",
            "RPM_VERSION": edition.ordered,
            "RPM_RELEASE": edition.release,
            "LICENCES": " AND ".join(
                f"({one})" if " OR " in one else one for one in spdx.licences_in_use(self.bundled)
            ),
        }
        left = [name for name in re.findall(r"@([A-Z_]+)@", text) if name not in values and name not in LATER]
        if left:
            raise ValueError(f"nothing is known as @{left[0]}@")
        return re.sub(r"@([A-Z_]+)@", lambda found: values.get(found[1], found[0]), text)

    def documents(self, doc: Path) -> None:
        """Licences, changes, examples and the bill of materials."""
        edition = self.edition
        self.bill = json.dumps(
            spdx.document(NAME, edition.version, f"{edition.time:%Y-%m-%dT%H:%M:%SZ}", self.bundled), indent=1
        )
        written(doc / "sbom.spdx.json", self.bill + "\n")
        zipped(doc / "changelog.gz", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
        zipped(doc / "changelog.Debian.gz", debian_changelog(edition))
        shutil.copytree(ROOT / "crm-examples", doc / "examples", ignore=shutil.ignore_patterns("__pycache__"))
        own = (ROOT / "LICENSE").read_text(encoding="utf-8")
        paragraphs = [copyright_head()]
        for one in self.bundled:
            folder = doc / "licenses" / f"{one.locked.name}-{one.locked.version}"
            modules = self.root / HOME / "package" / self.name / "lib" / one.directories[0] / "site-packages"
            found = bundle.licences(modules, one.locked.name, one.locked.version)
            if not found:
                raise ValueError(f"{one.locked.name} {one.locked.version} has no file with its licence")
            for path in found:
                written(folder / path.name, path.read_text(encoding="utf-8", errors="replace"))
            paragraphs.append(copyright_of(one))
        written(doc / "licenses" / NAME / "LICENSE", own)
        written(doc / "copyright", "\n".join(paragraphs) + COMMON_LICENCES)


def script(source: str) -> str:
    """The template of a script; in that of an agent, what starts its program."""
    text = (HERE / source).read_text(encoding="utf-8")
    module = {"launchers/agent.sh": "ocf_aws_ipfailover", "launchers/health.sh": "ocf_aws_ipfailover_health"}
    if source not in module:
        return text
    launch = (HERE / "launchers" / "launch.sh").read_text(encoding="utf-8")
    return text.replace("@LAUNCH@\n", launch.replace("@MODULE@", module[source]))


# Filled in by the function that makes the file, not by `filled`.
LATER = ("SIZE", "STAGE", "FILES")


def contents(place: Path) -> str:
    """A digest of all that is in a directory."""
    digest = hashlib.sha256((place / "SHA256SUMS").read_bytes())
    for path in sorted(path for path in place.rglob("*") if path.is_symlink()):
        digest.update(f"{path.relative_to(place)} -> {path.readlink()}\n".encode())
    return digest.hexdigest()


def sha256(path: Path) -> str:
    """The checksum of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def written(path: Path, text: str) -> None:
    """Write a file, and the directories above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def zipped(path: Path, text: str) -> None:
    """Write a file that is compressed as Debian's policy says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def settle(root: Path, epoch: int) -> None:
    """Give everything below `root` one time, and modes that follow from what it is."""
    for path in sorted(root.rglob("*"), reverse=True):
        if not path.is_symlink():
            executable = path.is_dir() or bool(path.stat().st_mode & 0o100)
            path.chmod(0o755 if executable else 0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)


# -- Debian -----------------------------------------------------------------------------------------------------------


def deb(edition: Edition, tree: Tree, work: Path, target: Path) -> None:
    """Build the .deb."""
    shutil.copytree(tree.root, work, symlinks=True)
    control = work / "DEBIAN"
    files = sorted(path for path in work.rglob("*") if path.is_file() and not path.is_symlink())
    size = sum(-(-path.stat().st_size // 1024) for path in files) + sum(1 for path in work.rglob("*") if path.is_dir())
    sums = "".join(f"{md5(path)}  {path.relative_to(work)}\n" for path in files)
    for source in sorted((HERE / "debian").iterdir()):
        text = tree.filled(source.read_text(encoding="utf-8")).replace("@SIZE@", str(size))
        written(control / source.name, text)
        (control / source.name).chmod(0o755 if text.startswith("#!") else 0o644)
    written(control / "md5sums", sums)
    settle(work, edition.epoch)
    name = f"{NAME}_{edition.ordered}-{edition.release}_all.deb"
    # xz: dpkg of Debian 11 reads no zstd.
    run(["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(work), str(target / name)], work)


def md5(path: Path) -> str:
    """What `dpkg --verify` compares."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def debian_changelog(edition: Edition) -> str:
    """The entry of this package alone."""
    date = f"{edition.time:%a, %d %b %Y %H:%M:%S} +0000"
    head = f"{NAME} ({edition.ordered}-{edition.release}) unstable; urgency=medium"
    return f"{head}\n\n  * See changelog.gz.\n\n -- {MAINTAINER}  {date}\n"


MAINTAINER = "The aws-ipfailover authors <aws-ipfailover@localhost.localdomain>"


def copyright_head() -> str:
    """The beginning of Debian's file copyright."""
    return (
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
        f"Upstream-Name: {NAME}\n"
        "Comment: The whole texts of all licences are in /usr/share/doc/aws-ipfailover/licenses.\n"
        "\nFiles: *\nCopyright: the aws-ipfailover authors\nLicense: Apache-2.0\n"
    )


def copyright_of(one: bundle.Bundled) -> str:
    """A bundled package's paragraph."""
    places = " ".join(
        f"usr/lib/{NAME}/package/*/lib/{each}/site-packages/{one.locked.name.replace('-', '*')}*"
        for each in one.directories
    )
    licence = spdx.LICENCES[one.locked.name].replace(" OR ", " or ")
    folder = f"/usr/share/doc/{NAME}/licenses/{one.locked.name}-{one.locked.version}"
    return f"Files: {places}\nCopyright: see {folder}\nLicense: {licence}\n See {folder}\n"


COMMON_LICENCES = """
License: Apache-2.0
 On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.
"""


# -- rpm --------------------------------------------------------------------------------------------------------------


def rpm(edition: Edition, tree: Tree, work: Path, target: Path) -> None:
    """Build the .rpm; it has the files of the .deb but for Debian's own."""
    stage = work / "stage"
    shutil.copytree(tree.root, stage, symlinks=True)
    doc = stage / "usr/share/doc" / NAME
    for name in ("changelog.Debian.gz", "copyright"):
        (doc / name).unlink()
    moved = stage / "usr/share/licenses" / NAME
    moved.parent.mkdir(parents=True)
    (doc / "licenses").rename(moved)
    completions = stage / "usr/share/zsh"
    (completions / "vendor-completions").rename(completions / "site-functions")
    settle(stage, edition.epoch)
    spec = work / f"{NAME}.spec"
    text = tree.filled((HERE / spec.name).read_text(encoding="utf-8"))
    written(spec, text.replace("@STAGE@", str(stage)).replace("@FILES@", "\n".join(spec_files(stage))))
    defined = {"_topdir": work / "top", "_rpmdir": work / "out", "_tmppath": work / "tmp", "_dbpath": work / "db"}
    (work / "tmp").mkdir()
    options = [word for name, value in defined.items() for word in ("--define", f"{name} {value}")]
    done = subprocess.run(
        ["rpmbuild", "--quiet", "-bb", "--target", "noarch", *options, str(spec)],
        check=False,
        capture_output=True,
        text=True,
        cwd=work,
        env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
    )
    if done.returncode != 0:
        raise ValueError(f"rpmbuild fails: {done.stderr.strip()}")
    (made,) = (work / "out").rglob("*.rpm")
    shutil.copyfile(made, target / made.name)


def spec_files(stage: Path) -> Iterable[str]:
    """The lines of %files: every file, and the directories that are the package's own."""
    own: Dict[str, str] = {
        f"usr/lib/{NAME}": "%dir ",
        f"usr/share/doc/{NAME}": "%dir ",
        f"usr/share/licenses/{NAME}": "%dir ",
    }
    for path in sorted(stage.rglob("*")):
        name = str(path.relative_to(stage))
        if path.is_dir() and not path.is_symlink():
            if any(name == each or name.startswith(each + "/") for each in own):
                yield f'%dir "/{name}"'
        elif name.startswith("usr/share/doc/"):
            yield f'%doc "/{name}"'
        elif name.startswith("usr/share/licenses/"):
            yield f'%license "/{name}"'
        else:
            yield f'"/{name}"'


FORMATS = {"deb": deb, "rpm": rpm}


def run(command: Sequence[str], cwd: Path) -> None:
    """Run a program; what it says is shown only if it fails, which raises subprocess.CalledProcessError."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd)
    if done.returncode != 0:
        sys.stderr.write(done.stdout + done.stderr)
        raise subprocess.CalledProcessError(done.returncode, list(command))


if __name__ == "__main__":
    sys.exit(main())
