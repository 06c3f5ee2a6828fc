"""requirements/, what `make` installs from it, the models' origin, and what is said of all this (SBOM, audit)."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Set, Tuple
from zipfile import ZipFile

import pytest
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import locked
from aws_ipfailover import __version__
from locked import MACHINES, PYTHONS, SOURCES, Locked, Source

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT: Dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# What an installation on a node is made from: the agent's own needs, and those of its commands.
NEEDED = (*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["cli"])
# Locks that `make` and scripts/pythons install into one environment.
ENVIRONMENTS = (("build", "agent"), ("build", "lab", "dev", "bench"), ("build", "lab", "test"), ("build", "oldest"))


def environment(python: str, machine: str) -> Dict[str, str]:
    """The values of markers on Linux with CPython, the newest of a minor version."""
    here = {name: str(value) for name, value in default_environment().items()}
    return {
        **here,
        "python_version": python,
        "python_full_version": f"{python}.99",
        "implementation_version": f"{python}.99",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "platform_machine": machine,
        "platform_system": "Linux",
        "sys_platform": "linux",
        "os_name": "posix",
    }


ALL = [environment(python, machine) for python in PYTHONS for machine in MACHINES]


def group(name: str) -> Iterator[str]:
    """The requirements of a dependency group, with those of the groups that it includes."""
    for one in PROJECT["dependency-groups"][name]:
        if isinstance(one, str):
            yield one
        else:
            yield from group(one["include-group"])


def required(source: Source) -> List[Requirement]:
    """What a lock is made from."""
    texts = list(PROJECT["project"]["dependencies"]) if source.project else []
    for extra in source.extras:
        texts += PROJECT["project"]["optional-dependencies"][extra]
    for one in source.groups:
        texts += group(one)
    return [Requirement(text) for text in texts]


def applying(lock: List[Locked], where: Mapping[str, str]) -> List[Locked]:
    """The part of a lock that is installed in an environment."""
    return [one for one in lock if not one.marker or Marker(one.marker).evaluate(dict(where))]


def unsatisfied(source: Source, lock: List[Locked], where: Mapping[str, str]) -> List[str]:
    """The requirements of a source for which the lock has no version, or one that does not satisfy them."""
    versions = {one.name: one.version for one in applying(lock, where)}
    return [
        str(one)
        for one in required(source)
        if (not one.marker or one.marker.evaluate(dict(where)))
        and not one.specifier.contains(versions.get(canonicalize_name(one.name), ""), prereleases=True)
    ]


@pytest.mark.parametrize("name", SOURCES)
def test_a_lock_satisfies_pyproject(name: str) -> None:
    """For every Python and machine, each requirement that a lock is made from has a version in it that fits."""
    for where in ALL:
        assert unsatisfied(SOURCES[name], locked.read(name), where) == [], where


def test_a_version_that_does_not_fit_is_seen() -> None:
    """The agent's lock does not satisfy the group with the oldest SDK: the test above can fail."""
    assert "boto3==1.26.27" in unsatisfied(SOURCES["oldest"], locked.read("agent"), ALL[0])


@pytest.mark.parametrize("name", SOURCES)
def test_a_lock_has_nothing_that_pyproject_no_longer_asks_for(name: str) -> None:
    """What a lock has for this project is what pyproject.toml names; the rest is needed by something in the lock."""
    lock = locked.read(name)
    direct = {one.name for one in lock if any("pyproject.toml" in needed for needed in one.needed_by)}
    assert direct == {canonicalize_name(one.name) for one in required(SOURCES[name])}
    names = {one.name for one in lock}
    for one in lock:
        assert one.needed_by, one.name
        assert {needed for needed in one.needed_by if "pyproject.toml" not in needed} <= names, one.name


@pytest.mark.parametrize("together", ENVIRONMENTS, ids="+".join)
def test_locks_of_one_environment_agree(together: Tuple[str, ...]) -> None:
    """For every Python and machine, there is one version of a package, with the same hashes in each lock."""
    for where in ALL:
        found: Dict[str, Set[Tuple[str, Tuple[str, ...]]]] = {}
        for name in together:
            for one in applying(locked.read(name), where):
                found.setdefault(one.name, set()).add((one.version, one.hashes))
        assert {name: versions for name, versions in found.items() if len(versions) > 1} == {}


def test_the_agents_versions_are_those_that_are_tested() -> None:
    """Everything in the agent's lock is in the lab's."""
    tested = {(one.name, one.version, one.hashes) for one in locked.read("lab")}
    assert {(one.name, one.version, one.hashes) for one in locked.read("agent")} <= tested


def test_there_are_no_other_locks() -> None:
    """A file that nothing makes is never updated."""
    assert sorted(path.name for path in locked.REQUIREMENTS.iterdir()) == sorted(f"{name}.txt" for name in SOURCES)


