"""What root runs, and what it believes, is nobody else's: the agent, its modules, its commands, its memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest

import aws_ipfailover
from aws_ipfailover.cli.install import agent_file
from aws_ipfailover.consistency import WriteMemory
from sandbox import AGENT, cannot_run, ip, make_interface, need_commands, need_root, network_namespace, without_packages

ANOTHER = "12345"  # another user
ENV = "/srv/env"
AGENT_INSTALLED = "/usr/lib/ocf/resource.d/heartbeat/aws-ipfailover"

# In a mount namespace of its own: the package is installed into an environment in /srv, which is root's as /opt is.
# Then the commands of the case. Arguments: the interpreter, the package, the agent, the case.
_SCRIPT = f"""
set -e
umask 022
mount -t tmpfs -o mode=755 tmpfs /srv
mount -t tmpfs -o mode=755 tmpfs /usr/lib/ocf
"$1" -m venv --without-pip {ENV}
site=$(echo {ENV}/lib/python3*/site-packages)
mkdir "$site/aws_ipfailover"
(cd "$2" && tar -c --owner 0 --exclude lab --exclude trimmed --exclude __pycache__ .) | tar -x -C "$site/aws_ipfailover"
cp "$3" "$3-health" "$site/aws_ipfailover/cli/"
install() {{ {ENV}/bin/python -I -m aws_ipfailover.cli.main install "$@"; }}
eval "$4"
"""


@pytest.fixture
def run() -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Run shell commands where the package is installed: `install` is the command, `$site` where packages are."""
    need_root()
    need_commands("unshare", "tar")
    if not Path("/usr/lib/ocf").is_dir():
        cannot_run("needs /usr/lib/ocf (resource-agents)")

    def shell(case: str) -> subprocess.CompletedProcess[str]:
        package = str(Path(aws_ipfailover.__file__).parent)
        command = ["unshare", "--mount", "--propagation", "private", "bash", "-c", _SCRIPT, "sh"]
        # Not the one of an environment: before 3.11 a new environment would lead through that one's directory.
        arguments = [os.path.realpath(sys.executable), package, str(agent_file()), case]
        environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        return subprocess.run([*command, *arguments], check=False, capture_output=True, text=True, env=environ, cwd="/")

    return shell


Run = Callable[[str], "subprocess.CompletedProcess[str]"]


def test_an_installation_of_roots(run: Run) -> None:
    """It is installed without a word of warning about who can write it, and runs isolated (`-I`)."""
    done = run(f"install; head -n 1 {AGENT_INSTALLED}; {AGENT_INSTALLED} meta-data | tail -n 1")
    assert done.returncode == 0, done
    assert done.stdout.splitlines()[2:] == [f"#!{ENV}/bin/python -I", "</resource-agent>"]
    assert "can write" not in done.stderr


WRITABLE = {
    "the interpreter's directory": (f"chmod o+w {ENV}/bin", f"{ENV}/bin "),
    "the interpreter's directory, of another user": (f"chown {ANOTHER} {ENV}/bin", f"{ENV}/bin "),
    "a directory above, sticky as /tmp": ("chmod 1777 /srv", "/srv "),
    "a group's directory": (f"chgrp 50 {ENV}/lib; chmod g+w {ENV}/lib", f"{ENV}/lib "),
    "a module of the package": (f"chown {ANOTHER} $site/aws_ipfailover/agent.py", "agent.py "),
    "another package": ("mkdir $site/boto3; touch $site/boto3/x.py; chmod o+w $site/boto3/x.py", "boto3/x.py "),
    "a file that Python runs at its start": (f"echo >$site/a.pth; chown {ANOTHER} $site/a.pth", "a.pth "),
    "where a link to the interpreter leads through": (
        f"cd {ENV}/bin; mkdir /srv/b; ln -s $(readlink -f python) /srv/b/p; ln -sf /srv/b/p python; chmod o+w /srv/b",
        "/srv/b ",
    ),
    "where a link to a package leads": (
        f"mkdir -p /srv/boto3/in; ln -s /srv/boto3 $site/boto3; chown {ANOTHER} /srv/boto3/in",
        "/srv/boto3/in ",
    ),
    "what names the standard library's place": (f"chown {ANOTHER} {ENV}/pyvenv.cfg", "pyvenv.cfg "),
    "a link of another user": (f"chown --no-dereference {ANOTHER} {ENV}/bin/python", f"{ENV}/bin/python "),
    "where the agent is installed": (
        "mkdir -p /usr/lib/ocf/resource.d/heartbeat; chmod o+w /usr/lib/ocf/resource.d",
        "/usr/lib/ocf/resource.d ",
    ),
}


