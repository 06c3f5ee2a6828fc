#!/usr/bin/env python3
"""Put everything into dist/ that a release page needs, and publish nothing. `make release VERSION=0.2.0`.

It refuses what would not be that version: another number in the sources, a changelog without it, changes that are not
committed. Then it builds the packages twice, compares them, adds the bill of materials, and writes the page's text.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Iterator

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "scripts")]

from build_packages import sha256, version_of  # noqa: E402 - found by the line above
from locked import ROOT  # noqa: E402

DIST = ROOT / "dist"


def main() -> int:
    """Prepare the release; 1 if something is in its way, 2 without a version."""
    if len(sys.argv) != 2 or not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", sys.argv[1]):
        sys.stderr.write("make release needs the version, such as VERSION=0.2.0\n")
        return 2
    version = sys.argv[1]
    problems = list(in_the_way(version))
    if problems:
        sys.stderr.write("".join(f"not prepared: {problem}\n" for problem in problems))
        return 1
    try:
        return prepare(version)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"not prepared: {Path(error.cmd[1]).name} ended with {error.returncode}\n")
        return 1


def prepare(version: str) -> int:
    """Build it, into dist/; 1 if it is not the same a second time.

    Raises:
        subprocess.CalledProcessError: a program failed, and has said why.
    """
    build = [sys.executable, str(HERE / "build_packages.py")]
    subprocess.run([*build, str(DIST)], check=True)
    sums = (DIST / "SHA256SUMS").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as again:
        subprocess.run([*build, again], check=True, stdout=subprocess.DEVNULL)
        if Path(again, "SHA256SUMS").read_text(encoding="utf-8") != sums:
            sys.stderr.write("not prepared: two builds of the same commit differ\n")
            return 1
    subprocess.run([sys.executable, str(ROOT / "scripts" / "sbom"), str(DIST)], check=True)
    bill = DIST / f"aws-ipfailover-{version}.cdx.json"
    (DIST / "SHA256SUMS").write_text(f"{sums}{sha256(bill)}  {bill.name}\n", encoding="utf-8")
    page = DIST / "RELEASE.md"
    page.write_text(text(version), encoding="utf-8")
    print(f"{page}  the release page's text\nNothing was published. The tag: git tag -a v{version} {commit()}")
    return 0


def in_the_way(version: str) -> Iterator[str]:
    """What keeps this tree from being the release, in sentences."""
    found = version_of(ROOT)
    if found != version:
        yield f"src/aws_ipfailover/__init__.py says {found}, not {version}: change it"
    if not heading(version):
        yield f"CHANGELOG.md has no entry '## {version}': write it"
    elif "(unreleased)" in heading(version):
        yield f"CHANGELOG.md calls {version} unreleased: give it its date"
    changed = git("status", "--porcelain")
    if changed.returncode != 0:
        yield f"git does not tell what was changed: {changed.stderr.strip()}"
        return
    if changed.stdout:
        names = [line[3:] for line in changed.stdout.splitlines()]
        more = "" if len(names) < 4 else f" and {len(names) - 3} more"
        yield f"not committed: {', '.join(names[:3])}{more}; commit or remove it"
    tagged = git("rev-parse", "--quiet", "--verify", f"refs/tags/v{version}^{{commit}}").stdout.strip()
    if tagged and tagged != commit():
        yield f"the tag v{version} is on {tagged[:12]}, another commit: that version was released; take the next one"


def heading(version: str) -> str:
    """The changelog's line for a version; empty if there is none."""
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    return next((line for line in lines if line.split()[:2] == ["##", version]), "")


def commit() -> str:
    """The commit that is released."""
    return git("rev-parse", "HEAD").stdout.strip()


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git on these sources."""
    return subprocess.run(["git", "-C", str(ROOT), *arguments], check=False, capture_output=True, text=True)


def text(version: str) -> str:
    """The page: what changed, how to install it, and the checksums."""
    log = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    changes = log.split(f"{heading(version)}\n", 1)[1].split("\n## ", 1)[0].strip()
    sums = (DIST / "SHA256SUMS").read_text(encoding="utf-8")
    return (
        f"# aws-ipfailover {version}\n\n{changes}\n\n## Install\n\n"
        "Debian, Ubuntu: `apt install ./aws-ipfailover_*_all.deb`. Red Hat, Amazon Linux:"
        " `dnf install ./aws-ipfailover-*.noarch.rpm`. SUSE: `zypper install --allow-unsigned-rpm"
        " ./aws-ipfailover-*.noarch.rpm`. More, also without the Internet: docs/install.md.\n\n"
        f"## SHA256SUMS\n\n`sha256sum --check --ignore-missing SHA256SUMS`; built from commit {commit()}.\n\n"
        f"```\n{sums}```\n"
    )


if __name__ == "__main__":
    sys.exit(main())