SHORT = "idna==3.20 \\\n    --hash=sha256:" + "a" * 64 + "\n    # via requests\n"


@pytest.mark.parametrize(
    "text",
    [
        SHORT.replace("==", ">="),
        SHORT.replace("    --hash=sha256:" + "a" * 64 + "\n", ""),
        SHORT.replace("a" * 64, "a" * 63),
        SHORT.replace("sha256", "md5"),
        SHORT.replace("idna==3.20", "idna @ https://example.com/idna-3.20.tar.gz"),
        "--index-url https://example.com/simple\n" + SHORT,
        SHORT + "--extra-index-url https://example.com/simple\n",
        SHORT + "--find-links /srv/wheels\n",
        SHORT + "--trusted-host example.com\n",
        SHORT + "requests==2.34.2\n",
        SHORT + "requests==2.34.2 \\\n",
    ],
)
def test_a_lock_has_exact_versions_and_hashes_alone(text: str) -> None:
    """A range, a version without hashes, a URL, an index or another option of pip: such a lock is refused."""
    assert [one.hashes for one in locked.parse(SHORT)] == [("a" * 64,)]
    with pytest.raises(ValueError, match="line"):
        locked.parse(text)


def test_no_lock_names_a_host_or_a_directory() -> None:
    """Which index is used, and where the repository is, is this machine's affair; comments too."""
    for name in SOURCES:
        assert re.findall(r"\w*://\S*|[ =]/\S*|.*--index.*", locked.path_of(name).read_text(encoding="utf-8")) == []


def test_pythons_are_those_that_are_promised() -> None:
    """The locks are for the Pythons of the package's classifiers."""
    prefix = "Programming Language :: Python :: "
    promised = [one[len(prefix) :] for one in PROJECT["project"]["classifiers"] if one.startswith(prefix)]
    assert tuple(promised) == PYTHONS


def test_the_build_backend_is_that_of_the_lock() -> None:
    """build-system names one version, with no range, and the group `build`, which has its hashes, the same."""
    (backend,) = PROJECT["build-system"]["requires"]
    assert re.fullmatch(r"hatchling==[\d.]+", backend)
    assert backend in group("build")


# Targets that install something by pip, each by one command at least.
TARGETS = (
    "install",
    *(f".venv/.{name}" for name in ("build", "lab", "dev", "bench", "docs", "peer", "supply")),
)


def unhashed(command: str) -> bool:
    """Whether a command of pip may install what no lock has a hash of."""
    options = set(command.split())
    from_locks = {"--require-hashes", "--only-binary"} <= options and " requirements/" in command
    alone = {"--no-deps", "--no-build-isolation"} <= options or {"--no-deps", "--no-index"} <= options
    itself = alone and "requirements/" not in command
    return not (from_locks or itself)


def installations(text: str) -> List[str]:
    """The commands of pip in a script, each on one line."""
    return [line.strip() for line in text.replace("\\\n", " ").splitlines() if re.search(r"\bpip3? +install\b", line)]


@pytest.mark.parametrize("target", TARGETS)
def test_make_installs_what_locks_have(target: str) -> None:
    """Every command of pip that make would run checks hashes, or installs this package alone."""
    commands = installations(dry_run(target))
    assert commands != []
    assert [command for command in commands if unhashed(command)] == []


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ((), ""),
        (("AS=suse:aws-vpc-move-ip",), "--as suse:aws-vpc-move-ip"),
        (("ROOT=/image", "AS=suse:aws-vpc-move-ip"), "--root /image --as suse:aws-vpc-move-ip"),
    ],
)
def test_make_install_passes_on_what_was_given(given: Tuple[str, ...], options: str) -> None:
    """And nothing else: make has a variable AS of its own, the assembler."""
    (command,) = [line for line in dry_run("install", *given).splitlines() if "bin/aws-ipfailover install" in line]
    assert command.split(" install", 1)[1].split() == options.split()


