"""lintian and rpmlint: nothing is found but what is explained here."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Callable, Dict, Set

from sandbox import need_commands

from ..conftest import deb_of, rpm_of

LINKS = "the Python of the node, by its name; dangling but for those that are there"
BUNDLED = "modules as their authors publish them; nothing executes them by their names"
LINTIAN: Dict[str, str] = {
    "bogus-mail-host": "the project has no mail address: SECURITY.md has the way to its authors",
    "bogus-mail-host-in-debian-changelog": "as above",
    "absolute-symlink-in-top-level-folder": LINKS,
    "initial-upload-closes-no-bugs": "the package is not meant for Debian's archive",
    "script-not-executable": BUNDLED,
    "unusual-interpreter": BUNDLED,
}
RPMLINT: Dict[str, str] = {
    "files-duplicate": "two SDKs, for Python 3.9 and for newer ones, and their licences, have files in common",
    "files-duplicated-waste": "as above",
    "invalid-license": "rpmlint of Debian 12 does not know the names of SPDX",
    "non-executable-script": BUNDLED,
    "symlink-should-be-relative": LINKS,
    "dangling-symlink": LINKS,
    "manpage-not-compressed": "compressed by gzip, and not as openSUSE does",
    "only-non-binary-in-usr-lib": "agents belong there, and a program of scripts may",
    "no-url-tag": "the sources say no address",
    "no-manual-page-for-binary": "its page is in section 8, and rpmlint looks for section 1",
    "no-signature": "the project has no key: SHA256SUMS",
    "no-packager-tag": "the sources name no address",
    "no-changelogname-tag": "the changelog is in the documentation",
}


def test_lintian(packages: Path, note: Callable[[str], None]) -> None:
    """lintian: what it finds is one of those that are explained beside."""
    need_commands("lintian")
    command = ["lintian", "--allow-root", "--tag-display-limit", "0", deb_of(packages)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    found = set(re.findall(r"^[EW]: [^:]+: (\S+)", done.stdout, re.MULTILINE))
    explain(found, LINTIAN, note)


def test_rpmlint(packages: Path, note: Callable[[str], None]) -> None:
    """rpmlint: what it finds is one of those that are explained beside."""
    need_commands("rpmlint")
    done = subprocess.run(["rpmlint", rpm_of(packages)], check=False, capture_output=True, text=True)
    found = set(re.findall(r": [EW]: (\S+)", done.stdout))
    assert "1 packages" in done.stdout
    explain(found, RPMLINT, note)


def explain(found: Set[str], known: Dict[str, str], note: Callable[[str], None]) -> None:
    """Note the reasons; AssertionError for what has none."""
    assert sorted(found - set(known)) == []
    for tag in sorted(found):
        note(f"`{tag}`: {known[tag]}")
