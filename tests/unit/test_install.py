"""`aws-ipfailover install`: the file, its interpreter, and what it warns of."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any, List, Tuple

import pytest

from aws_ipfailover.cli import install, ownership
from aws_ipfailover.cli.main import main
from aws_ipfailover.ocf.installed import is_ours


def test_the_agent_runs_with_the_interpreter_that_installed_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first line names it; the rest is the agent as it is; running it twice is fine."""
    for _ in range(2):
        assert main(["install", "--root", str(tmp_path)]) == 0
    agents = sorted((tmp_path / "usr/lib/ocf/resource.d/heartbeat").iterdir())
    assert [path.name for path in agents] == ["aws-ipfailover", "aws-ipfailover-health"]
    said = capsys.readouterr().out
    for agent in agents:
        first, rest = agent.read_text(encoding="utf-8").split("\n", 1)
        assert first == f"#!{sys.executable} -I"
        assert rest == install.agent_file(agent.name).read_text(encoding="utf-8").split("\n", 1)[1]
        assert agent.stat().st_mode & 0o777 == 0o755
        assert f"installed {agent} (" in said


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence and exit code 1, no traceback."""
    (tmp_path / "usr").write_text("")
    assert main(["install", "--root", str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err


def test_directories_that_others_may_not_enter_are_found(tmp_path: Path) -> None:
    """Pacemaker runs meta-data as hacluster, which has to reach interpreter and package, also behind a link."""
    tmp_path.chmod(0o755)
    closed = tmp_path / "closed"
    (closed / "bin").mkdir(parents=True)
    (closed / "bin" / "python3").write_text("")
    (tmp_path / "python3").symlink_to(closed / "bin" / "python3")
    assert closed not in install.closed_directories(tmp_path / "python3")
    closed.chmod(0o700)
    assert closed in install.closed_directories(tmp_path / "python3")
    assert closed in install.closed_directories(closed / "bin" / "python3")


# -- another name -----------------------------------------------------------------------------------------------------

AGENTS = "usr/lib/ocf/resource.d"
PEER = "heartbeat:aws-vpc-move-ip"
Run = Tuple[int, str]


def run(capsys: pytest.CaptureFixture[str], root: Path, *arguments: str) -> Run:
    """Run `install` below a root: its exit code, and all that it says on one stream or the other."""
    code = main(["install", "--root", str(root), *arguments])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said.out + said.err


def tree(root: Path) -> List[Tuple[str, int]]:
    """All files and directories below a root, and what tells one from another that replaced it."""
    return sorted((str(path.relative_to(root)), path.lstat().st_ino) for path in root.rglob("*"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty root."""
    made = tmp_path / "root"
    made.mkdir()
    return made


@pytest.fixture
def bin_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory on PATH; programs of tests go there."""
    made = tmp_path / "bin"
    made.mkdir()
    monkeypatch.setenv("PATH", str(made))
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    return made


def program(folder: Path, name: str, script: str) -> None:
    """A program that is a shell script; it writes its arguments to a file beside it first, and has to be asked in
    English, as what it says is read."""
    (folder / name).write_text(
        f'#!/bin/sh\necho "$*" >>{folder}/{name}.asked\ntest "$LC_ALL" = C || exit 9\n{script}\n'
    )
    (folder / name).chmod(0o755)


def database(root: Path, *paths: str) -> None:
    """Make the files that dpkg's, or rpm's, database is known by."""
    for path in paths:
        (root / path).parent.mkdir(parents=True)
        (root / path).write_text("")


DPKG, RPM = "var/lib/dpkg/status", "usr/lib/sysimage/rpm/rpmdb.sqlite"
DPKG_NO = 'echo "dpkg-query: no path found matching pattern $3" >&2; exit 1'
RPM_NO = 'for last; do :; done; echo "file $last is not owned by any package"; exit 1'


def test_under_another_name(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same file is put at PROVIDER/NAME, twice without complaint, in a directory that everybody may enter."""
    before = os.umask(0o077)
    try:
        assert run(capsys, root, "--as", "suse:aws-vpc-move-ip")[0] == 0
    finally:
        os.umask(before)
    assert run(capsys, root)[0] == 0
    assert run(capsys, root, "--as", "suse:aws-vpc-move-ip")[0] == 0
    made, own = root / AGENTS / "suse/aws-vpc-move-ip", root / AGENTS / "heartbeat/aws-ipfailover"
    assert made.read_bytes() == own.read_bytes()
    assert [path.name for path in made.parent.iterdir()] == [made.name]
    assert made.stat().st_mode & 0o777 == made.parent.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    "alias",
    [
        *(":", "suse", "suse:", ":x", "a:b:c", "ocf:suse:x", "../x:y", "x:../y", "a/b:c", "a:b/c", ".a:b", "a:.b"),
        *("a:-b", "a b:c", "a:b\n", "a:é", "a:" + "b" * 65, "a:*", "a:b\x1b[2J"),
    ],
)
def test_a_name_that_is_refused(root: Path, capsys: pytest.CaptureFixture[str], alias: str) -> None:
    """Exit code 2, and a sentence that names option and value and shows what would be right; nothing is made."""
    for more in ([], ["--remove"]):
        code, said = run(capsys, root, "--as", alias, *more)
        assert code == 2
        assert f"--as: {alias!r} is not PROVIDER:NAME, such as suse:aws-vpc-move-ip" in said
    assert tree(root) == []