@pytest.mark.parametrize("what", WRITABLE)
def test_what_somebody_else_can_write_is_refused(run: Run, what: str) -> None:
    """Nothing is installed; one sentence names the path, its owner and mode, and says what to do."""
    prepare, named = WRITABLE[what]
    done = run(f"{prepare}; install || echo code $?; ls -A /usr/lib/ocf/resource.d/heartbeat 2>/dev/null || true")
    assert done.stdout.splitlines() == ["code 1"], done
    (line,) = done.stderr.splitlines()
    assert named in line
    assert "mode " in line
    assert "/opt/aws-ipfailover" in line
    assert "--force" in line


def test_force_says_what_it_means(run: Run) -> None:
    """With --force it is installed all the same, and told who becomes root."""
    done = run(f"chown {ANOTHER} $site/aws_ipfailover/agent.py; install --force; test -x {AGENT_INSTALLED}")
    assert done.returncode == 0, done
    assert "warning: somebody other than root can write" in done.stderr
    assert "is root when Pacemaker next runs the agent" in done.stderr


def test_below_another_root_nobody_is_asked(run: Run) -> None:
    """Where a package is put together, its files are the builder's: who may write them is decided by who unpacks it."""
    done = run(f"chown -R {ANOTHER} $site; install --root /srv/root; head -n 1 /srv/root{AGENT_INSTALLED}")
    assert done.returncode == 0, done
    assert f"#!{ENV}/bin/python -I" in done.stdout


def test_a_checkout_is_refused() -> None:
    """An editable installation is never installed without --force: a checkout is somebody's."""
    need_root()
    if "site-packages" in aws_ipfailover.__file__:
        pytest.skip("the package under test is installed, not a checkout")
    command = [sys.executable, "-m", "aws_ipfailover.cli.main", "install"]
    keep = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        'mount -t tmpfs none /usr/lib/ocf; exec "$@"',
        "",
    ]
    done = subprocess.run([*keep, *command], check=False, capture_output=True, text=True)
    assert done.returncode == 1, done
    assert "checkout" in done.stderr
    assert "make install" in done.stderr


SUSE = "/usr/lib/ocf/resource.d/suse"


def test_another_name_in_the_systems_place(run: Run) -> None:
    """`install --as suse:aws-vpc-move-ip` runs under that name; `--remove` leaves nothing of it."""
    done = run(
        f"install --as suse:aws-vpc-move-ip; {SUSE}/aws-vpc-move-ip usage | cut -c 1-22;"
        f" install --as suse:aws-vpc-move-ip --remove; ls -A {SUSE} 2>&1 || true"
    )
    assert done.returncode == 0, done
    assert done.stdout.splitlines() == [
        f"installed {SUSE}/aws-vpc-move-ip (runs with {ENV}/bin/python)",
        "usage: aws-vpc-move-ip",
        f"removed {SUSE}/aws-vpc-move-ip",
        f"ls: cannot access '{SUSE}': No such file or directory",
    ]