def dry_run(target: str, *given: str) -> str:
    """What make would run for a target on a new machine, with these variables."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    command = ["make", "--dry-run", "--always-make", "--no-print-directory", target, *given]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_every_target_that_installs_is_known() -> None:
    """A target of the Makefile with a command of pip is among those of the test above."""
    found = {match[1] for match in re.finditer(r"^\$\(VENV\)(/\.\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)}
    assert {"install", *(f".venv{name}" for name in found)} == set(TARGETS)


def test_scripts_install_what_locks_have() -> None:
    """So does every command of pip in scripts/ and .ci/."""
    files = [path for path in (*(ROOT / "scripts").iterdir(), *(ROOT / ".ci").glob("*")) if path.is_file()]
    commands = {path.name: installations(path.read_text(encoding="utf-8")) for path in files}
    assert commands["pythons"] != []
    for name, found in commands.items():
        assert [(name, command) for command in found if unhashed(command.replace('"$@"', "requirements/"))] == []


def test_the_package_builds_with_nothing_fetched(tmp_path: Path) -> None:
    """pip makes the wheel, and hatchling the sdist, from what is installed; both have what the agent is made of."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(tmp_path), str(ROOT)], check=True)
    backend = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path)]
    subprocess.run(backend, cwd=ROOT, check=True, capture_output=True)
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    with ZipFile(wheel) as archive:
        inside = archive.namelist()
    agents = {f"aws_ipfailover/cli/{name}" for name in ("aws-ipfailover", "aws-ipfailover-health")}
    schemas = {f"aws_ipfailover/cli/schemas/{path.name}" for path in ROOT.glob("src/aws_ipfailover/cli/schemas/*.json")}
    assert {"aws_ipfailover/agent.py", "aws_ipfailover/aws/trimmed/source", *agents, *schemas} <= set(inside)
    # A production node gets no metadata service of the lab's, nor anything else that only tests use.
    assert {name.split("/")[0] for name in inside} == {"aws_ipfailover", f"aws_ipfailover-{__version__}.dist-info"}
    assert [name for name in inside if "lab" in name.split("/")] == []
    with tarfile.open(sdist) as tar:
        names = {name.split("/", 1)[-1] for name in tar.getnames()}
    files = {"requirements/build.txt", "scripts/locked.py"}
    assert {"heartbeat/aws-ipfailover", "heartbeat/aws-ipfailover-health", *files} <= names


def test_the_lab_is_a_wheel_of_its_own(tmp_path: Path) -> None:
    """With the examples in it; what it depends on is what the locks of the lab are made from, and the agent."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(tmp_path), str(ROOT / "lab")], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.startswith(f"aws_ipfailover_lab-{__version__}-")
    with ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    assert {"vpc_lab/lab.py", "vpc_lab/crm-examples/overlay-ip.crm"} <= inside
    lab: Dict[str, Any] = tomllib.loads((ROOT / "lab" / "pyproject.toml").read_text(encoding="utf-8"))
    assert lab["project"]["dependencies"] == ["aws-ipfailover", *PROJECT["dependency-groups"]["lab"]]
    assert lab["build-system"] == PROJECT["build-system"]


# A pip-audit that answers as the file `answer` says: by name, a list of vulnerabilities or why it was skipped.
PIP_AUDIT = """
import json, os, re, sys
text = open(sys.argv[sys.argv.index("--requirement") + 1]).read()
packages = re.findall(r"^([a-z0-9-]+)==(.+)$", text, re.MULTILINE)
names = [name for name, version in packages]
assert len(set(names)) == len(names)
answer = json.load(open(os.environ["ANSWER"]))
if answer is None:
    raise ConnectionError("no route to the index")
