"""What `make packages` builds: the same bytes each time, and what is in them."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Callable, Dict, List

import pytest

import aws_ipfailover
import bundle
import manpages
import spdx
from locked import PYTHONS, read

from .conftest import build, deb_of, rpm_of

LARGEST = 8_000_000  # bytes


@pytest.fixture(scope="module")
def files(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the .deb."""
    directory = tmp_path_factory.mktemp("deb")
    subprocess.run(["dpkg-deb", "--extract", deb_of(packages), str(directory)], check=True)
    return directory


def program(files: Path) -> Path:
    """The directory of what runs, as the package has it."""
    (found,) = (files / "usr/lib/aws-ipfailover/package").iterdir()
    return found


def test_two_builds_have_the_same_bytes(packages: Path, tmp_path: Path, note: Callable[[str], None]) -> None:
    """A second build gives the same bytes: .deb, .rpm, wheels, sdist, bill of materials."""
    # All of it in `make packages-matrix`; the .rpm, whose compression takes longest, is made of the .deb's files.
    some = [] if os.environ.get("PACKAGES_MATRIX") else ["--only", "deb", "--only", "python"]
    again = build(tmp_path / "again", *some)
    sums = (again / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    assert set(sums) <= set((packages / "SHA256SUMS").read_text(encoding="utf-8").splitlines())
    for line in sums:
        digest, _, name = line.partition("  ")
        assert hashlib.sha256((packages / name).read_bytes()).hexdigest() == digest, name
    note(f"{len(sums)} files")


def test_everything_is_there(packages: Path) -> None:
    """A .deb, an .rpm, wheel and sdist, the lab's wheel, the bill of materials, and a checksum of each."""
    version = aws_ipfailover.__version__
    assert sorted(path.name for path in packages.iterdir()) == sorted(
        [
            "SHA256SUMS",
            f"aws-ipfailover-{version}-1.noarch.rpm",
            f"aws-ipfailover-{version}-1.spdx.json",
            f"aws-ipfailover_{version}-1_all.deb",
            f"aws_ipfailover-{version}-py3-none-any.whl",
            f"aws_ipfailover-{version}.tar.gz",
            f"aws_ipfailover_lab-{version}-py3-none-any.whl",
        ]
    )
    assert subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], check=False, cwd=packages).returncode == 0


def test_size(packages: Path, note: Callable[[str], None]) -> None:
    """The .deb and the .rpm are below 8 MB."""
    sizes = [Path(path).stat().st_size for path in (deb_of(packages), rpm_of(packages))]
    note(", ".join(f"{size / 1e6:.1f} MB" for size in sizes))
    assert max(sizes) < LARGEST


def test_nothing_is_for_one_architecture(files: Path) -> None:
    """There is no compiled file, and no bytecode: that is made on the node, for its Python."""
    suffixes = {path.suffix for path in files.rglob("*") if path.is_file()}
    assert suffixes.isdisjoint({".so", ".pyc", ".pyd", ".exe", ".a"})


def test_nothing_names_the_machine_that_built_it(files: Path) -> None:
    """No file has the path of the sources."""
    source = str(Path(__file__).parents[2]).encode()
    assert [path for path in files.rglob("*") if path.is_file() and source in path.read_bytes()] == []


def test_both_packages_have_the_same_program(packages: Path, files: Path) -> None:
    """The .rpm installs what the .deb does, but for places that differ between distributions."""
    command = ["rpm", "--query", "--package", "--list", "--nosignature", rpm_of(packages)]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    here = [f"/{path.relative_to(files)}" for path in files.rglob("*") if path.is_symlink() or not path.is_dir()]
    elsewhere = ("/usr/share/doc", "/usr/share/licenses", "/usr/share/zsh")
    assert {one for one in here if not one.startswith(elsewhere)} <= set(listed)