@pytest.mark.parametrize("force", ["", "--force"])
def test_the_name_of_a_package_s_file(run: Run, force: str) -> None:
    """What dpkg says belongs to a package is refused, although the file itself is not there at the moment."""
    if not Path("/usr/lib/ocf/resource.d/heartbeat/aws-vpc-move-ip").is_file():
        cannot_run("needs resource-agents")
    done = run(f"install --as heartbeat:aws-vpc-move-ip {force} || echo code $?; ls -A /usr/lib/ocf")
    assert done.stdout.splitlines() == ["code 1"], done
    assert "belongs to the package resource-agents (dpkg); " in done.stderr
    assert "install --as suse:aws-vpc-move-ip" in done.stderr


@pytest.mark.parametrize("path", ["/srv/with blank/env", "/srv/" + "long/" * 24 + "env"])
def test_an_interpreter_that_no_first_line_can_name(run: Run, path: str) -> None:
    """A path with a blank, or longer than the kernel reads, is refused instead of written into a first line."""
    done = run(
        f"mkdir -p '{path}'; cp -a {ENV}/. '{path}'; '{path}/bin/python' -I -m aws_ipfailover.cli.main install"
        f" || echo code $?"
    )
    assert done.stdout.splitlines() == ["code 1"], done
    assert "first line" in done.stderr


# -- what is executed -------------------------------------------------------------------------------------------------

EVIL = "open({mark!r}, 'w')\nraise SystemExit(99)\n"


def evil(directory: Path, *names: str) -> Path:
    """Put modules into a directory that leave a mark when they are executed; the mark."""
    mark = directory.parent / "executed"
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        (directory / name).write_text(EVIL.format(mark=str(mark)))
    return mark


MODULES = ("aws_ipfailover.py", "signal.py", "logging.py", "ipaddress.py", "sitecustomize.py", "usercustomize.py")


def test_neither_pythonpath_nor_the_directory_is_executed(run: Run, tmp_path: Path) -> None:
    """The installed agent loads nothing from PYTHONPATH, from its own directory, or from the working directory."""
    mark = evil(tmp_path / "evil", *MODULES)
    done = run(
        f"install; cp {tmp_path}/evil/* /usr/lib/ocf/resource.d/heartbeat; cd {tmp_path}/evil;"
        f" PYTHONPATH={tmp_path}/evil PYTHONSTARTUP={tmp_path}/evil/signal.py {AGENT_INSTALLED} meta-data | tail -n 1"
    )
    assert done.returncode == 0, done
    assert done.stdout.splitlines()[-1] == "</resource-agent>"
    assert not mark.exists()


@pytest.mark.parametrize("name", ["aws-ipfailover", "aws-ipfailover-health"])
def test_the_checkouts_file_executes_nothing_beside_it(tmp_path: Path, name: str) -> None:
    """Also started by its path, without -I, an agent's file loads nothing from its own or the working directory."""
    mark = evil(tmp_path / "agents", *MODULES[:4])
    agent = Path(shutil.copy(agent_file(name), tmp_path / "agents"))
    link = tmp_path / "elsewhere" / "agent"
    link.parent.mkdir()
    link.symlink_to(agent)
    for path in (agent, link):
        done = subprocess.run(
            [sys.executable, str(path), "meta-data"],
            check=False,
            capture_output=True,
            text=True,
            cwd=agent.parent,
            env={"PATH": "/usr/bin:/bin"},
        )
        assert done.returncode == 0, done
        assert not mark.exists()