@pytest.mark.parametrize("what", ["file", "empty", "folder", "link to nothing", "link", "pipe"])
@pytest.mark.parametrize("how", [[], ["--force"], ["--remove"]], ids=str)
def test_what_is_not_ours_stays(root: Path, capsys: pytest.CaptureFixture[str], what: str, how: List[str]) -> None:
    """A file that is not this agent is neither written over nor removed, --force or not; a sentence says what to do."""
    path = root / AGENTS / "heartbeat/aws-vpc-move-ip"
    path.parent.mkdir(parents=True)
    another = path.with_name("another")
    another.write_text("#!/bin/sh\n# mentions aws-ipfailover\n")
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what.startswith("link"):
        path.symlink_to(another if what == "link" else "/no/such/file")
    else:
        path.write_text("" if what == "empty" else another.read_text())
    before = tree(root)
    code, said = run(capsys, root, "--as", PEER, *how)
    assert code == 1
    assert f"{path} is" in said
    assert said.count("\n") == 1
    assert ("remove it by hand" if how == ["--remove"] else "install --as suse:aws-vpc-move-ip") in said
    assert tree(root) == before


def test_a_link_to_this_agent_is_replaced_by_it(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A link that leads to this agent is ours; what it leads to is left alone."""
    run(capsys, root)
    own, link = root / AGENTS / "heartbeat/aws-ipfailover", root / AGENTS / "heartbeat/aws-vpc-move-ip"
    link.symlink_to(own.name)
    assert run(capsys, root, "--as", PEER)[0] == 0
    assert not link.is_symlink()
    assert link.read_bytes() == own.read_bytes()
    link.unlink()
    link.symlink_to(own.name)
    assert run(capsys, root, "--as", PEER, "--remove")[0] == 0
    assert own.is_file()
    assert not link.is_symlink()


@pytest.mark.parametrize(
    ("files", "name", "script", "owner"),
    [
        (DPKG, "dpkg-query", 'echo "resource-agents: $3"', "resource-agents (dpkg)"),
        (DPKG, "dpkg-query", 'echo "one:amd64, two:i386: $3"', "one:amd64, two:i386 (dpkg)"),
        (DPKG, "dpkg-query", 'echo "diversion by x from: $3"; echo "y: $3"', "diversion by x from (dpkg), y (dpkg)"),
        (RPM, "rpm", "echo resource-agents", "resource-agents (rpm)"),
        ("var/lib/rpm/Packages", "rpm", "echo resource-agents", "resource-agents (rpm)"),
    ],
)
@pytest.mark.parametrize("is_there", [True, False], ids=["there", "not there"])
def test_what_belongs_to_a_package_is_refused(
    root: Path,
    capsys: pytest.CaptureFixture[str],
    bin_: Path,
    files: str,
    name: str,
    script: str,
    owner: str,
    is_there: bool,
) -> None:
    """Also where its file is not there, or is ours: the package's next upgrade would write over the agent."""
    if is_there:
        assert run(capsys, root, "--as", PEER)[0] == 0
    database(root, files)
    program(bin_, name, script)
    before = tree(root)
    for force in ([], ["--force"]):
        code, said = run(capsys, root, "--as", PEER, *force)
        assert code == 1
        assert f"belongs to the package {owner}; " in said
        assert "aws-ipfailover install --as suse:aws-vpc-move-ip" in said
        assert said.count("\n") == 1
        assert tree(root) == before


def test_another_provider_than_the_refused_one_is_proposed(
    root: Path, capsys: pytest.CaptureFixture[str], bin_: Path
) -> None:
    """Where suse:aws-vpc-move-ip itself belongs to a package, it is not what to do instead."""
    database(root, DPKG)
    program(bin_, "dpkg-query", 'echo "sap: $3"')
    code, said = run(capsys, root, "--as", "suse:aws-vpc-move-ip")
    assert code == 1
    assert "install --as suse:" not in said
    assert "install --as local:aws-vpc-move-ip" in said


def test_databases_below_another_root_are_asked(root: Path, capsys: pytest.CaptureFixture[str], bin_: Path) -> None:
    """dpkg and rpm are asked about that root's packages alone, where it has some, and not about this machine's."""
    program(bin_, "dpkg-query", DPKG_NO)
    program(bin_, "rpm", RPM_NO)
    assert run(capsys, root, "--as", PEER)[0] == 0
    assert not list(bin_.glob("*.asked"))
    database(root, DPKG, RPM)
    assert run(capsys, root, "--as", PEER)[0] == 0
    path = f"/{AGENTS}/heartbeat/aws-vpc-move-ip"
    assert (bin_ / "dpkg-query.asked").read_text() == f"--admindir={root}/var/lib/dpkg --search {path}\n"
    asked = (bin_ / "rpm.asked").read_text()
    assert asked.startswith(f"--root {root} --dbpath /usr/lib/sysimage/rpm --query --file ")
    assert asked.endswith(f"{path}\n")


def test_a_folder_that_is_a_link_is_asked_for_as_well(
    root: Path, capsys: pytest.CaptureFixture[str], bin_: Path
) -> None:
    """A provider that leads to another's directory does not hide that the file there is a package's."""
    (root / AGENTS / "heartbeat").mkdir(parents=True)
    (root / AGENTS / "suse").symlink_to("heartbeat")
    database(root, DPKG)
    program(bin_, "dpkg-query", f'case $3 in */heartbeat/*) echo "resource-agents: $3";; *) {DPKG_NO};; esac')
    code, said = run(capsys, root, "--as", "suse:aws-vpc-move-ip")
    assert code == 1
    assert "resource-agents (dpkg)" in said


@pytest.mark.parametrize(
    ("files", "name", "script"),
    [
        (DPKG, "dpkg-query", 'echo "dpkg-query: error: cannot read" >&2; exit 2'),
        (DPKG, "dpkg-query", "exit 1"),
        (DPKG, "dpkg-query", "exit 0"),
        (DPKG, "dpkg-query", "kill -9 $$"),
        (DPKG, "dpkg-query", "exec sleep 60"),
        (RPM, "rpm", f'echo "error: cannot open Packages database" >&2; {RPM_NO}'),
        (RPM, "rpm", "exit 1"),
        (RPM, "rpm", "exit 0"),
        (RPM, "rpm", "exec sleep 60"),
        (DPKG, "other", ""),
        (RPM, "other", ""),
    ],
)
def test_packages_that_cannot_be_asked(
    root: Path,
    capsys: pytest.CaptureFixture[str],
    bin_: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: str,
    name: str,
    script: str,
) -> None:
    """A program that fails, says nothing, hangs or is missing is no "belongs to nobody": refused, nothing made."""
    monkeypatch.setattr(ownership, "_PATIENCE", 0.3 if "sleep" in script else 20.0)
    database(root, files)
    program(bin_, name, script)
    before = tree(root)
    code, said = run(capsys, root, "--as", PEER, "--force")
    assert code == 1
    assert "cannot find out whether" in said
    assert ("dpkg-query" if files == DPKG else "rpm") in said
    assert said.count("\n") == 1
    assert tree(root) == before


def test_a_warning_of_rpm_is_no_failure(root: Path, capsys: pytest.CaptureFixture[str], bin_: Path) -> None:
    """It warns of configuration files, for one, and answers all the same."""
    database(root, RPM)
    program(bin_, "rpm", f'echo "warning: something old" >&2; {RPM_NO}')
    assert run(capsys, root, "--as", PEER)[0] == 0


def test_remove(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file goes, and its provider's directory if nothing else is in it; a second time there is nothing to do."""
    heartbeat, suse = root / AGENTS / "heartbeat", root / AGENTS / "suse"
    run(capsys, root)
    run(capsys, root, "--as", "suse:one")
    run(capsys, root, "--as", "suse:two")
    assert run(capsys, root, "--as", "suse:one", "--remove") == (0, f"removed {suse}/one\n")
    assert [path.name for path in suse.iterdir()] == ["two"]
    assert run(capsys, root, "--as", "suse:two", "--remove") == (0, f"removed {suse}/two\n")
    assert not suse.exists()
    code, said = run(capsys, root, "--as", "suse:two", "--remove")
    assert (code, said) == (0, f"nothing to remove: {suse}/two is not there\n")
    own, health = heartbeat / "aws-ipfailover", heartbeat / "aws-ipfailover-health"
    assert run(capsys, root, "--remove") == (0, f"removed {own}\nremoved {health}\n")
    assert heartbeat.is_dir()
    assert run(capsys, root, "--remove")[0] == 0


def test_what_cannot_be_removed(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence with the path and the cause, exit code 1: who is not root, for instance."""
    run(capsys, root)
    path = root / AGENTS / "heartbeat/aws-ipfailover"

    def refused(self: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "unlink", refused)
    assert run(capsys, root, "--remove") == (1, f"cannot remove {path}: Permission denied\n")


@pytest.mark.parametrize("step", ["chmod", "replace"])
def test_an_interrupted_installation_leaves_nothing(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Ctrl-C before the agent is in its place: neither a half of it nor a directory for it stays behind."""
    (root / AGENTS).mkdir(parents=True)
    real = getattr(Path, step)

    def interrupted(self: Path, *arguments: Any) -> Any:
        if self.name.startswith(".aws-ipfailover-"):
            raise KeyboardInterrupt
        return real(self, *arguments)

    monkeypatch.setattr(Path, step, interrupted)
    assert run(capsys, root, "--as", "suse:x") == (130, "interrupted\n")
    assert list((root / AGENTS).iterdir()) == []


@pytest.mark.parametrize("how", [[], ["--remove"]], ids=str)
def test_a_health_agent_of_somebody_else(root: Path, capsys: pytest.CaptureFixture[str], how: List[str]) -> None:
    """Where one of the two files is not ours, both stay as they are; under another name the agent goes alone."""
    run(capsys, root)
    health = root / AGENTS / "heartbeat/aws-ipfailover-health"
    health.write_text("#!/bin/sh\n")
    before = tree(root)
    code, said = run(capsys, root, *how)
    assert code == 1
    assert f"{health} is" in said
    assert tree(root) == before
    assert run(capsys, root, "--as", "suse:x", *how)[0] == 0
    assert health.read_text() == "#!/bin/sh\n"


def test_the_health_agent_s_name_is_no_other_agent_s(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--as heartbeat:aws-ipfailover-health` would put one agent in the other's place: 2, and nothing is made."""
    code, said = run(capsys, root, "--as", "heartbeat:aws-ipfailover-health")
    assert code == 2
    assert "the health agent's own name" in said
    assert tree(root) == []


@pytest.mark.parametrize("name", ["aws-ipfailover", "aws-ipfailover-health"])
def test_the_mark_is_in_the_agent(name: str) -> None:
    """By this line its file is known as ours, so that no later edition may lose it; neither is taken for the other."""
    file = install.agent_file(name)
    ours = [one for one in ("aws-ipfailover", "aws-ipfailover-health") if is_ours(file, one)]
    assert ours == [name]
    assert f"# The OCF resource agent ocf:heartbeat:{name}. " in file.read_text(encoding="utf-8").split("\n", 2)[1]


def test_help_fits_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """80 columns and 24 lines, with an example."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["install", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 23  # and the prompt
    assert max(map(len, lines)) <= 80
    assert "  aws-ipfailover install --as suse:aws-vpc-move-ip" in lines