found = [(name, version, answer.get(f"{name} {version}", [])) for name, version in packages]
key = lambda given: "skip_reason" if isinstance(given, str) else "vulns"
print(json.dumps({"dependencies": [{"name": n, "version": v, key(given): given} for n, v, given in found]}))
sys.exit(any(given for _, _, given in found))
"""


def audit(directory: Path, answer: Any, *names: str) -> subprocess.CompletedProcess[str]:
    """Run scripts/audit with such a pip-audit."""
    module = directory / "pip_audit"
    module.mkdir()
    (module / "__init__.py").write_text("")
    (module / "__main__.py").write_text(PIP_AUDIT)
    (directory / "answer").write_text(json.dumps(answer))
    environ = {**os.environ, "PYTHONPATH": str(directory), "ANSWER": str(directory / "answer")}
    command = [sys.executable, str(ROOT / "scripts" / "audit"), *names]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environ)


VULNERABILITY = {"id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "fix_versions": ["2.9.0"]}


def versions_of(name: str, package: str) -> List[str]:
    """The versions of a package in a lock, the oldest first."""
    return [one.version for one in locked.read(name) if one.name == package]


def test_an_audit_that_finds_nothing(tmp_path: Path) -> None:
    """It says of how many versions this is known: all that are in the lock, for whichever Python."""
    done = audit(tmp_path, {}, "agent")
    assert done.returncode == 0, done
    count = len(locked.read("agent"))
    assert done.stdout == f"{count} of {count} versions were asked about; 0 have known vulnerabilities.\n"


def test_an_audit_asks_about_every_lock_but_the_oldest(tmp_path: Path) -> None:
    """The SDK of Debian 12 is old on purpose; whatever else `make` installs is asked about."""
    done = audit(tmp_path, {})
    wanted = {(one.name, one.version) for name in SOURCES if name != "oldest" for one in locked.read(name)}
    assert f"{len(wanted)} of {len(wanted)} versions" in done.stdout, done


@pytest.mark.parametrize("which", [0, -1])
def test_a_vulnerability_fails_an_audit(tmp_path: Path, which: int) -> None:
    """It is told with the lock, the Pythons that it is for, and the version without it: 1; for old Pythons too."""
    version = versions_of("agent", "urllib3")[which]
    done = audit(tmp_path, {f"urllib3 {version}": [VULNERABILITY]}, "agent")
    assert done.returncode == 1, done
    assert f"urllib3 {version}, in agent.txt (python_full_version" in done.stdout
    assert "  PYSEC-2026-1 (CVE-2026-1), fixed in 2.9.0\n" in done.stdout


def test_what_could_not_be_asked_about_fails_an_audit(tmp_path: Path) -> None:
    """pip-audit skips what an index does not answer about, and succeeds: the audit does not, and names it: 2."""
    (version,) = versions_of("agent", "idna")
    done = audit(tmp_path, {f"idna {version}": "Dependency not found"}, "agent")
    assert done.returncode == 2, done
    assert done.stderr == f"AUDIT NOT DONE: nothing could be learned about idna {version}.\n"


def test_an_audit_without_network_fails(tmp_path: Path) -> None:
    """It says that it was not done, and why: 2."""
    done = audit(tmp_path, None, "agent")
    assert done.returncode == 2, done
    assert done.stdout.startswith("0 of ")
    assert "pip-audit: ConnectionError: no route to the index\n" in done.stderr
    assert "AUDIT NOT DONE: nothing could be learned about boto3" in done.stderr


def bill(directory: Path) -> Tuple[bytes, Dict[str, Any]]:
    """The SBOM, written to a directory without any package that is installed: as it is, and parsed."""
    script = ROOT / "scripts" / "sbom"
    subprocess.run([sys.executable, "-ES", str(script), str(directory)], check=True, stdout=subprocess.DEVNULL)
    content = (directory / f"aws-ipfailover-{__version__}.cdx.json").read_bytes()
    return content, json.loads(content)


def test_the_sbom_is_the_agents_lock(tmp_path: Path) -> None:
    """Each version in the lock is a component with its hashes and its marker, and there is no other component."""
    _, made = bill(tmp_path)
    assert (made["bomFormat"], made["specVersion"], made["version"]) == ("CycloneDX", "1.5", 1)
    assert made["metadata"]["component"]["purl"] == f"pkg:pypi/aws-ipfailover@{__version__}"
    found = [
        (
            one["name"],
            one["version"],
            "".join(each["value"] for each in one.get("properties", [])),
            tuple(each["content"] for each in one["hashes"] if each["alg"] == "SHA-256"),
        )
        for one in made["components"]
    ]
    lock = [one for one in locked.read("agent") if "win32" not in one.marker]
    assert found == [(one.name, one.version, one.marker, one.hashes) for one in lock]
    for one in made["components"]:
        assert one["purl"] == one["bom-ref"] == f"pkg:pypi/{one['name']}@{one['version']}"


def test_the_sbom_says_what_needs_what(tmp_path: Path) -> None:
    """Everything is needed by this package, directly or not, and what installed packages say they need is in it."""
    _, made = bill(tmp_path)
    needs = {one["ref"]: one["dependsOn"] for one in made["dependencies"]}
    itself = made["metadata"]["component"]["bom-ref"]
    assert set(needs) == {itself, *(one["bom-ref"] for one in made["components"])}
    reached, todo = set(), [itself]
    while todo:
        reached.add(ref := todo.pop())
        todo += set(needs[ref]) - reached
    assert reached == set(needs)
    direct = {canonicalize_name(Requirement(one).name) for one in NEEDED}
    assert {name_of(ref) for ref in needs[itself]} == direct
    compared = 0
    for one in made["components"]:
        if distribution(one["name"]) == one["version"]:
            asked = [Requirement(text) for text in metadata.requires(one["name"]) or []]
            asked = [each for each in asked if not each.marker or each.marker.evaluate({"extra": ""})]
            assert {name_of(ref) for ref in needs[one["bom-ref"]]} == {canonicalize_name(each.name) for each in asked}
            compared += 1
    assert compared > 0


def name_of(ref: str) -> str:
    """The name in a package URL."""
    return ref[len("pkg:pypi/") :].split("@", maxsplit=1)[0]


def distribution(name: str) -> str:
    """The version of a package that is installed; empty: none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def test_the_sbom_is_the_same_each_time(tmp_path: Path) -> None:
    """Byte for byte."""
    assert bill(tmp_path / "first")[0] == bill(tmp_path / "second")[0]