@pytest.mark.parametrize("package", ["with the package", "without it"])
@pytest.mark.parametrize("path", [":", ".:", "bin:", "./bin:", "../work/bin::"])
def test_relative_elements_of_path_are_ignored(tmp_path: Path, package: str, path: str) -> None:
    """An `ip` in the working directory, which an empty or relative element of PATH names, is never run."""
    need_root()
    work, mark = tmp_path / "work", tmp_path / "executed"
    for folder in (work, work / "bin"):
        folder.mkdir()
        (folder / "ip").write_text(f"#!/bin/sh\ntouch {mark}\nexit 1\n")
        (folder / "ip").chmod(0o755)
    missing = without_packages(tmp_path / "missing", "aws_ipfailover") if package == "without it" else {}
    environ = {
        **missing,
        "PATH": path + "/usr/sbin:/usr/bin:/sbin:/bin",
        "OCF_RESKEY_ip": "192.168.10.10",
        "OCF_RESKEY_routing_table": "rtb-0123456789abcdef0",
        "HA_RSCTMP": str(tmp_path),
    }
    with network_namespace():
        make_interface("eth0")
        ip("address", "add", "192.168.10.10/32", "dev", "eth0")
        for action, code in (("monitor", 0), ("stop", 0), ("monitor", 7)):
            done = subprocess.run(
                [sys.executable, str(AGENT), action], check=False, capture_output=True, text=True, cwd=work, env=environ
            )
            assert done.returncode == code, done
    assert not mark.exists()


# -- what is believed -------------------------------------------------------------------------------------------------


@pytest.fixture
def memory(tmp_path: Path) -> WriteMemory:
    """A memory with a write in it, in a directory of root's."""
    need_root()
    made = WriteMemory({"HA_RSCTMP": str(tmp_path / "memory")}, "ip")
    made.remember("eni-1", refused=["rtb-a"])
    assert made.is_recent("eni-1")
    return made


def chmod(mode: int) -> Callable[[Path], None]:
    """Give a file a mode."""
    return lambda path: path.chmod(mode)


def chown(path: Path) -> None:
    """Give a file to another user."""
    os.chown(path, int(ANOTHER), int(ANOTHER))


def behind_a_link(path: Path) -> None:
    """Move a file, and leave a link to it."""
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def as_a_pipe(path: Path) -> None:
    """Replace a file by a named pipe that nobody writes to."""
    path.unlink()
    os.mkfifo(path)


def as_a_directory(path: Path) -> None:
    """Replace a file by a directory."""
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("change", [chown, chmod(0o620), chmod(0o602), behind_a_link, as_a_pipe, as_a_directory])
def test_a_file_that_is_not_roots_is_not_believed(
    memory: WriteMemory, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """A memory that somebody else owns or can write, or that is no regular file, counts as none."""
    (file,) = (tmp_path / "memory").iterdir()
    change(file)
    assert memory.age("eni-1") is None
    assert memory.refused("eni-1") == ()


@pytest.mark.parametrize("change", [chown, chmod(0o777), chmod(0o775)])
def test_a_directory_that_is_not_roots_is_not_believed(
    memory: WriteMemory, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """Where somebody else can put files into the directory, nothing in it is believed."""
    change(tmp_path / "memory")
    assert memory.age("eni-1") is None


@pytest.mark.parametrize("mode", [0o1755, 0o755, 0o700, 0o1777])
def test_a_directory_as_resource_agents_makes_it(memory: WriteMemory, tmp_path: Path, mode: int) -> None:
    """A directory of root's is believed: of root alone, or sticky."""
    (tmp_path / "memory").chmod(mode)
    assert memory.is_recent("eni-1")


def test_a_file_that_is_planted_is_not_written(memory: WriteMemory, tmp_path: Path) -> None:
    """Links at names that can be guessed are not followed; what killed runs left half written is removed."""
    directory, target = tmp_path / "memory", tmp_path / "target"
    target.write_text("precious")
    (file,) = directory.iterdir()
    for name in (f"{file.name}.{os.getpid()}", f"{file.name}.tmp", f"{file.name}.0123456789abcdef"):
        (directory / name).symlink_to(target)
    memory.remember("eni-2")
    assert target.read_text() == "precious"
    assert list(directory.iterdir()) == [file]
    assert json.loads(file.read_text())["what"] == "eni-2"
    assert file.stat().st_mode & 0o777 == 0o600