def test_each_python_has_the_locked_sdk(files: Path) -> None:
    """Each Python finds exactly the versions that requirements/agent.txt has for it, as `make install` does."""
    for python in PYTHONS:
        modules = program(files) / "lib" / f"python{python}" / "site-packages"
        wanted = {(one.name, one.version) for one in bundle.wanted(python)}
        found = set()
        for path in modules.glob("*.dist-info"):
            metadata = (path / "METADATA").read_text(encoding="utf-8")
            name, version = (re.findall(f"^{key}: (.+)$", metadata, re.MULTILINE)[0] for key in ("Name", "Version"))
            found.add((name.lower().replace("_", "-"), version))
        assert found == {*wanted, ("aws-ipfailover", aws_ipfailover.__version__)}


def test_the_sdk_is_trimmed(files: Path) -> None:
    """Of some four hundred services those are there that the agent, and credentials of a profile, need."""
    for python in ("python3", "python3.9"):
        data = program(files) / "lib" / python / "site-packages/botocore/data"
        assert {path.name for path in data.iterdir() if path.is_dir()} == set(bundle.SERVICES)
        assert {"endpoints.json", "partitions.json"} <= {path.name.replace(".gz", "") for path in data.iterdir()}


def test_the_bill_of_materials(files: Path, packages: Path) -> None:
    """SPDX 2.3 with every bundled package, its licence, and the checksum of a wheel that the lock has."""
    doc = files / "usr/share/doc/aws-ipfailover"
    bill = json.loads((doc / "sbom.spdx.json").read_text(encoding="utf-8"))
    (beside,) = packages.glob("*.spdx.json")
    assert json.loads(beside.read_text(encoding="utf-8")) == bill
    assert bill["spdxVersion"] == "SPDX-2.3"
    hashes: Dict[str, List[str]] = {f"{one.name} {one.version}": list(one.hashes) for one in read("agent")}
    listed = {f"{one['name']} {one['versionInfo']}": one for one in bill["packages"]}
    del listed[f"aws-ipfailover {aws_ipfailover.__version__}"]
    assert set(listed) == {f"{one.locked.name} {one.locked.version}" for one in bundle.bundled()}
    for name, one in listed.items():
        assert one["checksums"][0]["checksumValue"] in hashes[name]
        assert any((doc / "licenses" / name.replace(" ", "-")).iterdir())
        assert one["licenseConcluded"] == spdx.LICENCES[one["name"]]
    ids = {one["SPDXID"] for one in bill["packages"]}
    assert {one["relatedSpdxElement"] for one in bill["relationships"]} == ids


def test_a_package_without_a_known_licence(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nobody has read the licence of ends the build, with its name."""
    monkeypatch.delitem(spdx.LICENCES, "idna")
    with pytest.raises(ValueError, match="has no licence for idna"):
        spdx.document("aws-ipfailover", "1", "2026-11-29T00:00:00Z", bundle.bundled())


def test_manual_pages(files: Path) -> None:
    """Each agent's page has every parameter and action of its metadata, and the command's page every command."""
    for agent in manpages.AGENTS:
        page = gzip.decompress((files / f"usr/share/man/man7/ocf_heartbeat_{agent}.7.gz").read_bytes()).decode()
        for kind in ("parameter", "action"):
            for name in re.findall(f'<{kind} name="([^"]+)"', manpages.metadata_of(agent)):
                assert f"\\fB{manpages.escape(name)}\\fP" in page
    command = gzip.decompress((files / "usr/share/man/man8/aws-ipfailover.8.gz").read_bytes()).decode()
    for name in ("doctor", "install", "iam\\-policy", "watch"):
        assert f".SS {name}\n" in command


def test_completion(files: Path) -> None:
    """There is a file for bash, zsh and fish, where these look for it."""
    share = files / "usr/share"
    for path in (
        "bash-completion/completions/aws-ipfailover",
        "zsh/vendor-completions/_aws-ipfailover",
        "fish/vendor_completions.d/aws-ipfailover.fish",
    ):
        assert "_AWS_IPFAILOVER_COMPLETE" in (share / path).read_text(encoding="utf-8")


def test_the_scripts_are_shell(files: Path) -> None:
    """Every script passes `sh -n`, with nothing left of a template."""
    scripts = [
        path for path in files.rglob("*") if path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o100
    ]
    assert len(scripts) == 4, scripts
    for path in scripts:
        assert subprocess.run(["sh", "-n", str(path)], check=False).returncode == 0
        assert not re.search("@[A-Z_]+@", path.read_text(encoding="utf-8"))
